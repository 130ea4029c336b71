//! A netmaster in this process, and netctl against it.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::time::Duration;

use netmaster::{Config, StoreConfig};
use test_support::{TempDir, wait_for};

/// A netmaster with an empty store, and how to reach it.
pub struct Master {
    pub dir: TempDir,
    pub server: String,
    /// Ends netmaster when dropped.
    _stop: tokio::sync::oneshot::Sender<()>,
}

impl Master {
    pub async fn start() -> Self {
        let dir = test_support::TempDir::new().unwrap();
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let config = Config {
            data_dir: dir.path().join("data"),
            store: StoreConfig::Memory,
            limits: None,
            listen: any,
            node_listen: any,
            metrics_listen: telemetry::Listen::Off,
            names: vec!["127.0.0.1".to_owned()],
            cooling: Duration::from_secs(60),
            audit_every: None,
            retention: netmaster::Retention::default(),
            endpoints_per_node: netmaster::app::Quota::default(),
        };
        let addresses = config.data_dir.join("addresses.json");
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        tokio::spawn(netmaster::run(config, async { drop(stopped.await) }));
        let text =
            wait_for("netmaster", Duration::from_secs(20), async || std::fs::read_to_string(&addresses));
        let text = text.await.unwrap();
        let api = text.split('"').find(|w| w.starts_with("https://")).unwrap().to_owned();
        let master = Self { dir, server: api, _stop: stop };
        // To become the leader takes a revision, and sessions show revisions.
        let leads = wait_for("a leader", Duration::from_secs(20), async || {
            let status = ["status", "-o", "json"].map(str::to_owned).to_vec();
            let said = master.netctl(status, String::new()).await;
            if said.contains("\"leader\"") { Ok(()) } else { Err(said) }
        });
        leads.await.unwrap();
        master
    }

    pub fn data(&self, file: &str) -> String {
        self.dir.path().join("data").join(file).display().to_string()
    }

    /// Lets a node join, as its agent would.
    pub async fn join(&self, node: &str, vtep: &str) {
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
    pub fn file(&self, mode: &str, name: &str, text: &str) {
        use std::os::unix::fs::PermissionsExt;
        let path = self.dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text.replace("\\n", "\n") + "\n").unwrap();
        let mode = std::fs::Permissions::from_mode(u32::from_str_radix(mode, 8).unwrap());
        std::fs::set_permissions(path, mode).unwrap();
    }

    /// Runs netctl in a thread of its own, which it needs for its runtime, and gives the transcript.
    pub async fn netctl(&self, words: Vec<String>, stdin: String) -> String {
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
        let named = |w: &str| w == "--server" && words.iter().any(|w| w == "-netmaster");
        let own = |w: &String| words.contains(w) || named(w);
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
            crate::golden::transcript(
                &String::from_utf8(out).unwrap(),
                &String::from_utf8(err).unwrap(),
                status,
            )
        };
        let text = tokio::task::spawn_blocking(run).await.unwrap();
        self.stable(&text)
    }

    /// A command with `[DIR]` filled in.
    pub fn own(&self, command: &str) -> String {
        command.replace("[DIR]", &self.dir.path().display().to_string())
    }

    /// Without what differs from run to run.
    pub fn stable(&self, text: &str) -> String {
        let authority = self.server.trim_start_matches("https://");
        let text =
            text.replace(authority, "[SERVER]").replace(&self.dir.path().display().to_string(), "[DIR]");
        let mut lines = Vec::new();
        for line in text.lines() {
            let line = &without_times(line);
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

/// With `[TIME]` for every moment (RFC 3339, in UTC).
fn without_times(line: &str) -> String {
    let is_time = |w: &str| w.len() >= 20 && w.ends_with('Z') && w.as_bytes().get(10) == Some(&b'T');
    let word = |w: &str| if is_time(w) { "[TIME]".to_owned() } else { w.to_owned() };
    line.split(' ').map(word).collect::<Vec<_>>().join(" ")
}
