//! Strangers' bodies: nobody who waits is lost, nothing panics, and memory stays where it is.

use adit_testkit::seeded::SeededRandom;

use crate::support::{JSON, Lab, outcome, request, rss, short};

/// Bodies that are sent to each kind of listener.
const BODIES: u64 = 10_000;

/// How many connections send them.
const CONNECTIONS: u64 = 20;

/// What allocators, buffers and code that was never run before may take: far less than the bodies.
const GROWTH_BYTES: u64 = 64 << 20;

const TYPES: [&str; 10] = [
    "application/json",
    "application/json; charset=\"",
    "application/problem+json",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=b",
    "multipart/form-data",
    "text/plain",
    "text/\u{7f}",
    "image/png",
    "",
];

/// Pieces of every kind of body, and what they are not.
const PIECES: [&str; 24] = [
    "{",
    "}",
    "[",
    "]",
    "\"id\":",
    "\"a\"",
    "8",
    "-1e9",
    "null",
    "true",
    ",",
    "id=",
    "a&",
    "%zz",
    "[[]]=",
    "--b\r\n",
    "--b--",
    "Content-Disposition: form-data; name=\"id\"\r\n\r\n",
    "\r\n",
    "\u{feff}",
    "ä",
    "\\ud800",
    "{\"id\":[{}]}",
    "99999999999999999999",
];

fn body(random: &mut SeededRandom) -> Vec<u8> {
    let mut body = Vec::new();
    match random.below(8) {
        0 => {
            let mut bytes = vec![0; random.size(2_000)];
            random.fill(&mut bytes);
            body = bytes;
        }
        1 => body = "[".repeat(random.size(5_000)).into(),
        2 => body = "id=1&".repeat(random.size(2_000)).into(),
        _ => {
            for _ in 0..random.below(30) {
                body.extend_from_slice(random.pick(&PIECES).as_bytes());
            }
        }
    }
    body
}

async fn send_strange_bodies(lab: &Lab, paths: &[&str]) {
    let senders = (0..CONNECTIONS).map(|seed| async move {
        let mut random = SeededRandom::new(seed);
        let mut client = lab.dial().await;
        for _ in 0..BODIES / CONNECTIONS {
            let content_type = format!("content-type: {}\r\n", random.pick(&TYPES));
            let content_type = content_type.replace('\u{7f}', "\t");
            let body = body(&mut random);
            let request = request("POST", random.pick(paths), &content_type, body);
            client.send(request).await;
            let answer = client.answer().await;
            let status = short(&answer)[..3].to_owned();
            assert!(
                ["200", "400", "404", "503"].contains(&status.as_str()),
                "{answer}"
            );
        }
    });
    futures_util::future::join_all(senders).await;
}

#[tokio::test]
async fn ten_thousand_strange_callbacks_lose_nobody() {
    let lab = Lab::new(
        "type: http-callback, callbacks: [{path: /c, identify_by: '${body.id}'}, \
         {path: /b, bulk: true, identify_by: '${item.id as integer}', status: '${item.s}', success_when: x}, \
         {path: /i, item: '${body[0]}', identify_by: '${query.id}'}]",
    )
    .await;
    let ids: Vec<String> = (0..100).map(|number| format!("right-{number}")).collect();
    let waiting: Vec<_> = ids.iter().map(|id| lab.waiting(id)).collect();
    // The first hundred show what the way itself costs.
    send_strange_bodies(&lab, &["/c"]).await;
    let before = rss();
    send_strange_bodies(&lab, &["/c", "/b", "/i", "/i?id=1"]).await;
    let growth = rss().saturating_sub(before);
    assert!(growth < GROWTH_BYTES, "{growth} bytes more");
    assert_eq!(lab.hub.len(), ids.len());
    for (id, waiting) in ids.iter().zip(waiting) {
        let body = format!(r#"{{"id":"{id}"}}"#);
        assert_eq!(short(&lab.post("/c", JSON, &body).await), "200");
        assert_eq!(outcome(waiting).await, body);
    }
}

#[tokio::test]
async fn ten_thousand_strange_triggers_start_what_they_say_and_nothing_else() {
    let lab = Lab::new(
        "type: http-trigger, triggers: [{path: /t, workflow: 'no-${body.id}'}, \
         {path: /b, bulk: true, workflow: 'no-${item.id}', input: '${item.n as integer}'}, \
         {path: /w, workflow: '${body}', input: 1}]",
    )
    .await;
    send_strange_bodies(&lab, &["/t", "/b"]).await;
    assert_eq!(lab.launches.all(), []);
    let before = rss();
    send_strange_bodies(&lab, &["/t", "/b", "/w"]).await;
    let growth = rss().saturating_sub(before);
    assert!(growth < GROWTH_BYTES, "{growth} bytes more");
    let answer = short(&lab.post("/w", "content-type: text/plain\r\n", "w").await);
    assert!(answer.ends_with(r#""status":"pending"}"#), "{answer}");
}
