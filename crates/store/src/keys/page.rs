//! docs/reference/etcd-keys.md: an example of every entry, spelled by the code that spells keys.

use std::fmt::Write;
use std::path::Path;

use super::*;
use crate::change::Timestamp;

const HEAD: &str = "\
# Keys of the store

Generated from `crates/store/src/keys.rs`; `BLESS=1 cargo test -p selvage-store --lib page` rewrites it. In etcd every key
lies below `/<prefix>/` (`--etcd-prefix`, `selvage` unless said otherwise); SQLite has the same keys in the table `kv`.

Read them as you like (`etcdctl get --prefix /selvage/`), but write through netmaster: objects, numbers, index and
generations are only right together. Objects are JSON, `{\"schema\":1,\"kind\":...,\"object\":{...}}`. `secrets/` holds
the authority's private key in clear, and whoever can write `tokens/` is an administrator: close etcd to everybody else.

| key (example) | what |
|---|---|
";

/// A new entry must be put into words here, and into [`examples`].
fn what(entry: &Entry) -> &'static str {
    match entry {
        Entry::StoreId => "identity of this history: changes when a store is made anew",
        Entry::Schema => "version of this layout",
        Entry::Object(ObjectKey::Tenant(_)) => "a tenant",
        Entry::Object(ObjectKey::Network { .. }) => "a network",
        Entry::Object(ObjectKey::Group { .. }) => "an endpoint group",
        Entry::Object(ObjectKey::Policy { .. }) => "a policy with all its rules",
        Entry::Object(ObjectKey::NetProfile { .. }) => "a network profile",
        Entry::Object(ObjectKey::Endpoint { .. }) => "an endpoint",
        Entry::Object(ObjectKey::Node(_)) => "a node",
        Entry::Allocation(Slot::Vrf(_)) => "a VRF id in use or cooling, in hexadecimal as all numbers are",
        Entry::Allocation(Slot::Vni(_)) => "a VXLAN network identifier",
        Entry::Allocation(Slot::Group(_)) => "a group number",
        Entry::Allocation(Slot::Policy(_)) => "a policy number",
        Entry::Allocation(Slot::Endpoint(_)) => "an endpoint number",
        Entry::Allocation(Slot::Address(_, IpAddr::V4(_))) => {
            "an IPv4 address in a VRF (here 10.1.1.20 in 1)"
        }
        Entry::Allocation(Slot::Address(_, IpAddr::V6(_))) => "an IPv6 address in a VRF (here fd00::20 in 1)",
        Entry::Reference { .. } => "index: the endpoint is on the node",
        Entry::Change(_) => "who changed what, from where, before and after; by time",
        Entry::CaSecret(_) => "certificate and private key of the authority",
        Entry::JoinToken(_) => "hash of a join token, its node and end",
        Entry::AdminToken(_) => "hash of an administrator's token",
        Entry::RevokedKey(_) => "a key that no node may act with any more: whose it was, and since when",
        Entry::Leader => "the replica that leads",
    }
}

fn examples() -> Vec<Entry> {
    let name = |s: &str| Name::new(s).unwrap();
    let (tenant, node) = (name("blue"), NodeName::new("node-1").unwrap());
    let endpoint =
        || ObjectKey::Endpoint { tenant: name("blue"), name: EndpointName::new("7f3a.eth0").unwrap() };
    let vrf = VrfId::new(1).unwrap();
    let objects = [
        ObjectKey::Tenant(tenant.clone()),
        ObjectKey::Node(node.clone()),
        ObjectKey::Network { tenant: tenant.clone(), name: name("web") },
        ObjectKey::Group { tenant: tenant.clone(), name: name("app") },
        ObjectKey::Policy { tenant: tenant.clone(), name: name("guard") },
        ObjectKey::NetProfile { tenant, name: name("gold") },
        endpoint(),
    ];
    let slots = [
        Slot::Vrf(vrf),
        Slot::Vni(Vni::new(100).unwrap()),
        Slot::Group(GroupId::new(3).unwrap()),
        Slot::Policy(PolicyId::new(2).unwrap()),
        Slot::Endpoint(EndpointUid::new(0x1a2b_3c4d_5e6f).unwrap()),
        Slot::Address(vrf, "10.1.1.20".parse().unwrap()),
        Slot::Address(vrf, "fd00::20".parse().unwrap()),
    ];
    let at = Timestamp::new("2026-05-04T03:02:01.123Z").unwrap();
    let rest = [
        Entry::Reference { object: ObjectKey::Node(node), user: endpoint() },
        Entry::Change(ChangeId::new(&at, 7)),
        Entry::CaSecret(name("ca")),
        Entry::JoinToken(name("0f1e2d3c4b5a6978")),
        Entry::AdminToken(name("bootstrap")),
        Entry::RevokedKey(KeyDigest::new(&"5c".repeat(32)).unwrap()),
        Entry::Leader,
    ];
    let objects = objects.into_iter().map(Entry::Object);
    let meta = [Entry::StoreId, Entry::Schema].into_iter();
    meta.chain(objects).chain(slots.into_iter().map(Entry::Allocation)).chain(rest).collect()
}

fn page() -> String {
    let mut page = HEAD.to_owned();
    for entry in examples() {
        assert_eq!(Entry::parse(&entry.key()).unwrap(), entry);
        writeln!(page, "| `{}` | {} |", entry.key(), what(&entry)).unwrap();
    }
    let generation = Prefix::within(TenantObject::Network, &Name::new("blue").unwrap()).generation().unwrap();
    writeln!(page, "| `{generation}` | generation: its revision is that of the range's last change |")
        .unwrap();
    page
}

#[test]
fn every_key_is_in_the_reference() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/etcd-keys.md");
    if std::env::var_os("BLESS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, page()).unwrap();
    }
    let text = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(text == page(), "docs/reference/etcd-keys.md is stale; BLESS=1 rewrites it");
}
