//! One release beside the next: what each makes of the other's fragments.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

use node_state::{Dialect, Fragment, FragmentError, FragmentKey, Network, Node, SCHEMA, Vrf};
use serde_json::{Value, json};

fn node() -> (FragmentKey, Vec<u8>) {
    let node = Fragment::Node(Node { name: "n1".parse().unwrap(), vtep: "192.0.2.1".parse().unwrap() });
    (node.key(), node.encode())
}

/// The fragment as another release would write it.
fn written(change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let mut fragment: Value = serde_json::from_slice(&node().1).unwrap();
    change(&mut fragment);
    fragment.to_string().into_bytes()
}

fn read(dialect: &Dialect, bytes: &[u8]) -> Result<Fragment, FragmentError> {
    Fragment::decode_as(dialect, &node().0, bytes)
}

/// What follows from a tenant.
fn tenant() -> [Fragment; 2] {
    let (id, vni) = (types::VrfId::new(7).unwrap(), types::Vni::new(101).unwrap());
    let (tenant, name) = ("blue".parse().unwrap(), "web".parse().unwrap());
    let default_action = types::DefaultAction::Deny;
    [
        Fragment::Vrf(Vrf { id, tenant, default_action }),
        Fragment::Network(Network { vni, vrf: id, name, subnets: Vec::new() }),
    ]
}

#[test]
fn next_release_reads_what_this_one_writes() {
    let next = Dialect::new(SCHEMA + 1, ["mirror".to_owned()]);
    for fragment in tenant() {
        assert_eq!(Fragment::decode_as(&next, &fragment.key(), &fragment.encode()).unwrap(), fragment);
    }
}

#[test]
fn this_release_refuses_what_only_the_next_one_can_say_and_reads_the_rest() {
    let newer = written(|f| f["schema"] = json!(SCHEMA + 1));
    let why = read(&Dialect::default(), &newer).unwrap_err();
    assert!(
        matches!(why, FragmentError::Schema { found, newest, .. } if (found, newest) == (SCHEMA + 1, SCHEMA))
    );
    assert!(read(&Dialect::new(SCHEMA + 1, []), &newer).is_ok());
    assert!(read(&Dialect::default(), &node().1).is_ok());
}

#[test]
fn there_is_no_schema_before_the_first() {
    let zero = written(|f| f["schema"] = json!(0));
    assert!(read(&Dialect::default(), &zero).is_err());
}

#[test]
fn fragment_that_requires_a_feature_is_for_those_who_have_it() {
    let marked = written(|f| f["requires"] = json!(["mirror"]));
    let why = read(&Dialect::default(), &marked).unwrap_err();
    assert!(matches!(why, FragmentError::Feature { feature, .. } if feature == "mirror"));
    assert!(read(&Dialect::new(SCHEMA, ["mirror".to_owned()]), &marked).is_ok());
    let two = written(|f| f["requires"] = json!(["mirror", "bgp"]));
    assert!(read(&Dialect::new(SCHEMA, ["mirror".to_owned()]), &two).is_err(), "all of them are needed");
}

#[test]
fn unknown_fields_are_refused_wherever_they_stand() {
    let changes: [fn(&mut Value); 3] = [
        |f| f["hint"] = json!(1),
        |f| f["fragment"]["node"]["encap"] = json!("geneve"),
        |f| f["fragment"]["mirror"] = json!({}),
    ];
    for change in changes {
        let odd = written(change);
        let why = read(&Dialect::default(), &odd).unwrap_err();
        assert!(matches!(why, FragmentError::Malformed { .. }), "{}", String::from_utf8_lossy(&odd));
    }
}
