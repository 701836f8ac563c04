//! The file: regular, nobody else's to write, not too long.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::fs::{Mode, OFlags};

use super::{FILE_LENGTH, FileError};

/// Write bits of group and others.
const OTHERS_WRITE: u32 = 0o022;

/// Reads it. A pipe in its place would block whoever opens it, so it is opened without waiting and looked at first.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, FileError> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let file = rustix::fs::open(path, flags, Mode::empty())
        .map_err(|error| FileError::Read(error.into()))?;
    let file = File::from(file);
    let metadata = file.metadata().map_err(FileError::Read)?;
    if !metadata.is_file() {
        return Err(FileError::NotAFile);
    }
    let is_ours = metadata.uid() == 0 || metadata.uid() == rustix::process::geteuid().as_raw();
    if !is_ours || metadata.mode() & OTHERS_WRITE != 0 {
        return Err(FileError::Guarded);
    }
    let limit = u64::try_from(FILE_LENGTH).unwrap_or(u64::MAX);
    let mut content = Vec::new();
    match file.take(limit.saturating_add(1)).read_to_end(&mut content) {
        Ok(length) if length > FILE_LENGTH => Err(FileError::Length),
        Ok(_) => Ok(content),
        Err(error) if error.kind() == io::ErrorKind::OutOfMemory => Err(FileError::Length),
        Err(error) => Err(FileError::Read(error)),
    }
}
