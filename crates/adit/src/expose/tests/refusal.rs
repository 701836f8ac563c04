//! What does not work, and how that is told: in one line.

use adit_testkit::key_pair::{KeyKind, KeyPair};
use adit_testkit::require;

use super::*;

/// What it comes to, which the board and whoever waits for the port are told, too.
async fn failure(home: &Path, text: &str) -> String {
    let mut up = Up::new(home, text);
    let why = up.failure().await;
    assert_eq!(why.lines().count(), 1, "{why}");
    let short = why.strip_prefix("gateway 127.0.0.1: ").unwrap();
    assert_eq!(
        up.addresses.state(8_090),
        Some(State::Down(short.to_owned()))
    );
    assert!(up.board.failure(true).is_some());
    assert!(!why.contains("hunter4711") && !up.log.text().contains("hunter4711"));
    why
}

mod real {
    use super::*;

    #[tokio::test]
    async fn a_key_that_the_server_does_not_take_is_named_and_what_it_takes() {
        require!("sshd", "ssh-keygen");
        let (sshd, home) = (Sshd::builder().start(), home());
        KeyPair::generate(home.path(), "stranger", KeyKind::Ed25519);
        let login = "type: keyfile, keyfile: ~/stranger";
        let why = failure(home.path(), &file(&sshd, "8090", Some(login), "")).await;
        for part in [
            &format!("peer did not let {} log in", sshd.user()),
            &home.path().join("stranger").display().to_string(),
            "is not known there; server accepts publickey",
        ] {
            assert!(why.contains(part), "{part}: {why}");
        }
    }

    #[tokio::test]
    async fn a_key_file_that_is_not_there_is_named() {
        require!("sshd", "ssh-keygen");
        let (sshd, home) = (Sshd::builder().start(), home());
        let login = "type: keyfile, keyfile: ~/.ssh/id_rsa";
        let why = failure(home.path(), &file(&sshd, "8090", Some(login), "")).await;
        let file = home.path().join(".ssh/id_rsa").display().to_string();
        assert!(why.contains(&file), "{why}");
    }

    #[tokio::test]
    async fn a_password_goes_to_no_host_that_is_not_known() {
        require!("sshd", "ssh-keygen");
        let sshd = Sshd::builder()
            .config_line("PasswordAuthentication yes")
            .start();
        let home = home();
        let login = "type: password, password: 'env:WORD'";
        let tries = || sshd.log().matches("Failed password").count();
        let why = failure(home.path(), &file(&sshd, "8090", Some(login), "")).await;
        let (_, fingerprint) = why.split_once("\"host_key: ").unwrap();
        let (fingerprint, _) = fingerprint.split_once('"').unwrap();
        assert!(
            why.contains("is not known, and a password is sent to no host"),
            "{why}"
        );
        assert_eq!(tries(), 0);
        assert!(!home.path().join(".ssh/known_hosts").exists());
        // With what the line says to write it goes there, and is wrong.
        let host_key = format!("host_key: '{fingerprint}'");
        let why = failure(home.path(), &file(&sshd, "8090", Some(login), &host_key)).await;
        assert!(why.contains("password was refused"), "{why}");
        assert_eq!(tries(), 1);
    }

    #[tokio::test]
    async fn a_strict_gateway_meets_nobody_new() {
        require!("sshd", "ssh-keygen");
        let (sshd, home) = (Sshd::builder().start(), home());
        let why = failure(home.path(), &file(&sshd, "8090", None, "host_key: strict")).await;
        assert!(
            why.contains("is not known, and host_key is strict; it shows ssh-ed25519 SHA256:"),
            "{why}"
        );
        assert!(!home.path().join(".ssh/known_hosts").exists());
    }

    #[tokio::test]
    async fn a_changed_host_key_ends_it_with_both_fingerprints() {
        require!("sshd", "ssh-keygen");
        let (sshd, home) = (Sshd::builder().start(), home());
        let other = KeyPair::generate(home.path(), "other", KeyKind::Ed25519);
        let line = format!(
            "[127.0.0.1]:{} {}\n",
            sshd.addr().port(),
            other.public_key()
        );
        std::fs::write(home.path().join(".ssh/known_hosts"), &line).unwrap();
        for more in ["", "host_key: accept-new", "host_key: strict"] {
            let why = failure(home.path(), &file(&sshd, "8090", None, more)).await;
            assert!(why.contains("has changed"), "{more}: {why}");
            assert_eq!(why.matches("SHA256:").count(), 2, "{more}: {why}");
        }
        let known = std::fs::read_to_string(home.path().join(".ssh/known_hosts"));
        assert_eq!(known.unwrap(), line);
    }

    #[tokio::test]
    async fn a_forward_that_is_not_allowed_is_told_once_and_asked_for_again() {
        require!("sshd", "ssh-keygen");
        for (rule, ports, word) in [
            ("AllowTcpForwarding no", "'0:8090'", "refuses any port"),
            ("AllowTcpForwarding no", "'2:8090'", "refuses port 2"),
            ("AllowTcpForwarding local", "'2:8090'", "refuses port 2"),
            ("PermitListen 3", "'2:8090'", "refuses port 2"),
        ] {
            let sshd = Sshd::builder().config_line(rule).start();
            let home = home();
            let up = Up::new(home.path(), &file(&sshd, ports, None, ""));
            up.until_logged(word, 1).await;
            wait::until_async("a second question", || async {
                match sshd.log().matches("tcpip-forward").count() {
                    count if count > 1 => Ok(()),
                    _ => Err(sshd.log()),
                }
            })
            .await;
            let line = up.log.line(word);
            assert!(line.contains("forwarding is not allowed"), "{rule}: {line}");
            assert!(!line.contains("taken"), "{rule}: {line}");
            up.down(8_090, "forwarding is not allowed").await;
            up.end().await;
        }
    }

    #[tokio::test]
    async fn it_gives_up_after_as_many_retries_as_the_file_has() {
        require!("sshd", "ssh-keygen");
        let (mut sshd, home) = (Sshd::builder().start(), home());
        sshd.close_port();
        let more = "max_retry_count: 2\n    retry_interval: 100ms";
        let mut up = Up::new(home.path(), &file(&sshd, "8090", None, more));
        let why = up.failure().await;
        assert!(
            why.contains("SSH max retry count (2) reached, giving up: SSH connection failed"),
            "{why}"
        );
        up.log.line("(attempt 1 of 2)");
        up.log.line("(attempt 2 of 2)");
        assert!(up.board.failure(true).is_some());
    }
}
