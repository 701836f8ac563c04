//! How many requests each member of a pool answers now, for pools that ask the one with the fewest.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use adit_model::lease::Holding;

/// Requests that are being answered, by who answers them; of all threads.
#[derive(Debug, Default)]
pub(crate) struct Loads(Mutex<HashMap<Holding, u32>>);

/// One of them, until it is dropped.
#[derive(Debug)]
pub(crate) struct Load {
    of: Arc<Loads>,
    holding: Holding,
}

impl Loads {
    /// The place of the member with the fewest; the first of equals.
    pub(crate) fn least(&self, members: &[Holding]) -> usize {
        let loads = self.loads();
        let load = |holding| loads.get(holding).copied().unwrap_or(0);
        let least = members
            .iter()
            .enumerate()
            .min_by_key(|(_, holding)| load(*holding));
        least.map_or(0, |(place, _)| place)
    }

    /// A member answers one more.
    pub(crate) fn carry(of: &Arc<Self>, holding: &Holding) -> Load {
        let mut loads = of.loads();
        let load = loads.entry(holding.clone()).or_default();
        *load = load.saturating_add(1);
        Load {
            of: Arc::clone(of),
            holding: holding.clone(),
        }
    }

    fn loads(&self) -> MutexGuard<'_, HashMap<Holding, u32>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        let mut loads = self.of.loads();
        if let Some(load) = loads.get_mut(&self.holding) {
            *load = load.saturating_sub(1);
            if *load == 0 {
                loads.remove(&self.holding);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_member_with_the_fewest_requests_is_asked() {
        let members = [Holding::Port(1), Holding::Port(2)];
        let loads = Arc::<Loads>::default();
        assert_eq!(loads.least(&members), 0);
        let first = Loads::carry(&loads, &members[0]);
        assert_eq!(loads.least(&members), 1);
        let second = Loads::carry(&loads, &members[1]);
        let third = Loads::carry(&loads, &members[1]);
        assert_eq!(loads.least(&members), 0);
        drop((first, second, third));
        assert!(loads.loads().is_empty());
    }
}
