//! Sinks, each with a file as the source.

use crate::row;
use crate::sources::trial;

pub(crate) const NAMES: &[&str] = &["sink file"];

#[test]
fn files() {
    row("sink file", |_| trial("file = 'in.txt'"));
}
