//! Policy added, changed and removed under traffic.
//!
//! After each command the same questions are asked: both families, one node and two, both directions, both tenants.
//! The plain evaluator says what each answer must be, so every change is also checked for what it must *not* change:
//! other groups, other ports, the other tenant. Questions are asked one second after the command has returned.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use model::Spec;

use crate::expect::parse;
use crate::lab::run;
use crate::probe::Kind;
use crate::suite::{Context, claim, claim_none};
use crate::suites::traffic::claim_no_loss;
use crate::suites::verdicts::{wait_until, wrong};

/// How long a change may take to reach every switch, counted from the command's return.
const EFFECTIVE: Duration = Duration::from_secs(1);

/// Who asks whom. blue/db-2 is of another group than the rules are about; green has no policy at all.
const ASKED: [&str; 6] = ["blue/web-1", "blue/web-2", "blue/db-1", "blue/db-2", "green/web-1", "green/db-1"];
const KINDS: [Kind; 2] = [Kind::Tcp(80), Kind::Tcp(5432)];

/// The policy of the demonstration, with rules before its own.
fn db_access(rules: &str) -> String {
    format!(
        "kind: policy
tenant: blue
name: db-access
rules:
{rules}  - {{ name: web-postgres, direction: ingress, priority: 10, peer: {{ group: web }}, protocol: tcp, port: \"5432\", action: allow }}
  - {{ name: no-other-tcp, direction: ingress, priority: 1, protocol: tcp, action: deny }}
"
    )
}

fn web_group(policies: &str) -> String {
    format!("kind: group\ntenant: blue\nname: web\nnetwork: front\npolicies: [{policies}]\n")
}

const WEB_HTTP: &str = "  - { name: web-http, direction: ingress, priority: 20, peer: { group: web }, protocol: tcp, port: \"80\", action: allow }\n";
const WEB_CHANGED: &str = "  - { name: web-http, direction: ingress, priority: 20, peer: { group: web }, protocol: tcp, port: \"80-5432\", action: deny }\n";
const NO_TCP_OUT: &str =
    "  - { name: no-tcp-out, direction: egress, priority: 50, protocol: tcp, action: deny }\n";
const WEB_OUT: &str = "kind: policy
tenant: blue
name: web-out
rules:
  - { name: no-postgres, direction: egress, priority: 5, peer: { group: db }, protocol: tcp, port: \"5432\", action: deny }
";

/// How intent is changed.
enum How {
    /// `netctl` with these words.
    Netctl(&'static str),
    /// `netctl apply` of the documents.
    Apply,
}

pub(super) fn run(context: &mut Context) -> Result<()> {
    membership(context)?;
    both_directions(context)?;
    refusals(context)?;
    under_traffic(context)
}

/// Add by netctl, change by apply, remove by netctl, each with its verdicts, while flows it does not concern go on.
fn under_traffic(context: &mut Context) -> Result<()> {
    const ADD: &str = "policy rule-add -t blue db-access web-http --from-group web -l tcp -P 80 -p 20";
    const REMOVE: &str = "policy rule-rm -t blue db-access web-http";
    let mut rest = |context: &mut Context| {
        for _ in 0..3 {
            wait_until(Instant::now() + EFFECTIVE);
            wrong(context, &ASKED, &KINDS)?;
        }
        Ok(())
    };
    let mut changes = |context: &mut Context| {
        step(context, "added-rule-takes-effect", &How::Netctl(ADD), &db_access(WEB_HTTP))?;
        step(context, "changed-rule-takes-effect", &How::Apply, &db_access(WEB_CHANGED))?;
        step(context, "removed-rule-takes-effect", &How::Netctl(REMOVE), &db_access(""))
    };
    claim_no_loss(context, "unaffected-flows-lose-nothing", 12.0, &mut rest, &mut changes)
}

/// Rules for what leaves an endpoint; and that a reply is not a new connection.
fn both_directions(context: &mut Context) -> Result<()> {
    const OUT: &str = "policy rule-add -t blue db-access no-tcp-out -d out -l tcp -p 50 -j deny";
    let with = format!("{WEB_OUT}---\n{}", web_group("web-out"));
    step(context, "egress-rule-takes-effect", &How::Apply, &with)?;
    step(context, "detached-policy-has-no-effect", &How::Apply, &web_group(""))?;
    netctl(context, "policy rm -t blue web-out")?;
    // web-1 still gets its answers from db-1, which may open no connection itself.
    step(context, "replies-of-allowed-connections-pass", &How::Netctl(OUT), &db_access(NO_TCP_OUT))?;
    step(context, "removed-egress-rule-takes-effect", &How::Apply, &db_access(""))
}

/// An endpoint that changes its group has the new group's verdicts, on its own node and on the others.
fn membership(context: &mut Context) -> Result<()> {
    let guest = "kind: group\ntenant: blue\nname: guest\nnetwork: front\n";
    let web_2 = |group: &str| {
        format!(
            "kind: endpoint\ntenant: blue\nname: web-2\nnetwork: front\nnode: node-2\ngroup: {group}\nipv4: 10.1.1.12\nipv6: \"fd00:1:1::12\"\n"
        )
    };
    set_group(context, "blue/web-2", "guest")?;
    let moved = format!("{guest}---\n{}", web_2("guest"));
    step(context, "moved-endpoint-has-its-new-groups-verdicts", &How::Apply, &moved)?;
    set_group(context, "blue/web-2", "web")?;
    step(context, "endpoint-moved-back-has-its-old-verdicts", &How::Apply, &web_2("web"))
}

/// What is refused changes nothing, and says why.
fn refusals(context: &mut Context) -> Result<()> {
    let bad_priority = db_access(&WEB_HTTP.replace("priority: 20", "priority: 101"));
    let other = "kind: policy\ntenant: blue\nname: other\nrules:\n  - { name: x, direction: ingress, priority: 1, peer: { group: nobody }, action: allow }\n";
    // The first document is good: all or nothing.
    let unknown_group = format!("{}---\n{other}", db_access(WEB_HTTP));
    let before = policies(context)?;
    // Exit statuses: 2 is a file that cannot be read, 1 a refusal by the server (netctl --help).
    for (document, status, says) in [(&bad_priority, 2, "priority \"101\""), (&unknown_group, 1, "nobody")] {
        let refusal = refused(context, "apply -f -", document, status)?;
        let named = if refusal.contains(says) { Ok(()) } else { Err(refusal) };
        claim("refusal-names-what-is-wrong", named)?;
    }
    wait_until(Instant::now() + EFFECTIVE);
    let after = policies(context)?;
    let same = if before == after { Ok(()) } else { Err(format!("{before:?}\nbecame\n{after:?}")) };
    claim("refused-policy-is-not-stored", same)?;
    claim_none("refused-policy-changes-no-verdict", &wrong(context, &ASKED, &KINDS)?)?;
    let policy = refused(context, "policy rm -t blue db-access", "", 4)?;
    names_users("policy-in-use-stays-and-names-its-users", &policy, &["group blue/db"])?;
    let group = refused(context, "group rm -t blue web", "", 4)?;
    let users = ["policy blue/db-access", "endpoint blue/web-1", "endpoint blue/web-2"];
    names_users("group-in-use-stays-and-names-its-users", &group, &users)?;
    claim_none("refused-deletion-changes-no-verdict", &wrong(context, &ASKED, &KINDS)?)
}

/// Names, versions and rules of blue's policies.
fn policies(context: &Context) -> Result<Vec<String>> {
    let text = context.lab.netctl(&["policy", "ls", "-t", "blue", "-o", "json"])?;
    let list: serde_json::Value = serde_json::from_str(&text)?;
    let items = list["items"].as_array().context("netctl policy ls: no items")?;
    Ok(items.iter().map(|p| format!("{} {} {}", p["name"], p["resourceVersion"], p["rules"])).collect())
}

fn names_users(name: &'static str, refusal: &str, users: &[&str]) -> Result<()> {
    let missing: Vec<_> = users.iter().filter(|u| !refusal.contains(**u)).collect();
    claim(name, if missing.is_empty() { Ok(()) } else { Err(format!("{missing:?} not in: {refusal}")) })
}

/// Changes intent, and claims that connections begun a second later get the new verdicts, all others the old.
fn step(context: &mut Context, name: &'static str, how: &How, documents: &str) -> Result<()> {
    match how {
        How::Netctl(words) => netctl(context, words)?,
        How::Apply => apply(context, documents)?,
    }
    let returned = Instant::now();
    parse(documents)?.into_iter().for_each(|spec| replace(context, spec));
    wait_until(returned + EFFECTIVE);
    claim_none(name, &wrong(context, &ASKED, &KINDS)?)
}

fn netctl(context: &Context, words: &str) -> Result<()> {
    context.lab.netctl(&words.split(' ').collect::<Vec<_>>()).map(drop)
}

fn apply(context: &Context, documents: &str) -> Result<()> {
    let mut command = context.lab.master.netctl(&["apply", "-f", "-"]);
    run::output_with_input(&mut command, documents.as_bytes()).map(drop)
}

/// What the evaluator knows of intent; endpoints it has as parties.
fn replace(context: &mut Context, spec: Spec) {
    let specs = &mut context.intent.specs;
    specs.retain(|s| s.object_ref() != spec.object_ref());
    specs.push(spec);
}

fn set_group(context: &mut Context, id: &str, group: &str) -> Result<()> {
    let party = context.intent.parties.iter_mut().find(|p| p.id() == id);
    party.with_context(|| format!("no party {id}"))?.group = Some(group.to_owned());
    Ok(())
}

/// Runs a netctl command that must be refused with this exit status; gives its complaint.
fn refused(context: &Context, words: &str, input: &str, status: u8) -> Result<String> {
    let mut command = context.lab.master.netctl(&words.split(' ').collect::<Vec<_>>());
    match run::output_with_input(&mut command, input.as_bytes()) {
        Ok(text) => bail!("netctl {words} was not refused: {text}"),
        Err(e) => {
            let text = format!("{e:#}");
            ensure!(
                text.contains(&format!("exit status: {status}\n")),
                "netctl {words} failed otherwise: {text}"
            );
            Ok(text)
        }
    }
}
