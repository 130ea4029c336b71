//! `selvage-probe`: runs inside endpoints. See `e2e::probe`.

use clap::Parser;
use e2e::probe::{ask, blast, flow, frames, hold, rate, serve};

#[derive(Parser)]
#[command(name = "selvage-probe", about = "Servers, probes and frames for lab endpoints")]
enum Command {
    /// Serve TCP and UDP; every answer names the endpoint.
    Serve(serve::Args),
    /// Ask the questions on standard input (JSON).
    Ask(ask::Args),
    /// Send datagrams until killed, whether anybody gets them or not.
    Blast(blast::Args),
    /// Send a numbered flow and report its losses.
    Flow(flow::Args),
    /// Keep a connection, and say when it goes on.
    Hold(hold::Hold),
    /// Serve a stream of datagrams.
    Stream(hold::Stream),
    /// Send as much as is said.
    Pour(rate::Pour),
    /// Count what comes.
    Drain(rate::Drain),
    /// Send raw frames (hexadecimal lines on standard input).
    Frames(frames::Args),
}

fn main() -> anyhow::Result<()> {
    match Command::parse() {
        Command::Serve(args) => serve::run(&args),
        Command::Ask(args) => ask::run(&args),
        Command::Blast(args) => blast::run(&args),
        Command::Flow(args) => flow::run(&args),
        Command::Hold(args) => hold::hold(&args),
        Command::Stream(args) => hold::stream(&args),
        Command::Pour(args) => rate::pour(&args),
        Command::Drain(args) => rate::drain(&args),
        Command::Frames(args) => frames::run(&args),
    }
}
