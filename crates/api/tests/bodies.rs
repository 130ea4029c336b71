//! Bodies: strict, precise about what is wrong, and writable again after reading.

#![allow(clippy::unwrap_used, clippy::panic, reason = "test code")]

use api::v1::{ApplyBody, Body, Context, NetworkBody, PolicyBody, TenantBody};
use api::{Malformed, from_slice};
use model::Spec;
use serde_json::json;
use types::Name;

fn blue(name: Option<&str>) -> Context {
    Context { tenant: Some(Name::new("blue").expect("name")), name: name.map(str::to_owned) }
}

#[track_caller]
fn malformed<T: serde::de::DeserializeOwned>(text: &str) -> Malformed {
    from_slice::<T>(text.as_bytes()).err().expect("refused")
}

#[test]
fn unknown_field_is_an_error_with_its_path_line_and_column() {
    let e = malformed::<PolicyBody>("{\n  \"rules\": [\n    {\"nmae\": \"x\"}\n  ]\n}");
    assert_eq!((e.path.as_str(), e.position.map(|p| p.line)), ("rules[0].nmae", Some(3)));
    assert!(e.reason.starts_with("unknown field `nmae`, expected one of `name`"), "{}", e.reason);
}

#[test]
fn values_are_checked_where_they_stand() {
    for (text, path, reason) in [
        (r#"{"vni": 0}"#, "vni", "vni \"0\": must be 1 to 16777215"),
        (
            r#"{"ipv4": {"subnet": "10.0.0.1/24"}}"#,
            "ipv4.subnet",
            "has host bits set; the prefix is 10.0.0.0/24",
        ),
        (r#"{"name": "Web"}"#, "name", "may hold only lower-case letters, digits and '-'"),
        (
            r#"{"ipv4": {"subnet": "10.0.0.0/24", "gateway": "10.0.0"}}"#,
            "ipv4.gateway",
            "invalid IP address syntax",
        ),
        (r#"{"vni": 1} x"#, ".", "trailing characters"),
        (r#"{"vni": 1"#, ".", "EOF while parsing an object"),
        (r#"{"vni": 1, "vni": 2}"#, ".", "duplicate field `vni`"),
    ] {
        let e = malformed::<NetworkBody>(text);
        assert_eq!(e.path, path, "{text}: {e}");
        assert!(e.reason.contains(reason), "{text}: {e}");
    }
}

#[test]
fn port_is_a_number_or_text() {
    let port = |written: serde_json::Value| {
        let rule =
            json!({"name": "r", "direction": "in", "protocol": "tcp", "port": written, "action": "allow"});
        let body = serde_json::from_value::<PolicyBody>(json!({"rules": [rule]}));
        body.map(|b| b.rules[0].port.as_ref().map(ToString::to_string)).map_err(|e| e.to_string())
    };
    assert_eq!(port(json!(443)), Ok(Some("443".to_owned())));
    assert_eq!(port(json!("443")), Ok(Some("443".to_owned())));
    assert_eq!(port(json!("8000-8080")), Ok(Some("8000-8080".to_owned())));
    assert_eq!(port(json!(["8000-8080", 443, "80", 443])), Ok(Some("80,443,8000-8080".to_owned())));
    assert_eq!(port(json!(null)), Ok(None));
    for bad in [
        json!(0),
        json!(65536),
        json!(-1),
        json!(4.5),
        json!(true),
        json!([]),
        json!([0]),
        json!([443, "x"]),
        json!(""),
    ] {
        let refused = port(bad.clone()).unwrap_err();
        assert!(refused.contains("port"), "{bad}: {refused}");
    }
}

#[test]
fn apply_names_the_document_and_field() {
    let body = r#"{"documents": [
        {"kind": "tenant", "name": "blue"},
        {"kind": "network", "tenant": "blue", "name": "web", "ipv4": {"subnet": "10.0.0.0/31"}}
    ]}"#;
    let e = ApplyBody::from_slice(body.as_bytes()).unwrap_err();
    assert_eq!((e.path.as_str(), e.position.map(|p| p.line)), ("documents[1].ipv4.subnet", Some(3)));
    for (body, path, reason) in [
        (r#"{"documents": [{"name": "x"}]}"#, "documents[0]", "missing field `kind`"),
        (r#"{"documents": [{"kind": "pod"}]}"#, "documents[0].kind", "unknown variant `pod`"),
        (r#"{"documents": [], "dryRun": true}"#, ".", "unknown field `dryRun`"),
        (
            r#"{"documents": [{"kind": "tenant", "name": "x", "vrf": 7}]}"#,
            "documents[0].vrf",
            "unknown field `vrf`",
        ),
        ("{}", ".", "missing field `documents`"),
        ("[]", ".", ""),
    ] {
        let e = ApplyBody::from_slice(body.as_bytes()).unwrap_err();
        assert_eq!(e.path, path, "{body}: {e}");
        assert!(e.reason.contains(reason), "{body}: {e}");
    }
}

#[test]
fn a_body_may_repeat_the_path_but_not_contradict_it() {
    let body: NetworkBody =
        from_slice(br#"{"tenant": "blue", "name": "web", "ipv4": {"subnet": "10.0.0.0/24"}}"#).unwrap();
    assert!(body.clone().into_spec(&blue(Some("web"))).is_ok());
    let problems = body.clone().into_spec(&blue(Some("db"))).unwrap_err();
    assert_eq!(problems[0].reason, "the path says db");
    let green = Context { tenant: Some(Name::new("green").unwrap()), name: None };
    assert_eq!(body.into_spec(&green).unwrap_err()[0].field, "/tenant");

    let wrong: TenantBody = from_slice(br#"{"kind": "network", "resourceVersion": "x"}"#).unwrap();
    let problems = wrong.into_spec(&Context::default()).unwrap_err();
    let fields: Vec<_> = problems.iter().map(|p| p.field.as_str()).collect();
    assert_eq!(fields, ["/kind", "/name", "/resourceVersion"]);
    let bad_path = Context { tenant: None, name: Some("A".into()) };
    assert_eq!(TenantBody::default().into_spec(&bad_path).unwrap_err()[0].field, "/name");
}

#[test]
fn what_the_server_answers_can_be_written_back() {
    let answer = json!({"documents": [
        {"kind": "tenant", "name": "blue", "defaultAction": "allow", "resourceVersion": "7", "status": {"vrf": 1}},
        {"kind": "policy", "tenant": "blue", "name": "p", "rules": [
            {"name": "r", "direction": "in", "peer": {"cidr": "10.0.0.0/8"}, "protocol": "tcp", "port": "80-90", "action": "allow"},
            {"name": "s", "direction": "egress", "peer": "any", "action": "deny"}], "resourceVersion": "8", "status": {}}
    ]});
    let body = ApplyBody::from_slice(answer.to_string().as_bytes()).unwrap();
    let again = serde_json::to_vec(&body).unwrap();
    let specs = |body: ApplyBody| -> Vec<(Spec, _)> {
        body.documents.into_iter().map(|d| d.into_spec().expect("whole")).collect()
    };
    let first = specs(body);
    assert_eq!(first[0].1, Some(types::Revision::new(7)));
    assert_eq!(first, specs(ApplyBody::from_slice(&again).unwrap()));
}

#[test]
fn wire_and_model_agree_on_every_field() {
    let documents = json!([
        {"kind": "network", "tenant": "blue", "name": "web", "ipv4": {"subnet": "10.1.1.0/24", "gateway": "10.1.1.1"},
         "ipv6": {"subnet": "fd00::/64"}, "vni": 7},
        {"kind": "group", "tenant": "blue", "name": "app", "network": "web", "policies": ["p"]},
        {"kind": "endpoint", "tenant": "blue", "name": "a.b", "network": "web", "group": "app", "node": "n1", "ipv4": "10.1.1.5", "ipv6": "fd00::5"},
        {"kind": "node", "name": "n1", "vtep": "198.18.0.1"},
        {"kind": "tenant", "name": "blue", "defaultAction": "deny"},
        {"kind": "policy", "tenant": "blue", "name": "p", "rules": [{"name": "r", "direction": "ingress", "priority": 5,
         "peer": {"group": "app"}, "protocol": "udp", "port": "53", "action": "allow"}]},
    ]);
    let mut stored = documents.clone();
    // The one thing that is kept in another form.
    let rule = stored[5]["rules"][0].as_object_mut().unwrap();
    rule.retain(|field, _| !["protocol", "port"].contains(&field.as_str()));
    rule.insert("services".into(), json!(["udp/53"]));
    let direct: Vec<Spec> = serde_json::from_value(stored).unwrap();
    let body = ApplyBody::from_slice(json!({ "documents": documents }).to_string().as_bytes()).unwrap();
    let wired: Vec<Spec> = body.documents.into_iter().map(|d| d.into_spec().unwrap().0).collect();
    assert_eq!(direct, wired);
}

#[test]
fn a_peer_is_a_word_or_one_thing() {
    let rule =
        |peer: serde_json::Value| json!({"name": "r", "direction": "in", "peer": peer, "action": "deny"});
    for peer in [
        json!("any"),
        json!({"group": "web"}),
        json!({"cidr": "10.0.0.0/8"}),
        json!({"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16", "10.2.0.0/16"]}),
        json!({"range": "fd00::5-fd00::9"}),
    ] {
        let body: PolicyBody = serde_json::from_value(json!({"rules": [rule(peer.clone())]})).unwrap();
        assert_eq!(serde_json::to_value(&body.rules[0].peer).unwrap(), peer);
        let (Spec::Policy(spec), _) = body.into_spec(&blue(Some("p"))).unwrap() else { panic!("a policy") };
        assert_eq!(serde_json::to_value(api::v1::Peer::from(spec.rules[0].peer.clone())).unwrap(), peer);
    }
    for (peer, place) in [
        (json!("all"), "/rules/0/peer"),
        (json!({}), "/rules/0/peer"),
        (json!({"group": "web", "cidr": "10.0.0.0/8"}), "/rules/0/peer"),
        (json!({"range": "10.0.0.9-10.0.0.5"}), "/rules/0/peer/range"),
        (json!({"range": "10.0.0.9-fd00::"}), "/rules/0/peer/range"),
        (json!({"except": ["10.1.0.0/16"]}), "/rules/0/peer"),
        (json!({"group": "web", "except": ["10.1.0.0/16"]}), "/rules/0/peer"),
        (json!({"cidr": "10.0.0.0/8", "except": ["10.1.0.1/16"]}), "/rules/0/peer/except/0"),
    ] {
        let e = malformed::<PolicyBody>(&json!({"rules": [rule(peer.clone())]}).to_string());
        assert_eq!(e.findings[0].pointer, place, "{peer}: {:?}", e.findings);
    }
}

/// Reads a rule with these fields: its services, or where it is wrong and why. What is answered reads back the same.
fn services(fields: &serde_json::Value) -> Result<String, (String, String)> {
    let mut rule = json!({"name": "r", "direction": "in", "action": "allow"});
    rule.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    let body: PolicyBody = serde_json::from_value(json!({"rules": [rule]})).unwrap();
    let rules = |body: PolicyBody| match body.into_spec(&blue(Some("p"))) {
        Ok((Spec::Policy(spec), _)) => Ok(spec.rules),
        Ok(_) => panic!("a policy"),
        Err(problems) => Err((problems[0].field.clone(), problems[0].reason.clone())),
    };
    let read = rules(body)?;
    let answered =
        PolicyBody { rules: read.iter().cloned().map(Into::into).collect(), ..PolicyBody::default() };
    assert_eq!(rules(answered).unwrap(), read);
    Ok(read[0].services.iter().flatten().map(ToString::to_string).collect::<Vec<_>>().join(" "))
}

#[test]
fn one_service_stands_in_the_rule_and_several_in_a_list() {
    for (fields, text) in [
        (json!({}), ""),
        (json!({"protocol": "icmp"}), "icmp"),
        (json!({"protocol": "icmp", "icmpType": 8, "icmpCode": "0"}), "icmp/8/0"),
        (json!({"protocol": "icmpv6", "icmpType": "128"}), "icmpv6/128"),
        (json!({"protocol": "icmpv6"}), "icmpv6"),
        (json!({"protocol": "tcp", "port": [80, "8000-8080"]}), "tcp/80,8000-8080"),
        (
            json!({"services": [{"protocol": "udp", "port": 53}, {"protocol": "tcp", "port": ["53"]}]}),
            "tcp/53 udp/53",
        ),
        (json!({"services": [{"protocol": "47"}]}), "47"),
    ] {
        assert_eq!(services(&fields), Ok(text.to_owned()), "{fields}");
    }
    let among = json!([{"protocol": "udp"}, {"protocol": "47", "port": 1}]);
    for (fields, field, reason) in [
        (json!({"port": "80"}), "/rules/0/port", "needs a protocol"),
        (json!({"icmpType": 8}), "/rules/0/icmpType", "needs a protocol"),
        (json!({"protocol": "icmp", "port": "80-90"}), "/rules/0/port", "protocol icmp has no ports"),
        (json!({"protocol": "icmpv6", "port": 1}), "/rules/0/port", "protocol icmpv6 has no ports"),
        (json!({"protocol": "tcp", "icmpType": 8}), "/rules/0/icmpType", "protocol tcp has no types"),
        (json!({"protocol": "icmp", "icmpCode": 8}), "/rules/0/icmpCode", "needs an icmpType"),
        (json!({"services": []}), "/rules/0/services", "an empty list is no service"),
        (
            json!({"protocol": "tcp", "services": [{"protocol": "udp"}]}),
            "/rules/0/services",
            "protocol, port",
        ),
        (json!({"services": among}), "/rules/0/services/1/port", "protocol 47 has"),
    ] {
        let (at, why) = services(&fields).unwrap_err();
        assert_eq!(at, field, "{fields}");
        assert!(why.starts_with(reason), "{fields}: {why}");
    }
}

/// Everything that lies outside is named, of every rule.
#[test]
fn an_exception_outside_its_prefix_is_named() {
    let rule = |name: &str, except: &[&str]| {
        let peer = json!({"cidr": "10.0.0.0/8", "except": except});
        json!({"name": name, "direction": "in", "peer": peer, "action": "deny"})
    };
    let rules =
        [rule("a", &["10.0.0.0/16"]), rule("b", &["10.1.0.0/16", "0.0.0.0/0"]), rule("c", &["10.0.0.0/8"])];
    let body: PolicyBody = serde_json::from_value(json!({ "rules": rules })).unwrap();
    let problems = body.into_spec(&blue(Some("p"))).unwrap_err();
    let places: Vec<_> = problems.iter().map(|p| (p.field.as_str(), p.value.as_str())).collect();
    assert_eq!(places, [("/rules/1/peer/except/1", "0.0.0.0/0"), ("/rules/2/peer/except/0", "10.0.0.0/8")]);
    assert_eq!(problems[0].object, "policy blue/p");
}

/// Pointer and beginning of the reason of everything that is wrong.
fn wrong(e: &Malformed) -> Vec<(&str, &str)> {
    e.findings
        .iter()
        .map(|f| (f.pointer.as_str(), f.reason.split([',', ':', '(']).next().unwrap_or_default().trim()))
        .collect()
}

#[test]
fn every_wrong_field_is_found_at_once() {
    let e = malformed::<PolicyBody>(
        r#"{"kind": "pod", "nmae": 1, "name": "Web", "resourceVersion": 7, "rules": [
            {"name": "a", "direction": "up", "action": "allow", "port": "99999"},
            "not a rule",
            {"name": "b", "direction": "ingress", "action": "allow", "peer": {"gruop": "x"}},
            {"direction": "ingress", "extra": []},
            {"name": "c", "direction": "ingress", "action": "deny", "peer": {"cidr": "10.0.0.1/8"}}]}"#,
    );
    let places: Vec<_> = wrong(&e).into_iter().map(|(place, _)| place).collect();
    assert_eq!(
        places,
        [
            "/kind",
            "/name",
            "/nmae",
            "/resourceVersion",
            "/rules/0/direction",
            "/rules/0/port",
            "/rules/1",
            "/rules/2/peer/gruop",
            "/rules/2/peer",
            "/rules/3/extra",
            "/rules/3/name",
            "/rules/3/action",
            "/rules/4/peer/cidr"
        ],
        "{:#?}",
        e.findings
    );
    assert_eq!(e.findings[1].value, "Web");
    assert_eq!((e.path.as_str(), e.position.map(|p| p.line)), ("kind", Some(1)));
}

#[test]
fn every_wrong_field_of_every_document_is_found_at_once() {
    let body = r#"{"documents": [
        {"kind": "tenant", "name": "blue", "defaultAction": "maybe"},
        {"name": "x"},
        {"kind": "pod", "name": "x", "vni": 3},
        {"kind": "network", "tenant": "blue", "name": "web", "vni": 0, "ipv4": {"gateway": "x"}},
        7], "dryRun": true}"#;
    let e = ApplyBody::from_slice(body.as_bytes()).unwrap_err();
    let places: Vec<_> = wrong(&e).into_iter().map(|(place, _)| place).collect();
    assert_eq!(
        places,
        [
            "/dryRun",
            "/documents/0/defaultAction",
            "/documents/1/kind",
            "/documents/2/kind",
            "/documents/3/ipv4/gateway",
            "/documents/3/ipv4/subnet",
            "/documents/3/vni",
            "/documents/4"
        ],
        "{:#?}",
        e.findings
    );
}

#[test]
fn text_that_is_no_json_has_one_finding_and_twice_the_same_field_is_one() {
    assert_eq!(wrong(&malformed::<TenantBody>("{\"name\": ")), [("/name", "EOF while parsing a value")]);
    let twice = malformed::<NetworkBody>(r#"{"vni": 1, "vni": 2, "x": 1}"#);
    assert_eq!(wrong(&twice), [("", "duplicate field `vni`"), ("/x", "unknown field `x`")]);
}

#[test]
fn a_body_full_of_errors_is_not_read_for_ever() {
    let rules = vec![json!({"nmae": 1}); 3000];
    let e = malformed::<PolicyBody>(&json!({"rules": rules}).to_string());
    assert_eq!(e.findings.len(), 100);
    assert!(malformed::<PolicyBody>("7").findings.len() == 1);
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(256))]

    /// Whatever is wrong, it is found, ends, and points at what is there.
    #[test]
    fn findings_of_any_json_point_into_it(json in json_value()) {
        if let Err(e) = from_slice::<PolicyBody>(json.to_string().as_bytes()) {
            assert!(!e.findings.is_empty());
            for f in &e.findings {
                let parent = f.pointer.rsplit_once('/').map_or("", |(parent, _)| parent);
                assert!(json.pointer(parent).is_some(), "{f:?}");
            }
        }
    }
}

fn json_value() -> impl proptest::prelude::Strategy<Value = serde_json::Value> {
    use proptest::prelude::*;
    let key = prop::sample::select(vec![
        "name",
        "rules",
        "kind",
        "direction",
        "action",
        "peer",
        "port",
        "status",
        "x/~",
    ]);
    let leaf = prop_oneof![
        Just(json!(null)),
        any::<i32>().prop_map(|n| json!(n)),
        prop::sample::select(vec!["a", "ingress", "allow", "any", "Bad", "80"]).prop_map(|t| json!(t)),
    ];
    leaf.prop_recursive(4, 32, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|v| json!(v)),
            prop::collection::btree_map(key.clone().prop_map(str::to_owned), inner, 0..6)
                .prop_map(|m| json!(m)),
        ]
    })
}

#[test]
fn an_array_is_no_object() {
    for text in ["[]", "[null, null]", r#"{"ipv4": ["10.1.1.0/24"]}"#] {
        let e = malformed::<NetworkBody>(text);
        assert!(e.findings.iter().any(|f| f.reason.contains("expected an object")), "{text}: {e:?}");
    }
    let e = ApplyBody::from_slice(
        br#"{"documents": [{"kind": "network", "tenant": "blue", "name": "a",
        "ipv4": ["10.1.1.0/24"]}]}"#,
    );
    let findings = e.expect_err("refused").findings;
    assert_eq!(findings[0].pointer, "/documents/0/ipv4", "{findings:?}");
}
