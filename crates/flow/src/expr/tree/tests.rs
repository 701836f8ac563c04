use super::*;

fn parse(json: &str) -> Result<Tree, TreeError> {
    Tree::parse(&Value::from_json(json.as_bytes()).unwrap())
}

#[test]
fn references_tell_all_that_a_schema_and_a_check_need() {
    let tree = parse(
        r#"{
        "headers": {"Authorization": "Bearer ${input.key | ${env.KEY}}"},
        "body": [{"n": "${input.n as integer | 3 @(description how many)}"}, "text", 5],
        "voice": "${input.voice as select/alloy,echo}"
    }"#,
    )
    .unwrap();
    let found: Vec<_> = tree
        .references()
        .iter()
        .map(|reference| {
            let variable = reference.variable;
            format!("{} {} {}", reference.at, reference.is_whole, variable)
        })
        .collect();
    assert_eq!(
        found,
        [
            "headers.Authorization false ${input.key | ${env.KEY}}",
            "headers.Authorization false ${env.KEY}",
            "body[0].n true ${input.n as integer | 3 @(description how many)}",
            "voice true ${input.voice as select/alloy,echo}",
        ]
    );
    let references = tree.references();
    assert_eq!(references[1].variable.span(), 21..31);
    let how_many = references[2].variable;
    assert_eq!(how_many.annotations()[0].text(), "how many");
    let default = how_many.default().unwrap();
    assert_eq!(default.template().as_text(), Some("3"));
}

#[test]
fn strays_say_in_which_text_they_are() {
    let tree = parse(r#"{"a": ["x ${1}", "${ok}"], "b": "${한글} ${a.}"}"#).unwrap();
    let found: Vec<_> = tree
        .strays()
        .iter()
        .map(|(at, stray)| format!("{at}:{}:{}", stray.start, stray.reason))
        .collect();
    let key = "a source's name begins with a letter from a to z or with an underscore";
    assert_eq!(
        found,
        [
            format!("a[0]:2:{key}"),
            format!("b:0:{key}"),
            "b:10:a name is missing after the dot".to_owned(),
        ]
    );
}

#[test]
fn operators_that_are_not_there_are_refused_by_name() {
    for (json, at, operator) in [
        (r#"{"a": {"...": "${x}", "b": 1}}"#, "a", "..."),
        (r#"[{"*": "${x}"}]"#, "[0]", "*"),
        (r#"{"+": []}"#, "", "+"),
        (r#"{"|": "${x}"}"#, "", "|"),
        (r#"{"?": {}}"#, "", "?"),
        (r#"{"a": [1, "...${x}"]}"#, "a[1]", "..."),
    ] {
        let error = parse(json).unwrap_err();
        assert_eq!(error.at().to_string(), at, "{json}");
        let message = format!("the template operator \"{operator}\" is not supported");
        assert_eq!(error.to_string(), message, "{json}");
    }
    for json in [
        r#"{"a": "...${x}"}"#,
        r#"["...", "...${x}!"]"#,
        r#"{"a": "*"}"#,
    ] {
        assert!(parse(json).is_ok(), "{json}");
    }
}

#[test]
fn a_tree_has_a_limit_in_depth() {
    let nested = |depth: usize| (0..depth).fold(Value::Null, |inner, _| Value::List(vec![inner]));
    assert!(Tree::parse(&nested(limits::VALUE_DEPTH)).is_ok());
    let error = Tree::parse(&nested(limits::VALUE_DEPTH + 1)).unwrap_err();
    assert_eq!(error.at().steps().len(), limits::VALUE_DEPTH);
}

#[test]
fn a_text_alone_is_a_tree() {
    let text = Tree::parse(&Value::from("${x}")).unwrap();
    assert!(text.as_template().is_some());
}
