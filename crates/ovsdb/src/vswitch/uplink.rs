//! The bridge that holds a node's uplink: on the userspace datapath the node's own addresses, that of the tunnels
//! included, live on the internal port of such a bridge.
//!
//! Bridge and uplink appear in one transaction: in between the node would be cut off. It is an ordinary learning
//! switch (`fail_mode` `standalone`), and has the uplink's MAC address so that neighbours notice nothing.

use super::bridge::marked;
use super::names::{DatapathType, DeviceName, Owner};
use super::rows::Vswitch;
use super::tables::{self, BridgeFailMode};
use super::{BuildError, StringMap};
use crate::cache::Database;
use crate::operation::Transaction;
use crate::typed::RowError;

/// The bridge of an uplink as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UplinkBridge {
    /// The bridge's name.
    pub name: DeviceName,
    /// The network device in it.
    pub uplink: DeviceName,
    /// That device's MAC address, in the notation of `other_config:hwaddr`.
    pub hwaddr: String,
}

/// What the database has of an [`UplinkBridge`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UplinkState {
    /// Neither bridge nor uplink.
    Absent,
    /// Exactly what is wanted, whoever made it.
    Ready,
    /// The uplink is in this other bridge.
    InBridge(String),
    /// The name is taken: by a bridge of somebody else, or by one of ours that is not as wanted.
    Taken {
        /// Whether it has our mark.
        ours: bool,
    },
}

impl UplinkBridge {
    /// Compares with a snapshot.
    pub fn state(&self, database: &Database, owner: &Owner) -> Result<UplinkState, RowError> {
        let view = Vswitch::new(database);
        let (bridges, ports) = (view.bridges()?, view.ports()?);
        // Also as a member of a bond, whose port has another name.
        let interface = view.interface(self.uplink.as_str())?.map(|i| i.uuid);
        let port = ports.values().find(|p| interface.is_some_and(|i| p.interfaces.contains(&i)));
        let holder = port.and_then(|p| bridges.values().find(|b| b.ports.contains(&p.uuid)));
        if let Some(other) = holder.filter(|b| b.name != self.name.as_str()) {
            return Ok(UplinkState::InBridge(other.name.clone()));
        }
        let Some(bridge) = bridges.get(self.name.as_str()) else {
            let taken = ports.contains_key(self.name.as_str());
            return Ok(if taken { UplinkState::Taken { ours: false } } else { UplinkState::Absent });
        };
        let is_wanted = DatapathType::Netdev.matches(&bridge.datapath_type)
            && bridge.fail_mode.as_ref().is_none_or(|mode| *mode == BridgeFailMode::Standalone)
            && bridge.other_config.get("hwaddr").is_some_and(|mac| mac.eq_ignore_ascii_case(&self.hwaddr))
            && holder.is_some();
        let ours = owner.owns(&bridge.external_ids);
        Ok(if is_wanted { UplinkState::Ready } else { UplinkState::Taken { ours } })
    }

    /// Creates the bridge with its uplink in it. To be called when [`UplinkBridge::state`] is `Absent`; a database that
    /// has moved on since refuses the second row of a name. [`super::delete_bridge`] takes both away.
    pub fn create(&self, database: &Database, owner: &Owner) -> Result<Transaction, BuildError> {
        let root = Vswitch::new(database).root()?;
        let mark = marked(&StringMap::new(), owner)?;
        let mut tx = Transaction::new();
        let mut ports = Vec::new();
        for (name, kind) in [(&self.name, "internal"), (&self.uplink, "system")] {
            let interface = tx.insert_row([
                tables::Interface::NAME.is(name),
                tables::Interface::TYPE.is(kind),
                tables::Interface::EXTERNAL_IDS.is(mark.clone()),
            ]);
            ports.push(tx.insert_row([
                tables::Port::NAME.is(name),
                tables::Port::INTERFACES.refers([&interface]),
                tables::Port::EXTERNAL_IDS.is(mark.clone()),
            ]));
        }
        let config = [("hwaddr", self.hwaddr.as_str()), ("disable-in-band", "true")];
        let config: StringMap = config.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        let bridge = tx.insert_row([
            tables::Bridge::NAME.is(&self.name),
            tables::Bridge::DATAPATH_TYPE.is(DatapathType::Netdev.as_str()),
            tables::Bridge::FAIL_MODE.is(BridgeFailMode::Standalone),
            tables::Bridge::OTHER_CONFIG.is(config),
            tables::Bridge::EXTERNAL_IDS.is(mark),
            tables::Bridge::PORTS.refers(&ports),
        ]);
        tx.mutate_row(root.uuid, vec![tables::OpenVSwitch::BRIDGES.insert_named([&bridge])]);
        tx.comment(format!("{owner}: create bridge {} of {}", self.name, self.uplink));
        Ok(tx)
    }
}
