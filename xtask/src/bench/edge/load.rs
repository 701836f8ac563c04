//! `wrk` and `h2load`, and what they say.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, ensure};

use super::super::kit::Kit;
use super::SLACK;
use super::front::HOST;

/// What a load has seen.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen {
    pub(super) requests: f64,
    pub(super) each_second: f64,
}

/// How somebody asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    /// 64 connections that are kept.
    Kept,
    /// A connection for each request, 16 at a time.
    New,
    /// 16 connections of HTTP/2 with 32 streams each.
    Http2,
}

/// Asks for a path for so long.
pub(super) fn ask(
    kit: &Kit,
    (at, host): (SocketAddr, &str),
    is_secure: bool,
    how: How,
    path: &str,
    time: Duration,
) -> anyhow::Result<Seen> {
    let seconds = time.as_secs();
    let scheme = if is_secure { "https" } else { "http" };
    if how == How::Http2 {
        let said = kit.output(
            Command::new("h2load")
                .args(["-t1", "-c16", "-m32"])
                .arg(format!("--duration={seconds}"))
                .arg(format!("--connect-to={at}"))
                .arg(format!("https://{HOST}:{}{path}", at.port())),
            time + SLACK,
        )?;
        return h2load(&said).with_context(|| format!("h2load says: {said}"));
    }
    let mut wrk = Command::new("wrk");
    wrk.args(["-t1", &format!("-d{seconds}s"), "--timeout", "10s"]);
    wrk.arg("-H").arg(format!("Host: {host}"));
    match how {
        How::New => wrk.args(["-c16", "-H", "Connection: close"]),
        How::Kept | How::Http2 => wrk.arg("-c64"),
    };
    let said = kit.output(wrk.arg(format!("{scheme}://{at}{path}")), time + SLACK)?;
    ensure!(
        !said.contains("Non-2xx"),
        "not all was answered well: {said}"
    );
    self::wrk(&said).with_context(|| format!("wrk says: {said}"))
}

/// `  123456 requests in 2.00s, 9.1MB read` and `Requests/sec:  61728.00`
fn wrk(said: &str) -> Option<Seen> {
    let line = said.lines().find(|line| line.contains(" requests in "))?;
    let each_second = said
        .lines()
        .find_map(|line| line.strip_prefix("Requests/sec:"))?;
    Some(Seen {
        requests: line.split_whitespace().next()?.parse().ok()?,
        each_second: each_second.trim().parse().ok()?,
    })
}

/// `finished in 2.00s, 61728.00 req/s, 9.1MB/s` and `requests: 512 total, ... 123456 succeeded, 0 failed, ...`
fn h2load(said: &str) -> Option<Seen> {
    let finished = said.lines().find(|line| line.starts_with("finished in "))?;
    let each_second = finished
        .split(", ")
        .find_map(|word| word.strip_suffix(" req/s"))?;
    let requests = said.lines().find(|line| line.starts_with("requests: "))?;
    let succeeded = requests
        .split(", ")
        .find_map(|word| word.strip_suffix(" succeeded"))?;
    let failed = requests
        .split(", ")
        .find_map(|word| word.strip_suffix(" failed"))?;
    (failed == "0").then_some(())?;
    Some(Seen {
        requests: succeeded.parse().ok()?,
        each_second: each_second.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_either_program_says_is_read() {
        let said = "Running 2s test @ http://127.0.0.1:1/small\n  1 threads and 64 connections\n  \
                    Thread Stats   Avg      Stdev     Max   +/- Stdev\n  123456 requests in 2.00s, 9.1MB read\n\
                    Requests/sec:  61728.50\nTransfer/sec:      4.5MB\n";
        let seen = wrk(said).unwrap();
        assert!(
            (seen.requests - 123_456.0).abs() < 0.1 && (seen.each_second - 61_728.5).abs() < 0.1
        );
        let said = "finished in 2.00s, 61728.50 req/s, 4.5MB/s\nrequests: 123456 total, 123968 started, \
                    123456 done, 123456 succeeded, 0 failed, 0 errored, 0 timeout\n";
        let seen = h2load(said).unwrap();
        assert!(
            (seen.requests - 123_456.0).abs() < 0.1 && (seen.each_second - 61_728.5).abs() < 0.1
        );
        assert!(h2load(&said.replace(", 0 failed", ", 3 failed")).is_none());
    }
}
