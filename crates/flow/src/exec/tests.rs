//! Runs without anything outside: decisions, delays, lists, workflows inside workflows.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use adit_text::Problems;

use super::*;
use crate::callback::Hub;
use crate::expose::Addresses;
use crate::expr::Value;
use crate::file::{Dialect, Environment, Files, Source};
use crate::http;
use crate::model::Compose;
use crate::process::{ChildEnvironment, Keeper};
use crate::secrets::Secrets;

/// A checked file.
pub(super) fn compose(text: &str) -> Compose {
    let source = Source {
        name: "f.yml",
        bytes: text.as_bytes(),
        dialect: Dialect::ModelCompose,
    };
    let mut problems = Problems::new();
    let files = Files::parse(&[source], &Environment::default(), &mut problems).unwrap();
    let compose = files.compose(&mut problems);
    compose.unwrap_or_else(|| panic!("{problems}"))
}

fn engine(text: &str) -> Engine {
    let compose = Arc::new(compose(text));
    let tools = Tools {
        addresses: Addresses::new(&compose),
        hub: Hub::new(),
        http: http::Client::new(http::Config::default()).unwrap(),
        keeper: Keeper::of_this_program(),
        environment: ChildEnvironment::default(),
        folder: PathBuf::from("/"),
        secrets: Secrets::new(),
        services: Vec::new(),
    };
    Engine::new(compose, tools)
}

fn json(text: &str) -> Value {
    Value::from_json(text.as_bytes()).unwrap()
}

/// What a run of the default workflow gives, as JSON, or its error.
async fn outcome(engine: &Engine, input: &str) -> String {
    let task = engine.start(crate::model::DEFAULT, json(input)).unwrap();
    let report = engine.ended(&task).await.unwrap();
    match &report.error {
        Some(error) => error.clone(),
        None => report.output.to_json().unwrap(),
    }
}

#[tokio::test(start_paused = true)]
async fn jobs_decide_where_a_run_goes() {
    let engine = engine(
        "
workflow:
  jobs:
    - {id: score, type: if, input: '${input.score as integer}', otherwise: f,
       conditions: [{operator: gte, value: 90, input: '${input.score as integer}', if_true: a}]}
    - {id: a, type: filter, output: {grade: A}}
    - {id: f, type: switch, input: '${input.why}', cases: [{value: late, then: late}], otherwise: other}
    - {id: late, type: filter, output: {grade: L, of: '${input}'}}
    - {id: other, type: filter, output: {grade: F}}
",
    );
    for (input, output) in [
        (r#"{"score": "95"}"#, r#"{"grade":"A"}"#),
        (
            r#"{"score": 1, "why": "late"}"#,
            r#"{"grade":"L","of":{"score":1,"why":"late"}}"#,
        ),
        (r#"{"score": 1}"#, r#"{"grade":"F"}"#),
        (
            r#"{"score": "many"}"#,
            "f.yml:5:55: \"${input.score as integer}\" cannot be converted: `integer` requires a whole number, got \"many\"",
        ),
    ] {
        assert_eq!(outcome(&engine, input).await, output, "{input}");
    }
    engine.close(Duration::ZERO).await;
}

#[tokio::test(start_paused = true)]
async fn lists_workflows_and_delays_give_what_they_say() {
    let engine = engine(
        "
workflows:
  - id: all
    default: true
    output: {sum: '${output}', first: '${jobs.each.output[0]}'}
    jobs:
      - {id: wait, type: delay, duration: 1h, output: waited}
      - id: each
        type: for-each
        depends_on: [wait]
        input: ${input.names}
        batch_size: 2
        do: {component: greet, input: {name: '${item}', at: '${index}'}, output: '${output.text}'}
      - {id: last, type: filter, depends_on: [each], output: '${jobs.wait.output} ${jobs.each.output}'}
  - id: greeting
    jobs: [{id: text, type: filter, output: {text: '${input.at}: hello ${input.name | nobody}'}}]
component: {id: greet, type: workflow, workflow: greeting}
",
    );
    assert_eq!(
        outcome(&engine, r#"{"names": ["x", null, "y"]}"#).await,
        r#"{"sum":"waited [\"0: hello x\",\"1: hello nobody\",\"2: hello y\"]","first":"0: hello x"}"#
    );
    assert_eq!(
        outcome(&engine, r#"{"names": 7}"#).await,
        "the input of a for-each is a list, found integer"
    );
    engine.close(Duration::ZERO).await;
}

#[tokio::test(start_paused = true)]
async fn a_workflow_that_starts_itself_fails() {
    let engine = engine(
        "
workflow: {id: w, job: {component: again}}
component: {id: again, type: workflow, workflow: w}
",
    );
    assert_eq!(
        outcome(&engine, "{}").await,
        "more than 16 workflows inside one another"
    );
    engine.close(Duration::ZERO).await;
}

#[tokio::test(start_paused = true)]
async fn a_person_lets_a_job_go_on_or_changes_what_it_gives() {
    let engine = engine(
        "
workflows:
  - id: outer
    default: true
    jobs:
      - id: ask
        component: same
        input: {command: 'ls ${input.path | .}'}
        interrupt:
          before: {message: 'About to run ${job.input.command}', metadata: {c: '${job.input.command}'}}
          after: {message: Look}
        output: {result: '${output}'}
  - id: inner
    jobs: [{id: give, type: filter, output: '${input.command}'}]
component: {id: same, type: workflow, workflow: inner}
",
    );
    let task = engine.start("outer", json("{}")).unwrap();
    let mut reports = engine.watch(&task).unwrap();
    let asked = reports.wait_for(|report| report.status == Status::Interrupted);
    let report = Arc::clone(&asked.await.unwrap());
    let question = &report.interruptions[0];
    assert_eq!(question.message.as_deref(), Some("About to run ls ."));
    assert_eq!(question.metadata.to_json().unwrap(), r#"{"c":"ls ."}"#);
    assert_eq!(
        engine.resume(&task, "no", None),
        Err(ResumeError::NotWaiting)
    );
    let answer = Some(json(r#"{"command": "ls /"}"#));
    assert_eq!(engine.resume(&task, "ask", answer), Ok(()));
    let asked = reports.wait_for(|report| {
        report
            .interruptions
            .first()
            .is_some_and(|one| one.phase == Phase::After)
    });
    drop(asked.await.unwrap());
    assert_eq!(engine.resume(&task, "ask", None), Ok(()));
    let report = engine.ended(&task).await.unwrap();
    assert_eq!(report.output.to_json().unwrap(), r#"{"result":"ls /"}"#);
    engine.close(Duration::ZERO).await;
}

#[tokio::test(start_paused = true)]
async fn a_run_is_stopped_by_who_asks_and_by_the_end() {
    let engine = engine("workflow: {job: {type: delay, duration: 30d}}");
    let task = engine.start("__workflow__", Value::Null).unwrap();
    assert_eq!(engine.cancel(&task), Ok(()));
    let report = engine.ended(&task).await.unwrap();
    assert_eq!(report.status, Status::Cancelled);
    assert_eq!(engine.cancel(&task), Err(CancelError::Over));
    let other = engine.start("__workflow__", Value::Null).unwrap();
    engine.close(Duration::from_secs(30)).await;
    assert_eq!(engine.report(&other).unwrap().status, Status::Cancelled);
    assert_eq!(
        engine.start("__workflow__", Value::Null),
        Err(StartError::Closing)
    );
    assert_eq!(engine.running(), 0);
}

/// Security rule G80: who has seen one id knows nothing of the next, also of the same millisecond.
#[test]
fn run_ids_are_unpredictable() {
    let ids = (0..2_000).map(|_| engine::new_ulid().unwrap());
    let ids: Vec<ulid::Ulid> = ids.collect();
    let mut rises = 0;
    let mut ones = [0_u32; 80];
    for pair in ids.windows(2) {
        let [one, next] = [pair[0].random(), pair[1].random()];
        // Neighbours that are near each other would be one counted on from the other.
        assert!(one.abs_diff(next) > 1 << 40, "{one:020x} {next:020x}");
        rises += u32::from(one < next);
        for (bit, count) in ones.iter_mut().enumerate() {
            *count += u32::from(next >> bit & 1 == 1);
        }
    }
    // Half of 1,999, by more than ten times what chance makes of it.
    let is_half = |count: u32| (750..1_250).contains(&count);
    assert!(is_half(rises), "{rises}");
    assert!(ones.iter().all(|count| is_half(*count)), "{ones:?}");
}
