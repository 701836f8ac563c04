//! Rows as people read them: a table of many, a line for each thing of one.

use std::fmt::Write as _;

use comfy_table::{Table, presets};
use serde_json::Value;

use crate::gateway::order::Row;

/// The columns of a table: a heading, and the key of a row's value.
pub(super) type Columns = &'static [(&'static str, &'static str)];

pub(super) const PRINCIPALS: Columns = &[
    ("NAME", "name"),
    ("STANDING", "standing"),
    ("KEYS", "keys"),
    ("CREATED", "created"),
    ("NOTE", "note"),
];

pub(super) const KEYS: Columns = &[
    ("FINGERPRINT", "fingerprint"),
    ("PRINCIPAL", "principal"),
    ("FROM", "from"),
    ("NOT AFTER", "not_after"),
    ("ADDED", "added"),
    ("COMMENT", "comment"),
];

pub(super) const GRANTS: Columns = &[
    ("PRINCIPAL", "principal"),
    ("PORTS", "ports"),
    ("ANY PORT", "any_port"),
    ("REACH", "reach"),
    ("NAMES", "names"),
    ("SOCKETS", "sockets"),
    ("OPENS", "targets"),
    ("FROM", "from"),
    ("NOT AFTER", "not_after"),
    ("TAKEOVER", "takeover"),
];

pub(super) const LEASES: Columns = &[
    ("HELD", "holding"),
    ("PRINCIPAL", "principal"),
    ("STATE", "state"),
    ("UNTIL", "until"),
    ("SINCE", "since"),
    ("SOURCE", "source"),
    ("ADDRESSES", "addresses"),
    ("URLS", "urls"),
    ("WAITING", "waiting"),
];

pub(super) const RESERVATIONS: Columns = &[
    ("NUMBER", "id"),
    ("PRINCIPAL", "principal"),
    ("PORTS", "ports"),
    ("NAME", "name"),
    ("NOTE", "note"),
];

pub(super) const AUTHORITIES: Columns = &[
    ("FINGERPRINT", "fingerprint"),
    ("NAMES", "names"),
    ("FROM", "from"),
    ("NOT AFTER", "not_after"),
    ("NOTE", "note"),
];

pub(super) const REVOCATIONS: Columns = &[
    ("NUMBER", "id"),
    ("KEY", "key"),
    ("AUTHORITY", "authority"),
    ("SERIALS", "serials"),
    ("KEY ID", "key_id"),
    ("ADDED", "added"),
    ("NOTE", "note"),
];

pub(super) const HOST_KEYS: Columns = &[
    ("KIND", "kind"),
    ("FINGERPRINT", "fingerprint"),
    ("STANDING", "standing"),
    ("AGE", "age"),
    ("FILE", "file"),
];

pub(super) const INVITES: Columns = &[
    ("NUMBER", "number"),
    ("DEVICE", "name"),
    ("STATE", "state"),
    ("EXPIRES", "expires"),
    ("CREATED", "created"),
    ("NOTE", "note"),
];

pub(super) const AUDIT: Columns = &[
    ("NUMBER", "id"),
    ("WHEN", "when"),
    ("WHO", "who"),
    ("WHAT", "what"),
    ("DETAILS", "details"),
];

/// Nothing.
const NOTHING: &str = "-";

/// All rows as a table.
pub(super) fn show(rows: &[Row], columns: Columns) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(columns.iter().map(|(heading, _)| *heading));
    for row in rows {
        table.add_row(columns.iter().map(|(_, key)| cell(row.get(*key))));
    }
    let lines = table.lines();
    lines
        .map(|line| line.trim_end().to_owned() + "\n")
        .collect()
}

/// One row, a line for each value; what has values of its own follows, indented.
pub(super) fn details(row: &Row) -> String {
    let mut text = String::new();
    describe(&mut text, row, 0);
    text
}

/// A code that was made, and what it is for.
pub(super) fn code(row: &Row) -> String {
    let cell = |key: &str| cell(row.get(key));
    let (code, name, number) = (cell("code"), cell("name"), cell("number"));
    let expires = cell("expires");
    let what = match row.get("is_new") {
        Some(Value::Bool(false)) => format!("adds a key to the device {name}"),
        _ => format!("makes one machine the device {name}"),
    };
    format!(
        "{code}\n\nIt {what}, once, until {expires}. There: adit join GATEWAY, and type it in. It is not shown again; \
         adit invite remove {number} takes it back.\nThe device may: {}\n",
        cell("grant")
    )
}

fn describe(text: &mut String, row: &Row, depth: usize) {
    let indent = " ".repeat(depth.saturating_mul(2));
    let width = row.keys().map(String::len).max().unwrap_or_default();
    let (deep, flat): (Vec<_>, Vec<_>) = row.iter().partition(|(_, value)| is_deep(value));
    for (key, value) in flat {
        let (key, cell) = (key.replace('_', " "), cell(Some(value)));
        writeln!(text, "{indent}{key:width$}  {cell}").ok();
    }
    for (key, value) in deep {
        let key = key.replace('_', " ");
        writeln!(text, "{indent}{key}").ok();
        let below = value
            .as_array()
            .map_or_else(|| std::slice::from_ref(value), Vec::as_slice);
        for (number, below) in below.iter().filter_map(Value::as_object).enumerate() {
            if number > 0 {
                text.push('\n');
            }
            describe(text, below, depth.saturating_add(1));
        }
    }
}

/// Whether a value has values of its own to be told of.
fn is_deep(value: &Value) -> bool {
    match value {
        Value::Object(below) => !below.is_empty(),
        Value::Array(all) => all.iter().any(Value::is_object),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

/// A value on one line; moments to the second.
fn cell(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::from(NOTHING),
        Some(Value::Bool(true)) => String::from("yes"),
        Some(Value::Bool(false)) => String::from("no"),
        Some(Value::String(text)) if text.is_empty() => String::from(NOTHING),
        Some(Value::String(text)) => moment(text),
        Some(Value::Array(all)) if all.is_empty() => String::from(NOTHING),
        Some(Value::Array(all)) => {
            let all = all.iter().map(|one| cell(Some(one)));
            all.collect::<Vec<_>>().join(" ")
        }
        Some(Value::Object(all)) => {
            let all = all.iter().filter(|(_, one)| !is_plain(one));
            let all = all.map(|(key, one)| {
                let shown = cell(Some(one));
                if one.is_object() {
                    format!("{key}({shown})")
                } else {
                    format!("{key}={shown}")
                }
            });
            all.collect::<Vec<_>>().join(" ")
        }
        Some(number @ Value::Number(_)) => number.to_string(),
    }
}

/// Whether a value says no more than its absence would.
fn is_plain(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Bool(true) | Value::Number(_) => false,
        Value::String(text) => text.is_empty(),
        Value::Array(all) => all.is_empty(),
        Value::Object(all) => all.values().all(is_plain),
    }
}

/// A moment to the second; any other text as it is.
fn moment(text: &str) -> String {
    match text.parse::<jiff::Timestamp>() {
        Ok(moment) => format!("{moment:.0}"),
        Err(_) => String::from(text),
    }
}
