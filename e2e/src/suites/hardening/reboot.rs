//! A machine is prepared with `--persist` and restarts: systemd brings back what `prepare-host` did, in time and by
//! itself. Undone, it restarts as it was.

use std::time::Duration;

use anyhow::Result;
use test_support::wait_for_blocking;

use crate::lab::Lab;
use crate::lab::machine::Machine;
use crate::lab::run;
use crate::suite::{Context, claim};

const NAME: &str = "boot";
const MAC: &str = "02:5e:00:00:00:b0";
const ADDRESS: &str = "192.0.2.77";
/// Systemd tries a unit that failed again after two seconds.
const PATIENCE: Duration = Duration::from_secs(20);
const PREPARE: &str = "netplugin prepare-host --uplink eth0 --ovs-run-dir /run/openvswitch --datapath netdev";
const UNIT: &str = "selvage-uplink-eth0.service";

/// As the machine's own configuration of its network, which knows nothing of a bridge.
const NETWORK: &str = "[Unit]
Before=network-online.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=ip addr add 192.0.2.77/24 dev eth0
ExecStart=ip link set eth0 up
ExecStart=ip route add 198.51.100.0/24 via 192.0.2.1
[Install]
WantedBy=network-online.target
";
/// As Debian's unit of that name, without the kernel's datapath.
const SWITCH: &str = "[Service]
Type=forking
RuntimeDirectory=openvswitch
ExecStartPre=ovsdb-server /etc/openvswitch/lab.db --remote=punix:/run/openvswitch/db.sock --unixctl=/run/openvswitch/db.ctl --pidfile=/run/openvswitch/ovsdb-server.pid --detach --no-chdir
ExecStartPre=ovs-vsctl --no-wait init
ExecStart=ovs-vswitchd unix:/run/openvswitch/db.sock --disable-system --unixctl=/run/openvswitch/vswitchd.ctl --pidfile=/run/openvswitch/ovs-vswitchd.pid --detach --no-chdir
";

pub(super) fn run(context: &mut Context) -> Result<()> {
    let lab = &context.lab;
    let mut machine = furnished(lab)?;
    machine.start()?;
    let before = settings(&machine)?;
    claim("machine-answers-before", answers(lab))?;

    prepare(lab, &machine, "--persist")?;
    let prepared = settings(&machine)?;
    let moved = prepared.contains("dev br-phy") && prepared.contains("table netdev selvage-uplink");
    claim("machine-is-prepared", if moved { Ok(()) } else { Err(prepared.clone()) })?;
    claim("prepared-machine-answers", answers(lab))?;
    let faults = machine.run(&format!("systemd-analyze verify {UNIT} 2>&1"));
    let faults = faults.map_err(|e| format!("{e:#}"));
    claim(
        "systemd-finds-no-fault-with-the-unit",
        faults.and_then(|t| if t.is_empty() { Ok(()) } else { Err(t) }),
    )?;

    machine.start()?;
    claim("restarted-machine-is-prepared", comes_to(&machine, &prepared))?;
    claim("restarted-machine-answers", answers(lab))?;

    prepare(lab, &machine, "--undo")?;
    claim("undone-machine-is-as-it-was", comes_to(&machine, &before))?;
    machine.start()?;
    claim("undone-machine-restarts-as-it-was", comes_to(&machine, &before))?;
    claim("undone-machine-answers", answers(lab))
}

fn prepare(lab: &Lab, machine: &Machine, option: &str) -> Result<()> {
    let mut command = machine.command(&format!("{PREPARE} {option}"))?;
    lab.failpoints().set(&mut command);
    run::output(&mut command).map(drop)
}

/// With a network, Open vSwitch, and netplugin.
fn furnished(lab: &Lab) -> Result<Machine> {
    let machine = lab.machine(NAME, MAC)?;
    machine.install(&lab.binaries().path("netplugin"))?;
    let database = lab.dir().join("boot.db");
    run::output(
        run::words("ovsdb-tool create").arg(&database).arg("/usr/share/openvswitch/vswitch.ovsschema"),
    )?;
    machine.write("etc/openvswitch/lab.db", &std::fs::read(database)?)?;
    machine.write("etc/systemd/system/lab-network.service", NETWORK.as_bytes())?;
    machine.write("etc/systemd/system/openvswitch-switch.service", SWITCH.as_bytes())?;
    for unit in ["lab-network.service", "openvswitch-switch.service"] {
        machine.enable(unit)?;
    }
    Ok(machine)
}

/// All that `prepare-host` may change, without what is another at every start (the number of the uplink's other end).
fn settings(machine: &Machine) -> Result<String> {
    machine.run(
        "for device in eth0 $(ovs-vsctl list-br); do ip -br addr show dev $device | sed 's/@if[0-9]*//' | tr -s ' '; done; \
         ip route; ip -6 route show default; nft list ruleset; find /etc/systemd/system -name 'selvage*' | sort",
    )
}

fn comes_to(machine: &Machine, wanted: &str) -> Result<(), String> {
    let same = wait_for_blocking("the machine's settings", PATIENCE, || {
        let now = settings(machine).map_err(|e| format!("{e:#}"))?;
        if now == wanted { Ok(()) } else { Err(format!("\n{now}\nnot\n{wanted}")) }
    });
    same.map_err(|e| {
        let told = machine.run(&format!("systemctl --no-pager status {UNIT} || true"));
        format!("{e}\n{}", told.unwrap_or_else(|e| format!("{e:#}")))
    })
}

/// Another machine reaches it over the underlay, and is answered once.
fn answers(lab: &Lab) -> Result<(), String> {
    let netns = lab.nodes.first().ok_or("no node")?.netns();
    let ping = |options: &str| {
        let out = run::output(&mut run::words_in(&netns, &format!("ping {options} {ADDRESS}")));
        out.map_err(|e| format!("{e:#}"))
    };
    let reached = wait_for_blocking("an answer", PATIENCE, || ping("-c 1 -W 1"));
    reached.map_err(|e| e.to_string())?;
    let text = ping("-c 3 -i 0.2 -W 2")?;
    if text.contains("3 received") && !text.contains("DUP!") { Ok(()) } else { Err(text) }
}
