//! Files that others can write to: what ssh would not read is not read, and what decides what is run is told of
//! (security rule G105).

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use adit_testkit::port::Port;
use rustix::fs::{Gid, Uid, chown};

use crate::lab::Lab;

/// A gateway at nobody's port, which `~/.ssh/config` and its includes have a part in.
fn lab(port: &Port) -> Lab {
    let lab = Lab::new(&format!(
        "gateway:
  type: ssh-tunnel
  port: '0:8090'
  connection: {{host: gw.invalid, auth: {{type: keyfile, username: u, keyfile: k}}}}
component: {{type: shell, command: [echo, '${{gateway:8090.public_address}}']}}
workflow: {{component: __default__}}
controller: {{type: http-server, port: {}}}
",
        port.number()
    ));
    lab.write(
        ".ssh/config",
        "Include more\nHost gw.invalid\n  HostName 127.0.0.1\n  Port 1\n",
    );
    lab.write(".ssh/more", "Host other\n  Port 2\n");
    lab
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Whether each command that would dial by that file says that others can write to it, and which file it is.
#[track_caller]
fn is_refused(lab: &Lab, file: &str) {
    for words in [
        &["up"][..],
        &["run"],
        &["forward", "-R", "0:localhost:80", "u@gw.invalid"],
        &["doctor", "-R", "0:localhost:80", "u@gw.invalid"],
        &[
            "trust",
            "gw.invalid",
            "SHA256:p2QAMXNIC1TJYWeIOttrVc98/R1BUFWu3/LiyKgUfQM",
        ],
    ] {
        let said = lab.run(words);
        assert_eq!(said.code, Some(1), "{words:?}: {said:?}");
        let all = said.stdout + &said.stderr;
        let is_told = all.contains("can be written by others") && all.contains(file);
        assert!(is_told, "{words:?}: {all}");
    }
}

#[test]
fn a_configuration_of_ssh_that_others_can_write_is_refused_by_name() {
    let port = Port::reserve();
    let lab = lab(&port);
    for name in [".ssh/config", ".ssh/more"] {
        let file = lab.path(name);
        for mode in [0o664, 0o646, 0o666] {
            set_mode(&file, mode);
            is_refused(&lab, name);
        }
        set_mode(&file, 0o644);
        if rustix::process::geteuid().is_root() {
            let nobody = (Some(Uid::from_raw(65_534)), Some(Gid::from_raw(65_534)));
            chown(&file, nobody.0, nobody.1).unwrap();
            is_refused(&lab, name);
            chown(&file, Some(Uid::ROOT), Some(Gid::ROOT)).unwrap();
        }
    }
    // Nothing is wrong with them but that, so it is the key that is missed next.
    let said = lab.run(&["run"]);
    assert!(!said.stderr.contains("written by others"), "{said:?}");
    // Who names a file answers for it.
    set_mode(&lab.path(".ssh/config"), 0o666);
    let config = lab.path(".ssh/config").display().to_string();
    let said = lab.run(&[
        "forward",
        "-F",
        &config,
        "-R",
        "0:localhost:80",
        "-i",
        "k",
        "u@gw.invalid",
    ]);
    assert!(!said.stderr.contains("written by others"), "{said:?}");
}

#[test]
fn a_file_that_decides_what_is_run_and_that_everybody_can_write_is_told_of() {
    let lab = Lab::new(
        "component: {type: shell, command: [echo, '${env.WORD}']}\nworkflow: {output: '${output.stdout}'}\n",
    );
    lab.write(".env", "WORD=hi\n");
    let told = |name: &str| {
        let said = lab.run(&["run"]);
        assert_eq!(
            (said.code, said.stdout.as_str()),
            (Some(0), "hi\n"),
            "{said:?}"
        );
        let line = format!("warning: {name}:1:1: everybody can write to this file");
        assert_eq!(
            said.stderr.matches("everybody can write").count(),
            1,
            "{said:?}"
        );
        assert!(said.stderr.contains(&line), "{said:?}");
    };
    for name in ["model-compose.yml", ".env"] {
        set_mode(&lab.path(name), 0o666);
        told(name);
        set_mode(&lab.path(name), 0o664);
        assert_eq!(lab.run(&["run"]).stderr, "");
    }
}
