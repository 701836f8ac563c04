//! Our client and our server, over a pipe in this process and over a socket.

use std::sync::Arc;
use std::time::Duration;

use adit_tunnel::copy::copy;
use adit_tunnel::transport::ssh::{Carrier, Driver, Memory, accept, connect, tune};
use adit_tunnel::transport::{
    ByteStream, CloseReason, Connection, ConnectionEnd, OpenError, Transport,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::acceptor::{Acceptor, head, head_nowhere};
use crate::gateway::Gateway;
use crate::login;
use crate::suite::{self, Pair, forwards};

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
    let (client_config, mut trusting) = login::client("contract", &memory);
    let (server_config, mut open) = login::server(&memory);
    let (near, far) = tokio::join!(
        connect(client, client_config, memory.clone(), &mut trusting),
        accept(server, &server_config, memory, &mut open),
    );
    (near.unwrap(), far.unwrap())
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
        let (client, server) = tcp().await;
        tune(&client).unwrap();
        tune(&server).unwrap();
        Self::over(client, server).await
    }
}

/// Two ends of a TCP connection.
async fn tcp() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let (client, server) = tokio::join!(TcpStream::connect(addr), listener.accept());
    (client.unwrap(), server.unwrap().0)
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
async fn ssh_keeps_its_promises_about_forwards() {
    let (client, server) = tokio::io::duplex(10_000);
    let ((near, near_driver), (far, far_driver)) = log_in(client, server).await;
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        near_driver.run().await;
    });
    tasks.spawn(async move {
        far_driver.run().await;
    });
    forwards::all(&Gateway::with_ours(near, far)).await;
}

/// One copy of a byte besides the cipher at most, and one wake for a stream and turn.
#[tokio::test]
async fn bulk_is_copied_once_at_most_and_wakes_once_a_turn() {
    let (client, server) = tcp().await;
    tune(&client).unwrap();
    tune(&server).unwrap();
    Box::pin(bulk_keeps_the_promises_of_costs(client, server)).await;
    // A packet comes in one piece, in two, in a few, and in very many.
    for pipe_bytes in [100_000, 33_000, 20_000, 10_000, 300] {
        let (client, server) = tokio::io::duplex(pipe_bytes);
        Box::pin(bulk_keeps_the_promises_of_costs(client, server)).await;
    }
}

async fn bulk_keeps_the_promises_of_costs(client: impl Carrier, server: impl Carrier) {
    const BYTES: usize = 4 << 20;
    let ((near, near_driver), (far, far_driver)) = log_in(client, server).await;
    let acceptor = Acceptor::new(far.requests);
    let work = async {
        let (near_stream, far_stream) =
            tokio::join!(near.transport.open(head(1)), acceptor.accept(1));
        let ((mut near_socket, mut visitor), (mut far_socket, mut service)) =
            tokio::join!(tcp(), tcp());
        let write = async {
            visitor.write_all(&vec![7; BYTES]).await.unwrap();
            visitor.shutdown().await.unwrap();
        };
        let read = async {
            let mut got = Vec::new();
            service.read_to_end(&mut got).await.unwrap();
            service.shutdown().await.unwrap();
            assert_eq!(got.len(), BYTES);
        };
        let (near_copied, far_copied, (), ()) = tokio::join!(
            copy(near_stream.unwrap(), &mut near_socket),
            copy(far_stream, &mut far_socket),
            write,
            read,
        );
        near_copied.end.unwrap();
        far_copied.end.unwrap();
        near.transport.close(CloseReason::Stopping);
    };
    let ((_, near), (_, far), ()) =
        tokio::join!(near_driver.run_counted(), far_driver.run_counted(), work);
    for tally in [near, far] {
        assert_eq!(tally.payload_bytes, 4 << 20);
        // Packets are longer than their payload: by 6 % at 600 bytes, which is what a quick reader of
        // the visitor's socket finds in it.
        let most = tally.payload_bytes / 16 * 17;
        assert!(tally.copied_bytes <= most, "{tally}");
        assert!(tally.turns > 0 && tally.wakes > 0, "{tally}");
        assert!(tally.wakes <= tally.stream_turns, "{tally}");
    }
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
