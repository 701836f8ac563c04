//! Values that wait for I/O: what is read from a file, fetched, or drained from a stream.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Component, Path};
use std::pin::Pin;
use std::sync::Arc;

use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
use rustix::io::Errno;

use super::error::JobError;
use super::tools::Tools;
use crate::expr::limits::OUTPUT_BYTES;
use crate::expr::{Conversion, Pending, Value};
use crate::http::{Request, Url};
use crate::model::component::{Hosts, StreamFormat};
use crate::model::method::Method;
use crate::stream::{ByteSource, EventSource, ValueSource};

/// The value with all that was pending in it. Streams that are asked for as streams stay such.
///
/// A path is of a file beneath the folder of the run, since who gives the input may be a stranger;
/// what a URL leads to is fetched as jobs fetch, from `hosts` alone: those that the component may ask whose text it
/// is. None is all.
///
/// # Errors
///
/// Something cannot be read, or does not convert.
pub(super) async fn settle(
    value: Value,
    tools: &Tools,
    hosts: Option<&Hosts>,
) -> Result<Value, JobError> {
    if is_settled(&value) {
        return Ok(value);
    }
    Box::pin(inside(value, tools, hosts)).await
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

fn inside<'a>(value: Value, tools: &'a Tools, hosts: Option<&'a Hosts>) -> Settling<'a> {
    Box::pin(async move {
        Ok(match value {
            Value::Pending(pending) => of(*pending, tools, hosts).await?,
            Value::List(list) => {
                let mut settled = Vec::with_capacity(list.len());
                for item in list {
                    settled.push(inside(item, tools, hosts).await?);
                }
                Value::List(settled)
            }
            Value::Map(mut map) => {
                for value in map.values_mut() {
                    let taken = std::mem::take(value);
                    *value = inside(taken, tools, hosts).await?;
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

async fn of(pending: Pending, tools: &Tools, hosts: Option<&Hosts>) -> Result<Value, JobError> {
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
            Some("url") => fetched(&text, tools, hosts).await?,
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

/// A file beneath the folder. The path may be a stranger's, so what `.env` and the like say stays unsaid, links
/// lead nowhere else, and nothing is waited for that is no file.
async fn file(path: &str, folder: &Path) -> Result<Value, JobError> {
    let shown = adit_text::show(path);
    let is_inside = Path::new(path).components().all(|part| match part {
        Component::Normal(name) => !name.as_encoded_bytes().starts_with(b"."),
        Component::CurDir => true,
        Component::Prefix(_) | Component::RootDir | Component::ParentDir => false,
    });
    if !is_inside {
        let words = format!("{shown} is not a path beneath the folder of this run");
        return Err(JobError::new(words));
    }
    let (path, folder) = (path.to_owned(), folder.to_owned());
    let read = tokio::task::spawn_blocking(move || read(&path, &folder));
    match read.await.map_err(io::Error::other).flatten() {
        Ok(bytes) => Ok(Value::Bytes(Arc::from(bytes))),
        Err(error) => Err(JobError::new(format!("cannot read {shown}: {error}"))),
    }
}

/// Reads a file that is beneath the folder whatever changes there meanwhile.
fn read(path: &str, folder: &Path) -> io::Result<Vec<u8>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = rustix::fs::open(folder, flags, Mode::empty())?;
    // A pipe that nobody writes to would hold the open.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    let file = match openat2(&folder, path, flags, Mode::empty(), resolve) {
        Ok(file) => File::from(file),
        Err(Errno::XDEV) => return Err(io::Error::other("it leads out of the folder of this run")),
        Err(error) => return Err(error.into()),
    };
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    let most = u64::try_from(OUTPUT_BYTES).unwrap_or(u64::MAX);
    let mut bytes = Vec::new();
    file.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() > OUTPUT_BYTES {
        return Err(io::Error::other("it is too large"));
    }
    Ok(bytes)
}

async fn fetched(url: &str, tools: &Tools, hosts: Option<&Hosts>) -> Result<Value, JobError> {
    let url = Url::endpoint(url).map_err(|error| JobError::chain(&error))?;
    let mut request = Request::new(Method::Get, url);
    request.allow_hosts = hosts.cloned();
    let answer = tools.http.send(&request).await;
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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    /// Security rules G94 and G97: who gives the path may be a stranger.
    #[tokio::test]
    async fn a_path_of_a_stranger_leads_to_files_beneath_the_folder_alone() {
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("secret"), "hush").unwrap();
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("in")).unwrap();
        fs::create_dir(at(".git")).unwrap();
        for name in ["in/picture", ".env", ".git/config"] {
            fs::write(at(name), name).unwrap();
        }
        symlink("in/picture", at("inside")).unwrap();
        symlink(outside.path(), at("out")).unwrap();
        symlink("/proc/self/exe", at("magic")).unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            at("pipe"),
            rustix::fs::FileType::Fifo,
            Mode::RUSR | Mode::WUSR,
            0,
        )
        .unwrap();
        let long = File::create(at("long")).unwrap();
        long.set_len(u64::try_from(OUTPUT_BYTES).unwrap() + 1)
            .unwrap();
        for path in ["in/picture", "./in/picture", "in//picture", "inside"] {
            let read = file(path, folder.path()).await.unwrap();
            assert_eq!(
                read,
                Value::Bytes(b"in/picture".as_slice().into()),
                "{path}"
            );
        }
        for path in [
            "",
            ".",
            "in",
            "in/../../secret",
            "../secret",
            "/etc/hostname",
            ".env",
            "in/../.env",
            "./.env",
            ".git/config",
            "out/secret",
            "magic",
            "pipe",
            "long",
            "nothing",
            "in/picture\0.png",
        ] {
            let error = file(path, folder.path()).await.unwrap_err().to_string();
            assert!(!error.contains("hush"), "{path}: {error}");
        }
    }
}
