//! The plugin a container runtime executes: a courier between the runtime and the agent.
//!
//! Synchronous and small: it is started once per container and verb. It decides nothing; when the agent is away, DEL
//! is journalled and the interface removed, so that the runtime can let go of the container, and everything else fails.

use std::fs::File;
use std::io::{self, Read, Write};
use std::process::ExitCode;
use std::time::Duration;

use cni::{
    CniError, Code, Invocation, MAX_MESSAGE, Parameters, Reply, Request, Verb, VersionResult, journal,
};
use nix::sched::{CloneFlags, setns};

/// ADD waits for netmaster, the switch and duplicate address detection, each bounded in the agent.
const DEADLINE: Duration = Duration::from_secs(60);

const HELP: &str = "selvage-cni: CNI plugin of Selvage. A container runtime starts it with CNI_COMMAND (ADD, DEL, CHECK,
STATUS, GC, VERSION), CNI_CONTAINERID, CNI_NETNS and CNI_IFNAME in the environment and this on standard input:

  {\"cniVersion\": \"1.1.0\", \"name\": \"selvage\", \"type\": \"selvage-cni\",
   \"socket\": \"/run/selvage/cni.sock\", \"tenant\": \"blue\", \"network\": \"web\", \"group\": \"web\"}

CNI_ARGS may override per container: SELVAGE_TENANT, SELVAGE_NETWORK, SELVAGE_GROUP, SELVAGE_ENDPOINT, SELVAGE_IPV4,
SELVAGE_IPV6; other keys need IgnoreUnknown=1.

Example:
  CNI_COMMAND=ADD CNI_CONTAINERID=web-1 CNI_IFNAME=eth0 CNI_NETNS=/run/netns/web-1 selvage-cni < selvage.conf
";

fn main() -> ExitCode {
    if std::env::args().nth(1).is_some_and(|arg| arg == "--help" || arg == "-h") {
        return print(HELP.as_bytes(), ExitCode::SUCCESS);
    }
    match run() {
        Ok(output) => print(&output, ExitCode::SUCCESS),
        Err(error) => print(&serde_json::to_vec_pretty(&error).unwrap_or_default(), ExitCode::FAILURE),
    }
}

/// A runtime that closed our standard output cannot be told anything.
fn print(output: &[u8], code: ExitCode) -> ExitCode {
    let written = io::stdout().write_all(output).and_then(|()| io::stdout().flush());
    if written.is_ok() { code } else { ExitCode::FAILURE }
}

fn run() -> Result<Vec<u8>, CniError> {
    let env = |key: &str| std::env::var(key).ok();
    let version = env("CNI_COMMAND").as_deref() == Some("VERSION");
    // VERSION may come without a configuration, and with an open terminal.
    let stdin = if version { Vec::new() } else { read_stdin()? };
    match Invocation::parse(&env, &stdin)? {
        Invocation::Version => encode(&VersionResult::default()),
        Invocation::Ask(request, parameters) => {
            ask(&request, &parameters).map_err(|e| e.for_version(&request.cni_version))
        }
    }
}

fn read_stdin() -> Result<Vec<u8>, CniError> {
    let mut stdin = Vec::new();
    let read = io::stdin().take(MAX_MESSAGE).read_to_end(&mut stdin);
    read.map_err(|e| CniError::new(Code::Io, "cannot read the configuration", e))?;
    Ok(stdin)
}

fn ask(request: &Request, parameters: &Parameters) -> Result<Vec<u8>, CniError> {
    match cni::call(&parameters.socket, request, DEADLINE) {
        Ok(Reply::Added(result)) => encode(&result.for_version(&request.cni_version)),
        Ok(Reply::Done) => Ok(Vec::new()),
        Ok(Reply::Failed(error)) => Err(error),
        Err(e) if request.verb == Verb::Del => delete_later(request, parameters, &e).map(|()| Vec::new()),
        Err(e) => {
            let code = if request.verb == Verb::Status { Code::NotAvailable } else { Code::TryAgainLater };
            let details = format!("{}: {e}", parameters.socket.display());
            Err(CniError::new(code, "the agent does not answer", details))
        }
    }
}

/// The agent is away, or went away while it was at it. Deleting twice is harmless, forgetting is not.
fn delete_later(request: &Request, parameters: &Parameters, why: &io::Error) -> Result<(), CniError> {
    journal::record(&parameters.journal_dir, request).map_err(|e| {
        let details = format!("{}: {e}; the agent does not answer: {why}", parameters.journal_dir.display());
        CniError::new(Code::TryAgainLater, "cannot journal the deletion", details)
    })?;
    // Best effort: with the interface gone the container can neither send nor receive; the agent does the rest.
    let _ = delete_interface(request);
    Ok(())
}

/// This process has one thread: it may change its own namespace, as its last act.
fn delete_interface(request: &Request) -> io::Result<()> {
    if let (Some(netns), Some(attachment)) = (&request.netns, &request.attachment) {
        setns(File::open(netns)?, CloneFlags::CLONE_NEWNET)?;
        netplugin::netlink::raw::delete_link(&attachment.ifname)?;
    }
    Ok(())
}

fn encode(value: &impl serde::Serialize) -> Result<Vec<u8>, CniError> {
    serde_json::to_vec_pretty(value).map_err(|e| CniError::new(Code::Io, "cannot write the result", e))
}
