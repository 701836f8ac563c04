//! How much is done at once.

use adit_flow::exec::{Hop, Status};
use adit_testkit::wait;

use crate::support::{Lab, outcome};

#[tokio::test]
async fn actions_of_a_component_wait_in_line() {
    let lab = Lab::new(
        "
component:
  type: http-client
  max_concurrent_count: 2
  action: {endpoint: 'http://localhost:PORT/held', body: '${input}'}
workflow: {job: {}}
",
    )
    .await;
    let mut tasks = Vec::new();
    for number in 0..5 {
        let task = lab.start(&format!(r#"{{"n": {number}}}"#));
        let is_there = |report: &adit_flow::exec::Report| report.jobs[0].hop.is_some();
        lab.until(&task, "it asks or waits", is_there).await;
        tasks.push(task);
    }
    for number in 0..5 {
        let in_line = |task| lab.engine.report(task).unwrap().jobs[0].hop == Some(Hop::Queue);
        wait::until_async("as many ask as may", || async {
            let asked = lab.stand_in.seen.asked().len();
            if asked == 5.min(number + 2) {
                Ok(())
            } else {
                Err(asked)
            }
        })
        .await;
        let waiting = tasks.iter().filter(|task| in_line(task)).count();
        assert_eq!(waiting, 3_usize.saturating_sub(number));
        lab.stand_in.seen.release.notify_one();
        assert_eq!(
            outcome(&lab.ended(&tasks[number]).await),
            format!(r#"{{"n":{number}}}"#)
        );
    }
    let asked = lab.stand_in.seen.asked();
    assert_eq!(
        asked,
        [0, 1, 2, 3, 4].map(|number| format!(r#"{{"n":{number}}}"#))
    );
}

#[tokio::test]
async fn runs_wait_for_their_turn_in_line() {
    let lab = Lab::new(
        "
controller: {type: http-server, max_concurrent_count: 1}
component:
  type: http-client
  action: {endpoint: 'http://localhost:PORT/held', body: '${input}'}
workflow: {job: {}}
",
    )
    .await;
    let tasks = ["0", "1", "2", "3"].map(|number| lab.start(number));
    // One that waits can be stopped, and takes nobody's turn.
    lab.engine.cancel(&tasks[2]).unwrap();
    assert_eq!(lab.ended(&tasks[2]).await.status, Status::Cancelled);
    for number in [0, 1, 3] {
        let asks = |report: &adit_flow::exec::Report| report.status == Status::Processing;
        lab.until(&tasks[number], "it runs", asks).await;
        for later in tasks.iter().skip(number + 1) {
            let status = lab.engine.report(later).unwrap().status;
            assert!(matches!(status, Status::Pending | Status::Cancelled));
        }
        lab.stand_in.seen.release.notify_one();
        assert_eq!(
            outcome(&lab.ended(&tasks[number]).await),
            number.to_string()
        );
    }
    assert_eq!(lab.stand_in.seen.asked(), ["0", "1", "3"]);
}

#[tokio::test]
async fn polls_are_no_more_often_than_a_server_may_be_asked() {
    let lab = Lab::new(
        "
component:
  type: http-client
  rate_limit: {requests: 1, period: 1h, burst: 3}
  action:
    endpoint: http://localhost:PORT/next
    body: {}
    completion: {type: polling, endpoint: 'http://localhost:PORT/next', interval: 10ms, timeout: 500ms, success_when: [201]}
workflow: {job: {}}
",
    )
    .await;
    assert_eq!(
        lab.outcome("{}").await,
        "Polling timed out after 0:00:00.500000"
    );
    assert_eq!(lab.stand_in.seen.asked().len(), 3);
}
