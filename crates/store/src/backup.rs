//! The copy of SQLite's file that is made before the schema changes.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, Statement};

use crate::error::OpenError;
use crate::folder::make_file;

/// The folder of copies, beside the file.
const FOLDER: &str = "backups";

/// Copies a consistent state of the file, whatever else is going on, and returns where the copy is. The copy is
/// on the disk when this returns, and as private as the file.
pub(crate) async fn copy(
    db: &DatabaseConnection,
    file: &Path,
    now: Timestamp,
) -> Result<PathBuf, OpenError> {
    let folder = file.with_file_name(FOLDER);
    let path = folder.join(format!("adit-{}.db", now.strftime("%Y%m%dT%H%M%S%.6fZ")));
    let failed = |source: crate::error::Source| OpenError::Backup {
        path: path.clone(),
        source,
    };
    prepare(&folder, &path).map_err(|source| failed(Box::new(source)))?;
    let written = async {
        // SQLite refuses to write over a file unless it is empty.
        let to = path.to_string_lossy().into_owned();
        let vacuum =
            Statement::from_sql_and_values(DbBackend::Sqlite, "VACUUM INTO ?", [to.into()]);
        db.execute_raw(vacuum).await?;
        Ok::<_, sea_orm::DbErr>(())
    }
    .await;
    let kept = written
        .map_err(|source| failed(Box::new(source)))
        .and_then(|()| sync(&folder, &path).map_err(|source| failed(Box::new(source))));
    if kept.is_err()
        && let Err(error) = fs::remove_file(&path)
    {
        tracing::debug!(%error, "half a copy of the store is left");
    }
    kept.map(|()| path.clone())
}

fn prepare(folder: &Path, path: &Path) -> io::Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)?;
    make_file(path)
}

fn sync(folder: &Path, path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()?;
    File::open(folder)?.sync_all()
}
