//! Values that wait for I/O: what is read from a file, fetched, or drained from a stream.

use std::path::{Component, Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;

use super::error::JobError;
use super::tools::Tools;
use crate::expr::limits::OUTPUT_BYTES;
use crate::expr::{Conversion, Pending, Value};
use crate::http::{Request, Url};
use crate::model::component::StreamFormat;
use crate::model::method::Method;
use crate::stream::{ByteSource, EventSource, ValueSource};

/// The value with all that was pending in it. Streams that are asked for as streams stay such.
///
/// A path is of a file beneath the folder of the run, since who gives the input may be a stranger;
/// what a URL leads to is fetched as jobs fetch.
///
/// # Errors
///
/// Something cannot be read, or does not convert.
pub(super) async fn settle(value: Value, tools: &Tools) -> Result<Value, JobError> {
    if is_settled(&value) {
        return Ok(value);
    }
    Box::pin(inside(value, tools)).await
}

/// Whether nothing in it is pending. Recurses as deep as the value, which is bounded.
pub(super) fn is_settled(value: &Value) -> bool {
    match value {
        Value::Pending(_) => false,
        Value::List(list) => list.iter().all(is_settled),
        Value::Map(map) => map.values().all(is_settled),
        Value::Null
        | Value::Boolean(_)
        | Value::Integer(_)
        | Value::Float(_)
        | Value::Text(_)
        | Value::Bytes(_)
        | Value::Handle(_) => true,
    }
}

type Settling<'a> = Pin<Box<dyn Future<Output = Result<Value, JobError>> + Send + 'a>>;

fn inside(value: Value, tools: &Tools) -> Settling<'_> {
    Box::pin(async move {
        Ok(match value {
            Value::Pending(pending) => of(*pending, tools).await?,
            Value::List(list) => {
                let mut settled = Vec::with_capacity(list.len());
                for item in list {
                    settled.push(inside(item, tools).await?);
                }
                Value::List(settled)
            }
            Value::Map(mut map) => {
                for value in map.values_mut() {
                    let taken = std::mem::take(value);
                    *value = inside(taken, tools).await?;
                }
                Value::Map(map)
            }
            Value::Null
            | Value::Boolean(_)
            | Value::Integer(_)
            | Value::Float(_)
            | Value::Text(_)
            | Value::Bytes(_)
            | Value::Handle(_) => value,
        })
    })
}

async fn of(pending: Pending, tools: &Tools) -> Result<Value, JobError> {
    let Pending {
        content,
        conversion,
    } = pending;
    let is_stream = matches!(conversion.name(), "stream" | "sse-text" | "sse-json");
    let is_media = matches!(conversion.name(), "image" | "audio" | "video" | "file");
    let content = match content {
        Value::Handle(handle) if is_stream => {
            let format = format(&conversion);
            if let Some(events) = EventSource::of(&handle) {
                let values = events.take_values(format);
                let values = values.map_err(|error| JobError::chain(&error))?;
                return Ok(ValueSource::new(values).into_value());
            }
            return Ok(Value::Handle(handle));
        }
        // It goes on as a stream of bytes, with its own type.
        Value::Handle(handle) if is_media => return Ok(Value::Handle(handle)),
        Value::Handle(handle) => {
            let Some(source) = ByteSource::of(&handle) else {
                let kind = Value::Handle(handle).kind();
                let words = format!("`{conversion}` cannot be made of an {kind}");
                return Err(JobError::new(words));
            };
            let bytes = source.read_all(OUTPUT_BYTES).await;
            let bytes = bytes.map_err(|error| JobError::chain(&error))?;
            Value::Bytes(Arc::from(&*bytes))
        }
        Value::Text(text) => match conversion.format() {
            Some("path") => file(&text, &tools.folder).await?,
            Some("url") => fetched(&text, tools).await?,
            Some("base64" | "data-uri") | None if is_media => media(text, &conversion)?,
            _ => Value::Text(text),
        },
        Value::Null
        | Value::Boolean(_)
        | Value::Integer(_)
        | Value::Float(_)
        | Value::List(_)
        | Value::Map(_)
        | Value::Bytes(_)
        | Value::Pending(_) => content,
    };
    if is_media || is_stream {
        return Ok(content);
    }
    let converted = conversion.apply(content);
    converted.map_err(|error| JobError::chain(&error))
}

fn format(conversion: &Conversion) -> Option<StreamFormat> {
    let mut choices = conversion.choices();
    match (conversion.name(), choices.next()) {
        ("sse-json", _) | (_, Some("json")) => Some(StreamFormat::Json),
        ("sse-text", _) | (_, Some("text")) => Some(StreamFormat::Text),
        _ => None,
    }
}

/// A picture or the like as text: base64, perhaps in a data URI, if it says so or looks like it.
fn media(text: String, conversion: &Conversion) -> Result<Value, JobError> {
    if conversion.format().is_none() && !text.starts_with("data:") {
        return Ok(Value::Text(text));
    }
    conversion
        .decoded(&text)
        .map_err(|error| JobError::chain(&error))
}

async fn file(path: &str, folder: &Path) -> Result<Value, JobError> {
    let shown = adit_text::show(path);
    let is_inside = Path::new(path)
        .components()
        .all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    if !is_inside {
        let words = format!("{shown} is not a path beneath the folder of this run");
        return Err(JobError::new(words));
    }
    let path: PathBuf = folder.join(path);
    let read = async {
        // A link may lead out of the folder.
        let (real, folder) = (
            tokio::fs::canonicalize(&path).await?,
            tokio::fs::canonicalize(folder).await?,
        );
        if !real.starts_with(folder) {
            return Err(std::io::Error::other(
                "it leads out of the folder of this run",
            ));
        }
        let length = tokio::fs::metadata(&real).await?.len();
        if usize::try_from(length).unwrap_or(usize::MAX) > OUTPUT_BYTES {
            return Err(std::io::Error::other("it is too large"));
        }
        tokio::fs::read(&real).await
    };
    match read.await {
        Ok(bytes) => Ok(Value::Bytes(Arc::from(bytes))),
        Err(error) => Err(JobError::new(format!("cannot read {shown}: {error}"))),
    }
}

async fn fetched(url: &str, tools: &Tools) -> Result<Value, JobError> {
    let url = Url::endpoint(url).map_err(|error| JobError::chain(&error))?;
    let answer = tools.http.send(&Request::new(Method::Get, url)).await;
    let value = answer.map_err(|error| JobError::chain(&error))?.value;
    let Value::Handle(handle) = &value else {
        return Ok(value);
    };
    match ByteSource::of(handle) {
        Some(source) => {
            let bytes = source.read_all(OUTPUT_BYTES).await;
            let bytes = bytes.map_err(|error| JobError::chain(&error))?;
            Ok(Value::Bytes(Arc::from(&*bytes)))
        }
        None => Ok(value),
    }
}
