//! Headers: those that are sent, checked, and what those of an answer say.

use percent_encoding::percent_decode_str;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

use super::request::RequestError;
use super::url::texts;
use crate::expr::Value;

/// What frames a message on the wire is made here, whatever a file says: copied from another tool,
/// it could only be wrong.
const FRAMING: [&str; 9] = [
    "connection",
    "content-length",
    "expect",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// What goes to another origin after a redirect. All else can be a credential, in a header of any name.
const ACROSS: [&str; 5] = [
    "accept",
    "accept-language",
    "content-language",
    "content-type",
    "user-agent",
];

/// Headers to be sent. A later one of the same name replaces an earlier one, a list is one for each
/// of its values, and null is none: it removes an earlier one.
pub(super) fn map(headers: &[(String, Value)]) -> Result<HeaderMap, RequestError> {
    let mut map = HeaderMap::new();
    for (written, value) in headers {
        let name = HeaderName::from_bytes(written.as_bytes()).map_err(|_| {
            let name = written.escape_debug().to_string();
            RequestError::HeaderName { name }
        })?;
        map.remove(&name);
        if FRAMING.contains(&name.as_str()) {
            continue;
        }
        for text in texts(value) {
            let text = text.map_err(|source| RequestError::HeaderText {
                name: written.clone(),
                source,
            })?;
            let value = HeaderValue::from_bytes(text.as_bytes()).map_err(|_| {
                let name = written.clone();
                RequestError::HeaderValue { name }
            })?;
            map.append(&name, value);
        }
    }
    Ok(map)
}

/// Leaves what any server may see.
pub(super) fn strip_for_another_origin(map: &mut HeaderMap) {
    let names: Vec<HeaderName> = map.keys().cloned().collect();
    for name in names {
        if !ACROSS.contains(&name.as_str()) {
            map.remove(name);
        }
    }
}

/// A media type, as far as it matters here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct MediaType {
    /// `text/plain`, in small letters, without parameters.
    pub(super) essence: String,
    /// In small letters.
    pub(super) charset: Option<String>,
}

impl MediaType {
    /// Reads a `Content-Type`. What is none is a type that nobody knows.
    pub(super) fn parse(text: &str) -> Self {
        let mut parts = parameters(text);
        let essence = parts.next().map(|(name, _)| name).unwrap_or_default();
        let charset = parts.find(|(name, _)| name == "charset");
        Self {
            essence,
            charset: charset.map(|(_, value)| value.to_ascii_lowercase()),
        }
    }

    /// `application/json`, and what ends in `+json`.
    pub(super) fn is_json(&self) -> bool {
        self.essence == "application/json" || self.essence.ends_with("+json")
    }
}

/// The name that a `Content-Disposition` gives a file (RFC 6266, 4.3; RFC 8187 for other scripts).
///
/// The last part of a path is taken, control characters go, and `.` and `..` are no names.
pub(super) fn file_name(disposition: &str) -> Option<String> {
    let mut plain = None;
    let mut extended = None;
    for (name, value) in parameters(disposition).skip(1) {
        match name.as_str() {
            "filename" if plain.is_none() => plain = Some(value),
            "filename*" if extended.is_none() => extended = extended_value(&value),
            _ => {}
        }
    }
    let whole = extended.or(plain)?;
    let last = whole.rsplit(['/', '\\']).next().unwrap_or_default();
    let kept: String = last.chars().filter(|it| !it.is_control()).collect();
    let name: String = kept.trim().chars().take(FILE_NAME_CHARACTERS).collect();
    (!matches!(name.as_str(), "" | "." | "..")).then_some(name)
}

/// What most file systems take.
const FILE_NAME_CHARACTERS: usize = 255;

/// `UTF-8'en'na%C3%AFve.txt`.
fn extended_value(text: &str) -> Option<String> {
    let mut parts = text.splitn(3, '\'');
    let charset = parts.next()?.to_ascii_lowercase();
    let _language = parts.next()?;
    let bytes: Vec<u8> = percent_decode_str(parts.next()?).collect();
    match charset.as_str() {
        "utf-8" => String::from_utf8(bytes).ok(),
        "iso-8859-1" => Some(latin1(&bytes)),
        _ => None,
    }
}

/// Each byte is the character of its number.
pub(super) fn latin1(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

/// `type; name=value; name="quoted"`: each name in small letters with its value, the first without.
fn parameters(text: &str) -> impl Iterator<Item = (String, String)> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let (part, after) = split(rest?);
        rest = after;
        Some(match part.split_once('=') {
            Some((name, value)) => (name.trim().to_ascii_lowercase(), unquoted(value.trim())),
            None => (part.trim().to_ascii_lowercase(), String::new()),
        })
    })
}

/// Up to a semicolon outside of quotes, and what follows it.
fn split(text: &str) -> (&str, Option<&str>) {
    let mut is_quoted = false;
    let mut is_escaped = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_quoted => is_escaped = true,
            b'"' => is_quoted = !is_quoted,
            b';' if !is_quoted => {
                let (part, after) = text.split_at(at);
                return (part, after.strip_prefix(';'));
            }
            _ => {}
        }
    }
    (text, None)
}

fn unquoted(value: &str) -> String {
    let Some(inner) = value.strip_prefix('"') else {
        return value.to_owned();
    };
    let mut text = String::new();
    let mut characters = inner.chars();
    while let Some(character) = characters.next() {
        match character {
            '"' => break,
            '\\' => text.extend(characters.next()),
            _ => text.push(character),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pairs(headers: &[(&str, Value)]) -> Result<Vec<(String, String)>, RequestError> {
        let owned: Vec<_> = headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.clone()))
            .collect();
        let map = map(&owned)?;
        let text = |value: &HeaderValue| String::from_utf8(value.as_bytes().to_vec()).unwrap();
        Ok(map
            .iter()
            .map(|(name, value)| (name.to_string(), text(value)))
            .collect())
    }

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn later_headers_replace_earlier_ones_and_null_is_none() {
        let list = Value::List(vec!["a".into(), "b".into()]);
        let headers = pairs(&[
            ("X-One", "1".into()),
            ("x-one", Value::Integer(2)),
            ("Accept", "a".into()),
            ("ACCEPT", Value::Null),
            ("X-List", list),
            ("X-Name", "한".into()),
            ("Content-Length", "5".into()),
            ("Transfer-Encoding", "chunked".into()),
        ]);
        let expected = [
            pair("x-one", "2"),
            pair("x-list", "a"),
            pair("x-list", "b"),
            pair("x-name", "한"),
        ];
        assert_eq!(headers.unwrap(), expected);
    }

    #[test]
    fn a_header_that_would_begin_another_is_refused() {
        for (name, value, text) in [
            (
                "X-A",
                "1\r\nX-B: 2",
                "header X-A holds a line break or another control character",
            ),
            (
                "X-A",
                "1\n",
                "header X-A holds a line break or another control character",
            ),
            (
                "X-A",
                "\0",
                "header X-A holds a line break or another control character",
            ),
            ("X A", "1", "\"X A\" is no name of a header"),
            ("X:A", "1", "\"X:A\" is no name of a header"),
            ("X\r\nA", "1", "\"X\\r\\nA\" is no name of a header"),
            ("", "1", "\"\" is no name of a header"),
        ] {
            let error = pairs(&[(name, value.into())]).unwrap_err();
            assert_eq!(error.to_string(), text);
        }
        let error = pairs(&[("X", Value::Bytes([0xff].into()))]).unwrap_err();
        assert_eq!(error.to_string(), "header X: binary data has no text form");
    }

    #[test]
    fn only_harmless_headers_go_to_another_origin() {
        let mut map = map(&[
            ("Authorization".to_owned(), "Bearer x".into()),
            ("Cookie".to_owned(), "a=b".into()),
            ("X-Api-Key".to_owned(), "hush".into()),
            ("Host".to_owned(), "h".into()),
            ("Accept".to_owned(), "text/plain".into()),
        ])
        .unwrap();
        strip_for_another_origin(&mut map);
        let names: Vec<_> = map.keys().map(HeaderName::as_str).collect();
        assert_eq!(names, ["accept"]);
    }

    #[test]
    fn a_media_type_is_read_whatever_its_case_and_parameters() {
        for (text, essence, charset, is_json) in [
            ("application/json", "application/json", None, true),
            (
                "Application/JSON ; Charset=UTF-8",
                "application/json",
                Some("utf-8"),
                true,
            ),
            (
                "application/problem+json",
                "application/problem+json",
                None,
                true,
            ),
            (
                "text/html;charset=\"Latin1\"",
                "text/html",
                Some("latin1"),
                false,
            ),
            (
                "text/plain; a=\"x;charset=no\"; charset=yes",
                "text/plain",
                Some("yes"),
                false,
            ),
            ("application/jsonx", "application/jsonx", None, false),
            ("", "", None, false),
            (";;;", "", None, false),
        ] {
            let read = MediaType::parse(text);
            assert_eq!(read.essence, essence, "{text}");
            assert_eq!(read.charset.as_deref(), charset, "{text}");
            assert_eq!(read.is_json(), is_json, "{text}");
        }
    }

    #[test]
    fn a_file_has_the_name_that_its_sender_gave_and_no_folder() {
        for (text, name) in [
            ("attachment; filename=a.txt", Some("a.txt")),
            ("attachment; filename=\"a b;c.txt\"", Some("a b;c.txt")),
            ("attachment; FileName=\"a\\\"b\"", Some("a\"b")),
            (
                "attachment; filename=x; filename*=UTF-8''na%C3%AFve.txt",
                Some("naïve.txt"),
            ),
            (
                "attachment; filename*=utf-8'en'%EC%9D%B4; filename=x",
                Some("이"),
            ),
            ("attachment; filename*=iso-8859-1''%E9", Some("é")),
            ("attachment; filename=x; filename*=utf-8''%ff", Some("x")),
            ("attachment; filename=x; filename*=koi8-r''%C1", Some("x")),
            ("attachment; filename=\"../../etc/passwd\"", Some("passwd")),
            ("attachment; filename=\"C:\\\\dir\\\\a.txt\"", Some("a.txt")),
            ("attachment; filename*=UTF-8''..%2Fx%0Ay", Some("xy")),
            ("attachment; filename=\"..\"", None),
            ("attachment; filename=", None),
            ("attachment", None),
            ("filename=x", None),
            ("", None),
        ] {
            assert_eq!(file_name(text).as_deref(), name, "{text}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(10_000))]

        #[test]
        fn no_header_breaks_a_line(name in "[\\x00-\\x7f]{0,8}|[a-zA-Z-]{1,8}", value in "(?s).{0,12}") {
            if let Ok(sent) = pairs(&[(&name, value.as_str().into())]) {
                for (name, value) in sent {
                    let is_token = |it: char| it.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(it);
                    prop_assert!(!name.is_empty() && name.chars().all(is_token), "{name:?}");
                    prop_assert!(!value.contains(|it: char| it.is_ascii_control() && it != '\t'), "{value:?}");
                }
            } else {
                let is_control = |it: char| it.is_ascii_control() && it != '\t';
                prop_assert!(value.contains(is_control) || HeaderName::from_bytes(name.as_bytes()).is_err());
            }
        }

        #[test]
        fn a_file_name_is_never_a_path(text in "\\PC{0,40}", name in "(?s).{0,20}") {
            let quoted = format!("attachment; filename=\"{name}\"");
            for disposition in [text, quoted] {
                if let Some(name) = file_name(&disposition) {
                    prop_assert!(!name.contains(['/', '\\', '\n', '\0']));
                    prop_assert!(!name.is_empty() && name != "." && name != "..");
                }
            }
        }
    }
}
