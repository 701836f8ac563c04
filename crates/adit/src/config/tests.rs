//! What a command line and a configuration mean.

use adit_tunnel::agent::connect::SshConnect;
use adit_tunnel::agent::login::prompt::Nobody;
use adit_tunnel::transport::ssh::Memory;
use clap::Parser as _;

use super::spec::kind;
use super::*;
use crate::cli::{Cli, Command};

fn surroundings(home: &Path) -> Surroundings {
    Surroundings::of_home(home, None)
}

/// Without the machine's configuration, unless the words name one.
fn read(words: &str, home: &Path) -> anyhow::Result<TunnelConfig> {
    let words = words.replacen("forward", "forward -F none", 1);
    read_all(&words, home)
}

fn read_all(words: &str, home: &Path) -> anyhow::Result<TunnelConfig> {
    let words = std::iter::once("adit").chain(words.split(' '));
    let Command::Forward(arguments) = Cli::try_parse_from(words)?.command else {
        panic!("another command")
    };
    config(&arguments.written(), &surroundings(home))
}

#[test]
fn the_command_of_the_readme_means_what_it_says() {
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir(home.path().join(".ssh")).unwrap();
    std::fs::write(home.path().join(".ssh/id_ed25519"), "").unwrap();
    let config = read("forward -R 9000:localhost:8080 me@example.org", home.path()).unwrap();
    let (host, port, user) = (String::from("example.org"), 22, String::from("me"));
    assert_eq!(config.peer.peer, Peer { host, port, user });
    assert_eq!(
        config.peer.login.keys,
        [home.path().join(".ssh/id_ed25519")]
    );
    assert_eq!(config.peer.host_keys.new_hosts, NewHosts::Ask);
    let known_hosts = DEFAULT_KNOWN_HOSTS.map(|file| home.path().join(file));
    assert_eq!(config.peer.host_keys.files, known_hosts);
    assert_eq!(config.forwards.len(), 1);
}

#[test]
fn options_are_taken_together_and_the_first_of_a_kind_counts() {
    let home = Path::new("/home/local");
    let words = "forward -i k1 -i k2 -p 2222 -R 1:a:2 -R *:0:b:3 \
                 -o StrictHostKeyChecking=accept-new -o StrictHostKeyChecking=yes \
                 -o UserKnownHostsFile=/dev/null -o Ciphers=-aes* -o Ciphers=aes128-ctr \
                 -o KexAlgorithms=curve25519-sha256 host";
    let words = words.split_whitespace().collect::<Vec<_>>().join(" ");
    let config = read(&words, home).unwrap();
    assert_eq!(
        (config.peer.peer.port, config.peer.peer.user.as_str()),
        (2222, "local")
    );
    assert_eq!(
        config.peer.login.keys,
        [PathBuf::from("k1"), PathBuf::from("k2")]
    );
    assert_eq!(config.peer.host_keys.new_hosts, NewHosts::Accept);
    let own = [home.join("state/adit/known_hosts")];
    assert_eq!(config.peer.host_keys.files, own);
    assert_eq!(
        config.peer.algorithms.ciphers,
        Edit::parse("-aes*").unwrap()
    );
    assert_eq!(
        config.peer.algorithms.kex,
        Edit::parse("curve25519-sha256").unwrap()
    );
    let binds: Vec<String> = config
        .forwards
        .iter()
        .map(|one| one.bind.to_string())
        .collect();
    assert_eq!(binds, ["localhost:1", "*:0"]);
}

#[test]
fn what_is_missing_is_named_with_its_remedy() {
    let home = tempfile::tempdir().unwrap();
    let mut config = read("forward -R 1:a:2 me@host", home.path()).unwrap();
    config.peer.login.ask = Arc::new(Nobody);
    let no_key = SshConnect::new(&config.peer, Memory::of_this_machine()).unwrap_err();
    assert!(no_key.to_string().contains("-i"), "{no_key}");
    let Command::Forward(arguments) =
        Cli::try_parse_from("adit forward -R 1:a:2 -i k -F none host".split(' '))
            .unwrap()
            .command
    else {
        panic!("another command")
    };
    let nobody = super::config(&arguments.written(), &Surroundings::default()).unwrap_err();
    assert!(nobody.to_string().contains("user@host"), "{nobody}");
}

#[test]
fn the_configuration_says_what_the_command_line_does_not() {
    let home = tempfile::tempdir().unwrap();
    let (file, key) = (home.path().join("config"), home.path().join("key"));
    std::fs::write(&key, "").unwrap();
    let text = "Host db\n HostName db.example.org\n User admin\n Port 2222\n\
                \x20IdentityFile KEY\n IdentityFile /nowhere\n UserKnownHostsFile /dev/null\n\
                \x20StrictHostKeyChecking no\n HashKnownHosts yes\n Ciphers aes128-ctr\n\
                \x20KexAlgorithms curve25519-sha256\n RemoteForward *:80 localhost:8080\n";
    std::fs::write(&file, text.replace("KEY", key.to_str().unwrap())).unwrap();
    let file = file.display();
    let config = read_all(&format!("forward -F {file} db"), home.path()).unwrap();
    let peer = |user: &str, port: u16| Peer {
        host: String::from("db.example.org"),
        port,
        user: user.to_owned(),
    };
    assert_eq!(config.peer.peer, peer("admin", 2222));
    assert_eq!(config.peer.login.keys, std::slice::from_ref(&key));
    assert_eq!(config.peer.host_keys.new_hosts, NewHosts::Accept);
    assert_eq!(config.peer.host_keys.names, NameForm::Hashed);
    let own = [home.path().join("state/adit/known_hosts")];
    assert_eq!(config.peer.host_keys.files, own);
    assert_eq!(
        config.peer.algorithms.ciphers,
        Edit::parse("aes128-ctr").unwrap()
    );
    assert_eq!(config.forwards.len(), 1);
    assert_eq!(config.forwards[0].bind.to_string(), "*:80");

    let words = format!(
        "forward -F {file} -p 1 -i k -R 1:a:2 -o StrictHostKeyChecking=yes \
         -o UserKnownHostsFile=/f -o Ciphers=aes256-ctr me@db"
    );
    let config = read_all(&words, home.path()).unwrap();
    assert_eq!(config.peer.peer, peer("me", 1));
    assert_eq!(config.peer.login.keys, [PathBuf::from("k"), key]);
    assert_eq!(config.peer.host_keys.new_hosts, NewHosts::Refuse);
    assert_eq!(config.peer.host_keys.files, [PathBuf::from("/f")]);
    assert_eq!(
        config.peer.algorithms.ciphers,
        Edit::parse("aes256-ctr").unwrap()
    );
    assert_eq!(config.forwards.len(), 2);
}

#[test]
fn a_configuration_that_cannot_be_followed_is_refused_with_its_line() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("config");
    for (text, expected) in [
        (
            "RemoteForward a!b:1 h:2\n",
            "line 1: RemoteForward [a!b]:1 [h]:2",
        ),
        ("Ciphers 3des-cbc\n", "config line 1"),
        ("Prot 1\n", "line 1: there is no keyword"),
        ("Match exec true\n", "line 1: Match exec is not supported"),
    ] {
        std::fs::write(&file, text).unwrap();
        let words = format!("forward -F {} -i k -R 1:a:2 me@db", file.display());
        let error = read_all(&words, home.path()).unwrap_err().to_string();
        assert!(error.contains(expected), "{text}: {error}");
    }
    let words = format!(
        "forward -F {}/none -i k -R 1:a:2 me@db",
        home.path().display()
    );
    let missing = read_all(&words, home.path()).unwrap_err().to_string();
    assert!(missing.contains("there is no such file"), "{missing}");
}

#[test]
fn forwards_of_every_kind_come_from_the_command_line_and_the_files() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("config");
    let text = "LocalForward 5433 db:5432\nDynamicForward 1081\nRemoteForward 1082\n\
                RemoteForward /a /b\nGatewayPorts yes\n";
    std::fs::write(&file, text).unwrap();
    let words = format!(
        "forward -F {} -i k -R 80:a:81 -D 1080 -L 5432:db:5432 --permit-remote-open web:443 me@h",
        file.display()
    );
    let config = read_all(&words, home.path()).unwrap();
    let said = config
        .forwards
        .iter()
        .map(|one| format!("{}{one}", kind(one)));
    assert_eq!(
        said.collect::<Vec<_>>(),
        [
            "local localhost:5432 -> db:5432",
            "dynamic localhost:1080 -> SOCKS",
            "localhost:80 -> a:81",
            "local *:5433 -> db:5432",
            "dynamic *:1081 -> SOCKS",
            "localhost:1082 -> SOCKS",
            "/a -> /b",
        ]
    );
    let permits: Vec<_> = config.forwards.iter().map(|one| one.to.clone()).collect();
    let permitted = Permits::Only(vec!["web:443".parse().unwrap()]);
    assert_eq!(permits[1], Destination::Named(Permits::Any));
    assert_eq!(permits[5], Destination::Named(permitted));
    let words = format!("forward -F {} -i k -W a:1 me@h", file.display());
    let config = read_all(&words, home.path()).unwrap();
    assert_eq!(config.forwards, [], "nothing but the standard streams");
}

/// G58: nobody opens a way into their network by leaving out half a line.
#[test]
fn a_proxy_for_everybody_has_to_be_asked_for_by_its_name() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("config");
    for (arguments, text, is_public) in [
        ("-R 1080", "", false),
        ("-R localhost:1080", "", false),
        ("-R 127.0.0.1:1080", "", false),
        ("-R [::1]:1080", "", false),
        ("-R *:1080", "", true),
        ("-R :1080", "", true),
        ("-R 0.0.0.0:1080", "", true),
        ("-R [::]:1080", "", true),
        ("-R 192.0.2.7:1080", "", true),
        ("-R gw.example:1080", "", true),
        ("-q", "RemoteForward *:1080\n", true),
        // What has a target is no proxy, and what listens here is no stranger's.
        ("-R *:80:localhost:80", "", false),
        ("-D *:1080", "", false),
    ] {
        std::fs::write(&file, text).unwrap();
        let file = file.display();
        let words = format!("forward -F {file} -i k {arguments} --permit-remote-open a:1 me@h");
        match read_all(&words, home.path()) {
            Ok(_) => assert!(!is_public, "{words}"),
            Err(error) => {
                assert!(is_public, "{words}: {error}");
                assert!(error.to_string().contains("--public-socks"), "{error}");
            }
        }
        let meant = words.replace(" me@h", " --public-socks me@h");
        assert!(read_all(&meant, home.path()).is_ok(), "{meant}");
    }
}

#[test]
fn a_command_line_that_is_wrong_says_where() {
    for (words, part) in [
        ("forward me@host", "-R"),
        ("forward -R 1:a:2", "[USER@]HOST"),
        ("forward -R 1:2 me@host", "8080:localhost:80"),
        ("forward -L 1080 me@host", "5432:db.lan:5432"),
        ("forward -D a:b:c me@host", "1080"),
        ("forward -W 22 -i k me@host", "db.lan:5432"),
        ("forward -W a:1 -D 1 -i k me@host", "cannot be used with"),
        (
            "forward -R 1 --permit-remote-open *:80 me@host",
            "name each host",
        ),
        ("forward -R 1:a:2 -p 0 me@host", "0"),
        (
            "forward -R 1:a:2 -o ForwardAgent=yes me@host",
            "UserKnownHostsFile",
        ),
        (
            "forward -R 1:a:2 -o Ciphers=3des-cbc me@host",
            "aes128-gcm@openssh.com",
        ),
        ("forward -R 1:a:2 me@ho/st", "user@host"),
    ] {
        let error = read(words, Path::new("/home/local"))
            .unwrap_err()
            .to_string();
        assert!(error.contains(part), "{words}: {error}");
    }
}

/// Invariant 5: no flag takes a secret as its value.
#[test]
fn no_flag_takes_a_secret() {
    use clap::CommandFactory as _;
    let mut seen = 0;
    let mut commands: Vec<clap::Command> = vec![Cli::command()];
    while let Some(command) = commands.pop() {
        commands.extend(command.get_subcommands().cloned());
        for argument in command.get_arguments() {
            seen += 1;
            let id = argument.get_id().as_str();
            if id.ends_with("_file") {
                // The name of a file is no secret.
                continue;
            }
            // The URL of a database has its password in it.
            for secret in [
                "password",
                "passphrase",
                "token",
                "secret",
                "database",
                "code",
            ] {
                assert!(!id.contains(secret), "{} {id}", command.get_name());
            }
        }
    }
    assert!(seen >= 50, "{seen} arguments were looked at");
}

#[test]
fn pins_are_the_destinations_alone() {
    let home = Path::new("/home/local");
    let pin = "SHA256:p2QAMXNIC1TJYWeIOttrVc98/R1BUFWu3/LiyKgUfQM";
    let words = format!("forward -i k -J hop --host-key {pin} -R 0:localhost:80 me@host");
    let config = read(&words, home).unwrap();
    assert_eq!(config.peer.host_keys.pinned, [pin.parse().unwrap()]);
    let adit_tunnel::agent::dial::Through::Jump(hop) = &config.peer.way.through else {
        panic!("a hop")
    };
    assert_eq!(hop.host_keys.pinned, []);
    assert!(read("forward --host-key MD5:aa -R 0:localhost:80 host", home).is_err());
}
