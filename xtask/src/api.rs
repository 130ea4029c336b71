//! `./dev api`: schemathesis asks a real netmaster whatever its OpenAPI document allows, and much that it does not.
//!
//! It must never get a 5xx, only answers the document describes, and a refused request must have stored nothing: the
//! whole store is read before and after every call (`e2e/api/hooks.py`). Pinned by `e2e/api/requirements.txt`, installed
//! once into `.lab/` by pip from the index it is configured for; the seed is fixed, so every run asks the same.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use e2e::lab::StoreKind;
use test_support::Etcd;

use crate::programs::{self, Build};
use crate::step::{run, step};

/// Named defects this suite must notice, and the check that is there to do it.
pub const SABOTAGES: &[(&str, &str)] = &[
    ("answer-500", "Server error"),
    ("answer-202", "Undocumented status code"),
    ("store-before-checks", "the store has changed"),
];
/// Checks of schemathesis that hold for every answer, and ours.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
                      response_schema_conformance,ignored_auth,refused_request_stores_nothing,refusal_is_a_problem";
const SEED: &str = "1";
const EXAMPLES: &str = "8";

/// `./dev api`.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct ApiArgs {
    /// On which store; both without it.
    #[arg(long, value_enum)]
    pub store: Option<StoreKind>,
    /// Switch a named defect on: the suite must notice. `all` runs each once.
    #[arg(long, value_name = "DEFECT")]
    pub sabotage: Option<String>,
}

/// Runs the suite; how many defects were caught.
pub fn suite(root: &Path, args: &ApiArgs) -> Result<usize> {
    let tool = install(root)?;
    let Some(wanted) = &args.sabotage else {
        let stores = args.store.map_or(vec![StoreKind::Sqlite, StoreKind::Etcd], |store| vec![store]);
        let programs = programs::build(root, Build::Plain)?;
        for store in stores {
            step(&format!("schemathesis, netmaster on {store:?}"), || {
                let (passed, output) = ask(root, &tool, &programs.path("netmaster"), store, None)?;
                ensure!(passed, "{output}\nnetmaster's answers are not what its document says");
                Ok(())
            })?;
        }
        return Ok(0);
    };
    let chosen: Vec<_> = SABOTAGES.iter().filter(|(d, _)| wanted == "all" || wanted == d).collect();
    ensure!(!chosen.is_empty(), "no such defect: {wanted}");
    let programs = programs::build(root, Build::Failpoints)?;
    for (defect, claim) in &chosen {
        step(&format!("schemathesis with the defect {defect}"), || {
            let store = args.store.unwrap_or(StoreKind::Sqlite);
            let (passed, output) = ask(root, &tool, &programs.path("netmaster"), store, Some(defect))?;
            ensure!(!passed, "the defect {defect} went unnoticed");
            ensure!(output.contains(claim), "{output}\nnot caught by {claim:?}");
            Ok(())
        })?;
    }
    Ok(chosen.len())
}

/// The tool, in an environment of its own.
fn install(root: &Path) -> Result<PathBuf> {
    let requirements = root.join("e2e/api/requirements.txt");
    let wanted = std::fs::read_to_string(&requirements).context("e2e/api/requirements.txt")?;
    let dir = root.join(".lab/schemathesis");
    let (tool, mark) = (dir.join("bin/schemathesis"), dir.join("installed"));
    if std::fs::read_to_string(&mark).is_ok_and(|installed| installed == wanted) && tool.exists() {
        return Ok(tool);
    }
    step("installing schemathesis into .lab/ (pip, from the index it is configured for)", || {
        drop(std::fs::remove_dir_all(&dir));
        let environment = run(Command::new("python3").args(["-m", "venv"]).arg(&dir));
        environment.context("python3 with its module venv is needed (Debian: python3-venv)")?;
        run(Command::new(dir.join("bin/pip")).args(["install", "-q", "-r"]).arg(&requirements))?;
        std::fs::write(&mark, &wanted).context("cannot note what is installed")
    })?;
    Ok(tool)
}

/// A netmaster of its own; killed when dropped.
struct Netmaster(Child);

impl Drop for Netmaster {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Whether everything was as it should be, and what schemathesis wrote.
fn ask(
    root: &Path,
    tool: &Path,
    netmaster: &Path,
    store: StoreKind,
    defect: Option<&str>,
) -> Result<(bool, String)> {
    let dir = tempfile::tempdir().context("a folder")?;
    let etcd = matches!(store, StoreKind::Etcd).then(Etcd::start).transpose()?;
    // Nothing may be stored but by requests: what is freed cools for longer than this runs.
    let mut command = Command::new(netmaster);
    command.args(["--listen", "127.0.0.1:0", "--node-listen", "127.0.0.1:0", "--metrics-listen", "off"]);
    command.args(["--cooling", "86400"]);
    command.arg("--data-dir").arg(dir.path()).env("RUST_LOG", "error").stderr(Stdio::null());
    let mut place = format!("sqlite:{}", dir.path().join("netmaster.db").display());
    if let Some(etcd) = &etcd {
        command.args(["--store", "etcd", "--etcd-endpoints", etcd.url()]);
        place = format!("etcd:{}", etcd.url());
    }
    if let Some(defect) = defect {
        command.env("FAILPOINTS", format!("{defect}=return"));
    }
    let mut netmaster = Netmaster(command.spawn().context("cannot start netmaster")?);
    let url = address(&mut netmaster, dir.path())?;
    let token = std::fs::read_to_string(dir.path().join("admin.token")).context("admin.token")?;
    let mut ask = Command::new(tool);
    ask.arg("run").arg(root.join("openapi/netmaster-v1.json")).args(["--url", &url]);
    ask.arg("--tls-verify").arg(dir.path().join("ca.crt"));
    // In the environment of a child, where others cannot read it, would be better; the tool takes it here only. It is
    // the token of a netmaster that lives as long as this command.
    ask.arg("--header").arg(format!("Authorization: Bearer {}", token.trim()));
    ask.args(["--checks", CHECKS, "--seed", SEED, "--max-examples", EXAMPLES, "--workers", "1"]);
    ask.args(["--phases", "examples,coverage,fuzzing,stateful", "--continue-on-failure", "--no-shrink"]);
    ask.args(["--request-timeout", "10", "--no-color", "--warnings", "off"]);
    ask.env("SELVAGE_STORE", place).env("SCHEMATHESIS_HOOKS", "hooks");
    ask.env("PYTHONPATH", root.join("e2e/api")).env("PYTHONDONTWRITEBYTECODE", "1").current_dir(dir.path());
    let output = ask.output().context("cannot run schemathesis")?;
    if let Some(status) = netmaster.0.try_wait()? {
        bail!("netmaster ended meanwhile: {status}");
    }
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok((output.status.success(), text + &String::from_utf8_lossy(&output.stderr)))
}

/// Where it serves, once it does.
fn address(netmaster: &mut Netmaster, dir: &Path) -> Result<String> {
    let file = dir.join("addresses.json");
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let mut text = String::new();
        let read = std::fs::File::open(&file).and_then(|mut f| f.read_to_string(&mut text));
        if read.is_ok() && !text.is_empty() {
            let json: serde_json::Value = serde_json::from_str(&text).context("addresses.json")?;
            return json["api"].as_str().map(str::to_owned).context("addresses.json names no api");
        }
        ensure!(netmaster.0.try_wait()?.is_none(), "netmaster ended at its start");
        ensure!(Instant::now() < deadline, "netmaster does not serve");
        std::thread::park_timeout(Duration::from_millis(50));
    }
}
