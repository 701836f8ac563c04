//! What adit says: one line on stderr for what people wait for, the log beside it. No line of either has
//! the value of a secret that is [hidden](hide) (security rule G88).

use std::borrow::Cow;
use std::fs::{self, File};
use std::io::{self, IsTerminal as _, Write as _};
use std::sync::{OnceLock, PoisonError, RwLock};

use adit_flow::model::logger::{Level, Logger};
use adit_flow::secrets::Secrets;
use anyhow::Context as _;
use clap::ValueEnum;
use tracing::Metadata;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::{self, MakeWriter};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, Registry, reload};

/// Variable that sets what is logged, as `tracing` writes it: `debug`, `adit_tunnel=trace`.
const VARIABLE: &str = "ADIT_LOG";

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Text, for people.
    Plain,
    /// One JSON object a line, for programs; what is else a line of its own is one of them.
    Json,
}

static FORMAT: OnceLock<Format> = OnceLock::new();
/// What can be changed once a file was read.
static FILTERS: OnceLock<Filters> = OnceLock::new();
/// The files that a file wants its log in.
static FILES: RwLock<Vec<LogFile>> = RwLock::new(Vec::new());
/// What no line says.
static HIDDEN: RwLock<Secrets> = RwLock::new(Secrets::new());

/// What is logged where.
struct Filters {
    terminal: reload::Handle<EnvFilter, Registry>,
    files: reload::Handle<LevelFilter, Registry>,
    /// Whether the command line or the environment says what the terminal gets.
    is_said: bool,
}

/// A file, and the least that goes there.
struct LogFile {
    file: File,
    least: LevelFilter,
}

/// Sends the log to stderr: what changes, and with `verbose` each visitor too, or errors alone.
pub(crate) fn start(verbose: u8, is_quiet: bool, format: Format) {
    let level = match verbose {
        // A host key that is trusted unseen is told in any case. How a run ended is the last word of who
        // asked for it.
        0 if is_quiet => {
            "error,adit_tunnel::agent::connect::answers=warn,adit_flow::exec::engine=off"
        }
        0 => "info",
        1 => "debug",
        _ => "trace",
    };
    let variable = std::env::var(VARIABLE).ok();
    let is_said = verbose > 0 || is_quiet || variable.is_some();
    let filter = EnvFilter::new(variable.unwrap_or_else(|| level.to_owned()));
    let (filter, terminal) = reload::Layer::new(filter);
    let (least, files) = reload::Layer::new(LevelFilter::OFF);
    let log = fmt::layer()
        .with_writer(|| Terminal)
        .with_target(false)
        // A log that cannot be written, on a full disk or to a reader that has gone, changes nothing else;
        // telling of it would be written there, too, and panic.
        .log_internal_errors(false);
    let log = match format {
        Format::Plain => log.with_ansi(io::stderr().is_terminal()).boxed(),
        Format::Json => log.json().flatten_event(true).boxed(),
    };
    let file = fmt::layer()
        .with_writer(LogFiles)
        .with_target(false)
        .with_ansi(false)
        .log_internal_errors(false);
    tracing_subscriber::registry()
        .with(vec![
            log.with_filter(filter).boxed(),
            file.with_filter(least).boxed(),
        ])
        .init();
    // There is one start.
    FORMAT.get_or_init(|| format);
    FILTERS.get_or_init(|| Filters {
        terminal,
        files,
        is_said,
    });
}

/// Keeps the values of secrets out of every line from now on; those that were hidden before are not any more.
pub(crate) fn hide(secrets: Secrets) {
    *HIDDEN.write().unwrap_or_else(PoisonError::into_inner) = secrets;
}

/// A text without the values of secrets, for who is told it in another way.
pub(crate) fn masked(text: &str) -> String {
    let hidden = HIDDEN.read().unwrap_or_else(PoisonError::into_inner);
    hidden.mask(text).into_owned()
}

/// Bytes that are about to be written, without the values of secrets, and without what a terminal would obey: a
/// part may be a stranger's. Escapes stay, which are the colours: the log itself writes others as text. Each line
/// comes in one write.
fn shown(bytes: &[u8], format: Format) -> Cow<'_, [u8]> {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return Cow::Borrowed(bytes);
    };
    let hidden = HIDDEN.read().unwrap_or_else(PoisonError::into_inner);
    let masked = hidden.mask(text);
    // What is JSON has none of it but in its own form.
    if format == Format::Plain {
        let lines = masked.split('\n');
        let lines = lines.map(|line| line.split('\x1b').map(adit_text::escape));
        let lines = lines.map(|parts| parts.collect::<Vec<_>>().join("\x1b"));
        return Cow::Owned(lines.collect::<Vec<_>>().join("\n").into_bytes());
    }
    match masked {
        Cow::Owned(masked) => Cow::Owned(masked.into_bytes()),
        Cow::Borrowed(_) => Cow::Borrowed(bytes),
    }
}

/// Sends the log where a file wants it, too. What the command line says of the terminal's counts before that.
///
/// # Errors
///
/// A file cannot be written to.
pub(crate) fn configure(loggers: &[Logger]) -> anyhow::Result<()> {
    let Some(filters) = FILTERS.get().filter(|_| !loggers.is_empty()) else {
        return Ok(());
    };
    let mut files = Vec::new();
    for (logger, path) in loggers
        .iter()
        .filter_map(|one| Some((one, one.file.as_ref()?)))
    {
        let opened = path.parent().map_or(Ok(()), fs::create_dir_all);
        let opened = opened.and_then(|()| File::options().append(true).create(true).open(path));
        let file = opened.with_context(|| format!("cannot log to {}", path.display()))?;
        let least = least(logger.level);
        files.push(LogFile { file, least });
    }
    let most = files.iter().map(|one| one.least).max();
    let terminal = loggers.iter().filter(|one| one.file.is_none());
    // Without one for the terminal, what a person must act on is told there all the same.
    let terminal = terminal.map(|one| least(one.level)).max();
    let terminal = terminal.unwrap_or(LevelFilter::ERROR);
    *FILES.write().unwrap_or_else(PoisonError::into_inner) = files;
    let changed = filters.files.reload(most.unwrap_or(LevelFilter::OFF));
    changed.context("cannot change the log")?;
    if filters.is_said {
        return Ok(());
    }
    let filter = EnvFilter::new(terminal.to_string());
    filters
        .terminal
        .reload(filter)
        .context("cannot change the log")
}

fn least(level: Level) -> LevelFilter {
    match level {
        Level::Debug => LevelFilter::DEBUG,
        Level::Info => LevelFilter::INFO,
        Level::Warning => LevelFilter::WARN,
        Level::Error | Level::Critical => LevelFilter::ERROR,
    }
}

/// Writes to stderr.
struct Terminal;

impl io::Write for Terminal {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let format = FORMAT.get().copied().unwrap_or(Format::Plain);
        io::stderr().write_all(&shown(bytes, format))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes to all files that want it.
struct LogFiles;

/// One line of the log, and how much it matters.
struct LogLine(LevelFilter);

impl MakeWriter<'_> for LogFiles {
    type Writer = LogLine;

    fn make_writer(&self) -> LogLine {
        LogLine(LevelFilter::ERROR)
    }

    fn make_writer_for(&self, metadata: &Metadata<'_>) -> LogLine {
        LogLine(LevelFilter::from_level(*metadata.level()))
    }
}

impl io::Write for LogLine {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let files = FILES.read().unwrap_or_else(PoisonError::into_inner);
        let shown = shown(bytes, Format::Plain);
        for file in files.iter().filter(|file| self.0 <= file.least) {
            // One that is full leaves the others alone.
            (&file.file).write_all(&shown).ok();
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes the program's last word to stderr: why it failed, behind the head of its line.
pub(crate) fn fail(head: &str, error: &anyhow::Error) {
    if FORMAT.get() == Some(&Format::Json) {
        tracing::error!("{error:#}");
    } else {
        say(&format!("{head} {error:#}"));
    }
}

/// Writes a line to stderr. Nobody may be there to read it, and that changes nothing.
pub(crate) fn say(line: &str) {
    if FORMAT.get() == Some(&Format::Json) {
        tracing::info!("{line}");
        return;
    }
    // No colours are in it, so no escape is ours.
    let line = line.replace('\x1b', "\\x1b") + "\n";
    let written = io::stderr().write_all(&shown(line.as_bytes(), Format::Plain));
    drop(written);
}
