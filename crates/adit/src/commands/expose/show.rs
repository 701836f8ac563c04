//! What somebody sees who exposes a service: its URL, what goes wrong, and its visitors as they come.
//!
//! On a terminal the visitors are one line that changes; elsewhere each change is a line. The URL alone goes to
//! standard output. As JSON all of it does, an object a line.

use std::convert::Infallible;
use std::fmt;
use std::io::{self, IsTerminal as _, Write as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use adit_model::host::Name;
use adit_tunnel::agent::chain;
use adit_tunnel::agent::meter::{Meter, Reading};
use adit_tunnel::agent::supervise::Event;
use serde_json::{Value, json};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::cli::Service;
use crate::log::tell;
use crate::status::{News, Status};

/// How often it is looked for visitors.
const LOOK: Duration = Duration::from_secs(1);
/// To the beginning of the line, which is cleared (ECMA-48, EL).
const CLEAR: &str = "\r\u{1b}[2K";

/// Shows one service.
pub(super) struct Show {
    asked: Asked,
    look: Look,
    stop: CancellationToken,
    state: Mutex<State>,
}

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Asked {
    /// That name.
    Name(Name),
    /// Whichever the gateway gives this service.
    Any(Service),
}

/// For whom it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    Json,
    Lines,
    Terminal,
}

struct State {
    status: Status,
    /// The name that it has, once that is known.
    name: Option<String>,
    url: Option<String>,
    /// Whether it was told where it is, on this connection.
    is_up: bool,
    was_up: bool,
    /// Why it was refused before it was ever up.
    refusal: Option<String>,
    /// Whether the line of visitors stands there.
    has_line: bool,
}

impl Show {
    /// Nothing has happened yet. What can never be is refused by `stop`.
    pub(super) fn new(
        asked: Asked,
        status: Status,
        is_json: bool,
        stop: CancellationToken,
    ) -> Self {
        let look = if is_json {
            Look::Json
        } else if io::stderr().is_terminal() {
            Look::Terminal
        } else {
            Look::Lines
        };
        let name = match &asked {
            Asked::Name(name) => Some(String::from(name.as_str())),
            Asked::Any(_) => None,
        };
        Self {
            asked,
            look,
            stop,
            state: Mutex::new(State {
                status,
                name,
                url: None,
                is_up: false,
                was_up: false,
                refusal: None,
                has_line: false,
            }),
        }
    }

    /// Takes what happened.
    pub(super) fn event(&self, event: &Event<'_>) {
        let mut state = self.state();
        let news = state.status.apply(event, SystemTime::now());
        match event {
            // What is said of the forward itself follows, from a gateway that says so.
            Event::Identified { identity } => {
                state.url = match &self.asked {
                    Asked::Name(name) => identity.url(name.as_str()),
                    Asked::Any(_) => None,
                };
            }
            Event::ForwardNamed { named, .. } => {
                state.name = Some(named.name.shown().to_string());
                if let Some(url) = named.urls.last() {
                    state.url = Some(url.shown().to_string());
                }
            }
            Event::ForwardUp { .. } | Event::ForwardProved { .. } => self.up(&mut state),
            Event::ForwardUnproved { finding, .. } if finding.is_unchecked() => self.up(&mut state),
            Event::ForwardUnproved { finding, .. } if news == News::State => {
                self.trouble(&mut state, &format!("not up: {finding}"));
            }
            Event::ForwardDenied { reason, .. } if !state.was_up => {
                let refusal = self.asked.refused(reason);
                self.refuse(&mut state, refusal);
            }
            Event::ForwardDenied { reason, .. } if news == News::State => {
                self.trouble(&mut state, &format!("refused: {reason}"));
            }
            Event::Superseded { by } => self.trouble(&mut state, &by.to_string()),
            Event::Returned { .. } => {
                state.is_up = false;
                self.up(&mut state);
            }
            Event::Ended { end, .. } => {
                state.is_up = false;
                self.trouble(&mut state, &format!("connection ended: {}", chain(end)));
            }
            Event::Failed { error } => {
                self.trouble(&mut state, &format!("cannot connect: {}", chain(error)));
            }
            Event::Connected | Event::Waiting { .. } | _ => {}
        }
    }

    /// Shows visitors as they come, for ever.
    pub(super) async fn follow(&self, meters: &[Arc<Meter>]) -> Infallible {
        let mut shown = Reading::default();
        loop {
            sleep(LOOK).await;
            let Some(reading) = meters.first().map(|meter| meter.read()) else {
                continue;
            };
            if reading != shown {
                shown = reading;
                self.visitors(&mut self.state(), reading);
            }
        }
    }

    /// Nothing more is shown.
    pub(super) fn end(&self) {
        self.state().clear();
    }

    /// Why it was refused before it was ever up.
    pub(super) fn refusal(&self) -> Option<String> {
        self.state().refusal.clone()
    }

    fn up(&self, state: &mut State) {
        if std::mem::replace(&mut state.is_up, true) {
            return;
        }
        let Some(name) = state.name.clone() else {
            return self.refuse(state, self.asked.untold());
        };
        state.was_up = true;
        let url = state.url.clone();
        if self.look == Look::Json {
            return print(&json!({ "event": "up", "name": name, "url": url }));
        }
        state.clear();
        match &url {
            Some(url) => {
                let mut stdout = io::stdout().lock();
                // Whoever reads it may have gone, and visitors come all the same.
                drop(writeln!(stdout, "{url}").and_then(|()| stdout.flush()));
            }
            None => tell(&format!(
                "{name} is up, and the gateway serves no names over HTTP (adit serve --http)"
            )),
        }
    }

    fn trouble(&self, state: &mut State, words: &str) {
        if self.look == Look::Json {
            return print(&json!({ "event": "trouble", "name": state.name, "what": words }));
        }
        state.clear();
        tell(words);
    }

    /// What was asked for can never be.
    fn refuse(&self, state: &mut State, why: String) {
        state.refusal = Some(why);
        self.stop.cancel();
    }

    fn visitors(&self, state: &mut State, reading: Reading) {
        let Reading {
            now,
            visitors,
            to_target,
            to_visitor,
        } = reading;
        if self.look == Look::Json {
            return print(&json!({
                "event": "visitors",
                "name": state.name,
                "now": now,
                "total": visitors,
                "bytes_in": to_target,
                "bytes_out": to_visitor,
            }));
        }
        let line = format!(
            "{now} visitors now, {visitors} in all, {to_target} bytes in, {to_visitor} out"
        );
        if self.look == Look::Terminal {
            let mut stderr = io::stderr().lock();
            drop(write!(stderr, "{CLEAR}{line}").and_then(|()| stderr.flush()));
            state.has_line = true;
        } else {
            tell(&line);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // It is right after any panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Asked {
    /// The gateway refuses it.
    fn refused(&self, reason: &dyn fmt::Display) -> String {
        match self {
            Self::Name(name) => format!("the gateway refuses {name}: {reason}"),
            Self::Any(service) => format!(
                "the gateway gives {service} no name: {reason}; say which with --name NAME, or have its operator say \
                 adit grant add --any-name for this machine"
            ),
        }
    }

    /// It was granted, and no name was told.
    fn untold(&self) -> String {
        match self {
            Self::Name(name) => format!("the gateway has granted {name} as something else"),
            Self::Any(service) => format!(
                "the gateway has granted {service} something and told no name: it is older than this adit, or its grant \
                 has port {} of the gateway itself, which goes before a name; say which with --name NAME",
                super::SITE
            ),
        }
    }
}

impl State {
    /// Makes room for another line.
    fn clear(&mut self) {
        if std::mem::take(&mut self.has_line) {
            let mut stderr = io::stderr().lock();
            drop(write!(stderr, "{CLEAR}").and_then(|()| stderr.flush()));
        }
    }
}

/// An object on a line of its own.
fn print(value: &Value) {
    let mut stdout = io::stdout().lock();
    // Whoever reads it may have gone, and visitors come all the same.
    drop(writeln!(stdout, "{value}").and_then(|()| stdout.flush()));
}
