//! Jobs: the steps of a workflow.

use std::num::NonZeroU32;
use std::time::Duration;

use super::component::Component;
use super::{Id, Setting, Text, Written};

/// The id of a job that has none.
pub const UNNAMED: &str = "__job__";

/// A job of a workflow.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// Its id; [`UNNAMED`] if it has none.
    pub id: Id,
    /// What people call it.
    pub name: Option<String>,
    /// Jobs that are waited for: of each group, one.
    pub depends_on: Vec<Vec<Id>>,
    /// How often it may be run in one run of the workflow, when others lead back to it.
    pub max_run_count: NonZeroU32,
    /// Where a person is waited for.
    pub interrupt: Interrupt,
    /// How often it is tried.
    pub retry: Retry,
    /// What happens when the last attempt has failed. None fails the workflow.
    pub on_error: Option<OnError>,
    /// What it gives. None is the result as it is.
    pub output: Option<Written>,
    /// What is done.
    pub kind: Kind,
}

/// What a job does.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// Runs an action of a component.
    Component(Box<ComponentJob>),
    /// Waits.
    Delay(Delay),
    /// Goes on with another job, by conditions.
    If(If),
    /// Goes on with another job, by a value.
    Switch(Switch),
    /// Goes on with another job, by chance.
    Random(Random),
    /// Does nothing but give its output.
    Filter,
    /// Does a job for each item of a list.
    ForEach(Box<ForEach>),
}

impl Job {
    /// The jobs that this one may go on with: those that it leads to, and the one for errors. Each
    /// as it was written, so not each is there and one may come twice.
    pub fn routes(&self) -> Vec<&Id> {
        let mut routes: Vec<&Id> = match &self.kind {
            Kind::If(job) => {
                let both = job.conditions.iter();
                let both = both.flat_map(|one| [one.if_true.as_ref(), one.if_false.as_ref()]);
                both.chain([job.otherwise.as_ref()]).flatten().collect()
            }
            Kind::Switch(job) => {
                let cases = job.cases.iter().map(|case| &case.then);
                cases.chain(job.otherwise.as_ref()).collect()
            }
            Kind::Random(job) => job.routings.iter().map(|one| &one.to).collect(),
            Kind::Component(_) | Kind::Delay(_) | Kind::Filter | Kind::ForEach(_) => Vec::new(),
        };
        routes.extend(self.on_error.as_ref().and_then(|error| error.to.as_ref()));
        routes
    }
}

/// Runs an action of a component.
#[derive(Clone, Debug, PartialEq)]
pub struct ComponentJob {
    /// Whose.
    pub component: ComponentRef,
    /// The action's id.
    pub action: Id,
    /// What it gets. None is the workflow's input.
    pub input: Option<Written>,
    /// How often at once. More than once gives a list.
    pub repeat_count: Setting<NonZeroU32>,
}

/// The component of a job.
#[derive(Clone, Debug, PartialEq)]
pub enum ComponentRef {
    /// One of the file's, by its id.
    Named(Id),
    /// One of its own.
    Inline(Box<Component>),
}

/// Waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delay {
    /// For some time.
    For(Setting<Duration>),
    /// Until a time, as it was written, in a zone of the IANA's or in this machine's own.
    Until {
        /// The time.
        time: Text,
        /// The zone.
        timezone: Option<Text>,
    },
}

/// Goes on with another job, by conditions.
#[derive(Clone, Debug, PartialEq)]
pub struct If {
    /// Asked one after the other.
    pub conditions: Vec<Condition>,
    /// The job if none leads anywhere.
    pub otherwise: Option<Id>,
}

/// One condition.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    /// What is compared: its own, or the job's. None is the job's whole input.
    pub input: Option<Written>,
    /// How.
    pub operator: Operator,
    /// With what. None is null.
    pub value: Option<Written>,
    /// The job if it holds.
    pub if_true: Option<Id>,
    /// The job if it does not.
    pub if_false: Option<Id>,
}

/// How two values are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// The same.
    Equal,
    /// Not the same.
    NotEqual,
    /// Greater.
    Greater,
    /// Greater or the same.
    GreaterOrEqual,
    /// Less.
    Less,
    /// Less or the same.
    LessOrEqual,
    /// One of a list.
    In,
    /// None of a list.
    NotIn,
    /// Begins with.
    StartsWith,
    /// Ends with.
    EndsWith,
    /// A regular expression matches.
    Match,
}

/// Goes on with another job, by a value.
#[derive(Clone, Debug, PartialEq)]
pub struct Switch {
    /// The value.
    pub input: Option<Written>,
    /// What is compared with it, in order.
    pub cases: Vec<Case>,
    /// The job if none is it.
    pub otherwise: Option<Id>,
}

/// One case.
#[derive(Clone, Debug, PartialEq)]
pub struct Case {
    /// The value that it stands for. None is null.
    pub value: Option<Written>,
    /// The job that it leads to.
    pub then: Id,
}

/// Goes on with another job, by chance.
#[derive(Clone, Debug, PartialEq)]
pub struct Random {
    /// What makes the same choice each time for the same value.
    pub session: Option<Text>,
    /// What sets this choice apart from those of others with the same `session`.
    pub salt: Option<Text>,
    /// The jobs that it may lead to, one at least.
    pub routings: Vec<Routing>,
}

/// One job that chance may lead to.
#[derive(Clone, Debug, PartialEq)]
pub struct Routing {
    /// Its part of all: 1 where all are alike. Neither negative nor infinite, and not all are 0.
    pub weight: f64,
    /// The job.
    pub to: Id,
}

/// Does a job for each item of a list.
#[derive(Clone, Debug, PartialEq)]
pub struct ForEach {
    /// The list.
    pub input: Written,
    /// How many at once.
    pub batch_size: NonZeroU32,
    /// What is done.
    pub body: Inline,
}

/// A job inside another: it has no id, and nothing waits for it alone.
#[derive(Clone, Debug, PartialEq)]
pub struct Inline {
    /// How often it is tried.
    pub retry: Retry,
    /// What happens when the last attempt has failed. It leads nowhere.
    pub on_error: Option<OnError>,
    /// What it gives.
    pub output: Option<Written>,
    /// What is done.
    pub kind: InlineKind,
}

/// What a job inside another does.
#[derive(Clone, Debug, PartialEq)]
pub enum InlineKind {
    /// Runs an action of a component.
    Component(Box<ComponentJob>),
    /// Does a job for each item of a list.
    ForEach(Box<ForEach>),
}

/// Where a person is waited for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Interrupt {
    /// Before the job.
    pub before: Option<Pause>,
    /// After it.
    pub after: Option<Pause>,
}

/// A wait for a person.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pause {
    /// Only if this holds.
    pub condition: Option<Condition>,
    /// What the person is told.
    pub message: Option<Text>,
    /// What the person is shown.
    pub metadata: Option<Written>,
}

/// How often a job is tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retry {
    /// Attempts altogether.
    pub max_attempt_count: NonZeroU32,
    /// The pause after the first.
    pub delay: Duration,
    /// How the pause grows.
    pub backoff: Backoff,
    /// The longest pause.
    pub max_delay: Option<Duration>,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            max_attempt_count: NonZeroU32::MIN,
            delay: Duration::ZERO,
            backoff: Backoff::Fixed,
            max_delay: None,
        }
    }
}

/// How the pause between attempts grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backoff {
    /// Not at all.
    Fixed,
    /// It doubles.
    Exponential,
}

/// What happens when the last attempt has failed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OnError {
    /// What the job gives instead.
    pub output: Option<Written>,
    /// The job to go on with.
    pub to: Option<Id>,
}
