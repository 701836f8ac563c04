//! What is run, and where it is found.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::Access;
use tracing::debug;

/// A program with all that it gets. `Debug` shows no values of its environment.
#[derive(Clone, PartialEq, Eq)]
pub struct Program {
    /// Its name and its arguments. A name with a slash is a path from `dir`; any other is searched in the
    /// folders of its own `PATH`, except relative ones: the folder that it is run in is never searched.
    pub argv: Vec<String>,
    /// The folder that it is run in.
    pub dir: PathBuf,
    /// All variables that it gets; [`ChildEnvironment`](super::ChildEnvironment) makes them.
    pub env: Vec<(OsString, OsString)>,
}

/// Why a program was not started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpawnError {
    /// There is no name.
    #[error("there is no program to run")]
    Empty,
    /// The folder that it should be run in is none.
    #[error("{program}: cannot run in {dir}, which is no folder")]
    NoFolder {
        /// The program.
        program: String,
        /// The folder.
        dir: String,
    },
    /// No folder of `PATH` has it. Which those are is for the log alone: whoever asks over the API gets these
    /// words (security rule G88).
    #[error("{program}: not found in PATH")]
    NotInPath {
        /// The program.
        program: String,
    },
    /// The path leads to nothing.
    #[error("{program}: not found (from {dir})")]
    Missing {
        /// The program.
        program: String,
        /// The folder that the path is from.
        dir: String,
    },
    /// It is there, and cannot be run.
    #[error("{program}: {path} is not an executable file")]
    NotExecutable {
        /// The program.
        program: String,
        /// What was found.
        path: String,
    },
    /// The system refuses.
    #[error("{program}: cannot be started")]
    Refused {
        /// The program.
        program: String,
        /// What the system says.
        source: io::Error,
    },
}

impl Program {
    /// The file that is run.
    pub(super) fn find(&self) -> Result<PathBuf, SpawnError> {
        let name = self.argv.first().filter(|name| !name.is_empty());
        let name = name.ok_or(SpawnError::Empty)?;
        if !self.dir.is_dir() {
            return Err(SpawnError::NoFolder {
                program: adit_text::escape(name),
                dir: shown(&self.dir),
            });
        }
        if name.contains('/') {
            return self.at(name);
        }
        let path = self.env.iter().rfind(|(key, _)| key == "PATH");
        let path = path.map_or_else(|| OsStr::new(USUAL_PATH), |(_, path)| path);
        in_path(name, path)
    }

    fn at(&self, name: &str) -> Result<PathBuf, SpawnError> {
        let found = self.dir.join(name);
        match Found::at(&found) {
            // From the folder, in which its keeper is started.
            Found::Executable => Ok(PathBuf::from(name)),
            Found::Other => Err(SpawnError::NotExecutable {
                program: adit_text::escape(name),
                path: shown(&found),
            }),
            Found::Nothing => Err(SpawnError::Missing {
                program: adit_text::escape(name),
                dir: shown(&self.dir),
            }),
        }
    }

    /// What its start has failed with.
    pub(super) fn refused(&self, source: io::Error) -> SpawnError {
        SpawnError::Refused {
            program: self
                .argv
                .first()
                .map(|name| adit_text::escape(name))
                .unwrap_or_default(),
            source,
        }
    }

    /// Its name and arguments on one line, cut and safe to print, as a person reads them: not for a shell.
    pub(crate) fn line(&self) -> String {
        let mut line = adit_text::escape(&self.argv.join(" "));
        if let Some((cut, _)) = line.char_indices().nth(SHOWN) {
            line.truncate(cut);
            line.push('…');
        }
        line
    }
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.env.iter().map(|(name, _)| name).collect();
        f.debug_struct("Program")
            .field("argv", &self.argv)
            .field("dir", &self.dir)
            .field("env", &names)
            .finish()
    }
}

fn in_path(name: &str, path: &OsStr) -> Result<PathBuf, SpawnError> {
    let mut other = None;
    for folder in path.as_bytes().split(|byte| *byte == b':') {
        // The empty one means the current folder, too.
        let folder = Path::new(OsStr::from_bytes(folder));
        if !folder.is_absolute() {
            continue;
        }
        let found = folder.join(name);
        match Found::at(&found) {
            Found::Executable => return Ok(found),
            Found::Other => other = other.or(Some(found)),
            Found::Nothing => {}
        }
    }
    let program = adit_text::escape(name);
    if let Some(found) = other {
        let path = shown(&found);
        return Err(SpawnError::NotExecutable { program, path });
    }
    let path = adit_text::escape(&path.to_string_lossy());
    debug!(program, path, "program is in no folder of PATH");
    Err(SpawnError::NotInPath { program })
}

/// What a path leads to.
enum Found {
    Executable,
    Other,
    Nothing,
}

impl Found {
    fn at(path: &Path) -> Self {
        match path.metadata() {
            Ok(metadata) if metadata.is_file() => match rustix::fs::access(path, Access::EXEC_OK) {
                Ok(()) => Self::Executable,
                Err(_) => Self::Other,
            },
            Ok(_) => Self::Other,
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Self::Other,
            Err(_) => Self::Nothing,
        }
    }
}

fn shown(path: &Path) -> String {
    adit_text::escape(&path.to_string_lossy())
}

/// Where a program without `PATH` is searched, as execvp(3) has it.
const USUAL_PATH: &str = "/bin:/usr/bin";

/// The most characters of a command line in a message.
const SHOWN: usize = 200;

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn executable(path: &Path) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "#!/bin/sh\n").unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn program(name: &str, dir: &Path, path: &str) -> Program {
        Program {
            argv: vec![name.to_owned(), "secret-free".to_owned()],
            dir: dir.to_owned(),
            env: vec![
                ("PATH".into(), path.into()),
                ("TOKEN".into(), "s3cr3t".into()),
            ],
        }
    }

    #[test]
    fn the_folder_that_it_runs_in_is_never_searched() {
        let here = tempfile::tempdir().unwrap();
        executable(&here.path().join("ngrok"));
        executable(&here.path().join("bin/ngrok"));
        let absolute = here.path().join("bin");
        let absolute = absolute.to_str().unwrap();
        for path in ["", ".", ":/nowhere:", "bin:./bin", "..:bin/"] {
            let error = program("ngrok", here.path(), path).find().unwrap_err();
            assert_eq!(error.to_string(), "ngrok: not found in PATH");
        }
        let found = program("ngrok", here.path(), &format!(":.:/nowhere:{absolute}")).find();
        assert_eq!(found.unwrap(), here.path().join("bin/ngrok"));
        let found = program("./ngrok", here.path(), "").find();
        assert_eq!(found.unwrap(), Path::new("./ngrok"));
    }

    #[test]
    fn what_cannot_be_run_says_why() {
        let here = tempfile::tempdir().unwrap();
        let dir = here.path();
        let shown = dir.display();
        fs::write(dir.join("data"), "").unwrap();
        for (name, path, told) in [
            ("", "", "there is no program to run".to_owned()),
            ("./x", "", format!("./x: not found (from {shown})")),
            (
                "./data",
                "",
                format!("./data: {shown}/./data is not an executable file"),
            ),
            (
                "data",
                dir.to_str().unwrap(),
                format!("data: {shown}/data is not an executable file"),
            ),
            ("a\nb", "/nowhere", "a\\u{a}b: not found in PATH".to_owned()),
        ] {
            let error = program(name, dir, path).find().unwrap_err();
            assert_eq!(error.to_string(), told);
        }
        let error = program("sh", &dir.join("gone"), "/bin").find().unwrap_err();
        assert!(matches!(error, SpawnError::NoFolder { .. }), "{error}");
    }

    #[test]
    fn no_value_of_the_environment_is_shown() {
        let shown = format!("{:?}", program("sh", Path::new("/"), "/usr/bin"));
        assert!(
            shown.contains("TOKEN") && !shown.contains("s3cr3t"),
            "{shown}"
        );
    }
}
