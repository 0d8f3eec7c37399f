//! Requests as lines, and the records they are made of.

use super::json::{push_base64, push_bytes_member, push_number, push_string};
use bytes::Bytes;
use worker_core::event::{Contents, DeadLetter};
use worker_core::route::{Envelope, NoKey, RecordKey};
use worker_proto::{Batch, LinkId, Seq};

/// Records of one link that are asked one by one.
#[derive(Debug)]
pub(super) struct Input {
    link: LinkId,
    first_seq: Seq,
    batch: Batch,
    envelope: Envelope,
    /// Id of its first record; the others follow.
    pub(super) first_id: u64,
    /// The keys of the records that were asked, laid end to end.
    keys: Vec<u8>,
    key_ends: Vec<usize>,
}

impl Input {
    pub(super) fn new(link: LinkId, first_seq: Seq, batch: Batch, envelope: Envelope) -> Self {
        Self { link, first_seq, batch, envelope, first_id: 0, keys: Vec::new(), key_ends: Vec::new() }
    }

    /// Whether all its records were asked.
    pub(super) fn is_asked(&self) -> bool {
        self.key_ends.len() == self.batch.len()
    }

    /// Behind its last record's id.
    pub(super) fn ids_end(&self) -> u64 {
        self.first_id + self.batch.len() as u64
    }

    /// Takes the next record: its key is kept. An error says why it has none.
    pub(super) fn take_next(&mut self, key: Option<&mut RecordKey>) -> Result<(), NoKey> {
        let taken = match key {
            Some(rule) => {
                let record = self.envelope.content(self.batch.record(self.key_ends.len()));
                rule.of(record).map(|key| self.keys.extend_from_slice(key))
            }
            None => Ok(()),
        };
        self.key_ends.push(self.keys.len());
        taken
    }

    /// The key of a record that was asked.
    pub(super) fn key(&self, id: u64) -> &[u8] {
        let index = self.index(id);
        let start = index.checked_sub(1).map_or(0, |before| self.key_ends[before]);
        &self.keys[start..self.key_ends[index]]
    }

    /// A record's content.
    pub(super) fn record(&self, id: u64) -> &[u8] {
        self.envelope.content(self.batch.record(self.index(id)))
    }

    pub(super) fn dead_letter(&self, id: u64, reason: String) -> DeadLetter {
        let index = self.index(id);
        DeadLetter {
            record: Bytes::copy_from_slice(self.batch.record(index)),
            reason,
            cause: None,
            batch_id: None,
            attempts: 1,
            stderr_tail: String::new(),
            origin: Some((self.link, self.first_seq.plus(index as u64))),
            contents: Contents::Record,
            header: None,
        }
    }

    fn index(&self, id: u64) -> usize {
        usize::try_from(id - self.first_id).unwrap_or(usize::MAX)
    }
}

/// Appends `{"id":7,"key":"a","record":"…"}` and a newline; `key_b64` and `record_b64` for bytes that are not UTF-8.
pub(super) fn push_request(out: &mut Vec<u8>, id: u64, key: Option<&[u8]>, record: &[u8]) {
    push_head(out, id, key, record);
    out.extend_from_slice(b"}\n");
}

/// The same with `"state":{"a":…}`, the key's value, or `{}` where it has none.
pub(super) fn push_request_with_state(
    out: &mut Vec<u8>,
    id: u64,
    key: &[u8],
    record: &[u8],
    value: Option<&[u8]>,
) {
    push_head(out, id, Some(key), record);
    let name = std::str::from_utf8(key);
    out.extend_from_slice(if name.is_ok() { b",\"state\":{" } else { b",\"state_b64\":{" });
    if let Some(value) = value {
        match name {
            Ok(name) => push_string(out, name),
            Err(_) => push_base64(out, key),
        }
        out.push(b':');
        out.extend_from_slice(value);
    }
    out.extend_from_slice(b"}}\n");
}

/// Appends `{"id":8,"end":1}` or `{"id":9,"tick":1}` and a newline.
pub(super) fn push_turn(out: &mut Vec<u8>, id: u64, name: &str) {
    out.extend_from_slice(b"{\"id\":");
    push_number(out, id);
    out.push(b',');
    push_string(out, name);
    out.extend_from_slice(b":1}\n");
}

fn push_head(out: &mut Vec<u8>, id: u64, key: Option<&[u8]>, record: &[u8]) {
    out.extend_from_slice(b"{\"id\":");
    push_number(out, id);
    out.push(b',');
    if let Some(key) = key {
        push_bytes_member(out, "key", key);
        out.push(b',');
    }
    push_bytes_member(out, "record", record);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn requests_look_as_documented() {
        let plain = written(|out| push_request(out, 7, Some(b"a"), b"x \"y\"\xc3\xa9"));
        assert_eq!(plain, "{\"id\":7,\"key\":\"a\",\"record\":\"x \\\"y\\\"é\"}\n");
        assert_eq!(written(|out| push_request(out, 1, None, b"")), "{\"id\":1,\"record\":\"\"}\n");
        let encoded = written(|out| push_request(out, 8, Some(b"\xff"), b"\xfe"));
        assert_eq!(encoded, "{\"id\":8,\"key_b64\":\"/w==\",\"record_b64\":\"/g==\"}\n");
        let state = written(|out| push_request_with_state(out, 9, b"a", b"r", Some(b"\"3\"")));
        assert_eq!(state, "{\"id\":9,\"key\":\"a\",\"record\":\"r\",\"state\":{\"a\":\"3\"}}\n");
        let none = written(|out| push_request_with_state(out, 9, b"\xff", b"r", None));
        assert_eq!(none, "{\"id\":9,\"key_b64\":\"/w==\",\"record\":\"r\",\"state_b64\":{}}\n");
        assert_eq!(written(|out| push_turn(out, 3, "tick")), "{\"id\":3,\"tick\":1}\n");
    }

    #[test]
    fn a_letter_says_where_its_record_came_from() {
        let batch = Batch::from_terminated("a 1\nb 2\n".into(), b'\n');
        let mut input = Input::new(LinkId(3), Seq(10), batch, b'\n'.into());
        input.first_id = 5;
        input.take_next(None).unwrap();
        input.take_next(None).unwrap();
        let letter = input.dead_letter(6, "why".into());
        assert_eq!((letter.origin, letter.attempts), (Some((LinkId(3), Seq(11))), 1));
        assert_eq!(
            (&letter.record[..], input.record(6), input.key(6)),
            (&b"b 2\n"[..], &b"b 2"[..], &b""[..])
        );
        assert!(input.is_asked());
    }
}
