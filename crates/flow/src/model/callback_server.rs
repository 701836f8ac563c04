//! Callback servers: what waits for requests from outside, `listener:` in a file.

use std::num::NonZeroU32;

use adit_text::SecretSource;

use super::method::Method;
use super::network::Network;
use super::{Placed, Setting, Text, Written};

/// One HTTP server for requests from outside.
#[derive(Clone, Debug, PartialEq)]
pub struct CallbackServer {
    /// The address or name that it listens at.
    pub host: String,
    /// Its port.
    pub port: Placed<u16>,
    /// What comes before each path: empty, or `/hooks`.
    pub base_path: String,
    /// Most requests at once; the others wait. None is no limit of the file's.
    pub max_concurrent_count: Option<NonZeroU32>,
    /// What it serves.
    pub routes: Routes,
}

/// What a listener serves.
#[derive(Clone, Debug, PartialEq)]
pub enum Routes {
    /// Requests that complete a job.
    Callbacks(Vec<Callback>),
    /// Requests that start a workflow.
    Triggers(Vec<Trigger>),
}

impl Routes {
    /// The requests of each.
    pub fn each(&self) -> Vec<&Route> {
        match self {
            Self::Callbacks(callbacks) => callbacks.iter().map(|one| &one.route).collect(),
            Self::Triggers(triggers) => triggers.iter().map(|one| &one.route).collect(),
        }
    }
}

/// Requests that complete the job that waits for them.
#[derive(Clone, Debug, PartialEq)]
pub struct Callback {
    /// Which requests.
    pub route: Route,
    /// What says whose they are. None is one for all.
    pub identify_by: Option<Text>,
    /// What says how it went. None is well.
    pub status: Option<Text>,
    /// Status texts that mean well.
    pub success_when: Vec<String>,
    /// Status texts that mean badly.
    pub fail_when: Vec<String>,
    /// What the job gets. None is the whole item.
    pub result: Option<Written>,
}

/// Requests that start a workflow.
#[derive(Clone, Debug, PartialEq)]
pub struct Trigger {
    /// Which requests.
    pub route: Route,
    /// The workflow's id.
    pub workflow: Text,
    /// What it gets. None is the whole item.
    pub input: Option<Written>,
    /// Whether it may be public with no proof, whatever it starts.
    pub is_open: bool,
}

/// Which requests a callback or trigger takes, and from whom.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// The path below the base path; it begins with a slash.
    pub path: Placed<String>,
    /// The method.
    pub method: Method,
    /// Whether a request is a list of items.
    pub bulk: Setting<bool>,
    /// Where in the body the item or the list is. None is the body itself.
    pub item: Option<Text>,
    /// Who may.
    pub guard: Guard,
}

/// Who may make a request, and how large it may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guard {
    /// What a request has to show.
    pub proof: Option<Proof>,
    /// Where visitors may come from; empty is anywhere.
    pub allow: Vec<Network>,
    /// Most bytes of a body.
    pub body_limit: u64,
}

/// What a request has to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    /// A token.
    Token {
        /// The token.
        secret: SecretSource,
        /// Where in the request it is.
        at: TokenPlace,
    },
    /// A code over the raw body, HMAC with SHA-256.
    Hmac {
        /// The key.
        secret: SecretSource,
        /// The header that it is in.
        header: String,
        /// How the header is written.
        form: HmacForm,
    },
}

/// Where a token is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenPlace {
    /// In this header; `Bearer ` before it is passed over in `Authorization`.
    Header(String),
    /// As one more segment at the end of the path.
    Path,
}

/// How a header with an HMAC is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HmacForm {
    /// `t=SECONDS,v1=HEX`, over the seconds, a dot and the body.
    Timestamped,
    /// `sha256=HEX`, over the body: GitHub's.
    GitHub,
}
