//! Numbers that objects carry in the data plane: unique in the cluster, allocated by the store with the object.
//!
//! Their widths are those of the pipeline's registers and conntrack labels (docs/pipeline.md).

use crate::Invalid;
use crate::num::bounded_int;

bounded_int! {
    /// A tenant's address space: the VRF and, with the same number, its conntrack zone.
    /// 0 and 65280 upward are kept for NAT and the host.
    VrfId(u16), 1, 65279, "vrf id"
}
bounded_int! {
    /// An endpoint group's number: a bit of an address class.
    GroupId(u32), 1, 0xff_ffff, "group id"
}
bounded_int! {
    /// A policy's number; the upper 20 bits of its rules' [`RuleId`].
    PolicyId(u32), 1, 0xf_ffff, "policy id"
}
bounded_int! {
    /// A rule's place inside its policy, kept for the rule's life; the lower 12 bits of its [`RuleId`].
    RuleSlot(u16), 0, 4095, "rule slot"
}
bounded_int! {
    /// An endpoint's number, 48 bits: the object id in its flows' cookies. Random, never reused.
    EndpointUid(u64), 1, 0xffff_ffff_ffff, "endpoint uid"
}

bounded_int! {
    /// What a node's requests to attach carry: a node has one at a time, and one that carries another is refused.
    /// Random, never the same twice. Whoever takes a new one thereby makes void what it asked for before and had no
    /// answer to.
    FencingToken(u64), 1, u64::MAX, "fencing token"
}

/// A rule's number in registers and conntrack labels: policy (20 bits), slot (12 bits). Never 0, which means "no rule".
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuleId(PolicyId, RuleSlot);

impl RuleId {
    /// The smallest there is.
    pub const MIN: Self = Self(PolicyId::MIN, RuleSlot::MIN);
    /// The greatest.
    pub const MAX: Self = Self(PolicyId::MAX, RuleSlot::MAX);

    /// The rule in `slot` of `policy`.
    pub const fn new(policy: PolicyId, slot: RuleSlot) -> Self {
        Self(policy, slot)
    }

    /// The 32 bits as registers hold them.
    pub const fn get(self) -> u32 {
        self.0.get() << 12 | self.1.get() as u32
    }

    /// The owning policy.
    pub const fn policy(self) -> PolicyId {
        self.0
    }

    /// The place inside the policy.
    pub const fn slot(self) -> RuleSlot {
        self.1
    }

    /// Reads a register back; `None` for values no rule has.
    pub fn from_bits(bits: u32) -> Option<Self> {
        let policy = PolicyId::new(u64::from(bits >> 12)).ok()?;
        let slot = RuleSlot::new(u64::from(bits & 0xfff)).ok()?;
        Some(Self(policy, slot))
    }
}

impl std::fmt::Display for RuleId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:#x}", self.get())
    }
}

/// Identity of one store's history: made when the store is first written, different after restore or migration.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StoreId(String);

impl StoreId {
    /// Accepts 32 lower-case hexadecimal digits.
    ///
    /// # Errors
    /// [`Invalid`] for anything else.
    pub fn new(value: impl Into<String>) -> Result<Self, Invalid> {
        let value = value.into();
        let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if value.len() != 32 || !value.bytes().all(hex) {
            return Err(Invalid::new("store id", value, "must be 32 lower-case hexadecimal digits"));
        }
        Ok(Self(value))
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for StoreId {
    type Error = Invalid;
    fn try_from(value: String) -> Result<Self, Invalid> {
        Self::new(value)
    }
}

impl From<StoreId> for String {
    fn from(value: StoreId) -> Self {
        value.0
    }
}

impl std::fmt::Display for StoreId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}
