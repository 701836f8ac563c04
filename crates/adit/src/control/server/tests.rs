//! Clients of every kind at a control socket.

use std::path::PathBuf;
use std::time::SystemTime;

use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};

use adit_flow::exec::{Report as RunReport, StartError, TaskId};
use adit_flow::expr::Value;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::compose::Fingerprint;
use crate::status::When;

/// Reports how often it was changed.
#[derive(Clone)]
struct Counter(Arc<watch::Sender<u64>>, CancellationToken, Option<Never>);

/// Has workflows, and never gets so far as to run one.
#[derive(Clone)]
struct Never;

impl Workflows for Never {
    fn is_of(&self, _: &Fingerprint) -> bool {
        true
    }

    async fn ready(&self) -> bool {
        std::future::pending().await
    }

    fn start(&self, _: &str, _: Value) -> Result<TaskId, StartError> {
        Err(StartError::Closing)
    }

    fn watch(&self, _: &TaskId) -> Option<watch::Receiver<Arc<RunReport>>> {
        None
    }

    fn resume(&self, _: &TaskId, _: &str, _: Option<Value>) -> bool {
        false
    }

    fn cancel(&self, _: &TaskId) {}

    fn masked(&self, text: &str) -> String {
        text.to_owned()
    }
}

impl Subject for Counter {
    fn report(&self) -> Report {
        Report {
            version: self.0.borrow().to_string(),
            config: PathBuf::from("/etc/adit.yml"),
            pid: 1,
            since: When(SystemTime::UNIX_EPOCH),
            tunnels: Vec::new(),
            service: None,
        }
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.0.subscribe()
    }

    fn workflows(&self) -> Option<&impl Workflows> {
        self.2.as_ref()
    }

    fn hosts(&self) -> Option<&impl HostTunnels> {
        None::<&crate::hosts::keeper::Keeper>
    }

    fn within(&self, ending: Ending) -> Duration {
        match ending {
            Ending::Down => Duration::from_secs(9),
            Ending::Stop => Duration::from_secs(8),
        }
    }

    fn end(&self, _: Ending) {
        self.1.cancel();
    }
}

struct Lab {
    folder: tempfile::TempDir,
    counter: Counter,
    stop: CancellationToken,
    _tasks: JoinSet<()>,
}

impl Lab {
    fn new() -> Self {
        Self::with(None)
    }

    fn with(workflows: Option<Never>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = listen(&folder.path().join("sock")).unwrap();
        let stop = CancellationToken::new();
        let counter = Counter(Arc::new(watch::Sender::new(0)), stop.clone(), workflows);
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(listener, counter.clone()));
        Self {
            folder,
            counter,
            stop,
            _tasks: tasks,
        }
    }

    async fn ask(&self, line: &[u8]) -> (Lines<BufReader<OwnedReadHalf>>, OwnedWriteHalf) {
        let path = self.folder.path().join("sock");
        let (reader, mut writer) = UnixStream::connect(path).await.unwrap().into_split();
        // One that is refused at once may be gone by now.
        drop(writer.write_all(line).await);
        (BufReader::new(reader).lines(), writer)
    }
}

async fn answer(lines: &mut Lines<impl AsyncBufRead + Unpin>) -> Option<Answer> {
    let line = lines.next_line().await.unwrap_or_default()?;
    Some(serde_json::from_str(&line).unwrap())
}

fn version(answer: Option<Answer>) -> String {
    match answer {
        Some(Answer::Report(report)) => report.version,
        other => panic!("{other:?} instead of a report"),
    }
}

#[tokio::test]
async fn who_asks_gets_a_report_and_who_watches_gets_one_after_each_change() {
    let lab = Lab::new();
    let (mut lines, _writer) = lab.ask(b"{\"verb\":\"status\"}\n").await;
    assert_eq!(version(answer(&mut lines).await), "0");
    assert_eq!(answer(&mut lines).await, None);
    let (mut lines, _writer) = lab.ask(b"{\"verb\":\"watch\"}\n").await;
    assert_eq!(version(answer(&mut lines).await), "0");
    lab.counter.0.send_replace(1);
    // One that is due anyway may stand between.
    while version(answer(&mut lines).await) != "1" {}
}

#[tokio::test]
async fn down_is_answered_before_the_end() {
    for (verb, within_seconds) in [("down", 9), ("stop", 8)] {
        let lab = Lab::new();
        let line = format!("{{\"verb\":\"{verb}\"}}\n");
        let (mut lines, _writer) = lab.ask(line.as_bytes()).await;
        let stopping = Answer::Stopping { within_seconds };
        assert_eq!(answer(&mut lines).await, Some(stopping));
        lab.stop.cancelled().await;
    }
}

#[tokio::test]
async fn what_is_no_question_is_refused_and_the_next_one_is_answered() {
    let lab = Lab::new();
    let long = vec![b'a'; LINE + 1];
    for line in [
        &b"\n"[..],
        b"status\n",
        b"{\"verb\":\"halt\"}\n",
        b"{\"verb\":\"cancel\"}\n",
        b"{\"verb\":\"run\",\"workflow\":\"w\",\"fingerprint\":\"f\"}\n",
        b"{\"verb\":\"status\",\"more\":1}\n",
        b"{\"verb\":\"status\"} {}\n",
        b"\xff\xfe\0\n",
        &long,
    ] {
        let (mut lines, writer) = lab.ask(line).await;
        drop(writer);
        let refused = answer(&mut lines).await;
        assert!(
            matches!(refused, Some(Answer::Refused(_)) | None),
            "{refused:?}"
        );
    }
    let (mut lines, _writer) = lab.ask(b"{\"verb\":\"status\"}\n").await;
    assert_eq!(version(answer(&mut lines).await), "0");
}

#[tokio::test]
async fn those_who_watch_leave_room_for_one_who_ends_it_and_one_too_many_is_hung_up_on() {
    let lab = Lab::new();
    let mut clients = Vec::new();
    for _ in 0..WATCHERS {
        let (mut lines, writer) = lab.ask(b"{\"verb\":\"watch\"}\n").await;
        assert_eq!(version(answer(&mut lines).await), "0");
        clients.push((lines, writer));
    }
    let (mut lines, _writer) = lab.ask(b"{\"verb\":\"watch\"}\n").await;
    let words = format!("too many are watching ({WATCHERS})");
    assert_eq!(answer(&mut lines).await, Some(Answer::Refused(words)));
    let (mut lines, _writer) = lab.ask(b"{\"verb\":\"status\"}\n").await;
    assert_eq!(version(answer(&mut lines).await), "0");
    assert_eq!(answer(&mut lines).await, None);
    // Those who have not said anything yet have places, too. Who comes behind them has none.
    for _ in WATCHERS..CLIENTS {
        clients.push(lab.ask(b"{").await);
    }
    let (mut lines, _writer) = lab.ask(b"{\"verb\":\"status\"}\n").await;
    assert_eq!(answer(&mut lines).await, None);
    clients.pop();
    within(async {
        loop {
            let (mut lines, _writer) = lab.ask(b"{\"verb\":\"down\"}\n").await;
            if matches!(answer(&mut lines).await, Some(Answer::Stopping { .. })) {
                return;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn runs_have_places_of_their_own_and_leave_room_for_the_others() {
    let lab = Lab::with(Some(Never));
    let run = b"{\"verb\":\"run\",\"workflow\":\"w\",\"fingerprint\":\"f\"}\n";
    let mut clients = Vec::new();
    for _ in 0..RUNS {
        clients.push(lab.ask(run).await);
    }
    let words = format!("too many runs are attached ({RUNS}); use the HTTP API");
    let one_more = async || {
        let (mut lines, writer) = lab.ask(run).await;
        let answered = timeout(Duration::from_millis(100), answer(&mut lines)).await;
        (answered, lines, writer)
    };
    // Each has its place once it was heard.
    within(async {
        loop {
            let (answered, lines, writer) = one_more().await;
            match answered {
                Ok(answered) => {
                    assert_eq!(answered, Some(Answer::Refused(words.clone())));
                    return;
                }
                Err(_) => clients.push((lines, writer)),
            }
        }
    })
    .await;
    for verb in ["watch", "status"] {
        let line = format!("{{\"verb\":\"{verb}\"}}\n");
        let (mut lines, _writer) = lab.ask(line.as_bytes()).await;
        assert_eq!(version(answer(&mut lines).await), "0");
    }
    // One that hangs up makes room.
    drop(clients);
    within(async { while let (Ok(_), _, _) = one_more().await {} }).await;
    let (mut lines, _writer) = lab.ask(b"{\"verb\":\"down\"}\n").await;
    let stopping = answer(&mut lines).await;
    assert!(
        matches!(stopping, Some(Answer::Stopping { .. })),
        "{stopping:?}"
    );
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(30), future).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn one_that_says_nothing_is_hung_up_on() {
    let lab = Lab::new();
    let (mut lines, _writer) = lab.ask(b"{\"verb\":").await;
    assert_eq!(answer(&mut lines).await, None);
}
