//! The mark: the name under which everything of one lab is found again.

use std::net::Ipv4Addr;
use std::path::Path;

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

/// Environment variable that every process of a lab carries, and its children inherit.
pub const ENV: &str = "SELVAGE_LAB";

/// What a lab is for. Labs of different purposes of one checkout stand side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// `./dev up`: stays.
    Up,
    /// `./dev up --check`.
    Check,
    /// `./dev e2e`.
    Suite,
    /// The lab's own tests.
    Test,
}

impl Purpose {
    /// All of them, as `down` removes them.
    pub const ALL: [Self; 4] = [Self::Up, Self::Check, Self::Suite, Self::Test];

    const fn letter(self) -> char {
        match self {
            Self::Up => 'u',
            Self::Check => 'c',
            Self::Suite => 'e',
            Self::Test => 't',
        }
    }
}

/// `sv`, six hexadecimal digits of the checkout's path, a letter for the purpose: unique on the machine, short enough
/// for an interface name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark {
    text: String,
    seed: u16,
}

impl Mark {
    /// The mark of a checkout for a purpose; the same every time.
    ///
    /// # Errors
    /// When the path does not exist.
    pub fn new(checkout: &Path, purpose: Purpose) -> Result<Self> {
        let path = checkout.canonicalize().with_context(|| format!("cannot find {}", checkout.display()))?;
        let hash = Sha256::digest(path.as_os_str().as_encoded_bytes());
        let text = format!("sv{}{}", hex::encode(&hash[..3]), purpose.letter());
        let own = Sha256::digest(text.as_bytes());
        Ok(Self { text, seed: u16::from_be_bytes([own[0], own[1]]) })
    }

    /// The mark itself.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Name of the namespace of `what`.
    pub fn netns(&self, what: &str) -> String {
        format!("{}-{what}", self.text)
    }

    /// The management network this mark would like best: a /26 of 198.18.0.0/15, the range kept for laboratories
    /// (RFC 2544 appendix C.2.2). Others follow if that is taken.
    pub fn management_blocks(&self) -> impl Iterator<Item = Ipv4Addr> {
        let (base, seed) = (u32::from(Ipv4Addr::new(198, 18, 0, 0)), u32::from(self.seed));
        (0..2048).map(move |i| Ipv4Addr::from(base + (seed + i) % 2048 * 64))
    }
}

impl std::fmt::Display for Mark {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checkouts_and_purposes_never_share_a_mark() {
        let (a, b) = (Path::new("/usr"), Path::new("/etc"));
        let mark = |p, q| Mark::new(p, q).unwrap();
        assert_eq!(mark(a, Purpose::Up), mark(a, Purpose::Up));
        assert_ne!(mark(a, Purpose::Up), mark(b, Purpose::Up));
        assert_ne!(mark(a, Purpose::Up), mark(a, Purpose::Suite));
    }

    #[test]
    fn mark_fits_an_interface_name_and_its_network_the_laboratory_range() {
        let mark = Mark::new(Path::new("/usr"), Purpose::Up).unwrap();
        // IFNAMSIZ is 16 with the terminating zero.
        assert!(mark.as_str().len() <= 15);
        let blocks: std::collections::BTreeSet<_> = mark.management_blocks().collect();
        assert_eq!(blocks.len(), 2048);
        assert!(blocks.iter().all(|b| b.octets()[0] == 198 && matches!(b.octets()[1], 18 | 19)));
    }
}
