//! The whole of `run`: files, TLS, restart, end.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use netmaster::app::Quota;
use netmaster::{Config, Retention, StoreConfig, run};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

fn config(dir: &Path) -> Config {
    Config {
        data_dir: dir.to_owned(),
        store: StoreConfig::Sqlite,
        limits: None,
        listen: ([127, 0, 0, 1], 0).into(),
        node_listen: ([127, 0, 0, 1], 0).into(),
        metrics_listen: telemetry::Listen::At(([127, 0, 0, 1], 0).into()),
        names: vec!["m.example".into()],
        cooling: Duration::from_secs(60),
        audit_every: None,
        retention: Retention::default(),
        endpoints_per_node: Quota::default(),
    }
}

struct Running {
    stop: oneshot::Sender<()>,
    task: tokio::task::JoinHandle<anyhow::Result<()>>,
    address: String,
}

/// Tasks of a netmaster that has just ended may hold its store a moment longer.
async fn start(dir: &Path) -> Running {
    let started = test_support::wait_for("the store to be closed", Duration::from_secs(20), || attempt(dir));
    started.await.expect("starts")
}

async fn attempt(dir: &Path) -> Result<Running, String> {
    let file = dir.join("addresses.json");
    let _ = std::fs::remove_file(&file);
    let (stop, stopped) = oneshot::channel();
    let config = config(dir);
    let task = tokio::spawn(async move { run(config, async { drop(stopped.await) }).await });
    let address = test_support::wait_for("netmaster to serve", Duration::from_secs(20), || async {
        if task.is_finished() {
            return Ok(None);
        }
        let text = std::fs::read_to_string(&file).map_err(|e| e.to_string())?;
        let json: serde_json::Value = serde_json::from_str(&text).map_err(|e| e.to_string())?;
        let api = json["api"].as_str().ok_or("no api")?;
        Ok::<_, String>(Some(api.trim_start_matches("https://").to_owned()))
    });
    match address.await.expect("serves") {
        Some(address) => Ok(Running { stop, task, address }),
        None => {
            let ended = format!("{:#}", task.await.expect("no panic").expect_err("nobody stopped it"));
            assert!(ended.contains("in use"), "{ended}");
            Err(ended)
        }
    }
}

impl Running {
    async fn end(self) {
        self.stop.send(()).expect("runs");
        self.task.await.expect("no panic").expect("clean end");
    }
}

/// One HTTPS request with the CA pinned, in plain HTTP/1.1.
async fn get(
    dir: &Path,
    address: &str,
    name: &str,
    path: &str,
    token: &str,
) -> Result<String, std::io::Error> {
    let mut roots = RootCertStore::empty();
    let ca = CertificateDer::from_pem_file(dir.join("ca.crt")).expect("ca.crt");
    roots.add(ca).expect("a CA");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().expect("tls");
    let tls = tls.with_root_certificates(roots).with_no_client_auth();
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from(name.to_owned()).expect("name");
    let mut stream = tokio_rustls::TlsConnector::from(Arc::new(tls)).connect(name, stream).await?;
    let request = format!(
        "GET {path} HTTP/1.1\r\nhost: m\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn first_start_restart_and_end() {
    use std::os::unix::fs::PermissionsExt;
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("data");
    let running = start(&dir).await;
    let mode = |name: &str| std::fs::metadata(dir.join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!(
        [mode(""), mode("admin.token"), mode("netmaster.db"), mode("ca.crt")],
        [0o700, 0o600, 0o600, 0o644]
    );
    let token = std::fs::read_to_string(dir.join("admin.token")).unwrap().trim().to_owned();

    for name in ["127.0.0.1", "localhost", "m.example"] {
        let answer = get(&dir, &running.address, name, "/api/v1/tenants/default", &token).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{name}: {answer}");
    }
    assert!(
        get(&dir, &running.address, "other.example", "/readyz", &token).await.is_err(),
        "certificate is checked"
    );
    let answer = get(&dir, &running.address, "localhost", "/api/v1/tenants", "bootstrap.x").await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 401") && answer.contains("www-authenticate: Bearer"), "{answer}");
    running.end().await;

    // The second start keeps CA and credential.
    let ca = std::fs::read(dir.join("ca.crt")).unwrap();
    let running = start(&dir).await;
    assert_eq!(std::fs::read(dir.join("ca.crt")).unwrap(), ca);
    let answer = get(&dir, &running.address, "localhost", "/api/v1/status", &token).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    running.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_client_delays_nobody() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("data");
    let running = start(&dir).await;
    let silent: Vec<TcpStream> =
        futures_util::future::join_all((0..20).map(|_| TcpStream::connect(&running.address)))
            .await
            .into_iter()
            .map(|c| c.expect("connects"))
            .collect();
    let answer = tokio::time::timeout(
        Duration::from_secs(5),
        get(&dir, &running.address, "localhost", "/readyz", "x"),
    );
    assert!(answer.await.expect("in time").unwrap().starts_with("HTTP/1.1 200"));
    drop(silent);
    running.end().await;
}

/// What Prometheus would read.
async fn scrape(dir: &Path) -> String {
    let json: serde_json::Value =
        serde_json::from_slice(&std::fs::read(dir.join("addresses.json")).expect("addresses")).expect("json");
    let url = json["metrics"].as_str().expect("metrics are served");
    let address = url.trim_start_matches("http://").trim_end_matches("/metrics");
    let mut stream = TcpStream::connect(address).await.expect("connects");
    stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: m\r\nconnection: close\r\n\r\n").await.expect("asked");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("answered");
    answer
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_count_requests_by_template_and_name_no_tenant() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("data");
    let running = start(&dir).await;
    let token = std::fs::read_to_string(dir.join("admin.token")).unwrap().trim().to_owned();
    for path in ["/api/v1/tenants/default", "/api/v1/tenants/default", "/made/up/path"] {
        get(&dir, &running.address, "localhost", path, &token).await.unwrap();
    }
    let text = scrape(&dir).await;
    for line in [
        "selvage_netmaster_store_up 1",
        "selvage_netmaster_objects{kind=\"tenant\"} 1",
        "selvage_netmaster_http_requests_total{method=\"GET\",route=\"/api/v1/tenants/{tenant}\",status=\"200\"} 2",
        "selvage_netmaster_http_requests_total{method=\"other\",route=\"other\",status=\"404\"} 1",
    ] {
        assert!(text.lines().any(|l| l == line), "no {line} in\n{text}");
    }
    let commits = text
        .lines()
        .find(|l| l.starts_with("selvage_netmaster_store_calls_total{call=\"txn\",outcome=\"ok\"}"));
    assert!(commits.is_some_and(|l| !l.ends_with(" 0")), "{text}");
    assert!(!text.contains("default") && !text.contains("made"), "{text}");
    running.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restored_store_gets_a_new_id_on_request() {
    let dir = tempfile::tempdir().unwrap();
    // Tasks of sessions that have just ended may hold the store a moment longer.
    let id = async || {
        let opened = test_support::wait_for("the store to be closed", Duration::from_secs(10), || async {
            store::sqlite(&dir.path().join("netmaster.db")).await.map_err(|e| e.to_string())
        });
        opened.await.expect("store").store_id().clone()
    };
    let running = start(dir.path()).await;
    let refused = netmaster::renew_store_id(&config(dir.path())).await.err().map(|e| format!("{e:#}"));
    assert!(refused.is_some_and(|e| e.contains("in use")), "it is being served from");
    running.end().await;
    let before = id().await;
    let renewed = netmaster::renew_store_id(&config(dir.path())).await.unwrap();
    assert_ne!(renewed, before);
    // What a start finds from now on.
    start(dir.path()).await.end().await;
    assert_eq!(id().await, renewed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_admin_token_is_replaced_and_the_old_one_opens_nothing() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("data");
    let nowhere = netmaster::reissue_admin_token(&config(&dir)).await.err().map(|e| format!("{e:#}"));
    assert!(nowhere.is_some_and(|e| e.contains("is --data-dir the one of netmaster?")));
    assert!(!dir.exists(), "and nothing was made");
    let running = start(&dir).await;
    let token = || std::fs::read_to_string(dir.join("admin.token")).unwrap().trim().to_owned();
    let lost = token();
    let refused = netmaster::reissue_admin_token(&config(&dir)).await.err().map(|e| format!("{e:#}"));
    assert!(refused.is_some_and(|e| e.contains("in use")), "it is being served from");
    assert_eq!(token(), lost);
    running.end().await;

    let done = test_support::wait_for("the store to be closed", Duration::from_secs(10), || async {
        netmaster::reissue_admin_token(&config(&dir)).await.map_err(|e| format!("{e:#}"))
    });
    assert_eq!(done.await.unwrap(), (dir.join("admin.token"), 1));
    let running = start(&dir).await;
    for (token, status) in [(token(), "HTTP/1.1 200"), (lost, "HTTP/1.1 401")] {
        let answer = get(&dir, &running.address, "localhost", "/api/v1/tenants", &token).await.unwrap();
        assert!(answer.starts_with(status), "{answer}");
    }
    running.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn admin_token_is_in_its_file_only_and_not_in_what_the_command_says() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("data");
    start(&dir).await.end().await;
    let said = test_support::wait_for("the store to be closed", Duration::from_secs(10), || async {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_netmaster"));
        command.arg("--data-dir").arg(&dir).arg("admin-token").env("RUST_LOG", "trace");
        let output = command.output().await.map_err(|e| e.to_string())?;
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        if output.status.success() { Ok(said) } else { Err(said) }
    });
    let said = said.await.unwrap();
    let token = std::fs::read_to_string(dir.join("admin.token")).unwrap();
    let secret = token.trim().split_once('.').unwrap().1;
    assert!(said.contains("admin.token") && !said.contains(secret), "{said}");
}
