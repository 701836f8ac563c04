//! The API: what each path does, for HTTP and for the WebSocket.

use std::sync::Arc;

use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{Method, StatusCode, header};
use axum::response::Response;
use serde::Serialize;
use tokio::sync::watch;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::places::{Place, Waiting};
use super::request::{ResumeRequest, RunRequest, Wait, word};
use super::{Runs, Stage, answer, body, follow, output, task};
use crate::body::Room;
use crate::exec::{CancelError, Report, ResumeError, StartError, Status, TaskId};
use crate::expr::Value;
use crate::model::find::Missing;
use crate::model::workflow::Workflow;
use crate::schema::Schema;

/// What all servers of a controller share.
#[derive(Clone, Debug)]
pub(super) struct Api {
    runs: Arc<dyn Runs>,
    pub(super) stage: watch::Receiver<Stage>,
    asked: TaskTracker,
    /// What bodies of requests together may have in memory.
    room: Room,
    waiting: Waiting,
}

/// Why something was not done: a status and a text for whoever asked.
#[derive(Debug)]
pub(super) struct Denied {
    pub(super) status: StatusCode,
    pub(super) detail: String,
    /// After how many seconds to ask again, where that may help.
    again: Option<&'static str>,
}

impl Denied {
    pub(super) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            status,
            detail: detail.into(),
            again: None,
        }
    }

    /// No place is left to wait at.
    fn crowded() -> Self {
        let detail = "Too many requests wait.";
        Self {
            again: Some(AGAIN_SECONDS),
            ..Self::new(StatusCode::SERVICE_UNAVAILABLE, detail)
        }
    }

    fn task() -> Self {
        Self::new(StatusCode::NOT_FOUND, "Task not found.")
    }

    pub(super) fn answer(&self) -> Response {
        let mut answer = answer::detail(self.status, &self.detail);
        if let Some(again) = self.again {
            answer::set(answer.headers_mut(), header::RETRY_AFTER, again);
        }
        answer
    }
}

/// A workflow in the list of them.
#[derive(Debug, Serialize)]
struct Listed<'a> {
    workflow_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    default: Option<bool>,
}

#[derive(Debug, Serialize)]
struct Health {
    status: &'static str,
}

impl Api {
    pub(super) fn new(
        runs: Arc<dyn Runs>,
        stage: watch::Receiver<Stage>,
        asked: TaskTracker,
        waiting: Waiting,
    ) -> Self {
        Self {
            runs,
            stage,
            asked,
            room: Room::new(ROOM_BYTES),
            waiting,
        }
    }

    /// A place for a request that is not answered at once, to be kept until it is.
    pub(super) fn place_to_wait(&self) -> Result<Place, Denied> {
        self.waiting.enter().ok_or_else(Denied::crowded)
    }

    /// Something that a stop waits for.
    pub(super) fn token(&self) -> TaskTrackerToken {
        self.asked.token()
    }

    /// Answers a request for a path below the base path.
    ///
    /// # Cancel safety
    ///
    /// A run that was started goes on.
    pub(super) async fn answer(&self, parts: Parts, body: Body, path: &[String]) -> Response {
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        let route = match path.as_slice() {
            ["health"] => Route::Health,
            ["workflows"] => Route::Workflows,
            ["workflows", "runs"] => Route::Run,
            ["workflows", id, "schema"] => Route::Schema(id),
            ["tasks", id] => Route::Task(id),
            ["tasks", id, "watch"] => Route::Watch(id),
            ["tasks", id, "resume"] => Route::Resume(id),
            ["tasks", id, "cancel"] => Route::Cancel(id),
            _ => return answer::not_found(),
        };
        let is_right = match parts.method {
            Method::GET => !route.does_something(),
            Method::POST => route.does_something(),
            _ => false,
        };
        if !is_right {
            return answer::method_not_allowed(if route.does_something() {
                "POST"
            } else {
                "GET"
            });
        }
        let query = parts.uri.query().unwrap_or_default().to_owned();
        let done = match route {
            Route::Health => Ok(self.health()),
            Route::Workflows => Ok(self.workflows(is_set(&query, "include_schema"))),
            Route::Schema(id) => self.schema(id),
            Route::Task(id) => self.task(id, is_set(&query, "output_only")),
            Route::Watch(id) => self.lines(id),
            Route::Run => self.run(&parts, body).await,
            Route::Resume(id) => self.resume(id, &parts, body).await,
            Route::Cancel(id) => {
                let waits = is_set(&query, "wait_for_completion");
                self.cancel(id, waits).await
            }
        };
        done.unwrap_or_else(|denied| denied.answer())
    }

    fn health(&self) -> Response {
        let (status, word) = match *self.stage.borrow() {
            Stage::Ending => (StatusCode::SERVICE_UNAVAILABLE, "shutting_down"),
            Stage::Serving | Stage::Pending if self.runs.is_closing() => {
                (StatusCode::SERVICE_UNAVAILABLE, "shutting_down")
            }
            Stage::Pending => (StatusCode::SERVICE_UNAVAILABLE, "shutdown_pending"),
            Stage::Serving => (StatusCode::OK, "ok"),
        };
        answer::json(status, &Health { status: word })
    }

    /// The workflows that anybody may start.
    fn open_workflows(&self) -> impl Iterator<Item = &Workflow> {
        let workflows = self.runs.compose().workflows.iter();
        workflows.filter(|workflow| !workflow.is_private)
    }

    fn workflows(&self, with_schemas: bool) -> Response {
        if with_schemas {
            let compose = self.runs.compose();
            let schemas: Vec<Schema> = self.open_workflows().map(|it| compose.schema(it)).collect();
            return answer::json(StatusCode::OK, &schemas);
        }
        let listed = self.open_workflows().map(|workflow| Listed {
            workflow_id: workflow.id.as_str(),
            title: workflow.title.as_deref(),
            default: workflow.is_default.then_some(true),
        });
        answer::json(StatusCode::OK, &listed.collect::<Vec<_>>())
    }

    fn schema(&self, id: &str) -> Result<Response, Denied> {
        let compose = self.runs.compose();
        match compose.workflow(id) {
            Ok(workflow) if !workflow.is_private => {
                Ok(answer::json(StatusCode::OK, &compose.schema(workflow)))
            }
            Ok(_) | Err(_) => {
                let detail = "Workflow not found.";
                Err(Denied::new(StatusCode::NOT_FOUND, detail))
            }
        }
    }

    fn task(&self, id: &str, output_only: bool) -> Result<Response, Denied> {
        let report = self.report(id)?;
        Ok(if output_only {
            output::of(&report)
        } else {
            task::object(&report)
        })
    }

    /// Where a run stands.
    pub(super) fn report(&self, id: &str) -> Result<Arc<Report>, Denied> {
        self.runs.report(&TaskId::new(id)).ok_or_else(Denied::task)
    }

    /// Where a run stands now and from now on.
    pub(super) fn watch(&self, id: &str) -> Result<watch::Receiver<Arc<Report>>, Denied> {
        self.runs.watch(&TaskId::new(id)).ok_or_else(Denied::task)
    }

    /// Starts a run.
    pub(super) fn start(&self, workflow: &str, input: Value) -> Result<TaskId, Denied> {
        let is_private = match self.runs.compose().workflow(workflow) {
            Ok(found) => found.is_private,
            Err(_) => false,
        };
        let started = if is_private {
            Err(StartError::Missing {
                workflow: workflow.to_owned(),
                missing: Missing::Unknown,
            })
        } else if *self.stage.borrow() == Stage::Ending {
            Err(StartError::Closing)
        } else {
            self.runs.start(workflow, input)
        };
        started.map_err(|error| {
            let status = match error {
                StartError::Missing { .. } => StatusCode::NOT_FOUND,
                StartError::Full | StartError::Closing | StartError::Randomness => {
                    StatusCode::SERVICE_UNAVAILABLE
                }
            };
            Denied::new(status, error.to_string())
        })
    }

    fn lines(&self, id: &str) -> Result<Response, Denied> {
        let reports = self.watch(id)?;
        let held = (self.place_to_wait()?, self.token());
        Ok(follow::lines(reports, self.stage.clone(), held))
    }

    async fn run(&self, parts: &Parts, body: Body) -> Result<Response, Denied> {
        let _asked = self.token();
        let body = body::read(&parts.headers, body, &self.room).await?;
        let request = RunRequest::read(body).map_err(bad_request)?;
        // Before the start: nothing runs that its starter was not told of.
        let _place = match request.wait {
            Wait::Not => None,
            Wait::ForTask | Wait::ForOutput => Some(self.place_to_wait()?),
        };
        let id = self.start(&request.workflow_id, request.input)?;
        match request.wait {
            Wait::Not => Ok(task::started(&id)),
            Wait::ForTask => self.ended(&id).await.map(|report| task::object(&report)),
            Wait::ForOutput => self.ended(&id).await.map(|report| output::of(&report)),
        }
    }

    /// Waits until a run has ended, or waits for a person and so for another request.
    async fn ended(&self, id: &TaskId) -> Result<Arc<Report>, Denied> {
        let mut reports = self.watch(id.as_str())?;
        let ended = reports
            .wait_for(|report| report.status.is_final() || report.status == Status::Interrupted);
        let ended = ended.await.map(|report| Arc::clone(&report));
        ended.map_err(|_| {
            let status = StatusCode::SERVICE_UNAVAILABLE;
            Denied::new(status, StartError::Closing.to_string())
        })
    }

    async fn resume(&self, id: &str, parts: &Parts, body: Body) -> Result<Response, Denied> {
        let body = body::read(&parts.headers, body, &self.room).await?;
        let request = ResumeRequest::read(body).map_err(bad_request)?;
        self.go_on(id, request)?;
        self.report(id).map(|report| task::object(&report))
    }

    /// Lets a job go on that waits for a person.
    pub(super) fn go_on(&self, id: &str, request: ResumeRequest) -> Result<(), Denied> {
        let task = TaskId::new(id);
        let done = self.runs.resume(&task, &request.job_id, request.answer);
        done.map_err(|error| match error {
            ResumeError::NotFound => Denied::task(),
            ResumeError::NotWaiting => {
                Denied::new(StatusCode::BAD_REQUEST, "The job waits for nobody.")
            }
        })
    }

    async fn cancel(&self, id: &str, waits: bool) -> Result<Response, Denied> {
        let _asked = self.token();
        // Watched first, so that the end is not missed.
        let mut reports = self.watch(id)?;
        let _place = if waits {
            Some(self.place_to_wait()?)
        } else {
            None
        };
        self.stop(id)?;
        if waits {
            // Without its engine it has ended as far as it ever will.
            let ended = reports.wait_for(|report| report.status.is_final()).await;
            drop(ended);
        }
        let report = Arc::clone(&reports.borrow());
        Ok(task::object(&report))
    }

    /// Tells a run to stop.
    pub(super) fn stop(&self, id: &str) -> Result<(), Denied> {
        self.runs
            .cancel(&TaskId::new(id))
            .map_err(|error| match error {
                CancelError::NotFound => Denied::task(),
                CancelError::Over => Denied::new(StatusCode::CONFLICT, "Task has ended already."),
            })
    }
}

fn bad_request(detail: String) -> Denied {
    Denied::new(StatusCode::BAD_REQUEST, detail)
}

/// Whether a query says yes to a key. The last time that it is there counts.
fn is_set(query: &str, key: &str) -> bool {
    let pairs = form_urlencoded::parse(query.as_bytes());
    let values = pairs.filter(|(name, _)| name == key);
    let value = values.last().and_then(|(_, value)| word(&value));
    value.unwrap_or(false)
}

#[derive(Clone, Copy, Debug)]
enum Route<'p> {
    Health,
    Workflows,
    Schema(&'p str),
    Task(&'p str),
    Watch(&'p str),
    Run,
    Resume(&'p str),
    Cancel(&'p str),
}

impl Route<'_> {
    fn does_something(self) -> bool {
        matches!(self, Self::Run | Self::Resume(_) | Self::Cancel(_))
    }
}

/// When whoever found no place to wait at is to ask again: soon enough for a person, and a thousand who do
/// are 200 requests a second.
const AGAIN_SECONDS: &str = "5";

/// What bodies of requests together may have in memory: four forms with files.
const ROOM_BYTES: usize = 64 << 20;
