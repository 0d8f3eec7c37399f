//! Lines so short that what is done once a line is all there is.

use super::{About, pass};
use crate::figure::Figure;
use crate::input;
use crate::suite::Suite;

pub(super) const NAME: &str = "short";

pub(super) fn about() -> About {
    pass::through(input::SHORT_LINES, input::SHORT_LINES_ARE)
}

pub(super) fn measure(suite: &Suite) -> Vec<Figure> {
    let bytes = input::short_lines(suite);
    pass::compare(suite, NAME, input::SHORT_LINES, bytes)
}
