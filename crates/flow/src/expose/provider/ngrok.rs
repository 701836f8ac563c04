//! ngrok: one program for each port, which logs in JSON.

use serde_json::Value;

use super::{Job, Name, Word};

const DRIVER: &str = "ngrok";

/// Its token is in ngrok's own configuration or in `NGROK_AUTHTOKEN`.
pub(super) fn job(port: u16) -> Job {
    let port_text = port.to_string();
    let argv = [
        "ngrok",
        "http",
        &port_text,
        "--log=stdout",
        "--log-format=json",
        "--log-level=info",
    ];
    Job {
        driver: DRIVER,
        ports: vec![port],
        argv: argv.map(str::to_owned).to_vec(),
        env: Vec::new(),
        listen,
        name: Name::Said,
        _files: None,
    }
}

/// `{"lvl":"info","msg":"started tunnel","url":"https://...",...}`; `eror` and `crit` are levels of its log.
fn listen(line: &str) -> Option<Word> {
    let entry: Value = serde_json::from_str(line).ok()?;
    let field = |name| entry.get(name).and_then(Value::as_str);
    if field("msg") == Some("started tunnel") {
        return field("url").map(|url| Word::Name(url.to_owned()));
    }
    let is_bad = matches!(field("lvl"), Some("eror" | "crit"));
    let why = field("err").filter(|why| !matches!(*why, "" | "nil"))?;
    is_bad.then(|| Word::Reason(adit_text::escape(why)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_log_says_the_name_and_what_is_wrong() {
        for (line, word) in [
            (
                r#"{"addr":"http://localhost:8090","lvl":"info","msg":"started tunnel","name":"command_line","obj":"tunnels","t":"2026","url":"https://abc.ngrok-free.app"}"#,
                Some(Word::Name("https://abc.ngrok-free.app".to_owned())),
            ),
            (
                r#"{"err":"authentication failed\r\nERR_NGROK_4018","lvl":"eror","msg":"session closing"}"#,
                Some(Word::Reason(
                    "authentication failed\\u{d}\\u{a}ERR_NGROK_4018".to_owned(),
                )),
            ),
            (
                r#"{"err":"nil","lvl":"info","msg":"no configuration paths"}"#,
                None,
            ),
            (
                r#"{"lvl":"info","msg":"starting web service","url":"http://127.0.0.1:4040"}"#,
                None,
            ),
            ("ERROR: unknown flag", None),
            ("[1]", None),
        ] {
            assert_eq!(listen(line), word, "{line}");
        }
    }
}
