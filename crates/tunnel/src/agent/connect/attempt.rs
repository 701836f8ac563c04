//! One attempt to reach the peer.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use adit_ssh::algorithm::KeyAlgorithm;
use adit_ssh::auth::client::{ClientLogin, LoginFailure, Outcome};
use adit_ssh::connection::{ClientConfig, TransportConfig};
use adit_ssh::limits;
use adit_ssh::printable::Printable;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use tracing::{debug, warn};

use super::answers::{Answers, LoginRefusal, TookTooLong, Trust};
use super::{METERED, SshConnect, blocking};
use crate::agent::dial::Keeper;
use crate::agent::haste::Pace;
use crate::agent::login::credentials::{Holder, Offer};
use crate::agent::login::known_hosts::HostKeyRefusal;
use crate::agent::login::ssh_agent::SshAgent;
use crate::agent::supervise::{ConnectError, Connected};
use crate::transport::ssh::{self, Carrier};

/// Keys are renewed each hour (RFC 4253 section 9), at 4.4 KB; over such a line, where hardly anything is
/// sealed with them, once a day. Renewing them by volume is not touched.
const METERED_REKEY_AGE: Duration = Duration::from_hours(24);
/// From a connected socket to a login where nobody types anything. With a person it is the engine's own
/// deadline, 120 s (`limits::LOGIN_DEADLINE`), as sshd(8)'s LoginGraceTime.
pub(super) const LOGIN_DEADLINE: Duration = Duration::from_secs(30);

impl SshConnect {
    /// One attempt: dial, shake hands, check the host key, log in. The host may show keys of these kinds.
    pub(super) async fn attempt(
        &self,
        agent: Option<SshAgent>,
        offers: &[Offer],
        trust: Option<Trust<'_>>,
        kinds: &[KeyAlgorithm],
    ) -> Result<Connected, ConnectError> {
        let answers = Answers::new(self, offers, agent, trust);
        let nobody = watch::Sender::default();
        self.attempt_at(Pace::Steady, &nobody, answers, kinds).await
    }

    /// The same at a pace; tells since when it has been logging in.
    pub(super) async fn attempt_at(
        &self,
        pace: Pace,
        dialled: &watch::Sender<Option<Instant>>,
        answers: Answers<'_>,
        kinds: &[KeyAlgorithm],
    ) -> Result<Connected, ConnectError> {
        let order = self.order(kinds).await?;
        let (carrier, mut keeper) = self.dial(pace).await?;
        dialled.send_replace(Some(Instant::now()));
        match keeper.beside(self.log_in(carrier, order, answers)).await {
            Ok(Connected { connection, task }) => Ok(Connected {
                connection,
                task: keeper.keep(task),
            }),
            Err(error) => Err(keeper.explain(error).await),
        }
    }

    /// In which order to ask the host for keys of these kinds.
    pub(super) async fn order(
        &self,
        kinds: &[KeyAlgorithm],
    ) -> Result<Vec<KeyAlgorithm>, ConnectError> {
        let (host, host_keys) = (self.host.clone(), self.host_keys.clone());
        let kinds = kinds.to_vec();
        let order = blocking(move || host_keys.order(&host, &kinds)).await?;
        order.map_err(|source| {
            let host = self.host.written();
            ConnectError::HostKey(HostKeyRefusal::Store { host, source })
        })
    }

    /// Goes the way to the peer.
    pub(super) async fn dial(
        &self,
        pace: Pace,
    ) -> Result<(Box<dyn Carrier>, Keeper), ConnectError> {
        let tune = |socket: &TcpStream| {
            if let Err(error) = ssh::tune(socket) {
                debug!(%error, "socket options were not taken");
            }
            self.choose_congestion_control(socket);
        };
        let dialled = self.dialler.dial(&self.peer, pace, &tune).await;
        dialled.map_err(ConnectError::Dial)
    }

    /// Logs in over a socket, asking for the host's key in that order.
    pub(super) async fn log_in<S: Carrier + 'static>(
        &self,
        socket: S,
        order: Vec<KeyAlgorithm>,
        mut answers: Answers<'_>,
    ) -> Result<Connected, ConnectError> {
        let config = self.client_config(order, answers.offers);
        let memory = self.memory.clone();
        let deadline = if self.ask.is_person() {
            limits::LOGIN_DEADLINE
        } else {
            LOGIN_DEADLINE
        };
        let start = Instant::now();
        let login = ssh::connect(socket, config, memory, &mut answers);
        let Ok(login) = timeout(deadline, login).await else {
            return Err(ConnectError::Handshake(Box::new(TookTooLong(deadline))));
        };
        match login {
            Ok((connection, driver)) => {
                self.took(start.elapsed());
                *self.taken.lock().unwrap_or_else(PoisonError::into_inner) = answers.taken();
                Ok(Connected {
                    connection,
                    task: Box::pin(async move {
                        let (end, held) = driver.run_holding().await;
                        debug!(%end, "connection's task has ended");
                        held
                    }),
                })
            }
            Err(ssh::ConnectError::Host(refusal)) => {
                Err(match refusal.downcast::<HostKeyRefusal>() {
                    Ok(refusal) => ConnectError::HostKey(*refusal),
                    Err(other) => ConnectError::Handshake(other),
                })
            }
            Err(ssh::ConnectError::Login(failure)) => Err(self.login_error(&failure, &answers)),
            Err(ssh::ConnectError::Connection(error)) if answers.was_cut_off(&error) => {
                Err(ConnectError::Login {
                    user: self.peer.user.clone(),
                    source: Box::new(answers.cut_off(error)),
                })
            }
            Err(error) => Err(ConnectError::Handshake(Box::new(error))),
        }
    }

    pub(super) fn client_config(
        &self,
        host_key: Vec<KeyAlgorithm>,
        offers: &[Offer],
    ) -> ClientConfig {
        let pool = self.memory.pool.clone();
        let mut transport = TransportConfig::client(Arc::clone(&self.provider), pool);
        transport.preferences = self.preferences.clone();
        transport.preferences.host_key = host_key;
        transport.keep_alive = Some(self.keep_alive);
        if self.keep_alive.interval >= METERED {
            transport.rekey.age = Some(METERED_REKEY_AGE);
        }
        let offered = offers.iter().map(|offer| offer.credential.clone());
        ClientConfig {
            transport,
            login: ClientLogin {
                user: self.peer.user.clone(),
                credentials: offered.collect(),
            },
        }
    }

    fn choose_congestion_control(&self, socket: &TcpStream) {
        if let Some(congestion) = &self.congestion
            && let Err(error) = congestion.set_on(socket)
            && !self.is_lack_told.swap(true, Ordering::Relaxed)
        {
            warn!(
                host = self.peer.host, %congestion, %error,
                "congestion control is not to be had; the socket keeps its own"
            );
        }
    }

    fn login_error(&self, failure: &LoginFailure, answers: &Answers<'_>) -> ConnectError {
        let tried = answers.offers.iter().zip(&failure.outcomes);
        // Who has three tries needs no three lines.
        let tried = tried.filter(|(offer, outcome)| {
            !matches!(
                (&offer.holder, outcome),
                (Holder::Person(1..), Outcome::NotTried | Outcome::NotGiven)
            )
        });
        let methods: Vec<&str> = failure.methods.iter().map(Printable::as_str).collect();
        let source = LoginRefusal {
            tried: tried
                .map(|(offer, outcome)| offer.tried(*outcome))
                .collect(),
            methods: methods.join(", "),
            was_withheld: answers.was_withheld,
        };
        ConnectError::Login {
            user: self.peer.user.clone(),
            source: Box::new(source),
        }
    }
}
