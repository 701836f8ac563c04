//! Our client and our server, over a pipe in this process and over a socket.

use std::sync::Arc;
use std::time::Duration;

use adit_ssh::algorithm::SignatureAlgorithm;
use adit_ssh::auth::Method;
use adit_ssh::auth::client::{ClientLogin, Credential, OfferedKey, PromptQuestion, SignQuestion};
use adit_ssh::auth::server::{
    DelaySecret, KeyVerdict, LoginVerdict, PresentedKey, SecurityKeyRules, ServerLogin,
    ServerQuestion,
};
use adit_ssh::connection::{ClientConfig, ServerConfig, TransportConfig};
use adit_ssh::kex::{HostKey, HostKeyOffer};
use adit_ssh::printable::Printable;
use adit_ssh::provider::{Signer, aws_lc};
use adit_ssh::secret::Secret;
use adit_tunnel::transport::ssh::{
    Admission, Answer, Answerer, Carrier, Decision, Driver, HostRefusal, Memory, accept, connect,
    tune,
};
use adit_tunnel::transport::{
    ByteStream, CloseReason, Connection, ConnectionEnd, OpenError, Transport,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::acceptor::{Acceptor, head, head_nowhere};
use crate::suite::{self, Pair};

/// Trusts every host and signs with one key.
pub(crate) struct Trusting(pub(crate) Arc<dyn Signer>);

impl Answerer for Trusting {
    fn host_key<'a>(&'a mut self, _: &'a HostKeyOffer) -> Answer<'a, Result<(), HostRefusal>> {
        Box::pin(async { Ok(()) })
    }

    fn sign<'a>(&'a mut self, question: &'a SignQuestion) -> Answer<'a, Option<Vec<u8>>> {
        Box::pin(async {
            self.0
                .sign(question.algorithm.signature(), &question.data)
                .ok()
        })
    }

    fn password(&mut self, _: usize) -> Answer<'_, Option<Secret<String>>> {
        Box::pin(async { None })
    }

    fn prompts<'a>(&'a mut self, _: &'a PromptQuestion) -> Answer<'a, Option<Vec<Secret<String>>>> {
        Box::pin(async { None })
    }

    fn banner(&mut self, _: &[Printable]) {}
}

/// Lets every key in.
pub(crate) struct Open;

impl Admission for Open {
    fn key<'a>(&'a mut self, _: &'a str, _: &'a PresentedKey) -> Answer<'a, KeyVerdict> {
        Box::pin(async { KeyVerdict::Authorised(SecurityKeyRules::STANDARD) })
    }

    fn login<'a>(&'a mut self, _: &'a ServerQuestion) -> Answer<'a, Decision> {
        Box::pin(async { Decision::Verdict(LoginVerdict::Accept) })
    }
}

/// Both ends of a connection, and what drives each.
async fn log_in<C: Carrier, S: Carrier>(
    client: C,
    server: S,
) -> ((Connection, Driver<C>), (Connection, Driver<S>)) {
    log_in_with(client, server, Memory::of_this_machine()).await
}

/// The same, in memory that others may share.
pub(crate) async fn log_in_with<C: Carrier, S: Carrier>(
    client: C,
    server: S,
    memory: Memory,
) -> ((Connection, Driver<C>), (Connection, Driver<S>)) {
    let user = aws_lc::sign::ed25519(&[1; 32]).unwrap();
    let (client_config, server_config) = configs(user.public_key().blob(), &memory);
    let (mut trusting, mut open) = (Trusting(user), Open);
    let (near, far) = tokio::join!(
        connect(client, client_config, memory.clone(), &mut trusting),
        accept(server, &server_config, memory, &mut open),
    );
    (near.unwrap(), far.unwrap())
}

/// A client that shows that key or certificate, and a server.
pub(crate) fn configs(shown: &[u8], memory: &Memory) -> (ClientConfig, ServerConfig) {
    let provider = Arc::new(aws_lc::provider());
    let host = aws_lc::sign::ed25519(&[2; 32]).unwrap();
    let key = OfferedKey::new(shown.to_vec()).unwrap();
    let client_config = ClientConfig {
        transport: TransportConfig::client(provider.clone(), memory.pool.clone()),
        login: ClientLogin {
            user: String::from("contract"),
            credentials: vec![Credential::Key(key)],
        },
    };
    let server_config = ServerConfig {
        transport: TransportConfig::server(provider.clone(), memory.pool.clone()),
        host_keys: Arc::new([HostKey::plain(host)]),
        login: ServerLogin {
            methods: vec![Method::PublicKey],
            banner: None,
            signature_algorithms: SignatureAlgorithm::ALL.to_vec(),
            anonymous: false,
        },
        delay_secret: DelaySecret::generate(provider.random.as_ref()).unwrap(),
    };
    (client_config, server_config)
}

struct Ssh {
    near: Arc<dyn Transport>,
    acceptor: Acceptor,
    _tasks: JoinSet<()>,
}

impl Ssh {
    async fn over(client: impl Carrier + 'static, server: impl Carrier + 'static) -> Self {
        let ((near, near_driver), (far, far_driver)) = log_in(client, server).await;
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            near_driver.run().await;
        });
        tasks.spawn(async move {
            far_driver.run().await;
        });
        let far_transport = far.transport;
        tasks.spawn(async move {
            far_transport.end().wait().await;
        });
        Self {
            near: near.transport,
            acceptor: Acceptor::new(far.requests),
            _tasks: tasks,
        }
    }

    async fn over_tcp() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (client, server) = tokio::join!(TcpStream::connect(addr), listener.accept());
        let (client, (server, _)) = (client.unwrap(), server.unwrap());
        tune(&client).unwrap();
        tune(&server).unwrap();
        Self::over(client, server).await
    }
}

impl Pair for Ssh {
    type Near = ByteStream;
    type Far = ByteStream;

    async fn dial(&self, token: u16) -> Result<ByteStream, OpenError> {
        self.near.open(head(token)).await
    }

    async fn accept(&self, token: u16) -> ByteStream {
        self.acceptor.accept(token).await
    }

    async fn dial_nowhere(&self) -> Result<ByteStream, OpenError> {
        tokio::select! {
            result = self.near.open(head_nowhere()) => result,
            () = self.acceptor.refuse() => unreachable!(),
        }
    }

    async fn close(&self) {
        self.near.close(CloseReason::Stopping);
        self.near.end().wait().await;
    }
}

#[tokio::test(start_paused = true)]
async fn ssh_keeps_every_promise_over_a_narrow_pipe() {
    suite::all_ours(async || {
        let (client, server) = tokio::io::duplex(10_000);
        Ssh::over(client, server).await
    })
    .await;
}

#[tokio::test]
async fn ssh_keeps_every_promise_over_a_socket_on_one_thread() {
    suite::all_ours(async || Ssh::over_tcp().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ssh_keeps_every_promise_over_a_socket_on_two_threads() {
    suite::all_ours(async || Ssh::over_tcp().await).await;
}

#[tokio::test(start_paused = true)]
async fn ssh_delivers_what_came_before_the_peer_hung_up() {
    let (client, server) = tokio::io::duplex(1 << 20);
    let ((near, near_driver), (far, far_driver)) = log_in(client, server).await;
    let mut near_end = std::pin::pin!(near_driver.run());
    let mut far_task = JoinSet::new();
    far_task.spawn(async move {
        far_driver.run().await;
    });
    let acceptor = Acceptor::new(far.requests);
    let open = async { tokio::join!(near.transport.open(head(1)), acceptor.accept(1)) };
    let (reader, mut writer) = tokio::select! {
        end = &mut near_end => panic!("{end}"),
        both = open => both,
    };
    // The near end stands still: nobody polls it.
    let last = vec![7; 60_000];
    writer.write_all(&last).await.unwrap();
    writer.shutdown().await.unwrap();
    // A paused clock goes on when nobody has anything left to write.
    tokio::time::sleep(Duration::from_millis(1)).await;
    far_task.shutdown().await;
    let mut got = Vec::new();
    let mut reader = reader.unwrap();
    let (read, end) = tokio::join!(reader.read_to_end(&mut got), near_end);
    read.unwrap();
    assert!(got == last, "{} bytes came", got.len());
    assert!(matches!(end, ConnectionEnd::Lost(_)), "{end}");
}
