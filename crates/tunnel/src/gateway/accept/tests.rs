use super::*;

/// What the future of a function takes, in bytes.
fn size<A, B, C, D, F: Future>(_: impl Fn(A, B, C, D) -> F) -> usize {
    size_of::<F>()
}

/// Tasks of a connection are as large as the most that they ever do: with the way in inside them, or the connection's
/// state by value in each of them, an idle tunnel costs twice as much.
#[test]
fn the_tasks_of_a_connection_keep_no_room_for_what_is_over() {
    let serving = size(serve);
    let driving = size(|driver: Driver<Sourced>, (), (), ()| driver.run());
    assert!(serving <= 4_096, "serving: {serving} bytes");
    assert!(driving <= 1_024, "driving: {driving} bytes");
}

/// A flood at one listener keeps nobody out of another: each has its turn.
#[tokio::test]
async fn listeners_take_turns() {
    let flooded = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let quiet = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (crowd, one) = (flooded.local_addr().unwrap(), quiet.local_addr().unwrap());
    let mut waiting = Vec::new();
    for to in [crowd; 8] {
        waiting.push(TcpStream::connect(to).await.unwrap());
    }
    let visitor = TcpStream::connect(one).await.unwrap();
    let mut listeners = Listeners {
        sockets: vec![flooded, quiet],
        first: 0,
    };
    let totals = Totals::default();
    let mut came = Vec::new();
    for _ in 0..2 {
        came.push(listeners.next(&totals).await.1);
    }
    assert!(came.contains(&visitor.local_addr().unwrap()), "{came:?}");
}
