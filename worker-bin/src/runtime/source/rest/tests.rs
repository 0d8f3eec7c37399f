use super::*;
use crate::io::source::{Progress, SourceError};
use crate::pipeline::Share;
use crate::pipeline::plan::Sampling;
use proptest::prelude::*;
use worker_core::route::{Envelope, PartitionBy};

const RECORDS: u64 = 300;

/// Numbers, so many at once as it is told, and a letter with every tenth.
#[derive(Debug)]
struct Numbers {
    next: u64,
    letters: Vec<DeadLetter>,
}

impl Numbers {
    fn at(position: Option<Bytes>) -> Self {
        let next = position.map_or(0, |position| std::str::from_utf8(&position).unwrap().parse().unwrap());
        Self { next, letters: Vec::new() }
    }

    fn chunk(&mut self, records: u64) -> Option<Batch> {
        let end = (self.next + records).min(RECORDS);
        let text: String = (self.next..end).map(|number| format!("k{} {number}\n", number % 7)).collect();
        self.next = end;
        (!text.is_empty()).then(|| Batch::from_terminated(text.into(), b'\n'))
    }
}

impl SourceReader for Numbers {
    fn next_chunk(&mut self) -> Result<Option<Batch>, SourceError> {
        Ok(self.chunk(1))
    }

    fn progress(&self) -> Progress {
        Progress::default()
    }

    fn take_letters(&mut self) -> Vec<DeadLetter> {
        std::mem::take(&mut self.letters)
    }

    fn header(&self) -> Option<Bytes> {
        None
    }

    fn position(&self) -> Option<Bytes> {
        Some(self.next.to_string().into())
    }
}

fn sampler(how: Option<(&str, bool)>, limit: Option<u64>) -> Option<Sampler> {
    let (share, by_key) = how?;
    let index = std::num::NonZeroUsize::MIN;
    let by = by_key.then_some(PartitionBy::Field { index, delimiter: None });
    let how = Sampling { share: Share::parse(share).unwrap(), by, seed: 5, keeps_first: false };
    Some(Sampler::new(how, 0, Envelope::Terminated(b'\n'), limit))
}

/// What one life gives, which begins at `position`, in chunks and parts of these sizes; with how many it left out, and where each part ends.
fn live(
    position: Option<Bytes>,
    sampler: Option<Sampler>,
    sizes: &[(u64, u64)],
) -> Vec<(Vec<Vec<u8>>, Option<Bytes>, u64)> {
    let (own, rest) = Rest::after(position);
    let (mut reader, mut rest) = (Numbers::at(own), rest.sampled(sampler));
    let mut parts = Vec::new();
    for &(read, most) in sizes {
        if rest.is_empty() {
            let before = reader.position();
            let Some(batch) = reader.chunk(read).filter(|_| !rest.is_full()) else { break };
            rest.hold(batch, &mut reader, before);
        }
        let most = Amount { count: most, of: Measure::Records };
        let given = rest.give(Some(most));
        parts.push((given.batch.iter().map(<[u8]>::to_vec).collect(), given.position, given.left_out));
    }
    parts
}

proptest! {
    /// Each life goes on from a part of the one before, whatever else that had given.
    #[test]
    fn all_lives_together_give_what_one_gives(
        lives in proptest::collection::vec((proptest::collection::vec((1_u64..40, 1_u64..30), 1..20), any::<proptest::sample::Index>()), 1..12),
        how in proptest::sample::select(vec![None, Some(("30%", false)), Some(("50%", true)), Some(("100%", false)), Some(("0.01%", false))]),
        limit in proptest::option::of(1_u64..80),
    ) {
        let limit = limit.filter(|_| how.is_some());
        let whole = live(None, sampler(how, limit), &[(RECORDS, RECORDS), (1, 1)]);
        let expected: Vec<Vec<u8>> = whole.into_iter().flat_map(|(records, ..)| records).collect();
        let (mut all, mut position, mut left_out) = (Vec::new(), None, 0);
        for (sizes, kept) in lives {
            let mut parts = live(position.clone(), sampler(how, limit), &sizes);
            if parts.is_empty() {
                break;
            }
            parts.truncate(kept.index(parts.len()) + 1);
            for (records, at, out) in parts {
                all.extend(records);
                position = at.or(position);
                left_out += out;
            }
        }
        let last = live(position, sampler(how, limit), &[(7, 5); 400]);
        for (records, _, out) in last {
            all.extend(records);
            left_out += out;
        }
        if limit.is_none() {
            prop_assert_eq!(all.len() as u64 + left_out, RECORDS);
        }
        prop_assert_eq!(all, expected);
    }
}
