//! A software ssh-agent on a socket of its own, honest or hostile.
//!
//! It speaks the ssh-agent protocol (RFC 9987): a frame is its length in four bytes, then a message whose first byte is
//! its type. It lists its keys, signs by them, takes `session-bind@openssh.com` (OpenSSH, PROTOCOL.agent) and refuses
//! the rest. It keeps what it was asked. One thread serves each connection, so that it also answers tests whose clock is
//! paused and programs outside this process.

use std::io::{self, Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use tempfile::TempDir;

mod key;
mod wire;

pub use key::{Key, RSA_SHA2_256, RSA_SHA2_512, USER_PRESENT, USER_VERIFIED};

/// A running ssh-agent; dropping it closes its socket and its connections.
#[derive(Debug)]
pub struct SshAgent {
    shared: Arc<Shared>,
    listener: Arc<UnixListener>,
    accepting: Option<JoinHandle<()>>,
    folder: TempDir,
}

/// What the ssh-agent was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Request {
    /// To list its keys.
    List,
    /// To sign.
    Sign {
        /// The public key or certificate by which.
        key: Vec<u8>,
        /// The data to sign.
        data: Vec<u8>,
        /// Flags such as [`RSA_SHA2_256`].
        flags: u32,
    },
    /// To remember which server this connection is for.
    SessionBind {
        /// The server's host key.
        host_key: Vec<u8>,
        /// The identifier of the SSH session.
        session_id: Vec<u8>,
        /// The host key's signature of that identifier.
        signature: Vec<u8>,
        /// Whether the connection is forwarded to that server.
        forwarding: bool,
    },
    /// Another extension, by its name.
    Extension(String),
    /// Any other message, by its type, and every message that is malformed.
    Unknown(u8),
}

/// How the ssh-agent answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Behaviour {
    /// As the protocol says.
    #[default]
    Honest,
    /// With a failure, whatever is asked.
    Refusing,
    /// With a frame whose length says 4 GiB less one byte.
    HugeFrame,
    /// With a frame of no bytes.
    EmptyFrame,
    /// With the right reply, cut in the middle by the end of the stream.
    CutFrame,
    /// With a reply to another question.
    WrongReply,
    /// With an honest signature under the name of another algorithm; the rest as the protocol says.
    WrongAlgorithm,
    /// With a signature of which one bit is turned; the rest as the protocol says.
    WrongSignature,
    /// With bytes after the right reply, inside its frame.
    TrailingBytes,
    /// With a list that promises more keys than it holds; the rest as the protocol says.
    ShortList,
    /// Never.
    Silent,
    /// By closing the connection.
    HangingUp,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    keys: Vec<Key>,
    behaviour: Behaviour,
    requests: Vec<Request>,
    connections: Vec<Connection>,
    closing: bool,
}

#[derive(Debug)]
struct Connection {
    stream: UnixStream,
    serving: JoinHandle<()>,
}

impl SshAgent {
    /// Starts an ssh-agent without keys.
    ///
    /// # Panics
    ///
    /// When no socket can be made.
    pub fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let listener = UnixListener::bind(folder.path().join(SOCKET)).expect("a socket");
        let (shared, listener) = (Arc::<Shared>::default(), Arc::new(listener));
        let (served, accepted) = (Arc::clone(&shared), Arc::clone(&listener));
        let accepting = Some(std::thread::spawn(move || accept(&accepted, &served)));
        Self {
            shared,
            listener,
            accepting,
            folder,
        }
    }

    /// The socket, which clients take from `SSH_AUTH_SOCK`.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join(SOCKET)
    }

    /// The folder of the socket, for whatever else a test wants to keep as long.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Adds a key after those it holds.
    pub fn add(&self, key: Key) {
        self.shared.lock().keys.push(key);
    }

    /// Forgets every key.
    pub fn remove_all(&self) {
        self.shared.lock().keys.clear();
    }

    /// From the next request on, answers so.
    pub fn behave(&self, behaviour: Behaviour) {
        self.shared.lock().behaviour = behaviour;
    }

    /// All that it was asked so far, by all connections, in the order of arrival.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.lock().requests.clone()
    }
}

impl Drop for SshAgent {
    fn drop(&mut self) {
        self.shared.lock().closing = true;
        // On Linux this ends a blocked accept with EINVAL.
        rustix::net::shutdown(&self.listener, rustix::net::Shutdown::Both).ok();
        drop(self.accepting.take().map(JoinHandle::join));
        let connections = std::mem::take(&mut self.shared.lock().connections);
        for Connection { stream, serving } in connections {
            stream.shutdown(Shutdown::Both).ok();
            drop(serving.join());
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn accept(listener: &UnixListener, shared: &Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept() {
        let mut state = shared.lock();
        if state.closing {
            return;
        }
        let Ok(served) = stream.try_clone() else {
            continue;
        };
        let of_thread = Arc::clone(shared);
        let serving = std::thread::spawn(move || {
            // The end of the connection, whichever it is, is the end of serving it.
            serve(&served, &of_thread).ok();
            served.shutdown(Shutdown::Both).ok();
        });
        state
            .connections
            .retain(|connection| !connection.serving.is_finished());
        state.connections.push(Connection { stream, serving });
    }
}

fn serve(mut stream: &UnixStream, shared: &Shared) -> io::Result<()> {
    loop {
        let mut length = [0; 4];
        stream.read_exact(&mut length)?;
        let length = u32::from_be_bytes(length);
        if length > MESSAGE_BYTES_MAX {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut message = vec![0; usize::try_from(length).unwrap_or_default()];
        stream.read_exact(&mut message)?;
        match answer(&mut shared.lock(), &message) {
            Answer::Frame(frame) => stream.write_all(&frame)?,
            Answer::LastBytes(bytes) => return stream.write_all(&bytes),
            Answer::Nothing => {}
        }
    }
}

/// What goes back to a client.
enum Answer {
    Frame(Vec<u8>),
    LastBytes(Vec<u8>),
    Nothing,
}

fn answer(state: &mut State, message: &[u8]) -> Answer {
    let request = parse(message);
    state.requests.push(request.clone());
    let honest = reply(state, &request);
    match state.behaviour {
        Behaviour::Honest
        | Behaviour::WrongAlgorithm
        | Behaviour::WrongSignature
        | Behaviour::ShortList => Answer::Frame(frame(&honest)),
        Behaviour::Refusing => Answer::Frame(frame(&[FAILURE])),
        Behaviour::HugeFrame => Answer::Frame([&[0xff; 4], honest.as_slice()].concat()),
        Behaviour::EmptyFrame => Answer::Frame(frame(&[])),
        Behaviour::CutFrame => {
            let mut bytes = frame(&honest);
            bytes.pop();
            Answer::LastBytes(bytes)
        }
        Behaviour::WrongReply => Answer::Frame(frame(&if request == Request::List {
            [&[SIGN_RESPONSE][..], &[0; 4]].concat()
        } else {
            list(&state.keys, 0)
        })),
        Behaviour::TrailingBytes => Answer::Frame(frame(&[honest.as_slice(), b"more"].concat())),
        Behaviour::Silent => Answer::Nothing,
        Behaviour::HangingUp => Answer::LastBytes(Vec::new()),
    }
}

/// The right reply to a request, but for the signature or list of an ssh-agent that lies in it.
fn reply(state: &State, request: &Request) -> Vec<u8> {
    match request {
        Request::List => list(
            &state.keys,
            u32::from(state.behaviour == Behaviour::ShortList),
        ),
        Request::Sign { key, data, flags } => {
            let held = state.keys.iter().find(|held| held.blob() == key);
            let Some(signature) = held.and_then(|held| held.sign(data, *flags)) else {
                return vec![FAILURE];
            };
            let mut reply = vec![SIGN_RESPONSE];
            wire::put_string(&mut reply, &distort(signature, state.behaviour));
            reply
        }
        Request::SessionBind { .. } => vec![SUCCESS],
        Request::Extension(_) | Request::Unknown(_) => vec![FAILURE],
    }
}

fn distort(mut signature: Vec<u8>, behaviour: Behaviour) -> Vec<u8> {
    if behaviour == Behaviour::WrongSignature {
        // The bytes of the signature itself come after the algorithm's name and two lengths.
        let mut rest = signature.as_slice();
        let name_bytes = wire::take_string(&mut rest).map_or(0, <[u8]>::len);
        if let Some(byte) = signature.get_mut(4 + name_bytes + 4 + 4) {
            *byte ^= 1;
        }
    }
    if behaviour == Behaviour::WrongAlgorithm {
        let mut rest = signature.as_slice();
        let name = wire::take_string(&mut rest);
        let other = if name == Some(b"ssh-ed25519") {
            "ssh-rsa"
        } else {
            "ssh-ed25519"
        };
        let mut distorted = Vec::new();
        wire::put_string(&mut distorted, other.as_bytes());
        distorted.extend(rest);
        return distorted;
    }
    signature
}

fn list(keys: &[Key], promised_too_many: u32) -> Vec<u8> {
    let count = u32::try_from(keys.len()).expect("a test adds few keys") + promised_too_many;
    let mut reply = vec![IDENTITIES_ANSWER];
    reply.extend(count.to_be_bytes());
    for key in keys {
        wire::put_string(&mut reply, key.blob());
        wire::put_string(&mut reply, key.comment().as_bytes());
    }
    reply
}

fn frame(message: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    wire::put_string(&mut frame, message);
    frame
}

fn parse(message: &[u8]) -> Request {
    let (kind, body) = message
        .split_first()
        .map_or((0, message), |(kind, body)| (*kind, body));
    let parsed = match kind {
        REQUEST_IDENTITIES => Some(Request::List),
        SIGN_REQUEST => parse_sign(body),
        EXTENSION => parse_extension(body),
        _ => None,
    };
    parsed.unwrap_or(Request::Unknown(kind))
}

fn parse_sign(mut body: &[u8]) -> Option<Request> {
    let key = wire::take_string(&mut body)?.to_vec();
    let data = wire::take_string(&mut body)?.to_vec();
    let flags = wire::take_u32(&mut body)?;
    body.is_empty()
        .then_some(Request::Sign { key, data, flags })
}

fn parse_extension(mut body: &[u8]) -> Option<Request> {
    let name = wire::take_string(&mut body)?;
    if name != b"session-bind@openssh.com" {
        return Some(Request::Extension(
            String::from_utf8_lossy(name).into_owned(),
        ));
    }
    let host_key = wire::take_string(&mut body)?.to_vec();
    let session_id = wire::take_string(&mut body)?.to_vec();
    let signature = wire::take_string(&mut body)?.to_vec();
    let [forwarding] = *body else { return None };
    Some(Request::SessionBind {
        host_key,
        session_id,
        signature,
        forwarding: forwarding != 0,
    })
}

// Message types (RFC 9987, 6.1).
const FAILURE: u8 = 5;
const SUCCESS: u8 = 6;
const REQUEST_IDENTITIES: u8 = 11;
const IDENTITIES_ANSWER: u8 = 12;
const SIGN_REQUEST: u8 = 13;
const SIGN_RESPONSE: u8 = 14;
const EXTENSION: u8 = 27;

/// The longest message taken: OpenSSH's own limit (`AGENT_MAX_LEN`).
const MESSAGE_BYTES_MAX: u32 = 256 * 1024;

const SOCKET: &str = "agent.sock";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wait;

    /// What follows the bytes of an answer.
    #[derive(Debug, Clone, Copy)]
    enum Then {
        Nothing,
        TheEnd,
    }

    /// Asks an ssh-agent that behaves so for its keys, and checks what comes back.
    fn check_answer_to_list(behaviour: Behaviour, expected: &[u8], then: Then) {
        let agent = SshAgent::start();
        agent.add(Key::ed25519([1; 32]).with_comment("c"));
        agent.behave(behaviour);
        let mut stream = UnixStream::connect(agent.socket()).unwrap();
        stream.write_all(&frame(&[REQUEST_IDENTITIES])).unwrap();
        wait::until("the request has come", || match agent.requests().len() {
            0 => Err(()),
            _ => Ok(()),
        });
        let mut bytes = vec![0; expected.len()];
        stream.set_read_timeout(Some(wait::DEADLINE)).unwrap();
        stream.read_exact(&mut bytes).unwrap();
        assert_eq!(bytes, expected, "{behaviour:?}");
        match then {
            Then::TheEnd => assert_eq!(stream.read(&mut [0]).unwrap(), 0, "{behaviour:?}"),
            Then::Nothing => {
                stream.set_nonblocking(true).unwrap();
                let error = stream.read(&mut [0]).unwrap_err();
                assert_eq!(error.kind(), io::ErrorKind::WouldBlock, "{behaviour:?}");
            }
        }
    }

    #[test]
    fn each_hostile_behaviour_is_what_it_says() {
        let honest = frame(&list(&[Key::ed25519([1; 32]).with_comment("c")], 0));
        let (length, message) = honest.split_at(4);
        let cases = [
            (Behaviour::Honest, honest.clone(), Then::Nothing),
            (Behaviour::Refusing, frame(&[FAILURE]), Then::Nothing),
            (
                Behaviour::HugeFrame,
                [&[0xff; 4], message].concat(),
                Then::Nothing,
            ),
            (Behaviour::EmptyFrame, vec![0; 4], Then::Nothing),
            (
                Behaviour::CutFrame,
                honest[..honest.len() - 1].to_vec(),
                Then::TheEnd,
            ),
            (
                Behaviour::WrongReply,
                frame(&[SIGN_RESPONSE, 0, 0, 0, 0]),
                Then::Nothing,
            ),
            (
                Behaviour::TrailingBytes,
                frame(&[message, b"more"].concat()),
                Then::Nothing,
            ),
            (
                Behaviour::ShortList,
                [length, &[12, 0, 0, 0, 2], &message[5..]].concat(),
                Then::Nothing,
            ),
            (Behaviour::Silent, Vec::new(), Then::Nothing),
            (Behaviour::HangingUp, Vec::new(), Then::TheEnd),
        ];
        for (behaviour, bytes, then) in cases {
            check_answer_to_list(behaviour, &bytes, then);
        }
    }

    #[test]
    fn what_it_was_asked_is_kept_as_it_came() {
        let agent = SshAgent::start();
        let mut stream = UnixStream::connect(agent.socket()).unwrap();
        let string = |text: &str| frame(text.as_bytes());
        let sign = [
            &[SIGN_REQUEST][..],
            &string("key"),
            &string("data"),
            &[0, 0, 0, 4],
        ]
        .concat();
        let query = [&[EXTENSION][..], &string("query")].concat();
        for message in [
            &[REQUEST_IDENTITIES][..],
            &sign,
            &query,
            &[SIGN_REQUEST, 9],
            &[],
        ] {
            stream.write_all(&frame(message)).unwrap();
            let mut length = [0; 4];
            stream.read_exact(&mut length).unwrap();
            let length = usize::try_from(u32::from_be_bytes(length)).unwrap();
            stream.read_exact(&mut vec![0; length]).unwrap();
        }
        let (key, data) = (b"key".to_vec(), b"data".to_vec());
        let expected = [
            Request::List,
            Request::Sign {
                key,
                data,
                flags: RSA_SHA2_512,
            },
            Request::Extension("query".into()),
            Request::Unknown(SIGN_REQUEST),
            Request::Unknown(0),
        ];
        assert_eq!(agent.requests(), expected);
    }
}
