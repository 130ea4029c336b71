//! One container as kubelet runs it: a sandbox that cannot be attached is deleted, DEL repeated until it succeeds, and
//! another sandbox is tried, with another id.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::Value;
use test_support::wait_for_blocking;

use crate::lab::{Lab, Node, run};
use crate::suite::Failed;
use crate::suites::runtime::Attachment;

/// Sandboxes tried before a container counts as one that cannot be started.
const ATTEMPTS: usize = 25;
/// How long an agent may be away, and a deletion be repeated.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where a container belongs: tenant, network, group.
pub(super) type Home = (&'static str, &'static str, Option<&'static str>);

/// A container that is started and stopped again and again.
pub(super) struct Container {
    /// Its sandboxes are made after this.
    template: Attachment,
    home: Home,
    prefix: String,
    sandboxes: usize,
    failures: usize,
    attached: Option<Attached>,
}

/// While it runs.
pub(super) struct Attached {
    attachment: Attachment,
    result: Value,
    /// Its namespace.
    pub netns: String,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// Its gateways.
    pub gateways: Vec<IpAddr>,
}

impl Container {
    /// Not started yet.
    pub fn new(lab: &Lab, node: &Node, number: usize, home: Home) -> Self {
        let mut template = Attachment::of(lab, node, "", String::new());
        let (tenant, network, group) = home;
        template.config["tenant"] = tenant.into();
        template.config["network"] = network.into();
        if let Some(object) = template.config.as_object_mut() {
            object.remove("group");
            object.extend(group.map(|g| ("group".to_owned(), g.into())));
        }
        let prefix = lab.mark().netns(&format!("c{number}"));
        Self { template, home, prefix, sandboxes: 0, failures: 0, attached: None }
    }

    pub fn is_attached(&self) -> bool {
        self.attached.is_some()
    }

    pub fn attached(&self) -> Option<&Attached> {
        self.attached.as_ref()
    }

    /// The name of its endpoint, while it runs.
    pub fn endpoint(&self) -> Option<String> {
        self.attached.as_ref().map(|a| a.attachment.endpoint())
    }

    pub fn tenant(&self) -> &'static str {
        self.home.0
    }

    pub fn home(&self) -> (&'static str, &'static str) {
        (self.home.0, self.home.1)
    }

    /// How many ADD have failed.
    pub fn failures(&self) -> usize {
        self.failures
    }

    /// Attaches a sandbox, in the end.
    pub fn start(&mut self) -> Result<()> {
        let mut seen = String::new();
        for _ in 0..ATTEMPTS {
            self.sandboxes += 1;
            let name = format!("{}-{}", self.prefix, self.sandboxes);
            let attachment = self.template.another(&name);
            run::output(&mut run::words(&format!("ip netns add {name}")))?;
            match attachment.call("ADD", None)?.result() {
                Ok(result) => {
                    self.attached = Some(Attached::new(attachment, result)?);
                    return Ok(());
                }
                Err(e) => seen = e,
            }
            self.failures += 1;
            delete(&attachment, None)?;
            attachment.remove_namespace()?;
            // A node that is not ready is given no containers.
            let ready = || attachment.call("STATUS", None).map_err(|e| format!("{e:#}"))?.silent();
            wait_for_blocking("the node to be ready", PATIENCE, ready)?;
        }
        let seen = format!("{}: {ATTEMPTS} sandboxes failed, the last: {seen}", self.prefix);
        Err(Failed { claim: "add-succeeds-in-the-end", seen }.into())
    }

    /// Detaches it and removes its namespace.
    pub fn stop(&mut self) -> Result<()> {
        let Some(attached) = self.attached.take() else { return Ok(()) };
        delete(&attached.attachment, Some(&attached.result))?;
        if let Some(link) = attached.attachment.interface() {
            return Err(Failed { claim: "del-takes-the-interface-away", seen: link.to_string() }.into());
        }
        attached.attachment.remove_namespace()
    }
}

/// DEL, until it succeeds.
fn delete(attachment: &Attachment, previous: Option<&Value>) -> Result<()> {
    let call = || attachment.call("DEL", previous).map_err(|e| format!("{e:#}"))?.silent();
    let deleted = wait_for_blocking("DEL to succeed", PATIENCE, call);
    deleted.map_err(|e| {
        let seen = format!("{}: {e}", attachment.container);
        Failed { claim: "del-succeeds-in-the-end", seen }.into()
    })
}

impl Attached {
    fn new(attachment: Attachment, result: Value) -> Result<Self> {
        let ips = result["ips"].as_array().cloned().unwrap_or_default();
        let field = |key: &str| -> Result<Vec<IpAddr>> {
            let texts = ips.iter().filter_map(|ip| ip[key].as_str());
            let parse = |t: &str| t.split('/').next().unwrap_or(t).parse().with_context(|| t.to_owned());
            texts.map(parse).collect()
        };
        let (addresses, gateways) = (field("address")?, field("gateway")?);
        Ok(Self { netns: attachment.netns.clone(), attachment, result, addresses, gateways })
    }
}
