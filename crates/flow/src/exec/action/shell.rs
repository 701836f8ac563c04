use super::{Known, On};
use crate::exec::error::JobError;
use crate::expr::Value;
use crate::model::component::{Action, Command, Shell};
pub(super) async fn run(
    _on: &On<'_>,
    _shell: &Shell,
    _action: &Action<Command>,
    _known: Known,
) -> Result<Value, JobError> {
    Err(JobError::new("later"))
}
