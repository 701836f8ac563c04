//! Jobs that wait for a person.

use adit_flow::exec::{Phase, ResumeError, Status};

use crate::support::{Lab, json, outcome};

fn is_interrupted(report: &adit_flow::exec::Report) -> bool {
    report.status == Status::Interrupted
}

#[tokio::test]
async fn items_that_ask_at_once_are_answered_one_after_the_other() {
    let lab = Lab::new(
        "
component: {type: workflow, workflow: inner}
workflows:
  - id: outer
    default: true
    job: {id: all, type: for-each, input: [a, b, c], batch_size: 3, do: {input: {name: '${item}'}}}
  - id: inner
    job: {id: ask, type: filter, output: '${input.name}', interrupt: {after: {message: '${input.name}'}}}
",
    )
    .await;
    let task = lab.start("{}");
    let all = |report: &adit_flow::exec::Report| report.interruptions.len() == 3;
    let report = lab.until(&task, "all ask", all).await;
    assert_eq!(report.status, Status::Interrupted);
    for (question, name) in report.interruptions.iter().zip(["a", "b", "c"]) {
        assert_eq!(question.job_id, "all/ask");
        assert_eq!(question.phase, Phase::After);
        assert_eq!(question.message.as_deref(), Some(name));
    }
    for (left, answer) in [(2, None), (1, Some(json("\"B\""))), (0, Some(json("null")))] {
        assert_eq!(lab.engine.resume(&task, "all/ask", answer), Ok(()));
        let asked = lab.engine.report(&task).unwrap();
        assert_eq!(asked.interruptions.len(), left);
    }
    assert_eq!(outcome(&lab.ended(&task).await), r#"["a","B","c"]"#);
    assert_eq!(
        lab.engine.resume(&task, "all/ask", None),
        Err(ResumeError::NotWaiting)
    );
}

#[tokio::test]
async fn an_answer_is_for_the_run_of_the_job_that_asked() {
    let lab = Lab::new(
        "
component: {type: http-client, action: {endpoint: 'http://localhost:PORT/script', body: {answer: '${input}'}}}
workflow:
  output: '${jobs.ask.output}'
  jobs:
    - {id: start, type: switch, input: any, cases: [{value: none, then: ask}], otherwise: ask}
    - {id: ask, input: {own: 1}, interrupt: {before: {}}}
    - {id: again, type: switch, depends_on: [ask], input: '${jobs.ask.output.own as text}', cases: [{value: '2', then: ask}]}
",
    )
    .await;
    let task = lab.start("{}");
    lab.until(&task, "it asks", is_interrupted).await;
    lab.engine
        .resume(&task, "ask", Some(json(r#"{"own": 2}"#)))
        .unwrap();
    lab.until(&task, "it asks again", |report| {
        is_interrupted(report) && report.jobs[1].attempt == 1 && report.jobs[2].ended.is_some()
    })
    .await;
    lab.engine.resume(&task, "ask", None).unwrap();
    assert_eq!(outcome(&lab.ended(&task).await), r#"{"own":1}"#);
}

#[tokio::test]
async fn a_question_goes_with_its_run() {
    let lab =
        Lab::new("workflow: {job: {id: ask, type: filter, interrupt: {before: {message: hm}}}}")
            .await;
    let task = lab.start("{}");
    lab.until(&task, "it asks", is_interrupted).await;
    lab.engine.cancel(&task).unwrap();
    let report = lab.ended(&task).await;
    assert_eq!(report.status, Status::Cancelled);
    assert!(report.interruptions.is_empty());
    assert_eq!(
        lab.engine.resume(&task, "ask", None),
        Err(ResumeError::NotWaiting)
    );
}

#[tokio::test]
async fn a_condition_that_cannot_be_told_fails_the_run_and_asks_nobody() {
    let lab = Lab::new(
        "
workflow:
  jobs:
    - {id: ask, type: filter, interrupt: {before: {condition: {input: '${input.n}', operator: gt, value: 3}}}, output: ran}
",
    )
    .await;
    assert_eq!(lab.outcome(r#"{"n": 1}"#).await, r#""ran""#);
    let error = lab.outcome(r#"{"n": "x"}"#).await;
    assert!(error.starts_with("cannot say which is greater"), "{error}");
}
