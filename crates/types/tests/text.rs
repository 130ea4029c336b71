//! Two laws of every value type: no document can bypass its check, and what it prints it reads.

use std::net::IpAddr;

use proptest::prelude::*;
use serde::de::DeserializeOwned;
use types::*;

type Parse = fn(&str) -> bool;

fn parses<T: DeserializeOwned>(json: &str) -> bool {
    serde_json::from_str::<T>(json).is_ok()
}

/// A type's name, its parser, a document it takes and documents it must not take.
type Row = (&'static str, Parse, &'static str, &'static [&'static str]);

const NAMES: &[Row] = &[
    (
        "Name",
        parses::<Name>,
        r#""web""#,
        &[r#""""#, r#""Web""#, r#""a.b""#, r#""-a""#, r#""a-""#, r#""a/b""#, "7", "null"],
    ),
    (
        "NodeName",
        parses::<NodeName>,
        r#""n1.example""#,
        &[r#""n1..x""#, r#"".n1""#, r#""N1""#, r#""../etc""#],
    ),
    ("EndpointName", parses::<EndpointName>, r#""c0ffee.eth0""#, &[r#""""#, r#""a_b""#, r#""a/b""#]),
    (
        "StoreId",
        parses::<StoreId>,
        r#""0123456789abcdef0123456789abcdef""#,
        &[r#""""#, r#""0123456789ABCDEF0123456789ABCDEF""#],
    ),
];

const NUMBERS: &[Row] = &[
    ("VlanId", parses::<VlanId>, "4094", &["0", "4095", "-1", r#""1""#, "1.5"]),
    ("Vni", parses::<Vni>, "16777215", &["0", "16777216"]),
    ("RulePriority", parses::<RulePriority>, "100", &["0", "101"]),
    ("OfPort", parses::<OfPort>, "65279", &["0", "65280"]),
    ("L4Port", parses::<L4Port>, "65535", &["0", "65536"]),
    ("PortRange", parses::<PortRange>, r#""80-90""#, &[r#""90-80""#, r#""0""#, r#""80-""#, r#""""#, "80"]),
    ("VrfId", parses::<VrfId>, "65279", &["0", "65280"]),
    ("GroupId", parses::<GroupId>, "16777215", &["0", "16777216"]),
    ("PolicyId", parses::<PolicyId>, "1048575", &["0", "1048576"]),
    ("RuleSlot", parses::<RuleSlot>, "4095", &["4096", "-1"]),
    ("EndpointUid", parses::<EndpointUid>, "281474976710655", &["0", "281474976710656"]),
    ("Dscp", parses::<Dscp>, "63", &["64", "-1", r#""46""#]),
    ("Burst", parses::<Burst>, "10486", &["0", "1", "10487"]),
    (
        "Bandwidth",
        parses::<Bandwidth>,
        r#""20Mbps""#,
        &[
            r#""""#,
            r#""Mbps""#,
            r#""20""#,
            r#""0Mbps""#,
            r#""020Mbps""#,
            r#""-1Mbps""#,
            r#""+1Mbps""#,
            r#""1.5Gbps""#,
            r#""20  Mbps""#,
            r#""20Mbps ""#,
            r#""20MBps""#,
            r#""20Mbit""#,
            r#""20bps""#,
            r#""20Tbps""#,
            r#""4001Gbps""#,
            r#""99999999999999999999Kbps""#,
            "20",
        ],
    ),
    (
        "RateLimit",
        parses::<RateLimit>,
        r#"{"rate":"1Gbps","burst":1500}"#,
        &["{}", r#"{"rate":"1Gbps","burts":1500}"#, r#"{"rate":"1Gbps","burst":0}"#],
    ),
    ("Revision", parses::<Revision>, "0", &["-1", r#""1""#]),
];

const ADDRESSES: &[Row] = &[
    (
        "MacAddr",
        parses::<MacAddr>,
        r#""0a:58:0a:00:00:01""#,
        &[
            r#""0a:58:0a:00:00""#,
            r#""0a-58-0a-00-00-01""#,
            r#""a:58:0a:00:00:01""#,
            r#""+a:58:0a:00:00:01""#,
            r#""0a:58:0a:00:00:01:02""#,
        ],
    ),
    (
        "IpCidr",
        parses::<IpCidr>,
        r#""10.0.0.0/8""#,
        &[r#""10.0.0.1/8""#, r#""10.0.0.0/33""#, r#""10.0.0.0""#, r#""10.0.0.0/+8""#, r#""fd00::1/64""#],
    ),
    (
        "CidrBlock",
        parses::<CidrBlock>,
        r#""10.0.0.0/8 except 10.1.0.0/16,10.1.2.0/24""#,
        &[
            r#""10.0.0.0/8 except 11.0.0.0/16""#,
            r#""10.0.0.0/8 except 0.0.0.0/0""#,
            r#""10.0.0.0/8 except 10.0.0.0/8""#,
            r#""10.0.0.0/8 except fd00::/16""#,
            r#""10.0.0.0/8 except ""#,
            r#""10.0.0.0/8 except 10.1.0.0/16,""#,
            r#""10.0.0.0/8 except 10.1.0.1/16""#,
            r#""10.0.0.1/8""#,
        ],
    ),
    (
        "HostCidr",
        parses::<HostCidr>,
        r#""10.0.0.1/8""#,
        &[r#""10.0.0.1/33""#, r#""fd00::1/129""#, r#""10.0.0.1""#],
    ),
    (
        "AddressRange",
        parses::<AddressRange>,
        r#""10.0.0.1-10.0.0.2""#,
        &[r#""10.0.0.2-10.0.0.1""#, r#""10.0.0.1-fd00::1""#, r#""10.0.0.1""#],
    ),
    (
        "Subnet",
        parses::<Subnet>,
        r#""10.1.1.20-10.1.1.40/24""#,
        &[
            r#""10.1.1.0/31""#,
            r#""10.0.0.0/7""#,
            r#""224.0.0.0/24""#,
            r#""127.0.0.0/8""#,
            r#""169.0.0.0/8""#,
            r#""::/48""#,
            r#""::ffff:10.0.0.0/104""#,
            r#""169.254.0.0/16""#,
            r#""fe80::/64""#,
            r#""0.0.0.0/8""#,
            r#""10.1.1.20-10.1.2.40/24""#,
            r#""10.1.1.40-10.1.1.20/24""#,
            r#""fd00::/127""#,
        ],
    ),
];

const WORDS: &[Row] = &[
    (
        "IpProtocol",
        parses::<IpProtocol>,
        r#""tcp""#,
        &[r#""TCP""#, r#""256""#, r#""0""#, r#""44""#, "6", r#""""#],
    ),
    (
        "Service",
        parses::<Service>,
        r#""tcp/80,8000-8080""#,
        &[
            r#""icmp/80-90""#,
            r#""icmp/256""#,
            r#""icmp/8/0/0""#,
            r#""icmp/""#,
            r#""47/80""#,
            r#""tcp/""#,
            r#""tcp/80,""#,
            r#""tcp/0""#,
            r#""icmpv6/128,129""#,
            r#""any""#,
        ],
    ),
    ("Services", parses::<Services>, r#"["tcp", "icmp/8/0"]"#, &["[]", r#""tcp""#, r#"["tcp", "x"]"#]),
    (
        "Traffic",
        parses::<Traffic>,
        r#""sctp/2905""#,
        &[
            r#""tcp""#,
            r#""tcp/0""#,
            r#""tcp/80-90""#,
            r#""tcp/80,81""#,
            r#""icmp/256""#,
            r#""icmp/8/0/0""#,
            r#""icmp/""#,
            r#""47/80""#,
            r#""0""#,
            r#""""#,
        ],
    ),
    ("Direction", parses::<Direction>, r#""ingress""#, &[r#""both""#, r#""""#]),
    ("Verdict", parses::<Verdict>, r#""deny""#, &[r#""drop""#, "null"]),
    ("DefaultAction", parses::<DefaultAction>, r#""allow""#, &[r#""""#, "true"]),
    ("Family", parses::<Family>, r#""v4""#, &[r#""ipv4""#, "4"]),
];

#[test]
fn no_document_bypasses_a_check() {
    for (name, parse, good, bad) in [NAMES, NUMBERS, ADDRESSES, WORDS].concat() {
        assert!(parse(good), "{name} refuses {good}");
        for document in bad {
            assert!(!parse(document), "{name} takes {document}");
        }
    }
}

/// Text and JSON forms of a value read back as the value.
fn round_trip<T>(value: T) -> Result<(), TestCaseError>
where
    T: std::fmt::Display + std::str::FromStr<Err = Invalid> + serde::Serialize + DeserializeOwned,
    T: PartialEq + std::fmt::Debug,
{
    let json = serde_json::to_string(&value).expect("serializes");
    let read: T = serde_json::from_str(&json).expect("reads what it wrote");
    prop_assert_eq!(&read, &value);
    prop_assert_eq!(value.to_string().parse::<T>(), Ok(value));
    Ok(())
}

#[test]
fn a_range_of_everything_is_one_prefix() {
    for (range, cidr) in [
        ("0.0.0.0-255.255.255.255", "0.0.0.0/0"),
        ("::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "::/0"),
        ("10.0.0.7-10.0.0.7", "10.0.0.7/32"),
    ] {
        let range: AddressRange = range.parse().unwrap();
        assert_eq!(range.to_prefixes(), [cidr.parse::<IpCidr>().unwrap()]);
    }
    let worst: AddressRange = "::1-ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe".parse().unwrap();
    assert_eq!(worst.to_prefixes().len(), 254);
}

#[test]
fn the_prefix_that_cannot_be_excepted_is_named() {
    let cidr = |text: &str| text.parse::<IpCidr>().unwrap();
    let e = CidrBlock::new(cidr("10.0.0.0/8"), &[cidr("10.1.0.0/16"), cidr("192.0.2.0/24")]).unwrap_err();
    assert_eq!((e.index, e.invalid.reason.as_str()), (1, "does not lie in 10.0.0.0/8"));
    let many = vec![cidr("10.1.0.0/16"); CidrBlock::MAX_EXCEPTS + 1];
    assert_eq!(CidrBlock::new(cidr("10.0.0.0/8"), &many).unwrap_err().index, CidrBlock::MAX_EXCEPTS);
}

#[test]
fn services_overlap_when_one_packet_can_be_of_both() {
    let all = [
        "tcp",
        "tcp/80",
        "tcp/1-79,90",
        "tcp/80-85",
        "udp/80",
        "udp",
        "icmp",
        "icmp/8",
        "icmp/8/0",
        "icmp/8/1",
        "icmp/13",
        "icmpv6",
        "icmpv6/128",
        "icmpv6/128/0",
        "icmpv6/1/4",
        "47",
        "48",
    ];
    // Packets that tell any two of them apart: protocol in its family, and port, or type and code.
    let of = |protocols: &[&'static str], numbers: &[(u16, u8)]| -> Vec<(&'static str, u16, u8)> {
        protocols.iter().flat_map(|p| numbers.iter().map(|(n, c)| (*p, *n, *c))).collect()
    };
    let packets = [
        of(&["tcp", "udp"], &[1, 79, 80, 85, 90, 100].map(|p| (p, 0))),
        of(&["icmp", "icmpv6"], &[(8, 0), (8, 1), (13, 0), (128, 0), (128, 1), (1, 4), (0, 0)]),
        of(&["47", "48"], &[(0, 0)]),
    ]
    .concat();
    let is = |s: &Service, (protocol, number, code): (&str, u16, u8)| {
        let message = |m: &IcmpMessage| u16::from(m.kind) == number && m.code.is_none_or(|c| c == code);
        match s {
            Service::Protocol(IpProtocol::Icmp) => protocol.starts_with("icmp"),
            Service::Protocol(p) => p.to_string() == protocol,
            Service::Ports(p, ports) => {
                IpProtocol::from(*p).to_string() == protocol && ports.contains(number)
            }
            Service::Icmp(m) => protocol == "icmp" && message(m),
            Service::Icmpv6(m) => protocol == "icmpv6" && m.as_ref().is_none_or(message),
        }
    };
    let all = all.map(|s| s.parse::<Service>().unwrap());
    for a in &all {
        for b in &all {
            let both = packets.iter().any(|p| is(a, *p) && is(b, *p));
            assert_eq!(a.overlaps(b), both, "{a} {b}");
        }
    }
}

/// Reading any text either fails or gives a value that prints the same meaning.
fn reread<T>(text: &str) -> Result<(), TestCaseError>
where
    T: std::fmt::Display + std::str::FromStr<Err = Invalid> + PartialEq + std::fmt::Debug,
{
    if let Ok(value) = text.parse::<T>() {
        prop_assert_eq!(value.to_string().parse::<T>(), Ok(value));
    }
    Ok(())
}

fn address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        any::<u32>().prop_map(|n| IpAddr::V4(n.into())),
        any::<u128>().prop_map(|n| IpAddr::V6(n.into()))
    ]
}

fn port(n: u64) -> L4Port {
    L4Port::new(n).expect("in range")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn addresses_read_what_they_print(
        a in address(), b in address(), len in 0_u8..=128, mac in any::<[u8; 6]>(),
    ) {
        round_trip(MacAddr::new(mac))?;
        round_trip(IpCidr::containing(a, len))?;
        round_trip(IpCidr::host(a))?;
        if let Ok(host) = HostCidr::new(a, len) {
            round_trip(host)?;
            prop_assert!(host.prefix().contains(a));
        }
        if let Ok(range) = AddressRange::new(a.min(b), a.max(b)) {
            round_trip(range)?;
        }
        let cidr = IpCidr::containing(a, len);
        if let Ok(subnet) = Subnet::new(cidr, None) {
            round_trip(subnet)?;
            prop_assert!(!subnet.assignable(cidr.addr()));
            let range = AddressRange::new(a, cidr.last()).unwrap();
            round_trip(Subnet::new(cidr, Some(range)).unwrap())?;
        }
    }

    /// A block is its prefix without its exceptions, whichever way one looks at it; a range is its prefixes.
    #[test]
    fn blocks_and_ranges_hold_what_they_say(
        base in address(), up in 0_u8..=12, inner in prop::collection::vec((any::<u8>(), 0_u8..=9), 0..6),
        probes in prop::collection::vec(any::<u8>(), 20), ends in (any::<u8>(), any::<u8>()),
    ) {
        let bits = Family::of(base).bits();
        let near = |low: u8| match base {
            IpAddr::V4(a) => IpAddr::V4((a.to_bits() & !0xff | u32::from(low)).into()),
            IpAddr::V6(a) => IpAddr::V6((a.to_bits() & !0xff | u128::from(low)).into()),
        };
        // 12: everything.
        let len = |up: u8| if up == 12 { 0 } else { bits - up };
        let cidr = IpCidr::containing(base, len(up));
        let inner = inner.into_iter().map(|(low, up)| IpCidr::containing(near(low), len(up)));
        let inner: Vec<_> = inner.filter(|i| *i != cidr && cidr.contains_cidr(*i)).collect();
        let block = CidrBlock::new(cidr, &inner).unwrap();
        round_trip(block.clone())?;
        let ranges = block.to_ranges();
        for pair in ranges.windows(2) {
            prop_assert!(pair[0].last() < pair[1].first(), "{:?}", ranges);
        }
        let range = AddressRange::new(near(ends.0.min(ends.1)), near(ends.0.max(ends.1))).unwrap();
        for probe in probes.into_iter().map(near).chain([cidr.addr(), cidr.last()]) {
            let meant = cidr.contains(probe) && !inner.iter().any(|i| i.contains(probe));
            prop_assert_eq!(block.contains(probe), meant);
            prop_assert_eq!(ranges.iter().any(|r| r.contains(probe)), meant);
            let times = range.to_prefixes().iter().filter(|p| p.contains(probe)).count();
            prop_assert_eq!(times, usize::from(range.contains(probe)));
            let times = ranges.iter().flat_map(|r| r.to_prefixes()).filter(|p| p.contains(probe)).count();
            prop_assert_eq!(times, usize::from(meant));
        }
    }

    #[test]
    fn numbers_and_words_read_what_they_print(
        n in any::<u64>(), first in 1_u64..=65535, last in 1_u64..=65535, p in any::<u8>(),
    ) {
        round_trip(Vni::new(n % 0xff_ffff + 1).unwrap())?;
        round_trip(EndpointUid::new(n % 0xffff_ffff_ffff + 1).unwrap())?;
        round_trip(Revision::new(n))?;
        round_trip(Dscp::new(n % 64).unwrap())?;
        round_trip(Burst::new(n % 10485 + 2).unwrap())?;
        round_trip(Bandwidth::from_kbps(n % 4_000_000_000 + 1).unwrap())?;
        round_trip(PortRange::new(port(first.min(last)), port(first.max(last))).unwrap())?;
        if let Ok(protocol) = IpProtocol::from_number(p) {
            round_trip(protocol)?;
        }
    }

    /// The masks of a range cover each of its ports once, and no other.
    #[test]
    fn masks_cover_exactly_the_range(first in 1_u64..=65535, last in 1_u64..=65535, probe in any::<u16>()) {
        let (first, last) = (first.min(last), first.max(last));
        let range = PortRange::new(port(first), port(last)).unwrap();
        let hits = range.to_masks().iter().filter(|(value, mask)| probe & mask == *value).count();
        prop_assert_eq!(hits, usize::from((first..=last).contains(&u64::from(probe))));
        prop_assert!(range.to_masks().len() <= 30);
    }

    #[test]
    fn services_read_what_they_print(
        ranges in prop::collection::vec((1_u64..200, 1_u64..200), 1..6), kind in any::<u8>(),
        code in prop::option::of(any::<u8>()), probe in any::<u8>(), protocol in 0_usize..3,
    ) {
        let range = |(a, b): (u64, u64)| PortRange::new(port(a.min(b)), port(a.max(b))).unwrap();
        let ports = Ports::new(ranges.iter().copied().map(range).collect()).unwrap();
        let hits = ports.to_masks().iter().filter(|(value, mask)| u16::from(probe) & mask == *value).count();
        let listed = ranges.iter().any(|(a, b)| (*a.min(b)..=*a.max(b)).contains(&u64::from(probe)));
        prop_assert_eq!((hits, ports.contains(probe.into())), (usize::from(listed), listed));
        let protocol = [PortProtocol::Tcp, PortProtocol::Udp, PortProtocol::Sctp][protocol];
        round_trip(Service::Ports(protocol, ports))?;
        round_trip(Service::Icmp(IcmpMessage { kind, code }))?;
        round_trip(Service::Icmpv6(Some(IcmpMessage { kind, code })))?;
        round_trip(Service::Icmpv6(None))?;
        round_trip(Traffic::Ports(protocol, port(ranges[0].0)))?;
        round_trip(Traffic::Icmp { kind, code: code.unwrap_or_default() })?;
        round_trip(Traffic::Ping)?;
    }

    #[test]
    fn names_read_what_they_print(
        label in "[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?", rest in "(\\.[a-z0-9]{1,10}){0,3}",
    ) {
        round_trip(Name::new(label.clone()).unwrap())?;
        let subdomain = format!("{label}{rest}");
        round_trip(NodeName::new(subdomain.clone()).unwrap())?;
        round_trip(EndpointName::new(subdomain).unwrap())?;
    }

    /// Every way to write a rate means the same.
    #[test]
    fn rates_are_read_as_contiv_wrote_them(n in 1_u64..4000, unit in 0_usize..3, space in " ?", tail in "(b|bps)?") {
        let (letters, each) = [("kK", 1), ("mM", 1_000), ("gG", 1_000_000)][unit];
        for letter in letters.chars() {
            let rate: Bandwidth = format!("{n}{space}{letter}{tail}").parse().unwrap();
            prop_assert_eq!(u64::from(rate.kbps()), n * each);
        }
    }

    #[test]
    fn any_text_is_a_rate_or_none(text in "[0-9kmgKMGbps ]{0,10}") {
        reread::<Bandwidth>(&text)?;
    }

    #[test]
    fn any_text_is_refused_or_understood(text in "[0-9a-fA-F:./+ -]{0,24}") {
        reread::<MacAddr>(&text)?;
        reread::<IpCidr>(&text)?;
        reread::<HostCidr>(&text)?;
        reread::<AddressRange>(&text)?;
        reread::<Subnet>(&text)?;
        reread::<PortRange>(&text)?;
        reread::<IpProtocol>(&text)?;
        reread::<Traffic>(&text)?;
        reread::<Name>(&text)?;
        reread::<NodeName>(&text)?;
        reread::<Vni>(&text)?;
    }
}

#[test]
fn a_rate_without_a_burst_has_one_second_of_it() {
    let rate = "20Mbps".parse().unwrap();
    assert_eq!(RateLimit { rate, burst: None }.burst_kilobits(), 20_000);
    let burst = Some(Burst::new(1500).unwrap());
    assert_eq!(RateLimit { rate, burst }.burst_kilobits(), 12_000);
    assert_eq!(Bandwidth::from_kbps(1500).unwrap().to_string(), "1500Kbps");
    assert_eq!("1000Mbps".parse::<Bandwidth>().unwrap().to_string(), "1Gbps");
}
