//! Flows as bytes, for those who keep very many of them: a [`FlowKey`] with its map of fields takes some 600 bytes, its
//! packed form some 50, and comparing two is comparing bytes.
//!
//! # Form
//! What goes over the wire, in groups of eight bytes without the zeros: half of it is padding and the unset bits of wide
//! fields. Before each group stands a byte that says which of the eight follow; the last group is filled up with zeros,
//! and how many bytes of it count is said first.
//! ```text
//!   key:      table  priority  squeezed fields
//!   actions:  squeezed instructions
//!   squeezed: length % 8  (mask  bytes)*          nothing at all for no bytes
//! ```
//!
//! # Invariants
//! Two keys (action lists) are equal exactly when their packed forms are: both are canonical, and what encodes decodes
//! to the same. The order of packed keys is by table, then priority.
//!
//! # Failure
//! Packing fails for what has no wire form ([`EncodeError`]); nothing is cut to fit.

use std::sync::Arc;

use super::cursor::{DecodeError, EncodeError, Reader, Writer};
use super::instruction::{put_instructions, read_instructions};
use super::oxm::{put_tlvs, read_tlvs};
use crate::{Action, FlowKey, Version};

/// The form: that of the newest version, which has every field and action.
const FORM: Version = Version::V1_5;

/// A [`FlowKey`], packed. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PackedKey(Arc<[u8]>);

/// A flow's actions, packed. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PackedActions(Arc<[u8]>);

impl PackedKey {
    /// Packs.
    ///
    /// # Errors
    /// When the match has no wire form.
    pub fn new(key: &FlowKey) -> Result<Self, EncodeError> {
        let mut fields = Vec::with_capacity(96);
        put_tlvs(&mut Writer::new(&mut fields, FORM), &key.matches)?;
        let mut bytes = Vec::with_capacity(96);
        let w = &mut Writer::new(&mut bytes, FORM);
        w.u8(key.table);
        w.u16(key.priority);
        squeeze(&fields, &mut bytes);
        Ok(Self(bytes.into()))
    }

    /// The key.
    ///
    /// # Errors
    /// Never for what [`PackedKey::new`] made.
    pub fn unpack(&self) -> Result<FlowKey, DecodeError> {
        let mut r = Reader::new(&self.0, "packed flow key");
        let (table, priority) = (r.u8()?, r.u16()?);
        let fields = expand(r)?;
        Ok(FlowKey { table, priority, matches: read_tlvs(Reader::new(&fields, "packed match"))? })
    }

    /// The table.
    pub fn table(&self) -> u8 {
        self.0.first().copied().unwrap_or(u8::MAX)
    }
}

impl PackedActions {
    /// Packs.
    ///
    /// # Errors
    /// When the actions have no wire form: too many for one flow, for instance.
    pub fn new(actions: &[Action]) -> Result<Self, EncodeError> {
        let mut instructions = Vec::with_capacity(256);
        put_instructions(&mut Writer::new(&mut instructions, FORM), actions)?;
        let mut bytes = Vec::with_capacity(256);
        squeeze(&instructions, &mut bytes);
        Ok(Self(bytes.into()))
    }

    /// How many bytes they take.
    #[allow(clippy::len_without_is_empty, reason = "no bytes: no actions, which is to drop")]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is another one that shares these bytes.
    pub fn is_shared(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }

    /// No actions: drop.
    pub fn drop_all() -> Self {
        Self(Arc::from([]))
    }

    /// The actions.
    ///
    /// # Errors
    /// Never for what [`PackedActions::new`] made.
    pub fn unpack(&self) -> Result<Vec<Action>, DecodeError> {
        let instructions = expand(Reader::new(&self.0, "packed actions"))?;
        read_instructions(Reader::new(&instructions, "packed instructions"))
    }
}

/// Bytes of a group: as many as a mask has bits.
const GROUP: usize = 8;

/// Appends bytes without their zeros.
fn squeeze(bytes: &[u8], out: &mut Vec<u8>) {
    if bytes.is_empty() {
        return;
    }
    out.push((bytes.len() % GROUP) as u8);
    for group in bytes.chunks(GROUP) {
        let mask =
            (0..).zip(group).filter(|(_, byte)| **byte != 0).fold(0u8, |mask, (bit, _)| mask | 1 << bit);
        out.push(mask);
        out.extend(group.iter().filter(|byte| **byte != 0));
    }
}

/// The bytes that were squeezed.
fn expand(mut from: Reader<'_>) -> Result<Vec<u8>, DecodeError> {
    let mut bytes = Vec::with_capacity(2 * from.len());
    if from.is_empty() {
        return Ok(bytes);
    }
    let last = usize::from(from.u8()?);
    while !from.is_empty() {
        let mask = from.u8()?;
        for bit in 0..GROUP {
            bytes.push(if mask >> bit & 1 == 1 { from.u8()? } else { 0 });
        }
    }
    // Nothing, when the last group is whole.
    let spare = GROUP.wrapping_sub(last) % GROUP;
    bytes.truncate(bytes.len().saturating_sub(spare));
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::{Field, Flow};

    #[test]
    fn what_is_packed_is_unpacked_and_equal_bytes_are_equal_flows() {
        let lines = [
            "table=3,priority=7,ip,nw_dst=10.0.0.0/8,reg0=0x1/0xf,reg1=5 actions=load:0x7->NXM_NX_REG3[0..15],resubmit(,4)",
            "table=3,priority=8,icmp6,icmp_type=135,icmp_code=0,nd_target=fd00::1 actions=drop",
            "table=254,priority=0 actions=ct(commit,zone=NXM_NX_REG0[0..15]),conjunction(1,1/2),output:3",
        ];
        let mut packed = Vec::new();
        for line in lines {
            let flow: Flow = line.parse().unwrap();
            let (key, actions) =
                (PackedKey::new(&flow.key()).unwrap(), PackedActions::new(&flow.actions).unwrap());
            assert_eq!(key.unpack().unwrap(), flow.key());
            assert_eq!(key.table(), flow.table);
            assert_eq!(actions.unpack().unwrap(), flow.actions);
            packed.push(key);
        }
        assert!(packed.is_sorted(), "by table, then priority");
        assert_eq!(PackedActions::drop_all(), PackedActions::new(&[]).unwrap());
    }

    proptest! {
        #[test]
        fn what_is_squeezed_expands_to_itself(bytes in vec(prop_oneof![Just(0u8), any::<u8>()], 0..40)) {
            let mut squeezed = Vec::new();
            squeeze(&bytes, &mut squeezed);
            prop_assert_eq!(expand(Reader::new(&squeezed, "test")).unwrap(), bytes);
        }

        #[test]
        fn bytes_that_nobody_squeezed_expand_to_some_or_none(bytes in vec(any::<u8>(), 0..40)) {
            let _ = expand(Reader::new(&bytes, "test"));
        }
    }

    #[test]
    fn zeros_take_no_room() {
        let answer: Flow =
            "table=9,priority=2,arp,metadata=0x6500000000/0xffffff00000000,arp_op=1,arp_tpa=10.0.1.7 \
            actions=move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[],set_field:0a:00:00:00:01:07->eth_src,\
            set_field:2->arp_op,set_field:10.0.1.7->arp_spa,IN_PORT"
                .parse()
                .unwrap();
        const HEAD: usize = 3;
        let (mut fields, mut instructions) = (Vec::new(), Vec::new());
        put_tlvs(&mut Writer::new(&mut fields, FORM), &answer.matches).unwrap();
        put_instructions(&mut Writer::new(&mut instructions, FORM), &answer.actions).unwrap();
        let (key, actions) =
            (PackedKey::new(&answer.key()).unwrap(), PackedActions::new(&answer.actions).unwrap());
        assert!(key.0.len() * 4 < (HEAD + fields.len()) * 3, "{} of {}", key.0.len(), fields.len());
        assert!(actions.len() * 3 < instructions.len() * 2, "{} of {}", actions.len(), instructions.len());
    }

    #[test]
    fn what_has_no_wire_form_is_refused() {
        let flow = Flow::new(0, 0, crate::Match::any().with(Field::InPort, u64::MAX));
        assert!(PackedKey::new(&flow.key()).is_err());
        assert!(PackedActions::new(&vec![Action::output(crate::Port(1)); 5000]).is_err());
    }
}
