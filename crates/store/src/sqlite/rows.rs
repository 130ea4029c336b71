//! The SQL: every statement of the SQLite back end, and rows read into values.

use std::collections::BTreeSet;

use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{AssertSqlSafe, Executor, Row, Sqlite, SqlitePool};
use types::Revision;

use super::{failed, unknown};
use crate::FirstKeys;
use crate::error::StoreError;
use crate::keys::{Key, Prefix};
use crate::kv::{Event, KeyValue, Page, PageRequest, Value};
use crate::lease::LeaseId;
use crate::txn::Present;
use crate::watch::Past;

/// How far the store is, and from where on its history is known.
pub(super) struct Position {
    pub(super) revision: Revision,
    compacted: Revision,
}

pub(super) async fn position<'e>(db: impl Executor<'e, Database = Sqlite>) -> Result<Position, StoreError> {
    let row = sqlx::query("SELECT revision, compacted FROM meta")
        .fetch_one(db)
        .await
        .map_err(failed("read the revision"))?;
    Ok(Position { revision: revision(&row, "revision")?, compacted: revision(&row, "compacted")? })
}

pub(super) async fn get(db: &mut SqliteConnection, key: &Key) -> Result<Option<KeyValue>, StoreError> {
    sqlx::query("SELECT key, value, created, modified, lease FROM kv WHERE key = ?")
        .bind(bytes(key.as_str()))
        .fetch_optional(db)
        .await
        .map_err(failed("get"))?
        .map(|row| key_value(&row))
        .transpose()
}

/// Those of the keys that there are, by one statement whose text does not depend on how many.
pub(super) async fn present(db: &mut SqliteConnection, keys: &BTreeSet<Key>) -> Result<Present, StoreError> {
    let names: Vec<&str> = keys.iter().map(Key::as_str).collect();
    let names = serde_json::to_string(&names).map_err(|e| StoreError::Corrupt(e.to_string()))?;
    let rows = sqlx::query(
        "SELECT kv.key, kv.value, created, modified, lease
         FROM json_each(?1) AS wanted CROSS JOIN kv ON kv.key = CAST(wanted.value AS BLOB)",
    )
    .bind(names)
    .fetch_all(db)
    .await
    .map_err(failed("get"))?;
    let present = rows.iter().map(|row| key_value(row).map(|kv| (kv.key.clone(), kv)));
    present.collect()
}

pub(super) async fn leased(
    db: &mut SqliteConnection,
    lease: Option<LeaseId>,
) -> Result<Vec<Key>, StoreError> {
    sqlx::query("SELECT key FROM kv WHERE lease <> 0 AND (?1 = 0 OR lease = ?1) ORDER BY key")
        .bind(lease.map_or(0, LeaseId::get))
        .fetch_all(db)
        .await
        .map_err(failed("read leased keys"))?
        .iter()
        .map(key)
        .collect()
}

pub(super) async fn next_revision(db: &mut SqliteConnection) -> Result<Revision, StoreError> {
    let row = sqlx::query("UPDATE meta SET revision = revision + 1 RETURNING revision")
        .fetch_one(db)
        .await
        .map_err(failed("advance the revision"))?;
    revision(&row, "revision")
}

/// Rows that one statement writes. Every number of rows up to here is a statement of its own, which is kept prepared.
const ROWS_AT_ONCE: usize = 16;

/// Writes what a revision does, and its place in the log.
pub(super) async fn write(
    db: &mut SqliteConnection,
    revision: Revision,
    events: &[Event],
) -> Result<(), StoreError> {
    for some in events.chunks(ROWS_AT_ONCE) {
        log(db, revision, some).await?;
        let puts: Vec<&KeyValue> = some.iter().filter_map(put).collect();
        if !puts.is_empty() {
            store(db, &puts).await?;
        }
    }
    for event in events {
        if let Event::Delete { key, .. } = event {
            let statement = sqlx::query("DELETE FROM kv WHERE key = ?").bind(bytes(key.as_str()));
            statement.execute(&mut *db).await.map_err(failed("write"))?;
        }
    }
    Ok(())
}

fn put(event: &Event) -> Option<&KeyValue> {
    match event {
        Event::Put { current, .. } => Some(current),
        Event::Delete { .. } => None,
    }
}

async fn store(db: &mut SqliteConnection, puts: &[&KeyValue]) -> Result<(), StoreError> {
    let statement = format!("INSERT OR REPLACE INTO kv VALUES {}", places("(?, ?, ?, ?, ?)", puts.len()));
    let mut query = sqlx::query(AssertSqlSafe(statement));
    for kv in puts {
        query = query
            .bind(bytes(kv.key.as_str()))
            .bind(kv.value.as_bytes())
            .bind(number(kv.created)?)
            .bind(number(kv.modified)?)
            .bind(kv.lease.map_or(0, LeaseId::get));
    }
    query.execute(db).await.map_err(failed("write"))?;
    Ok(())
}

async fn log(db: &mut SqliteConnection, revision: Revision, events: &[Event]) -> Result<(), StoreError> {
    let places = places("(?, ?, ?, ?, ?, ?)", events.len());
    let statement = format!("INSERT INTO log (rev, key, value, created, prev, lease) VALUES {places}");
    let mut query = sqlx::query(AssertSqlSafe(statement));
    for event in events {
        let (Event::Put { previous, .. } | Event::Delete { previous, .. }) = event;
        let put = put(event);
        // A deletion is a version of what it deletes.
        let created = put.or(previous.as_ref()).map_or(revision, |kv| kv.created);
        query = query
            .bind(number(revision)?)
            .bind(bytes(event.key().as_str()))
            .bind(put.map(|kv| kv.value.as_bytes()))
            .bind(number(created)?)
            .bind(previous.as_ref().map_or(Ok(0), |kv| number(kv.modified))?)
            .bind(put.and_then(|kv| kv.lease).map_or(0, LeaseId::get));
    }
    query.execute(db).await.map_err(failed("write the log"))?;
    Ok(())
}

fn places(row: &str, rows: usize) -> String {
    vec![row; rows].join(", ")
}

pub(super) async fn list(pool: &SqlitePool, prefix: &Prefix, page: &PageRequest) -> Result<Page, StoreError> {
    // One read transaction: position and rows show the same moment.
    let mut tx = pool.begin().await.map_err(failed("list"))?;
    let Position { revision, compacted } = position(&mut *tx).await?;
    let at = page.at().unwrap_or(revision);
    if at < compacted {
        return Err(StoreError::Compacted { requested: at, oldest: compacted });
    }
    if at > revision {
        return Err(StoreError::FutureRevision { requested: at });
    }
    let span = prefix.span(page.last());
    // No key is empty, so "behind nothing" is no condition.
    let after = if span.beyond { span.start.as_str() } else { "" };
    let limit = page.effective_limit();
    let statement = if at == revision {
        "SELECT key, value, created, modified, lease FROM kv
         WHERE key >= ?1 AND key < ?2 AND key > ?3 ORDER BY key LIMIT ?4"
    } else {
        "SELECT key, value, created, rev AS modified, lease FROM log AS l
         WHERE key >= ?1 AND key < ?2 AND key > ?3 AND value IS NOT NULL
           AND rev = (SELECT max(rev) FROM log AS m WHERE m.key = l.key AND m.rev <= ?5)
         ORDER BY key LIMIT ?4"
    };
    let mut query = sqlx::query(statement).bind(bytes(&span.start)).bind(bytes(&span.end)).bind(bytes(after));
    query = query.bind(i64::try_from(limit).unwrap_or(i64::MAX));
    if at != revision {
        query = query.bind(number(at)?);
    }
    let rows = query.fetch_all(&mut *tx).await.map_err(failed("list"))?;
    let items = rows.iter().map(key_value).collect::<Result<Vec<_>, _>>()?;
    Ok(Page::new(items, limit, at, span.then))
}

/// Events of the next revisions after `after`.
pub(super) async fn past(
    pool: &SqlitePool,
    prefix: &Prefix,
    after: Revision,
    revisions: usize,
) -> Result<Past, StoreError> {
    let mut tx = pool.begin().await.map_err(failed("watch"))?;
    let Position { revision: head, compacted } = position(&mut *tx).await?;
    if after < compacted {
        return Ok(Past::Compacted);
    }
    let span = u64::try_from(revisions).unwrap_or(u64::MAX);
    let through = head.min(Revision::new(after.get().saturating_add(span)));
    let through = through.min(within_reason(&mut tx, after).await?);
    let (start, end) = prefix.bounds();
    let rows = sqlx::query(
        "SELECT l.key, l.value, l.created, l.rev AS modified, l.lease, l.prev AS prev,
                p.value AS prev_value, p.created AS prev_created, p.lease AS prev_lease
         FROM log AS l LEFT JOIN log AS p ON p.rev = l.prev AND p.key = l.key
         WHERE l.rev > ?1 AND l.rev <= ?2 AND l.key >= ?3 AND l.key < ?4 ORDER BY l.rev, l.key",
    )
    .bind(number(after)?)
    .bind(number(through)?)
    .bind(bytes(&start))
    .bind(bytes(&end))
    .fetch_all(&mut *tx)
    .await
    .map_err(failed("watch"))?;
    let mut batches: Vec<(Revision, Vec<Event>)> = Vec::new();
    for row in &rows {
        let event = event(row)?;
        let at = revision(row, "modified")?;
        if batches.last().is_none_or(|(last, _)| *last != at) {
            batches.push((at, Vec::new()));
        }
        let seen = prefix.contains(event.key()) && !event.key().is_generation();
        if let Some((_, events)) = batches.last_mut().filter(|_| seen) {
            events.push(event);
        }
    }
    batches.retain(|(_, events)| !events.is_empty() || prefix.has_hole());
    Ok(Past::Events { batches, through })
}

/// The revision up to which one may read at once from after another one: whole revisions, and not too many rows.
async fn within_reason(db: &mut SqliteConnection, after: Revision) -> Result<Revision, StoreError> {
    const ROWS: i64 = 4_096;
    let row = sqlx::query("SELECT rev FROM log WHERE rev > ?1 ORDER BY rev LIMIT 1 OFFSET ?2")
        .bind(number(after)?)
        .bind(ROWS)
        .fetch_optional(db)
        .await
        .map_err(failed("watch"))?;
    let too_far = row.map(|row| revision(&row, "rev")).transpose()?;
    Ok(too_far.map_or(Revision::new(u64::MAX), |far| {
        Revision::new(far.get().saturating_sub(1).max(after.get().saturating_add(1)))
    }))
}

/// The first keys of a range, and how many it has.
pub(super) async fn first_keys(
    pool: &SqlitePool,
    prefix: &Prefix,
    limit: usize,
) -> Result<FirstKeys, StoreError> {
    let (start, end) = prefix.bounds();
    let mut tx = pool.begin().await.map_err(failed("list"))?;
    let count = sqlx::query("SELECT count(*) AS n FROM kv WHERE key >= ?1 AND key < ?2");
    let count = count.bind(bytes(&start)).bind(bytes(&end)).fetch_one(&mut *tx).await;
    let total = column::<i64>(&count.map_err(failed("list"))?, "n")?;
    let rows = sqlx::query("SELECT key FROM kv WHERE key >= ?1 AND key < ?2 ORDER BY key LIMIT ?3")
        .bind(bytes(&start))
        .bind(bytes(&end))
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_all(&mut *tx)
        .await
        .map_err(failed("list"))?;
    let keys = rows.iter().map(key).collect::<Result<_, _>>()?;
    Ok(FirstKeys { keys, total: usize::try_from(total).unwrap_or_default() })
}

/// Forgets versions that were superseded at or before `up_to`, of `stretch` revisions at most; up to where it got.
///
/// Nothing older than the last compaction is looked at: every version that a later one has superseded is named by that
/// one (`prev`), and deletions are the versions without value.
pub(super) async fn compact(
    pool: &SqlitePool,
    up_to: Revision,
    stretch: u64,
) -> Result<Revision, StoreError> {
    let mut tx = pool.begin_with("BEGIN IMMEDIATE").await.map_err(failed("compact"))?;
    let Position { revision, compacted } = position(&mut *tx).await?;
    if up_to > revision {
        return Err(StoreError::FutureRevision { requested: up_to });
    }
    if up_to <= compacted {
        return Ok(compacted);
    }
    let to = up_to.min(Revision::new(compacted.get().saturating_add(stretch)));
    // Superseded versions first, then the deletions they were superseded by.
    for statement in [
        "DELETE FROM log WHERE (rev, key) IN
            (SELECT prev, key FROM log WHERE rev > ?1 AND rev <= ?2 AND prev <> 0)",
        "DELETE FROM log WHERE rev > ?1 AND rev <= ?2 AND value IS NULL",
        "UPDATE meta SET compacted = ?2 WHERE compacted = ?1",
    ] {
        let statement = sqlx::query(statement).bind(number(compacted)?).bind(number(to)?);
        statement.execute(&mut *tx).await.map_err(failed("compact"))?;
    }
    tx.commit().await.map_err(unknown("compact"))?;
    Ok(to)
}

fn bytes(text: &str) -> &[u8] {
    text.as_bytes()
}

fn number(revision: Revision) -> Result<i64, StoreError> {
    i64::try_from(revision.get()).map_err(|_| StoreError::FutureRevision { requested: revision })
}

fn column<'r, T: sqlx::Decode<'r, Sqlite> + sqlx::Type<Sqlite>>(
    row: &'r SqliteRow,
    name: &str,
) -> Result<T, StoreError> {
    row.try_get(name).map_err(|e| StoreError::Corrupt(format!("column {name}: {e}")))
}

fn revision(row: &SqliteRow, name: &str) -> Result<Revision, StoreError> {
    let n: i64 = column(row, name)?;
    u64::try_from(n)
        .map(Revision::new)
        .map_err(|_| StoreError::Corrupt(format!("column {name} holds revision {n}")))
}

fn key(row: &SqliteRow) -> Result<Key, StoreError> {
    Key::from_stored(column(row, "key")?).map_err(|e| StoreError::Corrupt(e.to_string()))
}

fn key_value(row: &SqliteRow) -> Result<KeyValue, StoreError> {
    Ok(KeyValue {
        key: key(row)?,
        value: Value::from(column::<Vec<u8>>(row, "value")?),
        created: revision(row, "created")?,
        modified: revision(row, "modified")?,
        lease: LeaseId::from_stored(column(row, "lease")?),
    })
}

fn event(row: &SqliteRow) -> Result<Event, StoreError> {
    let key = key(row)?;
    let previous = match column::<Option<Vec<u8>>>(row, "prev_value")? {
        Some(value) => Some(KeyValue {
            key: key.clone(),
            value: Value::from(value),
            created: revision(row, "prev_created")?,
            modified: revision(row, "prev")?,
            lease: LeaseId::from_stored(column(row, "prev_lease")?),
        }),
        None => None,
    };
    match column::<Option<Vec<u8>>>(row, "value")? {
        Some(_) => Ok(Event::Put { current: key_value(row)?, previous }),
        None => Ok(Event::Delete { key, previous }),
    }
}
