//! `netctl get --watch`: what there is, and then every change, until somebody ends it.
//!
//! # Invariants
//! * Standard output has events and nothing else; that a connection was lost, and is tried again, goes to standard error.
//! * With `--all`, a tenant that comes is followed from then on. One that goes is not given up before its last events
//!   are read: the server ends its watch.

use std::collections::BTreeMap;

use api::Code;
use api::v1::Item;
use client::{Client, Error, Seen, Tenants, Watch};
use futures_util::future::select_all;
use serde::Serialize;

use super::{Shown, heads};
use crate::Terminal;
use crate::fault::Fault;
use crate::output::{Format, Rows, one_line, say, yaml};

/// What to follow, and how to show it.
#[derive(Clone, Copy, Debug)]
pub struct What<'a> {
    /// One tenant, or all; not read for nouns that live in none.
    pub tenant: Option<&'a str>,
    /// One object, or all.
    pub name: Option<&'a str>,
    /// How.
    pub format: Format,
}

/// One change, as programs read it: one JSON object a line.
#[derive(Serialize)]
struct Event<'a, O> {
    #[serde(rename = "type")]
    kind: &'static str,
    object: &'a O,
}

/// Follows a noun. Never ends by itself but with a refusal.
pub async fn follow<N: Shown>(
    what: What<'_>,
    client: &Client,
    terminal: &mut Terminal<'_>,
) -> Result<(), Fault> {
    let mut shown = Show::<N>::new(what);
    shown.head(terminal)?;
    match what.tenant {
        _ if !N::IN_TENANT => one(client.watch::<N>("").await?, &mut shown, terminal).await,
        Some(tenant) => one(client.watch::<N>(tenant).await?, &mut shown, terminal).await,
        None => every(client, &mut shown, terminal).await,
    }
}

async fn one<N: Shown>(
    mut watch: Watch<N>,
    shown: &mut Show<'_, N>,
    terminal: &mut Terminal<'_>,
) -> Result<(), Fault> {
    loop {
        shown.show(watch.next().await?, terminal)?;
    }
}

/// Follows a noun in every tenant, those that come later too.
async fn every<N: Shown>(
    client: &Client,
    shown: &mut Show<'_, N>,
    terminal: &mut Terminal<'_>,
) -> Result<(), Fault> {
    let mut tenants = client.watch::<Tenants>("").await?;
    let mut watches: BTreeMap<String, Watch<N>> = BTreeMap::new();
    loop {
        // Watches lose nothing when they are asked in vain.
        let next = watches.iter_mut().map(|(tenant, watch)| {
            let tenant = tenant.clone();
            Box::pin(async move { (tenant, watch.next().await) })
        });
        let next: Vec<_> = next.collect();
        let next =
            async { if next.is_empty() { std::future::pending().await } else { select_all(next).await.0 } };
        tokio::select! {
            seen = tenants.next() => match seen? {
                Seen::Added(tenant) | Seen::Modified(tenant) => {
                    let name = tenant.name().to_owned();
                    if !watches.contains_key(&name)
                        && let Some(watch) = unless_gone(client.watch::<N>(&name).await)?
                    {
                        watches.insert(name, watch);
                    }
                }
                Seen::Reconnecting(reason) => shown.lost(&reason, terminal),
                Seen::Deleted(_) | Seen::Bookmark(_) => {}
            },
            (tenant, seen) = next => match unless_gone(seen)? {
                Some(seen) => shown.show(seen, terminal)?,
                None => drop(watches.remove(&tenant)),
            },
        }
    }
}

/// A tenant that is gone is no failure for who follows all of them.
fn unless_gone<T>(answer: Result<T, Error>) -> Result<Option<T>, Fault> {
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(e) if e.problem().is_some_and(|p| p.code == Code::NotFound) => Ok(None),
        Err(e) => Err(e.into()),
    }
}

/// Shows events.
struct Show<'a, N: Shown> {
    what: What<'a>,
    rows: Rows,
    /// The connection is lost, and that has been said.
    lost: bool,
    noun: std::marker::PhantomData<N>,
}

impl<'a, N: Shown> Show<'a, N> {
    fn new(what: What<'a>) -> Self {
        let all = std::iter::once("Event").chain(heads::<N>(what.format).iter().copied());
        Self { what, rows: Rows::new(all), lost: false, noun: std::marker::PhantomData }
    }

    fn head(&self, terminal: &mut Terminal<'_>) -> Result<(), Fault> {
        match self.what.format {
            Format::Table | Format::Wide => say(terminal, &self.rows.head()),
            Format::Json | Format::Yaml | Format::Name => Ok(()),
        }
    }

    fn show(&mut self, seen: Seen<N::Object>, terminal: &mut Terminal<'_>) -> Result<(), Fault> {
        let (kind, object) = match seen {
            Seen::Added(object) => ("added", object),
            Seen::Modified(object) => ("modified", object),
            Seen::Deleted(object) => ("deleted", object),
            Seen::Bookmark(_) => {
                self.lost = false;
                return Ok(());
            }
            Seen::Reconnecting(reason) => {
                self.lost(&reason, terminal);
                return Ok(());
            }
        };
        self.lost = false;
        if self.what.name.is_some_and(|name| name != object.name()) {
            return Ok(());
        }
        let text = match self.what.format {
            Format::Json => one_line(&Event { kind, object: &object })?,
            Format::Yaml => format!("---\n{}", yaml(&Event { kind, object: &object })?),
            Format::Name => format!("{kind} {}\n", object.name()),
            Format::Table | Format::Wide => {
                self.rows.row(std::iter::once(kind.to_owned()).chain(N::row(&object)).collect())
            }
        };
        say(terminal, &text)
    }

    /// Says once that the connection is lost.
    fn lost(&mut self, reason: &str, terminal: &mut Terminal<'_>) {
        if !self.lost {
            // Nobody is left to tell when the terminal is gone.
            let _ = writeln!(terminal.stderr, "connection lost, trying again: {reason}");
        }
        self.lost = true;
    }
}
