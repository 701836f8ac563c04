//! Who may make a request: where it comes from, and what it shows.
//!
//! Two forms of signature are known, both HMAC with SHA-256 in hexadecimal digits over the raw body:
//!
//! ```text
//! timestamped = "t=" SECONDS 1*( "," "v1=" 64HEX )     over SECONDS "." body
//! github      = "sha256=" 64HEX                        over body
//! ```
//!
//! The first is good for [`limits::WINDOW_SECONDS`] and once; other keys in it are passed over. The
//! second says nothing of time, so it is good for ever, and more than once: two equal bodies may be
//! two events. GitHub gives no choice.

use std::fmt;
use std::net::IpAddr;

use aws_lc_rs::{constant_time, hmac};
use zeroize::Zeroizing;

use super::limits;
use super::replay::{Recorded, Replays};
use crate::model::callback_server::{Guard, HmacForm, Proof, TokenPlace};
use crate::model::network::Network;

/// What a callback or trigger wants from a request before it reads it.
pub struct Gate {
    allow: Vec<Network>,
    check: Check,
}

enum Check {
    Nothing,
    Token {
        token: Zeroizing<Vec<u8>>,
        at: TokenPlace,
    },
    Hmac {
        /// Boxed: it is twelve hundred bytes.
        key: Box<hmac::Key>,
        header: String,
        form: HmacForm,
    },
}

/// Why there is no gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GateError {
    /// The secret is empty, or there is none although one is needed: anybody could show that.
    #[error("the secret is empty")]
    EmptySecret,
}

/// What a request shows.
#[derive(Clone, Copy)]
pub struct Shown<'r> {
    /// The value of the header that [`Gate::header`] names. None if it is missing, and if it is
    /// there more than once.
    pub header: Option<&'r [u8]>,
    /// The last segment of the path, decoded, if [`Gate::is_token_in_path`].
    pub segment: Option<&'r [u8]>,
    /// The body as it came, if [`Gate::needs_body`].
    pub body: &'r [u8],
}

/// What was shown is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proven {
    /// The request may be read.
    New,
    /// The same signature was good before. The answer is that of the first time, and nothing is
    /// delivered: an honest sender that repeats itself has lost our answer.
    Repeated,
}

/// Why a request may not be read. No text says what would have been good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// It comes from elsewhere than it may.
    #[error("the address is not allowed")]
    Addr,
    /// It shows nothing.
    #[error("the request shows no token or signature")]
    Missing,
    /// What it shows is not written as it should be.
    #[error("the signature is malformed")]
    Malformed,
    /// What it shows is wrong.
    #[error("the token or signature is wrong")]
    Wrong,
    /// The signature's time is not now.
    #[error("the signature is too old or too new")]
    Stale,
    /// There are more good signatures than can be remembered.
    #[error("too many requests")]
    Busy,
}

impl Refusal {
    /// The HTTP status to answer with.
    pub fn status(self) -> u16 {
        match self {
            Self::Addr => 403,
            Self::Missing | Self::Malformed | Self::Wrong | Self::Stale => 401,
            Self::Busy => 503,
        }
    }
}

impl Gate {
    /// What a guard says, with its secret, which somebody has read.
    ///
    /// # Errors
    ///
    /// If the guard wants a proof, and the secret is missing or empty.
    pub fn new(guard: &Guard, secret: Option<&[u8]>) -> Result<Self, GateError> {
        let secret = secret.filter(|secret| !secret.is_empty());
        let secret = secret.ok_or(GateError::EmptySecret);
        let check = match &guard.proof {
            None => Check::Nothing,
            Some(Proof::Token { at, .. }) => Check::Token {
                token: Zeroizing::new(secret?.to_vec()),
                at: at.clone(),
            },
            Some(Proof::Hmac { header, form, .. }) => Check::Hmac {
                key: Box::new(hmac::Key::new(hmac::HMAC_SHA256, secret?)),
                header: header.clone(),
                form: *form,
            },
        };
        Ok(Self {
            allow: guard.allow.clone(),
            check,
        })
    }

    /// Whether a visitor may be here at all. The address is the one that the tunnel reports, or
    /// the socket's; never a header's.
    ///
    /// # Errors
    ///
    /// If it may not.
    pub fn admit(&self, visitor: IpAddr) -> Result<(), Refusal> {
        let mut allow = self.allow.iter();
        if self.allow.is_empty() || allow.any(|network| network.contains(visitor)) {
            Ok(())
        } else {
            Err(Refusal::Addr)
        }
    }

    /// The header that [`verify`](Self::verify) wants to see.
    pub fn header(&self) -> Option<&str> {
        match &self.check {
            Check::Hmac { header, .. }
            | Check::Token {
                at: TokenPlace::Header(header),
                ..
            } => Some(header),
            Check::Nothing | Check::Token { .. } => None,
        }
    }

    /// Whether the path has one more segment, which is the token and is never logged.
    pub fn is_token_in_path(&self) -> bool {
        let at = match &self.check {
            Check::Token { at, .. } => Some(at),
            Check::Nothing | Check::Hmac { .. } => None,
        };
        at == Some(&TokenPlace::Path)
    }

    /// Whether [`verify`](Self::verify) looks at the body. Where it does not, it is asked before
    /// the body is read.
    pub fn needs_body(&self) -> bool {
        matches!(self.check, Check::Hmac { .. })
    }

    /// Looks at what a request shows. `now` is in seconds since 1970.
    ///
    /// # Errors
    ///
    /// If that is not good, and if it is but there is no room to remember it.
    pub fn verify(
        &self,
        shown: &Shown<'_>,
        replays: &mut Replays,
        now: u64,
    ) -> Result<Proven, Refusal> {
        match &self.check {
            Check::Nothing => Ok(Proven::New),
            Check::Token { token, at } => {
                let shown = match at {
                    TokenPlace::Path => shown.segment,
                    TokenPlace::Header(name) => shown.header.map(|value| bare(name, value)),
                };
                let shown = shown.ok_or(Refusal::Missing)?;
                constant_time::verify_slices_are_equal(shown, token)
                    .map(|()| Proven::New)
                    .map_err(|_| Refusal::Wrong)
            }
            Check::Hmac { key, form, .. } => {
                let header = shown.header.ok_or(Refusal::Missing)?;
                let header = str::from_utf8(header).map_err(|_| Refusal::Malformed)?;
                match form {
                    HmacForm::GitHub => github(key, header, shown.body),
                    HmacForm::Timestamped => timestamped(key, header, shown.body, replays, now),
                }
            }
        }
    }
}

/// Shows no secret.
impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate")
            .field("allow", &self.allow)
            .finish_non_exhaustive()
    }
}

/// Shows nothing: any of it may be a token.
impl fmt::Debug for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shown").finish_non_exhaustive()
    }
}

/// The token in a header: what follows `Bearer ` in `Authorization` (RFC 9110, 11.1: schemes have
/// no case), otherwise all of it.
fn bare<'v>(name: &str, value: &'v [u8]) -> &'v [u8] {
    let scheme = value.split_at_checked(BEARER.len());
    match scheme {
        Some((scheme, token))
            if name.eq_ignore_ascii_case("authorization")
                && scheme.eq_ignore_ascii_case(BEARER) =>
        {
            token.trim_ascii_start()
        }
        _ => value,
    }
}

fn github(key: &hmac::Key, header: &str, body: &[u8]) -> Result<Proven, Refusal> {
    let tag = header.strip_prefix("sha256=").ok_or(Refusal::Malformed)?;
    let tag = tag_from_hex(tag).ok_or(Refusal::Malformed)?;
    hmac::verify(key, body, &tag)
        .map(|()| Proven::New)
        .map_err(|_| Refusal::Wrong)
}

fn timestamped(
    key: &hmac::Key,
    header: &str,
    body: &[u8],
    replays: &mut Replays,
    now: u64,
) -> Result<Proven, Refusal> {
    let mut seconds = None;
    let mut tags = Vec::new();
    for field in header.split(',') {
        let (name, value) = field.trim().split_once('=').ok_or(Refusal::Malformed)?;
        match name {
            "t" if seconds.is_none() => seconds = Some(value),
            "v1" if tags.len() < limits::SIGNATURES => {
                tags.push(tag_from_hex(value).ok_or(Refusal::Malformed)?);
            }
            "t" | "v1" => return Err(Refusal::Malformed),
            _ => {}
        }
    }
    let seconds = seconds.ok_or(Refusal::Malformed)?;
    if tags.is_empty() || !seconds.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Refusal::Malformed);
    }
    let signed_at: u64 = seconds.parse().map_err(|_| Refusal::Malformed)?;
    let mut context = hmac::Context::with_key(key);
    context.update(seconds.as_bytes());
    context.update(b".");
    context.update(body);
    let right = context.sign();
    let is_right =
        |tag: &[u8; 32]| constant_time::verify_slices_are_equal(tag, right.as_ref()).is_ok();
    let tag = tags.into_iter().find(is_right).ok_or(Refusal::Wrong)?;
    if signed_at.abs_diff(now) > limits::WINDOW_SECONDS {
        return Err(Refusal::Stale);
    }
    match replays.record(tag, signed_at, now) {
        Recorded::New => Ok(Proven::New),
        Recorded::Repeated => Ok(Proven::Repeated),
        Recorded::Forgotten => Err(Refusal::Stale),
        Recorded::Full => Err(Refusal::Busy),
    }
}

/// 64 digits in either case. What is compared in constant time is what comes of them.
fn tag_from_hex(text: &str) -> Option<[u8; 32]> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() || pairs.len() != 32 {
        return None;
    }
    let mut tag = [0; 32];
    for (byte, pair) in tag.iter_mut().zip(pairs) {
        let [high, low] = pair.map(|digit| char::from(digit).to_digit(16));
        *byte = u8::try_from(high? * 16 + low?).ok()?;
    }
    Some(tag)
}

const BEARER: &[u8] = b"Bearer ";

#[cfg(test)]
mod tests;
