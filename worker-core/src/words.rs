//! Numbers and foreign texts in messages for people: one way for all.

/// A number with its thousands apart: `4 096`.
#[must_use]
pub fn number(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

/// So many of what has a plural with s: `1 record`, `4 096 records`.
#[must_use]
pub fn plural(count: u64, one: &str) -> String {
    if count == 1 { format!("1 {one}") } else { format!("{} {one}s", number(count)) }
}

/// Text that came over the network, without what a terminal or a log would take for an order, or a reader for another text.
#[must_use]
pub fn printable(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() || is_unseen(c) { clean.extend(c.escape_default()) } else { clean.push(c) }
    }
    clean
}

/// A character that shows nothing, or changes how others are shown: of formats, of directions of writing, or a tag.
#[must_use]
pub fn is_unseen(c: char) -> bool {
    matches!(
        c,
        '\u{ad}'
            | '\u{61c}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e007f}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_is_obeyed_or_unseen_comes_through() {
        assert_eq!(printable("a\u{202e}b\u{200b}"), "a\\u{202e}b\\u{200b}");
        assert_eq!(printable("\u{1b}[2J\u{7}a\nü\u{9b}"), "\\u{1b}[2J\\u{7}a\\nü\\u{9b}");
    }

    #[test]
    fn thousands_stand_apart_and_one_is_one() {
        assert_eq!(
            [0, 999, 1000, 65_536, 1_234_567].map(number),
            ["0", "999", "1 000", "65 536", "1 234 567"]
        );
        assert_eq!(plural(1, "dead letter") + ", " + &plural(2000, "record"), "1 dead letter, 2 000 records");
    }
}
