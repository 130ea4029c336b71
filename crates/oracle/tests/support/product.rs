//! What the product makes of intent: compiled, rendered on every node, and read back from text as from a real switch.

use std::collections::{BTreeMap, BTreeSet};

use model::{IntentView, ObjectRef};
use node_state::{Fragment, FragmentKey, NodeState};
use openflow::Flow;
use oracle::fabric::Site;
use oracle::switch::Switch;
use types::{EndpointUid, NodeName, OfPort, PolicyId};

pub const TUNNEL: u32 = 1000;

/// The forms in which a flow's text speaks of a table: its number, its name.
fn spellings() -> impl Iterator<Item = [String; 2]> {
    let one = |table: pipeline::TableInfo| {
        let of = |table: &str| [format!("table={table},"), format!("resubmit(,{table})")];
        let ([in_table, to_table], [in_name, to_name]) = (of(&table.number.to_string()), of(table.name));
        [[in_table, in_name], [to_table, to_name]]
    };
    pipeline::tables().into_iter().flat_map(one)
}

/// A flow's text with the names of tables in place of their numbers, which move whenever a table is added.
pub fn by_name(text: &str) -> String {
    spellings().fold(text.to_owned(), |text, [number, name]| text.replace(&number, &name))
}

/// The way back: a flow's text as the switch takes it.
pub fn by_number(text: &str) -> String {
    spellings().fold(text.to_owned(), |text, [number, name]| text.replace(&name, &number))
}

/// The flows of every node, and which endpoint has which port there.
pub type Tables = BTreeMap<NodeName, (BTreeMap<EndpointUid, u32>, Vec<Flow>)>;

/// What the product does not enforce as written.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Refused {
    /// Objects that have no compiled form.
    pub objects: Vec<ObjectRef>,
    /// Policies that a node cannot render.
    pub policies: BTreeSet<(NodeName, PolicyId)>,
}

pub fn tables(view: &IntentView) -> Tables {
    let (tables, refused) = tables_and_refused(view);
    assert_eq!(refused, Refused::default());
    tables
}

pub fn tables_and_refused(view: &IntentView) -> (Tables, Refused) {
    let compiled = compile::compile(view);
    let mut refused = Refused::default();
    refused.objects.extend(compiled.refused().iter().map(|(object, _)| object.clone()));
    let mut node = |node: &model::Node| {
        let name = node.spec.name.clone();
        let keys = compiled.node(&name);
        let fragments =
            keys.keys().map(|key| Fragment::decode(key, &compiled.fragments()[key].bytes).unwrap());
        let state: NodeState = fragments.collect();
        let local = view.endpoints.values().filter(|e| e.spec.node == name);
        // Ports are numbers of their own on every node.
        let ports: BTreeMap<EndpointUid, u32> = local.map(|e| e.uid).zip(1..).collect();
        let given = pipeline::Ports {
            tunnel: OfPort::new(TUNNEL.into()).ok(),
            endpoints: ports.iter().map(|(uid, port)| (*uid, OfPort::new((*port).into()).unwrap())).collect(),
        };
        let local = pipeline::Local { node: name.clone(), vtep: node.spec.vtep };
        let rendered = pipeline::render(&state, &local, &given);
        for (key, why) in &rendered.refused {
            match key {
                FragmentKey::Policy(id) => drop(refused.policies.insert((name.clone(), *id))),
                // Its group has no compiled form, so that its connections are denied.
                FragmentKey::Endpoint(_) if !refused.objects.is_empty() => {}
                other => panic!("{other}: {why}"),
            }
        }
        (name, (ports, rendered.flows.to_flows().collect()))
    };
    let tables = view.nodes.values().map(&mut node).collect();
    (tables, refused)
}

pub fn sites(tables: &Tables) -> Vec<Site> {
    let site = |(node, (ports, flows)): (&NodeName, &(BTreeMap<EndpointUid, u32>, Vec<Flow>))| {
        let dump: String = flows.iter().map(|f| format!("{f}\n")).collect();
        let switch = Switch::read(&dump).unwrap_or_else(|e| panic!("{e}"));
        Site { node: node.clone(), tunnel: Some(TUNNEL), ports: ports.clone(), switch }
    };
    tables.iter().map(site).collect()
}
