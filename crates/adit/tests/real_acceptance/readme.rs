//! `examples/gateway/ssh-tunnel`, from a clean folder, exactly as its page says: its own service, with FastAPI and
//! uvicorn as PyPI has them today within the bounds of its `requirements.txt`.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use adit_testkit::namespace::Namespace;
use adit_testkit::process::Process;
use adit_testkit::sshd::Sshd;
use adit_testkit::{real, require, wait};

use crate::support::{FORWARDING, Folder, Said, fixture, id_of_result, said, variables};

/// Where the example is, seen from the folder that is its reader's.
const EXAMPLE: &str = "examples/gateway/ssh-tunnel";

/// How long it may take to get the service's packages.
const DOWNLOAD: Duration = Duration::from_secs(180);

fn original() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(EXAMPLE)
}

fn page(name: &str) -> String {
    fs::read_to_string(original().join(name)).unwrap()
}

/// The pieces of a page between fences that begin with this word, without the indent of their fence.
fn pieces(page: &str, kind: &str) -> Vec<String> {
    let mut pieces = Vec::new();
    let mut open: Option<(usize, bool, String)> = None;
    for line in page.lines() {
        let text = line.trim_start();
        match (text.strip_prefix("```"), &mut open) {
            (Some(found), None) => {
                open = Some((line.len() - text.len(), found == kind, String::new()));
            }
            (Some(_), Some(_)) => {
                let closed = open.take().filter(|(_, is_wanted, _)| *is_wanted);
                pieces.extend(closed.map(|(_, _, text)| text));
            }
            (None, Some((indent, _, text))) => {
                text.push_str(line.get(*indent..).unwrap_or_default());
                text.push('\n');
            }
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a fence is not closed");
    pieces
}

/// A terminal in the folder of the example, where its packages are to be found.
fn terminal(folder: &Folder, words: &str) -> Process {
    let script = format!("cd {EXAMPLE}\n. .venv/bin/activate\n{words}");
    Process::spawn(&mut folder.command("bash", &["-ec", &script]))
}

/// A copy of what is kept of the example, and nothing that somebody has made there.
fn copy(to: &Path) {
    fs::create_dir_all(to).unwrap();
    let mut count = 0;
    for entry in fs::read_dir(original()).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name();
        let is_made = name == ".env" || name == ".venv" || name == "__pycache__";
        if !is_made {
            fs::copy(entry.path(), to.join(name)).unwrap();
            count += 1;
        }
    }
    assert_eq!(count, 8, "files of the example");
}

#[test]
fn the_example_runs_as_its_page_says() {
    require!(root);
    require!(
        "ip",
        "nsenter",
        "sshd",
        "ssh-keygen",
        "python3",
        "bash",
        "curl"
    );
    let english = page("README.md");
    let commands = pieces(&english, "bash");
    for name in ["README.ko.md", "README.zh-TW.md"] {
        assert_eq!(pieces(&page(name), "bash"), commands, "{name}");
    }
    let [prepare, validate, up, status, run, down] = commands.as_slice() else {
        panic!("the page has other commands: {commands:?}");
    };
    assert_eq!(page("model-compose.yml"), fixture("ssh-tunnel.yml"));

    let (inside, public) = (Namespace::new(), Namespace::new());
    let addr = IpAddr::from(inside.join(&public).v4(2));
    let sshd = Sshd::builder()
        .config_line("GatewayPorts yes\nAllowTcpForwarding yes")
        .start_in(&public, addr);
    let laptop = Folder::new().on(&inside);
    let server = Folder::new().on(&public);
    laptop.take_key(&sshd);
    let example = laptop.work().join(EXAMPLE);
    copy(&example);

    // On this host, since PyPI is needed, and with what this machine knows of ways there.
    let mut preparing = Command::new("bash");
    preparing.args(["-ec", prepare]).current_dir(laptop.work());
    let mut preparing = Process::spawn(&mut preparing);
    if !preparing.wait(DOWNLOAD).success() {
        real::skip(&format!(
            "its packages cannot be had: {}",
            preparing.stderr()
        ));
        return;
    }
    assert_eq!(
        fs::read_to_string(example.join(".env")).unwrap(),
        page(".env.example")
    );
    fs::write(example.join(".env"), variables(&sshd)).unwrap();

    let valid = said(&mut terminal(&laptop, validate));
    assert_eq!(valid.code, Some(0), "{}", valid.stderr);
    let mut upped = terminal(&laptop, up);
    upped.wait_for_text(FORWARDING);
    let logged = pieces(&english, "")
        .into_iter()
        .find(|piece| piece.contains(FORWARDING));
    let logged = logged
        .unwrap()
        .replace("your-server.example.com", &addr.to_string());
    for line in logged.lines() {
        assert!(upped.stderr().contains(line), "{line}: {}", upped.stderr());
    }

    // The other terminal.
    wait::until("status says that all is well", || {
        let said = said(&mut terminal(&laptop, status));
        if said.code == Some(0) {
            Ok(())
        } else {
            Err(said)
        }
    });
    let by_hand = pieces(&english, "sh");
    let by_hand = by_hand
        .iter()
        .find(|piece| piece.starts_with("curl http://localhost:9834"));
    let answer = said(&mut Process::spawn(
        &mut server.command("bash", &["-ec", by_hand.unwrap()]),
    ));
    assert_eq!(
        (answer.code, answer.stdout.as_str()),
        (Some(0), ""),
        "{}",
        answer.stderr
    );
    let given = said(&mut terminal(&laptop, run));
    let id = id_of_result(&given);
    let [printed] = pieces(&english, "json").try_into().unwrap();
    assert_eq!(
        printed.replace("01M807NV3JXGM9XZMGP9MM86GF", &id),
        given.stdout
    );
    let Said { code, stderr, .. } = said(&mut terminal(&laptop, down));
    assert_eq!(code, Some(0), "{stderr}");
    assert_eq!(said(&mut upped).code, Some(0));
    assert_eq!(laptop.processes(), []);

    // Without `up`, as the page says as well.
    id_of_result(&said(&mut terminal(&laptop, run)));
    assert_eq!(laptop.processes(), []);
}
