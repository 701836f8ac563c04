//! Requests from outside through the tunnel, made by curl as the document makes them.

use adit_testkit::process::Process;
use adit_testkit::{require, wait};
use serde_json::{Value, json};

use crate::support::{FORWARDING, Follower, RUN, Said, call_back, curl, id_of_result, said};

/// Several callbacks of each kind, and a job that waits for the one with the id that a run is given.
const CALLBACKS: &str = r"
listener:
  type: http-callback
  host: 127.0.0.1
  port: 8090
  callbacks:
    - path: /callback
      identify_by: ${body.task_id}
      status: ${body.status}
      success_when: [done]
      fail_when: [failed]
      result: ${body.result}
    - path: /bulk
      bulk: true
      identify_by: ${item.id}
      status: ${item.status}
      success_when: [done]
      fail_when: [failed]
      result: ${item.value}
    - {path: /query, identify_by: '${query.task_id}', result: '${body}'}
    - {path: /form, identify_by: '${body.id}', result: '${body.text}'}

component:
  type: http-server
  start: [ uvicorn, server:app, --port, '9000' ]
  port: 9000
  path: /process
  body: {task_id: '${input.id}'}
  completion: {type: callback, wait_for: '${input.id}'}
  output: {of: '${response.task_id}', result: '${result}'}

workflow: {title: Callbacks, input: '${input}', output: '${output}'}
";

/// The document's controller and gateway, and these in place of the rest.
fn with(rest: &str) -> Follower {
    Follower::with(|text| {
        let (head, _) = text.split_once("\nlistener:").unwrap();
        format!("{head}{rest}")
    })
}

/// A run that waits for the callback of an id.
fn waiting(follower: &Follower, id: &Value) -> Process {
    let input = json!({ "id": id }).to_string();
    let run = follower.folder.start(&["run", "--input", &input]);
    follower
        .folder
        .wait_for_journal(&format!(r#"/process {{"task_id": {id}}}"#));
    run
}

/// What a run gave, if all went well.
#[track_caller]
fn given(run: &mut Process) -> Value {
    let said = said(run);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    serde_json::from_str(&said.stdout).unwrap()
}

const EMPTY: (u16, String) = (200, String::new());

macro_rules! require_programs {
    () => {
        require!("sshd", "ssh-keygen", "python3", "curl");
    };
}

#[test]
fn a_callback_for_nobody_is_answered_like_any_other_at_both_ends() {
    require_programs!();
    let follower = Follower::new();
    let mut up = follower.up();
    let local = format!("http://localhost:{}/callback", follower.ports.of(8090));
    for url in [&follower.public("/callback"), &local] {
        for body in [
            r#"{"task_id": "test-123", "result": {"data": "test"}}"#,
            r#"{"task_id": "test", "result": {}}"#,
            "{}",
        ] {
            assert_eq!(
                call_back(&follower.folder, url, body),
                EMPTY,
                "{url} {body}"
            );
        }
        let (status, _) = call_back(&follower.folder, url, "{bad");
        assert_eq!(status, 400, "{url}");
        let (status, body) = curl(&follower.folder, &[url]);
        assert_eq!(
            (status, body.as_str()),
            (405, r#"{"detail":"Method Not Allowed"}"#)
        );
        let (status, body) = call_back(&follower.folder, &format!("{url}/x"), "{}");
        assert_eq!((status, body.as_str()), (404, r#"{"detail":"Not Found"}"#));
    }
    id_of_result(&follower.run());
    up.kill();
}

/// The service tells the result while it still thinks about its answer.
#[test]
fn a_callback_that_comes_twice_and_before_the_answer_is_one() {
    require_programs!();
    let follower = Follower::new();
    let mut up = follower.up();
    for name in ["thinking", "hold"] {
        follower.folder.write(name, "");
    }
    let mut run = follower.folder.start(RUN);
    let request = follower.folder.wait_for_journal("/process ");
    let request: Value = serde_json::from_str(&request).unwrap();
    let id = &request["task_id"];
    let url = request["callback_url"].as_str().unwrap();
    for result in [r#"{"processed_data": "HELLO WORLD", "length": 11}"#, "0"] {
        let body = format!(r#"{{"task_id": {id}, "result": {result}}}"#);
        assert_eq!(call_back(&follower.folder, url, &body), EMPTY);
    }
    std::fs::remove_file(follower.folder.work().join("thinking")).unwrap();
    assert_eq!(id_of_result(&said(&mut run)), id.as_str().unwrap());
    up.kill();
}

#[test]
fn only_a_status_that_is_final_ends_the_wait() {
    require_programs!();
    let follower = with(CALLBACKS);
    let mut up = follower.up();
    let url = follower.public("/callback");
    let mut run = waiting(&follower, &json!("a"));
    for (status, result) in [("queued", 1), ("running", 2), ("done", 3)] {
        assert!(run.exit_status().is_none(), "{status}");
        let body = json!({"task_id": "a", "status": status, "result": result}).to_string();
        assert_eq!(call_back(&follower.folder, &url, &body), EMPTY);
    }
    assert_eq!(given(&mut run), json!({"of": "a", "result": 3}));

    let mut run = waiting(&follower, &json!("b"));
    let body = json!({"task_id": "b", "status": "failed", "result": 1}).to_string();
    assert_eq!(call_back(&follower.folder, &url, &body), EMPTY);
    let Said {
        code,
        stdout,
        stderr,
    } = said(&mut run);
    assert_eq!((code, stdout.as_str()), (Some(1), ""), "{stderr}");
    assert!(stderr.contains("Task failed for 'b'"), "{stderr}");
    up.kill();
}

#[test]
fn an_id_that_is_a_number_is_the_same_as_text() {
    require_programs!();
    let follower = with(CALLBACKS);
    let mut up = follower.up();
    let url = follower.public("/callback");
    for (ours, theirs) in [(json!(8), json!("8")), (json!("9"), json!(9))] {
        let mut run = waiting(&follower, &ours);
        let body = json!({"task_id": theirs, "status": "done", "result": true}).to_string();
        assert_eq!(call_back(&follower.folder, &url, &body), EMPTY);
        assert_eq!(given(&mut run), json!({"of": ours, "result": true}));
    }
    up.kill();
}

#[test]
fn one_request_can_bring_many_callbacks_each_with_its_own_status() {
    require_programs!();
    let follower = with(CALLBACKS);
    let mut up = follower.up();
    let mut runs: Vec<Process> = ["a", "b", "c"]
        .map(|id| waiting(&follower, &json!(id)))
        .into();
    let body = json!([
        {"id": "a", "status": "done", "value": 1},
        {"id": "nobody", "status": "done", "value": 2},
        {"id": "b", "status": "failed", "value": 3},
        {"id": "c", "status": "running", "value": 4},
    ]);
    let url = follower.public("/bulk");
    assert_eq!(call_back(&follower.folder, &url, &body.to_string()), EMPTY);
    assert_eq!(given(&mut runs[0]), json!({"of": "a", "result": 1}));
    let failed = said(&mut runs[1]);
    assert!(
        failed.stderr.contains("Task failed for 'b'"),
        "{}",
        failed.stderr
    );
    assert!(runs[2].exit_status().is_none());
    let body = json!([{"id": "c", "status": "done", "value": 5}]).to_string();
    assert_eq!(call_back(&follower.folder, &url, &body), EMPTY);
    assert_eq!(given(&mut runs[2]), json!({"of": "c", "result": 5}));
    let (status, _) = call_back(&follower.folder, &url, "{}");
    assert_eq!(status, 400);
    up.kill();
}

#[test]
fn the_id_can_be_in_the_query_and_the_result_in_a_form_or_text() {
    require_programs!();
    let follower = with(CALLBACKS);
    let mut up = follower.up();
    let mut run = waiting(&follower, &json!("q"));
    let url = follower.public("/query?task_id=q");
    let text = ["-H", "Content-Type: text/plain", "-d", "그래"];
    assert_eq!(
        curl(&follower.folder, &[&[url.as_str()], &text[..]].concat()),
        EMPTY
    );
    assert_eq!(given(&mut run), json!({"of": "q", "result": "그래"}));

    for (id, kind) in [("u", "--data-urlencode"), ("m", "--form-string")] {
        let mut run = waiting(&follower, &json!(id));
        let url = follower.public("/form");
        let id_field = format!("id={id}");
        let fields = [url.as_str(), kind, &id_field, kind, "text=a&b c"];
        assert_eq!(curl(&follower.folder, &fields), EMPTY);
        assert_eq!(given(&mut run), json!({"of": id, "result": "a&b c"}));
    }
    up.kill();
}

/// Triggers of each kind, of workflows that ask the service.
const TRIGGERS: &str = r"
listener:
  type: http-trigger
  host: 127.0.0.1
  port: 8090
  triggers:
    - path: /one
      workflow: echo
      input: {text: '${body.message.text}', from: '${query.from}'}
      auth: {type: token, token: env:TOKEN}
    - {path: /many, bulk: true, workflow: '${item.workflow}', allow_unauthenticated: true}
    - {path: /lost, workflow: 'nowhere-${body.name}', allow_unauthenticated: true}

component:
  id: service
  type: http-server
  start: [ uvicorn, server:app, --port, '9000' ]
  port: 9000
  actions:
    - {id: echo, path: /echo, body: '${input}', output: '${response.echo}'}

workflows:
  - id: echo
    job: {component: service, action: echo, output: '${output}'}
";

#[test]
fn a_request_from_outside_starts_a_workflow() {
    require_programs!();
    let follower = with(TRIGGERS);
    let mut up = follower.folder.start(&["up", "-e", "TOKEN=t0k3n"]);
    up.wait_for_text("[Controller] Listening on ");
    let pending = |value: &Value| {
        assert_eq!(value["status"], "pending", "{value}");
        value["task_id"].as_str().unwrap().to_owned()
    };
    let api = format!("http://localhost:{}/api/tasks/", follower.ports.of(8080));
    let ended = |task: &str| {
        wait::until(task, || {
            let (_, body) = curl(&follower.folder, &[&format!("{api}{task}")]);
            let task: Value = serde_json::from_str(&body).unwrap();
            match task["status"].as_str() {
                Some("completed" | "failed") => Ok(task),
                _ => Err(task),
            }
        })
    };
    let ask = |path: &str, token: &str, body: &Value| {
        let url = follower.public(path);
        let (kind, token) = (
            "Content-Type: application/json",
            format!("Authorization: Bearer {token}"),
        );
        let body = body.to_string();
        curl(
            &follower.folder,
            &[&url, "-H", kind, "-H", &token, "-d", &body],
        )
    };
    let start = |path: &str, body: &Value| {
        let (status, answer) = ask(path, "t0k3n", body);
        assert_eq!(status, 200, "{answer}");
        serde_json::from_str::<Value>(&answer).unwrap()
    };
    let hello = json!({"message": {"text": "hello"}});
    assert_eq!(ask("/one", "guess", &hello).0, 401);
    let answer = start("/one?from=me", &hello);
    let task = ended(&pending(&answer));
    assert_eq!(task["output"], json!({"text": "hello", "from": "me"}));

    let answer = start(
        "/many",
        &json!([{"workflow": "echo", "n": 1}, {"workflow": "echo", "n": 2}]),
    );
    for (number, task) in answer.as_array().unwrap().iter().enumerate() {
        let task = ended(&pending(task));
        assert_eq!(task["output"], json!({"workflow": "echo", "n": number + 1}));
    }
    let (status, answer) = ask("/lost", "", &json!({"name": "here"}));
    assert_eq!(
        (status, answer.as_str()),
        (404, r#"{"detail":"Workflow 'nowhere-here' not found."}"#)
    );
    up.kill();
}

/// The listener is there before the service, which takes its time.
#[test]
fn a_request_from_outside_waits_for_the_service_that_its_workflow_needs() {
    require_programs!();
    let follower = with(TRIGGERS);
    follower.folder.write("asleep", "");
    let mut up = follower.folder.start(&["up", "-e", "TOKEN=t0k3n"]);
    up.wait_for_text(FORWARDING);
    let url = follower.public("/many");
    let body = json!([{"workflow": "echo"}]).to_string();
    let (status, answer) = call_back(&follower.folder, &url, &body);
    assert_eq!(status, 200, "{answer}");
    up.wait_for_text("Workflow 'echo' started.");
    std::fs::remove_file(follower.folder.work().join("asleep")).unwrap();
    up.wait_for_text("Workflow 'echo' completed in ");
    up.kill();
}

/// A service that is done at the third question.
const POLLING: &str = r"
component:
  type: http-server
  start: [ uvicorn, server:app, --port, '9000' ]
  port: 9000
  path: /process
  body: {task_id: a}
  completion:
    type: polling
    path: /progress
    status: ${result.status}
    success_when: [done]
    fail_when: [failed]
    interval: 200ms
    timeout: 60s
  output: {asked: '${result.asked}'}

workflow: {title: Polling, input: '${input}', output: '${output}'}
# 8090
";

/// It comes to use neither listener nor gateway, so that there is none.
#[test]
fn a_service_can_be_asked_until_it_is_done() {
    require_programs!();
    let follower = with(POLLING);
    let mut run = follower.folder.start(&["run"]);
    assert_eq!(given(&mut run), json!({"asked": 3}));
    assert_eq!(follower.folder.journal().matches("/progress").count(), 3);
    assert_eq!(follower.sshd.connection_count(), 0);
}
