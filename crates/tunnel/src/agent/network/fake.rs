//! A network that a test changes.

use std::net::IpAddr;
use std::sync::Arc;

use tokio::sync::watch;

use super::{Address, Link, Network, Picture, State};

/// The hand that changes it.
pub(crate) struct Fake(watch::Sender<Arc<State>>);

impl Fake {
    /// A network without interfaces.
    pub(crate) fn new() -> (Self, Network) {
        let (sender, network) = Network::of(State {
            picture: Some(Picture::default()),
            ..State::default()
        });
        (Self(sender), network)
    }

    /// Interfaces with their addresses, from now on; no others.
    pub(crate) fn set(&self, interfaces: &[(&str, &[&str])]) {
        let mut picture = Picture::default();
        for (index, (name, addresses)) in (1..).zip(interfaces) {
            let link = Link {
                name: (*name).to_owned(),
                is_running: true,
            };
            picture.links.insert(index, link);
            for address in *addresses {
                let ip: IpAddr = address.parse().unwrap();
                picture.addresses.insert(Address {
                    link: index,
                    ip,
                    is_temporary: false,
                });
            }
        }
        self.change(|state| state.picture = Some(picture));
    }

    /// An interface loses its carrier and keeps its addresses.
    pub(crate) fn unplug(&self, name: &str) {
        self.change(|state| {
            let links = state
                .picture
                .iter_mut()
                .flat_map(|all| all.links.values_mut());
            for link in links.filter(|link| link.name == name) {
                link.is_running = false;
            }
        });
    }

    /// A route changes.
    pub(crate) fn change_route(&self) {
        self.change(|state| state.routes += 1);
    }

    /// The machine sleeps and resumes.
    pub(crate) fn sleep(&self) {
        self.change(|state| state.sleeps += 1);
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let before = Arc::clone(&self.0.borrow());
        let mut state = State {
            picture: before.picture.clone(),
            routes: before.routes,
            sleeps: before.sleeps,
        };
        change(&mut state);
        self.0.send_replace(Arc::new(state));
    }
}
