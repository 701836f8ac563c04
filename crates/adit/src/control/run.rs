//! A run that is asked for over a control socket, at the end that has it done.

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use adit_flow::exec::{Report, StartError, TaskId};
use adit_flow::expr::Value;
use adit_flow::stream::Pieces;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use super::input::Input;
use super::lines::Lines;
use super::request::Request;
use super::{Answer, DEADLINE, PART, Part, Piece, hex, parts};
use crate::compose::Fingerprint;
use crate::task::TaskReport;

/// Whoever runs workflows.
pub(crate) trait Workflows: Clone + Send + Sync + 'static {
    /// Whether it is this configuration that is run.
    fn is_of(&self, fingerprint: &Fingerprint) -> bool;

    /// Waits until runs can be started; false if they never can.
    fn ready(&self) -> impl Future<Output = bool> + Send;

    /// Starts a run.
    fn start(&self, workflow: &str, input: Value) -> Result<TaskId, StartError>;

    /// Where a run stands, from now on.
    fn watch(&self, task: &TaskId) -> Option<watch::Receiver<Arc<Report>>>;

    /// Lets a job go on that waits for a person; false if it does not.
    fn resume(&self, task: &TaskId, job: &str, answer: Option<Value>) -> bool;

    /// Stops a run.
    fn cancel(&self, task: &TaskId);

    /// A text for people without the secrets in it.
    fn masked(&self, text: &str) -> String;
}

/// Least time between two reports of a run that goes on.
const PAUSE: Duration = Duration::from_millis(100);

/// Has a workflow run, and tells of it until it has ended or the client has gone.
///
/// # Errors
///
/// The client has gone, or does not read.
pub(super) async fn run(
    workflows: &impl Workflows,
    (workflow, fingerprint): (&str, &Fingerprint),
    input: Input,
    (lines, writer): (
        &mut Lines<impl AsyncRead + Unpin>,
        &mut (impl AsyncWrite + Unpin),
    ),
) -> io::Result<()> {
    if !workflows.is_of(fingerprint) {
        let words = "the adit up of this file was started with another configuration: restart it, or \
                     run with --local";
        return send(writer, &Answer::Refused(words.to_owned())).await;
    }
    let is_ready = tokio::select! {
        biased;
        // One that has gone, or says something before it is answered, is done.
        _ = lines.next() => return Ok(()),
        is_ready = workflows.ready() => is_ready,
    };
    if !is_ready {
        return send(writer, &Answer::Refused(String::from("it is about to end"))).await;
    }
    let value = input.value();
    // It is not held as text while the run lasts.
    drop(input);
    let started = value.and_then(|input| {
        let started = workflows.start(workflow, input);
        started.map_err(|error| error.to_string())
    });
    let task = match started {
        Ok(task) => task,
        Err(words) => return send(writer, &Answer::Refused(words)).await,
    };
    let Some(mut reports) = workflows.watch(&task) else {
        let words = "the run ended before anything could be told of it";
        return send(writer, &Answer::Refused(words.to_owned())).await;
    };
    let mut may_tell = Instant::now();
    loop {
        let report = Arc::clone(&reports.borrow_and_update());
        if report.status.is_final() {
            return match Pieces::take(&report.output) {
                Ok(None) => end(&report, writer).await,
                Ok(Some(pieces)) => {
                    let client = (lines, writer);
                    stream(workflows, &report, pieces, client).await
                }
                Err(error) => refuse(writer, &error).await,
            };
        }
        send(writer, &Answer::Task(told(&report))).await?;
        may_tell = may_tell.max(Instant::now()) + PAUSE;
        // Until there is news that may be told.
        let mut is_news = false;
        loop {
            let is_over = is_news && reports.borrow().status.is_final();
            tokio::select! {
                biased;
                line = lines.next() => match line? {
                    Some(line) => say(workflows, &task, &line, writer).await?,
                    None => return Ok(()),
                },
                changed = reports.changed() => {
                    changed.map_err(io::Error::other)?;
                    is_news = true;
                }
                () = std::future::ready(()), if is_over => break,
                () = sleep_until(may_tell), if is_news => break,
            }
        }
    }
}

/// What the client says while its run goes on.
async fn say(
    workflows: &impl Workflows,
    task: &TaskId,
    line: &[u8],
    writer: &mut (impl AsyncWrite + Unpin),
) -> io::Result<()> {
    let request = serde_json::from_slice(line).map_err(io::Error::other)?;
    match request {
        Request::Cancel {} => workflows.cancel(task),
        Request::Resume { job, answer } => {
            let answer = answer.map(|json| Value::from_json(json.as_bytes()));
            let answer = answer.transpose().map_err(io::Error::other)?;
            // Somebody else may have said it; where the run stands is told anyway.
            workflows.resume(task, &job, answer);
        }
        Request::Status {}
        | Request::Watch {}
        | Request::Down {}
        | Request::Stop {}
        | Request::Reload {}
        | Request::Check {}
        | Request::Input { .. }
        | Request::Run { .. } => {
            let words = String::from("that is not to be asked while a run is told of");
            send(writer, &Answer::Refused(words)).await?;
        }
    }
    Ok(())
}

/// What it gave, and how it ended.
async fn end(report: &Report, writer: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
    let told = told(report);
    let output = &report.output;
    if let Value::Bytes(bytes) = output {
        for part in bytes.chunks(PART) {
            let part = Part::Bytes(hex::written(part));
            send(writer, &Answer::Output(part)).await?;
        }
    } else if !output.is_null() {
        let json = match output.to_json() {
            Ok(json) => json,
            Err(error) => return refuse(writer, &error).await,
        };
        for part in parts(&json) {
            send(writer, &Answer::Output(Part::Json(part.to_owned()))).await?;
        }
    }
    send(writer, &Answer::Task(told)).await
}

async fn refuse(
    writer: &mut (impl AsyncWrite + Unpin),
    error: &(dyn Error + Sync),
) -> io::Result<()> {
    let words = format!("the result cannot be told: {error}");
    send(writer, &Answer::Refused(words)).await
}

/// What it gives piece by piece, as the client reads it, and how it ended.
///
/// No more than one piece is held. A client that says anything but an answer to a person, or hangs up,
/// wants no more of it.
async fn stream(
    workflows: &impl Workflows,
    report: &Report,
    mut pieces: Pieces,
    (lines, writer): (
        &mut Lines<impl AsyncRead + Unpin>,
        &mut (impl AsyncWrite + Unpin),
    ),
) -> io::Result<()> {
    send(writer, &Answer::Streaming(told(report))).await?;
    let written = async {
        loop {
            match pieces.next().await {
                Ok(Some(piece)) => write(writer, &piece).await?,
                Ok(None) => return send(writer, &Answer::Task(told(report))).await,
                Err(error) => {
                    let words = workflows.masked(&format!("the result is not complete: {error}"));
                    return send(writer, &Answer::Refused(words)).await;
                }
            }
        }
    };
    let has_enough = async {
        while let Ok(Some(line)) = lines.next().await {
            // It was answered before it could know that the run was over.
            if !matches!(serde_json::from_slice(&line), Ok(Request::Resume { .. })) {
                break;
            }
        }
    };
    tokio::select! {
        written = written => written,
        () = has_enough => Ok(()),
    }
}

/// Writes a piece, however long the client takes to read what came before it: it may have been stopped
/// by whoever reads its output.
async fn write(writer: &mut (impl AsyncWrite + Unpin), piece: &[u8]) -> io::Result<()> {
    let pieces: Vec<Piece> = match std::str::from_utf8(piece) {
        Ok(text) => parts(text)
            .map(|part| Piece::Text(part.to_owned()))
            .collect(),
        Err(_) => piece
            .chunks(PART)
            .map(|part| Piece::Bytes(hex::written(part)))
            .collect(),
    };
    for piece in pieces {
        writer.write_all(&line(&Answer::Piece(piece))?).await?;
    }
    Ok(())
}

fn told(report: &Report) -> TaskReport {
    TaskReport::new(report, Instant::now().into_std())
}

/// Writes a line. A client that does not read it in time has gone.
pub(super) async fn send(
    writer: &mut (impl AsyncWrite + Unpin),
    answer: &Answer,
) -> io::Result<()> {
    timeout(DEADLINE, writer.write_all(&line(answer)?)).await??;
    Ok(())
}

fn line(answer: &Answer) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(answer).map_err(io::Error::other)?;
    line.push(b'\n');
    Ok(line)
}

#[cfg(test)]
mod tests;
