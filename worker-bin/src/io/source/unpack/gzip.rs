//! gzip: one member, which is a header, deflated data and its check sum.

use super::{Member, Step, Then};
use crc32fast::Hasher;
use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::inflate_flags::{TINFL_FLAG_HAS_MORE_INPUT, TINFL_FLAG_IGNORE_ADLER32};
use miniz_oxide::inflate::core::{DecompressorOxide, decompress};

/// How far back deflated data refers.
const WINDOW_BYTES: usize = 32 * 1024;
const FIXED_BYTES: usize = 10;
const TRAILER_BYTES: usize = 8;

const HAS_CHECK_SUM: u8 = 2;
const HAS_EXTRA: u8 = 4;
const HAS_NAME: u8 = 8;
const HAS_COMMENT: u8 = 16;
const RESERVED: u8 = 0xe0;

pub(super) struct Gzip {
    part: Part,
    /// Of the part, where that is gathered.
    seen: Vec<u8>,
    flags: u8,
    header_sum: Hasher,
    inflate: Box<DecompressorOxide>,
    window: Vec<u8>,
    /// Where in the window it goes on …
    at: usize,
    /// … and how much behind that is to be given first.
    owed: usize,
    /// It was stopped by the end of the window.
    has_more: bool,
    /// Why it cannot go on behind that, or that it is at its end.
    then: Option<Result<(), String>>,
    sum: Hasher,
    length: u32,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Fixed,
    ExtraLength,
    Extra(usize),
    Name,
    Comment,
    CheckSum,
    Data,
    Trailer,
}

impl Gzip {
    pub(super) fn new() -> Self {
        Self {
            part: Part::Fixed,
            seen: Vec::new(),
            flags: 0,
            header_sum: Hasher::new(),
            inflate: Box::default(),
            window: vec![0; WINDOW_BYTES],
            at: 0,
            owed: 0,
            has_more: false,
            then: None,
            sum: Hasher::new(),
            length: 0,
        }
    }

    /// One byte of what is not data; `true`: it was the last one.
    fn byte(&mut self, byte: u8) -> Result<bool, String> {
        let part = self.part;
        if part != Part::CheckSum && part != Part::Trailer {
            self.header_sum.update(&[byte]);
        }
        match part {
            Part::Name | Part::Comment if byte != 0 => return Ok(false),
            Part::Name | Part::Comment => {}
            Part::Extra(left) if left > 1 => {
                self.part = Part::Extra(left - 1);
                return Ok(false);
            }
            Part::Extra(_) => {}
            Part::Fixed | Part::ExtraLength | Part::CheckSum | Part::Trailer | Part::Data => {
                self.seen.push(byte);
                if self.seen.len() < part.bytes() {
                    return Ok(false);
                }
                let seen = std::mem::take(&mut self.seen);
                self.gathered(part, &seen)?;
            }
        }
        if part == Part::Trailer {
            return Ok(true);
        }
        self.part = self.next(part);
        Ok(false)
    }

    fn gathered(&mut self, part: Part, seen: &[u8]) -> Result<(), String> {
        match (part, seen) {
            (Part::Fixed, [0x1f, 0x8b, 8, flags, ..]) if flags & RESERVED == 0 => self.flags = *flags,
            (Part::Fixed, [0x1f, 0x8b, 8, ..]) => return Err("its header has unknown flags".to_owned()),
            (Part::Fixed, _) => return Err("it does not begin as gzip data does".to_owned()),
            (Part::ExtraLength, [low, high]) => {
                self.part = Part::Extra(usize::from(u16::from_le_bytes([*low, *high])));
            }
            (Part::CheckSum, [low, high]) => {
                let sum = self.header_sum.clone().finalize() & 0xffff;
                if sum != u32::from(u16::from_le_bytes([*low, *high])) {
                    return Err("its header is not what its check sum says".to_owned());
                }
            }
            (Part::Trailer, seen) => {
                let right = [self.sum.clone().finalize().to_le_bytes(), self.length.to_le_bytes()].concat();
                if seen != right {
                    return Err("the data is not what its check sum or length says".to_owned());
                }
            }
            (Part::ExtraLength | Part::Extra(_) | Part::Name | Part::Comment, _)
            | (Part::CheckSum | Part::Data, _) => {}
        }
        Ok(())
    }

    /// What follows a part of the header.
    fn next(&self, part: Part) -> Part {
        let optional = [
            (Part::ExtraLength, HAS_EXTRA),
            (Part::Name, HAS_NAME),
            (Part::Comment, HAS_COMMENT),
            (Part::CheckSum, HAS_CHECK_SUM),
        ];
        if let (Part::ExtraLength, Part::Extra(length)) = (part, self.part)
            && length > 0
        {
            return self.part;
        }
        let behind = match part {
            Part::Fixed => 0,
            Part::ExtraLength | Part::Extra(_) => 1,
            Part::Name => 2,
            Part::Comment => 3,
            Part::CheckSum | Part::Data | Part::Trailer => 4,
        };
        let next = optional[behind..].iter().find(|(_, flag)| self.flags & flag != 0);
        next.map_or(Part::Data, |(part, _)| *part)
    }

    /// Inflates into the window, as much as it holds up to its end.
    fn inflate(&mut self, input: &[u8]) -> usize {
        let flags = TINFL_FLAG_HAS_MORE_INPUT | TINFL_FLAG_IGNORE_ADLER32;
        let (status, taken, given) = decompress(&mut self.inflate, input, &mut self.window, self.at, flags);
        self.owed = given;
        self.has_more = status == TINFLStatus::HasMoreOutput;
        self.then = match status {
            TINFLStatus::NeedsMoreInput | TINFLStatus::HasMoreOutput => None,
            TINFLStatus::Done => Some(Ok(())),
            TINFLStatus::FailedCannotMakeProgress
            | TINFLStatus::BadParam
            | TINFLStatus::Adler32Mismatch
            | TINFLStatus::Failed
            | _ => Some(Err("its deflated data cannot be unpacked".to_owned())),
        };
        taken
    }

    /// Gives what the window holds.
    fn give(&mut self, output: &mut [u8]) -> usize {
        let given = self.owed.min(output.len());
        let from = &self.window[self.at..self.at + given];
        output[..given].copy_from_slice(from);
        self.sum.update(from);
        self.length = self.length.wrapping_add(u32::try_from(given).unwrap_or(0));
        self.at = (self.at + given) % WINDOW_BYTES;
        self.owed -= given;
        given
    }
}

impl Part {
    fn bytes(self) -> usize {
        match self {
            Self::Fixed => FIXED_BYTES,
            Self::ExtraLength | Self::CheckSum => 2,
            Self::Trailer => TRAILER_BYTES,
            Self::Extra(_) | Self::Name | Self::Comment | Self::Data => 0,
        }
    }
}

impl Member for Gzip {
    fn step(&mut self, input: &[u8], output: &mut [u8], _: bool) -> Step {
        let (mut taken, mut given) = (0, 0);
        loop {
            if self.part == Part::Data {
                given += self.give(&mut output[given..]);
                match self.then.take_if(|_| self.owed == 0) {
                    Some(Ok(())) => self.part = Part::Trailer,
                    Some(Err(why)) => return Step::failed(taken, given, why),
                    None if self.owed > 0 || (taken == input.len() && !self.has_more) => {
                        return Step::more(taken, given);
                    }
                    None => taken += self.inflate(&input[taken..]),
                }
                continue;
            }
            let Some(&byte) = input.get(taken) else { return Step::more(taken, given) };
            taken += 1;
            match self.byte(byte) {
                Ok(false) => {}
                Ok(true) => return Step { taken, given, then: Ok(Then::AtItsEnd) },
                Err(why) => return Step::failed(taken, given, why),
            }
        }
    }
}
