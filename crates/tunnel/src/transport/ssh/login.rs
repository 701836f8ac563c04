//! From a socket to a connection that is logged in: the questions of the way, and who answers them.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

use adit_ssh::auth::AnswerError;
use adit_ssh::auth::client::{ClientEvent, LoginFailure, PromptQuestion, SignQuestion};
use adit_ssh::auth::server::{
    Claim, KeyVerdict, LoginVerdict, PresentedKey, ServerPrompts, ServerQuestion,
};
use adit_ssh::connection::{ClientConfig, ServerConfig};
use adit_ssh::error::ConnectionError;
use adit_ssh::kex::HostKeyOffer;
use adit_ssh::printable::Printable;
use adit_ssh::secret::Secret;
use adit_ssh::version::Ident;
use adit_ssh::{Connection as Engine, Event};

use super::super::Connection;
use super::carrier::Carrier;
use super::clock::now;
use super::task::{Driver, Memory, Turn};

/// An answer that may take its time.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Why a host key was not accepted, in words for a person.
pub type HostRefusal = Box<dyn std::error::Error + Send + Sync>;

/// Answers what a client is asked on its way in. Nothing else of the connection waits meanwhile:
/// there is nothing else yet.
pub trait Answerer: Send {
    /// Is this the host's key? Only `Ok` lets the connection go on.
    fn host_key<'a>(&'a mut self, offer: &'a HostKeyOffer) -> Answer<'a, Result<(), HostRefusal>>;

    /// A signature blob over `question.data`; `None` if there is none to be had.
    fn sign<'a>(&'a mut self, question: &'a SignQuestion) -> Answer<'a, Option<Vec<u8>>>;

    /// A password for that credential.
    fn password(&mut self, credential: usize) -> Answer<'_, Option<Secret<String>>>;

    /// Answers to the server's questions, as many as there are prompts.
    fn prompts<'a>(
        &'a mut self,
        question: &'a PromptQuestion,
    ) -> Answer<'a, Option<Vec<Secret<String>>>>;

    /// The server has something to say.
    fn banner(&mut self, lines: &[Printable]);
}

/// Decides who may log in at a server.
pub trait Admission: Send {
    /// The client calls itself that. Told before anything is asked, and again before each question.
    fn meets(&mut self, _client: &Ident) {}

    /// May that key of that user log in, once it has signed?
    fn key<'a>(&'a mut self, user: &'a str, key: &'a PresentedKey) -> Answer<'a, KeyVerdict>;

    /// What becomes of the login, given what the client claims now and has proved before.
    fn login<'a>(&'a mut self, question: &'a ServerQuestion) -> Answer<'a, Decision>;
}

/// A decision about a login.
#[derive(Debug)]
pub enum Decision {
    /// It is decided.
    Verdict(LoginVerdict),
    /// More questions for the person.
    Ask(ServerPrompts),
}

/// Why no connection came about.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The host key was not accepted.
    #[error("host key was not accepted")]
    Host(#[source] HostRefusal),
    /// No way to log in was left.
    #[error("login failed")]
    Login(LoginFailure),
    /// The connection ended before.
    #[error("connection failed before the login was done")]
    Connection(#[source] ConnectionError),
}

/// Logs in over `io`.
///
/// # Errors
/// See [`ConnectError`]. The engine's deadlines bound it: 15 s for the key exchange, 120 s in all.
///
/// # Cancel safety
/// Dropping it closes the socket.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "events of a running connection do not come before it runs"
)]
pub async fn connect<S: Carrier>(
    io: S,
    config: ClientConfig,
    memory: Memory,
    answerer: &mut dyn Answerer,
) -> Result<(Connection, Driver<S>), ConnectError> {
    let engine = Engine::client(config, now());
    let (mut turn, requests) = Turn::new(engine, io, memory);
    loop {
        match turn.next_event().await.map_err(ConnectError::Connection)? {
            Event::HostKey(offer) => match answerer.host_key(&offer).await {
                Ok(()) => turn.engine.trust_host(),
                Err(refusal) => {
                    turn.engine.refuse_host();
                    turn.speak().await;
                    return Err(ConnectError::Host(refusal));
                }
            },
            Event::Login(ClientEvent::Sign(question)) => {
                let signature = answerer.sign(&question).await;
                taken(
                    turn.engine
                        .answer_signature(question.id, signature.as_deref()),
                );
            }
            Event::Login(ClientEvent::Password { id, credential }) => {
                let password = answerer.password(credential).await;
                taken(turn.engine.answer_password(id, password));
            }
            Event::Login(ClientEvent::Prompts(question)) => {
                let answers = answerer.prompts(&question).await;
                taken(turn.engine.answer_prompts(question.id, answers));
            }
            Event::Login(ClientEvent::Banner(lines)) => answerer.banner(&lines),
            Event::Login(ClientEvent::Failed(failure)) => {
                turn.engine.close();
                turn.speak().await;
                return Err(ConnectError::Login(failure));
            }
            Event::Authenticated => return Ok(Driver::new(turn, requests)),
            _ => {}
        }
    }
}

/// Lets a client log in over `io`. What its certificates hold it to is in
/// [`Driver::restrictions`]; that it comes from an address that they allow was seen to.
///
/// # Errors
/// The connection ended before the login was done.
///
/// # Cancel safety
/// Dropping it closes the socket.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "events of a running connection do not come before it runs"
)]
pub async fn accept<S: Carrier>(
    io: S,
    config: &ServerConfig,
    memory: Memory,
    admission: &mut dyn Admission,
) -> Result<(Connection, Driver<S>), ConnectError> {
    let engine = Engine::server(config, now()).coming_from(io.source());
    let (mut turn, requests) = Turn::new(engine, io, memory);
    loop {
        match turn.next_event().await.map_err(ConnectError::Connection)? {
            Event::Admission(question) => {
                if let Some(client) = turn.engine.peer() {
                    admission.meets(client);
                }
                admit(&mut turn.engine, question, admission).await;
            }
            Event::Authenticated => {
                // The client learns of it even if the driver is not run at once.
                turn.speak().await;
                return Ok(Driver::new(turn, requests));
            }
            _ => {}
        }
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "every claim but a key is decided in one way"
)]
async fn admit(engine: &mut Engine, question: ServerQuestion, admission: &mut dyn Admission) {
    let id = question.id;
    let answered = match &question.claim {
        Claim::Key(key) => {
            let verdict = admission.key(&question.user, key).await;
            engine.answer_key(id, verdict, now())
        }
        _ => match admission.login(&question).await {
            Decision::Verdict(verdict) => engine.answer_login(id, verdict, now()),
            Decision::Ask(prompts) => engine.ask_prompts(id, &prompts, now()),
        },
    };
    taken(answered);
}

/// A question that is not open any more has no answer to wait for; the login goes on by itself.
fn taken(answered: Result<(), AnswerError>) {
    if let Err(error) = answered {
        tracing::debug!(%error, "answer to a login was not taken");
    }
}

impl<S: Carrier> Turn<S> {
    /// Works until the engine has an event.
    async fn next_event(&mut self) -> Result<Event, ConnectionError> {
        poll_fn(|cx| {
            loop {
                if let Some(event) = self.engine.poll_event() {
                    return Poll::Ready(Ok(event));
                }
                match self.poll_engine(cx) {
                    Ok(true) => {}
                    Ok(false) => return Poll::Pending,
                    Err(error) => return Poll::Ready(Err(error)),
                }
            }
        })
        .await
    }

    /// Writes what there is to say, as far as the socket takes it at once. An error is found again
    /// by whoever goes on.
    async fn speak(&mut self) {
        poll_fn(|cx| {
            drop(self.socket.poll_write(cx, &mut self.engine));
            Poll::Ready(())
        })
        .await;
    }
}
