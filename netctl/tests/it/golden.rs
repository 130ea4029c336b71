//! Golden sessions: `tests/cmd/*.txt` are command lines and what netctl must say, run against a real netmaster in
//! this process. `BLESS=1 cargo test -p netctl` rewrites them; read the difference.
//!
//! A line `$ netctl ...` is a command (words may have quotes); `> ...` after it is its standard input. Below stands
//! what it wrote: standard output as it is, standard error after `! `, and `? N` for an exit status that is not 0.
//! What differs from run to run is written `[SERVER]`, `[DIR]`, `[UID]`, `[TOKEN]`, `[PEM]`.
//! `# join NODE VTEP` lets a node join; `# file MODE NAME TEXT` writes a file into `[DIR]`.

use std::path::{Path, PathBuf};

use crate::master::Master;

pub fn transcript(out: &str, err: &str, status: u8) -> String {
    let err = err.lines().map(|l| format!("! {l}\n"));
    let status = if status == 0 { String::new() } else { format!("? {status}\n") };
    out.to_owned() + &err.collect::<String>() + &status
}

/// Words, with single and double quotes.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let (mut word, mut quote): (Option<String>, Option<char>) = (None, None);
    for c in line.chars() {
        match (c, quote) {
            (c, Some(open)) if c == open => quote = None,
            ('\'' | '"', None) => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (' ', None) => words.extend(word.take()),
            (c, _) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

/// Runs the commands of a session and writes it anew, with what netctl says now.
async fn replay(session: &str) -> String {
    let master = Master::start().await;
    let mut new = String::new();
    let mut lines = session.lines().peekable();
    while let Some(line) = lines.next() {
        let Some(command) = line.strip_prefix("$ netctl") else {
            // Comments and blank lines between commands stay; old answers go.
            if line.starts_with('#') || line.is_empty() {
                new += &format!("{line}\n");
            }
            match line.split(' ').collect::<Vec<_>>()[..] {
                ["#", "join", node, vtep] => master.join(node, vtep).await,
                ["#", "file", mode, name, ..] => {
                    master.file(mode, name, line.splitn(5, ' ').nth(4).unwrap_or_default())
                }
                _ => {}
            }
            continue;
        };
        new += &format!("{line}\n");
        let mut stdin = String::new();
        while let Some(input) = lines.next_if(|l| l.starts_with('>')) {
            new += &format!("{input}\n");
            stdin += input.trim_start_matches('>').strip_prefix(' ').unwrap_or_default();
            stdin += "\n";
        }
        // Blank lines of an answer are kept apart from those of the file.
        new += &master.netctl(words(&master.own(command)), stdin).await.replace("\n\n", "\n.\n");
        while lines.next_if(|l| !l.starts_with(['$', '#']) && !l.is_empty()).is_some() {}
    }
    new
}

/// The first lines that differ.
fn difference(old: &str, new: &str) -> String {
    let common = old.lines().zip(new.lines()).take_while(|(a, b)| a == b).count();
    let lines = |sign: &str, text: &str| {
        text.lines().skip(common).take(5).map(|l| format!("{sign} {l}\n")).collect::<String>()
    };
    format!("line {}:\n{}{}", common + 1, lines("-", old), lines("+", new))
}

async fn golden(name: &str) {
    let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cmd").join(name);
    let old = std::fs::read_to_string(&path).unwrap();
    let new = replay(&old).await;
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, new).unwrap();
    } else {
        assert!(old == new, "{} differs; BLESS=1 rewrites it\n{}", path.display(), difference(&old, &new));
    }
}

macro_rules! sessions {
    ($($name:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                golden(concat!(stringify!($name), ".txt")).await;
            }
        )*

        #[test]
        fn every_session_is_run() {
            let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cmd");
            let mut files: Vec<_> =
                std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
            files.sort();
            let mut run = vec![$(concat!(stringify!($name), ".txt")),*];
            run.sort_unstable();
            assert_eq!(files, run);
        }
    };
}

sessions! { tenant network group policy netprofile endpoint explain node apply audit faults contiv help status }
