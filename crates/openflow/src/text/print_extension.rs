//! Printing of the actions that learn, choose, sample and wrap, as ovs-actions(7) spells them.

use std::fmt::{self, Display, Formatter};

use super::print_action::list;
use super::print_match::Hex;
use super::value::{write_hex, write_value};
use crate::action::{
    BundleAction, Encap, EncapProperty, Learn, LearnSource, LearnSpec, Multipath, PacketType, Sample,
    SampleDirection,
};
use crate::{Port, SubField};

impl Display for Learn {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "learn(table={}", self.table)?;
        let numbers = [
            ("idle_timeout", self.idle_timeout, 0),
            ("hard_timeout", self.hard_timeout, 0),
            ("fin_idle_timeout", self.fin_idle_timeout, 0),
            ("fin_hard_timeout", self.fin_hard_timeout, 0),
            ("priority", self.priority, 0x8000),
        ];
        for (name, n, default) in numbers {
            if n != default {
                write!(f, ",{name}={n}")?;
            }
        }
        for (name, on) in [("send_flow_rem", self.send_flow_rem), ("delete_learned", self.delete_learned)] {
            if on {
                write!(f, ",{name}")?;
            }
        }
        if self.cookie != 0 {
            write!(f, ",cookie={:#x}", self.cookie)?;
        }
        if let Some(limit) = self.limit {
            write!(f, ",limit={}", limit.limit)?;
            if let Some(result) = limit.result {
                write!(f, ",result_dst={result}")?;
            }
        }
        self.specs.iter().try_for_each(|spec| write!(f, ",{spec}"))?;
        f.write_str(")")
    }
}

impl Display for LearnSpec {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            LearnSpec::Match { src: LearnSource::Value(value), dst } => {
                if *dst != SubField::whole(dst.field()) {
                    write!(f, "{dst}=")?;
                    return write_hex(f, *value);
                }
                write!(f, "{}=", dst.field().name())?;
                write_value(f, dst.field(), *value, dst.field().full_mask())
            }
            LearnSpec::Match { src: LearnSource::Packet(src), dst } if src == dst => write!(f, "{dst}"),
            LearnSpec::Match { src: LearnSource::Packet(src), dst } => write!(f, "{dst}={src}"),
            LearnSpec::Load { src: LearnSource::Value(value), dst } => {
                f.write_str("load:")?;
                write_hex(f, *value)?;
                write!(f, "->{dst}")
            }
            LearnSpec::Load { src: LearnSource::Packet(src), dst } => write!(f, "load:{src}->{dst}"),
            LearnSpec::Output(src) => write!(f, "output:{src}"),
        }
    }
}

impl Display for Multipath {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Multipath { fields, basis, algorithm, max_link, arg, dst } = self;
        let n_links = u32::from(*max_link) + 1;
        write!(f, "multipath({},{basis},{},{n_links},{arg},{dst})", fields.name(), algorithm.name())
    }
}

impl Display for BundleAction {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let name = if self.dst.is_some() { "bundle_load" } else { "bundle" };
        write!(f, "{name}({},{},{},ofport,", self.fields.name(), self.basis, self.algorithm.name())?;
        if let Some(dst) = self.dst {
            write!(f, "{dst},")?;
        }
        f.write_str("members:")?;
        list(f, &self.members)?;
        f.write_str(")")
    }
}

impl Display for Sample {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "sample(probability={},collector_set_id={},obs_domain_id={},obs_point_id={}",
            self.probability, self.collector_set_id, self.obs_domain_id, self.obs_point_id
        )?;
        if self.sampling_port != Port::ANY {
            write!(f, ",sampling_port={}", self.sampling_port)?;
        }
        f.write_str(match self.direction {
            SampleDirection::Default => ")",
            SampleDirection::Ingress => ",ingress)",
            SampleDirection::Egress => ",egress)",
        })
    }
}

impl Display for Encap {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let known = PacketType::NAMES.iter().find(|(_, header)| *header == self.header);
        write!(f, "encap({}", known.map_or("unknown", |(name, _)| name))?;
        if !self.properties.is_empty() {
            f.write_str("(")?;
            list(f, &self.properties)?;
            f.write_str(")")?;
        }
        f.write_str(")")
    }
}

impl Display for EncapProperty {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            EncapProperty::NshMdType(md_type) => write!(f, "md_type={md_type}"),
            EncapProperty::NshTlv { class, kind, value } => {
                write!(f, "tlv(0x{class:04x},{kind},0x")?;
                // Without the first digit if that is a zero; which byte it was of is clear from their number.
                match value.split_first() {
                    Some((first @ 1..=15, rest)) => write!(f, "{first:x}{})", Hex(rest)),
                    _ => write!(f, "{})", Hex(value)),
                }
            }
        }
    }
}

pub(super) fn print_decap(f: &mut Formatter<'_>, next: PacketType) -> fmt::Result {
    if next == PacketType::NEXT_PROTO {
        return f.write_str("decap()");
    }
    write!(f, "decap(packet_type(ns={},type=", next.0 >> 16)?;
    write_hex(f, u128::from(next.0 & 0xffff))?;
    f.write_str("))")
}

pub(super) fn print_fin_timeout(f: &mut Formatter<'_>, idle: u16, hard: u16) -> fmt::Result {
    f.write_str("fin_timeout(")?;
    match (idle, hard) {
        (0, 0) => {}
        (idle, 0) => write!(f, "idle_timeout={idle}")?,
        (0, hard) => write!(f, "hard_timeout={hard}")?,
        (idle, hard) => write!(f, "idle_timeout={idle},hard_timeout={hard}")?,
    }
    f.write_str(")")
}
