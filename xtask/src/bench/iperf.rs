//! Bulk through a tunnel, by iperf3: its server is the service, its client the visitor.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::Value;

use super::kit::{Kit, Talker};
use crate::sshd::Place;

/// Which way the bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// From the gateway's visitor to the agent's service.
    Up,
    /// From the agent's service to the gateway's visitor.
    Down,
    /// Both at once.
    Both,
}

/// How much.
#[derive(Debug, Clone, Copy)]
pub(super) enum Amount {
    Time(Duration),
    Bytes(u64),
}

/// One run.
#[derive(Debug, Clone)]
pub(super) struct Run<'a> {
    /// Where iperf3's server listens, and in which network.
    pub(super) service: SocketAddr,
    pub(super) service_place: &'a Place,
    /// Where its client goes, and from which network.
    pub(super) visitors: SocketAddr,
    pub(super) visitors_place: &'a Place,
    pub(super) way: Way,
    pub(super) streams: u32,
    pub(super) amount: Amount,
    /// When it is given up.
    pub(super) deadline: Duration,
}

/// What arrived.
#[derive(Debug, Clone, Copy)]
pub(super) struct Flow {
    /// Both ways together, in Gbit/s and in bytes.
    pub(super) gigabits: f64,
    pub(super) bytes: f64,
    /// Of the slower way, in Gbit/s.
    pub(super) slower_gigabits: f64,
}

impl Run<'_> {
    /// Runs both ends of iperf3 once.
    pub(super) fn run(&self, kit: &Kit) -> anyhow::Result<Flow> {
        let (ip, port) = (self.service.ip().to_string(), self.service.port());
        let port = port.to_string();
        let mut server = self.service_place.command("iperf3");
        server.args(["-s", "-1", "--forceflush", "-B", &ip, "-p", &port]);
        let mut server = Talker::start(kit, &mut server)?;
        server.wait(kit, "iperf3's server", START_DEADLINE, |said| {
            said.contains("Server listening").then_some(())
        })?;

        let (ip, port) = (self.visitors.ip().to_string(), self.visitors.port());
        let mut client = self.visitors_place.command("iperf3");
        client.args(["-J", "-c", &ip, "-p", &port.to_string()]);
        client.args(["-P", &self.streams.to_string()]);
        match self.amount {
            Amount::Time(time) => client.args(["-t", &time.as_secs().to_string()]),
            Amount::Bytes(bytes) => client.args(["-n", &bytes.to_string()]),
        };
        match self.way {
            Way::Up => {}
            Way::Down => {
                client.arg("-R");
            }
            Way::Both => {
                client.arg("--bidir");
            }
        }
        let report = kit.output(&mut client, self.deadline)?;
        flow(&report)
    }
}

/// Reads iperf3's report; with `--bidir` the other way has a sum of its own.
fn flow(report: &str) -> anyhow::Result<Flow> {
    let report: Value = serde_json::from_str(report).context("iperf3's report is not JSON")?;
    if let Some(error) = report.get("error") {
        anyhow::bail!("iperf3: {error}");
    }
    let end = report.get("end").context("iperf3's report has no end")?;
    let number = |sum: &str, name: &str| end.get(sum)?.get(name)?.as_f64();
    let (there, back) = ("sum_received", "sum_received_bidir_reverse");
    let gigabits = |sum| Some(number(sum, "bits_per_second")? / 1e9);
    let first = gigabits(there).context("iperf3's report has no sum")?;
    let second = gigabits(back);
    let bytes = number(there, "bytes").context("iperf3's report has no bytes")?;
    Ok(Flow {
        gigabits: first + second.unwrap_or(0.0),
        bytes: bytes + number(back, "bytes").unwrap_or(0.0),
        slower_gigabits: second.map_or(first, |second| second.min(first)),
    })
}

const START_DEADLINE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_arrived_is_read_from_the_report_of_one_way_and_of_both() {
        let one = r#"{"end": {"sum_sent": {"bytes": 9e9, "bits_per_second": 9e9},
            "sum_received": {"bytes": 1000, "bits_per_second": 2e9}}}"#;
        let found = flow(one).unwrap();
        assert!((found.gigabits - 2.0).abs() < 1e-9 && (found.bytes - 1000.0).abs() < 1e-9);
        let both = r#"{"end": {"sum_received": {"bytes": 1000, "bits_per_second": 2e9},
            "sum_received_bidir_reverse": {"bytes": 500, "bits_per_second": 1e9}}}"#;
        let found = flow(both).unwrap();
        assert!((found.gigabits - 3.0).abs() < 1e-9 && (found.bytes - 1500.0).abs() < 1e-9);
        assert!((found.slower_gigabits - 1.0).abs() < 1e-9);
    }

    #[test]
    fn a_report_of_an_error_is_an_error() {
        for report in ["", "{}", r#"{"error": "the server is busy"}"#] {
            assert!(flow(report).is_err(), "{report}");
        }
    }
}
