//! Components: what jobs run.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::method::Method;
use super::{Id, Placed, Setting, Text, Written};

/// The id of a component that has none.
pub const UNNAMED: &str = "__component__";

/// The id of an action that has none.
pub const UNNAMED_ACTION: &str = "__action__";

/// A component of a file, or of a job.
#[derive(Clone, Debug, PartialEq)]
pub struct Component {
    /// Its id; [`UNNAMED`] if it has none.
    pub id: Id,
    /// Whether it is the one that is meant where none is named.
    pub is_default: bool,
    /// Most of its actions at once; the others wait in line. None is no limit.
    pub max_concurrent_count: Option<NonZeroU32>,
    /// What it is.
    pub kind: Kind,
}

impl Component {
    /// Which hosts it may ask. None is all.
    pub fn allow_hosts(&self) -> Option<&Hosts> {
        match &self.kind {
            Kind::HttpClient(client) => client.allow_hosts.as_ref(),
            Kind::HttpServer(_) | Kind::Shell(_) | Kind::Workflow(_) => None,
        }
    }
}

/// What a component is.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// A server that is started here and then asked.
    HttpServer(Box<HttpServer>),
    /// A server elsewhere that is asked.
    HttpClient(HttpClient),
    /// Programs.
    Shell(Shell),
    /// Other workflows.
    Workflow(Vec<Action<WorkflowCall>>),
}

/// One thing that a component can do.
#[derive(Clone, Debug, PartialEq)]
pub struct Action<T> {
    /// Its id; [`UNNAMED_ACTION`] if it has none.
    pub id: Id,
    /// Whether it is the one that is meant where none is named.
    pub is_default: bool,
    /// What it gives. None is the result as it is.
    pub output: Option<Written>,
    /// What is done.
    pub call: T,
}

/// A server that is started here and then asked.
#[derive(Clone, Debug, PartialEq)]
pub struct HttpServer {
    /// How its process is kept.
    pub manage: Manage,
    /// The port on the loopback that it listens at.
    pub port: Placed<u16>,
    /// What comes before each path: empty, or `/v1`.
    pub base_path: String,
    /// Headers of each request, before those of the action. Not rendered.
    pub headers: Vec<(String, Text)>,
    /// What it can be asked.
    pub actions: Vec<Action<Request>>,
}

/// Hosts that may be asked: names, `*.example.org` for those below a name, and addresses, IPv6 in brackets.
pub type Hosts = Arc<[String]>;

/// A server elsewhere that is asked.
#[derive(Clone, Debug, PartialEq)]
pub struct HttpClient {
    /// What comes before each path.
    pub base_url: Option<Text>,
    /// Headers of each request, before those of the action. Not rendered.
    pub headers: Vec<(String, Text)>,
    /// How often it may be asked.
    pub rate_limit: Option<RateLimit>,
    /// Which hosts may be asked, by redirects and by what its texts fetch too. None is all.
    pub allow_hosts: Option<Hosts>,
    /// What it can be asked.
    pub actions: Vec<Action<Request>>,
}

/// Programs.
#[derive(Clone, Debug, PartialEq)]
pub struct Shell {
    /// What is run when the component is set up and taken down.
    pub manage: Manage,
    /// The folder that working folders are from, as it was written.
    pub base_dir: Option<PathBuf>,
    /// Variables of each program, before those of the action.
    pub env: Vec<(String, Text)>,
    /// What can be run.
    pub actions: Vec<Action<Command>>,
}

/// A program and its arguments, as the system gets them: no shell reads them.
pub type Arguments = Vec<Text>;

/// How a component's process is set up, started and taken down.
#[derive(Clone, Debug, PartialEq)]
pub struct Manage {
    /// Run in order before the first start.
    pub install: Vec<Arguments>,
    /// Run in order after `install`.
    pub build: Vec<Arguments>,
    /// Run in order when all is taken down.
    pub clean: Vec<Arguments>,
    /// What is started and kept; None waits for a server that somebody else starts.
    pub start: Option<Arguments>,
    /// Where they are run, as it was written.
    pub working_dir: Option<PathBuf>,
    /// Variables that they get beside ours.
    pub env: Vec<(String, Text)>,
    /// How long a start may take.
    pub ready_timeout: Duration,
    /// Whether what has ended is started again.
    pub restart: Restart,
}

impl Default for Manage {
    fn default() -> Self {
        Self {
            install: Vec::new(),
            build: Vec::new(),
            clean: Vec::new(),
            start: None,
            working_dir: None,
            env: Vec::new(),
            ready_timeout: READY_TIMEOUT,
            restart: Restart::OnFailure,
        }
    }
}

/// Enough for an interpreter that loads a model from a disk; a program that hangs is told of in a
/// minute.
pub const READY_TIMEOUT: Duration = Duration::from_secs(60);

/// Whether a process that has ended is started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    /// Never.
    Never,
    /// If it ended badly.
    OnFailure,
    /// However it ended.
    Always,
}

/// A request that is made.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// Where to.
    pub target: Target,
    /// The method.
    pub method: Method,
    /// Headers; they replace the component's of the same name.
    pub headers: Vec<(String, Text)>,
    /// What follows the question mark.
    pub params: Vec<(String, Written)>,
    /// The body. None is no body.
    pub body: Option<Written>,
    /// How chunks of a streamed answer are read.
    pub stream_format: Option<StreamFormat>,
    /// What else has to happen before it is done.
    pub completion: Option<Completion>,
}

/// Where a request goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A path below the component's base.
    Path(Text),
    /// A whole URL.
    Endpoint(Text),
}

/// How the chunks of a streamed answer are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamFormat {
    /// As JSON.
    Json,
    /// As text.
    Text,
}

/// What has to happen after the answer before an action is done.
#[derive(Clone, Debug, PartialEq)]
pub enum Completion {
    /// Asking until it is done.
    Polling(Box<Polling>),
    /// A request from outside.
    Callback(CallbackCompletion),
}

/// Asking until it is done.
#[derive(Clone, Debug, PartialEq)]
pub struct Polling {
    /// What is asked.
    pub target: Target,
    /// The method.
    pub method: Method,
    /// Headers; they replace the component's of the same name.
    pub headers: Vec<(String, Text)>,
    /// What follows the question mark.
    pub params: Vec<(String, Written)>,
    /// The body. None is no body.
    pub body: Option<Written>,
    /// What says how it stands. None is the status code.
    pub status: Option<Text>,
    /// Status texts or codes (`200`, `2xx`) that mean done.
    pub success_when: Vec<String>,
    /// Status texts or codes that mean failed.
    pub fail_when: Vec<String>,
    /// The pause before each question.
    pub interval: Setting<Duration>,
    /// How long it may take altogether.
    pub timeout: Setting<Duration>,
    /// How chunks of a streamed answer are read.
    pub stream_format: Option<StreamFormat>,
}

/// Waiting for a request from outside.
#[derive(Clone, Debug, PartialEq)]
pub struct CallbackCompletion {
    /// Whose request. None is one for all.
    pub wait_for: Option<Text>,
    /// How long it may take. None waits for as long as the run does.
    pub timeout: Option<Setting<Duration>>,
    /// How chunks of a streamed result are read.
    pub stream_format: Option<StreamFormat>,
}

/// How often something may be asked: `requests` in each `period`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// How many.
    pub requests: NonZeroU32,
    /// In which time.
    pub period: Duration,
    /// How many at once after a pause. None is `requests`.
    pub burst: Option<NonZeroU32>,
    /// The least time between two.
    pub interval: Option<Duration>,
}

/// Programs that are run one after the other.
#[derive(Clone, Debug, PartialEq)]
pub struct Command {
    /// The programs with their arguments; one at least, and none of them empty.
    pub commands: Vec<Arguments>,
    /// Where they are run, as it was written; from the component's folder if it is relative.
    pub working_dir: Option<Text>,
    /// Variables; they replace the component's of the same name.
    pub env: Vec<(String, Text)>,
    /// How long each may take. None is for as long as the run does.
    pub timeout: Option<Setting<Duration>>,
    /// How many are run at once where the input is a list.
    pub batch_size: Option<NonZeroU32>,
    /// Whether output is handed on line by line.
    pub is_streaming: bool,
}

/// Another workflow that is run.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkflowCall {
    /// The workflow's id.
    pub workflow: Text,
    /// What it gets. None is the job's input.
    pub input: Option<Written>,
}
