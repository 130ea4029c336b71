//! Traffic while something happens: numbered flows, compared with the same flows while nothing happens.

use std::net::SocketAddr;
use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use test_support::wait_for_blocking;

use crate::lab::{Lab, MARK_VARIABLE};
use crate::probe::flow::Report;
use crate::suite::claim;

/// How often a comparison is repeated before a loss counts. The machine loses packets of its own now and then, at
/// random; what an event loses, it loses every time.
const ATTEMPTS: usize = 3;

/// Where a flow goes: from an endpoint to a port that an endpoint serves.
#[derive(Clone, Debug)]
pub struct Path {
    /// `tenant/name`.
    pub from: String,
    /// An address and UDP port.
    pub to: SocketAddr,
}

/// A flow that runs.
struct Flow {
    path: Path,
    child: Child,
}

impl Flow {
    fn start(lab: &Lab, path: &Path, seconds: u32) -> Result<Self> {
        let endpoint = lab.endpoint(&path.from)?;
        let mut command = endpoint.command(&lab.binaries().path("selvage-probe"));
        command.args(["flow", "--tenant", &endpoint.wanted.tenant, "--to", &path.to.to_string()]);
        command.args(["--seconds", &seconds.to_string()]).env(MARK_VARIABLE, lab.mark().as_str());
        let log = lab.dir().join(format!("flow-{}.log", path.from.replace('/', "-")));
        let stderr = std::fs::File::create(&log)?;
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(stderr).spawn()?;
        wait_for_blocking("the flow to start", Duration::from_secs(10), || {
            let text = std::fs::read_to_string(&log).map_err(|e| e.to_string())?;
            if text.contains("started") { Ok(()) } else { Err(text) }
        })?;
        Ok(Self { path: path.clone(), child })
    }

    fn finish(self) -> Result<(Path, Report)> {
        let out = self.child.wait_with_output()?;
        if !out.status.success() {
            bail!("the flow from {} ended with {}", self.path.from, out.status);
        }
        Ok((self.path, serde_json::from_slice(&out.stdout).context("report of a flow")?))
    }
}

/// Runs the flows for some seconds while `event` happens.
///
/// # Errors
/// When a flow cannot be run, or the event fails.
pub fn during(
    lab: &mut Lab,
    paths: &[Path],
    seconds: u32,
    event: impl FnOnce(&mut Lab) -> Result<()>,
) -> Result<Vec<(Path, Report)>> {
    let flows = paths.iter().map(|p| Flow::start(lab, p, seconds)).collect::<Result<Vec<_>>>()?;
    let done = event(lab);
    let reports = flows.into_iter().map(Flow::finish).collect::<Result<Vec<_>>>()?;
    done.map(|()| reports)
}

/// Claims that flows lose no more while `event` happens than while nothing happens.
///
/// # Errors
/// When they do, or a flow cannot be run.
pub fn claim_lossless(
    name: &'static str,
    lab: &mut Lab,
    paths: &[Path],
    seconds: u32,
    mut event: impl FnMut(&mut Lab) -> Result<()>,
) -> Result<()> {
    let mut seen = String::new();
    for _ in 0..ATTEMPTS {
        let control = during(lab, paths, seconds, |_| Ok(()))?;
        let tested = during(lab, paths, seconds, &mut event)?;
        let worse = tested.iter().zip(&control).filter(|((_, t), (_, c))| t.lost() > c.lost());
        seen = worse.map(|((path, t), (_, c))| described(path, t, c)).collect::<Vec<_>>().join("; ");
        if seen.is_empty() {
            return claim(name, Ok(()));
        }
    }
    claim(name, Err(seen))
}

fn described(path: &Path, tested: &Report, control: &Report) -> String {
    let lost = format!("{} of {} lost, {} in the control run", tested.lost(), tested.sent, control.lost());
    format!("{} -> {}: {lost}, at (ms) {:?}", path.from, path.to, tested.lost_ms)
}
