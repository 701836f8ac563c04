//! What the image is, and what of a machine its containers get (security rule G127).

use std::collections::BTreeSet;
use std::fs;

use adit_testkit::namespace::Namespace;
use serde_json::Value;

use crate::ground::{Site, UID, require_docker, root};

/// All that compose files ask for.
const VARIABLES: [(&str, &str); 3] = [
    ("SSH_CONFIG_NAME", "remote-server"),
    ("SSH_REVERSE_HOST", "master-db"),
    ("DATABASE_NETWORK", "wp"),
];
/// All that is in the image.
const FILES: [&str; 4] = [
    "bin/adit",
    "etc/adit/client.yml",
    "etc/adit/rsshd.yml",
    "etc/adit/server.yml",
];
/// What docker puts into every container that it makes.
const OF_DOCKER: [&str; 6] = [
    ".dockerenv",
    "dev/console",
    "etc/hostname",
    "etc/hosts",
    "etc/mtab",
    "etc/resolv.conf",
];

fn inspect(site: &Site, name: &str) -> Value {
    let all: Vec<Value> = serde_json::from_str(&site.docker.run(&["inspect", name])).unwrap();
    all.into_iter().next().unwrap()
}

#[test]
fn image_inspect_rules() {
    let program = require_docker!();
    let site = Site::new(&Namespace::new(), &program);
    let image = inspect(&site, "adit");
    let config = &image["Config"];
    assert_eq!(config["User"], "65532:65532");
    assert_eq!(config["Entrypoint"], serde_json::json!(["/bin/adit"]));
    // The exec form: there is no shell.
    let check = serde_json::json!(["CMD", "/bin/adit", "status"]);
    assert_eq!(config["Healthcheck"]["Test"], check);
    let variables = config["Env"].as_array().unwrap().iter();
    let variables: BTreeSet<&str> = variables.map(|it| it.as_str().unwrap()).collect();
    assert_eq!(
        variables,
        BTreeSet::from([
            "PATH=/bin",
            "HOME=/home/adit",
            "XDG_STATE_HOME=/var/lib",
            "XDG_RUNTIME_DIR=/run/adit",
            "ADIT_DATA=/var/lib/adit/gateway",
        ])
    );

    site.docker.run(&["create", "--name", "look", "adit"]);
    site.docker
        .run(&["export", "--output", &site.shown("look.tar"), "look"]);
    let list = std::process::Command::new("tar")
        .args(["--list", "--file", &site.shown("look.tar")])
        .output()
        .unwrap();
    let list = String::from_utf8(list.stdout).unwrap();
    let files = list.lines().filter(|path| !path.ends_with('/'));
    let files: BTreeSet<&str> = files.filter(|path| !OF_DOCKER.contains(path)).collect();
    assert_eq!(files, BTreeSet::from(FILES));
}

#[test]
fn containers_of_the_compose_files_get_nothing_of_the_machine() {
    let program = require_docker!();
    let site = Site::new(&Namespace::new(), &program);
    site.docker.run(&["network", "create", "wp"]);
    site.write("ssh/config", "");
    let ssh = site.shown("ssh");
    let variables = [&VARIABLES[..], &[("SSH_FOLDER", ssh.as_str())]].concat();
    let mut count = 0_usize;
    for entry in fs::read_dir(root().join("deploy/docker")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if !name.starts_with("compose.") {
            continue;
        }
        site.compose(&name, &["up", "--no-start"], &variables);
        let ids = site.compose(&name, &["ps", "--quiet"], &variables);
        for id in ids.lines().filter(|line| line.len() == 64) {
            let found = inspect(&site, id);
            let host = &found["HostConfig"];
            assert_eq!(host["ReadonlyRootfs"], true, "{name}");
            assert_eq!(host["CapDrop"], serde_json::json!(["ALL"]), "{name}");
            assert_eq!(host["CapAdd"], Value::Null, "{name}");
            assert_eq!(host["Privileged"], false, "{name}");
            assert_eq!(host["Devices"], Value::Null, "{name}");
            for namespace in ["NetworkMode", "PidMode", "UsernsMode", "IpcMode"] {
                assert_ne!(host[namespace], "host", "{name}: {namespace}");
            }
            let options = serde_json::json!(["no-new-privileges:true"]);
            assert_eq!(host["SecurityOpt"], options, "{name}");
            assert_eq!(found["Config"]["User"], UID, "{name}");
            for mount in found["Mounts"].as_array().unwrap() {
                let source = mount["Source"].as_str().unwrap();
                assert!(!source.contains("docker.sock"), "{name}: {source}");
                // What is the host's own is for reading.
                let is_state = mount["Type"] == "volume";
                assert_eq!(mount["RW"], is_state, "{name}: {source}");
            }
            count += 1;
        }
        site.compose(&name, &["down", "--volumes"], &variables);
    }
    assert_eq!(count, 3);
}
