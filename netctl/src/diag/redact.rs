//! What may leave: keys on a list, and text without what looks like a secret. Pure.
//!
//! Two nets, because either may have a hole. The list decides what is looked at at all: a member that is not on it is
//! left out, whatever it holds, so that a field somebody adds later stays out until somebody decides otherwise. Then
//! every text that stays is searched: free text by all rules, names only for secrets that are known and for key files.
//!
//! # Invariants
//! * [`Clean`] is made here only.
//! * In doubt it is taken out: a token too many is a nuisance, one too few is a leak.

use serde_json::{Map, Value};

/// What stands where a secret stood.
pub const REDACTED: &str = "[redacted]";

/// Text that may leave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clean(String);

impl Clean {
    /// The text.
    pub fn into_text(self) -> String {
        self.0
    }
}

/// Which members of JSON objects may leave.
#[derive(Clone, Copy, Debug)]
pub struct Allowed {
    /// Members whose texts are names, numbers and addresses.
    pub keys: &'static [&'static str],
    /// Members whose texts are sentences: anything may stand in them.
    pub text: &'static [&'static str],
    /// Members whose own members have names nobody can list, and plain values.
    pub open: &'static [&'static str],
}

/// Takes secrets out.
#[derive(Clone, Default)]
pub struct Redactor {
    /// Secrets that are known, as they are.
    known: Vec<String>,
}

impl std::fmt::Debug for Redactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Redactor({} secrets, hidden)", self.known.len())
    }
}

impl Redactor {
    /// That knows these.
    pub fn knowing(secrets: impl IntoIterator<Item = String>) -> Self {
        let known = secrets.into_iter().map(|s| s.trim().to_owned()).filter(|s| !s.is_empty());
        Self { known: known.collect() }
    }

    /// JSON, with what is allowed of it.
    pub fn json(&self, value: Value, allowed: &Allowed) -> Result<Clean, String> {
        let kept = self.kept(value, allowed, false);
        serde_json::to_string_pretty(&kept).map(|text| Clean(text + "\n")).map_err(|e| e.to_string())
    }

    /// Lines that are allowed, searched as free text.
    pub fn lines(&self, text: &str, allowed: impl Fn(&str) -> bool) -> Clean {
        // As a whole first: a key file spans lines.
        let text = self.without_known(text);
        Clean(text.lines().filter(|l| allowed(l)).map(|l| self.sentence(l) + "\n").collect())
    }

    fn kept(&self, value: Value, allowed: &Allowed, sentence: bool) -> Value {
        match value {
            Value::String(text) if sentence => Value::String(self.sentence(&text)),
            Value::String(text) => Value::String(self.without_known(&text)),
            Value::Array(all) => {
                Value::Array(all.into_iter().map(|v| self.kept(v, allowed, sentence)).collect())
            }
            Value::Object(members) => {
                Value::Object(members.into_iter().filter_map(|(k, v)| self.member(k, v, allowed)).collect())
            }
            plain => plain,
        }
    }

    fn member(&self, key: String, value: Value, allowed: &Allowed) -> Option<(String, Value)> {
        let on = |list: &[&str]| list.contains(&key.as_str());
        let value = match value {
            Value::Object(members) if on(allowed.open) => {
                let plain = |(k, v): (String, Value)| {
                    let v = if v.is_object() || v.is_array() { return None } else { v };
                    Some((self.sentence(&k), self.kept(v, allowed, true)))
                };
                Value::Object(members.into_iter().filter_map(plain).collect::<Map<_, _>>())
            }
            value if on(allowed.text) => self.kept(value, allowed, true),
            value if on(allowed.keys) => self.kept(value, allowed, false),
            _ => return None,
        };
        Some((key, value))
    }

    /// Without the secrets that are known, and without key files (RFC 7468).
    fn without_known(&self, text: &str) -> String {
        let mut text = self.known.iter().fold(text.to_owned(), |text, secret| text.replace(secret, REDACTED));
        while let Some(start) = text.find("-----BEGIN") {
            let end = text[start..].find("-----END").map(|at| start + at + "-----END".len());
            let end = end.and_then(|at| text[at..].find("-----").map(|dashes| at + dashes + "-----".len()));
            text.replace_range(start..end.unwrap_or(text.len()), REDACTED);
        }
        text
    }

    /// Without anything that looks like a secret.
    fn sentence(&self, text: &str) -> String {
        let text = self.without_known(text);
        let mut out = String::with_capacity(text.len());
        // How many of the next words are secret, because of what was said before them.
        let mut secret = 0;
        for word in text.split_inclusive(is_break) {
            let body = word.trim_end_matches(is_break);
            let rest = &word[body.len()..];
            let lower = body.to_ascii_lowercase();
            if body.is_empty() {
                out += rest;
                continue;
            }
            if secret > 0 && !is_filler(&lower) {
                secret -= 1;
                // "Authorization: Bearer x": the scheme is no secret, what follows is.
                if SCHEMES.contains(&lower.as_str()) {
                    secret = 1;
                    out += body;
                } else {
                    out += REDACTED;
                }
            } else {
                out += &shown(body, &mut secret);
            }
            out += rest;
        }
        out
    }
}

/// What separates words. Not `=`, `:` and `/`: they are inside of assignments, addresses and base64.
fn is_break(c: char) -> bool {
    c.is_whitespace() || "\"'`,;()[]{}<>|&".contains(c)
}

/// Words between "password" and the password.
fn is_filler(word: &str) -> bool {
    matches!(word, "is" | "was" | "=" | ":" | "of" | "for" | "the" | "->" | "=>" | "to")
}

/// Words that announce a secret.
const ANNOUNCING: &[&str] = &[
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "psk",
    "bearer",
    "credential",
    "authorization",
    "apikey",
];
/// Schemes of RFC 9110 section 11.
const SCHEMES: &[&str] = &["bearer", "basic", "digest"];

fn announces(word: &str) -> bool {
    let word = word.to_ascii_lowercase().replace(['-', '_'], "");
    ANNOUNCING.iter().any(|a| word.contains(a)) || word.ends_with("key")
}

/// A word as it may be shown; counts the words after it that may not.
fn shown(word: &str, secret: &mut usize) -> String {
    // https://user:password@host
    if let Some((scheme, rest)) = word.split_once("://") {
        let (authority, path) = rest.split_once('/').map_or((rest, None), |(a, p)| (a, Some(p)));
        let host =
            authority.rsplit_once('@').map_or(authority.to_owned(), |(_, host)| format!("{REDACTED}@{host}"));
        let path = path.map_or(String::new(), |p| {
            if looks_random(p) { format!("/{REDACTED}") } else { format!("/{p}") }
        });
        return format!("{scheme}://{host}{path}");
    }
    if let Some((name, value)) = assignment(word) {
        if value.is_empty() {
            *secret = 1;
            return word.to_owned();
        }
        return format!("{name}{REDACTED}");
    }
    if announces(word) && !word.contains(['=', ':']) {
        *secret = 1;
        return word.to_owned();
    }
    if looks_random(word) { REDACTED.to_owned() } else { word.to_owned() }
}

/// `options:psk=` and what stands behind it, when a name that announces a secret stands before `=` or `:`.
fn assignment(word: &str) -> Option<(&str, &str)> {
    let mut start = 0;
    for (at, sign) in word.match_indices(['=', ':']) {
        let behind = at + sign.len();
        if announces(&word[start..at]) {
            return Some(word.split_at(behind));
        }
        start = behind;
    }
    None
}

/// Whether a word looks made by a random generator: long, of letters and digits mixed or of hexadecimal digits, and none of
/// the long words that are known here (UUIDs, addresses, paths, flow matches).
fn looks_random(word: &str) -> bool {
    let parts = word.split(['.', ':', '/', '=', '-', '@']);
    parts.into_iter().any(|part| {
        let long = part.len() >= 20;
        let digits = part.chars().filter(char::is_ascii_digit).count();
        let letters = part.chars().filter(char::is_ascii_alphabetic).count();
        let cases =
            part.chars().any(|c| c.is_ascii_uppercase()) && part.chars().any(|c| c.is_ascii_lowercase());
        let number = part.strip_prefix("0x").is_some_and(|hex| hex.chars().all(|c| c.is_ascii_hexdigit()));
        long && !number && letters > 0 && (digits > 0 || cases)
    })
}

#[cfg(test)]
mod tests;
