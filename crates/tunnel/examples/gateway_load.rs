//! The load of `cargo xtask bench gateway`: thousands of agents in one process, at `adit serve` or a stock sshd.
//!
//! Each agent logs in and asks for one forward, with the waits of a real agent between its attempts. With
//! `--mode hold` they stay; each time that all of them are up, the line `COUNT up after SECONDS` says how long
//! ago the first of them was not, and the program ends when its stdin does. With `--mode logins` they come and go
//! for `--seconds`, so many at a time, and the line `COUNT logins in SECONDS` is the last one.
//!
//! `--mode hold|logins --addr ADDR:PORT --user NAME --key FILE --count N [--seconds N]`
#![forbid(unsafe_code)]
#![expect(
    clippy::print_stdout,
    reason = "what was counted is what the one who starts it waits for"
)]

use std::io::Read as _;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use adit_tunnel::agent::backoff::{Backoff, Patience};
use adit_tunnel::transport::CloseReason;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::arguments::{Arguments, Failure};
use crate::login::Login;

mod arguments;
mod login;

/// The product's own.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// For one login and its forward: as long as an agent gives them.
const DEADLINE: Duration = Duration::from_secs(30);

fn main() -> Result<(), Failure> {
    let arguments = Arguments::read(&["mode", "addr", "user", "key", "count", "seconds"])?;
    let mut login = Login::read(&arguments)?;
    // The cheapest that every server has: what is compared is all the rest.
    login.set_kex("curve25519-sha256")?;
    let load = Arc::new(Load {
        login,
        count: arguments.need("count")?,
        up: AtomicU32::new(0),
        since: Mutex::new(Instant::now()),
        logins: AtomicU32::new(0),
    });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    match arguments.need::<String>("mode")?.as_str() {
        "hold" => runtime.block_on(load.hold()),
        "logins" => {
            let seconds = Duration::from_secs(arguments.need("seconds")?);
            runtime.block_on(load.come_and_go(seconds));
            Ok(())
        }
        other => Err(format!("--mode {other}: there are hold and logins").into()),
    }
}

struct Load {
    login: Login,
    count: u32,
    /// Agents that have their forward.
    up: AtomicU32,
    /// When not all of them had it any more.
    since: Mutex<Instant>,
    logins: AtomicU32,
}

impl Load {
    /// Agents that stay, and come back whenever their connection ends, until stdin does.
    async fn hold(self: Arc<Self>) -> Result<(), Failure> {
        let mut agents = JoinSet::new();
        for number in 0..self.count {
            let load = Arc::clone(&self);
            agents.spawn(async move { load.agent(number).await });
        }
        let ended = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
        ended.await??;
        Ok(())
    }

    async fn agent(&self, number: u32) {
        // No two of them wait alike, and a run waits as the one before.
        let mut chance = u64::from(number).wrapping_add(1);
        let mut backoff = Backoff::new(Patience::default());
        // Words of its own for each, so that each asks for its own port again.
        let mut port = 0;
        // Held for so long that its first end is that of a good connection.
        let (mut up, mut took) = (GOOD, Duration::ZERO);
        loop {
            chance = chance.wrapping_mul(MULTIPLIER).wrapping_add(INCREMENT);
            sleep(backoff.next(up, took, chance >> 16)).await;
            let start = Instant::now();
            up = Duration::ZERO;
            let mut tasks = JoinSet::new();
            let login = timeout(DEADLINE, self.login.log_in(&mut tasks, port)).await;
            if let Ok(Ok((connection, given))) = login {
                port = given;
                backoff.succeeded();
                self.is_up();
                connection.transport.end().wait().await;
                self.is_down();
                // The load is held for seconds where agents are up for days.
                up = GOOD;
            }
            took = start.elapsed();
        }
    }

    fn is_up(&self) {
        if self.up.fetch_add(1, Ordering::SeqCst).saturating_add(1) == self.count {
            let since = self.since.lock().unwrap_or_else(PoisonError::into_inner);
            println!(
                "{} up after {:.3}",
                self.count,
                since.elapsed().as_secs_f64()
            );
        }
    }

    fn is_down(&self) {
        if self.up.fetch_sub(1, Ordering::SeqCst) == self.count {
            *self.since.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        }
    }

    /// So many at a time log in, ask for a forward and leave, for so long.
    async fn come_and_go(self: Arc<Self>, time: Duration) {
        let started = Instant::now();
        let mut agents = JoinSet::new();
        for _ in 0..self.count {
            let load = Arc::clone(&self);
            agents.spawn(async move {
                while started.elapsed() < time {
                    let mut tasks = JoinSet::new();
                    let login = timeout(DEADLINE, load.login.log_in(&mut tasks, 0)).await;
                    if let Ok(Ok((connection, _))) = login {
                        load.logins.fetch_add(1, Ordering::SeqCst);
                        connection.transport.close(CloseReason::Stopping);
                        drop(connection);
                    }
                    while tasks.join_next().await.is_some() {}
                }
            });
        }
        while agents.join_next().await.is_some() {}
        let seconds = started.elapsed().as_secs_f64();
        println!(
            "{} logins in {seconds:.4}",
            self.logins.load(Ordering::SeqCst)
        );
    }
}

/// How long a connection was up that counts as a good one.
const GOOD: Duration = Duration::from_mins(2);
/// Knuth's MMIX generator: chance enough for waits.
const MULTIPLIER: u64 = 6_364_136_223_846_793_005;
/// See [`MULTIPLIER`].
const INCREMENT: u64 = 1_442_695_040_888_963_407;
