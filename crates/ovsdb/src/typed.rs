//! Typed tables: a column is a constant that knows its table and the Rust type of its values.
//!
//! The constants are generated from the schema (see [`crate::vswitch::tables`]); this module has what they are made
//! of. A value is read with [`TypedRow::get`], written with [`Column::is`], compared with [`Column::equals`]; another
//! column's name or a value of another type does not compile.
//!
//! What the program was built for and what the server has may differ. A [`Shape`] travels with every typed column of
//! a monitor request and is compared with the server's schema before anything is read: a column of another type ends
//! the connection with an error that names it, a column that is not there is either refused or, when the request says
//! that it may be missing, absent from every row. Reading it then is [`RowError::Absent`], never a default: a missing
//! `error` column must not read as "no error".

mod reference;
mod value;

use std::collections::BTreeSet;
use std::fmt;
use std::marker::PhantomData;

use uuid::Uuid;

use crate::cache::Database;
use crate::operation::{Condition, Function, Mutation, Mutator, Row};
use crate::value::{Atom, Datum, UuidName};

pub use reference::Ref;
pub use value::{ColumnValue, Count, Element, Shape};

/// A table known when the program was built.
pub trait Table: 'static {
    /// Its name.
    const TABLE: &'static str;
    /// Its columns.
    const COLUMNS: &'static [&'static str];
}

/// Column values made of references to rows of a table, which a transaction may name before they exist.
pub trait References<T>: ColumnValue {}

impl<T: 'static> References<T> for Ref<T> {}
impl<T: 'static> References<T> for Option<Ref<T>> {}
impl<T: 'static> References<T> for BTreeSet<Ref<T>> {}

/// A column of table `T` with values of type `V`.
pub struct Column<T, V>(&'static str, PhantomData<fn() -> (T, V)>);

impl<T, V> Clone for Column<T, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T, V> Copy for Column<T, V> {}

impl<T, V> fmt::Debug for Column<T, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// A column and its value, for a row of table `T`.
pub struct Cell<T>(&'static str, Datum, PhantomData<fn() -> T>);

impl<T: Table, V: ColumnValue> Column<T, V> {
    /// Only the generated tables say which columns there are.
    pub(crate) const fn new(name: &'static str) -> Self {
        Self(name, PhantomData)
    }

    /// Its name.
    pub const fn name(self) -> &'static str {
        self.0
    }

    /// This value, for a new row or an update.
    pub fn is(self, value: impl Into<V>) -> Cell<T> {
        Cell(self.0, value.into().to_datum(), PhantomData)
    }

    /// References to rows inserted by the same transaction.
    pub fn refers<'n, U>(self, names: impl IntoIterator<Item = &'n UuidName>) -> Cell<T>
    where
        V: References<U>,
    {
        Cell(self.0, Datum::set(names.into_iter().cloned()), PhantomData)
    }

    /// `column == value`.
    pub fn equals(self, value: impl Into<V>) -> Condition {
        Condition::equal(self.0, value.into().to_datum())
    }

    /// The column holds every element of the value.
    pub fn includes(self, value: impl Into<V>) -> Condition {
        Condition::new(self.0, Function::Includes, value.into().to_datum())
    }

    /// Adds elements; in a map, keys already present keep their value.
    pub fn insert(self, value: impl Into<V>) -> Mutation {
        Mutation::new(self.0, Mutator::Insert, value.into().to_datum())
    }

    /// Adds references to rows inserted by the same transaction.
    pub fn insert_named<'n, U>(self, names: impl IntoIterator<Item = &'n UuidName>) -> Mutation
    where
        V: References<U>,
    {
        Mutation::new(self.0, Mutator::Insert, Datum::set(names.into_iter().cloned()))
    }

    /// Removes elements; from a map, these very pairs.
    pub fn delete(self, value: impl Into<V>) -> Mutation {
        Mutation::new(self.0, Mutator::Delete, value.into().to_datum())
    }
}

/// Cells of one table as the row of an operation.
pub fn cells<T: Table, const N: usize>(cells: [Cell<T>; N]) -> Row {
    cells.into_iter().map(|Cell(column, datum, _)| (column.to_owned(), datum)).collect()
}

/// Why a row cannot be read as its table's type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RowError {
    /// The column is of another type.
    #[error("column {table}.{column} of row {uuid} is not {expected}")]
    Column {
        /// Table.
        table: &'static str,
        /// Row.
        uuid: Uuid,
        /// Column.
        column: &'static str,
        /// What was expected.
        expected: &'static str,
    },
    /// The column is not replicated.
    #[error(
        "column {table}.{column} is not in the replica: it is not monitored, or the server's schema lacks it"
    )]
    Absent {
        /// Table.
        table: &'static str,
        /// Column.
        column: &'static str,
    },
    /// The only row of a table is missing or not unique; `ovs-vsctl init` creates that of `Open_vSwitch`.
    #[error("database has {count} {table} rows where one is expected")]
    NotOne {
        /// Table.
        table: &'static str,
        /// Rows found.
        count: usize,
    },
}

/// A row of table `T` in a snapshot.
pub struct TypedRow<'a, T> {
    row: Ref<T>,
    columns: &'a Row,
}

impl<T> Clone for TypedRow<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for TypedRow<'_, T> {}

impl<T: Table> TypedRow<'_, T> {
    /// The row.
    pub fn row(&self) -> Ref<T> {
        self.row
    }

    /// Reads a column.
    pub fn get<V: ColumnValue>(&self, column: Column<T, V>) -> Result<V, RowError> {
        let Some(datum) = self.columns.get(column.0) else {
            return Err(RowError::Absent { table: T::TABLE, column: column.0 });
        };
        V::from_datum(datum).ok_or_else(|| RowError::Column {
            table: T::TABLE,
            uuid: self.row.uuid(),
            column: column.0,
            expected: V::SHAPE.describe(),
        })
    }

    /// Reads a column that the server may not have (see [`crate::monitor::MonitorSpec::optional_column`]).
    pub fn get_if_present<V: ColumnValue>(&self, column: Column<T, V>) -> Result<Option<V>, RowError> {
        match self.get(column) {
            Err(RowError::Absent { .. }) => Ok(None),
            other => other.map(Some),
        }
    }
}

impl Database {
    /// The rows of a table, in order of their UUIDs.
    pub fn typed<T: Table>(&self) -> impl Iterator<Item = TypedRow<'_, T>> {
        self.rows(T::TABLE).map(|(uuid, row)| TypedRow { row: Ref::new(uuid), columns: row })
    }

    /// One row.
    pub fn typed_row<T: Table>(&self, row: Ref<T>) -> Option<TypedRow<'_, T>> {
        self.row(T::TABLE, row.uuid()).map(|columns| TypedRow { row, columns })
    }

    /// The rows whose column holds a value, as [`Database::find`] finds them.
    pub fn typed_with<T: Table, V: ColumnValue>(
        &self,
        column: Column<T, V>,
        value: &Atom,
    ) -> Vec<TypedRow<'_, T>> {
        let rows = self.find(T::TABLE, column.name(), value).into_iter();
        rows.map(|(uuid, row)| TypedRow { row: Ref::new(uuid), columns: row }).collect()
    }

    /// The only row of a table.
    pub fn only<T: Table>(&self) -> Result<TypedRow<'_, T>, RowError> {
        let mut rows = self.typed::<T>();
        match (rows.next(), rows.next()) {
            (Some(row), None) => Ok(row),
            (first, second) => {
                let count = usize::from(first.is_some()) + usize::from(second.is_some()) + rows.count();
                Err(RowError::NotOne { table: T::TABLE, count })
            }
        }
    }
}

/// A value that an enumerated column did not have when the tables were generated. Nobody else can make one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnknownValue(String);

impl UnknownValue {
    pub(crate) fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// The server's spelling.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Defines the values of a string column with an `enum`.
macro_rules! string_enum {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)+
            /// A value of a newer schema.
            Unknown($crate::typed::UnknownValue),
        }

        impl $name {
            /// The spelling in the database.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $text,)+
                    Self::Unknown(value) => value.as_str(),
                }
            }
        }

        impl $crate::typed::Element for $name {
            const ATOMIC: $crate::schema::AtomicType = $crate::schema::AtomicType::String;

            fn from_atom(atom: &$crate::value::Atom) -> Option<Self> {
                let $crate::value::Atom::String(text) = atom else { return None };
                Some(match text.as_str() {
                    $($text => Self::$variant,)+
                    other => Self::Unknown($crate::typed::UnknownValue::new(other)),
                })
            }

            fn to_atom(&self) -> $crate::value::Atom {
                $crate::value::Atom::String(self.as_str().to_owned())
            }
        }
    };
}
pub(crate) use string_enum;

#[cfg(test)]
mod tests;
