//! The real `ovs-ofctl` as oracle: what bytes it makes of a text, what text of bytes.
//!
//! `ovs-ofctl` is pointed at a socket of ours where a stub of a switch says hello, answers barriers and keeps what
//! comes in. One process takes a whole file of flows, so a thousand flows cost some milliseconds.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::Command;
use std::thread;

use openflow::{FrameSplitter, Hello, Message, Version, decode, encode};

fn protocol(version: Version) -> &'static str {
    match version {
        Version::V1_4 => "OpenFlow14",
        Version::V1_5 => "OpenFlow15",
        _ => "OpenFlow13",
    }
}

/// What `ovs-ofctl COMMAND SWITCH FILE` sends, without the messages of the session.
pub fn sent(version: Version, command: &str, lines: &[String]) -> Result<Vec<Vec<u8>>, String> {
    let file = tempfile::NamedTempFile::new().expect("temp file");
    std::fs::write(file.path(), lines.join("\n")).expect("write");
    sent_with(version, command, file.path().to_str().expect("utf-8"))
}

/// What `ovs-ofctl COMMAND SWITCH ARGUMENT` sends.
pub fn sent_with(version: Version, command: &str, argument: &str) -> Result<Vec<Vec<u8>>, String> {
    let dir = tempfile::tempdir().expect("temp dir");
    let socket = dir.path().join("switch");
    let listener = UnixListener::bind(&socket).expect("bind");
    let mut child = Command::new("ovs-ofctl")
        .args(["-O", protocol(version), "--no-names", command])
        .arg(format!("unix:{}", socket.display()))
        .arg(argument)
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("ovs-ofctl must be installed");
    // It connects only after it has read the file, and not at all when it refuses a line.
    let serving = thread::spawn(move || {
        let stream = listener.accept().expect("accept").0;
        let mut frames = Vec::new();
        serve(stream, version, &mut frames);
        frames
    });
    let mut errors = String::new();
    child.stderr.take().expect("piped").read_to_string(&mut errors).expect("utf-8");
    let status = child.wait().expect("wait");
    if !status.success() {
        // Lets the thread go, should nobody have connected.
        drop(UnixStream::connect(&socket));
        return Err(errors);
    }
    Ok(serving.join().expect("the stub does not panic"))
}

fn serve(mut stream: UnixStream, version: Version, frames: &mut Vec<Vec<u8>>) {
    let mut answer = Vec::new();
    encode(version, 0, &Message::Hello(Hello::offering(&[version])), &mut answer).expect("encodes");
    let mut splitter = FrameSplitter::new();
    let mut buffer = [0; 65536];
    loop {
        if stream.write_all(&answer).is_err() {
            return;
        }
        answer.clear();
        match stream.read(&mut buffer) {
            Ok(n) if n > 0 => splitter.extend(&buffer[..n]),
            _ => return,
        }
        while let Some(frame) = splitter.next_frame().expect("frames of ovs-ofctl") {
            // By type: an oracle must not depend on what is tested.
            let xid = u32::from_be_bytes([frame[4], frame[5], frame[6], frame[7]]);
            match frame[1] {
                0 => {}
                20 => encode(version, xid, &Message::BarrierReply, &mut answer).expect("encodes"),
                _ => frames.push(frame.to_vec()),
            }
        }
    }
}

/// What `ovs-ofctl ofp-parse` prints of these messages, an entry for each, without its name and transaction id.
pub fn printed(frames: &[Vec<u8>]) -> Vec<String> {
    let file = tempfile::NamedTempFile::new().expect("temp file");
    std::fs::write(file.path(), frames.concat()).expect("write");
    let output = super::ofctl(&["--no-names", "ofp-parse", file.path().to_str().expect("utf-8")]);
    let mut entries: Vec<String> = Vec::new();
    for line in output.lines() {
        match line.split_once("(xid=").and_then(|(_, rest)| rest.split_once("):")) {
            Some((_, rest)) if line.starts_with("OFPT_") => entries.push(rest.trim().to_owned()),
            _ => {
                if let Some(last) = entries.last_mut() {
                    last.push('\n');
                    last.push_str(line.trim_end());
                }
            }
        }
    }
    entries
}

/// What we make of a frame of the oracle.
pub fn understood(frame: &[u8]) -> Message {
    decode(frame).expect("what ovs-ofctl sends decodes").1
}
