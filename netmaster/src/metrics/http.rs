//! Requests to the REST API, by the template of their path: numbers of series do not depend on names.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use telemetry::{Kind, Registry, metrics::SECONDS};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    method: String,
    route: String,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Route {
    method: String,
    route: String,
}

/// Requests.
#[derive(Clone, Debug)]
pub struct Requests {
    answered: Family<Answered, Counter>,
    seconds: Family<Route, Histogram, fn() -> Histogram>,
}

impl Requests {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let answered = registry.add(
            Family::default(),
            Kind::Counter,
            "http_requests",
            &["method", "route", "status"],
            "Requests answered; `route` is the path's template, or `other`",
        );
        let seconds = registry.add(
            Family::new_with_constructor((|| Histogram::new(SECONDS)) as fn() -> Histogram),
            Kind::Histogram,
            "http_request_duration_seconds",
            &["method", "route"],
            "From the request's head to the answer's",
        );
        Self { answered, seconds }
    }

    /// Counts one. A method or path that is not served is `other`: clients make neither names nor series up.
    pub fn count(&self, method: &http::Method, route: Option<&str>, status: u16, took: Duration) {
        let method = if route.is_some() { method.as_str() } else { "other" };
        let (method, route) = (method.to_owned(), route.unwrap_or("other").to_owned());
        self.answered.get_or_create(&Answered { method: method.clone(), route: route.clone(), status }).inc();
        self.seconds.get_or_create(&Route { method, route }).observe(took.as_secs_f64());
    }
}
