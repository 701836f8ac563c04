use super::*;

async fn read_as(kind: &str, body: impl Into<Body>) -> Result<String, BodyError> {
    let request = Request::builder();
    let request = request.header(header::CONTENT_TYPE, kind);
    let (parts, body) = request.body(body.into()).unwrap().into_parts();
    let value = read(parts, body).await?;
    Ok(value.to_json().unwrap_or_else(|_| format!("{value:?}")))
}

#[tokio::test]
async fn bodies_become_values_by_their_content_type() {
    for (kind, body, wanted) in [
        (
            "application/json",
            r#"{"b":1,"a":[null]}"#,
            r#"{"b":1,"a":[null]}"#,
        ),
        ("Application/JSON; charset=utf-8", "7", "7"),
        (
            "application/x-www-form-urlencoded",
            "workflow_id=__workflow__&input[data]=hey",
            r#"{"workflow_id":"__workflow__","input":{"data":"hey"}}"#,
        ),
        (
            "application/x-www-form-urlencoded",
            "k[]=1&k[]=2&a[b][c]=3&a[b][d][]=%F0%9F%A6%80&plain+key=+",
            r#"{"k":["1","2"],"a":{"b":{"c":"3","d":["🦀"]}},"plain key":" "}"#,
        ),
        // Brackets that do not pair are part of the key.
        (
            "application/x-www-form-urlencoded",
            "a[=1&[b]=2&c]=3&d[e]f=4&g[h[i]]=5",
            r#"{"a[":"1","[b]":"2","c]":"3","d[e]f":"4","g[h[i]]":"5"}"#,
        ),
        // The last one counts.
        (
            "application/x-www-form-urlencoded",
            "a=1&a[b]=2&c[d]=3&c=4",
            r#"{"a":{"b":"2"},"c":"4"}"#,
        ),
        (
            "multipart/form-data; boundary=X",
            "--X\r\nContent-Disposition: form-data; name=\"input[data]\"\r\n\r\nhey\r\n--X--\r\n",
            r#"{"input":{"data":"hey"}}"#,
        ),
    ] {
        assert_eq!(read_as(kind, body).await.unwrap(), wanted, "{kind} {body}");
    }
}

#[tokio::test]
async fn a_file_in_a_form_is_bytes() {
    let body: &[u8] = b"--X\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a.png\"\r\nContent-Type: image/png\r\n\r\n\xff\x00\r\n--X--\r\n";
    let value = read_as("multipart/form-data; boundary=X", body)
        .await
        .unwrap();
    assert!(value.contains("Bytes([255, 0])"), "{value}");
}

#[tokio::test]
async fn a_body_that_cannot_be_read_says_why_in_the_words_of_old() {
    for (kind, body, wanted) in [
        ("", "{}", "Missing or empty Content-Type header."),
        ("text/plain", "{}", "Unsupported Content-Type: text/plain"),
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
    ] {
        let error = read_as(kind, body).await.unwrap_err();
        assert_eq!(error.to_string(), wanted, "{kind} {body}");
        assert_eq!(error.status(), StatusCode::BAD_REQUEST);
    }
}

#[tokio::test]
async fn bombs_are_refused() {
    let deep = format!("{}{}", "[".repeat(100), "]".repeat(100));
    let many = "a=1&".repeat(FIELDS + 1);
    let nested = format!("a{}=1", "[b]".repeat(70));
    let urlencoded = "application/x-www-form-urlencoded";
    for (kind, body, status) in [
        ("application/json", deep, 400),
        (urlencoded, many, 400),
        (urlencoded, nested, 400),
        ("application/json", " ".repeat(BODY_BYTES + 1), 413),
        (urlencoded, "a".repeat(BODY_BYTES + 1), 413),
        (
            "multipart/form-data; boundary=X",
            " ".repeat(UPLOAD_BYTES + 1),
            413,
        ),
        ("multipart/form-data; boundary=X", "--Y".to_owned(), 400),
        ("multipart/form-data", "--X--".to_owned(), 400),
    ] {
        let error = read_as(kind, body).await.unwrap_err();
        assert_eq!(error.status().as_u16(), status, "{kind} {error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_never_comes_is_not_waited_for() {
    let body = Body::from_stream(futures_util::stream::pending::<Result<Bytes, std::io::Error>>());
    let error = read_as("application/json", body).await.unwrap_err();
    assert_eq!(error, BodyError::TooSlow);
}
