//! Units of systemd (systemd.service(5), systemd.exec(5)).

use super::{Account, MARK, Sandbox, TOLD, Unit, Value};

/// What no service needs. The score of `systemd-analyze security` stays at 2.0 or below (security rule G125).
const TIGHT: &str = "\
ProtectSystem=strict
PrivateTmp=yes
PrivateDevices=yes
PrivateIPC=yes
PrivateMounts=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
DevicePolicy=closed
KeyringMode=private
LockPersonality=yes
MemoryDenyWriteExecute=yes
RemoveIPC=yes
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
# It raises its own limit of open files.
SystemCallFilter=prlimit64 setrlimit
SystemCallErrorNumber=EPERM
";

/// The same where it starts programs of which nothing is known.
const PROGRAMS: &str = "\
ProtectSystem=full
PrivateTmp=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
KeyringMode=private
RestrictSUIDSGID=yes
";

/// What a user's own manager can take away.
const OF_USER: &str = "\
NoNewPrivileges=yes
LockPersonality=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
";

/// The unit of a service of the machine.
pub fn system(unit: &Unit) -> String {
    let mut text = head(unit, true);
    match &unit.account {
        Account::User(user) => add(&mut text, &format!("\nUser={user}\n")),
        Account::Dynamic(user) => add(&mut text, &format!("\nDynamicUser=yes\nUser={user}\n")),
    }
    if let Some(state) = &unit.state {
        add(
            &mut text,
            &format!("StateDirectory={state}\nStateDirectoryMode=0700\n"),
        );
    }
    let name = &unit.name;
    add(
        &mut text,
        &format!("RuntimeDirectory={name}\nRuntimeDirectoryMode=0700\nUMask=0077\n"),
    );
    if !matches!(unit.account, Account::Dynamic(_)) {
        // Those of /run/user are read only to it.
        text.push_str("Environment=XDG_RUNTIME_DIR=%t/");
        text.push_str(name.as_str());
        text.push('\n');
    }
    for credential in &unit.credentials {
        let (name, file) = (&credential.name, specifiers(credential.file.as_str()));
        add(&mut text, &format!("LoadCredential={name}:{file}\n"));
    }
    if unit.sandbox == Sandbox::Tight {
        // Ports below 1024; a program of the user's that it starts would have it, too.
        text.push_str("AmbientCapabilities=CAP_NET_BIND_SERVICE\n");
    }
    text.push_str("CapabilityBoundingSet=CAP_NET_BIND_SERVICE\nNoNewPrivileges=yes\n\n");
    match unit.sandbox {
        Sandbox::Tight => {
            let home = match unit.account {
                Account::User(_) => "ProtectHome=read-only\n",
                Account::Dynamic(_) => "ProtectHome=yes\n",
            };
            text.push_str(home);
            for path in &unit.writable {
                add(
                    &mut text,
                    &format!("ReadWritePaths={}\n", quoted(&format!("-{path}"))),
                );
            }
            text.push_str(TIGHT);
        }
        Sandbox::Programs => text.push_str(PROGRAMS),
    }
    text.push_str("\n[Install]\nWantedBy=multi-user.target\n");
    text
}

/// The unit of a service of one user, for that user's own systemd.
pub fn user(unit: &Unit) -> String {
    let mut text = head(unit, false);
    for credential in &unit.credentials {
        let (name, file) = (&credential.name, specifiers(credential.file.as_str()));
        add(&mut text, &format!("LoadCredential={name}:{file}\n"));
    }
    text.push('\n');
    match unit.sandbox {
        Sandbox::Tight => {
            text.push_str(OF_USER);
            text.push_str("MemoryDenyWriteExecute=yes\n");
        }
        Sandbox::Programs => text.push_str(OF_USER),
    }
    text.push_str("\n[Install]\nWantedBy=default.target\n");
    text
}

fn head(unit: &Unit, is_of_machine: bool) -> String {
    let mut text = format!("# {MARK}\n\n[Unit]\nDescription={}\n", unit.about);
    if is_of_machine {
        text.push_str("Wants=network-online.target\nAfter=network-online.target\n");
    }
    // It is tried for ever: nobody may be there to start it again.
    text.push_str("StartLimitIntervalSec=0\n\n[Service]\nType=notify\nExecStart=");
    // No variable is looked for in it, unlike in the words behind.
    text.push_str(&quoted(unit.program.as_str()));
    for word in &unit.arguments {
        text.push(' ');
        text.push_str(&argument(word.as_str()));
    }
    text.push('\n');
    if unit.reloads {
        text.push_str("ExecReload=/bin/kill -HUP $MAINPID\n");
    }
    if let Some(folder) = &unit.folder {
        add(
            &mut text,
            &format!("WorkingDirectory={}\n", specifiers(folder.as_str())),
        );
    }
    for (name, value) in &unit.environment {
        let assignment = match value {
            Value::Word(word) => quoted(&format!("{name}={}", word.as_str())),
            // Its name is plain, and the specifier is meant.
            Value::File(credential) => format!("{name}=%d/{}", credential.name),
        };
        add(&mut text, &format!("Environment={assignment}\n"));
    }
    let (watchdog, stop) = (unit.watchdog, unit.stop);
    add(
        &mut text,
        &format!(
            "Restart=always\nRestartSec=1s\nSuccessExitStatus={TOLD}\nRestartPreventExitStatus={TOLD}\nWatchdogSec={watchdog}s\nTimeoutStartSec=90s\nTimeoutStopSec={stop}s\nLimitNOFILE=65536\n"
        ),
    );
    text
}

fn add(text: &mut String, lines: &str) {
    text.push_str(lines);
}

/// A word of ExecStart=: no variable, no specifier, no escape of it is taken for more.
fn argument(word: &str) -> String {
    quoted(&word.replace('$', "$$"))
}

/// A word between quotes, if it needs them, in which `%` stands for itself.
fn quoted(word: &str) -> String {
    let word = specifiers(word);
    let is_plain = |found: char| found.is_ascii_alphanumeric() || "-_./:=@%+,$".contains(found);
    // What systemd would take for a sign of its own does not stand in front without quotes.
    let begins_plain =
        word.starts_with(|first: char| first.is_ascii_alphanumeric() || "/-".contains(first));
    if begins_plain && word.chars().all(is_plain) {
        return word;
    }
    format!("\"{}\"", word.replace('\\', "\\\\").replace('"', "\\\""))
}

fn specifiers(text: &str) -> String {
    text.replace('%', "%%")
}
