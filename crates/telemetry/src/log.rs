//! How log records are written: lines for people, or JSON objects, one a line.
//!
//! Times are UTC. Everything goes to standard error, which systemd and containers collect. `RUST_LOG` chooses levels by
//! module (`RUST_LOG=info,netmaster::feed=debug`), `info` without it.

use std::io::{self, IsTerminal};
use std::str::FromStr;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

/// What a record looks like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// `TIME LEVEL module: message field=value ...`.
    #[default]
    Text,
    /// `{"timestamp":...,"level":...,"message":...,"target":...,FIELD:...}`.
    Json,
}

/// Not a log format.
#[derive(Debug, thiserror::Error)]
#[error("log format `{0}` is neither `text` nor `json`")]
pub struct UnknownFormat(String);

impl FromStr for LogFormat {
    type Err = UnknownFormat;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        match s {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            other => Err(UnknownFormat(other.to_owned())),
        }
    }
}

/// What a program's `main` decides about its log.
#[derive(Clone, Copy, Debug, Default)]
pub struct LogOptions {
    /// What a record looks like.
    pub format: LogFormat,
    /// Whether lines for people are coloured.
    pub colours: bool,
}

impl LogOptions {
    /// Of this format, coloured on a terminal.
    pub fn of(format: LogFormat) -> Self {
        Self { format, colours: io::stderr().is_terminal() }
    }

    /// Makes this process write its records to standard error. Once, in `main`: later calls change nothing.
    pub fn install(self) {
        // Fails only when there is a subscriber already.
        let _ = tracing::subscriber::set_global_default(self.subscriber(levels(), io::stderr));
    }

    fn subscriber<W>(self, levels: EnvFilter, writer: W) -> Box<dyn tracing::Subscriber + Send + Sync>
    where
        W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
    {
        let common =
            tracing_subscriber::fmt().with_env_filter(levels).with_ansi(self.colours).with_writer(writer);
        match self.format {
            LogFormat::Text => Box::new(common.finish()),
            LogFormat::Json => Box::new(
                common.json().flatten_event(true).with_current_span(false).with_span_list(false).finish(),
            ),
        }
    }
}

fn levels() -> EnvFilter {
    EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"))
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: LogFormat) -> String {
        let written = Written::default();
        let writer = written.clone();
        let subscriber =
            LogOptions { format, colours: false }.subscriber(EnvFilter::new("info"), move || writer.clone());
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(node = %"node-1", count = 3, "a message\nof two lines");
            tracing::debug!("not at this level");
        });
        let bytes = written.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_json_record_is_one_line_with_its_fields_at_the_top() {
        let text = logged(LogFormat::Json);
        assert_eq!(text.lines().count(), 1, "{text}");
        let record: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(record["node"], "node-1");
        assert_eq!(record["count"], 3);
        assert_eq!(record["message"], "a message\nof two lines");
        assert_eq!(record["level"], "INFO");
    }

    #[test]
    fn a_record_for_people_has_its_fields_behind_the_message() {
        let text = logged(LogFormat::Text);
        assert!(text.contains("node=node-1 count=3"), "{text}");
        assert!(!text.contains("not at this level"));
    }

    #[test]
    fn an_unknown_format_is_refused() {
        let error = "yaml".parse::<LogFormat>().unwrap_err().to_string();
        assert_eq!(error, "log format `yaml` is neither `text` nor `json`");
    }
}
