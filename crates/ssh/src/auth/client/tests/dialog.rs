//! Questions and answers.

use super::*;

#[test]
fn answers_that_do_not_fit_are_not_taken() {
    let mut bench = Bench::told(
        vec![Credential::KeyboardInteractive],
        "keyboard-interactive",
    );
    bench.sent();
    bench.take(&info_request(2, &["User: ", "Code: "])).unwrap();
    let ClientEvent::Prompts(question) = bench.event() else {
        panic!("answers are wanted");
    };
    assert_eq!(question.prompts.len(), 2);
    assert_eq!(question.prompts[1].text.as_str(), "Code: ");
    assert!(!question.prompts[1].echo);
    assert_eq!(question.name.as_str(), "name");
    let id = question.id;
    let stale = QuestionId(id.0 + 1);
    let (client, out) = (&mut bench.client, &mut bench.out);
    let two = || Some(vec![secret("anna"), secret("123")]);
    assert_eq!(
        client.answer_prompts(id, Some(vec![secret("one")]), out),
        Err(AnswerError::Count { wanted: 2 })
    );
    let long = secret(&"x".repeat(limits::KBDINT_TEXT + 1));
    assert_eq!(
        client.answer_prompts(id, Some(vec![secret("a"), long]), out),
        Err(AnswerError::Limit)
    );
    assert_eq!(
        client.answer_prompts(stale, two(), out),
        Err(AnswerError::NotOpen)
    );
    assert_eq!(
        client.answer_password(id, None, out),
        Err(AnswerError::NotOpen)
    );
    assert_eq!(
        client.answer_signature(id, None, out),
        Err(AnswerError::NotOpen)
    );
    assert!(out.is_empty());
    client.answer_prompts(id, two(), out).unwrap();
    assert_eq!(
        client.answer_prompts(id, two(), out),
        Err(AnswerError::NotOpen)
    );
    assert_eq!(bench.sent(), [answers(2, &[b"anna", b"123"])]);

    let mut bench = Bench::told(vec![Credential::Password], "password");
    let ClientEvent::Password { id, .. } = bench.event() else {
        panic!("a password is wanted");
    };
    let long = secret(&"x".repeat(limits::PASSWORD + 1));
    assert_eq!(
        bench.client.answer_password(id, Some(long), &mut bench.out),
        Err(AnswerError::Limit)
    );
}

#[test]
fn kbdint_table() {
    let long = "x".repeat(limits::KBDINT_TEXT + 1);
    let nine = ["x"; 9];
    for (payload, expected) in [
        (info_request(1, &["Code: "]), None),
        (info_request(8, &nine[..8]), None),
        (info_request(0, &[]), None),
        (info_request(9, &nine), D2),
        (info_request(u32::MAX, &[]), D2),
        (info_request(2, &["x"]), D2),
        (info_request(1, &["x", "y"]), D2),
        (info_request(1, &[&long]), D2),
    ] {
        let methods = "keyboard-interactive";
        let mut bench = Bench::told(vec![Credential::KeyboardInteractive], methods);
        assert_eq!(code(bench.take(&payload)), expected, "{payload:?}");
    }
}

#[test]
fn questions_without_prompts_are_answered_at_once() {
    let mut bench = Bench::told(
        vec![Credential::KeyboardInteractive],
        "keyboard-interactive",
    );
    bench.sent();
    bench.take(&info_request(0, &[])).unwrap();
    assert_eq!(bench.sent(), [answers(0, &[])]);
    let ClientEvent::Banner(said) = bench.event() else {
        panic!("what the server says is passed on");
    };
    let said: Vec<_> = said.iter().map(Printable::as_str).collect();
    assert_eq!(said, ["name", "instruction"]);
    bench.take(&[52]).unwrap();
}
