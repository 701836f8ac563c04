//! One row of the table: what somebody does, and what comes of it at the gateway and at sshd.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use crate::client::Client;
use crate::ground::Ground;

/// What is tried at both servers.
#[derive(Clone)]
pub(crate) struct Case {
    /// Its name: no other has it.
    pub(crate) name: String,
    /// What it is of: a place in `spec`, an acceptance test, a manual page.
    pub(crate) of: &'static str,
    /// Who does it.
    pub(crate) client: Client,
    /// What is seen at the gateway.
    pub(crate) gateway: String,
    /// What is seen at sshd.
    pub(crate) sshd: AtSshd,
    /// Does it, and says what was seen: the same words for the same behaviour.
    pub(crate) run: Arc<dyn Fn(&Ground) -> Seen + Send + Sync>,
    /// It stops the servers for a while, or wants a port that others want: no other runs meanwhile.
    pub(crate) is_alone: bool,
}

/// What was seen, or why nothing was.
pub(crate) type Seen = anyhow::Result<String>;

/// What is seen at sshd.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AtSshd {
    /// The same.
    Same,
    /// Something else, and why that is right.
    Differs {
        seen: &'static str,
        why: &'static str,
    },
    /// It is not tried there, since sshd has nothing of the kind.
    Absent { why: &'static str },
}

impl Case {
    /// A case that both servers treat alike.
    pub(crate) fn new(
        name: impl Into<String>,
        of: &'static str,
        client: Client,
        seen: impl Into<String>,
        run: impl Fn(&Ground) -> Seen + Send + Sync + 'static,
    ) -> Self {
        Self {
            name: name.into(),
            of,
            client,
            gateway: seen.into(),
            sshd: AtSshd::Same,
            run: Arc::new(run),
            is_alone: false,
        }
    }

    /// sshd does something else here.
    pub(crate) fn differs(mut self, seen: &'static str, why: &'static str) -> Self {
        self.sshd = AtSshd::Differs { seen, why };
        self
    }

    /// sshd has nothing of the kind.
    pub(crate) fn absent(mut self, why: &'static str) -> Self {
        self.sshd = AtSshd::Absent { why };
        self
    }

    /// No other case runs meanwhile.
    pub(crate) fn alone(mut self) -> Self {
        self.is_alone = true;
        self
    }

    /// The same by another client.
    pub(crate) fn by(&self, client: Client) -> Self {
        Self {
            client,
            ..self.clone()
        }
    }

    /// What is wrong, if anything is.
    pub(crate) fn failure(&self, gateway: &Ground, sshd: &Ground) -> Option<String> {
        let expected = match self.sshd {
            AtSshd::Same => Some(self.gateway.as_str()),
            AtSshd::Differs { seen, .. } => Some(seen),
            AtSshd::Absent { .. } => None,
        };
        let wrong: Vec<String> = std::thread::scope(|scope| {
            let at_sshd =
                expected.map(|expected| scope.spawn(|| self.compare(sshd, "sshd", expected)));
            let at_gateway = self.compare(gateway, "gateway", &self.gateway);
            let at_sshd =
                at_sshd.and_then(|thread| thread.join().expect("a panic is caught in it"));
            at_gateway.into_iter().chain(at_sshd).collect()
        });
        (!wrong.is_empty())
            .then(|| format!("{} ({}): {}", self.name, self.client, wrong.join("; ")))
    }

    fn compare(&self, ground: &Ground, server: &str, expected: &str) -> Option<String> {
        let begun = Instant::now();
        let ground = ground.for_client(self.client);
        let seen = catch_unwind(AssertUnwindSafe(|| (self.run)(&ground)));
        let seen = match seen {
            Ok(Ok(seen)) => seen,
            Ok(Err(error)) => format!("nothing was seen: {error:#}"),
            Err(panic) => {
                let words = panic.downcast_ref::<String>().cloned();
                format!("panicked: {}", words.unwrap_or_default())
            }
        };
        let took = begun.elapsed().as_millis();
        println!(
            "{took:>6} ms  {server:<7}  {:<9}  {}",
            self.client.to_string(),
            self.name
        );
        if seen == expected {
            return None;
        }
        Some(format!(
            "at the {server} {expected:?} was expected and {seen:?} seen"
        ))
    }
}
