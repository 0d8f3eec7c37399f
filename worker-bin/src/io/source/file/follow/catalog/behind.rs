//! How far behind their files what was given of the logs is.

use super::Catalog;
use crate::io::source::file::follow::known::LogId;
use crate::io::source::lag::Lag;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::Instant;

/// So many lengths of a log that is behind are told apart.
const LENGTHS_MAX: usize = 32;

/// The logs that are behind.
#[derive(Debug, Default)]
pub(in super::super) struct Behind {
    logs: HashMap<LogId, Log>,
    /// Since when the first byte that was not given has been there, by log.
    oldest: BTreeSet<(Instant, LogId)>,
    bytes: u64,
    pub(in super::super) lag: Lag,
}

/// One of them.
#[derive(Debug, Default)]
struct Log {
    bytes: u64,
    /// How long its file was seen to be, and when.
    lengths: VecDeque<(u64, Instant)>,
}

impl Log {
    fn since(&self) -> Option<Instant> {
        self.lengths.front().map(|&(_, at)| at)
    }
}

impl Catalog {
    /// A log has grown, or something of it was given, or no file has it any more.
    pub(super) fn note_behind(&mut self, id: LogId) {
        let now = Instant::now();
        let (given, length) = match self.logs.get(&id).filter(|log| !log.is_gone()) {
            None => (0, 0),
            Some(log) => match &log.known.packed {
                Some(packed) if packed.is_done => (log.length, log.length),
                Some(_) => (0, log.length),
                None => (log.known.content.bytes.min(log.length), log.length),
            },
        };
        let behind = &mut self.behind;
        let mut log = behind.logs.remove(&id).unwrap_or_default();
        log.since().map(|since| behind.oldest.remove(&(since, id)));
        behind.bytes -= log.bytes;
        log.bytes = length - given;
        log.lengths.retain(|&(seen, _)| seen > given && seen <= length);
        if log.bytes > 0 {
            let last = log.lengths.back().map(|&(seen, _)| seen);
            match last.filter(|&last| last < length) {
                // Those in between are taken for as old as the last that is kept.
                Some(_) if log.lengths.len() >= LENGTHS_MAX => {
                    if let Some(last) = log.lengths.back_mut() {
                        last.0 = length;
                    }
                }
                Some(_) => log.lengths.push_back((length, now)),
                None if last.is_none() => log.lengths.push_back((length, now)),
                None => {}
            }
            behind.bytes += log.bytes;
            behind.oldest.extend(log.since().map(|since| (since, id)));
            behind.logs.insert(id, log);
        }
        behind.lag.is(behind.bytes, behind.oldest.first().map(|&(since, _)| since));
    }
}
