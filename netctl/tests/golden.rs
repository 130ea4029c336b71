//! Golden sessions: `tests/cmd/*.txt` are command lines and what netctl must say, run against a real netmaster in
//! this process. `BLESS=1 cargo test -p netctl` rewrites them; read the difference.
//!
//! A line `$ netctl ...` is a command (words with single quotes); `> ...` after it is its standard input. Below stands
//! what it wrote: standard output as it is, standard error after `! `, and `? N` for an exit status that is not 0.
//! What differs from run to run is written `[SERVER]`, `[DIR]`, `[UID]`, `[TOKEN]`, `[PEM]`.
//! `# join NODE VTEP` lets a node join; `# file MODE NAME TEXT` writes a file into `[DIR]`.
#![expect(clippy::unwrap_used, reason = "helpers of tests, which clippy does not see as tests")]

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use netmaster::{Config, StoreConfig};
use test_support::{TempDir, wait_for};

/// A netmaster with an empty store, and how to reach it.
struct Master {
    dir: TempDir,
    server: String,
    /// Ends netmaster when dropped.
    _stop: tokio::sync::oneshot::Sender<()>,
}

impl Master {
    async fn start() -> Self {
        let dir = test_support::TempDir::new().unwrap();
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let config = Config {
            data_dir: dir.path().join("data"),
            store: StoreConfig::Memory,
            limits: None,
            listen: any,
            node_listen: any,
            names: vec!["127.0.0.1".to_owned()],
            cooling: Duration::from_secs(60),
        };
        let addresses = config.data_dir.join("addresses.json");
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        tokio::spawn(netmaster::run(config, async { drop(stopped.await) }));
        let text =
            wait_for("netmaster", Duration::from_secs(20), async || std::fs::read_to_string(&addresses));
        let text = text.await.unwrap();
        let api = text.split('"').find(|w| w.starts_with("https://")).unwrap().to_owned();
        Self { dir, server: api, _stop: stop }
    }

    fn data(&self, file: &str) -> String {
        self.dir.path().join("data").join(file).display().to_string()
    }

    /// Lets a node join, as its agent would.
    async fn join(&self, node: &str, vtep: &str) {
        let path = self.dir.path().join(format!("{node}.json"));
        let words = ["node", "join-token", node, "-o", path.to_str().unwrap()].map(str::to_owned).to_vec();
        self.netctl(words, String::new()).await;
        let text = std::fs::read_to_string(path).unwrap();
        let file: api::v1::JoinFile = serde_json::from_str(&text).unwrap();
        let client = node_api::client::Client::connect(&file.server, &file.ca, None).await.unwrap();
        let key = rcgen::KeyPair::generate().unwrap();
        let csr = rcgen::CertificateParams::new(vec![]).unwrap().serialize_request(&key).unwrap();
        let request = node_api::JoinRequest {
            token: node_api::JoinToken::new(file.token),
            node: file.node,
            vtep: vtep.parse().unwrap(),
            csr_pem: csr.pem().unwrap(),
        };
        client.join(request).await.unwrap();
    }

    /// Writes a file.
    fn file(&self, mode: &str, name: &str, text: &str) {
        use std::os::unix::fs::PermissionsExt;
        let path = self.dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text.replace("\\n", "\n") + "\n").unwrap();
        let mode = std::fs::Permissions::from_mode(u32::from_str_radix(mode, 8).unwrap());
        std::fs::set_permissions(path, mode).unwrap();
    }

    /// Runs netctl in a thread of its own, which it needs for its runtime, and gives the transcript.
    async fn netctl(&self, words: Vec<String>, stdin: String) -> String {
        let mut args: Vec<String> = vec!["netctl".into()];
        args.extend(["--server".into(), self.server.clone()]);
        args.extend([
            "--ca-file".into(),
            self.data("ca.crt"),
            "--token-file".into(),
            self.data("admin.token"),
        ]);
        // Never the context file of whoever runs the test.
        self.file("600", "empty.json", "{}");
        args.extend(["--config".into(), self.dir.path().join("empty.json").display().to_string()]);
        // A word of the session itself wins: the session may want to be somebody else.
        let own = |w: &String| words.contains(w);
        let mut kept = Vec::new();
        let mut pairs = args.into_iter();
        while let Some(word) = pairs.next() {
            if own(&word) {
                pairs.next();
            } else {
                kept.push(word);
            }
        }
        kept.extend(words);
        let run = move || {
            let (mut out, mut err) = (Vec::new(), Vec::new());
            let mut stdin = stdin.as_bytes();
            let mut terminal = netctl::Terminal { stdin: &mut stdin, stdout: &mut out, stderr: &mut err };
            let status = netctl::run(kept.into_iter().map(OsString::from), &mut terminal);
            transcript(&String::from_utf8(out).unwrap(), &String::from_utf8(err).unwrap(), status)
        };
        let text = tokio::task::spawn_blocking(run).await.unwrap();
        self.stable(&text)
    }

    /// A command with `[DIR]` filled in.
    fn own(&self, command: &str) -> String {
        command.replace("[DIR]", &self.dir.path().display().to_string())
    }

    /// Without what differs from run to run.
    fn stable(&self, text: &str) -> String {
        let authority = self.server.trim_start_matches("https://");
        let text =
            text.replace(authority, "[SERVER]").replace(&self.dir.path().display().to_string(), "[DIR]");
        let mut lines = Vec::new();
        for line in text.lines() {
            let uid = line.trim_start().strip_prefix("uid: ").map(str::len);
            let secret = ["\"token\": ", "\"ca\": "].iter().find(|f| line.trim_start().starts_with(**f));
            lines.push(match (uid, secret) {
                (Some(_), _) => line.split("uid: ").next().unwrap_or_default().to_owned() + "uid: [UID]",
                (_, Some(field)) => format!("  {field}[SECRET]"),
                _ if line.trim_start().starts_with("\"server\": ") => "  \"server\": [NODE API]".to_owned(),
                _ => line.to_owned(),
            });
        }
        lines.join("\n") + if lines.is_empty() { "" } else { "\n" }
    }
}

fn transcript(out: &str, err: &str, status: u8) -> String {
    let err = err.lines().map(|l| format!("! {l}\n"));
    let status = if status == 0 { String::new() } else { format!("? {status}\n") };
    out.to_owned() + &err.collect::<String>() + &status
}

/// Words, with single quotes.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (n, part) in line.split('\'').enumerate() {
        if n % 2 == 1 {
            words.push(part.to_owned());
        } else {
            words.extend(part.split_whitespace().map(str::to_owned));
        }
    }
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

async fn golden(name: &str) {
    let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cmd").join(name);
    let old = std::fs::read_to_string(&path).unwrap();
    let new = replay(&old).await;
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, new).unwrap();
    } else {
        assert_eq!(old, new, "{} differs; BLESS=1 rewrites it", path.display());
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

sessions! { tenant network group policy endpoint node apply faults }
