//! UTF-16 becomes UTF-8, without its byte order mark.

use super::format::Endian;
use super::{Failure, KEPT_BYTES_MAX, Member, Remark, Step, Then};

const BYTE_ORDER_MARK: u16 = 0xfeff;
const REPLACEMENT: &str = "\u{fffd}";
/// What one unit may come to: what is put in for the one before it, and itself.
const ROOM_BYTES: usize = 6;

pub(super) struct Utf16 {
    endian: Endian,
    /// What is no character is replaced; else it is damage.
    replaces: bool,
    begun: bool,
    /// The first byte of a unit.
    half: Option<u8>,
    /// The first unit of a pair.
    high: Option<u16>,
    offset: u64,
    remark: Option<Remark>,
}

/// Text on its way.
struct Text<'a> {
    output: &'a mut [u8],
    given: usize,
}

impl Utf16 {
    pub(super) fn new(endian: Endian, replaces: bool) -> Self {
        Self { endian, replaces, begun: false, half: None, high: None, offset: 0, remark: None }
    }

    fn unit(&mut self, unit: u16, text: &mut Text<'_>) -> Result<(), String> {
        if !std::mem::replace(&mut self.begun, true) && unit == BYTE_ORDER_MARK {
            return Ok(());
        }
        if let Some(high) = self.high {
            if let Some(Ok(pair)) = char::decode_utf16([high, unit]).next() {
                self.high = None;
                text.push(pair);
                return Ok(());
            }
            self.unpaired(high, text)?;
            self.high = None;
        }
        match char::from_u32(u32::from(unit)) {
            Some(character) => text.push(character),
            None if unit < 0xdc00 => self.high = Some(unit),
            None => self.unpaired(unit, text)?,
        }
        Ok(())
    }

    fn unpaired(&mut self, unit: u16, text: &mut Text<'_>) -> Result<(), String> {
        let bytes = match self.endian {
            Endian::Little => unit.to_le_bytes(),
            Endian::Big => unit.to_be_bytes(),
        };
        self.flaw(&bytes, text, || format!("half of a pair of surrogates, {unit:04x}, without the other"))
    }

    fn flaw(&mut self, bytes: &[u8], text: &mut Text<'_>, why: impl Fn() -> String) -> Result<(), String> {
        if !self.replaces {
            return Err(why());
        }
        let offset = self.offset;
        let remark = self.remark.get_or_insert_with(|| Remark { offset, ..Remark::default() });
        remark.count += 1;
        if remark.bytes.len() + bytes.len() <= KEPT_BYTES_MAX {
            remark.bytes.extend_from_slice(bytes);
        }
        REPLACEMENT.chars().for_each(|character| text.push(character));
        Ok(())
    }

    /// What was begun and does not go on.
    fn end(&mut self, text: &mut Text<'_>) -> Result<(), String> {
        if let Some(high) = self.high.take() {
            self.unpaired(high, text)?;
        }
        match self.half.take() {
            Some(half) => self.flaw(&[half], text, || "it ends within a character".to_owned()),
            None => Ok(()),
        }
    }
}

impl Text<'_> {
    fn has_room(&self) -> bool {
        self.output.len() - self.given >= ROOM_BYTES
    }

    fn push(&mut self, character: char) {
        self.given += character.encode_utf8(&mut self.output[self.given..]).len();
    }
}

impl Member for Utf16 {
    fn step(&mut self, input: &[u8], output: &mut [u8], is_last: bool) -> Step {
        let mut text = Text { output, given: 0 };
        for (taken, &byte) in input.iter().enumerate() {
            let Some(half) = self.half.take() else {
                self.half = Some(byte);
                continue;
            };
            if !text.has_room() {
                self.half = Some(half);
                return Step::more(taken, text.given);
            }
            let unit = match self.endian {
                Endian::Little => u16::from_le_bytes([half, byte]),
                Endian::Big => u16::from_be_bytes([half, byte]),
            };
            if let Err(why) = self.unit(unit, &mut text) {
                return Step::failed(taken, text.given, why);
            }
            self.offset += 2;
        }
        if is_last && text.has_room() {
            return match self.end(&mut text) {
                Ok(()) => Step { taken: input.len(), given: text.given, then: Ok(Then::AtItsEnd) },
                Err(why) => {
                    Step { taken: input.len(), given: text.given, then: Err(Failure::BrokenOff(why)) }
                }
            };
        }
        Step::more(input.len(), text.given)
    }

    fn remark(&mut self) -> Option<Remark> {
        self.remark.take()
    }
}
