//! What callbacks answer, and what they mean to those who wait.

use adit_flow::callback::{CallbackId, RunNumber};
use adit_flow::expr::Value;

use crate::support::{JSON, Lab, outcome, post, request, short, still_waits};

const SEED: &str = "type: http-callback, path: /callback, identify_by: '${body.task_id}', result: '${body.result}'";

#[tokio::test]
async fn every_answer_is_the_one_that_is_documented() {
    let lab = Lab::new(&format!("base_path: /hooks, {SEED}")).await;
    let unknown = r#"{"task_id":"test-123","result":{"data":"test"}}"#;
    let close = "connection: close\r\n";
    let json = |status: &str, more: &str, body: &str| {
        let length = body.len();
        format!(
            "HTTP/1.1 {status}\ncontent-type: application/json\n{more}connection: close\n\
             content-length: {length}\n\n{body}"
        )
    };
    let empty = "HTTP/1.1 200 OK\nconnection: close\ncontent-length: 0\n\n".to_owned();
    let slash = |location: &str| {
        format!(
            "HTTP/1.1 307 Temporary Redirect\nlocation: {location}\nconnection: close\n\
             content-length: 0\n\n"
        )
    };
    let not_found = json("404 Not Found", "", r#"{"detail":"Not Found"}"#);
    let not_allowed = |body: &str| {
        let whole = json(
            "405 Method Not Allowed",
            "allow: POST\n",
            r#"{"detail":"Method Not Allowed"}"#,
        );
        let (head, _) = whole.split_once("\n\n").unwrap();
        format!("{head}\n\n{body}")
    };
    let detail = r#"{"detail":"Method Not Allowed"}"#;
    let bad = json(
        "400 Bad Request",
        "",
        r#"{"detail":"Invalid request body: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"}"#,
    );
    for (request, answer) in [
        (post("/hooks/callback", JSON, unknown), &empty),
        (post("/hooks/callback?x=1", "", "bytes"), &empty),
        (post("/hooks/callback", "", ""), &empty),
        (post("/hooks/call%62ack", JSON, "{}"), &empty),
        (post("http://h/hooks/callback", JSON, "{}"), &empty),
        (post("/hooks/callback", JSON, "{bad"), &bad),
        (
            request("GET", "/hooks/callback", close, ""),
            &not_allowed(detail),
        ),
        (
            request("PUT", "/hooks/callback", close, "x"),
            &not_allowed(detail),
        ),
        (
            request("OPTIONS", "/hooks/callback", close, ""),
            &not_allowed(detail),
        ),
        (
            request("HEAD", "/hooks/callback", close, ""),
            &not_allowed(""),
        ),
        (post("/callback", JSON, "{}"), &not_found),
        (post("/hooks%2Fcallback", JSON, "{}"), &not_found),
        (post("/hooks/callback/x", JSON, "{}"), &not_found),
        (post("/", "", ""), &not_found),
        (request("OPTIONS", "*", close, ""), &not_found),
        (post("//example.org/..", "", ""), &not_found),
        (
            post("/hooks/callback/", JSON, "{}"),
            &slash("/hooks/callback"),
        ),
        (
            post("/hooks/callback/?a=%20b", JSON, "{}"),
            &slash("/hooks/callback?a=%20b"),
        ),
    ] {
        let shown = String::from_utf8_lossy(&request).into_owned();
        assert_eq!(&lab.ask(request).await, answer, "{shown}");
    }
}

#[tokio::test]
async fn what_is_no_http_has_an_answer_too() {
    let lab = Lab::new(SEED).await;
    let many = "a: b\r\n".repeat(101);
    let long = format!("a: {}\r\n", "b".repeat(100_000));
    for (request, status) in [
        ("\r\n\r\nHELLO\r\n\r\n".to_owned(), "400 Bad Request"),
        (
            format!("GET / HTTP/1.1\r\n{many}\r\n"),
            "431 Request Header Fields Too Large",
        ),
        (
            format!("GET / HTTP/1.1\r\n{long}\r\n"),
            "431 Request Header Fields Too Large",
        ),
        (
            "POST / HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n".to_owned(),
            "400 Bad Request",
        ),
        (
            "POST /callback HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n".to_owned(),
            "400 Bad Request",
        ),
    ] {
        let answer = lab.ask(&request).await;
        let expected = format!("HTTP/1.1 {status}\n");
        assert!(answer.starts_with(&expected), "{request:.40} {answer}");
    }
}

#[tokio::test]
async fn a_connection_serves_one_request_after_the_other() {
    let lab = Lab::new(SEED).await;
    let mut client = lab.dial().await;
    let request = request("POST", "/callback", JSON, "{}");
    for _ in 0..3 {
        client.send(&request).await;
        assert_eq!(
            client.answer().await,
            "HTTP/1.1 200 OK\ncontent-length: 0\n\n"
        );
    }
    // Both at once, and then nothing more.
    client.send([request.as_slice(), &request].concat()).await;
    tokio::io::AsyncWriteExt::shutdown(&mut client.0)
        .await
        .unwrap();
    let both = client.rest().await;
    assert_eq!(both.matches("200 OK").count(), 2, "{both}");
}

#[tokio::test]
async fn an_id_is_one_whether_it_is_a_number_or_a_text() {
    let lab = Lab::new(SEED).await;
    for (body, result) in [
        (
            r#"{"task_id":8,"result":{"b":1,"a":2}}"#,
            r#"{"b":1,"a":2}"#,
        ),
        (r#"{"task_id":"8","result":[true]}"#, "[true]"),
        (r#"{"task_id":"8"}"#, "null"),
    ] {
        let waiting = lab.waiting("8");
        assert_eq!(short(&lab.post("/callback", JSON, body).await), "200");
        assert_eq!(outcome(waiting).await, result);
    }
}

#[tokio::test]
async fn the_second_of_two_equal_deliveries_is_nobodys() {
    let lab = Lab::new(SEED).await;
    let (first, other) = (lab.waiting("a"), lab.waiting("b"));
    for result in ["1", "2"] {
        let body = format!(r#"{{"task_id":"a","result":{result}}}"#);
        assert_eq!(short(&lab.post("/callback", JSON, body).await), "200");
    }
    assert_eq!(outcome(first).await, "1");
    still_waits(&lab, other);
}

#[tokio::test]
async fn a_delivery_that_is_faster_than_its_id_is_kept_for_it() {
    let lab = Lab::new(SEED).await;
    let body = r#"{"task_id":"theirs","result":1}"#;
    // Before anybody has asked for anything, it is nobody's.
    assert_eq!(short(&lab.post("/callback", JSON, body).await), "200");
    let mut waiting = lab.hub.expect(RunNumber(1)).unwrap();
    let body = r#"{"task_id":"theirs","result":2}"#;
    assert_eq!(short(&lab.post("/callback", JSON, body).await), "200");
    let id = CallbackId::try_from(&Value::from("theirs")).unwrap();
    let now = tokio::time::Instant::now().into_std();
    waiting.learn(id, now).unwrap();
    assert_eq!(outcome(waiting).await, "2");
}

#[tokio::test]
async fn ids_and_results_are_found_wherever_they_are() {
    const FORM: &str = "content-type: application/x-www-form-urlencoded\r\n";
    const PARTS: &str = "content-type: multipart/form-data; boundary=B\r\n";
    const TEXT: &str = "content-type: text/plain\r\n";
    let parts = "--B\r\nContent-Disposition: form-data; name=\"task_id\"\r\n\r\n7\r\n\
        --B\r\nContent-Disposition: form-data; name=\"result\"; filename=\"f\"\r\n\r\nhi\r\n--B--\r\n";
    let by_body = "identify_by: '${body.task_id}', result: '${body.result}'";
    let by_query = "identify_by: '${query.task_id}'";
    for (keys, path, headers, body, result) in [
        (
            by_query,
            "/c?task_id=0&task_id=7",
            JSON,
            r#"{"x":1}"#,
            r#"{"x":1}"#,
        ),
        (by_query, "/c?task_id=7", TEXT, "hello", r#""hello""#),
        (by_query, "/c?task_id=7", "", "hi", "Bytes([104, 105])"),
        (by_query, "/c?task_id=7", "", "", "null"),
        (by_body, "/c", FORM, "task_id=7&result=a+b", r#""a b""#),
        (
            by_body,
            "/c",
            FORM,
            "task_id=7&result=1&result=2",
            r#"["1","2"]"#,
        ),
        (by_body, "/c", PARTS, parts, "Bytes([104, 105])"),
        ("identify_by: '${body}'", "/c", TEXT, "7", r#""7""#),
        (
            "identify_by: '7', item: '${body.d}'",
            "/c",
            JSON,
            r#"{"d":{"x":[1]}}"#,
            r#"{"x":[1]}"#,
        ),
    ] {
        let lab = Lab::new(&format!("type: http-callback, path: /c, {keys}")).await;
        let waiting = lab.waiting("7");
        assert_eq!(short(&lab.post(path, headers, body).await), "200", "{keys}");
        assert_eq!(outcome(waiting).await, result, "{keys}");
    }
}

#[tokio::test]
async fn each_item_of_a_bulk_has_a_status_of_its_own() {
    let lab = Lab::new(
        "type: http-callback, path: /c, bulk: true, item: '${body.items}', identify_by: '${item.id}', \
         status: '${item.s}', success_when: [done], fail_when: [bad], result: '${item.r}'",
    )
    .await;
    let waiting = ["a", "b", "c", "d"].map(|id| lab.waiting(id));
    let body = r#"{"items":[{"id":"a","s":"done","r":1},{"id":"b","s":"bad"},{"s":"done"},
        {"id":"c","s":"running"},{"id":"x","s":"done"},{"id":"d","r":2}]}"#;
    assert_eq!(short(&lab.post("/c", JSON, body).await), "200");
    let [a, b, c, d] = waiting;
    assert_eq!(outcome(a).await, "1");
    assert_eq!(
        outcome(b).await,
        r#"failed: the callback's status is "bad""#
    );
    assert_eq!(outcome(d).await, "2");
    let body = r#"{"items":[{"id":"c","s":"done","r":3}]}"#;
    assert_eq!(short(&lab.post("/c", JSON, body).await), "200");
    assert_eq!(outcome(c).await, "3");
    for (body, detail) in [
        (r#"{"items":{}}"#, "the request is no list of items"),
        ("[]", "the request is no list of items"),
    ] {
        let answer = format!(r#"400 {{"detail":"Invalid request body: {detail}"}}"#);
        assert_eq!(short(&lab.post("/c", JSON, body).await), answer);
    }
}

#[tokio::test]
async fn several_paths_and_methods_are_told_apart() {
    let lab = Lab::new(
        "type: http-callback, callbacks: [{path: /c, method: GET, identify_by: '${query.id}'}, \
         {path: /c, method: PUT, identify_by: '${body.id}'}, {path: '/x/{id}', identify_by: x}]",
    )
    .await;
    let close = "connection: close\r\n";
    let got = lab.waiting("g");
    let answer = lab.ask(request("GET", "/c?id=g", close, "")).await;
    assert_eq!(
        (short(&answer), outcome(got).await),
        ("200".into(), "null".into())
    );
    let answer = lab.ask(request("POST", "/c", close, "")).await;
    assert!(answer.contains("\nallow: GET, PUT\n"), "{answer}");
    let any = lab.waiting("x");
    assert_eq!(
        short(&lab.post("/x/", "", "").await),
        r#"404 {"detail":"Not Found"}"#
    );
    assert_eq!(short(&lab.post("/x/17", "", "").await), "200");
    assert_eq!(outcome(any).await, "null");
}
