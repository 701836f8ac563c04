//! What somebody sees who logs in without a command: where the own forwards are, how many came, how to stop.
//!
//! With a terminal it is drawn anew in its place whenever something changes, without one each change is a
//! line. Nothing on it was written by a visitor (security rule I4-f), and what the client itself wrote is
//! escaped.

use std::time::Duration;

use adit_model::host::Name;
use adit_ssh::printable::Printable;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::watch;

use super::session::Reception;
use crate::control;
use crate::transport::{Bind, Session, SessionAsk, SessionWish};

/// What there is to see.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct View {
    /// Who is logged in.
    pub(super) name: String,
    /// The forwards that were granted, oldest first.
    pub(super) forwards: Vec<Shown>,
    /// The last things that happened, oldest first.
    pub(super) notes: Vec<String>,
    /// How many there were before those.
    pub(super) older: u64,
    /// Set once there is nothing more to see.
    pub(super) is_over: bool,
}

/// One forward.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shown {
    /// What was asked for, word for word.
    pub(super) bind: Bind,
    /// The name whose service it is, if it is one's.
    pub(super) name: Option<Name>,
    /// Where visitors of that name find it.
    pub(super) urls: Vec<String>,
    /// Where visitors come in.
    pub(super) place: String,
    /// How many have come.
    pub(super) visitors: u64,
}

/// How a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    /// By its client.
    Left,
    /// By this gateway.
    Over,
}

/// Notes that are kept.
pub(super) const NOTES: usize = 8;
/// The page is drawn no more often than that.
const PACE: Duration = Duration::from_millis(250);
/// What is said to who asks for a shell, a command, a subsystem and the like.
const INSTEAD: &str = "forwards are what it is for: ssh -N -R 0:localhost:8080 ...";

/// Serves one session to its end: the page for who names no command, and a reason for everybody else.
pub(super) async fn serve(
    mut session: Session,
    mut view: watch::Receiver<View>,
    reception: Reception,
) {
    let mut terminal = false;
    loop {
        let Some(SessionAsk { what, answer }) = session.asks.recv().await else {
            return;
        };
        match what {
            SessionWish::Terminal { .. } => {
                // It is the client's own; that it may show one is all that is granted.
                terminal = true;
                answer.grant();
            }
            SessionWish::Shell => {
                answer.grant();
                break;
            }
            SessionWish::Subsystem { name } if name.as_str() == control::NAME => {
                // A refusal in SSH's own terms: an agent goes on without.
                let Some(words) = reception.admit() else {
                    answer.refuse();
                    continue;
                };
                answer.grant();
                return reception.serve(session, words).await;
            }
            SessionWish::Command { .. }
            | SessionWish::Subsystem { .. }
            | SessionWish::Resize { .. }
            | SessionWish::Signal { .. }
            | SessionWish::Other { .. } => {
                let Some(complaint) = complaint(&what) else {
                    answer.refuse();
                    continue;
                };
                let ends = matches!(
                    what,
                    SessionWish::Command { .. } | SessionWish::Subsystem { .. }
                );
                session.complain(format!("adit: {complaint}; {INSTEAD}\r\n"));
                if ends {
                    // As a login shell does that turns people away. To a refusal in SSH's own terms OpenSSH
                    // says no more than that a request has failed, and leaves without reading what else
                    // there is.
                    answer.grant();
                    session.exit(1);
                    return;
                }
                answer.refuse();
            }
        }
    }
    let ended = if terminal {
        draw(&mut session, &mut view).await
    } else {
        tell(&mut session, &mut view).await
    };
    if let Some(ended) = ended {
        session.exit(match ended {
            Ended::Left => 0,
            Ended::Over => 1,
        });
    }
}

/// Why something that is asked in a session is not done; `None` for what needs no words.
fn complaint(wish: &SessionWish) -> Option<String> {
    Some(match wish {
        SessionWish::Command { line } => {
            format!("this gateway runs no commands, so not {:?}", line.as_str())
        }
        SessionWish::Subsystem { name } if name.as_str() == "sftp" => {
            String::from("this gateway keeps no files, so there is no sftp or scp")
        }
        SessionWish::Subsystem { name } => {
            format!("this gateway has no subsystem {:?}", name.as_str())
        }
        SessionWish::Other { name } => match name.as_str() {
            "auth-agent-req@openssh.com" => {
                String::from("no ssh-agent is forwarded here, since nothing here would use it")
            }
            "x11-req" => String::from("no X11 is forwarded here, since no programs run here"),
            _ => return None,
        },
        SessionWish::Terminal { .. }
        | SessionWish::Resize { .. }
        | SessionWish::Shell
        | SessionWish::Signal { .. } => return None,
    })
}

/// The page on a terminal. `None` when the client is gone.
async fn draw(session: &mut Session, view: &mut watch::Receiver<View>) -> Option<Ended> {
    loop {
        let now = view.borrow_and_update().clone();
        // Home, then each line cleared to its end, then everything below: nothing flickers.
        let mut text = String::from("\x1b[H");
        for line in page(&now).lines() {
            text.push_str(line);
            text.push_str("\x1b[K\r\n");
        }
        text.push_str("\x1b[J");
        session.stream.write_all(text.as_bytes()).await.ok()?;
        if now.is_over {
            return Some(Ended::Over);
        }
        if let Some(ended) = wait(session, view).await? {
            let _: Option<()> = session.stream.write_all(b"\r\n").await.ok();
            return Some(ended);
        }
    }
}

/// The same as lines: those that are new each time.
async fn tell(session: &mut Session, view: &mut watch::Receiver<View>) -> Option<Ended> {
    let (head, mut told) = {
        let now = view.borrow_and_update();
        (page(&now), now.notes_so_far())
    };
    session.stream.write_all(head.as_bytes()).await.ok()?;
    loop {
        if let Some(ended) = wait(session, view).await? {
            return Some(ended);
        }
        let (lines, is_over) = {
            let now = view.borrow_and_update();
            let new = now.notes_so_far().saturating_sub(told);
            told = now.notes_so_far();
            let skipped = now
                .notes
                .len()
                .saturating_sub(usize::try_from(new).unwrap_or(usize::MAX));
            let mut lines = String::new();
            for note in now.notes.iter().skip(skipped) {
                lines.push_str(note);
                lines.push('\n');
            }
            (lines, now.is_over)
        };
        session.stream.write_all(lines.as_bytes()).await.ok()?;
        if is_over {
            return Some(Ended::Over);
        }
    }
}

/// Waits for something to show, a while at least. `Some` if the session ends, `None` if it is gone.
async fn wait(session: &mut Session, view: &mut watch::Receiver<View>) -> Option<Option<Ended>> {
    let mut input = [0; 64];
    let mut is_fed = true;
    let pause = tokio::time::sleep(PACE);
    tokio::pin!(pause);
    let mut rested = false;
    loop {
        tokio::select! {
            read = session.stream.read(&mut input), if is_fed => match read {
                Ok(0) => is_fed = false,
                Ok(count) => {
                    let typed = input.get(..count).unwrap_or_default();
                    if typed.iter().any(|key| STOP.contains(key)) {
                        return Some(Some(Ended::Left));
                    }
                }
                Err(_) => return None,
            },
            ask = session.asks.recv() => match ask {
                None => return None,
                Some(SessionAsk { what: SessionWish::Signal { .. }, .. }) => {
                    return Some(Some(Ended::Left));
                }
                // Whatever else comes now is refused by being dropped.
                Some(_) => {}
            },
            () = &mut pause, if !rested => rested = true,
            changed = view.changed(), if rested => {
                changed.ok()?;
                return Some(None);
            }
        }
    }
}

/// Keys that end the page: q, Q, Ctrl-C, Ctrl-D.
const STOP: [u8; 4] = [b'q', b'Q', 0x03, 0x04];

impl View {
    /// Notes that there were so far.
    fn notes_so_far(&self) -> u64 {
        let kept = u64::try_from(self.notes.len()).unwrap_or(u64::MAX);
        self.older.saturating_add(kept)
    }

    /// One more note.
    pub(super) fn note(&mut self, note: &str) {
        self.notes
            .push(Printable::new(note.as_bytes()).as_str().to_owned());
        if self.notes.len() > NOTES {
            self.notes.remove(0);
            self.older = self.older.saturating_add(1);
        }
    }
}

fn page(view: &View) -> String {
    let mut text = format!(
        "adit gateway. You are {}.\n\n",
        Printable::new(view.name.as_bytes())
    );
    if view.forwards.is_empty() {
        text.push_str("No forwards. Ask for some with -R, for example -R 0:localhost:8080\n");
    } else {
        text.push_str("Your forwards on this connection:\n");
    }
    for forward in &view.forwards {
        let visitors = match forward.visitors {
            1 => String::from("1 visitor"),
            count => format!("{count} visitors"),
        };
        let [place, bind] =
            [&forward.place, &forward.bind.to_string()].map(|text| Printable::new(text.as_bytes()));
        text.push_str("  ");
        text.push_str(place.as_str());
        text.push_str("  (asked as ");
        text.push_str(bind.as_str());
        text.push_str(")  ");
        text.push_str(&visitors);
        text.push('\n');
    }
    text.push('\n');
    for note in &view.notes {
        text.push_str(note);
        text.push('\n');
    }
    text.push_str("Stop with q or Ctrl-C; without this page: ssh -N\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_names_every_address_and_escapes_what_the_client_wrote() {
        let mut view = View {
            name: String::from("ali\x1bce"),
            ..View::default()
        };
        assert!(page(&view).contains("No forwards"));
        view.forwards.push(Shown {
            bind: Bind::Tcp {
                host: String::from("*\x07"),
                port: 0,
            },
            name: None,
            urls: Vec::new(),
            place: String::from("0.0.0.0:40122, [::]:40122"),
            visitors: 1,
        });
        for number in 0..20 {
            view.note(&format!("note {number}\r"));
        }
        let text = page(&view);
        assert!(text.contains("0.0.0.0:40122, [::]:40122"), "{text}");
        assert!(text.contains("1 visitor\n"), "{text}");
        assert!(!text.contains(['\x1b', '\x07', '\r']), "{text:?}");
        assert!(
            !text.contains("note 11") && text.contains("note 12"),
            "{text}"
        );
        assert_eq!(view.notes_so_far(), 20);
    }
}
