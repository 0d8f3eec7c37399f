//! A stream that is packed or encoded, as its first bytes tell: it is unpacked as it comes, each record as soon as it is there.
//!
//! Not where a later life has to go on in the middle of it: an unpacker begins at the beginning, which is gone by then.

use super::StreamSource;
use crate::io::chunker::Piece;
use crate::io::source::long::letter;
use crate::io::source::unpack::{Encoding, Failure, Format, UTF8_MARK, Unpacked, Unpacker};
use crate::io::source::{OnDamage, SourceError};
use worker_proto::Batch;

#[derive(Debug)]
pub(super) struct Packed {
    /// `None`: the stream is as it is, or not known yet.
    unpacker: Option<Unpacker>,
    pub(super) on_damage: OnDamage,
    pub(super) is_refused: bool,
    news: Option<News>,
    /// That it broke off, until it is known whether that is damage.
    broken_off: Option<SourceError>,
}

/// What is told of when all records before it were given.
#[derive(Debug)]
enum News {
    Damage(SourceError),
    Letter(Vec<u8>, String),
}

impl Packed {
    pub(super) fn new(on_damage: OnDamage) -> Self {
        Self { unpacker: None, on_damage, is_refused: false, news: None, broken_off: None }
    }

    pub(super) fn is_packed(&self) -> bool {
        self.unpacker.is_some()
    }

    /// Whether something may come of what was read already.
    pub(super) fn has_more(&self) -> bool {
        self.unpacker.as_ref().is_some_and(|unpacker| !unpacker.wants_input())
    }

    pub(super) fn has_news(&self) -> bool {
        self.news.is_some()
    }

    /// Where what is read goes.
    pub(super) fn input(&mut self) -> Option<&mut Vec<u8>> {
        self.unpacker.as_mut().map(Unpacker::input)
    }

    /// How much of the stream was unpacked, in its bytes.
    pub(super) fn offset(&self) -> Option<u64> {
        self.unpacker.as_ref().map(Unpacker::offset)
    }

    fn begin(&mut self, format: Format, begun: &[u8]) {
        let mut unpacker = Unpacker::new(format, self.on_damage == OnDamage::Skip);
        unpacker.input().extend_from_slice(begun);
        self.unpacker = Some(unpacker);
    }
}

impl StreamSource {
    /// Nothing more comes of the stream.
    pub(super) fn end(&mut self) -> Result<(), SourceError> {
        if let Some(unpacker) = &mut self.packed.unpacker {
            unpacker.end_input();
            return Ok(());
        }
        if let Some(encoding) = self.beginning.end() {
            self.begin(encoding)?;
            return self.end();
        }
        self.ended = true;
        Ok(())
    }

    /// Looks at the first bytes of the stream, of which `count` have just come.
    pub(super) fn look_at_last(&mut self, count: usize) -> Result<(), SourceError> {
        if self.beginning.is_passed() {
            return Ok(());
        }
        let space = self.chunker.space();
        if let Some(encoding) = self.beginning.look(&space[space.len() - count..]) {
            return self.begin(encoding);
        }
        if space.starts_with(UTF8_MARK) {
            self.mark.warn(&self.name);
        }
        Ok(())
    }

    fn begin(&mut self, encoding: &Encoding) -> Result<(), SourceError> {
        match encoding.format {
            Some(format) if !self.packed.is_refused => {
                self.packed.begin(format, &self.chunker.take_back());
                Ok(())
            }
            Some(_) | None => {
                // Nothing of a stream that is refused comes again.
                if let Some(mut spool) = self.spool.take() {
                    spool.leave_out().map_err(|source| spool.error(source))?;
                }
                Err(SourceError::encoded(self.name.clone(), encoding))
            }
        }
    }

    /// Takes what comes of what was read.
    pub(super) fn unpack(&mut self) -> Result<(), SourceError> {
        let Some(unpacker) = &mut self.packed.unpacker else { return Ok(()) };
        match unpacker.unpack_into(self.chunker.space()) {
            Ok(Unpacked::Bytes(first)) if self.chunker.bytes() == first as u64 => {
                if self.chunker.space().starts_with(UTF8_MARK) {
                    self.mark.warn(&self.name);
                }
            }
            Ok(Unpacked::Bytes(_) | Unpacked::WantsInput) => {}
            Ok(Unpacked::AtItsEnd) => {
                self.ended = true;
                self.packed.news =
                    unpacker.take_remark(&self.name).map(|(bytes, why)| News::Letter(bytes, why));
            }
            Err(failure) => {
                let is_held = self.holds_last && matches!(failure, Failure::BrokenOff(_));
                let error = SourceError::unpacking(self.name.clone(), unpacker, failure);
                if is_held {
                    (self.ended, self.packed.broken_off) = (true, Some(error));
                } else {
                    self.packed.news = Some(News::Damage(error));
                }
            }
        }
        Ok(())
    }

    /// What is told of, or a piece that comes before it. What follows damage is taken to its end, for whoever writes it.
    pub(super) fn hear(&mut self) -> Result<(Piece, u64), SourceError> {
        if let Some(piece) = self.flush(0)? {
            return Ok(piece);
        }
        let (bytes, reason) = match self.packed.news.take() {
            Some(News::Damage(damage @ SourceError::Corrupt { .. }))
                if self.packed.on_damage == OnDamage::Skip =>
            {
                (self.chunker.take_partial(), damage.passed_over())
            }
            Some(News::Damage(damage)) => return Err(damage),
            Some(News::Letter(bytes, reason)) => (bytes, reason),
            None => return Ok((Piece::Records(Batch::empty()), 0)),
        };
        self.tell(bytes, reason);
        Ok((Piece::Records(Batch::empty()), 0))
    }

    pub(super) fn tell(&mut self, bytes: Vec<u8>, reason: String) {
        tracing::warn!("{reason}");
        self.letters.push(letter(&bytes, reason, &self.framing));
    }

    /// It broke off, and that is damage; says whether there is something to tell of.
    pub(super) fn is_damaged_at_its_end(&mut self) -> Result<bool, SourceError> {
        match self.packed.broken_off.take() {
            None => Ok(false),
            Some(damage) if self.packed.on_damage == OnDamage::Halt => Err(damage),
            Some(damage) => {
                let partial = self.chunker.take_partial();
                self.tell(partial, damage.passed_over());
                Ok(true)
            }
        }
    }

    /// It broke off because whoever wrote it did.
    pub(super) fn leave_packed_out(&mut self) {
        if let Some(broken_off) = self.packed.broken_off.take() {
            tracing::warn!("{}", broken_off.left_out());
        }
    }
}
