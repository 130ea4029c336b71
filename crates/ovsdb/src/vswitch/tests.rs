//! Builders against snapshots made by hand.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::tables;
use super::*;
use crate::cache::Database;
use crate::monitor::{RowUpdate, Updates};
use crate::operation::{Operation, Row, Transaction, row};
use crate::typed::Table;
use crate::value::Datum;

fn owner() -> Owner {
    Owner::new("selvage-owner", "n1")
}

fn name(text: &str) -> DeviceName {
    DeviceName::new(text).unwrap()
}

fn mark(ours: bool) -> Datum {
    if ours { Datum::map([("selvage-owner", "n1")]) } else { Datum::empty_map() }
}

/// A switch with bridge `br` and one port `p1` on OpenFlow port 1.
fn database(own_bridge: bool, own_port: bool) -> Database {
    tagged(own_bridge, own_port, Datum::empty_set())
}

/// The same, whose port is in this VLAN.
fn tagged(own_bridge: bool, own_port: bool, tag: Datum) -> Database {
    let id = Uuid::from_u128;
    let none = Datum::empty_set;
    let root = row([
        ("bridges", id(2).into()),
        ("cur_cfg", 3.into()),
        ("next_cfg", 4.into()),
        ("ovs_version", none()),
        ("datapath_types", none()),
        ("iface_types", none()),
        ("external_ids", Datum::empty_map()),
        ("other_config", Datum::empty_map()),
    ]);
    let bridge = row([
        ("name", "br".into()),
        ("datapath_type", "netdev".into()),
        ("datapath_id", none()),
        ("fail_mode", "secure".into()),
        ("protocols", "OpenFlow13".into()),
        ("ports", id(3).into()),
        ("controller", none()),
        ("stp_enable", false.into()),
        ("rstp_enable", false.into()),
        ("flow_tables", Datum::empty_map()),
        ("external_ids", mark(own_bridge)),
        ("other_config", Datum::map([("disable-in-band", "true")])),
    ]);
    let port = row([
        ("name", "p1".into()),
        ("interfaces", id(4).into()),
        ("tag", tag),
        ("trunks", none()),
        ("vlan_mode", none()),
        ("external_ids", mark(own_port)),
    ]);
    let tables = [
        (tables::OpenVSwitch::TABLE, 1, root),
        (tables::Bridge::TABLE, 2, bridge),
        (tables::Port::TABLE, 3, port),
        (tables::Interface::TABLE, 4, interface(own_port)),
    ];
    let mut dump = Updates::new();
    for (table, uuid, row) in tables {
        dump.entry(table.into()).or_default().insert(id(uuid), RowUpdate::Initial(row));
    }
    let mut database = Database::new();
    database.replace(&dump).unwrap();
    database
}

fn interface(own: bool) -> Row {
    let none = Datum::empty_set;
    row([
        ("name", "p1".into()),
        ("type", "".into()),
        ("ofport", 1.into()),
        ("ofport_request", 1.into()),
        ("error", none()),
        ("mac_in_use", none()),
        ("ifindex", none()),
        ("admin_state", "up".into()),
        ("link_state", "down".into()),
        ("mtu", 1500.into()),
        ("mtu_request", none()),
        ("external_ids", mark(own)),
        ("options", Datum::empty_map()),
    ])
}

fn port(text: &str, ofport: i64) -> PortSpec {
    PortSpec::new(name(text), PortKind::System, Some(Ofport::new(ofport).unwrap()))
}

fn ensure(database: &Database, specs: &[PortSpec]) -> Result<Transaction, BuildError> {
    ensure_ports(database, &owner(), &name("br"), specs)
}

fn kinds(tx: &Transaction) -> Vec<&'static str> {
    tx.operations().iter().map(Operation::name).collect()
}

#[test]
fn new_ports_are_guarded_inserted_and_attached_together() {
    let tx = ensure(&database(true, true), &[port("p1", 1), port("p2", 2), port("p3", 3)]).unwrap();
    assert_eq!(kinds(&tx), ["wait", "insert", "insert", "insert", "insert", "mutate", "comment"]);
}

#[test]
fn same_input_gives_the_same_bytes() {
    let build = || ensure(&database(true, true), &[port("p2", 2)]).unwrap().to_params("D");
    assert_eq!(build(), build());
}

#[test]
fn port_numbers_in_use_are_refused() {
    let error = ensure(&database(true, true), &[port("p2", 1)]).unwrap_err();
    assert_eq!(error.to_string(), "OpenFlow port 1 wanted by p2 is used by p1");
    let error = ensure(&database(true, true), &[port("p2", 2), port("p3", 2)]).unwrap_err();
    assert!(matches!(error, BuildError::Duplicate(_)), "{error}");
}

#[test]
fn renumbering_or_retyping_a_port_is_refused() {
    let error = ensure(&database(true, true), &[port("p1", 2)]).unwrap_err();
    assert_eq!(error, BuildError::Differs { name: name("p1"), column: "ofport_request" });
    let internal = PortSpec { kind: PortKind::Internal, ..port("p1", 1) };
    let error = ensure(&database(true, true), &[internal]).unwrap_err();
    assert_eq!(error, BuildError::Differs { name: name("p1"), column: "type" });
}

#[test]
fn rows_without_our_mark_are_refused() {
    let error = ensure(&database(false, true), &[port("p2", 2)]).unwrap_err();
    assert!(matches!(error, BuildError::ForeignBridge { .. }), "{error}");
    let error = ensure(&database(true, false), &[port("p1", 1)]).unwrap_err();
    assert!(matches!(error, BuildError::ForeignPort { .. }), "{error}");
    let wanted = BTreeSet::from([name("p1")]);
    let error = delete_ports(&database(true, false), &owner(), &name("br"), &wanted).unwrap_err();
    assert!(matches!(error, BuildError::ForeignPort { .. }), "{error}");
}

#[test]
fn the_mark_cannot_be_given_by_the_caller() {
    let mut spec = port("p2", 2);
    spec.external_ids.insert("selvage-owner".into(), "n2".into());
    let error = ensure(&database(true, true), &[spec]).unwrap_err();
    assert_eq!(error, BuildError::ReservedKey("selvage-owner".into()));
}

#[test]
fn ports_are_deleted_through_the_bridge_never_as_rows() {
    let wanted = BTreeSet::from([name("p1"), name("gone")]);
    let tx = delete_ports(&database(true, true), &owner(), &name("br"), &wanted).unwrap();
    assert_eq!(kinds(&tx), ["wait", "wait", "mutate", "comment"]);
    let local = BTreeSet::from([name("br")]);
    let error = delete_ports(&database(true, true), &owner(), &name("br"), &local).unwrap_err();
    assert_eq!(error, BuildError::LocalPort(name("br")));
}

#[test]
fn another_datapath_is_refused() {
    let spec = BridgeSpec::new(name("br"), DatapathType::System, [OpenFlowVersion::OpenFlow13]);
    let error = ensure_bridge(&database(true, true), &owner(), &spec).unwrap_err();
    assert_eq!(error, BuildError::Differs { name: name("br"), column: "datapath_type" });
}

#[test]
fn a_changed_datapath_is_given_back_to_our_bridge_only() {
    let spec = BridgeSpec::new(name("br"), DatapathType::System, [OpenFlowVersion::OpenFlow13]);
    let tx = restore_datapath_type(&database(true, true), &owner(), &spec).unwrap();
    assert_eq!(kinds(&tx), ["wait", "update", "comment"]);
    let error = restore_datapath_type(&database(false, true), &owner(), &spec).unwrap_err();
    assert!(matches!(error, BuildError::ForeignBridge { .. }), "{error}");
    let as_it_is = BridgeSpec { datapath_type: DatapathType::Netdev, ..spec };
    assert!(restore_datapath_type(&database(true, true), &owner(), &as_it_is).unwrap().is_empty());
}

#[test]
fn only_rows_that_had_our_mark_get_it_back() {
    let mut own = OwnRows::default();
    own.observe(&database(true, true), &owner(), &name("br"), &Changed::Everything).unwrap();
    let (tx, names) = restore_marks(&database(true, true), &owner(), &own).unwrap();
    assert!(tx.is_empty() && names.is_empty());
    // Looking at rows that have lost it does not forget whose they were.
    own.observe(&database(false, false), &owner(), &name("br"), &Changed::Everything).unwrap();
    let (tx, names) = restore_marks(&database(false, false), &owner(), &own).unwrap();
    assert_eq!(names, BTreeSet::from(["bridge br".to_owned(), "port p1".to_owned()]));
    assert_eq!(kinds(&tx), ["wait", "mutate", "wait", "mutate", "comment"]);

    let mut strangers = OwnRows::default();
    strangers.observe(&database(false, false), &owner(), &name("br"), &Changed::Everything).unwrap();
    let (tx, names) = restore_marks(&database(false, false), &owner(), &strangers).unwrap();
    assert!(tx.is_empty() && names.is_empty(), "a row that never had the mark is somebody else's");
    let bridge = Vswitch::new(&database(false, true)).bridge("br").unwrap().unwrap();
    assert!(own.is_bridge(&owner(), &bridge) && !strangers.is_bridge(&owner(), &bridge));
    own.observe(&Database::new(), &owner(), &name("br"), &Changed::Everything).unwrap();
    assert_eq!(own, OwnRows::default(), "rows that are gone are forgotten");
}

#[test]
fn a_vlan_of_an_endpoint_port_is_taken_off() {
    let tx = ensure(&tagged(true, true, 7.into()), &[port("p1", 1)]).unwrap();
    assert_eq!(kinds(&tx), ["wait", "wait", "update", "comment"]);
}

#[test]
fn bridge_may_not_take_the_name_of_a_port() {
    let spec = BridgeSpec::new(name("p1"), DatapathType::Netdev, [OpenFlowVersion::OpenFlow13]);
    let error = ensure_bridge(&database(true, true), &owner(), &spec).unwrap_err();
    assert!(matches!(error, BuildError::ForeignPort { .. }), "{error}");
}

#[test]
fn prefixes_beyond_what_ovs_takes_are_refused() {
    let fields = ["a", "b", "c", "d"].map(str::to_owned).into();
    let error = set_prefixes(&database(true, true), &owner(), &name("br"), &BTreeMap::from([(1, fields)]))
        .unwrap_err();
    assert_eq!(error, BuildError::TooManyPrefixes { table: 1, count: 4 });
    let none = BTreeMap::from([(255, BTreeSet::new())]);
    let error = set_prefixes(&database(true, true), &owner(), &name("br"), &none).unwrap_err();
    assert_eq!(error, BuildError::NoSuchFlowTable(255));
}

#[test]
fn realized_ports_names_every_failure() {
    let wanted = BTreeSet::from([name("p1"), name("p2")]);
    let error = realized_ports(&database(true, true), &wanted).unwrap_err();
    assert_eq!(error.to_string(), "port p2: does not exist");
    let wanted = BTreeSet::from([name("p1")]);
    assert_eq!(realized_ports(&database(true, true), &wanted).unwrap()[&name("p1")].get(), 1);
}

#[test]
fn replica_without_a_root_row_is_an_error() {
    assert_eq!(
        Vswitch::new(&Database::new()).root().unwrap_err(),
        RowError::NotOne { table: "Open_vSwitch", count: 0 }
    );
}
