//! An end of ours that grants forwards as a gateway does: ports are only numbers here, and a visitor
//! is a stream that the test opens.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use adit_tunnel::transport::{
    Bind, ByteStream, Connection, ForwardError, Origin, PeerRequest, Requests, StreamHead,
    StreamKind, Transport,
};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::suite::forwards::Forwards;

/// The end that asks, an end of ours too, and the end that grants.
pub(crate) struct Gateway {
    asking: Arc<dyn Transport>,
    visitors: tokio::sync::Mutex<Requests>,
    pub(crate) granting: Granting,
}

/// The end that grants.
pub(crate) struct Granting {
    transport: Arc<dyn Transport>,
    granted: watch::Receiver<HashSet<u16>>,
    _answering: Mutex<JoinSet<()>>,
}

/// The port that is never granted.
pub(crate) const TAKEN: u16 = 21;
/// A port that is.
pub(crate) const FREE: u16 = 8_080;
/// What port 0 becomes.
const ANY: u16 = 41_000;

fn answer(request: PeerRequest, table: &watch::Sender<HashSet<u16>>) {
    match request {
        PeerRequest::Forward(request) => {
            let port = request.bind.port().unwrap();
            assert_eq!(request.bind, bind(port), "the bind is word for word");
            if port == TAKEN {
                request.answer.refuse();
                return;
            }
            let port = if port == 0 { ANY } else { port };
            let is_new = table.send_if_modified(|table| table.insert(port));
            assert!(is_new, "{port} is asked for twice");
            request.answer.grant(port);
        }
        PeerRequest::Cancel(request) => {
            let port = request.bind.port().unwrap();
            let was_there = table.send_if_modified(|table| table.remove(&port));
            assert!(was_there, "{port} is taken back and was not granted");
            request.answer.done();
        }
        PeerRequest::Open(_) | _ => panic!("{request:?} was never asked"),
    }
}

impl Granting {
    pub(crate) fn new(connection: Connection) -> Self {
        let Connection {
            transport,
            mut requests,
        } = connection;
        let (table, granted) = watch::channel(HashSet::new());
        let mut answering = JoinSet::new();
        answering.spawn(async move {
            while let Some(request) = requests.recv().await {
                answer(request, &table);
            }
        });
        Self {
            transport,
            granted,
            _answering: Mutex::new(answering),
        }
    }

    /// Waits until a forward has been taken back.
    pub(crate) async fn has_lost(&self, port: u16) {
        let mut granted = self.granted.clone();
        let lost = granted.wait_for(|table| !table.contains(&port));
        drop(lost.await.unwrap());
    }

    /// A visitor of a granted port.
    pub(crate) async fn visitor(&self, port: u16) -> ByteStream {
        let is_granted = self.granted.borrow().contains(&port);
        assert!(is_granted, "{port} is not granted");
        let head = StreamHead {
            kind: StreamKind::Forwarded(bind(port)),
            origin: Origin {
                host: String::from("192.0.2.7"),
                port: 5,
            },
        };
        self.transport.open(head).await.unwrap()
    }
}

impl Gateway {
    /// Both ends are ours.
    pub(crate) fn with_ours(near: Connection, far: Connection) -> Self {
        Self {
            asking: near.transport,
            visitors: tokio::sync::Mutex::new(near.requests),
            granting: Granting::new(far),
        }
    }
}

impl Forwards for Gateway {
    type Visitor = ByteStream;
    type Stream = ByteStream;

    async fn ask(&self, port: u16) -> Result<u16, ForwardError> {
        self.asking.forward(bind(port)).await
    }

    fn taken_and_free(&self) -> (u16, u16) {
        (TAKEN, FREE)
    }

    async fn take_back(&self, _: u16, granted: u16) {
        self.asking.cancel(bind(granted)).await.unwrap();
        self.granting.has_lost(granted).await;
    }

    async fn visit(&self, port: u16) -> (ByteStream, ByteStream) {
        let mut visitors = self.visitors.lock().await;
        let accept = async {
            match visitors.recv().await {
                Some(PeerRequest::Open(request)) => {
                    assert_eq!(request.head.kind, StreamKind::Forwarded(bind(port)));
                    request.answer.accept()
                }
                other => panic!("{other:?} instead of a visitor"),
            }
        };
        tokio::join!(self.granting.visitor(port), accept)
    }
}

/// The one address of these tests.
pub(crate) fn bind(port: u16) -> Bind {
    let host = String::from("127.0.0.1");
    Bind::Tcp { host, port }
}
