//! Flows as bytes, for those who keep very many of them: a [`FlowKey`] with its map of fields takes some 600 bytes, its
//! packed form some 50, and comparing two is comparing bytes.
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
        let mut bytes = Vec::with_capacity(96);
        let w = &mut Writer::new(&mut bytes, FORM);
        w.u8(key.table);
        w.u16(key.priority);
        put_tlvs(w, &key.matches)?;
        Ok(Self(bytes.into()))
    }

    /// The key.
    ///
    /// # Errors
    /// Never for what [`PackedKey::new`] made.
    pub fn unpack(&self) -> Result<FlowKey, DecodeError> {
        let mut r = Reader::new(&self.0, "packed flow key");
        Ok(FlowKey { table: r.u8()?, priority: r.u16()?, matches: read_tlvs(r)? })
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
        let mut bytes = Vec::with_capacity(128);
        put_instructions(&mut Writer::new(&mut bytes, FORM), actions)?;
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
        read_instructions(Reader::new(&self.0, "packed actions"))
    }
}

#[cfg(test)]
mod tests {
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

    #[test]
    fn what_has_no_wire_form_is_refused() {
        let flow = Flow::new(0, 0, crate::Match::any().with(Field::InPort, u64::MAX));
        assert!(PackedKey::new(&flow.key()).is_err());
        assert!(PackedActions::new(&vec![Action::output(crate::Port(1)); 5000]).is_err());
    }
}
