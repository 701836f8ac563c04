use super::*;
use crate::exec::{Phase, Status, TaskId};
use crate::expr::Value;

fn report() -> Report {
    Report {
        task_id: TaskId::new("t"),
        workflow_id: "w".to_owned(),
        status: Status::Processing,
        jobs: Vec::new(),
        interruptions: Vec::new(),
        output: Value::Null,
        error: None,
        since: progress::now(),
        ended: None,
    }
}

fn interruption(job_id: &str) -> Interruption {
    Interruption {
        job_id: job_id.to_owned(),
        phase: Phase::Before,
        message: None,
        metadata: Value::Null,
    }
}

struct Run(watch::Sender<Arc<Report>>);

impl Run {
    /// A run, and who was told of it now.
    async fn followed() -> (Self, Follower) {
        let (sender, receiver) = watch::channel(Arc::new(report()));
        let mut follower = Follower::new(receiver);
        assert!(follower.next().await.is_some());
        (Self(sender), follower)
    }

    fn change(&self, change: impl FnOnce(&mut Report)) {
        self.0.send_modify(|report| {
            let mut changed = Report::clone(report);
            change(&mut changed);
            *report = Arc::new(changed);
        });
    }
}

#[tokio::test(start_paused = true)]
async fn an_end_and_a_person_that_is_waited_for_are_told_at_once() {
    let (run, mut follower) = Run::followed().await;
    let began = Instant::now();
    run.change(|report| report.interruptions.push(interruption("a")));
    let told = follower.next().await.unwrap();
    assert_eq!(told.interruptions.len(), 1);
    // Another one, while the first is waited for.
    run.change(|report| report.interruptions.push(interruption("b")));
    let told = follower.next().await.unwrap();
    assert_eq!(told.interruptions.len(), 2);
    run.change(|report| report.status = Status::Completed);
    let told = follower.next().await.unwrap();
    assert_eq!(told.status, Status::Completed);
    assert_eq!(began.elapsed(), Duration::ZERO);
    assert!(follower.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn other_changes_are_told_together_after_a_pause() {
    let (run, mut follower) = Run::followed().await;
    let began = Instant::now();
    for change in 0..3 {
        run.change(|report| report.error = Some(change.to_string()));
    }
    let told = follower.next().await.unwrap();
    assert_eq!(told.error.as_deref(), Some("2"));
    assert_eq!(began.elapsed(), PAUSE);
    // An answer to a person is such a change, too.
    run.change(|report| report.interruptions.push(interruption("a")));
    follower.next().await.unwrap();
    run.change(|report| report.interruptions.clear());
    follower.next().await.unwrap();
    assert_eq!(began.elapsed(), 2 * PAUSE);
}

#[tokio::test(start_paused = true)]
async fn an_end_is_not_held_up_by_what_came_before_it() {
    let (run, mut follower) = Run::followed().await;
    let began = Instant::now();
    run.change(|report| report.error = Some("0".to_owned()));
    let end = async {
        tokio::task::yield_now().await;
        run.change(|report| report.status = Status::Failed);
    };
    let (told, ()) = tokio::join!(follower.next(), end);
    assert_eq!(told.unwrap().status, Status::Failed);
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn what_was_waited_for_in_vain_is_told_later() {
    let (run, mut follower) = Run::followed().await;
    run.change(|report| report.error = Some("0".to_owned()));
    let cut = tokio::time::timeout(PAUSE / 2, follower.next()).await;
    assert!(cut.is_err());
    let told = follower.next().await.unwrap();
    assert_eq!(told.error.as_deref(), Some("0"));
}

#[tokio::test(start_paused = true)]
async fn a_run_that_nobody_knows_any_more_is_told_of_as_it_was_last() {
    let (run, mut follower) = Run::followed().await;
    run.change(|report| report.error = Some("0".to_owned()));
    drop(run);
    assert!(follower.next().await.is_some());
    assert!(follower.next().await.is_none());
}
