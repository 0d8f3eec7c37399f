//! Columns of comma-separated values (RFC 4180).

use super::envelope::Envelope;
use super::field;
use super::key::NoKey;
use csv_core::{ReadFieldResult, Reader, ReaderBuilder, Terminator};
use std::num::NonZeroUsize;

/// Reads one column. A record without a quote is only searched for commas; the full grammar is for those that have one.
#[derive(Debug)]
pub(super) struct CsvReader {
    column: usize,
    /// Lines of CSV may end with CR LF, of which the CR is then no part of the last column.
    lines: bool,
    /// Boxed: its state table takes half a kilobyte.
    parser: Box<Reader>,
    content: Vec<u8>,
}

impl CsvReader {
    pub(super) fn new(column: NonZeroUsize, envelope: Envelope) -> Self {
        let (terminator, lines) = match envelope {
            Envelope::Terminated(byte) => (byte, byte == b'\n'),
            Envelope::Lines => (b'\n', true),
            Envelope::Bare | Envelope::Prefixed(_) | Envelope::Varint => (b'\n', false),
        };
        let parser = Box::new(ReaderBuilder::new().terminator(Terminator::Any(terminator)).build());
        Self { column: column.get(), lines, parser, content: Vec::new() }
    }

    // Its frame is large: readers of other keys would pay for it.
    #[inline(never)]
    pub(super) fn column<'a>(&'a mut self, record: &'a [u8]) -> Result<&'a [u8], NoKey> {
        let wanted = self.column;
        let record = if self.lines { record.strip_suffix(b"\r").unwrap_or(record) } else { record };
        let column = if memchr::memchr(b'"', record).is_none() {
            field::by_delimiter(record, wanted, b",")
        } else {
            self.parsed_column(record)
        };
        column.map_err(|has| NoKey::Column { wanted, has })
    }

    /// The column's content, or how many columns there are.
    fn parsed_column(&mut self, record: &[u8]) -> Result<&[u8], usize> {
        self.parser.reset();
        self.content.resize(record.len() + 1, 0);
        let (mut input, mut written) = (record, 0);
        for seen in 1.. {
            let last = loop {
                let (result, read, wrote) = self.parser.read_field(input, &mut self.content[written..]);
                input = &input[read..];
                written += wrote;
                match result {
                    // Empty input tells the parser that this was all.
                    ReadFieldResult::InputEmpty => {}
                    ReadFieldResult::OutputFull => self.content.push(0),
                    ReadFieldResult::Field { record_end } => break record_end,
                    ReadFieldResult::End => return Err(seen - 1),
                }
            };
            if seen == self.column {
                return Ok(&self.content[..written]);
            }
            if last {
                return Err(seen);
            }
            written = 0;
        }
        Err(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(index: usize, record: &str) -> Result<String, NoKey> {
        let mut reader = CsvReader::new(NonZeroUsize::new(index).unwrap(), b'\n'.into());
        reader.column(record.as_bytes()).map(|key| String::from_utf8_lossy(key).into_owned())
    }

    #[test]
    fn a_quoted_and_an_unquoted_field_have_one_key() {
        for record in
            ["x,AK,y", "x,\"AK\",y", "\"x,x\",AK,y", "\"x\"\"\",\"AK\"", "\"x\",AK\r", "x,AK\r", "x,\"AK\"\r"]
        {
            assert_eq!(column(2, record).as_deref(), Ok("AK"), "{record:?}");
        }
    }

    #[test]
    fn quotes_are_taken_off_and_doubled_ones_halved() {
        assert_eq!(column(1, "\"a,\"\"b\"\"\",c").as_deref(), Ok("a,\"b\""));
        assert_eq!(column(3, "\"a\",b,").as_deref(), Ok(""));
        assert_eq!(column(2, "\"a\",\"two\nlines\"").as_deref(), Ok("two\nlines"));
    }

    #[test]
    fn a_missing_column_is_counted() {
        assert_eq!(column(3, "a,b"), Err(NoKey::Column { wanted: 3, has: 2 }));
        assert_eq!(column(3, "\"a,b\",c"), Err(NoKey::Column { wanted: 3, has: 2 }));
        assert_eq!(column(2, "\"never closed, no second"), Err(NoKey::Column { wanted: 2, has: 1 }));
    }

    #[test]
    fn one_record_leaves_nothing_behind_for_the_next() {
        let mut reader = CsvReader::new(NonZeroUsize::MIN, b'\n'.into());
        assert_eq!(reader.column(b"\"open, and long"), Ok(&b"open, and long"[..]));
        assert_eq!(reader.column(b"\"b\",c"), Ok(&b"b"[..]));
    }
}
