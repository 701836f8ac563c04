//! Writing a new host down.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use adit_ssh::key::PublicKey;
use aws_lc_rs::rand;

use super::NameForm;
use super::line::hashed_name;

/// Appends a line about `host` with one write, so that two writers never mix theirs. Makes the file
/// (0600) and its directory (0700) if they are not there.
pub(super) fn append(file: &Path, host: &str, names: NameForm, key: &PublicKey) -> io::Result<()> {
    if let Some(directory) = file.parent() {
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o700).create(directory)?;
    }
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(true).mode(0o600);
    let mut opened = options.open(file)?;
    let mut line = String::new();
    if !ends_with_line_feed(&mut opened)? {
        line.push('\n');
    }
    match names {
        NameForm::Plain => line.push_str(host),
        NameForm::Hashed => {
            let mut salt = [0; 20];
            rand::fill(&mut salt).map_err(|_| io::Error::other("no random bytes"))?;
            line.push_str(&hashed_name(host, &salt));
        }
    }
    line.push(' ');
    line.push_str(&key.to_openssh_text());
    line.push('\n');
    let written = opened.write(line.as_bytes())?;
    if written == line.len() {
        Ok(())
    } else {
        Err(io::ErrorKind::StorageFull.into())
    }
}

/// Whether a line may follow at once: the file is empty or its last line is whole.
fn ends_with_line_feed(file: &mut std::fs::File) -> io::Result<bool> {
    if file.seek(SeekFrom::End(0))? == 0 {
        return Ok(true);
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}
