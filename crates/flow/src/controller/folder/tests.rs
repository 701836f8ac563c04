use std::fs;
use std::os::unix::fs::symlink;

use axum::body::to_bytes;
use axum::http::Request;

use super::*;

/// A folder with files inside, and a secret beside it.
fn lay_out() -> tempfile::TempDir {
    let top = tempfile::tempdir().unwrap();
    let root = top.path().join("pages");
    fs::create_dir_all(root.join("sub/.hidden")).unwrap();
    fs::write(top.path().join("secret"), "secret").unwrap();
    fs::write(root.join("index.html"), "<p>home").unwrap();
    fs::write(root.join("a b.JS"), "1").unwrap();
    fs::write(root.join("sub/index.html"), "<p>sub").unwrap();
    fs::write(root.join(".env"), "secret").unwrap();
    fs::write(root.join("sub/.hidden/file"), "secret").unwrap();
    symlink("../secret", root.join("link")).unwrap();
    symlink("index.html", root.join("inner-link")).unwrap();
    symlink("..", root.join("up")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        root.join("pipe"),
        rustix::fs::FileType::Fifo,
        Mode::from(0o600),
        0,
    )
    .unwrap();
    top
}

async fn get(folder: &Folder, path: &str) -> (u16, String, String) {
    let request = Request::builder().uri(path).body(()).unwrap();
    let answer = folder.answer(&request.into_parts().0).await;
    let kind = answer.headers()[header::CONTENT_TYPE].to_str().unwrap();
    let (status, kind) = (answer.status().as_u16(), kind.to_owned());
    let body = to_bytes(answer.into_body(), 1 << 20).await.unwrap();
    (status, kind, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn static_traversal_table() {
    let top = lay_out();
    let folder = Folder::open(&top.path().join("pages")).unwrap();
    for (path, text) in [
        ("/", "<p>home"),
        ("/index.html", "<p>home"),
        ("/sub/", "<p>sub"),
        ("/%69ndex.html", "<p>home"),
        ("/a%20b.JS", "1"),
        ("/?x=/../secret", "<p>home"),
    ] {
        let (status, _, body) = get(&folder, path).await;
        assert_eq!((status, body.as_str()), (200, text), "{path}");
    }
    for path in [
        "/../secret",
        "/sub/../../secret",
        "/sub/../index.html",
        "/%2e%2e/secret",
        "/..%2fsecret",
        "/%2e%2e%2fsecret",
        "/..%5csecret",
        "/%252e%252e/secret",
        "//secret",
        "//etc/passwd",
        "/%2fetc/passwd",
        "/./index.html",
        "/sub//index.html",
        "/.env",
        "/%2eenv",
        "/sub/.hidden/file",
        "/link",
        "/inner-link",
        "/up/secret",
        "/up/pages/index.html",
        "/sub",
        "/pipe",
        "/missing",
        "/index.html/",
        "/index.html%00.png",
        "/%ff",
        "/proc/self/environ",
    ] {
        let (status, _, body) = get(&folder, path).await;
        assert_eq!(
            (status, body.as_str()),
            (404, r#"{"detail":"Not Found"}"#),
            "{path}"
        );
    }
}

#[tokio::test]
async fn a_file_says_what_it_is_and_whether_it_has_changed() {
    let top = lay_out();
    let folder = Folder::open(&top.path().join("pages")).unwrap();
    assert_eq!(get(&folder, "/").await.1, "text/html; charset=utf-8");
    assert_eq!(
        get(&folder, "/a%20b.JS").await.1,
        "text/javascript; charset=utf-8"
    );
    let ask = |tag: Option<HeaderValue>| {
        let mut request = Request::builder().uri("/").body(()).unwrap();
        if let Some(tag) = tag {
            request.headers_mut().insert(header::IF_NONE_MATCH, tag);
        }
        request.into_parts().0
    };
    let first = folder.answer(&ask(None)).await;
    let tag = first.headers()[header::ETAG].clone();
    let again = folder.answer(&ask(Some(tag.clone()))).await;
    assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
    fs::write(top.path().join("pages/index.html"), "<p>home and more").unwrap();
    let changed = folder.answer(&ask(Some(tag))).await;
    assert_eq!(changed.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_long_file_comes_whole() {
    let top = lay_out();
    let folder = Folder::open(&top.path().join("pages")).unwrap();
    let long = "0123456789".repeat(30_000);
    fs::write(top.path().join("pages/long.txt"), &long).unwrap();
    assert_eq!(get(&folder, "/long.txt").await.2, long);
}

#[test]
fn a_folder_that_is_not_there_is_said_at_once() {
    let error = Folder::open(Path::new("/no/such/folder")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot open the folder \"/no/such/folder\""
    );
}
