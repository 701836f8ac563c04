//! Which requests a listener takes: paths and methods.
//!
//! Paths are compared segment by segment, each decoded, so that `%2F` is never a slash. `{name}` in a
//! path stands for any segment that is not empty, as in model-compose, where nothing asks for its value.

use std::borrow::Cow;

use axum::http::{HeaderName, Method, Uri};
use percent_encoding::percent_decode_str;

use super::{ListenError, ReadSecret};
use crate::callback::{Gate, Rule, TriggerRule};
use crate::model::callback_server::{CallbackServer, Guard, Proof, Route, Routes};

/// All routes of a listener.
#[derive(Debug)]
pub(super) struct Table(Vec<Entry>);

/// What takes requests of one method to one path.
#[derive(Debug)]
pub(super) struct Entry {
    /// The base path and the path, as the file has them. No token is in it.
    pub(super) path: String,
    segments: Vec<Segment>,
    method: Method,
    pub(super) gate: Gate,
    /// The header that the gate wants to see.
    pub(super) header: Option<HeaderName>,
    /// Most bytes of a body.
    pub(super) body_limit: u64,
    pub(super) work: Work,
}

/// What is made of a request.
#[derive(Debug)]
pub(super) enum Work {
    Callback(Rule),
    Trigger(TriggerRule),
}

#[derive(Debug)]
enum Segment {
    Literal(Vec<u8>),
    Any,
}

/// Who takes a request.
#[derive(Debug)]
pub(super) enum Found<'t> {
    /// This route.
    Entry {
        entry: &'t Entry,
        /// The last segment, if the token is there.
        token: Option<Vec<u8>>,
    },
    /// Nobody with this method, but with these.
    Methods(String),
    /// Nobody, but with or without a slash at the end, which is this path and query.
    Slash(String),
    /// Nobody.
    Nobody,
}

impl Table {
    pub(super) fn new(
        config: &CallbackServer,
        secrets: &ReadSecret<'_>,
    ) -> Result<Self, ListenError> {
        let new = |route: &Route, work: Result<Work, _>| {
            let path = format!("{}{}", config.base_path, route.path.value);
            match work {
                Ok(work) => Entry::new(path, route, work, secrets),
                Err(source) => Err(ListenError::Tree { path, source }),
            }
        };
        let entries: Result<Vec<Entry>, _> = match &config.routes {
            Routes::Callbacks(callbacks) => {
                let each = callbacks.iter();
                each.map(|one| new(&one.route, Rule::new(one).map(Work::Callback)))
                    .collect()
            }
            Routes::Triggers(triggers) => {
                let each = triggers.iter();
                each.map(|one| new(&one.route, TriggerRule::new(one).map(Work::Trigger)))
                    .collect()
            }
        };
        entries.map(Self)
    }

    /// The largest body that any route takes.
    pub(super) fn body_limit(&self) -> u64 {
        self.0
            .iter()
            .map(|entry| entry.body_limit)
            .max()
            .unwrap_or(0)
    }

    pub(super) fn find(&self, method: &Method, uri: &Uri) -> Found<'_> {
        let path = uri.path();
        let there: Vec<&Entry> = self.at(path).collect();
        if let Some(entry) = there.iter().find(|entry| entry.method == method) {
            let token = entry.token(&segments(path)).map(<[u8]>::to_vec);
            return Found::Entry { entry, token };
        }
        if !there.is_empty() {
            let methods: Vec<&str> = there.iter().map(|entry| entry.method.as_str()).collect();
            return Found::Methods(methods.join(", "));
        }
        let other = match path.strip_suffix('/') {
            Some(path) => path.to_owned(),
            None => format!("{path}/"),
        };
        // A token does not travel in an answer.
        if self.at(&other).any(|entry| !entry.gate.is_token_in_path()) {
            let query = uri.query().map(|query| format!("?{query}"));
            return Found::Slash(other + &query.unwrap_or_default());
        }
        Found::Nobody
    }

    fn at(&self, path: &str) -> impl Iterator<Item = &Entry> {
        let segments = segments(path);
        self.0.iter().filter(move |entry| entry.is_at(&segments))
    }
}

impl Entry {
    fn new(
        path: String,
        route: &Route,
        work: Work,
        secrets: &ReadSecret<'_>,
    ) -> Result<Self, ListenError> {
        let guard: &Guard = &route.guard;
        let secret = match &guard.proof {
            Some(Proof::Token { secret, .. } | Proof::Hmac { secret, .. }) => Some(secret),
            None => None,
        };
        let secret = match secret.map(secrets).transpose() {
            Ok(secret) => secret,
            Err(source) => return Err(ListenError::Secret { path, source }),
        };
        let gate = Gate::new(guard, secret.as_ref().map(|secret| secret.as_slice()));
        let gate = match gate {
            Ok(gate) => gate,
            Err(source) => return Err(ListenError::Gate { path, source }),
        };
        let segments = path.strip_prefix('/').unwrap_or(&path).split('/');
        let segments = segments.map(|segment| {
            if segment.starts_with('{') && segment.ends_with('}') {
                Segment::Any
            } else {
                Segment::Literal(segment.as_bytes().to_vec())
            }
        });
        Ok(Self {
            segments: segments.collect(),
            method: method(route),
            // The file's reader knows that it is one.
            header: gate.header().and_then(|name| name.parse().ok()),
            gate,
            body_limit: guard.body_limit,
            work,
            path,
        })
    }

    /// Whether a path is this one, with or without a token.
    fn is_at(&self, path: &[Cow<'_, [u8]>]) -> bool {
        let rest = path.len().checked_sub(self.segments.len());
        let is_long_enough = match rest {
            Some(0) => true,
            Some(1) => self.gate.is_token_in_path(),
            _ => false,
        };
        let mut both = self.segments.iter().zip(path);
        is_long_enough
            && both.all(|(segment, found)| match segment {
                Segment::Literal(literal) => *literal == **found,
                Segment::Any => !found.is_empty(),
            })
    }

    fn token<'p>(&self, path: &'p [Cow<'_, [u8]>]) -> Option<&'p [u8]> {
        path.get(self.segments.len()).map(AsRef::as_ref)
    }
}

fn segments(path: &str) -> Vec<Cow<'_, [u8]>> {
    let path = path.strip_prefix('/').unwrap_or(path);
    let segments = path.split('/');
    segments
        .map(|segment| percent_decode_str(segment).into())
        .collect()
}

fn method(route: &Route) -> Method {
    use crate::model::method::Method as Written;
    match route.method {
        Written::Get => Method::GET,
        Written::Post => Method::POST,
        Written::Put => Method::PUT,
        Written::Delete => Method::DELETE,
        Written::Patch => Method::PATCH,
        Written::Head => Method::HEAD,
        Written::Options => Method::OPTIONS,
    }
}
