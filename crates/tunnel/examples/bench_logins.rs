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
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use adit_ssh::algorithm::{CipherAlgorithm, KexAlgorithm};
use adit_ssh::auth::client::{ClientLogin, Credential, OfferedKey, PromptQuestion, SignQuestion};
use adit_ssh::connection::{ClientConfig, TransportConfig};
use adit_ssh::kex::HostKeyOffer;
use adit_ssh::printable::Printable;
use adit_ssh::provider::{Signer, aws_lc};
use adit_ssh::secret::Secret;
use adit_tunnel::agent::login::keys;
use adit_tunnel::transport::ssh::{Answer, Answerer, HostRefusal, Memory, connect, tune};
use adit_tunnel::transport::{Bind, CloseReason, Connection};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::arguments::{Arguments, Failure};

mod arguments;

/// The product's own, so that its memory is what is measured.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// For one login and its forward; a stock sshd on a busy machine takes a second.
const DEADLINE: Duration = Duration::from_secs(30);

fn main() -> Result<(), Failure> {
    let arguments = Arguments::read(&["addr", "user", "key", "count", "kex", "hold"])?;
    let limit = getrlimit(Resource::Nofile);
    let current = limit.maximum;
    setrlimit(Resource::Nofile, Rlimit { current, ..limit })?;
    let memory = Memory::of_this_machine();
    let load = Load {
        addr: arguments.need("addr")?,
        signer: keys::read(&arguments.need::<PathBuf>("key")?)?,
        config: config(&arguments, &memory)?,
        memory,
    };
    let count = arguments.need("count")?;
    let holds = arguments.find::<String>("hold")?.is_some();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    if holds {
        runtime.block_on(load.hold(count))
    } else {
        runtime.block_on(load.come_and_go(count))
    }
}

fn config(arguments: &Arguments, memory: &Memory) -> Result<ClientConfig, Failure> {
    let signer = keys::read(&arguments.need::<PathBuf>("key")?)?;
    let provider = Arc::new(aws_lc::provider());
    let mut transport = TransportConfig::client(provider, memory.pool.clone());
    transport.preferences.cipher = vec![CipherAlgorithm::Aes128Gcm];
    if let Some(name) = arguments.find::<String>("kex")? {
        let kex = KexAlgorithm::from_name(name.as_bytes());
        transport.preferences.kex = vec![kex.ok_or("unknown key exchange")?];
    }
    transport
        .preferences
        .host_key
        .retain(|algorithm| !algorithm.is_certificate());
    let offered = OfferedKey::new(signer.public_key().blob().to_vec());
    Ok(ClientConfig {
        transport,
        login: ClientLogin {
            user: arguments.need("user")?,
            credentials: offered.map(Credential::Key).into_iter().collect(),
        },
    })
}

struct Load {
    addr: SocketAddr,
    signer: Arc<dyn Signer>,
    config: ClientConfig,
    memory: Memory,
}

impl Load {
    /// Logs in so often, one after the other, and says how long that took.
    async fn come_and_go(&self, count: u32) -> Result<(), Failure> {
        let started = Instant::now();
        for _ in 0..count {
            let mut tasks = JoinSet::new();
            let connection = timeout(DEADLINE, self.log_in(&mut tasks)).await??;
            connection.transport.close(CloseReason::Stopping);
            drop(connection);
            while tasks.join_next().await.is_some() {}
        }
        let seconds = started.elapsed().as_secs_f64();
        println!("{count} logins in {seconds:.4}");
        Ok(())
    }

    /// Logs in so often, keeps all the connections, and waits for the end of stdin.
    async fn hold(&self, count: u32) -> Result<(), Failure> {
        let mut tasks = JoinSet::new();
        let mut connections = Vec::new();
        for _ in 0..count {
            connections.push(timeout(DEADLINE, self.log_in(&mut tasks)).await??);
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

    async fn log_in(&self, tasks: &mut JoinSet<()>) -> Result<Connection, Failure> {
        let socket = TcpStream::connect(self.addr).await?;
        tune(&socket)?;
        let mut answerer = Trusting(Arc::clone(&self.signer));
        let (config, memory) = (self.config.clone(), self.memory.clone());
        // In a box: the way in is long, and what is kept should be small.
        let login = Box::pin(connect(socket, config, memory, &mut answerer));
        let (connection, driver) = login.await?;
        tasks.spawn(async move {
            driver.run().await;
        });
        let bind = Bind::Tcp {
            host: String::from("127.0.0.1"),
            port: 0,
        };
        connection.transport.forward(bind).await?;
        Ok(connection)
    }
}

/// Trusts every host, since it was started a moment ago beside this program, and signs with one key.
struct Trusting(Arc<dyn Signer>);

impl Answerer for Trusting {
    fn host_key<'a>(&'a mut self, _: &'a HostKeyOffer) -> Answer<'a, Result<(), HostRefusal>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn sign<'a>(&'a mut self, question: &'a SignQuestion) -> Answer<'a, Option<Vec<u8>>> {
        let algorithm = question.algorithm.signature();
        let signed = self.0.sign(algorithm, &question.data).ok();
        Box::pin(std::future::ready(signed))
    }

    fn password(&mut self, _: usize) -> Answer<'_, Option<Secret<String>>> {
        Box::pin(std::future::ready(None))
    }

    fn prompts<'a>(&'a mut self, _: &'a PromptQuestion) -> Answer<'a, Option<Vec<Secret<String>>>> {
        Box::pin(std::future::ready(None))
    }

    fn banner(&mut self, _: &[Printable]) {}
}
