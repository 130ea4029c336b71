//! What would be moved: a host's addresses and routes as the kernel tells them, and what is refused.

use netlink_packet_route::AddressFamily;
use netlink_packet_route::address::CacheInfo;

use super::*;

fn names() -> Names {
    Names::new("eth0", "br-phy").unwrap()
}

fn address(text: &str, valid: u32) -> AddressMessage {
    let (ip, length) = text.split_once('/').unwrap();
    let mut lifetime = CacheInfo::default();
    lifetime.ifa_valid = valid;
    let mut message = AddressMessage::default();
    message.header.family = AddressFamily::Inet;
    message.header.prefix_len = length.parse().unwrap();
    message.attributes = vec![
        AddressAttribute::Local(ip.parse().unwrap()),
        AddressAttribute::Label("eth0".into()),
        AddressAttribute::CacheInfo(lifetime),
    ];
    message
}

fn route(to: Option<&str>, via: Option<&str>, protocol: RouteProtocol) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header.protocol = protocol;
    message.header.kind = RouteType::Unicast;
    let inet = |ip: &str| RouteAddress::Inet(ip.parse().unwrap());
    if let Some((ip, length)) = to.and_then(|t| t.split_once('/')) {
        message.header.destination_prefix_length = length.parse().unwrap();
        message.attributes.push(RouteAttribute::Destination(inet(ip)));
    }
    message.attributes.extend(via.map(|ip| RouteAttribute::Gateway(inet(ip))));
    message.attributes.push(RouteAttribute::Oif(2));
    message
}

fn device(index: u32, addresses: Vec<AddressMessage>) -> Device {
    let mac = "02:00:00:00:00:01".parse().ok();
    Device { index, mac, is_up: true, is_enslaved: false, addresses }
}

/// A host that has never been prepared.
fn fresh() -> Host {
    let addresses = vec![address("192.0.2.1/24", FOREVER), address("192.0.2.2/24", FOREVER)];
    let routes = vec![
        route(None, Some("192.0.2.254"), RouteProtocol::Boot),
        route(Some("192.0.2.0/24"), None, RouteProtocol::Kernel),
        route(Some("198.51.100.0/24"), None, RouteProtocol::Static),
    ];
    Host {
        uplink: device(2, addresses),
        bridge: None,
        routes,
        drops: false,
        state: UplinkState::Absent,
        ours: false,
    }
}

fn words(host: &Host) -> Vec<String> {
    plan(&names(), host).unwrap().iter().map(|step| names().describe(step)).collect()
}

fn refusal(host: &Host) -> String {
    plan(&names(), host).unwrap_err().to_string()
}

#[test]
fn everything_is_on_the_bridge_before_it_leaves_the_uplink() {
    assert_eq!(
        words(&fresh()),
        [
            "create bridge br-phy with eth0 in it and its MAC address",
            "set br-phy up",
            "add address 192.0.2.1/24 to br-phy",
            "add address 192.0.2.2/24 to br-phy",
            "let route 198.51.100.0/24 go through br-phy",
            "let route default via 192.0.2.254 go through br-phy",
            "drop on eth0 what the node receives through br-phy",
            "remove address 192.0.2.2/24 from eth0",
            "remove address 192.0.2.1/24 from eth0",
        ]
    );
}

#[test]
fn a_prepared_host_needs_nothing() {
    let mut host = fresh();
    host.bridge = Some(device(3, std::mem::take(&mut host.uplink.addresses)));
    host.routes.iter_mut().for_each(|r| {
        r.attributes.retain(|a| !matches!(a, RouteAttribute::Oif(_)));
        r.attributes.push(RouteAttribute::Oif(3));
    });
    (host.drops, host.state) = (true, UplinkState::Ready);
    assert_eq!(words(&host), Vec::<String>::new());
}

#[test]
fn an_interrupted_run_is_completed() {
    let mut host = fresh();
    host.state = UplinkState::Ready;
    host.bridge = Some(device(3, vec![address("192.0.2.1/24", FOREVER)]));
    host.routes.clear();
    assert_eq!(
        words(&host),
        [
            "add address 192.0.2.2/24 to br-phy",
            "drop on eth0 what the node receives through br-phy",
            "remove address 192.0.2.2/24 from eth0",
            "remove address 192.0.2.1/24 from eth0",
        ]
    );
}

#[test]
fn link_local_addresses_and_routes_of_other_devices_stay() {
    let mut host = fresh();
    host.uplink.addresses.truncate(1);
    host.uplink.addresses[0].header.scope = AddressScope::Link;
    host.uplink.index = 9;
    assert_eq!(words(&host).len(), 3, "{:?}", words(&host));
}

#[test]
fn what_the_kernel_only_tells_is_not_told_back() {
    let steps = plan(&names(), &fresh()).unwrap();
    let added = steps.iter().find_map(|s| if let Step::AddAddress(a) = s { Some(a) } else { None });
    let attributes = &added.unwrap().attributes;
    assert!(
        !attributes.iter().any(|a| matches!(a, AddressAttribute::Label(_) | AddressAttribute::CacheInfo(_)))
    );
    assert!(attributes.contains(&AddressAttribute::Flags(AddressFlags::Nodad)));
}

#[test]
fn refuses_what_belongs_to_somebody_else() {
    type Change = fn(&mut Host);
    let table: [(&str, Change); 9] = [
        ("in bridge br-ex already", |h| h.state = UplinkState::InBridge("br-ex".into())),
        ("belongs to someone else", |h| h.state = UplinkState::Taken { ours: false }),
        ("remove it first", |h| h.state = UplinkState::Taken { ours: true }),
        ("that the switch did not make", |h| h.bridge = Some(device(3, vec![]))),
        ("bridge or bond already", |h| h.uplink.is_enslaved = true),
        ("192.0.2.9/24 expires", |h| h.uplink.addresses.push(address("192.0.2.9/24", 3600))),
        ("neither static nor boot", |h| h.routes[0].header.protocol = RouteProtocol::Bird),
        ("next hops", |h| h.routes[0].attributes.push(RouteAttribute::NhId(7))),
        ("not unicast", |h| h.routes[0].header.kind = RouteType::Multicast),
    ];
    for (reason, change) in table {
        let mut host = fresh();
        change(&mut host);
        assert!(refusal(&host).contains(reason), "{reason}: {}", refusal(&host));
    }
}

#[test]
fn refuses_names_that_nftables_cannot_write() {
    for name in ["", "0eth", "a\"b", "a;b", "e{"] {
        assert!(matches!(Names::new(name, "br-phy"), Err(Refusal::Unnamable(_))), "{name}");
    }
    assert!(matches!(Names::new("br-phy", "br-phy"), Err(Refusal::SameName(_))));
    assert!(Names::new("eth0.100", "br-phy").is_ok());
}

#[test]
fn undo_has_everything_on_the_uplink_before_it_leaves_the_bridge() {
    let names = names();
    let undo = |host: &Host| -> Vec<String> {
        undo(&names, host).unwrap().iter().map(|s| names.describe_undo(s)).collect()
    };
    let mut host = fresh();
    assert!(undo(&host).is_empty(), "nothing was done");
    // What was the uplink's is the bridge's.
    let bridge = Device { index: host.uplink.index, ..host.uplink.clone() };
    host.uplink = Device { index: 77, addresses: Vec::new(), ..host.uplink };
    (host.bridge, host.state, host.drops, host.ours) = (Some(bridge), UplinkState::Ready, true, true);
    let words = undo(&host);
    let place = |start: &str| words.iter().position(|w| w.starts_with(start)).unwrap();
    assert!(
        place("add address") < place("let route") && place("let route") < place("remove address"),
        "{words:?}"
    );
    assert_eq!(words[words.len() - 2..], ["let the node receive on eth0 again", "delete bridge br-phy"]);
    host.ours = false;
    assert_eq!(super::undo(&names, &host), Err(Refusal::Foreign("br-phy".into())));
}
