//! The fields of log records: this list, and no other.
//!
//! A field has one name and one meaning wherever it stands, so that logs can be searched, and so that nobody logs a
//! credential by accident: what is not listed fails `./dev check`. Messages are constants; what varies is a field.

/// Every field and what it holds.
pub const FIELDS: &[(&str, &str)] = &[
    ("api", "address of the REST API"),
    ("bridge", "name of an OVS bridge"),
    ("changed", "flows added, changed or deleted"),
    ("claimed", "the name of a node that somebody without its certificate gave"),
    ("code", "a stable word or number for what happened: a warning's, an error's of the CNI specification"),
    ("count", "how many; of what, the message says"),
    ("delay_ms", "milliseconds until the next attempt"),
    ("details", "more about an error, from the program that made it"),
    ("elapsed_us", "microseconds it took"),
    ("endpoint", "an endpoint: its name, or its uid (12 hexadecimal digits) where the switch knows no other"),
    ("error", "what went wrong, with its causes"),
    ("fence", "fencing token of a leadership: revisions, so that later ones are greater"),
    ("flows", "flows of ours in the switch"),
    ("fragment", "a fragment of a node's state: `kind/id`"),
    ("interface", "a network interface"),
    ("json", "a message of the switch's database protocol (RFC 7047)"),
    ("key_hash", "SHA-256 of a public key"),
    ("lease", "a lease of the store"),
    ("limits", "what one transaction may do at most"),
    ("method", "of an HTTP request"),
    ("metrics", "address where metrics are served"),
    ("name", "an endpoint's name, beside its tenant"),
    ("node", "a node's name; at start the address of the node API"),
    ("owner", "the node an endpoint is on"),
    ("path", "a file, directory or socket; of an HTTP request its path"),
    ("peer", "address at the other end"),
    ("prefix", "a range of the store's keys"),
    ("reason", "why, in words"),
    ("renew_at", "when a certificate is to be renewed"),
    ("request_id", "names an HTTP request, as its answer does"),
    ("revision", "of the store"),
    ("route", "the template an HTTP request's path matched"),
    ("server", "what we are a client of"),
    ("source", "address a request came from"),
    ("status", "of an HTTP answer"),
    ("step", "of a CNI request, what it waited for"),
    ("store_id", "identity of a store's history"),
    ("task", "work of netmaster's own"),
    ("tenant", "a tenant's name"),
    ("token_id", "names a join token; not the token"),
    ("verb", "of a CNI request"),
    ("version", "of a program"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_sorted_and_named_once() {
        assert!(FIELDS.is_sorted_by(|a, b| a.0 < b.0), "sort the list");
    }

    #[test]
    fn no_field_is_named_after_a_secret() {
        for (name, _) in FIELDS {
            let secret = ["password", "secret", "private", "bearer", "cookie", "authorization", "credential"];
            assert!(!secret.iter().any(|s| name.contains(s)), "{name}");
        }
    }
}
