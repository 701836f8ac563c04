//! A file of ssh's at another machine: read there, changed here, and replaced there as a whole or not at all.
//!
//! Two fixed scripts for the POSIX shell, one to read and one to write. Nothing is ever put into their text: what is
//! to be written comes over standard input, behind the checksums (cksum(1)) of the old text and the new. So a text
//! that was cut on its way is not put into its place, and neither is one over a change that somebody has made
//! meanwhile. The last line of what a script writes says what it came to; what stands before its first is what the
//! account's own start files say.

use adit_tunnel::agent::errand::Errands;
use anyhow::{Context as _, bail};

/// Which file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    /// `~/.ssh/config`.
    Config,
    /// `~/.ssh/authorized_keys`.
    AuthorizedKeys,
}

/// What was found there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    /// What is in the file; `None` if it is not there.
    pub(super) content: Option<Vec<u8>>,
    /// Whether others can write to the home directory, for which sshd takes no key from it (StrictModes).
    pub(super) is_home_open: bool,
}

/// No single quote, backslash, `!` or line end stands in a script: shells that are no POSIX shell hand it on as well.
/// A file that others can write to is refused where ssh would refuse it, and mended where a chmod is what was asked for.
macro_rules! read_script {
    ($name:literal, $check:literal) => {
        concat!(
            "exec /bin/sh -c '",
            "exec 2>&1; LC_ALL=C; export LC_ALL; f=$HOME/.ssh/",
            $name,
            "; h=-; if [ -n \"$(find \"$HOME/.\" -prune \"(\" -perm -020 -o -perm -002 \")\")\" ]; then h=open; fi; ",
            "if [ -L \"$f\" ]; then f=$(readlink -f \"$f\") || { echo adit-refused link; exit 1; }; fi; ",
            "if [ -e \"$f\" ]; then ",
            "[ -f \"$f\" ] || { echo adit-refused kind; exit 1; }; ",
            "[ -O \"$f\" ] || { echo adit-refused owner; exit 1; }; ",
            $check,
            "set -- $(cksum < \"$f\"); echo adit-file $1 $2 $h; exec cat \"$f\"; ",
            "else echo adit-none 0 0 $h; fi",
            "'"
        )
    };
}

macro_rules! write_script {
    ($name:literal, $folder:literal, $file:literal) => {
        concat!(
            "exec /bin/sh -c '",
            "exec 2>&1; LC_ALL=C; export LC_ALL; umask 077; d=$HOME/.ssh; f=$d/",
            $name,
            "; read -r want; read -r new; ",
            "[ -d \"$d\" ] || mkdir \"$d\" || exit 1; ",
            $folder,
            "if [ -L \"$f\" ]; then f=$(readlink -f \"$f\") || { echo adit-refused link; exit 1; }; fi; ",
            "t=$(mktemp \"${f%/*}/.",
            $name,
            ".adit.XXXXXX\") || exit 1; q() { rm -f \"$t\"; }; trap q 0; trap \"exit 1\" 1 2 13 15; ",
            "if [ -e \"$f\" ]; then cp -p \"$f\" \"$t\" || exit 1; fi; ",
            "cat > \"$t\" || exit 1; ",
            "set -- $(cksum < \"$t\"); [ \"$1 $2\" = \"$new\" ] || { echo adit-refused cut; exit 1; }; ",
            "now=none; if [ -e \"$f\" ]; then set -- $(cksum < \"$f\"); now=\"$1 $2\"; fi; ",
            "[ \"$now\" = \"$want\" ] || { echo adit-refused changed; exit 1; }; ",
            $file,
            "sync \"$t\" > /dev/null 2>&1; mv -f \"$t\" \"$f\" || exit 1; echo adit-written",
            "'"
        )
    };
}

const READ_CONFIG: &str = read_script!(
    "config",
    "[ -z \"$(find \"$f\" -prune \"(\" -perm -020 -o -perm -002 \")\")\" ] || { echo adit-refused mode; exit 1; }; "
);
const READ_KEYS: &str = read_script!("authorized_keys", "");
const WRITE_CONFIG: &str = write_script!("config", "", "");
const WRITE_KEYS: &str = write_script!(
    "authorized_keys",
    "chmod 700 \"$d\" || exit 1; ",
    "chmod 600 \"$t\" || exit 1; "
);

/// Most characters of what a shell says that are shown.
const SAID: usize = 300;

impl Which {
    const fn read(self) -> &'static str {
        match self {
            Self::Config => READ_CONFIG,
            Self::AuthorizedKeys => READ_KEYS,
        }
    }

    const fn write(self) -> &'static str {
        match self {
            Self::Config => WRITE_CONFIG,
            Self::AuthorizedKeys => WRITE_KEYS,
        }
    }

    /// As messages call it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Config => "~/.ssh/config",
            Self::AuthorizedKeys => "~/.ssh/authorized_keys",
        }
    }
}

/// What is in the file there.
///
/// # Errors
/// It cannot be read, or ssh would not read it.
pub(super) async fn read(errands: &Errands, which: Which) -> anyhow::Result<Found> {
    let answer = errands.run(which.read(), b"").await;
    let answer = answer.with_context(|| format!("cannot read {} there", which.name()))?;
    found(&answer).with_context(|| format!("cannot read {} there", which.name()))
}

/// Replaces what was found by that.
///
/// # Errors
/// It cannot be written, or it is not what was found any more. It is as it was then; unless no answer came, which says
/// neither.
pub(super) async fn write(
    errands: &Errands,
    which: Which,
    found: &Found,
    content: &[u8],
) -> anyhow::Result<()> {
    let old = found.content.as_deref();
    let old = old.map_or_else(|| String::from("none"), checksum);
    let head = format!("{old}\n{}\n", checksum(content));
    let input = [head.as_bytes(), content].concat();
    let answer = errands.run(which.write(), &input).await;
    let answer = answer.with_context(|| {
        format!(
            "{} there was to be written, and nobody has said that it was",
            which.name()
        )
    })?;
    written(&answer).with_context(|| format!("{} there is as it was", which.name()))
}

/// The line that a script has written about what it came to, and what stands behind it.
fn verdict<'a>(answer: &'a [u8], verdicts: &[&str]) -> Option<(Vec<&'a str>, &'a [u8])> {
    let mut rest = answer;
    while !rest.is_empty() {
        let end = rest.iter().position(|byte| *byte == b'\n');
        let (line, behind) =
            rest.split_at_checked(end.map_or(rest.len(), |end| end.saturating_add(1)))?;
        rest = behind;
        let Ok(line) = str::from_utf8(line) else {
            continue;
        };
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        if words.first().is_some_and(|first| verdicts.contains(first)) {
            return Some((words, rest));
        }
    }
    None
}

fn found(answer: &[u8]) -> anyhow::Result<Found> {
    let verdicts = ["adit-file", "adit-none", "adit-refused"];
    let Some((words, content)) = verdict(answer, &verdicts) else {
        bail!("no POSIX shell has answered{}", said(answer));
    };
    let (content, is_home_open) = match words.as_slice() {
        ["adit-none", _, _, home] => (None, *home == "open"),
        ["adit-file", crc, length, home] => {
            anyhow::ensure!(
                checksum(content) == format!("{crc} {length}"),
                "it was changed while it was read: run this again"
            );
            (Some(content.to_vec()), *home == "open")
        }
        ["adit-refused", why, ..] => return Err(refused(why)),
        _ => bail!("no POSIX shell has answered{}", said(answer)),
    };
    Ok(Found {
        content,
        is_home_open,
    })
}

fn written(answer: &[u8]) -> anyhow::Result<()> {
    match verdict(answer, &["adit-written", "adit-refused"]) {
        Some((words, _)) if words.first() == Some(&"adit-written") => Ok(()),
        Some((words, _)) => Err(refused(words.get(1).copied().unwrap_or_default())),
        None => bail!("it could not be written{}", said(answer)),
    }
}

fn refused(why: &str) -> anyhow::Error {
    anyhow::Error::msg(match why {
        "link" => "it is a link that leads nowhere",
        "kind" => "it is no regular file",
        "owner" => "it belongs to another user",
        "mode" => "others can write to it, so that ssh refuses it: chmod go-w on it there",
        "cut" => "not all of the new text has arrived: run this again",
        "changed" => "somebody else has changed it just now: run this again",
        _ => "it was refused there",
    })
}

/// What a shell has said instead: somebody else's words, so they are escaped and cut.
fn said(answer: &[u8]) -> String {
    let text = String::from_utf8_lossy(answer);
    let text: String = text.trim().escape_debug().take(SAID).collect();
    if text.is_empty() {
        String::from(
            ", and nothing was said: does the account run commands? A gateway of adit's runs none; there a machine joins by a \
             code (adit join), and other keys are added by adit key add",
        )
    } else {
        format!(": {text}")
    }
}

/// What `cksum` prints: POSIX's CRC of the bytes and their number, and how many bytes there are.
fn checksum(bytes: &[u8]) -> String {
    let length = bytes.len();
    let lengths = std::iter::successors(Some(length), |left| Some(*left >> 8));
    let lengths = lengths.take_while(|left| *left > 0);
    let lengths = lengths.map(|left| left.to_le_bytes()[0]);
    let crc = bytes
        .iter()
        .copied()
        .chain(lengths)
        .fold(0_u32, |crc, byte| {
            (0..8).fold(crc ^ (u32::from(byte) << 24), |crc, _| {
                let shifted = crc << 1;
                if crc >> 31 == 1 {
                    shifted ^ 0x04C1_1DB7
                } else {
                    shifted
                }
            })
        });
    format!("{} {length}", !crc)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As GNU's cksum prints them.
    #[test]
    fn a_checksum_is_that_of_cksum() {
        for (bytes, printed) in [
            (&b""[..], "4294967295 0"),
            (b"123456789", "930766865 9"),
            (b"hello\n", "3015617425 6"),
        ] {
            assert_eq!(checksum(bytes), printed);
        }
    }

    #[test]
    fn no_script_has_what_another_shell_could_take_for_more() {
        for which in [Which::Config, Which::AuthorizedKeys] {
            for script in [which.read(), which.write()] {
                let inside = script.strip_prefix("exec /bin/sh -c '").unwrap();
                let inside = inside.strip_suffix('\'').unwrap();
                assert!(!inside.contains(['\'', '\\', '!', '\n', '`']), "{inside}");
            }
        }
    }

    #[test]
    fn what_a_script_answers_is_read_and_what_stands_before_it_is_not() {
        let content = b"Host *\n\xff";
        let sum = checksum(content);
        let answer = [
            b"Welcome!\n",
            format!("adit-file {sum} open\n").as_bytes(),
            content,
        ]
        .concat();
        let expected = Found {
            content: Some(content.to_vec()),
            is_home_open: true,
        };
        assert_eq!(found(&answer).unwrap(), expected);
        assert_eq!(found(b"adit-none 0 0 -\n").unwrap().content, None);
        for (answer, part) in [
            (&answer[..answer.len() - 1], "run this again"),
            (b"adit-refused mode\n", "chmod"),
            (b"adit-file 1\n", "no POSIX shell"),
            (b"", "no POSIX shell"),
            (
                b"This account is not available.\x1b[2J\n",
                "available.\\u{1b}",
            ),
        ] {
            let error = found(answer).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
        assert!(written(b"adit-written\n").is_ok());
        let full = b"cat: write error: No space left on device\n";
        assert!(
            written(full)
                .unwrap_err()
                .to_string()
                .contains("No space left")
        );
        assert!(written(b"adit-refused changed\n").is_err());
    }

    /// The scripts themselves, by the shell of this machine.
    mod real {
        use std::fs::{self, Permissions};
        use std::io::Write as _;
        use std::os::unix::fs::PermissionsExt as _;
        use std::path::Path;
        use std::process::{Command, Stdio};

        use super::*;

        fn run(home: &Path, script: &str, input: &[u8]) -> Vec<u8> {
            let mut shell = Command::new("sh")
                .args(["-c", script])
                .env("HOME", home)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let mut stdin = shell.stdin.take().unwrap();
            // One that refuses what it was sent has not read all of it.
            stdin.write_all(input).ok();
            drop(stdin);
            shell.wait_with_output().unwrap().stdout
        }

        fn input(old: Option<&[u8]>, new: &[u8]) -> Vec<u8> {
            let old = old.map_or_else(|| String::from("none"), checksum);
            let head = format!("{old}\n{}\n", checksum(new));
            [head.as_bytes(), new].concat()
        }

        #[test]
        fn a_text_that_is_cut_or_comes_too_late_changes_nothing() {
            let home = tempfile::tempdir().unwrap();
            let old = b"Host x\r\n\xff";
            let new = b"Host y\n".repeat(50_000);
            for which in [Which::Config, Which::AuthorizedKeys] {
                let file = home.path().join(which.name().strip_prefix("~/").unwrap());
                assert_eq!(
                    found(&run(home.path(), which.read(), b"")).unwrap().content,
                    None
                );
                written(&run(home.path(), which.write(), &input(None, old))).unwrap();
                let read = found(&run(home.path(), which.read(), b"")).unwrap();
                assert_eq!(read.content.as_deref(), Some(&old[..]));
                let whole = input(Some(old), &new);
                for length in [0, 5, 30, whole.len() / 2, whole.len() - 1] {
                    let answer = run(home.path(), which.write(), &whole[..length]);
                    assert!(written(&answer).is_err(), "{length}");
                    assert_eq!(fs::read(&file).unwrap(), old, "{length}");
                }
                // Somebody else was there between.
                for stale in [Some(&b"other"[..]), None] {
                    let answer = run(home.path(), which.write(), &input(stale, &new));
                    let error = written(&answer).unwrap_err().to_string();
                    assert!(error.contains("somebody else"), "{error}");
                    assert_eq!(fs::read(&file).unwrap(), old);
                }
                written(&run(home.path(), which.write(), &whole)).unwrap();
                assert_eq!(fs::read(&file).unwrap(), new);
            }
            let entries = fs::read_dir(home.path().join(".ssh")).unwrap();
            assert_eq!(entries.count(), 2, "nothing is left beside them");
        }

        #[test]
        fn a_home_that_others_can_write_to_is_told() {
            let home = tempfile::tempdir().unwrap();
            for (mode, is_open) in [(0o755, false), (0o775, true), (0o757, true), (0o700, false)] {
                fs::set_permissions(home.path(), Permissions::from_mode(mode)).unwrap();
                let found = found(&run(home.path(), READ_KEYS, b"")).unwrap();
                assert_eq!(found.is_home_open, is_open, "{mode:o}");
            }
        }
    }
}
