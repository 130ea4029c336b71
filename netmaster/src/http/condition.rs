//! Conditional requests (RFC 9110 section 13): entity tags are versions.
//!
//! A tag is `"REVISION-DIGEST"`: the revision of the object's last change, and a digest of everything that is answered,
//! its status included. Both halves have their use. `If-None-Match` of a read compares whole tags: an answer whose status is
//! another one is another answer. `If-Match` of a write compares revisions: who declares something is in nobody's way
//! because a node reported meanwhile. `"REVISION"` alone is a tag too, for who knows `resourceVersion` only.
//!
//! # Failure
//! What is no tag of ours is 400, never ignored: a condition that is not understood must not become none. A weak tag
//! never matches in `If-Match` (section 13.1.1), so it is refused as well.

use api::FieldProblem;
use http::header::{HeaderName, IF_MATCH, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue};
use sha2::{Digest, Sha256};
use types::Revision;

use super::error::Refused;
use crate::app::Expected;

/// Bytes of a digest.
const DIGEST: usize = 8;

/// The strong tag of an answer.
pub(super) fn tag(version: Revision, answer: &[u8]) -> String {
    let digest = Sha256::digest(answer);
    format!("\"{version}-{}\"", hex::encode(digest.get(..DIGEST).unwrap_or_default()))
}

/// A condition: anything that is there, or one of these.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Tags {
    Any,
    These(Vec<Tag>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Tag {
    weak: bool,
    /// Without its quotes.
    opaque: String,
}

impl Tag {
    /// The revision it names.
    fn revision(&self) -> Option<Revision> {
        let (revision, digest) = match self.opaque.split_once('-') {
            Some((revision, digest)) => (revision, Some(digest)),
            None => (self.opaque.as_str(), None),
        };
        let hexadecimal = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        let is_digest = |d: &str| d.len() == 2 * DIGEST && d.bytes().all(hexadecimal);
        let ours = revision.bytes().all(|b| b.is_ascii_digit()) && digest.is_none_or(is_digest);
        revision.parse().ok().filter(|_| ours)
    }
}

/// What a write expects of its object, by its head and by its body: both must hold.
pub(super) fn expected(headers: &HeaderMap, stated: Option<Revision>) -> Result<Expected, Refused> {
    let stated = Expected::from(stated);
    let head = match (tags(headers, &IF_MATCH)?, tags(headers, &IF_NONE_MATCH)?) {
        (None, None) => return Ok(stated),
        (Some(Tags::Any), None) => Expected::Present,
        (Some(Tags::These(tags)), None) => {
            Expected::OneOf(tags.iter().map(strong).collect::<Result<_, _>>()?)
        }
        (None, Some(Tags::Any)) => Expected::Absent,
        (None, Some(Tags::These(_))) => {
            return Err(refused(
                &IF_NONE_MATCH,
                headers,
                "a write understands `*` only: there is no such object",
            ));
        }
        (Some(_), Some(_)) => {
            return Err(refused(&IF_NONE_MATCH, headers, "does not go with If-Match"));
        }
    };
    Ok(head.and(stated))
}

fn strong(tag: &Tag) -> Result<Revision, Refused> {
    let why = match (tag.weak, tag.revision()) {
        (false, Some(revision)) => return Ok(revision),
        (true, _) => "is weak, and a weak tag never matches here (RFC 9110 section 13.1.1)",
        (false, None) => "is no version of ours",
    };
    Err(problem(&IF_MATCH, format!("\"{}\"", tag.opaque), why))
}

/// Whether the client has the answer with this tag already.
pub(super) fn has(headers: &HeaderMap, tag: &str) -> Result<bool, Refused> {
    Ok(match tags(headers, &IF_NONE_MATCH)? {
        None => false,
        Some(Tags::Any) => true,
        // The weak comparison of section 8.8.3.2.
        Some(Tags::These(tags)) => tags.iter().any(|t| tag.trim_matches('"') == t.opaque),
    })
}

/// A condition as written; `None` where there is none.
fn tags(headers: &HeaderMap, name: &HeaderName) -> Result<Option<Tags>, Refused> {
    let text = |v: &HeaderValue| v.to_str().map(|text| text.trim().to_owned()).ok();
    let lines: Option<Vec<String>> = headers.get_all(name).iter().map(text).collect();
    let lines = lines.ok_or_else(|| refused(name, headers, "is no text"))?;
    match lines.join(",").as_str() {
        _ if lines.is_empty() => Ok(None),
        "*" => Ok(Some(Tags::Any)),
        list => {
            let tags = parse(list)
                .ok_or_else(|| refused(name, headers, "is neither `*` nor entity tags in quotes"))?;
            Ok(Some(Tags::These(tags)))
        }
    }
}

/// `1#entity-tag`, RFC 9110 sections 5.6.1 and 8.8.3; empty elements are passed over, as recipients must.
fn parse(mut text: &str) -> Option<Vec<Tag>> {
    let mut tags = Vec::new();
    loop {
        text = text.trim_start_matches([' ', '\t', ',']);
        if text.is_empty() {
            return (!tags.is_empty()).then_some(tags);
        }
        let weak = text.starts_with("W/");
        text = text.strip_prefix("W/").unwrap_or(text).strip_prefix('"')?;
        let (opaque, rest) = text.split_once('"')?;
        let is_etagc = |b: u8| b == 0x21 || (0x23..=0x7e).contains(&b) || b >= 0x80;
        if !opaque.bytes().all(is_etagc) {
            return None;
        }
        tags.push(Tag { weak, opaque: opaque.to_owned() });
        text = rest.trim_start_matches([' ', '\t']);
        if !text.is_empty() && !text.starts_with(',') {
            return None;
        }
    }
}

fn refused(name: &HeaderName, headers: &HeaderMap, why: &str) -> Refused {
    let value = headers.get(name).map(|v| String::from_utf8_lossy(v.as_bytes()).chars().take(200).collect());
    problem(name, value.unwrap_or_default(), why)
}

fn problem(name: &HeaderName, value: String, why: &str) -> Refused {
    let field = if *name == IF_MATCH { "If-Match" } else { "If-None-Match" }.to_owned();
    let problem = FieldProblem { object: String::new(), field, value, reason: why.to_owned() };
    Refused::malformed(vec![problem])
}

#[cfg(test)]
mod tests {
    use api::Code;

    use super::*;

    fn head(name: HeaderName, values: &[&str]) -> HeaderMap {
        values.iter().map(|v| (name.clone(), HeaderValue::from_str(v).unwrap())).collect()
    }

    fn asked(values: &[&str]) -> Result<Expected, Code> {
        expected(&head(IF_MATCH, values), None).map_err(|refused| refused.0.code)
    }

    fn versions(all: &[u64]) -> Expected {
        Expected::OneOf(all.iter().map(|v| Revision::new(*v)).collect())
    }

    #[test]
    fn if_match_is_any_or_versions() {
        assert_eq!(asked(&[]), Ok(Expected::Anything));
        assert_eq!(asked(&["*"]), Ok(Expected::Present));
        assert_eq!(asked(&["\"7\""]), Ok(versions(&[7])));
        assert_eq!(asked(&["\"7-0123456789abcdef\""]), Ok(versions(&[7])));
        assert_eq!(asked(&["\"7\", ,\"9\"", "\"11\""]), Ok(versions(&[7, 9, 11])));
    }

    #[test]
    fn what_is_no_tag_of_ours_is_refused_and_never_ignored() {
        for bad in [
            "",
            "7",
            "W/\"7\"",
            "\"7\", W/\"8\"",
            "\"7",
            "7\"",
            "\"x\"",
            "\"+7\"",
            "\"\"",
            "\"7-\"",
            "\"7-0123456789ABCDEF\"",
            "\"7\" \"8\"",
            "\"7\", *",
            "*, *",
        ] {
            assert_eq!(asked(&[bad]), Err(Code::Malformed), "{bad}");
        }
        assert_eq!(asked(&["*", "\"7\""]), Err(Code::Malformed));
        let mut both = head(IF_MATCH, &["*"]);
        both.extend(head(IF_NONE_MATCH, &["*"]));
        assert!(expected(&both, None).is_err());
        assert!(expected(&head(IF_NONE_MATCH, &["\"7\""]), None).is_err());
    }

    #[test]
    fn head_and_body_must_both_hold() {
        let stated = |tag: &str| expected(&head(IF_MATCH, &[tag]), Some(Revision::new(7))).unwrap();
        assert_eq!(stated("\"7\", \"8\""), versions(&[7]));
        assert_eq!(stated("\"8\""), versions(&[]));
        assert_eq!(stated("*"), versions(&[7]));
        let absent = expected(&head(IF_NONE_MATCH, &["*"]), Some(Revision::new(7))).unwrap();
        assert_eq!(absent, versions(&[]), "it cannot be absent and at a version");
    }

    #[test]
    fn if_none_match_compares_weakly_and_the_whole_tag() {
        let tag = tag(Revision::new(7), b"answer");
        let has = |value: &str| has(&head(IF_NONE_MATCH, &[value]), &tag).map_err(|r| r.0.code);
        assert_eq!(has("*"), Ok(true));
        assert_eq!(has(&tag), Ok(true));
        assert_eq!(has(&format!("\"1\", W/{tag}")), Ok(true));
        assert_eq!(has("\"7\""), Ok(false), "a status may have changed since");
        assert_eq!(has(&super::tag(Revision::new(7), b"another")), Ok(false));
        assert_eq!(has("7"), Err(Code::Malformed));
        assert!(!super::has(&HeaderMap::new(), &tag).unwrap());
    }
}
