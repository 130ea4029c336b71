//! How procedures and sessions talk to the owner task.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use node_api::Known;
use node_state::{FragmentHash, FragmentKey};
use tokio::sync::{mpsc, oneshot};
use types::{EndpointName, EndpointUid, HostCidr, MacAddr, Name, OfPort, RuleId};

use super::Event;
use super::look::Look;
use super::waiters::{Condition, Hopeless};
use crate::ports::allocate::AllocateError;
use crate::report::Status;
use crate::switch::Switch;

/// A question or a wish.
pub enum Request {
    /// Answer when the condition is decided.
    Wait(Condition, oneshot::Sender<Result<(), Hopeless>>),
    /// Answer when intent, as held and saved here, has the endpoint: with a port number for it, unless it has a port or
    /// the flows in the switch are not known.
    Admit(EndpointUid, oneshot::Sender<Option<OfPort>>),
    /// A port number for an endpoint.
    Reserve(EndpointUid, oneshot::Sender<Result<OfPort, AllocateError>>),
    /// The number is not needed after all.
    Release(EndpointUid),
    /// The endpoint is leaving: take its flows out, whatever intent says.
    Leave(EndpointUid),
    /// It is not leaving any more.
    Stay(EndpointUid),
    /// What intent says of an endpoint, by name.
    Find(Name, EndpointName, oneshot::Sender<Option<EndpointFacts>>),
    /// What a subscription tells.
    Holds(oneshot::Sender<Holds>),
    /// How things are.
    Status(oneshot::Sender<Status>),
    /// The switch, or what is under way.
    Look(oneshot::Sender<Result<Look, &'static str>>),
    /// The connection to the switch, whatever is under way.
    Switch(oneshot::Sender<Option<Arc<dyn Switch>>>),
    /// The names of the rules that are enforced here.
    RuleNames(oneshot::Sender<BTreeMap<RuleId, RuleName>>),
    /// A reclaim failed: try again later.
    ReclaimFailed(EndpointUid),
}

/// What intent says of a local endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointFacts {
    /// Its number.
    pub uid: EndpointUid,
    /// Its MAC address.
    pub mac: MacAddr,
    /// Its addresses with the lengths of their subnets.
    pub addresses: Vec<HostCidr>,
    /// Its gateways.
    pub gateways: Vec<IpAddr>,
}

/// What people call a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleName {
    /// Whose it is.
    pub tenant: Name,
    /// Its policy.
    pub policy: Name,
    /// The rule in it.
    pub rule: Name,
}

/// Which history the agent's fragments come from, and their hashes.
pub type Holds = (Option<Known>, BTreeMap<FragmentKey, FragmentHash>);

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WaitError {
    /// It took too long.
    #[error("not within {0:?}")]
    Late(Duration),
    /// It will not happen.
    #[error("{0}")]
    Hopeless(String),
    /// The agent is shutting down.
    #[error("the agent is shutting down")]
    Stopped,
}

/// A handle to the owner task.
#[derive(Clone, Debug)]
pub struct AgentHandle {
    events: mpsc::Sender<Event>,
}

impl AgentHandle {
    /// A handle that sends to the owner's queue.
    pub fn new(events: mpsc::Sender<Event>) -> Self {
        Self { events }
    }

    /// Tells the owner something.
    ///
    /// # Errors
    /// [`WaitError::Stopped`].
    pub async fn tell(&self, event: Event) -> Result<(), WaitError> {
        self.events.send(event).await.map_err(|_| WaitError::Stopped)
    }

    /// Waits for a condition.
    ///
    /// # Errors
    /// [`WaitError`].
    pub async fn wait(&self, condition: Condition, patience: Duration) -> Result<(), WaitError> {
        let asked = self.ask(|reply| Request::Wait(condition, reply));
        let answer = tokio::time::timeout(patience, asked).await.map_err(|_| WaitError::Late(patience))??;
        answer.map_err(|Hopeless(reason)| WaitError::Hopeless(reason))
    }

    /// Waits until intent, as held and saved here, has the endpoint. A port number comes with it if one can be given now:
    /// its flows then go the same way as the endpoint's, and nobody has to ask while they do.
    ///
    /// # Errors
    /// [`WaitError`].
    pub async fn admit(&self, uid: EndpointUid, patience: Duration) -> Result<Option<OfPort>, WaitError> {
        let asked = self.ask(|reply| Request::Admit(uid, reply));
        tokio::time::timeout(patience, asked).await.map_err(|_| WaitError::Late(patience))?
    }

    /// A port number for an endpoint, as soon as the flows in the switch are known.
    ///
    /// # Errors
    /// [`WaitError`].
    pub async fn reserve(&self, uid: EndpointUid, patience: Duration) -> Result<OfPort, WaitError> {
        self.wait(Condition::Settled, patience).await?;
        let reserved = self.ask(|reply| Request::Reserve(uid, reply)).await?;
        reserved.map_err(|e| WaitError::Hopeless(e.to_string()))
    }

    /// What intent says of an endpoint of this node.
    ///
    /// # Errors
    /// [`WaitError::Stopped`].
    pub async fn find(&self, tenant: &Name, name: &EndpointName) -> Result<Option<EndpointFacts>, WaitError> {
        self.ask(|reply| Request::Find(tenant.clone(), name.clone(), reply)).await
    }

    /// What a subscription tells.
    ///
    /// # Errors
    /// [`WaitError::Stopped`].
    pub async fn holds(&self) -> Result<Holds, WaitError> {
        self.ask(Request::Holds).await
    }

    /// How things are.
    ///
    /// # Errors
    /// [`WaitError::Stopped`].
    pub async fn status(&self) -> Result<Status, WaitError> {
        self.ask(Request::Status).await
    }

    /// The switch as it should be now, or what is under way that changes that.
    ///
    /// # Errors
    /// [`WaitError::Stopped`].
    pub async fn look(&self) -> Result<Result<Look, &'static str>, WaitError> {
        self.ask(Request::Look).await
    }

    /// The connection to the switch, if there is one.
    ///
    /// # Errors
    /// [`WaitError::Stopped`].
    pub async fn switch(&self) -> Result<Option<Arc<dyn Switch>>, WaitError> {
        self.ask(Request::Switch).await
    }

    /// The names of the rules that are enforced here.
    ///
    /// # Errors
    /// [`WaitError::Stopped`].
    pub async fn rule_names(&self) -> Result<BTreeMap<RuleId, RuleName>, WaitError> {
        self.ask(Request::RuleNames).await
    }

    /// Sends a request that has no answer.
    ///
    /// # Errors
    /// [`WaitError::Stopped`].
    pub async fn request(&self, request: Request) -> Result<(), WaitError> {
        self.tell(Event::Request(request)).await
    }

    async fn ask<T>(&self, request: impl FnOnce(oneshot::Sender<T>) -> Request) -> Result<T, WaitError> {
        let (reply, answer) = oneshot::channel();
        self.request(request(reply)).await?;
        answer.await.map_err(|_| WaitError::Stopped)
    }
}
