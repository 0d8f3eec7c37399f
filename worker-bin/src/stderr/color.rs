//! Whether what is printed has colours, and whether it may be drawn over.

use std::io::IsTerminal as _;
use std::sync::atomic::{AtomicU8, Ordering};

/// When to use colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Color {
    /// On a terminal that has them, unless NO_COLOR is set
    #[default]
    Auto,
    Always,
    Never,
}

static CHOICE: AtomicU8 = AtomicU8::new(Color::Auto as u8);

pub(crate) fn set_color(color: Color) {
    CHOICE.store(color as u8, Ordering::Relaxed);
}

/// Whether text on this stream has colours.
pub(crate) fn colors(stream: &impl std::io::IsTerminal) -> bool {
    let choice = CHOICE.load(Ordering::Relaxed);
    if choice == Color::Always as u8 {
        return true;
    }
    choice == Color::Auto as u8 && stream.is_terminal() && colors_wanted()
}

/// Whether a terminal gets colours where nothing was said of them on the command line.
pub(crate) fn colors_wanted() -> bool {
    !dumb() && !no_color()
}

/// Whether standard error is a terminal on which the cursor can be moved.
pub(crate) fn draws() -> bool {
    std::io::stderr().is_terminal() && !dumb()
}

/// By <https://no-color.org>: set, to anything but nothing.
fn no_color() -> bool {
    std::env::var_os("NO_COLOR").is_some_and(|no| !no.is_empty())
}

fn dumb() -> bool {
    std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb")
}
