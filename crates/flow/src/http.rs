//! Asking over HTTP: what components of type `http-client` and `http-server` do.
//!
//! [`Client`] is one for all. It keeps connections, speaks HTTP/1.1, checks the certificates of
//! servers against the system's roots, asks for no compression, keeps no cookies and sends no
//! `Referer`. Proxies are as the environment says (`HTTP_PROXY`, `HTTPS_PROXY`, `NO_PROXY`), but
//! never for this machine itself. What is sent is in [`Request`]; the tables of bodies and answers
//! are in the source files `http/body.rs` and `http/answer.rs`.
//!
//! Redirects are followed at most [`REDIRECTS`] times, to the same scheme or from http to https.
//! Where one leads to another origin (scheme, host or port differ), only headers go along that
//! anybody may see, such as `Accept` and `Content-Type`: a key can be in a header of any name
//! (security rule G94). As in browsers, 303 becomes a GET, and so does a POST after 301 and 302; after
//! 307 and 308 method and body stay.
//!
//! A request may take as long as model-compose's client lets it, [`TIMEOUT`], connecting
//! [`CONNECT_TIMEOUT`] of it. For an answer that is a stream, that is the time until it begins, and
//! the longest pause in it.

mod answer;
mod body;
mod error;
mod header;
mod hop;
mod multipart;
mod poll;
mod request;
mod sse;
mod url;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use reqwest::redirect;
use tokio::time::{Instant, timeout_at};

pub use answer::Answer;
pub use error::{AnswerError, AskError, RedirectError, SHOWN_BYTES};
pub use poll::{
    Ask, Judgement, LEAST_PAUSE, Matched, PollError, PollRules, QUESTION_TIMEOUT, poll,
};
pub use request::{Request, RequestError};
pub use sse::{EVENT_BYTES, EventParser};
pub use url::{Url, UrlError, is_here};

use crate::expr::limits;
use crate::secrets::Secrets;
use answer::Limits;
use error::Times;
use hop::Hop;

/// The most redirects of one request (security rule G94).
pub const REDIRECTS: usize = 5;

/// How long a request may take: the default of model-compose's HTTP library.
pub const TIMEOUT: Duration = Duration::from_secs(300);

/// How long the name, the connection and TLS may take: three tries of a first packet are over then,
/// and nobody waits five minutes for a host that is off.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a connection is kept that nobody uses. Less than the five seconds after which uvicorn
/// closes it: a request that meets the close is lost.
const IDLE: Duration = Duration::from_secs(4);

/// The most connections to one host that are kept while nobody uses them.
const IDLE_PER_HOST: usize = 8;

/// What a client may do.
#[derive(Clone, Debug)]
pub struct Config {
    /// How long a request may take that says nothing else.
    pub timeout: Duration,
    /// How long connecting may take of it.
    pub connect_timeout: Duration,
    /// The most bytes of an answer that is held in memory.
    pub answer_bytes: usize,
    /// What requests say they come from if they say nothing.
    pub user_agent: String,
    /// Which hosts may be asked, by redirects too: names, `*.example.org` for those below a name, and
    /// addresses, IPv6 in brackets. None is all.
    pub allow_hosts: Option<Vec<String>>,
    /// What is masked in the bodies of errors.
    pub secrets: Arc<Secrets>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            timeout: TIMEOUT,
            connect_timeout: CONNECT_TIMEOUT,
            answer_bytes: limits::OUTPUT_BYTES,
            user_agent: concat!("adit/", env!("CARGO_PKG_VERSION")).to_owned(),
            allow_hosts: None,
            secrets: Arc::default(),
        }
    }
}

/// Whether a host is one of those that are listed.
fn allows(hosts: &[String], host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    let is_it = |allowed: &String| match allowed.strip_prefix("*.") {
        Some(above) => {
            let mut labels = host.to_ascii_lowercase();
            let above = format!(".{}", above.to_ascii_lowercase());
            labels.truncate(labels.len().saturating_sub(above.len()));
            !labels.is_empty() && host.to_ascii_lowercase() == labels + &above
        }
        None => allowed.eq_ignore_ascii_case(host),
    };
    hosts.iter().any(is_it)
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
#[error("cannot prepare an HTTP client")]
pub struct ClientError(#[from] reqwest::Error);

/// What asks. Clones are the same and share their connections.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    config: Config,
    /// For this machine.
    near: reqwest::Client,
    /// For all others, by proxies if the environment says so.
    far: reqwest::Client,
    /// Why no server's certificate can be checked, if so.
    without_roots: Option<String>,
}

impl Client {
    /// Reads the system's roots and the environment's proxies. A system without roots is no error
    /// until https is asked for.
    ///
    /// # Errors
    ///
    /// The TLS library refuses the set-up, or the user agent is no header.
    pub fn new(config: Config) -> Result<Self, ClientError> {
        let builder = || {
            reqwest::Client::builder()
                .user_agent(&config.user_agent)
                .redirect(redirect::Policy::none())
                .referer(false)
                .connect_timeout(config.connect_timeout)
                .pool_idle_timeout(IDLE)
                .pool_max_idle_per_host(IDLE_PER_HOST)
        };
        let (far, without_roots) = match builder().build() {
            Ok(client) => (client, None),
            Err(error) => {
                let reason = error::causes(&error);
                (builder().tls_certs_only([]).build()?, Some(reason))
            }
        };
        let near = if without_roots.is_none() {
            builder().no_proxy().build()?
        } else {
            builder().no_proxy().tls_certs_only([]).build()?
        };
        Ok(Self(Arc::new(Inner {
            config,
            near,
            far,
            without_roots,
        })))
    }

    /// Asks, and takes an answer whose status is 400 or more for an error.
    ///
    /// # Errors
    ///
    /// There is no answer, it cannot be read, or it is an error: [`AskError::Status`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the connection; whether the server has acted is not known. A body
    /// that was a stream is gone.
    pub async fn send(&self, request: &Request) -> Result<Answer, AskError> {
        let limits = self.limits(request);
        let (response, asked) = self.exchange(request, limits).await?;
        let status = response.status();
        if status.is_client_error() || status.is_server_error() {
            return Err(AskError::Status {
                asked,
                status: status.as_u16(),
                body: answer::error_body(response, limits, &self.0.config.secrets).await,
            });
        }
        answer::read(response, &asked, limits).await
    }

    /// Asks, and takes each answer as it is.
    ///
    /// # Errors
    ///
    /// There is no answer, or it cannot be read.
    ///
    /// # Cancel safety
    ///
    /// As [`send`](Self::send).
    pub async fn ask(&self, request: &Request) -> Result<Answer, AskError> {
        let limits = self.limits(request);
        let (response, asked) = self.exchange(request, limits).await?;
        answer::read(response, &asked, limits).await
    }

    fn limits(&self, request: &Request) -> Limits {
        let time = request.timeout.unwrap_or(self.0.config.timeout).min(FAR);
        Limits {
            bytes: self.0.config.answer_bytes,
            deadline: Instant::now() + time,
            time,
        }
    }

    /// Asks, and follows redirects. What comes back has its headers read and its body not.
    async fn exchange(
        &self,
        request: &Request,
        limits: Limits,
    ) -> Result<(reqwest::Response, String), AskError> {
        let mut hop = Hop::new(request)?;
        let exchange = async {
            for _ in 0..=REDIRECTS {
                self.ensure_allowed(request, &hop)?;
                let response = self.step(&mut hop, limits.time).await?;
                if !hop.follow(&response)? {
                    return Ok(response);
                }
            }
            let reason = RedirectError::TooMany { limit: REDIRECTS };
            Err(hop.not_followed(reason))
        };
        let exchanged = timeout_at(limits.deadline, exchange).await;
        let asked = hop.asked();
        match exchanged {
            Ok(response) => Ok((response?, asked)),
            Err(_) => Err(AskError::Timeout {
                asked,
                limit: limits.time,
            }),
        }
    }

    /// Fails if the host is not among those that may be asked.
    fn ensure_allowed(&self, request: &Request, hop: &Hop) -> Result<(), AskError> {
        let host = hop.url.host();
        let config = self.0.config.allow_hosts.as_deref();
        let mut lists = config.into_iter().chain(request.allow_hosts.as_deref());
        if lists.all(|hosts| allows(hosts, host)) {
            return Ok(());
        }
        Err(AskError::Host {
            asked: hop.asked(),
            host: host.to_owned(),
        })
    }

    async fn step(&self, hop: &mut Hop, limit: Duration) -> Result<reqwest::Response, AskError> {
        let inner = &self.0;
        if let Some(reason) = &inner.without_roots
            && hop.url.is_https()
        {
            return Err(AskError::Connect {
                asked: hop.asked(),
                reason: format!("no certificate can be checked: {reason}"),
            });
        }
        let client = if hop.url.is_loopback() {
            &inner.near
        } else {
            &inner.far
        };
        let times = Times {
            whole: limit,
            connect: inner.config.connect_timeout,
        };
        let asked = client.execute(hop.request()).await;
        asked.map_err(|error| error::of_library(error, hop.asked(), times))
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("config", &self.0.config)
            .finish_non_exhaustive()
    }
}

/// A year: longer than anything is waited for, and no clock overflows.
const FAR: Duration = Duration::from_secs(365 * 86_400);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_allowed_by_name_and_below_a_name() {
        let allow_hosts = ["api.example.org", "*.Example.com", "10.0.0.1", "[::1]"];
        let allow_hosts = allow_hosts.map(str::to_owned);
        for (host, is_allowed) in [
            ("api.example.org", true),
            ("API.example.org.", true),
            ("x.api.example.org", false),
            ("a.example.com", true),
            ("a.b.example.com", true),
            ("example.com", false),
            (".example.com", false),
            ("badexample.com", false),
            ("10.0.0.1", true),
            ("10.0.0.10", false),
            ("[::1]", true),
            ("", false),
        ] {
            assert_eq!(allows(&allow_hosts, host), is_allowed, "{host}");
        }
    }
}
