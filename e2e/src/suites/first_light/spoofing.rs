//! The spoofing endpoint: whatever it says about who it is, nobody hears it; what honest endpoints need goes on working.

mod cast;
mod discovery;
mod honest;
mod lies;
mod neighbours;

use anyhow::Result;

use crate::lab::{Lab, Wanted};
use crate::suite::{Context, claim_none};
use crate::suites::intruder::{Batch, Seen, Watch, send};
use cast::Cast;
use honest::Honest;

/// How often honest frames are sent: the first to a node that was quiet may be lost.
const REPEATS: usize = 3;

pub(super) fn run(context: &mut Context) -> Result<()> {
    let lab = &mut context.lab;
    lab.attach(&[neighbour()?])?;
    let cast = Cast::new(lab)?;
    neighbours::configured(&cast.local)?;
    lab.wait_until_realized()?;
    // Claims about one capture: what comes first must not be what another defect breaks as well.
    let lies = lies::all(&cast);
    let end = spoof(lab, &cast, &lies)?;
    neighbours::arp_probes(lab, &cast, end)?;
    neighbours::resolution(&cast)?;
    neighbours::detection(&cast)
}

/// One more endpoint in the spoofing one's network, on its node.
fn neighbour() -> Result<Wanted> {
    Ok(Wanted {
        tenant: "blue".into(),
        name: "web-3".into(),
        network: "front".into(),
        group: Some("web".into()),
        node: 1,
        addresses: vec!["10.1.1.13".parse()?, "fd00:1:1::13".parse()?],
    })
}

/// Sends everything under one capture and states the claims; gives the first unused number.
fn spoof(lab: &Lab, cast: &Cast, lies: &Batch) -> Result<usize> {
    let (sent, companions) = lies.between_honest(lies.end(), |m| honest::companion(cast, m));
    let to_host = lies::to_the_host(cast, companions.end());
    let (sent_to_host, host_companions) =
        to_host.between_honest(to_host.end(), |m| honest::companion(cast, m));
    let honest = Honest::new(cast, host_companions.end());
    let watch = Watch::with_underlay(lab)?;
    send(lab, &cast.me.netns, &sent)?;
    send(lab, &cast.me.netns, &sent_to_host)?;
    for _ in 0..REPEATS {
        send(lab, &cast.me.netns, &honest.frames())?;
    }
    let seen = watch.stop()?;
    eprintln!("      {} lies, {} frames to the host", lies.len(), to_host.len());
    claim_none("spoofed-frames-arrive-nowhere", &lies.arrivals(&seen))?;
    let mut taken = to_host.arrivals(&seen);
    taken.extend(spoken_by_host(&seen, cast));
    claim_none("host-takes-nothing", &taken)?;
    claim_none("honest-frames-arrive", &honest.missing(&seen))?;
    let gaps = [companions.gaps(&seen, &cast.local.id), host_companions.gaps(&seen, &cast.local.id)].concat();
    claim_none("honest-frames-between-the-lies-arrive", &gaps)?;
    Ok(honest.end())
}

/// Frames that the node itself sent down the spoofing endpoint's cable.
fn spoken_by_host(seen: &Seen, cast: &Cast) -> Vec<String> {
    let from_host = seen.frames(&cast.me.id).iter().filter(|f| f.get(6..12) == Some(&cast.host_mac[..]));
    from_host.map(|f| format!("the node itself answered: {}", hex::encode(&f[..f.len().min(42)]))).collect()
}
