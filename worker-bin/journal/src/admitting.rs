//! A stream's input on its way into the journal. What another task of the same journal sent lies in it already, so the admission refers
//! to that: each byte reaches the disk once a hop.
//!
//! ```text
//!   sender's commit: outputs ──held until acknowledged──┐
//!   receiver's commit: admits ──refers to the same place─┴▶ the segment stays until the window is done
//! ```
//! - The output is held when its receiver admits it: the acknowledgement follows from the admission. What is not, as it came from another
//!   journal or lies in a batch of more than [`REFERRED_BYTES_MAX`], is written with the admission.
//! - A reference is a place, not a number on a link: recovery reads it without knowing what was acknowledged since. It lies before the
//!   admission in one journal, so no crash leaves the admission without it.
//! - The place is pinned by the window as its own admissions are ([`Use::Window`](super::live::Use::Window)), and moves with what is left
//!   of a mostly dead segment ([`Journal::take_over`]): then what the reference is a part of is copied, and no segment stays for little.

use super::fold::Fold;
use super::record::{Admitted, Payload, StepHead};
use super::storage::Storage;
use super::writer::Journal;
use worker_core::event::StreamStep;
use worker_core::inbox::Piece;

/// No batch larger than this is referred to, in bytes: it is read whole for any part of it.
pub(super) const REFERRED_BYTES_MAX: u64 = 8 << 20;

impl<S: Storage, F: Fold> Journal<S, F> {
    /// Head of a step; what is not in the journal yet goes into `payload`.
    pub(super) fn step_head<'c>(&self, step: &'c StreamStep, payload: &mut Payload<'c>) -> StepHead {
        match step {
            StreamStep::Admit { window, pieces } => match self.referred(pieces) {
                Some(admitted) => StepHead::Refer { window: *window, admitted },
                None => {
                    let batches = pieces.iter().map(|piece| payload.push_batch(&piece.batch)).collect();
                    StepHead::Admit { window: *window, batches }
                }
            },
            StreamStep::Printed { window, printed } => {
                StepHead::Printed { window: *window, records: printed.records, hash: printed.hash }
            }
            StreamStep::Cut { window } => StepHead::Cut { window: *window },
            StreamStep::Done { window } => StepHead::Done { window: *window },
        }
    }

    /// Where all of them are in this journal; `None` if some are not.
    fn referred(&self, pieces: &[Piece]) -> Option<Vec<Admitted>> {
        let mut all = Vec::new();
        for piece in pieces {
            let output = self.images.output(piece.link)?;
            let (mut next, end) = (piece.first_seq, piece.last_seq().next());
            for held in output.held_from(next).take_while(|held| held.first < end) {
                let skip = next.0.checked_sub(held.first.0)?;
                let to = held.last().next().min(end);
                let from = usize::try_from(next.since(piece.first_seq)).ok()?;
                let until = usize::try_from(to.since(piece.first_seq)).ok()?;
                if held.at.span.bytes() > REFERRED_BYTES_MAX {
                    return None;
                }
                let cost = piece.batch.slice(from..until).cost();
                all.push(Admitted::part(held.at, skip, to.since(next), cost));
                next = to;
            }
            if next != end {
                return None;
            }
        }
        Some(all)
    }
}
