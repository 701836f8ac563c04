//! Runs all cells of a pair and says what became of them.

use crate::cell::{
    Cell, LOAD, LOADS, RANDOM, cells, known_with_client, known_with_server, probing_terms,
    try_client, try_server,
};
use crate::keys::Keys;
use crate::peer::{Client, Server};

/// How much of the table is tried.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Extent {
    /// Random combinations for each pair.
    pub(crate) random: usize,
    /// What they are drawn from.
    pub(crate) seed: u64,
}

/// One cell that was tried.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) pair: String,
    pub(crate) axis: &'static str,
    pub(crate) value: String,
    pub(crate) verdict: Verdict,
}

/// How a cell came out.
#[derive(Debug)]
pub(crate) enum Verdict {
    Good,
    /// It failed, and that is known to be the peer's doing.
    TheirFault(&'static str),
    /// It failed.
    Bad(String),
}

impl Outcome {
    fn of(pair: &str, cell: &Cell, result: Result<(), String>) -> Self {
        let result = if cell.axis == RANDOM {
            result.map_err(|error| format!("{}: {error}", cell.terms))
        } else {
            result
        };
        let verdict = match (result, cell.fault) {
            (Ok(()), None) => Verdict::Good,
            (Ok(()), Some(reason)) => {
                Verdict::Bad(format!("good, but known for a fault: {reason}"))
            }
            (Err(_), Some(reason)) => Verdict::TheirFault(reason),
            (Err(error), None) => Verdict::Bad(error),
        };
        Self {
            pair: pair.to_owned(),
            axis: cell.axis,
            value: cell.value.clone(),
            verdict,
        }
    }

    /// As a line with tabs: pair, axis, value, and `good`, `their fault: ` and why, or what went
    /// wrong.
    pub(crate) fn line(&self) -> String {
        let verdict = match &self.verdict {
            Verdict::Good => String::from("good"),
            Verdict::TheirFault(reason) => format!("their fault: {reason}"),
            Verdict::Bad(error) => error.replace(['\t', '\n', '\r'], " "),
        };
        format!("{}\t{}\t{}\t{verdict}", self.pair, self.axis, self.value)
    }
}

/// Our client at a server.
pub(crate) async fn at_server(
    keys: &Keys,
    server: &mut impl Server,
    extent: Extent,
) -> Vec<Outcome> {
    let pair = format!("our client at {}", server.name());
    let known = known_with_server(keys, server, probing_terms()).await;
    let known = known.and_then(|known| {
        let cells = cells(&known, server.skills(), &[], extent)?;
        Ok((known.is_strict, cells))
    });
    let (is_strict, cells) = match known {
        Ok(known) => known,
        Err(error) => return vec![nothing(pair, error)],
    };
    let mut outcomes = Vec::new();
    for cell in &cells {
        let result = try_server(keys, server, cell, is_strict).await;
        outcomes.push(said(Outcome::of(&pair, cell, result)));
    }
    outcomes
}

/// A client at our server.
pub(crate) async fn at_ours(keys: &Keys, client: &impl Client, extent: Extent) -> Vec<Outcome> {
    let pair = format!("{} at our server", client.name());
    let known = known_with_client(keys, client, probing_terms()).await;
    let known = known.and_then(|known| {
        let cells = cells(&known, client.skills(), client.faults(), extent)?;
        Ok((known.is_strict, cells))
    });
    let (is_strict, cells) = match known {
        Ok(known) => known,
        Err(error) => return vec![nothing(pair, error)],
    };
    let mut outcomes = Vec::new();
    for cell in &cells {
        let result = try_client(keys, client, cell, is_strict).await;
        outcomes.push(said(Outcome::of(&pair, cell, result)));
    }
    outcomes
}

fn nothing(pair: String, error: String) -> Outcome {
    said(Outcome {
        pair,
        axis: LOAD,
        value: String::from(LOADS[0]),
        verdict: Verdict::Bad(error),
    })
}

fn said(outcome: Outcome) -> Outcome {
    println!("{}", outcome.line());
    outcome
}

/// Fails with every cell that failed, and when fewer were tried than there must be.
#[track_caller]
pub(crate) fn assert_good(outcomes: &[Outcome], at_least: usize) {
    let failed = outcomes
        .iter()
        .filter(|outcome| matches!(outcome.verdict, Verdict::Bad(_)));
    let failed: Vec<String> = failed.map(Outcome::line).collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    let count = outcomes.len();
    assert!(count >= at_least, "only {count} cells");
}
