//! Opening the store that the configuration names.
//!
//! Passwords and keys come from files only: an argument can be read by every user of the machine. A file that everybody
//! may read is refused, and so is a plain connection where encryption was asked for: neither is ever what was meant.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use store::{EtcdConfig, EtcdTls, EtcdUser, Limits, Store};

use crate::config::{Config, EtcdAccess, StoreConfig};

/// SQLite's file, in the data folder.
pub(crate) const DATABASE: &str = "netmaster.db";

/// Opens the store.
///
/// # Errors
/// Files that cannot be read, settings that contradict each other, and those of the store.
pub(crate) async fn open(config: &Config) -> anyhow::Result<Arc<dyn Store>> {
    let limits = config.limits.unwrap_or_default();
    Ok(match &config.store {
        StoreConfig::Sqlite => store::sqlite_with(&config.data_dir.join(DATABASE), limits).await?,
        StoreConfig::Memory => store::memory_with(limits)?,
        StoreConfig::Etcd(access) => {
            let etcd = etcd_config(access, limits)?;
            if config.limits.is_some() { store::etcd(etcd).await? } else { store::etcd_probed(etcd).await? }
        }
    })
}

fn etcd_config(access: &EtcdAccess, limits: Limits) -> anyhow::Result<EtcdConfig> {
    let encrypted = access.endpoints.iter().filter(|url| url.starts_with("https://")).count();
    ensure!(
        encrypted == 0 || encrypted == access.endpoints.len(),
        "etcd's endpoints must be all https:// or all http://"
    );
    let plain = EtcdConfig::new(access.endpoints.clone(), access.prefix.clone());
    Ok(EtcdConfig { limits, tls: tls(access, encrypted > 0)?, user: user(access)?, ..plain })
}

fn tls(access: &EtcdAccess, encrypted: bool) -> anyhow::Result<Option<EtcdTls>> {
    let any = access.ca.is_some() || access.certificate.is_some() || access.key.is_some();
    if !encrypted {
        ensure!(!any, "--etcd-ca, --etcd-cert and --etcd-key need https:// endpoints");
        return Ok(None);
    }
    let ca = access
        .ca
        .as_deref()
        .context("https:// endpoints need --etcd-ca, the authority of etcd's certificate")?;
    let client_pem = match (&access.certificate, &access.key) {
        (Some(certificate), Some(key)) => Some((read(certificate)?, read_secret(key)?)),
        (None, None) => None,
        _ => bail!("--etcd-cert and --etcd-key belong together"),
    };
    Ok(Some(EtcdTls { ca_pem: read(ca)?, client_pem, server_name: access.server_name.clone() }))
}

fn user(access: &EtcdAccess) -> anyhow::Result<Option<EtcdUser>> {
    let (name, file) = match (&access.user, &access.password_file) {
        (Some(name), Some(file)) => (name.clone(), file),
        (None, None) => return Ok(None),
        _ => bail!("--etcd-user and --etcd-password-file belong together"),
    };
    let text = String::from_utf8(read_secret(file)?);
    let text = text.map_err(|_| anyhow::anyhow!("{}: the password is no text", file.display()))?;
    // Editors end a file with a newline; no password ends with one.
    let password = text.trim_end_matches(['\n', '\r']).to_owned();
    ensure!(!password.is_empty(), "{}: the password is empty", file.display());
    Ok(Some(EtcdUser { name, password }))
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

fn read_secret(path: &Path) -> anyhow::Result<Vec<u8>> {
    let about = || format!("cannot read {}", path.display());
    let mode = std::fs::metadata(path).with_context(about)?.permissions().mode();
    ensure!(mode & 0o007 == 0, "{}: everybody may read or change it; chmod o= it first", path.display());
    read(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(dir: &Path, scheme: &str) -> EtcdAccess {
        let file = |name: &str, text: &str, mode: u32| {
            let path = dir.join(name);
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            Some(path)
        };
        EtcdAccess {
            endpoints: vec![format!("{scheme}://m1:2379"), format!("{scheme}://m2:2379")],
            prefix: types::Name::new("x").unwrap(),
            ca: file("ca.crt", "ca", 0o644),
            certificate: file("client.crt", "certificate", 0o644),
            key: file("client.key", "key", 0o600),
            server_name: None,
            user: Some("netmaster".into()),
            password_file: file("password", "hunter2\n", 0o400),
        }
    }

    fn refused(access: &EtcdAccess) -> String {
        etcd_config(access, Limits::default()).err().map(|e| format!("{e:#}")).unwrap_or_default()
    }

    #[test]
    fn files_become_what_etcd_is_reached_with() {
        let dir = tempfile::tempdir().unwrap();
        let config = etcd_config(&access(dir.path(), "https"), Limits::default()).unwrap();
        let tls = config.tls.as_ref().unwrap();
        assert_eq!(tls.ca_pem, b"ca");
        assert_eq!(tls.client_pem, Some((b"certificate".to_vec(), b"key".to_vec())));
        let user = config.user.as_ref().unwrap();
        assert_eq!((user.name.as_str(), user.password.as_str()), ("netmaster", "hunter2"));
        assert!(!format!("{config:?}").contains("hunter2"));
    }

    #[test]
    fn encryption_that_was_asked_for_is_never_left_out() {
        let dir = tempfile::tempdir().unwrap();
        let whole = access(dir.path(), "https");
        assert!(refused(&access(dir.path(), "http")).contains("need https://"));
        assert!(refused(&EtcdAccess { ca: None, ..whole.clone() }).contains("need --etcd-ca"));
        assert!(refused(&EtcdAccess { key: None, ..whole.clone() }).contains("belong together"));
        assert!(refused(&EtcdAccess { password_file: None, ..whole.clone() }).contains("belong together"));
        let mixed = vec!["https://m1:2379".to_owned(), "http://m2:2379".to_owned()];
        assert!(refused(&EtcdAccess { endpoints: mixed, ..whole }).contains("all https"));
    }

    #[test]
    fn secrets_that_everybody_may_read_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let access = access(dir.path(), "https");
        for file in ["client.key", "password"] {
            let path = dir.path().join(file);
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
            let said = refused(&access);
            assert!(said.contains(file) && !said.contains("hunter2"), "{said}");
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        }
        assert_eq!(refused(&access), "");
    }
}
