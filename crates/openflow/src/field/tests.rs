use std::collections::BTreeSet;

use super::*;

#[test]
fn headers_and_names_are_unique() {
    let mut headers = BTreeSet::new();
    let mut names = BTreeSet::new();
    for field in Field::all() {
        assert!(names.insert(field.name()), "two fields are called {}", field.name());
        for header in field.def().headers {
            assert!(headers.insert(header.id), "{} has the header of another field", header.name);
            assert_eq!(Field::from_header(header.id), Some(field));
            assert_eq!(Field::from_name(header.name), Some(field));
        }
    }
}

#[test]
fn widths_fit_their_bytes() {
    for field in Field::all() {
        assert!(u32::from(field.n_bits()) <= u32::from(field.def().n_bytes) * 8, "{}", field.name());
    }
}

#[test]
fn register_out_of_range_has_no_wire_form() {
    assert_eq!(Field::Reg(16).header(Version::V1_5), None);
    assert_eq!(Field::XxReg(4).header(Version::V1_5), None);
}

#[test]
fn header_follows_the_version() {
    assert_eq!(Field::TcpFlags.header(Version::V1_3).map(|id| id.class), Some(0xffff));
    assert_eq!(Field::TcpFlags.header(Version::V1_5).map(|id| id.class), Some(0x8000));
    assert_eq!(Field::EthSrc.long_name(), "NXM_OF_ETH_SRC");
    assert_eq!(Field::Metadata.long_name(), "OXM_OF_METADATA");
}
