//! The gateway's end of `control@adit`: what an agent is told of its own leases and names, and the probes that it asks
//! for.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use adit_model::grant::{Grant, Reach};
use adit_model::lease::Holding;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::{Session as Owner, chance};
use crate::control::{
    self, GrantSummary, Identity, Instance, NameSummary, Named, Outcome, Place, Talk, TalkError,
    Text, ToAgent, ToGateway,
};
use crate::gateway::accept::Shared;
use crate::gateway::desk::{Member, Who};
use crate::gateway::line::{Superseded, Word};
use crate::gateway::page::{Shown, View};
use crate::gateway::policy::Kind;
use crate::gateway::probe;
use crate::gateway::storm;
use crate::transport::{Bind, ByteStream, Session, Transport};

/// What the subsystem of one connection needs of it.
#[derive(Debug, Clone)]
pub(in crate::gateway) struct Reception {
    shared: Arc<Shared>,
    who: Arc<Who>,
    member: Arc<Member>,
    transport: Arc<dyn Transport>,
    view: watch::Receiver<View>,
}

/// How long an agent may take for its greeting.
const GREETING: Duration = Duration::from_secs(10);
/// How long the loser of a lease waits to hear which agent has it: that one says so a round trip after it has asked
/// for the lease. No byte of a visitor comes to the loser meanwhile.
const INTRODUCTION: Duration = Duration::from_secs(1);
/// The first version whose agents know that a lease may come back, and can stay without any.
const STAYS: u32 = 3;
/// When an agent that was silent for too long may ask again.
const SILENT: Duration = Duration::from_secs(15);
/// Probes of one connection at a time. One more is asked for when one of them is over.
const PROBES: usize = 8;
/// The first version that is told of names.
const NAMES: u32 = 3;

/// An agent that has greeted.
struct Guest<'a> {
    reception: &'a Reception,
    talk: Talk<&'a mut ByteStream>,
    version: u32,
    probes: JoinSet<(Place, Outcome)>,
    told: Option<GrantSummary>,
    view: watch::Receiver<View>,
    /// What was told of names.
    named: HashSet<Named>,
}

impl Reception {
    /// Of that session.
    pub(super) fn of(session: &Owner) -> Self {
        Self {
            shared: Arc::clone(&session.shared),
            who: Arc::clone(&session.who),
            member: Arc::clone(&session.member),
            transport: Arc::clone(&session.transport),
            view: session.view.subscribe(),
        }
    }

    /// Whether the subsystem may be opened now: by a device, as the policy of this moment has it, and once for each
    /// connection (security rule G34). Who may gets what there is to say.
    pub(in crate::gateway) fn admit(&self) -> Option<mpsc::Receiver<Word>> {
        self.grant()?;
        self.who.line.listen()
    }

    /// Serves it to its end. The tunnel goes on without.
    pub(in crate::gateway) async fn serve(
        &self,
        mut session: Session,
        mut words: mpsc::Receiver<Word>,
    ) {
        let ended = self.attend(&mut session, &mut words).await;
        self.who.line.hang_up();
        words.close();
        // Nobody can be told any more, but who was to be closed is.
        while let Ok(word) = words.try_recv() {
            if let Some(reason) = word.closes() {
                self.transport.close(reason);
            }
        }
        match ended {
            TalkError::Ended => session.exit(0),
            error @ (TalkError::Stream(_)
            | TalkError::Frame(_)
            | TalkError::Ungreeted
            | TalkError::Version
            | TalkError::Deaf) => {
                let error = crate::agent::chain(&error);
                tracing::debug!(principal = %self.who.principal.name, error, "control has ended");
                session.complain(format!("adit: {}: {error}\r\n", control::NAME));
                session.exit(1);
            }
        }
    }

    async fn attend(&self, session: &mut Session, words: &mut mpsc::Receiver<Word>) -> TalkError {
        let mut talk = Talk::new(&mut session.stream);
        let version = match timeout(GREETING, talk.hear()).await {
            Ok(Ok(ToGateway::Hello { version, instance })) => {
                self.who.line.introduce(instance);
                let version = version.min(control::VERSION);
                if let Err(error) = talk.say(&ToAgent::Welcome { version }).await {
                    return error;
                }
                version
            }
            Ok(Ok(_)) | Err(_) => return TalkError::Ungreeted,
            Ok(Err(error)) => return error,
        };
        let mut guest = Guest {
            reception: self,
            talk,
            version,
            probes: JoinSet::new(),
            told: None,
            view: self.view.clone(),
            named: HashSet::new(),
        };
        guest.view.mark_changed();
        match guest.attend(words).await {
            Ok(()) => TalkError::Ended,
            Err(error) => error,
        }
    }

    /// What the principal may do now, if it is a device still.
    fn grant(&self) -> Option<Grant> {
        let policy = self.shared.rules.policy.borrow();
        let principal = policy.principals.get(&self.who.principal.id)?;
        (principal.kind == Kind::Device).then(|| principal.grant.clone())
    }

    /// Who that is here.
    fn identity(&self) -> Identity {
        let site = &self.shared.site;
        Identity {
            name: Text::new(&self.who.principal.name),
            domain: site.domain.as_deref().map(Text::new),
            http: site.http,
            https: site.https,
        }
    }

    /// Visits a forward of this connection.
    async fn probe(&self, forward: &Place) -> Outcome {
        let bind = Bind::from(forward.clone());
        let Some((holding, addresses)) = self.shared.desk.listens_at(&self.member, &bind) else {
            return Outcome::NotYours;
        };
        let registry = self.shared.desk.registry();
        if matches!(holding, Holding::Service(..) | Holding::Member(..)) {
            // It has no port of its own that could be visited.
            return probe::look_within(registry, &holding).await;
        }
        registry.probes().look(&holding, &addresses).await
    }
}

impl Guest<'_> {
    /// Until the agent hangs up, or may not be here any more.
    async fn attend(&mut self, words: &mut mpsc::Receiver<Word>) -> Result<(), TalkError> {
        let reception = self.reception;
        let waiting = reception.shared.waiting();
        if let Some(wait) = storm::in_storm(waiting, chance()) {
            self.talk.say(&retry_after(wait)).await?;
        }
        let identity = ToAgent::Identity(reception.identity());
        if self.version >= identity.since() {
            self.talk.say(&identity).await?;
        }
        let mut policy = reception.shared.rules.policy.clone();
        // A gateway that stops changes nobody's policy any more, and has a last word to say.
        let mut may_change = true;
        let mut may_show = true;
        loop {
            let Some(grant) = reception.grant() else {
                return Ok(());
            };
            let summary = self.summary(&grant);
            if self.told.as_ref() != Some(&summary) {
                self.talk.say(&ToAgent::Grant(summary.clone())).await?;
                self.told = Some(summary);
            }
            self.tell_names().await?;
            tokio::select! {
                changed = policy.changed(), if may_change => may_change = changed.is_ok(),
                Some(word) = words.recv() => self.tell(word).await?,
                Some(probed) = self.probes.join_next() => {
                    if let Ok((forward, outcome)) = probed {
                        self.tell_names().await?;
                        self.talk.say(&ToAgent::Probed { forward, outcome }).await?;
                    }
                }
                changed = self.view.changed(), if may_show => may_show = changed.is_ok(),
                heard = self.talk.hear(), if self.probes.len() < PROBES => self.heard(heard?)?,
            }
        }
    }

    /// Says where the forwards are that have names, as far as that is news.
    async fn tell_names(&mut self) -> Result<(), TalkError> {
        if self.version < NAMES {
            return Ok(());
        }
        let now: HashSet<Named> = {
            let view = self.view.borrow_and_update();
            view.forwards.iter().filter_map(named).collect()
        };
        for named in now.difference(&self.named) {
            self.talk.say(&ToAgent::Named(named.clone())).await?;
        }
        self.named = now;
        Ok(())
    }

    /// What the grant gives, as far as the agent understands it.
    fn summary(&self, grant: &Grant) -> GrantSummary {
        GrantSummary {
            names: (self.version >= NAMES).then(|| names(grant)),
            ..summary(grant)
        }
    }

    fn heard(&mut self, message: ToGateway) -> Result<(), TalkError> {
        let reception = self.reception;
        if message.since() > self.version {
            return Err(TalkError::Version);
        }
        match message {
            ToGateway::Hello { .. } => return Err(TalkError::Ungreeted),
            ToGateway::Probe { forward } => {
                let reception = reception.clone();
                self.probes.spawn(async move {
                    let outcome = reception.probe(&forward).await;
                    (forward, outcome)
                });
            }
            ToGateway::Facts(facts) => {
                let reports = &reception.shared.reports;
                reports.facts(&reception.who, &facts, reception.shared.rules.clock.now());
            }
            ToGateway::Health(health) => {
                let reports = &reception.shared.reports;
                reports.health(&reception.who, health, reception.shared.rules.clock.now());
            }
        }
        Ok(())
    }

    /// Says something, and closes the connection if that was the last.
    async fn tell(&mut self, word: Word) -> Result<(), TalkError> {
        let reception = self.reception;
        let closes = word.closes();
        let mut stays = false;
        let said = match word {
            Word::Refused { bind, reason } => {
                let message = ToAgent::Refused {
                    forward: Place::from(&bind),
                    reason: Text::new(&reason),
                };
                self.talk.say(&message).await
            }
            Word::Returned(holding) => {
                let holding = Text::new(&holding.to_string());
                let message = ToAgent::Returned { holding };
                if message.since() <= self.version {
                    self.talk.say(&message).await
                } else {
                    Ok(())
                }
            }
            Word::Superseded(takeover) => {
                let was_silent = takeover.was_silent;
                let successor = successor(&takeover).await;
                let is_itself = successor.is_some() && successor == reception.who.line.instance();
                // One that is there and knows what has become of it stays: it takes nothing from the other one, and
                // has its lease back when that one is gone.
                stays = !was_silent && !is_itself && self.version >= STAYS;
                let said = self.talk.say(&superseded(&takeover, successor)).await;
                match said {
                    // It is asked about before it gets anything, so it need not stay away for long.
                    Ok(()) if was_silent && !is_itself => self.talk.say(&retry_after(SILENT)).await,
                    said => said,
                }
            }
            Word::Stopping => {
                let there = reception.shared.connections();
                let wait = storm::after_stop(there, chance());
                self.talk.say(&retry_after(wait)).await
            }
        };
        if let Some(reason) = closes.filter(|_| !stays || said.is_err()) {
            reception.transport.close(reason);
        }
        said
    }
}

/// Which agent has taken a lease over, once that is known; `None` if it does not say.
async fn successor(takeover: &Superseded) -> Option<Instance> {
    let mut introductions = takeover.by.line.introductions();
    let known = timeout(INTRODUCTION, introductions.wait_for(Option::is_some)).await;
    known.ok().and_then(Result::ok).and_then(|known| *known)
}

/// The message about a takeover.
fn superseded(takeover: &Superseded, successor: Option<Instance>) -> ToAgent {
    let Superseded {
        holding, by, since, ..
    } = takeover;
    ToAgent::Superseded {
        holding: Text::new(&holding.to_string()),
        by: successor,
        from: Text::new(&by.source.to_string()),
        since: Text::new(&format!("{since:.0}")),
    }
}

fn retry_after(wait: Duration) -> ToAgent {
    // Whole seconds; their spread is within the agent's own.
    let seconds = wait.as_millis().div_ceil(1_000);
    ToAgent::RetryAfter {
        seconds: u32::try_from(seconds).unwrap_or(u32::MAX),
    }
}

fn summary(grant: &Grant) -> GrantSummary {
    GrantSummary {
        ports: Text::new(&grant.ports.to_string()),
        any_port: grant.any_port,
        reach: Text::new(match grant.reach {
            Reach::Local => "the gateway's own machine",
            Reach::Asked => "the address that is asked for",
            Reach::Public => "every address",
        }),
        forwards: grant.limits.leases,
        until: (grant.not_after).map(|until| Text::new(&format!("{until:.0}"))),
        names: None,
    }
}

fn names(grant: &Grant) -> NameSummary {
    let patterns: Vec<Text> = (grant.names.iter())
        .take(NameSummary::PATTERNS)
        .map(|pattern| Text::new(&pattern.to_string()))
        .collect();
    let more = grant.names.len().saturating_sub(patterns.len());
    NameSummary {
        patterns,
        more: u32::try_from(more).unwrap_or(u32::MAX),
        any: grant.any_name,
        own_domains: grant.own_domains,
    }
}

/// Where a forward of a name is.
fn named(shown: &Shown) -> Option<Named> {
    let name = shown.name.as_ref()?;
    Some(Named {
        forward: Place::from(&shown.bind),
        name: Text::new(name.as_str()),
        urls: shown.urls.iter().map(|url| Text::new(url)).collect(),
    })
}
