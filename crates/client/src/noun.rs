//! The nouns, and the calls they share.

use std::time::Duration;

use api::v1::Item;
use api::{Code, Parameter, Route, v1};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::call::Extra;
use crate::{Client, Error};

/// Objects asked for at once.
const PAGE: u32 = 500;
/// How often a list is begun.
const LIST_ATTEMPTS: u32 = 4;
/// Longer than netmaster gives an audit.
const AUDIT_PATIENCE: Duration = Duration::from_secs(290);
/// Switches are asked after those who asked before: an audit, of all switches, may take 90 s to ask.
const EXPLAIN_PATIENCE: Duration = Duration::from_secs(120);
const NO_BODY: Option<&()> = None;

/// A noun of the API.
pub trait Noun {
    /// What the server answers.
    type Object: DeserializeOwned + Serialize + Item + Clone + PartialEq;
    /// `network`; the name of its path parameter too.
    const NAME: &'static str;
    /// Whether it lives in a tenant.
    const IN_TENANT: bool;
    /// Lists.
    const LIST: Route;
    /// Reads one.
    const READ: Route;
    /// Deletes one.
    const DELETE: Route;
}

/// A noun that people write.
pub trait WritableNoun: Noun {
    /// What people write.
    type Body: Serialize;
    /// Creates.
    const CREATE: Route;
    /// Creates or replaces.
    const REPLACE: Route;
}

macro_rules! nouns {
    ($($(#[$doc:meta])* $noun:ident, $module:ident, $object:ident, $name:literal, $in_tenant:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub struct $noun;

        impl Noun for $noun {
            type Object = v1::$object;
            const NAME: &'static str = $name;
            const IN_TENANT: bool = $in_tenant;
            const LIST: Route = v1::$module::LIST;
            const READ: Route = v1::$module::READ;
            const DELETE: Route = v1::$module::DELETE;
        }
    )*};
}

nouns! {
    /// Tenants.
    Tenants, tenant, Tenant, "tenant", false;
    /// Networks.
    Networks, network, Network, "network", true;
    /// Endpoint groups.
    Groups, group, Group, "group", true;
    /// Policies.
    Policies, policy, Policy, "policy", true;
    /// Network profiles.
    NetProfiles, netprofile, NetProfile, "netprofile", true;
    /// Endpoints.
    Endpoints, endpoint, Endpoint, "endpoint", true;
    /// Nodes.
    Nodes, node, Node, "node", false;
}

macro_rules! writable {
    ($($noun:ident, $module:ident, $body:ident;)*) => {$(
        impl WritableNoun for $noun {
            type Body = v1::$body;
            const CREATE: Route = v1::$module::CREATE;
            const REPLACE: Route = v1::$module::REPLACE;
        }
    )*};
}

writable! {
    Tenants, tenant, TenantBody;
    Networks, network, NetworkBody;
    Groups, group, GroupBody;
    Policies, policy, PolicyBody;
    NetProfiles, netprofile, NetProfileBody;
    Endpoints, endpoint, EndpointBody;
}

/// Where an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address<'a> {
    /// Its tenant; not read for nouns that live in none.
    pub tenant: &'a str,
    /// Its name.
    pub name: &'a str,
}

impl Client {
    /// Every object of a noun, in one tenant if it lives in one: as many pages as it takes, all at one revision.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn list<N: Noun>(&self, tenant: &str) -> Result<v1::List<N::Object>, Error> {
        let mut attempts = 1;
        let mut whole: v1::List<N::Object> = self.page::<N>(tenant, PAGE, None).await?;
        while let Some(place) = whole.next.take() {
            match self.page::<N>(tenant, PAGE, Some(&place)).await {
                Ok(page) => {
                    whole.items.extend(page.items);
                    whole.next = page.next;
                }
                // History was cut while we read.
                Err(e) if e.problem().is_some_and(|p| p.code == Code::Gone) && attempts < LIST_ATTEMPTS => {
                    attempts += 1;
                    whole = self.page::<N>(tenant, PAGE, None).await?;
                }
                Err(e) => return Err(e),
            }
        }
        Ok(whole)
    }

    /// One page of a list: the first, or the one after `place`, which is `next` of the page before.
    ///
    /// # Errors
    /// [`Error`]; `gone` when the list's revision is forgotten.
    pub async fn page<N: Noun>(
        &self,
        tenant: &str,
        limit: u32,
        place: Option<&str>,
    ) -> Result<v1::List<N::Object>, Error> {
        let limit = limit.to_string();
        let mut query = vec![(Parameter::Limit.name(), limit.as_str())];
        query.extend(place.map(|place| (Parameter::Continue.name(), place)));
        let extra = Extra { parameters: &[("tenant", tenant)], query: &query, ..Extra::default() };
        self.call(&N::LIST, extra, NO_BODY).await
    }

    /// One object.
    ///
    /// # Errors
    /// [`Error`]; `not_found` when there is none.
    pub async fn read<N: Noun>(&self, at: Address<'_>) -> Result<N::Object, Error> {
        self.call(&N::READ, Extra { parameters: &parameters::<N>(at), ..Extra::default() }, NO_BODY).await
    }

    /// Creates an object.
    ///
    /// # Errors
    /// [`Error`]; `already_exists` when there is one.
    pub async fn create<N: WritableNoun>(&self, tenant: &str, body: &N::Body) -> Result<N::Object, Error> {
        self.call(&N::CREATE, Extra { parameters: &[("tenant", tenant)], ..Extra::default() }, Some(body))
            .await
    }

    /// Creates or replaces an object; with a version, only if it is at that version.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn replace<N: WritableNoun>(
        &self,
        at: Address<'_>,
        body: &N::Body,
        version: Option<&str>,
    ) -> Result<N::Object, Error> {
        self.call(
            &N::REPLACE,
            Extra { parameters: &parameters::<N>(at), if_match: version, ..Extra::default() },
            Some(body),
        )
        .await
    }

    /// Deletes an object.
    ///
    /// # Errors
    /// [`Error`]; `in_use` when others need it.
    pub async fn delete<N: Noun>(&self, at: Address<'_>) -> Result<(), Error> {
        let extra = Extra { parameters: &parameters::<N>(at), ..Extra::default() };
        self.call::<(), serde::de::IgnoredAny>(&N::DELETE, extra, None).await.map(drop)
    }

    /// Applies documents, all or nothing.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn apply(&self, body: &v1::ApplyBody) -> Result<v1::Apply, Error> {
        self.call(&v1::apply::APPLY, Extra::default(), Some(body)).await
    }

    /// Makes a join file for a node.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn join_token(&self, node: &str) -> Result<v1::JoinFile, Error> {
        let extra = Extra { parameters: &[("node", node)], ..Extra::default() };
        self.call(&v1::node::JOIN_TOKEN, extra, NO_BODY).await
    }

    /// Cordons a node: it takes no new endpoints.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn cordon(&self, node: &str) -> Result<v1::Node, Error> {
        self.call(&v1::node::CORDON, of_node(&[("node", node)]), NO_BODY).await
    }

    /// Lets a cordoned node take endpoints again.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn uncordon(&self, node: &str) -> Result<v1::Node, Error> {
        self.call(&v1::node::UNCORDON, of_node(&[("node", node)]), NO_BODY).await
    }

    /// Cordons a node and deletes its endpoints.
    ///
    /// # Errors
    /// [`Error`]; what was deleted until then stays deleted.
    pub async fn drain(&self, node: &str) -> Result<v1::Node, Error> {
        self.call(&v1::node::DRAIN, of_node(&[("node", node)]), NO_BODY).await
    }

    /// Whether the switches do what intent says. Takes as long as netmaster needs for it, which is minutes at most.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn audit(&self) -> Result<v1::Audit, Error> {
        self.call_within(&v1::audit::AUDIT, AUDIT_PATIENCE, Extra::default(), NO_BODY).await
    }

    /// What policy makes of a connection between two endpoints of a tenant.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn explain(&self, tenant: &str, body: &v1::ExplainBody) -> Result<v1::Explanation, Error> {
        let extra = Extra { parameters: &[("tenant", tenant)], ..Extra::default() };
        self.call_within(&v1::explain::EXPLAIN, EXPLAIN_PATIENCE, extra, Some(body)).await
    }

    /// What a policy's rules did.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn counters(&self, policy: Address<'_>) -> Result<v1::PolicyCounters, Error> {
        let parameters = [("tenant", policy.tenant), ("policy", policy.name)];
        self.call(&v1::counters::READ, of_node(&parameters), NO_BODY).await
    }

    /// What the system is doing.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn status(&self) -> Result<v1::Status, Error> {
        self.call(&v1::status::STATUS, Extra::default(), NO_BODY).await
    }

    /// Which release the server is.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn version(&self) -> Result<v1::Version, Error> {
        self.call(&v1::status::VERSION, Extra::default(), NO_BODY).await
    }
}

fn of_node<'a>(parameters: &'a [(&'a str, &'a str)]) -> Extra<'a> {
    Extra { parameters, ..Extra::default() }
}

fn parameters<'a, N: Noun>(at: Address<'a>) -> Vec<(&'static str, &'a str)> {
    let mut parameters = vec![(N::NAME, at.name)];
    if N::IN_TENANT {
        parameters.push(("tenant", at.tenant));
    }
    parameters
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled<N: Noun>() -> String {
        N::READ.path_with(&parameters::<N>(Address { tenant: "blue", name: "web" }))
    }

    #[test]
    fn every_noun_fills_every_parameter_of_its_path() {
        let paths = [
            filled::<Tenants>(),
            filled::<Networks>(),
            filled::<Groups>(),
            filled::<Policies>(),
            filled::<NetProfiles>(),
            filled::<Endpoints>(),
            filled::<Nodes>(),
        ];
        assert!(paths.iter().all(|p| !p.contains('{') && p.ends_with("/web")), "{paths:?}");
        assert_eq!(filled::<Tenants>(), "/api/v1/tenants/web");
        assert_eq!(filled::<Networks>(), "/api/v1/tenants/blue/networks/web");
    }
}
