//! Matches are canonical: equal meaning is equal value, and prerequisites are checked.

use super::*;

#[test]
fn zero_mask_is_no_match() {
    assert_eq!(Match::any().masked(Field::Reg(0), 5u32, 0u32), Match::any());
    assert_eq!(Match::ip().prefix(Field::Ipv4Src, Ipv4Addr::new(10, 0, 0, 1), 0), Match::ip());
}

#[test]
fn value_outside_the_mask_does_not_count() {
    let loose = Match::any().masked(Field::Reg(0), 0xff_u32, 0x0f_u32);
    assert_eq!(loose, Match::any().masked(Field::Reg(0), 0x0f_u32, 0x0f_u32));
}

#[test]
fn extended_registers_fold_into_registers() {
    let extended = Match::any().with(Field::XReg(1), 0x1_0000_0002_u64);
    assert_eq!(extended, Match::any().with(Field::Reg(2), 1u32).with(Field::Reg(3), 2u32));
    let low = Match::any().with(Field::Reg(0), 9u32).masked(Field::XReg(0), 7u64, 0xff_u64);
    assert_eq!(low, Match::any().with(Field::Reg(0), 9u32).masked(Field::Reg(1), 7u32, 0xff_u32));
}

#[test]
fn bits_merge() {
    let kind = SubField::new(Field::Reg(0), 0, 4);
    let flag = SubField::new(Field::Reg(0), 13, 1);
    let both = Match::any().bits(kind, 1u8).bits(flag, 1u8);
    assert_eq!(both, Match::any().masked(Field::Reg(0), 0x2001_u32, 0x200f_u32));
    assert_eq!(both.clone().bits(kind, 2u8).get(Field::Reg(0)), Some(Masked { value: 0x2002, mask: 0x200f }));
}

#[test]
fn refuses_value_too_wide_instead_of_cutting_it() {
    let kind = SubField::new(Field::Reg(0), 0, 4);
    let too_wide = Err(MatchError::TooWide { field: Field::Reg(0) });
    assert_eq!(Match::any().bits(kind, 16u8).check(), too_wide);
    assert_eq!(Match::any().with(Field::Reg(0), 1u64 << 32).check(), too_wide);
    assert!(Match::ip().prefix(Field::Ipv4Src, Ipv4Addr::LOCALHOST, 33).check().is_err());
    assert!(Match::ip().prefix(Field::Ipv4Src, Ipv6Addr::LOCALHOST, 128).check().is_err());
    assert!(Match::ipv6().prefix(Field::Ipv6Src, Ipv4Addr::LOCALHOST, 32).check().is_err());
    assert!(Match::ipv6().prefix(Field::Ipv6Src, Ipv6Addr::LOCALHOST, 129).check().is_err());
}

#[test]
fn refuses_unmet_prerequisites_and_forbidden_masks() {
    assert!(Match::any().with(Field::Ipv4Src, Ipv4Addr::LOCALHOST).check().is_err());
    assert!(Match::ip().with(Field::TcpDst, 80u16).check().is_err());
    assert!(Match::tcp6().with(Field::TcpDst, 80u16).check().is_ok());
    assert!(Match::icmp6().with(Field::NdTarget, Ipv6Addr::LOCALHOST).check().is_err());
    assert!(Match::any().masked(Field::InPort, 1u32, 1u32).check().is_err());
    let solicit = Match::icmp6().with(Field::Icmpv6Type, 135u8).with(Field::Icmpv6Code, 0u8);
    assert!(solicit.clone().with(Field::NdSll, MacAddr::new([2; 6])).check().is_ok());
    assert!(solicit.with(Field::NdTll, MacAddr::new([2; 6])).check().is_err());
}

#[test]
fn vlan_tci_folds_into_vid_and_pcp() {
    let untagged = Match::any().with(Field::VlanTci, 0u16);
    assert_eq!(untagged, Match::any().with(Field::VlanVid, 0u16));
    let tagged = Match::any().with(Field::VlanTci, 0x5005_u16);
    assert_eq!(tagged, Match::any().with(Field::VlanVid, 0x1005_u16).with(Field::VlanPcp, 2u8));
}
