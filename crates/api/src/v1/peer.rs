//! The other end of a rule's connections on the wire: a word, or an object that names one thing.

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Unexpected, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use types::{AddressRange, CidrBlock, IpCidr, Name};
use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, OneOfBuilder, Schema, Type};
use utoipa::openapi::{Ref, RefOr};
use utoipa::{PartialSchema, ToSchema};

use super::body::Wrong;

/// The other end of a rule's connections: `"any"`, `{"group": NAME}`, `{"network": NAME}`, `{"range": FIRST-LAST}`,
/// `{"cidr": PREFIX}` or `{"cidr": PREFIX, "except": [PREFIX, ...]}`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Peer {
    /// Everything.
    #[default]
    Any,
    /// The endpoints of a group of the same tenant.
    Group(Name),
    /// Every address of a network of the same tenant.
    Network(Name),
    /// A prefix, without some that lie inside it.
    Cidr {
        /// The prefix.
        cidr: IpCidr,
        /// What of it is not meant.
        except: Vec<IpCidr>,
    },
    /// Addresses from the first to the last.
    Range(AddressRange),
}

impl Peer {
    /// What the model checks; `at` is where the peer stands.
    pub(crate) fn into_spec(self, at: &str) -> Result<model::Peer, Wrong> {
        Ok(match self {
            Self::Any => model::Peer::Any,
            Self::Group(n) => model::Peer::Group(n),
            Self::Network(n) => model::Peer::Network(n),
            Self::Cidr { cidr, except } => match CidrBlock::new(cidr, &except) {
                Ok(block) => model::Peer::Cidr(block),
                Err(e) => {
                    return Err(Wrong { field: format!("{at}.except[{}]", e.index), invalid: e.invalid });
                }
            },
            Self::Range(range) => model::Peer::Range(range),
        })
    }
}

impl From<model::Peer> for Peer {
    fn from(p: model::Peer) -> Self {
        match p {
            model::Peer::Any => Self::Any,
            model::Peer::Group(n) => Self::Group(n),
            model::Peer::Network(n) => Self::Network(n),
            model::Peer::Cidr(block) => Self::Cidr { cidr: block.cidr(), except: block.except().to_vec() },
            model::Peer::Range(range) => Self::Range(range),
        }
    }
}

impl Serialize for Peer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if *self == Self::Any {
            return serializer.serialize_str("any");
        }
        let mut map = serializer.serialize_map(None)?;
        match self {
            Self::Any => {}
            Self::Group(name) => map.serialize_entry("group", name)?,
            Self::Network(name) => map.serialize_entry("network", name)?,
            Self::Range(range) => map.serialize_entry("range", range)?,
            Self::Cidr { cidr, except } => {
                map.serialize_entry("cidr", cidr)?;
                if !except.is_empty() {
                    map.serialize_entry("except", except)?;
                }
            }
        }
        map.end()
    }
}

/// The object as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    group: Option<Name>,
    network: Option<Name>,
    cidr: Option<IpCidr>,
    #[serde(default)]
    except: Vec<IpCidr>,
    range: Option<AddressRange>,
}

const FORMS: &str = "any, or an object with one of group, network, cidr and range";

impl Written {
    fn peer<E: Error>(self) -> Result<Peer, E> {
        if self.cidr.is_none() && !self.except.is_empty() {
            return Err(E::custom("except needs a cidr that it lies in"));
        }
        let cidr = self.cidr.map(|cidr| Peer::Cidr { cidr, except: self.except });
        let named = [self.group.map(Peer::Group), self.network.map(Peer::Network), cidr];
        let mut named = named.into_iter().chain([self.range.map(Peer::Range)]).flatten();
        match (named.next(), named.next()) {
            (Some(peer), None) => Ok(peer),
            (Some(_), Some(_)) => Err(E::custom("names two things; a rule has one peer, use two rules")),
            (None, _) => Err(E::custom(format_args!("must be {FORMS}"))),
        }
    }
}

impl<'de> Deserialize<'de> for Peer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Peer;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(FORMS)
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Peer, E> {
                match text {
                    "any" => Ok(Peer::Any),
                    _ => Err(E::invalid_value(Unexpected::Str(text), &self)),
                }
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Peer, A::Error> {
                Written::deserialize(MapAccessDeserializer::new(map))?.peer()
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

impl PartialSchema for Peer {
    fn schema() -> RefOr<Schema> {
        let any = ObjectBuilder::new().schema_type(Type::String).enum_values(Some(["any"]));
        let one = |field: &str, of: &str| {
            ObjectBuilder::new().property(field, Ref::from_schema_name(of)).required(field)
        };
        let except = ArrayBuilder::new().items(Ref::from_schema_name("Cidr"));
        let except = except.max_items(Some(CidrBlock::MAX_EXCEPTS));
        let except = except.description(Some("Prefixes inside it that are not meant"));
        let peer = OneOfBuilder::new()
            .item(any)
            .item(one("group", "Name"))
            .item(one("network", "Name"))
            .item(one("cidr", "Cidr").property("except", except))
            .item(one("range", "AddressRange"))
            .description(Some("The other end of a rule's connections"));
        RefOr::T(peer.into())
    }
}

impl ToSchema for Peer {}
