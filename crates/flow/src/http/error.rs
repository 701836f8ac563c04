//! Why there is no answer, each in one line; an answer that is an error brings its body with it.

use std::error::Error;
use std::fmt::Write as _;
use std::time::Duration;

use super::request::RequestError;
use super::url::UrlError;
use crate::expr::Value;
use crate::secrets::Secrets;
use crate::stream::StreamError;

/// Why a request has no answer, or none that is of use. What is displayed is for people: the method,
/// the URL without user and query, and the cause. Secrets that are in the path are masked by
/// whoever prints it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AskError {
    /// It could not be made.
    #[error("{asked}: {reason}")]
    Request {
        /// The method and the URL.
        asked: String,
        /// What is wrong with it.
        reason: RequestError,
    },
    /// It goes to a host that is not among those that may be asked.
    #[error("{asked}: host {host} is not among those that may be asked")]
    Host {
        /// The method and the URL.
        asked: String,
        /// The host.
        host: String,
    },
    /// No connection came about: no such name, nobody there, no trust.
    #[error("{asked}: cannot connect: {reason}")]
    Connect {
        /// The method and the URL.
        asked: String,
        /// Each layer's words, from ours to the system's.
        reason: String,
    },
    /// It took too long.
    #[error("{asked}: no complete answer within {} s", .limit.as_secs_f64())]
    Timeout {
        /// The method and the URL.
        asked: String,
        /// How long it might take.
        limit: Duration,
    },
    /// The connection broke before the answer was complete.
    #[error("{asked}: {reason}")]
    Broken {
        /// The method and the URL.
        asked: String,
        /// Each layer's words, from ours to the system's.
        reason: String,
    },
    /// The answer leads elsewhere, and is not followed.
    #[error("{asked}: the redirect is not followed: {reason}")]
    Redirect {
        /// The method and the URL.
        asked: String,
        /// Why not.
        reason: RedirectError,
    },
    /// The answer's status is 400 or more.
    #[error("{asked}: request failed with status {status}{}", response(.body))]
    Status {
        /// The method and the URL.
        asked: String,
        /// The status.
        status: u16,
        /// The body: JSON indented by two, at most [`SHOWN_BYTES`], control characters escaped.
        body: String,
    },
    /// The answer cannot be read.
    #[error("{asked}: {reason}")]
    Answer {
        /// The method and the URL.
        asked: String,
        /// Why not.
        reason: AnswerError,
    },
}

/// Why a redirect is not followed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RedirectError {
    /// One after the other.
    #[error("there were {limit} before it")]
    TooMany {
        /// How many are followed.
        limit: usize,
    },
    /// From https to http: what was asked in secret would go in the clear.
    #[error("it leads from https to http")]
    Downgrade,
    /// Nowhere.
    #[error("it leads to {0}")]
    Location(#[source] UrlError),
    /// The body was a stream and is gone.
    #[error("it wants the body again, which was a stream")]
    Body,
}

/// Why an answer cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AnswerError {
    /// It says that it is JSON.
    #[error("the answer (status {status}) is no JSON: {reason}")]
    Json {
        /// The answer's status.
        status: u16,
        /// Where and why; nothing is quoted.
        reason: String,
    },
    /// JSON of so many values that they would fill the memory.
    #[error("the answer's JSON has more than {limit} values")]
    Values {
        /// How many would have been fine.
        limit: usize,
    },
    /// More than is held in memory.
    #[error("the answer has more than {limit} bytes")]
    TooLong {
        /// How many bytes would have been fine.
        limit: usize,
    },
    /// It is compressed, though only plain answers are asked for.
    #[error("the answer is encoded as {encoding}, which was not asked for")]
    Encoded {
        /// What it says.
        encoding: String,
    },
}

impl AskError {
    /// Whether asking again can only give the same: the request itself cannot be made, or may not.
    /// Everything else can be over the next time.
    pub fn is_lasting(&self) -> bool {
        match self {
            Self::Request { .. } | Self::Host { .. } => true,
            Self::Redirect { reason, .. } => *reason == RedirectError::Body,
            Self::Connect { .. }
            | Self::Timeout { .. }
            | Self::Broken { .. }
            | Self::Status { .. }
            | Self::Answer { .. } => false,
        }
    }
}

/// The most bytes of an error's body that are shown.
pub const SHOWN_BYTES: usize = 4 << 10;

fn response(body: &str) -> String {
    if body.is_empty() {
        return String::new();
    }
    format!("\nResponse: {body}")
}

/// An error's body as people read it: JSON is indented by two; the first [`SHOWN_BYTES`]; what a
/// terminal would obey, but line feeds, is escaped. Secrets are masked before it is cut, which could
/// leave the half of one that nobody recognises.
pub(super) fn shown(body: &[u8], secrets: &Secrets) -> String {
    let indented = Value::from_json(body).ok();
    let indented = indented.and_then(|value| match value.as_text() {
        Some(text) => Some(text.to_owned()),
        None => serde_json::to_string_pretty(&value).ok(),
    });
    let text = indented.unwrap_or_else(|| String::from_utf8_lossy(body).into_owned());
    let mut shown = String::new();
    for character in secrets.mask(text.trim_end()).chars() {
        if shown.len() >= SHOWN_BYTES {
            shown.push('…');
            break;
        }
        if is_unsafe(character) {
            // Writing to a string cannot fail.
            write!(shown, "{}", character.escape_default()).ok();
        } else {
            shown.push(character);
        }
    }
    shown
}

/// What could move a cursor, hide text or reorder it.
fn is_unsafe(character: char) -> bool {
    let is_control = character.is_control() && character != '\n';
    is_control
        || matches!(character,
            '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// How long a request may take, and connecting of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    pub(super) whole: Duration,
    pub(super) connect: Duration,
}

/// What an error of the library means. Its own text would quote the URL with its query.
pub(super) fn of_library(error: reqwest::Error, asked: String, times: Times) -> AskError {
    let error = error.without_url();
    if error.is_connect() {
        let reason = if error.is_timeout() {
            format!("not within {} s", times.connect.as_secs_f64())
        } else {
            hinted(causes(&error))
        };
        return AskError::Connect { asked, reason };
    }
    if error.is_timeout() {
        let limit = times.whole;
        return AskError::Timeout { asked, limit };
    }
    let reason = causes(&error);
    AskError::Broken { asked, reason }
}

/// What TLS says of a server that answers in the clear is a riddle.
fn hinted(mut reason: String) -> String {
    if reason.contains("InvalidContentType") {
        reason.push_str(" (the server does not speak TLS at this port)");
    }
    reason
}

/// What the causes of an error say, without those that say no more than that there is one.
pub(super) fn causes(error: &reqwest::Error) -> String {
    let mut texts: Vec<String> = Vec::new();
    let mut next = error.source();
    while let Some(cause) = next {
        let text = cause.to_string();
        let says_nothing = text.is_empty()
            || text.starts_with("client error (")
            || text == "tcp connect error"
            || text == "dns error"
            || texts.iter().any(|before| before.contains(&text));
        if !says_nothing {
            texts.push(text);
        }
        next = cause.source();
    }
    if texts.is_empty() {
        return error.to_string();
    }
    texts.join(": ")
}

/// What a stream's end means while an answer is read into memory.
pub(super) fn of_stream(error: StreamError, asked: String) -> AskError {
    match error {
        StreamError::TooLong { limit } => AskError::Answer {
            asked,
            reason: AnswerError::TooLong { limit },
        },
        StreamError::Stalled { pause } => AskError::Timeout {
            asked,
            limit: pause,
        },
        StreamError::Broken { reason } => AskError::Broken { asked, reason },
        taken @ StreamError::Taken => AskError::Broken {
            asked,
            reason: taken.to_string(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_shows_its_answer_indented_and_harmless() {
        let status = |body: &[u8]| AskError::Status {
            asked: "POST http://h/p".to_owned(),
            status: 500,
            body: shown(body, &Secrets::new()),
        };
        for (body, text) in [
            (
                r#"{"z":1,"a":[true]}"#,
                "\nResponse: {\n  \"z\": 1,\n  \"a\": [\n    true\n  ]\n}",
            ),
            ("oops\nagain\n", "\nResponse: oops\nagain"),
            ("\x1b[2J\u{202e}x", "\nResponse: \\u{1b}[2J\\u{202e}x"),
            ("\"text\\u001b\"", "\nResponse: text\\u{1b}"),
            ("", ""),
        ] {
            let expected = format!("POST http://h/p: request failed with status 500{text}");
            assert_eq!(status(body.as_bytes()).to_string(), expected);
        }
        let long = shown("한".repeat(3_000).as_bytes(), &Secrets::new());
        assert!(long.ends_with("한…"));
        assert!((SHOWN_BYTES..SHOWN_BYTES + 6).contains(&long.len()));
        assert_eq!(shown(b"\xff", &Secrets::new()), "\u{fffd}");
    }

    #[test]
    fn a_secret_at_the_cut_is_masked_whole() {
        let secrets: Secrets = ["hunter22"].into_iter().collect();
        let body = format!("{}hunter22 and more", "x".repeat(SHOWN_BYTES - 4));
        let shown = shown(body.as_bytes(), &secrets);
        assert!(shown.ends_with("x*** …"), "{shown}");
    }

    #[test]
    fn only_what_cannot_change_is_lasting() {
        let asked = String::new;
        let limit = Duration::from_secs(1);
        let host = String::new();
        assert!(
            AskError::Host {
                asked: asked(),
                host
            }
            .is_lasting()
        );
        assert!(
            !AskError::Timeout {
                asked: asked(),
                limit
            }
            .is_lasting()
        );
        let reason = RedirectError::Body;
        assert!(
            AskError::Redirect {
                asked: asked(),
                reason
            }
            .is_lasting()
        );
        let reason = RedirectError::Downgrade;
        assert!(
            !AskError::Redirect {
                asked: asked(),
                reason
            }
            .is_lasting()
        );
    }
}
