//! The runs of a process: those that run, and those that can still be asked for.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use super::board::Board;
use super::limits;
use super::report::{Report, TaskId};
use crate::expr::Value;

/// All runs. Pure but for the boards, which know how each is doing.
#[derive(Debug, Default)]
pub(super) struct Tasks {
    boards: BTreeMap<TaskId, Board>,
    running: usize,
    /// Those that are over, the oldest first, with the bytes of what they gave.
    over: VecDeque<Over>,
    bytes: usize,
}

#[derive(Debug)]
struct Over {
    task: TaskId,
    ended: Instant,
    bytes: usize,
}

impl Tasks {
    /// How many are not over.
    pub(super) fn running(&self) -> usize {
        self.running
    }

    pub(super) fn add(&mut self, task: TaskId, board: Board) {
        self.running += 1;
        self.boards.insert(task, board);
    }

    pub(super) fn get(&self, task: &TaskId) -> Option<&Board> {
        self.boards.get(task)
    }

    /// Those that are not over.
    pub(super) fn boards(&self) -> impl Iterator<Item = &Board> {
        let boards = self.boards.values();
        boards.filter(|board| !board.report().status.is_final())
    }

    /// One is about to be over: nothing of it runs any more.
    pub(super) fn leave(&mut self) {
        self.running = self.running.saturating_sub(1);
    }

    /// One that has left is over. What is too much of the oldest is forgotten.
    pub(super) fn over(&mut self, report: &Report, now: Instant) {
        let bytes = weight(&report.output);
        self.bytes = self.bytes.saturating_add(bytes);
        self.over.push_back(Over {
            task: report.task_id.clone(),
            ended: now,
            bytes,
        });
        self.forget(now);
    }

    /// What the runs gave that are over.
    pub(super) fn outputs(&self) -> Vec<Arc<Report>> {
        let over = self.over.iter();
        let boards = over.filter_map(|over| self.boards.get(&over.task));
        boards.map(Board::report).collect()
    }

    /// Forgets what need not be known any more. The last one that ended stays, whatever it weighs.
    pub(super) fn forget(&mut self, now: Instant) {
        while let Some(oldest) = self.over.front() {
            let is_old = now.saturating_duration_since(oldest.ended) > limits::KEPT_FOR;
            let are_many = self.over.len() > limits::KEPT;
            let are_heavy = self.bytes > limits::KEPT_BYTES && self.over.len() > 1;
            if !(is_old || are_many || are_heavy) {
                break;
            }
            if let Some(oldest) = self.over.pop_front() {
                self.bytes = self.bytes.saturating_sub(oldest.bytes);
                self.boards.remove(&oldest.task);
            }
        }
    }
}

/// How many bytes a value has, nearly. Recurses as deep as the value, which is bounded.
fn weight(value: &Value) -> usize {
    const ITSELF: usize = size_of::<Value>();
    let inside = match value {
        Value::Text(text) => text.len(),
        Value::Bytes(bytes) => bytes.len(),
        Value::List(list) => list.iter().map(weight).sum(),
        Value::Map(map) => {
            let entries = map.iter();
            entries.map(|(key, value)| key.len() + weight(value)).sum()
        }
        Value::Pending(pending) => weight(&pending.content),
        Value::Null
        | Value::Boolean(_)
        | Value::Integer(_)
        | Value::Float(_)
        | Value::Handle(_) => 0,
    };
    inside.saturating_add(ITSELF)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::exec::Status;
    use crate::exec::tests::compose;

    fn end(tasks: &mut Tasks, name: &str, output: Value, now: Instant) {
        let compose = compose("workflow: {title: t}");
        let task = TaskId::new(name);
        let stop = CancellationToken::new();
        let board = Board::new(task.clone(), &compose.workflows[0], stop);
        tasks.add(task, board.clone());
        tasks.leave();
        board.end(Status::Completed, output, None);
        tasks.over(&board.report(), now);
    }

    #[tokio::test]
    async fn runs_are_forgotten_by_age_number_and_weight() {
        let now = tokio::time::Instant::now().into_std();
        let mut tasks = Tasks::default();
        end(&mut tasks, "old", Value::Null, now);
        let later = now + limits::KEPT_FOR + Duration::from_secs(1);
        end(
            &mut tasks,
            "heavy",
            "x".repeat(limits::KEPT_BYTES).into(),
            later,
        );
        assert!(tasks.get(&TaskId::new("old")).is_none());
        assert!(tasks.get(&TaskId::new("heavy")).is_some());
        end(&mut tasks, "light", Value::Null, later);
        assert!(tasks.get(&TaskId::new("heavy")).is_none());
        for number in 0..limits::KEPT {
            end(&mut tasks, &number.to_string(), Value::Null, later);
        }
        assert!(tasks.get(&TaskId::new("light")).is_none());
        assert!(tasks.get(&TaskId::new("0")).is_some());
        assert_eq!((tasks.running(), tasks.over.len()), (0, limits::KEPT));
    }
}
