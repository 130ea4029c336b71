//! Which generation flows judge endpoints by, read from the flows.

use node_state::Endpoint;
use openflow::{Action, Field};
use pipeline::{FlowSet, fields};

/// The generation of the group an endpoint is in, or of those in none; 0 when it is not local.
pub fn generation(flows: &FlowSet, endpoint: &Endpoint) -> u32 {
    let table = pipeline::tables().into_iter().find(|t| t.name == "SenderState").unwrap().number;
    let bits = |m: openflow::Masked, bits: openflow::SubField| (m.value & bits.mask()) >> bits.offset();
    let (vrf, group) = (u128::from(endpoint.vrf.get()), endpoint.group.map_or(0, |g| u128::from(g.get())));
    let found = flows.iter().filter(|(key, _)| key.table == table).find_map(|(key, entry)| {
        let of_vrf = bits(key.matches.get(Field::Metadata)?, fields::VRF) == vrf;
        let of_group = bits(key.matches.get(fields::SENDER_GROUP.field())?, fields::SENDER_GROUP) == group;
        let loads = |a: &Action| match a {
            Action::SetField(set) if set.field() == fields::SOURCE_GENERATION.field() => {
                Some(set.value() as u32)
            }
            _ => None,
        };
        entry.actions.iter().find_map(loads).filter(|_| of_vrf && of_group)
    });
    found.unwrap_or(0)
}

/// The label of a connection that was judged by what these flows say, between these ends.
pub fn label(flows: &FlowSet, source: &Endpoint, destination: Option<&Endpoint>) -> u128 {
    let (s, d) = (fields::LABEL_SOURCE_GENERATION, fields::LABEL_DESTINATION_GENERATION);
    let of = |e: &Endpoint| u128::from(generation(flows, e));
    of(source) << s.offset() | destination.map_or(0, of) << d.offset()
}
