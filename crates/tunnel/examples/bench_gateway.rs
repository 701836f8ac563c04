//! Our server end for `cargo xtask bench ssh`: what a stock sshd is there for, and no more.
//!
//! It lets one key log in under any name, grants remote forwards by listening on the loopback, and
//! sends each visitor through its connection. Its first line on stdout is the port it listens on; at
//! the end of each connection it says there what it has cost.
//!
//! `--host-key FILE --authorized FILE.pub [--listen ADDR] [--rekey BYTES]`
#![forbid(unsafe_code)]
#![expect(
    clippy::print_stdout,
    reason = "the port and the costs are what the one who starts it waits for"
)]

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use adit_ssh::algorithm::SignatureAlgorithm;
use adit_ssh::auth::Method;
use adit_ssh::auth::server::{
    Claim, DelaySecret, KeyVerdict, LoginVerdict, PresentedKey, SecurityKeyRules, ServerLogin,
    ServerQuestion,
};
use adit_ssh::connection::{ServerConfig, TransportConfig};
use adit_ssh::kex::HostKey;
use adit_tunnel::agent::forward::Destination;
use adit_tunnel::agent::local;
use adit_tunnel::agent::login::keys;
use adit_tunnel::agent::meter::Meter;
use adit_tunnel::copy::copy;
use adit_tunnel::provider;
use adit_tunnel::transport::ssh::{
    Admission, Answer, Decision, Memory, accept, tune, unpace_on_loopback,
};
use adit_tunnel::transport::{
    Bind, Connection, ForwardRequest, OpenRequest, PeerRequest, StreamHead, StreamKind, Target,
    Transport,
};
use base64ct::{Base64, Encoding as _};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::arguments::{Arguments, Failure};

mod arguments;

/// The product's own, so that its memory is what is measured.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> Result<(), Failure> {
    let arguments = Arguments::read(&["host-key", "authorized", "listen", "rekey"])?;
    raise_open_files()?;
    let memory = Memory::of_this_machine();
    let gateway = Gateway {
        config: Arc::new(config(&arguments, &memory)?),
        memory,
        authorized: Arc::from(blob(&arguments.need::<PathBuf>("authorized")?)?),
    };
    let addr = arguments.find("listen")?;
    let addr = addr.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
    // One thread, as one sshd process for a connection has.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(gateway.run(addr))
}

/// Each idle connection holds a socket and a listener, and thousands of them are measured.
fn raise_open_files() -> Result<(), Failure> {
    let limit = getrlimit(Resource::Nofile);
    let current = limit.maximum;
    setrlimit(Resource::Nofile, Rlimit { current, ..limit })?;
    Ok(())
}

fn config(arguments: &Arguments, memory: &Memory) -> Result<ServerConfig, Failure> {
    let host_key = keys::read(&arguments.need::<PathBuf>("host-key")?)?;
    let provider = Arc::new(provider::of_this_machine());
    let delay_secret = DelaySecret::generate(provider.random.as_ref())?;
    let mut transport = TransportConfig::server(provider, memory.pool.clone());
    transport.rekey.bytes = arguments.find("rekey")?;
    Ok(ServerConfig {
        transport,
        host_keys: Arc::new([HostKey::plain(host_key)]),
        login: ServerLogin {
            methods: vec![Method::PublicKey],
            banner: None,
            signature_algorithms: SignatureAlgorithm::ALL.to_vec(),
            anonymous: false,
        },
        delay_secret,
    })
}

/// The key in a `.pub` file: `ALGORITHM BASE64 COMMENT`.
fn blob(file: &Path) -> Result<Vec<u8>, Failure> {
    let text = std::fs::read_to_string(file)?;
    let base64 = text.split(' ').nth(1).ok_or("no public key in the file")?;
    Ok(Base64::decode_vec(base64.trim())?)
}

#[derive(Clone)]
struct Gateway {
    config: Arc<ServerConfig>,
    memory: Memory,
    authorized: Arc<[u8]>,
}

impl Gateway {
    async fn run(self, addr: IpAddr) -> Result<(), Failure> {
        let listener = TcpListener::bind((addr, 0)).await?;
        println!("{}", listener.local_addr()?.port());
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept() => {
                    let (socket, _) = accepted?;
                    connections.spawn(self.clone().serve(socket));
                }
                Some(_) = connections.join_next() => {}
            }
        }
    }

    async fn serve(self, socket: TcpStream) {
        let mut admission = OneKey(self.authorized);
        if tune(&socket).is_err() {
            return;
        }
        // In a box, so that it takes no room for as long as the connection lasts.
        let login = Box::pin(accept(socket, &self.config, self.memory, &mut admission));
        let Ok((connection, driver)) = login.await else {
            return;
        };
        let Connection {
            transport,
            mut requests,
        } = connection;
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let (_, tally) = driver.run_counted().await;
            println!("{tally}");
        });
        // Ends with the connection, and dropping the tasks ends its listeners and visitors.
        while let Some(request) = requests.recv().await {
            match request {
                PeerRequest::Forward(ForwardRequest { bind, answer }) => {
                    if let Some((listener, port)) = listen(&bind).await {
                        answer.grant(port);
                        let bind = bind.with_port(port);
                        tasks.spawn(forward(listener, bind, Arc::clone(&transport)));
                    }
                }
                PeerRequest::Open(OpenRequest { head, answer }) => {
                    // A probe of its own forward; everybody else is refused by the drop.
                    if let StreamKind::Direct(target) = head.kind
                        && matches!(&target, Target::Tcp { host, .. } if host == "127.0.0.1")
                    {
                        tasks.spawn(async move {
                            let to = Destination::One(target);
                            let visit = Arc::<Meter>::default().visit();
                            drop(local::serve(answer, &to, &visit).await);
                        });
                    }
                }
                // Dropping a request refuses it: no forward is taken back.
                PeerRequest::Cancel(_) | _ => {}
            }
        }
    }
}

/// A listener on the loopback, whatever address was asked for: a measurement has no visitors from
/// elsewhere.
async fn listen(bind: &Bind) -> Option<(TcpListener, u16)> {
    let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, bind.port()?));
    let listener = TcpListener::bind(addr).await.ok()?;
    let port = listener.local_addr().ok()?.port();
    Some((listener, port))
}

async fn forward(listener: TcpListener, bind: Bind, transport: Arc<dyn Transport>) {
    let mut visitors = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((socket, addr)) = accepted else { return };
                let head = StreamHead {
                    kind: StreamKind::Forwarded(bind.clone()),
                    origin: addr.into(),
                };
                visitors.spawn(visit(socket, head, Arc::clone(&transport)));
            }
            Some(_) = visitors.join_next() => {}
        }
    }
}

async fn visit(mut socket: TcpStream, head: StreamHead, transport: Arc<dyn Transport>) {
    if socket.set_nodelay(true).is_err() {
        return;
    }
    unpace_on_loopback(&socket);
    let Ok(stream) = transport.open(head).await else {
        return;
    };
    if copy(stream, &mut socket).await.end.is_err() {
        // So that the visitor can tell a reset from an end; a socket that cannot is reset anyway.
        drop(socket.set_zero_linger());
    }
}

/// Lets the owner of one key in.
struct OneKey(Arc<[u8]>);

impl Admission for OneKey {
    fn key<'a>(&'a mut self, _: &'a str, key: &'a PresentedKey) -> Answer<'a, KeyVerdict> {
        let verdict = if *key.blob == *self.0 {
            KeyVerdict::Authorised(SecurityKeyRules::STANDARD)
        } else {
            KeyVerdict::Refused
        };
        Box::pin(std::future::ready(verdict))
    }

    fn login<'a>(&'a mut self, question: &'a ServerQuestion) -> Answer<'a, Decision> {
        let is_proved =
            matches!(&question.claim, Claim::ProvedKey { key, .. } if *key.blob == *self.0);
        let verdict = if is_proved {
            LoginVerdict::Accept
        } else {
            LoginVerdict::Reject
        };
        Box::pin(std::future::ready(Decision::Verdict(verdict)))
    }
}
