//! What is wrong, and why, in words: pure, from what the server says of itself and its nodes.
//!
//! # Invariants
//! * No trouble means that everything stored is enforced everywhere: every node connected, at the newest revision,
//!   without complaints, and every object compiled and served.
//! * Newest first: by the revision a trouble is about, which for a node is the last one it enforced.

use api::v1::{NodeReport, Status};
use serde::Serialize;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Trouble {
    /// What has it: `node node-1`, `policy blue/guard`, `store`.
    pub object: String,
    /// Stable, for programs: `disconnected`, `behind`, a warning's code, ...
    pub condition: String,
    /// When, as far as it is known: a moment, or a revision.
    pub since: String,
    /// In words.
    pub why: String,
    /// For the order; what is now comes first.
    #[serde(skip)]
    revision: u64,
}

/// Everything that is wrong, newest first.
pub fn troubles(status: &Status) -> Vec<Trouble> {
    let mut all = Vec::new();
    if !status.store.ok {
        all.push(Trouble {
            object: "store".to_owned(),
            condition: "unavailable".to_owned(),
            since: String::new(),
            why: status.store.reason.clone().unwrap_or_else(|| "it does not answer".to_owned()),
            revision: u64::MAX,
        });
    }
    all.extend(status.nodes.iter().flat_map(|node| of_node(node, &status.revision)));
    all.extend(status.refused.iter().map(|r| Trouble {
        object: r.object.clone(),
        condition: "refused".to_owned(),
        since: at(&r.resource_version),
        why: format!("{}; what refers to it is denied", r.reason),
        revision: number(&r.resource_version),
    }));
    all.extend(status.failed.iter().map(|f| Trouble {
        object: f.object.clone(),
        condition: "endpoint_failed".to_owned(),
        since: at(&f.resource_version),
        why: format!("node {} cannot serve it: {}", f.node, f.reason),
        revision: number(&f.resource_version),
    }));
    all.sort_by(|a, b| (b.revision, &a.object, &a.condition).cmp(&(a.revision, &b.object, &b.condition)));
    all
}

fn of_node(node: &NodeReport, newest: &str) -> Vec<Trouble> {
    let enforced = node.realized_revision.as_deref();
    let trouble = |condition: &str, since: String, why: String| Trouble {
        object: format!("node {}", node.node),
        condition: condition.to_owned(),
        since,
        why,
        revision: enforced.map(number).unwrap_or_default(),
    };
    let behind = enforced.is_none_or(|e| number(e) < number(newest));
    let has = match enforced {
        Some(enforced) if behind => {
            format!("its switch enforces revision {enforced}, the newest is {newest}")
        }
        Some(_) => "its switch enforced the newest revision when it left".to_owned(),
        None => "what its switch enforces is not known".to_owned(),
    };
    let mut all = Vec::new();
    match (&node.since, node.connected) {
        (_, true) if behind => all.push(trouble("behind", enforced.map(at).unwrap_or_default(), has)),
        (_, true) => {}
        (Some(since), false) => {
            all.push(trouble("disconnected", since.clone(), format!("its agent has no session; {has}")));
        }
        (None, false) => {
            let why = format!("its agent has had no session since netmaster started; {has}");
            all.push(trouble("disconnected", String::new(), why));
        }
    }
    let warned =
        node.warnings.iter().map(|w| trouble(&w.code, enforced.map(at).unwrap_or_default(), w.text.clone()));
    all.extend(warned);
    all
}

fn at(revision: &str) -> String {
    format!("revision {revision}")
}

/// A revision as a number; what is none is older than everything.
fn number(revision: &str) -> u64 {
    revision.parse().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(json: &str) -> Status {
        let whole = format!(
            r#"{{"storeId": "s", "store": {{"ok": true}}, "revision": "37", "nodes": [], "refused": [] {json}}}"#
        );
        // Later keys win over the empty ones above.
        let value: serde_json::Value = serde_json::from_str(&whole).unwrap();
        serde_json::from_value(value).unwrap()
    }

    fn lines(status: &Status) -> Vec<String> {
        let line = |t: Trouble| format!("{} | {} | {} | {}", t.object, t.condition, t.since, t.why);
        troubles(status).into_iter().map(line).collect()
    }

    #[test]
    fn nodes_at_the_newest_revision_are_no_trouble() {
        let node =
            r#"{"node": "n1", "connected": true, "since": "2026-01-31T08:30:00Z", "realizedRevision": "37"}"#;
        assert!(troubles(&status(&format!(r#", "nodes": [{node}]"#))).is_empty());
    }

    #[test]
    fn every_trouble_is_told_newest_first() {
        let all = status(
            r#", "store": {"ok": false, "reason": "etcd does not answer"},
               "nodes": [
                 {"node": "n1", "connected": true, "realizedRevision": "34"},
                 {"node": "n2", "connected": false, "since": "2026-01-31T08:30:00Z", "realizedRevision": "12"},
                 {"node": "n3", "connected": false},
                 {"node": "n4", "connected": false, "since": "2026-01-31T09:30:00Z", "realizedRevision": "37"},
                 {"node": "n5", "connected": true, "realizedRevision": "37",
                  "warnings": [{"code": "offload_on", "text": "TCP is lost"}]},
                 {"node": "n6", "connected": true}],
               "refused": [{"object": "policy blue/guard", "resourceVersion": "20", "reason": "too many rules"}],
               "failed": [{"object": "endpoint blue/web", "node": "n1", "resourceVersion": "30", "reason": "no port"}]"#,
        );
        assert_eq!(
            lines(&all),
            [
                "store | unavailable |  | etcd does not answer",
                "node n4 | disconnected | 2026-01-31T09:30:00Z | its agent has no session; its switch enforced the newest revision when it left",
                "node n5 | offload_on | revision 37 | TCP is lost",
                "node n1 | behind | revision 34 | its switch enforces revision 34, the newest is 37",
                "endpoint blue/web | endpoint_failed | revision 30 | node n1 cannot serve it: no port",
                "policy blue/guard | refused | revision 20 | too many rules; what refers to it is denied",
                "node n2 | disconnected | 2026-01-31T08:30:00Z | its agent has no session; its switch enforces revision 12, the newest is 37",
                "node n3 | disconnected |  | its agent has had no session since netmaster started; what its switch enforces is not known",
                "node n6 | behind |  | what its switch enforces is not known",
            ]
        );
    }

    #[test]
    fn revisions_are_compared_as_numbers() {
        let node = r#"{"node": "n1", "connected": true, "realizedRevision": "9"}"#;
        assert_eq!(troubles(&status(&format!(r#", "nodes": [{node}]"#))).len(), 1);
    }
}
