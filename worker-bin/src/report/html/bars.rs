//! Small bars inside of tables: shares of the time, and places in it.

use super::markup::escaped;
use crate::report::model::Waited;
use crate::report::text::percent;
use std::fmt::Write as _;

/// The narrowest piece that can be seen, of 1.
const PIECE_MIN: f64 = 0.006;

/// Shares below this are not drawn.
const SHARE_MIN: f64 = 0.002;

/// At work, blocked, and the rest, as one bar.
pub(super) fn shares(name: &str, (busy, blocked): (f64, f64), said: &[String]) -> String {
    let said = |at: usize| said.get(at).map_or("", String::as_str);
    let label = format!("{name}: {} at work, {} blocked, {} without work", said(0), said(1), said(2));
    let pieces = [("work", 0.0, busy), ("blocked", busy, blocked)];
    bar(
        &label,
        &pieces.map(|(class, from, share)| if share < SHARE_MIN { None } else { Some((class, from, share)) }),
    )
}

/// When in the run something was.
pub(super) fn place(label: &str, from: f64, to: f64) -> String {
    let (from, to) = (from.clamp(0.0, 1.0), to.clamp(0.0, 1.0));
    bar(label, &[Some(("blocked", from.min(1.0 - PIECE_MIN), to - from))])
}

/// In shares of whatever width it gets, so that no pattern is stretched.
fn bar(label: &str, pieces: &[Option<(&str, f64, f64)>]) -> String {
    let label = escaped(label);
    let mut out = format!(
        "<svg class=\"bar\" role=\"img\" aria-label=\"{label}\"><title>{label}</title><rect class=\"rest\" width=\"100%\" height=\"100%\"/>"
    );
    for (class, from, share) in pieces.iter().flatten() {
        let (from, share) = (from * 100.0, share.max(PIECE_MIN) * 100.0);
        write!(out, "<rect class=\"{class}\" x=\"{from:.2}%\" width=\"{share:.2}%\" height=\"100%\"/>").ok();
    }
    out + "</svg>"
}

/// Causes with their shares, in a line.
pub(super) fn causes(waited: &[Waited], idle: bool) -> String {
    let causes = waited.iter().filter(|waited| waited.idle == idle);
    causes.map(|waited| format!("{} {}", waited.text, percent(waited.share))).collect::<Vec<_>>().join(", ")
}
