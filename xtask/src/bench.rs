//! `cargo xtask bench`: the product measured beside OpenSSH, in one run.
//!
//! `bench forward` is about the program that people run ([`forward`]), `bench flow` about its workflows
//! ([`flow`]), `bench gateway` about the server ([`gateway`]), `bench edge` about names over HTTP ([`edge`]), `bench ssh` about the engine. Whoever is
//! compared takes turns, round after round, so that what else the machine does hits all of them; what is
//! shown are medians and ratios ([`page`]). docs/reference/bench.md says what is measured how.

mod case;
mod delay;
mod edge;
mod flow;
mod forward;
mod gateway;
mod iperf;
mod kit;
mod number;
mod page;
mod pair;
mod ping;
mod plan;
mod promise;
mod service;
mod table;
mod target;
mod tunnel;
mod usage;

use std::process::ExitCode;

use anyhow::bail;

use crate::programs::{self, Found};
use crate::workspace::Workspace;
use case::{Bench, Scale};
use kit::Kit;
use plan::Plan;
use service::Services;
use table::Results;

/// `cargo xtask bench`.
pub(crate) fn command(words: &[String]) -> anyhow::Result<ExitCode> {
    let first = words.split_first();
    match first.map(|(first, options)| (first.as_str(), options)) {
        Some(("edge", options)) => edge::command(options),
        Some(("flow", options)) => flow::command(options),
        Some(("forward", options)) => forward::command(options),
        Some(("gateway", options)) => gateway::command(options),
        Some(("ssh", options)) => ssh(options),
        _ => bail!(
            "say what to measure: `cargo xtask bench ssh`, `forward`, `flow`, `gateway` or `edge`"
        ),
    }
}

/// `cargo xtask bench ssh`.
fn ssh(words: &[String]) -> anyhow::Result<ExitCode> {
    let plan = Plan::<Bench>::parse(words)?;
    if let Found::Without(packages) = programs::ensure(programs::BENCH)? {
        bail!("the bench needs {}", packages.join(" and "));
    }
    let workspace = Workspace::find()?;
    let mut bench = Bench {
        kit: Kit::build(&workspace, "adit-tunnel", EXAMPLES)?,
        scale: plan.scale,
        services: Services::start()?,
        results: Results::default(),
    };
    let Scale { rounds, time, .. } = plan.scale;
    let scale = format!(
        "{rounds} rounds, {} s for each measurement of bulk and pings",
        time.as_secs()
    );
    page::make(&workspace, &plan, &scale, &mut bench)
}

/// The examples of `adit-tunnel` that `bench ssh` runs.
const EXAMPLES: &[&str] = &["bench_gateway", "bench_logins", "bench_link"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_understood_is_named() {
        for (line, word) in [
            ("", "ssh"),
            ("other", "ssh"),
            ("edge --only nothing", "idle"),
            ("edge --slow", "--slow"),
            ("forward --only nothing", "recover"),
            ("forward --slow", "--slow"),
            ("flow --only nothing", "waiters"),
            ("flow --slow", "--slow"),
            ("gateway --only nothing", "reconnect"),
            ("ssh --only nothing", "stall"),
            ("ssh --rounds 0", "1 or more"),
            ("ssh --slow", "--slow"),
        ] {
            let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
            let error = command(&words).unwrap_err().to_string();
            assert!(error.contains(word), "{line}: {error}");
        }
    }
}
