//! Texts that people and tools write: what every reader of them accepts.

use std::borrow::Cow;

use saphyr_parser::Parser;

/// The byte order mark that editors on Windows put before a text in UTF-8.
const BYTE_ORDER_MARK: &str = "\u{feff}";

/// A text without the byte order mark at its begin.
#[must_use]
pub fn without_bom(text: &str) -> &str {
    text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text)
}

/// The bytes of a text without the byte order mark at its begin.
#[must_use]
pub fn bytes_without_bom(text: &[u8]) -> &[u8] {
    text.strip_prefix(BYTE_ORDER_MARK.as_bytes()).unwrap_or(text)
}

/// How many bytes of a YAML text are parsed again, because of tabs, at most.
const PARSED_AGAIN: usize = 64 << 20;

/// A YAML text without a byte order mark, and with spaces for tabs between a `:` and its value. YAML 1.2 takes those tabs
/// (`s-separate-in-line`), our parsers do not. Positions in the text stay the same.
#[must_use]
pub fn yaml(text: &str) -> Cow<'_, str> {
    let mut text = Cow::Borrowed(without_bom(text));
    let mut left = PARSED_AGAIN;
    // The parser says where such a tab is: in a quoted text or a block of text it is content.
    while let Some(spaced) = first_tab(&text).and_then(|(line, column)| with_spaces(&text, line, column)) {
        let Some(rest) = left.checked_sub(spaced.len()) else { break };
        left = rest;
        text = Cow::Owned(spaced);
    }
    text
}

/// Line and column, both from 0, after the first tab between a `:` and its value.
fn first_tab(text: &str) -> Option<(usize, usize)> {
    if !text.contains('\t') {
        return None;
    }
    let mut parser = Parser::new_from_str(text);
    while let Some(event) = parser.next_event() {
        if let Err(error) = event {
            let marker = error.marker();
            return error
                .info()
                .starts_with("':' must be followed")
                .then(|| (marker.line().saturating_sub(1), marker.col()));
        }
    }
    None
}

/// The text with spaces in place of the tabs between a `:` and a position; none if there is no tab.
fn with_spaces(text: &str, line: usize, column: usize) -> Option<String> {
    let begin: usize = text.split_inclusive('\n').take(line).map(str::len).sum();
    let (before, line) = text.split_at_checked(begin)?;
    let column = line.char_indices().nth(column).map(|(index, _)| index)?;
    let (head, rest) = line.split_at_checked(column)?;
    let kept = head.trim_end_matches(['\t', ' ']);
    let blanks = head.strip_prefix(kept)?;
    (kept.ends_with(':') && blanks.contains('\t'))
        .then(|| [before, kept, &" ".repeat(blanks.len()), rest].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_mark_at_the_begin_is_no_part_of_the_text() {
        for (text, expected) in [
            ("\u{feff}{}", "{}"),
            ("{}", "{}"),
            ("", ""),
            ("{\u{feff}}", "{\u{feff}}"),
            ("\u{feff}\u{feff}", "\u{feff}"),
        ] {
            assert_eq!(without_bom(text), expected);
            assert_eq!(bytes_without_bom(text.as_bytes()), expected.as_bytes());
        }
    }

    #[test]
    fn a_tab_after_a_colon_is_white_space_and_one_in_a_text_is_content() {
        let table = [
            ("a:\tb\n", "a: b\n"),
            ("a:\n  hold:\t15m\n  w:\t\t-x # c\n", "a:\n  hold: 15m\n  w:  -x # c\n"),
            ("\u{fc}: 1\na: {b:\tc, d:\te}\n", "\u{fc}: 1\na: {b: c, d: e}\n"),
            ("a: \"x:\ty\"\nb: |\n  x:\ty\n", "a: \"x:\ty\"\nb: |\n  x:\ty\n"),
            ("a:\n\tb: c\n", "a:\n\tb: c\n"),
            ("a: [\n", "a: [\n"),
        ];
        for (text, expected) in table {
            assert_eq!(yaml(text), expected, "{text:?}");
        }
    }
}
