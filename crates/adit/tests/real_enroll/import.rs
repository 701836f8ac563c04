//! `adit import`: what it prints can be used as it is.

use super::*;

fn import(kind: &str, file: &Path) -> Output {
    adit().arg("import").arg(kind).arg(file).output().unwrap()
}

#[test]
fn what_is_printed_can_be_used_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    for (name, kind, text) in [
        (
            "frpc.toml",
            "frp",
            "serverAddr = \"gw.example\"\n[[proxies]]\nname = \"a\"\ntype = \"tcp\"\nlocalPort = 22\nremotePort = 6000\n\
             healthCheck.type = \"http\"\nhealthCheck.path = \"/x\"\n",
        ),
        (
            "client.toml",
            "rathole",
            "[client]\nremote_addr = \"gw.example:2333\"\n[client.services.a]\nlocal_addr = \"127.0.0.1:22\"\n",
        ),
        (
            "tunnel.service",
            "autossh-unit",
            "[Service]\nExecStart=/usr/bin/autossh -M 0 -N -o ServerAliveInterval=30 -o StrictHostKeyChecking=accept-new \
             -J me@hop -6 -R 22022:localhost:22 -L 3306:db:3306 -D 1080 me@gw.example\n",
        ),
    ] {
        let file = path(name);
        std::fs::write(&file, text).unwrap();
        let imported = import(kind, &file);
        let made = path("adit.yml");
        std::fs::write(&made, &imported.stdout).unwrap();
        let checked = adit()
            .arg("check")
            .arg(&made)
            .env("HOME", folder.path())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&imported.stdout);
        assert!(
            checked.status.success(),
            "{name}: {text}\n{}",
            said(&checked)
        );
    }
    let server = path("frps.toml");
    std::fs::write(&server, "bindPort = 7000\nvhostHTTPPort = 8080\nsubDomainHost = \"gw.example\"\nallowPorts = [{ single = 20000 }]\n").unwrap();
    let imported = import("frp", &server);
    let made = path("gateway.yml");
    std::fs::write(&made, &imported.stdout).unwrap();
    let checked = adit()
        .args(["serve", "--check", "--data"])
        .arg(path("data"))
        .arg("--config")
        .arg(&made)
        .output()
        .unwrap();
    assert!(checked.status.success(), "{}", said(&checked));
}

#[test]
fn what_is_left_is_told_with_its_line_and_a_code() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("frpc.toml");
    std::fs::write(
        &file,
        "serverAddr = \"gw.example\"\nauth.token = \"hunter2\"\n",
    )
    .unwrap();
    let imported = import("frp", &file);
    assert_eq!(imported.status.code(), Some(1));
    let told = said(&imported);
    assert!(told.contains("line 2: auth.token: "), "{told}");
    assert!(!told.contains("hunter2"), "{told}");
    let missing = import("frp", &folder.path().join("none"));
    assert!(said(&missing).contains("cannot read"), "{}", said(&missing));
    let folder = import("frp", folder.path());
    assert!(
        said(&folder).contains("no regular file"),
        "{}",
        said(&folder)
    );
}
