//! What adit says: one line on stderr for what people wait for, the log beside it, and the files that a
//! compose file wants logs in. No line of any has the value of a secret that is [hidden](hide) (security
//! rule G88).

use std::io::{self, IsTerminal as _, Write as _};
use std::sync::OnceLock;

use adit_flow::model::logger::{Level, Logger};
use anyhow::Context as _;
use clap::ValueEnum;
use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::Registry;
use tracing_subscriber::reload::{self, Handle};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer, fmt};

use self::file::{Asctime, Files, LogFile};
use self::hidden::{Terminal, shown};
pub(crate) use self::hidden::{hide, masked};
use crate::gateway::audit;

mod file;
mod hidden;

/// Variable that sets what is logged, as `tracing` writes it: `debug`, `adit_tunnel=trace`.
const VARIABLE: &str = "ADIT_LOG";
/// A host key that is trusted unseen is told in any case.
const ALWAYS: &str = "adit_tunnel::agent::connect::answers=warn";

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Text, for people.
    Plain,
    /// One JSON object a line, for programs; what is else a line of its own is one of them.
    Json,
}

/// Whether what a file says of the console counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Console {
    /// It does.
    Heeded,
    /// Standard error is for something else.
    Passed,
}

/// What was begun, to be changed by what a file says.
struct Log {
    format: Format,
    /// Whether the command line or the variable said what is logged to stderr.
    is_said: bool,
    console: Handle<EnvFilter, Registry>,
    files: Handle<EnvFilter, Registry>,
    /// The least that is a line of its own on stderr, once a file has said it.
    least: OnceLock<Level>,
}

static LOG: OnceLock<Log> = OnceLock::new();

/// Sends the log to stderr: what changes, and with `verbose` each visitor too, or errors alone.
pub(crate) fn start(verbose: u8, is_quiet: bool, format: Format) {
    let level = match verbose {
        // How a run ended is the last word of who asked for it.
        0 if is_quiet => format!("error,{ALWAYS},adit_flow::exec::engine=off"),
        0 => String::from("info"),
        1 => String::from("debug"),
        _ => String::from("trace"),
    };
    let said = std::env::var(VARIABLE);
    let is_said = verbose > 0 || said.is_ok();
    let (console_filter, console) = reload::Layer::new(EnvFilter::new(said.unwrap_or(level)));
    let (files_filter, files) = reload::Layer::new(EnvFilter::new("off"));
    let to_stderr = fmt::layer()
        .with_writer(|| Terminal)
        .with_target(false)
        // A log that cannot be written, on a full disk or to a reader that has gone, changes nothing else;
        // telling of it would be written there, too, and panic.
        .log_internal_errors(false);
    let to_stderr: Box<dyn Layer<Registry> + Send + Sync> = match format {
        Format::Plain => to_stderr.with_ansi(io::stderr().is_terminal()).boxed(),
        Format::Json => to_stderr.json().flatten_event(true).boxed(),
    };
    let to_files = fmt::layer()
        .with_writer(Files)
        .with_ansi(false)
        .event_format(Asctime)
        .log_internal_errors(false);
    let layers = vec![
        to_stderr.with_filter(console_filter).boxed(),
        to_files.with_filter(files_filter).boxed(),
        audit::layer().boxed(),
    ];
    tracing_subscriber::registry().with(layers).init();
    // There is one start.
    LOG.get_or_init(|| Log {
        format,
        is_said,
        console,
        files,
        least: OnceLock::new(),
    });
}

/// Logs as a file says, from now on. What the command line or the variable said of stderr stays.
///
/// Where there are loggers and none is the console, stderr gets errors alone. To be called once.
///
/// # Errors
///
/// A file cannot be opened.
pub(crate) fn heed(loggers: &[Logger], console: Console) -> anyhow::Result<()> {
    let Some(log) = LOG.get().filter(|_| !loggers.is_empty()) else {
        return Ok(());
    };
    let files = loggers.iter().filter_map(|logger| {
        let path = logger.file.as_ref()?;
        let opened = LogFile::open(path, logger.level);
        Some(opened.with_context(|| format!("cannot write the log {}", path.display())))
    });
    let files: Vec<LogFile> = files.collect::<anyhow::Result<_>>()?;
    if let Some(least) = files.iter().map(LogFile::level).min() {
        // Of what others log, which is for those who write programs, there is nothing in files.
        log.files
            .reload(EnvFilter::new(format!("adit={}", word(least))))?;
    }
    file::write_to(files);
    if log.is_said || console == Console::Passed {
        return Ok(());
    }
    let consoles = loggers.iter().filter(|logger| logger.file.is_none());
    let least = consoles.map(|logger| logger.level).min();
    let least = *log.least.get_or_init(|| least.unwrap_or(Level::Error));
    let filter = match least {
        Level::Debug => String::from("info,adit=debug"),
        Level::Info | Level::Warning | Level::Error | Level::Critical => {
            format!("{},{ALWAYS}", word(least))
        }
    };
    log.console.reload(EnvFilter::new(filter))?;
    Ok(())
}

/// As `tracing` calls it. What ends the program is no event: it is its last word.
fn word(level: Level) -> &'static str {
    match level {
        Level::Debug => "debug",
        Level::Info => "info",
        Level::Warning => "warn",
        Level::Error => "error",
        Level::Critical => "off",
    }
}

/// Writes the program's last word to stderr: `adit: `, and why it failed. Every command has this form.
pub(crate) fn fail(error: &anyhow::Error) {
    if is_json() {
        tracing::error!("{error:#}");
    } else {
        file::line(Level::Critical, &format!("{error:#}"));
        say(&format!("adit: {error:#}"));
    }
}

/// Writes what has changed as a line of its own to stderr, where what changes is told there, and into
/// the files.
pub(crate) fn tell(line: &str) {
    if is_json() {
        tracing::info!("{line}");
        return;
    }
    file::line(Level::Info, line);
    let least = LOG.get().and_then(|log| log.least.get());
    if least.is_none_or(|least| *least <= Level::Info) {
        say(line);
    }
}

/// Writes a line to stderr. Nobody may be there to read it, and that changes nothing.
pub(crate) fn say(line: &str) {
    if is_json() {
        tracing::info!("{line}");
        return;
    }
    // No colours are in it, so no escape is ours.
    let line = line.replace('\x1b', "\\x1b") + "\n";
    let written = io::stderr().write_all(&shown(line.as_bytes(), Format::Plain));
    drop(written);
}

/// Writes what is doubtful to stderr, as a line of its own or several.
pub(crate) fn warn(words: &str) {
    if is_json() {
        tracing::warn!("{words}");
    } else {
        say(&format!("warning: {words}"));
    }
}

fn is_json() -> bool {
    LOG.get().is_some_and(|log| log.format == Format::Json)
}
