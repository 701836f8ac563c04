//! The program of a provider while it runs, and what was heard of it.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::process::{Followed, Keeper, Program, SpawnError};

/// What a line says that somebody has to know.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// The program is up, with this URL. Empty where it is known from elsewhere.
    Name(String),
    /// What is wrong.
    Reason(String),
}

/// A program that runs.
#[derive(Debug)]
pub(super) struct Running {
    program: Followed,
    driver: &'static str,
    heard: Heard,
}

impl Running {
    /// Starts a program whose lines `listen` understands.
    pub(super) fn start(
        keeper: &Keeper,
        program: &Program,
        driver: &'static str,
        listen: fn(&str) -> Option<Word>,
    ) -> Result<Self, SpawnError> {
        let heard = Heard::default();
        let listener = heard.clone();
        let follower = move |line: &str| {
            debug!("[{driver}] {line}");
            if let Some(word) = listen(line) {
                listener.note(word);
            }
        };
        Ok(Self {
            program: Followed::start(keeper, program, follower)?,
            driver,
            heard,
        })
    }

    /// Tells `up` of its URL once it has said it, and waits for its end or ends it: on `stop`, or because it says
    /// none. Gives what a port is told.
    pub(super) async fn attend(
        mut self,
        up: impl FnOnce(&str),
        stop: &CancellationToken,
    ) -> String {
        let heard = self.heard.clone();
        let named = tokio::select! {
            () = stop.cancelled() => return self.stop().await,
            why = self.ended() => return why,
            named = timeout(NAME_WITHIN, heard.name()) => named,
        };
        let Ok(url) = named else {
            self.stop().await;
            let reason = heard.reason();
            return format!(
                "{} has not said a name in {NAME_WITHIN:?}{reason}",
                self.driver
            );
        };
        up(&url);
        tokio::select! {
            () = stop.cancelled() => self.stop().await,
            why = self.ended() => why,
        }
    }

    /// Waits for its end, and says how it was.
    async fn ended(&mut self) -> String {
        let driver = self.driver;
        let exit = match self.program.wait().await {
            Ok(exit) => format!("the program of {driver} has ended ({exit})"),
            Err(error) => format!("the program of {driver} cannot be followed ({error})"),
        };
        let reason = self.heard.reason();
        if !reason.is_empty() {
            return exit + &reason;
        }
        match self.program.tail().last() {
            Some(line) => format!("{exit}: {}", cut(&line)),
            None => exit + " without a word",
        }
    }

    /// However it ends, it was asked to.
    async fn stop(&mut self) -> String {
        self.program.stop(GRACE).await.ok();
        String::from("its tunnel was stopped")
    }
}

/// What was heard. Clones hear the same.
#[derive(Clone, Debug, Default)]
struct Heard(Arc<watch::Sender<Words>>);

#[derive(Debug, Default)]
struct Words {
    name: Option<String>,
    reason: Option<String>,
}

impl Heard {
    /// The first name is the one, and what was wrong before it is not any more.
    fn note(&self, word: Word) {
        self.0.send_modify(|words| match word {
            Word::Name(url) if words.name.is_none() => {
                words.name = Some(url);
                words.reason = None;
            }
            Word::Name(_) => {}
            Word::Reason(why) => words.reason = Some(cut(&why).into_owned()),
        });
    }

    async fn name(&self) -> String {
        let mut words = self.0.subscribe();
        loop {
            if let Some(url) = words.borrow_and_update().name.clone() {
                return url;
            }
            if words.changed().await.is_err() {
                // The sender is in our hands.
                std::future::pending::<()>().await;
            }
        }
    }

    /// How a message goes on that tells of a failure.
    fn reason(&self) -> String {
        let words = self.0.borrow();
        let reason = words.reason.as_ref();
        reason.map(|why| format!(": {why}")).unwrap_or_default()
    }
}

fn cut(line: &str) -> Cow<'_, str> {
    match line.char_indices().nth(SHOWN) {
        Some((end, _)) => Cow::Owned(line.get(..end).unwrap_or_default().to_owned() + "…"),
        None => Cow::Borrowed(line),
    }
}

/// How long a program may take until it says its name; model-compose's own.
const NAME_WITHIN: Duration = Duration::from_secs(30);

/// How long a program may take to end; model-compose's own.
const GRACE: Duration = Duration::from_secs(5);

/// The most characters of a line that says what is wrong.
const SHOWN: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_name_counts_and_what_was_wrong_before_does_not() {
        let heard = Heard::default();
        heard.note(Word::Reason("x".repeat(SHOWN + 1)));
        assert_eq!(heard.reason(), format!(": {}…", "x".repeat(SHOWN)));
        heard.note(Word::Name("https://a".to_owned()));
        heard.note(Word::Name("https://b".to_owned()));
        assert_eq!(heard.name().await, "https://a");
        assert_eq!(heard.reason(), "");
        heard.note(Word::Reason("lost".to_owned()));
        assert_eq!(heard.reason(), ": lost");
    }
}
