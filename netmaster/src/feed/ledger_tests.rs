//! What a node is sent, acknowledges and refuses is accounted for.

use node_api::Known;
use proptest::prelude::*;
use types::{EndpointUid, NodeName};

use super::*;

fn store(n: u8) -> StoreId {
    StoreId::new(format!("{n:032x}")).unwrap()
}

fn key(n: u64) -> FragmentKey {
    FragmentKey::Endpoint(EndpointUid::new(n).unwrap())
}

fn hash(version: u8) -> FragmentHash {
    FragmentHash::of(&[version])
}

fn span(of: &[(u64, u8)]) -> Span {
    of.iter().map(|(k, v)| (key(*k), hash(*v))).collect()
}

fn subscribe(known: Option<(u8, u64)>, held: Span) -> Subscribe {
    Subscribe {
        node: NodeName::new("node-a").unwrap(),
        protocol: node_api::PROTOCOL,
        agent_version: String::new(),
        features: BTreeSet::new(),
        known: known.map(|(s, r)| Known { store_id: store(s), revision: Revision::new(r) }),
        held,
        unknown: BTreeSet::new(),
    }
}

/// An agent that holds just what it must.
fn synced(held: &[(u64, u8)]) -> Sut {
    sut(subscribe(Some((1, 5)), span(held)), &span(held))
}

fn sut(subscribe: Subscribe, now: &Span) -> Sut {
    Sut { ledger: Ledger::new(subscribe, &store(1), now), span: now.clone() }
}

/// A ledger that is told how its span changes.
struct Sut {
    ledger: Ledger,
    span: Span,
}

impl Sut {
    fn change(&mut self, now: &Span) {
        let keys: BTreeSet<FragmentKey> = self.span.keys().chain(now.keys()).cloned().collect();
        let news = keys.into_iter().filter(|k| self.span.get(k) != now.get(k));
        self.ledger.note(news.map(|k| (k.clone(), self.span.get(&k).copied())).collect());
        self.span = now.clone();
    }

    fn next(&mut self, revision: Revision, now: &Span) -> Option<Difference> {
        self.change(now);
        self.ledger.next(revision, |key| now.get(key).copied())
    }
}

impl std::ops::Deref for Sut {
    type Target = Ledger;
    fn deref(&self) -> &Ledger {
        &self.ledger
    }
}

impl std::ops::DerefMut for Sut {
    fn deref_mut(&mut self) -> &mut Ledger {
        &mut self.ledger
    }
}

fn rev(n: u64) -> Revision {
    Revision::new(n)
}

fn keys(of: &[u64]) -> BTreeSet<FragmentKey> {
    of.iter().map(|n| key(*n)).collect()
}

fn refusal(n: u64) -> BTreeMap<String, String> {
    BTreeMap::from([(key(n).to_string(), "unknown field".to_owned())])
}

#[test]
fn agent_that_holds_everything_is_sent_nothing() {
    let mut ledger = synced(&[(1, 1), (2, 1)]);
    assert_eq!(ledger.next(rev(9), &span(&[(1, 1), (2, 1)])), None);
    assert!(!ledger.is_waiting());
}

#[test]
fn only_the_difference_is_sent() {
    let mut ledger = synced(&[(1, 1), (2, 1), (3, 1)]);
    let difference = ledger.next(rev(9), &span(&[(1, 1), (2, 2), (4, 1)])).unwrap();
    assert_eq!((difference.upserts, difference.removes), (keys(&[2, 4]), keys(&[3])));
}

#[test]
fn agent_of_another_history_is_told_even_when_nothing_differs() {
    for known in [None, Some((2, 500))] {
        let held = if known.is_some() { span(&[(1, 1)]) } else { Span::new() };
        let mut ledger = sut(subscribe(known, held.clone()), &held);
        let difference = ledger.next(rev(9), &held).unwrap();
        assert!(difference.upserts.is_empty() && difference.removes.is_empty());
        ledger.ack(rev(9)).unwrap();
        assert_eq!(ledger.next(rev(10), &held), None);
    }
}

#[test]
fn keys_of_another_release_are_removed() {
    let mut s = subscribe(Some((1, 5)), Span::new());
    s.unknown.insert("bgp/1".to_owned());
    let difference = sut(s, &Span::new()).next(rev(9), &Span::new()).unwrap();
    assert_eq!(difference.removes_unknown, BTreeSet::from(["bgp/1".to_owned()]));
}

#[test]
fn slow_agent_gets_the_latest_state_and_no_queue() {
    let mut ledger = synced(&[]);
    assert!(ledger.next(rev(6), &span(&[(1, 1)])).is_some());
    for n in 2..50 {
        assert_eq!(ledger.next(rev(5 + u64::from(n)), &span(&[(1, n)])), None);
        assert_eq!(ledger.behind(), 1, "however often it changes");
    }
    ledger.ack(rev(6)).unwrap();
    let difference = ledger.next(rev(99), &span(&[(1, 50), (2, 1)])).unwrap();
    assert_eq!(difference.upserts, keys(&[1, 2]));
    ledger.ack(rev(99)).unwrap();
    assert_eq!(ledger.next(rev(100), &span(&[(1, 50), (2, 1)])), None);
    assert_eq!(ledger.behind(), 0, "nothing is kept of what the agent holds");
}

#[test]
fn refused_fragment_is_not_sent_again_until_it_changes() {
    let mut ledger = synced(&[(1, 1)]);
    let bad = span(&[(1, 2), (2, 1)]);
    assert_eq!(ledger.next(rev(6), &bad).unwrap().upserts, keys(&[1, 2]));
    ledger.nack(Nack { revision: rev(6), refusals: refusal(1) }).unwrap();
    assert_eq!(ledger.refused().collect::<Vec<_>>(), [(&key(1), "unknown field")]);
    assert_eq!(ledger.next(rev(7), &bad), None);
    // Other fragments go on.
    assert_eq!(ledger.next(rev(8), &span(&[(1, 2), (2, 2)])).unwrap().upserts, keys(&[2]));
    ledger.ack(rev(8)).unwrap();
    // New content is tried.
    assert_eq!(ledger.next(rev(9), &span(&[(1, 3), (2, 2)])).unwrap().upserts, keys(&[1]));
    assert_eq!(ledger.refused().count(), 0);
}

#[test]
fn refused_fragment_that_returns_to_the_last_good_content_needs_nothing() {
    let mut ledger = synced(&[(1, 1)]);
    ledger.next(rev(6), &span(&[(1, 2)])).unwrap();
    ledger.nack(Nack { revision: rev(6), refusals: refusal(1) }).unwrap();
    assert_eq!(ledger.next(rev(7), &span(&[(1, 1)])), None);
    assert_eq!(ledger.refused().count(), 0);
}

#[test]
fn last_good_content_of_a_refused_fragment_is_removed_when_it_leaves_the_span() {
    let mut ledger = synced(&[(1, 1)]);
    ledger.next(rev(6), &span(&[(1, 2)])).unwrap();
    ledger.nack(Nack { revision: rev(6), refusals: refusal(1) }).unwrap();
    assert_eq!(ledger.next(rev(7), &Span::new()).unwrap().removes, keys(&[1]));
}

#[test]
fn answers_nobody_asked_for_are_errors() {
    let mut ledger = synced(&[(1, 1)]);
    assert_eq!(ledger.ack(rev(5)), Err(OutOfTurn::Revision { answered: rev(5), sent: None }));
    ledger.next(rev(6), &span(&[(1, 2)])).unwrap();
    assert_eq!(ledger.ack(rev(7)), Err(OutOfTurn::Revision { answered: rev(7), sent: Some(rev(6)) }));
    let stray = ledger.nack(Nack { revision: rev(6), refusals: refusal(9) });
    assert_eq!(stray, Err(OutOfTurn::Fragment(key(9).to_string())));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Whatever changes when, and whatever the agent refuses: once it has answered everything, it holds the last span,
    /// but for what it refused.
    #[test]
    fn agent_ends_with_the_last_span(
        start in proptest::collection::btree_map(1..8_u64, 0..4_u8, 0..8),
        steps in proptest::collection::vec((proptest::collection::btree_map(1..8_u64, 0..4_u8, 0..8), 0..3_u8, any::<u8>()), 1..20),
    ) {
        let typed = |m: &BTreeMap<u64, u8>| -> Span { m.iter().map(|(k, v)| (key(*k), hash(*v))).collect() };
        // The agent never takes content of version 3.
        let bad = hash(3);
        let mut agent: Span = typed(&start).into_iter().filter(|(_, h)| *h != bad).collect();
        let mut ledger = sut(subscribe(Some((1, 1)), agent.clone()), &typed(&start));
        let mut in_flight: Option<(Revision, Difference, Span)> = None;
        let mut last = Span::new();
        let mut answer = |ledger: &mut Sut, (revision, difference, span): (Revision, Difference, Span)| {
            let mut refusals = BTreeMap::new();
            for k in &difference.upserts {
                if span[k] == bad {
                    refusals.insert(k.to_string(), "bad".to_owned());
                } else {
                    agent.insert(k.clone(), span[k]);
                }
            }
            agent.retain(|k, _| !difference.removes.contains(k));
            match refusals.is_empty() {
                true => ledger.ack(revision).unwrap(),
                false => ledger.nack(Nack { revision, refusals }).unwrap(),
            }
            agent.clone()
        };
        let mut now = agent_start(&start, bad);
        for (n, (span, answers, _)) in steps.iter().enumerate() {
            let revision = rev(n as u64 + 2);
            last = typed(span);
            if let Some(difference) = ledger.next(revision, &last) {
                prop_assert!(in_flight.is_none());
                in_flight = Some((revision, difference, last.clone()));
            }
            if *answers > 0 && let Some(update) = in_flight.take() {
                now = answer(&mut ledger, update);
            }
        }
        while let Some(update) = in_flight.take().or_else(|| ledger.next(rev(99), &last).map(|d| (rev(99), d, last.clone()))) {
            now = answer(&mut ledger, update);
        }
        prop_assert!(ledger.behind() <= last.len(), "only refused fragments are kept account of");
        for (k, h) in &last {
            prop_assert!(now.get(k) == Some(h) || *h == bad);
        }
        prop_assert!(now.keys().all(|k| last.contains_key(k)));
    }
}

fn agent_start(start: &BTreeMap<u64, u8>, bad: FragmentHash) -> Span {
    start.iter().map(|(k, v)| (key(*k), hash(*v))).filter(|(_, h)| *h != bad).collect()
}
