//! Did you mean: the known word that an unknown one was probably meant to be.

/// The longest word that is looked at, in characters: a distance costs the product of the lengths.
const LONGEST: usize = 64;

/// The word of `known` that is nearest to `wrong`, if one is near enough to be meant.
///
/// Capitals count as small letters and `_` as `-`. Then at most one letter in three, and two
/// altogether, may be missing, too many, wrong or swapped with its neighbour (Damerau and
/// Levenshtein's distance). Of several as near as each other the first is taken.
pub fn closest<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let length = wrong.chars().take(LONGEST.saturating_add(1)).count();
    if length > LONGEST {
        return None;
    }
    let allowed = length.div_ceil(3).min(2);
    let wrong = folded(wrong);
    known
        .into_iter()
        .filter(|word| word.chars().count().abs_diff(length) <= allowed)
        .map(|word| (strsim::osa_distance(&wrong, &folded(word)), word))
        .filter(|(distance, _)| *distance <= allowed && *distance < length)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

fn folded(word: &str) -> String {
    word.to_lowercase().replace('_', "-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_fingers_is_understood_and_another_word_is_not() {
        let known = ["host", "port", "forwards", "keepalive", "x"];
        for (wrong, meant) in [
            ("hots", Some("host")),
            ("hsot", Some("host")),
            ("Host", Some("host")),
            ("prot", Some("port")),
            ("forward", Some("forwards")),
            ("fowrads", Some("forwards")),
            ("keep_alive", Some("keepalive")),
            ("keep-alives", Some("keepalive")),
            ("past", Some("host")),
            ("boat", Some("host")),
            ("user", None),
            ("y", None),
            ("", None),
            ("pot", Some("port")),
        ] {
            assert_eq!(closest(wrong, known), meant, "{wrong}");
        }
        assert_eq!(closest(&"host".repeat(1000), known), None);
    }
}
