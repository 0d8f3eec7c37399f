//! Telling a stage that fails from records that fail.

use crate::config::MaxDead;
use crate::event::{DeadLetter, Failure, FailureKind};
use crate::inbox::Piece;

/// So many single records failing alike, with no success before, are the stage's fault and not the records'.
const SYSTEMATIC_FAILURES: u32 = 16;

/// So many single records may wait for a verdict, however they failed.
const UNDECIDED_MAX: usize = 64;

/// Single records that failed before any program of the stage has succeeded in this life: whose fault that is, theirs or the
/// stage's, is not known yet. They are held back, uncommitted, and so is their place in the order.
#[derive(Debug)]
pub(super) struct Systematic {
    alike: Option<(FailureKind, u32)>,
    /// A program succeeded, or all records may fail.
    excluded: bool,
    undecided: Vec<(Piece, DeadLetter)>,
}

/// What becomes of a record that failed alone.
#[derive(Debug)]
pub(super) enum Verdict {
    Condemned(DeadLetter),
    /// It is held back.
    Undecided,
    /// It is the stage's fault: none of those that are held back is condemned.
    StageFails(String),
}

impl Systematic {
    /// For a stage of which so many records may fail.
    pub(super) fn new(max_dead: MaxDead) -> Self {
        Self { alike: None, excluded: max_dead == MaxDead::Unlimited, undecided: Vec::new() }
    }

    /// Nothing has succeeded in this life, and that matters.
    pub(super) fn is_open(&self) -> bool {
        !self.excluded
    }

    /// A program succeeded: gives those that were held back, in order, which are condemned by that.
    pub(super) fn succeeded(&mut self) -> Vec<(Piece, DeadLetter)> {
        self.excluded = true;
        std::mem::take(&mut self.undecided)
    }

    /// A record failed alone.
    pub(super) fn failed(&mut self, failure: &Failure, piece: &Piece, letter: DeadLetter) -> Verdict {
        if self.excluded {
            return Verdict::Condemned(letter);
        }
        let count = match self.alike {
            Some((kind, count)) if kind == failure.kind => count + 1,
            Some(_) | None => 1,
        };
        self.alike = Some((failure.kind, count));
        let why = advised(failure);
        if count >= SYSTEMATIC_FAILURES {
            return Verdict::StageFails(format!(
                "the first {SYSTEMATIC_FAILURES} records all failed alike: {why}"
            ));
        }
        self.hold(piece.clone(), letter);
        if self.undecided.len() < UNDECIDED_MAX {
            return Verdict::Undecided;
        }
        Verdict::StageFails(format!("the first {UNDECIDED_MAX} records all failed: {why}"))
    }

    /// Holds a record back that is to be condemned once something succeeds.
    pub(super) fn hold(&mut self, piece: Piece, letter: DeadLetter) {
        self.undecided.push((piece, letter));
    }

    /// The input has ended with nothing that succeeded in this life: those held back, if an earlier life shows that programs of
    /// the stage can succeed; else why the stage fails.
    pub(super) fn at_the_end(&mut self, succeeded_before: bool) -> Result<Vec<(Piece, DeadLetter)>, String> {
        match self.undecided.first() {
            Some((_, first)) if !succeeded_before => Err(format!(
                "all {} records failed, and no program of this stage has ever ended well: {}; none is dead-lettered: mend the \
                 program, or say max_dead = \"100%\" if all may fail",
                self.undecided.len(),
                first.reason
            )),
            Some(_) | None => Ok(std::mem::take(&mut self.undecided)),
        }
    }

    pub(super) fn holds_any(&self) -> bool {
        !self.undecided.is_empty()
    }

    pub(super) fn undecided(&self) -> impl Iterator<Item = &Piece> {
        self.undecided.iter().map(|(piece, _)| piece)
    }

    /// Nobody wants a verdict any more.
    pub(super) fn forget(&mut self) {
        self.undecided.clear();
    }
}

/// The failure's message; for a silent exit 1 with the key that makes it a success, unless the driver has said so.
fn advised(failure: &Failure) -> String {
    let message = &failure.message;
    if failure.kind == FailureKind::Exit(1) && failure.silent && !message.contains("ok_exit") {
        return format!(
            "{message}; it printed nothing: if status 1 is how it says \"no match\", set ok_exit = [0, 1]"
        );
    }
    message.clone()
}
