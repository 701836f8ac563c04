//! The accept loop that hands each connection to an `sshd -i` of its own.
//!
//! The port is reserved by a socket that is bound and never listens; the listener is a second socket on the same port,
//! which Linux allows with `SO_REUSEADDR`. So the port can be closed and opened again, and the system gives it to
//! nobody meanwhile who asks for any port.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use rustix::net::Shutdown;
use rustix::process::Pid;
use socket2::Socket;

use crate::port;
use crate::process::{self, reaper};

/// A port whose every connection is served by a process of its own.
#[derive(Debug)]
pub(super) struct PerConnection {
    addr: SocketAddr,
    _reservation: Socket,
    command: Arc<Mutex<Command>>,
    shared: Arc<Shared>,
    listening: Option<Listening>,
}

#[derive(Debug)]
struct Listening {
    listener: Arc<TcpListener>,
    accepting: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    thawed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    frozen: bool,
    closing: bool,
    children: Vec<Child>,
}

impl PerConnection {
    /// Listens on a port of 127.0.0.1 that the system picks; `command` gets each connection as its standard input and
    /// output.
    pub(super) fn start(command: Command) -> Self {
        let reservation = bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        let addr = reservation
            .local_addr()
            .ok()
            .and_then(|addr| addr.as_socket());
        let mut server = Self {
            addr: addr.expect("a bound socket has an address"),
            _reservation: reservation,
            command: Arc::new(Mutex::new(command)),
            shared: Arc::default(),
            listening: None,
        };
        server.open_port();
        server
    }

    pub(super) fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub(super) fn sessions(&self) -> Vec<Pid> {
        self.shared.lock().running()
    }

    /// New connections wait in the listener's queue, or just accepted, until [`Self::thaw`].
    pub(super) fn freeze(&self) {
        self.shared.lock().frozen = true;
    }

    pub(super) fn thaw(&self) {
        self.shared.lock().frozen = false;
        self.shared.thawed.notify_all();
    }

    pub(super) fn open_port(&mut self) {
        if self.listening.is_some() {
            return;
        }
        self.shared.lock().closing = false;
        let socket = bind(self.addr);
        socket.listen(BACKLOG).expect("a bound socket can listen");
        let listener = Arc::new(TcpListener::from(socket));
        let (accepted, command, shared) = (
            Arc::clone(&listener),
            Arc::clone(&self.command),
            Arc::clone(&self.shared),
        );
        let accepting = std::thread::spawn(move || accept(&accepted, &command, &shared));
        self.listening = Some(Listening {
            listener,
            accepting,
        });
    }

    pub(super) fn close_port(&mut self) {
        let Some(Listening {
            listener,
            accepting,
        }) = self.listening.take()
        else {
            return;
        };
        self.shared.lock().closing = true;
        self.shared.thawed.notify_all();
        // On Linux this ends a blocked accept with EINVAL.
        rustix::net::shutdown(&listener, Shutdown::Both).ok();
        drop(accepting.join());
    }
}

impl Drop for PerConnection {
    fn drop(&mut self) {
        self.close_port();
        let mut state = self.shared.lock();
        for child in &mut state.children {
            if matches!(child.try_wait(), Ok(None)) {
                process::kill_tree(Pid::from_child(child));
            }
            drop(child.wait());
            reaper::forget(Pid::from_child(child));
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn forget_ended(&mut self) {
        self.children.retain_mut(|child| {
            let running = matches!(child.try_wait(), Ok(None));
            if !running {
                reaper::forget(Pid::from_child(child));
            }
            running
        });
    }

    /// The processes that still run.
    fn running(&mut self) -> Vec<Pid> {
        self.forget_ended();
        self.children.iter().map(Pid::from_child).collect()
    }
}

fn bind(addr: SocketAddr) -> Socket {
    port::bind(addr).unwrap_or_else(|error| panic!("could not bind {addr}: {error}"))
}

fn accept(listener: &TcpListener, command: &Mutex<Command>, shared: &Shared) {
    while let Ok((stream, _)) = listener.accept() {
        let state = shared.lock();
        let waited = shared
            .thawed
            .wait_while(state, |state| state.frozen && !state.closing);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner);
        if state.closing {
            return;
        }
        let Ok(output) = stream.try_clone() else {
            continue;
        };
        let mut command = command.lock().unwrap_or_else(PoisonError::into_inner);
        let spawned = command
            .stdin(Stdio::from(OwnedFd::from(stream)))
            .stdout(Stdio::from(OwnedFd::from(output)))
            .stderr(Stdio::null())
            .process_group(0)
            .spawn();
        // The command would otherwise keep the connection open until the next one.
        command.stdin(Stdio::null()).stdout(Stdio::null());
        state.forget_ended();
        if let Ok(child) = spawned {
            reaper::watch(Pid::from_child(&child));
            state.children.push(child);
        }
    }
}

/// The kernel's own limit of 4,096 (`net.core.somaxconn`) is more than any test opens at once.
const BACKLOG: i32 = 1024;
