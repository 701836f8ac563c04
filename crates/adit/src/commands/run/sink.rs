//! Where a result goes that comes piece by piece: to standard output as it comes, or into a file.

use tokio::task::{JoinHandle, spawn_blocking};

use super::file::Output;
use super::printer::Printer;

/// Writes one piece after the other, on a thread of its own: whoever reads standard output may stop to
/// read, and then this process has other things to do.
#[derive(Debug)]
pub(super) struct Sink {
    /// None while a piece is being written, and after that has failed.
    place: Option<Place>,
    writing: Option<JoinHandle<anyhow::Result<Place>>>,
}

#[derive(Debug)]
enum Place {
    File(Output),
    Printer(Printer),
}

impl Sink {
    /// Into this file, or to standard output.
    pub(super) fn new(output: Option<Output>) -> Self {
        let printed = || Place::Printer(Printer::of_this_process());
        Self {
            place: Some(output.map_or_else(printed, Place::File)),
            writing: None,
        }
    }

    /// Whether a piece is being written. The next one waits until it [is](Self::written).
    pub(super) fn is_writing(&self) -> bool {
        self.writing.is_some()
    }

    /// Begins to write a piece.
    pub(super) fn begin(&mut self, piece: Vec<u8>) {
        let Some(mut place) = self.place.take() else {
            return;
        };
        self.writing = Some(spawn_blocking(move || {
            match &mut place {
                Place::File(file) => file.write(&piece)?,
                Place::Printer(printer) => printer.print(&piece)?,
            }
            Ok(place)
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
        self.place = Some(written.map_err(anyhow::Error::from).flatten()?);
        Ok(())
    }

    /// There is no more; a file takes its place.
    ///
    /// # Errors
    ///
    /// The file cannot be put there, or nobody reads the last of it.
    pub(super) fn finish(self) -> anyhow::Result<()> {
        match self.place {
            Some(Place::File(file)) => file.finish(),
            Some(Place::Printer(printer)) => printer.finish(),
            None => Ok(()),
        }
    }
}
