//! What an engine works with, made by whoever starts it.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::callback::Hub;
use crate::expose::Addresses;
use crate::http::Client;
use crate::model::Compose;
use crate::model::component::{Component, Kind};
use crate::process::{ChildEnvironment, Keeper, Service};
use crate::rate::Gate;
use crate::secrets::Secrets;

/// What an engine works with.
#[derive(Debug)]
pub struct Tools {
    /// Where public addresses come from.
    pub addresses: Addresses,
    /// Where callbacks come from.
    pub hub: Hub,
    /// What asks servers.
    pub http: Client,
    /// What programs are run with.
    pub keeper: Keeper,
    /// What programs get.
    pub environment: ChildEnvironment,
    /// The folder that paths are from.
    pub folder: PathBuf,
    /// What no message may say.
    pub secrets: Secrets,
    /// Servers that are kept here, each with the place of its component in
    /// [`Compose::every_component`].
    pub services: Vec<(usize, Arc<Service>)>,
}

/// What each component may do at once, and how often.
#[derive(Debug)]
pub(super) struct Limits {
    /// By its place; none is as much as comes.
    queues: Vec<Option<Arc<Semaphore>>>,
    rates: Vec<Option<Gate>>,
}

impl Limits {
    pub(super) fn new(compose: &Compose) -> Self {
        let every = compose.every_component();
        Self {
            queues: every.iter().map(|component| queue(component)).collect(),
            rates: every.iter().map(|component| rate(component)).collect(),
        }
    }

    pub(super) fn queue(&self, place: usize) -> Option<Arc<Semaphore>> {
        self.queues.get(place).cloned().flatten()
    }

    pub(super) fn rate(&self, place: usize) -> Option<&Gate> {
        self.rates.get(place)?.as_ref()
    }
}

fn queue(component: &Component) -> Option<Arc<Semaphore>> {
    let most = component.max_concurrent_count?.get();
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    Some(Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS))))
}

fn rate(component: &Component) -> Option<Gate> {
    match &component.kind {
        Kind::HttpClient(client) => client.rate_limit.map(Gate::new),
        Kind::HttpServer(_) | Kind::Shell(_) | Kind::Workflow(_) => None,
    }
}

impl Tools {
    /// The server of a component.
    pub(super) fn service(&self, place: usize) -> Option<&Service> {
        let mut services = self.services.iter();
        let (_, service) = services.find(|(one, _)| *one == place)?;
        Some(service)
    }
}
