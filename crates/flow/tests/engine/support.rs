//! An engine with all that it works with.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use adit_flow::callback::{Hub, Replays};
use adit_flow::exec::{Engine, Report, Status, TaskId, Tools};
use adit_flow::expose::{Addresses, PublicAddress, State};
use adit_flow::expr::Value;
use adit_flow::file::{Dialect, Environment, Files, Source};
use adit_flow::http::{Client, Config};
use adit_flow::listen::{Context, NoTunnel, Server};
use adit_flow::model::{Compose, DEFAULT};
use adit_flow::process::{ChildEnvironment, Keeper};
use adit_flow::secrets::Secrets;
use adit_testkit::wait;
use adit_text::{Problems, SecretSource};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::stand_in::StandIn;

/// All parts of a file that workflows need, and a server that they ask.
pub(crate) struct Lab {
    pub(crate) engine: Engine,
    pub(crate) hub: Hub,
    pub(crate) addresses: Addresses,
    pub(crate) stand_in: StandIn,
    /// Where its listener is, if it has one.
    pub(crate) listener: u16,
    _serving: JoinSet<()>,
}

impl Lab {
    /// `PORT` in the text is that of the server. The gateway's ports are public.
    pub(crate) async fn new(text: &str) -> Self {
        let lab = Self::without_gateway(text).await;
        lab.connect();
        lab
    }

    /// The same, but the gateway is not connected.
    pub(crate) async fn without_gateway(text: &str) -> Self {
        Self::with_secrets(text, Secrets::new()).await
    }

    pub(crate) async fn with_secrets(text: &str, secrets: Secrets) -> Self {
        let stand_in = StandIn::start().await;
        let compose = compose(&text.replace("PORT", &stand_in.port.to_string()));
        let compose = Arc::new(compose);
        let (hub, addresses) = (Hub::new(), Addresses::new(&compose));
        let tools = Tools {
            addresses: addresses.clone(),
            hub: hub.clone(),
            http: Client::new(Config::default()).unwrap(),
            keeper: Keeper::of_this_program(),
            environment: ChildEnvironment::default(),
            folder: PathBuf::from("/"),
            secrets,
            services: Vec::new(),
        };
        let engine = Engine::new(Arc::clone(&compose), tools);
        let mut serving = JoinSet::new();
        let mut listener = 0;
        for server in &compose.callback_servers {
            let mut config = server.clone();
            config.port.value = 0;
            let context = Context {
                hub: hub.clone(),
                launch: Arc::new(engine.clone()),
                visitors: Arc::new(NoTunnel),
                replays: Arc::new(Mutex::new(Replays::new())),
            };
            let none = |_: &SecretSource| Err("there is none".into());
            let server = Server::bind(&config, &none, context).await.unwrap();
            listener = server.port();
            serving.spawn(server.run(CancellationToken::new()));
        }
        Self {
            engine,
            hub,
            addresses,
            stand_in,
            listener,
            _serving: serving,
        }
    }

    /// Makes the listener public, at its own address.
    pub(crate) fn connect(&self) {
        let address = PublicAddress::of_port("127.0.0.1", self.listener);
        self.addresses.set(0, 8090, State::Up(address));
    }

    pub(crate) fn start(&self, input: &str) -> TaskId {
        self.engine.start(DEFAULT, json(input)).unwrap()
    }

    pub(crate) async fn ended(&self, task: &TaskId) -> Arc<Report> {
        let ended = self.engine.ended(task);
        let ended = tokio::time::timeout(wait::DEADLINE, ended).await;
        ended
            .unwrap_or_else(|_| panic!("{:?}", self.engine.report(task)))
            .unwrap()
    }

    /// What a run of the default workflow gives, as JSON, or its error.
    pub(crate) async fn outcome(&self, input: &str) -> String {
        let task = self.start(input);
        outcome(&self.ended(&task).await)
    }

    /// A report of a run in which something holds.
    pub(crate) async fn until(
        &self,
        task: &TaskId,
        what: &str,
        holds: impl Fn(&Report) -> bool,
    ) -> Arc<Report> {
        let mut reports = self.engine.watch(task).unwrap();
        let report = tokio::time::timeout(wait::DEADLINE, reports.wait_for(|report| holds(report)));
        match report.await {
            Ok(report) => Arc::clone(&report.unwrap()),
            Err(late) => panic!("{late}: {what}: {:?}", self.engine.report(task)),
        }
    }
}

/// The output as JSON, or the error.
pub(crate) fn outcome(report: &Arc<Report>) -> String {
    match (&report.error, report.status) {
        (Some(error), _) => error.clone(),
        (None, Status::Completed) => report.output.to_json().unwrap(),
        (None, status) => format!("{status:?}"),
    }
}

pub(crate) fn json(text: &str) -> Value {
    Value::from_json(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}"))
}

pub(crate) fn compose(text: &str) -> Compose {
    let mut environment = Environment::default();
    for variable in ["SSH_TUNNEL_HOST=gw.example", "SSH_USERNAME=user"] {
        environment.say(variable).unwrap();
    }
    let source = Source {
        name: "f.yml",
        bytes: text.as_bytes(),
        dialect: Dialect::ModelCompose,
    };
    let mut problems = Problems::new();
    let files = Files::parse(&[source], &environment, &mut problems);
    let files = files.unwrap_or_else(|| panic!("{problems}"));
    let compose = files.compose(&mut problems);
    compose.unwrap_or_else(|| panic!("{problems}"))
}

/// A gateway for port 8090, and a listener there whose callbacks are for `task_id`.
pub(crate) const CALLBACKS: &str = "
gateway:
  type: ssh-tunnel
  port: ['9834:8090']
  connection: {host: gw.example, auth: {type: keyfile, username: u, keyfile: k}}
listener:
  type: http-callback
  host: 127.0.0.1
  port: 8090
  path: /callback
  identify_by: ${body.task_id}
  status: ${body.status}
  success_when: [done]
  fail_when: [broken]
  result: ${body.result}
";
