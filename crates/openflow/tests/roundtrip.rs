//! The laws of the codec and the text on generated flows: what encodes decodes to the same, what prints parses to
//! the same, in every version. This is what makes a no-op difference empty.

mod common;

use common::generate::{flow, matches};
use openflow::{Flow, FlowMod, Masked, Match, Message, Version, decode, encode};
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1500) })]

    #[test]
    fn what_encodes_decodes_to_the_same(flow in flow()) {
        for version in Version::SPOKEN {
            let mut bytes = Vec::new();
            let message = Message::FlowMod(Box::new(FlowMod::add(flow.clone())));
            if encode(version, 7, &message, &mut bytes).is_ok() {
                prop_assert_eq!(bytes.len() % 8, 0);
                prop_assert_eq!(usize::from(u16::from_be_bytes([bytes[2], bytes[3]])), bytes.len());
                let (header, back) = decode(&bytes).map_err(|e| TestCaseError::fail(e.to_string()))?;
                prop_assert_eq!((header.version, header.xid), (version.as_u8(), 7));
                prop_assert_eq!(back, message);
            } else {
                prop_assert!(bytes.is_empty(), "a failed encode left bytes");
            }
        }
    }

    #[test]
    fn what_prints_parses_to_the_same(flow in flow()) {
        let text = flow.to_string();
        match text.parse::<Flow>() {
            Ok(back) => prop_assert_eq!(back, flow),
            Err(e) => prop_assert!(false, "{}: {}", text, e),
        }
    }

    #[test]
    fn matches_are_canonical(matches in matches()) {
        let mut rebuilt = Match::any();
        for (field, Masked { value, mask }) in matches.iter() {
            prop_assert_ne!(mask, 0);
            prop_assert_eq!(value & !mask, 0);
            rebuilt = rebuilt.masked(field, value, mask);
        }
        for (n, option) in matches.tun_options() {
            rebuilt = rebuilt.tun_metadata(n, option.clone());
        }
        prop_assert_eq!(rebuilt, matches);
    }
}
