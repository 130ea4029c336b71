//! Adding and deleting ports of our bridge, many in one transaction, and reading back what became of them.
//!
//! `ovs-vswitchd` looks at every port each time the configuration changes, so one transaction for 500 ports takes a
//! fraction of a second and 500 transactions take twenty.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::bridge::{marked, missing_pairs, own_bridge, require_owned};
use super::names::{DeviceName, Ofport, Owner};
use super::rows::{Bridge, Interface, Port, Vswitch};
use super::{BuildError, StringMap, tables};
use crate::cache::Database;
use crate::operation::{Condition, Mutation, Row, Transaction};
use crate::typed::{RowError, Table, cells};
use crate::value::UuidName;

/// The remote end of a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TunnelRemote {
    /// Flows choose it (`tun_dst`).
    Flow,
    /// Always this one.
    Address(IpAddr),
}

/// The key of a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TunnelKey {
    /// Flows choose it (`tun_id`).
    Flow,
    /// Always this VNI (24 bits, RFC 7348).
    Vni(u32),
}

/// A VXLAN tunnel port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vxlan {
    /// Remote end.
    pub remote: TunnelRemote,
    /// Key.
    pub key: TunnelKey,
    /// Outer source address; the route decides when absent.
    pub local_ip: Option<IpAddr>,
    /// UDP port; 4789 when absent.
    pub dst_port: Option<u16>,
}

impl Vxlan {
    /// A tunnel whose remote end and key the flows choose.
    pub fn by_flow() -> Self {
        Self { remote: TunnelRemote::Flow, key: TunnelKey::Flow, local_ip: None, dst_port: None }
    }

    fn options(&self) -> StringMap {
        let remote = match self.remote {
            TunnelRemote::Flow => "flow".to_owned(),
            TunnelRemote::Address(address) => address.to_string(),
        };
        let key = match self.key {
            TunnelKey::Flow => "flow".to_owned(),
            TunnelKey::Vni(vni) => vni.to_string(),
        };
        let mut options = StringMap::from([("remote_ip".into(), remote), ("key".into(), key)]);
        options.extend(self.local_ip.map(|address| ("local_ip".into(), address.to_string())));
        options.extend(self.dst_port.map(|port| ("dst_port".into(), port.to_string())));
        options
    }
}

/// What a port connects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortKind {
    /// An existing network device, for instance one end of a veth pair.
    System,
    /// A device made by OVS.
    Internal,
    /// A VXLAN tunnel.
    Vxlan(Vxlan),
}

impl PortKind {
    /// The column `type`.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Internal => "internal",
            Self::Vxlan(_) => "vxlan",
        }
    }

    fn options(&self) -> StringMap {
        match self {
            Self::System | Self::Internal => StringMap::new(),
            Self::Vxlan(vxlan) => vxlan.options(),
        }
    }

    /// The empty string means `system`.
    fn matches(&self, column: &str) -> bool {
        column == self.type_name() || (column.is_empty() && *self == Self::System)
    }
}

/// A port as it should be, with one interface of the same name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortSpec {
    /// Name.
    pub name: DeviceName,
    /// What it connects.
    pub kind: PortKind,
    /// The OpenFlow port number to ask for.
    pub ofport: Option<Ofport>,
    /// Further `external_ids`, of the Interface row (`iface-id` and the like belong there).
    pub external_ids: StringMap,
    /// The MTU to ask for; OVS chooses when absent.
    pub mtu: Option<u16>,
}

impl PortSpec {
    /// A port without further configuration.
    pub fn new(name: DeviceName, kind: PortKind, ofport: Option<Ofport>) -> Self {
        Self { name, kind, ofport, external_ids: StringMap::new(), mtu: None }
    }

    fn columns(&self) -> Row {
        cells([
            tables::Interface::TYPE.is(self.kind.type_name()),
            tables::Interface::OPTIONS.is(self.kind.options()),
            tables::Interface::OFPORT_REQUEST.is(self.ofport.map(i64::from)),
            tables::Interface::MTU_REQUEST.is(self.mtu.map(i64::from)),
        ])
    }
}

/// Where a builder looks rows up.
struct Current<'a> {
    view: Vswitch<'a>,
    bridge: Bridge,
}

impl<'a> Current<'a> {
    fn read(database: &'a Database, owner: &Owner, bridge: &DeviceName) -> Result<Self, BuildError> {
        let view = Vswitch::new(database);
        Ok(Self { view, bridge: own_bridge(view, owner, bridge)? })
    }

    /// Our port of that name on our bridge, or none.
    fn own_port(
        &self,
        owner: &Owner,
        bridge: &DeviceName,
        name: &DeviceName,
    ) -> Result<Option<Port>, BuildError> {
        let foreign = || BuildError::ForeignPort { name: name.to_string(), mark: owner.clone() };
        let Some(port) = self.view.port(name.as_str())? else {
            // An interface of that name may be part of someone's bond.
            return if self.view.interface(name.as_str())?.is_some() { Err(foreign()) } else { Ok(None) };
        };
        if !owner.owns(&port.external_ids) {
            return Err(foreign());
        }
        if !self.bridge.ports.contains(&port.uuid) {
            return Err(BuildError::OtherBridge { port: name.clone(), bridge: bridge.clone() });
        }
        Ok(Some(port))
    }

    /// Who else on our bridge has a number, by request or in fact.
    fn user_of(&self, ofport: Ofport, name: &DeviceName) -> Result<Option<String>, BuildError> {
        let others = self.view.interfaces_numbered(ofport.into())?;
        let others = others.into_iter().filter(|interface| interface.name != name.as_str());
        let is_here =
            |i: &Interface| self.view.ports_with(i.uuid).any(|port| self.bridge.ports.contains(&port));
        Ok(others.filter(is_here).map(|interface| interface.name).min())
    }
}

/// Adds the ports that are missing and corrects those of ours that differ, in one transaction.
///
/// Errors: a port of that name without our mark or on another bridge; another `type` or port number than an existing
/// port has; a port number in use.
pub fn ensure_ports(
    database: &Database,
    owner: &Owner,
    bridge: &DeviceName,
    specs: &[PortSpec],
) -> Result<Transaction, BuildError> {
    let current = Current::read(database, owner, bridge)?;
    check_distinct(specs)?;
    let mut tx = Transaction::new();
    require_owned(&mut tx, current.bridge.uuid, &current.bridge.name, owner);
    let guards = tx.operations().len();
    let mut added = Vec::new();
    for spec in specs {
        if let Some(ofport) = spec.ofport
            && let Some(user) = current.user_of(ofport, &spec.name)?
        {
            return Err(BuildError::OfportInUse { name: spec.name.clone(), ofport, user });
        }
        match current.own_port(owner, bridge, &spec.name)? {
            Some(port) => correct(&mut tx, owner, spec, &port, current.view)?,
            None => added.push(insert(&mut tx, owner, spec)?),
        }
    }
    if !added.is_empty() {
        tx.mutate_row(current.bridge.uuid, vec![tables::Bridge::PORTS.insert_named(&added)]);
    }
    if tx.operations().len() == guards {
        return Ok(Transaction::new());
    }
    tx.comment(format!("{owner}: ensure {} ports of {bridge}", specs.len()));
    Ok(tx)
}

fn check_distinct(specs: &[PortSpec]) -> Result<(), BuildError> {
    let (mut names, mut ofports) = (BTreeSet::new(), BTreeSet::new());
    for spec in specs {
        if !names.insert(&spec.name) {
            return Err(BuildError::Duplicate(format!("port {}", spec.name)));
        }
        if let Some(ofport) = spec.ofport
            && !ofports.insert(ofport)
        {
            return Err(BuildError::Duplicate(format!("OpenFlow port {ofport}")));
        }
    }
    Ok(())
}

fn insert(tx: &mut Transaction, owner: &Owner, spec: &PortSpec) -> Result<UuidName, BuildError> {
    let mut interface = spec.columns();
    interface.extend(cells([
        tables::Interface::NAME.is(&spec.name),
        tables::Interface::EXTERNAL_IDS.is(marked(&spec.external_ids, owner)?),
    ]));
    let interface = tx.insert(tables::Interface::TABLE, interface);
    Ok(tx.insert_row([
        tables::Port::NAME.is(&spec.name),
        tables::Port::INTERFACES.refers([&interface]),
        tables::Port::EXTERNAL_IDS.is(marked(&StringMap::new(), owner)?),
    ]))
}

fn correct(
    tx: &mut Transaction,
    owner: &Owner,
    spec: &PortSpec,
    port: &Port,
    view: Vswitch<'_>,
) -> Result<(), BuildError> {
    let differs = |column| BuildError::Differs { name: spec.name.clone(), column };
    let interface =
        view.interface(spec.name.as_str())?.filter(|i| port.interfaces == BTreeSet::from([i.uuid]));
    let interface = interface.ok_or_else(|| differs("interfaces"))?;
    if !spec.kind.matches(&interface.kind) {
        return Err(differs("type"));
    }
    // Another number would put the port under the flows of whoever had it before.
    if spec.ofport.map(i64::from) != interface.ofport_request {
        return Err(differs("ofport_request"));
    }
    let mut columns = Row::new();
    if interface.options != spec.kind.options() {
        columns.extend(cells([tables::Interface::OPTIONS.is(spec.kind.options())]));
    }
    if interface.mtu_request != spec.mtu.map(i64::from) {
        columns.extend(cells([tables::Interface::MTU_REQUEST.is(spec.mtu.map(i64::from))]));
    }
    let ids = Mutation::set_keys(
        "external_ids",
        &missing_pairs(&marked(&spec.external_ids, owner)?, &interface.external_ids),
    );
    // Endpoints have no VLANs; what a tag does to a frame would come on top of what the flows do.
    let has_vlan = port.tag.is_some() || !port.trunks.is_empty() || port.vlan_mode.is_some();
    if columns.is_empty() && ids.is_empty() && !has_vlan {
        return Ok(());
    }
    require_owned(tx, port.uuid, &port.name, owner);
    if has_vlan {
        let none = cells([
            tables::Port::TAG.is(None),
            tables::Port::TRUNKS.is(BTreeSet::new()),
            tables::Port::VLAN_MODE.is(None),
        ]);
        tx.update(tables::Port::TABLE, vec![Condition::uuid(port.uuid)], none);
    }
    if !columns.is_empty() {
        tx.update(tables::Interface::TABLE, vec![Condition::uuid(interface.uuid)], columns);
    }
    if !ids.is_empty() {
        tx.mutate_row(interface.uuid, ids);
    }
    Ok(())
}

/// Deletes our ports from our bridge; those that are not there are passed over.
pub fn delete_ports(
    database: &Database,
    owner: &Owner,
    bridge: &DeviceName,
    names: &BTreeSet<DeviceName>,
) -> Result<Transaction, BuildError> {
    let current = Current::read(database, owner, bridge)?;
    let mut tx = Transaction::new();
    let mut deleted = BTreeSet::new();
    for name in names {
        if name == bridge {
            return Err(BuildError::LocalPort(name.clone()));
        }
        if let Some(port) = current.own_port(owner, bridge, name)? {
            require_owned(&mut tx, port.uuid, &port.name, owner);
            deleted.insert(port.uuid);
        }
    }
    if deleted.is_empty() {
        return Ok(tx);
    }
    let count = deleted.len();
    require_owned(&mut tx, current.bridge.uuid, &current.bridge.name, owner);
    tx.mutate_row(current.bridge.uuid, vec![tables::Bridge::PORTS.delete(deleted)]);
    tx.comment(format!("{owner}: delete {count} ports of {bridge}"));
    Ok(tx)
}

/// Why a port does not work although the database accepted it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PortFailure {
    /// There is no such interface.
    #[error("does not exist")]
    Missing,
    /// `ovs-vswitchd` says why (`Interface.error`).
    #[error("{0}")]
    Error(String),
    /// `ovs-vswitchd` gave it no OpenFlow port.
    #[error("has no OpenFlow port")]
    NoOfport,
    /// It has another number than asked for.
    #[error("has OpenFlow port {actual} instead of {requested}")]
    OtherOfport {
        /// Asked for.
        requested: i64,
        /// Given.
        actual: Ofport,
    },
}

/// Ports that do not work, each with its reason.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unrealized {
    /// By name.
    #[error("{}", list(.0))]
    Ports(BTreeMap<DeviceName, PortFailure>),
    /// A row cannot be read.
    #[error(transparent)]
    Row(#[from] RowError),
}

fn list(failures: &BTreeMap<DeviceName, PortFailure>) -> String {
    failures.iter().map(|(name, failure)| format!("port {name}: {failure}")).collect::<Vec<_>>().join("; ")
}

/// The OpenFlow ports of interfaces, or all that failed. Meaningful once `cur_cfg` has caught up.
pub fn realized_ports(
    database: &Database,
    names: &BTreeSet<DeviceName>,
) -> Result<BTreeMap<DeviceName, Ofport>, Unrealized> {
    let view = Vswitch::new(database);
    let (mut realized, mut failures) = (BTreeMap::new(), BTreeMap::new());
    for name in names {
        match realized_port(view.interface(name.as_str())?.as_ref()) {
            Ok(ofport) => drop(realized.insert(name.clone(), ofport)),
            Err(failure) => drop(failures.insert(name.clone(), failure)),
        }
    }
    if failures.is_empty() { Ok(realized) } else { Err(Unrealized::Ports(failures)) }
}

fn realized_port(interface: Option<&Interface>) -> Result<Ofport, PortFailure> {
    let interface = interface.ok_or(PortFailure::Missing)?;
    if let Some(error) = &interface.error {
        return Err(PortFailure::Error(error.clone()));
    }
    let actual = interface.ofport.and_then(|number| Ofport::new(number).ok()).ok_or(PortFailure::NoOfport)?;
    match interface.ofport_request {
        Some(requested) if requested != i64::from(actual) => {
            Err(PortFailure::OtherOfport { requested, actual })
        }
        _ => Ok(actual),
    }
}
