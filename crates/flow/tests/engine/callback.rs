//! Jobs that a callback completes.

use adit_flow::exec::{Hop, Report, Status};
use adit_flow::expose::{PublicAddress, State};

use crate::support::{CALLBACKS, Lab, outcome};

#[tokio::test]
async fn the_seed_document_gives_its_output() {
    let text = include_str!("../fixtures/model-compose/ssh-tunnel.yml");
    // Its own server has a port that is fixed.
    let lab = Lab::new(&text.replace("9000", "PORT")).await;
    let task = lab.start(r#"{"data": "hello world"}"#);
    let report = lab.ended(&task).await;
    let output = outcome(&report);
    let (id, rest) = output.split_at(r#"{"task_id":""#.len()).1.split_at(26);
    assert_eq!(
        rest,
        r#"","result":{"processed_data":"HELLO WORLD","length":11}}"#
    );
    assert_ne!(id, task.as_str());
    let wanted = format!(
        r#"{{"data":"hello world","callback_url":"http://127.0.0.1:{}/callback","task_id":"{id}"}}"#,
        lab.listener
    );
    assert_eq!(lab.stand_in.seen.asked(), [wanted]);
    assert_eq!(lab.stand_in.seen.answers(1).await, [r#"200 Ok("")"#]);
    assert!(lab.hub.is_empty());
}

/// A workflow whose server answers and calls back as `says` has it.
fn file(wait_for: &str, says: &str) -> String {
    format!(
        "{CALLBACKS}
component:
  type: http-client
  base_url: http://localhost:PORT
  action:
    path: /script
    body: {{url: 'http://${{gateway:8090.public_address}}/callback', {says}}}
    completion: {{type: callback, wait_for: '{wait_for}', timeout: 15s}}
workflow: {{job: {{}}}}
"
    )
}

#[tokio::test]
async fn callbacks_complete_their_job_whenever_and_however_they_come() {
    for (says, wanted) in [
        (
            "before: [{task_id: '${context.run_id}', result: [early]}]",
            r#"["early"]"#,
        ),
        (
            "after: [{task_id: '${context.run_id}', result: 1}, {task_id: '${context.run_id}', result: 2}]",
            "1",
        ),
        (
            "before: [{task_id: '${context.run_id}', result: 1}, {task_id: '${context.run_id}', result: 2}]",
            "1",
        ),
        (
            "after: [{task_id: unknown, result: 0}, {task_id: '${context.run_id}', status: working, result: 1},
                     {task_id: '${context.run_id}', status: done, result: 2}]",
            "2",
        ),
        (
            "after: [{task_id: '${context.run_id}', status: broken}]",
            "Task failed for 'ID'",
        ),
    ] {
        let lab = Lab::new(&file("${context.run_id}", says)).await;
        let output = lab.outcome("{}").await;
        let asked = lab.stand_in.seen.asked().concat();
        let id = asked.rsplit(r#""task_id":""#).next().unwrap();
        assert_eq!(output, wanted.replace("ID", id.get(..26).unwrap_or(id)), "{says}");
        assert!(lab.hub.is_empty());
    }
}

/// What cannot be resolved is nothing, and what cannot be converted fails the job, as everywhere.
#[tokio::test]
async fn a_status_that_is_not_to_be_had_fails_its_job_or_leaves_it_waiting() {
    let id = "task_id: '${context.run_id}'";
    for (status, says, wanted) in [
        ("${body.status}", format!("{{{id}, result: 1}}"), "1"),
        (
            "${body.status}",
            format!(
                "{{{id}, status: {{done: true}}, result: 1}}, {{{id}, status: done, result: 2}}"
            ),
            "2",
        ),
        (
            "${body.status | working}",
            format!("{{{id}, result: 1}}, {{{id}, status: done, result: 2}}"),
            "2",
        ),
        (
            "${body.status as integer}",
            format!("{{{id}, status: soon, result: 1}}, {{{id}, status: done, result: 2}}"),
            "the callback's status could not be read: ",
        ),
    ] {
        let text = file("${context.run_id}", &format!("after: [{says}]"));
        let lab = Lab::new(&text.replace("${body.status}", status)).await;
        let outcome = lab.outcome("{}").await;
        assert!(outcome.starts_with(wanted), "{status}: {outcome}");
        assert_eq!(outcome.len() > wanted.len(), wanted.ends_with(' '));
        // The sender has done nothing wrong, and is not to try again.
        for answer in lab
            .stand_in
            .seen
            .answers(says.matches("task_id").count())
            .await
        {
            assert_eq!(answer, r#"200 Ok("")"#, "{status}");
        }
        assert!(lab.hub.is_empty());
    }
}

#[tokio::test]
async fn ids_are_texts_and_may_be_known_after_the_answer() {
    for (wait_for, says, wanted) in [
        (
            "${input.id}",
            "after: [{task_id: '${input.id}', result: number}]",
            r#""number""#,
        ),
        (
            "8",
            "after: [{task_id: '${input.id as text}', result: text}]",
            r#""text""#,
        ),
        (
            "${response.id}",
            "answer: {id: 8}, after: [{task_id: 8, result: later}]",
            r#""later""#,
        ),
        (
            "${response.id}",
            "answer: {id: '8'}, before: [{task_id: 7, result: other}, {task_id: 8, result: early}]",
            r#""early""#,
        ),
        (
            "${response.id}",
            "answer: {}",
            "f.yml:23:44: nothing to wait for: the id is empty",
        ),
    ] {
        let lab = Lab::new(&file(wait_for, says)).await;
        assert_eq!(
            lab.outcome(r#"{"id": 8}"#).await,
            wanted,
            "{wait_for} {says}"
        );
        assert!(lab.hub.is_empty());
    }
}

#[tokio::test]
async fn a_second_waiter_for_one_id_fails_and_the_first_gets_the_callback() {
    let lab = Lab::new(&file("one", "answer: {}")).await;
    let first = lab.start("{}");
    let waits = |report: &Report| matches!(report.jobs[0].hop, Some(Hop::Callback { .. }));
    let report = lab.until(&first, "it waits", waits).await;
    let Some(Hop::Callback { id, via }) = &report.jobs[0].hop else {
        panic!("{report:?}");
    };
    let address = format!("127.0.0.1:{}", lab.listener);
    assert_eq!((id.as_str(), via), ("one", &Some((8090, address))));
    assert_eq!(
        lab.outcome("{}").await,
        "another job waits for a callback with this id"
    );
    // The server was not even asked.
    assert_eq!(lab.stand_in.seen.asked().len(), 1);
    let third = Lab::new(&file("${response.id}", "answer: {id: one}")).await;
    let waiting = third.start("{}");
    third.until(&waiting, "it waits", waits).await;
    assert_eq!(
        third.outcome("{}").await,
        "another job waits for a callback with this id"
    );
    assert_eq!(third.hub.len(), 1);
    lab.engine.cancel(&first).unwrap();
    assert_eq!(lab.ended(&first).await.status, Status::Cancelled);
    assert!(lab.hub.is_empty());
}

#[tokio::test]
async fn a_callback_that_does_not_come_is_not_waited_for_for_ever() {
    let text = file("x", "answer: {}").replace("timeout: 15s", "timeout: 100ms");
    let lab = Lab::new(&text).await;
    assert_eq!(
        lab.outcome("{}").await,
        "no callback for 'x' came within 100ms"
    );
    assert!(lab.hub.is_empty());
}

#[tokio::test]
async fn items_of_a_bulk_complete_each_their_own() {
    let bulk = CALLBACKS
        .replace(
            "path: /callback",
            "path: /callback\n  bulk: true\n  item: ${body.items}",
        )
        .replace("${body.", "${item.")
        .replace("${item.items}", "${body.items}");
    let text = format!(
        "{bulk}
components:
  - id: waits
    type: http-client
    base_url: http://localhost:PORT
    action:
      path: /script
      body: {{answer: {{}}}}
      completion: {{type: callback, wait_for: '${{input.id}}', timeout: 15s}}
  - id: calls
    type: http-client
    action:
      endpoint: http://${{gateway:8090.public_address}}/callback
      body:
        items:
          - {{task_id: a, status: done, result: A}}
          - {{task_id: b, status: broken}}
          - {{task_id: nobody}}
          - {{task_id: c, status: working}}
          - {{task_id: c, status: done, result: C}}
workflows:
  - {{id: waits, job: {{component: waits}}}}
  - {{id: calls, default: true, job: {{component: calls}}}}
"
    );
    let lab = Lab::new(&text).await;
    let start = |id: &str| {
        let input = crate::support::json(&format!(r#"{{"id": {id:?}}}"#));
        lab.engine.start("waits", input).unwrap()
    };
    let tasks = ["a", "b", "c"].map(start);
    for task in &tasks {
        let waits = |report: &Report| matches!(report.jobs[0].hop, Some(Hop::Callback { .. }));
        lab.until(task, "it waits", waits).await;
    }
    assert_eq!(lab.outcome("{}").await, "null");
    let mut outcomes = Vec::new();
    for task in &tasks {
        outcomes.push(outcome(&lab.ended(task).await));
    }
    assert_eq!(outcomes, [r#""A""#, "Task failed for 'b'", r#""C""#]);
    assert!(lab.hub.is_empty());
}

#[tokio::test]
async fn a_callback_is_waited_for_at_the_gateway_that_the_sender_was_told_of() {
    let lab = |body: &str| {
        let text = format!(
            "
gateway:
  type: ssh-tunnel
  port: ['9001:7001', '9834:8090', '9002:9999']
  connection: {{host: gw.example, auth: {{type: keyfile, username: u, keyfile: k}}}}
listener: {{type: http-callback, host: 127.0.0.1, port: 8090, path: /callback, identify_by: '${{body.task_id}}'}}
component:
  type: http-client
  base_url: http://localhost:PORT
  action:
    path: /script
    body: {body}
    output: ${{gateway:7001.public_address}}
    completion: {{type: callback, wait_for: one, timeout: 15s}}
workflow: {{job: {{}}}}
"
        );
        async move {
            let lab = Lab::without_gateway(&text).await;
            for (port, public) in [(7001, 9001), (8090, 9834), (9999, 9002)] {
                let address = PublicAddress::of_port("gw.example", public);
                lab.addresses.set(0, port, State::Up(address));
            }
            lab
        }
    };
    let told = "http://${gateway:8090.public_address}/callback";
    let other = "${gateway:9999.public_url}/files";
    for (body, wanted) in [
        (format!("{{a: ['{told}']}}"), Some(8090)),
        (format!("{{files: '{other}', to: '{told}'}}"), Some(8090)),
        (format!("{{files: '{other}'}}"), Some(9999)),
        (String::from("{}"), None),
    ] {
        let lab = lab(&body).await;
        let task = lab.start("{}");
        let waits = |report: &Report| matches!(&report.jobs[0].hop, Some(Hop::Callback { .. }));
        let report = lab.until(&task, "it waits", waits).await;
        let Some(Hop::Callback { via, .. }) = &report.jobs[0].hop else {
            panic!("{report:?}");
        };
        assert_eq!(via.as_ref().map(|(port, _)| *port), wanted, "{body}");
    }
}
