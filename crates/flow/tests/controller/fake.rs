//! An engine that does nothing by itself: a test says what becomes of its runs.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, MutexGuard};

use adit_flow::controller::Runs;
use adit_flow::exec::{CancelError, Interruption, Report, ResumeError, StartError, Status, TaskId};
use adit_flow::expr::Value;
use adit_flow::file::{Dialect, Environment, Files, Source};
use adit_flow::model::Compose;
use adit_testkit::wait;
use adit_text::Problems;
use tokio::sync::watch;

#[derive(Debug)]
pub(crate) struct Fake {
    compose: Compose,
    is_closing: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    reports: HashMap<TaskId, watch::Sender<Arc<Report>>>,
    /// In their order.
    started: Vec<Started>,
    resumed: Vec<(String, Option<Value>)>,
}

#[derive(Clone, Debug)]
pub(crate) struct Started {
    pub(crate) task: TaskId,
    pub(crate) input: Value,
}

/// What a file says; variables of the seed's example are set.
pub(crate) fn compose(file: &str) -> Compose {
    let source = Source {
        name: "test.yml",
        bytes: file.as_bytes(),
        dialect: Dialect::ModelCompose,
    };
    let mut environment = Environment::default();
    for entry in ["SSH_TUNNEL_HOST=gw.example", "SSH_USERNAME=me"] {
        environment.say(entry).unwrap();
    }
    let mut problems = Problems::new();
    let files = Files::parse(&[source], &environment, &mut problems).unwrap();
    let compose = files.compose(&mut problems);
    compose.unwrap_or_else(|| panic!("{problems}"))
}

pub(crate) const SEED: &str = include_str!("../fixtures/model-compose/ssh-tunnel.yml");

impl Fake {
    pub(crate) fn of(file: &str) -> Arc<Self> {
        Arc::new(Self {
            compose: compose(file),
            is_closing: AtomicBool::new(false),
            state: Mutex::default(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(crate) fn close(&self) {
        self.is_closing.store(true, Ordering::Relaxed);
    }

    pub(crate) fn started(&self) -> Vec<Started> {
        self.state().started.clone()
    }

    /// How many runs were started.
    pub(crate) fn count(&self) -> usize {
        self.state().started.len()
    }

    pub(crate) fn resumed(&self) -> Vec<(String, Option<Value>)> {
        self.state().resumed.clone()
    }

    /// The run that was started as the `position`th, from 0, once it has been.
    pub(crate) async fn run(&self, position: usize) -> Started {
        wait::until_async("a run is started", || async {
            let started = self.started();
            started.get(position).cloned().ok_or(started.len())
        })
        .await
    }

    /// Changes where a run stands.
    pub(crate) fn change(&self, task: &TaskId, change: impl FnOnce(&mut Report)) {
        let state = self.state();
        state.reports[task].send_modify(|report| {
            let mut changed = Report::clone(report);
            change(&mut changed);
            *report = Arc::new(changed);
        });
    }

    /// How many watch a run.
    pub(crate) fn watchers(&self, task: &TaskId) -> usize {
        self.state().reports[task].receiver_count()
    }

    pub(crate) fn complete(&self, task: &TaskId, output: &str) {
        let output = Value::from_json(output.as_bytes()).unwrap();
        self.change(task, |report| {
            report.status = Status::Completed;
            report.output = output;
        });
    }

    pub(crate) fn fail(&self, task: &TaskId, error: &str) {
        self.change(task, |report| {
            report.status = Status::Failed;
            report.error = Some(error.to_owned());
        });
    }

    pub(crate) fn interrupt(&self, task: &TaskId, interruption: Interruption) {
        self.change(task, |report| {
            report.status = Status::Interrupted;
            report.interruptions = vec![interruption];
        });
    }
}

impl Runs for Fake {
    fn compose(&self) -> &Compose {
        &self.compose
    }

    fn start(&self, workflow: &str, input: Value) -> Result<TaskId, StartError> {
        let found = self.compose.workflow(workflow);
        let found = found.map_err(|missing| StartError::Missing {
            workflow: workflow.to_owned(),
            missing,
        })?;
        if self.is_closing() {
            return Err(StartError::Closing);
        }
        let mut state = self.state();
        let task = TaskId::new(format!("01M8{:022}", state.started.len()));
        let report = Report {
            task_id: task.clone(),
            workflow_id: found.id.as_str().to_owned(),
            status: Status::Processing,
            jobs: Vec::new(),
            interruptions: Vec::new(),
            output: Value::Null,
            error: None,
            since: tokio::time::Instant::now().into_std(),
            ended: None,
        };
        let sender = watch::Sender::new(Arc::new(report));
        state.reports.insert(task.clone(), sender);
        state.started.push(Started {
            task: task.clone(),
            input,
        });
        Ok(task)
    }

    fn report(&self, task: &TaskId) -> Option<Arc<Report>> {
        let state = self.state();
        let sender = state.reports.get(task)?;
        Some(Arc::clone(&sender.borrow()))
    }

    fn watch(&self, task: &TaskId) -> Option<watch::Receiver<Arc<Report>>> {
        let state = self.state();
        state.reports.get(task).map(watch::Sender::subscribe)
    }

    fn resume(
        &self,
        task: &TaskId,
        job_id: &str,
        answer: Option<Value>,
    ) -> Result<(), ResumeError> {
        let report = self.report(task).ok_or(ResumeError::NotFound)?;
        let mut waiting = report.interruptions.iter();
        if !waiting.any(|one| one.job_id == job_id) {
            return Err(ResumeError::NotWaiting);
        }
        self.change(task, |report| {
            report.status = Status::Processing;
            report.interruptions.clear();
        });
        self.state().resumed.push((job_id.to_owned(), answer));
        Ok(())
    }

    fn cancel(&self, task: &TaskId) -> Result<(), CancelError> {
        let report = self.report(task).ok_or(CancelError::NotFound)?;
        if report.status.is_final() {
            return Err(CancelError::Over);
        }
        self.change(task, |report| report.status = Status::Cancelling);
        Ok(())
    }

    fn is_closing(&self) -> bool {
        self.is_closing.load(Ordering::Relaxed)
    }
}
