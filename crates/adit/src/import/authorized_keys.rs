//! `authorized_keys` of sshd: adit serve reads the same form, and each line that it would not take is made a comment.

use adit_model::grant::Grant;
use adit_tunnel::gateway::authorized_keys::{AuthorizedKeys, Defaults};
use jiff::tz::TimeZone;

use super::Imported;

pub(super) fn import(text: &str) -> anyhow::Result<Imported> {
    let defaults = Defaults {
        grant: Grant::default(),
        zone: TimeZone::system(),
    };
    let read = AuthorizedKeys::parse(text.as_bytes(), &defaults)?;
    let mut imported = Imported::default();
    imported
        .text
        .push_str("# For adit serve --authorized-keys FILE.\n");
    for rejected in &read.rejected {
        let what = format!("column {}", rejected.column);
        let why = format!("{}; nobody is let in by this line", rejected.why);
        imported.leave(rejected.line, &what, &why);
    }
    for line in &read.lines {
        for note in &line.notes {
            imported.leave(
                line.number,
                &line.fingerprint.to_string(),
                &note.to_string(),
            );
        }
    }
    for (number, line) in (1..).zip(text.lines()) {
        if read.rejected.iter().any(|rejected| rejected.line == number) {
            imported.text.push_str("# left out: ");
        }
        imported.text.push_str(line);
        imported.text.push('\n');
    }
    Ok(imported)
}
