//! Random transactions of any schema: made of it, so that most are accepted, and of what the database holds.

use std::collections::{BTreeMap, BTreeSet};

use ovsdb::cache::Database;
use ovsdb::operation::{Condition, Mutation, Mutator, Row, Transaction};
use ovsdb::schema::{AtomicType, BaseType, ColumnType, Constraint, DatabaseSchema, Strength};
use ovsdb::value::{Atom, Datum, Real};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use uuid::Uuid;

const STRINGS: [&str; 9] =
    ["", "a", "b", "long", "\u{e9}\u{1f980}", "\"\\{}[", "\n\t\u{1}", "}]", "\u{ffff}"];

pub struct Random {
    pub rng: StdRng,
    schema: DatabaseSchema,
}

impl Random {
    pub fn new(schema: DatabaseSchema, seed: u64) -> Self {
        Self { rng: StdRng::seed_from_u64(seed), schema }
    }

    /// One to four operations.
    pub fn transaction(&mut self, database: &Database) -> Transaction {
        let mut tx = Transaction::new();
        for _ in 0..self.rng.random_range(1..=4) {
            let tables: Vec<String> = self.schema.tables().keys().cloned().collect();
            let table = tables.choose(&mut self.rng).unwrap().clone();
            match self.rng.random_range(0..10) {
                0..5 => self.insert_linked(&mut tx, database, &table),
                5..7 => self.update(&mut tx, database, &table),
                7..9 => self.mutate(&mut tx, database, &table),
                _ => self.delete(&mut tx, database, &table),
            }
        }
        tx
    }

    fn row_of(&mut self, database: &Database, table: &str) -> Option<Uuid> {
        let rows: Vec<Uuid> = database.rows(table).map(|(uuid, _)| uuid).collect();
        rows.choose(&mut self.rng).copied()
    }

    fn insert_linked(&mut self, tx: &mut Transaction, database: &Database, table: &str) {
        let spec = &self.schema.tables()[table];
        let is_full = spec.max_rows.is_some_and(|max| database.rows(table).count() as u64 >= max);
        let is_root = spec.is_root;
        if is_full {
            return;
        }
        let new = self.insert(tx, database, table, 0);
        // A row that nothing refers to is gone at once.
        if !is_root {
            self.link(tx, database, table, &new);
        }
    }

    fn insert(&mut self, tx: &mut Transaction, database: &Database, table: &str, depth: u32) -> Atom {
        let spec = self.schema.tables()[table].clone();
        let mut row = Row::new();
        for (name, column) in spec.columns {
            let column_type = column.column_type;
            if spec.indexes.iter().any(|index| index.contains(&name))
                && column_type.key().atomic == AtomicType::String
            {
                // Rarely taken already.
                row.insert(name, format!("n{}", self.rng.random_range(0..400)).into());
                continue;
            }
            let needed = column_type.min() == 1 && target(column_type.key()).is_some();
            if needed || self.rng.random_bool(0.4) {
                row.insert(name, self.datum(tx, database, &column_type, depth));
            }
        }
        Atom::NamedUuid(tx.insert(table, row))
    }

    /// Refers to a row from some row that may.
    fn link(&mut self, tx: &mut Transaction, database: &Database, table: &str, new: &Atom) {
        let mut ways = Vec::new();
        for (from, spec) in self.schema.tables() {
            for (name, column) in &spec.columns {
                let ty = &column.column_type;
                let key = target(ty.key()) == Some((table, Strength::Strong));
                let value = ty.value().and_then(target) == Some((table, Strength::Strong));
                if column.mutable && (key || value) {
                    ways.push((from.clone(), name.clone(), ty.clone()));
                }
            }
        }
        let Some((from, column, ty)) = ways.choose(&mut self.rng).cloned() else { return };
        let Some(row) = self.row_of(database, &from) else { return };
        let datum = match ty.value() {
            None => Datum::set([new.clone()]),
            Some(_) => Datum::map([(self.atom(database, ty.key()), new.clone())]),
        };
        let here = vec![Condition::uuid(row)];
        if ty.max() == 1 {
            tx.update(&from, here, Row::from([(column, datum)]));
        } else {
            tx.mutate(&from, here, vec![Mutation::new(column, Mutator::Insert, datum)]);
        }
    }

    fn update(&mut self, tx: &mut Transaction, database: &Database, table: &str) {
        let Some(uuid) = self.row_of(database, table) else { return };
        let mut row = Row::new();
        for _ in 0..self.rng.random_range(1..4) {
            if let Some((name, ty)) = self.mutable_column(table) {
                row.insert(name, self.datum(tx, database, &ty, 1));
            }
        }
        // Sometimes all of them: one transaction, many rows.
        let conditions = if self.rng.random_bool(0.1) { vec![] } else { vec![Condition::uuid(uuid)] };
        tx.update(table, conditions, row);
    }

    fn mutable_column(&mut self, table: &str) -> Option<(String, ColumnType)> {
        let columns: Vec<_> = self.schema.tables()[table].columns.iter().filter(|(_, c)| c.mutable).collect();
        columns.choose(&mut self.rng).map(|(name, c)| ((*name).clone(), c.column_type.clone()))
    }

    /// A value that a column of one element may have.
    pub fn scalar(&mut self, table: &str) -> Option<(String, Atom)> {
        let columns: Vec<_> = self.schema.tables()[table].columns.iter().collect();
        let is_scalar = |ty: &ColumnType| ty.min() == 1 && ty.max() == 1 && ty.value().is_none();
        let columns: Vec<_> = columns.into_iter().filter(|(_, c)| is_scalar(&c.column_type)).collect();
        let (name, column) = *columns.choose(&mut self.rng)?;
        let (name, base) = (name.clone(), column.column_type.key().clone());
        target(&base).is_none().then(|| (name, self.atom(&Database::new(), &base)))
    }

    fn mutate(&mut self, tx: &mut Transaction, database: &Database, table: &str) {
        let Some(uuid) = self.row_of(database, table) else { return };
        let Some((name, ty)) = self.mutable_column(table).filter(|(_, ty)| !is_bounded(ty)) else { return };
        let is_number = matches!(ty.key().atomic, AtomicType::Integer | AtomicType::Real);
        let mutation = if ty.max() == 1 && ty.value().is_none() {
            if !is_number {
                return;
            }
            Mutation::new(name, Mutator::Add, 1)
        } else {
            let mutator = if self.rng.random_bool(0.5) { Mutator::Insert } else { Mutator::Delete };
            let current = database.row(table, uuid).map(|row| row[&name].clone());
            // What is there can be taken away.
            let datum = match current.filter(|_| mutator == Mutator::Delete && self.rng.random_bool(0.7)) {
                Some(datum) => self.part_of(&datum),
                None => self.datum(tx, database, &ty, 1),
            };
            Mutation::new(name, mutator, datum)
        };
        tx.mutate(table, vec![Condition::uuid(uuid)], vec![mutation]);
    }

    /// Some elements of a set, some pairs or keys of a map.
    fn part_of(&mut self, datum: &Datum) -> Datum {
        match datum {
            Datum::Set(set) => {
                Datum::Set(set.iter().filter(|_| self.rng.random_bool(0.5)).cloned().collect())
            }
            Datum::Map(map) if self.rng.random_bool(0.5) => {
                Datum::Set(map.keys().filter(|_| self.rng.random_bool(0.5)).cloned().collect())
            }
            Datum::Map(map) => {
                let pairs = map.iter().filter(|_| self.rng.random_bool(0.5));
                Datum::Map(pairs.map(|(k, v)| (k.clone(), v.clone())).collect())
            }
        }
    }

    fn delete(&mut self, tx: &mut Transaction, database: &Database, table: &str) {
        let spec = &self.schema.tables()[table];
        if !spec.is_root || spec.max_rows == Some(1) {
            return;
        }
        if let Some(uuid) = self.row_of(database, table).filter(|_| database.rows(table).count() > 3) {
            tx.delete(table, vec![Condition::uuid(uuid)]);
        }
    }

    fn datum(&mut self, tx: &mut Transaction, database: &Database, ty: &ColumnType, depth: u32) -> Datum {
        let most = if is_bounded(ty) { (ty.max() / 2).max(ty.min()) } else { ty.max().min(4) };
        let can_refer =
            |base: &BaseType| target(base).is_none_or(|(table, _)| database.rows(table).count() > 0);
        let refers = !can_refer(ty.key()) || ty.value().is_some_and(|value| !can_refer(value));
        let count = if refers && depth > 0 { ty.min() } else { self.rng.random_range(ty.min()..=most) };
        let element = |random: &mut Self, tx: &mut Transaction, base: &BaseType| match target(base) {
            // A row that has to refer to another brings it along.
            Some((table, Strength::Strong)) if depth < 2 && (refers || random.rng.random_bool(0.3)) => {
                let table = table.to_owned();
                let is_single = random.schema.tables()[&table].max_rows == Some(1);
                if is_single {
                    random.atom(database, base)
                } else {
                    random.insert(tx, database, &table, depth + 1)
                }
            }
            _ => random.atom(database, base),
        };
        match ty.value() {
            None => {
                let set: BTreeSet<_> = (0..count).map(|_| element(self, tx, ty.key())).collect();
                Datum::Set(set)
            }
            Some(value) => {
                let map: BTreeMap<_, _> =
                    (0..count).map(|_| (element(self, tx, ty.key()), element(self, tx, value))).collect();
                Datum::Map(map)
            }
        }
    }

    fn atom(&mut self, database: &Database, base: &BaseType) -> Atom {
        match &base.constraint {
            Constraint::Enum(values) => {
                let values: Vec<_> = values.iter().cloned().collect();
                return values.choose(&mut self.rng).unwrap().clone();
            }
            Constraint::Integers { min, max } => {
                let min = min.unwrap_or(-5);
                return Atom::Integer(self.rng.random_range(min..=max.unwrap_or(i64::MAX).min(min + 9)));
            }
            Constraint::Rows { table, .. } => {
                // A row that is not there is refused, or silently dropped from a weak reference.
                let uuid = self.row_of(database, table).filter(|_| self.rng.random_bool(0.995));
                return Atom::Uuid(uuid.unwrap_or(Uuid::from_u128(7)));
            }
            Constraint::None | Constraint::Reals { .. } | Constraint::Length { .. } => {}
        }
        match base.atomic {
            AtomicType::Integer => {
                let large = [i64::MAX, i64::MIN, 1 << 53, -1];
                let small = self.rng.random_range(-3..6);
                Atom::Integer(if self.rng.random_bool(0.1) {
                    *large.choose(&mut self.rng).unwrap()
                } else {
                    small
                })
            }
            AtomicType::Real => {
                let large = [1e20, -1e-9, 1e300, 9_007_199_254_740_992.0];
                let small = f64::from(self.rng.random_range(-8..16)) / 8.0;
                let real =
                    if self.rng.random_bool(0.1) { *large.choose(&mut self.rng).unwrap() } else { small };
                Atom::Real(Real::new(real).unwrap())
            }
            AtomicType::Boolean => Atom::Boolean(self.rng.random()),
            AtomicType::String if self.rng.random_bool(0.3) => {
                Atom::String(format!("s{}", self.rng.random_range(0..60)))
            }
            AtomicType::String => Atom::String((*STRINGS.choose(&mut self.rng).unwrap()).to_owned()),
            AtomicType::Uuid => Atom::Uuid(Uuid::from_u128(self.rng.random_range(0..6))),
        }
    }
}

/// Columns whose differences must stay within the column's bounds: Open vSwitch 3.1 checks the difference it wrote to
/// its log as if it were the value. A clustered server never answers such a transaction, and one that reads it back
/// ("set must have 1 to 3 members but 4 are present") has lost it.
fn is_bounded(ty: &ColumnType) -> bool {
    ty.max() > 1 && ty.max() != usize::MAX
}

fn target(base: &BaseType) -> Option<(&str, Strength)> {
    match &base.constraint {
        Constraint::Rows { table, strength } => Some((table, *strength)),
        _ => None,
    }
}
