//! A few lines at the bottom of a terminal that are drawn over.

use crate::text::escape;
use crate::text::width::fit;

/// Takes away what is drawn from the cursor on, which stands at the frame's first column between any two writes.
pub(super) const ERASE: &str = "\r\x1b[J";

/// What draws these lines from the cursor on, and brings it back to where it was.
///
/// No line is as wide as the terminal, and there are fewer than it has rows: so none wraps and nothing scrolls away, and however
/// the size changes later, what is to be erased begins at the cursor.
pub(super) fn drawn(lines: &[String], (columns, rows): (usize, usize)) -> String {
    let room = rows.saturating_sub(1).max(1);
    let mut shown: Vec<String> =
        lines.iter().flat_map(|line| line.split('\n')).map(|l| fitted(l, columns)).collect();
    if shown.len() > room {
        let more = shown.len() - (room - 1);
        shown.truncate(room - 1);
        shown.push(fitted(&format!("… and {more} more lines"), columns));
    }
    let mut text = shown.join("\n");
    text.push('\r');
    if shown.len() > 1 {
        text.push_str(&format!("\x1b[{}A", shown.len() - 1));
    }
    text
}

/// As much of a line as leaves the last column free.
fn fitted(line: &str, columns: usize) -> String {
    fit(&escape::lines(line.as_bytes()).replace('\t', " "), columns.saturating_sub(1).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::num::NonZero;

    #[test]
    fn no_line_reaches_the_last_column_and_there_is_a_row_to_spare() {
        let lines = ["a".repeat(200), "東京".repeat(30), "x\ny".to_owned()];
        for columns in [1, 2, 9, 40, 80] {
            for rows in [1, 2, 3, 24] {
                let text = drawn(&lines, (columns, rows));
                let cells = |n: usize| NonZero::new(u16::try_from(n).unwrap()).unwrap();
                let mut screen = vt100::Parser::new(cells(rows), cells(columns), 100);
                screen.process(b"above\r\n");
                let before = screen.screen().cursor_position();
                screen.process(text.replace('\n', "\r\n").as_bytes());
                if rows > 3 {
                    assert_eq!(screen.screen().cursor_position(), before, "{columns} x {rows}");
                }
                screen.process(ERASE.as_bytes());
                assert!(
                    screen.screen().contents().trim().len() <= 5,
                    "{columns} x {rows}: {}",
                    screen.screen().contents()
                );
            }
        }
    }
}
