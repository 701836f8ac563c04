//! Sorts streams by the token that each begins with.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex};

use adit_tunnel::transport::{ByteStream, PeerRequest, Requests};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::suite::Io;

/// Streams that have said their token and wait for who accepts them.
pub(crate) struct Sorted<T> {
    shelf: Arc<Shelf<T>>,
    _sorting: JoinSet<()>,
}

struct Shelf<T> {
    streams: Mutex<HashMap<u16, T>>,
    news: Notify,
}

impl<T: Io> Sorted<T> {
    /// Sorts what arrives. It ends when `arrive` gives nothing.
    pub(crate) fn new<F>(mut arrive: impl FnMut() -> F + Send + 'static) -> Self
    where
        F: Future<Output = Option<T>> + Send,
    {
        let shelf = Arc::new(Shelf {
            streams: Mutex::new(HashMap::new()),
            news: Notify::new(),
        });
        let (mut sorting, put) = (JoinSet::new(), Arc::clone(&shelf));
        sorting.spawn(async move {
            let mut labels = JoinSet::new();
            while let Some(mut stream) = arrive().await {
                let put = Arc::clone(&put);
                labels.spawn(async move {
                    // One that is given up before its token came is nobody's.
                    if let Ok(token) = stream.read_u16().await {
                        put.streams.lock().unwrap().insert(token, stream);
                        put.news.notify_waiters();
                    }
                });
            }
            labels.join_all().await;
        });
        Self {
            shelf,
            _sorting: sorting,
        }
    }

    /// The stream of that token, when it comes.
    pub(crate) async fn accept(&self, token: u16) -> T {
        loop {
            let mut news = std::pin::pin!(self.shelf.news.notified());
            news.as_mut().enable();
            let stream = self.shelf.streams.lock().unwrap().remove(&token);
            if let Some(stream) = stream {
                return stream;
            }
            news.await;
        }
    }
}

impl Sorted<TcpStream> {
    /// Sorts the visitors of a service of this process; its port comes with it.
    pub(crate) async fn service() -> (Self, u16) {
        let (listener, port) = listen().await;
        let listener = Arc::new(listener);
        let sorted = Self::new(move || {
            let listener = Arc::clone(&listener);
            async move { listener.accept().await.ok().map(|(stream, _)| stream) }
        });
        (sorted, port)
    }
}

impl Sorted<ByteStream> {
    /// Sorts what the peer of a connection opens.
    pub(crate) fn visitors(requests: Requests) -> Self {
        let requests = Arc::new(tokio::sync::Mutex::new(requests));
        Self::new(move || {
            let requests = Arc::clone(&requests);
            async move {
                let request = requests.lock().await.recv().await?;
                let PeerRequest::Open(request) = request else {
                    panic!("{request:?} is no visitor");
                };
                Some(request.answer.accept())
            }
        })
    }
}

/// A listener on a port that the system chose.
pub(crate) async fn listen() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

/// Begins a stream with its token.
pub(crate) async fn label<T: Io>(mut stream: T, token: u16) -> io::Result<T> {
    stream.write_u16(token).await?;
    stream.flush().await?;
    Ok(stream)
}

/// A port that is nobody's while this lives: bound, and not listened at. A program that sets
/// SO_REUSEADDR, as sshd does, may listen there all the same.
pub(crate) struct Reserved(socket2::Socket);

impl Reserved {
    pub(crate) fn new() -> Self {
        use socket2::{Domain, Socket, Type};

        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_reuse_address(true).unwrap();
        let addr = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
        socket.bind(&addr.into()).unwrap();
        Self(socket)
    }

    pub(crate) fn port(&self) -> u16 {
        let addr = self.0.local_addr().unwrap();
        addr.as_socket().unwrap().port()
    }
}
