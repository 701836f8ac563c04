//! The guide for seed 004, word for word: its two languages give the same commands, its `adit.yml` is kept by `adit up`,
//! and its rsync fetches through a forward.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use adit_testkit::docker::said;
use adit_testkit::namespace::Namespace;
use adit_testkit::process::Process;
use adit_testkit::sshd::Sshd;
use adit_testkit::{require, wait};

use crate::ground::root;

const GUIDE: &str = "docs/guide/database-replica.md";
const GUIDE_ZH_TW: &str = "docs/guide/database-replica.zh-TW.md";

fn read(page: &str) -> String {
    fs::read_to_string(root().join(page)).unwrap()
}

/// All blocks of a page, with the word behind their fences.
fn blocks(page: &str) -> Vec<String> {
    let text = read(page);
    let blocks = text.split("```").skip(1).step_by(2);
    blocks.map(str::to_owned).collect()
}

/// The block that begins so, without its fence.
fn block(start: &str) -> String {
    let blocks = blocks(GUIDE);
    let found = blocks.iter().find_map(|block| {
        let (_, text) = block.split_once('\n')?;
        text.starts_with(start).then(|| text.to_owned())
    });
    found.unwrap()
}

#[test]
fn both_languages_have_the_same_blocks_and_none_switches_host_keys_off() {
    let (english, chinese) = (blocks(GUIDE), blocks(GUIDE_ZH_TW));
    assert_eq!(english, chinese);
    assert!(english.len() >= 11, "{} blocks", english.len());
    let readme = "deploy/docker/README.md";
    for page in [GUIDE, GUIDE_ZH_TW, readme] {
        let lines = blocks(page).concat();
        assert!(!lines.contains("StrictHostKeyChecking"), "{page}");
        assert!(!lines.contains("/dev/null"), "{page}");
    }
    // What the guide has of the image's own page is said there in the same words.
    let own = blocks(readme).concat();
    for line in [
        "cat id_ed25519.pub >> clients/authorized_keys",
        "docker-compose -f compose.server.yml logs",
        "export SSH_CONFIG_NAME=remote-server SSH_REVERSE_HOST=master-db",
        "docker-compose -f compose.client.yml up -d",
    ] {
        assert!(
            own.contains(line) && english.concat().contains(line),
            "{line}"
        );
    }
}

#[test]
fn every_variable_of_a_compose_file_is_told_of() {
    let readme = read("deploy/docker/README.md");
    let mut count = 0_usize;
    for name in ["client", "server", "rsshd"] {
        let text = read(&format!("deploy/docker/compose.{name}.yml"));
        for reference in text.split("${").skip(1) {
            let is_end = |char: char| !char.is_ascii_uppercase() && char != '_';
            let variable = reference.split(is_end).next().unwrap();
            assert!(readme.contains(variable), "{name}: {variable}");
            count += 1;
        }
    }
    assert!(count >= 12, "{count} variables");
}

#[test]
fn files_are_fetched_by_rsync_through_a_forward() {
    require!(root);
    require!("ip", "nsenter", "sshd", "ssh-keygen", "rsync");
    let (home, cloud) = (Namespace::new(), Namespace::new());
    let subnet = cloud.join(&home);
    let sshd = Sshd::builder().start_in(&cloud, subnet.v4(1).into());
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let shown = |name: &str| path(name).display().to_string();
    for name in ["home/.ssh", "www", "copy"] {
        fs::create_dir_all(path(name)).unwrap();
    }
    // The guide's files, with this test's places in them.
    let config = block("Host remote-server")
        .replace("203.0.113.7", &sshd.addr().ip().to_string())
        .replace("ubuntu", sshd.user())
        .replace(
            "~/.ssh/id_ed25519",
            &sshd.user_key().private_path().display().to_string(),
        );
    let config = format!(
        "{config}  Port {}\n  UserKnownHostsFile {}\n",
        sshd.addr().port(),
        sshd.known_hosts_path().display()
    );
    fs::write(path("home/.ssh/config"), config).unwrap();
    fs::set_permissions(path("home/.ssh/config"), fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(path("adit.yml"), block("tunnels:")).unwrap();
    fs::write(
        path("rsyncd.conf"),
        block("use chroot").replace("/var/www", &shown("www")),
    )
    .unwrap();

    // It goes to the background otherwise.
    let daemon = block("rsync --daemon").replace("--daemon", "--daemon --no-detach");
    let daemon = daemon.replace("rsyncd.conf", &shown("rsyncd.conf"));
    let mut words = daemon.split_whitespace();
    let mut command = home.command(words.next().unwrap());
    let daemon = Process::spawn(command.args(words));
    let mut adit = Command::new("env");
    adit.args(["-u", "XDG_RUNTIME_DIR"])
        .arg(format!("HOME={}", shown("home")))
        .arg(format!("XDG_STATE_HOME={}", shown("state")))
        .arg(env!("CARGO_BIN_EXE_adit"))
        .args(["up", "-f"])
        .arg(path("adit.yml"));
    let mut adit = Process::spawn(&mut home.wrap(&adit));
    let forward = "8730 -> localhost:873";
    adit.wait_for_text(forward);

    let fetch = block("rsync -a").replace("/var/www/", &shown("copy/"));
    let fetch: Vec<&str> = fetch.split_whitespace().collect();
    let fetch = || cloud.command(fetch[0]).args(&fetch[1..]).output().unwrap();
    fs::write(path("www/index.html"), "hello").unwrap();
    fs::write(path("www/old.html"), "old").unwrap();
    wait::until("the files are there", || {
        let output = fetch();
        if output.status.success() {
            return Ok(());
        }
        Err((said(&output), daemon.stderr(), adit.stderr()))
    });
    assert_eq!(
        fs::read_to_string(path("copy/index.html")).unwrap(),
        "hello"
    );
    fs::remove_file(path("www/old.html")).unwrap();
    fs::write(path("www/index.html"), "hello again").unwrap();
    let output = fetch();
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(
        fs::read_to_string(path("copy/index.html")).unwrap(),
        "hello again"
    );
    assert!(!path("copy/old.html").exists());

    // For reading alone.
    let push = ["-a", &shown("copy/"), "rsync://localhost:8730/www/"];
    let output = cloud.command("rsync").args(push).output().unwrap();
    assert!(said(&output).contains("read only"), "{}", said(&output));
}
