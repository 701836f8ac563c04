//! What triggers start and answer.

use crate::support::{JSON, Lab, request, short};

#[tokio::test]
async fn a_trigger_starts_a_run_and_says_which() {
    let lab = Lab::new(
        "type: http-trigger, triggers: [\
         {path: /whole, workflow: hello}, \
         {path: /part, workflow: '${body.w}', input: {n: ['${item.n}', '${query.q}'], k: 1}}, \
         {path: /get, method: GET, workflow: hello, input: '${query}'}]",
    )
    .await;
    let answer = lab.post("/whole", JSON, r#"{"b":1,"a":2}"#).await;
    assert_eq!(
        answer,
        "HTTP/1.1 200 OK\ncontent-type: application/json\nconnection: close\ncontent-length: 37\n\n\
         {\"task_id\":\"RUN1\",\"status\":\"pending\"}"
    );
    let close = "connection: close\r\n";
    for (request, answer) in [
        (
            request(
                "POST",
                "/part?q=x",
                &format!("{JSON}{close}"),
                r#"{"w":"wf","n":[2.5]}"#,
            ),
            r#"200 {"task_id":"RUN2","status":"pending"}"#,
        ),
        (
            request("GET", "/get?a=1", close, ""),
            r#"200 {"task_id":"RUN3","status":"pending"}"#,
        ),
        (
            request(
                "POST",
                "/part",
                &format!("{JSON}{close}"),
                r#"{"w":"no such"}"#,
            ),
            r#"404 {"detail":"Workflow 'no such' not found."}"#,
        ),
        (
            request("POST", "/part", &format!("{JSON}{close}"), "{}"),
            r#"404 {"detail":"Workflow '' not found."}"#,
        ),
        (
            request(
                "POST",
                "/part",
                &format!("{JSON}{close}"),
                r#"{"w":"full"}"#,
            ),
            r#"503 {"detail":"Service Unavailable"}"#,
        ),
    ] {
        assert_eq!(short(&lab.ask(request).await), answer);
    }
    let started = [
        ("hello", r#"{"b":1,"a":2}"#),
        ("wf", r#"{"n":[[2.5],"x"],"k":1}"#),
        ("hello", r#"{"a":"1"}"#),
    ];
    let started = started.map(|(workflow, input)| (workflow.to_owned(), input.to_owned()));
    assert_eq!(lab.launches.all(), started);
}

#[tokio::test]
async fn a_bulk_starts_a_run_for_each_item() {
    let lab = Lab::new(
        "type: http-trigger, path: /t, bulk: true, workflow: '${item.w}', input: '${item.n as integer}'",
    )
    .await;
    for (body, answer) in [
        ("[]", "200 []"),
        (
            r#"[{"w":"a","n":"7"},{"w":"no"},{"w":"full"},{"w":"b","n":"x"}]"#,
            r#"200 [{"task_id":"RUN1","status":"pending"},{"error":"Workflow 'no' not found."},{"error":"Service Unavailable"},{"error":"Invalid request: the workflow's input could not be made"}]"#,
        ),
        (
            r#"[{"w":"full"},{"w":"no"}]"#,
            r#"503 {"detail":"Service Unavailable"}"#,
        ),
        (
            r#"[{"w":"no"}]"#,
            r#"200 [{"error":"Workflow 'no' not found."}]"#,
        ),
        (
            "{}",
            r#"400 {"detail":"Invalid request body: the request is no list of items"}"#,
        ),
        (
            "",
            r#"400 {"detail":"Invalid request body: Expecting value: line 1 column 1 (char 0)"}"#,
        ),
    ] {
        assert_eq!(short(&lab.post("/t", JSON, body).await), answer, "{body}");
    }
    assert_eq!(lab.launches.all(), [("a".to_owned(), "7".to_owned())]);
}
