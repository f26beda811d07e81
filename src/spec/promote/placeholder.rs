//! Placeholders in the values of dimensions: `$group` and the like, and `$$` for a dollar.

/// Every placeholder there is.
pub const WORDS: [&str; 6] = ["group", "instance", "target_group", "service", "task", "version"];

/// A part of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part<'a> {
    Text(&'a str),
    /// `$word`, without its dollar.
    Word(&'a str),
    /// `$$`.
    Dollar,
}

fn parts(value: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let mut rest = value;
    while let Some((text, after)) = rest.split_once('$') {
        if !text.is_empty() {
            parts.push(Part::Text(text));
        }
        if let Some(after) = after.strip_prefix('$') {
            parts.push(Part::Dollar);
            rest = after;
            continue;
        }
        let is_word = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
        let end = after.find(|letter| !is_word(letter)).unwrap_or(after.len());
        let (word, after) = after.split_at(end);
        parts.push(Part::Word(word));
        rest = after;
    }
    if !rest.is_empty() {
        parts.push(Part::Text(rest));
    }
    parts
}

/// The words after the single dollars of a value, in order. A lone dollar gives an empty word.
pub fn words(value: &str) -> impl Iterator<Item = &str> {
    parts(value).into_iter().filter_map(|part| match part {
        Part::Word(word) => Some(word),
        Part::Text(_) | Part::Dollar => None,
    })
}

/// Whether a value has this placeholder.
#[must_use]
pub fn names(value: &str, word: &str) -> bool {
    words(value).any(|found| found == word)
}

/// The value with those placeholders replaced that `known` knows, and with every `$$` still doubled.
pub fn fill<'w>(value: &str, known: impl Fn(&str) -> Option<&'w str>) -> String {
    let mut filled = String::with_capacity(value.len());
    for part in parts(value) {
        match part {
            Part::Text(text) => filled.push_str(text),
            Part::Dollar => filled.push_str("$$"),
            Part::Word(word) => match known(word) {
                Some(text) => filled.push_str(&text.replace('$', "$$")),
                None => filled.extend(["$", word]),
            },
        }
    }
    filled
}

/// The value as `CloudWatch` stores it: every `$$` a dollar.
#[must_use]
pub fn plain(value: &str) -> String {
    value.replace("$$", "$")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_replaced_as_whole_words() {
        let known = |word: &str| match word {
            "group" => Some("web"),
            "target_group" => Some("targetgroup/web/1"),
            _ => None,
        };
        for (value, filled, stored) in [
            ("$group", "web", "web"),
            ("a-$group-b", "a-web-b", "a-web-b"),
            ("$target_group", "targetgroup/web/1", "targetgroup/web/1"),
            ("$groups", "$groups", "$groups"),
            ("$$group", "$$group", "$group"),
            ("$$$group", "$$web", "$web"),
            ("fn:$$LATEST", "fn:$$LATEST", "fn:$LATEST"),
            ("", "", ""),
        ] {
            assert_eq!(fill(value, known), filled, "{value}");
            assert_eq!(plain(&fill(value, known)), stored, "{value}");
        }
        assert_eq!(plain(&fill("$group", |_| Some("a$b"))), "a$b", "a value may hold a dollar");
    }

    #[test]
    fn words_are_those_after_a_single_dollar() {
        let found: Vec<_> = words("$group/$$x/$task-$").collect();
        assert_eq!(found, ["group", "task", ""]);
        assert!(names("$group", "group") && !names("$$group", "group") && !names("$groups", "group"));
    }
}
