//! What is printed parses to the same flow, and malformed text is refused.

use proptest::prelude::*;

use crate::{Action, Ct, Field, Flow, Match, SubField, Zone};

fn flow(text: &str) -> Flow {
    text.parse().unwrap_or_else(|e| panic!("{text}: {e}"))
}

#[test]
fn old_spellings_mean_the_same() {
    let new =
        flow("tcp,tcp_dst=80 actions=set_field:0x1/0xf->reg0,set_field:00:00:00:00:00:01->eth_src,output:1");
    let old =
        flow("dl_type=0x800,nw_proto=6,tp_dst=80 actions=load:1->NXM_NX_REG0[0..3],mod_dl_src:0:0:0:0:0:1,1");
    assert_eq!(new, old);
}

#[test]
fn prints_the_switchs_form() {
    let flow = Flow::new(5, 100, Match::udp().with(Field::UdpDst, 67u16)).cookie(0x10).actions([
        Action::load(SubField::new(Field::Metadata, 16, 24), 101u32),
        Action::ct(Ct {
            zone: Zone::Sub(SubField::new(Field::Metadata, 0, 16)),
            table: Some(20),
            ..Ct::default()
        }),
    ]);
    assert_eq!(
        flow.to_string(),
        "table=5,priority=100,cookie=0x10,udp,tp_dst=67 \
         actions=set_field:0x650000/0xffffff0000->metadata,ct(table=20,zone=OXM_OF_METADATA[0..15])"
    );
}

#[test]
fn rejects_what_it_does_not_understand() {
    for text in [
        "in_port=1",
        "bogus=1 actions=drop",
        "bogus actions=drop",
        "tp_dst=80 actions=drop",
        "nw_src=1.2.3.4 actions=drop",
        "ip,nw_src=1.2.3.4/33 actions=drop",
        "reg0=0x100000000 actions=drop",
        "reg16=1 actions=drop",
        "actions=load:16->NXM_NX_REG0[0..3]",
        "actions=bogus",
        "actions=ct(bogus)",
        "actions=conjunction(1,3/2)",
        "actions=clone(output:1",
        "actions=resubmit(,256)",
        "ct_state=+trk-trk actions=drop",
        "ct_state=+bogus actions=drop",
        "dl_src=01:02:03:04:05 actions=drop",
        "priority=+5 actions=drop",
        "table=255 actions=drop",
    ] {
        assert!(text.parse::<Flow>().is_err(), "{text} was accepted");
    }
}

#[test]
fn nesting_is_bounded() {
    let deep = format!("actions={}{}", "clone(".repeat(5000), ")".repeat(5000));
    assert!(deep.parse::<Flow>().is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn parsing_never_panics(text in "[a-z_0-9=,:/>\\-()\\[\\].+ ]{0,60}") {
        let _ = text.parse::<Flow>();
        let _ = format!("actions={text}").parse::<Flow>();
        let _ = text.parse::<Match>();
    }

    #[test]
    fn printed_registers_parse_back(n in 0u8..16, value: u32, mask: u32) {
        let matches = Match::any().masked(Field::Reg(n), value, mask);
        prop_assert_eq!(matches.to_string().parse::<Match>().ok(), Some(matches));
    }
}
