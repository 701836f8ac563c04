//! The far end, where it is ours: sorts the streams that it is asked to accept.

use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::Mutex;
use std::task::{Poll, Waker};

use adit_tunnel::transport::{
    ByteStream, OpenRequest, Origin, PeerRequest, RefusalCode, Requests, StreamHead, StreamKind,
    Target,
};

/// Accepts what an end of ours is asked to open, by the token that [`head`] carries.
pub(crate) struct Acceptor {
    inside: Mutex<Inside>,
}

struct Inside {
    requests: Requests,
    waiting: HashMap<u16, OpenRequest>,
    callers: Vec<Waker>,
}

/// The port that [`Acceptor`] refuses.
pub(crate) const NOWHERE: u16 = 1;

impl Acceptor {
    pub(crate) fn new(requests: Requests) -> Self {
        Self {
            inside: Mutex::new(Inside {
                requests,
                waiting: HashMap::new(),
                callers: Vec::new(),
            }),
        }
    }

    /// The stream of that token, when it comes. Others wait for their own call.
    pub(crate) async fn accept(&self, token: u16) -> ByteStream {
        poll_fn(|cx| {
            let mut inside = self.inside.lock().unwrap();
            let mut has_more = false;
            while let Poll::Ready(Some(request)) = inside.requests.poll_recv(cx) {
                inside.sort(request);
                has_more = true;
            }
            if has_more {
                inside.callers.drain(..).for_each(Waker::wake);
            }
            if let Some(request) = inside.waiting.remove(&token) {
                return Poll::Ready(request.answer.accept());
            }
            inside.callers.push(cx.waker().clone());
            Poll::Pending
        })
        .await
    }

    /// Refuses streams to [`NOWHERE`] for as long as it is polled.
    pub(crate) async fn refuse(&self) {
        let _never: ByteStream = self.accept(u16::MAX).await;
    }
}

impl Inside {
    fn sort(&mut self, request: PeerRequest) {
        let PeerRequest::Open(request) = request else {
            panic!("{request:?} was never asked");
        };
        let StreamKind::Direct(Target::Tcp { port, .. }) = request.head.kind else {
            panic!("{request:?} was never opened");
        };
        if port == NOWHERE {
            let answer = request.answer;
            answer.refuse(RefusalCode::ConnectFailed, "nothing listens there");
        } else {
            self.waiting.insert(port - FIRST_PORT, request);
        }
    }
}

/// Tokens travel as ports from here on.
const FIRST_PORT: u16 = 10_000;

/// The head of a stream of that token.
pub(crate) fn head(token: u16) -> StreamHead {
    head_to(FIRST_PORT + token)
}

/// The head of a stream that is refused.
pub(crate) fn head_nowhere() -> StreamHead {
    head_to(NOWHERE)
}

fn head_to(port: u16) -> StreamHead {
    StreamHead {
        kind: StreamKind::Direct(Target::Tcp {
            host: String::from("contract.test"),
            port,
        }),
        origin: Origin {
            host: String::from("127.0.0.1"),
            port: 40_000,
        },
    }
}
