//! Lines to values: which lines apply, and what they say.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::draft::Draft;
use super::error::{ConfigError, FileProblem, LineProblem, Place, PlacedProblem, Problem};
use super::expand::tilde;
use super::files::{Files, Guard};
use super::keyword::{Keyword, Refused};
use super::matching::{Circumstances, answer, is_host_named};
use super::parse::{Line, parse};
use super::settings::Placed;
use super::values::Values;
use super::words::Trouble;
use super::{Local, Owner, Presence, Resolved, Source, Wanted, is_host, is_user};
use crate::pattern::matches_list;

/// How deep files include each other (OpenSSH's `READCONF_MAX_DEPTH`).
const DEPTH: usize = 16;
/// Most files read for one answer, those read twice counted twice.
const FILES: usize = 1_000;
/// Most bytes read for one answer.
const BYTES: usize = 16 * 1024 * 1024;
/// Most problems that are told at once.
const PROBLEMS: usize = 20;
/// Where the machine's relative includes begin.
const SYSTEM_FOLDER: &str = "/etc/ssh";

/// Reads the files, once or, where one of them says `Match final`, twice.
pub(super) fn resolve(
    sources: &[Source],
    wanted: &Wanted,
    local: &Local,
    files: &dyn Files,
) -> Result<Resolved, ConfigError> {
    let fatal = |problem: PlacedProblem| ConfigError {
        problems: vec![problem],
    };
    let unplaced = |problem: Problem| ConfigError {
        problems: vec![PlacedProblem {
            place: None,
            problem,
        }],
    };
    // Before anything is done with them.
    if !is_host(&wanted.host) {
        return Err(unplaced(Problem::Host(wanted.host.clone())));
    }
    if let Some(user) = wanted.user.as_ref().filter(|user| !is_user(user)) {
        return Err(unplaced(Problem::User(user.clone())));
    }
    let mut reader = Reader {
        wanted,
        local,
        files,
        draft: Draft::default(),
        named: wanted.host.clone(),
        is_final: false,
        wants_final: false,
        problems: Vec::new(),
        files_left: FILES,
        bytes_left: BYTES,
    };
    reader.read_all(sources)?;
    if reader.wants_final {
        reader.named = reader.draft.final_host(&wanted.host).map_err(fatal)?;
        reader.draft.first_host = Some(reader.named.clone());
        reader.is_final = true;
        reader.read_all(sources)?;
    }
    let mut draft = reader.draft;
    let ignored = std::mem::take(&mut draft.ignored);
    let mut warnings = Vec::new();
    let settings = draft.finish(wanted, local, &mut warnings).map_err(fatal)?;
    Ok(Resolved {
        settings,
        warnings,
        ignored,
    })
}

struct Reader<'a> {
    wanted: &'a Wanted,
    local: &'a Local,
    files: &'a dyn Files,
    draft: Draft,
    /// What `Host` lines are held against.
    named: String,
    is_final: bool,
    wants_final: bool,
    problems: Vec<PlacedProblem>,
    files_left: usize,
    bytes_left: usize,
}

/// A file on the way through it.
#[derive(Debug, Clone)]
struct Reading {
    path: Arc<Path>,
    owner: Owner,
    depth: usize,
    /// Whether its lines can apply at all: it is not included by a block that does not.
    is_reached: bool,
}

impl Reader<'_> {
    fn read_all(&mut self, sources: &[Source]) -> Result<(), ConfigError> {
        for source in sources {
            let reading = Reading {
                path: Arc::clone(&source.path),
                owner: source.owner,
                depth: 0,
                is_reached: true,
            };
            let guard = match source.presence {
                Presence::Required => Guard::Nobody,
                Presence::Optional => Guard::OwnerAlone,
            };
            match self.content(&source.path, guard) {
                Ok(content) => self.read(&reading, &content, true),
                Err(FileProblem::Missing) if source.presence == Presence::Optional => {}
                Err(problem) => self.report(&reading, 0, 0, Problem::File(problem)),
            }
        }
        if self.problems.is_empty() {
            return Ok(());
        }
        let problems = std::mem::take(&mut self.problems);
        Err(ConfigError { problems })
    }

    fn report(&mut self, reading: &Reading, line: usize, column: usize, problem: Problem) {
        if self.problems.len() < PROBLEMS {
            let file = Arc::clone(&reading.path);
            let place = Some(Place { file, line, column });
            self.problems.push(PlacedProblem { place, problem });
        }
    }

    fn content(&mut self, path: &Path, guard: Guard) -> Result<Vec<u8>, FileProblem> {
        let too_many = || FileProblem::System(format!("more than {FILES} files or {BYTES} bytes"));
        self.files_left = self.files_left.checked_sub(1).ok_or_else(too_many)?;
        let content = self.files.read(path, guard)?;
        let left = self.bytes_left.checked_sub(content.len());
        self.bytes_left = left.ok_or_else(too_many)?;
        Ok(content)
    }

    /// Reads a file. It begins as part of the block that includes it.
    fn read(&mut self, reading: &Reading, content: &[u8], is_active: bool) {
        let mut is_active = is_active;
        for line in parse(content) {
            let line = match line {
                Ok(line) => line,
                Err(LineProblem { line, column, what }) => {
                    self.report(reading, line, column, what);
                    continue;
                }
            };
            if let Err(Trouble(column, problem)) = self.line(reading, &line, &mut is_active) {
                self.report(reading, line.number, column, problem);
            }
        }
    }

    fn line(
        &mut self,
        reading: &Reading,
        line: &Line,
        is_active: &mut bool,
    ) -> Result<(), Trouble> {
        match line.keyword {
            Keyword::Host => {
                // Its patterns are not looked at where they do not matter, as in OpenSSH.
                *is_active = false;
                let words = if reading.is_reached {
                    line.words.as_slice()
                } else {
                    line.words.get(..1).unwrap_or_default()
                };
                *is_active = is_host_named(words, &self.named)? && reading.is_reached;
                Ok(())
            }
            Keyword::Match => {
                *is_active = false;
                *is_active = self.is_met(&line.rest)?.holds(reading.is_reached)?;
                Ok(())
            }
            Keyword::Include => self.include(reading, line, *is_active),
            Keyword::Refused(refused) => is_harmless(line, refused, *is_active),
            Keyword::Ignored(name) => {
                if *is_active {
                    self.ignore(name, place(reading, line));
                }
                Ok(())
            }
            Keyword::Unknown => {
                let patterns = self.draft.ignore_unknown.as_deref().unwrap_or_default();
                if matches_list(line.name.as_bytes(), patterns.as_bytes()) {
                    return Ok(());
                }
                Err(Problem::UnknownKeyword(line.name.clone()).into())
            }
            Keyword::Sets(setting) => {
                let values = Values {
                    draft: &mut self.draft,
                    environment: &self.local.environment,
                    owner: reading.owner,
                    place: place(reading, line),
                };
                values.read(setting, line, *is_active)
            }
        }
    }

    fn is_met(&mut self, criteria: &str) -> Result<Met, Trouble> {
        // A host name with a bad token is told of once all is read.
        let host = self.draft.host(&self.wanted.host).unwrap_or_default();
        let from_files = self.draft.user.as_ref().map(|user| user.value.as_str());
        let user = self.wanted.user.as_deref().or(from_files);
        let local_user = self.local.user.as_deref().unwrap_or_default();
        let answer = answer(
            criteria,
            Circumstances {
                host: &host,
                original: &self.wanted.host,
                user: user.unwrap_or(local_user),
                local_user,
                is_final: self.is_final,
            },
        )?;
        self.wants_final |= answer.wants_final && !self.is_final;
        Ok(match (answer.applies, answer.unanswered) {
            (false, _) => Met::No,
            (true, None) => Met::Yes,
            (true, Some(criterion)) => Met::Unanswered(criterion),
        })
    }

    fn ignore(&mut self, name: &str, place: Place) {
        let ignored = &mut self.draft.ignored;
        if ignored.iter().all(|known| known.value != name) {
            let value = name.to_owned();
            ignored.push(Placed { value, place });
        }
    }

    fn include(&mut self, reading: &Reading, line: &Line, is_active: bool) -> Result<(), Trouble> {
        for word in &line.words {
            let at = |problem: Problem| Trouble(word.column, problem);
            if word.text.is_empty() {
                return Err(at(Problem::EmptyWord));
            }
            let pattern = self.anchored(reading.owner, &word.text).map_err(at)?;
            let found = self.files.glob(&pattern);
            let found = found.map_err(|problem| at(Problem::File(problem)))?;
            for path in found {
                if reading.depth >= DEPTH {
                    return Err(at(Problem::Depth));
                }
                let included = Reading {
                    path: path.into(),
                    owner: reading.owner,
                    depth: reading.depth.saturating_add(1),
                    is_reached: is_active,
                };
                match self.content(&included.path, Guard::OwnerAlone) {
                    Ok(content) => self.read(&included, &content, is_active),
                    Err(problem) => self.report(&included, 0, 0, Problem::File(problem)),
                }
                if self.problems.len() >= PROBLEMS {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// The pattern of an `Include`, from the root. The machine's file knows no home.
    fn anchored(&self, owner: Owner, text: &str) -> Result<PathBuf, Problem> {
        let home = || Problem::Home(text.to_owned());
        if text.starts_with('~') {
            return match owner {
                Owner::User => tilde(text, self.local).map(PathBuf::from),
                Owner::System => Err(home()),
            };
        }
        if text.starts_with('/') {
            return Ok(PathBuf::from(text));
        }
        match owner {
            Owner::User => {
                let below = self.local.home.as_ref().ok_or_else(home)?;
                Ok(below.join(".ssh").join(text))
            }
            Owner::System => Ok(Path::new(SYSTEM_FOLDER).join(text)),
        }
    }
}

/// Whether a block applies, with the case where that is not known.
enum Met {
    Yes,
    No,
    Unanswered(String),
}

impl Met {
    fn holds(self, is_reached: bool) -> Result<bool, Trouble> {
        match self {
            Self::Unanswered(criterion) if is_reached => Err(Problem::Unanswered(criterion).into()),
            Self::Yes => Ok(is_reached),
            Self::No | Self::Unanswered(_) => Ok(false),
        }
    }
}

fn place(reading: &Reading, line: &Line) -> Place {
    Place {
        file: Arc::clone(&reading.path),
        line: line.number,
        column: 0,
    }
}

/// A keyword that cannot be passed over, unless it asks for nothing or does not apply.
fn is_harmless(line: &Line, refused: &Refused, is_active: bool) -> Result<(), Trouble> {
    let value = line.words.first().map_or("", |word| word.text.as_str());
    let is_off = value.eq_ignore_ascii_case(refused.harmless)
        || (refused.harmless == "no" && value.eq_ignore_ascii_case("false"));
    if !is_active || is_off {
        return Ok(());
    }
    let (keyword, hint) = (refused.name, refused.hint);
    Err(Problem::Unsupported { keyword, hint }.into())
}
