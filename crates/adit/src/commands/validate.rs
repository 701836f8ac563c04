//! `adit validate`: whether a file can be used, in a line.

use std::io::{self, Write as _};
use std::process::ExitCode;

use super::check::warn_of_tunnels;
use crate::cli::SourceArguments;
use crate::compose::{self, Detail, Loaded};
use crate::config::{Surroundings, file};

/// Reads the file as `up` does, and connects to nobody.
pub(crate) fn run(source: &SourceArguments) -> anyhow::Result<ExitCode> {
    let files = file::named_or_usual(&source.files)?;
    let surroundings = Surroundings::of_this_process();
    let (loaded, problems) = compose::read(files, &source.environment, &surroundings)?;
    let Some(loaded) = loaded else {
        return Err(compose::unusable(&problems));
    };
    compose::warn_of(&problems, Detail::Whole);
    warn_of_tunnels(&loaded);
    let parts = parts(&loaded).join(", ");
    writeln!(io::stdout().lock(), "✅ Configuration is valid ({parts})")?;
    Ok(ExitCode::SUCCESS)
}

/// What it holds, as model-compose counts it, and the tunnels that are adit's own.
fn parts(loaded: &Loaded) -> Vec<String> {
    let mut parts = Vec::new();
    let compose = &loaded.compose;
    if loaded.has_compose() {
        let has_server = compose
            .controller
            .as_ref()
            .is_some_and(|controller| !controller.adapters.is_empty());
        let controller = if has_server { "http-server" } else { "none" };
        parts.push(format!("controller: {controller}"));
        for (count, what) in [
            (compose.components.len(), "component"),
            (compose.workflows.len(), "workflow"),
            (compose.callback_servers.len(), "listener"),
            (compose.exposes.len(), "gateway"),
        ] {
            parts.push(format!("{count} {what}(s)"));
        }
    }
    if !loaded.tunnels.is_empty() {
        parts.push(format!("{} tunnel(s)", loaded.tunnels.len()));
        parts.push(format!("{} forward(s)", loaded.forwards()));
    }
    parts
}
