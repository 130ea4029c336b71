//! Who may act as a node: only who holds the certificate netmaster gave that node, for the key it has now.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::Path;

use anyhow::{Context as _, Result};
use node_api::client::{Client, ConnectError, Identity};
use node_api::{
    AttachSpec, CallError, DetachRequest, ErrorCode, Incarnation, JoinRequest, JoinToken, PROTOCOL, Subscribe,
};
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use serde::Deserialize;

use crate::lab::Lab;
use crate::suite::{Context, claim};
use crate::suites::agent::wait_until_current;

/// What a join file has, as an intruder reads it.
#[derive(Clone, Deserialize)]
pub(super) struct JoinFile {
    server: String,
    ca: String,
    token: String,
}

/// Why something did not work, or that it did.
enum Answer {
    Done,
    Refused(Option<ErrorCode>, String),
}

impl<T> From<Result<T, CallError>> for Answer {
    fn from(result: Result<T, CallError>) -> Self {
        result.map_or_else(|e| Self::Refused(e.code, e.to_string()), |_| Self::Done)
    }
}

impl Answer {
    fn is(self, wanted: ErrorCode) -> Result<(), String> {
        match self {
            Self::Refused(Some(code), _) if code == wanted => Ok(()),
            Self::Refused(code, text) => Err(format!("refused with {code:?}, not {wanted}: {text}")),
            Self::Done => Err("not refused".to_owned()),
        }
    }

    fn done(self) -> Result<(), String> {
        match self {
            Self::Done => Ok(()),
            Self::Refused(code, text) => Err(format!("{code:?}: {text}")),
        }
    }
}

pub(super) fn run(context: &mut Context) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        tokens(context).await?;
        stolen_name(context).await?;
        other_authorities(context).await
    })?;
    // All this while node-1's own agent keeps its place.
    let binaries = context.lab.binaries().clone();
    let node = context.lab.nodes.first_mut().context("no node")?;
    claim(
        "the-nodes-own-agents-go-on",
        wait_until_current(&binaries, node).map(drop).map_err(|e| format!("{e:#}")),
    )
}

/// One node, one use.
async fn tokens(context: &Context) -> Result<()> {
    let used = read(&context.lab.nodes[0].join_file())?;
    claim("used-token-is-refused", join(&used, "node-1").await?.0.is(ErrorCode::TokenInvalid))?;
    let fresh = fresh_token(context, "node-3")?;
    let made_up = JoinFile { token: format!("{:016x}.{:064x}", 7, 7), ..fresh.clone() };
    claim("made-up-token-is-refused", join(&made_up, "node-3").await?.0.is(ErrorCode::TokenInvalid))?;
    let elsewhere = join(&fresh, "node-1").await?.0;
    claim("token-of-another-node-is-refused", elsewhere.is(ErrorCode::TokenInvalid))?;
    let (joined, first) = join(&fresh, "node-3").await?;
    claim("fresh-token-admits-its-node", joined.done())?;
    claim("second-use-is-refused", join(&fresh, "node-3").await?.0.is(ErrorCode::TokenInvalid))?;
    let first = first.context("an identity")?;
    let works: Answer = attach(&fresh, Some(&first), "of-node-3").await?;
    claim("joined-node-may-attach", works.done())?;
    // node-3 joins again, with a new key: whoever has the old one is out.
    let (again, second) = join(&fresh_token(context, "node-3")?, "node-3").await?;
    claim("node-may-join-again", again.done())?;
    let old = attach(&fresh, Some(&first), "of-node-3").await?;
    claim("certificate-of-an-earlier-key-is-refused", old.is(ErrorCode::NodeUnknown))?;
    let gone = detach(&fresh, &second.context("an identity")?, "of-node-3").await?;
    claim("joined-node-may-detach", gone.done())?;
    context.lab.netctl(&["node", "rm", "node-3"]).map(drop)
}

/// node-1's certificate, in the hands of somebody who says he is node-2.
async fn stolen_name(context: &Context) -> Result<()> {
    let file = read(&context.lab.nodes[0].join_file())?;
    let thief = identity_of(&context.lab.nodes[0].dir.join("state"))?;
    let client = Client::connect(&file.server, &file.ca, Some(&thief)).await?;
    let subscribe = Subscribe {
        node: "node-2".parse()?,
        protocol: PROTOCOL,
        agent_version: "0".into(),
        features: BTreeSet::new(),
        known: None,
        held: BTreeMap::new(),
        unknown: BTreeSet::new(),
    };
    let session = first_word(&client, subscribe).await;
    claim("session-under-a-stolen-name-is-refused", session.is(ErrorCode::NotYourNode))?;
    // blue/web-2 is on node-2.
    let attached = attach(&file, Some(&thief), "web-2").await?;
    claim("attach-of-another-nodes-endpoint-is-refused", attached.is(ErrorCode::NotYourNode))?;
    let detached = detach(&file, &thief, "web-2").await?;
    claim("detach-of-another-nodes-endpoint-is-refused", detached.is(ErrorCode::NotYourNode))?;
    let web_2 = context.lab.inspect::<api::v1::Endpoint>("endpoint", "blue", "web-2")?;
    let stays = if web_2.node.as_str() == "node-2" { Ok(()) } else { Err(format!("{web_2:?}")) };
    claim("another-nodes-endpoint-stays", stays)?;
    // The same certificate under its own name: it is the name that was refused.
    claim("own-name-is-accepted", attach(&file, Some(&thief), "of-node-1").await?.done())?;
    claim("own-endpoint-may-be-detached", detach(&file, &thief, "of-node-1").await?.done())
}

/// A refusal may come instead of the stream, or as its first word.
async fn first_word(client: &Client, subscribe: Subscribe) -> Answer {
    match client.session(subscribe).await {
        Err(e) => Err::<(), _>(e).into(),
        Ok((_sender, mut receiver)) => receiver.next().await.into(),
    }
}

/// Certificates of an authority that anybody can make, on either side.
async fn other_authorities(context: &Context) -> Result<()> {
    let file = read(&context.lab.nodes[0].join_file())?;
    let none = attach(&file, None, "of-nobody").await?;
    claim("no-certificate-is-refused", none.is(ErrorCode::CertificateRequired))?;
    let (authority, forged) = forged("node-1")?;
    let refused = match attach(&file, Some(&forged), "of-forger").await {
        Ok(Answer::Done) => Err("not refused".to_owned()),
        // TLS ends the connection: during the handshake, or with the first call.
        Ok(Answer::Refused(None, _)) => Ok(()),
        Ok(Answer::Refused(code, text)) => Err(format!("TLS let it through to {code:?}: {text}")),
        Err(e) if e.downcast_ref::<ConnectError>().is_some() => Ok(()),
        Err(e) => return Err(e),
    };
    claim("certificate-of-a-self-made-authority-is-refused", refused)?;
    let server = Client::connect(&file.server, &authority, None).await;
    let distrusted = match server {
        Err(ConnectError::Unreachable { .. }) => Ok(()),
        Err(e) => Err(e.to_string()),
        Ok(_) => Err("the agent's side took netmaster's certificate".to_owned()),
    };
    claim("server-of-another-authority-is-refused", distrusted)
}

/// An authority of our own, named like the real one, and a certificate of it for this node.
fn forged(node: &str) -> Result<(String, Identity)> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "selvage");
    let key = KeyPair::generate()?;
    let authority = params.self_signed(&key)?.pem();
    let issuer = Issuer::new(params, key);
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name.push(DnType::CommonName, node);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, &issuer)?;
    Ok((authority, Identity::new(certificate.pem(), key.serialize_pem())))
}

fn read(path: &Path) -> Result<JoinFile> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    // Its parse error would show a part of the token.
    serde_json::from_str(&text).ok().with_context(|| format!("{} is no join file", path.display()))
}

/// What an agent keeps in its directory.
fn identity_of(dir: &Path) -> Result<Identity> {
    let text = |name: &str| std::fs::read_to_string(dir.join(name)).with_context(|| name.to_owned());
    Ok(Identity::new(text("node.crt")?, text("node.key")?))
}

/// A new token for a node.
fn fresh_token(context: &Context, node: &str) -> Result<JoinFile> {
    let path = context.lab.dir().join(format!("{node}.join"));
    if path.exists() {
        std::fs::remove_file(&path)?;
    }
    context.lab.netctl(&["node", "join-token", node, "-o", &path.display().to_string()])?;
    read(&path)
}

/// Joins with a new key; the identity if it was admitted.
async fn join(file: &JoinFile, node: &str) -> Result<(Answer, Option<Identity>)> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name.push(DnType::CommonName, node);
    let request = JoinRequest {
        token: JoinToken::new(file.token.clone()),
        node: node.parse()?,
        // A node that exists keeps its address; node-3 has one of its own.
        vtep: IpAddr::from([192, 0, 2, if node == "node-1" { 1 } else { 3 }]),
        csr_pem: params.serialize_request(&key)?.pem()?,
    };
    let client = Client::connect(&file.server, &file.ca, None).await?;
    match client.join(request).await {
        Ok(reply) => {
            let identity = Identity::new(reply.certificate_pem, key.serialize_pem());
            Ok((Answer::Done, Some(identity)))
        }
        Err(e) => Ok((Err::<(), _>(e).into(), None)),
    }
}

async fn attach(file: &JoinFile, identity: Option<&Identity>, endpoint: &str) -> Result<Answer> {
    let client = Client::connect(&file.server, &file.ca, identity).await?;
    let spec = AttachSpec {
        tenant: "blue".parse()?,
        network: "front".parse()?,
        group: Some("web".parse()?),
        endpoint: endpoint.parse()?,
        ipv4: None,
        ipv6: None,
        interface: String::new(),
        container_id: String::new(),
    };
    Ok(test_support::agent::attach(&client, spec).await.into())
}

async fn detach(file: &JoinFile, identity: &Identity, endpoint: &str) -> Result<Answer> {
    let client = Client::connect(&file.server, &file.ca, Some(identity)).await?;
    let incarnation = Incarnation::Any;
    let request = DetachRequest { tenant: "blue".parse()?, endpoint: endpoint.parse()?, incarnation };
    Ok(client.detach(request).await.into())
}

/// A token that is too old admits nobody. Needs a netmaster whose tokens can be made to expire at once.
pub(super) fn expired_token(context: &mut Context) -> Result<()> {
    let failpoints = context.lab.failpoints().with("join-token-expires-at-once");
    let lab: &mut Lab = &mut context.lab;
    lab.master.kill_netmaster();
    lab.master.start_netmaster(&failpoints)?;
    lab.master.wait_until_serving()?;
    let file = fresh_token(context, "node-3")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (answer, _) = runtime.block_on(join(&file, "node-3"))?;
    claim("expired-token-is-refused", answer.is(ErrorCode::TokenInvalid))
}
