//! Many simulated agents, and when all of them hold a revision.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use futures_util::{StreamExt, TryStreamExt, stream};
use node_api::client::Client;
use node_api::{AttachRequest, AttachSpec};
use test_support::agent::{Agent, Received};
use tokio::sync::mpsc;
use types::{EndpointName, FencingToken, Revision};

use crate::cluster::{Cluster, Netmaster, WIDE, node_name};

/// Handshakes at once.
const AT_ONCE: usize = 32;
/// An agent that hears nothing for this long fails the run.
const PATIENCE: Duration = Duration::from_secs(120);

/// Agents, each with a connection of its own.
pub struct Crowd {
    agents: Vec<Agent>,
    caller: Client,
    token: FencingToken,
    told_in: mpsc::UnboundedSender<Told>,
    told: mpsc::UnboundedReceiver<Told>,
    /// The newest word of every agent.
    at: Vec<(Revision, Received)>,
    sent: Received,
}

/// An agent holds this revision.
struct Told {
    agent: usize,
    at: Instant,
    revision: Revision,
    received: Received,
}

/// All of them got there.
pub struct Reached {
    /// When the last one did.
    pub last: Duration,
    /// Bytes of fragments and keys that all of them were sent.
    pub bytes: usize,
    /// Fragments, likewise.
    pub fragments: usize,
}

impl Crowd {
    /// Connects the first `count` nodes.
    pub async fn connect(cluster: &Cluster, netmaster: &Netmaster, count: usize) -> Result<Self> {
        let connect = |n: usize| async move {
            let client = Client::connect(&netmaster.node, &cluster.ca, Some(&cluster.identities[n])).await?;
            let mut agent = Agent::new(node_name(n)?, client);
            // Reading a thousand agents' fragments would keep the machine busier than netmaster does.
            agent.dialect = None;
            anyhow::Ok(agent)
        };
        let agents: Vec<Agent> = stream::iter(0..count).map(connect).buffered(AT_ONCE).try_collect().await?;
        let caller = agents.first().context("no agent")?.client.clone();
        let token = caller.fence().await?.token;
        let (told_in, told) = mpsc::unbounded_channel();
        let at = vec![(Revision::ZERO, Received::default()); count];
        Ok(Self { agents, caller, token, told_in, told, at, sent: Received::default() })
    }

    /// Opens everybody's session; they then follow by themselves.
    pub async fn open(&mut self) -> Result<()> {
        for (n, mut agent) in self.agents.drain(..).enumerate() {
            let told = self.told_in.clone();
            tokio::spawn(async move {
                let session = agent.open().await?;
                let say = |revision, received| {
                    // Nobody listens at the end of the run.
                    let _ = told.send(Told { agent: n, at: Instant::now(), revision, received });
                };
                agent.serve(session, say).await
            });
        }
        Ok(())
    }

    /// Waits until every agent holds a revision that concerns it.
    pub async fn reach(&mut self, revision: Revision, since: Instant) -> Result<Reached> {
        let mut last = since;
        let mut missing = self.at.iter().filter(|(at, _)| *at < revision).count();
        while missing > 0 {
            let told = tokio::time::timeout(PATIENCE, self.told.recv()).await;
            let Ok(Some(told)) = told else { bail!("{missing} agents did not reach revision {revision}") };
            let before = self.at[told.agent].0;
            self.at[told.agent] = (told.revision, told.received);
            if before < revision && told.revision >= revision {
                missing -= 1;
                last = last.max(told.at);
            }
        }
        let total = |part: fn(&Received) -> usize| self.at.iter().map(|(_, r)| part(r)).sum::<usize>();
        let sent = Received {
            updates: total(|r| r.updates),
            fragments: total(|r| r.fragments),
            bytes: total(|r| r.bytes),
        };
        let before = std::mem::replace(&mut self.sent, sent);
        let (bytes, fragments) = (sent.bytes - before.bytes, sent.fragments - before.fragments);
        Ok(Reached { last: last.duration_since(since), bytes, fragments })
    }

    /// Plugs an endpoint of the tenant that is everywhere into the first node, as CNI does.
    pub async fn attach(&self, name: &str) -> Result<Revision> {
        let spec = AttachSpec {
            tenant: WIDE.parse()?,
            network: "net".parse()?,
            group: Some("grp".parse()?),
            endpoint: EndpointName::new(name)?,
            ipv4: None,
            ipv6: None,
            interface: "eth0".to_owned(),
            container_id: name.to_owned(),
        };
        Ok(self.caller.attach(AttachRequest { spec, token: self.token }).await?.revision)
    }
}
