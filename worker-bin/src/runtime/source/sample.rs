//! A part of what a source reads: which of its records go on, in this life as in every other.

use crate::pipeline::plan::Sampling;
use bytes::Bytes;
use worker_core::event::DeadLetter;
use worker_core::route::{Envelope, NoKey, RecordKey};
use worker_proto::{Batch, BatchBuilder};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Keeps what is decided by a key apart from what decides the partition of it.
const OF_KEYS: u64 = 0x9e37_79b9_7f4a_7c15;

/// Decides by a hash of the record's number or of its key.
#[derive(Debug)]
pub(in crate::runtime) struct Sampler {
    how: Sampling,
    /// Of a task of several that share a source.
    partition: u32,
    key: Option<RecordKey>,
    envelope: Envelope,
    /// No more than so many go on, in all lives.
    limit: u64,
}

/// How far it is, in all lives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// Records read.
    pub(super) read: u64,
    /// Records given.
    pub(super) given: u64,
}

/// What of a chunk goes on.
#[derive(Debug)]
pub(super) struct Picked {
    pub(super) records: Batch,
    /// For each of them how many records of the chunk are done with behind it, and how many of these were left out.
    pub(super) ends: Vec<(u64, u64)>,
    /// Records without the key that decides.
    pub(super) letters: Vec<DeadLetter>,
    pub(super) left_out: u64,
}

impl Sampler {
    pub(in crate::runtime) fn new(
        how: Sampling,
        partition: u32,
        envelope: Envelope,
        limit: Option<u64>,
    ) -> Self {
        let key = how.by.clone().map(|by| RecordKey::new(by, envelope));
        Self { how, partition, key, envelope, limit: limit.unwrap_or(u64::MAX) }
    }

    pub(super) fn is_full(&self, seen: Seen) -> bool {
        seen.given >= self.limit
    }

    /// Of what comes behind `seen`; `done`: so many at its beginning have been done with.
    pub(super) fn pick(&mut self, batch: &Batch, seen: Seen, done: u64) -> Picked {
        let (mut records, mut ends) = (BatchBuilder::new(), Vec::new());
        let (mut letters, mut left_out) = (Vec::new(), 0);
        for (number, record) in (0..).zip(batch.iter()) {
            let goes_on = match self.goes_on(record, seen.read + number) {
                Ok(goes_on) => goes_on,
                Err(why) => {
                    let record = Bytes::copy_from_slice(record);
                    letters.push(DeadLetter::new(record, format!("sample_by finds no key: {why}")));
                    continue;
                }
            };
            match goes_on {
                _ if number < done => {}
                true if seen.given + ends.len() as u64 >= self.limit => break,
                true => {
                    records.push(record);
                    ends.push((number + 1, left_out));
                }
                false => left_out += 1,
            }
        }
        Picked { records: records.take(), ends, letters, left_out }
    }

    fn goes_on(&mut self, record: &[u8], number: u64) -> Result<bool, NoKey> {
        if number == 0 && self.how.keeps_first {
            return Ok(true);
        }
        let hash = match &mut self.key {
            None => {
                let place = [u64::from(self.partition), number].map(u64::to_le_bytes).concat();
                xxh3_64_with_seed(&place, self.how.seed)
            }
            Some(key) => {
                let key = key.of(self.envelope.content(record))?;
                xxh3_64_with_seed(key, self.how.seed.wrapping_add(OF_KEYS))
            }
        };
        Ok(self.how.share.has(hash))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::Share;
    use std::num::NonZeroUsize;
    use worker_core::route::PartitionBy;

    fn sampler(share: &str, by: Option<PartitionBy>, seed: u64, limit: Option<u64>) -> Sampler {
        let how = Sampling { share: Share::parse(share).unwrap(), by, seed, keeps_first: false };
        Sampler::new(how, 0, Envelope::Terminated(b'\n'), limit)
    }

    fn numbers(count: u64) -> Batch {
        let text: String = (0..count).map(|n| format!("k{} {n}\n", n % 97)).collect();
        Batch::from_terminated(text.into_bytes().into(), b'\n')
    }

    fn picked(sampler: &mut Sampler, batch: &Batch) -> Vec<Vec<u8>> {
        sampler.pick(batch, Seen::default(), 0).records.iter().map(<[u8]>::to_vec).collect()
    }

    #[test]
    fn about_as_many_go_on_as_the_share_says_and_others_for_another_seed() {
        let all = numbers(100_000);
        let one = picked(&mut sampler("1%", None, 0, None), &all);
        assert!((900..1100).contains(&one.len()), "{}", one.len());
        assert_eq!(one, picked(&mut sampler("1%", None, 0, None), &all));
        assert_ne!(one, picked(&mut sampler("1%", None, 1, None), &all));
        assert_eq!(picked(&mut sampler("100%", None, 0, None), &all).len(), 100_000);
    }

    #[test]
    fn a_key_goes_on_wholly_or_not_at_all() {
        let by = PartitionBy::Field { index: NonZeroUsize::MIN, delimiter: None };
        let all = numbers(9700);
        let mut sampler = sampler("30%", Some(by), 7, None);
        let some = picked(&mut sampler, &all);
        let keys: std::collections::BTreeSet<&[u8]> =
            some.iter().map(|record| record.split(|&byte| byte == b' ').next().unwrap()).collect();
        assert_eq!(some.len(), keys.len() * 100);
        assert!((15..45).contains(&keys.len()), "{}", keys.len());
        let none = Batch::from_terminated(b" \nk1 x\n".to_vec().into(), b'\n');
        let told = sampler.pick(&none, Seen::default(), 0);
        assert_eq!((told.letters.len(), &told.letters[0].record[..]), (1, &b" \n"[..]));
        assert!(told.letters[0].reason.contains("sample_by finds no key"));
    }

    #[test]
    fn wherever_chunks_are_cut_the_same_go_on() {
        let all = numbers(1000);
        let whole = picked(&mut sampler("20%", None, 3, None), &all);
        for cut in [0, 1, 499, 999, 1000] {
            let mut sampler = sampler("20%", None, 3, None);
            let first = sampler.pick(&all.slice(0..cut), Seen::default(), 0);
            let seen = Seen { read: cut as u64, given: first.records.len() as u64 };
            let second = sampler.pick(&all.slice(cut..1000), seen, 0);
            let both = first.records.iter().chain(second.records.iter());
            assert_eq!(both.map(<[u8]>::to_vec).collect::<Vec<_>>(), whole, "{cut}");
            let again = sampler.pick(&all, Seen::default(), cut as u64);
            assert_eq!(again.records.iter().collect::<Vec<_>>(), second.records.iter().collect::<Vec<_>>());
            assert_eq!(first.left_out + again.left_out + whole.len() as u64, 1000);
        }
    }

    #[test]
    fn a_limit_counts_what_goes_on() {
        let mut sampler = sampler("50%", None, 0, Some(10));
        let picked = sampler.pick(&numbers(1000), Seen { read: 0, given: 4 }, 0);
        assert_eq!(picked.records.len(), 6);
        assert!(sampler.is_full(Seen { read: 0, given: 10 }) && !sampler.is_full(Seen { read: 0, given: 9 }));
    }

    #[test]
    fn the_first_may_be_a_header() {
        let mut sampler = sampler("0.0000001%", None, 0, None);
        sampler.how.keeps_first = true;
        assert_eq!(picked(&mut sampler, &numbers(10)), [b"k0 0\n"]);
        assert!(sampler.pick(&numbers(10), Seen { read: 1, given: 1 }, 0).records.is_empty());
    }
}
