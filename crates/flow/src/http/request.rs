//! What is asked.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::url::Url;
use crate::expr::{NoTextError, Value};
use crate::model::method::Method;
use crate::stream::StreamError;

/// A request, all of whose variables have been evaluated.
#[derive(Clone)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// Where to.
    pub url: Url,
    /// Headers. A later one of the same name replaces an earlier one, so that an action's follow its
    /// component's; null is none, a list is one for each value. What frames a message
    /// (`Content-Length`, `Connection`) is left out.
    pub headers: Vec<(String, Value)>,
    /// What follows the question mark, after the URL's own. Null is none, a list is one for each
    /// value.
    pub params: Vec<(String, Value)>,
    /// The body, written as the `Content-Type` says. None and null are no body.
    pub body: Option<Value>,
    /// How long it may take. None is what the client's configuration says.
    pub timeout: Option<Duration>,
    /// Which hosts may be asked, by redirects too, of those that the client's configuration allows;
    /// written as there. None is all of them.
    pub allow_hosts: Option<Arc<[String]>>,
}

impl Request {
    /// A request with nothing but a method and a URL.
    pub fn new(method: Method, url: Url) -> Self {
        Self {
            method,
            url,
            headers: Vec::new(),
            params: Vec::new(),
            body: None,
            timeout: None,
            allow_hosts: None,
        }
    }
}

/// The method and the URL: headers, parameters and body can hold secrets.
impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

/// Why a request cannot be made of what was given.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// A name that HTTP does not allow.
    #[error("\"{name}\" is no name of a header")]
    HeaderName {
        /// The name, escaped.
        name: String,
    },
    /// A line break, which would begin another header.
    #[error("header {name} holds a line break or another control character")]
    HeaderValue {
        /// The header's name.
        name: String,
    },
    /// A value that has no text.
    #[error("header {name}: {source}")]
    HeaderText {
        /// The header's name.
        name: String,
        /// Why.
        source: NoTextError,
    },
    /// A value that has no text.
    #[error("parameter {name}: {source}")]
    Param {
        /// The parameter's name.
        name: String,
        /// Why.
        source: NoTextError,
    },
    /// A body that its content type cannot hold.
    #[error("the body cannot be written as {content_type}: {reason}")]
    Body {
        /// The content type.
        content_type: String,
        /// What is in the way.
        reason: String,
    },
    /// A body that was a stream and is gone.
    #[error("the body: {0}")]
    Stream(#[from] StreamError),
}
