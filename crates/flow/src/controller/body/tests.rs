use axum::http::HeaderValue;
use bytes::Bytes;

use super::*;

async fn read_as(kind: &str, body: impl Into<Body>) -> Result<Value, Denied> {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_str(kind).unwrap());
    read(&headers, body.into(), &Room::new(64 << 20)).await
}

const FORM: &str = "application/x-www-form-urlencoded";

#[tokio::test]
async fn bodies_become_values_by_their_content_type() {
    let part =
        "--X\r\nContent-Disposition: form-data; name=\"input[data]\"\r\n\r\nhey\r\n--X--\r\n";
    for (kind, body, wanted) in [
        (
            "application/json",
            r#"{"b":1,"a":[null]}"#,
            r#"{"b":1,"a":[null]}"#,
        ),
        ("Application/JSON; charset=utf-8", "7", "7"),
        (
            FORM,
            "workflow_id=__workflow__&input[data]=hey&k[]=1&k[]=2",
            r#"{"workflow_id":"__workflow__","input":{"data":"hey"},"k":["1","2"]}"#,
        ),
        (
            "multipart/form-data; boundary=X",
            part,
            r#"{"input":{"data":"hey"}}"#,
        ),
    ] {
        let value = read_as(kind, body).await.unwrap();
        assert_eq!(value.to_json().unwrap(), wanted, "{kind} {body}");
    }
}

#[tokio::test]
async fn a_body_that_cannot_be_read_says_why_in_the_words_of_old() {
    for (kind, body, wanted) in [
        ("", "{}", "Missing or empty Content-Type header."),
        ("text/plain", "{}", "Unsupported Content-Type: text/plain"),
        (
            "image/png; a=b",
            "{}",
            "Unsupported Content-Type: image/png",
        ),
        (
            "application/json",
            "{bad",
            "Invalid request body: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)",
        ),
        (
            "application/json",
            "",
            "Invalid request body: Expecting value: line 1 column 1 (char 0)",
        ),
        (
            "application/json",
            "{\"a\":\n x}",
            "Invalid request body: Expecting value: line 2 column 2 (char 7)",
        ),
        (
            "application/json",
            "{} {}",
            "Invalid request body: Extra data: line 1 column 4 (char 3)",
        ),
        (
            "application/json",
            "[1 2]",
            "Invalid request body: Expecting ',' delimiter: line 1 column 4 (char 3)",
        ),
        (
            FORM,
            "a=1&a[b]=2",
            "Invalid request body: a field's name stands for two kinds of values",
        ),
    ] {
        let denied = read_as(kind, body).await.unwrap_err();
        assert_eq!(denied.detail, wanted, "{kind} {body}");
        assert_eq!(denied.status, StatusCode::BAD_REQUEST);
    }
}

#[tokio::test]
async fn bombs_are_refused() {
    let deep = format!("{}{}", "[".repeat(100), "]".repeat(100));
    let many = "a=1&".repeat(1001);
    let multipart = "multipart/form-data; boundary=X";
    for (kind, body, status) in [
        ("application/json", deep, 400),
        (FORM, many, 400),
        ("application/json", " ".repeat((1 << 20) + 1), 413),
        (FORM, "a".repeat((1 << 20) + 1), 413),
        (multipart, " ".repeat((16 << 20) + 1), 413),
        (multipart, "--Y".to_owned(), 400),
    ] {
        let denied = read_as(kind, body).await.unwrap_err();
        assert_eq!(denied.status.as_u16(), status, "{kind} {denied:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_never_comes_is_not_waited_for() {
    let never = futures_util::stream::pending::<Result<Bytes, std::io::Error>>();
    let denied = read_as("application/json", Body::from_stream(never)).await;
    assert_eq!(denied.unwrap_err().status, StatusCode::REQUEST_TIMEOUT);
}
