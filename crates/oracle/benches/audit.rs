//! What an audit costs: two tenants on two nodes, four groups each, every one with a policy of two rules.
//!
//! The flows are those the product makes of the same intent, read back from text. Nothing is asserted about time; the run
//! fails when they disagree with intent.
//!
//! `cargo bench -p selvage-oracle --bench audit -- [--endpoints 100,1000] [--json]`
#![allow(clippy::unwrap_used, clippy::panic, reason = "a benchmark")]

#[path = "../tests/support/mod.rs"]
mod support;

use std::time::Instant;

use anyhow::{Result, ensure};
use clap::Parser;
use serde_json::json;
use support::{audited, many, product, view};

#[derive(Parser)]
struct Args {
    /// Endpoints of each run.
    #[arg(long, value_delimiter = ',', default_values_t = [100, 1000])]
    endpoints: Vec<usize>,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
    /// Handed over by `cargo bench`.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<()> {
    let args = Args::parse();
    for endpoints in args.endpoints {
        let view = view(many(endpoints));
        let sites = product::sites(&product::tables(&view));
        let flows: usize = sites.iter().map(|s| s.switch.flows().len()).sum();
        let start = Instant::now();
        let report = audited(&view, sites);
        let took = start.elapsed();
        ensure!(report.disagreements.is_empty(), "{report}");
        let packets = report.packets;
        if args.json {
            let millis = took.as_millis() as u64;
            println!(
                "{}",
                json!({"bench": "audit", "endpoints": endpoints, "flows": flows, "packets": packets, "ms": millis})
            );
        } else {
            println!("{endpoints} endpoints, {flows} flows: {packets} packets in {took:.2?}");
        }
    }
    Ok(())
}
