//! Asking: many questions at once, each tried a few times, whatever is expected of it.

use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};

use super::{Answer, Kind, Question, payload_mark};

/// At most this many at once: a packet socket's ring is small.
const PARALLEL: usize = 32;

/// As whom to ask.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The asking tenant, whose mark the packets carry.
    #[arg(long)]
    pub tenant: String,
    /// How often a question is asked before its answer is silence. The first packets to a node unknown until now may
    /// be lost while the tunnel's next hop is resolved.
    #[arg(long, default_value_t = 3)]
    pub tries: u32,
    /// How long each try waits.
    #[arg(long, default_value_t = 700)]
    pub timeout_ms: u64,
}

/// Reads questions (JSON) on standard input and writes the answers, in the same order.
///
/// # Errors
/// When the input is not a list of questions.
pub fn run(args: &Args) -> Result<()> {
    let questions: Vec<Question> =
        serde_json::from_reader(std::io::stdin()).context("questions on standard input")?;
    let mark = String::from_utf8_lossy(&payload_mark(&args.tenant)).into_owned();
    let asker = Asker { mark, tries: args.tries, timeout: Duration::from_millis(args.timeout_ms) };
    println!("{}", serde_json::to_string(&asker.ask_all(&questions))?);
    Ok(())
}

struct Asker {
    mark: String,
    tries: u32,
    timeout: Duration,
}

impl Asker {
    fn ask_all(&self, questions: &[Question]) -> Vec<Answer> {
        let mut answers = Vec::new();
        for part in questions.chunks(PARALLEL) {
            std::thread::scope(|scope| {
                let threads: Vec<_> = part.iter().map(|q| scope.spawn(move || self.ask(q))).collect();
                answers.extend(threads.into_iter().map(|t| t.join().unwrap_or(Answer::Silence)));
            });
        }
        answers
    }

    fn ask(&self, question: &Question) -> Answer {
        for _ in 0..self.tries {
            let answer = match question.kind {
                Kind::Ping => self.ping(question.target),
                Kind::Tcp(port) => self.tcp(SocketAddr::new(question.target, port)),
                Kind::Udp(port) => self.udp(SocketAddr::new(question.target, port)),
            };
            if let Some(answer) = answer {
                return answer;
            }
        }
        Answer::Silence
    }

    fn ping(&self, target: IpAddr) -> Option<Answer> {
        let timeout = format!("{:.1}", self.timeout.as_secs_f32());
        let pattern = hex::encode(self.mark.as_bytes());
        let mut command = Command::new("ping");
        command.args(["-n", "-q", "-c1", "-W", &timeout, "-p", &pattern, &target.to_string()]);
        let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
        status.ok()?.success().then_some(Answer::Echo)
    }

    fn tcp(&self, target: SocketAddr) -> Option<Answer> {
        let stream = TcpStream::connect_timeout(&target, self.timeout).ok()?;
        stream.set_read_timeout(Some(self.timeout)).ok()?;
        (&stream).write_all(format!("{}\n", self.mark).as_bytes()).ok()?;
        let mut line = String::new();
        BufReader::new(&stream).read_line(&mut line).ok()?;
        from(&line, &self.mark)
    }

    fn udp(&self, target: SocketAddr) -> Option<Answer> {
        let any = if target.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let socket = UdpSocket::bind(any).ok()?;
        socket.set_read_timeout(Some(self.timeout)).ok()?;
        socket.connect(target).ok()?;
        socket.send(self.mark.as_bytes()).ok()?;
        let mut buffer = [0; 256];
        let len = socket.recv(&mut buffer).ok()?;
        from(&String::from_utf8_lossy(&buffer[..len]), &self.mark)
    }
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

    fn asker() -> Asker {
        Asker { mark: "sv123456".to_owned(), tries: 1, timeout: Duration::from_millis(500) }
    }

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
            let answers = asker().ask_all(&questions);
            if answers == all { Ok(()) } else { Err(format!("{answers:?}")) }
        })
        .unwrap();
    }

    #[test]
    fn closed_port_is_silence() {
        // tcpmux: nobody serves it, and no test is given it as a free port.
        let kind = Kind::Tcp(1);
        let question = Question { target: "127.0.0.1".parse().unwrap(), kind };
        assert_eq!(asker().ask(&question), Answer::Silence);
    }
}
