//! lz4: frames, those to be skipped among them. The library unpacks whole blocks, so each is gathered first.
//!
//! ```text
//!   header ──▶ block ──▶ block … ──mark of the end──▶ header of the next frame
//!     └──of a frame to be skipped──▶ skipping ──▶ header
//! ```
//! Limit: a block of 4 MiB, packed and unpacked, and what is looked back to.

use super::{Member, Step, Then};
use lz4_flex::frame::FrameDecoder;
use std::io::{Cursor, Read as _};

const MAGIC: [u8; 4] = [4, 0x22, 0x4d, 0x18];
const BLOCK_BYTES_MAX: usize = 4 << 20;
/// Magic, flags, size of blocks and check sum; what flags add to that is not counted.
const HEADER_BYTES: usize = 7;
const NUMBER_BYTES: usize = 4;

/// All frames of an input.
pub(super) struct Lz4 {
    part: Part,
    gathered: Vec<u8>,
    decoder: FrameDecoder<Cursor<Vec<u8>>>,
    /// It may have more of the block that it was given.
    owes: bool,
    flags: u8,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Header,
    Block,
    Skipping(usize),
}

impl Lz4 {
    pub(super) fn new() -> Self {
        let decoder = FrameDecoder::new(Cursor::default());
        Self { part: Part::Header, gathered: Vec::new(), decoder, owes: false, flags: 0 }
    }

    /// How many bytes of the part there have to be, as far as what is gathered tells.
    fn wanted(&self) -> Result<usize, String> {
        let has = self.gathered.len();
        Ok(match self.part {
            Part::Header if has < NUMBER_BYTES => NUMBER_BYTES,
            Part::Header if is_skipped(&self.gathered) => 2 * NUMBER_BYTES,
            Part::Header if self.gathered[..NUMBER_BYTES] != MAGIC => {
                return Err("what follows a frame is no frame".to_owned());
            }
            Part::Header if has < HEADER_BYTES => HEADER_BYTES,
            Part::Header => {
                let flags = self.gathered[NUMBER_BYTES];
                HEADER_BYTES + if flags & 0x08 == 0 { 0 } else { 8 } + if flags & 0x01 == 0 { 0 } else { 4 }
            }
            Part::Block if has < NUMBER_BYTES => NUMBER_BYTES,
            Part::Block => match number(&self.gathered) & 0x7fff_ffff {
                0 if self.flags & 0x04 == 0 => NUMBER_BYTES,
                0 => 2 * NUMBER_BYTES,
                bytes if bytes > BLOCK_BYTES_MAX => return Err(format!("a block of {bytes} bytes")),
                bytes => NUMBER_BYTES + bytes + if self.flags & 0x10 == 0 { 0 } else { NUMBER_BYTES },
            },
            Part::Skipping(_) => 0,
        })
    }

    /// The part is gathered.
    fn end_part(&mut self) {
        match self.part {
            Part::Header if is_skipped(&self.gathered) => {
                self.part = Part::Skipping(number(&self.gathered[NUMBER_BYTES..]));
                self.gathered.clear();
                return;
            }
            Part::Header => {
                self.flags = self.gathered[NUMBER_BYTES];
                self.part = Part::Block;
            }
            Part::Block if number(&self.gathered) == 0 => self.part = Part::Header,
            Part::Block | Part::Skipping(_) => {}
        }
        *self.decoder.get_mut() = Cursor::new(std::mem::take(&mut self.gathered));
        self.owes = true;
    }

    /// Gathers what there is of the part; says how much it took.
    fn gather(&mut self, input: &[u8]) -> Result<usize, String> {
        if let Part::Skipping(left) = &mut self.part {
            let taken = input.len().min(*left);
            *left -= taken;
            if *left == 0 {
                self.part = Part::Header;
            }
            return Ok(taken);
        }
        let taken = input.len().min(self.wanted()?.saturating_sub(self.gathered.len()));
        self.gathered.extend_from_slice(&input[..taken]);
        if self.gathered.len() == self.wanted()? {
            self.end_part();
        }
        Ok(taken)
    }
}

impl Member for Lz4 {
    fn step(&mut self, input: &[u8], output: &mut [u8], is_last: bool) -> Step {
        let mut taken = 0;
        loop {
            if self.owes {
                match self.decoder.read(output) {
                    Ok(0) => self.owes = false,
                    Ok(given) => return Step::more(taken, given),
                    Err(error) => return Step::failed(taken, 0, error),
                }
            }
            if taken == input.len() && self.part != Part::Skipping(0) {
                let is_between = self.part == Part::Header && self.gathered.is_empty();
                let then = if is_last && is_between { Then::AtItsEnd } else { Then::More };
                return Step { taken, given: 0, then: Ok(then) };
            }
            match self.gather(&input[taken..]) {
                Ok(more) => taken += more,
                Err(why) => return Step::failed(taken, 0, why),
            }
        }
    }
}

fn is_skipped(header: &[u8]) -> bool {
    matches!(header, [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..])
}

/// The number at the beginning, which is there.
fn number(bytes: &[u8]) -> usize {
    bytes.iter().take(NUMBER_BYTES).rev().fold(0, |number, &byte| number << 8 | usize::from(byte))
}
