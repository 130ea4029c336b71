//! What runtimes may rely on: parsing, error codes, the journal, the socket.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
use std::os::unix::net::UnixListener;
use std::time::Duration;

use cni::{Attachment, CniError, Code, Invocation, Parameters, Reply, Request, Verb, journal};

const CONF: &str = r#"{"cniVersion":"1.1.0","name":"selvage","type":"selvage-cni","socket":"/tmp/s/cni.sock",
    "tenant":"blue","network":"web","group":"front","capabilities":{"portMappings":true}}"#;

fn parse(command: &str, conf: &str, extra: &[(&str, &str)]) -> Result<Invocation, CniError> {
    let base = [
        ("CNI_COMMAND", command),
        ("CNI_CONTAINERID", "Web-1"),
        ("CNI_IFNAME", "eth0"),
        ("CNI_NETNS", "/run/netns/web-1"),
    ];
    let env =
        |key: &str| extra.iter().chain(&base).find(|(k, _)| *k == key).map(|(_, value)| value.to_string());
    Invocation::parse(&env, conf.as_bytes())
}

fn ask(command: &str, conf: &str, extra: &[(&str, &str)]) -> (Request, Parameters) {
    match parse(command, conf, extra).unwrap() {
        Invocation::Ask(request, parameters) => (*request, parameters),
        Invocation::Version => panic!("expected a request"),
    }
}

fn code(command: &str, conf: &str, extra: &[(&str, &str)]) -> (u32, String) {
    let e = parse(command, conf, extra).unwrap_err();
    (e.code.number(), e.details)
}

#[test]
fn add_carries_everything_the_agent_needs() {
    let (request, parameters) = ask("ADD", CONF, &[]);
    assert_eq!(request.verb, Verb::Add);
    assert_eq!(request.endpoint.unwrap().as_str(), "web-1.eth0");
    assert_eq!((request.tenant.as_str(), request.network.as_str()), ("blue", "web"));
    assert_eq!(request.group.unwrap().as_str(), "front");
    assert_eq!(request.netns.unwrap().to_str(), Some("/run/netns/web-1"));
    assert_eq!(parameters.journal_dir.to_str(), Some("/tmp/s/selvage-cni-journal"));
    for socket in ["/run/selvage/cni.sock", "/var/run/selvage/cni.sock"] {
        let outlives_a_reboot = cni::journal::default_dir(std::path::Path::new(socket));
        assert_eq!(outlives_a_reboot.to_str(), Some("/var/lib/selvage/selvage-cni-journal"));
    }
}

#[test]
fn cni_args_override_the_configuration() {
    let args = "IgnoreUnknown=1;K8S_POD_NAME=x;SELVAGE_TENANT=green;SELVAGE_ENDPOINT=db;SELVAGE_IPV4=10.1.1.9;SELVAGE_IPV6=fd00::9";
    let (request, _) = ask("ADD", CONF, &[("CNI_ARGS", args)]);
    assert_eq!(request.tenant.as_str(), "green");
    assert_eq!(request.endpoint.unwrap().as_str(), "db");
    assert_eq!(request.ipv4, Some("10.1.1.9".parse().unwrap()));
    assert_eq!(request.ipv6, Some("fd00::9".parse().unwrap()));
}

#[test]
fn refuses_what_it_does_not_understand_with_the_codes_of_the_specification() {
    assert_eq!(code("FROB", CONF, &[]).0, 4);
    assert_eq!(code("ADD", "nonsense", &[]).0, 6);
    assert_eq!(code("ADD", r#"{"cniVersion":"0.4.0","name":"x"}"#, &[]).0, 1);
    let typo = CONF.replace("\"group\"", "\"goup\"");
    assert_eq!(code("ADD", &typo, &[]), (2, "\"goup\"".into()));
    assert_eq!(code("ADD", &CONF.replace("blue", "Not A Name"), &[]).0, 7);
    assert_eq!(code("ADD", r#"{"cniVersion":"1.0.0","name":"x","network":"web"}"#, &[]).0, 7);
    assert_eq!(code("ADD", CONF, &[("CNI_CONTAINERID", "../../etc")]).0, 4);
    assert_eq!(code("ADD", CONF, &[("CNI_IFNAME", "a/b")]).0, 4);
    assert_eq!(code("ADD", CONF, &[("CNI_NETNS", "")]).0, 4);
    assert_eq!(code("ADD", CONF, &[("CNI_ARGS", "K8S_POD_NAME=x")]).0, 4);
    assert_eq!(code("ADD", CONF, &[("CNI_ARGS", "IgnoreUnknown=1;SELVAGE_GRUOP=x")]).0, 4);
    assert_eq!(code("ADD", CONF, &[("CNI_ARGS", "SELVAGE_IPV4=fd00::1")]).0, 4);
}

#[test]
fn errors_answer_in_the_version_the_runtime_asked_for() {
    let old = CONF.replace("1.1.0", "1.0.0");
    assert_eq!(parse("ADD", &old, &[("CNI_IFNAME", "")]).unwrap_err().cni_version, "1.0.0");
}

#[test]
fn a_64_digit_container_id_gives_an_endpoint_name() {
    let id = "0123456789abcdef".repeat(4);
    let (request, _) = ask("ADD", CONF, &[("CNI_CONTAINERID", &id)]);
    assert_eq!(request.endpoint.unwrap().as_str(), format!("{}.{}.eth0", &id[..32], &id[32..]));
}

#[test]
fn del_does_not_need_a_namespace() {
    assert_eq!(ask("DEL", CONF, &[("CNI_NETNS", "")]).0.netns, None);
}

#[test]
fn gc_lists_valid_attachments() {
    let conf = CONF.replace(
        "\"tenant\"",
        "\"cni.dev/valid-attachments\":[{\"containerID\":\"a\",\"ifname\":\"eth0\"}],\"tenant\"",
    );
    let (request, _) = ask("GC", &conf, &[]);
    assert_eq!(request.valid, [Attachment { container_id: "a".into(), ifname: "eth0".into() }]);
}

#[test]
fn the_journal_keeps_one_entry_per_attachment_and_reports_damage() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("journal");
    assert!(journal::pending(&dir).unwrap().is_empty());
    let (request, _) = ask("DEL", CONF, &[]);
    journal::record(&dir, &request).unwrap();
    journal::record(&dir, &request).unwrap();
    let (other, _) = ask("DEL", CONF, &[("CNI_CONTAINERID", "We-b1")]);
    journal::record(&dir, &other).unwrap();
    std::fs::write(dir.join("damaged.del"), "{").unwrap();
    let found = journal::pending(&dir).unwrap();
    assert_eq!(found.iter().filter(|(_, r)| r.is_ok()).count(), 2);
    assert_eq!(found.iter().filter(|(_, r)| r.is_err()).count(), 1);
    assert!(found.iter().any(|(_, r)| r.as_ref().is_ok_and(|r| *r == request)));
}

#[test]
fn an_add_takes_back_the_journalled_deletion_of_its_own_endpoint_only() {
    let dir = tempfile::tempdir().unwrap();
    let (del, _) = ask("DEL", CONF, &[]);
    let (add, _) = ask("ADD", CONF, &[]);
    let (renamed, _) = ask("ADD", CONF, &[("CNI_ARGS", "SELVAGE_ENDPOINT=another")]);
    journal::supersede(&dir.path().join("none"), &add).unwrap();
    journal::record(dir.path(), &del).unwrap();
    journal::supersede(dir.path(), &renamed).unwrap();
    assert_eq!(journal::pending(dir.path()).unwrap().len(), 1, "the old endpoint is still to be deleted");
    journal::supersede(dir.path(), &add).unwrap();
    assert!(journal::pending(dir.path()).unwrap().is_empty());
}

#[test]
fn the_socket_carries_one_request_and_one_reply() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("cni.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let (request, _) = ask("ADD", CONF, &[]);
    let expected = request.clone();
    let refusal = Reply::Failed(CniError::new(Code::TryAgainLater, "netmaster is away", "x"));
    let answer = refusal.clone();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let got: Request = cni::read_message(&mut stream).unwrap();
        cni::write_message(&mut stream, &answer).unwrap();
        got
    });
    let reply = cni::call(&socket, &request, Duration::from_secs(5)).unwrap();
    assert_eq!(server.join().unwrap(), expected);
    assert_eq!(reply, refusal);
    std::fs::remove_file(&socket).unwrap();
    let gone = cni::call(&socket, &request, Duration::from_secs(5)).unwrap_err();
    assert_eq!(gone.kind(), std::io::ErrorKind::NotFound);
}
