//! What a gateway says when it has started: where it listens, by which keys it is known, and what to try.

use std::net::SocketAddr;

use adit_tunnel::gateway::host_keys::HostKeys;

use super::settings::Settings;
use crate::log::tell;

/// Tells where it listens and what to try there.
pub(super) fn started(
    settings: &Settings,
    listening: &[SocketAddr],
    metrics: Option<SocketAddr>,
    host_keys: &HostKeys,
) {
    for address in listening {
        tell(&format!("listening for ssh at {address}"));
    }
    if let Some(address) = metrics {
        tell(&format!("metrics at http://{address}/metrics"));
    }
    for key in host_keys.public() {
        tell(&format!(
            "host key {} {}",
            key.key_type().name(),
            key.fingerprint()
        ));
    }
    tell(&format!("try: {}", example(settings, listening)));
}

/// A line that makes a web server of the reader's public here.
fn example(settings: &Settings, listening: &[SocketAddr]) -> String {
    let port = listening.first().map_or(22, SocketAddr::port);
    let port = if port == 22 {
        String::new()
    } else {
        format!("-p {port} ")
    };
    let forwarded = settings.defaults.ports.nth(0).unwrap_or_default();
    format!(
        "ssh -N -R '*:{forwarded}:localhost:80' {port}{}",
        settings.name()
    )
}
