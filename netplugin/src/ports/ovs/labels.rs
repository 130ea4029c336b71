//! An endpoint port's labels in `external_ids` of its Interface row, and the number it really has.

use ovsdb::vswitch::{Interface, StringMap};
use types::{Invalid, OfPort};

use crate::ports::{EndpointPort, PlugSpec, PortLabels};

const TENANT: &str = "selvage-tenant";
const ENDPOINT: &str = "selvage-endpoint";
const CONTAINER_ID: &str = "selvage-container-id";
const IFNAME: &str = "selvage-ifname";
const NETNS: &str = "selvage-netns";
const CONFIG: &str = "selvage-cni-config";
const OFPORT: &str = "selvage-ofport";

/// The labels of a new port.
pub(super) fn write(plug: &PlugSpec) -> StringMap {
    let labels = &plug.labels;
    StringMap::from([
        (TENANT.into(), labels.tenant.to_string()),
        (ENDPOINT.into(), labels.endpoint.to_string()),
        (CONTAINER_ID.into(), labels.container_id.clone()),
        (IFNAME.into(), labels.ifname.clone()),
        (NETNS.into(), labels.netns.display().to_string()),
        (CONFIG.into(), labels.config_name.clone()),
        (OFPORT.into(), plug.ofport.to_string()),
    ])
}

/// A port of an earlier life.
pub(super) fn read(interface: &Interface) -> EndpointPort {
    let requested = interface.external_ids.get(OFPORT).and_then(|n| n.parse().ok());
    // Defect: believe the number written down instead of the one the switch uses.
    let ofport = match requested {
        Some(recorded) if crate::sabotaged!("skip-ofport-check") => Ok(recorded),
        _ => actual_ofport(interface),
    };
    EndpointPort { ofport, requested, labels: read_labels(&interface.external_ids) }
}

/// The number the switch uses, or why there is none.
pub(super) fn actual_ofport(interface: &Interface) -> Result<OfPort, String> {
    if let Some(error) = &interface.error {
        return Err(error.clone());
    }
    let number = interface.ofport.ok_or("the switch has not looked at it yet")?;
    let number = u64::try_from(number).map_err(|_| "the switch could not open it")?;
    OfPort::new(number).map_err(|e| e.to_string())
}

fn read_labels(ids: &StringMap) -> Result<PortLabels, String> {
    let get = |key: &str| ids.get(key).cloned().ok_or_else(|| format!("external_ids lack {key}"));
    let invalid = |e: Invalid| e.to_string();
    Ok(PortLabels {
        tenant: get(TENANT)?.parse().map_err(invalid)?,
        endpoint: get(ENDPOINT)?.parse().map_err(invalid)?,
        container_id: get(CONTAINER_ID)?,
        ifname: get(IFNAME)?,
        netns: get(NETNS)?.into(),
        config_name: get(CONFIG)?,
    })
}
