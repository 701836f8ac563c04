//! Tunnels that an `adit up` of this user keeps: what is theirs is not asked for a second time.

use std::path::PathBuf;

use adit_tunnel::agent::supervise::Peer;

use super::diagnosis::{Check, Diagnosis};
use super::reach::milliseconds;
use crate::config::Surroundings;
use crate::control::client;
use crate::control::directory::Directories;
use crate::status::{ForwardReport, ForwardState, TunnelReport};

/// A tunnel to the same peer that is kept now.
#[derive(Debug)]
pub(super) struct Own {
    config: PathBuf,
    pid: u32,
    tunnel: TunnelReport,
}

impl Own {
    /// All of them. One that gives no answer is passed over.
    pub(super) fn find(surroundings: &Surroundings, peer: &Peer) -> Vec<Self> {
        let running = Directories::of_this_process(surroundings).all();
        let reports = running
            .iter()
            .filter_map(|running| client::status(running).ok());
        let tunnels = reports.flat_map(|report| {
            let (config, pid) = (report.config, report.pid);
            report.tunnels.into_iter().map(move |tunnel| Self {
                config: config.clone(),
                pid,
                tunnel,
            })
        });
        tunnels.filter(|own| own.is_to(peer)).collect()
    }

    fn is_to(&self, peer: &Peer) -> bool {
        let TunnelReport {
            host, port, user, ..
        } = &self.tunnel;
        (host, *port, user) == (&peer.host, peer.port, &peer.user)
    }

    /// Its forward of that bind, on that side.
    pub(super) fn forward(&self, bind: &str, is_remote: bool) -> Option<&ForwardReport> {
        let mut forwards = self.tunnel.forwards.iter();
        forwards.find(|forward| forward.bind == bind && forward.kind.is_remote() == is_remote)
    }

    /// What its keeper says of a forward.
    pub(super) fn diagnosis(&self, forward: &ForwardReport) -> Diagnosis {
        let state = forward.state.word();
        let trip = forward.round_trip_ms.map_or_else(String::new, |time| {
            let time = std::time::Duration::try_from_secs_f64(time / 1e3).unwrap_or_default();
            format!(", {}", milliseconds(time))
        });
        let reason = match &forward.reason {
            Some(reason) if forward.state != ForwardState::Unchecked => format!(" ({reason})"),
            Some(_) | None => String::new(),
        };
        let keeper = format!(
            "our own adit up of {} (process {})",
            self.config.display(),
            self.pid
        );
        let seen = format!("kept by {keeper}: {state}{trip}{reason}; it is not asked for again");
        match forward.state {
            ForwardState::Up | ForwardState::Unchecked => Diagnosis::ok(Check::Path, seen),
            ForwardState::Away
            | ForwardState::Waiting
            | ForwardState::Asking
            | ForwardState::Bound => {
                Diagnosis::warn(Check::Path, seen, "look again in a moment: adit status")
            }
            ForwardState::Refused | ForwardState::Failing => Diagnosis::fail(
                Check::Path,
                seen,
                "adit status --watch shows when it is mended",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::super::diagnosis::State;
    use super::*;
    use crate::status::{Kind, TunnelState, When};

    fn own(state: ForwardState, reason: Option<&str>) -> Own {
        let since = When(SystemTime::UNIX_EPOCH);
        let forward = ForwardReport {
            kind: Kind::Remote,
            bind: String::from("localhost:9000"),
            address: String::from("localhost:9000"),
            target: String::from("localhost:80"),
            state,
            since,
            reason: reason.map(str::to_owned),
            round_trip_ms: (state == ForwardState::Up).then_some(1.25),
            visitors: 0,
            visitors_total: 0,
            bytes_to_target: 0,
            bytes_to_visitor: 0,
            check: None,
        };
        Own {
            config: PathBuf::from("/etc/adit.yml"),
            pid: 42,
            tunnel: TunnelReport {
                name: String::from("web"),
                host: String::from("gw"),
                port: 22,
                user: String::from("me"),
                state: TunnelState::Connected,
                since,
                connections: 1,
                last_error: None,
                grant: None,
                forwards: vec![forward],
            },
        }
    }

    #[test]
    fn what_is_kept_already_is_told_as_its_keeper_sees_it() {
        for (state, reason, expected, part) in [
            (ForwardState::Up, None, State::Ok, "up, 1.2 ms"),
            (ForwardState::Bound, None, State::Warn, "bound"),
            (
                ForwardState::Failing,
                Some("why"),
                State::Fail,
                "failing (why)",
            ),
        ] {
            let own = own(state, reason);
            let forward = own.forward("localhost:9000", true).unwrap();
            let diagnosis = own.diagnosis(forward);
            assert_eq!(diagnosis.state, expected, "{diagnosis}");
            assert!(diagnosis.seen.contains(part), "{diagnosis}");
            assert!(diagnosis.seen.contains("process 42"), "{diagnosis}");
        }
        let own = own(ForwardState::Up, None);
        assert!(own.forward("localhost:9000", false).is_none());
        assert!(own.forward("localhost:9001", true).is_none());
        let peer = |port| Peer {
            host: String::from("gw"),
            port,
            user: String::from("me"),
        };
        assert!(own.is_to(&peer(22)) && !own.is_to(&peer(23)));
    }
}
