//! Schema to Rust: the typed tables of [`crate::vswitch::tables`] are the output of [`generate`] on the checked-in
//! schema. Pure text to text; a test compares with what is checked in, and `./dev bless` rewrites it.
//!
//! The input is a schema this crate's own parser understood, so there is one reading of types, references and
//! constraints. Names that cannot be Rust identifiers are an error: generating half of a schema would hide columns.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::schema::{
    AtomicType, BaseType, ColumnSchema, ColumnType, Constraint, DatabaseSchema, Strength, TableSchema,
};
use crate::value::Atom;

/// A file to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Its name.
    pub file: String,
    /// Its text, not formatted yet.
    pub text: String,
}

/// Why no code can be generated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodegenError {
    /// A name that is no identifier.
    #[error("{0:?} cannot be named in Rust")]
    Name(String),
    /// Two things of one name.
    #[error("{0} would be defined twice")]
    Twice(String),
    /// A reference to a table that is not there.
    #[error("column {0} refers to a table the schema lacks")]
    Dangling(String),
}

/// The modules of a schema: `mod.rs` and a file for each table. `origin` says where the schema comes from.
pub fn generate(schema: &DatabaseSchema, origin: &str) -> Result<Vec<Source>, CodegenError> {
    let header = format!(
        "//! Generated from {origin} ({} {}); `./dev bless` rewrites it.\n",
        schema.name(),
        schema.version()
    );
    let mut index = header.clone();
    let mut uses = String::new();
    let mut files = BTreeSet::new();
    let mut sources = Vec::new();
    for (name, table) in schema.tables() {
        let code = TableCode::new(schema, name, table)?;
        let file = name.to_lowercase();
        if !files.insert(file.clone()) {
            return Err(CodegenError::Twice(file));
        }
        write(&mut index, format_args!("mod {file};\n"));
        let exported: Vec<_> = std::iter::once(&code.name).chain(&code.enums).map(String::as_str).collect();
        write(&mut uses, format_args!("pub use {file}::{{{}}};\n", exported.join(", ")));
        sources.push(Source { file: format!("{file}.rs"), text: format!("{header}\n{}", code.text) });
    }
    sources.push(Source { file: "mod.rs".into(), text: format!("{index}\n{uses}") });
    Ok(sources)
}

/// Writing to a `String` cannot fail.
fn write(text: &mut String, what: std::fmt::Arguments<'_>) {
    let _ = text.write_fmt(what);
}

struct TableCode {
    name: String,
    enums: Vec<String>,
    text: String,
}

impl TableCode {
    fn new(schema: &DatabaseSchema, name: &str, table: &TableSchema) -> Result<Self, CodegenError> {
        let own = camel(name)?;
        let mut code = Self { name: own.clone(), enums: Vec::new(), text: String::new() };
        let (mut constants, mut enums, mut others) = (String::new(), String::new(), BTreeSet::new());
        let mut names = BTreeSet::new();
        for (column, spec) in &table.columns {
            let mut elements =
                Elements { schema, table: &own, column, others: &mut others, enums: &mut enums };
            let rust = elements.column(&spec.column_type, &mut code.enums)?;
            let constant = constant(column)?;
            if !names.insert(constant.clone()) {
                return Err(CodegenError::Twice(format!("{name}.{column}")));
            }
            write(&mut constants, format_args!("/// {}\n", describe(spec)));
            write(
                &mut constants,
                format_args!("pub const {constant}: Column<Self, {rust}> = Column::new({column:?});\n"),
            );
        }
        others.remove(&own);
        code.text = imports(&constants, &enums, &others);
        let columns: Vec<_> = table.columns.keys().map(|c| format!("{c:?}")).collect();
        write(&mut code.text, format_args!("/// {}\n", describe_table(name, table)));
        write(&mut code.text, format_args!("#[derive(Clone, Copy, Debug)]\npub enum {own} {{}}\n\n"));
        write(
            &mut code.text,
            format_args!(
                "impl Table for {own} {{\nconst TABLE: &'static str = {name:?};\n\
                 const COLUMNS: &'static [&'static str] = &[{}];\n}}\n\n",
                columns.join(", ")
            ),
        );
        write(&mut code.text, format_args!("impl {own} {{\n{constants}}}\n{enums}"));
        Ok(code)
    }
}

fn imports(constants: &str, enums: &str, others: &BTreeSet<String>) -> String {
    let mut text = String::new();
    let collections: Vec<_> =
        ["BTreeMap", "BTreeSet"].into_iter().filter(|c| constants.contains(c)).collect();
    if !collections.is_empty() {
        write(&mut text, format_args!("use std::collections::{{{}}};\n\n", collections.join(", ")));
    }
    if !others.is_empty() {
        let others: Vec<_> = others.iter().map(String::as_str).collect();
        write(&mut text, format_args!("use super::{{{}}};\n", others.join(", ")));
    }
    let mut typed = vec!["Column"];
    typed.extend(constants.contains("Ref<").then_some("Ref"));
    typed.push("Table");
    typed.extend((!enums.is_empty()).then_some("string_enum"));
    write(&mut text, format_args!("use crate::typed::{{{}}};\n", typed.join(", ")));
    if constants.contains("Real>") || constants.contains("Real,") {
        text.push_str("use crate::value::Real;\n");
    }
    text.push('\n');
    text
}

/// Names the Rust types of a column's elements, and collects what they need.
struct Elements<'a> {
    schema: &'a DatabaseSchema,
    table: &'a str,
    column: &'a str,
    others: &'a mut BTreeSet<String>,
    enums: &'a mut String,
}

impl Elements<'_> {
    fn column(&mut self, column: &ColumnType, defined: &mut Vec<String>) -> Result<String, CodegenError> {
        let key = self.element(column.key(), defined)?;
        if let Some(value) = column.value() {
            let value = self.element(value, defined)?;
            return Ok(format!("BTreeMap<{key}, {value}>"));
        }
        Ok(match (column.min(), column.max()) {
            (1, 1) => key,
            (0, 1) => format!("Option<{key}>"),
            _ => format!("BTreeSet<{key}>"),
        })
    }

    fn element(&mut self, base: &BaseType, defined: &mut Vec<String>) -> Result<String, CodegenError> {
        Ok(match (&base.constraint, base.atomic) {
            (Constraint::Enum(values), AtomicType::String) => {
                let name = format!("{}{}", self.table, camel(self.column)?);
                if defined.contains(&name) {
                    return Err(CodegenError::Twice(name));
                }
                self.define(&name, values)?;
                defined.push(name.clone());
                name
            }
            (Constraint::Rows { table, .. }, AtomicType::Uuid) => {
                if self.schema.table(table).is_err() {
                    return Err(CodegenError::Dangling(format!("{}.{}", self.table, self.column)));
                }
                let table = camel(table)?;
                self.others.insert(table.clone());
                format!("Ref<{}>", if table == self.table { "Self" } else { &table })
            }
            (_, AtomicType::Integer) => "i64".into(),
            (_, AtomicType::Real) => "Real".into(),
            (_, AtomicType::Boolean) => "bool".into(),
            (_, AtomicType::String) => "String".into(),
            (_, AtomicType::Uuid) => "uuid::Uuid".into(),
        })
    }

    fn define(&mut self, name: &str, values: &BTreeSet<Atom>) -> Result<(), CodegenError> {
        let mut variants = BTreeSet::from(["Unknown".to_owned()]);
        let what = format!("Values of `{}.{}`.", self.table, self.column);
        write(self.enums, format_args!("\nstring_enum! {{\n/// {what}\n{name} {{\n"));
        for value in values {
            let Atom::String(text) = value else { continue };
            let variant = camel(text)?;
            if !variants.insert(variant.clone()) {
                return Err(CodegenError::Twice(format!("{name}::{variant}")));
            }
            write(self.enums, format_args!("/// `{text}`\n{variant} = {text:?},\n"));
        }
        self.enums.push_str("}\n}\n");
        Ok(())
    }
}

/// `native-tagged` to `NativeTagged`, `Flow_Table` to `FlowTable`.
fn camel(name: &str) -> Result<String, CodegenError> {
    let mut camel = String::new();
    for word in name.split(['_', '-']) {
        let mut chars = word.chars();
        camel.extend(chars.next().map(|c| c.to_ascii_uppercase()));
        camel.push_str(chars.as_str());
    }
    identifier(camel, name)
}

fn constant(name: &str) -> Result<String, CodegenError> {
    identifier(name.to_ascii_uppercase(), name)
}

fn identifier(identifier: String, name: &str) -> Result<String, CodegenError> {
    let starts = identifier.starts_with(|c: char| c.is_ascii_alphabetic());
    let is_plain = identifier.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    // The names the generated modules use themselves.
    let is_taken =
        ["Column", "Ref", "Table", "Real", "Self", "COLUMNS", "TABLE"].contains(&identifier.as_str());
    if starts && is_plain && !is_taken { Ok(identifier) } else { Err(CodegenError::Name(name.to_owned())) }
}

fn describe_table(name: &str, table: &TableSchema) -> String {
    let mut text = format!("The table `{name}`. ");
    text.push_str(if table.is_root {
        "Rows live until they are deleted."
    } else {
        "Rows live while something refers to them."
    });
    if let Some(rows) = table.max_rows {
        write(&mut text, format_args!(" At most {rows}."));
    }
    for index in &table.indexes {
        write(&mut text, format_args!(" Unique: `{}`.", index.join("`, `")));
    }
    text
}

fn describe(column: &ColumnSchema) -> String {
    let ty = &column.column_type;
    let mut text = match ty.value() {
        Some(value) => format!("Map from {} to {}", base(ty.key()), base(value)),
        None => base(ty.key()),
    };
    match (ty.min(), ty.max()) {
        (1, 1) => {}
        (0, 1) => text.push_str(", optional"),
        (0, usize::MAX) => text.push_str(", any number"),
        (_, usize::MAX) => text.push_str(", at least one"),
        (min, max) => write(&mut text, format_args!(", {min} to {max} of them")),
    }
    if !column.mutable {
        text.push_str("; never changes");
    }
    if column.ephemeral {
        text.push_str("; lost when the server restarts");
    }
    let mut chars = text.chars();
    let first = chars.next().map(|c| c.to_ascii_uppercase());
    first.into_iter().chain(chars).chain(['.']).collect()
}

fn base(base: &BaseType) -> String {
    let name = base.atomic.as_str();
    let range = |min: Option<String>, max: Option<String>| match (min, max) {
        (Some(min), Some(max)) => format!("{name} {min} to {max}"),
        (Some(min), None) => format!("{name} from {min}"),
        (None, Some(max)) => format!("{name} up to {max}"),
        (None, None) => name.to_owned(),
    };
    match &base.constraint {
        Constraint::None => name.to_owned(),
        Constraint::Enum(_) => format!("one of a few {name}s"),
        Constraint::Integers { min, max } => range(min.map(|n| n.to_string()), max.map(|n| n.to_string())),
        Constraint::Reals { min, max } => {
            range(min.map(|n| n.get().to_string()), max.map(|n| n.get().to_string()))
        }
        Constraint::Length { min, max } => {
            format!("{} characters", range(min.map(|n| n.to_string()), max.map(|n| n.to_string())))
        }
        Constraint::Rows { table, strength: Strength::Strong } => format!("reference to `{table}`"),
        Constraint::Rows { table, strength: Strength::Weak } => format!("weak reference to `{table}`"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn generated(columns: Value) -> Result<String, CodegenError> {
        let schema = json!({"name": "D", "version": "1.0.0", "tables": {"T": {"columns": columns}}});
        let sources = generate(&DatabaseSchema::from_json(&schema).unwrap(), "here")?;
        Ok(sources.into_iter().find(|s| s.file == "t.rs").unwrap().text)
    }

    #[test]
    fn every_shape_of_a_column_has_its_rust_type() {
        for (column_type, rust) in [
            (json!("integer"), "i64"),
            (json!("real"), "Real"),
            (json!({"key": "boolean", "min": 0}), "Option<bool>"),
            (json!({"key": "string", "min": 1, "max": 3}), "BTreeSet<String>"),
            (json!({"key": "uuid", "min": 0, "max": "unlimited"}), "BTreeSet<uuid::Uuid>"),
            (json!({"key": {"type": "uuid", "refTable": "T"}, "min": 0}), "Option<Ref<Self>>"),
            (json!({"key": "string", "value": "integer", "min": 0}), "BTreeMap<String, i64>"),
            (json!({"key": {"type": "string", "enum": ["set", ["a", "b"]]}}), "TC"),
        ] {
            let text = generated(json!({"c": {"type": column_type}})).unwrap();
            assert!(
                text.contains(&format!("pub const C: Column<Self, {rust}> = Column::new(\"c\");")),
                "{text}"
            );
        }
    }

    #[test]
    fn names_that_are_no_identifiers_are_refused() {
        for name in ["", "9a", "a b", "columns", "a\"b", "caf\u{e9}"] {
            assert!(generated(json!({name: {"type": "integer"}})).is_err(), "{name}");
        }
        assert!(generated(json!({"a": {"type": "integer"}, "A": {"type": "integer"}})).is_err());
        assert!(
            generated(json!({"a": {"type": {"key": {"type": "string", "enum": ["set", ["a-b", "a_b"]]}}}}))
                .is_err()
        );
        assert!(generated(json!({"a": {"type": {"key": {"type": "uuid", "refTable": "U"}}}})).is_err());
    }
}
