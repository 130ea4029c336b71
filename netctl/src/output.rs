//! What is shown: tables for people, JSON and YAML for programs.

use serde::Serialize;

use crate::Terminal;
use crate::fault::Fault;

/// Formats.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Aligned columns: those of Contiv, where Contiv has the noun.
    #[default]
    Table,
    /// All columns.
    Wide,
    /// JSON.
    Json,
    /// YAML.
    Yaml,
    /// Names only, one a line.
    Name,
}

/// A table: heads, a line below them, and rows.
#[derive(Clone, Debug, Default)]
pub struct Table {
    heads: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table without rows.
    pub fn new(heads: &[&'static str]) -> Self {
        Self { heads: heads.to_vec(), rows: Vec::new() }
    }

    /// One more row. Cells without a head are left out. An empty cell is shown as `-`, so that programs can cut columns.
    pub fn row(&mut self, cells: Vec<String>) {
        let shown = cells.into_iter().take(self.heads.len());
        self.rows.push(shown.map(|c| if c.is_empty() { "-".to_owned() } else { c }).collect());
    }
}

impl std::fmt::Display for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut rows = Rows::new(self.heads.iter().copied());
        self.rows.iter().for_each(|row| rows.fit(row));
        f.write_str(&rows.head())?;
        self.rows.iter().try_for_each(|row| f.write_str(&rows.padded(row)))
    }
}

/// The lines of a table one after the other, when nobody knows yet what comes: columns grow with what they have seen.
#[derive(Clone, Debug)]
pub struct Rows {
    heads: Vec<String>,
    widths: Vec<usize>,
}

impl Rows {
    /// Columns as wide as their heads.
    pub fn new<'h>(heads: impl IntoIterator<Item = &'h str>) -> Self {
        let heads: Vec<_> = heads.into_iter().map(str::to_owned).collect();
        Self { widths: heads.iter().map(|h| h.chars().count()).collect(), heads }
    }

    /// The heads and the line below them.
    pub fn head(&self) -> String {
        let line: Vec<_> = self.heads.iter().map(|h| "-".repeat(h.chars().count())).collect();
        self.padded(&self.heads) + &self.padded(&line)
    }

    /// One row. Cells without a head are left out, empty ones are `-`.
    pub fn row(&mut self, cells: Vec<String>) -> String {
        let shown = cells.into_iter().take(self.heads.len());
        let cells: Vec<_> = shown.map(|c| if c.is_empty() { "-".to_owned() } else { c }).collect();
        self.fit(&cells);
        self.padded(&cells)
    }

    fn fit(&mut self, cells: &[String]) {
        for (width, cell) in self.widths.iter_mut().zip(cells) {
            *width = (*width).max(cell.chars().count());
        }
    }

    fn padded(&self, cells: &[String]) -> String {
        let padded = cells.iter().zip(&self.widths).map(|(cell, w)| format!("{cell:<w$}"));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    }
}

/// Shows a value as JSON or YAML; for people by this text, which is only made when asked for.
pub fn show<T: Serialize>(
    terminal: &mut Terminal<'_>,
    format: Format,
    value: &T,
    text: impl FnOnce(&T) -> String,
) -> Result<(), Fault> {
    let text = match format {
        Format::Table | Format::Wide | Format::Name => text(value),
        Format::Json => serde_json::to_string_pretty(value).map_err(unshowable)? + "\n",
        Format::Yaml => yaml(value)?,
    };
    say(terminal, &text)
}

/// JSON on one line, for who reads line by line.
pub fn one_line<T: Serialize>(value: &T) -> Result<String, Fault> {
    Ok(serde_json::to_string(value).map_err(unshowable)? + "\n")
}

/// YAML, with JSON's spelling of enums.
pub fn yaml<T: Serialize>(value: &T) -> Result<String, Fault> {
    serde_yaml_ng::to_string(&serde_json::to_value(value).map_err(unshowable)?).map_err(unshowable)
}

/// Writes text to standard output.
pub fn say(terminal: &mut Terminal<'_>, text: &str) -> Result<(), Fault> {
    terminal.stdout.write_all(text.as_bytes()).and_then(|()| terminal.stdout.flush()).map_err(|e| {
        match e.kind() {
            std::io::ErrorKind::BrokenPipe => Fault::unread(),
            _ => Fault::usage(format!("cannot write: {e}")),
        }
    })
}

/// A value that cannot be shown.
pub fn unshowable(e: impl std::fmt::Display) -> Fault {
    Fault::usage(format!("cannot show the answer: {e}"))
}

/// The JSON word of an enum.
pub fn word<T: Serialize>(value: &T) -> String {
    let text = |v: serde_json::Value| v.as_str().map(str::to_owned);
    serde_json::to_value(value).ok().and_then(text).unwrap_or_default()
}

/// The text of an optional value, or nothing.
pub fn maybe<T: std::fmt::Display>(value: Option<&T>) -> String {
    value.map(ToString::to_string).unwrap_or_default()
}

/// Joined by commas.
pub fn list<T: std::fmt::Display>(values: impl IntoIterator<Item = T>) -> String {
    values.into_iter().map(|v| v.to_string()).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_never_empty() {
        let mut table = Table::new(&["NAME", "GROUP"]);
        table.row(vec!["a-long-name".into(), String::new()]);
        table.row(vec!["b".into(), "web".into()]);
        assert_eq!(
            table.to_string(),
            "NAME         GROUP\n----         -----\na-long-name  -\nb            web\n"
        );
    }
}
