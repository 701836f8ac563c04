//! A server of names on loopback, upstreams behind it, and visitors.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use adit_edge::access::Access;
use adit_edge::dial::{Carrier, Dial, DialError, Later};
use adit_edge::http::{HttpServer, Parts, Place, RequestEntry, RequestLog, Settings};
use adit_edge::route::{Balance, Route, Routes, Upstream};
use adit_edge::tls::{Certificates, Certified, Tls, certified};
use adit_edge::visitor::Visitor;
use adit_model::id::PrincipalId;
use adit_model::lease::Holding;
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::sync::CancellationToken;

/// Leads port N to where the test says.
#[derive(Debug, Default)]
pub(crate) struct ByPort {
    pub(crate) ports: Mutex<HashMap<u16, SocketAddr>>,
    pub(crate) dialled: Mutex<Vec<Visitor>>,
}

impl Dial for ByPort {
    fn dial<'a>(&'a self, visitor: &'a Visitor) -> Later<'a, Result<Carrier, DialError>> {
        self.dialled.lock().unwrap().push(visitor.clone());
        let Holding::Port(port) = &visitor.holding else {
            panic!("another holding");
        };
        let found = self.ports.lock().unwrap().get(port).copied();
        Box::pin(async move {
            let Some(address) = found else {
                return Err(DialError::Unserved {
                    reason: String::from("away"),
                });
            };
            let socket = TcpStream::connect(address).await;
            socket.map(Carrier::Tcp).map_err(DialError::Unreachable)
        })
    }
}

/// Keeps the lines.
#[derive(Debug, Default)]
pub(crate) struct Lines(pub(crate) Mutex<Vec<String>>);

impl RequestLog for Lines {
    fn answered(&self, entry: &RequestEntry<'_>) {
        let line = format!(
            "{} {} {} {} {} {}{}",
            entry.method,
            entry.host,
            entry.target.path(),
            entry.status.as_u16(),
            entry.from_visitor,
            entry.to_visitor,
            if entry.is_whole { "" } else { " cut" }
        );
        self.0.lock().unwrap().push(line);
    }
}

/// One certificate for all names under `test`.
#[derive(Debug)]
pub(crate) struct Shelf(Arc<Certified>);

impl Certificates for Shelf {
    fn find(&self, name: Option<&str>) -> Option<Arc<Certified>> {
        let is_ours = name.is_none_or(|name| name.rsplit('.').next() == Some("test"));
        is_ours.then(|| Arc::clone(&self.0))
    }
}

/// A running server.
pub(crate) struct Stand {
    pub(crate) server: Arc<HttpServer>,
    pub(crate) address: SocketAddr,
    /// By TLS.
    pub(crate) secure: SocketAddr,
    /// What its certificate is trusted by.
    pub(crate) roots: Arc<RootCertStore>,
    pub(crate) dial: Arc<ByPort>,
    pub(crate) lines: Arc<Lines>,
    stop: CancellationToken,
    running: JoinSet<std::io::Result<()>>,
    _routes: watch::Sender<Arc<Routes>>,
}

pub(crate) fn route(name: &str, tenant: i64, members: &[u16]) -> Route {
    Route {
        name: name.into(),
        tenant: Some(PrincipalId::new(tenant)),
        upstream: Upstream {
            members: members.iter().copied().map(Holding::Port).collect(),
            balance: Balance::Failover,
        },
        access: Access::everyone(),
        any_upgrade: false,
    }
}

impl Stand {
    pub(crate) fn new(routes: Vec<Route>, settings: Settings) -> Self {
        let dial = Arc::<ByPort>::default();
        let lines = Arc::<Lines>::default();
        let (sender, receiver) = watch::channel(Arc::new(Routes::new(routes)));
        let names = ["app.test", "other.test", "more.test", "*.wild.test"];
        let made = rcgen::generate_simple_self_signed(names.map(String::from)).unwrap();
        let chain = [made.cert.der().to_vec()];
        let key = certified(&chain, &made.signing_key.serialize_der()).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(chain[0].clone())).unwrap();
        let parts = Parts {
            routes: receiver,
            dial: dial.clone(),
            log: lines.clone(),
            tls: Some(Tls::new(Arc::new(Shelf(Arc::new(key)))).unwrap()),
        };
        let place = |is_secure| Place {
            address: "127.0.0.1:0".parse().unwrap(),
            is_secure,
        };
        let places = [place(false), place(true)];
        let server = Arc::new(HttpServer::bind(parts, settings, &places).unwrap());
        let stop = CancellationToken::new();
        let mut running = JoinSet::new();
        running.spawn({
            let (server, stop) = (server.clone(), stop.clone());
            async move { server.run(&stop, Duration::from_secs(10)).await }
        });
        Self {
            address: server.addresses()[0],
            secure: server.addresses()[1],
            roots: Arc::new(roots),
            server,
            dial,
            lines,
            _routes: sender,
            stop,
            running,
        }
    }

    pub(crate) fn usual() -> Self {
        Self::new(vec![route("app.test", 1, &[1])], Settings::default())
    }

    /// An upstream at port N, which each connection is handed to.
    pub(crate) async fn upstream<F, R>(&self, port: u16, serve: F) -> JoinSet<()>
    where
        F: Fn(TcpStream) -> R + Send + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        self.dial.ports.lock().unwrap().insert(port, address);
        let mut upstream = JoinSet::new();
        upstream.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                connections.spawn(serve(socket));
            }
        });
        upstream
    }

    pub(crate) async fn visitor(&self) -> Talk {
        Talk::new(TcpStream::connect(self.address).await.unwrap())
    }

    /// What a visitor by TLS is set up with.
    pub(crate) fn client(&self, protocols: &[&str]) -> rustls::ClientConfig {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(Arc::clone(&self.roots))
            .with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|it| it.as_bytes().to_vec()).collect();
        config
    }

    /// A connection for that name.
    pub(crate) async fn secured(
        &self,
        config: Arc<rustls::ClientConfig>,
        name: &str,
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let socket = TcpStream::connect(self.secure).await.unwrap();
        socket.set_nodelay(true).unwrap();
        let name = ServerName::try_from(String::from(name)).unwrap();
        TlsConnector::from(config).connect(name, socket).await
    }

    /// A visitor by TLS who speaks HTTP/1.1.
    pub(crate) async fn secure_visitor(&self, name: &str) -> Talk<TlsStream<TcpStream>> {
        let config = Arc::new(self.client(&["http/1.1"]));
        Talk::new(self.secured(config, name).await.unwrap())
    }

    /// A visitor by TLS who is about to speak HTTP/2.
    pub(crate) async fn visitor_of_http2(&self, name: &str) -> TlsStream<TcpStream> {
        let config = Arc::new(self.client(&["h2"]));
        self.secured(config, name).await.unwrap()
    }

    pub(crate) async fn end(mut self) {
        self.stop.cancel();
        self.running.join_next().await.unwrap().unwrap().unwrap();
        assert_eq!(self.server.counts().connections, 0);
    }
}

/// One end of a conversation in HTTP/1.1, byte by byte.
pub(crate) struct Talk<S = TcpStream> {
    pub(crate) socket: S,
    pub(crate) read: Vec<u8>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Talk<S> {
    pub(crate) fn new(socket: S) -> Self {
        Self {
            socket,
            read: Vec::new(),
        }
    }

    pub(crate) async fn say(&mut self, text: impl AsRef<[u8]>) {
        self.socket.write_all(text.as_ref()).await.unwrap();
    }

    async fn more(&mut self) -> bool {
        let mut bytes = [0; 4096];
        let read = self.socket.read(&mut bytes);
        let read = tokio::time::timeout(Duration::from_secs(20), read)
            .await
            .expect("nothing was said in time")
            .unwrap_or(0);
        self.read.extend_from_slice(&bytes[..read]);
        read > 0
    }

    /// The next head, without its last empty line; nothing at the end.
    pub(crate) async fn head(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.read.windows(4).position(|four| four == b"\r\n\r\n") {
                let rest = self.read.split_off(end + 4);
                let head = std::mem::replace(&mut self.read, rest);
                return Some(String::from_utf8_lossy(&head[..end]).into_owned());
            }
            if !self.more().await {
                return None;
            }
        }
    }

    pub(crate) async fn bytes(&mut self, count: usize) -> Vec<u8> {
        while self.read.len() < count {
            assert!(self.more().await, "it ended early");
        }
        let rest = self.read.split_off(count);
        std::mem::replace(&mut self.read, rest)
    }

    /// All until the end.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        while self.more().await {}
        std::mem::take(&mut self.read)
    }

    /// The next answer with a length: head and body.
    pub(crate) async fn answer(&mut self) -> (String, String) {
        let head = self.head().await.expect("no answer");
        let length = field(&head, "content-length").map_or(0, |length| length.parse().unwrap());
        let body = self.bytes(length).await;
        (head, String::from_utf8(body).unwrap())
    }
}

/// The value of a field in a head.
pub(crate) fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().skip(1).find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

/// Answers each request with its own head as the body.
pub(crate) async fn echo_heads(socket: TcpStream) {
    let mut talk = Talk::new(socket);
    while let Some(head) = talk.head().await {
        let length = field(&head, "content-length").map_or(0, |length| length.parse().unwrap());
        talk.bytes(length).await;
        let answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{head}",
            head.len()
        );
        talk.say(answer).await;
    }
}
