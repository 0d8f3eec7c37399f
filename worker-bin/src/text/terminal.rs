//! How much room a terminal has.

use std::io::IsTerminal;
use std::os::fd::AsFd;

/// Columns and rows where nothing says how many there are.
const SIZE: (usize, usize) = (80, 24);

/// How many columns a stream has; as many as you like where it is no terminal.
pub fn columns(stream: &(impl AsFd + IsTerminal)) -> Option<usize> {
    stream.is_terminal().then(|| size(stream).0)
}

/// Columns and rows of a terminal as they are now.
pub fn size(stream: &impl AsFd) -> (usize, usize) {
    let said = rustix::termios::tcgetwinsize(stream).ok();
    let asked = std::env::var("COLUMNS").ok().and_then(|text| text.trim().parse().ok());
    of(said.map(|size| (usize::from(size.ws_col), usize::from(size.ws_row))), asked)
}

/// What the terminal says, or what `COLUMNS` asks for where that is less: an exported one stays behind when a window grows smaller.
fn of(said: Option<(usize, usize)>, asked: Option<usize>) -> (usize, usize) {
    let (said_columns, said_rows) = said.unwrap_or((0, 0));
    let asked = asked.filter(|&columns| columns > 0);
    let columns = match (said_columns, asked) {
        (0, asked) => asked.unwrap_or(SIZE.0),
        (said, asked) => asked.map_or(said, |asked| asked.min(said)),
    };
    (columns, if said_rows == 0 { SIZE.1 } else { said_rows })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smaller_of_what_the_terminal_and_columns_say_counts() {
        assert_eq!(of(Some((100, 30)), None), (100, 30));
        assert_eq!(of(Some((100, 30)), Some(40)), (40, 30));
        assert_eq!(of(Some((40, 30)), Some(100)), (40, 30));
        assert_eq!(of(Some((0, 0)), Some(60)), (60, 24));
        assert_eq!((of(None, Some(0)), of(Some((0, 0)), None)), ((80, 24), (80, 24)));
    }
}
