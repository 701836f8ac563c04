//! A controller that serves a fake engine on ports of its own.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use adit_flow::controller::{Controller, Token};
use adit_flow::model::Placed;
use adit_flow::model::controller::{Adapter, Controller as Config, Pages, WebSocket, WebUi};
use adit_testkit::wait::DEADLINE;
use adit_text::Place;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::fake::{Fake, SEED};

pub(crate) struct Served {
    pub(crate) fake: Arc<Fake>,
    /// Of the API.
    pub(crate) api: SocketAddr,
    /// Of the page.
    pub(crate) page: SocketAddr,
    pub(crate) stop: CancellationToken,
    pub(crate) tasks: JoinSet<()>,
}

fn port(port: u16) -> Placed<u16> {
    let place = Place {
        file: "test.yml".into(),
        line: 1,
        column: 1,
    };
    Placed::new(port, &place)
}

pub(crate) fn config() -> Config {
    Config {
        name: None,
        adapters: vec![Adapter {
            host: "127.0.0.1".to_owned(),
            port: port(0),
            base_path: "/api".to_owned(),
            origins: vec!["https://friend.example".to_owned()],
            hosts: vec!["flows.example".to_owned()],
            token: None,
            is_public: false,
            websocket: Some(WebSocket {
                path: "/ws".to_owned(),
                max_connection_count: std::num::NonZeroU32::new(2),
                ping_interval: Duration::from_secs(30),
                ping_timeout: Duration::from_secs(10),
            }),
        }],
        web_ui: Some(WebUi {
            pages: Pages::Own,
            host: "127.0.0.1".to_owned(),
            port: port(0),
        }),
        max_concurrent_count: None,
        shutdown_pending_period: Duration::ZERO,
        shutdown_timeout: Duration::from_secs(30),
    }
}

impl Served {
    pub(crate) async fn seed() -> Self {
        Self::of(Fake::of(SEED), &config(), None).await
    }

    pub(crate) async fn file(file: &str) -> Self {
        Self::of(Fake::of(file), &config(), None).await
    }

    pub(crate) async fn folder(folder: PathBuf) -> Self {
        let mut config = config();
        config.web_ui.as_mut().unwrap().pages = Pages::Folder(folder);
        Self::of(Fake::of(SEED), &config, None).await
    }

    pub(crate) async fn of(fake: Arc<Fake>, config: &Config, token: Option<&str>) -> Self {
        let runs: Arc<Fake> = Arc::clone(&fake);
        let tokens = [token.and_then(Token::new)];
        let controller = Controller::bind(config, runs, &tokens).await.unwrap();
        let addresses = controller.addresses();
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(controller.run(stop.clone()));
        Self {
            fake,
            api: addresses[0],
            page: addresses[1],
            stop,
            tasks,
        }
    }

    /// Waits until nothing is served any more.
    pub(crate) async fn ended(&mut self) {
        let ended = tokio::time::timeout(DEADLINE, self.tasks.join_next()).await;
        ended.expect("the controller ends").unwrap().unwrap();
    }
}
