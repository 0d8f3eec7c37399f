//! Brackets of a TOML file that nothing closes: what stands behind one is read as what it is not, and one mistake becomes many.

use std::ops::Range;
use toml_parser::Source;
use toml_parser::lexer::TokenKind;

/// The first bracket of a value that is not closed where the next statement begins, or the file ends.
pub(super) fn unclosed(text: &str) -> Option<(Range<usize>, char)> {
    let mut open: Vec<(Range<usize>, char)> = Vec::new();
    // Nothing of the line yet; and whether a value has begun in the statement.
    let (mut begins_line, mut is_value) = (true, false);
    for token in Source::new(text).lex() {
        let at = token.span().start()..token.span().end();
        match token.kind() {
            TokenKind::Whitespace | TokenKind::Comment => continue,
            TokenKind::Newline => {
                is_value &= !open.is_empty();
                begins_line = true;
                continue;
            }
            TokenKind::LeftSquareBracket if begins_line && !open.is_empty() && is_header(text, at.start) => {
                break;
            }
            TokenKind::LeftSquareBracket if is_value => open.push((at, '[')),
            TokenKind::LeftCurlyBracket if is_value => open.push((at, '{')),
            kind @ (TokenKind::RightSquareBracket | TokenKind::RightCurlyBracket) => {
                let closes = if kind == TokenKind::RightSquareBracket { '[' } else { '{' };
                match open.last() {
                    Some((_, bracket)) if *bracket != closes => break,
                    Some(_) | None => drop(open.pop()),
                }
            }
            // An array has no keys.
            TokenKind::Equals if open.last().is_some_and(|(_, bracket)| *bracket == '[') => break,
            TokenKind::Equals => is_value = true,
            TokenKind::LeftSquareBracket
            | TokenKind::LeftCurlyBracket
            | TokenKind::Dot
            | TokenKind::Comma
            | TokenKind::LiteralString
            | TokenKind::BasicString
            | TokenKind::MlLiteralString
            | TokenKind::MlBasicString
            | TokenKind::Atom
            | TokenKind::Eof => {}
        }
        begins_line = false;
    }
    open.pop()
}

/// Whether the line that begins at `at` is that of a table and of nothing else. One with a comma, a quote or a number alone may be a
/// row of an array.
fn is_header(text: &str, at: usize) -> bool {
    let line = text.get(at..).and_then(|rest| rest.lines().next()).unwrap_or_default();
    let line = line.split('#').next().unwrap_or_default().trim();
    let name = line.trim_start_matches('[').trim_end_matches(']').trim();
    let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    let is_value = matches!(name, "true" | "false" | "inf" | "nan");
    line.ends_with(']')
        && !is_value
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(is_word)
}

#[cfg(test)]
mod tests {
    use super::unclosed;

    #[test]
    fn the_bracket_is_found_that_nothing_closes() {
        for (text, at) in [
            ("a = [1, 2\n[stage.a]\nrun = ['x']\n", Some((4, '['))),
            ("a = ['x', [1]\nb = 2\n", Some((4, '['))),
            ("a = [\n  [1, 2],\n  [3, 4],\n", Some((4, '['))),
            ("a = { b = 1\n[t]\nc = 2\n", Some((4, '{'))),
            ("a = { b = [1, 2 }\n", Some((10, '['))),
            ("a = { b = 1", Some((4, '{'))),
            ("[t]\na = [{ b = [1] }\n\n[u]\n", Some((8, '['))),
            ("[t\na = 1\n", None),
            ("a = '['\nb = [1]\n[t]\nc = \"{\" # [\n", None),
            ("a = [\n  [1, 2],\n  ['x'],\n  [true]\n]\nb = x\n", None),
            ("a = ]\n", None),
            ("", None),
        ] {
            let found = unclosed(text).map(|(range, bracket)| (range.start, bracket));
            assert_eq!(found, at, "{text}");
        }
    }
}
