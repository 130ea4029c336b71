//! Which server to ask, and as whom: options, then environment, then a context file.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use client::{Client, Error, Setting, Token};
use serde::Deserialize;

use crate::fault::Fault;

/// Options that every command takes.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Connection")]
pub struct Connection {
    /// Address of netmaster, https://HOST:PORT; several with commas, the first that answers is used.
    #[arg(
        long,
        global = true,
        alias = "netmaster",
        env = "NETCTL_SERVER",
        hide_env_values = true,
        value_name = "URL"
    )]
    server: Option<String>,
    /// The cluster's certificate authority (PEM): DATA-DIR/ca.crt of netmaster.
    #[arg(long, global = true, env = "NETCTL_CA_FILE", hide_env_values = true, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// A file with the token: DATA-DIR/admin.token of netmaster at first.
    #[arg(long, global = true, env = "NETCTL_TOKEN_FILE", hide_env_values = true, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// A context file: {"server": URL, "caFile": FILE, "tokenFile": FILE}. Default: ~/.config/netctl/config.json.
    #[arg(long, global = true, env = "NETCTL_CONFIG", hide_env_values = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Contiv's way to trust anybody.
    #[arg(long, global = true, hide = true)]
    insecure: bool,
}

/// What a context file holds.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct File {
    server: Option<String>,
    ca_file: Option<PathBuf>,
    token_file: Option<PathBuf>,
}

impl Connection {
    /// A client that authenticates.
    pub fn client(&self) -> Result<Client, Fault> {
        let file = self.file()?;
        let token_file = required(
            self.token_file.clone().or(file.token_file.clone()),
            "--token-file",
            "NETCTL_TOKEN_FILE",
        )?;
        self.with(file, Some(token(&token_file)?))
    }

    /// A client for public endpoints: it needs no token.
    pub fn anonymous(&self) -> Result<Client, Fault> {
        let file = self.file()?;
        self.with(file, None)
    }

    /// The token, to keep it out of what is collected; none when it cannot be read.
    pub fn secret(&self) -> Option<String> {
        let path = self.token_file.clone().or(self.file().ok()?.token_file)?;
        let text = String::from_utf8_lossy(&read(&path).ok()?).trim().to_owned();
        Some(text).filter(|text| !text.is_empty())
    }

    fn with(&self, file: File, token: Option<Token>) -> Result<Client, Fault> {
        if self.insecure {
            let what = "--insecure is not there: netctl always checks who it talks to";
            return Err(
                Fault::usage(what).next("--ca-file (or NETCTL_CA_FILE) names the cluster's authority")
            );
        }
        let servers = required(self.server.clone().or(file.server), "--server", "NETCTL_SERVER")?;
        let ca_file = required(self.ca_file.clone().or(file.ca_file), "--ca-file", "NETCTL_CA_FILE")?;
        let ca_pem = read(&ca_file)?;
        let servers = servers.split(',').map(str::to_owned).collect();
        Client::new(&Setting { servers, ca_pem, token }).map_err(|e| match e {
            // The client does not know the file's name.
            Error::Setting { what: what @ "certificate authority", reason, .. } => {
                Fault::usage(format!("{what} {}: {reason}", ca_file.display()))
            }
            e => e.into(),
        })
    }

    /// The named context file, or the usual one if it is there.
    fn file(&self) -> Result<File, Fault> {
        let path = match (&self.config, default_file()) {
            (Some(path), _) => path.clone(),
            (None, Some(path)) if path.exists() => path,
            (None, _) => return Ok(File::default()),
        };
        let refuse = |e: serde_json::Error| Fault::usage(format!("{}: {e}", path.display()));
        serde_json::from_slice(&read(&path)?).map_err(refuse)
    }
}

fn default_file() -> Option<PathBuf> {
    let config = std::env::var_os("XDG_CONFIG_HOME").map(PathBuf::from);
    let config = config.or_else(|| std::env::var_os("HOME").map(|h| Path::new(&h).join(".config")))?;
    Some(config.join("netctl/config.json"))
}

fn required<T>(value: Option<T>, option: &str, variable: &str) -> Result<T, Fault> {
    value.ok_or_else(|| {
        Fault::usage(format!("{option} is missing"))
            .next(format!("give {option}, set {variable}, or write it into ~/.config/netctl/config.json"))
    })
}

/// Reads the token, which must be nobody else's to read.
fn token(path: &Path) -> Result<Token, Fault> {
    let mode = std::fs::metadata(path).map_err(|e| unreadable(path, &e))?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(Fault::usage(format!("{} is open to others (mode {:o})", path.display(), mode & 0o777))
            .next(format!("chmod 600 {}", path.display())));
    }
    let text = String::from_utf8_lossy(&read(path)?).into_owned();
    Ok(Token::new(&text)?)
}

/// Reads a file; the fault names it.
pub fn read(path: &Path) -> Result<Vec<u8>, Fault> {
    std::fs::read(path).map_err(|e| unreadable(path, &e))
}

fn unreadable(path: &Path, error: &std::io::Error) -> Fault {
    Fault::usage(format!("cannot read {}: {error}", path.display()))
}
