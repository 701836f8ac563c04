//! A server with one listener, a service behind it and a log that is kept.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use adit_edge::access::Access;
use adit_edge::access_log::{AccessLog, Entry};
use adit_edge::dial::{Carrier, Dial, DialError, Later};
use adit_edge::listen::Listener;
use adit_edge::proxy_protocol::{Balancers, Version};
use adit_edge::rule::{Rule, Rules};
use adit_edge::stream::{Service, Settings, StreamServer};
use adit_edge::visitor::Visitor;
use adit_model::lease::Holding;
use adit_model::port::PortSet;
use adit_testkit::wait;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Dials one address.
#[derive(Debug)]
pub(crate) struct To {
    pub(crate) address: SocketAddr,
    pub(crate) is_socket: bool,
}

impl Dial for To {
    fn dial<'a>(&'a self, _: &'a Visitor) -> Later<'a, Result<Carrier, DialError>> {
        Box::pin(async move {
            let socket = TcpStream::connect(self.address)
                .await
                .map_err(DialError::Unreachable)?;
            Ok(if self.is_socket {
                Carrier::Tcp(socket)
            } else {
                // A tunnel's stream that is dropped resets; so does this one.
                socket.set_zero_linger().map_err(DialError::Unreachable)?;
                Carrier::other(socket)
            })
        })
    }
}

/// What is remembered of each visitor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) visitor: Visitor,
    pub(crate) from_visitor: u64,
    pub(crate) to_visitor: u64,
    pub(crate) end: String,
}

#[derive(Debug, Default)]
pub(crate) struct Kept(Mutex<Vec<Line>>);

impl AccessLog for Kept {
    fn left(&self, entry: &Entry<'_>) {
        assert!(entry.lasted < Duration::from_secs(300));
        let mut end = entry.end.to_string();
        if let Some(cause) = std::error::Error::source(entry.end) {
            end = format!("{end}: {cause}");
        }
        self.0.lock().unwrap().push(Line {
            visitor: entry.visitor.clone(),
            from_visitor: entry.from_visitor,
            to_visitor: entry.to_visitor,
            end,
        });
    }
}

impl Kept {
    /// The lines so far.
    pub(crate) fn so_far(&self) -> Vec<Line> {
        self.0.lock().unwrap().clone()
    }

    /// The lines, once there are so many.
    pub(crate) async fn lines(&self, number: usize) -> Vec<Line> {
        wait::until_async("lines of the access log", || async {
            let lines = self.so_far();
            if lines.len() == number {
                Ok(lines)
            } else {
                Err(lines.into_iter().last())
            }
        })
        .await
    }
}

/// A server that is running.
pub(crate) struct Lab {
    pub(crate) server: StreamServer,
    pub(crate) address: SocketAddr,
    pub(crate) log: Arc<Kept>,
    pub(crate) rules: watch::Sender<Arc<Rules>>,
    pub(crate) rule: Rule,
    pub(crate) stop: CancellationToken,
    pub(crate) serving: JoinSet<()>,
}

/// What is unlike the usual.
pub(crate) struct Options {
    pub(crate) settings: Settings,
    pub(crate) balancers: Option<&'static str>,
    pub(crate) announce: Option<Version>,
    pub(crate) bind: &'static str,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            settings: Settings::within(4_096),
            balancers: None,
            announce: None,
            bind: "127.0.0.1:0",
        }
    }
}

impl Lab {
    pub(crate) fn start(dial: impl Dial + 'static, options: &Options) -> Self {
        let log = Arc::<Kept>::default();
        let server = StreamServer::new(
            Arc::new(dial),
            Arc::clone(&log) as Arc<dyn AccessLog>,
            options.settings,
        );
        let socket = std::net::TcpListener::bind(options.bind).unwrap();
        let address = socket.local_addr().unwrap();
        let rule = Rule {
            access: Access::everyone(),
            balancers: options
                .balancers
                .map(|network| Balancers::new(vec![network.parse().unwrap()]).unwrap()),
            announce: options.announce,
        };
        let (rules, watched) = watch::channel(everywhere(rule.clone()));
        let stop = CancellationToken::new();
        let service = Service {
            holding: Holding::Port(address.port()),
            rules: watched,
        };
        let mut serving = JoinSet::new();
        serving.spawn(server.serve(vec![Listener::tcp(socket).unwrap()], service, &stop));
        Self {
            server,
            address,
            log,
            rules,
            rule,
            stop,
            serving,
        }
    }

    /// Whom it lets in from here on.
    pub(crate) fn admit(&self, access: Access) {
        self.rules.send_replace(everywhere(Rule {
            access,
            ..self.rule.clone()
        }));
    }

    /// A server whose service is at that listener.
    pub(crate) fn before(service: &TcpListener, is_socket: bool, options: &Options) -> Self {
        let address = service.local_addr().unwrap();
        Self::start(To { address, is_socket }, options)
    }

    /// A visitor, and the service's end of their byte stream.
    pub(crate) async fn visit(&self, service: &TcpListener) -> (TcpStream, TcpStream) {
        let visitor = TcpStream::connect(self.address).await.unwrap();
        let (served, _) = service.accept().await.unwrap();
        (visitor, served)
    }
}

/// That rule for every port.
pub(crate) fn everywhere(rule: Rule) -> Arc<Rules> {
    Arc::new(Rules::new([(PortSet::all(), rule)]))
}

/// A listener on loopback.
pub(crate) async fn listen() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.unwrap()
}
