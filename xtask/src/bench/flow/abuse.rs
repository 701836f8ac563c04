//! What strangers send to the ports of a program whose runs wait: none may be lost by it, and memory
//! stays bounded.

use std::net::SocketAddr;

use anyhow::bail;
use serde_json::json;

use super::super::promise::{Measure, Wanted};
use super::callbacks::{RUNS, WATCHED};
use super::crowd::{CALLBACK, Crowd, Owed, PATIENCE};
use super::http::{Answer, Connection};
use super::program::Up;
use super::{Bench, End, KIB_IN_MIB};
use crate::stop::Stop;

const LOST: Measure = Measure {
    name: "of 1,000 runs, those lost to strange requests",
    wanted: Wanted::AtMost(0.0),
};
const MOST: Measure = Measure {
    name: "memory at its most, with strange requests, MiB (VmHWM)",
    wanted: Wanted::AtMost(64.0),
};

/// Lets strangers come while all runs wait, then calls the runs back.
pub(super) fn abuse(bench: &mut Bench) -> anyhow::Result<()> {
    let up = Up::start(&bench.kit)?;
    let crowd = Crowd {
        runs: RUNS,
        watched: WATCHED,
        senders: 16,
    };
    let stop = &bench.kit.stop;
    let mut slow = Vec::new();
    let outcome = crowd.pass(up.site, stop, || {
        let owed = up.owed(&bench.kit, RUNS)?;
        for (port, path) in [(up.site.callbacks, CALLBACK), (up.triggers, TRIGGER)] {
            for _ in 0..SLOW {
                slow.push(begin_slowly(port)?);
            }
            send_too_much(port, path)?;
            strange_bodies(stop, port, path)?;
        }
        strange_ids(up.site.callbacks, &owed)?;
        Ok(owed)
    })?;
    up.completed(&bench.kit, RUNS.saturating_add(1))?;
    up.check(&bench.kit, &outcome.tasks)?;
    let most = up.memory()?.most;
    drop(slow);
    up.stop()?;
    bench.results.add(&LOST, End::Adit, 0.0);
    bench.results.add(&MOST, End::Adit, most / KIB_IN_MIB);
    Ok(())
}

/// A head that never ends.
fn begin_slowly(port: SocketAddr) -> anyhow::Result<Connection> {
    let mut connection = Connection::dial(port, PATIENCE)?;
    connection.send("POST /callback HTTP/1.1\r\nHost: x\r\nX-Slow: ")?;
    Ok(connection)
}

/// A body that is said to be 100 MiB, and as much of it as is taken.
fn send_too_much(port: SocketAddr, path: &str) -> anyhow::Result<()> {
    let mut connection = Connection::dial(port, PATIENCE)?;
    connection.send(format!(
        "POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
         Content-Length: {HUGE_BYTES}\r\n\r\n"
    ))?;
    let piece = vec![b'['; 64 << 10];
    // It is refused by its length, so that sending fails somewhere.
    for _ in 0..HUGE_BYTES / piece.len() {
        if connection.send(&piece).is_err() {
            return Ok(());
        }
    }
    let answer = connection.answer()?;
    expect(&answer, &[413])
}

/// Thousands of bodies that are JSON in part.
fn strange_bodies(stop: &Stop, port: SocketAddr, path: &str) -> anyhow::Result<()> {
    let mut random = Random(SEED);
    let mut connection = Connection::dial(port, PATIENCE)?;
    for _ in 0..BODIES {
        connection.begin(path, &random.body())?;
        expect(&connection.answer()?, &[200, 400, 404])?;
        if stop.is_asked() {
            bail!("stopped by a signal");
        }
    }
    Ok(())
}

/// Ids that are nearly those of runs that wait, and of every type.
fn strange_ids(port: SocketAddr, owed: &[Owed]) -> anyhow::Result<()> {
    let mut connection = Connection::dial(port, PATIENCE)?;
    for Owed { number, run } in owed {
        for id in [
            json!(number),
            json!(null),
            json!([run]),
            json!({ "run": run }),
            json!(run.to_lowercase()),
            json!(format!("{run} ")),
            json!(run.repeat(100)),
        ] {
            let body = json!({"run": id, "result": {"number": "strange"}});
            expect(&connection.post(CALLBACK, &body)?, &[200])?;
        }
    }
    Ok(())
}

fn expect(answer: &Answer, statuses: &[u16]) -> anyhow::Result<()> {
    if statuses.contains(&answer.status) {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&answer.body);
    bail!("a strange request is answered {}: {said}", answer.status)
}

/// Numbers that look random and are the same each time (Vigna's SplitMix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// One of these.
    fn of<'a>(&mut self, words: &[&'a str]) -> &'a str {
        let count = u64::try_from(words.len()).unwrap_or(1).max(1);
        let at = usize::try_from(self.next() % count).unwrap_or(0);
        words.get(at).copied().unwrap_or_default()
    }

    /// Some words of JSON and some bytes.
    fn body(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        for _ in 0..self.next() % 40 {
            match self.next() % 4 {
                0 => body.extend_from_slice(&self.next().to_le_bytes()),
                _ => body.extend_from_slice(self.of(WORDS).as_bytes()),
            }
        }
        body
    }
}

/// What bodies are made of.
const WORDS: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "\\",
    "\\u0000",
    "null",
    "true",
    "1e999",
    "-0",
    "\"run\"",
    "\"result\"",
    "\"workflow\"",
    "\"strange\"",
    "{\"run\":1}",
    "{\"workflow\":\"strange\"}",
    "[[[[",
];

/// Where strangers start runs.
const TRIGGER: &str = "/trigger";

/// Bodies to each port.
const BODIES: u32 = 10_000;

/// Connections to each port whose heads never end: a quarter of those that there may be.
const SLOW: u32 = 64;

/// The length of the longest body.
const HUGE_BYTES: usize = 100 << 20;

/// Any number will do.
const SEED: u64 = 4;
