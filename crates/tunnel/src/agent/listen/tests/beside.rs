//! A listener beside a tunnel, over connections that come and go.

use super::*;

#[tokio::test]
async fn a_listener_beside_a_tunnel_outlives_its_connections() {
    let shared = Shared::default();
    let network = Network::unwatched();
    let wanted = forward(Destination::One(target()));
    let beside = Beside::start(wanted, Arc::default(), &shared, &network)
        .await
        .unwrap();
    let addr: SocketAddr = beside.listeners.standings.now()[0]
        .forward
        .bind
        .to_string()
        .parse()
        .unwrap();
    assert_eq!(shared.visit(target()).await, Err(VisitError::Away));
    let stop = CancellationToken::new();
    let count = watch::Sender::new(0);
    let mut counted = count.subscribe();
    let stopped = stop.clone();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let events = |event: Event<'_>| {
            if matches!(event, Event::ForwardUp { number: 0, .. }) {
                count.send_modify(|count| *count += 1);
            }
        };
        beside.keep(&events, &stopped).await;
    });
    for times in 1..=2 {
        let mut up = Up::new();
        shared
            .sender()
            .send_replace(Some(Arc::clone(&up.ours.transport)));
        within(counted.wait_for(|count| *count == times))
            .await
            .unwrap();
        let mut visitor = visit(addr).await;
        let served = async {
            answer(up.asked().await.answer.accept()).await;
        };
        let (answered, ()) = tokio::join!(question(&mut visitor), served);
        assert_eq!(answered.unwrap(), b"answer to question");
        // A visit of our own is opened, and says nothing.
        let served = async {
            drop(up.asked().await.answer.accept());
        };
        let (visited, ()) = tokio::join!(shared.visit(target()), served);
        visited.unwrap();
        shared.sender().send_replace(None);
    }
    stop.cancel();
    within(tasks.join_next()).await.unwrap().unwrap();
    // It is free again.
    TcpListener::bind(addr).await.unwrap();
}
