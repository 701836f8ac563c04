//! A run that is asked for over a control socket, at the end that asks.

use anyhow::Context as _;
use tokio::io::AsyncWriteExt as _;
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::timeout;

use super::client::{understood, unexpected};
use super::lines::Lines;
use super::request::Request;
use super::{Answer, DEADLINE, INPUT, LINE, Part, Piece, hex, parts};
use crate::compose::Fingerprint;
use crate::task::TaskReport;

/// What is said about one run.
#[derive(Debug)]
pub(crate) struct Conversation {
    lines: Lines<OwnedReadHalf>,
    writer: OwnedWriteHalf,
    result: Outcome,
}

/// What a run gives.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Nothing.
    #[default]
    Nothing,
    /// A value, as JSON.
    Json(String),
    /// Bytes.
    Bytes(Vec<u8>),
}

/// What is told of it.
#[derive(Debug)]
pub(crate) enum News {
    /// Where it stands.
    Report(TaskReport),
    /// How it ended; what it gives comes now, in pieces.
    Streaming(TaskReport),
    /// What is written next of that.
    Piece(Vec<u8>),
    /// How it ended, and what it gave; of what came in pieces, nothing.
    Ended(TaskReport, Outcome),
}

impl Conversation {
    /// Asks for a run. `input` is JSON.
    ///
    /// # Errors
    ///
    /// The other end has gone, or the input is longer than it takes.
    pub(crate) async fn begin(
        socket: UnixStream,
        workflow: &str,
        input: &str,
        fingerprint: Fingerprint,
    ) -> anyhow::Result<Self> {
        anyhow::ensure!(
            input.len() <= INPUT,
            "the input has {} bytes, and {INPUT} are the most",
            input.len()
        );
        let (reader, writer) = socket.into_split();
        let mut conversation = Self {
            lines: Lines::new(reader, LINE),
            writer,
            result: Outcome::Nothing,
        };
        for part in parts(input) {
            let part = part.to_owned();
            conversation.say(&Request::Input { part }).await?;
        }
        let workflow = workflow.to_owned();
        let request = Request::Run {
            workflow,
            fingerprint,
        };
        conversation.say(&request).await?;
        Ok(conversation)
    }

    /// What is told next.
    ///
    /// # Errors
    ///
    /// It was refused, or the other end has gone.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub(crate) async fn next(&mut self) -> anyhow::Result<News> {
        loop {
            let line = self.lines.next().await.context("no answer came")?;
            let line = line.context("it ended before the run did")?;
            match understood(&line)? {
                Answer::Task(report) if report.status.is_final() => {
                    let outcome = std::mem::take(&mut self.result);
                    return Ok(News::Ended(report, outcome));
                }
                Answer::Task(report) => return Ok(News::Report(report)),
                Answer::Output(part) => self.result.push(&part)?,
                Answer::Streaming(report) => return Ok(News::Streaming(report)),
                Answer::Piece(Piece::Text(text)) => return Ok(News::Piece(text.into_bytes())),
                Answer::Piece(Piece::Bytes(digits)) => return Ok(News::Piece(read(&digits)?)),
                // Its words are for whoever wanted the run.
                Answer::Refused(words) => anyhow::bail!(words),
                answer @ (Answer::Report(_)
                | Answer::Stopping { .. }
                | Answer::Reloaded { .. }
                | Answer::Checked(_)) => {
                    return Err(unexpected(Some(answer)));
                }
            }
        }
    }

    /// Stops the run.
    pub(crate) async fn cancel(&mut self) -> anyhow::Result<()> {
        self.say(&Request::Cancel {}).await
    }

    /// Lets a job go on that waits for a person. `answer` is JSON.
    pub(crate) async fn resume(&mut self, job: &str, answer: Option<String>) -> anyhow::Result<()> {
        let job = job.to_owned();
        self.say(&Request::Resume { job, answer }).await
    }

    async fn say(&mut self, request: &Request) -> anyhow::Result<()> {
        let mut line = serde_json::to_vec(request).context("cannot write the question")?;
        line.push(b'\n');
        let said = timeout(DEADLINE, self.writer.write_all(&line)).await;
        said.context("it does not read what it is asked")?
            .context("cannot ask")
    }
}

impl Outcome {
    fn push(&mut self, part: &Part) -> anyhow::Result<()> {
        match (&mut *self, part) {
            (Self::Json(json), Part::Json(part)) => json.push_str(part),
            (Self::Nothing, Part::Json(part)) => *self = Self::Json(part.clone()),
            (Self::Bytes(bytes), Part::Bytes(part)) => bytes.extend(read(part)?),
            (Self::Nothing, Part::Bytes(part)) => *self = Self::Bytes(read(part)?),
            (Self::Json(_), Part::Bytes(_)) | (Self::Bytes(_), Part::Json(_)) => {
                anyhow::bail!("the result is neither a value nor bytes")
            }
        }
        Ok(())
    }
}

fn read(part: &str) -> anyhow::Result<Vec<u8>> {
    hex::read(part).context("the result is not understood")
}
