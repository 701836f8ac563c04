//! Configuration files as `ssh -G` of OpenSSH reads them, against our own reading.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use adit_testkit::require;
use adit_testkit::seeded::SeededRandom;
use adit_tunnel::ssh_config::{
    AddressFamily, ConfigError, FileSystem, HostKeyChecking, IdentityAgent, KnownHostsFile, Local,
    Placed, Proxy, Resolved, Settings, Source, SshForward, Wanted, resolve,
};
use tempfile::TempDir;

/// Keyword to values, in the order of printing.
type Printed = BTreeMap<String, Vec<String>>;

/// What is compared.
const COMPARED: [&str; 24] = [
    "hostname",
    "user",
    "port",
    "addressfamily",
    "connecttimeout",
    "serveraliveinterval",
    "serveralivecountmax",
    "identityfile",
    "identitiesonly",
    "identityagent",
    "certificatefile",
    "hostkeyalias",
    "stricthostkeychecking",
    "userknownhostsfile",
    "globalknownhostsfile",
    "hashknownhosts",
    "proxyjump",
    "proxycommand",
    "localforward",
    "remoteforward",
    "dynamicforward",
    "gatewayports",
    "exitonforwardfailure",
    "ciphers",
];

/// What `ssh -G` prints, or nothing where it refuses the file.
fn theirs(config: &str, destination: &str) -> Option<Printed> {
    let mut ssh = Command::new("ssh");
    ssh.args(["-G", "-F", config, destination]);
    let output = ssh.stdin(Stdio::null()).output().unwrap();
    if !output.status.success() {
        return None;
    }
    let mut printed = Printed::new();
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        let (keyword, value) = line.split_once(' ').unwrap_or((line, ""));
        if COMPARED.contains(&keyword) {
            let values = printed.entry(keyword.to_owned()).or_default();
            values.push(value.to_owned());
        }
    }
    Some(printed)
}

/// What ssh takes for granted, and who it takes us for.
struct Defaults {
    printed: Printed,
    local: Local,
}

impl Defaults {
    fn of_this_machine() -> Self {
        let printed = theirs("none", "host").unwrap();
        let known_hosts = printed["userknownhostsfile"][0].split(' ').next().unwrap();
        let home = known_hosts.strip_suffix("/.ssh/known_hosts").unwrap();
        let local = Local {
            user: Some(printed["user"][0].clone()),
            uid: 0,
            home: Some(PathBuf::from(home)),
            host_name: String::from("unused"),
            environment: BTreeMap::new(),
        };
        Self { printed, local }
    }

    fn ours(&self, config: &Path, destination: &str) -> Result<Resolved, ConfigError> {
        let (user, host) = match destination.rsplit_once('@') {
            Some((user, host)) => (Some(user.to_owned()), host),
            None => (None, destination),
        };
        let wanted = Wanted {
            host: host.to_owned(),
            user,
            port: None,
        };
        resolve(&Source::named(config), &wanted, &self.local, &FileSystem)
    }

    /// As `ssh -G` would print it.
    #[expect(clippy::too_many_lines, reason = "an arm for each keyword")]
    fn printed(&self, settings: &Settings) -> Printed {
        let mut printed = self.printed.clone();
        let mut put = |keyword: &str, values: Vec<String>| {
            if values.is_empty() {
                printed.remove(keyword);
            } else {
                printed.insert(keyword.to_owned(), values);
            }
        };
        let flag = |value: bool| vec![String::from(if value { "yes" } else { "no" })];
        put("hostname", vec![settings.host.clone()]);
        put("user", vec![settings.user.clone()]);
        put("port", vec![settings.port.to_string()]);
        if let Some(family) = settings.address_family {
            let family = match family {
                AddressFamily::Any => "any",
                AddressFamily::V4 => "inet",
                AddressFamily::V6 => "inet6",
            };
            put("addressfamily", vec![family.to_owned()]);
        }
        if let Some(time) = settings.connect_timeout {
            put("connecttimeout", vec![time.as_secs().to_string()]);
        }
        if let Some(time) = settings.server_alive_interval {
            put("serveraliveinterval", vec![time.as_secs().to_string()]);
        }
        if let Some(count) = settings.server_alive_count_max {
            put("serveralivecountmax", vec![count.to_string()]);
        }
        let paths = |paths: &[PathBuf]| -> Vec<String> {
            paths
                .iter()
                .map(|path| path.display().to_string())
                .collect()
        };
        if let Some(files) = &settings.identity_files {
            put("identityfile", paths(files));
        }
        put("certificatefile", paths(&settings.certificate_files));
        for (keyword, value) in [
            ("identitiesonly", settings.identities_only),
            ("hashknownhosts", settings.hash_known_hosts),
            ("gatewayports", settings.gateway_ports),
            ("exitonforwardfailure", settings.exit_on_forward_failure),
        ] {
            if let Some(value) = value {
                put(keyword, flag(value));
            }
        }
        if let Some(agent) = &settings.identity_agent {
            let agent = match agent {
                IdentityAgent::None => String::from("none"),
                IdentityAgent::Variable(name) if name == "SSH_AUTH_SOCK" => name.clone(),
                IdentityAgent::Variable(name) => format!("${name}"),
                IdentityAgent::Socket(path) => path.display().to_string(),
            };
            put("identityagent", vec![agent]);
        }
        if let Some(alias) = &settings.host_key_alias {
            put("hostkeyalias", vec![alias.clone()]);
        }
        if let Some(checking) = settings.host_key_checking {
            let checking = match checking {
                HostKeyChecking::Yes => "true",
                HostKeyChecking::Ask => "ask",
                HostKeyChecking::AcceptNew => "accept-new",
            };
            put("stricthostkeychecking", vec![checking.to_owned()]);
        }
        for (keyword, files) in [
            ("userknownhostsfile", &settings.user_known_hosts),
            ("globalknownhostsfile", &settings.global_known_hosts),
        ] {
            let Some(files) = files else { continue };
            let files = files.iter().map(|file| match file {
                KnownHostsFile::Path(path) => path.display().to_string(),
                KnownHostsFile::Own => String::from("/dev/null"),
            });
            let files: Vec<String> = files.collect();
            let files = if files.is_empty() {
                String::from("none")
            } else {
                files.join(" ")
            };
            put(keyword, vec![files]);
        }
        match settings.proxy.as_ref().map(|proxy| &proxy.value) {
            Some(Proxy::Jump(jumps)) => {
                let jumps: Vec<String> = jumps.iter().map(ToString::to_string).collect();
                put("proxyjump", vec![jumps.join(",")]);
            }
            Some(Proxy::Command(command)) => put("proxycommand", vec![command.written.clone()]),
            None => {}
        }
        let forwards = |forwards: &[Placed<SshForward>]| -> Vec<String> {
            forwards.iter().map(|it| it.value.to_string()).collect()
        };
        put("localforward", forwards(&settings.local_forwards));
        put("dynamicforward", forwards(&settings.dynamic_forwards));
        let remote = settings.remote_forwards.iter().map(|forward| {
            let text = forward.value.to_string();
            // ssh prints a remote SOCKS forward with a target that its parser never gave it.
            if text.contains(' ') {
                text
            } else {
                format!("{text} [socks]:0")
            }
        });
        put("remoteforward", remote.collect());
        if let Some(ciphers) = &settings.ciphers {
            put("ciphers", vec![ciphers.value.clone()]);
        }
        printed
    }

    /// What ssh prints before it puts in home directories, and where `no` stands for `accept-new`.
    fn normal(&self, mut printed: Printed) -> Printed {
        let home = self.local.home.as_ref().unwrap().display().to_string();
        for keyword in ["identityfile", "certificatefile"] {
            let Some(values) = printed.get_mut(keyword) else {
                continue;
            };
            let mut seen: Vec<String> = Vec::new();
            for value in values.iter().filter(|value| *value != "none") {
                let value = match value.strip_prefix("~/") {
                    Some(below) => format!("{home}/{below}"),
                    None => value.clone(),
                };
                if !seen.contains(&value) {
                    seen.push(value);
                }
            }
            if seen.is_empty() {
                printed.remove(keyword);
            } else {
                printed.insert(keyword.to_owned(), seen);
            }
        }
        if let Some(values) = printed.get_mut("stricthostkeychecking") {
            for value in values.iter_mut().filter(|value| *value == "false") {
                *value = String::from("accept-new");
            }
        }
        printed
    }

    /// Compares both readings.
    fn compare(&self, config: &Path, destination: &str, note: &str) -> bool {
        let theirs = theirs(config.to_str().unwrap(), destination);
        let ours = self.ours(config, destination);
        let text = std::fs::read_to_string(config).unwrap();
        match (theirs, ours) {
            (Some(theirs), Ok(ours)) => {
                let ours = self.normal(self.printed(&ours.settings));
                assert_eq!(ours, self.normal(theirs), "{note}, {destination}:\n{text}");
                true
            }
            (None, Err(_)) => false,
            (theirs, ours) => panic!(
                "{note}, {destination}: ssh read it: {}, we: {:?}\n{text}",
                theirs.is_some(),
                ours.map(|_| ())
            ),
        }
    }
}

/// Files, and whether ssh reads them.
const CASES: [(&str, bool); 62] = [
    ("", true),
    (
        "Host alpha\n HostName real.Example.ORG\n User me\n Port 2222\n",
        true,
    ),
    ("Host *\nHostName %h.example.org\n", true),
    ("HostName %%h\n", true),
    ("Host beta\nHostName %x\n", true),
    ("HostName %x\n", false),
    ("HostName 2001:DB8::0:1\n", true),
    ("host=ALPHA\nport=1\nhost alpha\nport=2\n", true),
    ("HOST \"alpha\" beta\n  PORT = 5\n", true),
    ("Host !alpha *\nPort 5\nHost * !beta\nPort 6\n", true),
    ("Host al?ha\nPort 5\n", true),
    ("Host alpha # gamma\nPort 5 # six\n", true),
    ("Host alpha #gamma\nPort 5#six\n", false),
    ("Port\n", false),
    ("Port 0\n", false),
    ("Port 65536\n", false),
    ("Port 22 23\n", false),
    ("Port 22\nProt 23\n", false),
    ("IgnoreUnknown Pr*\nProt 23\n", true),
    ("Host beta\nProt 23\n", false),
    ("User \"a b\"\nIdentityFile 'x y'\n", true),
    ("User 'a\n", false),
    ("IdentityFile /a\nIdentityFile ~/b\nIdentityFile /a\n", true),
    ("IdentityFile none\n", true),
    ("CertificateFile /c\nCertificateFile ~/d\n", true),
    (
        "IdentitiesOnly yes\nIdentitiesOnly no\nIdentityAgent none\n",
        true,
    ),
    ("IdentitiesOnly TRUE\nIdentityAgent SSH_AUTH_SOCK\n", true),
    ("IdentitiesOnly maybe\n", false),
    ("IdentityAgent ~/agent\nHostKeyAlias Alias\n", true),
    ("IdentityAgent $SOCKET\n", true),
    ("IdentityAgent ${ADIT_NOT_SET}\n", false),
    ("AddressFamily inet6\nConnectTimeout 1m30\n", true),
    ("ConnectTimeout none\nConnectTimeout 3\n", true),
    ("ConnectTimeout 1x\n", false),
    ("ServerAliveInterval 2h\nServerAliveCountMax 7\n", true),
    ("ServerAliveCountMax x\n", false),
    ("ServerAliveCountMax -1\n", false),
    (
        "StrictHostKeyChecking off\nUserKnownHostsFile /dev/null\n",
        true,
    ),
    (
        "StrictHostKeyChecking accept-new\nUserKnownHostsFile ~/a /b\n",
        true,
    ),
    (
        "UserKnownHostsFile none\nGlobalKnownHostsFile /x /y\n",
        true,
    ),
    ("UserKnownHostsFile none /b\n", false),
    ("ProxyJump a,me@b:22\n", true),
    ("ProxyJump ssh://me@b:22\n", true),
    ("ProxyJump none\nProxyCommand nc %h %p # x\n", true),
    ("ProxyCommand none\nProxyJump a\n", true),
    ("ProxyCommand = ssh -qW%h:%p bastion\nProxyJump a\n", true),
    ("ProxyJump a,,b\n", false),
    ("ProxyJump a:x\n", false),
    ("ProxyJump alpha\nHostName alpha\n", false),
    (
        "LocalForward 8080 localhost:80\nLocalForward [::1]:1 [::1]:2\n",
        true,
    ),
    ("LocalForward 8080:localhost:80\n", false),
    (
        "RemoteForward 0 localhost:80\nRemoteForward *:1 h:2\nRemoteForward 1080\n",
        true,
    ),
    (
        "RemoteForward /a/%r /b\nDynamicForward 1080\nDynamicForward h:1\n",
        true,
    ),
    (
        "LocalForward 1 h:2\nLocalForward 1 h:2\nGatewayPorts yes\n",
        true,
    ),
    (
        "LocalForward 1 h:2\nClearAllForwardings yes\nHashKnownHosts yes\n",
        true,
    ),
    (
        "ExitOnForwardFailure yes\nCiphers aes128-ctr,aes256-ctr\n",
        true,
    ),
    (
        "Match host alpha user root\nPort 3\nMatch all\nPort 4\n",
        true,
    ),
    ("User me\nMatch user me !host beta\nPort 3\n", true),
    (
        "HostName x.y\nMatch host *.y originalhost alpha\nPort 3\n",
        true,
    ),
    ("Match final all\nPort 3\nMatch all\nUser x\n", true),
    ("Match all host x\n", false),
    ("Match nothing x\n", false),
];

#[test]
fn a_table_of_files_is_read_as_ssh_reads_it() {
    require!("ssh");
    let defaults = Defaults::of_this_machine();
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::write(
        path("part-1.conf"),
        "Port 1001\nHost alpha\nUser included\n",
    )
    .unwrap();
    std::fs::write(
        path("part-2.conf"),
        "Port 1002\nMatch host beta\nUser other\n",
    )
    .unwrap();
    let include = format!("Include {}/part-*.conf", folder.path().display());
    let config = path("config");
    let mut read = 0;
    for (text, is_read) in CASES {
        std::fs::write(&config, text).unwrap();
        let done = defaults.compare(&config, "alpha", "table");
        assert_eq!(done, is_read, "{text}");
        defaults.compare(&config, "me@beta", "table");
        read += usize::from(done);
    }
    assert_eq!(read, 41);
    for text in [
        format!("Host beta\n{include}\nHost *\n{include}\nPort 9\n"),
        format!("{include} {}/none-*\nUser last\n", folder.path().display()),
        format!("Match host beta\n{include}\nUser last\n"),
    ] {
        std::fs::write(&config, text).unwrap();
        for host in ["alpha", "beta", "gamma"] {
            assert!(defaults.compare(&config, host, "include"));
        }
    }
}

/// Keywords with values that both readings take, or both refuse.
const VALUES: [(&str, &[&str]); 26] = [
    (
        "Host",
        &[
            "alpha",
            "beta",
            "*",
            "al*",
            "!alpha *",
            "* !beta",
            "?lpha beta",
            "\"alpha\"",
            "Alpha",
        ],
    ),
    (
        "Match",
        &[
            "all",
            "host alpha",
            "host *.org,beta",
            "!host beta",
            "user me",
            "user root,me host *",
            "originalhost alpha",
            "localuser root",
            "final",
            "!final host alpha",
            "canonical",
            "host=beta",
            "host \"alpha\" # c",
            "!all",
        ],
    ),
    (
        "HostName",
        &["%h.org", "real.org", "ALPHA", "192.0.2.1", "::1", "%%x"],
    ),
    ("User", &["me", "other", "\"a b\"", "x # y"]),
    ("Port", &["1", "65535", "022"]),
    ("AddressFamily", &["any", "inet", "INET6"]),
    ("ConnectTimeout", &["1", "1m", "none", "2h3"]),
    ("ServerAliveInterval", &["0", "10", "1m30s"]),
    ("ServerAliveCountMax", &["0", "9"]),
    ("IdentityFile", &["/a", "~/b", "none", "'c d'", "/a\\ b"]),
    ("CertificateFile", &["/a", "~/b"]),
    ("IdentitiesOnly", &["yes", "no", "True"]),
    (
        "IdentityAgent",
        &["none", "SSH_AUTH_SOCK", "/sock", "$NAME", "~/s"],
    ),
    ("HostKeyAlias", &["Name", "other"]),
    (
        "StrictHostKeyChecking",
        &["yes", "no", "ask", "accept-new", "OFF"],
    ),
    (
        "UserKnownHostsFile",
        &["/a", "/a /b", "none", "~/c \"/d e\""],
    ),
    ("GlobalKnownHostsFile", &["/g", "none", "/g /h"]),
    ("HashKnownHosts", &["yes", "no"]),
    (
        "ProxyJump",
        &["none", "a", "me@a:1,b", "a,b,c:2 # d", "NONE"],
    ),
    (
        "ProxyCommand",
        &["none", "nc %h %p", "=x y # z", "'q' \"r s\""],
    ),
    (
        "LocalForward",
        &["1 h:2", "[::1]:3 [::2]:4", "*:5 h:6", "/s h:7"],
    ),
    (
        "RemoteForward",
        &["1 h:2", "0 h:80", "1080", "/r /s", "h:1 /t", "[::1]:1080"],
    ),
    ("DynamicForward", &["1080", "[::1]:1", "*:2"]),
    ("GatewayPorts", &["yes", "no"]),
    ("ExitOnForwardFailure", &["yes", "false"]),
    ("ClearAllForwardings", &["yes", "no", "no", "no"]),
];

/// Lines that both readings refuse, wherever they stand.
const WRONG: [&str; 10] = [
    "Port ssh 22",
    "Port 0",
    "User",
    "Nonsense 1",
    "IdentitiesOnly perhaps",
    "LocalForward 0 h:1",
    "ProxyJump ,a",
    "Match",
    "Match host",
    "User 'x",
];

#[test]
fn files_made_at_random_are_read_as_ssh_reads_them() {
    require!("ssh");
    let defaults = Defaults::of_this_machine();
    let folder = TempDir::new().unwrap();
    let config = folder.path().join("config");
    let included = folder.path().join("included");
    let mut numbers = SeededRandom::new(20_261_122);
    let (mut read, mut refused) = (0, 0);
    for round in 0..400 {
        let include = format!("Include {}", included.display());
        let mut file = |lines: usize, can_include: bool| {
            let mut text = String::new();
            for _ in 0..lines {
                let (keyword, values) = numbers.pick(&VALUES);
                let line = match numbers.below(80) {
                    0 => numbers.pick(&WRONG).to_owned(),
                    1..=4 if can_include => include.clone(),
                    5 | 6 => String::from("# comment 'x"),
                    7 => String::from("ForwardAgent no"),
                    _ => {
                        let parts = [" ", "=", " = ", "\t", "  "];
                        let (part, value) = (numbers.pick(&parts), numbers.pick(values));
                        format!("{keyword}{part}{value}")
                    }
                };
                text.push_str(numbers.pick(&["", "", "  ", "\t"]));
                text.push_str(&line);
                text.push_str(numbers.pick(&["\n", "\n", " \n", "\r\n"]));
            }
            text
        };
        std::fs::write(&included, file(4, false)).unwrap();
        std::fs::write(&config, file(14, true)).unwrap();
        for destination in ["alpha", "me@beta"] {
            let note = format!("round {round}");
            if defaults.compare(&config, destination, &note) {
                read += 1;
            } else {
                refused += 1;
            }
        }
    }
    assert!(
        read >= 400 && refused >= 50,
        "{read} read, {refused} refused"
    );
}
