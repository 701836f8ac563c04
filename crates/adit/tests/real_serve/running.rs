//! A gateway that runs, asked how it is and told to end.

use std::process::{Command, Output};

use adit_testkit::{require, wait};

use crate::world::World;

fn adit(words: &[&str], world: &World) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_adit"));
    command.args(words).arg("--data").arg(world.path("data"));
    command.output().unwrap()
}

#[test]
fn a_gateway_says_how_it_is_and_ends_when_it_is_told_to() {
    require!("ssh", "ssh-keygen");
    let world = World::new();
    for command in ["status", "stop"] {
        let output = adit(&[command], &world);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
    }
    let mut gateway = world.start(&[]);
    let ssh = world.tunnel(&world.ann);
    let output = adit(&["status", "--json"], &world);
    assert!(output.status.success(), "{output:?}");
    let state = String::from_utf8(output.stdout).unwrap();
    for words in [
        "\"ready\":true",
        "\"connections\":1",
        "\"leases_held\":1",
        "\"leases_unbound\":0",
        "\"keys\":2",
    ] {
        assert!(state.contains(words), "{words}: {state}");
    }
    let output = adit(&["status"], &world);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.lines().any(|line| line.starts_with("ready")), "{text}");
    // When it is done, it has ended.
    let output = adit(&["stop"], &world);
    assert!(output.status.success(), "{output:?}");
    assert!(gateway.wait(wait::DEADLINE).success());
    let output = adit(&["status"], &world);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(said.contains("no gateway runs"), "{said}");
    drop(ssh);
}
