//! How runs and engines end.

use std::time::Duration;

use adit_flow::exec::{CancelError, Hop, JobState, Report, StartError, Status};
use adit_flow::expr::Value;
use adit_flow::model::DEFAULT;
use adit_flow::stream::ByteSource;
use adit_testkit::wait;
use futures_util::stream;

use crate::support::{Lab, json, outcome};

const WAITS: &str = "
listener: {type: http-callback, host: 127.0.0.1, port: 8090, path: /, identify_by: '${body.id}', result: ok}
component:
  type: http-client
  action:
    endpoint: http://localhost:PORT/script
    body: {answer: {}}
    completion: {type: callback, wait_for: '${input.id}'}
workflow: {jobs: [{id: wait}, {id: last, type: filter, depends_on: [wait], output: '${jobs.wait.output}'}]}
";

fn waits(report: &Report) -> bool {
    matches!(report.jobs[0].hop, Some(Hop::Callback { .. }))
}

#[tokio::test]
async fn a_cancelled_run_withdraws_what_it_waits_for() {
    let lab = Lab::new(WAITS).await;
    let task = lab.start(r#"{"id": 1}"#);
    lab.until(&task, "it waits", waits).await;
    assert_eq!(lab.hub.len(), 1);
    assert_eq!(lab.engine.cancel(&task), Ok(()));
    let report = lab.ended(&task).await;
    assert_eq!(report.status, Status::Cancelled);
    let states: Vec<JobState> = report.jobs.iter().map(|job| job.state).collect();
    assert_eq!(states, [JobState::Stopped, JobState::Skipped]);
    assert!(lab.hub.is_empty());
    assert_eq!(lab.engine.running(), 0);
    assert_eq!(lab.engine.cancel(&task), Err(CancelError::Over));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_and_a_cancel_that_cross_leave_a_run_ended() {
    let lab = Lab::new("workflow: {job: {type: filter, output: 1}}").await;
    for _ in 0..2_000 {
        let task = lab.start("{}");
        let is_told = lab.engine.cancel(&task);
        let status = lab.ended(&task).await.status;
        let ends = [Status::Completed, Status::Cancelled];
        assert!(ends.contains(&status), "{status:?} {is_told:?}");
    }
    wait::until_async("none is left", || async {
        match lab.engine.running() {
            0 => Ok(()),
            left => Err(left),
        }
    })
    .await;
}

#[tokio::test]
async fn closing_waits_for_runs_and_then_stops_them() {
    let lab = Lab::new(WAITS).await;
    let tasks = ["1", "2"].map(|id| lab.start(&format!(r#"{{"id": {id}}}"#)));
    for task in &tasks {
        lab.until(task, "it waits", waits).await;
    }
    // Whoever closes waits for the first, which ends by itself, and stops the second.
    lab.engine.stop_starting();
    assert!(lab.engine.is_closing());
    assert_eq!(
        lab.engine.start(DEFAULT, Value::Null),
        Err(StartError::Closing)
    );
    let url = format!("http://127.0.0.1:{}/", lab.listener);
    lab.stand_in.seen.call(&url, json(r#"{"id": 1}"#)).await;
    lab.engine.close(Duration::from_millis(100)).await;
    assert_eq!(lab.engine.running(), 0);
    let outcomes = tasks.map(|task| outcome(&lab.engine.report(&task).unwrap()));
    assert_eq!(outcomes, [r#""ok""#, "Cancelled"]);
    assert!(lab.hub.is_empty());
}

#[tokio::test]
async fn a_panic_in_a_job_fails_its_run_alone() {
    let lab = Lab::new(
        "
controller: {type: http-server, max_concurrent_count: 1}
workflow: {job: {type: filter, output: '${input as text}'}}
",
    )
    .await;
    let chunks = stream::once(async { panic!("a stream that has a fault") });
    let input = ByteSource::new(Box::pin(chunks)).into_value();
    let task = lab.engine.start(DEFAULT, input).unwrap();
    let other = lab.start("7");
    assert_eq!(
        outcome(&lab.ended(&task).await),
        "adit itself is at fault; its log says more"
    );
    assert_eq!(outcome(&lab.ended(&other).await), r#""7""#);
    lab.engine.close(wait::DEADLINE).await;
    assert_eq!(lab.engine.running(), 0);
}
