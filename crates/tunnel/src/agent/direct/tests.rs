//! One stream over memory.

use std::sync::Mutex;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::*;
use crate::agent::supervise::Connected;
use crate::transport::{
    CloseReason, Connection, ConnectionEnd, OpenRequest, PeerRequest, RefusalCode, memory,
};

/// Makes one memory connection and hands the peer's end to the test.
struct OneConnection {
    peers: mpsc::Sender<Connection>,
    failure: Mutex<Option<ConnectError>>,
}

impl Connect for OneConnection {
    async fn connect(&self) -> Result<Connected, ConnectError> {
        if let Some(error) = self.failure.lock().unwrap().take() {
            return Err(error);
        }
        let (connection, peer, driver) = memory::pair();
        self.peers.send(peer).await.unwrap();
        let task = Box::pin(async {
            driver.run().await;
            None
        });
        Ok(Connected { connection, task })
    }
}

struct Lab {
    peers: mpsc::Receiver<Connection>,
    /// The other end of the standard streams.
    stdio: DuplexStream,
    run: JoinSet<Result<Copied, DirectError>>,
}

impl Lab {
    fn new(failure: Option<ConnectError>) -> Self {
        let (sender, peers) = mpsc::channel(1);
        let (stdio, mut ours) = duplex(1_024);
        let mut run = JoinSet::new();
        run.spawn(async move {
            let connect = OneConnection {
                peers: sender,
                failure: Mutex::new(failure),
            };
            carry(&connect, target(), &mut ours).await
        });
        Self { peers, stdio, run }
    }

    async fn opened(&mut self) -> (Connection, OpenRequest) {
        let mut peer = self.peers.recv().await.unwrap();
        match peer.requests.recv().await {
            Some(PeerRequest::Open(request)) => (peer, request),
            other => panic!("{other:?} instead of a stream"),
        }
    }

    async fn result(&mut self) -> Result<Copied, DirectError> {
        self.run.join_next().await.unwrap().unwrap()
    }
}

fn target() -> Target {
    Target::Tcp {
        host: String::from("db.lan"),
        port: 22,
    }
}

#[tokio::test]
async fn both_halves_are_carried_to_their_ends() {
    for peer_ends_first in [false, true] {
        let mut lab = Lab::new(None);
        let (peer, request) = lab.opened().await;
        assert_eq!(request.head.kind, StreamKind::Direct(target()));
        let mut stream = request.answer.accept();
        let mut got = Vec::new();
        if peer_ends_first {
            stream.write_all(b"banner").await.unwrap();
            stream.shutdown().await.unwrap();
            let mut banner = Vec::new();
            lab.stdio.read_to_end(&mut banner).await.unwrap();
            assert_eq!(banner, b"banner");
            lab.stdio.write_all(b"late question").await.unwrap();
            lab.stdio.shutdown().await.unwrap();
            stream.read_to_end(&mut got).await.unwrap();
        } else {
            lab.stdio.write_all(b"late question").await.unwrap();
            lab.stdio.shutdown().await.unwrap();
            stream.read_to_end(&mut got).await.unwrap();
            stream.write_all(b"banner").await.unwrap();
            stream.shutdown().await.unwrap();
        }
        assert_eq!(got, b"late question");
        drop(stream);
        let copied = lab.result().await.unwrap();
        let end = peer.transport.end().wait().await;
        assert!(matches!(end, ConnectionEnd::Theirs { .. }), "{end}");
        copied.end.unwrap();
        assert_eq!((copied.to_stream, copied.to_socket), (13, 6));
    }
}

#[tokio::test]
async fn a_refusal_names_the_target_and_the_reason() {
    let mut lab = Lab::new(None);
    let (_peer, request) = lab.opened().await;
    let answer = request.answer;
    answer.refuse(RefusalCode::ConnectFailed, "Connection refused");
    let error = lab.result().await.unwrap_err();
    assert_eq!(error.to_string(), "cannot reach db.lan:22 from there");
    assert!(matches!(error, DirectError::Open { .. }), "{error:?}");
}

#[tokio::test]
async fn no_second_attempt_is_made() {
    let mut lab = Lab::new(Some(ConnectError::Handshake("cut".into())));
    let error = lab.result().await.unwrap_err();
    assert!(matches!(error, DirectError::Connect(_)), "{error:?}");
    assert!(lab.peers.recv().await.is_none());
}

#[tokio::test]
async fn a_cut_is_told_from_an_end() {
    let mut lab = Lab::new(None);
    let (peer, request) = lab.opened().await;
    let mut stream = request.answer.accept();
    stream.write_all(b"half").await.unwrap();
    let mut half = [0; 4];
    lab.stdio.read_exact(&mut half).await.unwrap();
    peer.transport.close(CloseReason::Stopping);
    let copied = lab.result().await.unwrap();
    assert!(copied.end.is_err());
}
