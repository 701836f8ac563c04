//! Between the engine's words for channels and forwards and the transport's.

use adit_ssh::channel::{ChannelKind, ChannelRequest, Endpoint};
use adit_ssh::forward::Forward;
use adit_ssh::printable::Printable;

use super::super::{Bind, Origin, SessionWish, StreamHead, StreamKind, Target};

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "what carries no stream has no head"
)]
pub(super) fn head(kind: ChannelKind) -> Option<StreamHead> {
    let nowhere = Origin {
        host: String::new(),
        port: 0,
    };
    let target = |endpoint: Endpoint| Target::Tcp {
        host: endpoint.host,
        port: endpoint.port,
    };
    let from = |endpoint: Endpoint| Origin {
        host: endpoint.host,
        port: endpoint.port,
    };
    Some(match kind {
        ChannelKind::DirectTcpip { target: to, origin } => StreamHead {
            kind: StreamKind::Direct(target(to)),
            origin: from(origin),
        },
        ChannelKind::ForwardedTcpip { bind, origin } => StreamHead {
            kind: StreamKind::Forwarded(Bind::Tcp {
                host: bind.host,
                port: bind.port,
            }),
            origin: from(origin),
        },
        ChannelKind::DirectStreamlocal { path } => StreamHead {
            kind: StreamKind::Direct(Target::Unix { path }),
            origin: nowhere,
        },
        ChannelKind::ForwardedStreamlocal { path } => StreamHead {
            kind: StreamKind::Forwarded(Bind::Unix { path }),
            origin: nowhere,
        },
        ChannelKind::Probe { bind } => StreamHead {
            kind: StreamKind::Probe {
                host: bind.host,
                port: bind.port,
            },
            origin: nowhere,
        },
        _ => return None,
    })
}

pub(super) fn kind(head: StreamHead) -> ChannelKind {
    let origin = Endpoint::new(head.origin.host, head.origin.port);
    match head.kind {
        StreamKind::Direct(Target::Tcp { host, port }) => ChannelKind::DirectTcpip {
            target: Endpoint::new(host, port),
            origin,
        },
        StreamKind::Direct(Target::Unix { path }) => ChannelKind::DirectStreamlocal { path },
        StreamKind::Forwarded(Bind::Tcp { host, port }) => ChannelKind::ForwardedTcpip {
            bind: Endpoint::new(host, port),
            origin,
        },
        StreamKind::Forwarded(Bind::Unix { path }) => ChannelKind::ForwardedStreamlocal { path },
        StreamKind::Probe { host, port } => ChannelKind::Probe {
            bind: Endpoint::new(host, port),
        },
        StreamKind::Subsystem(_) | StreamKind::Command(_) => ChannelKind::Session,
    }
}

pub(super) fn bind(forward: Forward) -> Bind {
    match forward {
        Forward::Tcp(endpoint) => Bind::Tcp {
            host: endpoint.host,
            port: endpoint.port,
        },
        Forward::Unix(path) => Bind::Unix { path },
    }
}

pub(super) fn forward(bind: Bind) -> Forward {
    match bind {
        Bind::Tcp { host, port } => Forward::Tcp(Endpoint::new(host, port)),
        Bind::Unix { path } => Forward::Unix(path),
    }
}

/// What a client asks in its session; `None` for what only a server tells.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "what is added to the engine is refused here until it has a meaning"
)]
pub(super) fn wish(request: ChannelRequest) -> Option<SessionWish> {
    let text = |text: String| Printable::new(text.as_bytes());
    Some(match request {
        ChannelRequest::Shell => SessionWish::Shell,
        ChannelRequest::Exec { command } => SessionWish::Command {
            line: Printable::new(&command),
        },
        ChannelRequest::Subsystem { name } => SessionWish::Subsystem { name: text(name) },
        ChannelRequest::Pty { columns, rows } => SessionWish::Terminal { columns, rows },
        ChannelRequest::WindowChange { columns, rows } => SessionWish::Resize { columns, rows },
        ChannelRequest::Signal { name } => SessionWish::Signal { name: text(name) },
        ChannelRequest::Other { name } => SessionWish::Other { name },
        _ => return None,
    })
}
