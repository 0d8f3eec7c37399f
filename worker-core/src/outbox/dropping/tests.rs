#![expect(clippy::cast_possible_truncation, reason = "positions of a few hundred records")]

use super::*;
use crate::event::Place;
use crate::outbox::{Request, Standing};
use crate::rng::Rng;
use bytes::Bytes;

/// Records `first` to `last`, each of 6 bytes and so of 10 bytes of cost.
fn records(first: u64, last: u64) -> Batch {
    let text: String = (first..=last).map(|number| format!("{number:05}\n")).collect();
    Batch::from_terminated(Bytes::from(text), b'\n')
}

fn numbers(batch: &Batch) -> Vec<u64> {
    batch.iter().map(|record| std::str::from_utf8(record).unwrap().trim().parse().unwrap()).collect()
}

fn open(outbox: &mut Outbox, credit: u64) {
    let at = outbox.through();
    outbox.open(Standing { committed: at, received: at, finished: at, credit }).unwrap();
}

fn offer(outbox: &mut Outbox, first: u64, last: u64) -> Offered {
    let offered = outbox.offer(Body::Memory(records(first, last)));
    assert_eq!(outbox.check(), Ok(()));
    offered
}

/// Everything that can be sent now, and where it begins.
fn pulled(outbox: &mut Outbox) -> (Option<Seq>, Vec<u64>) {
    let (mut first, mut all) = (None, Vec::new());
    while let Some(pulled) = outbox.pull(u64::MAX) {
        first = first.or(Some(pulled.first_seq));
        all.extend(numbers(&pulled.batch));
    }
    (first, all)
}

#[test]
fn the_newest_that_has_no_room_is_dropped() {
    let mut outbox = Outbox::dropping(100, WhenFull::DropNewest);
    assert_eq!(offer(&mut outbox, 1, 6), Offered { last: Some(Seq(6)), ..Offered::default() });
    assert_eq!(
        offer(&mut outbox, 7, 12),
        Offered { last: Some(Seq(10)), dropped: 2, taken_out: None },
        "what has room is taken"
    );
    assert_eq!(offer(&mut outbox, 13, 20), Offered { dropped: 8, ..Offered::default() });
    open(&mut outbox, 1000);
    assert_eq!(pulled(&mut outbox), (Some(Seq(1)), (1..=10).collect()));
    assert_eq!((outbox.dropped(), outbox.counters().records), (10, 10));
}

#[test]
fn the_oldest_that_was_never_sent_is_dropped_and_numbers_stay_whole() {
    let mut outbox = Outbox::dropping(100, WhenFull::DropOldest);
    offer(&mut outbox, 1, 10);
    open(&mut outbox, 25);
    assert_eq!(pulled(&mut outbox), (Some(Seq(1)), vec![1, 2, 3]), "credit for no more");
    let offered = offer(&mut outbox, 11, 14);
    assert_eq!(
        offered,
        Offered { last: Some(Seq(10)), dropped: 4, taken_out: Some((Seq(3), 4)) },
        "those that were sent stay"
    );
    // A lost connection: what was sent is sent again, and what was not comes behind it.
    outbox.unbind();
    open(&mut outbox, 1000);
    assert_eq!(pulled(&mut outbox), (Some(Seq(1)), vec![1, 2, 3, 8, 9, 10, 11, 12, 13, 14]));
    assert_eq!(outbox.counters().dropped_records, 4);
}

#[test]
fn where_all_that_is_held_was_sent_what_comes_is_dropped() {
    let mut outbox = Outbox::dropping(100, WhenFull::DropOldest);
    open(&mut outbox, 1000);
    offer(&mut outbox, 1, 10);
    assert_eq!(pulled(&mut outbox).1.len(), 10);
    assert_eq!(offer(&mut outbox, 11, 13), Offered { dropped: 3, ..Offered::default() });
    outbox.acked(Seq(10), Seq(10), 1000).unwrap();
    assert_eq!(offer(&mut outbox, 14, 30).dropped, 7, "of what comes the last has room");
    assert_eq!(pulled(&mut outbox), (Some(Seq(11)), (21..=30).collect()));
}

#[test]
fn one_record_has_room_where_nothing_is_held() {
    for (when_full, kept) in [(WhenFull::DropNewest, 1), (WhenFull::DropOldest, 9)] {
        let mut outbox = Outbox::dropping(5, when_full);
        assert_eq!(offer(&mut outbox, 1, 9).dropped, 8);
        open(&mut outbox, 1000);
        assert_eq!(pulled(&mut outbox), (Some(Seq(1)), vec![kept]));
    }
}

#[test]
fn what_is_outside_is_taken_whole_or_dropped_whole() {
    let stored = |place| Body::Stored { place: Place(place), records: 9, cost: 90 };
    let mut outbox = Outbox::dropping(100, WhenFull::DropOldest);
    assert_eq!(outbox.offer(stored(1)).dropped, 0);
    assert_eq!(
        outbox.offer(stored(2)),
        Offered { last: Some(Seq(9)), dropped: 9, taken_out: Some((Seq(0), 9)) }
    );
    assert!(matches!(outbox.poll_request(), Some(Request::Discard { place: Place(1) })));
    // It is on its way back to be sent: as good as sent.
    open(&mut outbox, 1000);
    assert!(matches!(outbox.poll_request(), Some(Request::Load { first_seq: Seq(1), place: Place(2), .. })));
    assert_eq!(offer(&mut outbox, 10, 12), Offered { last: Some(Seq(10)), dropped: 2, taken_out: None });
    let mut newest = Outbox::dropping(100, WhenFull::DropNewest);
    newest.offer(stored(1));
    assert_eq!(newest.offer(stored(2)).dropped, 9);
    assert!(matches!(newest.poll_request(), Some(Request::Discard { place: Place(2) })), "it is forgotten");
}

/// What a run at random came to.
struct Run {
    outbox: Outbox,
    when_full: WhenFull,
    /// The first record that was not offered yet.
    next: u64,
    /// What has to arrive, in order.
    expected: Vec<u64>,
    arrived: Vec<u64>,
    /// Through where anything was ever sent.
    sent: usize,
}

impl Run {
    fn offers(&mut self, records_: u64) -> Result<(), String> {
        let (first, last) = (self.next, self.next + records_ - 1);
        let offered = self.outbox.offer(Body::Memory(records(first, last)));
        self.next = last + 1;
        if let Some((behind, count)) = offered.taken_out {
            let (from, count) = (behind.0 as usize, count as usize);
            if from < self.sent {
                return Err(format!("{from} is taken out, and {} was sent", self.sent));
            }
            self.expected.drain(from..from + count);
        }
        let kept = self.outbox.next_seq().before().0 as usize - self.expected.len();
        let skipped = if self.when_full == WhenFull::DropOldest { records_ as usize - kept } else { 0 };
        self.expected.extend((first..=last).skip(skipped).take(kept));
        Ok(())
    }

    fn pulls(&mut self, cost_max: u64) -> Result<(), String> {
        while let Some(pulled) = self.outbox.pull(cost_max) {
            let first = pulled.first_seq.0 as usize;
            if first > self.arrived.len() + 1 {
                return Err(format!("a gap before {first}"));
            }
            self.arrived.truncate(first - 1);
            self.arrived.extend(numbers(&pulled.batch));
            self.sent = self.sent.max(self.arrived.len());
        }
        Ok(())
    }
}

/// Offers, sends, loses connections and acknowledges at random: what arrives is what was not dropped, in order, each once, nothing
/// that was sent is taken out, and every record is somewhere.
fn at_random(seed: u64, when_full: WhenFull, bug: Option<Bug>) -> Result<(), String> {
    let mut rng = Rng::new(seed);
    let outbox = Outbox::dropping(200, when_full);
    let mut run = Run { outbox, when_full, next: 1, expected: Vec::new(), arrived: Vec::new(), sent: 0 };
    bug.into_iter().for_each(|bug| run.outbox.planted.plant(bug));
    for _ in 0..200 {
        let outbox = &mut run.outbox;
        match rng.up_to(5) {
            0..=2 => run.offers(1 + rng.up_to(11))?,
            3 if outbox.is_open() => run.pulls(1 + rng.up_to(59))?,
            4 if outbox.is_open() => {
                let through = outbox.cursor();
                let credit = 10 * through.0 + rng.up_to(299);
                outbox.acked(through, through, credit).map_err(|error| error.to_string())?;
            }
            _ if rng.up_to(2) == 0 => outbox.unbind(),
            _ => {
                let (at, credit) = (outbox.through(), rng.up_to(199));
                let standing = Standing { committed: at, received: at, finished: at, credit };
                outbox.open(standing).map_err(|error| error.to_string())?;
            }
        }
        run.outbox.check().map_err(|wrong| wrong.to_string())?;
    }
    open(&mut run.outbox, u64::MAX / 2);
    run.pulls(u64::MAX)?;
    if run.arrived != run.expected {
        return Err(format!("{:?} arrived instead of {:?}", run.arrived, run.expected));
    }
    match run.outbox.dropped() + run.arrived.len() as u64 {
        all if all == run.next - 1 => Ok(()),
        all => Err(format!("{all} of {} records are somewhere", run.next - 1)),
    }
}

#[test]
fn whatever_happens_what_is_not_dropped_arrives_once_and_in_order() {
    for seed in 0..300 {
        for when_full in [WhenFull::DropNewest, WhenFull::DropOldest] {
            assert_eq!(at_random(seed, when_full, None), Ok(()), "{seed}, {when_full:?}");
        }
    }
}

/// Runs at random can fail: each planted bug breaks a rule of theirs.
#[test]
fn drops_of_what_was_sent_and_drops_that_nobody_counts_are_seen() {
    for (bug, says) in [(Bug::DropsSent, "was sent"), (Bug::DropsUncounted, "are somewhere")] {
        let seen = (0..50).find_map(|seed| at_random(seed, WhenFull::DropOldest, Some(bug)).err());
        let seen = seen.unwrap_or_else(|| panic!("{bug:?} is not seen"));
        assert!(seen.contains(says), "{bug:?}: {seen}");
    }
}
