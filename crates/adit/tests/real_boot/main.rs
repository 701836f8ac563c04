//! The units of the examples in a machine that boots: systemd starts, watches, reloads and ends a gateway.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::fs;

use adit_testkit::key_pair::{KeyKind, KeyPair};
use adit_testkit::{real, require};

use crate::machine::Machine;

mod machine;
mod services;

const UNITS: &str = "../../examples/gateway/systemd";
/// As the guide has it, with a port below 1024 for clients and one for forwards.
const SETTINGS: &str = "
ssh: 443
domain: localhost
ports: 80,10000-10010
authorized_keys: keys
drain: 1s
";
/// A folder with what is to be installed.
fn shared() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::copy(env!("CARGO_BIN_EXE_adit"), path("adit")).unwrap();
    let mut units = 0;
    for unit in fs::read_dir(UNITS).unwrap() {
        let unit = unit.unwrap();
        fs::copy(unit.path(), path(unit.file_name().to_str().unwrap())).unwrap();
        units += 1;
    }
    assert_eq!(units, 2);
    let key = KeyPair::generate(folder.path(), "key", KeyKind::Ed25519);
    fs::copy(key.public_path(), path("keys")).unwrap();
    fs::write(path("gateway.yml"), SETTINGS).unwrap();
    folder
}

/// The lines of the guide that install it.
fn install(machine: &Machine) {
    let guide = fs::read_to_string("../../docs/guide/gateway.md").unwrap();
    let (_, rest) = guide.split_once("## Under systemd").unwrap();
    let (_, rest) = rest.split_once("```sh\n").unwrap();
    let (lines, _) = rest.split_once("```").unwrap();
    let lines: Vec<_> = lines.lines().collect();
    assert!(lines.len() >= 4, "{lines:?}");
    for line in lines {
        machine.get(&format!("cd /srv && {line}"));
    }
}

fn shown(machine: &Machine, property: &str) -> String {
    let line = format!("systemctl show --value --property={property} adit-gateway");
    machine.get(&line).trim().to_owned()
}

/// A forward from in there, back to the gateway, which greets its visitors.
fn tunnel(machine: &Machine) {
    machine.get("install -m 600 /srv/key /run/key");
    machine.get(
        "systemd-run --quiet --unit=client --property=Restart=always --property=RestartSec=1s \
         ssh -F none -i /run/key -p 443 -N \
         -o StrictHostKeyChecking=no -o BatchMode=yes -o ExitOnForwardFailure=yes \
         -R '*:80:127.0.0.1:443' root@127.0.0.1",
    );
    visited(machine);
}

fn visited(machine: &Machine) {
    let visit = "bash -c 'exec 3<>/dev/tcp/127.0.0.1/80; head -c 8 <&3'";
    machine.says(visit, "SSH-2.0-");
}

#[test]
#[ignore = "boots a machine: cargo xtask soak gateway-boot"]
fn a_gateway_under_systemd_starts_serves_reloads_and_ends() {
    require!("systemd-nspawn", "debootstrap", "nsenter", "ssh-keygen");
    if !real::is_root_or_skip() {
        return;
    }
    let shared = shared();
    let machine = Machine::boot(shared.path());
    install(&machine);
    // systemctl comes back when it serves.
    assert_eq!(shown(&machine, "ActiveState"), "active");
    let pid = shown(&machine, "MainPID");
    let status = machine.get(&format!("cat /proc/{pid}/status"));
    // CAP_NET_BIND_SERVICE is bit 10, and root is user 0.
    for line in [
        "CapEff:\t0000000000000400",
        "CapBnd:\t0000000000000400",
        "NoNewPrivs:\t1",
    ] {
        assert!(status.contains(line), "{line}: {status}");
    }
    assert!(!status.contains("Uid:\t0"), "{status}");
    // Security rule G125, of what runs.
    machine.get("systemd-analyze security --no-pager --threshold=20 adit-gateway");
    tunnel(&machine);
    // Root asks a gateway that is somebody else's.
    let state = machine.get("adit status --data /var/lib/adit");
    assert!(state.contains("leases held"), "{state}");

    // What is wrong changes nothing, and a key that is taken away is disconnected.
    machine.get("cp /etc/adit/gateway.yml /srv/kept && echo nonsense: 1 >>/etc/adit/gateway.yml");
    machine.get("systemctl reload adit-gateway");
    machine.says(
        "journalctl --no-pager --unit=adit-gateway",
        "nothing is changed",
    );
    visited(&machine);
    machine.get("cp /srv/kept /etc/adit/gateway.yml && systemctl reload adit-gateway");
    visited(&machine);
    assert_eq!(shown(&machine, "MainPID"), pid);

    // Over a restart the port is kept for whoever has it.
    machine.get("systemctl restart adit-gateway");
    assert_ne!(shown(&machine, "MainPID"), pid);
    let leases = machine.get("adit lease list --json --data /var/lib/adit");
    assert!(
        leases.contains("port 80") || leases.contains("\"80\""),
        "{leases}"
    );
    machine.get("ss -Hltn sport = :80 | grep -q LISTEN");
    visited(&machine);

    // One that hangs is started anew.
    machine.get(
        "mkdir -p /run/systemd/system/adit-gateway.service.d && \
         printf '[Service]\\nWatchdogSec=2s\\nTimeoutAbortSec=1s\\n' \
         >/run/systemd/system/adit-gateway.service.d/watchdog.conf && \
         systemctl daemon-reload && systemctl restart adit-gateway",
    );
    machine.get("systemctl kill --signal=STOP --kill-who=main adit-gateway");
    machine.says(
        "systemctl show --value --property=NRestarts adit-gateway",
        "1",
    );
    machine.says("systemctl is-active adit-gateway", "active");

    // Told to end it stays so.
    machine.get("adit stop --data /var/lib/adit");
    machine.says(
        "systemctl show --property=ActiveState,Result adit-gateway",
        "inactive",
    );
    machine.get("systemctl start adit-gateway");
    machine.get("systemctl stop adit-gateway");
    assert_eq!(shown(&machine, "Result"), "success");
}

#[test]
#[ignore = "boots a machine: cargo xtask soak gateway-boot"]
fn systemd_binds_the_port_and_keeps_who_comes_while_a_gateway_restarts() {
    require!("systemd-nspawn", "debootstrap", "nsenter", "ssh-keygen");
    if !real::is_root_or_skip() {
        return;
    }
    let shared = shared();
    let machine = Machine::boot(shared.path());
    install(&machine);
    machine.get("systemctl stop adit-gateway");
    // Without any right, and at the port of sshd.
    machine.get(
        "sed -i 's/^ListenStream=.*/ListenStream=22/' /srv/adit-gateway.socket && \
         install -m 644 /srv/adit-gateway.socket /etc/systemd/system/ && \
         sed -i 's/^AmbientCapabilities=.*//; s/^CapabilityBoundingSet=.*/CapabilityBoundingSet=/' \
         /etc/systemd/system/adit-gateway.service && \
         systemctl daemon-reload && systemctl enable --now adit-gateway.socket",
    );
    assert_eq!(shown(&machine, "ActiveState"), "inactive");
    let greeting = "bash -c 'exec 3<>/dev/tcp/127.0.0.1/22; head -c 8 <&3'";
    machine.says(greeting, "SSH-2.0-");
    assert_eq!(shown(&machine, "ActiveState"), "active");
    let status = machine.get(&format!("cat /proc/{}/status", shown(&machine, "MainPID")));
    assert!(status.contains("CapEff:\t0000000000000000"), "{status}");
    let listening = machine.get("ss -Hltn");
    assert!(
        !listening.contains(":443 "),
        "what is given counts: {listening}"
    );
    // Nobody is refused meanwhile: who comes while it is down waits for it.
    machine.get("systemctl restart --no-block adit-gateway");
    for _ in 0..20 {
        let said = machine.get(greeting);
        assert_eq!(said, "SSH-2.0-");
    }
}
