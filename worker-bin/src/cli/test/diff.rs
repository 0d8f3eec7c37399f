//! What was expected held against what came, record by record.

use crate::io::framing::Framing;
use crate::text::escape;
use similar::TextDiff;
use std::collections::BTreeMap;

/// Lines around a difference.
const CONTEXT: usize = 3;

/// More lines than that are counted only.
const LINES_MAX: usize = 100;

/// A unified diff, if there is a difference; without an order, of what is there how often.
pub(in crate::cli) fn diff(
    framing: &Framing,
    expected: &[u8],
    given: &[u8],
    in_order: bool,
) -> Option<String> {
    let (expected, mut given) = (records(framing, expected), records(framing, given));
    if !in_order {
        given = arranged(&expected, given);
    }
    if expected == given {
        return None;
    }
    let show = |show: fn(&[u8]) -> String| -> (String, String) {
        let text = |records: &[Vec<u8>]| records.iter().map(|record| show(record) + "\n").collect();
        (text(&expected), text(&given))
    };
    let (mut old, mut new) = show(lines);
    if old == new {
        (old, new) = show(|record| record.escape_ascii().to_string());
    }
    let all = TextDiff::from_lines(&old, &new);
    let all = all.unified_diff().context_radius(CONTEXT).header("expected", "given").to_string();
    let count = all.lines().count();
    if count <= LINES_MAX {
        return Some(all);
    }
    let shown: String = all.split_inclusive('\n').take(LINES_MAX).collect();
    Some(format!("{shown}… {} lines more\n", count - LINES_MAX))
}

/// What of the records is content: the last one counts without its end, too.
fn records(framing: &Framing, bytes: &[u8]) -> Vec<Vec<u8>> {
    let envelope = framing.envelope();
    match framing.batch_of(bytes.to_vec()) {
        Ok(batch) => batch.iter().map(|record| envelope.content(record).to_vec()).collect(),
        // It has no records: all of it is shown.
        Err(_) => vec![bytes.to_vec()],
    }
}

/// The same records, as many as can be in the places where they are expected, the others behind them.
fn arranged(expected: &[Vec<u8>], given: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    let mut left: BTreeMap<&[u8], usize> = BTreeMap::new();
    for record in &given {
        *left.entry(record).or_default() += 1;
    }
    let mut take = |record: &[u8]| match left.get_mut(record) {
        Some(count) if *count > 0 => {
            *count -= 1;
            true
        }
        Some(_) | None => false,
    };
    let mut arranged: Vec<Vec<u8>> = expected.iter().filter(|record| take(record)).cloned().collect();
    let others: Vec<Vec<u8>> = given.iter().filter(|record| take(record)).cloned().collect();
    arranged.extend(others);
    arranged
}

/// A record as a person reads it, in as many lines as it has.
fn lines(record: &[u8]) -> String {
    record.split(|&byte| byte == b'\n').map(escape::visible).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_lines(expected: &str, given: &str, in_order: bool) -> Option<String> {
        diff(&Framing::Lines, expected.as_bytes(), given.as_bytes(), in_order)
    }

    #[test]
    fn what_is_equal_has_no_difference_and_the_last_end_does_not_matter() {
        assert_eq!(of_lines("a\nb\n", "a\nb", true), None);
        assert_eq!(of_lines("", "", true), None);
        assert_eq!(of_lines("b\na\na\n", "a\nb\na\n", false), None);
    }

    #[test]
    fn a_difference_is_a_unified_diff() {
        let told = of_lines("a\nb\nc\n", "a\nx\nc\n", true).unwrap();
        assert_eq!(told, "--- expected\n+++ given\n@@ -1,3 +1,3 @@\n a\n-b\n+x\n c\n");
    }

    #[test]
    fn another_order_is_a_difference_only_where_there_is_one() {
        assert!(of_lines("a\nb\n", "b\na\n", true).is_some());
        let told = of_lines("a\nb\nb\n", "b\nb\nc\nb\n", false).unwrap();
        assert!(told.contains("-a\n") && told.contains("+b\n") && told.contains("+c\n"), "{told}");
    }

    #[test]
    fn nothing_and_an_empty_record_differ() {
        assert!(of_lines("", "\n", true).is_some());
        assert!(of_lines("a\n\n", "a\n", true).is_some());
    }

    #[test]
    fn control_characters_are_shown_and_bytes_that_look_alike_are_told_apart() {
        let told = of_lines("a\u{1b}[31m\n", "a\r\n", true).unwrap();
        assert!(told.contains("-a\\u{1b}[31m\n") && told.contains("+a\\r\n"), "{told}");
        let told = diff(&Framing::Lines, b"\\xff\n", b"\xff\n", true).unwrap();
        assert!(told.contains("-\\\\xff\n") && told.contains("+\\xff\n"), "{told}");
    }

    #[test]
    fn records_of_several_lines_are_compared_whole() {
        let told = diff(&Framing::Csv, b"\"a\nb\",1\n", b"\"a\nc\",1\n", true).unwrap();
        assert!(told.contains("-b\",1\n+c\",1\n"), "{told}");
        assert_eq!(diff(&Framing::Csv, b"\"a\nb\",1\n2\n", b"2\n\"a\nb\",1\n", false), None);
    }

    #[test]
    fn a_long_difference_is_cut_and_counted() {
        let long: String = (0..500).map(|n| format!("{n}\n")).collect();
        let told = of_lines(&long, "", true).unwrap();
        assert_eq!(told.lines().count(), LINES_MAX + 1);
        assert!(told.ends_with("lines more\n"), "{told}");
    }
}
