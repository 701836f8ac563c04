//! `-W`: the standard streams, alone and as the way of a stock ssh.

use std::process::Stdio;

use super::*;

#[test]
fn standard_streams_are_carried_half_by_half_and_it_ends_with_them() {
    require!("sshd");
    let sshd = Sshd::builder().start();
    let sent: Vec<u8> = (0..500_000_u32).flat_map(u32::to_be_bytes).collect();
    let target = format!("127.0.0.1:{}", echo_service());
    let arguments = ["-i", &key(&sshd), "-W", &target];
    let mut adit = adit_command(&sshd, &sshd.known_hosts_path(), &arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = adit.stdin.take().unwrap();
    let question = sent.clone();
    let writer = thread::spawn(move || input.write_all(&question).unwrap());
    let output = adit.wait_with_output().unwrap();
    writer.join().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    assert!(
        output.stdout == sent,
        "{} bytes: {stderr}",
        output.stdout.len()
    );
}

/// The other half is still open when the first one ends.
#[test]
fn the_end_of_the_targets_half_is_seen_before_the_input_ends() {
    require!("sshd");
    let sshd = Sshd::builder().start();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = listener.local_addr().unwrap().to_string();
    let service = thread::spawn(move || {
        let (mut visitor, _) = listener.accept().unwrap();
        visitor.write_all(b"greeting").unwrap();
        visitor.shutdown(Shutdown::Write).unwrap();
        let mut got = Vec::new();
        visitor.read_to_end(&mut got).unwrap();
        got
    });
    let arguments = ["-i", &key(&sshd), "-W", &target];
    let mut adit = adit_command(&sshd, &sshd.known_hosts_path(), &arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut greeting = Vec::new();
    let mut output = adit.stdout.take().unwrap();
    output.read_to_end(&mut greeting).unwrap();
    assert_eq!(greeting, b"greeting");
    let mut input = adit.stdin.take().unwrap();
    input.write_all(b"late answer").unwrap();
    drop(input);
    assert!(adit.wait().unwrap().success());
    assert_eq!(service.join().unwrap(), b"late answer");
}

#[test]
fn a_stock_ssh_comes_through_as_its_proxy_command() {
    require!("sshd", "ssh");
    let sshd = Sshd::builder().start();
    let known_hosts = sshd.known_hosts_path();
    let words = adit_command(&sshd, &known_hosts, &["-i", &key(&sshd), "-W", "%h:%p"]);
    let mut command = words.get_program().to_str().unwrap().to_owned();
    for word in words.get_args() {
        command.push(' ');
        command.push_str(word.to_str().unwrap());
    }
    let option = format!("ProxyCommand={command}");
    let output = sshd
        .ssh(&["-o", &option])
        .arg("cat /proc/sys/kernel/ostype; exit 3")
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{stderr}");
    assert_eq!(output.stdout, b"Linux\n", "{stderr}");
}

#[test]
fn what_cannot_be_had_ends_it_with_one_line() {
    require!("sshd");
    let sshd = Sshd::builder().start();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = closed.local_addr().unwrap().to_string();
    drop(closed);
    let key = key(&sshd);
    let arguments = ["-i", &key, "-W", &nobody];
    let mut refused = adit(&sshd, &sshd.known_hosts_path(), &arguments);
    assert_eq!(refused.wait(wait::DEADLINE).code(), Some(1));
    let stderr = refused.stderr();
    let last = stderr.lines().last().unwrap();
    let expected = format!("adit: cannot reach {nobody} from there: ");
    assert!(last.starts_with(&expected), "{stderr}");
    assert!(last.contains("Connection refused"), "{stderr}");
    assert_eq!(refused.stdout(), "", "the output is the target's alone");

    let mut command = Command::new(env!("CARGO_BIN_EXE_adit"));
    let (_, port) = nobody.rsplit_once(':').unwrap();
    command.args([
        "forward",
        "-F",
        "none",
        "-i",
        &key,
        "-p",
        port,
        "-W",
        "a:1",
        "me@127.0.0.1",
    ]);
    let mut away = Process::spawn(&mut command);
    assert_eq!(away.wait(wait::DEADLINE).code(), Some(1));
    assert!(
        away.stderr().contains("cannot connect to 127.0.0.1"),
        "{}",
        away.stderr()
    );

    command.args(["-L", "1:a:2"]);
    let mut both = Process::spawn(&mut command);
    assert_eq!(both.wait(wait::DEADLINE).code(), Some(2));
}
