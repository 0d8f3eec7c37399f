//! Comparing what a stream's program prints again with what it had printed.

use crate::event::Printed;
use std::collections::VecDeque;
use worker_proto::Batch;
use xxhash_rust::xxh3::Xxh3;

/// Suppresses the committed part of what a program that runs again prints, by position, and finds differences.
///
/// What was committed is known as steps: so many records with such a hash. Records are taken until a step is full; then its
/// hash must be the same.
pub struct Suppressor {
    steps: VecDeque<Printed>,
    /// Records of the first step that were seen again.
    seen: u64,
    hash: Box<Xxh3>,
    /// Records of the steps behind.
    compared: u64,
    /// Of what the present step was made up to now, for a message.
    again: Vec<Batch>,
}

/// The program printed something else than before.
#[derive(Clone, Debug)]
pub struct Divergence {
    /// Records before the step that differs, in this window.
    pub first: u64,
    /// Records of the step.
    pub records: u64,
    /// What came now: the step's records, in order.
    pub now: Vec<Batch>,
}

impl std::fmt::Debug for Suppressor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Suppressor").field("missing", &self.missing()).finish_non_exhaustive()
    }
}

impl Suppressor {
    /// Expects `steps`, in order.
    #[must_use]
    pub fn new(steps: impl IntoIterator<Item = Printed>) -> Self {
        let mut steps: VecDeque<_> = steps.into_iter().collect();
        steps.retain(|s| s.records > 0);
        Self { steps, seen: 0, hash: Box::default(), compared: 0, again: Vec::new() }
    }

    /// Takes what was printed next; gives the part that is new, which may be empty.
    ///
    /// # Errors
    /// [`Divergence`]: a step is not what it was.
    pub fn pass(&mut self, batch: Batch) -> Result<Batch, Divergence> {
        let mut from = 0;
        while let Some(step) = self.steps.front().copied() {
            if from == batch.len() {
                break;
            }
            let left = usize::try_from(step.records - self.seen).unwrap_or(usize::MAX);
            let to = batch.len().min(from.saturating_add(left));
            let part = batch.slice(from..to);
            self.hash.update(part.payload());
            self.seen += (to - from) as u64;
            self.again.push(part);
            from = to;
            if self.seen == step.records {
                if self.hash.digest() != step.hash {
                    let now = std::mem::take(&mut self.again);
                    return Err(Divergence { first: self.compared, records: step.records, now });
                }
                self.compared += step.records;
                self.steps.pop_front();
                self.hash.reset();
                self.seen = 0;
                self.again.clear();
            }
        }
        Ok(batch.slice(from..batch.len()))
    }

    /// Records that were committed and have not been printed again yet.
    #[must_use]
    pub fn missing(&self) -> u64 {
        self.steps.iter().map(|s| s.records).sum::<u64>() - self.seen
    }

    /// Everything committed was printed again.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.steps.is_empty()
    }
}

impl Printed {
    /// The digest of what was printed.
    #[must_use]
    pub fn of(batch: &Batch) -> Self {
        let hash = xxhash_rust::xxh3::xxh3_64(batch.payload());
        Self { records: batch.len() as u64, hash }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn batch(lines: &str) -> Batch {
        Batch::from_terminated(Bytes::copy_from_slice(lines.as_bytes()), b'\n')
    }

    #[test]
    fn suppresses_by_position_however_the_output_is_cut() {
        let steps = [batch("a\nb\nc\n"), batch("d\n"), batch("e\nf\n")];
        for cut in 1..8 {
            let all = batch("a\nb\nc\nd\ne\nf\ng\nh\n");
            let mut again = Suppressor::new(steps.iter().map(Printed::of));
            let mut fresh = Vec::new();
            for part in [all.slice(0..cut), all.slice(cut..all.len())] {
                fresh.extend_from_slice(again.pass(part).expect("the same").payload());
            }
            assert_eq!(fresh, b"g\nh\n", "cut at {cut}");
            assert!(again.is_done());
        }
    }

    #[test]
    fn finds_the_step_that_differs() {
        let mut again = Suppressor::new([Printed::of(&batch("a\nb\n")), Printed::of(&batch("c\n"))]);
        assert!(again.pass(batch("a\n")).expect("not a whole step yet").is_empty());
        let error = again.pass(batch("b\nX\nd\n")).expect_err("another third record");
        assert_eq!((error.first, error.records), (2, 1));
        assert_eq!(error.now.len(), 1);
        assert_eq!(&error.now[0].payload()[..], b"X\n");
    }

    #[test]
    fn fewer_records_than_before_are_missing() {
        let mut again = Suppressor::new([Printed::of(&batch("a\nb\n"))]);
        assert!(again.pass(batch("a\n")).expect("the same").is_empty());
        assert_eq!(again.missing(), 1);
    }
}
