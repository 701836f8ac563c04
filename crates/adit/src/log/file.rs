//! Files that logs are written into, each from a level on: `2026-11-22 16:05:00,123 INFO: message`, the
//! time by the clock of this place, as Python's logging has it.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::OnceLock;

use adit_flow::model::logger::Level;
use jiff::Zoned;
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::registry::LookupSpan;

use super::Format;
use super::hidden::shown;

/// One of them.
#[derive(Debug)]
pub(super) struct LogFile {
    level: Level,
    file: File,
}

impl LogFile {
    /// Opens a file, whose folders are made, to be written at its end.
    pub(super) fn open(path: &Path, level: Level) -> io::Result<Self> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        Ok(Self { level, file })
    }

    /// The least that is written there.
    pub(super) fn level(&self) -> Level {
        self.level
    }
}

static FILES: OnceLock<Vec<LogFile>> = OnceLock::new();

/// Writes to these from now on; once.
pub(super) fn write_to(files: Vec<LogFile>) {
    FILES.get_or_init(|| files);
}

/// Writes a line that is no event.
pub(super) fn line(level: Level, text: &str) {
    // As with events: a log that cannot be written changes nothing else.
    drop(writeln!(Lines(level), "{} {text}", head(level)));
}

/// What stands before each message.
fn head(level: Level) -> String {
    let name = match level {
        Level::Debug => "DEBUG",
        Level::Info => "INFO",
        Level::Warning => "WARNING",
        Level::Error => "ERROR",
        Level::Critical => "CRITICAL",
    };
    let time = Zoned::now().strftime("%Y-%m-%d %H:%M:%S,%3f").to_string();
    format!("{time} {name}:")
}

fn level(metadata: &Metadata<'_>) -> Level {
    match *metadata.level() {
        tracing::Level::ERROR => Level::Error,
        tracing::Level::WARN => Level::Warning,
        tracing::Level::INFO => Level::Info,
        tracing::Level::DEBUG | tracing::Level::TRACE => Level::Debug,
    }
}

/// Where events are written: into the files that want them.
pub(super) struct Files;

/// Writes whole lines of a level.
pub(super) struct Lines(Level);

impl<'a> MakeWriter<'a> for Files {
    type Writer = Lines;

    fn make_writer(&'a self) -> Lines {
        Lines(Level::Info)
    }

    fn make_writer_for(&'a self, metadata: &Metadata<'_>) -> Lines {
        Lines(level(metadata))
    }
}

impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let files = FILES.get().into_iter().flatten();
        let shown = shown(line, Format::Plain);
        for file in files.filter(|file| file.level <= self.0) {
            // One that is full leaves the others alone.
            (&file.file).write_all(&shown).ok();
        }
        Ok(line.len())
    }

    fn write_fmt(&mut self, line: fmt::Arguments<'_>) -> io::Result<()> {
        // At once, so that lines of several threads do not mix.
        self.write_all(line.to_string().as_bytes())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// How events are written.
pub(super) struct Asctime;

impl<S, N> FormatEvent<S, N> for Asctime
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        write!(writer, "{} ", head(level(event.metadata())))?;
        context.format_fields(writer.by_ref(), event)?;
        writeln!(writer)
    }
}
