//! What the manual says beyond the command line: variables, files, examples.

mod admin;
mod host;

/// What the page of the program says of exit codes.
pub(super) const CODES_OF_THE_PROGRAM: &str = "0 success, 1 failed, 2 a command line that is not \
    understood, 130 interrupted. The page of each command says what they mean there.";

/// Variables that are read.
pub(super) const ENVIRONMENT: &[(&str, &str)] = &[
    (
        "ADIT_CODE_FILE",
        "The file with the code of adit join, where no flag names one.",
    ),
    (
        "ADIT_DATA",
        "The data directory of a gateway: of the one that adit serve is, and of the one that adit user, adit key and the \
         others look after, where neither --data nor --config names one; and of the one that adit status shows where no \
         adit up runs.",
    ),
    (
        "ADIT_DATABASE_URL, ADIT_DATABASE_URL_FILE",
        "The database of a gateway, or the file with its URL, where nothing else names one.",
    ),
    (
        "ADIT_HOST_KEY",
        "The key that the host must have, or several with commas between, where no file or flag pins one: fingerprints \
         as ssh-keygen -l prints them, or public keys. For the one tunnel of a file, or the destination of a command.",
    ),
    (
        "ADIT_LOG",
        "What is logged, before -v and -q: a level (error, warn, info, debug, trace) or, for a part, \
         as in adit_tunnel=debug; commas between.",
    ),
    (
        "ADIT_PASSPHRASE",
        "The passphrase of encrypted keys, where no file is named for it. Programs that are started \
         for a ProxyCommand do not get it.",
    ),
    (
        "ADIT_PASSWORD",
        "The password to log in with, likewise. It is never sent to a host whose key was new in this \
         run and that nobody has looked at.",
    ),
    (
        "ADIT_DATABASE_URL, ADIT_DATABASE_URL_FILE",
        "The database of adit serve, or a file with it: postgres://... or mysql://... Without: a file in the data \
         directory.",
    ),
    (
        "SSH_AUTH_SOCK",
        "The socket of the ssh-agent, unless IdentityAgent of the configuration names another.",
    ),
    (
        "https_proxy, HTTPS_PROXY, all_proxy, ALL_PROXY",
        "The proxy before the first host of the way, as a URL: http, socks5 or socks5h. The first of them that is \
         set counts.",
    ),
    (
        "no_proxy, NO_PROXY",
        "Hosts that are reached without it, with commas between; * is all.",
    ),
    (
        "XDG_RUNTIME_DIR",
        "Where the control socket of adit up lies, in a directory adit of mode 700. Without it: \
         /run/user/UID, else the directory for state.",
    ),
    (
        "XDG_STATE_HOME",
        "The directory for state. Without it: ~/.local/state.",
    ),
    ("HOME", "Where ~/.ssh is found."),
];

/// Files that are read and written.
pub(super) const FILES: &[(&str, &str)] = &[
    (
        "adit.yml, adit.yaml, model-compose.yml, model-compose.yaml",
        "The tunnels and workflows of adit up, in the working directory unless -f names a file. The first \
         that is there counts.",
    ),
    (
        ".env",
        "Variables for ${env.NAME} in those, in the working directory, unless --env-file names a file.",
    ),
    (
        "~/.ssh/config, /etc/ssh/ssh_config",
        "The configuration, read as ssh_config(5) has it.",
    ),
    (
        "~/.ssh/known_hosts, ~/.ssh/known_hosts2, /etc/ssh/ssh_known_hosts",
        "The keys of known hosts. A new one is added to the first.",
    ),
    (
        "~/.local/state/adit/known_hosts",
        "The same, where the configuration asks to forget them (UserKnownHostsFile /dev/null).",
    ),
    (
        "~/.local/state/adit/gateways/",
        "The gateways that were joined, a folder each: key, host key, and what this machine is called there.",
    ),
    (
        "~/.ssh/id_ed25519, ~/.ssh/id_ecdsa, ~/.ssh/id_rsa",
        "Private keys to log in with, unless others are named; each with a certificate in -cert.pub beside it.",
    ),
    (
        "/var/lib/adit-hosts/ports.json, ~/.local/state/adit/hosts/ports.json",
        "The table of adit host tunnel: root's, and everybody else's.",
    ),
    (
        "~/.config/adit/adit.yml, /etc/adit/adit.yml",
        "Where groups: of hosts stand, if there is no adit.yml in the present folder.",
    ),
    (
        "$XDG_RUNTIME_DIR/adit/",
        "Control sockets and locks, one of each for every adit up. What a dead one has left behind does no harm.",
    ),
];

/// A file with one tunnel.
pub(super) const ADIT_YML: &str = "\
tunnels:
  web:
    host: user@host
    forwards:
      - remote: 9080:localhost:8080";

/// What to try, of a page: what it does, and what to type.
pub(super) fn examples(page: &str) -> &'static [(&'static str, &'static str)] {
    match page {
        "adit" => &[
            (
                "Make the web server on port 8080 here reachable at port 9080 of a host, and keep it so:",
                "adit forward -R 9080:localhost:8080 user@host",
            ),
            (
                "Keep the tunnels of adit.yml, and see where they stand:",
                "adit up -d\nadit status",
            ),
        ],
        "adit-forward" => &[
            (
                "At port 9080 of the host, for everybody (its sshd needs GatewayPorts):",
                "adit forward -R '*:9080:localhost:8080' user@host",
            ),
            (
                "A database of the far side at a port here, through two hosts on the way:",
                "adit forward -J first,second -L 3306:db.internal:3306 user@host",
            ),
            (
                "In the place of ssh -fNR or autossh -M 0 -fNR:",
                "adit forward -fNR 9080:localhost:8080 user@host",
            ),
            (
                "As the ProxyCommand of another program:",
                "ssh -o ProxyCommand='adit forward -W %h:%p bastion' user@host",
            ),
        ],
        "adit-up" => &[
            ("An adit.yml:", ADIT_YML),
            (
                "Its tunnels in the background, once all are up:",
                "adit up -d",
            ),
        ],
        "adit-start" => &[(
            "Once its components were set up by an adit up:",
            "adit start -d",
        )],
        "adit-down" => &[("End what runs of the file here:", "adit down")],
        "adit-stop" => &[
            (
                "End it, and start it again with its components as they are:",
                "adit stop\nadit start -d",
            ),
            ("A gateway:", "adit stop --data /var/lib/adit"),
        ],
        "adit-run" => &[
            (
                "The workflow of model-compose.yml here, with an input, its result into a file:",
                "adit run --input '{\"data\":\"hello\"}' -o result.json",
            ),
            (
                "One of several, with an input that another program makes:",
                "adit run summarize -i -",
            ),
        ],
        "adit-validate" => &[(
            "With a variable that is not set here:",
            "adit validate -e SSH_USERNAME=me",
        )],
        "adit-status" => &[
            (
                "All tunnels, again after each change:",
                "adit status --watch",
            ),
            ("For a program that watches them:", "adit status --json"),
            ("A gateway:", "adit status --data /var/lib/adit"),
        ],
        "adit-check" => &[("Before it is put into service:", "adit check adit.yml")],
        "adit-doctor" => &[
            (
                "What stands in the way of a forward that is about to be set up:",
                "adit doctor -R '*:9080:localhost:8080' user@host",
            ),
            (
                "A tunnel of adit.yml, by its name, and all of them for a program:",
                "adit doctor web\nadit doctor --json",
            ),
        ],
        "adit-trust" => &[(
            "A host that is behind another, by what ssh-keygen -l prints there:",
            "adit trust -J bastion db.internal \
             SHA256:p2QAMXNIC1TJYWeIOttrVc98/R1BUFWu3/LiyKgUfQM",
        )],
        "adit-completions" => &[(
            "For fish:",
            "adit completions fish > ~/.config/fish/completions/adit.fish",
        )],
        "adit-man" => &[(
            "For everybody on this machine:",
            "adit man /usr/local/share/man/man1",
        )],
        _ => examples_of_gateways(page),
    }
}

/// Those of commands at the public end.
fn examples_of_gateways(page: &str) -> &'static [(&'static str, &'static str)] {
    match page {
        "adit-serve" => &[
            (
                "A gateway whose keys are in one file; the line that it prints can be tried at once:",
                "adit serve --data /var/lib/adit --domain gw.example.org --authorized-keys keys",
            ),
            (
                "Ports of other numbers, reached from everywhere also where a client names no address:",
                "adit serve --data /var/lib/adit --ports 40000-40999 --default-bind public \
                 --authorized-keys keys",
            ),
        ],
        _ => examples_of_devices(page),
    }
}

/// Those of commands for hosts by their names.
fn examples_of_hosts(page: &str) -> &'static [(&'static str, &'static str)] {
    match page {
        "adit-ssh" => &[(
            "Once, and then ssh red001 from here asks for nothing:",
            "adit ssh config 'pi@red00[1-2]' pi@red\nadit ssh copy-id red\nadit ssh copy-id 'red00[1-2]'",
        )],
        "adit-ssh-config" => &[
            (
                "Hosts behind red, whose sshd knows them by their names:",
                "adit ssh config 'pi@red00[1-2]' pi@red",
            ),
            (
                "The same on a laptop, from red:",
                "adit ssh config 'red00[1-2]' red --user pi --laptop anthony@laptop.local",
            ),
            (
                "Hosts at ports of red from 8001, and the end of that:",
                "adit ssh config 'red00[1-2]' red --user pi --ports\nadit ssh config --remove red",
            ),
        ],
        "adit-ssh-copy-id" => &[(
            "A key of this machine's, made if there is none, at each of them:",
            "adit ssh copy-id 'pi@red00[1-2]'",
        )],
        "adit-open" => &[
            (
                "The web server of red001, at a port here that is free:",
                "adit open red001:80",
            ),
            (
                "A database that red001 reaches, at port 15432 here, through red:",
                "adit open -J pi@red.local pi@red001:db.internal:5432 15432",
            ),
        ],
        _ => host::examples(page).unwrap_or_else(|| admin::examples(page)),
    }
}

/// Those of commands of machines that become devices.
fn examples_of_devices(page: &str) -> &'static [(&'static str, &'static str)] {
    match page {
        "adit-join" => &[
            (
                "With the code that adit invite add printed at the gateway, which is asked for:",
                "adit join gw.example.org",
            ),
            (
                "From another program:",
                "pass show gw-code | adit join --code-file - gw.example.org",
            ),
        ],
        "adit-expose" => &[
            (
                "A web server at port 3000 here, as app under the gateway's domain:",
                "adit expose 3000 --name app",
            ),
            (
                "For a program that watches it:",
                "adit expose 3000 --name app --json",
            ),
        ],
        "adit-import" => &[
            (
                "The tunnels of a client of frp:",
                "adit import frp /etc/frp/frpc.toml > adit.yml",
            ),
            (
                "Those of a crontab:",
                "crontab -l | adit import autossh-unit - > adit.yml",
            ),
        ],
        _ => examples_of_hosts(page),
    }
}
