//! A stop in its steps.

use std::time::Duration;

use adit_testkit::wait;

use crate::fake::{Fake, SEED};
use crate::http::{get, post_json};
use crate::served::{Served, config};

#[tokio::test]
async fn a_stop_is_told_of_then_waits_for_requests_then_ends_everything() {
    let mut config = config();
    config.shutdown_pending_period = Duration::from_millis(300);
    let mut served = Served::of(Fake::of(SEED), &config, None).await;
    let api = served.api;
    let fake = std::sync::Arc::clone(&served.fake);
    let stop = served.stop.clone();
    let run = "/api/workflows/runs";
    let (answer, ()) = tokio::join!(post_json(api, run, "{}"), async move {
        let task = fake.run(0).await.task;
        stop.cancel();
        for word in ["shutdown_pending", "shutting_down"] {
            let wanted = (503, format!(r#"{{"status":"{word}"}}"#));
            wait::until_async(word, || async {
                let answer = get(api, "/api/health").await;
                let seen = (answer.status, answer.body);
                if seen == wanted { Ok(()) } else { Err(seen) }
            })
            .await;
        }
        let refused = post_json(api, run, "{}").await;
        assert_eq!(refused.status, 503);
        fake.complete(&task, "7");
    });
    assert_eq!(answer.status, 200);
    assert!(answer.body.ends_with(r#""output":7}"#), "{answer:?}");
    served.ended().await;
    assert!(tokio::net::TcpStream::connect(api).await.is_err());
}

#[tokio::test]
async fn a_request_whose_run_never_ends_is_closed_in_time() {
    let mut config = config();
    config.shutdown_timeout = Duration::from_millis(100);
    let mut served = Served::of(Fake::of(SEED), &config, None).await;
    let host = served.api.to_string();
    let headers = [
        ("Host", host.as_str()),
        ("Content-Type", "application/json"),
    ];
    let path = "/api/workflows/runs";
    let stream = crate::http::send(served.api, "POST", path, &headers, "{}").await;
    served.fake.run(0).await;
    served.stop.cancel();
    served.ended().await;
    drop(stream);
}
