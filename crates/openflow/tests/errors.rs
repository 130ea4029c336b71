//! Every error has the name `ovs-ofctl` gives it, and no other.

mod common;

use openflow::{ErrorCode, Version};

const VENDORS: [u32; 2] = [0x0000_2320, 0x4f4e_4600];

/// Every number that could be an error's: no type of the specification is above 23, no code above 63, no vendor's
/// error above 4,999.
fn numbers() -> Vec<ErrorCode> {
    let standard = (0..24).flat_map(|kind| (0..64).map(move |code| ErrorCode::Standard(kind, code)));
    let vendors =
        VENDORS.into_iter().flat_map(|vendor| (0..5000).map(move |kind| ErrorCode::Vendor(vendor, kind)));
    standard.chain(vendors).collect()
}

/// An `OFPT_ERROR`, put together by hand.
fn frame(version: Version, code: ErrorCode) -> Vec<u8> {
    let mut body = Vec::new();
    match code {
        ErrorCode::Standard(kind, code) => body.extend([kind.to_be_bytes(), code.to_be_bytes()].concat()),
        ErrorCode::Vendor(vendor, kind) => {
            body.extend([[0xff, 0xff], kind.to_be_bytes()].concat());
            body.extend(vendor.to_be_bytes());
        }
    }
    body.extend([0; 8]);
    let mut frame = vec![version.as_u8(), 1];
    frame.extend((8 + body.len() as u16).to_be_bytes());
    frame.extend([0; 4]);
    frame.extend(body);
    frame
}

#[test]
fn errors_are_called_as_ovs_ofctl_calls_them() {
    let numbers = numbers();
    let mut theirs: Vec<Option<String>> = vec![None; numbers.len()];
    for version in Version::SPOKEN {
        let frames: Vec<Vec<u8>> = numbers.iter().map(|code| frame(version, *code)).collect();
        let printed = common::oracle::printed(&frames);
        assert_eq!(printed.len(), numbers.len());
        for (name, printed) in theirs.iter_mut().zip(printed) {
            let first = printed.lines().next().unwrap_or_default();
            if !first.is_empty() && !first.starts_with("***") {
                assert!(name.as_deref().is_none_or(|name| name == first), "{version}: {first} was {name:?}");
                *name = Some(first.to_owned());
            }
        }
    }
    let named = theirs.iter().flatten().count();
    assert!(named > 200, "ovs-ofctl named only {named}");
    for (code, theirs) in numbers.iter().zip(theirs) {
        assert_eq!(code.name().map(str::to_owned), theirs, "{code:?}");
    }
}

#[test]
fn a_number_without_a_name_is_printed_as_numbers() {
    assert_eq!(ErrorCode::Standard(99, 7).to_string(), "error type 99 code 7");
    assert_eq!(ErrorCode::Vendor(0xabc, 7).to_string(), "error of vendor 0xabc type 7");
}
