//! Rows of a table of ports, as they are printed.

use std::io::{self, Write as _};

use adit_fleet::table::Entry;
use comfy_table::{Table, presets};
use serde_json::{Map, Value};

use crate::cli::Output;

/// One row: names of values with the values, in their order.
pub(super) type Row = Vec<(&'static str, Value)>;

/// What is known of an entry without asking anybody.
pub(super) fn of_entry(entry: &Entry) -> Row {
    let user = entry.user.as_ref().map(ToString::to_string);
    vec![
        ("port", entry.port.into()),
        ("host", entry.host.to_string().into()),
        ("user", user.map_or(Value::Null, Value::from)),
        ("service", service(entry)),
        ("bind", entry.bind.clone().into()),
    ]
}

/// The port alone where the service is at the host itself.
fn service(entry: &Entry) -> Value {
    if entry.service.is_local() {
        entry.service.port.into()
    } else {
        entry.service.to_string().into()
    }
}

/// Prints rows. Of a table nothing is printed but a line where it is empty.
pub(super) fn print(rows: Vec<Row>, columns: &[&'static str], output: Output) -> io::Result<()> {
    let text = match output {
        Output::Table if rows.is_empty() => String::from("the table is empty\n"),
        Output::Table => table(&rows),
        Output::Json => {
            let rows = rows.into_iter().map(|row| {
                let values = row
                    .into_iter()
                    .map(|(name, value)| (name.to_owned(), value));
                Value::Object(values.collect::<Map<_, _>>())
            });
            let text = serde_json::to_string_pretty(&Value::Array(rows.collect()));
            text.unwrap_or_default() + "\n"
        }
        Output::Yaml => yaml(&rows),
        Output::Csv => csv(&rows, columns),
    };
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

fn table(rows: &[Row]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    if let Some(first) = rows.first() {
        table.set_header(first.iter().map(|(name, _)| name.to_uppercase()));
    }
    for row in rows {
        table.add_row(row.iter().map(|(_, value)| plain(value, "-")));
    }
    table
        .lines()
        .map(|line| line.trim_end().to_owned() + "\n")
        .collect()
}

/// A text as it is, a number in its digits.
fn plain(value: &Value, nothing: &str) -> String {
    match value {
        Value::Null => nothing.to_owned(),
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}

/// YAML 1.2, of which JSON's values are a part.
fn yaml(rows: &[Row]) -> String {
    if rows.is_empty() {
        return String::from("[]\n");
    }
    let mut text = String::new();
    for row in rows {
        for (place, (name, value)) in row.iter().enumerate() {
            let sign = if place == 0 { "- " } else { "  " };
            text.extend([sign, name, ": ", &value.to_string(), "\n"]);
        }
    }
    text
}

fn csv(rows: &[Row], columns: &[&'static str]) -> String {
    let line = |cells: Vec<String>| cells.join(",") + "\r\n";
    let mut text = line(columns.iter().map(|name| (*name).to_owned()).collect());
    for row in rows {
        text.push_str(&line(
            row.iter()
                .map(|(_, value)| cell(&plain(value, "")))
                .collect(),
        ));
    }
    text
}

fn cell(text: &str) -> String {
    if text.contains([',', '"', '\r', '\n']) {
        return format!("\"{}\"", text.replace('"', "\"\""));
    }
    text.to_owned()
}
