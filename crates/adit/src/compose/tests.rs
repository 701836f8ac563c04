//! Files, in each dialect, and what stands for the variables in them.

use super::*;

struct Lab(tempfile::TempDir);

impl Lab {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let file = self.0.path().join(name);
        std::fs::write(&file, text).unwrap();
        file
    }

    /// What some files say, and what is wrong with them, without their folder.
    fn read(
        &self,
        files: &[(&str, &str)],
        environment: &EnvironmentArguments,
    ) -> (Option<Loaded>, String) {
        let files = files.iter().map(|(name, text)| self.write(name, text));
        let surroundings = Surroundings::of_this_process();
        let read = read(files.collect(), environment, &surroundings);
        let (loaded, problems) = read.unwrap();
        let folder = format!("{}/", self.0.path().display());
        (loaded, problems.to_string().replace(&folder, ""))
    }

    fn problems(&self, files: &[(&str, &str)]) -> String {
        let (loaded, problems) = self.read(files, &EnvironmentArguments::default());
        assert!(loaded.is_none(), "{problems}");
        problems
    }
}

const WORKFLOW: &str = "component: {type: shell, command: [echo]}\nworkflow: {title: t}\n";
const TUNNELS: &str = "tunnels: {a: {host: gw, ssh_config: none, forwards: [{remote: 0:a:1}]}}\n";

#[test]
fn a_file_may_hold_tunnels_workflows_or_both() {
    let lab = Lab::new();
    let both = format!("{TUNNELS}{WORKFLOW}");
    for (text, tunnels, workflows) in [(TUNNELS, 1, 0), (WORKFLOW, 0, 1), (&both, 1, 1)] {
        let environment = EnvironmentArguments::default();
        let (loaded, problems) = lab.read(&[("adit.yml", text)], &environment);
        let loaded = loaded.unwrap_or_else(|| panic!("{problems}"));
        let counts = (loaded.tunnels.len(), loaded.compose.workflows.len());
        assert_eq!(counts, (tunnels, workflows));
        assert_eq!(loaded.forwards(), tunnels);
        assert_eq!(loaded.has_compose(), workflows > 0);
    }
    let nothing = lab.problems(&[("adit.yml", "logger: {type: console}")]);
    assert_eq!(
        nothing,
        "adit.yml:1:1: there are neither tunnels nor workflows in it"
    );
}

#[test]
fn whose_rules_count_is_in_the_name_of_the_file_or_of_the_one_before_it() {
    let lab = Lab::new();
    let odd = "odd: 1\n";
    let text = format!("{WORKFLOW}{odd}");
    let environment = EnvironmentArguments::default();
    for (files, is_error) in [
        (&[("adit.yml", text.as_str())][..], true),
        (&[("other.yml", &text)], true),
        (&[("model-compose.yml", &text)], false),
        (&[("model-compose.prod.yml", &text)], false),
        (&[("model-compose.yml", WORKFLOW), ("prod.yml", odd)], false),
        (&[("adit.yml", WORKFLOW), ("prod.yml", odd)], true),
        (&[("model-compose.yml", WORKFLOW), ("adit.yml", odd)], true),
    ] {
        let (loaded, problems) = lab.read(files, &environment);
        assert_eq!(loaded.is_none(), is_error, "{files:?}: {problems}");
        assert!(problems.contains("unknown key \"odd\""), "{problems}");
    }
    // Under tunnels: always an error.
    let text = "tunnels: {a: {host: gw, ssh_config: none, odd: 1, forwards: [{remote: 0:a:1}]}}";
    let problems = lab.problems(&[("model-compose.yml", text)]);
    assert!(problems.contains("unknown key \"odd\""), "{problems}");
}

#[test]
fn variables_are_said_then_the_processs_then_of_files_and_never_shown() {
    let lab = Lab::new();
    let first = lab.write(
        "first.env",
        "ADIT_TEST_A=first\nADIT_TEST_B=first\nHOME=elsewhere\n",
    );
    let second = lab.write("second.env", "ADIT_TEST_A=second\nADIT_TEST_S=s3cr3t\n");
    let environment = EnvironmentArguments {
        env_files: vec![first, second],
        variables: vec![String::from("ADIT_TEST_C=a=b")],
    };
    let text = "component: {type: shell, command: [echo]}\nworkflow: {title: \
                '${env.ADIT_TEST_A} ${env.ADIT_TEST_B} ${env.ADIT_TEST_C} ${env.HOME}'}";
    let (loaded, problems) = lab.read(&[("adit.yml", text)], &environment);
    let loaded = loaded.unwrap_or_else(|| panic!("{problems}"));
    let title = loaded.compose.workflows[0].title.clone().unwrap();
    let home = std::env::var("HOME").unwrap();
    assert_eq!(title, format!("second first a=b {home}"));
    // It is in nothing that is said of a file that is wrong.
    let text = "workflow: {title: t}\ncontroller: {type: http-server, port: '${env.ADIT_TEST_S}'}";
    let (loaded, problems) = lab.read(&[("adit.yml", text)], &environment);
    assert!(
        loaded.is_none() && problems.contains("ADIT_TEST_S"),
        "{problems}"
    );
    assert!(!problems.contains("s3cr3t"), "{problems}");
}

#[test]
fn a_forward_to_this_machine_opens_the_controller_however_it_is_written() {
    let lab = Lab::new();
    let file = |host: &str| {
        format!(
            "tunnels: {{a: {{host: gw, ssh_config: none, forwards: [{{remote: '*:9000:{host}:8080'}}]}}}}
controller: {{type: http-server, port: 8080}}
{WORKFLOW}"
        )
    };
    for host in ["localhost", "127.1", "0x7f.1", "[::1]", "0"] {
        let problems = lab.problems(&[("adit.yml", &file(host))]);
        let words = "port 8080 is the controller";
        assert!(problems.contains(words), "{host}: {problems}");
    }
    let environment = EnvironmentArguments::default();
    let (loaded, problems) = lab.read(&[("adit.yml", &file("192.0.2.1"))], &environment);
    assert!(loaded.is_some(), "{problems}");
}

#[test]
fn an_own_address_is_here_where_something_listens_at_it() {
    let lab = Lab::new();
    let environment = EnvironmentArguments::default();
    for (listens, host, is_here) in [
        ("127.0.0.2", "127.0.0.2", true),
        ("0.0.0.0", "127.0.0.2", true),
        ("127.0.0.1", "127.0.0.2", false),
        ("localhost", "127.0.0.2", false),
        // Another's: it is for documents (RFC 5737).
        ("0.0.0.0", "192.0.2.1", false),
        ("0.0.0.0", "example.org", false),
    ] {
        let listener =
            format!("listener: {{type: http-callback, host: {listens}, port: 8090, path: /x}}\n");
        let text = format!("{listener}{WORKFLOW}");
        let (loaded, problems) = lab.read(&[("adit.yml", &text)], &environment);
        let compose = loaded.unwrap_or_else(|| panic!("{problems}")).compose;
        let found = is_here_beyond_loopback(host, 8090, &compose);
        assert_eq!(found, is_here, "{listens} {host}");
        assert!(!is_here_beyond_loopback(host, 8091, &compose));
    }
}

#[test]
fn two_processes_know_whether_they_have_read_the_same() {
    let lab = Lab::new();
    let text =
        "component: {type: shell, command: ['${env.ADIT_TEST_A | x}']}\nworkflow: {title: t}";
    let fingerprint = |variables: &[&str]| {
        let environment = EnvironmentArguments {
            env_files: Vec::new(),
            variables: variables.iter().map(|one| (*one).to_owned()).collect(),
        };
        let (loaded, problems) = lab.read(&[("adit.yml", text)], &environment);
        loaded.unwrap_or_else(|| panic!("{problems}")).fingerprint
    };
    assert_eq!(fingerprint(&[]), fingerprint(&["ADIT_TEST_A=x"]));
    assert_eq!(fingerprint(&[]), fingerprint(&["ADIT_TEST_UNUSED=y"]));
    assert_ne!(fingerprint(&[]), fingerprint(&["ADIT_TEST_A=y"]));
}

#[test]
fn everything_is_told_at_once_whoever_reads_it() {
    let lab = Lab::new();
    let text = "tunnels: {a: {hots: gw, forwards: []}}\nworkflow: {title: t, jobs: [{component: nobody}]}\n";
    let problems = lab.problems(&[("adit.yml", text), ("b.yml", "controller: {prot: 1}")]);
    for part in ["did you mean \"host\"?", "nobody", "b.yml:1:", "prot"] {
        assert!(problems.contains(part), "{part} is not in\n{problems}");
    }
    let broken = lab.problems(&[("adit.yml", "a: [1"), ("b.yml", "b: {")]);
    assert!(
        broken.contains("adit.yml:") && broken.contains("b.yml:"),
        "{broken}"
    );
}

#[test]
fn a_later_file_may_be_empty() {
    let lab = Lab::new();
    let files = [("adit.yml", WORKFLOW), ("b.yml", "# nothing\n")];
    let (loaded, problems) = lab.read(&files, &EnvironmentArguments::default());
    assert!(loaded.is_some(), "{problems}");
}

/// Security rules G86 and G87: a tunnel opens a door as a gateway does.
#[test]
fn issue_4_what_a_tunnel_makes_public_is_looked_at_too() {
    let lab = Lab::new();
    let of = |bind: &str, rest: &str| {
        let forward = format!("{{remote: '{bind}8080:localhost:8080'}}");
        format!("tunnels: {{a: {{host: gw, ssh_config: none, forwards: [{forward}]}}}}\n{rest}\n")
    };
    let controller = "controller: {type: http-server}";
    let trigger = "listener: {type: http-trigger, port: 8080, path: /t, workflow: w}\n\
                   workflow: {id: w, component: {id: c, type: shell, command: [ls]}}";
    let callback = "listener: {type: http-callback, port: 8080, path: /c}";
    for (rest, wanted) in [
        (controller, "adit.yml:1:11: port 8080 is the controller"),
        (trigger, "this trigger is public and asks for no proof"),
    ] {
        let problems = lab.problems(&[("adit.yml", &of("*:", rest))]);
        assert!(problems.contains(wanted), "{problems}");
    }
    let read = |text: &str| lab.read(&[("adit.yml", text)], &EnvironmentArguments::default());
    let (loaded, problems) = read(&of("*:", callback));
    assert!(
        loaded.is_some() && problems.contains("this callback is public"),
        "{problems}"
    );
    // At the far end's loopback nobody is a stranger.
    for rest in [controller, trigger, callback] {
        let (loaded, problems) = read(&of("localhost:", rest));
        assert!(loaded.is_some(), "{problems}");
    }
}
