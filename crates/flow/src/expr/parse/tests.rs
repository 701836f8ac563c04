use super::*;
use crate::expr::template::{Conversion, Source, Step};
use proptest::prelude::*;

/// The template in a form that shows what each part was taken for.
fn shape(template: &Template) -> String {
    let parts = template.parts().iter().map(|part| match part {
        Part::Text(text) => format!("{text:?}"),
        Part::Variable(variable) => format!("<{}>", words(variable).join(" ")),
    });
    parts.collect::<Vec<_>>().join(" ")
}

fn words(variable: &Variable) -> Vec<String> {
    let mut words = vec![variable.source().to_string()];
    words.extend(variable.path().iter().map(Step::to_string));
    if let Some(conversion) = variable.conversion() {
        let brackets = if conversion.is_list() { "[]" } else { "" };
        words.push(format!("type={}{brackets}", conversion.name()));
        words.extend(conversion.subtype().map(|it| format!("subtype={it}")));
        words.extend(conversion.format().map(|it| format!("format={it}")));
    }
    if let Some(default) = variable.default() {
        let quoted = if default.is_quoted() { "quoted " } else { "" };
        words.push(format!("default={quoted}({})", shape(default.template())));
    }
    let annotations = variable.annotations().iter();
    words.extend(annotations.map(|it| format!("@{}={:?}", it.name(), it.text())));
    words
}

#[test]
fn the_documented_vectors_mean_what_users_mean() {
    for (text, expected) in [
        (
            "http://${gateway:8090.public_address}/callback",
            r#""http://" <gateway:8090 .public_address> "/callback""#,
        ),
        (
            "${input.x as integer | 3 @(description how many)}",
            r#"<input .x type=integer default=("3") @description="how many">"#,
        ),
        (
            "${input.k | ${env.K | d}}",
            r#"<input .k default=(<env .K default=("d")>)>"#,
        ),
        (
            "${response[].choices[0].delta.content}",
            "<response[] .choices [0] .delta .content>",
        ),
        (
            "${input.l as object[]/id,user.name}",
            "<input .l type=object[] subtype=id,user.name>",
        ),
        (
            "${input as text;sse-text}",
            "<input type=text format=sse-text>",
        ),
        (
            "${input.size | 1024x1024 }",
            r#"<input .size default=("1024x1024")>"#,
        ),
        (
            "${input.x as integer|3}",
            r#"<input .x type=integer default=("3")>"#,
        ),
        ("${a}${b}", "<a> <b>"),
        ("${input}/x/${y}", r#"<input> "/x/" <y>"#),
        ("${item}-${item}", r#"<item> "-" <item>"#),
        (
            r#"{"a":"${input.a | x}"}"#,
            r#""{\"a\":\"" <input .a default=("x")> "\"}""#,
        ),
        ("${한글.x}", r#""${한글.x}""#),
        ("${1a.b}", r#""${1a.b}""#),
        ("${input.a|}", r#""${input.a|}""#),
        // There is no escape.
        (r"\${input.x}", r#""\\" <input .x>"#),
        ("$${input.x}", r#""$" <input .x>"#),
        ("${input.이름}", "<input .이름>"),
    ] {
        assert_eq!(shape(&Template::parse(text)), expected, "{text}");
    }
}

#[test]
fn everything_but_the_source_may_be_left_out() {
    for (text, expected) in [
        ("", ""),
        ("plain } { $ text", r#""plain } { $ text""#),
        ("${ input.x }", "<input .x>"),
        ("${\n\tinput.x\n}", "<input .x>"),
        ("${_x}", "<_x>"),
        ("${result[]}", "<result[]>"),
        ("${result[0]}", "<result [0]>"),
        ("${result[-1].id}", "<result [-1] .id>"),
        ("${result[1:]}", "<result [1:]>"),
        ("${result[:5][-2:-1]}", "<result [:5] [-2:-1]>"),
        ("${result[*].id}", "<result [*] .id>"),
        (
            "${jobs.get-disk-usage.output}",
            "<jobs .get-disk-usage .output>",
        ),
        ("${a.b_c.0.ñandú}", "<a .b_c .0 .ñandú>"),
        (
            "${a as audio/pcm[rate=24000,channels=1];base64}",
            "<a type=audio subtype=pcm[rate=24000,channels=1] format=base64>",
        ),
        ("${a as image;url}", "<a type=image format=url>"),
        ("${a as integer[]}", "<a type=integer[]>"),
        ("${a @(description Email)}", r#"<a @description="Email">"#),
        (
            "${a@(description \"Email\")}",
            r#"<a @description="Email">"#,
        ),
        (
            "${a.b@(required)@(min 1)}",
            r#"<a .b @required="" @min="1">"#,
        ),
        (
            "${a as number@(d Randomness (0-2))}",
            r#"<a type=number @d="Randomness (0-2)">"#,
        ),
        (
            "${a as number | 0.7 @(d Randomness (0-2)) @(e x)}",
            r#"<a type=number default=("0.7") @d="Randomness (0-2)" @e="x">"#,
        ),
        ("${asas}", "<asas>"),
        ("${a.b|c}", r#"<a .b default=("c")>"#),
        ("${a |b }", r#"<a default=("b")>"#),
    ] {
        assert_eq!(shape(&Template::parse(text)), expected, "{text}");
    }
}

#[test]
fn a_default_is_text_and_variables_with_balanced_braces() {
    for (text, expected) in [
        ("${a | }", "<a default=()>"),
        ("${a | \"\"}", "<a default=quoted ()>"),
        ("${a | two words}", r#"<a default=("two words")>"#),
        ("${a | \"gpt 4\"}", r#"<a default=quoted ("gpt 4")>"#),
        ("${a | ' x '}", r#"<a default=quoted (" x ")>"#),
        ("${a | don't}", r#"<a default=("don't")>"#),
        ("${a | \"x'}", r#"<a default=("\"x'")>"#),
        ("${a | \"}", r#"<a default=("\"")>"#),
        (
            r#"${a | {"k": [1, {}]}}"#,
            r#"<a default=("{\"k\": [1, {}]}")>"#,
        ),
        (r"${a | \}\{\$\@ }", r#"<a default=("\\}\\{\\$\\@")>"#),
        ("${a | \"}\"}", r#"<a default=quoted ("}")>"#),
        ("${a | '{' @(d x)}", r#"<a default=quoted ("{") @d="x">"#),
        ("${a | '{'@(d x)}", r#"<a default=quoted ("{") @d="x">"#),
        ("${a | x${b}y}", r#"<a default=("x" <b> "y")>"#),
        (
            "${a | \"pre ${b | \"x\"} post\"}",
            r#"<a default=quoted ("pre " <b default=quoted ("x")> " post")>"#,
        ),
        ("${a | \"${b}\"}", "<a default=quoted (<b>)>"),
        ("${a | ${b} }", "<a default=(<b>)>"),
        ("${a | ${b}${c}}", "<a default=(<b> <c>)>"),
        ("${a | me@(home)}", r#"<a default=("me@(home)")>"#),
        (
            "${a | me @(not a note) x}",
            r#"<a default=("me @(not a note) x")>"#,
        ),
        ("${a | ${1} }", r#"<a default=("${1}")>"#),
        ("${a | line\nbreak}", r#"<a default=("line\nbreak")>"#),
        // What never ends is text, and what is in it counts.
        ("${a | ${b}", r#""${a | " <b>"#),
        ("x ${a | {${b}} y", r#""x ${a | {" <b> "} y""#),
        (
            "${a | ${b | ${c} and ${d}",
            r#""${a | ${b | " <c> " and " <d>"#,
        ),
    ] {
        assert_eq!(shape(&Template::parse(text)), expected, "{text}");
    }
}

#[test]
fn what_is_no_variable_is_text_and_says_where_and_why() {
    for (text, offset, reason) in [
        ("x ${", 4, Reason::Unclosed),
        ("${}", 2, Reason::Key),
        ("${1}", 2, Reason::Key),
        ("${.a}", 2, Reason::Key),
        ("${#a[@]}", 2, Reason::Key),
        ("${a.}", 4, Reason::Name),
        ("${a..b}", 4, Reason::Name),
        ("${a.$ref}", 4, Reason::Name),
        ("${a[x]}", 3, Reason::Subscript),
        ("${a[1}", 3, Reason::Subscript),
        ("${a[+1]}", 3, Reason::Subscript),
        ("${a.b[]}", 5, Reason::Subscript),
        ("${a[99999999999999999999]}", 3, Reason::Subscript),
        ("${a[1:2:3]}", 3, Reason::Subscript),
        ("${a as }", 7, Reason::Type),
        ("${a as image/}", 13, Reason::Type),
        ("${a as image;}", 13, Reason::Type),
        ("${a as |}", 7, Reason::Type),
        ("${a|}", 4, Reason::Default),
        ("${a @(}", 4, Reason::Annotation),
        ("${a @(x y}", 4, Reason::Annotation),
        ("${a @(x y) z}", 4, Reason::Annotation),
        ("${a b}", 4, Reason::End),
        ("${a.b/c}", 5, Reason::End),
        ("${a{b}", 3, Reason::End),
        ("${a | x", 7, Reason::Unclosed),
        ("${a | {}", 8, Reason::Unclosed),
        ("${a", 3, Reason::Unclosed),
    ] {
        let template = Template::parse(text);
        assert_eq!(template.as_text(), Some(text), "{text}");
        let [stray] = template.strays() else {
            panic!("{text}: {:?}", template.strays());
        };
        let start = text.find("${").unwrap();
        let expected = Stray {
            start,
            offset,
            reason,
        };
        assert_eq!(*stray, expected, "{text}");
    }
}

#[test]
fn places_are_bytes_of_the_whole_text() {
    let text = "ä ${a | ü ${b}} ${c.} ${d}";
    let template = Template::parse(text);
    let found: Vec<&str> = template
        .variables()
        .iter()
        .filter_map(|variable| text.get(variable.span()))
        .collect();
    assert_eq!(found, ["${a | ü ${b}}", "${b}", "${d}"]);
    let [stray] = template.strays() else {
        panic!("{:?}", template.strays());
    };
    assert_eq!(text.get(stray.start..stray.offset), Some("${c."));
    assert_eq!(stray.reason, Reason::Name);
}

#[test]
fn variables_nest_up_to_the_limit_and_are_text_beyond() {
    let nested = |depth: usize| "${a | ".repeat(depth) + "x" + &"}".repeat(depth);
    let right = Template::parse(&nested(limits::TEMPLATE_NESTING));
    assert_eq!(right.variables().len(), limits::TEMPLATE_NESTING);
    assert_eq!(right.strays(), []);
    let text = nested(limits::TEMPLATE_NESTING + 1);
    let deeper = Template::parse(&text);
    assert_eq!(deeper.variables().len(), limits::TEMPLATE_NESTING);
    let reasons: Vec<_> = deeper.strays().iter().map(|it| it.reason).collect();
    assert_eq!(reasons, [Reason::Nesting]);
    assert_eq!(deeper.to_string(), text);
}

#[test]
fn a_path_has_a_limit() {
    let path = |steps: usize| format!("${{a{}}}", ".b".repeat(steps));
    let right = Template::parse(&path(limits::PATH_STEPS));
    assert!(right.as_variable().is_some());
    let longer = Template::parse(&path(limits::PATH_STEPS + 1));
    assert_eq!(longer.strays()[0].reason, Reason::Path);
}

#[test]
fn of_very_many_strays_the_first_are_kept() {
    let template = Template::parse(&"${1} ".repeat(10_000));
    assert_eq!(template.strays().len(), limits::STRAYS);
    assert_eq!(template.strays()[1].start, 5);
}

#[test]
fn any_text_is_read_in_linear_time() {
    // Quadratic would be minutes.
    let units = [
        "${",
        "${a | ",
        "${a | \"",
        "${a | '\"",
        "${a @(",
        "${a | @(",
        "${a | @(x ",
        "${a @(b c) ",
        "@(a ",
        "${a | {",
        "\\",
        "${a | \\",
        "${a|b}",
        "${a | \"x\"} ",
        "${a | \"x} ",
        "${a | ${b} ",
        "} ",
        "${aaaaaaaa",
        "${a.b.c",
        "${a | @(b ) ",
        " @(b c)",
        " @(b ${x)",
        ") ",
        "\" ",
        "[0]",
    ];
    for beginning in ["", "${a", "${a | ", "${a | \"", "${a @(x "] {
        for unit in units {
            let text = beginning.to_owned() + &unit.repeat(100_000 / unit.len());
            for end in ["", "}", ")}", " x}"] {
                Template::parse(&format!("{text}{end}"));
            }
        }
    }
}

fn without_places(template: &Template) -> Template {
    let parts = template.parts.iter().map(|part| match part {
        Part::Text(_) => part.clone(),
        Part::Variable(variable) => {
            let mut variable = variable.as_ref().clone();
            variable.span = 0..0;
            if let Some(default) = &mut variable.default {
                default.template = without_places(&default.template);
            }
            Part::Variable(Box::new(variable))
        }
    });
    Template {
        parts: parts.collect(),
        strays: Vec::new(),
    }
}

/// Texts that look like variables, more or less.
const LIKELY: &str = r#"(\$\{|a|input|\.b|\[0\]|\[\]|\[1:\]|\[\*\]| as |text|/x|;y| \| |\||\}|\{|@\(|\)| @\(d e\)|"|'| |\\|ü|\$){0,24}"#;

proptest! {
    #[test]
    fn any_text_can_be_parsed(text in any::<String>()) {
        check(&text);
    }

    #[test]
    fn a_text_that_looks_like_variables_can_be_parsed(text in LIKELY) {
        check(&text);
    }

    #[test]
    fn text_without_variables_is_printed_as_it_was(text in "[^$]{0,40}") {
        let template = Template::parse(&text);
        prop_assert_eq!(template.as_text(), Some(text.as_str()));
        prop_assert_eq!(template.to_string(), text);
    }

    #[test]
    fn a_printed_template_is_the_same_template(text in LIKELY) {
        let template = Template::parse(&text);
        let printed = template.to_string();
        let again = Template::parse(&printed);
        prop_assert_eq!(without_places(&again), without_places(&template), "{:?}", printed);
        prop_assert_eq!(again.to_string(), printed);
    }

    #[test]
    fn a_built_variable_is_parsed_as_it_was_built(
        name in "[a-z_][a-zA-Z0-9:_-]{0,8}",
        is_chunk: bool,
        path in prop::collection::vec(step(), 0..6),
        conversion in prop::option::of(conversion()),
    ) {
        let variable = Variable {
            span: 0..0,
            source: Source { name, is_chunk },
            path,
            conversion,
            default: None,
            annotations: Vec::new(),
        };
        let template = Template::parse(&variable.to_string());
        let parts = vec![Part::Variable(Box::new(variable))];
        let built = Template { parts, strays: Vec::new() };
        prop_assert_eq!(without_places(&template), built);
    }
}

fn check(text: &str) {
    let template = Template::parse(text);
    assert_eq!(template, Template::parse(text));
    let mut last_was_text = false;
    for part in template.parts() {
        let is_text = matches!(part, Part::Text(_));
        assert!(!(is_text && last_was_text), "{text:?}");
        assert!(*part != Part::Text(String::new()), "{text:?}");
        last_was_text = is_text;
    }
    for variable in template.variables() {
        let written = text.get(variable.span()).unwrap();
        assert!(written.starts_with("${") && written.ends_with('}'));
    }
    for stray in template.strays() {
        assert!(text.get(stray.start..).unwrap().starts_with("${"));
        assert!(stray.start <= stray.offset && text.is_char_boundary(stray.offset));
    }
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        r"[\p{L}0-9_-]{1,6}".prop_map(Step::Name),
        any::<i64>().prop_map(Step::Index),
        any::<(Option<i64>, Option<i64>)>().prop_map(|(from, to)| Step::Slice { from, to }),
        Just(Step::All),
    ]
}

fn conversion() -> impl Strategy<Value = Conversion> {
    (
        "[a-z-]{1,8}",
        any::<bool>(),
        prop::option::of("[a-z,.]{1,8}"),
        prop::option::of("[a-z;/-]{1,8}"),
    )
        .prop_map(|(name, is_list, subtype, format)| Conversion {
            name,
            is_list,
            subtype,
            format,
        })
}
