//! `adit ssh copy-id` at a stock sshd that looks at modes (StrictModes) and takes a password.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use crate::lab::{Lab, Machine, PASSWORD, mode, require_machines};

fn keys(machine: &Machine) -> String {
    fs::read_to_string(machine.pi(".ssh/authorized_keys")).unwrap()
}

/// The seed: ssh-keygen, ssh-copy-id, and a login that asks for nothing.
#[test]
fn a_key_is_made_left_once_and_logs_in() {
    require_machines!();
    let lab = Lab::new();
    let Lab { laptop, red, .. } = &lab;
    let words = ["ssh", "copy-id", "pi@red.local"];
    let said = laptop
        .adit(&["ssh", "copy-id", "pi@red.local", "--dry-run"])
        .ok();
    assert!(
        said.stdout.contains("would be made") && said.stdout.contains("red.local: "),
        "{said:?}"
    );
    assert!(!laptop.root(".ssh/id_ed25519").exists() && red.log().matches("Accepted").count() == 0);
    let said = laptop.adit(&words).ok();
    assert_eq!(said.stdout, "red.local: key was added, and logs in\n");
    assert!(said.stderr.contains("without a passphrase"), "{said:?}");
    let [private, public] = ["id_ed25519", "id_ed25519.pub"].map(|it| laptop.root(".ssh").join(it));
    assert_eq!((mode(&private), mode(&public)), (0o600, 0o644));
    let line = fs::read_to_string(&public).unwrap();
    assert!(line.ends_with("@laptop\n"), "{line}");
    assert_eq!(keys(red), line);
    assert_eq!(
        (mode(&red.pi(".ssh")), mode(&red.pi(".ssh/authorized_keys"))),
        (0o700, 0o600)
    );
    // Again, with and without a password; and stock ssh.
    for _ in 0..2 {
        let said = laptop.adit_with_keys(&words).ok();
        assert_eq!(
            said.stdout,
            "red.local: key was there already, and logs in\n"
        );
        assert_eq!(keys(red), line);
    }
    let ssh = ["-o", "BatchMode=yes", "pi@red.local", "hostname"];
    assert_eq!(laptop.run("ssh", &ssh).ok().stdout, "red\n");
    let keygen = laptop
        .run("ssh-keygen", &["-l", "-f", ".ssh/id_ed25519"])
        .ok();
    assert!(keygen.stdout.contains("(ED25519)"), "{keygen:?}");
    assert!(!red.log().contains(PASSWORD));
    assert_eq!(fs::read_dir(red.pi(".ssh")).unwrap().count(), 1);
}

#[test]
fn what_is_in_the_file_there_stays() {
    require_machines!();
    let lab = Lab::new();
    let Lab { laptop, red, .. } = &lab;
    laptop
        .run(
            "ssh-keygen",
            &[
                "-q",
                "-t",
                "ecdsa",
                "-N",
                "",
                "-C",
                "a $(id) b",
                "-f",
                "key",
            ],
        )
        .ok();
    let line = fs::read_to_string(laptop.root("key.pub")).unwrap();
    let other =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIN0fe+3YdOHIn1Zu1OCFzTZgVRuPLGqHuAzrDzcVqxgq \u{e9}\r";
    let words = ["ssh", "copy-id", "-i", "key", "pi@red.local"];
    for (before, after) in [
        // The last line has no end; modes are mended.
        (other.to_owned(), format!("{other}\n{line}")),
        (format!("{other}\n"), format!("{other}\n{line}")),
        // It is there with options and another comment.
        (
            format!(
                "from=\"10.0.0.0/8\",no-pty {} mine\n",
                line.rsplitn(4, ' ').last().unwrap()
            ),
            String::new(),
        ),
    ] {
        red.pi_writes(".ssh/authorized_keys", &before, 0o664);
        fs::set_permissions(red.pi(".ssh"), fs::Permissions::from_mode(0o775)).unwrap();
        laptop.adit(&words).ok();
        let expected = if after.is_empty() { before } else { after };
        assert_eq!(keys(red), expected);
        assert_eq!(
            (mode(&red.pi(".ssh")), mode(&red.pi(".ssh/authorized_keys"))),
            (0o700, 0o600)
        );
    }
    assert!(!laptop.root(".ssh/id_ed25519").exists(), "a key was named");
    let said = laptop.adit(&["ssh", "copy-id", "-i", "nokey", "pi@red.local"]);
    assert!(
        said.code == Some(1) && said.stderr.contains("there is no key nokey"),
        "{said:?}"
    );
}

#[test]
fn one_that_fails_leaves_the_others_and_says_why() {
    require_machines!();
    let lab = Lab::new();
    let Lab {
        laptop,
        red,
        workers,
    } = &lab;
    laptop
        .adit(&["ssh", "config", "pi@red00[1-3]", "pi@red"])
        .ok();
    laptop.adit(&["ssh", "copy-id", "red"]).ok();
    // Its home is everybody's, so that its sshd takes no key from it; red003 is nowhere.
    fs::set_permissions(workers[0].pi(""), fs::Permissions::from_mode(0o777)).unwrap();
    let said = laptop.adit(&["ssh", "copy-id", "red00[1-3]"]);
    assert_eq!(said.code, Some(1), "{said:?}");
    let lines: Vec<&str> = said.stdout.lines().collect();
    assert_eq!(lines.len(), 3, "{said:?}");
    assert!(
        lines[0].starts_with("red001: failed: the key was added, but does not log in"),
        "{said:?}"
    );
    assert!(lines[0].contains("chmod go-w ~"), "{said:?}");
    assert_eq!(lines[1], "red002: key was added, and logs in");
    assert!(
        lines[2].starts_with("red003: failed: cannot log in to leave the key there"),
        "{said:?}"
    );
    fs::set_permissions(workers[0].pi(""), fs::Permissions::from_mode(0o755)).unwrap();
    let said = laptop.adit(&["ssh", "copy-id", "red00[1-2]"]).ok();
    assert_eq!(
        said.stdout,
        "red001: key was there already, and logs in\nred002: key was there already, and logs in\n"
    );
    // A host that nobody knows is sent no password.
    fs::write(laptop.root(".ssh/known_hosts"), "").unwrap();
    let before = red.log().matches("password").count();
    fs::remove_file(laptop.root(".ssh/id_ed25519")).unwrap();
    fs::remove_file(laptop.root(".ssh/id_ed25519.pub")).unwrap();
    let said = laptop.adit(&["ssh", "copy-id", "red"]);
    assert!(
        said.code == Some(1) && said.stdout.contains("failed"),
        "{said:?}"
    );
    assert_eq!(
        red.log().matches("password").count(),
        before,
        "{}",
        red.log()
    );
    for names in ["red\n", "-oProxyCommand=x", "red001;x", "red[1", ""] {
        let said = laptop.adit(&["ssh", "copy-id", "--", names]);
        assert_eq!(said.code, Some(2), "{names:?} {said:?}");
    }
}

/// A gateway's account, or one whose shell is none.
#[test]
fn an_account_without_a_shell_is_told() {
    require_machines!();
    let lab = Lab::new();
    let Lab { laptop, red, .. } = &lab;
    red.has_shell("/bin/false");
    let said = laptop.adit(&["ssh", "copy-id", "pi@red.local"]);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(
        said.stdout.contains("no POSIX shell has answered") && said.stdout.contains("adit join"),
        "{said:?}"
    );
    // Another shell hands the script on.
    red.has_shell("/bin/dash");
    laptop.adit(&["ssh", "copy-id", "pi@red.local"]).ok();
}
