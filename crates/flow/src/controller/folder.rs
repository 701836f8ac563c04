//! The user's own pages: the files beneath a folder, and nothing else (security rule G97).
//!
//! The folder is opened once. Each file is opened beneath it by one system call that follows no link of
//! any kind (`openat2` with `RESOLVE_BENEATH`, `RESOLVE_NO_SYMLINKS` and `RESOLVE_NO_MAGICLINKS`), so no
//! path and no change of the folder meanwhile leads out. Names that begin with a dot are not there. A
//! path that ends in a slash is the `index.html` below it.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream;
use percent_encoding::percent_decode_str;
use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
use tracing::debug;

use super::{BindError, answer};

/// A folder whose files are served.
#[derive(Debug)]
pub(super) struct Folder {
    root: Arc<OwnedFd>,
}

/// A file that is served.
#[derive(Debug)]
struct Page {
    file: File,
    length: u64,
    tag: String,
}

impl Folder {
    /// Opens a folder, links on the way to it included: they are the user's.
    pub(super) fn open(folder: &Path) -> Result<Self, BindError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        match rustix::fs::open(folder, flags, Mode::empty()) {
            Ok(root) => Ok(Self {
                root: Arc::new(root),
            }),
            Err(error) => Err(BindError::Folder {
                folder: folder.to_owned(),
                source: error.into(),
            }),
        }
    }

    /// Answers a GET or HEAD.
    pub(super) async fn answer(&self, request: &Parts) -> Response {
        let Some(path) = relative(request.uri.path()) else {
            return answer::not_found();
        };
        let kind = kind(&path);
        let root = Arc::clone(&self.root);
        let opened = tokio::task::spawn_blocking(move || open(&root, &path)).await;
        let page = match opened {
            Ok(Ok(page)) => page,
            Ok(Err(error)) => {
                debug!(%error, "a page is not served");
                return answer::not_found();
            }
            Err(_) => {
                let status = StatusCode::INTERNAL_SERVER_ERROR;
                return answer::detail(status, "Internal Server Error");
            }
        };
        let Ok(tag) = HeaderValue::from_str(&page.tag) else {
            return answer::not_found();
        };
        let known = request.headers.get(header::IF_NONE_MATCH);
        let is_known = known
            .and_then(|known| known.to_str().ok())
            .is_some_and(|known| known.split(',').any(|it| it.trim() == page.tag));
        let length = page.length;
        let mut answer = if is_known {
            answer::of(StatusCode::NOT_MODIFIED, kind, Body::empty())
        } else if request.method == Method::HEAD {
            answer::of(StatusCode::OK, kind, Body::empty())
        } else {
            answer::of(StatusCode::OK, kind, Body::from_stream(page.chunks()))
        };
        let headers = answer.headers_mut();
        if !is_known {
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        }
        headers.insert(header::ETAG, tag);
        // Kept by browsers, and asked about each time.
        answer::set(headers, header::CACHE_CONTROL, "no-cache");
        answer
    }
}

/// The path of a file beneath the folder, or None for one that is never served.
fn relative(path: &str) -> Option<String> {
    let decoded = percent_decode_str(path).decode_utf8().ok()?;
    let path = decoded.strip_prefix('/')?;
    let (folders, file) = match path.rsplit_once('/') {
        Some((folders, file)) => (Some(folders), file),
        None => (None, path),
    };
    let file = if file.is_empty() { INDEX } else { file };
    let folders = folders.into_iter().flat_map(|it| it.split('/'));
    let segments: Vec<&str> = folders.chain([file]).collect();
    let is_plain = |it: &&str| !it.is_empty() && !it.starts_with('.') && !it.contains(['\\', '\0']);
    segments.iter().all(is_plain).then(|| segments.join("/"))
}

fn open(root: &OwnedFd, path: &str) -> io::Result<Page> {
    // A pipe that nobody writes to would hold the open.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let file = File::from(openat2(root, path, flags, Mode::empty(), resolve)?);
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "no regular file",
        ));
    }
    let length = metadata.len();
    let changed = metadata.modified()?.duration_since(UNIX_EPOCH);
    let changed = changed.unwrap_or_default().as_nanos();
    Ok(Page {
        file,
        length,
        tag: format!("\"{changed:x}-{length:x}\""),
    })
}

impl Page {
    /// The file in pieces, as long as it was when it was opened.
    fn chunks(self) -> impl stream::Stream<Item = io::Result<Bytes>> + Send {
        let left = (self.file, self.length);
        stream::try_unfold(left, |(mut file, left)| async move {
            if left == 0 {
                return Ok(None);
            }
            let read = move || {
                let most = usize::try_from(left).unwrap_or(usize::MAX).min(CHUNK_BYTES);
                let mut chunk = vec![0; most];
                let length = file.read(&mut chunk)?;
                chunk.truncate(length);
                Ok::<_, io::Error>((Bytes::from(chunk), file))
            };
            let (chunk, file) = tokio::task::spawn_blocking(read)
                .await
                .map_err(io::Error::other)??;
            if chunk.is_empty() {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
            }
            let read = u64::try_from(chunk.len()).unwrap_or(u64::MAX);
            Ok(Some((chunk, (file, left.saturating_sub(read)))))
        })
    }
}

/// What a browser is told that a file is, by the end of its name.
fn kind(path: &str) -> &'static str {
    let end = path.rsplit_once('.').map_or("", |(_, end)| end);
    let end = end.to_ascii_lowercase();
    let known = KINDS.iter().find(|(ends, _)| ends.contains(&end.as_str()));
    known.map_or("application/octet-stream", |(_, kind)| kind)
}

const KINDS: [(&[&str], &str); 25] = [
    (&["html", "htm"], "text/html; charset=utf-8"),
    (&["css"], "text/css; charset=utf-8"),
    (&["js", "mjs"], "text/javascript; charset=utf-8"),
    (&["json", "map"], "application/json"),
    (&["webmanifest"], "application/manifest+json"),
    (&["txt", "md"], "text/plain; charset=utf-8"),
    (&["csv"], "text/csv; charset=utf-8"),
    (&["xml"], "application/xml"),
    (&["pdf"], "application/pdf"),
    (&["wasm"], "application/wasm"),
    (&["png"], "image/png"),
    (&["jpg", "jpeg"], "image/jpeg"),
    (&["gif"], "image/gif"),
    (&["webp"], "image/webp"),
    (&["avif"], "image/avif"),
    (&["svg"], "image/svg+xml"),
    (&["ico"], "image/x-icon"),
    (&["woff"], "font/woff"),
    (&["woff2"], "font/woff2"),
    (&["ttf"], "font/ttf"),
    (&["mp3"], "audio/mpeg"),
    (&["wav"], "audio/wav"),
    (&["ogg"], "audio/ogg"),
    (&["mp4"], "video/mp4"),
    (&["webm"], "video/webm"),
];

const INDEX: &str = "index.html";

/// What is read at once.
const CHUNK_BYTES: usize = 64 << 10;

#[cfg(test)]
mod tests;
