use adit_testkit::seeded::{SeededRandom, for_each_seed};

use super::*;
use crate::model::job::Backoff;

const NOW: Duration = Duration::ZERO;

fn rules(at_once: u32, attempts: u32, on_error: ItemError) -> BatchRules {
    BatchRules {
        at_once: NonZeroU32::new(at_once).unwrap(),
        retry: Retry {
            max_attempt_count: NonZeroU32::new(attempts).unwrap(),
            delay: Duration::from_secs(1),
            backoff: Backoff::Fixed,
            max_delay: None,
        },
        on_error,
    }
}

fn show(steps: &[BatchStep<&str>]) -> String {
    let one = |step: &BatchStep<&str>| match step {
        BatchStep::Run { item, attempt } => format!("run {item}.{attempt}"),
        BatchStep::Recover { item, error } => format!("recover {item} {error}"),
        BatchStep::Wait { item, until } => format!("wait {item} {}", until.as_secs()),
        BatchStep::Stop { item } => format!("stop {item}"),
        BatchStep::Done { outputs } => {
            let outputs = outputs.iter().map(|output| output.to_json().unwrap());
            format!("done {}", outputs.collect::<Vec<_>>().join(","))
        }
        BatchStep::Failed { item, error } => format!("failed {item} {error}"),
        BatchStep::Cancelled => "cancelled".to_owned(),
    };
    steps.iter().map(one).collect::<Vec<_>>().join("; ")
}

fn gives(item: usize, output: i128) -> BatchInput<&'static str> {
    let output = Value::Integer(output);
    BatchInput::Finished { item, output }
}

fn fails(item: usize) -> BatchInput<&'static str> {
    let error = "no";
    BatchInput::Failed { item, error }
}

fn story(mut batch: Batch<&'static str>, story: Vec<(BatchInput<&'static str>, &str)>) {
    for (at, (input, wanted)) in story.into_iter().enumerate() {
        let now = batch.due().unwrap_or(NOW);
        let steps = batch.take(input, now, 0);
        assert_eq!(show(&steps), wanted, "step {at}");
    }
}

#[test]
fn results_stand_in_the_order_of_the_items() {
    let batch = Batch::new(3, rules(2, 1, ItemError::Fails)).unwrap();
    story(
        batch,
        vec![
            (BatchInput::Start, "run 0.1; run 1.1"),
            (gives(1, 11), "run 2.1"),
            (gives(2, 12), ""),
            (gives(2, 99), ""),
            (gives(0, 10), "done 10,11,12"),
            (gives(0, 10), ""),
        ],
    );
}

#[test]
fn nothing_to_do_is_done() {
    let batch = Batch::new(0, BatchRules::repeat()).unwrap();
    story(batch, vec![(BatchInput::Start, "done ")]);
}

#[test]
fn an_item_that_pauses_keeps_its_place() {
    let batch = Batch::new(2, rules(1, 2, ItemError::IsNull)).unwrap();
    story(
        batch,
        vec![
            (BatchInput::Start, "run 0.1"),
            (fails(0), "wait 0 1"),
            (BatchInput::Due, "run 0.2"),
            (fails(0), "run 1.1"),
            (gives(1, 1), "done null,1"),
        ],
    );
}

#[test]
fn an_item_may_give_something_else() {
    let batch = Batch::new(1, rules(1, 1, ItemError::IsRendered)).unwrap();
    story(
        batch,
        vec![
            (BatchInput::Start, "run 0.1"),
            (fails(0), "recover 0 no"),
            (gives(0, 7), "done 7"),
        ],
    );
    let batch = Batch::new(1, rules(1, 1, ItemError::IsRendered)).unwrap();
    story(
        batch,
        vec![
            (BatchInput::Start, "run 0.1"),
            (fails(0), "recover 0 no"),
            (fails(0), "failed 0 no"),
        ],
    );
}

#[test]
fn one_failure_stops_the_others() {
    let batch = Batch::new(9, rules(3, 1, ItemError::Fails)).unwrap();
    story(
        batch,
        vec![
            (BatchInput::Start, "run 0.1; run 1.1; run 2.1"),
            (fails(1), "stop 0; stop 2"),
            (BatchInput::Cancel, ""),
            (gives(0, 1), ""),
            (fails(2), "failed 1 no"),
        ],
    );
}

#[test]
fn cancel_stops_what_runs_and_forgets_what_pauses() {
    let batch = Batch::new(9, rules(2, 2, ItemError::Fails)).unwrap();
    story(
        batch,
        vec![
            (BatchInput::Start, "run 0.1; run 1.1"),
            (fails(1), "wait 1 1"),
            (BatchInput::Cancel, "stop 0"),
            (BatchInput::Due, ""),
            (gives(0, 1), "cancelled"),
        ],
    );
}

#[test]
fn limits_hold() {
    assert_eq!(
        Batch::<()>::new(ITEMS + 1, BatchRules::repeat()).err(),
        Some(TooManyItems { count: ITEMS + 1 })
    );
    let mut batch = Batch::<()>::new(ITEMS, BatchRules::repeat()).unwrap();
    assert_eq!(batch.take(BatchInput::Start, NOW, 0).len(), ITEMS_AT_ONCE);
}

#[test]
fn any_batch_ends_within_its_limits() {
    for_each_seed(|seed| {
        let mut random = SeededRandom::new(seed);
        let count = random.size(20) - 1;
        let on_error = random.pick(&[ItemError::Fails, ItemError::IsNull, ItemError::IsRendered]);
        let at_once = u32::try_from(random.size(4)).unwrap();
        let attempts = u32::try_from(random.size(3)).unwrap();
        let mut batch = Batch::new(count, rules(at_once, attempts, on_error)).unwrap();
        let mut now = NOW;
        let mut running: Vec<usize> = Vec::new();
        let mut ended = false;
        let mut steps = batch.take(BatchInput::Start, now, 0);
        let mut inputs = 0;
        loop {
            let mut last = None;
            for step in steps {
                assert!(last.is_none(), "something follows the last step");
                match step {
                    BatchStep::Run { item, attempt } => {
                        assert!(!ended && attempt.get() <= attempts && item < count);
                        running.push(item);
                    }
                    BatchStep::Recover { item, .. } => running.push(item),
                    BatchStep::Stop { item } => {
                        assert!(running.contains(&item));
                        ended = true;
                    }
                    BatchStep::Wait { until, .. } => assert!(until > now),
                    step @ (BatchStep::Done { .. }
                    | BatchStep::Failed { .. }
                    | BatchStep::Cancelled) => {
                        last = Some(step);
                    }
                }
            }
            assert!(running.len() <= usize::try_from(at_once).unwrap());
            if let Some(last) = last {
                assert!(running.is_empty());
                if let BatchStep::Done { outputs } = last {
                    assert_eq!(outputs.len(), count);
                }
                return;
            }
            inputs += 1;
            assert!(inputs < 1_000, "it does not end");
            let due = batch.due();
            let input = if random.chance(1, 50) {
                ended = true;
                BatchInput::Cancel
            } else if running.is_empty() || due.is_some() && random.chance(1, 3) {
                now = due.expect("something runs or is due");
                BatchInput::Due
            } else {
                let at = random.size(running.len()) - 1;
                let item = running.swap_remove(at);
                let output = Value::Null;
                if random.chance(1, 2) {
                    BatchInput::Finished { item, output }
                } else {
                    BatchInput::Failed { item, error: () }
                }
            };
            steps = batch.take(input, now, random.below(u64::MAX));
        }
    });
}
