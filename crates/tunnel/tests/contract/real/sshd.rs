//! Our client and a stock sshd.

use std::sync::Arc;

use adit_testkit::sshd::Sshd;
use adit_testkit::{require, wait};
use adit_tunnel::transport::ssh::{Memory, connect, tune};
use adit_tunnel::transport::{
    ByteStream, CloseReason, Connection, ForwardError, OpenError, Origin, PeerRequest, Requests,
    StreamHead, StreamKind, Target, Transport,
};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::label::{Reserved, Sorted, label};
use crate::gateway::bind;
use crate::login;
use crate::suite::forwards::{self, Forwards};
use crate::suite::{self, Pair};

/// An sshd where our client is logged in.
struct AtSshd {
    sshd: Sshd,
    _task: JoinSet<()>,
}

impl AtSshd {
    async fn log_in() -> (Connection, Self) {
        let sshd = Sshd::builder()
            .config_line("AllowTcpForwarding yes")
            .start();
        sshd.authorize(&login::user_key().public_key().to_openssh_text());
        let memory = Memory::of_this_machine();
        let (config, mut trusting) = login::client(sshd.user(), &memory);
        let socket = TcpStream::connect(sshd.addr()).await.unwrap();
        tune(&socket).unwrap();
        let connected = connect(socket, config, memory, &mut trusting).await;
        let (connection, driver) = connected.unwrap();
        let mut task = JoinSet::new();
        task.spawn(async move {
            driver.run().await;
        });
        (connection, Self { sshd, _task: task })
    }

    /// Closes the connection and waits until sshd has noticed.
    async fn close(&self, transport: &dyn Transport) {
        transport.close(CloseReason::Stopping);
        transport.end().wait().await;
        wait::until_async("sshd has ended its connection", || async {
            match self.sshd.connection_count() {
                0 => Ok(()),
                left => Err(left),
            }
        })
        .await;
    }
}

/// Streams that our client opens, to a service that sshd dials.
struct Opened {
    transport: Arc<dyn Transport>,
    at: AtSshd,
    service: Sorted<TcpStream>,
    service_port: u16,
    nowhere: Reserved,
}

impl Opened {
    async fn new() -> Self {
        let (service, service_port) = Sorted::service().await;
        let (connection, at) = AtSshd::log_in().await;
        Self {
            transport: connection.transport,
            at,
            service,
            service_port,
            nowhere: Reserved::new(),
        }
    }

    async fn open(&self, port: u16) -> Result<ByteStream, OpenError> {
        let host = String::from("127.0.0.1");
        let head = StreamHead {
            kind: StreamKind::Direct(Target::Tcp { host, port }),
            origin: Origin {
                host: String::from("127.0.0.1"),
                port: 40_000,
            },
        };
        self.transport.open(head).await
    }
}

impl Pair for Opened {
    type Near = ByteStream;
    type Far = TcpStream;

    async fn dial(&self, token: u16) -> Result<ByteStream, OpenError> {
        let stream = self.open(self.service_port).await?;
        label(stream, token).await.map_err(|_| OpenError::Closed)
    }

    async fn accept(&self, token: u16) -> TcpStream {
        self.service.accept(token).await
    }

    async fn dial_nowhere(&self) -> Result<ByteStream, OpenError> {
        self.open(self.nowhere.port()).await
    }

    async fn close(&self) {
        self.at.close(&*self.transport).await;
    }
}

/// Streams that sshd opens, for visitors of a port where it listens for us.
struct Visited {
    transport: Arc<dyn Transport>,
    at: AtSshd,
    port: u16,
    visitors: Sorted<ByteStream>,
}

impl Visited {
    async fn new() -> Self {
        let (connection, at) = AtSshd::log_in().await;
        let Connection {
            transport,
            requests,
        } = connection;
        let port = transport.forward(bind(0)).await.unwrap();
        Self {
            transport,
            at,
            port,
            visitors: Sorted::visitors(requests),
        }
    }
}

impl Pair for Visited {
    type Near = TcpStream;
    type Far = ByteStream;

    async fn dial(&self, token: u16) -> Result<TcpStream, OpenError> {
        let visitor = TcpStream::connect(("127.0.0.1", self.port)).await;
        let visitor = visitor.map_err(|_| OpenError::Closed)?;
        label(visitor, token).await.map_err(|_| OpenError::Closed)
    }

    async fn accept(&self, token: u16) -> ByteStream {
        self.visitors.accept(token).await
    }

    async fn dial_nowhere(&self) -> Result<TcpStream, OpenError> {
        unreachable!("a visitor is not told why nobody serves it")
    }

    async fn close(&self) {
        self.at.close(&*self.transport).await;
    }
}

/// Forwards that sshd grants.
struct Granted {
    transport: Arc<dyn Transport>,
    requests: tokio::sync::Mutex<Requests>,
    taken: std::net::TcpListener,
    free: Reserved,
    _at: AtSshd,
}

impl Granted {
    async fn new() -> Self {
        let (connection, at) = AtSshd::log_in().await;
        Self {
            transport: connection.transport,
            requests: tokio::sync::Mutex::new(connection.requests),
            taken: std::net::TcpListener::bind("127.0.0.1:0").unwrap(),
            free: Reserved::new(),
            _at: at,
        }
    }
}

impl Forwards for Granted {
    type Visitor = TcpStream;
    type Stream = ByteStream;

    async fn ask(&self, port: u16) -> Result<u16, ForwardError> {
        self.transport.forward(bind(port)).await
    }

    fn taken_and_free(&self) -> (u16, u16) {
        let taken = self.taken.local_addr().unwrap().port();
        (taken, self.free.port())
    }

    async fn take_back(&self, _: u16, granted: u16) {
        self.transport.cancel(bind(granted)).await.unwrap();
        wait::until_async("sshd listens no more", || async {
            match TcpStream::connect(("127.0.0.1", granted)).await {
                Ok(_) => Err("it listens"),
                Err(_) => Ok(()),
            }
        })
        .await;
    }

    async fn visit(&self, port: u16) -> (TcpStream, ByteStream) {
        let mut requests = self.requests.lock().await;
        let visitor = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        match requests.recv().await {
            Some(PeerRequest::Open(request)) => {
                assert_eq!(request.head.kind, StreamKind::Forwarded(bind(port)));
                (visitor, request.answer.accept())
            }
            other => panic!("{other:?} instead of a visitor"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_that_our_client_opens_at_sshd_keep_their_promises() {
    require!("sshd", "ssh-keygen");
    suite::streams(async || Opened::new().await).await;
    suite::opens(async || Opened::new().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_of_visitors_of_sshd_keep_their_promises() {
    require!("sshd", "ssh-keygen");
    suite::streams(async || Visited::new().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forwards_that_sshd_grants_keep_their_promises() {
    require!("sshd", "ssh-keygen");
    forwards::all(&Granted::new().await).await;
}
