//! What the fuzz targets do with their bytes: `fuzz/` runs these under libFuzzer, and `tests/corpora.rs` over the corpora on stable.
//!
//! Each holds what it tries against more than panics: a second way to the same result, a model, or a rule that names what must never be.

mod answers;
mod delivery;
mod frames;
mod framings;
mod glob;
mod input;
mod journal;
mod pipeline;
mod session;
mod snapshot;

use input::Input;

/// One thing that is given arbitrary bytes.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Of its corpus, in `fuzz/corpus`, and of its binary.
    pub name: &'static str,
    /// Panics where a rule is broken.
    pub run: fn(&[u8]),
}

/// All of them, by name.
pub const TARGETS: [Target; 9] = [
    Target { name: "answers", run: answers::run },
    Target { name: "delivery", run: delivery::run },
    Target { name: "frames", run: frames::run },
    Target { name: "framings", run: framings::run },
    Target { name: "glob", run: glob::run },
    Target { name: "journal", run: journal::run },
    Target { name: "pipeline", run: pipeline::run },
    Target { name: "session", run: session::run },
    Target { name: "snapshot", run: snapshot::run },
];

/// Runs the target of this name.
///
/// # Panics
/// Where a rule is broken, and for a name that no target has.
pub fn run(name: &str, data: &[u8]) {
    let target = TARGETS.iter().find(|target| target.name == name).expect("a target of that name");
    (target.run)(data);
}

/// Fails where a text for people has what a terminal obeys, or what nobody sees.
fn is_fit_to_print(text: &str) {
    let bad = text.chars().find(|&c| {
        (c.is_control() && c != '\n') || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    });
    assert!(bad.is_none(), "{bad:?} gets through: {text:?}");
}
