//! `--laptop`: the block at another machine, over ssh.

use std::fs;
use std::os::unix::fs::symlink;

use crate::lab::{Lab, Said, mode, require_machines, said};

const FOREIGN: &[u8] = b"Host *\r\n\tServerAliveInterval 9 # \xff\r\nHost x";

fn config(lab: &Lab, more: &[&str]) -> Said {
    let words = [
        "ssh",
        "config",
        "pi@red00[1-2]",
        "pi@red",
        "--laptop=pi@laptop",
    ];
    lab.red.adit(&[&words, more].concat())
}

#[test]
fn the_block_is_written_at_the_laptop_and_nothing_else_is_touched() {
    require_machines!();
    let lab = Lab::with_a_laptop_that_serves();
    let laptop = &lab.laptop;
    let said_ = config(&lab, &["--dry-run"]).ok();
    assert!(
        said_.stdout.starts_with("# >>> adit: red >>>\n"),
        "{said_:?}"
    );
    assert!(!laptop.pi(".ssh").exists());
    // Start files that talk, and a home that others can read.
    laptop.pi_writes(".bashrc", "echo Welcome to pi; echo adit-fil\n", 0o644);
    config(&lab, &[]).ok();
    let path = laptop.pi(".ssh/config");
    assert_eq!((mode(&path), mode(&laptop.pi(".ssh"))), (0o600, 0o700));
    let only = fs::read(&path).unwrap();
    laptop.pi_writes(".ssh/config", FOREIGN, 0o644);
    config(&lab, &[]).ok();
    let written = fs::read(&path).unwrap();
    assert_eq!(written, [&only[..], FOREIGN].concat());
    assert_eq!(mode(&path), 0o644);
    for _ in 0..2 {
        let said = config(&lab, &[]).ok();
        assert!(said.stdout.contains("nothing was changed"), "{said:?}");
        assert_eq!(fs::read(&path).unwrap(), written);
    }
    // Stock ssh of that user takes it.
    let ssh = said(&mut laptop.command_of_pi("ssh", &["-G", "red001"])).ok();
    assert!(ssh.stdout.contains("\nproxyjump red\n"), "{ssh:?}");
    let words = ["ssh", "config", "--remove", "red", "--laptop", "pi@laptop"];
    lab.red.adit(&words).ok();
    assert_eq!(fs::read(&path).unwrap(), FOREIGN);
    let entries = fs::read_dir(laptop.pi(".ssh")).unwrap();
    assert_eq!(entries.count(), 1, "nothing is left beside the file");
    assert!(
        !lab.red.root(".ssh/config").exists(),
        "nothing is written here"
    );
    // The password was in no command line that anybody could see, nor in the log.
    assert!(!laptop.log().contains(crate::lab::PASSWORD));
}

#[test]
fn what_ssh_would_not_read_there_is_left_and_a_link_is_written_through() {
    require_machines!();
    let lab = Lab::with_a_laptop_that_serves();
    let laptop = &lab.laptop;
    laptop.pi_writes(".ssh/config", FOREIGN, 0o666);
    let said = config(&lab, &[]);
    assert!(
        said.code == Some(1) && said.stderr.contains("chmod go-w"),
        "{said:?}"
    );
    assert_eq!(fs::read(laptop.pi(".ssh/config")).unwrap(), FOREIGN);
    let broken = b"# >>> adit: red >>>\n";
    laptop.pi_writes(".ssh/config", broken, 0o600);
    let said = config(&lab, &[]);
    assert!(
        said.code == Some(1) && said.stderr.contains("line 1"),
        "{said:?}"
    );
    assert_eq!(fs::read(laptop.pi(".ssh/config")).unwrap(), broken);
    fs::remove_file(laptop.pi(".ssh/config")).unwrap();
    laptop.pi_writes("dotfiles", FOREIGN, 0o640);
    symlink("../dotfiles", laptop.pi(".ssh/config")).unwrap();
    config(&lab, &[]).ok();
    assert!(
        fs::symlink_metadata(laptop.pi(".ssh/config"))
            .unwrap()
            .is_symlink()
    );
    let written = fs::read(laptop.pi("dotfiles")).unwrap();
    assert!(written.ends_with(FOREIGN) && written.len() > FOREIGN.len());
    assert_eq!(mode(&laptop.pi("dotfiles")), 0o640);
    // The wrong password changes nothing, and says so without it.
    let words = ["ssh", "config", "--remove", "red", "--laptop", "pi@laptop"];
    let mut command = lab.red.command(env!("CARGO_BIN_EXE_adit"), &words);
    let said = crate::lab::said(command.env("ADIT_PASSWORD", "wrong-0815"));
    assert!(
        said.code == Some(1) && !said.stderr.contains("wrong-0815"),
        "{said:?}"
    );
    assert_eq!(fs::read(laptop.pi("dotfiles")).unwrap(), written);
}
