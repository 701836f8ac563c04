//! The components of a file that have programs of their own: servers that are kept, and scripts.

use std::path::Path;
use std::sync::Arc;

use adit_flow::model::Compose;
use adit_flow::model::component::{Component, Kind, Manage};
use adit_flow::process::{ChildEnvironment, Keeper, Scripts, Service};
use anyhow::Context as _;
use tokio_util::sync::CancellationToken;

use super::service::SetUp;

/// Those that are wanted.
pub(super) struct Components(Vec<One>);

/// One of them. Clones are the same.
#[derive(Clone)]
pub(super) struct One {
    id: String,
    /// Its place in [`Compose::every_component`].
    place: usize,
    can_clean: bool,
    scripts: Scripts,
    /// Its server, if it has one.
    service: Option<Arc<Service>>,
}

impl Components {
    /// Those at these places in [`Compose::every_component`]. Programs are run under the keeper, in the
    /// folder or one below it, with those variables.
    pub(super) fn new(
        compose: &Compose,
        places: &[usize],
        set_up: SetUp,
        (keeper, folder, environment): (&Keeper, &Path, &ChildEnvironment),
    ) -> Self {
        let every = compose.every_component();
        let all = places.iter().filter_map(|place| {
            let component = every.get(*place)?;
            let (manage, port) = managed(component)?;
            let mut manage = manage.clone();
            if set_up == SetUp::Passed {
                manage.install = Vec::new();
                manage.build = Vec::new();
            }
            let id = component.id.as_str();
            let service = |port| Service::new(keeper, id, &manage, port, folder, environment);
            Some(One {
                id: adit_text::escape(id),
                place: *place,
                can_clean: !manage.clean.is_empty(),
                scripts: Scripts::new(keeper, id, &manage, folder, environment),
                service: port.map(|port| Arc::new(service(port))),
            })
        });
        Self(all.collect())
    }

    /// All of them.
    pub(super) fn all(&self) -> &[One] {
        &self.0
    }

    /// The servers, as an engine knows them.
    pub(super) fn servers(&self) -> Vec<(usize, Arc<Service>)> {
        let servers = self.0.iter();
        servers
            .filter_map(|one| Some((one.place, Arc::clone(one.service.as_ref()?))))
            .collect()
    }

    /// Whether there is anything to take down.
    pub(super) fn can_clean(&self) -> bool {
        self.0.iter().any(|one| one.can_clean)
    }

    /// Runs the clean scripts, of one component after the other.
    ///
    /// # Errors
    ///
    /// One has failed; those of other components were run all the same.
    pub(super) async fn clean(&self, stop: &CancellationToken) -> anyhow::Result<()> {
        let mut cleaned = Ok(());
        for one in &self.0 {
            let done = one.scripts.clean(stop).await;
            let done = done.with_context(|| format!("component {}", one.id));
            cleaned = cleaned.and(done);
        }
        cleaned
    }
}

impl One {
    /// What people call it.
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// Its server, if it has one.
    pub(super) fn server(&self) -> Option<&Service> {
        self.service.as_deref()
    }

    /// Sets it up, and keeps its server until `stop`, if it has one.
    ///
    /// # Errors
    ///
    /// A script has failed, or the server cannot be had or has ended for good.
    pub(super) async fn keep(&self, stop: &CancellationToken) -> anyhow::Result<()> {
        let kept = match &self.service {
            Some(server) => server.run(stop).await.map_err(anyhow::Error::new),
            None => self.scripts.prepare(stop).await.map_err(anyhow::Error::new),
        };
        kept.with_context(|| format!("component {}", self.id))
    }
}

/// How its programs are kept, and where it listens, if it has any.
pub(super) fn managed(component: &Component) -> Option<(&Manage, Option<u16>)> {
    match &component.kind {
        Kind::HttpServer(server) => Some((&server.manage, Some(server.port.value))),
        Kind::Shell(shell) => Some((&shell.manage, None)),
        Kind::HttpClient(_) | Kind::Workflow(_) => None,
    }
}
