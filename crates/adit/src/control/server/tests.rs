//! Clients of every kind at a control socket.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use tokio::io::{AsyncBufRead, Lines};
use tokio::net::unix::OwnedReadHalf;

use super::*;
use crate::status::When;

/// Reports how often it was changed.
#[derive(Clone)]
struct Counter(Arc<watch::Sender<u64>>);

impl Subject for Counter {
    fn report(&self) -> Report {
        Report {
            version: self.0.borrow().to_string(),
            config: PathBuf::from("/etc/adit.yml"),
            pid: 1,
            since: When(SystemTime::UNIX_EPOCH),
            tunnels: Vec::new(),
        }
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.0.subscribe()
    }
}

struct Lab {
    folder: tempfile::TempDir,
    counter: Counter,
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl Lab {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = listen(&folder.path().join("sock")).unwrap();
        let counter = Counter(Arc::new(watch::Sender::new(0)));
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(listener, counter.clone(), stop.clone()));
        Self {
            folder,
            counter,
            stop,
            tasks,
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
    let lab = Lab::new();
    let (mut lines, _writer) = lab.ask(b"{\"verb\":\"down\"}\n").await;
    assert_eq!(answer(&mut lines).await, Some(Answer::Stopping));
    lab.stop.cancelled().await;
}

#[tokio::test]
async fn what_is_no_question_is_refused_and_the_next_one_is_answered() {
    let lab = Lab::new();
    let long = vec![b'a'; usize::try_from(LINE).unwrap() + 1];
    for line in [
        &b"\n"[..],
        b"status\n",
        b"{\"verb\":\"stop\"}\n",
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
async fn one_client_too_many_is_hung_up_on() {
    let lab = Lab::new();
    let mut watchers = Vec::new();
    for _ in 0..CLIENTS {
        let (mut lines, writer) = lab.ask(b"{\"verb\":\"watch\"}\n").await;
        assert_eq!(version(answer(&mut lines).await), "0");
        watchers.push((lines, writer));
    }
    let (mut lines, _writer) = lab.ask(b"{\"verb\":\"status\"}\n").await;
    assert_eq!(answer(&mut lines).await, None);
    watchers.clear();
    assert_eq!(lab.tasks.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn one_that_says_nothing_is_hung_up_on() {
    let lab = Lab::new();
    let (mut lines, _writer) = lab.ask(b"{\"verb\":").await;
    assert_eq!(answer(&mut lines).await, None);
}
