//! Completion in real shells, on a terminal: keys go in, and what the completed line does comes out.

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use test_support::wait_for;

use crate::master::Master;

const NETCTL: &str = env!("CARGO_BIN_EXE_netctl");
const PROMPT: &str = "<ready>";
const PATIENCE: Duration = Duration::from_secs(20);

/// A shell on a pseudo-terminal, which script(1) makes.
struct Terminal {
    child: Child,
    keys: ChildStdin,
    screen: Arc<Mutex<String>>,
    /// How much of the screen has been looked at.
    seen: usize,
}

impl Terminal {
    /// Starts a shell that knows netctl's completion and where netmaster is.
    async fn start(shell: &str, master: &Master) -> Self {
        let dir = master.dir.path();
        let script = dir.join(format!("netctl.{shell}"));
        let completion = Command::new(NETCTL).args(["completion", shell]).output().unwrap();
        assert!(completion.status.success(), "{completion:?}");
        std::fs::write(&script, completion.stdout).unwrap();
        let script = script.display();
        let line = match shell {
            "bash" => {
                let rc = format!("PS1='{PROMPT}'\nsource {script}\nalias n=netctl\ncomplete -F _netctl n\n");
                std::fs::write(dir.join("rc"), rc).unwrap();
                format!("bash --rcfile {} -i", dir.join("rc").display())
            }
            "zsh" => {
                let rc = format!(
                    "PS1='{PROMPT}'\nunsetopt prompt_cr prompt_sp beep\nautoload -Uz compinit\ncompinit -u -d {}\nsource {script}\n",
                    dir.join("zcompdump").display()
                );
                std::fs::write(dir.join(".zshrc"), rc).unwrap();
                "zsh -i".to_owned()
            }
            "fish" => {
                let prompt = format!("function fish_prompt; echo -n '{PROMPT}'; end");
                format!(
                    "fish --no-config -i -C \"source {script}; {prompt}; set -g fish_autosuggestion_enabled 0\""
                )
            }
            _ => unreachable!(),
        };
        let path =
            format!("{}:{}", Path::new(NETCTL).parent().unwrap().display(), std::env::var("PATH").unwrap());
        let mut child = Command::new("script")
            .args(["-qefc", &line, "/dev/null"])
            .env_clear()
            .envs([("TERM", "dumb"), ("LANG", "C.UTF-8"), ("SHELL", "/bin/sh"), ("PATH", &path)])
            .env("HOME", dir)
            .env("ZDOTDIR", dir)
            .env("NETCTL_SERVER", &master.server)
            .env("NETCTL_CA_FILE", master.data("ca.crt"))
            .env("NETCTL_TOKEN_FILE", master.data("admin.token"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("script(1) of bsdutils");
        let screen = Arc::new(Mutex::new(String::new()));
        let (mut output, shown) = (child.stdout.take().unwrap(), Arc::clone(&screen));
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(n @ 1..) = output.read(&mut bytes) {
                shown.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes[..n]));
            }
        });
        let keys = child.stdin.take().unwrap();
        let mut terminal = Self { child, keys, screen, seen: 0 };
        terminal.sees(PROMPT).await;
        terminal
    }

    /// Waits until the screen shows a text, behind what was seen before.
    async fn sees(&mut self, text: &str) {
        let seen = self.seen;
        let screen = Arc::clone(&self.screen);
        let found = wait_for(text, PATIENCE, async || {
            let screen = screen.lock().unwrap();
            screen[seen..]
                .find(text)
                .map(|at| seen + at + text.len())
                .ok_or_else(|| screen[seen..].to_owned())
        });
        self.seen = found.await.unwrap();
    }

    fn keys(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
        self.keys.flush().unwrap();
    }

    /// Types a line with tabs, runs it, and wants to see what the completed line does.
    async fn types(&mut self, keys: &str, text: &str) {
        self.keys(&format!("{keys}\r"));
        self.sees(text).await;
        self.sees(PROMPT).await;
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn master() -> Master {
    let master = Master::start().await;
    for line in [
        "tenant create blue",
        "network create -t blue -s 10.1.1.0/24 front",
        "network create -t blue -s 10.1.2.0/24 back",
        "policy create -t blue guard",
        "policy rule-add -t blue guard web -l tcp -P 80",
        "group create -t blue front frontend",
    ] {
        let said = master.netctl(line.split(' ').map(str::to_owned).collect(), String::new()).await;
        assert!(!said.contains('!'), "{said}");
    }
    master
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bash_completes_commands_options_and_names_of_objects() {
    let master = master().await;
    let mut bash = Terminal::start("bash", &master).await;
    bash.types("netctl netw\tinsp\t-t bl\tfr\t", "subnet: 10.1.1.0/24").await;
    bash.types("netctl net ins\t--ten\tbl\tba\t", "subnet: 10.1.2.0/24").await;
    // Readline takes what stands behind an equals sign for a word of its own.
    bash.types("netctl net inspect --tenant=bl\tba\t", "subnet: 10.1.2.0/24").await;
    bash.types("netctl net inspect -tenant=bl\tba\t", "subnet: 10.1.2.0/24").await;
    // The shell's alias for netctl, and netctl's for the noun.
    bash.types("n ep li\t-a -o w\t", "UID").await;
    bash.types("netctl policy rule-rm -t blue gu\tw\t", "rule web of policy blue/guard removed").await;
    // Files where files are wanted.
    master.file("644", "intent.yaml", "kind: tenant\\nname: green");
    bash.types(&format!("cd {}\r", master.dir.path().display()), PROMPT).await;
    bash.types("netctl apply -f int\t", "tenant green  created").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn zsh_completes_commands_options_and_names_of_objects() {
    let master = master().await;
    let mut zsh = Terminal::start("zsh", &master).await;
    zsh.types("netctl netw\tinsp\t-t bl\tfr\t", "subnet: 10.1.1.0/24").await;
    zsh.types("netctl net inspect --tenant=bl\tba\t", "subnet: 10.1.2.0/24").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fish_completes_commands_options_and_names_of_objects() {
    let master = master().await;
    let mut fish = Terminal::start("fish", &master).await;
    fish.types("netctl netw\tinsp\t-t bl\tfr\t", "subnet: 10.1.1.0/24").await;
    fish.types("netctl net inspect --tenant=bl\tba\t", "subnet: 10.1.2.0/24").await;
}

/// What a script gets.
fn asked(options: &[&str], words: &[&str]) -> std::process::Output {
    let mut all = vec!["netctl"];
    all.extend(options);
    all.extend(words);
    let mut command = Command::new(NETCTL);
    command.args(["__complete", "bash", "--"]).args(all).env_clear().output().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_come_from_the_tenant_that_the_line_says() {
    let master = master().await;
    let (server, ca, token) = (master.server.clone(), master.data("ca.crt"), master.data("admin.token"));
    let options = ["--server", &server, "--ca-file", &ca, "--token-file", &token];
    let names = |words: &[&str]| String::from_utf8(asked(&options, words).stdout).unwrap();
    assert_eq!(names(&["network", "rm", "-t", "blue", ""]), "back\t10.1.2.0/24\nfront\t10.1.1.0/24\n");
    assert_eq!(names(&["network", "rm", "-tblue", "f"]), "front\t10.1.1.0/24\n");
    assert_eq!(names(&["network", "rm", ""]), "", "tenant default has none");
    assert_eq!(names(&["get", "groups", "-t", "blue", ""]), "frontend\ton front\n");
    assert_eq!(names(&["policy", "rule-rm", "-t", "blue", "guard", ""]), "web\tallow\n");
    assert_eq!(names(&["network", "rm", "-t", "nobody", ""]), "");
    assert_eq!(names(&["network", "rm", "-t", "No Name", ""]), "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_cannot_be_asked_is_passed_over_in_silence() {
    let master = Master::start().await;
    let (ca, token) = (master.data("ca.crt"), master.data("admin.token"));
    // It takes connections and never says a word; the client by itself would wait longer than the test does.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = format!("https://{}", silent.local_addr().unwrap());
    let servers: &[&[&str]] = &[
        &["--server", &silent, "--ca-file", &ca, "--token-file", &token],
        &["--server", "https://127.0.0.1:1", "--ca-file", &ca, "--token-file", &token],
        &["--server", &master.server, "--ca-file", "/dev/null", "--token-file", &token],
        &["--server", &master.server, "--ca-file", &ca, "--token-file", "/nowhere"],
        &["--server", "nonsense"],
        &[],
    ];
    for options in servers {
        let all = [&["__complete", "bash", "--", "netctl"], *options, &["tenant", "rm", ""]].concat();
        let mut command = Command::new(NETCTL);
        command.args(all).env_clear().stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let ended = wait_for("an answer", Duration::from_secs(8), async || {
            child.try_wait().unwrap().ok_or(format!("{options:?}: none"))
        });
        ended.await.unwrap();
        let answer = child.wait_with_output().unwrap();
        assert!(
            answer.status.success() && answer.stdout.is_empty() && answer.stderr.is_empty(),
            "{answer:?}"
        );
    }
}
