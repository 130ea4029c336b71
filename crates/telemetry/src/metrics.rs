//! Metrics as OpenMetrics text (prometheus.io, "OpenMetrics 1.0"), each described once and for all.
//!
//! A registry belongs to one daemon and is passed down. It remembers what was registered, so that the reference page is
//! made of the code, series or none. Names are `selvage_<daemon>_<what>[_<unit>][_total]`, base units only.

use std::fmt::Write as _;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry;

/// What a metric counts, as Prometheus tells kinds apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows; `_total` is added to its name.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts observations in buckets; `_bucket`, `_sum` and `_count` are its series.
    Histogram,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }

    fn suffix(self) -> &'static str {
        match self {
            Self::Counter => "_total",
            Self::Gauge | Self::Histogram => "",
        }
    }
}

#[derive(Debug)]
struct Described {
    name: String,
    kind: Kind,
    labels: &'static [&'static str],
    help: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Release {
    version: &'static str,
}

/// A count as a gauge's value, which is signed.
pub fn whole(n: impl TryInto<i64>) -> i64 {
    n.try_into().unwrap_or(i64::MAX)
}

/// The metrics of one daemon.
#[derive(Debug)]
pub struct Registry {
    prefix: &'static str,
    inner: registry::Registry,
    described: Vec<Described>,
}

impl Registry {
    /// An empty registry whose metrics begin with `selvage_<daemon>_`.
    pub fn new(daemon: &'static str) -> Self {
        let inner = registry::Registry::with_prefix(format!("selvage_{daemon}"));
        Self { prefix: daemon, inner, described: Vec::new() }
    }

    /// Adds a metric and gives it back. `help` is one sentence without its full stop.
    pub fn add<M>(
        &mut self,
        metric: M,
        kind: Kind,
        name: &'static str,
        labels: &'static [&'static str],
        help: &'static str,
    ) -> M
    where
        M: registry::Metric + Clone,
    {
        let full = format!("selvage_{}_{name}{}", self.prefix, kind.suffix());
        self.described.push(Described { name: full, kind, labels, help });
        self.inner.register(name, help, metric.clone());
        metric
    }

    /// Says which release this is.
    pub fn build_info(&mut self, version: &'static str) {
        let build: Family<Release, Gauge> = self.add(
            Family::default(),
            Kind::Gauge,
            "build_info",
            &["version"],
            "Always 1; which release this is",
        );
        build.get_or_create(&Release { version }).set(1);
    }

    /// All series as of now.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = encode(&mut text, &self.inner);
        text
    }

    /// The reference table, in Markdown.
    pub fn reference(&self) -> String {
        let mut text = "| metric | kind | labels | |\n|---|---|---|---|\n".to_owned();
        let mut sorted: Vec<_> = self.described.iter().collect();
        sorted.sort_by(|a, b| a.name.cmp(&b.name));
        for d in sorted {
            let labels: Vec<_> = d.labels.iter().map(|l| format!("`{l}`")).collect();
            // Writing to a String cannot fail.
            let _ =
                writeln!(text, "| `{}` | {} | {} | {} |", d.name, d.kind.word(), labels.join(", "), d.help);
        }
        text
    }
}

/// Upper bounds in seconds for what people wait for: a millisecond to half a minute.
pub const SECONDS: [f64; 14] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

#[cfg(test)]
mod tests {
    use prometheus_client::metrics::counter::Counter;

    use super::*;

    #[test]
    fn what_is_documented_is_what_is_exposed() {
        let mut registry = Registry::new("test");
        let counter: Counter =
            registry.add(Counter::default(), Kind::Counter, "events", &[], "Things that happened");
        let gauge: Gauge = registry.add(Gauge::default(), Kind::Gauge, "level", &[], "How high it stands");
        counter.inc_by(3);
        gauge.set(-2);
        let text = registry.text();
        assert!(text.contains("\nselvage_test_events_total 3\n"), "{text}");
        assert!(text.contains("\nselvage_test_level -2\n"), "{text}");
        assert!(text.ends_with("# EOF\n"), "{text}");
        let reference = registry.reference();
        assert!(reference.contains("| `selvage_test_events_total` | counter |  | Things that happened |"));
        assert!(reference.contains("| `selvage_test_level` | gauge |  | How high it stands |"));
    }
}
