//! The controller: the HTTP API that starts workflows, and the page for people.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use adit_text::SecretSource;

use super::Placed;

/// The controller of a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Controller {
    /// What people call it.
    pub name: Option<String>,
    /// Where its API is served. May be none.
    pub adapters: Vec<Adapter>,
    /// The page for people.
    pub web_ui: Option<WebUi>,
    /// Most runs at once; the others wait in line. None is no limit.
    pub max_concurrent_count: Option<NonZeroU32>,
    /// How long a stop goes on taking requests for, answering that it is about to stop.
    pub shutdown_pending_period: Duration,
    /// How long a stop waits for runs to end.
    pub shutdown_timeout: Duration,
}

/// One HTTP server of the API.
#[derive(Clone, Debug, PartialEq)]
pub struct Adapter {
    /// The address or name that it listens at.
    pub host: String,
    /// Its port.
    pub port: Placed<u16>,
    /// What comes before each path: empty, or `/api`.
    pub base_path: String,
    /// Origins whose pages may read answers, `*` for any. Credentials are never among what they may send.
    pub origins: Vec<String>,
    /// Names by which it may be asked, beside those of the loopback.
    pub hosts: Vec<String>,
    /// What a request has to show. There is one if `host` is no loopback address.
    pub token: Option<SecretSource>,
    /// Whether a gateway may make it public.
    pub is_public: bool,
    /// The WebSocket of the API.
    pub websocket: Option<WebSocket>,
}

/// The WebSocket of an API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebSocket {
    /// Its path below the base path.
    pub path: String,
    /// Most of them at once. None is the server's own limit.
    pub max_connection_count: Option<NonZeroU32>,
    /// How often a peer is asked whether it is there.
    pub ping_interval: Duration,
    /// How long it may take to answer.
    pub ping_timeout: Duration,
}

/// The page for people.
#[derive(Clone, Debug, PartialEq)]
pub struct WebUi {
    /// Whose pages they are.
    pub pages: Pages,
    /// The address or name that it listens at.
    pub host: String,
    /// Its port.
    pub port: Placed<u16>,
}

/// Whose pages a page for people shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pages {
    /// Our own, made from what workflows take and give.
    Own,
    /// The user's files in this folder, as it was written.
    Folder(PathBuf),
}
