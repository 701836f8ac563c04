//! Both ends of a conversation about a run, over a pair of sockets.

use std::sync::Mutex;

use adit_flow::exec::{Interruption, JobState, Phase, Status};
use tokio::net::UnixStream;
use tokio::task::JoinSet;

use super::*;
use crate::control::INPUT;
use crate::control::conversation::{Conversation, News, Outcome};
use crate::control::server::serve_run;
use crate::task::tests::{job, report};

/// Has one run, whose reports the test makes.
#[derive(Clone)]
struct One(Arc<Inner>);

struct Inner {
    reports: watch::Sender<Arc<Report>>,
    started: Mutex<Option<(String, Value)>>,
    said: Mutex<Vec<String>>,
    is_ready: bool,
}

impl Workflows for One {
    fn is_of(&self, fingerprint: &Fingerprint) -> bool {
        *fingerprint == own()
    }

    async fn ready(&self) -> bool {
        self.0.is_ready
    }

    fn start(&self, workflow: &str, input: Value) -> Result<TaskId, StartError> {
        if workflow != "w" {
            return Err(StartError::Full);
        }
        let mut started = self.0.started.lock().unwrap();
        *started = Some((workflow.to_owned(), input));
        Ok(TaskId::new("01M8"))
    }

    fn watch(&self, _: &TaskId) -> Option<watch::Receiver<Arc<Report>>> {
        Some(self.0.reports.subscribe())
    }

    fn resume(&self, task: &TaskId, job: &str, answer: Option<Value>) -> bool {
        let answer = answer.map(|value| value.to_json().unwrap());
        let said = format!("resume {task} {job} {answer:?}");
        self.0.said.lock().unwrap().push(said);
        true
    }

    fn cancel(&self, task: &TaskId) {
        self.0.said.lock().unwrap().push(format!("cancel {task}"));
        let mut last = Report::clone(&self.0.reports.borrow());
        last.status = Status::Cancelled;
        self.0.reports.send_replace(Arc::new(last));
    }

    fn masked(&self, text: &str) -> String {
        text.replace("s3cr3t", "***")
    }
}

fn own() -> Fingerprint {
    Fingerprint::of(adit_text::parse("f", b"a: 1").unwrap().root())
}

fn now() -> std::time::Instant {
    Instant::now().into_std()
}

struct Lab {
    one: One,
    socket: Option<UnixStream>,
    tasks: JoinSet<()>,
}

impl Lab {
    fn new(is_ready: bool) -> Self {
        let running = report(Status::Processing, job(JobState::Running, now()), now());
        let one = One(Arc::new(Inner {
            reports: watch::Sender::new(Arc::new(running)),
            started: Mutex::default(),
            said: Mutex::default(),
            is_ready,
        }));
        let (ours, theirs) = UnixStream::pair().unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(serve_run(theirs, one.clone()));
        Self {
            one,
            socket: Some(ours),
            tasks,
        }
    }

    async fn begin(
        &mut self,
        workflow: &str,
        input: &str,
        fingerprint: Fingerprint,
    ) -> Conversation {
        let socket = self.socket.take().unwrap();
        let begun = Conversation::begin(socket, workflow, input, fingerprint);
        begun.await.unwrap()
    }

    fn tell(&self, change: impl FnOnce(&mut Report)) {
        let mut next = Report::clone(&self.one.0.reports.borrow());
        change(&mut next);
        self.one.0.reports.send_replace(Arc::new(next));
    }

    fn said(&self) -> Vec<String> {
        self.one.0.said.lock().unwrap().clone()
    }
}

async fn told(conversation: &mut Conversation) -> TaskReport {
    match conversation.next().await.unwrap() {
        News::Report(report) => report,
        other @ (News::Streaming(_) | News::Piece(_) | News::Ended(..)) => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_run_is_told_of_until_it_has_given_something() {
    let mut lab = Lab::new(true);
    // Input and result are longer than a line.
    let long = "ㄱ".repeat(700_000);
    let input = format!(r#"{{"z":1,"a":"{long}"}}"#);
    let mut conversation = lab.begin("w", &input, own()).await;
    assert_eq!(told(&mut conversation).await.jobs[0].id, "__job__");
    let (workflow, given) = lab.one.0.started.lock().unwrap().take().unwrap();
    assert_eq!(
        (workflow.as_str(), given.to_json().unwrap()),
        ("w", input.clone())
    );
    lab.tell(|report| report.jobs[0].attempt = 2);
    assert_eq!(told(&mut conversation).await.jobs[0].attempt, 2);
    lab.tell(|report| {
        report.status = Status::Completed;
        report.output = given;
    });
    match conversation.next().await.unwrap() {
        News::Ended(report, Outcome::Json(json)) => {
            assert_eq!(report.status, Status::Completed);
            assert_eq!(json, input);
        }
        other @ (News::Report(_) | News::Streaming(_) | News::Piece(_) | News::Ended(..)) => {
            panic!("{other:?}")
        }
    }
    lab.tasks.join_next().await;
}

#[tokio::test]
async fn bytes_and_nothing_are_given_too() {
    let bytes: Vec<u8> = (0..=255).cycle().take(300_000).collect();
    for (output, expected) in [
        (Value::Bytes(bytes.clone().into()), Outcome::Bytes(bytes)),
        (Value::Null, Outcome::Nothing),
    ] {
        let mut lab = Lab::new(true);
        lab.tell(|report| {
            report.status = Status::Completed;
            report.output = output;
        });
        let mut conversation = lab.begin("w", "", own()).await;
        match conversation.next().await.unwrap() {
            News::Ended(_, outcome) => assert_eq!(outcome, expected),
            other @ (News::Report(_) | News::Streaming(_) | News::Piece(_)) => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_run_goes_on_without_its_client_and_is_stopped_by_its_word() {
    let mut lab = Lab::new(true);
    let mut conversation = lab.begin("w", "{}", own()).await;
    told(&mut conversation).await;
    drop(conversation);
    lab.tasks.join_next().await;
    assert_eq!(lab.said(), [""; 0]);
    let mut lab = Lab::new(true);
    let mut conversation = lab.begin("w", "{}", own()).await;
    told(&mut conversation).await;
    conversation.cancel().await.unwrap();
    let ended = conversation.next().await.unwrap();
    assert!(matches!(ended, News::Ended(report, _) if report.status == Status::Cancelled));
    assert_eq!(lab.said(), ["cancel 01M8"]);
}

#[tokio::test]
async fn a_person_is_asked_and_heard() {
    let mut lab = Lab::new(true);
    let question = Interruption {
        job_id: String::from("ask"),
        phase: Phase::Before,
        message: Some(String::from("sure?")),
        metadata: Value::Null,
    };
    lab.tell(|report| report.interruptions.push(question));
    let mut conversation = lab.begin("w", "{}", own()).await;
    let report = told(&mut conversation).await;
    assert_eq!(report.questions[0].message.as_deref(), Some("sure?"));
    let answer = Some(String::from(r#"{"ok":true}"#));
    conversation.resume("ask", answer).await.unwrap();
    conversation.resume("ask", None).await.unwrap();
    conversation.cancel().await.unwrap();
    conversation.next().await.unwrap();
    assert_eq!(
        lab.said(),
        [
            r#"resume 01M8 ask Some("{\"ok\":true}")"#,
            "resume 01M8 ask None",
            "cancel 01M8"
        ]
    );
}

#[tokio::test]
async fn what_cannot_be_run_is_refused_with_the_reason() {
    let other = Fingerprint::of(adit_text::parse("f", b"a: 2").unwrap().root());
    for (is_ready, workflow, input, fingerprint, part) in [
        (true, "w", "{}", other, "another configuration"),
        (true, "x", "{}", own(), "too many runs"),
        (true, "w", "{", own(), "the input is not understood"),
        (false, "w", "{}", own(), "about to end"),
    ] {
        let mut lab = Lab::new(is_ready);
        let mut conversation = lab.begin(workflow, input, fingerprint).await;
        let error = conversation.next().await.unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
        assert_eq!(*lab.one.0.started.lock().unwrap(), None);
    }
}

#[tokio::test]
async fn an_input_that_is_too_long_is_refused_at_both_ends() {
    let long = "x".repeat(INPUT + 1);
    let (socket, _other) = UnixStream::pair().unwrap();
    let begun = Conversation::begin(socket, "w", &long, own()).await;
    assert!(begun.is_err());
    let mut input = Input::default();
    input.push("x").unwrap();
    assert!(input.push(&long).is_err());
}
