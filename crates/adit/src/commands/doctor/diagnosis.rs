//! What a check found, as a line for people or as JSON for programs.

use std::fmt;

use serde::Serialize;

/// What one check found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Diagnosis {
    /// Which check.
    pub(super) check: Check,
    /// How it stands.
    pub(super) state: State,
    /// The forward that it is about, if it is about one.
    pub(super) forward: Option<String>,
    /// What was seen.
    pub(super) seen: String,
    /// What to change, where something is to be.
    pub(super) change: Option<String>,
}

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    /// Nothing is wrong.
    Ok,
    /// Something is worth knowing, or could not be looked at.
    Warn,
    /// Something is wrong.
    Fail,
}

/// The checks, in the order in which they are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Check {
    /// This machine's clock, and the times of certificates.
    Clock,
    /// What is set about time-outs.
    Settings,
    /// Where visitors of remote forwards go, from here.
    Target,
    /// Ports that are to be listened at here.
    Listen,
    /// The name of the host that is dialled from here.
    Name,
    /// Its addresses.
    Reach,
    /// The host's key.
    HostKey,
    /// The login.
    Login,
    /// Whether the server answers what a keep-alive asks.
    KeepAlive,
    /// Whether the server lets us listen there.
    Forwarding,
    /// Whether a port can be had.
    Port,
    /// A listener that its connection has outlived, or that outlives its connection.
    Stale,
    /// Whether bytes make the round trip.
    Path,
    /// Whether visitors from elsewhere come through.
    Public,
    /// Whether the server reaches where visitors of local forwards go.
    Open,
}

impl Check {
    /// The word for it.
    const fn word(self) -> &'static str {
        match self {
            Self::Clock => "clock",
            Self::Settings => "settings",
            Self::Target => "target",
            Self::Listen => "listen",
            Self::Name => "name",
            Self::Reach => "reach",
            Self::HostKey => "host key",
            Self::Login => "login",
            Self::KeepAlive => "keep-alive",
            Self::Forwarding => "forwarding",
            Self::Port => "port",
            Self::Stale => "stale port",
            Self::Path => "path",
            Self::Public => "public",
            Self::Open => "open",
        }
    }
}

impl State {
    /// The word for it.
    const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "FAIL",
        }
    }
}

impl Diagnosis {
    /// Nothing is wrong.
    pub(super) fn ok(check: Check, seen: impl Into<String>) -> Self {
        Self::new(check, State::Ok, seen.into(), None)
    }

    /// Something is worth knowing.
    pub(super) fn warn(check: Check, seen: impl Into<String>, change: impl Into<String>) -> Self {
        Self::new(check, State::Warn, seen.into(), Some(change.into()))
    }

    /// Something is wrong.
    pub(super) fn fail(check: Check, seen: impl Into<String>, change: impl Into<String>) -> Self {
        Self::new(check, State::Fail, seen.into(), Some(change.into()))
    }

    fn new(check: Check, state: State, seen: String, change: Option<String>) -> Self {
        Self {
            check,
            state,
            forward: None,
            seen,
            change,
        }
    }

    /// The same about a forward.
    pub(super) fn about(self, forward: &impl ToString) -> Self {
        Self {
            forward: Some(forward.to_string()),
            ..self
        }
    }
}

impl fmt::Display for Diagnosis {
    /// A line, and one more for what to change.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<4}  {:<10}  ", self.state.word(), self.check.word())?;
        if let Some(forward) = &self.forward {
            write!(f, "{forward}: ")?;
        }
        f.write_str(&self.seen)?;
        if let Some(change) = &self.change {
            write!(f, "\n{:18}-> {change}", "")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_a_line_and_what_to_change_another() {
        let diagnosis = Diagnosis::ok(Check::Name, "192.0.2.1");
        assert_eq!(diagnosis.to_string(), "ok    name        192.0.2.1");
        let diagnosis = Diagnosis::fail(Check::Port, "it is taken", "ask for another");
        assert_eq!(
            diagnosis.about(&"a -> b").to_string(),
            "FAIL  port        a -> b: it is taken\n                  -> ask for another"
        );
        let json =
            serde_json::to_value(Diagnosis::warn(Check::HostKey, "new", "trust it")).unwrap();
        assert_eq!(
            json,
            serde_json::json!({
                "check": "host_key", "state": "warn", "forward": null, "seen": "new",
                "change": "trust it",
            })
        );
    }
}
