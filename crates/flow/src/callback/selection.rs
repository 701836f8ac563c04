//! Which part of a request is the item, or the list of them: what callbacks and triggers share.

use std::borrow::Cow;

use crate::expr::{EvaluateError, Found, Source, Sources, Step, Template, Value};
use crate::model::callback_server::Route;
use crate::model::{Setting, Text};

use super::limits;

/// What a route says of it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Selection {
    bulk: Bulk,
    item: Option<Template>,
}

#[derive(Clone, Debug, PartialEq)]
enum Bulk {
    Known(bool),
    Rendered(Template),
}

/// The part of one request.
#[derive(Debug)]
pub(super) struct Selected<'r> {
    /// The item, or the list of them.
    whole: Cow<'r, Value>,
    is_bulk: bool,
}

/// Why there are no items in a request. The answer is 400: senders repeat after a 500.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// `item` or `bulk` cannot be evaluated.
    #[error("the request's items could not be found")]
    Evaluate(#[from] Box<EvaluateError>),
    /// `bulk` is neither true nor false.
    #[error("the request does not say whether it is a list of items")]
    Bulk,
    /// A list was wanted.
    #[error("the request is no list of items")]
    NoList,
    /// There are more items than may be.
    #[error("the request has more than {} items", limits::ITEMS)]
    Many,
}

impl Selection {
    pub(super) fn new(route: &Route) -> Self {
        Self {
            bulk: match &route.bulk {
                Setting::Known(is_bulk) => Bulk::Known(*is_bulk),
                Setting::Rendered(text) => Bulk::Rendered(text.template()),
            },
            item: route.item.as_ref().map(Text::template),
        }
    }

    /// The part of this request.
    pub(super) fn of<'r>(
        &self,
        body: &'r Value,
        query: &'r Value,
    ) -> Result<Selected<'r>, ReadError> {
        let request = Request { body, query };
        let is_bulk = match &self.bulk {
            Bulk::Known(is_bulk) => *is_bulk,
            Bulk::Rendered(template) => is_true(&template.evaluate(&request).map_err(Box::new)?)?,
        };
        let whole = match &self.item {
            Some(template) => Cow::Owned(template.evaluate(&request).map_err(Box::new)?),
            None => Cow::Borrowed(body),
        };
        if is_bulk {
            let list = whole.as_list().ok_or(ReadError::NoList)?;
            if list.len() > limits::ITEMS {
                return Err(ReadError::Many);
            }
        }
        Ok(Selected { whole, is_bulk })
    }
}

impl Selected<'_> {
    /// Each item.
    pub(super) fn values(&self) -> &[Value] {
        match self.whole.as_list() {
            Some(list) if self.is_bulk => list,
            _ => std::slice::from_ref(self.whole.as_ref()),
        }
    }

    /// Whether a list was asked for.
    pub(super) fn is_bulk(&self) -> bool {
        self.is_bulk
    }
}

/// What `body`, `item` and `query` stand for.
pub(super) struct Request<'v> {
    /// The item, once there is one.
    pub(super) body: &'v Value,
    pub(super) query: &'v Value,
}

impl Sources for Request<'_> {
    fn look_up(&self, source: &Source, _path: &[Step]) -> Option<Found<'_>> {
        if source.is_chunk() {
            return None;
        }
        match source.name() {
            "body" | "item" => Some(Found::whole(self.body)),
            "query" => Some(Found::whole(self.query)),
            _ => None,
        }
    }
}

/// `bulk` as its text is rendered; what is missing is false.
fn is_true(value: &Value) -> Result<bool, ReadError> {
    let text = value.text_form().map_err(|_| ReadError::Bulk)?;
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" => Ok(true),
        "false" | "0" | "" => Ok(false),
        _ => Err(ReadError::Bulk),
    }
}
