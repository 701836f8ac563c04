//! The answers of the API, byte for byte.

use adit_flow::exec::{Hop, Interruption, JobReport, JobState, Phase, Report, Status, TaskId};
use adit_flow::expr::Value;
use adit_testkit::wait;

use crate::fake::Fake;
use crate::http::{Answer, ask, get, post_json, send};
use crate::served::{Served, config};

const RUNS: &str = "/api/workflows/runs";
const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");

#[tokio::test]
async fn a_run_of_the_seeds_example_has_the_bytes_of_old() {
    let served = Served::seed().await;
    for (path, body) in [
        ("/api/health", r#"{"status":"ok"}"#),
        (
            "/api/workflows",
            r#"[{"workflow_id":"__workflow__","title":"SSH Tunnel Gateway Example"}]"#,
        ),
    ] {
        let answer = get(served.api, path).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, body));
        assert_eq!(answer.header("content-type"), Some("application/json"));
    }
    let output = r#"{"task_id":"01M8","result":{"processed_data":"HELLO WORLD","length":11}}"#;
    for request in [
        r#"{"workflow_id":"__workflow__","input":{"data":"hello world"}}"#,
        r#"{"workflow_id":"__default__","input":{"data":"hello world"}}"#,
        r#"{"input":{"data":"hello world"}}"#,
    ] {
        let position = served.fake.started().len();
        let (answer, ()) = tokio::join!(post_json(served.api, RUNS, request), async {
            let run = served.fake.run(position).await;
            assert_eq!(run.input.to_json().unwrap(), r#"{"data":"hello world"}"#);
            served.fake.complete(&run.task, output);
        });
        let task = &served.fake.started()[position].task;
        let wanted = format!(r#"{{"task_id":"{task}","status":"completed","output":{output}}}"#);
        assert_eq!((answer.status, answer.body), (200, wanted));
    }
}

#[tokio::test]
async fn a_run_that_is_not_waited_for_is_asked_about() {
    let served = Served::seed().await;
    let answer = post_json(served.api, RUNS, r#"{"wait_for_completion":false}"#).await;
    let task = served.fake.run(0).await.task;
    let pending = format!(r#"{{"task_id":"{task}","status":"pending"}}"#);
    assert_eq!((answer.status, answer.body), (200, pending));
    let path = format!("/api/tasks/{task}");
    let output = format!("{path}?output_only=true");
    let answer = get(served.api, &path).await;
    let processing = format!(r#"{{"task_id":"{task}","status":"processing"}}"#);
    assert_eq!((answer.status, answer.body), (200, processing));
    let answer = get(served.api, &output).await;
    let detail = r#"{"detail":"Task is still in progress."}"#;
    assert_eq!((answer.status, answer.body.as_str()), (202, detail));
    served.fake.complete(&task, r#"{"text":"안녕 🦀"}"#);
    let answer = get(served.api, &output).await;
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (200, r#"{"text":"안녕 🦀"}"#)
    );
}

#[tokio::test]
async fn a_run_that_gave_nothing_has_no_output() {
    let served = Served::seed().await;
    let (answer, ()) = tokio::join!(post_json(served.api, RUNS, "{}"), async {
        let run = served.fake.run(0).await;
        served.fake.complete(&run.task, "null");
    });
    let task = &served.fake.started()[0].task;
    let wanted = format!(r#"{{"task_id":"{task}","status":"completed"}}"#);
    assert_eq!((answer.status, answer.body), (200, wanted));
}

#[tokio::test]
async fn a_failed_run_is_an_answer_and_its_output_an_error() {
    let served = Served::seed().await;
    for (request, status) in [("{}", 200), (r#"{"output_only":true}"#, 500)] {
        let position = served.fake.started().len();
        let (answer, ()) = tokio::join!(post_json(served.api, RUNS, request), async {
            let run = served.fake.run(position).await;
            served.fake.fail(&run.task, "Task failed for '8'");
        });
        let task = &served.fake.started()[position].task;
        let wanted = match status {
            200 => {
                format!(r#"{{"task_id":"{task}","status":"failed","error":"Task failed for '8'"}}"#)
            }
            _ => r#"{"detail":"Task failed for '8'"}"#.to_owned(),
        };
        assert_eq!((answer.status, answer.body), (status, wanted));
    }
}

#[tokio::test]
async fn forms_start_runs() {
    let served = Served::seed().await;
    let body = "workflow_id=__workflow__&input[data]=hey&wait_for_completion=false";
    let answer = ask(served.api, "POST", RUNS, &[FORM], body).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let multipart = "--X\r\nContent-Disposition: form-data; name=\"input[data]\"\r\n\r\nhey\r\n--X\r\nContent-Disposition: form-data; name=\"wait_for_completion\"\r\n\r\nfalse\r\n--X--\r\n";
    let kind = [("Content-Type", "multipart/form-data; boundary=X")];
    let answer = ask(served.api, "POST", RUNS, &kind, multipart).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let started = served.fake.started();
    assert_eq!(started.len(), 2);
    for run in started {
        assert_eq!(run.input.to_json().unwrap(), r#"{"data":"hey"}"#);
    }
}

/// Headers and a body; a status and a text.
type Case<'a> = (&'a [(&'a str, &'a str)], &'a str, u16, &'a str);

#[tokio::test]
async fn requests_that_start_nothing_say_why() {
    let served = Served::seed().await;
    let json = ("Content-Type", "application/json");
    let cases: [Case<'_>; 8] = [
        (&[], "{}", 400, "Missing or empty Content-Type header."),
        (
            &[("Content-Type", "text/plain")],
            "{}",
            400,
            "Unsupported Content-Type: text/plain",
        ),
        (
            &[json],
            "{bad",
            400,
            "Invalid request body: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)",
        ),
        (
            &[json],
            "[]",
            400,
            "Invalid request body: wanted an object, got list",
        ),
        (
            &[json],
            r#"{"workflow_id":"x"}"#,
            404,
            "Workflow 'x' not found.",
        ),
        (
            &[json],
            r#"{"wait_for_completion":false,"output_only":true}"#,
            400,
            "output_only requires wait_for_completion=true.",
        ),
        (
            &[json],
            "7",
            400,
            "Invalid request body: wanted an object, got integer",
        ),
        (&[FORM], "workflow_id=y", 404, "Workflow 'y' not found."),
    ];
    for (headers, body, status, detail) in cases {
        let answer = ask(served.api, "POST", RUNS, headers, body).await;
        let wanted = format!(r#"{{"detail":"{detail}"}}"#);
        assert_eq!((answer.status, answer.body), (status, wanted), "{body}");
    }
    let long = format!("{{\"input\":\"{}\"}}", "x".repeat(1 << 20));
    assert_eq!(post_json(served.api, RUNS, &long).await.status, 413);
    served.fake.close();
    let answer = post_json(served.api, RUNS, "{}").await;
    assert_eq!(answer.body, r#"{"detail":"adit is shutting down"}"#);
    assert_eq!(answer.status, 503);
    assert!(served.fake.started().is_empty());
}

#[tokio::test]
async fn paths_and_methods_that_are_not_there_are_said_not_to_be() {
    let served = Served::seed().await;
    let not_found = r#"{"detail":"Not Found"}"#;
    for path in [
        "/",
        "/health",
        "/api",
        "/api/",
        "/apix/health",
        "/api/health/",
        "/api//health",
        "/api/workflows/__workflow__",
        "/api/tasks",
        "/api/%ff",
    ] {
        let answer = get(served.api, path).await;
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (404, not_found),
            "{path}"
        );
    }
    for (method, path, allowed) in [
        ("POST", "/api/health", "GET"),
        ("HEAD", "/api/health", "GET"),
        ("DELETE", "/api/tasks/x", "GET"),
        ("GET", "/api/workflows/runs", "POST"),
        ("GET", "/api/tasks/x/cancel", "POST"),
        ("PUT", "/api/tasks/x/resume", "POST"),
    ] {
        let answer = ask(served.api, method, path, &[], "").await;
        assert_eq!(answer.status, 405, "{method} {path}");
        if method != "HEAD" {
            assert_eq!(answer.body, r#"{"detail":"Method Not Allowed"}"#);
        }
        assert_eq!(answer.header("allow"), Some(allowed));
    }
    for (path, detail) in [
        ("/api/tasks/x", "Task not found."),
        ("/api/tasks/x/watch", "Task not found."),
        ("/api/workflows/x/schema", "Workflow not found."),
    ] {
        let answer = get(served.api, path).await;
        let wanted = format!(r#"{{"detail":"{detail}"}}"#);
        assert_eq!((answer.status, answer.body), (404, wanted));
    }
}

const SEVERAL: &str = "
component: {type: shell, command: [echo, '${input.word}']}
workflows:
  - {id: open, title: Open, default: true, component: __component__}
  - {id: 한 글, component: __component__}
  - {id: hidden, private: true, component: __component__}
";

#[tokio::test]
async fn private_workflows_are_not_there() {
    let served = Served::file(SEVERAL).await;
    let answer = get(served.api, "/api/workflows").await;
    let wanted =
        r#"[{"workflow_id":"open","title":"Open","default":true},{"workflow_id":"한 글"}]"#;
    assert_eq!(answer.body, wanted);
    let answer = get(served.api, "/api/workflows?include_schema=true").await;
    let field = r#"[{"name":"word","type":"string"}],"output":[]"#;
    let wanted = format!(
        r#"[{{"workflow_id":"open","title":"Open","input":{field}}},{{"workflow_id":"한 글","input":{field}}}]"#
    );
    assert_eq!(answer.body, wanted);
    let answer = get(served.api, "/api/workflows/%ED%95%9C%20%EA%B8%80/schema").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let answer = get(served.api, "/api/workflows/hidden/schema").await;
    assert_eq!(answer.status, 404, "{answer:?}");
    let answer = post_json(served.api, RUNS, r#"{"workflow_id":"hidden"}"#).await;
    let wanted = r#"{"detail":"Workflow 'hidden' not found."}"#;
    assert_eq!((answer.status, answer.body.as_str()), (404, wanted));
    assert!(served.fake.started().is_empty());
}

#[tokio::test]
async fn a_client_that_hangs_up_leaves_its_run_going() {
    let served = Served::seed().await;
    let host = served.api.to_string();
    let headers = [
        ("Host", host.as_str()),
        ("Content-Type", "application/json"),
    ];
    let stream = send(served.api, "POST", RUNS, &headers, "{}").await;
    let task = served.fake.run(0).await.task;
    drop(stream);
    served.fake.complete(&task, "7");
    let answer = get(served.api, &format!("/api/tasks/{task}?output_only=1")).await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "7"));
}

async fn interrupted(served: &Served) -> (Answer, String) {
    let position = served.fake.started().len();
    let (answer, ()) = tokio::join!(post_json(served.api, RUNS, "{}"), async {
        let run = served.fake.run(position).await;
        let interruption = Interruption {
            job_id: "review".to_owned(),
            phase: Phase::Before,
            message: Some("All right?".to_owned()),
            metadata: Value::from(42.to_string()),
        };
        served.fake.interrupt(&run.task, interruption);
    });
    let task = served.fake.started()[position].task.to_string();
    (answer, task)
}

#[tokio::test]
async fn a_person_is_asked_and_answers() {
    let served = Served::seed().await;
    let (answer, task) = interrupted(&served).await;
    let wanted = format!(
        r#"{{"task_id":"{task}","status":"interrupted","interrupts":[{{"job_id":"review","phase":"before","message":"All right?","metadata":"42"}}]}}"#
    );
    assert_eq!((answer.status, answer.body), (200, wanted));
    let path = format!("/api/tasks/{task}/resume");
    for (body, status) in [
        (r#"{"job_id":"other"}"#, 400),
        ("{}", 400),
        (
            r#"{"job_id":"review","run_id":"r","answer":{"ok":true}}"#,
            200,
        ),
        (r#"{"job_id":"review"}"#, 400),
    ] {
        let answer = post_json(served.api, &path, body).await;
        assert_eq!(answer.status, status, "{body} {answer:?}");
    }
    let answers = served.fake.resumed();
    assert_eq!(answers.len(), 1);
    let said = answers[0].1.as_ref().unwrap().to_json().unwrap();
    assert_eq!(
        (answers[0].0.as_str(), said.as_str()),
        ("review", r#"{"ok":true}"#)
    );
    let answer = post_json(served.api, "/api/tasks/x/resume", r#"{"job_id":"j"}"#).await;
    assert_eq!(answer.status, 404);
}

async fn watched(served: &Served, task: &TaskId) {
    wait::until_async("somebody watches", || async {
        match served.fake.watchers(task) {
            0 => Err(0),
            _ => Ok(()),
        }
    })
    .await;
}

#[tokio::test]
async fn a_run_is_cancelled_and_may_be_waited_for() {
    let served = Served::seed().await;
    post_json(served.api, RUNS, r#"{"wait_for_completion":false}"#).await;
    let task = served.fake.run(0).await.task;
    let path = format!("/api/tasks/{task}/cancel");
    let answer = ask(served.api, "POST", &path, &[], "").await;
    let wanted = format!(r#"{{"task_id":"{task}","status":"cancelling"}}"#);
    assert_eq!((answer.status, answer.body), (200, wanted));
    let waiting = format!("{path}?wait_for_completion=true");
    let (answer, ()) = tokio::join!(ask(served.api, "POST", &waiting, &[], ""), async {
        watched(&served, &task).await;
        let end = |report: &mut Report| report.status = Status::Cancelled;
        served.fake.change(&task, end);
    });
    let wanted = format!(r#"{{"task_id":"{task}","status":"cancelled"}}"#);
    assert_eq!((answer.status, answer.body), (200, wanted));
    let answer = ask(served.api, "POST", &path, &[], "").await;
    let wanted = r#"{"detail":"Task has ended already."}"#;
    assert_eq!((answer.status, answer.body.as_str()), (409, wanted));
    let answer = ask(served.api, "POST", "/api/tasks/x/cancel", &[], "").await;
    assert_eq!(answer.status, 404);
}

#[tokio::test]
async fn bytes_leave_as_they_are_and_as_base64_among_others() {
    let served = Served::seed().await;
    post_json(served.api, RUNS, r#"{"wait_for_completion":false}"#).await;
    let task = served.fake.run(0).await.task;
    served.fake.change(&task, |report| {
        report.status = Status::Completed;
        report.output = Value::Bytes(b"hello".as_slice().into());
    });
    let path = format!("/api/tasks/{task}");
    let answer = get(served.api, &path).await;
    let wanted = format!(r#"{{"task_id":"{task}","status":"completed","output":"aGVsbG8="}}"#);
    assert_eq!(answer.body, wanted);
    let answer = get(served.api, &format!("{path}?output_only=true")).await;
    assert_eq!(answer.body, "hello");
    assert_eq!(
        answer.header("content-type"),
        Some("application/octet-stream")
    );
}

#[tokio::test]
async fn a_watch_tells_where_a_run_stands_until_it_ends() {
    let served = Served::seed().await;
    post_json(served.api, RUNS, r#"{"wait_for_completion":false}"#).await;
    let task = served.fake.run(0).await.task;
    served.fake.change(&task, |report| {
        report.jobs = vec![JobReport {
            id: "__job__".to_owned(),
            name: Some("Ask".to_owned()),
            state: JobState::Running,
            hop: Some(Hop::Callback {
                id: "8".to_owned(),
                via: Some((8090, "gw.example:9834".to_owned())),
            }),
            began: Some(report.since),
            ended: None,
            attempt: 1,
        }];
    });
    let path = format!("/api/tasks/{task}/watch");
    let (answer, ()) = tokio::join!(get(served.api, &path), async {
        watched(&served, &task).await;
        served
            .fake
            .complete(&task, "{\"n\":170141183460469231731687303715884105727}");
    });
    let lines: Vec<&str> = answer.body.lines().collect();
    let last = lines.last().unwrap();
    assert!(last.contains(r#""status":"completed""#), "{last}");
    assert!(last.contains(r#""output":{"n":"#), "{last}");
    let hop = r#""jobs":[{"id":"__job__","name":"Ask","state":"running","seconds":"#;
    assert!(lines[0].contains(hop), "{lines:?}");
    let waits = r#""attempt":1,"waits_for":{"kind":"callback","id":"8","port":8090,"address":"gw.example:9834"}"#;
    assert!(lines[0].contains(waits), "{lines:?}");
}

#[tokio::test]
async fn an_address_that_is_taken_is_an_error() {
    let served = Served::seed().await;
    let mut config = config();
    config.adapters[0].port.value = served.api.port();
    let runs = Fake::of(crate::fake::SEED);
    let bound = adit_flow::controller::Controller::bind(&config, runs, &[]).await;
    let error = bound.unwrap_err().to_string();
    assert_eq!(
        error,
        format!("cannot listen at {}: the port is in use", served.api)
    );
}
