//! A status for people: a line for each tunnel and a table of its forwards.

use std::time::{Duration, SystemTime};

use comfy_table::{CellAlignment, Table, presets};

use super::{ForwardReport, Report, TunnelReport, When};

/// All of it as lines. `now` is what ages are counted to.
pub(crate) fn show(report: &Report, now: SystemTime) -> String {
    let mut lines = vec![format!(
        "{} (process {}, {})",
        report.config.display(),
        report.pid,
        age(report.since, now)
    )];
    for tunnel in &report.tunnels {
        lines.push(String::new());
        show_tunnel(&mut lines, tunnel, now);
    }
    lines.push(String::new());
    lines.join("\n")
}

fn show_tunnel(lines: &mut Vec<String>, tunnel: &TunnelReport, now: SystemTime) {
    let TunnelReport {
        name,
        host,
        port,
        user,
        ..
    } = tunnel;
    let (state, since) = (tunnel.state.word(), age(tunnel.since, now));
    let logins = tunnel.connections;
    lines.push(format!(
        "{name}: {state} for {since}, {user}@{host} port {port}, logins {logins}"
    ));
    if let Some(trouble) = &tunnel.last_error {
        let (what, ago) = (&trouble.what, age(trouble.at, now));
        lines.push(format!("  last error {ago} ago: {what}"));
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header([
        "FORWARD",
        "ADDRESS",
        "TARGET",
        "STATE",
        "SINCE",
        "ROUND TRIP",
        "VISITORS",
        "TO TARGET",
        "TO VISITORS",
    ]);
    for forward in &tunnel.forwards {
        table.add_row(row(forward, now));
    }
    for number in 5..=8 {
        if let Some(column) = table.column_mut(number) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    for line in table.lines() {
        lines.push(format!(" {}", line.trim_end()));
    }
    for forward in &tunnel.forwards {
        if let Some(reason) = &forward.reason {
            lines.push(format!("  {}: {reason}", forward.address));
        }
        if let Some(check) = &forward.check {
            lines.push(format!("  {}: target {check}", forward.address));
        }
    }
}

fn row(forward: &ForwardReport, now: SystemTime) -> [String; 9] {
    let round_trip = forward.round_trip_ms;
    [
        forward.kind.word().to_owned(),
        forward.address.clone(),
        forward.target.clone(),
        forward.state.word().to_owned(),
        age(forward.since, now),
        round_trip.map_or_else(String::new, |time| format!("{time:.1} ms")),
        format!("{} of {}", forward.visitors, forward.visitors_total),
        size(forward.bytes_to_target),
        size(forward.bytes_to_visitor),
    ]
}

/// How long ago, in its two largest units.
fn age(since: When, now: SystemTime) -> String {
    let age = now.duration_since(since.0).unwrap_or(Duration::ZERO);
    let seconds = age.as_secs();
    // What is long ago is not counted to the second.
    let rounded = match seconds {
        0..3_600 => seconds,
        3_600..86_400 => seconds - seconds % 60,
        _ => seconds - seconds % 3_600,
    };
    humantime::format_duration(Duration::from_secs(rounded)).to_string()
}

/// Bytes in the largest unit of which there is one, to a tenth.
fn size(bytes: u64) -> String {
    let mut tenths = u128::from(bytes).saturating_mul(10);
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if tenths < 10_240 {
            return if unit == "B" {
                format!("{bytes} B")
            } else {
                format!("{}.{} {unit}", tenths / 10, tenths % 10)
            };
        }
        tenths /= 1_024;
    }
    format!("{}.{} TiB", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_ages_are_short() {
        for (bytes, text) in [
            (0, "0 B"),
            (1_023, "1023 B"),
            (1_024, "1.0 KiB"),
            (1_536, "1.5 KiB"),
            (10 << 30, "10.0 GiB"),
            (u64::MAX, "16777215.9 TiB"),
        ] {
            assert_eq!(size(bytes), text);
        }
        let since = When(SystemTime::UNIX_EPOCH);
        for (seconds, text) in [
            (0, "0s"),
            (61, "1m 1s"),
            (3_661, "1h 1m"),
            (90_061, "1day 1h"),
        ] {
            let now = since.0 + Duration::from_secs(seconds);
            assert_eq!(age(since, now), text);
        }
        let earlier = When(SystemTime::UNIX_EPOCH + Duration::from_secs(5));
        assert_eq!(age(earlier, SystemTime::UNIX_EPOCH), "0s");
    }
}
