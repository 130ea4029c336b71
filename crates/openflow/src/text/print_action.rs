//! Printing of actions as ovs-actions(7) spells them.

use std::fmt::{self, Display, Formatter};

use super::print_extension::{print_decap, print_fin_timeout};
use super::print_match::Hex;
use super::value::{write_hex, write_value};
use crate::action::{Commit, Controller, Ct, Nat, NatKind, PortSelection, Resubmit, ResubmitTuple, Zone};
use crate::{Action, Port};

/// A list of actions; empty prints `drop`.
pub(super) struct Actions<'a>(pub(super) &'a [Action]);

impl Display for Actions<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("drop");
        }
        list(f, self.0)
    }
}

pub(super) fn list(f: &mut Formatter<'_>, items: &[impl Display]) -> fmt::Result {
    for (i, item) in items.iter().enumerate() {
        write!(f, "{}{item}", if i == 0 { "" } else { "," })?;
    }
    Ok(())
}

impl Display for Action {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Action::Output(port) if port.0 < 0xffff_ff00 => write!(f, "output:{port}"),
            Action::Output(port) => write!(f, "{port}"),
            Action::OutputReg(src) => write!(f, "output:{src}"),
            Action::Controller(controller) => controller.fmt(f),
            Action::Group(id) => write!(f, "group:{id}"),
            Action::Meter(id) => write!(f, "meter:{id}"),
            Action::SetQueue(id) => write!(f, "set_queue:{id}"),
            Action::SetField(set) => {
                f.write_str("set_field:")?;
                write_value(f, set.field(), set.value(), set.mask())?;
                write!(f, "->{}", set.field().name())
            }
            Action::SetTunMetadata { option, value } => write!(f, "set_field:{value}->tun_metadata{option}"),
            Action::Move { src, dst } => write!(f, "move:{src}->{dst}"),
            Action::Push(src) => write!(f, "push:{src}"),
            Action::Pop(dst) => write!(f, "pop:{dst}"),
            Action::Resubmit(resubmit) => resubmit.fmt(f),
            Action::Ct(ct) => ct.fmt(f),
            Action::CtClear => f.write_str("ct_clear"),
            Action::Conjunction { id, clause, n_clauses } => {
                write!(f, "conjunction({id},{clause}/{n_clauses})")
            }
            Action::DecTtl => f.write_str("dec_ttl"),
            Action::SetNwTtl(ttl) => write!(f, "mod_nw_ttl:{ttl}"),
            Action::Note(bytes) => write!(f, "note:{}", Dotted(bytes)),
            Action::Clone(actions) => nested(f, "clone", actions),
            Action::PushVlan(eth_type) => write!(f, "push_vlan:0x{eth_type:04x}"),
            Action::PopVlan => f.write_str("pop_vlan"),
            Action::Exit => f.write_str("exit"),
            Action::GotoTable(table) => write!(f, "goto_table:{table}"),
            Action::WriteMetadata { value, mask: u64::MAX } => {
                f.write_str("write_metadata:")?;
                write_hex(f, u128::from(*value))
            }
            Action::WriteMetadata { value, mask } => {
                f.write_str("write_metadata:")?;
                write_hex(f, u128::from(*value))?;
                write!(f, "/{mask:#x}")
            }
            Action::ClearActions => f.write_str("clear_actions"),
            Action::WriteActions(actions) => nested(f, "write_actions", actions),
            Action::PushMpls(eth_type) => write!(f, "push_mpls:0x{eth_type:04x}"),
            Action::PopMpls(eth_type) => write!(f, "pop_mpls:0x{eth_type:04x}"),
            Action::SetMplsTtl(ttl) => write!(f, "set_mpls_ttl({ttl})"),
            Action::DecMplsTtl => f.write_str("dec_mpls_ttl"),
            Action::DecNshTtl => f.write_str("dec_nsh_ttl"),
            Action::DecTtlIds(ids) => {
                f.write_str("dec_ttl(")?;
                list(f, ids)?;
                f.write_str(")")
            }
            Action::PopQueue => f.write_str("pop_queue"),
            Action::DeleteField(field) => write!(f, "delete_field:{}", field.name()),
            Action::OutputTruncated { port, max_len } => write!(f, "output(port={port},max_len={max_len})"),
            Action::CheckPktLarger { length, dst } => write!(f, "check_pkt_larger({length})->{dst}"),
            Action::FinTimeout { idle, hard } => print_fin_timeout(f, *idle, *hard),
            Action::Learn(learn) => learn.fmt(f),
            Action::Multipath(multipath) => multipath.fmt(f),
            Action::Bundle(bundle) => bundle.fmt(f),
            Action::Sample(sample) => sample.fmt(f),
            Action::Encap(encap) => encap.fmt(f),
            Action::Decap(next) => print_decap(f, *next),
            Action::Unknown(bytes) => write!(f, "unknown_action({})", Hex(bytes)),
            Action::UnknownInstruction(bytes) => write!(f, "unknown_instruction({})", Hex(bytes)),
        }
    }
}

fn nested(f: &mut Formatter<'_>, name: &str, actions: &[Action]) -> fmt::Result {
    write!(f, "{name}({})", Actions(actions))
}

/// `01.02.ff`.
struct Dotted<'a>(&'a [u8]);

impl Display for Dotted<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (i, byte) in self.0.iter().enumerate() {
            write!(f, "{}{byte:02x}", if i == 0 { "" } else { "." })?;
        }
        Ok(())
    }
}

impl Display for Controller {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.is_plain_output() {
            return write!(f, "CONTROLLER:{}", self.max_len);
        }
        let mut items = Vec::new();
        if self.reason != crate::PacketInReason::Action {
            match self.reason.name() {
                Some(name) => items.push(format!("reason={name}")),
                None => items.push(format!("reason={}", self.reason.as_u8())),
            }
        }
        if self.max_len != u16::MAX {
            items.push(format!("max_len={}", self.max_len));
        }
        if self.controller_id != 0 {
            items.push(format!("id={}", self.controller_id));
        }
        if !self.userdata.is_empty() {
            items.push(format!("userdata={}", Dotted(&self.userdata)));
        }
        if self.pause {
            items.push("pause".to_owned());
        }
        if let Some(meter) = self.meter_id {
            items.push(format!("meter_id={meter}"));
        }
        write!(f, "controller({})", items.join(","))
    }
}

impl Display for Resubmit {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let ct = if self.tuple == ResubmitTuple::CtOriginal { ",ct" } else { "" };
        match (self.in_port, self.table) {
            (Some(port), None) if ct.is_empty() => write!(f, "resubmit:{port}"),
            (port, table) => {
                f.write_str("resubmit(")?;
                if let Some(port) = port {
                    write!(f, "{port}")?;
                }
                f.write_str(",")?;
                if let Some(table) = table {
                    write!(f, "{table}")?;
                }
                write!(f, "{ct})")
            }
        }
    }
}

impl Display for Ct {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut items = Vec::new();
        match self.commit {
            Commit::No => {}
            Commit::Yes => items.push("commit".to_owned()),
            Commit::Force => items.extend(["commit".to_owned(), "force".to_owned()]),
        }
        if let Some(table) = self.table {
            items.push(format!("table={table}"));
        }
        match self.zone {
            Zone::Imm(0) => {}
            Zone::Imm(zone) => items.push(format!("zone={zone}")),
            Zone::Sub(src) => items.push(format!("zone={src}")),
        }
        if let Some(nat) = &self.nat {
            items.push(nat.to_string());
        }
        if !self.exec.is_empty() {
            items.push(format!("exec({})", Actions(&self.exec)));
        }
        match self.alg {
            0 => {}
            21 => items.push("alg=ftp".to_owned()),
            69 => items.push("alg=tftp".to_owned()),
            alg => items.push(format!("alg={alg}")),
        }
        if items.is_empty() { f.write_str("ct()") } else { write!(f, "ct({})", items.join(",")) }
    }
}

impl Display for Nat {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Some(kind) = self.kind else { return f.write_str("nat") };
        let mut text = String::from(if kind == NatKind::Src { "src" } else { "dst" });
        if let Some((low, high)) = self.addresses {
            // Brackets only where a colon would be taken for the port's.
            let bracket = low.is_ipv6() && self.ports.is_some();
            let address = |ip| if bracket { format!("[{ip}]") } else { format!("{ip}") };
            text.push('=');
            text.push_str(&address(low));
            if high != low {
                text.push('-');
                text.push_str(&address(high));
            }
        }
        if let Some((low, high)) = self.ports {
            if self.addresses.is_none() {
                text.push('=');
            }
            text.push_str(&if low == high { format!(":{low}") } else { format!(":{low}-{high}") });
        }
        if self.persistent {
            text.push_str(",persistent");
        }
        match self.selection {
            PortSelection::Default => {}
            PortSelection::Hash => text.push_str(",hash"),
            PortSelection::Random => text.push_str(",random"),
        }
        write!(f, "nat({text})")
    }
}

impl Controller {
    /// Whether it is no more than an output to the port `CONTROLLER`.
    pub(crate) fn is_plain_output(&self) -> bool {
        *self == Controller { max_len: self.max_len, ..Controller::default() }
    }
}

impl Port {
    /// Whether `output:` may be left away, as ovs-ofctl does.
    pub(super) fn is_bare_action(text: &str) -> Option<Port> {
        let port: Port = text.parse().ok()?;
        let reserved = port.0 >= 0xffff_ff00 && port != Port::ANY;
        let numeric = text.bytes().all(|b| b.is_ascii_digit());
        (reserved || numeric).then_some(port)
    }
}
