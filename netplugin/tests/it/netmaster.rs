//! A netmaster in the test's own process: intent as a few fragments, handed to the agent as a session would.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use netplugin::agent::{AgentHandle, Event, SessionEvent};
use netplugin::intent::Intent;
use node_api::{
    AgentMessage, AttachReply, AttachRequest, CallError, DetachRequest, ErrorCode, Incarnation, Update,
};
use node_state::{
    Endpoint, Fragment, FragmentKey, Group, Network, NetworkSubnet, Node, Policy, PolicyRule, RulePeer,
    RuleService, Vrf,
};
use tokio::sync::mpsc;
use types::{
    DefaultAction, EndpointUid, FencingToken, GroupMoves, HostCidr, MacAddr, Name, NodeName, Revision,
    StoreId, Vni, VrfId,
};

pub const NODE: &str = "node-a";
pub const VTEP: &str = "192.0.2.1";

/// Two tenants with equal networks `web` (10.1.1.0/24, fd00:1::/64): blue has VRF 1 and VNI 101, green 2 and 102.
pub struct FakeNetmaster {
    intent: Mutex<Intentions>,
    session: Mutex<(AgentHandle, mpsc::Sender<AgentMessage>)>,
}

#[derive(Default)]
struct Intentions {
    revision: u64,
    fragments: BTreeMap<FragmentKey, Fragment>,
    names: BTreeMap<(Name, String), EndpointUid>,
    next: u64,
    token: u64,
    away: bool,
    silent: bool,
    swallows: bool,
    on_their_way: Vec<DetachRequest>,
    detached: Vec<String>,
}

fn parse<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().unwrap()
}

fn tenant_number(name: &Name) -> Option<u16> {
    match name.as_str() {
        "blue" => Some(1),
        "green" => Some(2),
        _ => None,
    }
}

impl FakeNetmaster {
    /// `answers` gets the agent's acks and nacks.
    pub fn new(agent: AgentHandle, answers: mpsc::Sender<AgentMessage>) -> Arc<Self> {
        let mut intent = Intentions::default();
        let node: NodeName = parse(NODE);
        for (tenant, n) in [("blue", 1u16), ("green", 2)] {
            let vrf = VrfId::new(n.into()).unwrap();
            let subnet = |cidr: &str, gateway: &str| NetworkSubnet {
                cidr: parse(cidr),
                gateway: Some(parse(gateway)),
            };
            intent.put(Fragment::Vrf(Vrf {
                id: vrf,
                tenant: parse(tenant),
                default_action: DefaultAction::Allow,
            }));
            intent.put(Fragment::Network(Network {
                vni: Vni::new(u64::from(n) + 100).unwrap(),
                vrf,
                name: parse("web"),
                subnets: vec![subnet("10.1.1.0/24", "10.1.1.1"), subnet("fd00:1::/64", "fd00:1::1")],
            }));
        }
        intent.put(Fragment::Node(Node { name: node, vtep: parse(VTEP) }));
        Arc::new(Self { intent: Mutex::new(intent), session: Mutex::new((agent, answers)) })
    }

    /// From now on it talks to this agent, the next process.
    pub fn turn_to(&self, agent: AgentHandle, answers: mpsc::Sender<AgentMessage>) {
        *self.session.lock().unwrap() = (agent, answers);
    }

    /// What the agent is told when its session opens: everything.
    pub async fn sync(&self) {
        let update = {
            let intent = self.intent.lock().unwrap();
            intent.update(intent.fragments.keys().cloned().collect(), BTreeSet::new())
        };
        self.send(update).await;
    }

    /// Puts a fragment into intent and tells the agent.
    pub async fn put(&self, fragment: Fragment) {
        let update = {
            let mut intent = self.intent.lock().unwrap();
            let key = fragment.key();
            intent.put(fragment);
            intent.update(BTreeSet::from([key]), BTreeSet::new())
        };
        self.send(update).await;
    }

    /// Deletes an endpoint from intent as an operator would, and tells the agent.
    pub async fn remove(&self, uid: EndpointUid) {
        let update = {
            let mut intent = self.intent.lock().unwrap();
            let key = FragmentKey::Endpoint(uid);
            intent.fragments.remove(&key);
            intent.names.retain(|_, u| *u != uid);
            intent.revision += 1;
            intent.update(BTreeSet::new(), BTreeSet::from([key]))
        };
        self.send(update).await;
    }

    pub async fn send(&self, update: Update) {
        let (agent, answers) = self.session.lock().unwrap().clone();
        // An agent that has died is told everything when the next one comes.
        let _ = agent.tell(Event::Session(SessionEvent::Update(Box::new(update), answers))).await;
    }

    /// An update with one fragment in bytes of the test's choice.
    pub fn raw_update(&self, key: &FragmentKey, bytes: Vec<u8>) -> Update {
        let mut intent = self.intent.lock().unwrap();
        intent.revision += 1;
        let mut update = intent.update(BTreeSet::new(), BTreeSet::new());
        update.upserts.insert(key.clone(), bytes.into());
        update
    }

    pub fn go_away(&self, away: bool) {
        self.intent.lock().unwrap().away = away;
    }

    /// As a netmaster whose network was cut: what it is told of deletions it does not answer.
    pub fn be_silent(&self, silent: bool) {
        self.intent.lock().unwrap().silent = silent;
    }

    /// What it was told while it was silent arrives now, as from connections that nobody listens to any more.
    pub async fn deliver_late(&self) -> usize {
        let late = std::mem::take(&mut self.intent.lock().unwrap().on_their_way);
        let count = late.len();
        for request in late {
            let _ = self.carry_out(request).await;
        }
        count
    }

    /// Forgets to answer who attaches: the endpoint is made, and nobody hears of it.
    pub fn swallow_attach(&self, swallow: bool) {
        self.intent.lock().unwrap().swallows = swallow;
    }

    async fn carry_out(&self, request: DetachRequest) -> Option<EndpointUid> {
        let there = {
            let intent = self.intent.lock().unwrap();
            intent.names.get(&(request.tenant, request.endpoint.to_string())).copied()
        };
        let meant = match request.incarnation {
            Incarnation::Any => there,
            Incarnation::Numbered(uid) => there.filter(|t| *t == uid),
            Incarnation::Unknown => None,
        };
        if there.is_none() || meant.is_some() {
            self.intent.lock().unwrap().detached.push(request.endpoint.to_string());
        }
        if let Some(uid) = meant {
            self.remove(uid).await;
        }
        there.filter(|_| meant.is_none())
    }

    /// Puts all of blue's endpoints into its group, and tells the agent.
    pub async fn join_group(&self) {
        let update = {
            let mut intent = self.intent.lock().unwrap();
            let group = types::GroupId::new(5).unwrap();
            let blue = |f: &&mut Fragment| matches!(f, Fragment::Endpoint(e) if e.vrf.get() == 1);
            let mut joined = BTreeSet::new();
            for fragment in intent.fragments.values_mut().filter(blue) {
                let Fragment::Endpoint(endpoint) = fragment else { continue };
                endpoint.group = Some(group);
                joined.insert(fragment.key());
            }
            intent.revision += 1;
            intent.update(joined, BTreeSet::new())
        };
        self.send(update).await;
    }

    /// The names of endpoints detached so far.
    pub fn detached(&self) -> Vec<String> {
        self.intent.lock().unwrap().detached.clone()
    }

    pub fn endpoints(&self) -> usize {
        self.intent.lock().unwrap().names.len()
    }
}

impl Intentions {
    fn put(&mut self, fragment: Fragment) {
        self.revision += 1;
        self.fragments.insert(fragment.key(), fragment);
    }

    fn update(&self, keys: BTreeSet<FragmentKey>, removes: BTreeSet<FragmentKey>) -> Update {
        Update {
            store_id: StoreId::new("ab".repeat(16)).unwrap(),
            revision: Revision::new(self.revision),
            upserts: keys.into_iter().map(|k| (k.clone(), self.fragments[&k].encode().into())).collect(),
            removes,
            unknown: BTreeMap::new(),
            removes_unknown: BTreeSet::new(),
        }
    }

    fn attach(
        &mut self,
        AttachRequest { spec, token }: &AttachRequest,
    ) -> Result<(AttachReply, Option<FragmentKey>), CallError> {
        if self.away {
            return Err(away());
        }
        if token.get() != self.token {
            let (code, text) = (ErrorCode::Fenced, "fenced".into());
            return Err(CallError { code: Some(code), status: code.status(), text });
        }
        let missing = |text: &str| CallError {
            code: Some(ErrorCode::NotFound),
            status: ErrorCode::NotFound.status(),
            text: text.into(),
        };
        let tenant = tenant_number(&spec.tenant).ok_or_else(|| missing("no such tenant"))?;
        let (vrf, vni) = (VrfId::new(tenant.into()).unwrap(), Vni::new(u64::from(tenant) + 100).unwrap());
        let name = (spec.tenant.clone(), spec.endpoint.to_string());
        let (uid, new) = match self.names.get(&name) {
            Some(uid) => (*uid, false),
            None => {
                self.next += 1;
                // Tenants number their endpoints alike: equal addresses and MACs in both.
                (EndpointUid::new(0xe000 + u64::from(tenant) * 0x100 + self.next).unwrap(), true)
            }
        };
        let host = if new {
            self.names.keys().filter(|(t, _)| *t == spec.tenant).count() as u8 + 10
        } else {
            match &self.fragments[&FragmentKey::Endpoint(uid)] {
                Fragment::Endpoint(e) => e.mac.octets()[5],
                _ => unreachable!(),
            }
        };
        let addresses: Vec<IpAddr> = vec![
            spec.ipv4.map_or_else(|| parse(&format!("10.1.1.{host}")), IpAddr::from),
            spec.ipv6.map_or_else(|| parse(&format!("fd00:1::{host:x}")), IpAddr::from),
        ];
        let mac = MacAddr::from_u32(0x0a01_0100 + u32::from(host));
        self.names.insert(name, uid);
        let fragment = Fragment::Endpoint(Endpoint {
            uid,
            name: spec.endpoint.clone(),
            vrf,
            vni,
            group: None,
            moves: GroupMoves::default(),
            mac,
            addresses: addresses.clone(),
            node: parse(NODE),
        });
        let key = fragment.key();
        if new {
            self.put(fragment);
        }
        let lens = addresses.iter().map(|a| HostCidr::new(*a, if a.is_ipv4() { 24 } else { 64 }).unwrap());
        let reply = AttachReply {
            uid,
            vrf,
            vni,
            mac,
            addresses: lens.collect(),
            gateways: vec![parse("10.1.1.1"), parse("fd00:1::1")],
            mtu: None,
            revision: Revision::new(self.revision),
        };
        Ok((reply, new.then_some(key)))
    }
}

fn away() -> CallError {
    CallError { code: None, status: ErrorCode::ShuttingDown.status(), text: "netmaster is away".into() }
}

#[async_trait]
impl Intent for FakeNetmaster {
    async fn fence(&self) -> Result<FencingToken, CallError> {
        let mut intent = self.intent.lock().unwrap();
        if intent.away {
            return Err(away());
        }
        intent.token += 1;
        Ok(FencingToken::new(intent.token).unwrap())
    }

    async fn attach(&self, request: AttachRequest) -> Result<AttachReply, CallError> {
        let (reply, update) = {
            let mut intent = self.intent.lock().unwrap();
            let (reply, key) = intent.attach(&request)?;
            if intent.swallows {
                return Err(away());
            }
            (reply, key.map(|k| intent.update(BTreeSet::from([k]), BTreeSet::new())))
        };
        if let Some(update) = update {
            self.send(update).await;
        }
        Ok(reply)
    }

    async fn detach(&self, request: DetachRequest) -> Result<Option<EndpointUid>, CallError> {
        let silent = {
            let mut intent = self.intent.lock().unwrap();
            let silent = intent.silent;
            intent.on_their_way.extend(silent.then(|| request.clone()));
            silent
        };
        if silent {
            std::future::pending::<()>().await;
        }
        if self.intent.lock().unwrap().away {
            return Err(away());
        }
        Ok(self.carry_out(request).await)
    }

    fn is_reachable(&self) -> bool {
        !self.intent.lock().unwrap().away
    }
}

/// A policy of blue's, with one rule that denies every ingress TCP connection to the group it is attached to.
pub fn deny_tcp() -> Fragment {
    Fragment::Policy(Policy {
        id: types::PolicyId::new(7).unwrap(),
        vrf: VrfId::new(1).unwrap(),
        name: parse("no-tcp"),
        rules: vec![PolicyRule {
            slot: types::RuleSlot::new(0).unwrap(),
            name: parse("deny"),
            direction: types::Direction::Ingress,
            priority: types::RulePriority::new(10).unwrap(),
            peer: RulePeer::Any,
            service: RuleService::Of(parse::<types::Service>("tcp").into()),
            verdict: types::Verdict::Deny,
        }],
    })
}

/// Blue's group, with that policy.
pub fn group() -> Fragment {
    Fragment::Group(Group {
        id: types::GroupId::new(5).unwrap(),
        vrf: VrfId::new(1).unwrap(),
        name: parse("web"),
        policies: BTreeSet::from([types::PolicyId::new(7).unwrap()]),
        qos: None,
    })
}

/// Blue's group with these rates and no policy.
pub fn limited_group(egress: &str, ingress: &str) -> Fragment {
    let limit = |rate| Some(types::RateLimit { rate: parse(rate), burst: None });
    Fragment::Group(Group {
        id: types::GroupId::new(5).unwrap(),
        vrf: VrfId::new(1).unwrap(),
        name: parse("web"),
        policies: BTreeSet::new(),
        qos: Some(node_state::Qos {
            egress: limit(egress),
            ingress: limit(ingress),
            dscp: None,
            share: types::RateShare::Endpoint,
        }),
    })
}
