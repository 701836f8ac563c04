//! Requests a second, and what one costs whoever stands in front.

use super::super::page::Work as _;
use super::super::promise::{Measure, Wanted};
use super::super::usage::cpu_seconds;
use super::front::{Front, HOST};
use super::load::{How, ask};
use super::{Bench, Server};

/// One way to ask, and its two measures.
struct Row {
    how: How,
    is_secure: bool,
    path: &'static str,
    rate: Measure,
    cost: Measure,
}

const fn row(
    how: How,
    is_secure: bool,
    path: &'static str,
    (rate, cost): (&'static str, &'static str),
    most: Wanted,
) -> Row {
    Row {
        how,
        is_secure,
        path,
        rate: Measure {
            name: rate,
            wanted: Wanted::Nothing,
        },
        cost: Measure {
            name: cost,
            wanted: most,
        },
    }
}

/// As little processor time as nginx needs, or less: spec/engines.md has all of them as so many times its
/// efficiency, which is the other way round.
const LIKE: Wanted = Wanted::RatioAtMost(1.0);
const HTTP2: Wanted = Wanted::RatioAtMost(0.83);

static ROWS: [Row; 10] = [
    row(
        How::Kept,
        false,
        "/small",
        ("2 bytes, kept, requests a second", "2 bytes, kept, CPU us"),
        LIKE,
    ),
    row(
        How::Kept,
        false,
        "/10k",
        ("10 KiB, kept, requests a second", "10 KiB, kept, CPU us"),
        LIKE,
    ),
    row(
        How::Kept,
        false,
        "/1m",
        ("1 MiB, kept, requests a second", "1 MiB, kept, CPU us"),
        Wanted::RatioAtMost(0.5),
    ),
    row(
        How::New,
        false,
        "/small",
        (
            "2 bytes, a connection each, requests a second",
            "2 bytes, a connection each, CPU us",
        ),
        Wanted::Nothing,
    ),
    row(
        How::Kept,
        true,
        "/small",
        (
            "2 bytes by TLS, kept, requests a second",
            "2 bytes by TLS, kept, CPU us",
        ),
        Wanted::RatioAtMost(0.91),
    ),
    row(
        How::Kept,
        true,
        "/1m",
        (
            "1 MiB by TLS, kept, requests a second",
            "1 MiB by TLS, kept, CPU us",
        ),
        Wanted::RatioAtMost(0.63),
    ),
    row(
        How::New,
        true,
        "/small",
        (
            "2 bytes by TLS, a handshake each, requests a second",
            "2 bytes by TLS, a handshake each, CPU us",
        ),
        Wanted::RatioAtMost(0.5),
    ),
    row(
        How::Http2,
        true,
        "/small",
        (
            "2 bytes by HTTP/2, requests a second",
            "2 bytes by HTTP/2, CPU us",
        ),
        HTTP2,
    ),
    row(
        How::Http2,
        true,
        "/10k",
        (
            "10 KiB by HTTP/2, requests a second",
            "10 KiB by HTTP/2, CPU us",
        ),
        HTTP2,
    ),
    row(
        How::Http2,
        true,
        "/1m",
        (
            "1 MiB by HTTP/2, requests a second",
            "1 MiB by HTTP/2, CPU us",
        ),
        HTTP2,
    ),
];

pub(super) fn requests(bench: &mut Bench) -> anyhow::Result<()> {
    for _ in 0..bench.scale.rounds {
        for server in Server::ALL {
            let outcome = all(bench, server);
            bench.settle(&format!("requests, {server}"), outcome)?;
        }
    }
    Ok(())
}

fn all(bench: &mut Bench, server: Server) -> anyhow::Result<()> {
    let front = bench.ground.front(&bench.kit, server)?;
    for row in &ROWS {
        let outcome = one(bench, server, &front, row);
        bench.settle(&format!("{}, {server}", row.rate.name), outcome)?;
    }
    Ok(())
}

fn one(bench: &mut Bench, server: Server, front: &Front, row: &'static Row) -> anyhow::Result<()> {
    let at = if row.is_secure {
        front.secure
    } else {
        front.plain
    };
    let before = cpu_seconds(&front.processes());
    let seen = ask(
        &bench.kit,
        (at, HOST),
        row.is_secure,
        row.how,
        row.path,
        bench.scale.time,
    )?;
    let spent = cpu_seconds(&front.processes()) - before;
    bench.results.add(&row.rate, server, seen.each_second);
    let each = spent * 1e6 / seen.requests.max(1.0);
    bench.results.add(&row.cost, server, each);
    Ok(())
}
