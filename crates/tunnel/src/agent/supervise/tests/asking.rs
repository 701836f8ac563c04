//! How forwards are asked for, and what their answers change.

use super::*;

#[tokio::test(start_paused = true)]
async fn forwards_are_asked_for_in_order_and_word_for_word() {
    let forwards = vec![
        forward("", 1, 9),
        forward("localhost", 2, 9),
        forward("::", 0, 9),
    ];
    let wanted: Vec<Bind> = forwards.iter().map(|one| one.bind.clone()).collect();
    let mut lab = Lab::new(forwards, Vec::new());
    let mut peer = lab.peer().await;
    for bind in wanted {
        let request = asked(&mut peer).await;
        assert_eq!(request.bind, bind);
        request
            .answer
            .grant(bind.port().filter(|port| *port > 0).unwrap_or(4_000));
    }
    lab.until("up [::]:4000 -> 127.0.0.1:9").await;
}

/// Against a stock sshd that still holds the port of the dead connection (E11 of the field study).
#[tokio::test(start_paused = true)]
async fn a_refused_forward_is_asked_for_again_on_the_same_connection() {
    let mut lab = Lab::new(vec![forward("", 1, 9), forward("", 2, 9)], Vec::new());
    let mut peer = lab.peer().await;
    asked(&mut peer).await.answer.refuse();
    asked(&mut peer).await.answer.grant(2);
    lab.until("up *:2 -> 127.0.0.1:9").await;
    let mut last = Instant::now();
    for attempt in 0..40 {
        let request = asked(&mut peer).await;
        assert_eq!(request.bind, bind("", 1));
        let wait = last.elapsed();
        last = Instant::now();
        let shortest = Duration::from_secs(u64::from(attempt > 0));
        assert!(
            wait >= shortest && wait <= Duration::from_secs(2),
            "{wait:?}"
        );
        request.answer.refuse();
    }
    asked(&mut peer).await.answer.grant(1);
    lab.until("up *:1 -> 127.0.0.1:9").await;
    let told = lab
        .events()
        .iter()
        .filter(|event| *event == "refused *:1")
        .count();
    assert_eq!(told, 1, "a person is told once");
    assert!(lab.peers.try_recv().is_err(), "it never logged in again");
}

#[tokio::test(start_paused = true)]
async fn port_zero_asks_for_the_port_that_it_had() {
    let mut lab = Lab::new(vec![forward("", 0, 9)], Vec::new());
    let mut peer = lab.peer().await;
    asked(&mut peer).await.answer.grant(41_000);
    lab.until("up *:41000 -> 127.0.0.1:9").await;
    drop(peer);
    let mut peer = lab.peer().await;
    let again = asked(&mut peer).await;
    assert_eq!(again.bind, bind("", 41_000));
    again.answer.grant(41_000);
    lab.until("up *:41000 -> 127.0.0.1:9").await;
    // Somebody else has it for good.
    drop(peer);
    let mut peer = lab.peer().await;
    let start = Instant::now();
    let other = loop {
        let request = asked(&mut peer).await;
        if request.bind == bind("", 0) {
            break request;
        }
        assert_eq!(request.bind, bind("", 41_000));
        request.answer.refuse();
    };
    assert!(start.elapsed() >= Duration::from_secs(150));
    other.answer.grant(42_000);
    lab.until("up *:42000 -> 127.0.0.1:9").await;
    assert!(lab.events().contains(&String::from("lost *:41000")));
}

/// A connection that ends while a forward is being asked for makes its answer ready for ever.
#[tokio::test]
async fn an_end_is_heard_while_a_question_is_out() {
    let mut lab = Lab::new(vec![forward("", 7, 9)], Vec::new());
    for _ in 0..3 {
        let mut peer = lab.peer().await;
        let question = asked(&mut peer).await;
        peer.transport.close(CloseReason::Stopping);
        lab.until("waiting").await;
        drop(question);
    }
}
