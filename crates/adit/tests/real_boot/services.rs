//! `adit service` in a machine that boots (AT37, AT38), without a password and without anybody there.

use std::fs;
use std::path::Path;

use adit_testkit::key_pair::{KeyKind, KeyPair};
use adit_testkit::{real, require, wait};

use crate::machine::{Machine, text};

/// The gateway that the tunnels of this machine lead to is on it, at an address that comes late.
const SETTINGS: &str = "ssh: 2222\nports: 10000-10010\nauthorized_keys: /etc/adit/keys\n";
const TUNNELS: &str = "\
tunnels:
  gw:
    host: gw
    forwards:
      - remote: \"10000:127.0.0.1:2222\"
";
const CONFIG: &str = "\
Host gw
  HostName 192.0.2.1
  Port 2222
  User pi
  ServerAliveInterval 1
  ServerAliveCountMax 2
";

fn shared(folder: &Path) {
    let path = |name: &str| folder.join(name);
    fs::copy(env!("CARGO_BIN_EXE_adit"), path("adit")).unwrap();
    let key = KeyPair::generate(folder, "key", KeyKind::Ed25519);
    fs::copy(key.public_path(), path("keys")).unwrap();
    fs::write(path("gateway.yml"), SETTINGS).unwrap();
    fs::write(path("adit.yml"), TUNNELS).unwrap();
    fs::write(path("config"), CONFIG).unwrap();
}

fn show(machine: &Machine, unit: &str, property: &str) -> String {
    let line = format!("systemctl show --value --property={property} {unit}");
    machine.get(&line).trim().to_owned()
}

/// A visitor of the tunnel is greeted by the gateway, through it.
fn visited(machine: &Machine) {
    let visit = "bash -c 'exec 3<>/dev/tcp/127.0.0.1/10000; head -c 8 <&3'";
    machine.says(visit, "SSH-2.0-");
}

/// Waits until a service has another process, and is active.
fn another(machine: &Machine, unit: &str, pid: &str) -> String {
    wait::until_within(
        std::time::Duration::from_secs(150),
        "another process",
        || {
            let now = show(machine, unit, "MainPID");
            let state = show(machine, unit, "ActiveState");
            if now != pid && now != "0" && state == "active" {
                Ok(now)
            } else {
                Err((now, state))
            }
        },
    )
}

fn late_network(machine: &Machine) {
    // Nothing but loopback is there, and the services run all the same.
    for unit in ["adit-gateway", "adit-up", "adit-hosts"] {
        assert_eq!(show(machine, unit, "ActiveState"), "active", "{unit}");
    }
    assert!(!machine.run("adit service status serve").stdout.is_empty());
    let pid = show(machine, "adit-up", "MainPID");
    machine.get("ip addr add 192.0.2.1/32 dev lo");
    visited(machine);
    // It is the same process that has waited.
    assert_eq!(show(machine, "adit-up", "MainPID"), pid);
}

#[test]
#[ignore = "boots a machine: cargo xtask soak service-boot"]
fn services_start_at_boot_and_come_back_whatever_happens() {
    require!("systemd-nspawn", "debootstrap", "nsenter", "ssh-keygen");
    if !real::is_root_or_skip() {
        return;
    }
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let (srv, disk) = (folder.path().join("srv"), folder.path().join("disk"));
    fs::create_dir(&srv).unwrap();
    shared(&srv);
    Machine::disk(&disk);
    let machine = Machine::boot_from(&disk, &srv);
    machine.get("install -m 755 /srv/adit /usr/local/bin/");
    machine.get("install -d /etc/adit && install -m 644 /srv/gateway.yml /srv/keys /etc/adit/");
    machine.get("useradd --create-home pi");
    machine.get("install -d -o pi -g pi -m 700 /home/pi/.ssh");
    machine.get("install -o pi -g pi -m 600 /srv/key /home/pi/.ssh/id_ed25519");
    machine.get("install -o pi -g pi -m 600 /srv/config /home/pi/.ssh/config");
    machine.get("install -o pi -g pi -m 644 /srv/adit.yml /home/pi/adit.yml");

    // The lines of the guide.
    let guide = fs::read_to_string("../../docs/guide/boot.md").unwrap();
    let (_, rest) = guide.split_once("```sh\n").unwrap();
    let (lines, _) = rest.split_once("```").unwrap();
    let lines: Vec<_> = lines.lines().collect();
    assert_eq!(lines.len(), 3, "{lines:?}");
    for line in lines {
        // Who calls sudo is pi.
        let line = line.replace("sudo ", "SUDO_USER=pi ");
        machine.get(&format!("cd /home/pi && {line}"));
    }
    assert_eq!(show(&machine, "adit-up", "User"), "pi");
    assert_eq!(show(&machine, "adit-hosts", "User"), "pi");
    late_network(&machine);
    // A person of this machine finds both.
    let asked = "su pi -c 'cd; adit status -f adit.yml; true'";
    machine.says(asked, "gw: connected");
    let create = "su pi -c 'cd; adit host tunnel create gw 80 8080'";
    machine.says(create, "up");
    machine.says("su pi -c 'cd; adit status; true'", "hosts/ports.json");

    // AT37.
    let mut pids =
        ["adit-up", "adit-hosts", "adit-gateway"].map(|unit| show(&machine, unit, "MainPID"));
    for _ in 0..20 {
        for (unit, pid) in ["adit-up", "adit-hosts", "adit-gateway"]
            .iter()
            .zip(&mut pids)
        {
            machine.get(&format!("kill -9 {pid}"));
            *pid = another(&machine, unit, pid);
        }
        visited(&machine);
    }
    machine.says("su pi -c 'cd; adit host tunnel list'", " up ");
    // An address that goes, and comes back.
    machine.get("ip addr del 192.0.2.1/32 dev lo");
    machine.says("su pi -c 'cd; adit host tunnel list -o csv'", ",waiting,");
    machine.get("ip addr add 192.0.2.1/32 dev lo");
    visited(&machine);
    machine.says("su pi -c 'cd; adit host tunnel list'", " up ");
    // The watchdog: one that is there and does nothing.
    for (unit, pid) in ["adit-up", "adit-hosts"].iter().zip(&pids) {
        machine.get(&format!("kill -STOP {pid}"));
        another(&machine, unit, pid);
    }
    visited(&machine);
    // Security rule G125, of what runs.
    for unit in ["adit-up", "adit-hosts", "adit-gateway"] {
        machine.get(&format!(
            "systemd-analyze security --no-pager --threshold=20 {unit}"
        ));
    }
    drop(machine);

    // It boots again, with nobody there.
    let machine = Machine::boot_from(&disk, &srv);
    late_network(&machine);
    machine.says("su pi -c 'cd; adit host tunnel list'", " up ");
    machine.says("adit service logs up -n 20", "connected");
    for what in ["up", "hosts", "serve"] {
        machine.get(&format!("adit service uninstall {what}"));
        let output = machine.run(&format!("adit service status {what}"));
        assert_eq!(output.status.code(), Some(1));
        assert!(text(&output).contains("not installed"), "{}", text(&output));
    }
}
