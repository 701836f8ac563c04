//! How the services behind forwards do, for who wants to be told: an adit gateway.
//!
//! Whoever checks them writes the newest finding of each forward on a [`HealthBoard`]; whoever follows gets what is
//! there, and then what is new. Findings that nobody has taken are replaced, not queued.

use std::sync::Arc;

use tokio::sync::watch;

use crate::transport::Bind;

/// What was found at a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The forward, as it is asked for.
    pub forward: Bind,
    /// Whether the target is well.
    pub is_well: bool,
    /// What was found, in words.
    pub words: String,
}

/// Where the newest findings of one tunnel are.
#[derive(Debug, Default)]
pub struct HealthBoard {
    all: watch::Sender<Arc<Vec<Finding>>>,
}

/// Follows a board. Of no board, for ever nothing.
#[derive(Debug, Default)]
pub struct Health {
    board: Option<watch::Receiver<Arc<Vec<Finding>>>>,
    told: Vec<Finding>,
}

impl HealthBoard {
    /// Writes what was found, in the place of what was found there before.
    pub fn write(&self, finding: Finding) {
        self.all.send_if_modified(|all| {
            if all.contains(&finding) {
                return false;
            }
            let all = Arc::make_mut(all);
            match all.iter_mut().find(|old| old.forward == finding.forward) {
                Some(old) => *old = finding,
                None => all.push(finding),
            }
            true
        });
    }

    /// Follows it, from what is there now.
    pub fn follow(&self) -> Health {
        Health {
            board: Some(self.all.subscribe()),
            told: Vec::new(),
        }
    }
}

impl Clone for Health {
    /// Follows the same board from what is there now: another connection is told everything again.
    fn clone(&self) -> Self {
        Self {
            board: self.board.clone(),
            told: Vec::new(),
        }
    }
}

impl Health {
    /// A finding that is new.
    ///
    /// # Cancel safety
    /// Cancel safe: one that is returned is told, and no other is.
    pub async fn next(&mut self) -> Finding {
        let Some(board) = &mut self.board else {
            return std::future::pending().await;
        };
        loop {
            let all = Arc::clone(&board.borrow_and_update());
            if let Some(new) = all.iter().find(|finding| !self.told.contains(finding)) {
                self.told.retain(|old| old.forward != new.forward);
                self.told.push(new.clone());
                return new.clone();
            }
            if board.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(port: u16, is_well: bool) -> Finding {
        Finding {
            forward: Bind::Tcp {
                host: String::from("*"),
                port,
            },
            is_well,
            words: format!("well: {is_well}"),
        }
    }

    #[tokio::test]
    async fn who_follows_gets_what_is_there_and_then_what_is_new() {
        let board = HealthBoard::default();
        board.write(finding(1, true));
        let mut one = board.follow();
        assert_eq!(one.next().await, finding(1, true));
        board.write(finding(1, true));
        board.write(finding(2, true));
        board.write(finding(2, false));
        assert_eq!(one.next().await, finding(2, false));
        let mut other = one.clone();
        assert_eq!(other.next().await, finding(1, true));
        assert_eq!(other.next().await, finding(2, false));
        drop(board);
        let nothing = tokio::time::timeout(std::time::Duration::ZERO, other.next());
        nothing.await.unwrap_err();
    }
}
