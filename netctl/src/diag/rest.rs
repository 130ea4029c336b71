//! What netmaster's REST API has: versions, status, every object the caller may read.

use client::{Client, Endpoints, Groups, NetProfiles, Networks, Nodes, Policies, Tenants};
use serde::Serialize;

use super::Archive;
use super::redact::{Allowed, Clean, Redactor};
use crate::cmd::{Shown, list_of};
use crate::trouble::troubles;

/// Members of objects and of the status that may leave.
const ALLOWED: Allowed = Allowed {
    keys: &[
        "action",
        "addresses",
        "agentVersion",
        "any",
        "burst",
        "cidr",
        "code",
        "condition",
        "connected",
        "cooling",
        "cordoned",
        "defaultAction",
        "direction",
        "dscp",
        "egress",
        "endpoints",
        "errors",
        "except",
        "failed",
        "family",
        "flows",
        "gateway",
        "group",
        "groups",
        "id",
        "icmpCode",
        "icmpType",
        "ingress",
        "ipv4",
        "ipv6",
        "items",
        "kind",
        "leader",
        "mac",
        "name",
        "netProfile",
        "netProfiles",
        "network",
        "networks",
        "node",
        "nodes",
        "object",
        "ok",
        "peer",
        "policies",
        "port",
        "priority",
        "protocol",
        "range",
        "rate",
        "realization",
        "realizedRevision",
        "resourceVersion",
        "revision",
        "rules",
        "services",
        "share",
        "since",
        "status",
        "store",
        "storeId",
        "subnet",
        "tenant",
        "uid",
        "used",
        "version",
        "vni",
        "vrf",
        "vtep",
        "waitingFor",
        "warnings",
    ],
    text: &["reason", "refused", "text", "why"],
    open: &[],
};

/// Collects it; `client` may be missing, with the reason.
pub async fn collect(client: Result<Client, String>, redactor: &Redactor, archive: &mut Archive) {
    let client = match client {
        Ok(client) => client,
        Err(reason) => return archive.take("cluster", Err(reason)),
    };
    let version = client.version().await.map_err(|e| e.to_string());
    archive.take("cluster/version.json", version.and_then(|v| clean(&v, redactor)));
    match client.status().await {
        Ok(status) => {
            archive.take("cluster/status.json", clean(&status, redactor));
            archive.take("cluster/troubles.json", clean(&troubles(&status), redactor));
        }
        Err(e) => archive.take("cluster/status.json", Err(e.to_string())),
    }
    objects::<Tenants>(&client, redactor, archive).await;
    objects::<Networks>(&client, redactor, archive).await;
    objects::<Groups>(&client, redactor, archive).await;
    objects::<Policies>(&client, redactor, archive).await;
    objects::<NetProfiles>(&client, redactor, archive).await;
    objects::<Endpoints>(&client, redactor, archive).await;
    objects::<Nodes>(&client, redactor, archive).await;
}

async fn objects<N: Shown>(client: &Client, redactor: &Redactor, archive: &mut Archive) {
    let list = list_of::<N>(None, client).await.map_err(|fault| fault.line());
    let name = format!("cluster/objects/{}.json", N::NAME);
    archive.take(&name, list.and_then(|list| clean(&list, redactor)));
}

fn clean<T: Serialize>(value: &T, redactor: &Redactor) -> Result<Clean, String> {
    redactor.json(serde_json::to_value(value).map_err(|e| e.to_string())?, &ALLOWED)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An archive that leaves out what people need is as useless as one that tells too much is dangerous: whoever adds a
    /// field decides here.
    #[test]
    fn every_field_of_todays_objects_is_decided_on() {
        let document = serde_json::to_value(api::document()).unwrap();
        let left_out = ["token", "ca", "server"];
        for schema in [
            "Tenant",
            "Network",
            "Group",
            "Policy",
            "Rule",
            "Endpoint",
            "Node",
            "Status",
            "NodeReport",
            "RefusedObject",
            "FailedEndpoint",
            "Warning",
            "Version",
            "Health",
            "Leader",
            "TenantStatus",
            "NetworkStatus",
            "AddressUse",
            "Subnet",
            "GroupStatus",
            "PolicyStatus",
            "EndpointStatus",
            "NodeStatus",
        ] {
            let fields = document["components"]["schemas"][schema]["properties"].as_object();
            let fields = fields.unwrap_or_else(|| panic!("no schema {schema}"));
            for field in fields.keys().map(String::as_str) {
                let decided =
                    [ALLOWED.keys, ALLOWED.text, ALLOWED.open, &left_out].iter().any(|l| l.contains(&field));
                assert!(decided, "{schema}.{field} is on no list of what may leave");
            }
        }
    }
}
