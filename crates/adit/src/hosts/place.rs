//! The folder in which a table of ports is kept.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use adit_fleet::table::Table;
use anyhow::{Context as _, ensure};
use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::process::geteuid;

use crate::config::Surroundings;
use crate::control::directory::{Directories, Running};

/// The folder of a table of ports: its owner's alone.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    folder: PathBuf,
}

/// Held by whoever changes a table. Dropped, the next may.
#[derive(Debug)]
pub(crate) struct Held {
    _file: File,
}

/// Where root's table is.
const OF_ROOT: &str = "/var/lib/adit/hosts";
/// The table's file.
const TABLE: &str = "ports.json";
/// The folder of the control socket of whoever keeps it.
pub(crate) const RUN: &str = "run";
/// Most bytes of it: an entry has some 200.
const BYTES: u64 = 1 << 20;

/// The folder that is meant where none is named, whether it is there or not.
pub(crate) fn usual(surroundings: &Surroundings) -> Option<PathBuf> {
    if geteuid().is_root() {
        return Some(PathBuf::from(OF_ROOT));
    }
    Some(surroundings.state()?.join("adit/hosts"))
}

/// Whether a file that somebody keeps is a table of ports.
pub(crate) fn is_table(file: &Path) -> bool {
    file.file_name().is_some_and(|name| name == TABLE)
}

impl Place {
    /// That folder, or the usual one: root's in /var/lib/adit, others' where their programs keep their state. It is
    /// made, and so is an empty table.
    ///
    /// # Errors
    ///
    /// It cannot be made, or is not this user's alone.
    pub(crate) fn open(named: Option<&Path>, surroundings: &Surroundings) -> anyhow::Result<Self> {
        let folder = match named {
            Some(folder) => folder.to_owned(),
            None => usual(surroundings).context(
                "there is no home directory to keep the table of ports in: name a folder with --data",
            )?,
        };
        let shown = folder.display();
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)
            .with_context(|| format!("cannot make the folder {shown}"))?;
        let folder = folder
            .canonicalize()
            .with_context(|| format!("cannot use the folder {shown}"))?;
        let found = folder.metadata()?;
        let (uid, us) = (found.uid(), geteuid().as_raw());
        ensure!(
            uid == us,
            "the folder {shown} belongs to user {uid}, and this is user {us}: run adit as its owner, or name another \
             with --data"
        );
        ensure!(
            found.mode() & 0o022 == 0,
            "others can write to the folder {shown}, and so decide where you log in: chmod go-w {shown}"
        );
        let place = Self { folder };
        if !place.table_file().exists() {
            let held = place.hold()?;
            if !place.table_file().exists() {
                place.write(&held, &Table::default())?;
            }
        }
        Ok(place)
    }

    /// The folder.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The file of the table, by which whoever keeps it is found.
    pub(crate) fn table_file(&self) -> PathBuf {
        self.folder.join(TABLE)
    }

    /// Waits until nobody else changes the table.
    ///
    /// # Errors
    ///
    /// The lock's file cannot be made.
    pub(crate) fn hold(&self) -> anyhow::Result<Held> {
        let path = self.folder.join("lock");
        let cannot = || format!("cannot lock {}", path.display());
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .custom_flags(i32::try_from(OFlags::NOFOLLOW.bits()).unwrap_or_default())
            .open(&path)
            .with_context(cannot)?;
        flock(&file, FlockOperation::LockExclusive).with_context(cannot)?;
        Ok(Held { _file: file })
    }

    /// The table as it is.
    ///
    /// # Errors
    ///
    /// It cannot be read, or is no table.
    pub(crate) fn read(&self) -> anyhow::Result<Table> {
        let path = self.table_file();
        let cannot = || format!("cannot read {}", path.display());
        let file = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Table::default()),
            opened => opened.with_context(cannot)?,
        };
        let mut text = String::new();
        let read = file.take(BYTES).read_to_string(&mut text);
        read.with_context(cannot)?;
        Table::from_json(&text).with_context(cannot)
    }

    /// Writes the table, whole or not at all.
    ///
    /// # Errors
    ///
    /// The disk is full, for example.
    pub(crate) fn write(&self, _held: &Held, table: &Table) -> anyhow::Result<()> {
        let (path, new) = (self.table_file(), self.folder.join(".ports.json.new"));
        let written = (|| {
            let mut file = OpenOptions::new()
                .create(true)
                .truncate(true)
                .write(true)
                .mode(0o600)
                .custom_flags(i32::try_from(OFlags::NOFOLLOW.bits()).unwrap_or_default())
                .open(&new)?;
            file.write_all(table.to_json().as_bytes())?;
            file.sync_all()?;
            fs::rename(&new, &path)?;
            // The name, too, outlives a loss of power.
            File::open(&self.folder)?.sync_all()
        })();
        written.with_context(|| format!("cannot write {}", path.display()))
    }

    /// Whoever keeps what stands in the table, if anybody does.
    pub(crate) fn running(&self, surroundings: &Surroundings) -> Option<Running> {
        self.directories(surroundings).find(&self.table_file())
    }

    /// Where the control socket of whoever keeps it lies: beside the table, so that a service at boot is found by a
    /// person whose variables are others.
    pub(crate) fn directories(&self, surroundings: &Surroundings) -> Directories {
        Directories::at(self.folder.join(RUN), surroundings)
    }
}
