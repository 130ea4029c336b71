//! Servers in an endpoint: each answers with the endpoint's name and what it was sent.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use anyhow::{Context, Result};

/// Where and as whom to serve.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Who answers: `tenant/name`.
    #[arg(long)]
    pub identity: String,
    /// TCP ports to listen on.
    #[arg(long, value_delimiter = ',')]
    pub tcp: Vec<u16>,
    /// UDP ports to listen on.
    #[arg(long, value_delimiter = ',')]
    pub udp: Vec<u16>,
}

/// Serves until killed. Says `ready` on standard output once every port is open.
///
/// # Errors
/// When a port cannot be opened.
pub fn run(args: &Args) -> Result<()> {
    let mut threads = Vec::new();
    for port in &args.tcp {
        for address in both(*port) {
            let listener = TcpListener::bind(address).with_context(|| format!("listen on {address}"))?;
            let identity = args.identity.clone();
            threads.push(std::thread::spawn(move || tcp(&listener, &identity)));
        }
    }
    for port in &args.udp {
        for address in both(*port) {
            let socket = UdpSocket::bind(address).with_context(|| format!("bind {address}"))?;
            let identity = args.identity.clone();
            threads.push(std::thread::spawn(move || udp(&socket, &identity)));
        }
    }
    println!("ready");
    std::io::stdout().flush()?;
    for thread in threads {
        // They end only by a panic.
        let _ = thread.join();
    }
    Ok(())
}

/// The wildcard of each family. The standard library sets IPV6_V6ONLY nowhere, and Linux then lets `[::]` take IPv4
/// too; so IPv4 is served by `[::]` alone where that is the default.
fn both(port: u16) -> Vec<SocketAddr> {
    let dual = std::fs::read_to_string("/proc/sys/net/ipv6/bindv6only").is_ok_and(|t| t.trim() == "0");
    let v6 = SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
    if dual { vec![v6] } else { vec![v6, SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))] }
}

fn tcp(listener: &TcpListener, identity: &str) {
    for stream in listener.incoming().flatten() {
        let identity = identity.to_owned();
        std::thread::spawn(move || {
            // A client that goes away in between is its own business.
            let _ = tcp_client(&stream, &identity);
        });
    }
}

/// Answers line by line, so that a connection can be kept and used again later.
fn tcp_client(stream: &TcpStream, identity: &str) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(300)))?;
    for line in BufReader::new(stream).lines() {
        (&*stream).write_all(format!("{identity} {}\n", line?).as_bytes())?;
    }
    Ok(())
}

fn udp(socket: &UdpSocket, identity: &str) {
    let mut buffer = [0; 2048];
    loop {
        // Errors here are ICMP errors for earlier answers: the next question still deserves one.
        if let Ok((len, from)) = socket.recv_from(&mut buffer) {
            let mut answer = format!("{identity} ").into_bytes();
            answer.extend_from_slice(&buffer[..len]);
            let _ = socket.send_to(&answer, from);
        }
    }
}
