//! The full grid, with captures on every receiving interface and on the underlay.

use anyhow::Result;

use crate::lab::{Lab, run};
use crate::probe::{Answer, Kind, Question};
use crate::suite::{Context, claim_none};
use crate::wires::Wires;
use crate::{demo, grid};

pub(super) fn run_grid(context: &mut Context) -> Result<()> {
    let wires = Wires::tap(&context.lab)?;
    claim_grid(context)?;
    claim_none("host-never-answers", &ask_hosts(&context.lab)?)?;
    wires.untap()?.claim_apart(&context.lab)
}

/// Claims that everyone gets the answers that intent says.
fn claim_grid(context: &Context) -> Result<()> {
    let cells = grid::measure(&context.lab, &context.intent, &demo::KINDS)?;
    claim_none("grid-as-intended", &cells.iter().filter(|c| !c.holds()).collect::<Vec<_>>())
}

/// Endpoints ask their node's own addresses, through the gateway and then as if the node were a neighbour: a host
/// whose stack sees the frames would at least answer the ARP request. Answers are exceptions.
fn ask_hosts(lab: &Lab) -> Result<Vec<String>> {
    let mut answered = Vec::new();
    for endpoint in lab.endpoints.values() {
        let node = lab.node_of(endpoint)?;
        let target = node.vtep();
        let asked =
            || grid::ask_once(lab, &endpoint.id(), Question { target: target.into(), kind: Kind::Ping });
        let far = asked()?;
        let route =
            |verb: &str| run::words_in(&endpoint.netns, &format!("ip route {verb} {target}/32 dev eth0"));
        run::output(&mut route("add"))?;
        let near = asked()?;
        let neighbour = run::output(&mut run::words_in(&endpoint.netns, &format!("ip neigh show {target}")))?;
        run::output(&mut route("del"))?;
        if far != Answer::Silence || near != Answer::Silence || neighbour.contains("lladdr") {
            answered.push(format!("{} got an answer from {} itself ({neighbour})", endpoint.id(), node.name));
        }
    }
    Ok(answered)
}
