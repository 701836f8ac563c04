use proptest::prelude::*;

use super::*;

fn words(text: &str) -> Result<Vec<String>, RangeError> {
    let hosts = expand([text], [], &groups(text))?;
    Ok(hosts.iter().map(Host::to_string).collect())
}

/// Those that are wrong only where one of them is asked for: a pattern looks into all.
fn groups(text: &str) -> Groups {
    let groups = [
        ("workers", "red00[1-3]"),
        ("all", "@workers,manager"),
        ("loop", "@loop"),
        ("bad", "n[2-1]"),
    ];
    let is_meant = |name: &str| !matches!(name, "loop" | "bad") || text.contains(name);
    let groups = groups.into_iter().filter(|(name, _)| is_meant(name));
    Groups::new(groups.map(|(name, text)| (name.to_owned(), text.to_owned())))
}

/// AT8: python-hostlist's table as it was measured (spec of 2026-11-21), pdsh's and ClusterShell's forms beside it.
#[test]
fn the_table_of_the_specification() {
    for (text, expected) in [
        ("red00[1-2]", "red001 red002"),
        ("red,red[01-03]", "red red01 red02 red03"),
        ("n[9-11]", "n9 n10 n11"),
        ("n[09-11]", "n09 n10 n11"),
        ("n[008-11]", "n008 n009 n010 n011"),
        ("n[1,3-5,7]", "n1 n3 n4 n5 n7"),
        ("a[1-2]b[3-4]", "a1b3 a1b4 a2b3 a2b4"),
        ("pi@red[01-02]", "pi@red01 pi@red02"),
        (
            "198.168.1.[1-4]",
            "198.168.1.1 198.168.1.2 198.168.1.3 198.168.1.4",
        ),
        ("[1-3]", "1 2 3"),
        ("foo[19]", "foo19"),
        ("n[0-6/2]", "n0 n2 n4 n6"),
        ("n[1-6/4]", "n1 n5"),
        ("b,a,b", "b a"),
        (" a , b\tc ", "a b c"),
        ("n[ 1 - 3 , 5 ]", "n1 n2 n3 n5"),
        ("@workers", "red001 red002 red003"),
        ("@all!red002", "red001 red003 manager"),
        ("n[1-5]&n[3-9]", "n3 n4 n5"),
        ("n[1-3]^n[2-4]", "n1 n4"),
        ("n[1-9] ! n[3-8], n4", "n1 n2 n9 n4"),
        ("@all!*1", "red002 red003 manager"),
        ("red00?", "red001 red002 red003"),
        ("fe80::[1-2]", "fe80::1 fe80::2"),
    ] {
        assert_eq!(words(text).unwrap().join(" "), expected, "{text}");
    }
}

#[test]
fn what_is_wrong_is_shown_where_it_stands() {
    for (text, caret, words_of_it) in [
        ("n[2-1]", "  ^^^", "ends before it begins"),
        ("n[]", "  ^", "a number belongs here"),
        ("n[1-]", "    ^", "a number belongs here"),
        ("n[1-3", " ^^^^", "not closed"),
        ("n[1[2]]", "   ^", "do not stand in brackets"),
        ("n[a-c]", "  ^", "a number belongs here"),
        ("n]", " ^", "no bracket was opened"),
        ("a,,b", "  ^", "a name is missing"),
        ("", "^", "a name is missing"),
        ("a,", "  ^", "a name is missing"),
        ("!a", "^", "a name is missing"),
        ("n[1-3/0]", "      ^", "1 or more"),
        ("ok,n[1-999999999]", "   ^^^^^^^^^^^^^^", "more than 100000"),
        (
            "n[1-99999][1-99999][1-99999]",
            "^^^^^^^^^^^^^^^^^^^^^^^^^^^^",
            "more than 100000",
        ),
        (
            "n[1234567890123456789]",
            "  ^^^^^^^^^^^^^^^^^^^",
            "18 digits",
        ),
        ("a,@none", "  ^^^^^", "there are all, workers"),
        ("@loop", "^^^^^", "stands in itself"),
        (
            "@bad",
            "^^^^",
            "group bad is \"n[2-1]\", in which: this range ends",
        ),
        ("-oProxyCommand=x", "^^^^^^^^^^^^^^^^", "is no host"),
        ("r\u{e9}d", " ^", "stands in no name"),
        ("blue*", "^^^^^", "no name of a group"),
        ("@", " ^", "a name is missing"),
        ("a;b", "^^^", "is no host"),
    ] {
        let error = words(text).unwrap_err();
        let shown = error.caret();
        assert_eq!(shown.split_once('\n').unwrap().1, caret, "{text}: {error}");
        assert!(error.to_string().contains(words_of_it), "{text}: {error}");
    }
}

#[test]
fn what_is_excluded_is_left_out_of_all() {
    let hosts = expand(["n[1-3]", "m"], ["n2", "m"], &Groups::default()).unwrap();
    let words: Vec<_> = hosts.iter().map(Host::to_string).collect();
    assert_eq!(words, ["n1", "n3"]);
}

#[test]
fn a_fold_is_as_short_as_it_gets() {
    for (names, expected) in [
        ("red001 red002", "red00[1-2]"),
        ("red009 red010 red011", "red0[09-11]"),
        ("red001 red002 red003 red010", "red0[01-03,10]"),
        ("n9 n10 n11", "n[9-11]"),
        ("n1 n2", "n1,n2"),
        ("node1 node2", "node[1-2]"),
        ("red10 red20 red30", "red[1-3]0"),
        ("n0 n2 n4 n6", "n[0-6/2]"),
        ("aa1bb3 aa1bb4 aa2bb3 aa2bb4", "aa[1-2]bb[3-4]"),
        ("red003 red001 red002", "red00[3,1-2]"),
        ("manager red001 red002", "manager,red00[1-2]"),
        ("pi@red01 pi@red02", "pi@red0[1-2]"),
        ("red", "red"),
        ("", ""),
        ("x x", "x"),
    ] {
        let names: Vec<_> = names.split_whitespace().collect();
        assert_eq!(fold(names.iter().copied()), expected, "{names:?}");
    }
    // What turns fastest on the left is no product.
    let names = ["a1b1", "a2b1", "a1b2", "a2b2"];
    assert_eq!(words(&fold(names)).unwrap(), names);
}

#[test]
fn numbers_are_sorted_as_numbers() {
    let mut names = vec!["n10", "n9", "m1", "n", "n09", "n9a2", "n9a10", "9", "n1"];
    names.sort_by(|one, other| order(one, other));
    assert_eq!(
        names,
        ["9", "m1", "n", "n1", "n09", "n9", "n9a2", "n9a10", "n10"]
    );
}

#[test]
fn ten_thousand_names_are_folded_and_expanded() {
    let names: Vec<_> = (0..10_000)
        .map(|number| format!("rack{}n{:03}", number / 500, number % 500))
        .collect();
    let folded = fold(names.iter().map(String::as_str));
    assert_eq!(folded, "rack[0-19]n[000-499]");
    assert_eq!(words(&folded).unwrap(), names);
}

/// All expressions of one bracket a term for some names, by trying all; the length of the shortest.
fn shortest(names: &[&str]) -> usize {
    fn items(numbers: &[&str]) -> usize {
        if numbers.is_empty() {
            return 0;
        }
        let comma = |rest: &[&str]| usize::from(!rest.is_empty()) + items(rest);
        let mut best = numbers[0].len() + comma(&numbers[1..]);
        for count in 2..=numbers.len() {
            let values: Vec<u64> = numbers[..count]
                .iter()
                .map(|it| it.parse().unwrap())
                .collect();
            if values[1] <= values[0] {
                break;
            }
            let step = values[1] - values[0];
            let (low, width) = (values[0], numbers[0].len());
            let is_range = (0u64..)
                .zip(&numbers[..count])
                .all(|(place, number)| format!("{:0width$}", low + place * step) == **number);
            if is_range {
                let mut text = format!("{}-{}", numbers[0], numbers[count - 1]);
                if step > 1 {
                    text.push('/');
                    text.push_str(&step.to_string());
                }
                best = best.min(text.len() + comma(&numbers[count..]));
            }
        }
        best
    }
    if names.is_empty() {
        return 0;
    }
    let comma = |rest: &[&str]| usize::from(!rest.is_empty()) + shortest(rest);
    let mut best = names[0].len() + comma(&names[1..]);
    for count in 2..=names.len() {
        let first = names[0];
        for begin in 0..first.len() {
            for end in begin + 1..=first.len() {
                let (before, _) = first.split_at(begin);
                let (_, behind) = first.split_at(end);
                let numbers = names[..count].iter().map(|name| {
                    let number = name.strip_prefix(before)?.strip_suffix(behind)?;
                    let is_number =
                        !number.is_empty() && number.bytes().all(|it| it.is_ascii_digit());
                    is_number.then_some(number)
                });
                if let Some(numbers) = numbers.collect::<Option<Vec<_>>>() {
                    let term = before.len() + 2 + behind.len() + items(&numbers);
                    best = best.min(term + comma(&names[count..]));
                }
            }
        }
    }
    best
}

fn distinct(names: Vec<String>) -> Vec<String> {
    let mut seen = HashSet::new();
    names
        .into_iter()
        .filter(|name| seen.insert(name.clone()) && name.parse::<Host>().is_ok())
        .collect()
}

proptest! {
    #[test]
    fn what_is_folded_is_expanded_again(names in prop::collection::vec("[ab]{0,2}[0-9]{0,3}[b.-]?[0-9]{0,2}", 0..40)) {
        let names = distinct(names);
        let folded = fold(names.iter().map(String::as_str));
        let again = if names.is_empty() { Vec::new() } else { words(&folded).unwrap() };
        prop_assert_eq!(again, names);
    }

    #[test]
    fn runs_are_folded_and_expanded_again(
        runs in prop::collection::vec(("[a-c@]{0,3}", 0u64..120, 1u64..12, 1u64..5, 1usize..4), 1..6)
    ) {
        let names = runs.iter().flat_map(|(before, low, count, step, width)| {
            (0..*count).map(move |place| format!("{before}{:0width$}", low + place * step))
        });
        let names = distinct(names.collect());
        let folded = fold(names.iter().map(String::as_str));
        if !names.is_empty() {
            let again = words(&folded).unwrap();
            prop_assert_eq!(&again, &names);
            prop_assert_eq!(fold(again.iter().map(String::as_str)), folded);
        }
    }

    #[test]
    fn no_single_brackets_are_shorter(names in prop::collection::vec("a?(0?[0-9]|1[0-3])b?", 0..7)) {
        let names = distinct(names);
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        let folded = fold(names.iter().copied());
        prop_assert!(folded.len() <= shortest(&names), "{} for {:?}", folded, names);
    }

    #[test]
    fn no_text_is_too_strange(text in any::<String>()) {
        if let Err(error) = words(&text) {
            drop(error.caret());
        }
    }

    #[test]
    fn what_looks_like_an_expression_is_read_or_told(text in "[n0-9,\\[\\]@!&^/ *?-]{0,24}") {
        match words(&text) {
            Ok(names) => prop_assert!(names.len() <= NAMES),
            Err(error) => prop_assert!(error.at().start <= text.len() && error.caret().contains('^')),
        }
    }
}
