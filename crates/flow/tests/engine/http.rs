//! Jobs that ask: polls, streams, errors, limits.

use adit_flow::expr::Value;
use adit_flow::secrets::Secrets;
use adit_flow::stream::{ByteSource, EventSource, ValueSource};
use futures_util::StreamExt as _;

use crate::support::Lab;

fn file(action: &str) -> String {
    format!(
        "
component:
  type: http-client
  base_url: http://localhost:PORT
  action: {{{action}}}
workflow: {{job: {{}}}}
"
    )
}

#[tokio::test]
async fn polls_go_on_until_a_status_or_a_code_ends_them() {
    let poll = |more: &str| {
        file(&format!(
            "path: /next, body: {{}}, completion: {{type: polling, path: '/next', interval: 10ms, {more}}}"
        ))
    };
    let by_status =
        "timeout: 15s, status: '${result.state}', success_when: [done], fail_when: [broken]";
    for (more, answers, wanted, count) in [
        (
            by_status,
            &[
                (200, "{}"),
                (200, "{}"),
                (200, r#"{"state":"working"}"#),
                (200, r#"{"state":"done","n":1}"#),
            ][..],
            r#"{"state":"done","n":1}"#,
            4,
        ),
        (
            by_status,
            &[(200, "{}"), (404, "{}"), (200, r#"{"state":"broken"}"#)],
            "Polling failed: status 'broken' matched a failure condition.",
            3,
        ),
        (
            "timeout: 15s, success_when: ['2xx'], fail_when: [410]",
            &[(200, "{}"), (503, "{}"), (202, r#"{"n":2}"#)],
            r#"{"n":2}"#,
            3,
        ),
        (
            "timeout: 15s, success_when: ['2xx'], fail_when: [410]",
            &[(200, "{}"), (503, "{}"), (410, "{}")],
            "Polling failed: status code '410' matched a failure condition.",
            3,
        ),
        (
            "timeout: 5ms, success_when: [200]",
            &[(200, "{}")],
            "Polling timed out after 0:00:00.005000",
            1,
        ),
    ] {
        let lab = Lab::new(&poll(more)).await;
        lab.stand_in.seen.will_answer(answers);
        assert_eq!(lab.outcome("{}").await, wanted, "{more}");
        assert_eq!(lab.stand_in.seen.asked().len(), count, "{more}");
    }
}

/// What the run gives, which is a stream.
async fn stream(lab: &Lab) -> Value {
    let task = lab.start("{}");
    let report = lab.ended(&task).await;
    assert_eq!(report.error, None);
    report.output.clone()
}

async fn values(value: Value) -> Vec<Result<Value, String>> {
    let Value::Handle(handle) = value else {
        panic!("{value:?}");
    };
    assert!(EventSource::of(&handle).is_none());
    let source = ValueSource::of(&handle).unwrap();
    source.take().unwrap().collect().await
}

#[tokio::test]
async fn events_become_a_stream_of_what_the_output_makes_of_each() {
    let x = |x: i128| Ok(Value::Integer(x));
    for (more, wanted) in [
        (
            "stream_format: json, output: '${response[].x}'",
            [x(1), x(2)],
        ),
        (
            "stream_format: json, output: 'x is ${response[].x}'",
            ["x is 1", "x is 2"].map(|text| Ok(text.into())),
        ),
        (
            "stream_format: text",
            ["{\"x\":1}", "{\"x\":\n2}"].map(|text| Ok(text.into())),
        ),
        (
            "stream_format: text, output: '${response}'",
            ["{\"x\":1}", "{\"x\":\n2}"].map(|text| Ok(text.into())),
        ),
        (
            "output: '${response as sse-text}'",
            ["{\"x\":1}", "{\"x\":\n2}"].map(|text| Ok(text.into())),
        ),
    ] {
        let lab = Lab::new(&file(&format!("method: GET, path: /events, {more}"))).await;
        assert_eq!(values(stream(&lab).await).await, wanted, "{more}");
    }
}

#[tokio::test]
async fn bytes_are_a_stream_with_a_type_or_what_a_conversion_makes_of_them() {
    let lab = Lab::new(&file("method: GET, path: /bytes, params: {picture: 1}")).await;
    let Value::Handle(handle) = stream(&lab).await else {
        panic!("no stream");
    };
    let source = ByteSource::of(&handle).unwrap();
    assert_eq!(source.content_type(), Some("image/png"));
    assert_eq!(source.read_all(100).await.unwrap(), "picture=1");
    let text =
        file("method: GET, path: /bytes, params: {picture: 1}, output: '${response as base64}'");
    let lab = Lab::new(&text).await;
    assert_eq!(lab.outcome("{}").await, r#""cGljdHVyZT0x""#);
}

#[tokio::test]
async fn jobs_read_what_their_conversions_lead_to() {
    let lab = Lab::new(
        "
component:
  type: http-client
  action: {endpoint: 'http://localhost:PORT/next', body: {text: '${input.text}'}}
workflow:
  output: {asked: '${jobs.ask.output}', text: '${output as string}', made: '${jobs.make.output}'}
  jobs:
    - {id: make, type: filter, output: '${input.url as string;url}'}
    - {id: ask, input: {text: '${input.url as string;url}'}, depends_on: [make], output: {n: '${output.n}'}}
",
    )
    .await;
    lab.stand_in.seen.will_answer(&[(200, r#"{"n":1}"#)]);
    let url = format!("http://localhost:{}/bytes?a=b", lab.stand_in.port);
    assert_eq!(
        lab.outcome(&format!(r#"{{"url": {url:?}}}"#)).await,
        r#"{"asked":{"n":1},"text":"{\"n\":1}","made":"a=b"}"#
    );
    assert_eq!(lab.stand_in.seen.asked(), [r#"{"text":"a=b"}"#]);
}

#[tokio::test]
async fn an_error_says_what_was_asked_and_answered_without_secrets() {
    let text = file("path: '/next', params: {key: s3cr3t-key}, body: {}");
    let lab = Lab::with_secrets(&text, Secrets::from_iter(["s3cr3t-key"])).await;
    lab.stand_in
        .seen
        .will_answer(&[(500, r#"{"detail":"no s3cr3t-key"}"#)]);
    let error = lab.outcome("{}").await;
    let port = lab.stand_in.port;
    assert_eq!(
        error,
        format!(
            "POST http://localhost:{port}/next: request failed with status 500\nResponse: {{\n  \"detail\": \"no ***\"\n}}"
        )
    );
    let nobody = Lab::new(&file("endpoint: 'http://localhost:1/', body: {}")).await;
    let error = nobody.outcome("{}").await;
    assert!(error.contains("POST http://localhost:1/"), "{error}");
}

#[tokio::test]
async fn a_component_asks_the_hosts_alone_that_it_may() {
    let file = |hosts: &str, action: &str| {
        format!(
            "
component:
  type: http-client
  allow_hosts: {hosts}
  action: {{{action}}}
workflow: {{job: {{}}}}
"
        )
    };
    let plain = "endpoint: 'http://localhost:PORT/next', body: {}";
    let poll = "endpoint: 'http://localhost:PORT/next', body: {}, completion: {type: polling, endpoint: 'http://127.0.0.1:PORT/next', interval: 10ms, timeout: 15s, success_when: 200}";
    for (hosts, action, refused) in [
        ("localhost", plain, None),
        ("['*.example.org', localhost]", plain, None),
        ("127.0.0.1", plain, Some("host localhost is not among")),
        ("localhost", poll, Some("host 127.0.0.1 is not among")),
        ("[localhost, 127.0.0.1]", poll, None),
    ] {
        let lab = Lab::new(&file(hosts, action)).await;
        lab.stand_in.seen.will_answer(&[(200, "{}"), (200, "{}")]);
        let outcome = lab.outcome("{}").await;
        match refused {
            None => assert_eq!(outcome, "{}", "{hosts}: {action}"),
            Some(words) => assert!(outcome.contains(words), "{hosts}: {outcome}"),
        }
    }
}
