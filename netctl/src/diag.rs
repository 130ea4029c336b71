//! What goes into an archive for whoever looks for a fault, and how secrets stay out of it.
//!
//! ```text
//! sources: REST (rest.rs), this node (node.rs), metrics (metrics.rs)
//!    -> redact.rs: only what is on a list, and no secret in it   (pure)
//!    -> Archive: parts by name                                    -> one .tar.gz
//! ```
//!
//! # Invariants
//! * Nothing enters a [`Archive`] but through the [`redact::Redactor`]: parts are made from what it gave back.
//! * What cannot be had is named, with the reason, in the archive's `README.txt`; the rest is collected all the same.

use std::collections::BTreeMap;
use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

pub mod metrics;
pub mod node;
pub mod redact;
pub mod rest;

/// The folder that everything lies in.
const FOLDER: &str = "netctl-diag";

/// What was collected.
#[derive(Debug, Default)]
pub struct Archive {
    parts: BTreeMap<String, String>,
    missing: BTreeMap<String, String>,
}

impl Archive {
    /// Takes a part, or notes why there is none.
    pub fn take(&mut self, name: &str, part: Result<redact::Clean, String>) {
        match part {
            Ok(clean) => drop(self.parts.insert(name.to_owned(), clean.into_text())),
            Err(reason) => drop(self.missing.insert(name.to_owned(), reason)),
        }
    }

    /// What could not be had, and why.
    pub fn missing(&self) -> &BTreeMap<String, String> {
        &self.missing
    }

    /// How many parts there are.
    pub fn len(&self) -> usize {
        self.parts.len()
    }

    /// The archive; `made` is when, in seconds since 1970.
    pub fn write(&self, made: u64, about: &str, out: impl Write) -> std::io::Result<()> {
        let mut tar = tar::Builder::new(GzEncoder::new(out, Compression::default()));
        let readme = ("README.txt".to_owned(), self.readme(about));
        for (name, text) in std::iter::once((&readme.0, &readme.1)).chain(&self.parts) {
            let mut header = tar::Header::new_gnu();
            header.set_size(text.len() as u64);
            header.set_mode(0o600);
            header.set_mtime(made);
            tar.append_data(&mut header, format!("{FOLDER}/{name}"), text.as_bytes())?;
        }
        tar.into_inner()?.finish()?.flush()
    }

    fn readme(&self, about: &str) -> String {
        let mut text = format!(
            "{about}\n\nOnly what is on netctl's lists is in here, and what looks like a secret is written {}.\n",
            redact::REDACTED
        );
        text += "Names of tenants, networks and endpoints, addresses and policies are in here: they are not secret to who\ncollected them, but look before you send it to others.\n\nParts:\n";
        text.extend(self.parts.keys().map(|name| format!("  {name}\n")));
        if !self.missing.is_empty() {
            text += "\nCould not be had:\n";
            text.extend(self.missing.iter().map(|(name, why)| format!("  {name}: {why}\n")));
        }
        text
    }
}
