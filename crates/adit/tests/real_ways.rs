//! `adit forward` by every way there is, through real programs: bastions, `ssh -W`, proxies.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use adit_testkit::echo::service as echo_service;
use adit_testkit::namespace::Namespace;
use adit_testkit::process::Process;
use adit_testkit::sshd::Sshd;
use adit_testkit::{require, wait};
use rustix::process::{Pid, Signal};

/// A visitor who sends, finishes and gets it all back.
fn visit(addr: SocketAddr, length: u32) {
    let sent: Vec<u8> = (0..length).flat_map(u32::to_be_bytes).collect();
    let mut visitor = TcpStream::connect(addr).unwrap();
    visitor.set_read_timeout(Some(wait::DEADLINE)).unwrap();
    thread::scope(|scope| {
        let mut writer = visitor.try_clone().unwrap();
        let sent = &sent;
        scope.spawn(move || {
            writer.write_all(sent).unwrap();
            writer.shutdown(Shutdown::Write).unwrap();
        });
        let mut got = Vec::new();
        visitor.read_to_end(&mut got).unwrap();
        assert!(&got == sent, "{} of {} bytes", got.len(), sent.len());
    });
}

/// Where visitors come, once it was said that often.
fn wait_for_up(adit: &mut Process, count: usize) -> SocketAddr {
    wait::until("a forward that is up", || {
        let stderr = adit.stderr();
        let mut ups = stderr.lines().filter_map(|line| {
            let (addr, _) = line.strip_prefix("forward up: ")?.split_once(" -> ")?;
            addr.parse().ok()
        });
        match (ups.nth(count - 1), adit.exit_status()) {
            (_, Some(status)) => panic!("adit ended ({status}): {stderr}"),
            (Some(addr), None) => Ok(addr),
            (None, None) => Err(stderr),
        }
    })
}

/// Ends adit, and it alone, as a person would.
fn stop(adit: &mut Process) {
    rustix::process::kill_process(adit.id(), Signal::TERM).unwrap();
    let status = adit.wait(wait::DEADLINE);
    assert!(status.success(), "{status}: {}", adit.stderr());
}

/// A block of a configuration for that sshd, with more lines for it.
fn host(name: &str, sshd: &Sshd, more: &str) -> String {
    format!(
        "Host {name}\n HostName {}\n Port {}\n User {}\n IdentityFile {}\n UserKnownHostsFile {}\n\
         \x20StrictHostKeyChecking yes\n{more}\n",
        sshd.addr().ip(),
        sshd.addr().port(),
        sshd.user(),
        sshd.user_key().private_path().display(),
        sshd.known_hosts_path().display(),
    )
}

fn write(sshd: &Sshd, name: &str, text: &str) -> PathBuf {
    let path = sshd.folder().join(name);
    std::fs::write(&path, text).unwrap();
    path
}

fn adit(config: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_adit"));
    command.arg("forward").arg("-F").arg(config).args(words);
    command
}

/// How many clients of a server said goodbye and did not just vanish.
fn goodbyes(sshd: &Sshd) -> usize {
    sshd.log().matches("Received disconnect from").count()
}

/// Each of three machines has its own key for its own user, so that no login could pass for another.
#[test]
fn a_chain_of_bastions_leads_to_the_target_and_back_there_after_a_cut() {
    require!("sshd");
    let [outer, inner, target] = [(); 3].map(|()| Sshd::builder().start());
    let forward = format!(" RemoteForward 127.0.0.1:0 127.0.0.1:{}\n", echo_service());
    let config = [
        host("target", &target, &format!(" ProxyJump inner\n{forward}")),
        host("inner", &inner, " ProxyJump outer"),
        host("outer", &outer, ""),
    ];
    let config = write(&target, "config", &config.concat());
    for words in [
        &["target"][..],
        // The same by hand, whatever the configuration has.
        &["-J", "outer,inner", "target"],
    ] {
        let mut adit = Process::spawn(&mut adit(&config, words));
        visit(wait_for_up(&mut adit, 1), 500_000);
        for sshd in [&outer, &inner, &target] {
            assert_eq!(sshd.connection_count(), 1, "{words:?}");
        }
        // The nearest first, then the middle: what is behind goes with it, and all of it comes back.
        for (count, cut) in [(2, &outer), (3, &inner)] {
            cut.kill_connections();
            visit(wait_for_up(&mut adit, count), 10_000);
        }
        let before = goodbyes(&outer);
        stop(&mut adit);
        wait::until("a goodbye", || match goodbyes(&outer) {
            count if count > before => Ok(()),
            count => Err(count),
        });
        for sshd in [&target, &inner, &outer] {
            wait::until("no connection", || match sshd.connection_count() {
                0 => Ok(()),
                count => Err(count),
            });
        }
    }
}

/// S80 and G47: a hop is judged by its own name and keys, and nobody behind it hears of us before.
#[test]
fn a_hop_with_a_changed_key_is_fatal_before_anything_behind_it() {
    require!("sshd");
    let [outer, inner, target] = [(); 3].map(|()| Sshd::builder().start());
    // Known by the key of another.
    let name = format!("[127.0.0.1]:{}", inner.addr().port());
    let other = target.known_hosts();
    let (_, key) = other.split_once(' ').unwrap();
    let wrong = write(&inner, "wrong", &format!("{name} {key}"));
    let inner_block = host("inner", &inner, " ProxyJump outer");
    let own = inner.known_hosts_path().display().to_string();
    let config = [
        host("target", &target, " ProxyJump inner"),
        inner_block.replace(&own, &wrong.display().to_string()),
        host("outer", &outer, ""),
    ];
    let config = write(&target, "config", &config.concat());
    let mut adit = Process::spawn(&mut adit(&config, &["-R", "0:localhost:1", "target"]));
    let status = adit.wait(wait::DEADLINE);
    let stderr = adit.stderr();
    assert_eq!(status.code(), Some(1), "{stderr}");
    let last = stderr.lines().last().unwrap();
    let hop = format!("hop 127.0.0.1 port {}", inner.addr().port());
    assert!(
        last.contains(&hop) && last.contains("has changed"),
        "{last}"
    );
    assert!(!inner.log().contains("userauth"), "{}", inner.log());
    assert!(
        !target.log().contains("Connection from"),
        "{}",
        target.log()
    );
    outer.wait_for_log("Received disconnect from");
}

#[test]
fn a_hop_that_does_not_lead_on_is_named_with_what_stands_in_the_way() {
    require!("sshd");
    let closed = Sshd::builder().config_line("AllowTcpForwarding no").start();
    let open = Sshd::builder().start();
    let mut target = Sshd::builder().start();
    let config = [
        host("target", &target, " ConnectTimeout 15"),
        host("closed", &closed, ""),
        host("open", &open, ""),
    ];
    let config = write(&target, "config", &config.concat());
    let forward = ["-R", "127.0.0.1:0:localhost:1"];
    // Only a person can mend it.
    let words = [&forward[..], &["-J", "closed", "target"]].concat();
    let mut ended = Process::spawn(&mut adit(&config, &words));
    assert_eq!(ended.wait(wait::DEADLINE).code(), Some(1));
    let stderr = ended.stderr();
    let hop = format!("hop 127.0.0.1 port {}", closed.addr().port());
    assert!(
        stderr.contains(&hop) && stderr.contains("AllowTcpForwarding"),
        "{stderr}"
    );
    // It may be mended by itself.
    target.close_port();
    let words = [&forward[..], &["-J", "open", "target"]].concat();
    let mut adit = Process::spawn(&mut adit(&config, &words));
    let text = adit.wait_for_text("does not lead to");
    assert!(text.contains("connect failed"), "{text}");
    target.open_port();
    wait_for_up(&mut adit, 1);
    stop(&mut adit);
}

/// Without a terminal, so that nobody is asked for another.
#[test]
fn the_password_of_the_destination_is_never_sent_to_a_host_on_the_way() {
    require!("sshd", "setsid");
    let bastion = Sshd::builder()
        .config_line("PasswordAuthentication yes")
        .start();
    let target = Sshd::builder().start();
    // A key that is not known there.
    let own = bastion.user_key().private_path().display().to_string();
    let stranger = target.user_key().private_path().display().to_string();
    let block = host("bastion", &bastion, "").replace(&own, &stranger);
    let config = [host("target", &target, ""), block].concat();
    let config = write(&target, "config", &config);
    let tries = || bastion.log().matches("Failed password").count();
    for (words, is_sent) in [
        (&["bastion"][..], true),
        (&["-J", "bastion", "target"], false),
    ] {
        let before = tries();
        let program = adit(&config, &[&["-R", "0:localhost:1"], words].concat());
        let mut command = Command::new("setsid");
        command.arg("-w").arg(program.get_program());
        command.args(program.get_args());
        let mut adit = Process::spawn(command.env("ADIT_PASSWORD", "hunter4711"));
        assert_eq!(adit.wait(wait::DEADLINE).code(), Some(1));
        let stderr = adit.stderr();
        assert_eq!(tries() > before, is_sent, "{words:?}: {stderr}");
        assert!(!stderr.contains("hunter4711"), "{stderr}");
    }
}

/// Processes whose command line has that text.
fn processes_with(text: &str) -> Vec<Pid> {
    let folder = std::fs::read_dir("/proc").unwrap();
    let found = folder.filter_map(|entry| {
        let entry = entry.ok()?;
        let id = Pid::from_raw(entry.file_name().to_str()?.parse().ok()?)?;
        let line = std::fs::read(entry.path().join("cmdline")).ok()?;
        let line = String::from_utf8_lossy(&line).into_owned();
        line.contains(text).then_some(id)
    });
    found.collect()
}

#[test]
fn a_proxy_command_leads_through_a_bastion_and_leaves_nothing_behind() {
    require!("sshd", "ssh");
    let (bastion, target) = (Sshd::builder().start(), Sshd::builder().start());
    let of_ssh = host("bastion", &bastion, "");
    let of_ssh = write(&bastion, "config-of-ssh", &of_ssh);
    let mark = of_ssh.display().to_string();
    let command = format!(" ProxyCommand ssh -F {mark} -qW %h:%p bastion\n");
    let forward = format!(" RemoteForward 127.0.0.1:0 127.0.0.1:{}\n", echo_service());
    let config = host("target", &target, &format!("{command}{forward}"));
    let config = write(&target, "config", &config);
    let mut adit = Process::spawn(&mut adit(&config, &["target"]));
    visit(wait_for_up(&mut adit, 1), 500_000);
    assert_eq!(bastion.connection_count(), 1);
    bastion.kill_connections();
    visit(wait_for_up(&mut adit, 2), 10_000);
    assert_eq!(processes_with(&mark).len(), 1, "the first has ended");
    stop(&mut adit);
    wait::until("no ssh of ours", || {
        let left = processes_with(&mark);
        if left.is_empty() { Ok(()) } else { Err(left) }
    });
}

/// As in a container that holds adit alone (R8).
#[test]
fn a_proxy_command_of_ssh_leads_through_a_bastion_where_there_is_no_ssh() {
    require!("sshd");
    let (bastion, target) = (Sshd::builder().start(), Sshd::builder().start());
    let forward = format!(" RemoteForward 127.0.0.1:0 127.0.0.1:{}\n", echo_service());
    let config = [
        host(
            "remote-server",
            &target,
            &format!(" ProxyCommand ssh -qW%h:%p bastion\n{forward}"),
        ),
        host("bastion", &bastion, ""),
    ];
    let config = write(&target, "config", &config.concat());
    let mut command = adit(&config, &["remote-server"]);
    let mut adit = Process::spawn(command.env("PATH", target.folder()));
    visit(wait_for_up(&mut adit, 1), 100_000);
    for sshd in [&bastion, &target] {
        assert_eq!(sshd.connection_count(), 1);
    }
    stop(&mut adit);
}

#[test]
fn a_proxy_command_that_ends_is_told_with_its_last_words() {
    require!("sshd", "sh");
    let target = Sshd::builder().start();
    let script = write(&target, "script", "echo no way today >&2\nexit 7\n");
    let command = format!("ProxyCommand=sh {}", script.display());
    let config = write(&target, "config", &host("target", &target, ""));
    let words = ["-R", "0:localhost:1", "-o", &command, "target"];
    let mut waiting = Process::spawn(&mut adit(&config, &words));
    waiting.wait_for_text("ended before the login was done (exit status: 7): no way today");
    stop(&mut waiting);
    let words = [
        "-R",
        "0:localhost:1",
        "-o",
        "ProxyCommand=/no/such/program",
        "target",
    ];
    let mut ended = Process::spawn(&mut adit(&config, &words));
    assert_eq!(ended.wait(wait::DEADLINE).code(), Some(1));
    assert!(
        ended.stderr().contains("/no/such/program"),
        "{}",
        ended.stderr()
    );
}

/// A program on the way may be another adit, which would take it for the password of its own destination.
#[test]
fn a_proxy_command_is_told_no_secret() {
    require!("sshd", "sh");
    let target = Sshd::builder().start();
    let script = write(&target, "script", "env >&2\necho that is all >&2\nexit 7\n");
    let command = format!("ProxyCommand=sh {}", script.display());
    let config = write(&target, "config", &host("target", &target, ""));
    let mut program = adit(&config, &["-R", "0:localhost:1", "-o", &command, "target"]);
    let secrets = [
        ("ADIT_PASSWORD", "hunter4711"),
        ("ADIT_PASSPHRASE", "hunter4712"),
    ];
    let mut adit = Process::spawn(program.envs(secrets));
    let stderr = adit.wait_for_text("that is all");
    assert!(!stderr.contains("hunter"), "{stderr}");
    stop(&mut adit);
}

#[test]
fn a_host_is_known_by_its_alias() {
    require!("sshd");
    let sshd = Sshd::builder().start();
    let known = sshd.known_hosts();
    let (_, key) = known.split_once(' ').unwrap();
    let alias = write(&sshd, "by-alias", &format!("db.example {key}"));
    let block = host("db", &sshd, " HostKeyAlias db.Example");
    let own = sshd.known_hosts_path().display().to_string();
    let config = block.replace(&own, &alias.display().to_string());
    let config = write(&sshd, "config", &config);
    let forward = format!("127.0.0.1:0:127.0.0.1:{}", echo_service());
    let mut adit = Process::spawn(&mut adit(&config, &["-R", &forward, "db"]));
    visit(wait_for_up(&mut adit, 1), 1_000);
    stop(&mut adit);
}

/// A private network, a gateway to the world, and a server out there that only the gateway reaches.
struct Lab {
    inside: Namespace,
    gateway: Namespace,
    outside: Namespace,
    gateway_addr: IpAddr,
    sshd: Sshd,
    config: PathBuf,
}

impl Lab {
    fn new() -> Self {
        let [inside, gateway, outside] = [(); 3].map(|()| Namespace::new());
        let near = inside.join(&gateway);
        let far = gateway.join(&outside);
        let sshd = Sshd::builder().start_in(&outside, far.v4(2).into());
        let echo = inside.enter(echo_service);
        let forward = format!(" RemoteForward 127.0.0.1:0 127.0.0.1:{echo}\n");
        let config = write(&sshd, "config", &host("target", &sshd, &forward));
        Self {
            inside,
            gateway,
            outside,
            gateway_addr: near.v4(2).into(),
            sshd,
            config,
        }
    }

    /// adit in the private network, with these variables and no others about proxies.
    fn adit(&self, variables: &[(&str, &str)], words: &[&str]) -> Process {
        let command = adit(&self.config, &[words, &["target"]].concat());
        let mut command = self.inside.wrap(&command);
        for name in ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"] {
            command.env_remove(name);
        }
        command.env_remove("no_proxy").env_remove("NO_PROXY");
        Process::spawn(command.envs(variables.iter().copied()))
    }

    fn visit(&self, adit: &mut Process) {
        let addr = wait_for_up(adit, 1);
        self.outside.enter(|| visit(addr, 500_000));
    }
}

fn wait_for_port(namespace: &Namespace, addr: SocketAddr) {
    namespace.enter(|| {
        wait::until("a proxy that listens", || {
            TcpStream::connect(addr).map(drop)
        });
    });
}

#[test]
fn an_http_proxy_of_the_environment_leads_out() {
    require!(root);
    require!("sshd", "ip", "nsenter", "tinyproxy");
    let lab = Lab::new();
    let addr = SocketAddr::new(lab.gateway_addr, 3128);
    let mut settings = format!("Listen {}\nPort {}\n", addr.ip(), addr.port());
    settings.push_str("MaxClients 20\nAllow 0.0.0.0/0\nConnectPort 22\nBasicAuth me p_ss4711\n");
    let log = lab.sshd.folder().join("proxy-log");
    writeln!(settings, "LogFile \"{}\"\nLogLevel Info", log.display()).unwrap();
    let settings = write(&lab.sshd, "tinyproxy", &settings);
    let mut proxy = lab.gateway.command("tinyproxy");
    let _proxy = Process::spawn(proxy.args(["-d", "-c"]).arg(&settings));
    wait_for_port(&lab.inside, addr);

    let url = format!("http://me:p%5Fss4711@{addr}");
    let mut through = lab.adit(&[("https_proxy", &url)], &["-v"]);
    lab.visit(&mut through);
    stop(&mut through);
    assert!(!through.stderr().contains("4711"), "{}", through.stderr());
    let log = std::fs::read_to_string(log).unwrap();
    assert!(log.contains("CONNECT"), "{log}");

    for (user, words) in [
        ("", "it wants a user and a password"),
        ("me:other4711@", "does not take the user and password"),
    ] {
        let url = format!("http://{user}{addr}");
        let mut refused = lab.adit(&[("HTTPS_PROXY", &url)], &[]);
        assert_eq!(refused.wait(wait::DEADLINE).code(), Some(1));
        let stderr = refused.stderr();
        assert!(
            stderr.contains(words) && stderr.contains("HTTPS_PROXY"),
            "{stderr}"
        );
        assert!(!stderr.contains("4711"), "{stderr}");
    }
    // Without it there is no way.
    let variables = [("https_proxy", url.as_str())];
    let target = lab.sshd.addr().ip().to_string();
    let listed = [("https_proxy", url.as_str()), ("no_proxy", &target)];
    for (variables, words) in [(&variables[..], &["--no-proxy"][..]), (&listed, &[])] {
        let mut direct = lab.adit(variables, words);
        direct.wait_for_text("cannot connect to");
        stop(&mut direct);
    }
}

/// `ssh -D` is a SOCKS5 server.
#[test]
fn a_socks_proxy_of_the_environment_leads_out() {
    require!(root);
    require!("sshd", "ssh", "ip", "nsenter");
    let lab = Lab::new();
    let helper = Sshd::builder().start_in(&lab.gateway, lab.gateway_addr);
    let addr = SocketAddr::new(lab.gateway_addr, 1080);
    let ssh = helper.ssh(&["-N", "-D", &addr.to_string()]);
    let _proxy = Process::spawn(&mut lab.gateway.wrap(&ssh));
    wait_for_port(&lab.inside, addr);
    let url = format!("socks5h://{addr}");
    let mut adit = lab.adit(&[("all_proxy", &url)], &[]);
    lab.visit(&mut adit);
    stop(&mut adit);
}
