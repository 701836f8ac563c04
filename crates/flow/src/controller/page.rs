//! Our own page: a form for each workflow, made from what it takes, and its runs as they go.
//!
//! Its files are part of the program, and the same for all; what it shows it asks of the API at its own
//! origin. It loads nothing from elsewhere, and what a workflow says is put in as text, never as markup.

use axum::body::Body;
use axum::http::header;
use axum::http::{HeaderName, StatusCode};
use axum::response::Response;

use super::answer;

/// The files of the page, by their paths.
const FILES: [(&str, &str, &str); 7] = [
    ("/", HTML, include_str!("page/index.html")),
    ("/style.css", CSS, include_str!("page/style.css")),
    ("/app.js", JS, include_str!("page/app.js")),
    ("/api.js", JS, include_str!("page/api.js")),
    ("/form.js", JS, include_str!("page/form.js")),
    ("/run.js", JS, include_str!("page/run.js")),
    ("/words.js", JS, include_str!("page/words.js")),
];

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";

/// Answers a GET or HEAD.
pub(super) fn answer(path: &str) -> Response {
    let path = if path == "/index.html" { "/" } else { path };
    let Some((_, kind, text)) = FILES.iter().find(|(at, _, _)| *at == path) else {
        return answer::not_found();
    };
    let mut answer = answer::of(StatusCode::OK, kind, Body::from(*text));
    let headers = answer.headers_mut();
    for (name, value) in HEADERS {
        answer::set(headers, name, value);
    }
    answer
}

/// What a browser may do with the page: run its own files, show pictures and sounds that a run gave, and
/// nothing with any other site.
const HEADERS: [(HeaderName, &str); 5] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
         img-src 'self' data: blob:; media-src data: blob:; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (header::REFERRER_POLICY, "no-referrer"),
    // A new version of the program has new files.
    (header::CACHE_CONTROL, "no-cache"),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    ),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_names_only_files_that_it_has() {
        let paths: Vec<&str> = FILES.iter().map(|(path, _, _)| *path).collect();
        let mut named = 0;
        for (_, _, text) in FILES {
            for (before, after) in [("src=\"", '"'), ("href=\"", '"'), ("from \"./", '"')] {
                for rest in text.split(before).skip(1) {
                    let name = rest.split(after).next().unwrap();
                    if name.starts_with('#') || name.starts_with("data:") {
                        continue;
                    }
                    let name = format!("/{}", name.trim_start_matches('/'));
                    assert!(paths.contains(&name.as_str()), "{name}");
                    named += 1;
                }
            }
        }
        assert!(named >= FILES.len(), "{named}");
    }

    #[test]
    fn nothing_in_the_page_needs_what_its_policy_forbids() {
        for (path, _, text) in FILES {
            for forbidden in [
                "innerHTML",
                "outerHTML",
                "insertAdjacentHTML",
                "document.write",
                "eval(",
                "style=\"",
                "onclick=",
                "http://",
                "https://",
            ] {
                assert!(!text.contains(forbidden), "{path} has {forbidden}");
            }
        }
    }
}
