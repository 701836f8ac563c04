//! The code as a person types it, at a terminal that `script` makes.

use std::process::Child;

use adit_testkit::require;

use super::*;

/// An `adit join` that has asked for the code.
struct Asked {
    child: Child,
    shown: String,
}

const PROMPT: &str = "Enrolment code: ";

impl Asked {
    fn by(world: &World, machine: &str) -> Self {
        let command = world.on(machine);
        let adit = command.get_program().to_str().unwrap();
        let line = format!("'{adit}' join {}", world.address());
        let mut script = Command::new("script");
        // The terminal shows what is typed, unless its program says otherwise.
        script.args(["-qe", "-E", "always", "-c", &line, "/dev/null"]);
        script.env_remove("ADIT_CODE_FILE");
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => script.env(name, value),
                None => script.env_remove(name),
            };
        }
        let child = script
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut asked = Self {
            child,
            shown: String::new(),
        };
        let output = asked.child.stdout.as_mut().unwrap();
        while !asked.shown.ends_with(PROMPT) {
            let mut byte = [0];
            output.read_exact(&mut byte).unwrap();
            asked.shown.push(char::from(byte[0]));
        }
        asked
    }

    /// Types a line. Gives all that was shown, and the exit code.
    fn types(mut self, line: &str) -> (String, Option<i32>) {
        let mut input = self.child.stdin.take().unwrap();
        input.write_all(format!("{line}\n").as_bytes()).unwrap();
        input.flush().unwrap();
        let mut rest = String::new();
        let output = self.child.stdout.as_mut().unwrap();
        output.read_to_string(&mut rest).unwrap();
        self.shown.push_str(&rest);
        let status = self.child.wait().unwrap();
        drop(input);
        (self.shown.clone(), status.code())
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        // One that has ended is gone already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

#[test]
fn a_code_is_typed_at_a_terminal_which_does_not_show_it() {
    require!("script");
    let world = World::new();
    let _gateway = world.start();
    let code = world.invite("red001", &["--name", "shop"]);
    // As it is read out: without groups, in capitals.
    let letters = code.strip_prefix("adit-").unwrap().replace('-', "");
    let typed = format!("adit-{}", letters.to_uppercase());
    let (shown, status) = Asked::by(&world, "first").types(&typed);
    assert_eq!(status, Some(0), "{shown}");
    assert!(shown.contains("this machine is red001"), "{shown}");
    assert_eq!(shown.matches(PROMPT).count(), 1, "{shown}");
    let shown = shown.to_lowercase();
    assert!(
        !shown.contains(&letters[..8]) && !shown.contains("adit-"),
        "{shown}"
    );
}

/// It ends there: what was mistyped is better copied.
#[test]
fn a_mistyped_code_is_told_without_it_and_burns_nothing() {
    require!("script");
    let world = World::new();
    let _gateway = world.start();
    let code = world.invite("red001", &[]);
    let mut typed = code.clone();
    let letter = typed.pop().unwrap();
    typed.push(if letter == '0' { '1' } else { '0' });
    for (typed, why) in [
        (typed.as_str(), "mistyped"),
        ("hunter2", "no enrolment code"),
    ] {
        let (shown, status) = Asked::by(&world, "first").types(typed);
        assert_eq!(status, Some(1), "{shown}");
        assert!(shown.contains(why), "{shown}");
        assert!(!shown.contains(typed), "{shown}");
        assert_eq!(shown.matches(PROMPT).count(), 1, "{shown}");
    }
    // The code is as good as before.
    let (shown, status) = Asked::by(&world, "first").types(&code);
    assert_eq!(status, Some(0), "{shown}");
}
