//! A status for people: a line for each tunnel and a table of its forwards.

use std::time::{Duration, SystemTime};

use comfy_table::{CellAlignment, Table, presets};

use super::{ForwardReport, Report, ServiceReport, TunnelReport, When};

/// A column of the table.
#[derive(Clone, Copy)]
struct Column {
    heading: &'static str,
    alignment: CellAlignment,
    text: fn(&ForwardReport, SystemTime) -> String,
}

const COLUMNS: [Column; 9] = [
    Column::left("FORWARD", |forward, _| forward.kind.word().to_owned()),
    Column::left("ADDRESS", |forward, _| forward.address.clone()),
    Column::left("TARGET", |forward, _| forward.target.clone()),
    Column::left("STATE", |forward, _| forward.state.word().to_owned()),
    Column::left("SINCE", |forward, now| age(forward.since, now)),
    Column::right("ROUND TRIP", |forward, _| {
        let time = forward.round_trip_ms;
        time.map_or_else(String::new, |time| format!("{time:.1} ms"))
    }),
    Column::right("VISITORS", |forward, _| {
        format!("{} of {}", forward.visitors, forward.visitors_total)
    }),
    Column::right("TO TARGET", |forward, _| size(forward.bytes_to_target)),
    Column::right("TO VISITORS", |forward, _| size(forward.bytes_to_visitor)),
];
/// What a narrow terminal goes without, the first first.
const DISPENSABLE: [&str; 5] = ["TO VISITORS", "TO TARGET", "VISITORS", "FORWARD", "TARGET"];

/// All of it as lines. `now` is what ages are counted to; a table that is wider than `width` is shown
/// without some columns.
pub(crate) fn show(report: &Report, now: SystemTime, width: Option<usize>) -> String {
    let mut lines = vec![format!(
        "{} (process {}, {})",
        report.config.display(),
        report.pid,
        age(report.since, now)
    )];
    for tunnel in &report.tunnels {
        lines.push(String::new());
        show_tunnel(&mut lines, tunnel, now, width);
    }
    if let Some(service) = &report.service {
        lines.push(String::new());
        lines.push(format!(
            "workflows: {}, runs {}",
            service.state.word(),
            service.runs
        ));
        lines.extend(parts(service));
    }
    lines.push(String::new());
    lines.join("\n")
}

/// The table of what workflows need.
fn parts(service: &ServiceReport) -> Vec<String> {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    for part in &service.parts {
        let state = if part.is_up { "up" } else { "not up" };
        let detail = part.detail.as_deref().unwrap_or_default();
        table.add_row([part.kind.word(), &part.name, state, detail]);
    }
    let lines = table.lines();
    lines.map(|line| format!(" {}", line.trim_end())).collect()
}

fn show_tunnel(
    lines: &mut Vec<String>,
    tunnel: &TunnelReport,
    now: SystemTime,
    width: Option<usize>,
) {
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
    lines.extend(forwards(tunnel, now, width));
    for forward in &tunnel.forwards {
        if let Some(reason) = &forward.reason {
            lines.push(format!("  {}: {reason}", forward.address));
        }
        if let Some(check) = &forward.check {
            let (what, since) = (&check.what, age(check.since, now));
            lines.push(format!("  {}: {what}, for {since}", forward.address));
        }
    }
}

/// The table of a tunnel's forwards, with as many columns as there is room for.
fn forwards(tunnel: &TunnelReport, now: SystemTime, width: Option<usize>) -> Vec<String> {
    let mut columns = COLUMNS.to_vec();
    for dispensable in DISPENSABLE {
        let lines = table(tunnel, now, &columns);
        let widest = lines.iter().map(|line| line.chars().count()).max();
        if width.is_none_or(|width| widest.is_none_or(|widest| widest <= width)) {
            return lines;
        }
        columns.retain(|column| column.heading != dispensable);
    }
    table(tunnel, now, &columns)
}

fn table(tunnel: &TunnelReport, now: SystemTime, columns: &[Column]) -> Vec<String> {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(columns.iter().map(|column| column.heading));
    for forward in &tunnel.forwards {
        table.add_row(columns.iter().map(|column| (column.text)(forward, now)));
    }
    for (number, column) in columns.iter().enumerate() {
        if let Some(drawn) = table.column_mut(number) {
            drawn.set_cell_alignment(column.alignment);
        }
    }
    let lines = table.lines();
    lines.map(|line| format!(" {}", line.trim_end())).collect()
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

impl Column {
    const fn left(heading: &'static str, text: fn(&ForwardReport, SystemTime) -> String) -> Self {
        Self {
            heading,
            alignment: CellAlignment::Left,
            text,
        }
    }

    const fn right(heading: &'static str, text: fn(&ForwardReport, SystemTime) -> String) -> Self {
        Self {
            alignment: CellAlignment::Right,
            ..Self::left(heading, text)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{ForwardState, Kind, PartKind, PartReport, ServiceState, TunnelState};
    use super::*;

    fn report() -> Report {
        let since = When(SystemTime::UNIX_EPOCH);
        let forward = ForwardReport {
            kind: Kind::Remote,
            bind: String::from("*:8080"),
            address: String::from("gw.example.org:8080"),
            target: String::from("localhost:80"),
            state: ForwardState::Up,
            since,
            reason: None,
            round_trip_ms: Some(21.43),
            visitors: 1,
            visitors_total: 20,
            bytes_to_target: 7_900,
            bytes_to_visitor: 73_600,
            check: None,
        };
        let failing = ForwardReport {
            state: ForwardState::Failing,
            reason: Some(String::from("listener is owned by someone else")),
            round_trip_ms: None,
            address: String::from("localhost:81 at gw.example.org"),
            ..forward.clone()
        };
        Report {
            version: String::from("0.1.0"),
            config: "/etc/adit.yml".into(),
            pid: 7,
            since,
            tunnels: vec![TunnelReport {
                name: String::from("web"),
                host: String::from("gw.example.org"),
                port: 22,
                user: String::from("me"),
                state: TunnelState::Connected,
                since,
                connections: 3,
                last_error: None,
                grant: None,
                forwards: vec![forward, failing],
            }],
            service: None,
        }
    }

    #[test]
    fn a_report_is_a_table_as_wide_as_the_terminal() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(60);
        let wide = "\
/etc/adit.yml (process 7, 1m)

web: connected for 1m, me@gw.example.org port 22, logins 3
  FORWARD  ADDRESS                         TARGET        STATE    SINCE  ROUND TRIP  VISITORS  TO TARGET  TO VISITORS
  remote   gw.example.org:8080             localhost:80  up       1m        21.4 ms   1 of 20    7.7 KiB     71.8 KiB
  remote   localhost:81 at gw.example.org  localhost:80  failing  1m                  1 of 20    7.7 KiB     71.8 KiB
  localhost:81 at gw.example.org: listener is owned by someone else
";
        assert_eq!(show(&report(), now, None), wide);
        assert_eq!(show(&report(), now, Some(120)), wide);
        let narrow = show(&report(), now, Some(80));
        assert!(narrow.contains(
            "  ADDRESS                         TARGET        STATE    SINCE  ROUND TRIP\n"
        ));
        let narrower = show(&report(), now, Some(1));
        assert!(
            narrower.contains("  ADDRESS                         STATE    SINCE  ROUND TRIP\n")
        );
    }

    #[test]
    fn what_workflows_need_is_shown_behind_the_tunnels() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(60);
        let part = |kind, name: &str, is_up, detail: Option<&str>| PartReport {
            kind,
            name: name.to_owned(),
            is_up,
            detail: detail.map(str::to_owned),
        };
        let mut report = report();
        report.tunnels.clear();
        assert!(report.is_up());
        report.service = Some(ServiceReport {
            state: ServiceState::Ready,
            runs: 2,
            parts: vec![
                part(PartKind::Listener, "0.0.0.0:8090", true, None),
                part(
                    PartKind::Component,
                    "server",
                    false,
                    Some("it has ended (1)"),
                ),
            ],
        });
        let shown = "\
/etc/adit.yml (process 7, 1m)

workflows: ready, runs 2
  listener   0.0.0.0:8090  up
  component  server        not up  it has ended (1)
";
        assert_eq!(show(&report, now, None), shown);
        assert!(!report.is_up());
        let json = serde_json::to_string(&report).unwrap();
        assert_eq!(serde_json::from_str::<Report>(&json).unwrap(), report);
    }

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
