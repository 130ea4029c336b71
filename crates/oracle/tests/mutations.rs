//! Tables that somebody altered: every alteration is noticed, and named by the flow, the rule or the endpoints it is about.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test code")]

mod support;

use openflow::{Action, Field, Flow};
use oracle::audit::{Claim, Disagreement, Report};
use oracle::fabric::Site;
use oracle::switch::Switch;
use support::{audited, node_name, product, two_tenants, view};

/// The flows of node 1 as text, by line, tables by name; what becomes of them is what is audited.
type Lines = Vec<String>;

/// Text with tables by name instead of number, or the other way round.
fn tables(text: &str, by_name: bool) -> String {
    let mut text = text.to_owned();
    for (before, after) in [("table=", ","), ("resubmit(,", ")")] {
        for table in pipeline::tables() {
            let (number, name) = (table.number.to_string(), table.name.to_owned());
            let (from, to) = if by_name { (number, name) } else { (name, number) };
            text = text.replace(&format!("{before}{from}{after}"), &format!("{before}{to}{after}"));
        }
    }
    text
}

/// Audits the two tenants with the flows of node 1 altered.
fn altered(alter: impl FnOnce(&mut Lines)) -> Report {
    let view = view(two_tenants());
    let enforced = product::tables(&view);
    let mut sites = product::sites(&enforced);
    let (ports, flows) = &enforced[&node_name(1)];
    let before: Lines = flows.iter().map(|flow| tables(&flow.to_string(), true)).collect();
    let mut lines = before.clone();
    alter(&mut lines);
    assert_ne!(before, lines, "the alteration altered nothing");
    let switch = Switch::read(&tables(&lines.join("\n"), false)).unwrap_or_else(|e| panic!("{e}"));
    let site = Site { node: node_name(1), tunnel: Some(product::TUNNEL), ports: ports.clone(), switch };
    sites.retain(|s| s.node != site.node);
    sites.push(site);
    audited(&view, sites)
}

/// The one line that has all these words.
fn the<'l>(lines: &'l mut Lines, words: &[&str]) -> &'l mut String {
    let mut found: Vec<&mut String> =
        lines.iter_mut().filter(|line| words.iter().all(|w| line.contains(w))).collect();
    assert_eq!(found.len(), 1, "{words:?}: {found:#?}");
    found.remove(0)
}

/// Replaces a part of the one line that has all these words.
fn replace(words: &[&str], from: &str, to: &str) -> Report {
    altered(|lines| {
        let line = the(lines, words);
        assert!(line.contains(from), "{line}");
        *line = line.replace(from, to);
    })
}

fn remove(words: &[&str]) -> Report {
    altered(|lines| {
        let line = the(lines, words).clone();
        lines.retain(|l| *l != line);
    })
}

/// Some disagreement about this claim has this in its words or flows, and none is about the other claims.
#[track_caller]
fn named(report: &Report, claim: Claim, what: &str) {
    let names = |d: &&Disagreement| d.claim == claim && tables(&d.to_string(), true).contains(what);
    assert!(report.disagreements.iter().any(|d| names(&d)), "{what} is not named: {report}");
}

const DENY: &str = "blue/db-access/no-other-tcp";

/// Ports at node 1: blue's database 1, its web server 2, green's 3 and 4.
const WEB: &str = "in_port=2";

#[test]
fn deny_dropped() {
    named(&remove(&["table=IngressTenant,", "conj_id=28673"]), Claim::Policy, DENY);
}

#[test]
fn deny_turned_into_allow() {
    let report = replace(&["table=IngressTenant,", "conj_id=28673"], "set_field:0x400/0x400->reg0,", "");
    named(&report, Claim::Policy, DENY);
    named(&report, Claim::Policy, "conj_id=28673");
}

#[test]
fn priorities_swapped() {
    let report = altered(|lines| {
        let priority = |line: &String| {
            let (_, rest) = line.split_once("priority=").unwrap();
            format!("priority={},", rest.split(',').next().unwrap())
        };
        let allow = priority(the(lines, &["table=IngressTenant,", "conj_id=28672"]));
        let deny = priority(the(lines, &["table=IngressTenant,", "conj_id=28673"]));
        for line in lines.iter_mut().filter(|l| l.starts_with("table=IngressTenant,")) {
            let swapped = line.replace(&allow, "\0").replace(&deny, &allow);
            *line = swapped.replace('\0', &deny);
        }
    });
    named(&report, Claim::Policy, "blue/db-access/postgres");
}

#[test]
fn port_mask_widened() {
    let report = replace(&["table=IngressTenant,", "tcp,", "0xfffe"], "0xfffe", "0xfff8");
    named(&report, Claim::Policy, "tcp/5434");
    named(&report, Claim::Policy, "0xfff8");
}

#[test]
fn clause_removed() {
    named(&remove(&["table=IngressTenant,", "tcp6,", "0xfffe"]), Claim::Policy, "blue/db-access/postgres");
}

/// What a flow with these words writes into a register.
fn written(lines: &mut Lines, words: &[&str], register: &str) -> String {
    let line = the(lines, words).clone();
    let (before, _) = line.split_once(&format!("->{register}")).unwrap();
    before.rsplit_once("set_field:").unwrap().1.to_owned()
}

#[test]
fn wrong_source_class() {
    let of = |address: &'static str| ["table=SrcClass,", "metadata=0x1/0xffff", address];
    let (web, db) = (of("nw_src=10.1.1.11 "), of("nw_src=10.1.2.12 "));
    let report = altered(|lines| {
        let (own, other) = (written(lines, &web, "reg4"), written(lines, &db, "reg4"));
        let line = the(lines, &web);
        *line = line.replace(&own, &other);
    });
    named(&report, Claim::Policy, "nw_src=10.1.1.11 ");
}

#[test]
fn wrong_destination_class() {
    let report = altered(|lines| {
        let (db, web) = (
            ["table=DstClass,", "metadata=0x1/0xffff", "ipv6_dst=fd00:1:2::12 "],
            ["table=DstClass,", "metadata=0x1/0xffff", "ipv6_dst=fd00:1:1::11 "],
        );
        let (own, other) = (written(lines, &db, "reg5"), written(lines, &web, "reg5"));
        let line = the(lines, &db);
        *line = line.replace(&own, &other);
    });
    named(&report, Claim::Policy, "ipv6_dst=fd00:1:2::12 ");
}

#[test]
fn wrong_vrf_loaded() {
    let report = replace(
        &["table=Classifier,", WEB],
        "set_field:0x1/0xffff->metadata",
        "set_field:0x2/0xffff->metadata",
    );
    named(&report, Claim::Isolation, WEB);
    named(&report, Claim::Policy, "blue/web-1");
}

#[test]
fn wrong_network_loaded() {
    let report = replace(&["table=Classifier,", WEB], "set_field:0x650000/", "set_field:0xc90000/");
    named(&report, Claim::Isolation, "set_field:0xc90000/0xffffff0000->metadata");
}

#[test]
fn source_address_not_guarded() {
    let guard = ["table=SpoofGuard,", " actions", WEB, "nw_src=10.1.1.11 "];
    named(&replace(&guard, "nw_src=10.1.1.11 ", " "), Claim::Spoofing, "with 10.1.");
}

#[test]
fn source_mac_not_guarded() {
    let guard = ["table=SpoofGuard,", WEB, "nw_src=10.1.1.11 "];
    let report = replace(&guard, "dl_src=0a:58:0a:01:01:0b,", "");
    named(&report, Claim::Spoofing, "as its MAC address");
    named(&report, Claim::Spoofing, WEB);
}

#[test]
fn arp_not_guarded() {
    let report = replace(&["table=SpoofGuard,", WEB, "arp_spa=10.1.1.11,arp_op=2"], "arp_spa=10.1.1.11,", "");
    // Nobody hears ARP anyway: a guard more or less shows when discovery is let through as well.
    assert!(report.disagreements.is_empty(), "{report}");
    let report = altered(|lines| {
        lines.push(format!("table=SpoofGuard,priority=101,arp,{WEB} actions=output:1"));
    });
    named(&report, Claim::Spoofing, "ARP about the other's address");
}

#[test]
fn tagged_frames_accepted() {
    let report = replace(&["table=Classifier,", WEB], ",vlan_tci=0x0000/0x1fff", "");
    named(&report, Claim::Spoofing, "VLAN");
}

#[test]
fn ingress_policy_skipped() {
    let report = replace(
        &["table=EgressDefault,", "metadata=0x1/0xffff"],
        "resubmit(,IngressTenant)",
        "resubmit(,Verdict)",
    );
    named(&report, Claim::Policy, DENY);
    named(&report, Claim::Policy, "table=EgressDefault,");
}

#[test]
fn default_flipped() {
    let flow = ["table=IngressDefault,", "metadata=0x1/0xffff"];
    let report = replace(&flow, "actions=", "actions=set_field:0x400/0x400->reg0,");
    named(&report, Claim::Policy, "the default of blue, allow");
    named(&report, Claim::Policy, "table=IngressDefault,");
}

#[test]
fn network_of_another_tenant_accepted() {
    let report = altered(|lines| {
        let line = the(lines, &["table=Classifier,", "tun_id=0xc9,"]);
        *line = line.replace("set_field:0x2/0xffff->metadata", "set_field:0x1/0xffff->metadata");
        *line = line.replace("set_field:0xc90000/", "set_field:0x650000/");
    });
    named(&report, Claim::Isolation, "tun_id=0xc9,");
    named(&report, Claim::Isolation, "out of the tunnel in a network of green");
}

#[test]
fn any_tunnel_source_accepted() {
    let report = altered(|lines| {
        for line in
            lines.iter_mut().filter(|l| l.contains("tun_src=192.0.2.2,") || l.contains("tun_src=192.0.2.2 "))
        {
            *line = line.replace("tun_src=192.0.2.2,", "").replace(",tun_src=192.0.2.2 ", " ");
        }
    });
    named(&report, Claim::Spoofing, "from an address that is no node's");
}

#[test]
fn network_that_does_not_exist_accepted() {
    let report = replace(&["table=Classifier,", "tun_id=0x65,"], "tun_id=0x65,", "");
    named(&report, Claim::Isolation, "in a network that does not exist");
}

#[test]
fn delivered_to_a_port_of_another_tenant() {
    let report =
        replace(&["table=L2Forward,", "set_field:0x2->reg1"], "set_field:0x2->reg1", "set_field:0x4->reg1");
    named(&report, Claim::Isolation, "set_field:0x4->reg1");
    named(&report, Claim::Policy, "delivered to green/web-1");
}

#[test]
fn sent_to_the_wrong_node() {
    let words = ["table=L2Forward,", "dl_dst=0a:58:0a:01:01:0c", "metadata=0x65"];
    named(&replace(&words, "0xc0000202", "0xc0000209"), Claim::Policy, "the tunnel to 192.0.2.9");
}

#[test]
fn routed_into_a_network_of_another_tenant() {
    let words = ["table=L3Forward,", "metadata=0x1/0xffff", "nw_dst=10.1.2.11 "];
    let report = replace(&words, "set_field:0x660000/", "set_field:0xca0000/");
    named(&report, Claim::Isolation, "goes into the tunnel in network 202");
    named(&report, Claim::Isolation, "table=L3Forward,");
}

#[test]
fn local_destination_forgotten() {
    let report = remove(&["table=LocalDst,", "metadata=0x1/0xffff", "nw_dst=10.1.2.12 "]);
    named(&report, Claim::Policy, "blue/db-2 (10.1.2.12)");
}

#[test]
fn invalid_accepted() {
    let report = replace(&["table=Decide,", "+inv"], "actions=drop", "actions=resubmit(,L3Forward)");
    named(&report, Claim::Connection, "+inv");
}

#[test]
fn connections_picked_up_in_the_middle() {
    let report =
        replace(&["table=Decide,priority=110,", ",tcp "], "actions=drop", "actions=resubmit(,SrcClass)");
    named(&report, Claim::Connection, "a TCP connection begins with a SYN");
    named(&report, Claim::Connection, "table=Decide,priority=110,");
}

#[test]
fn errors_of_anyone_accepted() {
    let report =
        replace(&["table=Decide,priority=150,", ",icmp,"], "resubmit(,SrcClass)", "resubmit(,L3Forward)");
    named(&report, Claim::Spoofing, "table=Decide,priority=150,");
}

#[test]
fn replies_dropped() {
    let report = replace(&["table=Decide,priority=140,", "-new+est"], "resubmit(,EgressCount)", "drop");
    named(&report, Claim::Connection, "a reply of an allowed connection");
}

#[test]
fn earlier_connections_not_judged_again() {
    let words = ["table=Decide,priority=125,", "-new+est"];
    let report = replace(&words, "resubmit(,SrcClass)", "resubmit(,L3Forward)");
    named(&report, Claim::Connection, "the connection is not allowed any more");
    named(&report, Claim::Connection, "table=Decide,priority=125,");
}

#[test]
fn replies_of_earlier_connections_not_judged_again() {
    let words = ["table=Decide,priority=130,", "-new+est+rpl"];
    let report = replace(&words, "resubmit(,DstClass)", "resubmit(,L3Forward)");
    named(&report, Claim::Connection, "earlier connection's Reply packet");
    named(&report, Claim::Connection, "table=Decide,priority=130,");
}

#[test]
fn any_generation_taken_for_the_present_one() {
    let report = altered(|lines| {
        for line in lines.iter_mut().filter(|l| l.starts_with("table=ReceiverState,priority=100,")) {
            let (before, rest) = line.split_once(",ct_label=").unwrap();
            *line = format!("{before},{}", rest.split_once(',').unwrap().1);
        }
    });
    named(&report, Claim::Connection, "the connection is not allowed any more");
    named(&report, Claim::Connection, "table=ReceiverState,priority=100,");
}

#[test]
fn replies_judged_as_if_they_opened_a_connection() {
    let report = altered(|lines| lines.retain(|l| !l.starts_with("table=Turn,priority=100,")));
    named(&report, Claim::Connection, "earlier connection's Reply packet");
}

#[test]
fn errors_about_earlier_connections_accepted() {
    let report = replace(&["table=Decide,priority=150,", ",icmp,"], ",reg0=0/0x300", "");
    named(&report, Claim::Connection, "earlier connection's RelatedReply packet");
}

#[test]
fn committed_in_another_zone() {
    let report =
        replace(&["table=ConntrackCommit,", "ip,reg0=0x300/0x300"], "zone=OXM_OF_METADATA[0..15]", "zone=9");
    named(&report, Claim::Policy, "commits the connection in zones [9], not in 1");
    named(&report, Claim::Isolation, "is tracked in zone 9");
}

#[test]
fn one_zone_for_all_tenants() {
    let report =
        replace(&["table=ConntrackZone,priority=100,", "ip "], "zone=OXM_OF_METADATA[0..15]", "zone=1");
    named(&report, Claim::Isolation, "is tracked in zone 1");
    named(&report, Claim::Isolation, "stays in green");
}

#[test]
fn allowed_connections_not_committed() {
    let report = altered(|lines| lines.retain(|l| !l.contains("ct(commit")));
    named(&report, Claim::Policy, "commits the connection in zones [], not in 1");
}

#[test]
fn answered_with_the_mac_of_another() {
    let words = ["table=ArpNd,", "arp,", "metadata=0x65", "arp_tpa=10.1.1.12"];
    let report = replace(&words, "0a:58:0a:01:01:0c", "0a:58:0a:01:01:0d");
    named(&report, Claim::Neighbours, "10.1.1.12 is at 0a:58:0a:01:01:0c");
    named(&report, Claim::Neighbours, "set_field:0a:58:0a:01:01:0d->arp_sha");
}

#[test]
fn flooded_to_another_tenant() {
    let report = altered(|lines| {
        let line = the(lines, &["table=Flood,", "reg0=0x1/0xf", "metadata=0x65"]);
        line.push_str(",output:4");
    });
    named(&report, Claim::Multicast, "green/web-1");
    named(&report, Claim::Isolation, "leaves by port 4");
}

#[test]
fn flooded_to_nobody() {
    let report = remove(&["table=Flood,", "reg0=0x1/0xf", "metadata=0x65"]);
    named(&report, Claim::Multicast, "delivered to everybody else in the network");
}

#[test]
fn two_flows_of_one_priority() {
    let report = altered(|lines| {
        let copy = the(lines, &["table=IngressDefault,", "metadata=0x1/0xffff"]);
        let other = format!("{},udp actions=drop", copy.split(' ').next().unwrap());
        lines.push(other);
    });
    named(&report, Claim::Policy, "flows of one priority match the same packet");
}

#[test]
fn foreign_flow_above_everything() {
    let report =
        altered(|lines| lines.push("table=Classifier,priority=65535,in_port=2 actions=output:4".to_owned()));
    named(&report, Claim::Isolation, "in_port=2 actions=output:4");
    let report = altered(|lines| {
        lines.push("table=Classifier,priority=65535,ip,in_port=9 actions=output:1".to_owned())
    });
    named(&report, Claim::Isolation, "any packet from a port that is nobody's");
}

/// A mutated action is not among the words of what the product uses, but one that nobody knows is not overlooked.
#[test]
fn an_action_nobody_knows_is_an_error() {
    let flow = Flow::new(0, 1, openflow::Match::any().with(Field::InPort, 2u8)).actions([Action::Group(1)]);
    assert!(Switch::new([flow]).is_err());
}
