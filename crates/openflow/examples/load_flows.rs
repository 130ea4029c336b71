//! Loads a file of flows in ovs-ofctl(8) syntax into a bridge, in one bundle, reads them back, and prints how long
//! each step took: `load_flows BRIDGE.mgmt FILE`.

use std::collections::BTreeMap;
use std::time::Instant;

use openflow::driver::{Config, Connection};
use openflow::{Flow, FlowFilter, FlowKey, FlowMod};

type Error = Box<dyn std::error::Error>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let mut args = std::env::args().skip(1);
    let (Some(socket), Some(file)) = (args.next(), args.next()) else {
        return Err("usage: load_flows BRIDGE.mgmt FILE".into());
    };
    let start = Instant::now();
    let lines = std::fs::read_to_string(file)?;
    let flows = lines.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let flows: Vec<Flow> = flows.map(str::parse).collect::<Result<_, _>>()?;
    let desired: BTreeMap<FlowKey, &Flow> = flows.iter().map(|flow| (flow.key(), flow)).collect();
    println!("parsed {} flows in {:?}", flows.len(), start.elapsed());

    let (connection, _events) = Connection::open(socket, Config::default()).await?;
    let mods: Vec<FlowMod> = flows.iter().cloned().map(FlowMod::add).collect();
    let start = Instant::now();
    connection.bundle(&mods).await?;
    println!("installed in {:?}", start.elapsed());

    let start = Instant::now();
    let installed = connection.dump_flows(FlowFilter::all()).await?;
    let differ = |flow: &Flow| desired.get(&flow.key()).is_none_or(|wanted| *wanted != flow);
    let different = installed.iter().filter(|stats| differ(&stats.flow)).count();
    println!("read {} flows back in {:?}: {different} differ", installed.len(), start.elapsed());
    Ok(())
}
