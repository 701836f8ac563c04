//! The load of `cargo xtask bench ssh`: one process with our client end that logs in again and again.
//!
//! Each login asks for one forward. Without `--hold` it then leaves, and the last line on stdout is
//! `COUNT logins in SECONDS`. With `--hold yes` the connections stay, `COUNT held` is printed, and
//! the program ends when its stdin does.
//!
//! `--addr ADDR:PORT --user NAME --key FILE --count N [--kex NAME] [--hold yes]`
#![forbid(unsafe_code)]
#![expect(
    clippy::print_stdout,
    reason = "what was counted is what the one who starts it waits for"
)]

use std::io::Read as _;
use std::time::Duration;

use adit_ssh::algorithm::CipherAlgorithm;
use adit_tunnel::transport::CloseReason;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::arguments::{Arguments, Failure};
use crate::login::Login;

mod arguments;
mod login;

/// The product's own, so that its memory is what is measured.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// For one login and its forward; a stock sshd on a busy machine takes a second.
const DEADLINE: Duration = Duration::from_secs(30);

fn main() -> Result<(), Failure> {
    let arguments = Arguments::read(&["addr", "user", "key", "count", "kex", "hold"])?;
    let mut login = Login::read(&arguments)?;
    login.config.transport.preferences.cipher = vec![CipherAlgorithm::Aes128Gcm];
    if let Some(name) = arguments.find::<String>("kex")? {
        login.set_kex(&name)?;
    }
    let count = arguments.need("count")?;
    let holds = arguments.find::<String>("hold")?.is_some();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    if holds {
        runtime.block_on(hold(&login, count))
    } else {
        runtime.block_on(come_and_go(&login, count))
    }
}

/// Logs in so often, one after the other, and says how long that took.
async fn come_and_go(login: &Login, count: u32) -> Result<(), Failure> {
    let started = Instant::now();
    for _ in 0..count {
        let mut tasks = JoinSet::new();
        let (connection, _) = timeout(DEADLINE, login.log_in(&mut tasks, 0)).await??;
        connection.transport.close(CloseReason::Stopping);
        drop(connection);
        while tasks.join_next().await.is_some() {}
    }
    let seconds = started.elapsed().as_secs_f64();
    println!("{count} logins in {seconds:.4}");
    Ok(())
}

/// Logs in so often, keeps all the connections, and waits for the end of stdin.
async fn hold(login: &Login, count: u32) -> Result<(), Failure> {
    let mut tasks = JoinSet::new();
    let mut connections = Vec::new();
    for _ in 0..count {
        let (connection, _) = timeout(DEADLINE, login.log_in(&mut tasks, 0)).await??;
        connections.push(connection);
    }
    println!("{count} held");
    let ended = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
    ended.await??;
    if connections
        .iter()
        .any(|one| one.transport.end().now().is_some())
    {
        return Err("a connection did not last".into());
    }
    Ok(())
}
