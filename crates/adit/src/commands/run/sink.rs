//! Where a result goes that comes piece by piece: to standard output as it comes, or into a file.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use tokio::task::{JoinHandle, spawn_blocking};

use super::file::Output;

/// Writes one piece after the other, on a thread of its own: whoever reads standard output may stop to
/// read, and then this process has other things to do.
#[derive(Debug)]
pub(super) struct Sink {
    file: Option<PathBuf>,
    output: Option<Output>,
    writing: Option<JoinHandle<io::Result<Option<Output>>>>,
}

impl Sink {
    /// Into this file, or to standard output.
    ///
    /// # Errors
    ///
    /// Nothing can be written into the file.
    pub(super) fn new(file: Option<&Path>) -> anyhow::Result<Self> {
        let output = file.map(Output::create).transpose();
        let output = output.with_context(|| words(file))?;
        Ok(Self {
            file: file.map(Path::to_owned),
            output,
            writing: None,
        })
    }

    /// Whether a piece is being written. The next one waits until it [is](Self::written).
    pub(super) fn is_writing(&self) -> bool {
        self.writing.is_some()
    }

    /// Begins to write a piece.
    pub(super) fn begin(&mut self, piece: Vec<u8>) {
        let mut output = self.output.take();
        self.writing = Some(spawn_blocking(move || {
            if let Some(file) = &mut output {
                file.write(&piece)?;
            } else {
                let mut stdout = io::stdout().lock();
                stdout.write_all(&piece)?;
                stdout.flush()?;
            }
            Ok(output)
        }));
    }

    /// Waits until the piece is written. To be called while one is.
    ///
    /// # Errors
    ///
    /// Nobody reads it, or the file cannot be written.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    pub(super) async fn written(&mut self) -> anyhow::Result<()> {
        let Some(writing) = &mut self.writing else {
            return std::future::pending().await;
        };
        let written = writing.await;
        self.writing = None;
        let file = self.file.as_deref();
        let written = written.map_err(io::Error::other).flatten();
        self.output = written.with_context(|| words(file))?;
        Ok(())
    }

    /// There is no more; a file takes its place.
    ///
    /// # Errors
    ///
    /// The file cannot be put there.
    pub(super) fn finish(self) -> anyhow::Result<()> {
        let finished = self.output.map(Output::finish).transpose();
        finished.with_context(|| words(self.file.as_deref()))?;
        Ok(())
    }
}

/// What failed.
fn words(file: Option<&Path>) -> String {
    match file {
        Some(file) => format!("cannot write {}", file.display()),
        None => String::from("cannot print the result"),
    }
}
