//! Following against reading everything, after random histories; and what following costs.

use std::collections::BTreeMap;

use ovsdb::monitor::{RowUpdate, Updates};
use ovsdb::operation::{Row, row};
use ovsdb::value::{Atom, Datum};
use ovsdb::vswitch::{BridgeSpec, DatapathType, OpenFlowVersion, PortKind, PortSpec, Vxlan, monitor_spec};
use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::netlink::host_name;
use crate::ports::allocate::TUNNEL;
use crate::ports::ovs::batch::{What, port_spec};
use crate::ports::ovs::drift::{Kept, Suspects};
use crate::ports::{PlugSpec, PortLabels};

const BRIDGE: &str = "br-selvage";

/// A port of one interface, as somebody made it.
#[derive(Clone, Debug)]
struct Made {
    name: usize,
    /// Rows that are made anew have other identities.
    life: u128,
    marked: bool,
    member: bool,
    ofport: Option<i64>,
    error: bool,
    labels: usize,
    /// Its interface is called otherwise, as that of a bond.
    bond: bool,
}

/// A state of the database.
#[derive(Clone, Debug)]
struct Scene {
    /// Its life, and whether it is marked.
    bridge: Option<(u128, bool)>,
    ports: Vec<Made>,
    cur_cfg: i64,
}

fn made() -> impl Strategy<Value = Made> {
    let ofport = proptest::option::of(-1i64..5);
    (0..8usize, 0..3u128, any::<bool>(), any::<bool>(), ofport, 0..6u8, 0..4usize).prop_map(
        |(name, life, marked, member, ofport, odd, labels)| Made {
            name,
            life,
            marked: marked || odd == 1,
            member: member || odd == 2,
            ofport,
            error: odd == 3,
            labels,
            bond: odd == 4,
        },
    )
}

fn scene() -> impl Strategy<Value = Scene> {
    let bridge = proptest::option::weighted(0.9, (0..2u128, proptest::bool::weighted(0.8)));
    (bridge, proptest::collection::vec(made(), 0..8), 0..3i64).prop_map(|(bridge, ports, cur_cfg)| Scene {
        bridge,
        ports,
        cur_cfg,
    })
}

fn name(n: usize) -> String {
    match n {
        0 => TUNNEL_NAME.to_owned(),
        1 => "theirs".to_owned(),
        n => host_name(uid(n as u64)),
    }
}

fn uid(n: u64) -> EndpointUid {
    EndpointUid::new(n).unwrap()
}

fn plug(n: u64) -> PlugSpec {
    let labels = PortLabels {
        tenant: "blue".parse().unwrap(),
        endpoint: format!("e{n}").parse().unwrap(),
        container_id: "c".into(),
        ifname: "eth0".into(),
        netns: "/run/netns/x".into(),
        config_name: "selvage".into(),
    };
    PlugSpec { uid: uid(n), ofport: OfPort::new(n).unwrap(), labels }
}

fn mark(marked: bool) -> Vec<(String, String)> {
    if marked { vec![("owner".into(), "selvage".into())] } else { Vec::new() }
}

fn dump(scene: &Scene) -> Updates {
    let mut rows = Updates::new();
    let mut put = |table: &str, uuid: u128, row: Row| {
        let uuid = Uuid::from_u128(uuid);
        rows.entry(table.to_owned()).or_default().insert(uuid, RowUpdate::Initial(row));
    };
    let none = Datum::empty_set;
    put(
        "Open_vSwitch",
        1,
        row([
            ("bridges", none()),
            ("cur_cfg", scene.cur_cfg.into()),
            ("next_cfg", 9.into()),
            ("ovs_version", none()),
            ("datapath_types", none()),
            ("iface_types", none()),
            ("external_ids", Datum::empty_map()),
            ("other_config", Datum::empty_map()),
        ]),
    );
    let ports: BTreeMap<usize, &Made> = scene.ports.iter().map(|port| (port.name, port)).collect();
    let at = |kind: u128, port: &Made| kind << 64 | (port.name as u128) << 8 | port.life;
    for port in ports.values() {
        put("Port", at(3, port), port_row(port, Uuid::from_u128(at(4, port))));
        put("Interface", at(4, port), interface_row(port));
    }
    if let Some((life, marked)) = scene.bridge {
        let members = ports.values().filter(|port| port.member).map(|port| Uuid::from_u128(at(3, port)));
        put("Bridge", 2 << 64 | life, bridge_row(Datum::set(members), marked));
    }
    rows
}

fn bridge_row(ports: Datum, marked: bool) -> Row {
    let none = Datum::empty_set;
    row([
        ("name", BRIDGE.into()),
        ("datapath_type", "netdev".into()),
        ("datapath_id", none()),
        ("fail_mode", "secure".into()),
        ("protocols", "OpenFlow15".into()),
        ("ports", ports),
        ("controller", none()),
        ("stp_enable", false.into()),
        ("rstp_enable", false.into()),
        ("flow_tables", Datum::empty_map()),
        ("external_ids", Datum::map(mark(marked))),
        ("other_config", Datum::map([("disable-in-band", "true")])),
    ])
}

fn port_row(port: &Made, interface: Uuid) -> Row {
    let none = Datum::empty_set;
    row([
        ("name", name(port.name).into()),
        ("interfaces", interface.into()),
        ("tag", none()),
        ("trunks", none()),
        ("vlan_mode", none()),
        ("external_ids", Datum::map(mark(port.marked))),
    ])
}

fn interface_row(port: &Made) -> Row {
    let none = Datum::empty_set;
    let is_tunnel = port.name == 0;
    let mut ids = mark(port.marked);
    if port.labels > 0 && port.name > 1 {
        let spec = port_spec(&What::Plug(plug(port.name as u64))).unwrap();
        ids.extend(spec.external_ids.into_iter().skip(port.labels - 1));
    }
    let name = if port.bond { format!("bond{}", port.name) } else { name(port.name) };
    let kind = if is_tunnel { PortKind::Vxlan(Vxlan::by_flow()) } else { PortKind::System };
    let options = [("key", "flow"), ("remote_ip", "flow")];
    let number = if is_tunnel { i64::from(TUNNEL.get()) } else { port.name as i64 };
    row([
        ("name", name.into()),
        ("type", kind.type_name().into()),
        ("ofport", port.ofport.map_or(none(), |n| Atom::from(n).into())),
        ("ofport_request", number.into()),
        ("error", if port.error { "no such device".into() } else { none() }),
        ("mac_in_use", none()),
        ("ifindex", none()),
        ("admin_state", none()),
        ("link_state", none()),
        ("mtu", none()),
        ("mtu_request", none()),
        ("external_ids", Datum::map(ids)),
        ("options", if is_tunnel { Datum::map(options) } else { Datum::empty_map() }),
    ])
}

/// What all rows say, read anew.
fn read_all(database: &Database, own: &OwnRows) -> PortsView {
    let view = Vswitch::new(database);
    let mut found = PortsView::default();
    let Some(bridge) = view.bridges().unwrap().remove(BRIDGE) else { return found };
    if !own.is_bridge(&owner(), &bridge) {
        found.taken = true;
        return found;
    }
    let (ports, interfaces) = (view.ports().unwrap(), view.interfaces().unwrap());
    for port in ports.values().filter(|p| bridge.ports.contains(&p.uuid)) {
        if !own.is_port(&owner(), port) {
            let members = interfaces.values().filter(|i| port.interfaces.contains(&i.uuid));
            found.others.extend(members.filter_map(|i| labels::actual_ofport(i).ok()));
            continue;
        }
        let Some(interface) = interfaces.get(&port.name) else { continue };
        if interface.name == TUNNEL_NAME {
            found.tunnel = labels::actual_ofport(interface).ok();
        } else if let Some(uid) = uid_of(&interface.name) {
            found.endpoints.insert(uid, labels::read(interface));
        }
    }
    found
}

fn kept(ports: impl IntoIterator<Item = u64>) -> Kept {
    let bridge = DeviceName::new(BRIDGE).unwrap();
    let spec = BridgeSpec::new(bridge, DatapathType::Netdev, [OpenFlowVersion::OpenFlow15]);
    let specs = ports.into_iter().map(|n| port_spec(&What::Plug(plug(n))).unwrap());
    let tunnel = PortSpec::new(
        DeviceName::new(TUNNEL_NAME).unwrap(),
        PortKind::Vxlan(Vxlan::by_flow()),
        ovsdb::vswitch::Ofport::new(TUNNEL.get().into()).ok(),
    );
    let ports = specs.chain([tunnel]).map(|spec| (spec.name.clone(), spec)).collect();
    Kept { bridge: spec, ports, prefixes: Default::default() }
}

fn follower() -> Follower {
    Follower::new(DeviceName::new(BRIDGE).unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn following_is_reading_all_rows_after_any_history(scenes in proptest::collection::vec((scene(), any::<bool>()), 1..8)) {
        let mut database = Database::with_indexes(&monitor_spec());
        let mut index = PortIndex::new(DeviceName::new(BRIDGE).unwrap());
        let (mut own, mut seen) = (OwnRows::default(), PortsView::default());
        for (scene, looks) in &scenes {
            database.replace(&dump(scene)).unwrap();
            if !looks {
                continue;
            }
            let now = Arc::new(database.clone());
            let bridge = DeviceName::new(BRIDGE).unwrap();
            own.observe(&now, &owner(), &bridge, &Changed::Everything).unwrap();
            let (followed, all) = (index.follow(&now).unwrap().clone(), read_all(&now, &own));
            prop_assert_eq!(&followed, &all);
            prop_assert_eq!(index.follower.own(), &own);
            // What is said to have changed leads from what was seen to what is.
            prop_assert_eq!(followed.differs_from(&seen), followed != seen);
            let changed = followed.endpoints.changed_since(&seen.endpoints);
            for uid in 1..9u64 {
                let uid = self::uid(uid);
                prop_assert!(changed.contains(&uid) || followed.endpoints.get(&uid) == seen.endpoints.get(&uid));
                let named = plug(uid.get()).labels;
                let has = all.endpoints.get(&uid).is_some_and(|port| port.labels == Ok(named.clone()));
                let found = followed.endpoints.named(&named.tenant, &named.endpoint);
                prop_assert_eq!(found.map(|(uid, _)| uid).collect::<Vec<_>>(), if has { vec![uid] } else { vec![] });
                let number = OfPort::new(uid.get()).unwrap();
                let uses = |port: &EndpointPort| port.requested == Some(number) || port.ofport == Ok(number);
                let used = all.endpoints.values().any(uses) || all.others.contains(&number);
                prop_assert_eq!(followed.has_number(number), used);
            }
            seen = followed;
        }
    }

    /// What is to be put back is found by comparing what changed, as by comparing everything.
    #[test]
    fn drift_is_found_by_what_changed(scenes in proptest::collection::vec(scene(), 1..6)) {
        let (mut database, kept) = (Database::with_indexes(&monitor_spec()), kept(2..8));
        let (mut follower, mut suspects) = (follower(), Suspects::none());
        for scene in &scenes {
            database.replace(&dump(scene)).unwrap();
            let now = Arc::new(database.clone());
            suspects.add(follower.step(&now).unwrap());
            let some = kept.next(&now, follower.own(), &suspects);
            let all = kept.next(&now, follower.own(), &Suspects::All);
            let [some, all] = [some, all].map(|next| next.map(|(repair, _)| repair).map_err(|e| e.to_string()));
            prop_assert_eq!(some, all);
        }
    }
}

/// Rows visited by following one change, and by comparing what it touched.
fn cost_of_one_more(ports: usize) -> (u64, u64) {
    let made = |name: usize| Made {
        name,
        life: 0,
        marked: true,
        member: true,
        ofport: Some(if name == 0 { TUNNEL.get().into() } else { name as i64 }),
        error: false,
        labels: 1,
        bond: false,
    };
    let crowd: Vec<Made> = [0].into_iter().chain(2..ports).map(made).collect();
    let mut scene = Scene { bridge: Some((0, true)), ports: crowd, cur_cfg: 1 };
    let mut database = Database::with_indexes(&monitor_spec());
    database.replace(&dump(&scene)).unwrap();
    let mut index = PortIndex::new(DeviceName::new(BRIDGE).unwrap());
    let mut follower = follower();
    let (now, mut suspects) = (Arc::new(database.clone()), Suspects::none());
    index.follow(&now).unwrap();
    suspects.add(follower.step(&now).unwrap());
    let kept = kept(2..=ports as u64);

    scene.ports.push(made(ports));
    database.replace(&dump(&scene)).unwrap();
    let now = Arc::new(database.clone());
    let before = now.visits();
    assert_eq!(index.follow(&now).unwrap().endpoints.len(), ports - 1);
    let followed = now.visits();
    let mut suspects = Suspects::none();
    suspects.add(follower.step(&now).unwrap());
    let (repair, left) = kept.next(&now, follower.own(), &suspects).unwrap();
    assert!(repair.is_none() && left.ports.is_empty(), "{repair:?}");
    (followed - before, now.visits() - followed)
}

#[test]
fn one_more_port_costs_the_same_among_fifty_and_among_five_hundred() {
    let (few, many) = (cost_of_one_more(50), cost_of_one_more(500));
    assert_eq!(few, many);
    assert!(many.0 < 40 && many.1 < 60, "{many:?}");
}
