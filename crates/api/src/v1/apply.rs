//! Apply: several documents, all or nothing, one revision.
//!
//! A document's `kind` decides what the rest of it must be. The kinds are read first, then the whole body again with the
//! type of each document known, so that an error names the field's full path, line and column.

use std::fmt;
use std::marker::PhantomData;

use model::{Kind, Spec};
use serde::de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use types::Revision;
use utoipa::ToSchema;

use super::body::{Body, Context};
use super::{EndpointBody, GroupBody, NetProfileBody, NetworkBody, NodeBody, PolicyBody, TenantBody};
use crate::diagnose::{Finding, MOST};
use crate::parse::{Malformed, findings, from_slice_seed, strictly};
use crate::route::{Action, Route};
use crate::{Code, FieldProblem, schema};

/// Applies documents.
pub const APPLY: Route = Route::post(
    "/api/v1/apply",
    &Action {
        operation: "apply",
        summary: "Creates or replaces every object of a list, all or nothing, in one revision",
        body: Some("ApplyBody"),
        reply: "Apply",
        query: &[],
        refusals: &[
            Code::Malformed,
            Code::UnsupportedMediaType,
            Code::BodyTooLarge,
            Code::ApplyTooLarge,
            Code::Invalid,
            Code::ResourceVersionMismatch,
            Code::AllocationBusy,
            Code::StoreIndeterminate,
        ],
    },
);

pub(crate) const ROUTES: &[Route] = &[APPLY];

/// Documents to apply, in any order.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ApplyBody {
    /// The documents.
    pub documents: Vec<Document>,
}

/// An object as written, with its kind.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub enum Document {
    /// A node.
    Node(NodeBody),
    /// A tenant.
    Tenant(TenantBody),
    /// A network.
    Network(NetworkBody),
    /// A policy.
    Policy(PolicyBody),
    /// A network profile.
    NetProfile(NetProfileBody),
    /// A group.
    Group(GroupBody),
    /// An endpoint.
    Endpoint(EndpointBody),
}

impl Document {
    /// What the model checks.
    ///
    /// # Errors
    /// Missing fields.
    pub fn into_spec(self) -> Result<(Spec, Option<Revision>), Vec<FieldProblem>> {
        let context = Context::default();
        match self {
            Self::Node(b) => b.into_spec(&context),
            Self::Tenant(b) => b.into_spec(&context),
            Self::Network(b) => b.into_spec(&context),
            Self::Policy(b) => b.into_spec(&context),
            Self::NetProfile(b) => b.into_spec(&context),
            Self::Group(b) => b.into_spec(&context),
            Self::Endpoint(b) => b.into_spec(&context),
        }
    }
}

/// What became of the documents.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Apply {
    /// The revision from which on all of it holds.
    #[schema(value_type = schema::Revision)]
    pub revision: String,
    /// One per document, in their order.
    pub results: Vec<ApplyResult>,
}

/// What became of one document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApplyResult {
    /// The object, like `network blue/web`.
    pub object: String,
    /// What happened to it.
    pub change: Change,
}

/// What happened to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// It did not exist.
    Created,
    /// It is different now.
    Updated,
    /// It was like this.
    Unchanged,
}

impl ApplyBody {
    /// Reads an apply request.
    ///
    /// # Errors
    /// [`Malformed`] with every wrong field of every document.
    pub fn from_slice(json: &[u8]) -> Result<Self, Malformed> {
        let read = || {
            let kinds: Kinds = from_slice_seed(json, PhantomData)?;
            let kinds = kinds.documents.into_iter().map(|d| d.kind).collect();
            from_slice_seed(json, BodySeed { kinds })
        };
        let body = read().map_err(|first: Malformed| first.with(json, |body| wrong(body, json.len())))?;
        strictly(json, |body| wrong(body, json.len()))?;
        Ok(body)
    }
}

/// Everything that is wrong with an apply request. Documents are looked at one by one: each is read as its own kind.
fn wrong(mut body: Value, size: usize) -> Vec<Finding> {
    let documents = body.get_mut("documents").and_then(Value::as_array_mut).map(std::mem::take);
    let mut found = findings::<Whole>(body, size);
    for (index, document) in documents.unwrap_or_default().into_iter().enumerate() {
        if found.len() >= MOST {
            break;
        }
        let inside = in_document(document, size);
        let place = |f: Finding| Finding { pointer: format!("/documents/{index}{}", f.pointer), ..f };
        found.extend(inside.into_iter().map(place));
    }
    found.truncate(MOST);
    found
}

fn in_document(document: Value, size: usize) -> Vec<Finding> {
    let kind = findings::<KindOnly>(document.clone(), size);
    // What the rest must be is not known without it.
    let Ok(KindOnly { kind }) = KindOnly::deserialize(&document) else { return kind };
    match kind {
        Kind::Node => findings::<NodeBody>(document, size),
        Kind::Tenant => findings::<TenantBody>(document, size),
        Kind::Network => findings::<NetworkBody>(document, size),
        Kind::Policy => findings::<PolicyBody>(document, size),
        Kind::NetProfile => findings::<NetProfileBody>(document, size),
        Kind::Group => findings::<GroupBody>(document, size),
        Kind::Endpoint => findings::<EndpointBody>(document, size),
    }
}

/// The request without its documents.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Whole {
    #[serde(rename = "documents")]
    _documents: Vec<IgnoredAny>,
}

/// The first reading: kinds only.
#[derive(Deserialize)]
struct Kinds {
    documents: Vec<KindOnly>,
}

#[derive(Deserialize)]
struct KindOnly {
    kind: Kind,
}

struct BodySeed {
    kinds: Vec<Kind>,
}

impl<'de> DeserializeSeed<'de> for BodySeed {
    type Value = ApplyBody;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<ApplyBody, D::Error> {
        deserializer.deserialize_struct("ApplyBody", &["documents"], self)
    }
}

impl<'de> Visitor<'de> for BodySeed {
    type Value = ApplyBody;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with documents")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ApplyBody, A::Error> {
        let mut documents = None;
        while let Some(field) = map.next_key::<String>()? {
            if field != "documents" {
                return Err(A::Error::unknown_field(&field, &["documents"]));
            }
            if documents.is_some() {
                return Err(A::Error::duplicate_field("documents"));
            }
            documents = Some(map.next_value_seed(DocumentsSeed { kinds: self.kinds.clone() })?);
        }
        documents.map(|documents| ApplyBody { documents }).ok_or_else(|| A::Error::missing_field("documents"))
    }
}

struct DocumentsSeed {
    kinds: Vec<Kind>,
}

impl<'de> DeserializeSeed<'de> for DocumentsSeed {
    type Value = Vec<Document>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Vec<Document>, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for DocumentsSeed {
    type Value = Vec<Document>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of documents")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<Document>, A::Error> {
        let mut documents = Vec::with_capacity(self.kinds.len());
        for kind in self.kinds {
            documents.extend(seq.next_element_seed(DocumentSeed { kind })?);
        }
        Ok(documents)
    }
}

struct DocumentSeed {
    kind: Kind,
}

impl<'de> DeserializeSeed<'de> for DocumentSeed {
    type Value = Document;
    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<Document, D::Error> {
        Ok(match self.kind {
            Kind::Node => Document::Node(NodeBody::deserialize(d)?),
            Kind::Tenant => Document::Tenant(TenantBody::deserialize(d)?),
            Kind::Network => Document::Network(NetworkBody::deserialize(d)?),
            Kind::Policy => Document::Policy(PolicyBody::deserialize(d)?),
            Kind::NetProfile => Document::NetProfile(NetProfileBody::deserialize(d)?),
            Kind::Group => Document::Group(GroupBody::deserialize(d)?),
            Kind::Endpoint => Document::Endpoint(EndpointBody::deserialize(d)?),
        })
    }
}
