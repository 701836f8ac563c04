//! The WebSocket.

use std::net::SocketAddr;
use std::time::Duration;

use adit_testkit::wait::DEADLINE;
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::fake::{Fake, SEED};
use crate::http::get;
use crate::served::{Served, config};

struct Peer {
    stream: WebSocketStream<TcpStream>,
}

async fn connect(at: SocketAddr, origin: Option<&str>) -> Result<Peer, Error> {
    let url = format!("ws://{at}/api/ws");
    let mut request = url.into_client_request()?;
    if let Some(origin) = origin {
        request
            .headers_mut()
            .insert("Origin", origin.parse().unwrap());
    }
    let stream = TcpStream::connect(at).await.unwrap();
    let (stream, _) = client_async(request, stream).await?;
    Ok(Peer { stream })
}

impl Peer {
    async fn say(&mut self, json: &str) {
        self.stream.send(Message::text(json)).await.unwrap();
    }

    /// The next message that is not an answer to a ping.
    async fn hear(&mut self) -> Message {
        loop {
            let message = timeout(DEADLINE, self.stream.next())
                .await
                .expect("in time");
            let message = message.unwrap().unwrap();
            if !message.is_ping() {
                return message;
            }
        }
    }

    async fn hear_text(&mut self) -> String {
        self.hear().await.into_text().unwrap().to_string()
    }

    /// Asks, and hears what is answered.
    async fn ask(&mut self, json: &str) -> String {
        self.say(json).await;
        self.hear_text().await
    }
}

#[tokio::test]
async fn a_run_is_started_and_told_of_until_it_ends() {
    let served = Served::seed().await;
    let mut peer = connect(served.api, None).await.unwrap();
    let started = peer
        .ask(r#"{"type":"run","id":7,"workflow_id":"__workflow__","input":{"data":"x"}}"#)
        .await;
    let run = served.fake.run(0).await;
    let wanted = format!(r#"{{"type":"started","task_id":"{}","id":7}}"#, run.task);
    assert_eq!(started, wanted);
    assert_eq!(run.input.to_json().unwrap(), r#"{"data":"x"}"#);
    let report = peer.hear_text().await;
    assert!(
        report.starts_with(r#"{"type":"report","task_id":""#),
        "{report}"
    );
    assert!(report.contains(r#""status":"processing""#), "{report}");
    served
        .fake
        .complete(&run.task, r#"{"n":12345678901234567890}"#);
    let report = peer.hear_text().await;
    assert!(report.contains(r#""status":"completed""#), "{report}");
    assert!(
        report.contains(r#""output":{"n":12345678901234567"#),
        "{report}"
    );
    // Nothing follows the end.
    assert_eq!(
        peer.ask(r#"{"type":"ping","id":"p"}"#).await,
        r#"{"type":"pong","id":"p"}"#
    );
    let get = format!(r#"{{"type":"get","task_id":"{}"}}"#, run.task);
    assert!(peer.ask(&get).await.contains(r#""status":"completed""#));
}

#[tokio::test]
async fn changes_that_nobody_reads_do_not_queue_up() {
    let served = Served::seed().await;
    let mut peer = connect(served.api, None).await.unwrap();
    peer.ask(r#"{"type":"run"}"#).await;
    let task = served.fake.run(0).await.task;
    for change in 0..10_000 {
        served
            .fake
            .change(&task, |report| report.error = Some(change.to_string()));
    }
    served.fake.complete(&task, "1");
    let mut heard = 0;
    loop {
        let report = peer.hear_text().await;
        heard += 1;
        if report.contains(r#""status":"completed""#) {
            break;
        }
    }
    assert!(heard < 100, "{heard}");
}

#[tokio::test]
async fn messages_that_cannot_be_done_say_why_and_end_nothing() {
    let served = Served::seed().await;
    let mut peer = connect(served.api, None).await.unwrap();
    for (asked, status, detail) in [
        ("{bad", 400, "Invalid request body: "),
        ("[]", 400, "Invalid request body: wanted an object"),
        ("{}", 400, "type is missing."),
        (r#"{"type":"dance","task_id":"x"}"#, 400, "Unknown type."),
        (r#"{"type":"get"}"#, 400, "task_id is missing."),
        (r#"{"type":"get","task_id":"x"}"#, 404, "Task not found."),
        (
            r#"{"type":"subscribe","task_id":"x"}"#,
            404,
            "Task not found.",
        ),
        (r#"{"type":"cancel","task_id":"x"}"#, 404, "Task not found."),
        (
            r#"{"type":"resume","task_id":"x","job_id":"j"}"#,
            404,
            "Task not found.",
        ),
        (
            r#"{"type":"run","workflow_id":"x"}"#,
            404,
            "Workflow 'x' not found.",
        ),
    ] {
        let answer = peer.ask(asked).await;
        let wanted = format!(r#"{{"type":"error","status":{status},"detail":"{detail}"#);
        assert!(answer.starts_with(&wanted), "{asked} {answer}");
    }
    assert_eq!(peer.ask(r#"{"type":"ping"}"#).await, r#"{"type":"pong"}"#);
}

#[tokio::test]
async fn a_run_is_cancelled_by_a_message() {
    let served = Served::seed().await;
    let mut peer = connect(served.api, None).await.unwrap();
    peer.ask(r#"{"type":"run"}"#).await;
    let task = served.fake.run(0).await.task;
    peer.hear_text().await;
    let unsubscribe = format!(r#"{{"type":"unsubscribe","task_id":"{task}"}}"#);
    assert_eq!(peer.ask(&unsubscribe).await, r#"{"type":"done"}"#);
    let cancel = format!(r#"{{"type":"cancel","task_id":"{task}"}}"#);
    assert_eq!(peer.ask(&cancel).await, r#"{"type":"done"}"#);
    let subscribe = format!(r#"{{"type":"subscribe","task_id":"{task}"}}"#);
    assert!(
        peer.ask(&subscribe)
            .await
            .contains(r#""status":"cancelling""#)
    );
}

fn status_of(error: Error) -> u16 {
    let Error::Http(answer) = error else {
        panic!("{error}");
    };
    answer.status().as_u16()
}

#[tokio::test]
async fn another_sites_page_gets_no_socket() {
    let served = Served::seed().await;
    for origin in ["https://attacker.example", "null"] {
        let refused = connect(served.api, Some(origin)).await.err().unwrap();
        assert_eq!(status_of(refused), 403, "{origin}");
    }
    let own = format!("http://{}", served.api);
    for origin in [own.as_str(), "https://friend.example"] {
        assert!(connect(served.api, Some(origin)).await.is_ok(), "{origin}");
    }
}

#[tokio::test]
async fn there_are_as_many_sockets_as_the_file_says() {
    let served = Served::seed().await;
    let first = connect(served.api, None).await.unwrap();
    let _second = connect(served.api, None).await.unwrap();
    let refused = connect(served.api, None).await.err().unwrap();
    assert_eq!(status_of(refused), 503);
    drop(first);
    adit_testkit::wait::until_async("a place is free again", || async {
        connect(served.api, None).await.map(drop).map_err(status_of)
    })
    .await;
}

#[tokio::test]
async fn what_is_no_handshake_is_told_so() {
    let served = Served::seed().await;
    let answer = get(served.api, "/api/ws").await;
    assert_eq!(answer.status, 426);
    assert_eq!(answer.header("upgrade"), Some("websocket"));
}

#[tokio::test]
async fn a_message_that_is_too_long_ends_the_socket() {
    let served = Served::seed().await;
    let mut peer = connect(served.api, None).await.unwrap();
    peer.say(&format!(r#"{{"type":"{}"}}"#, "x".repeat(1 << 20)))
        .await;
    let Message::Close(Some(frame)) = peer.hear().await else {
        panic!("no goodbye");
    };
    assert_eq!(u16::from(frame.code), 1009);
}

#[tokio::test]
async fn a_peer_that_answers_no_ping_is_closed() {
    let mut config = config();
    let websocket = config.adapters[0].websocket.as_mut().unwrap();
    websocket.ping_interval = Duration::from_millis(50);
    websocket.ping_timeout = Duration::from_secs(1);
    let served = Served::of(Fake::of(SEED), &config, None).await;
    let mut peer = connect(served.api, None).await.unwrap();
    // One that reads answers, and stays: its pongs are sent as it reads.
    let mut pings = 0;
    while pings < 3 {
        let message = timeout(DEADLINE, peer.stream.next())
            .await
            .expect("in time");
        pings += u32::from(message.unwrap().unwrap().is_ping());
    }
    // One that does not read is gone after a while.
    let stream = peer.stream.into_inner();
    adit_testkit::wait::until_async("the server hangs up", || async {
        let mut bytes = [0; 1024];
        match stream.try_read(&mut bytes) {
            Ok(0) => Ok(()),
            Ok(_) => Err("bytes"),
            Err(_) => Err("nothing"),
        }
    })
    .await;
}

#[tokio::test]
async fn a_stop_says_goodbye() {
    let mut served = Served::seed().await;
    let mut peer = connect(served.api, None).await.unwrap();
    served.stop.cancel();
    let Message::Close(Some(frame)) = peer.hear().await else {
        panic!("no goodbye");
    };
    assert_eq!(u16::from(frame.code), 1001);
    drop(peer);
    served.ended().await;
}
