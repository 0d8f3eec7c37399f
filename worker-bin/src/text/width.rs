//! Text in little room: how many columns it takes, cut or broken to fit, filled up.

use unicode_width::UnicodeWidthChar as _;

/// How many columns a text takes on a terminal; where terminals differ, as many as on any.
#[must_use]
pub fn width(text: &str) -> usize {
    cells(text).map(|(_, columns)| columns).sum()
}

/// A text cut to so many columns, with a sign that it was.
#[must_use]
pub fn fit(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let Some(room) = columns.checked_sub(1) else { return String::new() };
    let mut used = 0;
    let kept = cells(text).map_while(|(c, own)| {
        used += own;
        (used <= room).then_some(c)
    });
    kept.chain(['…']).collect()
}

/// The same, filled up with blanks behind it.
#[must_use]
pub fn left(text: &str, columns: usize) -> String {
    let fitted = fit(text, columns);
    let missing = columns.saturating_sub(width(&fitted));
    fitted + &" ".repeat(missing)
}

/// The same, filled up with blanks before it.
#[must_use]
pub fn right(text: &str, columns: usize) -> String {
    let fitted = fit(text, columns);
    let missing = columns.saturating_sub(width(&fitted));
    " ".repeat(missing) + &fitted
}

/// A text in lines of at most so many columns, broken between words where there are some; all but the first begin with `indent`.
#[must_use]
pub fn wrapped(text: &str, columns: usize, indent: &str) -> Vec<String> {
    let columns = columns.max(width(indent) + 8);
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split(' ') {
        let mut word = word;
        let used = width(&line);
        if used > 0 && line != indent && used + 1 + width(word) > columns {
            lines.push(std::mem::replace(&mut line, indent.to_owned()));
        } else if used > 0 && line != indent {
            line.push(' ');
        }
        while width(&line) + width(word) > columns {
            let piece = beginning(word, columns.saturating_sub(width(&line)));
            if piece.is_empty() {
                break;
            }
            line.push_str(piece);
            word = &word[piece.len()..];
            lines.push(std::mem::replace(&mut line, indent.to_owned()));
        }
        line.push_str(word);
    }
    lines.push(line);
    lines
}

/// The same of a line whose blanks at its beginning mean something, and those inside that keep columns where it fits.
#[must_use]
pub fn wrapped_keeping_indent(text: &str, columns: usize, indent: &str) -> Vec<String> {
    if width(text) <= columns {
        return vec![text.to_owned()];
    }
    let blanks = text.len() - text.trim_start_matches(' ').len();
    let (head, rest) = text.split_at(blanks);
    let mut lines = wrapped(rest, columns.saturating_sub(blanks), indent);
    if let Some(first) = lines.first_mut() {
        first.insert_str(0, head);
    }
    lines
}

/// Every line of a text in lines of at most so many columns, where there is such a limit.
#[must_use]
pub fn wrapped_lines(text: &str, columns: Option<usize>) -> String {
    let Some(columns) = columns else { return text.to_owned() };
    let lines = text.split('\n').flat_map(|line| wrapped_keeping_indent(line, columns, "    "));
    lines.collect::<Vec<_>>().join("\n")
}

/// As much of a text as takes no more columns.
fn beginning(text: &str, columns: usize) -> &str {
    let (mut used, mut end) = (0, 0);
    for (c, own) in cells(text) {
        used += own;
        if used > columns {
            break;
        }
        end += c.len_utf8();
    }
    &text[..end]
}

/// The characters of a text, and how many columns each adds.
fn cells(text: &str) -> impl Iterator<Item = (char, usize)> {
    let mut before = 0;
    text.chars().map(move |c| {
        let own = match c {
            // It makes a character as wide as an emoji.
            '\u{fe0f}' | '\u{fe01}' if before == 1 => 1,
            _ => c.width().unwrap_or(0),
        };
        before = own;
        (c, own)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wide_characters_take_two_columns_and_marks_none() {
        for (text, columns) in
            [("abc", 3), ("日本", 4), ("e\u{301}", 1), ("नमस्ते", 4), ("🦀", 2), ("❤\u{fe0f}", 2)]
        {
            assert_eq!(width(text), columns, "{text}");
        }
    }

    #[test]
    fn texts_are_cut_with_a_sign_by_columns() {
        assert_eq!(
            (fit("abc", 3), fit("abcd", 3), fit("abcd", 0)),
            ("abc".into(), "ab…".into(), String::new())
        );
        assert_eq!((left("日本語", 5), right("7", 3)), ("日本…".to_owned(), "  7".to_owned()));
        for text in
            ["日本語日本語", "e\u{301}e\u{301}e\u{301}e\u{301}", "🦀🦀🦀", "❤\u{fe0f}❤\u{fe0f}❤\u{fe0f}"]
        {
            for columns in 0..12 {
                let fitted = fit(text, columns);
                assert!(width(&fitted) <= columns, "{text} {columns}: {fitted}");
            }
        }
    }

    #[test]
    fn long_texts_are_broken_between_words() {
        assert_eq!(wrapped("one two three", 9, ""), ["one two", "three"]);
        assert_eq!(wrapped("one two three four", 10, "  "), ["one two", "  three", "  four"]);
        assert_eq!(wrapped("0123456789abcdef", 10, "  "), ["0123456789", "  abcdef"]);
        assert_eq!(wrapped_lines("  日本語日本語 a\nb", Some(14)), "  日本語日本語\n    a\nb");
        assert_eq!(wrapped_lines("a b  c", None), "a b  c");
    }
}
