//! Requests that wait, more than there are places.

use std::net::SocketAddr;

use adit_flow::exec::TaskId;
use adit_testkit::wait;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::http::{Answer, ask, get, post_json, send};
use crate::served::Served;

/// Requests that are sent at once. A server keeps as many connections for those that do not wait also where
/// 1,024 files may be open.
const AT_ONCE: usize = 32;

const RUNS: &str = "/api/workflows/runs";

/// Starts runs and waits for them, until some are told that too many wait: those who do, and the told.
async fn fill(served: &Served) -> (JoinSet<Answer>, Vec<Answer>) {
    let mut waiting = JoinSet::new();
    let (mut sent, mut told) = (0, Vec::new());
    while told.is_empty() {
        for _ in 0..AT_ONCE {
            let at = served.api;
            waiting.spawn(async move { post_json(at, RUNS, "{}").await });
        }
        sent += AT_ONCE;
        let deadline = tokio::time::Instant::now() + wait::DEADLINE;
        while served.fake.count() + told.len() < sent {
            assert!(tokio::time::Instant::now() < deadline, "{sent} were sent");
            tokio::task::yield_now().await;
            told.extend(waiting.try_join_next().map(Result::unwrap));
        }
    }
    (waiting, told)
}

#[tokio::test]
async fn who_does_not_wait_is_answered_however_many_wait() {
    let served = Served::seed().await;
    let (mut waiting, told) = fill(&served).await;
    for answer in &told {
        assert_eq!(answer.status, 503);
        assert_eq!(answer.body, r#"{"detail":"Too many requests wait."}"#);
        assert_eq!(answer.header("retry-after"), Some("5"));
    }
    // They have started nothing.
    assert_eq!(served.fake.count(), waiting.len());

    assert_eq!(get(served.api, "/api/health").await.status, 200);
    let started = post_json(served.api, RUNS, r#"{"wait_for_completion":false}"#).await;
    assert_eq!(started.status, 200);
    let task = served.fake.run(0).await.task;
    let path = |what: &str| format!("/api/tasks/{task}{what}");
    assert_eq!(get(served.api, &path("")).await.status, 200);
    for (method, what) in [
        ("GET", "/watch"),
        ("POST", "/cancel?wait_for_completion=true"),
    ] {
        let answer = ask(served.api, method, &path(what), &[], "").await;
        assert_eq!(answer.status, 503, "{what}");
    }
    // It goes on: what was refused was not done.
    let run = get(served.api, &path("")).await;
    assert!(run.body.contains("processing"), "{}", run.body);
    let answer = ask(served.api, "POST", &path("/cancel"), &[], "").await;
    assert_eq!(answer.status, 200);

    // Whoever has his answer leaves his place to another.
    served.fake.complete(&task, "1");
    assert_eq!(waiting.join_next().await.unwrap().unwrap().status, 200);
    let other = served.fake.run(1).await.task;
    wait::until_async("there is a place to wait at", || async {
        let mut stream = watch(served.api, &other).await;
        let mut head = [0; 12];
        stream.read_exact(&mut head).await.unwrap();
        match &head {
            b"HTTP/1.1 200" => Ok(()),
            _ => Err(String::from_utf8_lossy(&head).into_owned()),
        }
    })
    .await;
}

async fn watch(at: SocketAddr, task: &TaskId) -> TcpStream {
    let path = format!("/api/tasks/{task}/watch");
    send(at, "GET", &path, &[("Host", &at.to_string())], "").await
}
