//! Asking: many questions at once, each tried a few times, whatever is expected of it.

use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};

use super::{Answer, Kind, Question, payload_mark};

/// How often a question is asked before its answer is silence. The first packets to a node unknown until now may be
/// lost while the tunnel's next hop is resolved.
const TRIES: usize = 3;
const TIMEOUT: Duration = Duration::from_millis(700);
/// At most this many at once: a packet socket's ring is small.
const PARALLEL: usize = 32;

/// As whom to ask.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The asking tenant, whose mark the packets carry.
    #[arg(long)]
    pub tenant: String,
}

/// Reads questions (JSON) on standard input and writes the answers, in the same order.
///
/// # Errors
/// When the input is not a list of questions.
pub fn run(args: &Args) -> Result<()> {
    let questions: Vec<Question> =
        serde_json::from_reader(std::io::stdin()).context("questions on standard input")?;
    let mark = String::from_utf8_lossy(&payload_mark(&args.tenant)).into_owned();
    println!("{}", serde_json::to_string(&ask_all(&questions, &mark))?);
    Ok(())
}

fn ask_all(questions: &[Question], mark: &str) -> Vec<Answer> {
    let mut answers = Vec::new();
    for part in questions.chunks(PARALLEL) {
        std::thread::scope(|scope| {
            let threads: Vec<_> = part.iter().map(|q| scope.spawn(move || ask(q, mark))).collect();
            answers.extend(threads.into_iter().map(|t| t.join().unwrap_or(Answer::Silence)));
        });
    }
    answers
}

fn ask(question: &Question, mark: &str) -> Answer {
    for _ in 0..TRIES {
        let answer = match question.kind {
            Kind::Ping => ping(question.target, mark),
            Kind::Tcp(port) => tcp(SocketAddr::new(question.target, port), mark),
            Kind::Udp(port) => udp(SocketAddr::new(question.target, port), mark),
        };
        if let Some(answer) = answer {
            return answer;
        }
    }
    Answer::Silence
}

fn ping(target: IpAddr, mark: &str) -> Option<Answer> {
    let timeout = format!("{:.1}", TIMEOUT.as_secs_f32());
    let pattern = hex::encode(mark.as_bytes());
    let mut command = Command::new("ping");
    command.args(["-n", "-q", "-c1", "-W", &timeout, "-p", &pattern, &target.to_string()]);
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.ok()?.success().then_some(Answer::Echo)
}

fn tcp(target: SocketAddr, mark: &str) -> Option<Answer> {
    let stream = TcpStream::connect_timeout(&target, TIMEOUT).ok()?;
    stream.set_read_timeout(Some(TIMEOUT)).ok()?;
    (&stream).write_all(format!("{mark}\n").as_bytes()).ok()?;
    let mut line = String::new();
    BufReader::new(&stream).read_line(&mut line).ok()?;
    from(&line, mark)
}

fn udp(target: SocketAddr, mark: &str) -> Option<Answer> {
    let any = if target.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any).ok()?;
    socket.set_read_timeout(Some(TIMEOUT)).ok()?;
    socket.connect(target).ok()?;
    socket.send(mark.as_bytes()).ok()?;
    let mut buffer = [0; 256];
    let len = socket.recv(&mut buffer).ok()?;
    from(&String::from_utf8_lossy(&buffer[..len]), mark)
}

/// The server's name, if this is an answer to what we sent.
fn from(answer: &str, mark: &str) -> Option<Answer> {
    let (identity, echoed) = answer.trim_end().split_once(' ')?;
    (echoed == mark).then(|| Answer::From(identity.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::serve;

    #[test]
    fn servers_answer_with_their_name_on_both_families() {
        let port = test_support::free_port().unwrap();
        let args = serve::Args { identity: "blue/db-1".into(), tcp: vec![port], udp: vec![port] };
        std::thread::spawn(move || serve::run(&args).unwrap());
        let questions: Vec<Question> = ["127.0.0.1", "::1"]
            .iter()
            .flat_map(|t| {
                [Kind::Tcp(port), Kind::Udp(port)].map(|kind| Question { target: t.parse().unwrap(), kind })
            })
            .collect();
        let all = vec![Answer::From("blue/db-1".into()); 4];
        test_support::wait_for_blocking("answers", Duration::from_secs(10), || {
            let answers = ask_all(&questions, "sv123456");
            if answers == all { Ok(()) } else { Err(format!("{answers:?}")) }
        })
        .unwrap();
    }

    #[test]
    fn closed_port_is_silence() {
        // tcpmux: nobody serves it, and no test is given it as a free port.
        let kind = Kind::Tcp(1);
        let question = Question { target: "127.0.0.1".parse().unwrap(), kind };
        assert_eq!(ask(&question, "sv123456"), Answer::Silence);
    }
}
