//! Creating, repairing and removing our bridge.

use std::collections::BTreeSet;

use super::OpenFlowVersion;
use super::names::{DatapathType, DeviceName, Owner};
use super::rows::{Bridge, Vswitch};
use super::tables::{self, BridgeFailMode};
use super::{BuildError, StringMap};
use crate::cache::Database;
use crate::operation::{Condition, Mutation, Row, Transaction};
use crate::typed::{Ref, Table, cells};

/// A bridge as it should be. `fail_mode` is always `secure` (without flows nothing is forwarded) and in-band
/// control is always off (its hidden flows would bypass the pipeline).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BridgeSpec {
    /// Name.
    pub name: DeviceName,
    /// Datapath.
    pub datapath_type: DatapathType,
    /// Protocol versions of the management socket.
    pub protocols: BTreeSet<OpenFlowVersion>,
    /// Further `external_ids`.
    pub external_ids: StringMap,
    /// Further `other_config`.
    pub other_config: StringMap,
}

impl BridgeSpec {
    /// A bridge without further configuration.
    pub fn new(
        name: DeviceName,
        datapath_type: DatapathType,
        protocols: impl IntoIterator<Item = OpenFlowVersion>,
    ) -> Self {
        let protocols = protocols.into_iter().collect();
        Self {
            name,
            datapath_type,
            protocols,
            external_ids: StringMap::new(),
            other_config: StringMap::new(),
        }
    }

    fn other_config(&self) -> StringMap {
        let mut config = self.other_config.clone();
        config.insert("disable-in-band".into(), "true".into());
        config
    }
}

/// Finds our bridge.
pub(super) fn own_bridge(view: Vswitch<'_>, owner: &Owner, name: &DeviceName) -> Result<Bridge, BuildError> {
    let bridge = view.bridge(name.as_str())?.ok_or_else(|| BuildError::NoBridge(name.clone()))?;
    if owner.owns(&bridge.external_ids) {
        Ok(bridge)
    } else {
        Err(BuildError::ForeignBridge { name: name.clone(), mark: owner.clone() })
    }
}

/// Fails the transaction unless the row still is ours.
pub(super) fn require_owned<T: Table>(tx: &mut Transaction, row: Ref<T>, name: &str, owner: &Owner) {
    let conditions =
        vec![Condition::uuid(row), Condition::has_pair("external_ids", owner.key(), owner.value())];
    tx.require(T::TABLE, conditions, &["name"], vec![crate::operation::row([("name", name.into())])]);
}

/// Fails the transaction unless the row is still there; a name never changes.
pub(super) fn require_row_named<T: Table>(tx: &mut Transaction, row: Ref<T>, name: &str) {
    let named = vec![crate::operation::row([("name", name.into())])];
    tx.require(T::TABLE, vec![Condition::uuid(row)], &["name"], named);
}

/// The given `external_ids` and our mark.
pub(super) fn marked(external_ids: &StringMap, owner: &Owner) -> Result<StringMap, BuildError> {
    let mut ids = external_ids.clone();
    match ids.insert(owner.key().to_owned(), owner.value().to_owned()) {
        None => Ok(ids),
        Some(_) => Err(BuildError::ReservedKey(owner.key().to_owned())),
    }
}

/// The pairs of `wanted` that `current` lacks or has with another value.
pub(super) fn missing_pairs(wanted: &StringMap, current: &StringMap) -> StringMap {
    wanted.iter().filter(|(k, v)| current.get(*k) != Some(*v)).map(|(k, v)| (k.clone(), v.clone())).collect()
}

/// Creates the bridge, or repairs what has drifted in ours. A bridge of that name without our mark is an error, and
/// so is one with another datapath: changing that tears down every port.
pub fn ensure_bridge(
    database: &Database,
    owner: &Owner,
    spec: &BridgeSpec,
) -> Result<Transaction, BuildError> {
    let view = Vswitch::new(database);
    match own_bridge(view, owner, &spec.name) {
        Ok(bridge) => repair(owner, spec, &bridge),
        Err(BuildError::NoBridge(_)) => create(view, owner, spec),
        Err(error) => Err(error),
    }
}

fn create(view: Vswitch<'_>, owner: &Owner, spec: &BridgeSpec) -> Result<Transaction, BuildError> {
    // A port of another bridge may have the name; the index of the table would refuse it less clearly.
    if view.port(spec.name.as_str())?.is_some() || view.interface(spec.name.as_str())?.is_some() {
        return Err(BuildError::ForeignPort { name: spec.name.to_string(), mark: owner.clone() });
    }
    let root = view.root()?;
    let mark = marked(&StringMap::new(), owner)?;
    let mut tx = Transaction::new();
    let interface = tx.insert_row([
        tables::Interface::NAME.is(&spec.name),
        tables::Interface::TYPE.is("internal"),
        tables::Interface::EXTERNAL_IDS.is(mark.clone()),
    ]);
    let port = tx.insert_row([
        tables::Port::NAME.is(&spec.name),
        tables::Port::INTERFACES.refers([&interface]),
        tables::Port::EXTERNAL_IDS.is(mark),
    ]);
    let bridge = tx.insert_row([
        tables::Bridge::NAME.is(&spec.name),
        tables::Bridge::DATAPATH_TYPE.is(spec.datapath_type.as_str()),
        tables::Bridge::FAIL_MODE.is(BridgeFailMode::Secure),
        tables::Bridge::PROTOCOLS.is(spec.protocols.clone()),
        tables::Bridge::OTHER_CONFIG.is(spec.other_config()),
        tables::Bridge::EXTERNAL_IDS.is(marked(&spec.external_ids, owner)?),
        tables::Bridge::PORTS.refers([&port]),
    ]);
    tx.mutate_row(root.uuid, vec![tables::OpenVSwitch::BRIDGES.insert_named([&bridge])]);
    tx.comment(format!("{owner}: create bridge {}", spec.name));
    Ok(tx)
}

fn repair(owner: &Owner, spec: &BridgeSpec, bridge: &Bridge) -> Result<Transaction, BuildError> {
    if !spec.datapath_type.matches(&bridge.datapath_type) {
        return Err(BuildError::Differs { name: spec.name.clone(), column: "datapath_type" });
    }
    let mut columns = Row::new();
    if bridge.fail_mode != Some(BridgeFailMode::Secure) {
        columns.extend(cells([tables::Bridge::FAIL_MODE.is(BridgeFailMode::Secure)]));
    }
    // Whoever controls the bridge could change every flow, and needs no socket of ours for it.
    if !bridge.controllers.is_empty() {
        columns.extend(cells([tables::Bridge::CONTROLLER.is(BTreeSet::new())]));
    }
    if bridge.protocols != spec.protocols {
        columns.extend(cells([tables::Bridge::PROTOCOLS.is(spec.protocols.clone())]));
    }
    // Spanning tree would block ports for half a minute, and again whenever one comes or goes.
    if bridge.stp_enable {
        columns.extend(cells([tables::Bridge::STP_ENABLE.is(false)]));
    }
    if bridge.rstp_enable {
        columns.extend(cells([tables::Bridge::RSTP_ENABLE.is(false)]));
    }
    let ids = missing_pairs(&marked(&spec.external_ids, owner)?, &bridge.external_ids);
    let config = missing_pairs(&spec.other_config(), &bridge.other_config);
    let mut mutations = Mutation::set_keys("external_ids", &ids);
    mutations.extend(Mutation::set_keys("other_config", &config));

    let mut tx = Transaction::new();
    if columns.is_empty() && mutations.is_empty() {
        return Ok(tx);
    }
    require_owned(&mut tx, bridge.uuid, &bridge.name, owner);
    if !columns.is_empty() {
        tx.update(tables::Bridge::TABLE, vec![Condition::uuid(bridge.uuid)], columns);
    }
    if !mutations.is_empty() {
        tx.mutate_row(bridge.uuid, mutations);
    }
    tx.comment(format!("{owner}: repair bridge {}", spec.name));
    Ok(tx)
}

/// Gives our bridge its datapath back, which makes `ovs-vswitchd` tear down every port and make it anew: for one that
/// somebody changed, whose ports are torn down already. Empty when it has the right one.
pub fn restore_datapath_type(
    database: &Database,
    owner: &Owner,
    spec: &BridgeSpec,
) -> Result<Transaction, BuildError> {
    let bridge = own_bridge(Vswitch::new(database), owner, &spec.name)?;
    let mut tx = Transaction::new();
    if spec.datapath_type.matches(&bridge.datapath_type) {
        return Ok(tx);
    }
    require_owned(&mut tx, bridge.uuid, &bridge.name, owner);
    let column = tables::Bridge::DATAPATH_TYPE.is(spec.datapath_type.as_str());
    tx.update(tables::Bridge::TABLE, vec![Condition::uuid(bridge.uuid)], cells([column]));
    tx.comment(format!("{owner}: give bridge {} its datapath back", spec.name));
    Ok(tx)
}

/// Removes our bridge with its ports; refused while it has ports of others. Nothing to do if there is none.
pub fn delete_bridge(
    database: &Database,
    owner: &Owner,
    name: &DeviceName,
) -> Result<Transaction, BuildError> {
    let view = Vswitch::new(database);
    let mut tx = Transaction::new();
    let bridge = match own_bridge(view, owner, name) {
        Err(BuildError::NoBridge(_)) => return Ok(tx),
        other => other?,
    };
    for port in view.ports()?.into_values().filter(|port| bridge.ports.contains(&port.uuid)) {
        if !owner.owns(&port.external_ids) {
            return Err(BuildError::BridgeInUse { bridge: name.clone(), port: port.name });
        }
    }
    let root = view.root()?;
    require_owned(&mut tx, bridge.uuid, &bridge.name, owner);
    // No port may have joined since.
    tx.require_row(bridge.uuid, [tables::Bridge::PORTS.is(bridge.ports)]);
    tx.mutate_row(root.uuid, vec![tables::OpenVSwitch::BRIDGES.delete(BTreeSet::from([bridge.uuid]))]);
    tx.comment(format!("{owner}: delete bridge {name}"));
    Ok(tx)
}
