//! The file that a result is written into, whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// A file that is being written: beside the one whose place it takes once it is complete. A pipe or a
/// device is written to as it is.
#[derive(Debug)]
pub(super) struct Output {
    file: File,
    /// Where the file is and where it is to be.
    place: Option<Place>,
}

#[derive(Debug)]
struct Place {
    beside: PathBuf,
    target: PathBuf,
}

impl Output {
    /// # Errors
    ///
    /// Nothing can be written there.
    pub(super) fn create(file: &Path) -> io::Result<Self> {
        let found = fs::metadata(file);
        if found.as_ref().is_ok_and(|found| !found.is_file()) {
            let file = OpenOptions::new().write(true).open(file)?;
            return Ok(Self { file, place: None });
        }
        // What a link leads to is meant, and not the link.
        let target = match found {
            Ok(_) => file.canonicalize()?,
            Err(_) => file.to_owned(),
        };
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        let name = format!(".{name}.{}.part", std::process::id());
        let beside = target.with_file_name(name);
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&beside)?;
        let place = Some(Place { beside, target });
        Ok(Self { file, place })
    }

    /// Writes what comes next.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)
    }

    /// Puts the file in its place, with the rights that the one before it had. One that never gets here
    /// leaves everything as it was.
    pub(super) fn finish(mut self) -> io::Result<()> {
        let Some(place) = &self.place else {
            return Ok(());
        };
        self.file.sync_all()?;
        if let Ok(found) = fs::metadata(&place.target) {
            self.file.set_permissions(found.permissions())?;
        }
        fs::rename(&place.beside, &place.target)?;
        self.place = None;
        Ok(())
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if let Some(place) = &self.place {
            // Why it was not finished is what is told; this is only tidying up.
            drop(fs::remove_file(&place.beside));
        }
    }
}
