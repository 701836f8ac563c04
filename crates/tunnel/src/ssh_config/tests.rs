use proptest::prelude::*;

use super::keyword::{IGNORED, READ, REFUSED};
use super::*;

/// Files in a table.
struct Table(BTreeMap<PathBuf, String>);

impl Files for Table {
    fn glob(&self, pattern: &Path) -> Result<Vec<PathBuf>, FileProblem> {
        let pattern = pattern.to_str().unwrap().as_bytes();
        let names = self.0.keys().filter(|path| {
            let path = path.to_str().unwrap().as_bytes();
            crate::pattern::matches_exact_pattern(path, pattern)
        });
        Ok(names.cloned().collect())
    }

    fn read(&self, path: &Path, _: Guard) -> Result<Vec<u8>, FileProblem> {
        let content = self.0.get(path).ok_or(FileProblem::Missing)?;
        Ok(content.clone().into_bytes())
    }
}

fn local() -> Local {
    Local {
        user: Some(String::from("local")),
        uid: 1000,
        home: Some(PathBuf::from("/home/local")),
        host_name: String::from("here.example.org"),
        environment: BTreeMap::from([(String::from("DIR"), String::from("/dir%h"))]),
    }
}

fn wanted(host: &str) -> Wanted {
    Wanted {
        host: host.to_owned(),
        user: None,
        port: None,
    }
}

const CONFIG: &str = "/home/local/.ssh/config";

fn resolve_in(files: &[(&str, &str)], wanted: &Wanted) -> Result<Resolved, ConfigError> {
    let table = files.iter();
    let table = table.map(|(path, text)| (PathBuf::from(path), (*text).to_owned()));
    let sources = Source::standard(Some(Path::new("/home/local")));
    resolve(&sources, wanted, &local(), &Table(table.collect()))
}

fn read(text: &str) -> Result<Resolved, ConfigError> {
    resolve_in(&[(CONFIG, text)], &wanted("db"))
}

fn settings(text: &str) -> Settings {
    read(text).unwrap().settings
}

fn problem(text: &str) -> String {
    read(text).unwrap_err().to_string()
}

#[test]
fn no_file_says_what_was_asked_for() {
    let resolved = resolve_in(&[], &wanted("Db.Example.ORG")).unwrap();
    let settings = resolved.settings;
    assert_eq!(settings.host, "db.example.org");
    assert_eq!((settings.user.as_str(), settings.port), ("local", 22));
    assert_eq!(settings.identity_files, None);
    assert_eq!(settings.proxy, None);
}

#[test]
fn the_first_value_counts_and_keys_and_forwards_add_up() {
    let text = "Host d*\n User one\n Port 1\n IdentityFile ~/a\n LocalForward 1 x:2\n\
                Host *\n User two\n Port 2\n IdentityFile /b\n IdentityFile ~/a\n LocalForward 3 x:4\n\
                ServerAliveInterval 2m\nConnectTimeout none\nConnectTimeout 5\n";
    let settings = settings(text);
    assert_eq!((settings.user.as_str(), settings.port), ("one", 1));
    let files = ["/home/local/a", "/b"].map(PathBuf::from);
    assert_eq!(settings.identity_files.unwrap(), files);
    assert_eq!(settings.local_forwards.len(), 2);
    assert_eq!(settings.server_alive_interval.unwrap().as_secs(), 120);
    assert_eq!(settings.connect_timeout.unwrap().as_secs(), 5);
}

#[test]
fn what_was_asked_for_counts_before_any_file() {
    let wanted = Wanted {
        host: String::from("db"),
        user: Some(String::from("asked")),
        port: Some(7),
    };
    let text = "User other\nPort 8\nMatch user asked\nHostName %h.example.org\n";
    let settings = resolve_in(&[(CONFIG, text)], &wanted).unwrap().settings;
    assert_eq!((settings.user.as_str(), settings.port), ("asked", 7));
    assert_eq!(settings.host, "db.example.org");
}

#[test]
fn a_name_of_ours_is_asked_for_only_where_nothing_else_says_one() {
    let nobody = Local::default();
    let read = |text: &str| {
        let table = Table(BTreeMap::from([(PathBuf::from("/c"), text.to_owned())]));
        let sources = Source::named(Path::new("/c"));
        resolve(&sources, &wanted("db"), &nobody, &table)
    };
    assert_eq!(read("User me\n").unwrap().settings.user, "me");
    let error = read("Match localuser me\n").unwrap_err().to_string();
    assert!(error.contains("write user@db"), "{error}");
}

#[test]
fn the_users_file_counts_before_the_machines() {
    let files = [
        (CONFIG, "Port 1\nIdentityFile /a\n"),
        (
            SYSTEM_FILE,
            "Port 2\nUser system\nIdentityFile /b\nInclude x.conf",
        ),
        ("/etc/ssh/x.conf", "IdentitiesOnly yes"),
    ];
    let settings = resolve_in(&files, &wanted("db")).unwrap().settings;
    assert_eq!((settings.user.as_str(), settings.port), ("system", 1));
    assert_eq!(settings.identity_files.unwrap().len(), 2);
    assert_eq!(settings.identities_only, Some(true));
}

#[test]
fn an_included_file_is_part_of_the_block_that_includes_it() {
    let files = [
        (CONFIG, "Host x\nInclude a\nHost *\nInclude b\nPort 3\n"),
        ("/home/local/.ssh/a", "Port 1\nHost *\nPort 2\n"),
        ("/home/local/.ssh/b", "User b\nHost x\n"),
    ];
    let settings = resolve_in(&files, &wanted("db")).unwrap().settings;
    assert_eq!((settings.user.as_str(), settings.port), ("b", 3));
    let there = resolve_in(&files, &wanted("x")).unwrap().settings;
    assert_eq!((there.user.as_str(), there.port), ("b", 1));
}

#[test]
fn files_that_include_themselves_are_an_error() {
    let error = problem("Include config\n");
    assert!(error.contains("16 deep"), "{error}");
    let error = problem("Include *\nInclude *\nInclude *\nInclude *\n");
    assert!(error.contains("16 deep"), "{error}");
}

#[test]
fn a_program_is_never_run_and_refused_only_where_it_would_matter() {
    let text = "Match host other exec \"touch /tmp/x\"\nPort 1\n\
                Match exec \"touch /tmp/x\" user nobody\nPort 2\n";
    assert_eq!(settings(text).port, 22);
    let error = problem("Match host db exec \"touch /tmp/x\"\nPort 1\n");
    assert!(
        error.contains("config line 1: Match exec is not supported"),
        "{error}"
    );
    let included = [
        (CONFIG, "Host other\nInclude x\n"),
        ("/home/local/.ssh/x", "Match exec true\nPort 1\n"),
    ];
    assert_eq!(
        resolve_in(&included, &wanted("db")).unwrap().settings.port,
        22
    );
}

#[test]
fn a_final_pass_sees_the_name_that_was_found() {
    let text = "Host db\nHostName real.example.org\nMatch final host real.*\nPort 9\n\
                Host real.*\nUser there\n";
    let settings = settings(text);
    assert_eq!((settings.port, settings.user.as_str()), (9, "there"));
}

#[test]
fn checking_is_never_turned_off() {
    let resolved = read("StrictHostKeyChecking no\nUserKnownHostsFile /dev/null\n").unwrap();
    let settings = resolved.settings;
    assert_eq!(settings.host_key_checking, Some(HostKeyChecking::AcceptNew));
    assert_eq!(settings.user_known_hosts, Some(vec![KnownHostsFile::Own]));
    let warnings: Vec<String> = resolved.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(warnings.len(), 2);
    assert!(
        warnings[0].starts_with("/home/local/.ssh/config line 2: "),
        "{warnings:?}"
    );
    assert!(warnings[1].contains("line 1: StrictHostKeyChecking no is read as accept-new"));
}

#[test]
fn tokens_are_put_in_once_and_values_are_not_looked_at_again() {
    let text = "HostName %h.example.org\nUser me\nPort 5\nIdentityFile ~/%r@%h:%p-%n-%u-%L-%l-%i-%%h\n\
                CertificateFile ${DIR}/x\nIdentityAgent $AGENT\nUserKnownHostsFile %d/k\n";
    let settings = settings(text);
    let key = "/home/local/me@db.example.org:5-db-local-here-here.example.org-1000-%h";
    assert_eq!(settings.identity_files.unwrap(), [PathBuf::from(key)]);
    assert_eq!(settings.certificate_files, [PathBuf::from("/dir%h/x")]);
    let variable = IdentityAgent::Variable(String::from("AGENT"));
    assert_eq!(settings.identity_agent, Some(variable));
    let known_hosts = KnownHostsFile::Path(PathBuf::from("/home/local/k"));
    assert_eq!(settings.user_known_hosts, Some(vec![known_hosts]));
}

#[test]
fn jumps_are_a_chain_and_a_command_is_words() {
    let Some(Placed { value, place }) = settings("Port 5\nProxyJump me@%r-a:1,[::1]\n").proxy
    else {
        panic!("no proxy");
    };
    let Proxy::Jump(jumps) = value else {
        panic!("no jump");
    };
    let jumps: Vec<String> = jumps.iter().map(ToString::to_string).collect();
    assert_eq!(jumps, ["me@local-a:1", "[::1]"]);
    assert_eq!(place.line, 2);

    let text = "Port 5\nProxyCommand ssh -qW [%h]:%p \"%r\" # there\nProxyJump a\n";
    let Some(Proxy::Command(command)) = settings(text).proxy.map(|proxy| proxy.value) else {
        panic!("no command");
    };
    assert_eq!(command.words, ["ssh", "-qW", "[db]:5", "local"]);
    assert_eq!(command.written, "ssh -qW [%h]:%p \"%r\" # there");
}

#[test]
fn the_first_of_jump_and_command_counts() {
    for (text, has_proxy) in [
        ("ProxyJump none\nProxyJump a\n", false),
        ("ProxyJump none\nProxyCommand a\n", true),
        ("ProxyCommand none\nProxyJump a\n", false),
        ("ProxyJump a\nProxyCommand none\n", true),
        ("Host other\nProxyJump a\n", false),
    ] {
        assert_eq!(settings(text).proxy.is_some(), has_proxy, "{text}");
    }
}

/// CVE-2023-51385, CVE-2025-61984: what a name may hold is looked at before it goes anywhere.
#[test]
fn a_hostile_host_or_user_goes_into_nothing() {
    let text = "ProxyCommand nc %r %h\n";
    for host in ["a;b", "-oX", "`id`", "a b", "a\nb", "$(id)", "a,b", ""] {
        let error = resolve_in(&[(CONFIG, text)], &wanted(host)).unwrap_err();
        assert!(error.to_string().contains("is no host"), "{host}: {error}");
    }
    for user in ["-l", "a;b", "a\nb", "a -b", "a\\", "$(id)", ""] {
        let wanted = Wanted {
            user: Some(user.to_owned()),
            ..wanted("db")
        };
        let error = resolve_in(&[(CONFIG, text)], &wanted).unwrap_err();
        assert!(
            error.to_string().contains("is no user name"),
            "{user}: {error}"
        );
    }
    for (text, expected) in [
        ("HostName -x\n", "line 1: \"-x\" is no host"),
        ("\nUser 'a;b'\n", "line 2: \"a;b\" is no user name"),
        ("ProxyJump a;b\n", "\"a;b\" is no host"),
        ("ProxyJump -x@b\n", "\"-x\" is no user name"),
    ] {
        let error = problem(text);
        assert!(error.contains(expected), "{text}: {error}");
    }
    assert!(is_user("DOMAIN\\me") && is_user("me@site") && is_user("a b"));
}

#[test]
fn all_that_is_wrong_is_told_at_once_with_its_place() {
    let text = "Prot 22\nPort 0\nHost x\nUser a b\nIdentitiesOnly maybe\nProxyJump a,\n\
                LocalForward 1 x\nAddressFamily\nUser \"a\nMatch exam a\nPort 1 # fine\n";
    let error = problem(text);
    let lines: Vec<&str> = error.lines().collect();
    let expected = [
        "line 1: there is no keyword \"prot\"",
        "line 2 column 6: \"0\" is none of what Port takes: 1 to 65535",
        "line 4 column 8: \"b\" is one word too many",
        "line 5 column 16: \"maybe\" is none of what IdentitiesOnly takes: yes, no",
        "line 6: \"a,\" is no jump",
        "line 7: \"1:x\" is no forward",
        "line 8 column 1: addressfamily has no value",
        "line 9 column 6: a quote is not closed",
        "line 10: Match has no criterion \"exam\"",
    ];
    assert_eq!(lines.len(), expected.len(), "{error}");
    for (line, expected) in lines.iter().zip(expected) {
        assert!(line.contains(expected), "{line}: {expected}");
    }
    let many = problem(&"x y\n".repeat(100));
    assert_eq!(many.lines().count(), 20);
}

#[test]
fn what_is_not_safe_to_pass_over_is_refused_where_it_applies() {
    for refused in &REFUSED {
        let name = refused.name;
        let error = problem(&format!("{name} anything\n"));
        assert!(error.contains(refused.hint), "{error}");
        settings(&format!("Host other\n{name} anything\n"));
        if !refused.harmless.is_empty() {
            settings(&format!("{name} {}\n", refused.harmless));
        }
    }
}

#[test]
fn what_is_passed_over_is_listed_once_and_only_where_it_applies() {
    let text = "IgnoreUnknown Use*,x\nUseKeychain yes\nSendEnv A\nsendenv B\nHost other\nTag t\n";
    let ignored = read(text).unwrap().ignored;
    let names: Vec<&str> = ignored.iter().map(|it| it.value.as_str()).collect();
    assert_eq!(names, ["SendEnv"]);
    assert_eq!(ignored[0].place.line, 3);
}

#[test]
fn limits_hold() {
    let lines = |line: &str, count: usize| {
        let lines = (0..count).map(|number| line.replace('#', &number.to_string()));
        lines.collect::<String>()
    };
    for (line, most) in [
        ("IdentityFile /#\n", 100),
        ("DynamicForward [#]:1\n", 1_000),
    ] {
        settings(&lines(line, most));
        let error = problem(&lines(line, most + 1));
        assert!(error.contains("more than"), "{error}");
    }
    let files = format!("UserKnownHostsFile{}\n", lines(" /#", 33));
    assert!(problem(&files).contains("more than 32"));
    let jumps = format!("ProxyJump a{}\n", lines(",a#", 16));
    assert!(problem(&jumps).contains("more than 16"));
}

/// The page names every keyword in the table that it belongs to, and no other.
#[test]
fn the_page_tells_what_is_read_refused_and_ignored() {
    let page = include_str!("../../../../docs/reference/ssh_config.md");
    let section = |title: &str| {
        let (_, after) = page.split_once(title).unwrap();
        after.split("\n## ").next().unwrap()
    };
    let rows = |title: &str| {
        let rows = section(title).lines().filter_map(|line| {
            let (name, _) = line.strip_prefix("| `")?.split_once('`')?;
            Some(name.to_owned())
        });
        let mut names: Vec<String> = rows.collect();
        names.sort();
        names
    };
    let sorted = |names: &mut dyn Iterator<Item = &'static str>| {
        let mut names: Vec<String> = names.map(str::to_owned).collect();
        names.sort();
        names
    };
    assert_eq!(
        rows("## What is read"),
        sorted(&mut READ.iter().map(|it| it.0))
    );
    assert_eq!(
        rows("## What is refused"),
        sorted(&mut REFUSED.iter().map(|it| it.name))
    );
    let ignored = section("## What is ignored");
    let quoted = ignored.split('`').skip(1).step_by(2).map(str::to_owned);
    let mut quoted: Vec<String> = quoted.collect();
    quoted.sort();
    assert_eq!(quoted, sorted(&mut IGNORED.iter().copied()));
}

proptest! {
    #[test]
    fn no_bytes_cause_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        for line in parse::parse(&bytes).flatten() {
            prop_assert!(!line.rest.is_empty());
        }
    }

    #[test]
    fn no_text_near_the_grammar_causes_a_panic(
        text in "((Host|Match|ProxyJump|ProxyCommand|LocalForward|Port|User|Include|IdentityFile)\
                 [ =\"'\\\\#%${},:@\\[\\]/~!*a0]{0,12}\n){0,6}",
    ) {
        drop(read(&text));
    }
}
