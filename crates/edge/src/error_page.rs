//! What a visitor is told when nobody else answers: the one table from causes to answers.
//!
//! Nothing internal is on such a page; the log has the whole chain of causes.

use http::header::{ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{HeaderMap, Response, StatusCode};

use crate::dial::DialError;
use crate::header::ConnectionError;
use crate::host::HostError;
use crate::http::frame::BadRequest;

/// Why a request is answered here.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Cause {
    /// It is none.
    #[error("not read")]
    Bad(#[source] BadRequest),
    /// Its host is none.
    #[error("host")]
    Host(#[source] HostError),
    /// Its `Connection` field is none.
    #[error("fields")]
    Connection(#[source] ConnectionError),
    /// Its body could not be read.
    #[error("the request's body broke off")]
    Body,
    /// Its body did not come in time.
    #[error("the request's body did not come in time")]
    LateBody,
    /// It has a body and asks for another protocol, or for one that is not served.
    #[error("another protocol is asked for that is not served")]
    Protocol,
    /// No name leads anywhere.
    #[error("no such name")]
    NoRoute,
    /// The path is the gateway's own, and nothing is there.
    #[error("nothing is there")]
    Reserved,
    /// Its connection's certificate is another tenant's.
    #[error("the connection was made for another name")]
    Misdirected,
    /// Its network is not let in.
    #[error("not let in")]
    Denied,
    /// Nobody serves it.
    #[error("not dialled")]
    Dial(#[source] DialError),
    /// Who serves it broke off or sent no answer.
    #[error("the upstream broke off")]
    Upstream(#[source] hyper::Error),
    /// Who serves it began another protocol, which nobody had asked for.
    #[error("the upstream began a protocol that nobody asked for")]
    Unasked,
    /// Who serves it did not answer in time.
    #[error("the upstream did not answer in time")]
    Late,
}

/// Seconds after which a visitor may ask again where the tunnel is away.
const AGAIN: HeaderValue = HeaderValue::from_static("5");

impl Cause {
    /// The status.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Bad(bad) => bad.status(),
            Self::Host(_) | Self::Connection(_) | Self::Body | Self::Protocol => {
                StatusCode::BAD_REQUEST
            }
            Self::LateBody => StatusCode::REQUEST_TIMEOUT,
            Self::NoRoute | Self::Reserved => StatusCode::NOT_FOUND,
            Self::Misdirected => StatusCode::MISDIRECTED_REQUEST,
            Self::Denied => StatusCode::FORBIDDEN,
            Self::Dial(DialError::Unserved { .. }) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Dial(DialError::Late) | Self::Late => StatusCode::GATEWAY_TIMEOUT,
            Self::Dial(_) | Self::Upstream(_) | Self::Unasked => StatusCode::BAD_GATEWAY,
        }
    }

    /// What a visitor may know.
    fn words(&self) -> String {
        match self {
            Self::Bad(bad) => format!("{bad}."),
            Self::Host(error) => format!("{error}."),
            Self::Connection(error) => format!("{error}."),
            Self::Body => String::from("The request's body broke off."),
            Self::LateBody => String::from("The request's body did not come in time."),
            Self::Protocol => String::from("The request asks for a protocol that is not served."),
            Self::NoRoute | Self::Reserved => String::from("Nothing is published under this name."),
            Self::Misdirected => {
                String::from("This connection was made for another name; make one of its own.")
            }
            Self::Denied => String::from("Your network is not let in here."),
            Self::Dial(DialError::Unserved { .. }) => {
                String::from("The service's tunnel is away. Ask again in a moment.")
            }
            Self::Dial(DialError::Refused { .. }) => {
                String::from("The tunnel is up, but its service takes no connections.")
            }
            Self::Dial(DialError::Late) | Self::Late => {
                String::from("The service did not answer in time.")
            }
            Self::Dial(_) => String::from("The service cannot be reached."),
            Self::Upstream(_) => String::from("The service broke off before it answered."),
            Self::Unasked => String::from("The service answered with what nobody asked for."),
        }
    }

    /// Whether the connection is of no use any more: what comes next on it may not be what it seems.
    fn ends(&self) -> bool {
        matches!(self, Self::Bad(_) | Self::Body | Self::LateBody)
    }
}

/// The answer to a visitor who sent those fields.
pub(crate) fn page(cause: &Cause, wishes_html: bool, is_http2: bool) -> Response<String> {
    let status = cause.status();
    let reason = status.canonical_reason().unwrap_or("Error");
    let words = cause.words();
    let (kind, text) = if wishes_html {
        let text = format!(
            "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" \
             content=\"width=device-width\"><title>{code} {reason}</title>\n<style>body{{font:1rem/1.5 \
             system-ui,sans-serif;max-width:36rem;margin:15vh auto;padding:0 1rem;color-scheme:light dark}}\
             h1{{font-size:1.5rem}}</style>\n<h1>{code} {reason}</h1>\n<p>{words}</p>\n</html>\n",
            code = status.as_u16(),
        );
        ("text/html; charset=utf-8", text)
    } else {
        (
            "text/plain; charset=utf-8",
            format!("{} {reason}: {words}\n", status.as_u16()),
        )
    };
    let mut response = Response::new(text);
    *response.status_mut() = status;
    let fields = response.headers_mut();
    fields.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    fields.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if status == StatusCode::SERVICE_UNAVAILABLE {
        fields.insert(RETRY_AFTER, AGAIN);
    }
    if status == StatusCode::METHOD_NOT_ALLOWED {
        fields.insert(
            ALLOW,
            HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"),
        );
    }
    if cause.ends() && !is_http2 {
        fields.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// Whether a page is wanted rather than a line of text.
pub(crate) fn wishes_html(fields: &HeaderMap) -> bool {
    let accepts = fields.get(http::header::ACCEPT).map(HeaderValue::as_bytes);
    accepts.is_some_and(|accepts| accepts.windows(9).any(|window| window == b"text/html"))
}
