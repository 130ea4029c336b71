//! docs/reference/errors.md, made of the codes and their statuses.

use std::fmt::Write;
use std::path::Path;

use api::Code;
use netmaster::http::error::status;
use node_api::ErrorCode;

const HEAD: &str = "\
# Error codes

Generated from `crates/api/src/problem.rs`, `crates/node-api/src/error.rs` and `netmaster/src/http/error.rs`;
`BLESS=1 cargo test -p netmaster --test it reference` rewrites it. A code never changes its meaning.

## REST

An error answer is `application/problem+json` (RFC 9457) with `code`, `detail` for people, `requestId`, and where they
apply `users` (who needs the object) and `errors`: everything that is wrong, not just the first of it. An error has
`object` (`network blue/web`), `field`, `value` and `reason`; the field is a JSON pointer into the body (RFC 6901) like
`/rules/3/port` or `/documents/2/ipv4/gateway`, `?limit` for a parameter of the query, or a header's name. At most 100
fields of a body that cannot be read are listed.

";
const NODE: &str = "
## Node API

A call or session that fails has a gRPC status whose message is `code: text`.

";

fn page() -> String {
    let mut page = HEAD.to_owned();
    page.push_str("| code | HTTP | meaning | what to do |\n|---|---|---|---|\n");
    for code in Code::ALL {
        let (text, status) = (code.as_str(), status(*code).as_u16());
        writeln!(page, "| `{text}` | {status} | {} | {} |", code.meaning(), code.remedy()).expect("text");
    }
    page.push_str(NODE);
    page.push_str("| code | gRPC | meaning | what to do |\n|---|---|---|---|\n");
    for code in ErrorCode::ALL {
        let (text, status) = (code.as_str(), code.status());
        writeln!(page, "| `{text}` | {status:?} | {} | {} |", code.meaning(), code.remedy()).expect("text");
    }
    page
}

#[test]
fn every_error_code_is_in_the_reference() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference/errors.md");
    if std::env::var_os("BLESS").is_some() {
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        std::fs::write(&path, page()).expect("written");
    }
    let text = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(text == page(), "docs/reference/errors.md is stale; BLESS=1 rewrites it");
}

#[test]
fn codes_are_spelled_as_on_the_wire() {
    for code in Code::ALL {
        assert_eq!(serde_json::to_value(code).expect("json"), code.as_str());
    }
}
