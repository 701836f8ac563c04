//! Prometheus' text exposition format, version 0.0.4.
//!
//! Names, helps and labels are ours, written in this program, and so need no escapes: what comes from outside is
//! never one of them.

use std::fmt::Display;

/// What `Content-Type` says of it.
pub(super) const FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A page that is being written.
#[derive(Debug, Default)]
pub(super) struct Page(String);

/// A metric of a page; its samples follow.
#[derive(Debug)]
pub(super) struct Metric<'p> {
    page: &'p mut String,
    name: &'static str,
}

/// What a number does.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Counter,
    Gauge,
}

impl Page {
    /// A number that only grows while the process lives. Its name ends in `_total`.
    pub(super) fn counter(&mut self, name: &'static str, help: &'static str) -> Metric<'_> {
        self.metric(Kind::Counter, name, help)
    }

    /// A number that goes up and down.
    pub(super) fn gauge(&mut self, name: &'static str, help: &'static str) -> Metric<'_> {
        self.metric(Kind::Gauge, name, help)
    }

    /// The page.
    pub(super) fn finish(self) -> String {
        self.0
    }

    fn metric(&mut self, kind: Kind, name: &'static str, help: &'static str) -> Metric<'_> {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        };
        let head = format!("# HELP {name} {help}\n# TYPE {name} {kind}\n");
        self.0.push_str(&head);
        Metric {
            page: &mut self.0,
            name,
        }
    }
}

impl Metric<'_> {
    /// Its value.
    pub(super) fn is(self, value: impl Display) {
        let line = format!("{} {value}\n", self.name);
        self.page.push_str(&line);
    }

    /// Its value, where it is known.
    pub(super) fn may_be(self, value: Option<impl Display>) {
        if let Some(value) = value {
            self.is(value);
        }
    }

    /// One of several values, told apart by a label.
    pub(super) fn with(self, label: &'static str, word: &'static str, value: impl Display) -> Self {
        let name = self.name;
        let line = format!("{name}{{{label}=\"{word}\"}} {value}\n");
        self.page.push_str(&line);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_as_prometheus_reads_it() {
        let mut page = Page::default();
        page.gauge("adit_visitors", "Visitors who are there.").is(7);
        page.gauge("adit_unknown", "Nobody knows.")
            .may_be(None::<u64>);
        page.counter("adit_visitor_bytes_total", "Bytes of visitors.")
            .with("direction", "in", 1)
            .with("direction", "out", 2.5);
        assert_eq!(
            page.finish(),
            "# HELP adit_visitors Visitors who are there.\n\
             # TYPE adit_visitors gauge\n\
             adit_visitors 7\n\
             # HELP adit_unknown Nobody knows.\n\
             # TYPE adit_unknown gauge\n\
             # HELP adit_visitor_bytes_total Bytes of visitors.\n\
             # TYPE adit_visitor_bytes_total counter\n\
             adit_visitor_bytes_total{direction=\"in\"} 1\n\
             adit_visitor_bytes_total{direction=\"out\"} 2.5\n"
        );
    }
}
