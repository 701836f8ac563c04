//! What the last jobs of a run give together.

use super::work::State;
use super::{JobIndex, Schedule};
use crate::expr::{Map, Value};

impl<E> Schedule<E> {
    /// What those jobs give that nobody waits for and that went on with no other. Null takes no part.
    ///
    /// One is what it is. Of several maps, one is made: its keys in the order of the file, and of
    /// two with one key the job's that was done last. Of others, the one that was done last counts.
    pub(super) fn last_output(&self) -> Value {
        let outputs: Vec<&Value> = self
            .order
            .iter()
            .filter_map(|job| self.last(*job))
            .collect();
        let Some((last, others)) = outputs.split_last() else {
            return Value::Null;
        };
        if others.is_empty() || outputs.iter().any(|output| output.as_map().is_none()) {
            return (*last).clone();
        }
        let mut merged = Map::new();
        let in_file = (0..self.work.len()).filter_map(|job| self.last(job));
        for (key, _) in in_file.filter_map(Value::as_map).flatten() {
            merged.insert(key.clone(), Value::Null);
        }
        for (key, value) in outputs.into_iter().filter_map(Value::as_map).flatten() {
            merged.insert(key.clone(), value.clone());
        }
        Value::Map(merged)
    }

    /// What a job gives, if it is one of the last.
    fn last(&self, job: usize) -> Option<&Value> {
        let rule = self.plan.rule(JobIndex(job))?;
        let work = self.work.get(job)?;
        let is_last = matches!(work.state, State::Done) && !work.has_led && !rule.is_awaited();
        work.output
            .as_ref()
            .filter(|output| is_last && !output.is_null())
    }
}
