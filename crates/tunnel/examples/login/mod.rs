//! Our client end, which logs in with one key and asks for one forward, for loads of many such ends.
//!
//! It is told by `--addr ADDR:PORT --user NAME --key FILE`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use adit_ssh::algorithm::KexAlgorithm;
use adit_ssh::auth::client::{ClientLogin, Credential, OfferedKey, PromptQuestion, SignQuestion};
use adit_ssh::connection::{ClientConfig, TransportConfig};
use adit_ssh::kex::HostKeyOffer;
use adit_ssh::printable::Printable;
use adit_ssh::provider::{Signer, aws_lc};
use adit_ssh::secret::Secret;
use adit_tunnel::agent::login::keys;
use adit_tunnel::transport::ssh::{Answer, Answerer, HostRefusal, Memory, connect, tune};
use adit_tunnel::transport::{Bind, Connection};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::arguments::{Arguments, Failure};

/// Where to log in, and how.
pub(crate) struct Login {
    addr: SocketAddr,
    signer: Arc<dyn Signer>,
    /// For every connection.
    pub(crate) config: ClientConfig,
    memory: Memory,
}

impl Login {
    /// Reads the command line and the key, and lets this process have as many files open as it may.
    pub(crate) fn read(arguments: &Arguments) -> Result<Self, Failure> {
        let limit = getrlimit(Resource::Nofile);
        let current = limit.maximum;
        setrlimit(Resource::Nofile, Rlimit { current, ..limit })?;
        let memory = Memory::of_this_machine();
        let signer = keys::read(&arguments.need::<PathBuf>("key")?)?;
        let provider = Arc::new(aws_lc::provider());
        let mut transport = TransportConfig::client(provider, memory.pool.clone());
        transport
            .preferences
            .host_key
            .retain(|algorithm| !algorithm.is_certificate());
        let offered = OfferedKey::new(signer.public_key().blob().to_vec());
        let login = ClientLogin {
            user: arguments.need("user")?,
            credentials: offered.map(Credential::Key).into_iter().collect(),
        };
        Ok(Self {
            addr: arguments.need("addr")?,
            signer,
            config: ClientConfig { transport, login },
            memory,
        })
    }

    /// The one key exchange that is offered.
    pub(crate) fn set_kex(&mut self, name: &str) -> Result<(), Failure> {
        let kex = KexAlgorithm::from_name(name.as_bytes());
        self.config.transport.preferences.kex = vec![kex.ok_or("unknown key exchange")?];
        Ok(())
    }

    /// Logs in and gets a port of the loopback, any if it is 0. Gives the one that was given.
    pub(crate) async fn log_in(
        &self,
        tasks: &mut JoinSet<()>,
        port: u16,
    ) -> Result<(Connection, u16), Failure> {
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
        let host = String::from("127.0.0.1");
        let port = connection.transport.forward(Bind::Tcp { host, port });
        let port = port.await?;
        Ok((connection, port))
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
