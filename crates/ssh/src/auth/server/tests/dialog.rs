//! Questions and answers.

use super::*;

#[test]
fn kbdint_table() {
    for (prompts, payload, is_good) in [
        (2, answers(2, &[b"a", b"b"]), true),
        (2, answers(1, &[b"a"]), false),
        (2, answers(3, &[b"a", b"b", b"c"]), false),
        (2, answers(2, &[b"a"]), false),
        (2, answers(2, &[b"a", b"b", b"c"]), false),
        (2, answers(3, &[b"a", b"b"]), false),
        (2, answers(u32::MAX, &[b"a", b"b"]), false),
        (2, answers(u32::MAX, &[]), false),
        (0, answers(0, &[]), true),
        (0, answers(1, &[b"a"]), false),
        (1, answers(1, &[&[b'x'; limits::KBDINT_TEXT]]), true),
        (1, answers(1, &[&[b'x'; limits::KBDINT_TEXT + 1]]), false),
    ] {
        let mut bench = Bench::open();
        bench.take(&dialog_request("anna")).unwrap();
        bench.prompt(prompts).unwrap();
        assert_eq!(sent(&mut bench.out).len(), 1);
        let result = bench.take(&payload);
        assert_eq!(
            code(result),
            (!is_good).then_some(D2),
            "{prompts}: {payload:?}"
        );
        if is_good {
            let question = bench.question();
            assert!(matches!(question.claim, Claim::Answers(got) if got.len() == prompts));
        }
    }
}

#[test]
fn answers_without_questions_are_d2() {
    for (state, mut bench) in every_state() {
        if state == "prompted" {
            continue;
        }
        assert_eq!(code(bench.take(&answers(0, &[]))), Some(D2), "{state}");
    }
}

#[test]
fn a_dialog_has_an_end() {
    let mut bench = Bench::open();
    bench.take(&dialog_request("anna")).unwrap();
    for _ in 0..limits::KBDINT_ROUNDS {
        bench.prompt(1).unwrap();
        bench.take(&answers(1, &[b"again"])).unwrap();
    }
    let question = bench.question();
    let (now, out) = (bench.now, &mut bench.out);
    let server = &mut bench.server;
    assert_eq!(
        server.answer_prompts(question.id, &prompts(1), now, out),
        Err(AnswerError::Limit)
    );
    server
        .answer_login(question.id, LoginVerdict::Accept, now, out)
        .unwrap();
    assert!(server.has_succeeded());
}

#[test]
fn a_dialog_that_is_left_counts_as_an_attempt() {
    let mut bench = Bench::open();
    for _ in 1..limits::AUTH_FAILURES {
        bench.take(&dialog_request("anna")).unwrap();
        bench.prompt(1).unwrap();
    }
    bench.take(&dialog_request("anna")).unwrap();
    bench.prompt(1).unwrap();
    assert_eq!(code(bench.take(&dialog_request("anna"))), Some(D14));
}

#[test]
fn prompts_over_a_limit_are_not_sent() {
    let mut bench = Bench::open();
    bench.take(&dialog_request("anna")).unwrap();
    let id = bench.question().id;
    let long = "x".repeat(limits::KBDINT_TEXT + 1);
    let mut long_prompt = prompts(1);
    long_prompt.prompts[0].text.clone_from(&long);
    for over in [
        prompts(9),
        long_prompt,
        ServerPrompts {
            name: long.clone(),
            ..prompts(1)
        },
        ServerPrompts {
            instruction: long,
            ..prompts(1)
        },
    ] {
        let (now, out) = (bench.now, &mut bench.out);
        assert_eq!(
            bench.server.answer_prompts(id, &over, now, out),
            Err(AnswerError::Limit)
        );
    }
    assert!(bench.out.is_empty());
    bench
        .server
        .answer_prompts(id, &prompts(8), bench.now, &mut bench.out)
        .unwrap();
}
