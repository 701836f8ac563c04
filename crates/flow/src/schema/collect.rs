//! Variables in what a file says, each once by its name.

use indexmap::IndexMap;

use crate::expr::{Conversion, Step, Value, Variable};
use crate::model::{Setting, Text, Written};
use crate::schema::Field;

/// Fields in the order in which they were found; of two with one name the first stays.
#[derive(Debug, Default)]
pub(super) struct Fields {
    found: IndexMap<Option<String>, Field>,
}

impl Fields {
    pub(super) fn add(&mut self, field: Field) {
        self.found.entry(field.name.clone()).or_insert(field);
    }

    pub(super) fn extend(&mut self, fields: impl IntoIterator<Item = Field>) {
        fields.into_iter().for_each(|field| self.add(field));
    }

    pub(super) fn into_vec(self) -> Vec<Field> {
        self.found.into_values().collect()
    }

    /// Each `${input…}` of a text.
    pub(super) fn text(&mut self, text: &Text) {
        let template = text.template();
        for variable in template.variables() {
            if variable.source().name() == "input" && !variable.source().is_chunk() {
                self.input(variable, text.is_from_environment());
            }
        }
    }

    fn input(&mut self, variable: &Variable, is_private: bool) {
        let name = name(variable.path());
        // The whole input without a type says nothing about it.
        if name.is_some() || variable.conversion().is_some() {
            self.add(field(name, Some(variable), is_private));
        }
    }

    pub(super) fn texts<'t>(&mut self, texts: impl IntoIterator<Item = &'t Text>) {
        texts.into_iter().for_each(|text| self.text(text));
    }

    pub(super) fn named(&mut self, texts: &[(String, Text)]) {
        self.texts(texts.iter().map(|(_, text)| text));
    }

    pub(super) fn setting<T>(&mut self, setting: &Setting<T>) {
        if let Setting::Rendered(text) = setting {
            self.text(text);
        }
    }

    /// Recurses at most [`adit_text::limits::DEPTH`] times.
    pub(super) fn written(&mut self, written: &Written) {
        match written {
            Written::Plain(_) => {}
            Written::Text(text) => self.text(text),
            Written::List(items) => items.iter().for_each(|item| self.written(item)),
            Written::Mapping(entries) => {
                for (_, entry) in entries {
                    self.written(entry);
                }
            }
        }
    }
}

/// What a variable says of a field.
pub(super) fn field(name: Option<String>, variable: Option<&Variable>, is_private: bool) -> Field {
    let conversion = variable.and_then(Variable::conversion);
    let kind = conversion.map_or(PLAIN, Conversion::name).to_owned();
    let is_choice = kind == "select";
    let options = conversion.filter(|_| is_choice).map(|conversion| {
        let options = conversion.choices().map(str::trim);
        options.filter(|it| !it.is_empty()).map(str::to_owned)
    });
    let subtype = conversion.filter(|_| !is_choice);
    let shown = variable.filter(|_| !is_private);
    Field {
        name,
        kind,
        is_list: conversion.is_some_and(Conversion::is_list),
        subtype: subtype.and_then(Conversion::subtype).map(str::to_owned),
        format: conversion.and_then(Conversion::format).map(str::to_owned),
        options: options.map(Iterator::collect),
        default: shown.and_then(default),
        description: shown.and_then(description),
    }
}

/// What a variable is that says nothing about it.
const PLAIN: &str = "string";

/// The default, if it is the same each time and JSON has a word for it. One that cannot be converted
/// is shown as it was written.
fn default(variable: &Variable) -> Option<Value> {
    let default = variable.constant_default().unwrap_or_else(|_| {
        let text = variable.default()?.template().as_text()?;
        Some(Value::from(text))
    });
    default.filter(|value| value.to_json().is_ok())
}

/// The texts of `@(description …)`.
fn description(variable: &Variable) -> Option<String> {
    let annotations = variable.annotations().iter();
    let texts = annotations.filter(|one| one.name() == "description");
    let texts: Vec<&str> = texts.map(|one| one.text().trim()).collect();
    Some(texts.join(" ")).filter(|text| !text.is_empty())
}

/// `user.name`, `items[0]`; None for a path without steps.
fn name(path: &[Step]) -> Option<String> {
    let written: String = path.iter().map(Step::to_string).collect();
    let name = written.strip_prefix('.').unwrap_or(&written);
    Some(name.to_owned()).filter(|name| !name.is_empty())
}

/// Whether a value is exactly `${NAME}`, and so hands on the whole of a source.
pub(super) fn is_whole(written: &Written, source: &str) -> bool {
    let Written::Text(text) = written else {
        return false;
    };
    let template = text.template();
    template.as_variable().is_some_and(|variable| {
        let is_source = variable.source().name() == source && !variable.source().is_chunk();
        is_source && variable.path().is_empty() && variable.conversion().is_none()
    })
}
