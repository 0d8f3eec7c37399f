//! What the simulated programs print: pure functions of records.
//!
//! A record is `source#number key padding:path`; each stage appends its letter (and which life of its task made it) to the
//! path, so that every record on every link is unique and tells where it came from.

use bytes::Bytes;
use worker_core::route::PartitionBy;
use worker_proto::Batch;

/// How many different keys records have, and from how few half of the records have theirs.
const KEYS: u64 = 50;
const FREQUENT_KEYS: u64 = 3;

/// Where some records have no key, one in so many has none.
const KEYLESS_ONE_IN: u64 = 7;

/// How headers begin.
const HEAD: &str = "head of ";

/// A batch stage's program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchProgram {
    /// One record out for one in.
    Identity,
    /// Drops one record in this many.
    Filter(u64),
    /// This many records out for one in.
    Multiply(u64),
    /// Fails whenever its input has a record whose hash is a multiple of this.
    FailOn(u64),
    /// Fails in this many percent of its runs.
    Chance(u64),
    /// Always fails.
    FailAlways,
    /// The worker itself dies whenever the input has a record whose hash is a multiple of this.
    KillOn(u64),
}

/// A stream stage's program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamProgram {
    /// Prints each record as it comes.
    Identity,
    /// Prints everything, sorted, at its end.
    Sort,
    /// Prints how many records there were, at its end.
    Count,
    /// Exits after this many records.
    Head(u64),
    /// Prints each record as it comes, and all of them, sorted, at its end.
    Both,
    /// Prints each record as it comes, in a way that never is the same twice.
    Unsteady,
}

/// A records stage's program: for each record the record and what is under its key now, and totals at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordsProgram {
    /// How often the key was seen.
    Count,
    /// 0 and nothing in turn: a value comes back to what it was.
    Flip,
    /// Answers `fail` to a record whose hash is a multiple of this.
    Fail(u64),
    /// Dies of a record whose hash is a multiple of this.
    DieOn(u64),
    /// Dies in this many percent of its answers.
    Chance(u64),
}

/// The records that `record` becomes in stage `letter`, with a position of the run or life that makes them; poison is not looked
/// at.
#[must_use]
pub fn outputs_of(program: BatchProgram, record: &[u8], letter: char, position: &str) -> Vec<Bytes> {
    let copies = match program {
        BatchProgram::Identity
        | BatchProgram::FailOn(_)
        | BatchProgram::KillOn(_)
        | BatchProgram::Chance(_) => 1,
        BatchProgram::Filter(one_in) => u64::from(!weight(record).is_multiple_of(one_in)),
        BatchProgram::Multiply(copies) => copies,
        BatchProgram::FailAlways => 0,
    };
    (0..copies).map(|copy| marked(record, letter, position, (copies > 1).then_some(copy))).collect()
}

/// Whether `program` fails on this record for certain.
#[must_use]
pub fn is_poison(program: BatchProgram, record: &[u8]) -> bool {
    match program {
        BatchProgram::FailOn(one_in) => weight(record).is_multiple_of(one_in),
        BatchProgram::FailAlways => true,
        BatchProgram::Identity
        | BatchProgram::Filter(_)
        | BatchProgram::Multiply(_)
        | BatchProgram::KillOn(_)
        | BatchProgram::Chance(_) => false,
    }
}

/// Whether the worker dies of this record in `program`.
#[must_use]
pub fn is_killer(program: BatchProgram, record: &[u8]) -> bool {
    matches!(program, BatchProgram::KillOn(one_in) if weight(record).is_multiple_of(one_in))
}

/// `record` with the step of a records stage: what is under its key now.
#[must_use]
pub fn counted(record: &[u8], letter: char, value: Option<u64>) -> Bytes {
    marked(record, letter, &format!("<={value:?}>"), None)
}

/// What a records stage says of a key at its end.
#[must_use]
pub fn total(task: usize, key: &[u8], count: u64) -> Bytes {
    format!("total{task} {} {count}:\n", String::from_utf8_lossy(key)).into()
}

/// The key of a record: its second field, or what stands for none.
#[must_use]
pub fn key_of(record: &[u8]) -> Bytes {
    let key = record.split(|&b| b == b' ').nth(1).unwrap_or(b"none");
    Bytes::copy_from_slice(key)
}

/// Whether a record has the field that stages are partitioned by.
#[must_use]
pub fn has_key(record: &[u8]) -> bool {
    record.contains(&b' ')
}

/// What a records stage with this partitioning keeps a record's value under.
#[must_use]
pub fn state_key(by: Option<&PartitionBy>, record: &[u8]) -> String {
    let key = match by {
        Some(PartitionBy::Record) => Bytes::copy_from_slice(record.strip_suffix(b"\n").unwrap_or(record)),
        Some(_) | None => key_of(record),
    };
    String::from_utf8_lossy(&key).into_owned()
}

/// The record without what differs from run to run.
#[must_use]
pub fn stable(record: &[u8]) -> Bytes {
    let mut inside = false;
    let kept = record.iter().filter(|&&byte| {
        inside |= byte == b'<';
        let keep = !inside;
        inside &= byte != b'>';
        keep
    });
    kept.copied().collect()
}

/// What each batch of a stage prints before all records, where it prints a header.
#[must_use]
pub fn header_of(letter: char) -> Bytes {
    format!("{HEAD}{letter}\n").into()
}

/// What is on a link and is no record: the end of a chunk, or a header.
#[must_use]
pub fn is_no_record(record: &[u8]) -> bool {
    record.is_empty() || is_header(record)
}

/// Records begin with the number of their source, or with `total`.
#[must_use]
pub fn is_header(record: &[u8]) -> bool {
    record.starts_with(HEAD.as_bytes())
}

/// `record` with one more step on its path.
#[must_use]
pub fn marked(record: &[u8], letter: char, position: &str, copy: Option<u64>) -> Bytes {
    let mut out = record.strip_suffix(b"\n").unwrap_or(record).to_vec();
    out.push(u8::try_from(letter).unwrap_or(b'?'));
    out.extend_from_slice(position.as_bytes());
    if let Some(copy) = copy {
        out.extend_from_slice(copy.to_string().as_bytes());
    }
    out.push(b'\n');
    out.into()
}

/// Record `number` of source `source`, read in life `life` of its task.
#[must_use]
pub fn source_record(source: usize, number: u64, life: u64, padding: usize, keyless: bool) -> Bytes {
    let weight = weight(format!("{source}#{number}").as_bytes());
    let key = if weight.is_multiple_of(2) { weight / 2 % FREQUENT_KEYS } else { weight % KEYS };
    let life = if life > 0 { format!("'{life}") } else { String::new() };
    if keyless && weight.is_multiple_of(KEYLESS_ONE_IN) {
        return format!("{source}#{number}:{life}\n").into();
    }
    format!("{source}#{number} k{key} {}:{life}\n", "x".repeat(padding)).into()
}

/// One batch of `records`.
#[must_use]
pub fn batch_of(records: &[Bytes]) -> Batch {
    Batch::from_terminated(records.concat().into(), b'\n')
}

/// A hash of the record that does not change on its path: of all before the colon.
pub(super) fn weight(record: &[u8]) -> u64 {
    let stable = record.split(|&b| b == b':').next().unwrap_or(record);
    let hash = stable.iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    (hash >> 17) % 9973
}
