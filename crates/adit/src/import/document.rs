//! TOML and INI as sections of keys and values with their lines: what frp and rathole are configured by.

use std::ops::Range;

use anyhow::anyhow;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Everything of a table or section, the keys of tables below it behind dots: `auth.token`.
#[derive(Debug, Clone, Default)]
pub(super) struct Section {
    /// Its line, from 1.
    pub(super) line: usize,
    pub(super) name: String,
    fields: Vec<Field>,
}

/// A key and its value.
#[derive(Debug, Clone)]
pub(super) struct Field {
    pub(super) line: usize,
    pub(super) key: String,
    pub(super) value: Value,
    is_taken: bool,
}

/// A value.
#[derive(Debug, Clone)]
pub(super) enum Value {
    /// A text, a number, a truth: as it would be written.
    Text(String),
    /// Several.
    List(Vec<String>),
    /// Tables, which are sections of their own.
    Tables(Vec<Section>),
}

impl Section {
    /// What a key says; it counts as brought over then. The first of these names that is there.
    pub(super) fn take(&mut self, keys: &[&str]) -> Option<Field> {
        let field = self
            .fields
            .iter_mut()
            .find(|field| keys.contains(&field.key.as_str()))?;
        field.is_taken = true;
        Some(field.clone())
    }

    /// The same, as one text.
    pub(super) fn text(&mut self, keys: &[&str]) -> Option<String> {
        self.take(keys).map(|field| field.value.text())
    }

    /// A number that a port may have.
    pub(super) fn port(&mut self, keys: &[&str]) -> Option<u16> {
        self.text(keys)?.parse().ok()
    }

    /// The tables of that name.
    pub(super) fn tables(&mut self, key: &str) -> Vec<Self> {
        match self.take(&[key]).map(|field| field.value) {
            Some(Value::Tables(tables)) => tables,
            Some(Value::Text(_) | Value::List(_)) | None => Vec::new(),
        }
    }

    /// The tables directly below one: of `services.ssh.token` with `services` it is `ssh`, with what is in it.
    pub(super) fn below(&mut self, key: &str) -> Vec<Self> {
        let mut found: Vec<Self> = Vec::new();
        let start = format!("{key}.");
        for field in &mut self.fields {
            let Some((name, rest)) = field
                .key
                .strip_prefix(&start)
                .and_then(|it| it.split_once('.'))
            else {
                continue;
            };
            field.is_taken = true;
            let inner = Field {
                key: String::from(rest),
                is_taken: false,
                ..field.clone()
            };
            match found.iter_mut().find(|section| section.name == name) {
                Some(section) => section.fields.push(inner),
                None => found.push(Self {
                    line: field.line,
                    name: String::from(name),
                    fields: vec![inner],
                }),
            }
        }
        found
    }

    /// Whether it says anything of that.
    pub(super) fn has(&self, key: &str) -> bool {
        self.fields.iter().any(|field| field.key == key)
    }

    /// What nobody has taken.
    pub(super) fn left(&self) -> impl Iterator<Item = &Field> {
        self.fields.iter().filter(|field| !field.is_taken)
    }
}

impl Value {
    /// All of it as one text.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::List(all) => all.join(","),
            Self::Tables(_) => String::new(),
        }
    }
}

/// Reads TOML.
///
/// # Errors
///
/// It is none. Its text is not repeated: there may be a secret in it.
pub(super) fn toml(text: &str) -> anyhow::Result<Section> {
    let table = DeTable::parse(text).map_err(|error| {
        let line = error.span().map_or(1, |span| line_of(text, &span));
        anyhow!("line {line}: it is no TOML: {}", error.message())
    })?;
    let mut root = Section {
        line: 1,
        ..Section::default()
    };
    flatten(text, "", table.get_ref(), &mut root.fields);
    // As they are written, whatever their names.
    root.fields.sort_by_key(|field| field.line);
    Ok(root)
}

fn flatten(text: &str, before: &str, table: &DeTable<'_>, fields: &mut Vec<Field>) {
    for (key, value) in table {
        let line = line_of(text, &key.span());
        let key = format!("{before}{}", key.get_ref());
        let value = match value.get_ref() {
            DeValue::Table(below) => {
                flatten(text, &format!("{key}."), below, fields);
                continue;
            }
            DeValue::Array(all) => {
                let tables: Vec<Section> = all
                    .iter()
                    .filter_map(|one| section(text, &key, one))
                    .collect();
                if tables.is_empty() {
                    Value::List(all.iter().map(|one| plain(one.get_ref())).collect())
                } else {
                    Value::Tables(tables)
                }
            }
            one @ (DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_)) => Value::Text(plain(one)),
        };
        fields.push(Field {
            line,
            key,
            value,
            is_taken: false,
        });
    }
}

fn section(text: &str, name: &str, value: &Spanned<DeValue<'_>>) -> Option<Section> {
    let table = value.get_ref().as_table()?;
    let mut section = Section {
        line: line_of(text, &value.span()),
        name: String::from(name),
        fields: Vec::new(),
    };
    flatten(text, "", table, &mut section.fields);
    section.fields.sort_by_key(|field| field.line);
    if let Some(first) = section.fields.first() {
        section.line = section.line.min(first.line);
    }
    Some(section)
}

fn plain(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => text.to_string(),
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.to_string(),
        DeValue::Boolean(is) => is.to_string(),
        DeValue::Datetime(moment) => moment.to_string(),
        DeValue::Array(_) | DeValue::Table(_) => String::new(),
    }
}

/// The line of a place in a text, from 1.
fn line_of(text: &str, span: &Range<usize>) -> usize {
    let before = text.get(..span.start).unwrap_or_default();
    before.matches('\n').count().saturating_add(1)
}

/// Reads INI as frp wrote it before TOML: sections in brackets, `key = value`, comments behind `#` and `;`. Lines that
/// are neither have no key.
pub(super) fn ini(text: &str) -> Vec<Section> {
    let mut sections: Vec<Section> = Vec::new();
    for (line, written) in (1..).zip(text.lines()) {
        let written = written.trim();
        if written.is_empty() || written.starts_with(['#', ';']) {
            continue;
        }
        if let Some(name) = written
            .strip_prefix('[')
            .and_then(|it| it.strip_suffix(']'))
        {
            sections.push(Section {
                line,
                name: String::from(name.trim()),
                fields: Vec::new(),
            });
            continue;
        }
        let (key, value) = written.split_once('=').unwrap_or(("", written));
        let field = Field {
            line,
            key: key.trim().to_ascii_lowercase(),
            value: Value::Text(String::from(value.trim().trim_matches('"'))),
            is_taken: false,
        };
        if let Some(section) = sections.last_mut() {
            section.fields.push(field);
        } else {
            sections.push(Section {
                line,
                fields: vec![field],
                ..Section::default()
            });
        }
    }
    sections
}
