//! Scripts for OpenRC (openrc-run(8)) and for a plain init (LSB 5.0, 22.2).

use std::fmt::Write as _;

use super::{Account, MARK, Unit, Value, shell};

fn user(unit: &Unit) -> &str {
    match &unit.account {
        Account::User(user) | Account::Dynamic(user) => user.as_str(),
    }
}

impl Value {
    /// As it is where there is nobody who passes credentials on.
    fn as_str(&self) -> &str {
        match self {
            Self::Word(word) => word.as_str(),
            Self::File(credential) => credential.file.as_str(),
        }
    }
}

/// The words of its command line, for a shell.
fn arguments(unit: &Unit) -> String {
    let words: Vec<_> = unit
        .arguments
        .iter()
        .map(|word| shell(word.as_str()))
        .collect();
    words.join(" ")
}

/// A script for OpenRC, whose own supervisor starts the service again.
pub fn openrc(unit: &Unit) -> String {
    let mut text = format!("#!/sbin/openrc-run\n# {MARK}\n\n");
    let mut line = |name: &str, value: &str| {
        // A string can be written.
        writeln!(text, "{name}={}", shell(value)).ok();
    };
    line("description", unit.about);
    line("supervisor", "supervise-daemon");
    line("command", unit.program.as_str());
    line("command_args", &arguments(unit));
    line("command_user", user(unit));
    if let Some(folder) = &unit.folder {
        line("directory", folder.as_str());
    }
    line("respawn_delay", "1");
    // For ever.
    line("respawn_max", "0");
    line("output_log", &format!("/var/log/{}.log", unit.name));
    line("error_log", &format!("/var/log/{}.log", unit.name));
    line("umask", "077");
    for (name, value) in &unit.environment {
        writeln!(text, "export {name}={}", shell(value.as_str())).ok();
    }
    if unit.reloads {
        text.push_str(
            "extra_started_commands=reload\nreload() {\n\tsupervise-daemon \"$RC_SVCNAME\" --signal HUP\n}\n",
        );
    }
    text.push_str("\ndepend() {\n\tneed localmount\n\tuse net dns logger\n\tafter firewall\n}\n");
    text
}

/// What the script of a plain init does.
const SYSV: &str = r#"
pidfile="${ADIT_RUN:-/var/run}/$name.pid"
log="${ADIT_LOG_FOLDER:-/var/log}/$name.log"

running() {
	[ -s "$pidfile" ] || return 1
	pid=$(cat "$pidfile")
	# Another program may have that number by now.
	kill -0 "$pid" 2>/dev/null && tr '\0' ' ' <"/proc/$pid/cmdline" | grep -qF -- "$0 keep"
}

# Starts the program, and starts it again a second after it has ended.
keep() {
	trap 'kill "$child" 2>/dev/null; wait "$child"; rm -f "$pidfile"; exit 0' TERM INT
	trap 'kill -HUP "$child" 2>/dev/null' HUP
	umask 077
	while :; do
		run &
		child=$!
		while kill -0 "$child" 2>/dev/null; do
			wait "$child"
		done
		sleep 1 &
		wait $!
	done
}

case "$1" in
start)
	if running; then
		echo "$name is running"
		exit 0
	fi
	setsid "$0" keep </dev/null >>"$log" 2>&1 &
	echo $! >"$pidfile"
	;;
stop)
	running || exit 0
	kill "$pid"
	left=100
	while running; do
		if [ "$left" -eq 0 ]; then
			echo "$name does not end" >&2
			exit 1
		fi
		left=$((left - 1))
		sleep 1
	done
	;;
restart | force-reload)
	"$0" stop && exec "$0" start
	;;
reload)
	running && kill -HUP "$pid"
	;;
status)
	if running; then
		echo "$name is running as $(cat "$pidfile")"
	else
		echo "$name is not running"
		exit 3
	fi
	;;
keep)
	keep
	;;
*)
	echo "usage: $0 {start|stop|restart|reload|status}" >&2
	exit 2
	;;
esac
"#;

/// A script for a plain init, which keeps the service itself.
pub fn sysv(unit: &Unit) -> String {
    let name = &unit.name;
    let mut text = format!(
        "#!/bin/sh\n### BEGIN INIT INFO\n# Provides:          {name}\n# Required-Start:    $local_fs $network\n\
         # Required-Stop:     $local_fs $network\n# Should-Start:      $named $syslog\n# Default-Start:     2 3 4 5\n\
         # Default-Stop:      0 1 6\n# Short-Description: {}\n### END INIT INFO\n# {MARK}\n\nname={name}\nuser={}\n",
        unit.about,
        shell(user(unit)),
    );
    let mut command = String::from("exec ");
    for (name, value) in &unit.environment {
        // A string can be written.
        write!(command, "env {name}={} ", shell(value.as_str())).ok();
    }
    write!(
        command,
        "{} {}",
        shell(unit.program.as_str()),
        arguments(unit)
    )
    .ok();
    let folder = unit.folder.as_ref().map_or("/", |folder| folder.as_str());
    writeln!(text, "command={}", shell(&command)).ok();
    // setpriv(1) becomes the program, so that signals reach it; su(1) would stand between.
    writeln!(
        text,
        "\nrun() {{\n\tcd {} || exit 1\n\tif [ \"$(id -un)\" != \"$user\" ]; then\n\t\tUSER=$user\n\t\tHOME=$(getent passwd \"$user\" | cut -d: \
         -f6)\n\t\texport USER HOME\n\t\texec setpriv --reuid \"$user\" --regid \"$(id -g \"$user\")\" --init-groups /bin/sh -c \
         \"$command\"\n\tfi\n\texec /bin/sh -c \"$command\"\n}}",
        shell(folder)
    )
    .ok();
    text.push_str(SYSV);
    text
}
