//! Answers that come in pieces, each of which becomes a value of the action's.

use futures_util::StreamExt as _;

use super::Known;
use crate::exec::error::JobError;
use crate::expr::Value;
use crate::model::Written;
use crate::model::component::StreamFormat;
use crate::render;
use crate::stream::{self, ByteSource, EventSource, ValueSource, Values};

/// The chunks of a value, if it is a stream: each as `format` says.
fn chunks(value: &Value, format: Option<StreamFormat>) -> Result<Option<Values>, JobError> {
    let Value::Handle(handle) = value else {
        return Ok(None);
    };
    let taken = if let Some(events) = EventSource::of(handle) {
        events.take_values(format)
    } else if let Some(values) = ValueSource::of(handle) {
        values.take()
    } else if let Some(bytes) = ByteSource::of(handle) {
        bytes.take().map(|chunks| {
            let values = chunks.map(move |chunk| match chunk {
                Ok(chunk) => Ok(stream::chunk_value(&chunk, format)),
                Err(error) => Err(JobError::chain(&error).to_string()),
            });
            Box::pin(values) as Values
        })
    } else {
        return Ok(None);
    };
    taken.map(Some).map_err(|error| JobError::chain(&error))
}

/// Whether an output speaks of the chunks of `name`: `response[]` or `result[]`.
pub(super) fn speaks_of_chunks(output: &Written, name: &str) -> Result<bool, JobError> {
    let tree = output.tree().map_err(|error| JobError::chain(&error))?;
    let references = tree.references();
    let mut sources = references.iter().map(|one| one.variable.source());
    Ok(sources.any(|source| source.is_chunk() && source.name() == name))
}

/// A stream of what `output` makes of each chunk of `value`, which it calls `name`; None if that is no stream.
pub(super) fn mapped(
    known: &Known,
    output: &Written,
    value: &Value,
    name: &'static str,
    format: Option<StreamFormat>,
) -> Result<Option<Value>, JobError> {
    let Some(chunks) = chunks(value, format)? else {
        return Ok(None);
    };
    let are_lines = value
        .as_handle()
        .and_then(ValueSource::of)
        .is_some_and(|source| source.are_lines());
    let (known, output) = (known.clone(), output.clone());
    let values = chunks.map(move |chunk| {
        let chunk = chunk?;
        let names = known.names();
        let rendered = render::tree(&output, &names.with(name, &chunk));
        rendered.map_err(|error| JobError::from(error).to_string())
    });
    let values: Values = Box::pin(values);
    let source = if are_lines {
        ValueSource::of_lines(values)
    } else {
        ValueSource::new(values)
    };
    Ok(Some(source.into_value()))
}

/// Events of a server as values, each as `format` says; another value as it is.
pub(super) fn events(value: Value, format: Option<StreamFormat>) -> Result<Value, JobError> {
    let Value::Handle(handle) = &value else {
        return Ok(value);
    };
    match EventSource::of(handle) {
        None => Ok(value),
        Some(source) => {
            let values = source.take_values(format);
            let values = values.map_err(|error| JobError::chain(&error))?;
            Ok(ValueSource::new(values).into_value())
        }
    }
}
