//! Every key parses to what it was made of, and no range holds keys of another kind.

use proptest::prelude::*;

use super::*;
use crate::change::Timestamp;

fn name() -> impl Strategy<Value = Name> {
    "[a-z0-9]{1,2}(-[a-z0-9]{1,2}){0,2}".prop_map(|s| Name::new(s).unwrap())
}

fn object() -> impl Strategy<Value = ObjectKey> {
    let dotted = "[a-z0-9]{1,3}(\\.[a-z0-9]{1,3}){0,2}";
    prop_oneof![
        name().prop_map(ObjectKey::Tenant),
        (name(), name()).prop_map(|(tenant, name)| ObjectKey::Network { tenant, name }),
        (name(), name()).prop_map(|(tenant, name)| ObjectKey::Group { tenant, name }),
        (name(), name()).prop_map(|(tenant, name)| ObjectKey::NetProfile { tenant, name }),
        (name(), name()).prop_map(|(tenant, name)| ObjectKey::Policy { tenant, name }),
        (name(), dotted)
            .prop_map(|(tenant, n)| ObjectKey::Endpoint { tenant, name: EndpointName::new(n).unwrap() }),
        dotted.prop_map(|n| ObjectKey::Node(NodeName::new(n).unwrap())),
    ]
}

fn slot() -> impl Strategy<Value = Slot> {
    let vrf = (1_u64..=65279).prop_map(|n| VrfId::new(n).unwrap());
    prop_oneof![
        vrf.clone().prop_map(Slot::Vrf),
        (1_u64..=0xff_ffff).prop_map(|n| Slot::Vni(Vni::new(n).unwrap())),
        (1_u64..=0xff_ffff).prop_map(|n| Slot::Group(GroupId::new(n).unwrap())),
        (1_u64..=0xf_ffff).prop_map(|n| Slot::Policy(PolicyId::new(n).unwrap())),
        (1_u64..=0xffff_ffff_ffff).prop_map(|n| Slot::Endpoint(EndpointUid::new(n).unwrap())),
        (vrf.clone(), any::<Ipv4Addr>()).prop_map(|(v, a)| Slot::Address(v, a.into())),
        (vrf, any::<Ipv6Addr>()).prop_map(|(v, a)| Slot::Address(v, a.into())),
    ]
}

fn entry() -> impl Strategy<Value = Entry> {
    prop_oneof![
        Just(Entry::StoreId),
        Just(Entry::Schema),
        Just(Entry::Leader),
        object().prop_map(Entry::Object),
        slot().prop_map(Entry::Allocation),
        (object(), object()).prop_map(|(object, user)| Entry::Reference { object, user }),
        any::<u64>().prop_map(|n| {
            Entry::Change(ChangeId::new(&Timestamp::new("2026-05-04T03:02:01.123Z").unwrap(), n))
        }),
        name().prop_map(Entry::CaSecret),
        name().prop_map(Entry::JoinToken),
        name().prop_map(Entry::AdminToken),
        "[0-9a-f]{64}".prop_map(|d| Entry::RevokedKey(KeyDigest::new(&d).unwrap())),
    ]
}

/// Every prefix a caller can make that is meant to hold this entry.
fn own_prefixes(entry: &Entry) -> Vec<Prefix> {
    let mut own = vec![Prefix::everything()];
    match entry {
        Entry::Object(object) => {
            own.push(object.range());
            own.extend(match object {
                ObjectKey::Network { .. } => Some(Prefix::all(TenantObject::Network)),
                ObjectKey::Group { .. } => Some(Prefix::all(TenantObject::Group)),
                ObjectKey::NetProfile { .. } => Some(Prefix::all(TenantObject::NetProfile)),
                ObjectKey::Policy { .. } => Some(Prefix::all(TenantObject::Policy)),
                ObjectKey::Endpoint { .. } => Some(Prefix::all(TenantObject::Endpoint)),
                ObjectKey::Tenant(_) | ObjectKey::Node(_) => None,
            });
        }
        Entry::Allocation(slot) => own.push(Prefix::allocations(slot.space())),
        Entry::Reference { object, .. } => own.push(Prefix::references_to(object)),
        Entry::Change(_) => own.push(Prefix::changes()),
        Entry::CaSecret(_) => own.push(Prefix::ca_secrets()),
        Entry::JoinToken(_) => own.push(Prefix::join_tokens()),
        Entry::AdminToken(_) => own.push(Prefix::admin_tokens()),
        Entry::RevokedKey(_) => own.push(Prefix::revoked_keys()),
        Entry::StoreId | Entry::Schema | Entry::Leader => {}
    }
    own
}

proptest! {
    #[test]
    fn parse_inverts_key(entry in entry()) {
        let key = entry.key();
        prop_assert_eq!(Entry::parse(&key).unwrap(), entry);
        prop_assert_eq!(Key::from_stored(key.as_str().as_bytes()).unwrap(), key);
    }

    #[test]
    fn a_prefix_holds_its_own_kind_and_no_other(mine in entry(), other in entry()) {
        for prefix in own_prefixes(&mine) {
            let (start, end) = prefix.bounds();
            for key in [mine.key(), other.key()] {
                let within = prefix.contains(&key);
                prop_assert_eq!(within, *start <= *key.as_str() && *key.as_str() < *end);
                let meant = key == mine.key() || own_prefixes(&other).contains(&prefix);
                prop_assert_eq!(within, meant, "{} and {}", prefix, key);
            }
        }
    }

    #[test]
    fn a_key_bumps_exactly_the_guarded_range_it_lies_in(entry in entry()) {
        let key = entry.key();
        let guarded: Vec<Prefix> = own_prefixes(&entry).into_iter().filter(Prefix::is_guarded).collect();
        prop_assert_eq!(key.guard().into_iter().collect::<Vec<_>>(), guarded.clone());
        for prefix in guarded {
            let generation = prefix.generation().unwrap();
            prop_assert!(generation.is_generation());
            prop_assert!(generation.guard().is_none());
        }
        prop_assert!(!key.is_generation());
    }

    #[test]
    fn different_ranges_have_different_generations(a in object(), b in object()) {
        let generations = |o: &ObjectKey| [o.range().generation(), Prefix::references_to(o).generation()];
        let same = |x: &Prefix, y: &Prefix| x.generation() == y.generation();
        prop_assert_eq!(same(&a.range(), &b.range()), a.range() == b.range());
        prop_assert_eq!(same(&Prefix::references_to(&a), &Prefix::references_to(&b)), a == b);
        prop_assert!(generations(&a).iter().all(Option::is_some));
    }

    #[test]
    fn slot_order_is_key_order(a in slot(), b in slot()) {
        if a.space() == b.space() {
            prop_assert_eq!(a.number().cmp(&b.number()), a.key().cmp(&b.key()));
        }
        prop_assert_eq!(a.space().slot(a.number()).unwrap(), a);
    }
}

#[test]
fn spelling_is_a_format() {
    let n = |s| Name::new(s).unwrap();
    let vrf = VrfId::new(300).unwrap();
    let blue = ObjectKey::Network { tenant: n("acme"), name: n("blue") };
    let web = ObjectKey::Endpoint { tenant: n("acme"), name: EndpointName::new("web.0").unwrap() };
    let at = Timestamp::new("2026-05-04T03:02:01.123Z").unwrap();
    for (entry, text) in [
        (Entry::StoreId, "meta/store-id"),
        (Entry::Schema, "meta/schema"),
        (Entry::Object(ObjectKey::Tenant(n("acme"))), "tenants/acme"),
        (Entry::Object(blue.clone()), "networks/acme/blue"),
        (Entry::Object(web.clone()), "endpoints/acme/web.0"),
        (Entry::Object(ObjectKey::Node(NodeName::new("n1.lab").unwrap())), "nodes/n1.lab"),
        (Entry::Allocation(Slot::Vrf(vrf)), "alloc/vrf/012c"),
        (Entry::Allocation(Slot::Vni(Vni::new(4096).unwrap())), "alloc/vni/001000"),
        (
            Entry::Allocation(Slot::Address(vrf, "10.1.1.5".parse().unwrap())),
            "alloc/address/012c/v4/0a010105",
        ),
        (
            Entry::Allocation(Slot::Address(vrf, "fd00::5".parse().unwrap())),
            "alloc/address/012c/v6/fd000000000000000000000000000005",
        ),
        (Entry::Reference { object: blue.clone(), user: web }, "refs/network/acme/blue/endpoint/acme/web.0"),
        (Entry::Change(ChangeId::new(&at, 1)), "changes/20260504030201123-0000000000000001"),
        (Entry::CaSecret(n("key")), "secrets/ca/key"),
        (Entry::JoinToken(n("t1")), "tokens/join/t1"),
        (Entry::AdminToken(n("t2")), "tokens/admin/t2"),
        (Entry::Leader, "leases/leader"),
    ] {
        assert_eq!(entry.key().as_str(), text);
    }
    assert_eq!(blue.range().generation().unwrap().as_str(), "gen/networks/acme");
}

#[test]
fn other_spellings_are_refused() {
    for text in [
        "tenants/Acme",
        "tenants/",
        "tenants/a/b",
        "networks/a",
        "alloc/vrf/12c",
        "alloc/vrf/012C",
        "alloc/vrf/0000",
        "alloc/vrf/+12c",
        "alloc/vni/1000000",
        "alloc/address/012c/v4/10.1.1.5",
        "alloc/address/012c/v5/0a010105",
        "refs/network/acme/blue",
        "refs/network/acme/blue/user/x",
        "changes/today",
        "secrets/ca",
        "gen/networks/acme",
        "unknown/x",
    ] {
        let key = Key(text.to_owned());
        assert!(Entry::parse(&key).is_err(), "{text}");
    }
}
