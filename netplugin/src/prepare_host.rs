//! `netplugin prepare-host`: moves a host's addresses from its uplink to a bridge that holds the uplink.
//!
//! On the userspace datapath OVS sends tunnel packets where the route to their destination leads, and can do so only
//! through a bridge of its own: the tunnel address must lie on the internal port of a bridge that has the uplink. The
//! agent never moves addresses of a host; this does, when asked to.
//!
//! # Invariants
//! * [`plan`] decides, from what was read, and before anything is changed. Nothing is changed by `--dry-run`.
//! * Only what is missing is done: a second run finds nothing to do, one after an interruption completes it.
//!
//! # Failure
//! A step that fails is reported, and what was done before it is undone in reverse. What cannot be undone is named. As
//! after `ip address add`, nothing of this outlives a reboot except the bridge: with `--persist` a unit of systemd does it
//! again at every start ([`unit`]).
//!
//! `--undo` gives the uplink everything back, and removes the unit. A step of that which fails ends it; run again it goes on.

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use ovsdb::driver::Client;
use ovsdb::vswitch::{DatapathType, DeviceName, Owner, UplinkBridge, Vswitch, delete_bridge, realized_ports};
use tokio::time::Instant;

use crate::config::Datapath;
use crate::netlink::uplink::Devices;
use crate::ports::ovs::{connect, datapath_type};

pub mod plan;
pub mod unit;

use plan::{Host, Names, Refusal, Step};
use unit::Unit;

/// How long the switch may take to act on a transaction.
const APPLY: Duration = Duration::from_secs(20);

/// Another mark than that of the agent's bridge: `run` and `cleanup` refuse this one, and this refuses theirs.
fn owner() -> Owner {
    Owner::new("owner", "selvage-uplink")
}

/// Shown after the options.
pub const HELP: &str = "Example:
  netplugin prepare-host --uplink eth0 --dry-run     print the steps
  netplugin prepare-host --uplink eth0               take them
  netplugin run --node node-1 --vtep 192.0.2.1       192.0.2.1 is now on br-phy
  netplugin prepare-host --uplink eth0 --persist     and again at every start of the host (systemd)
  netplugin prepare-host --uplink eth0 --undo        take it back";

/// Options of `netplugin prepare-host`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The network device that has the tunnel address.
    #[arg(long, value_name = "DEV")]
    pub uplink: String,
    /// The bridge that is to have it.
    #[arg(long, value_name = "NAME", default_value = "br-phy")]
    pub bridge: String,
    /// Directory of OVS's sockets.
    #[arg(long, value_name = "DIR", default_value = "/var/run/openvswitch")]
    pub ovs_run_dir: PathBuf,
    /// The datapath that the agent is going to use.
    #[arg(long, value_enum, default_value_t = Datapath::Auto)]
    pub datapath: Datapath,
    /// Print the steps and take none.
    #[arg(long)]
    pub dry_run: bool,
    /// Do it again at every start of the host, too: write and enable a unit of systemd.
    #[arg(long)]
    pub persist: bool,
    /// Give addresses and routes back to the uplink, and remove bridge and unit.
    #[arg(long, conflicts_with = "persist")]
    pub undo: bool,
    /// Where systemd looks for units of the administrator.
    #[arg(long, value_name = "DIR", default_value = "/etc/systemd/system")]
    pub unit_dir: PathBuf,
}

/// Takes the steps that are left and prints each.
///
/// # Errors
/// A [`Refusal`], or the step that failed; then what was done has been undone.
pub async fn prepare(args: &Args, out: &mut impl Write) -> anyhow::Result<()> {
    let names = Names::new(&args.uplink, &args.bridge)?;
    let unit = Unit::new(args, &std::env::current_exe().context("cannot tell where netplugin is")?)?;
    let client = connect(&args.ovs_run_dir.join("db.sock"));
    let synced = client.wait_synced(Instant::now() + APPLY).await;
    synced.context("the switch's database does not answer")?;
    if !args.undo && datapath_type(&client, args.datapath)? == DatapathType::System {
        return Err(Refusal::KernelDatapath.into());
    }
    let devices = Devices::new()?;
    let uplink = devices.device(&names.uplink).await?;
    let uplink = uplink.ok_or_else(|| Refusal::NoUplink(names.uplink.clone()))?;
    let mac = uplink.mac.ok_or_else(|| Refusal::NoMac(names.uplink.clone()))?;
    let (name, device) = (DeviceName::new(&*names.bridge)?, DeviceName::new(&*names.uplink)?);
    let spec = UplinkBridge { name, uplink: device, hwaddr: mac.to_string() };
    let present = Vswitch::new(&client.cache()).bridge(&names.bridge)?;
    let host = Host {
        uplink,
        bridge: devices.device(&names.bridge).await?,
        routes: devices.routes().await?,
        drops: devices.drops_on_uplink(&names.uplink).await?,
        state: spec.state(&client.cache(), &owner())?,
        ours: present.is_some_and(|bridge| owner().owns(&bridge.external_ids)),
    };
    let execution = Execution { client, devices, spec, names };
    if args.undo {
        execution.take_back(args, &host, &unit, out).await
    } else {
        execution.make(args, &host, &unit, out).await
    }
}

struct Execution {
    client: Client,
    devices: Devices,
    spec: UplinkBridge,
    names: Names,
}

impl Execution {
    async fn make(&self, args: &Args, host: &Host, unit: &Unit, out: &mut impl Write) -> anyhow::Result<()> {
        let steps = plan::plan(&self.names, host)?;
        let persist = args.persist && !unit.is_enabled()?;
        if steps.is_empty() && !persist {
            let Names { uplink, bridge } = &self.names;
            writeln!(out, "nothing to do: {uplink} is in {bridge}, which has its addresses")?;
        } else if args.dry_run {
            for step in &steps {
                writeln!(out, "would {}", self.names.describe(step))?;
            }
            if persist {
                writeln!(out, "would write and enable {unit}")?;
            }
        } else {
            self.all(&steps, out).await?;
            if persist {
                unit.enable()?;
                writeln!(out, "write and enable {unit}")?;
            }
        }
        Ok(())
    }

    async fn take_back(
        &self,
        args: &Args,
        host: &Host,
        unit: &Unit,
        out: &mut impl Write,
    ) -> anyhow::Result<()> {
        let steps = plan::undo(&self.names, host)?;
        let persists = unit.is_there();
        if steps.is_empty() && !persists {
            writeln!(out, "nothing to do: nothing of prepare-host is on this host")?;
        }
        let would = if args.dry_run { "would " } else { "" };
        // First: a host that restarts half-way must not come back prepared.
        if persists {
            if !args.dry_run {
                unit.remove()?;
            }
            writeln!(out, "{would}remove {unit}")?;
        }
        for step in &steps {
            let words = self.names.describe_undo(step);
            if !args.dry_run {
                let done = self.revert(step).await;
                done.with_context(|| format!("{words}: failed; run it again to go on"))?;
            }
            // Whoever reads this may be gone, half-way is still no place to stop.
            let _ = writeln!(out, "{would}{words}");
        }
        Ok(())
    }

    async fn all(&self, steps: &[Step], out: &mut impl Write) -> anyhow::Result<()> {
        for (number, step) in steps.iter().enumerate() {
            let words = self.names.describe(step);
            if let Err(e) = self.take(step).await {
                // The failed one as well: a bridge may exist although the switch did not get to making it work.
                let undone = self.undo(steps.get(..=number).unwrap_or(steps), out).await;
                return Err(e.context(format!("{words}: failed; {undone}")));
            }
            // Whoever reads this may be gone, half-way is still no place to stop.
            let _ = writeln!(out, "{words}");
        }
        Ok(())
    }

    async fn take(&self, step: &Step) -> anyhow::Result<()> {
        let Names { uplink, bridge } = &self.names;
        match step {
            Step::CreateBridge => self.create().await?,
            Step::SetUp => self.devices.set_up(bridge, true).await?,
            Step::AddAddress(address) => self.devices.add_address(bridge, address).await?,
            Step::MoveRoute(route) => self.devices.route_through(bridge, route).await?,
            Step::Drop => self.devices.drop_on_uplink(uplink, true).await?,
            Step::RemoveAddress(address) => self.devices.remove_address(uplink, address).await?,
        }
        Ok(())
    }

    /// Undoes in reverse, the last one if it took effect; says what became of it.
    async fn undo(&self, steps: &[Step], out: &mut impl Write) -> String {
        let mut left = Vec::new();
        for (number, step) in steps.iter().enumerate().rev() {
            let words = self.names.describe(step);
            let is_failed_one = number + 1 == steps.len();
            if is_failed_one && *step != Step::CreateBridge {
                continue;
            }
            match self.revert(step).await {
                Ok(()) => drop(writeln!(out, "undone: {words}")),
                Err(e) => left.push(format!("{words} ({e:#})")),
            }
        }
        if left.is_empty() {
            return "everything before it is undone".into();
        }
        format!("NOT undone: {}", left.join("; "))
    }

    async fn revert(&self, step: &Step) -> anyhow::Result<()> {
        let Names { uplink, bridge } = &self.names;
        match step {
            Step::CreateBridge => self.delete().await?,
            Step::SetUp => self.devices.set_up(bridge, false).await?,
            Step::AddAddress(address) => self.devices.remove_address(bridge, address).await?,
            Step::MoveRoute(route) => self.devices.route_through(uplink, route).await?,
            Step::Drop => self.devices.drop_on_uplink(uplink, false).await?,
            Step::RemoveAddress(address) => self.devices.add_address(uplink, address).await?,
        }
        Ok(())
    }

    async fn create(&self) -> anyhow::Result<()> {
        let transaction = self.spec.create(&self.client.cache(), &owner())?;
        self.client.apply(&transaction, Instant::now() + APPLY).await?;
        let ports = [self.spec.uplink.clone()].into();
        realized_ports(&self.client.cache(), &ports)?;
        Ok(())
    }

    async fn delete(&self) -> anyhow::Result<()> {
        let transaction = delete_bridge(&self.client.cache(), &owner(), &self.spec.name)?;
        if !transaction.is_empty() {
            self.client.apply(&transaction, Instant::now() + APPLY).await?;
        }
        Ok(())
    }
}
