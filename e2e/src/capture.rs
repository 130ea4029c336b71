//! Captures: what really crossed an interface, searched for tenants' payload marks.

use std::io::Read;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use test_support::wait_for_blocking;

use crate::lab::{Lab, MARK_VARIABLE, run};
use crate::probe::payload_mark;

/// UDP port of VXLAN, RFC 7348 section 5.
const VXLAN_PORT: u16 = 4789;

/// A capture that runs.
#[derive(Debug)]
pub struct Capture {
    what: String,
    child: Child,
    reader: JoinHandle<std::io::Result<Vec<u8>>>,
    log: PathBuf,
}

/// Which way frames cross the interface, seen from its namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Received.
    In,
    /// Both.
    Both,
}

impl Capture {
    /// Starts capturing; returns once the kernel delivers frames to it.
    ///
    /// # Errors
    /// When tcpdump does not start.
    pub fn start(lab: &Lab, netns: &str, interface: &str, way: Way) -> Result<Self> {
        let what = format!("{interface} of {netns}");
        let log = lab.dir().join(format!("capture-{netns}-{interface}.log"));
        let mut command = run::in_netns(netns, "tcpdump");
        // The buffer has a slot of the snapshot length for every frame: no frame of a lab is longer than 2 KiB.
        command.args([
            "-n",
            "-U",
            "--immediate-mode",
            "-s",
            "2048",
            "-B",
            "16384",
            "-w",
            "-",
            "-i",
            interface,
        ]);
        command.args(["-Q", if way == Way::In { "in" } else { "inout" }]);
        let mut child = start(command, lab, &log).with_context(|| format!("capture on {what}"))?;
        let mut out = child.stdout.take().context("tcpdump's output")?;
        let reader = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            out.read_to_end(&mut bytes).map(|_| bytes)
        });
        let capture = Self { what, child, reader, log };
        wait_for_blocking(&format!("the capture on {}", capture.what), Duration::from_secs(10), || {
            let text = std::fs::read_to_string(&capture.log).map_err(|e| e.to_string())?;
            if text.contains("listening on") { Ok(()) } else { Err(text) }
        })?;
        Ok(capture)
    }

    /// Ends the capture and gives its frames.
    ///
    /// # Errors
    /// When frames were lost on the way to tcpdump: then nothing can be said.
    pub fn stop(mut self) -> Result<Captured> {
        kill(Pid::from_raw(self.child.id().cast_signed()), Signal::SIGTERM)?;
        self.child.wait()?;
        let bytes = self.reader.join().map_err(|_| anyhow::anyhow!("the reader panicked"))??;
        let log = std::fs::read_to_string(&self.log)?;
        ensure!(
            log.contains("\n0 packets dropped by kernel"),
            "capture on {} is incomplete: {log}",
            self.what
        );
        let frames = parse(&bytes).with_context(|| format!("capture on {}", self.what))?;
        Ok(Captured { what: self.what, frames })
    }
}

fn start(mut command: Command, lab: &Lab, log: &PathBuf) -> Result<Child> {
    let log = std::fs::File::create(log)?;
    command.env(MARK_VARIABLE, lab.mark().as_str());
    Ok(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).spawn()?)
}

/// The frames of a capture.
#[derive(Clone, Debug)]
pub struct Captured {
    /// Where: `eth0 of NAMESPACE`.
    pub what: String,
    /// Whole Ethernet frames in order.
    pub frames: Vec<Vec<u8>>,
}

impl Captured {
    /// How many frames carry this tenant's mark.
    pub fn of(&self, tenant: &str) -> usize {
        self.frames.iter().filter(|f| has_mark(f, tenant)).count()
    }

    /// Frames with this tenant's mark that are not in VXLAN packets of these networks.
    pub fn outside_vnis(&self, tenant: &str, vnis: &[u32]) -> usize {
        let marked = self.frames.iter().filter(|f| has_mark(f, tenant));
        marked.filter(|f| !vni_of(f).is_some_and(|v| vnis.contains(&v))).count()
    }
}

fn has_mark(frame: &[u8], tenant: &str) -> bool {
    let mark = payload_mark(tenant);
    frame.windows(mark.len()).any(|w| w == mark)
}

/// The VXLAN network identifier of an IPv4 frame (RFC 7348 section 5), if it is VXLAN.
fn vni_of(frame: &[u8]) -> Option<u32> {
    const ETHERNET: usize = 14;
    let ip = frame.get(ETHERNET..)?;
    let udp = ip.get(usize::from(ip.first()? & 0x0f) * 4..)?;
    let is_udp_in_ipv4 = frame.get(12..14)? == [0x08, 0x00] && ip.get(9) == Some(&17);
    if !is_udp_in_ipv4 || udp.get(2..4)? != VXLAN_PORT.to_be_bytes() {
        return None;
    }
    let vni = udp.get(12..15)?;
    Some(u32::from_be_bytes([0, vni[0], vni[1], vni[2]]))
}

/// Reads a capture file (pcap-savefile(5)) of this machine's byte order.
fn parse(bytes: &[u8]) -> Result<Vec<Vec<u8>>> {
    const HEADER: usize = 24;
    const RECORD: usize = 16;
    if bytes.len() < HEADER || bytes[..4] != 0xa1b2_c3d4_u32.to_ne_bytes() {
        bail!("no capture file of {} bytes", bytes.len());
    }
    let mut frames = Vec::new();
    let mut rest = &bytes[HEADER..];
    while let Some(record) = rest.get(..RECORD) {
        let len = u32::from_ne_bytes([record[8], record[9], record[10], record[11]]) as usize;
        let frame = rest.get(RECORD..RECORD + len).context("the last record is cut off")?;
        frames.push(frame.to_vec());
        rest = &rest[RECORD + len..];
    }
    Ok(frames)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vxlan_frame(vni: u32, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![0; 12];
        frame.extend([0x08, 0x00, 0x45, 0, 0, 0, 0, 0, 0, 0, 64, 17, 0, 0]);
        frame.extend([192, 0, 2, 1, 192, 0, 2, 2]);
        frame.extend([0xc0, 0, 0x12, 0xb5, 0, 0, 0, 0, 8, 0, 0, 0]);
        frame.extend((vni << 8).to_be_bytes());
        frame.extend(payload);
        frame
    }

    #[test]
    fn marks_count_as_inside_only_in_their_own_networks() {
        let mark = payload_mark("blue");
        let frames =
            vec![vxlan_frame(7, &mark), vxlan_frame(8, &mark), mark.to_vec(), vxlan_frame(7, b"other")];
        let captured = Captured { what: String::new(), frames };
        assert_eq!(captured.of("blue"), 3);
        assert_eq!(captured.outside_vnis("blue", &[7]), 2);
        assert_eq!(captured.of("green"), 0);
    }

    #[test]
    fn cut_off_capture_is_an_error() {
        let mut file = 0xa1b2_c3d4_u32.to_ne_bytes().to_vec();
        file.resize(24, 0);
        assert_eq!(parse(&file).unwrap(), Vec::<Vec<u8>>::new());
        file.extend([0; 8]);
        file.extend(4_u32.to_ne_bytes());
        file.extend([0; 4]);
        assert!(parse(&file).is_err());
        file.extend([1, 2, 3, 4]);
        assert_eq!(parse(&file).unwrap(), [[1, 2, 3, 4]]);
    }
}
