//! The file that a result is written into, whole or not at all.
//!
//! It is opened before the run begins: a run that cannot leave its result should not take place.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;

/// A file that is being written: beside the one whose place it takes once it is complete. A pipe or a
/// device is written to as it is.
#[derive(Debug)]
pub(super) struct Output {
    file: File,
    /// As it was named.
    name: PathBuf,
    /// Where the file is and where it is to be.
    place: Option<Place>,
}

#[derive(Debug)]
struct Place {
    beside: PathBuf,
    target: PathBuf,
}

impl Output {
    /// Opens it; what stands there stays until the [end](Self::finish).
    ///
    /// # Errors
    ///
    /// Nothing can be written there.
    pub(super) fn create(name: &Path) -> anyhow::Result<Self> {
        let opened = Self::open(name);
        opened.with_context(|| format!("cannot write {}", name.display()))
    }

    fn open(name: &Path) -> io::Result<Self> {
        let found = fs::metadata(name);
        if found.is_ok() {
            // One that may not be written to would be replaced all the same.
            let file = OpenOptions::new().write(true).open(name)?;
            if !file.metadata()?.is_file() {
                return Ok(Self {
                    file,
                    name: name.to_owned(),
                    place: None,
                });
            }
        }
        // What a link leads to is meant, and not the link.
        let target = match found {
            Ok(_) => name.canonicalize()?,
            Err(_) => name.to_owned(),
        };
        let last = target.file_name().unwrap_or_default().to_string_lossy();
        let beside = target.with_file_name(format!(".{last}.{}.part", std::process::id()));
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&beside)?;
        Ok(Self {
            file,
            name: name.to_owned(),
            place: Some(Place { beside, target }),
        })
    }

    /// Writes what comes next.
    ///
    /// # Errors
    ///
    /// It cannot be written.
    pub(super) fn write(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        let written = self.file.write_all(bytes);
        written.with_context(|| format!("cannot write {}", self.name.display()))
    }

    /// Puts the file in its place, with the rights that the one before it had. One that never gets here
    /// leaves everything as it was.
    ///
    /// # Errors
    ///
    /// It cannot be put there.
    pub(super) fn finish(mut self) -> anyhow::Result<()> {
        let finished = self.put();
        finished.with_context(|| format!("cannot write {}", self.name.display()))
    }

    fn put(&mut self) -> io::Result<()> {
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
