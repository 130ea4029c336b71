//! Names and numbers of switches, parsed once.

use std::fmt;

use crate::value::Atom;

/// The name of a bridge, port or interface. Bridges, system and internal ports are Linux network devices, so the
/// kernel's rules hold for all (`dev_valid_name`): 1 to 15 bytes, no `/`, `:` or white space, not `.` or `..`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DeviceName(String);

/// Not a name of a network device.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a valid device name")]
pub struct NameError(String);

impl DeviceName {
    /// Checks a name.
    pub fn new(name: impl Into<String>) -> Result<Self, NameError> {
        let name = name.into();
        let fits = (1..=15).contains(&name.len()) && name != "." && name != "..";
        let is_clean = name.bytes().all(|b| b.is_ascii_graphic() && b != b'/' && b != b':');
        if fits && is_clean { Ok(Self(name)) } else { Err(NameError(name)) }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for DeviceName {
    type Error = NameError;

    fn try_from(name: String) -> Result<Self, NameError> {
        Self::new(name)
    }
}

impl std::str::FromStr for DeviceName {
    type Err = NameError;

    fn from_str(name: &str) -> Result<Self, NameError> {
        Self::new(name)
    }
}

impl From<DeviceName> for String {
    fn from(name: DeviceName) -> Self {
        name.0
    }
}

impl From<&DeviceName> for String {
    fn from(name: &DeviceName) -> Self {
        name.0.clone()
    }
}

impl From<&DeviceName> for Atom {
    fn from(name: &DeviceName) -> Self {
        Self::String(name.0.clone())
    }
}

impl fmt::Display for DeviceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An OpenFlow port number that can be asked for: 1 to 65279 (`ofport_request` in ovs-vswitchd.conf.db(5)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "i64", into = "i64")]
pub struct Ofport(u16);

/// Outside 1 to 65279.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not an OpenFlow port number between 1 and 65279")]
pub struct OfportError(i64);

impl Ofport {
    /// Checks a number.
    pub fn new(number: i64) -> Result<Self, OfportError> {
        match u16::try_from(number) {
            Ok(number @ 1..=65279) => Ok(Self(number)),
            _ => Err(OfportError(number)),
        }
    }

    /// The number.
    pub fn get(self) -> u16 {
        self.0
    }
}

impl TryFrom<i64> for Ofport {
    type Error = OfportError;

    fn try_from(number: i64) -> Result<Self, OfportError> {
        Self::new(number)
    }
}

impl From<Ofport> for i64 {
    fn from(ofport: Ofport) -> Self {
        i64::from(ofport.0)
    }
}

impl fmt::Display for Ofport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The mark of our rows: one key and value of `external_ids`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    key: String,
    value: String,
}

impl Owner {
    /// A mark.
    pub fn new(key: impl Into<String>, value: impl Into<String>) -> Self {
        Self { key: key.into(), value: value.into() }
    }

    /// The key.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The value.
    pub fn value(&self) -> &str {
        &self.value
    }

    /// Whether a row with these `external_ids` is ours.
    pub fn owns(&self, external_ids: &super::StringMap) -> bool {
        external_ids.get(&self.key) == Some(&self.value)
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.key, self.value)
    }
}

/// Which datapath carries a bridge's packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DatapathType {
    /// The kernel module.
    System,
    /// `ovs-vswitchd` itself.
    Netdev,
}

impl DatapathType {
    /// The spelling in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Netdev => "netdev",
        }
    }

    /// Whether the column holds this type; the empty string means `system`.
    pub(crate) fn matches(self, column: &str) -> bool {
        column == self.as_str() || (column.is_empty() && self == Self::System)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_names_the_kernel_refuses() {
        for name in ["", ".", "..", "a/b", "a b", "a:b", "0123456789abcdef", "caf\u{e9}", "a\n"] {
            assert!(DeviceName::new(name).is_err(), "{name:?}");
        }
        assert!(DeviceName::new("veth-0123456789").is_ok());
    }

    #[test]
    fn refuses_reserved_port_numbers() {
        for number in [-1, 0, 65280, 65534, 65536] {
            assert!(Ofport::new(number).is_err(), "{number}");
        }
        assert_eq!(Ofport::new(65279).unwrap().get(), 65279);
    }
}
