//! The end of a stream: its last record, and what is none.

use super::StreamSource;
use crate::io::chunker::{LeftOut, Piece, TornRecord};
use crate::io::source::{OnDamage, SourceError};
use worker_proto::Batch;

impl StreamSource {
    /// The next of what is left, if it has no end and was held; it has come to what is meant to be its end.
    ///
    /// # Errors
    /// It is too long, breaks off, or is packed and damaged.
    pub fn last_record(&mut self) -> Result<Option<Batch>, SourceError> {
        if self.is_damaged_at_its_end()? {
            return Ok(Some(Batch::empty()));
        }
        match self.finish()? {
            Some((piece, invented)) if !self.counter.is_full() => self.pass(piece, invented),
            Some(_) | None => Ok(None),
        }
    }

    /// Forgets the last record, if it has no end and was held; says how many bytes it had.
    pub fn leave_last_out(&mut self) -> usize {
        self.leave_packed_out();
        self.chunker.discard_partial()
    }

    /// The next of all that is left; a last record of text without an end is given one.
    pub(super) fn finish(&mut self) -> Result<Option<(Piece, u64)>, SourceError> {
        let ended = self.chunker.end_record().map_err(|e| self.too_long(e))?;
        self.invented += ended.invented;
        if ended.left_out.is_some() {
            (self.invented, self.left_out) = (0, ended.left_out);
        }
        if let Some((piece, _)) = self.flush(0)? {
            let invented = if self.chunker.is_empty() { std::mem::take(&mut self.invented) } else { 0 };
            return Ok(Some((piece, invented)));
        }
        match self.left_out.take() {
            None => Ok(None),
            Some(LeftOut::Blanks(bytes)) => {
                self.position.taken += bytes;
                Ok(None)
            }
            Some(LeftOut::Torn(torn)) => self.break_off(torn).map(Some),
        }
    }

    /// The stream breaks off within a record.
    fn break_off(&mut self, torn: TornRecord) -> Result<(Piece, u64), SourceError> {
        let bytes = torn.bytes.len() as u64;
        let (torn, record) = SourceError::torn(self.name.clone(), torn);
        match self.packed.on_damage {
            OnDamage::Halt => Err(torn),
            OnDamage::Skip => {
                self.position.taken += bytes;
                self.tell(record, torn.passed_over());
                Ok((Piece::Records(Batch::empty()), 0))
            }
        }
    }
}
