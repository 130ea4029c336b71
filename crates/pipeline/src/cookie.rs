//! Cookies: every flow names the object it exists for.
//!
//! ```text
//!  63      56 55      48 47                                              0
//! +----------+----------+-------------------------------------------------+
//! |  layout  |   kind   |                   object id                     |
//! +----------+----------+-------------------------------------------------+
//! ```
//! The layout byte is magic and version in one: a flow whose layout byte is not in [`Cookie::LAYOUTS`] is foreign and
//! left alone. A cookie carries no counter and no time: a restarted agent renders the same ones.

use std::fmt;

use types::{EndpointUid, GroupId, RuleId, Vni, VrfId};

use crate::classes::ClassId;

/// A flow's cookie.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cookie(u64);

/// What a flow exists for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Object {
    /// The pipeline itself.
    Pipeline,
    /// An endpoint.
    Endpoint(EndpointUid),
    /// A network.
    Network(Vni),
    /// A VRF.
    Vrf(VrfId),
    /// A policy rule.
    Rule(RuleId),
    /// A clause that several rules share: 48 bits of a hash of the flow's key. The rules are the conjunction ids in
    /// the flow's actions.
    Clause(u64),
    /// An address class.
    Class(ClassId),
    /// A group whose endpoints are denied because a policy of it cannot be enforced.
    DeniedGroup(GroupId),
}

const ID_BITS: u32 = 48;
const ID_MASK: u64 = (1 << ID_BITS) - 1;

impl Cookie {
    /// The layout written now.
    pub const LAYOUT: u8 = 0x5e;
    /// Layout bytes of this and earlier versions: flows we own.
    pub const LAYOUTS: [u8; 1] = [Self::LAYOUT];

    /// The cookie of an object.
    pub fn new(object: Object) -> Self {
        let (kind, id) = match object {
            Object::Pipeline => (0, 0),
            Object::Endpoint(uid) => (1, uid.get()),
            Object::Network(vni) => (2, u64::from(vni.get())),
            Object::Vrf(id) => (3, u64::from(id.get())),
            Object::Rule(id) => (4, u64::from(id.get())),
            Object::Clause(hash) => (5, hash & ID_MASK),
            Object::Class(id) => (6, u64::from(id.get())),
            Object::DeniedGroup(id) => (7, u64::from(id.get())),
        };
        Self(u64::from(Self::LAYOUT) << 56 | kind << ID_BITS | id)
    }

    /// Reads a cookie off a switch; any value is possible there.
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The 64 bits.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// Whether the flow is ours, of this or an earlier layout.
    pub fn is_ours(self) -> bool {
        Self::LAYOUTS.contains(&((self.0 >> 56) as u8))
    }

    /// The object, when the cookie has our present layout and makes sense.
    pub fn object(self) -> Option<Object> {
        if (self.0 >> 56) as u8 != Self::LAYOUT {
            return None;
        }
        let id = self.0 & ID_MASK;
        let object = match (self.0 >> ID_BITS) as u8 {
            0 => Object::Pipeline,
            1 => Object::Endpoint(EndpointUid::new(id).ok()?),
            2 => Object::Network(Vni::new(id).ok()?),
            3 => Object::Vrf(VrfId::new(id).ok()?),
            4 => Object::Rule(RuleId::from_bits(u32::try_from(id).ok()?)?),
            5 => Object::Clause(id),
            6 => Object::Class(ClassId::from_bits(u32::try_from(id).ok()?)?),
            7 => Object::DeniedGroup(GroupId::new(id).ok()?),
            _ => return None,
        };
        // One spelling only: an id with stray bits is not ours to explain.
        (Self::new(object) == self).then_some(object)
    }

    /// What the flow exists for, in words.
    pub fn explain(self) -> String {
        match self.object() {
            None if self.is_ours() => "a flow of another layout version".into(),
            None => "a foreign flow".into(),
            Some(Object::Pipeline) => "the pipeline itself".into(),
            Some(Object::Endpoint(uid)) => format!("endpoint/{:012x}", uid.get()),
            Some(Object::Network(vni)) => format!("network/{vni}"),
            Some(Object::Vrf(id)) => format!("vrf/{id}"),
            Some(Object::Rule(id)) => format!("policy/{} rule {}", id.policy(), id.slot()),
            Some(Object::Clause(hash)) => {
                format!("clause set {hash:012x}: the rules are the conjunction ids in its actions")
            }
            Some(Object::Class(id)) => format!("address class {id}"),
            Some(Object::DeniedGroup(id)) => {
                format!("group/{id}, denied because a policy of it is refused or missing")
            }
        }
    }
}

impl fmt::Display for Cookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

impl fmt::Debug for Cookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cookie({:#x}, {})", self.0, self.explain())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use types::{PolicyId, RuleSlot};

    fn objects() -> Vec<Object> {
        let rule = RuleId::new(PolicyId::MAX, RuleSlot::MAX);
        vec![
            Object::Pipeline,
            Object::Endpoint(EndpointUid::MAX),
            Object::Network(Vni::MAX),
            Object::Vrf(VrfId::MAX),
            Object::Rule(rule),
            Object::Clause(0xffff_ffff_ffff),
            Object::Class(ClassId::from_bits(u32::MAX).unwrap()),
            Object::DeniedGroup(GroupId::MAX),
        ]
    }

    #[test]
    fn names_its_object_and_is_read_back() {
        for object in objects() {
            let cookie = Cookie::new(object);
            assert!(cookie.is_ours());
            assert_eq!(Cookie::from_bits(cookie.get()).object(), Some(object), "{cookie:?}");
        }
    }

    #[test]
    fn knows_foreign_cookies_and_nonsense() {
        assert!(!Cookie::from_bits(0).is_ours());
        assert_eq!(Cookie::from_bits(0).explain(), "a foreign flow");
        let no_such_kind = Cookie::from_bits(u64::from(Cookie::LAYOUT) << 56 | 0xff << 48);
        assert!(no_such_kind.is_ours());
        assert_eq!(no_such_kind.object(), None);
        let stray_bits = Cookie::from_bits(Cookie::new(Object::Pipeline).get() | 1);
        assert_eq!(stray_bits.object(), None);
    }
}
