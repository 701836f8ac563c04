//! Asking again and again until it is done: completions of type `polling`.
//!
//! [`PollRules::judge`] is pure; [`poll`] is the loop around it. Before each question there is a
//! pause. No status of HTTP is an error here: the rules say what it means. A question that gets no
//! answer (the server is being restarted, the network is away for a moment) is asked again like one
//! whose answer says nothing yet, until the time is over; the last such error is then told. What can
//! never get an answer ends it at once.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use super::Client;
use super::answer::Answer;
use super::error::AskError;
use super::request::Request;
use crate::expr::Value;

/// The seam to whoever asks, so that a rate limit can stand before it.
pub trait Ask: Send + Sync {
    /// Asks. No status is an error.
    ///
    /// # Errors
    ///
    /// There is no answer.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the connection; whether the server has acted is not known.
    fn ask(&self, request: &Request) -> impl Future<Output = Result<Answer, AskError>> + Send;
}

impl Ask for Client {
    async fn ask(&self, request: &Request) -> Result<Answer, AskError> {
        Self::ask(self, request).await
    }
}

/// When a poll is done and how long it may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PollRules {
    /// Status texts or codes (`200`, `2xx`) that mean done.
    pub success_when: Vec<String>,
    /// Status texts or codes that mean failed. What is in both means done.
    pub fail_when: Vec<String>,
    /// The pause before each question; [`LEAST_PAUSE`] at least.
    pub interval: Duration,
    /// How long it may take altogether.
    pub timeout: Duration,
}

/// What an answer means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// It is done.
    Done,
    /// It has failed, for this.
    Failed(Matched),
    /// It goes on.
    Pending,
}

/// What matched a failure condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Matched {
    /// What the status selector gave.
    Status(String),
    /// The code of HTTP, where it gave nothing.
    Code(u16),
}

impl fmt::Display for Matched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "status '{status}'"),
            Self::Code(code) => write!(f, "status code '{code}'"),
        }
    }
}

impl PollRules {
    /// What an answer means. `status` is what the status selector gave; what counts as nothing (null,
    /// false, zero, and what is empty) leaves it to the code.
    ///
    /// A status is compared as text, letter for letter. Conditions for codes are codes and patterns
    /// with `x` for any digit.
    pub fn judge(&self, code: u16, status: Option<&Value>) -> Judgement {
        let text = status.filter(|status| !counts_as_nothing(status));
        // What has no text is no status that could be listed.
        let text = text.and_then(|status| status.text_form().ok());
        let (is_success, is_failure, matched) = if let Some(text) = text {
            let is_in = |list: &[String]| list.iter().any(|item| item.as_str() == text);
            let (success, failure) = (is_in(&self.success_when), is_in(&self.fail_when));
            (success, failure, Matched::Status(text.into_owned()))
        } else {
            let is_in = |list: &[String]| list.iter().any(|item| matches_code(item, code));
            let (success, failure) = (is_in(&self.success_when), is_in(&self.fail_when));
            (success, failure, Matched::Code(code))
        };
        if is_success {
            Judgement::Done
        } else if is_failure {
            Judgement::Failed(matched)
        } else {
            Judgement::Pending
        }
    }
}

fn counts_as_nothing(value: &Value) -> bool {
    match value {
        Value::Null | Value::Boolean(false) | Value::Integer(0) => true,
        Value::Float(float) => *float == 0.0,
        Value::Text(text) => text.is_empty(),
        Value::List(list) => list.is_empty(),
        Value::Map(map) => map.is_empty(),
        Value::Bytes(bytes) => bytes.is_empty(),
        Value::Boolean(true) | Value::Integer(_) | Value::Handle(_) | Value::Pending(_) => false,
    }
}

/// `200`, `2xx`, `20x`, in capitals too.
fn matches_code(condition: &str, code: u16) -> bool {
    let condition = condition.trim();
    let code = code.to_string();
    let is_match =
        |(wanted, digit): (u8, u8)| wanted.eq_ignore_ascii_case(&b'x') || wanted == digit;
    condition.len() == code.len() && condition.bytes().zip(code.bytes()).all(is_match)
}

/// Why a poll did not succeed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PollError {
    /// The answer says that it failed.
    #[error("Polling failed: {0} matched a failure condition.")]
    Failed(Matched),
    /// It took too long.
    #[error("Polling timed out after {}{}", Clock(*.after), unanswered(.last.as_deref()))]
    TimedOut {
        /// How long it might take.
        after: Duration,
        /// Why the last question got no answer, if it got none.
        last: Option<Box<AskError>>,
    },
    /// The question can never get an answer.
    #[error(transparent)]
    Ask(AskError),
    /// The status selector failed on an answer.
    #[error("status: {0}")]
    Selector(Box<dyn Error + Send + Sync>),
}

fn unanswered(error: Option<&AskError>) -> String {
    error.map_or_else(String::new, |error| {
        format!("; the last question failed: {error}")
    })
}

/// A time as `0:05:00`, with days and millionths if there are any: as model-compose writes it.
struct Clock(Duration);

impl fmt::Display for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        let (days, seconds) = (seconds / 86_400, seconds % 86_400);
        match days {
            0 => {}
            1 => f.write_str("1 day, ")?,
            days => write!(f, "{days} days, ")?,
        }
        let (hours, minutes) = (seconds / 3_600, seconds / 60 % 60);
        write!(f, "{hours}:{minutes:02}:{:02}", seconds % 60)?;
        match self.0.subsec_micros() {
            0 => Ok(()),
            micros => write!(f, ".{micros:06}"),
        }
    }
}

/// Asks until it is done, and gives the answer that says so.
///
/// `status` is asked what an answer's value says of how it stands: None, or what
/// [counts as nothing](PollRules::judge), leaves it to the code. `on_round` is told of each question
/// that has been asked. One that says nothing of its time may take [`QUESTION_TIMEOUT`]; one that is not answered when the time is over is given up.
///
/// # Errors
///
/// It failed, took too long, or cannot be asked.
///
/// # Cancel safety
///
/// Dropping the future ends the poll and closes its connection.
pub async fn poll<S, R>(
    asker: &impl Ask,
    request: &Request,
    rules: &PollRules,
    mut status: S,
    mut on_round: R,
) -> Result<Answer, PollError>
where
    S: FnMut(&Value) -> Result<Option<Value>, Box<dyn Error + Send + Sync>> + Send,
    R: FnMut(&Result<Answer, AskError>) + Send,
{
    let after = rules.timeout;
    let start = Instant::now();
    // A time that no clock reaches is no deadline that comes.
    let deadline = start.checked_add(after).unwrap_or(start + FAR);
    let mut last = None;
    // Values are shared, so this copies little.
    let mut request = request.clone();
    request.timeout.get_or_insert(QUESTION_TIMEOUT);
    let pause = rules.interval.max(LEAST_PAUSE);
    loop {
        if pause >= deadline.saturating_duration_since(Instant::now()) {
            sleep_until(deadline).await;
            return Err(PollError::TimedOut { after, last });
        }
        sleep(pause).await;
        let Ok(round) = timeout_at(deadline, asker.ask(&request)).await else {
            return Err(PollError::TimedOut { after, last });
        };
        on_round(&round);
        match round {
            Ok(answer) => {
                last = None;
                let status = status(&answer.value).map_err(PollError::Selector)?;
                match rules.judge(answer.status, status.as_ref()) {
                    Judgement::Done => return Ok(answer),
                    Judgement::Failed(matched) => return Err(PollError::Failed(matched)),
                    Judgement::Pending => {}
                }
            }
            Err(error) if error.is_lasting() => return Err(PollError::Ask(error)),
            Err(error) => last = Some(Box::new(error)),
        }
    }
}

/// How long one question may take that says nothing else: a lost one is not to use up the time of
/// those that could follow.
pub const QUESTION_TIMEOUT: Duration = Duration::from_secs(60);

/// Without a pause, which a variable can leave, a server would be asked as fast as it answers.
pub const LEAST_PAUSE: Duration = Duration::from_millis(10);

/// A year.
const FAR: Duration = Duration::from_secs(365 * 86_400);

#[cfg(test)]
mod tests;
