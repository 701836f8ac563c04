//! A host made of a network namespace, for tests that run as root.
//!
//! It has a loopback of its own and whatever interfaces a test gives it, so every port is free there and every address is
//! its own. A program, a closure or a whole tokio runtime can run inside. A socket stays in the namespace where it was
//! made, so a socket made inside can be used from anywhere.

use std::ffi::OsStr;
use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::AsFd as _;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use std::sync::{Arc, Once};

use rustix::process::Pid;
use rustix::thread::LinkNameSpaceType;

use crate::process;

/// A network namespace. Clones are the same namespace; when the last one is dropped, the programs inside are ended and
/// it is removed with its interfaces.
#[derive(Debug, Clone)]
pub struct Namespace(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    name: String,
    file: File,
}

/// A network that two namespaces share, `10.77.N.0/24` and `fd00:ad17:N::/64`; N is its own in this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subnet(u8);

impl Namespace {
    /// Makes a namespace with its loopback up. Those that a killed test of an earlier run has left are removed.
    ///
    /// # Panics
    ///
    /// When this process is not root or `ip` is missing: see [`require!`](crate::require).
    #[track_caller]
    pub fn new() -> Self {
        static SWEPT: Once = Once::new();
        static COUNT: AtomicU32 = AtomicU32::new(0);
        SWEPT.call_once(sweep);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{PREFIX}{}-{count}", std::process::id());
        ip(&["netns", "add", &name]);
        let file = File::open(Path::new(FOLDER).join(&name)).expect("ip has made the namespace");
        ip(&["-n", &name, "link", "set", "lo", "up"]);
        Self(Arc::new(Inner { name, file }))
    }

    /// Its name, as `ip netns` shows it.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// A program that will run inside.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--net={FOLDER}/{}", self.0.name))
            .arg("--")
            .arg(program);
        command
    }

    /// Puts a command inside, as [`Self::command`] does, with its arguments. Its other settings are not kept.
    pub fn wrap(&self, command: &Command) -> Command {
        let mut wrapped = self.command(command.get_program());
        wrapped.args(command.get_args());
        wrapped
    }

    /// Runs a closure on a thread of its own inside, and gives what it gives.
    ///
    /// # Panics
    ///
    /// When the closure panics.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let ended = std::thread::scope(|scope| {
            let inside = scope.spawn(|| {
                enter(&self.0.file);
                work()
            });
            inside.join()
        });
        ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// A tokio runtime whose every thread is inside. What is *spawned* on it runs there; `block_on` runs its future on
    /// the calling thread, which stays outside.
    ///
    /// # Panics
    ///
    /// When no runtime can be made.
    pub fn runtime(&self) -> tokio::runtime::Runtime {
        let inner = Arc::clone(&self.0);
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .on_thread_start(move || enter(&inner.file))
            .enable_all()
            .build()
            .expect("a runtime")
    }

    /// Runs `ip` with these arguments inside and waits for it.
    ///
    /// # Panics
    ///
    /// When it fails, with its words.
    #[track_caller]
    pub fn ip(&self, arguments: &[&str]) {
        ip(&[&["-n", self.0.name.as_str()], arguments].concat());
    }

    /// Joins this namespace (host 1) and another (host 2) by a cable without faults, and gives their network.
    ///
    /// # Panics
    ///
    /// When `ip` fails, with its words.
    #[track_caller]
    pub fn join(&self, other: &Self) -> Subnet {
        let subnet = Subnet::new();
        let interface = format!("veth{}", subnet.0);
        let peer = ["peer", "name", &interface, "netns", &other.0.name];
        self.ip(&[&["link", "add", &interface, "type", "veth"], &peer[..]].concat());
        for (namespace, host) in [(self, 1), (other, 2)] {
            namespace.ip(&["link", "set", &interface, "up"]);
            subnet.assign(namespace, &interface, host);
        }
        subnet
    }
}

impl Default for Namespace {
    fn default() -> Self {
        Self::new()
    }
}

impl Inner {
    /// The first process of every program inside.
    fn processes(&self) -> Vec<Pid> {
        let output = Command::new("ip")
            .args(["netns", "pids", &self.name])
            .output();
        let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
        let numbers = text
            .iter()
            .flat_map(|text| text.lines())
            .filter_map(|line| line.parse().ok());
        let own = rustix::process::getpid();
        numbers
            .filter_map(Pid::from_raw)
            .filter(|pid| *pid != own)
            .collect()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        for pid in self.processes() {
            process::kill_tree(pid);
        }
        delete(&self.name);
    }
}

impl Subnet {
    /// A network that nothing else in this process uses.
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU8 = AtomicU8::new(0);
        Self(COUNT.fetch_add(1, Ordering::Relaxed))
    }

    /// The IPv4 address of a host, from 1 to 254.
    pub fn v4(self, host: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 77, self.0, host)
    }

    /// The IPv6 address of a host, from 1.
    pub fn v6(self, host: u8) -> Ipv6Addr {
        Ipv6Addr::new(0xfd00, 0xad17, self.0.into(), 0, 0, 0, 0, host.into())
    }

    /// Gives an interface both addresses of a host.
    #[track_caller]
    pub(crate) fn assign(self, namespace: &Namespace, interface: &str, host: u8) {
        change_addr(namespace, "add", interface, self.v4(host).into(), &[]);
        // Without nodad the address would be unusable for a second.
        change_addr(
            namespace,
            "add",
            interface,
            self.v6(host).into(),
            &["nodad"],
        );
    }

    /// Takes both addresses of a host from an interface.
    #[track_caller]
    pub(crate) fn withdraw(self, namespace: &Namespace, interface: &str, host: u8) {
        change_addr(namespace, "del", interface, self.v4(host).into(), &[]);
        change_addr(namespace, "del", interface, self.v6(host).into(), &[]);
    }
}

#[track_caller]
fn change_addr(namespace: &Namespace, verb: &str, interface: &str, addr: IpAddr, options: &[&str]) {
    let prefix = if addr.is_ipv4() { 24 } else { 64 };
    let addr = format!("{addr}/{prefix}");
    namespace.ip(&[&["addr", verb, &addr, "dev", interface], options].concat());
}

fn enter(file: &File) {
    rustix::thread::move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))
        .expect("root may enter its own namespace");
}

#[track_caller]
fn ip(arguments: &[&str]) {
    let output = Command::new("ip")
        .args(arguments)
        .output()
        .expect("ip starts");
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "ip {} failed: {words}",
        arguments.join(" ")
    );
}

/// Removes the namespaces of processes that are gone: a test that was killed could not.
fn sweep() {
    let Ok(folder) = std::fs::read_dir(FOLDER) else {
        return;
    };
    let names = folder.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    for name in names {
        let numbers = name
            .strip_prefix(PREFIX)
            .and_then(|rest| rest.split_once('-'));
        let Some(pid) = numbers.and_then(|(pid, _)| pid.parse::<u32>().ok()) else {
            continue;
        };
        if !Path::new(&format!("/proc/{pid}")).exists() {
            delete(&name);
        }
    }
}

/// Deletes a namespace; one that somebody else has deleted meanwhile is as good.
fn delete(name: &str) {
    Command::new("ip")
        .args(["netns", "del", name])
        .output()
        .ok();
}

/// Where `ip netns` keeps namespaces by name.
const FOLDER: &str = "/run/netns";

/// What the name of every namespace of the lab starts with; the process and a count follow.
const PREFIX: &str = "adit-";
