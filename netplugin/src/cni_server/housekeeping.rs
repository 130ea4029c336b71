//! What was promised and could not be done at once: deletions journalled by the plugin, and deletions netmaster has not
//! heard of.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use cni::journal;

use super::CniServer;

/// How often to look. Both lists are empty in the ordinary case.
const INTERVAL: Duration = Duration::from_secs(2);

/// The task.
pub struct Housekeeping {
    server: Arc<CniServer>,
}

impl Housekeeping {
    /// Carries out what this server owes.
    pub fn new(server: Arc<CniServer>) -> Self {
        Self { server }
    }

    /// Runs until dropped.
    pub async fn run(self) {
        let mut interval = tokio::time::interval(INTERVAL);
        loop {
            interval.tick().await;
            self.once().await;
        }
    }

    /// One look.
    pub async fn once(&self) {
        self.carry_out_journal().await;
        self.tell_netmaster().await;
    }

    async fn carry_out_journal(&self) {
        let dir = &self.server.context.journal_dir;
        let pending = match journal::pending(dir) {
            Ok(pending) => pending,
            Err(e) => {
                return tracing::warn!(path = %dir.display(), error = %e, "journal not readable");
            }
        };
        for (path, request) in pending {
            let failed = match request {
                Ok(request) => match self.server.del_journalled(&path, &request).await {
                    Ok(()) => remove(&path),
                    Err(e) => Err(e.to_string()),
                },
                Err(e) => {
                    tracing::error!(path = %path.display(), error = %e, "journalled deletion is unreadable, set aside");
                    std::fs::rename(&path, path.with_extension("bad")).map_err(|e| e.to_string())
                }
            };
            if let Err(error) = failed {
                tracing::warn!(path = %path.display(), error, "journalled deletion still pending");
            }
        }
    }

    async fn tell_netmaster(&self) {
        let context = &self.server.context;
        for named in context.detach_log.pending() {
            if !self.server.intent.is_reachable() {
                return;
            }
            let _turn = self.server.turn(&named).await;
            // An ADD may have carried it out meanwhile.
            if !context.detach_log.contains(&named) {
                continue;
            }
            match self.server.tell(&named, None).await {
                Err(e) => {
                    tracing::info!(tenant = %named.0, name = %named.1, error = %e, "deletion still not told");
                }
                Ok(()) => {
                    if let Err(e) = context.detach_log.remove(&named) {
                        tracing::warn!(error = %e, "detach log not written");
                    }
                }
            }
        }
    }
}

fn remove(path: &Path) -> Result<(), String> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(e.to_string()),
        _ => Ok(()),
    }
}
