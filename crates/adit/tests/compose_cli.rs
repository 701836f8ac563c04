//! Commands that read compose files, as a shell sees them: what they print, and their exit codes.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A folder with files, and a home that has nothing in it.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new(files: &[(&str, &str)]) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        for (name, text) in files {
            folder.write(name, text);
        }
        folder
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.0.path().join(name), text).unwrap();
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_adit"));
        command
            .args(arguments)
            .current_dir(self.0.path())
            .env("HOME", self.0.path())
            .env("USER", "me")
            .env_remove("XDG_RUNTIME_DIR")
            .output()
            .unwrap()
    }

    /// Exit code, standard output and standard error.
    fn said(&self, arguments: &[&str]) -> (Option<i32>, String, String) {
        let output = self.run(arguments);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (
            output.status.code(),
            text(&output.stdout),
            text(&output.stderr),
        )
    }
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../flow/tests/fixtures/model-compose")
}

const WORKFLOW: &str = "component: {type: shell, command: [echo]}\nworkflow: {title: t}\n";
const TUNNELS: &str =
    "tunnels: {a: {host: gw, key: k, ssh_config: none, forwards: [{remote: 0:a:1}]}}\n";

#[test]
fn every_example_of_model_compose_is_valid() {
    let mut count = 0;
    for entry in std::fs::read_dir(fixtures()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "yml") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let env = std::fs::read_to_string(fixtures().join("ssh-tunnel.env")).unwrap();
        let folder = Folder::new(&[("model-compose.yml", &text), (".env", &env)]);
        let (code, stdout, stderr) = folder.said(&[
            "validate",
            "-e",
            "CLOUDFLARE_TUNNEL_TOKEN=s3cr3t",
            "-e",
            "OPENAI_API_KEY=s3cr3t",
            "--env=TELEGRAM_BOT_TOKEN=s3cr3t",
        ]);
        assert_eq!(code, Some(0), "{}: {stderr}", path.display());
        assert!(
            stdout.starts_with("✅ Configuration is valid (controller: http-server, "),
            "{}: {stdout}",
            path.display()
        );
        assert!(!stderr.contains("s3cr3t"), "{stderr}");
        count += 1;
    }
    assert_eq!(count, 15);
}

#[test]
fn the_seed_document_is_valid_word_for_word() {
    let text = std::fs::read_to_string(fixtures().join("ssh-tunnel.yml")).unwrap();
    let env = std::fs::read_to_string(fixtures().join("ssh-tunnel.env")).unwrap();
    let folder = Folder::new(&[("model-compose.yml", &text), (".env", &env)]);
    let (code, stdout, stderr) = folder.said(&["validate"]);
    let line = "✅ Configuration is valid (controller: http-server, 1 component(s), 1 workflow(s), \
                1 listener(s), 1 gateway(s))\n";
    assert_eq!(
        (code, stdout.as_str(), stderr.as_str()),
        (Some(0), line, "")
    );
    let (_, stdout, _) = folder.said(&["check"]);
    let line = "model-compose.yml: components 1, workflows 1, listeners 1, gateways 1\n";
    assert_eq!(stdout, line);
    // Without its variables it cannot be used, and each is named where it stands.
    std::fs::remove_file(folder.0.path().join(".env")).unwrap();
    let (code, stdout, stderr) = folder.said(&["validate"]);
    assert_eq!((code, stdout.as_str()), (Some(1), ""));
    assert!(
        stderr.starts_with("adit: the configuration has errors:\nmodel-compose.yml:"),
        "{stderr}"
    );
    for part in ["model-compose.yml:13:", "SSH_TUNNEL_HOST", "SSH_USERNAME"] {
        assert!(stderr.contains(part), "{part}: {stderr}");
    }
}

#[test]
fn the_file_is_adits_own_or_model_composes_or_the_one_that_is_named() {
    let folder = Folder::new(&[]);
    let (code, _, stderr) = folder.said(&["validate"]);
    let words = "adit: there is no adit.yml or model-compose.yml here: name a file with -f\n";
    assert_eq!((code, stderr.as_str()), (Some(1), words));
    folder.write("model-compose.yaml", WORKFLOW);
    folder.write("other.yml", &format!("{TUNNELS}{WORKFLOW}"));
    let (code, stdout, _) = folder.said(&["check"]);
    assert_eq!(code, Some(0));
    assert!(stdout.starts_with("model-compose.yaml: "), "{stdout}");
    folder.write("adit.yml", TUNNELS);
    let (_, stdout, stderr) = folder.said(&["check"]);
    assert_eq!(stdout, "adit.yml: tunnels 1, forwards 1\n");
    assert!(
        stderr.contains("model-compose.yaml is not read"),
        "{stderr}"
    );
    // Before the command as well as behind it, and both count.
    for arguments in [
        &["-f", "other.yml", "validate"][..],
        &["validate", "-f", "other.yml"],
        &["--file=other.yml", "validate", "--file", "adit.yml"],
    ] {
        let (_, stdout, _) = folder.said(arguments);
        let line = "✅ Configuration is valid (controller: none, 1 component(s), 1 workflow(s), \
                    0 listener(s), 0 gateway(s), 1 tunnel(s), 1 forward(s))\n";
        assert_eq!(stdout, line, "{arguments:?}");
    }
}

#[test]
fn a_command_line_that_is_wrong_ends_with_code_2() {
    let folder = Folder::new(&[("model-compose.yml", WORKFLOW)]);
    std::fs::create_dir(folder.0.path().join("folder")).unwrap();
    for (arguments, part) in [
        (&["up", "-f", "nope.yml"][..], "nope.yml"),
        (&["validate", "-f", "folder"], "no regular file"),
        (&["run", "--env-file", "nope.env"], "nope.env"),
        (&["run", "-e", "FOO"], "KEY=VALUE"),
        (&["run", "--local", "--attach"], "--attach"),
        (
            &["run", "--input", "{bad"],
            "adit: invalid JSON for --input",
        ),
        (
            &["-f", "model-compose.yml", "completions", "bash"],
            "reads no file",
        ),
        (&["bogus"], "bogus"),
    ] {
        let (code, stdout, stderr) = folder.said(arguments);
        assert_eq!((code, stdout.as_str()), (Some(2), ""), "{arguments:?}");
        assert!(stderr.contains(part), "{arguments:?}: {stderr}");
    }
}

#[test]
fn what_is_not_up_needs_no_end_and_cannot_be_attached_to() {
    let folder = Folder::new(&[("model-compose.yml", WORKFLOW)]);
    for arguments in [
        &["stop"][..],
        &["down"],
        &["down", "-f", "model-compose.yml"],
    ] {
        let (code, stdout, stderr) = folder.said(arguments);
        let said = (code, stdout.as_str());
        assert_eq!(said, (Some(0), ""), "{arguments:?}");
        assert!(stderr.ends_with("nothing is up here\n"), "{stderr}");
    }
    let (code, stdout, stderr) = folder.said(&["run", "--attach"]);
    assert_eq!((code, stdout.as_str()), (Some(1), ""));
    assert!(stderr.contains("--attach wants it to be"), "{stderr}");
    let empty = Folder::new(&[]);
    let (code, _, stderr) = empty.said(&["down"]);
    assert_eq!((code, stderr.as_str()), (Some(0), "nothing is up here\n"));
}

#[test]
fn adit_may_open_all_files_that_the_system_lets_it_and_programs_as_many_as_before() {
    // Beside its own the limit of the keeper's parent, which is adit.
    let file = r#"
component:
  type: shell
  command:
    - sh
    - -c
    - |
      ulimit -Sn
      adit=$(cut -d" " -f4 /proc/$PPID/stat)
      grep "^Max open files" "/proc/$adit/limits" | tr -s " " | cut -d" " -f4,5
workflow:
  output: ${output.stdout}
"#;
    let folder = Folder::new(&[("adit.yml", file)]);
    let said = |limits: &str| {
        let mut command = Command::new("sh");
        command
            .args([
                "-c",
                &format!("{limits} && exec \"$0\" run --local --input {{}}"),
            ])
            .arg(env!("CARGO_BIN_EXE_adit"))
            .current_dir(folder.0.path())
            .env("HOME", folder.0.path())
            .env("ADIT_LOG", "info");
        let output = command.output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (text(output.stdout), text(output.stderr))
    };
    let (stdout, stderr) = said("ulimit -Sn 300 && ulimit -Hn 5000");
    assert!(stdout.contains("300\n5000 5000"), "{stdout} {stderr}");
    assert!(!stderr.contains("files may be open"), "{stderr}");
    let (stdout, stderr) = said("ulimit -Sn 300 && ulimit -Hn 4000");
    assert!(stdout.contains("300\n4000 4000"), "{stdout} {stderr}");
    let complaint = "only 4000 files may be open at once";
    assert_eq!(stderr.matches(complaint).count(), 1, "{stderr}");
}
