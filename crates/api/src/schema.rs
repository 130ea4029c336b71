//! Schemas of the vocabulary types: their limits and patterns, as the type's own checks have them.
//!
//! These never hold a value. They stand in for foreign types (`#[schema(value_type = ...)]`), so that the document shows
//! `Name` with its pattern and not just a string.

use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, OneOfBuilder, Schema, SchemaType, Type};
use utoipa::openapi::{KnownFormat, Ref, RefOr, SchemaFormat};
use utoipa::{PartialSchema, ToSchema};

macro_rules! text_schema {
    ($($name:ident: $doc:literal, $pattern:expr, $max:expr, $example:literal;)*) => {$(
        #[doc = $doc]
        pub(crate) struct $name;
        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                let text = ObjectBuilder::new().schema_type(Type::String).description(Some($doc));
                let pattern: Option<&str> = $pattern;
                let text = text.pattern(pattern).max_length($max);
                RefOr::T(text.examples([serde_json::json!($example)]).into())
            }
        }
        impl ToSchema for $name {}
    )*};
}

const LABEL: &str = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$";
const SUBDOMAIN: &str = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$";
const PORTS: &str = "^[0-9]{1,5}(-[0-9]{1,5})?$";
const TIME: &str = "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+Z$";
const RATE: &str = "^[1-9][0-9]* ?[kmgKMG](b|bps)?$";
const MAC: &str = "^[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}$";

text_schema! {
    Name: "A DNS label (RFC 1123): lower-case letters, digits and '-'", Some(LABEL), Some(63), "web";
    NodeName: "A DNS subdomain: labels joined by dots", Some(SUBDOMAIN), Some(253), "node-1";
    EndpointName: "A DNS subdomain: labels joined by dots", Some(SUBDOMAIN), Some(253), "c0ffee.eth0";
    SubnetRange: "A prefix, or a range of addresses with the length of its prefix; /8 to /30 in IPv4, /48 to /126 in IPv6",
        None, None, "10.1.1.20-10.1.1.40/24";
    Cidr: "A prefix without host bits", None, None, "10.1.0.0/16";
    AddressRange: "FIRST-LAST: addresses of one family, both included", None, None, "10.1.1.20-10.1.1.40";
    Address: "An IPv4 or IPv6 address", None, None, "10.1.1.1";
    Party: "An endpoint's name, or an address in the tenant", None, Some(253), "web-1";
    Traffic: "What a connection is opened with: tcp/PORT, udp/PORT, sctp/PORT, icmp (an echo request), icmp/TYPE/CODE, or an IP protocol number",
        None, Some(16), "tcp/443";
    Mac: "An Ethernet address", Some(MAC), Some(17), "0a:58:0a:01:01:05";
    Protocol: "tcp, udp, sctp, icmp (ICMPv4 and ICMPv6; with a type: ICMPv4), icmpv6 or an IP protocol number", None, None, "tcp";
    Revision: "A position in the store's history, as decimal text", Some("^[0-9]{1,20}$"), None, "42";
    EntityTag: "An object's version as entity tag (RFC 9110 section 8.8.3): the revision of its last change, and a digest of all that is answered",
        Some("^\"[0-9]{1,20}(-[0-9a-f]{16})?\"$"), None, "\"42-0123456789abcdef\"";
    IfMatch: "`*` or entity tags. Revisions are compared, digests are not: a change of status is no change of what was declared. Weak tags are refused",
        Some("^(\\*|\"[0-9]{1,20}(-[0-9a-f]{16})?\"(, \"[0-9]{1,20}(-[0-9a-f]{16})?\")*)$"), None, "\"42\"";
    IfAbsent: "`*`: only if there is no such object", Some("^\\*$"), Some(1), "*";
    IfChanged: "`*` or entity tags: 304 when the answer would be one of them",
        Some("^(\\*|(W/)?\"[0-9a-f-]{1,40}\"(, (W/)?\"[0-9a-f-]{1,40}\")*)$"), None, "\"42-0123456789abcdef\"";
    Location: "Path of an object", None, None, "/api/v1/tenants/blue";
    Continue: "Where a page ended. Opaque", None, None, "NDIud2Vi";
    EventId: "Where a watch is: a revision, or a part of one. Opaque", Some("^[0-9]{1,20}(/[0-9]{1,9})?(~([0-9a-f]{16})?)?$"), None, "42";
    EventStream: "Server-sent events: `event` is added, modified, deleted, status (data: the object), bookmark (data: a Bookmark), gone or error (data: a Problem); `id` is the place to go on from",
        None, None, "id: 42\nevent: bookmark\ndata: {\"resourceVersion\":\"42\"}\n\n";
    Time: "A moment (RFC 3339)", Some(TIME), Some(40), "2026-01-31T08:30:00Z";
    Bandwidth: "A rate: a whole number above zero with kbps, Mbps or Gbps (1,000 bits each); answers have the largest unit that divides it",
        Some(RATE), None, "20Mbps";
    Uid: "An endpoint's number: 48 bits in hexadecimal", Some("^[0-9a-f]{12}$"), Some(12), "5f3759df0001";
}

/// A port 1 to 65535, as text or as a number, or FIRST-LAST.
pub(crate) struct PortRange;

impl PartialSchema for PortRange {
    fn schema() -> RefOr<Schema> {
        let range = ObjectBuilder::new().schema_type(SchemaType::from_iter([Type::String, Type::Integer]));
        // The pattern speaks of text only, the bounds of numbers only (JSON Schema 2020-12 validation, section 6).
        let range = range.pattern(Some(PORTS)).minimum(Some(1)).maximum(Some(65535));
        let text = "A port 1 to 65535, as text or as a number, or FIRST-LAST; answers have text";
        RefOr::T(range.description(Some(text)).examples([serde_json::json!("8000-8080")]).into())
    }
}

impl ToSchema for PortRange {}

/// One port or range, or several.
pub(crate) struct Ports;

impl PartialSchema for Ports {
    fn schema() -> RefOr<Schema> {
        let one = Ref::from_schema_name("PortRange");
        let list = ArrayBuilder::new().items(one.clone()).min_items(Some(1));
        let list = list.max_items(Some(types::Ports::MAX));
        RefOr::T(OneOfBuilder::new().item(one).item(list).into())
    }
}

impl ToSchema for Ports {}

macro_rules! int_schema {
    ($($name:ident($min:expr, $max:expr): $doc:literal;)*) => {$(
        #[doc = $doc]
        pub(crate) struct $name;
        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                let number = ObjectBuilder::new().schema_type(Type::Integer).description(Some($doc));
                let number = number.format(Some(SchemaFormat::KnownFormat(KnownFormat::Int32)));
                RefOr::T(number.minimum(Some($min)).maximum(Some($max)).into())
            }
        }
        impl ToSchema for $name {}
    )*};
}

int_schema! {
    Vni(types::Vni::MIN.get(), types::Vni::MAX.get()): "VXLAN network identifier (RFC 7348)";
    Priority(i32::from(types::RulePriority::MIN.get()), i32::from(types::RulePriority::MAX.get())):
        "Priority of a rule: the higher number wins, deny wins ties";
    VrfId(i32::from(types::VrfId::MIN.get()), i32::from(types::VrfId::MAX.get())):
        "A tenant's address space and conntrack zone";
    IcmpNumber(0, 255): "A type or code of an ICMP message";
    Limit(1, i32::MAX): "How many objects at most";
    GroupId(types::GroupId::MIN.get(), types::GroupId::MAX.get()): "A group's number in the data plane";
    Burst(2, 10486): "Kilobytes (1,000 bytes each) that may pass at once above a rate";
    Dscp(i32::from(types::Dscp::MIN.get()), i32::from(types::Dscp::MAX.get())): "Differentiated services code point (RFC 2474)";
    PolicyId(types::PolicyId::MIN.get(), types::PolicyId::MAX.get()): "A policy's number in the data plane";
}

/// Yes or no.
pub(crate) struct Flag;

impl PartialSchema for Flag {
    fn schema() -> RefOr<Schema> {
        RefOr::T(ObjectBuilder::new().schema_type(Type::Boolean).description(Some("Yes or no")).into())
    }
}

impl ToSchema for Flag {}

macro_rules! word_schema {
    ($($name:ident: $doc:literal, [$($word:literal),+];)*) => {$(
        #[doc = $doc]
        pub(crate) struct $name;
        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                let word = ObjectBuilder::new().schema_type(Type::String).description(Some($doc));
                RefOr::T(word.enum_values(Some([$($word),+])).into())
            }
        }
        impl ToSchema for $name {}
    )*};
}

word_schema! {
    DefaultAction: "What happens to connections inside a tenant that no rule decides", ["allow", "deny"];
    Verdict: "What a rule decides", ["allow", "deny"];
    FamilyName: "An address family", ["v4", "v6"];
    Direction: "Which way a connection is opened, relative to the endpoint", ["ingress", "egress"];
    RateShare: "Whose rates are: each endpoint's, or all endpoints' of the group on a node together", ["endpoint", "group"];
    Kind: "A kind of object", ["node", "tenant", "network", "policy", "netprofile", "group", "endpoint"];
}
