//! What is counted of requests over HTTP.

use std::time::Duration;

use ::metrics::Label as KeyLabel;

use super::{Metrics, declarations as declared};

/// A request that is being answered. Whoever asked may go before that: then it is counted nowhere else.
#[derive(Debug)]
pub struct HttpRequest(Metrics);

impl Metrics {
    /// A request came.
    pub fn http_request(&self) -> HttpRequest {
        self.0.http_active.increment(1.0);
        HttpRequest(self.clone())
    }
}

impl HttpRequest {
    /// Its answer begins, `took` after it came. `route` is the form of its address, with `{id}` for an id, or `other`:
    /// both are texts of the program, so no client can make a series.
    pub fn answered(self, (route, method): (&'static str, &'static str), status: u16, took: Duration) {
        let class = match status {
            100..=199 => "1xx",
            200..=299 => "2xx",
            300..=399 => "3xx",
            400..=499 => "4xx",
            _ => "5xx",
        };
        let labels = |more: Option<&'static str>| {
            let of = [KeyLabel::from_static_parts("route", route), KeyLabel::from_static_parts("method", method)];
            of.into_iter().chain(more.map(|class| KeyLabel::from_static_parts("status", class))).collect()
        };
        // Looked up each time: routes x methods x classes would be hundreds of series of which few ever happen.
        let registry = &self.0.0.registry;
        registry.counter(&declared::HTTP_REQUESTS, labels(Some(class))).increment(1);
        registry.histogram(&declared::HTTP_DURATION, labels(None)).record(took);
    }
}

impl Drop for HttpRequest {
    fn drop(&mut self) {
        self.0.0.http_active.decrement(1.0);
    }
}
