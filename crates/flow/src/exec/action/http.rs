use super::{Known, On};
use crate::exec::error::JobError;
use crate::expr::Value;
use crate::model::component::{Action, HttpClient, HttpServer, Request};
pub(super) async fn of_client(
    _on: &On<'_>,
    _p: Option<usize>,
    _shell: &HttpClient,
    _action: &Action<Request>,
    _known: Known,
) -> Result<Value, JobError> {
    Err(JobError::new("later"))
}
pub(super) async fn of_server(
    _on: &On<'_>,
    _p: Option<usize>,
    _shell: &HttpServer,
    _action: &Action<Request>,
    _known: Known,
) -> Result<Value, JobError> {
    Err(JobError::new("later"))
}
