//! What an audit makes of what it cannot judge as written: policies that are refused, nodes out of sight, and being told
//! to stop.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test code")]

mod support;

use std::ops::ControlFlow;

use model::{IntentView, Object, Policy};
use oracle::audit::{Claim, Extent, LISTED, Report, audit, audit_while};
use oracle::fabric::Fabric;
use oracle::intent::{Intent, without};
use oracle::switch::Switch;
use support::{audited, node_name, policy, product, rule, two_tenants, view};
use types::PolicyId;

/// The two tenants, with something else than their policy for databases.
fn with_policy(change: impl FnOnce(Policy) -> Policy) -> IntentView {
    let is_it = |o: &Object| matches!(o, Object::Policy(p) if p.spec.name.as_str() == "db-access");
    let mut objects = two_tenants();
    let at = objects.iter().position(is_it).unwrap();
    let Object::Policy(before) = objects.remove(at) else { panic!("no policy") };
    objects.push(Object::Policy(change(before)));
    view(objects)
}

#[test]
fn a_policy_that_does_not_compile_denies_and_is_no_disagreement() {
    // Two policies with one number: neither may be guessed right.
    let view = with_policy(|p| Policy { id: PolicyId::new(8).unwrap(), ..p });
    let (tables, refused) = product::tables_and_refused(&view);
    assert_eq!(refused.objects.len(), 4, "both policies and who names them: {refused:?}");
    let report = audited(&without(&view, &refused.objects), product::sites(&tables));
    assert!(report.disagreements.is_empty(), "{report}");
    let as_written = audited(&view, product::sites(&tables));
    assert!(!as_written.disagreements.is_empty(), "the switches do not do what is written");
}

#[test]
fn a_policy_that_a_node_cannot_render_denies_there_and_is_no_disagreement() {
    // More rules of one level than have a priority of their own.
    let rules = |n| rule(&format!("r{n}"), &format!("ingress 10 any tcp/1-{} allow", 2000 + n));
    let large = policy("blue", "db-access", 7, (0..400).map(rules).collect());
    let Object::Policy(large) = large else { panic!("no policy") };
    let view = with_policy(|_| large);
    let (tables, refused) = product::tables_and_refused(&view);
    assert_eq!((refused.objects.len(), refused.policies.len()), (0, 2), "{refused:?}");
    let audited = |refused: product::Refused| {
        let intent = Intent::new(&view).refusing(refused.policies);
        audit(&intent, &Fabric::new(&intent, product::sites(&tables)))
    };
    let report = audited(refused);
    assert!(report.disagreements.is_empty(), "{report}");
    assert!(!audited(product::Refused::default()).disagreements.is_empty(), "it is denied");
}

/// Audits node 1 alone, with its flows altered.
fn one_node(alter: impl FnOnce(&mut Vec<String>)) -> Report {
    let view = view(two_tenants());
    let tables = product::tables(&view);
    let mut site = product::sites(&tables).remove(0);
    assert_eq!(site.node, node_name(1));
    let mut lines = site.switch.flows().iter().map(ToString::to_string).collect();
    alter(&mut lines);
    site.switch = Switch::read(&lines.join("\n")).unwrap();
    audited(&view, [site])
}

#[test]
fn a_node_out_of_sight_is_no_disagreement_but_what_goes_there_wrongly_is() {
    let report = one_node(|_| {});
    assert!(report.disagreements.is_empty(), "{report}");
    assert!(report.packets > 500, "{report}");
    let report = one_node(|lines| {
        // What is for the web server here takes the way of the one that is there.
        let to = |lines: &[String], words: &[&str]| {
            let found = lines.iter().position(|l| words.iter().all(|w| l.contains(w)));
            found.unwrap_or_else(|| panic!("{words:?}"))
        };
        let there = to(lines, &["dl_dst=0a:58:0a:01:01:0c", "metadata=0x65", "0xc0000202"]);
        let (_, way) = lines[there].split_once(" actions=").unwrap();
        let way = way.to_owned();
        let here = to(lines, &["dl_dst=0a:58:0a:01:01:0b", "metadata=0x65", "->reg1"]);
        let (flow, _) = lines[here].split_once(" actions=").unwrap();
        lines[here] = format!("{flow} actions={way}");
    });
    let named = |d: &&oracle::audit::Disagreement| {
        d.claim == Claim::Policy && d.seen == "delivered to the tunnel to node-2, which is out of sight"
    };
    let found = report.disagreements.iter().find(named).unwrap_or_else(|| panic!("{report}"));
    assert!(found.to.starts_with("blue/web-1"), "{report}");
}

#[test]
fn an_audit_stops_when_told_and_says_so() {
    let view = view(two_tenants());
    let intent = Intent::new(&view);
    let fabric = Fabric::new(&intent, product::sites(&product::tables(&view)));
    let stop_at = |last: usize| {
        let go_on =
            &mut |asked| if asked < last { ControlFlow::Continue(()) } else { ControlFlow::Break(()) };
        audit_while(&intent, &fabric, go_on)
    };
    let stopped = stop_at(100);
    assert_eq!((stopped.packets, stopped.extent), (100, Extent::Stopped));
    let whole = stop_at(usize::MAX);
    assert_eq!((&whole, whole.extent), (&audit(&intent, &fabric), Extent::Whole));
}

#[test]
fn a_switch_without_flows_disagrees_in_bounded_space() {
    let view = view(support::many(100));
    let mut sites = product::sites(&product::tables(&view));
    sites.iter_mut().for_each(|site| site.switch = Switch::default());
    let report = audited(&view, sites);
    assert_eq!(report.disagreements.len(), LISTED, "{report}");
    assert!(report.unlisted > 0);
    let named = report.disagreements.iter().find(|d| !d.rules.is_empty()).unwrap();
    assert!(named.rules.iter().any(|r| r.starts_with("t0/p")), "{:?}", named.rules);
}
