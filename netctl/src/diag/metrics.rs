//! Metrics of daemons: OpenMetrics text over plain HTTP, which names nodes and no tenants.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::Archive;
use super::redact::Redactor;

const PATIENCE: Duration = Duration::from_secs(5);
const LIMIT: u64 = 64 << 20;

/// Collects them from each address, HOST:PORT.
pub async fn collect(addresses: &[String], redactor: &Redactor, archive: &mut Archive) {
    for address in addresses {
        let text = tokio::time::timeout(PATIENCE, fetch(address)).await;
        let text = text.unwrap_or_else(|_| Err(format!("no answer within {} s", PATIENCE.as_secs())));
        let part = text.map(|text| redactor.lines(&text, allowed));
        // A part's name is a file's name.
        let name = address.replace(|c: char| !c.is_ascii_alphanumeric() && c != '.', "_");
        archive.take(&format!("metrics/{name}.txt"), part);
    }
}

/// Comments, and series of ours or of the process.
fn allowed(line: &str) -> bool {
    ["# ", "selvage_", "process_"].iter().any(|start| line.starts_with(start))
}

/// One request, HTTP/1.0: the answer ends with the connection (RFC 1945 section 7.2.2).
async fn fetch(address: &str) -> Result<String, String> {
    let mut stream = TcpStream::connect(address).await.map_err(|e| e.to_string())?;
    let request = format!("GET /metrics HTTP/1.0\r\nHost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.map_err(|e| e.to_string())?;
    let mut answer = Vec::new();
    stream.take(LIMIT).read_to_end(&mut answer).await.map_err(|e| e.to_string())?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("the answer is no HTTP")?;
    match head.split(' ').nth(1) {
        Some("200") => Ok(body.to_owned()),
        status => Err(format!("the answer is {}", status.unwrap_or("no HTTP"))),
    }
}
