use super::*;
use crate::event::Place;
use crate::recovery::HeldOutput;
use crate::time::Time;
use bytes::Bytes;

fn lines(n: usize) -> Batch {
    Batch::from_terminated(Bytes::from("0123456789\n".repeat(n)), b'\n')
}

fn standing(received: u64, credit: u64) -> Standing {
    Standing { committed: Seq(received), received: Seq(received), finished: Seq::ZERO, credit }
}

fn pull_all(outbox: &mut Outbox) -> Vec<u64> {
    std::iter::from_fn(|| outbox.pull(30))
        .flat_map(|p| (0..p.batch.len() as u64).map(move |i| p.first_seq.0 + i))
        .collect()
}

#[test]
fn a_reconnect_moves_the_cursor_back_and_old_tuples_go_first() {
    let mut outbox = Outbox::new(10_000);
    outbox.push(lines(5));
    outbox.open(standing(0, 10_000)).unwrap();
    assert_eq!(pull_all(&mut outbox), [1, 2, 3, 4, 5]);
    outbox.acked(Seq(2), Seq(1), 10_000).unwrap();
    outbox.unbind();
    outbox.push(lines(2));
    assert_eq!(outbox.pull(30), None, "nothing leaves while unbound");
    outbox.open(standing(3, 10_000)).unwrap();
    assert!(outbox.is_sendable());
    assert_eq!(pull_all(&mut outbox), [4, 5, 6, 7]);
    assert_eq!((outbox.counters().retried_records, outbox.through()), (2, Seq(3)));
}

#[test]
fn sends_within_credit_and_one_record_over_it() {
    let mut outbox = Outbox::new(10_000);
    outbox.push(lines(4));
    outbox.open(standing(0, 31)).unwrap();
    assert_eq!(pull_all(&mut outbox), [1, 2, 3], "two fit, one byte of credit is left, which admits one");
    assert!(outbox.waits_for_credit());
    outbox.acked(Seq(3), Seq(0), 60).unwrap();
    assert_eq!(pull_all(&mut outbox), [4]);
}

#[test]
fn past_its_memory_it_stores_and_loads_in_order() {
    let mut outbox = Outbox::new(100);
    for _ in 0..6 {
        outbox.push(lines(3));
    }
    let mut outside = std::collections::BTreeMap::new();
    let mut turn = |outbox: &mut Outbox| {
        while let Some(request) = outbox.poll_request() {
            match request {
                Request::Release { .. } => panic!("only with a journal"),
                Request::Store { first_seq, batch } => {
                    outside.insert(first_seq.0, batch);
                    outbox.stored(first_seq, Place(first_seq.0));
                }
                Request::Load { first_seq, place, .. } => outbox.loaded(first_seq, outside[&place.0].clone()),
                Request::Discard { place } => assert!(outside.remove(&place.0).is_some()),
            }
        }
        outside.len()
    };
    assert_eq!(turn(&mut outbox), 4, "two batches of 45 bytes fit");
    assert!(outbox.memory_cost() <= 100 && outbox.stored_cost() == 180);
    outbox.open(standing(0, 10_000)).unwrap();
    let mut seen = Vec::new();
    while seen.len() < 18 {
        turn(&mut outbox);
        assert!(outbox.memory_cost() <= 100);
        let pulled = pull_all(&mut outbox);
        assert!(!pulled.is_empty(), "stuck after {seen:?}");
        seen.extend(pulled);
        outbox.acked(outbox.cursor(), Seq::ZERO, 10_000).unwrap();
    }
    assert_eq!(seen, (1..=18).collect::<Vec<_>>());
    assert_eq!((turn(&mut outbox), outbox.memory_cost(), outbox.stored_cost()), (0, 0, 0));
}

#[test]
fn the_end_is_sent_on_every_connection_until_it_is_finished() {
    let mut outbox = Outbox::new(100);
    outbox.push(lines(1));
    let end = outbox.end();
    outbox.open(standing(0, 100)).unwrap();
    assert_eq!((pull_all(&mut outbox), outbox.pull_end(), outbox.pull_end()), (vec![1], Some(end), None));
    outbox.acked(end, Seq(1), 100).unwrap();
    assert!(!outbox.is_finished());
    outbox.unbind();
    assert_eq!(outbox.receiver_restarted(), 0, "the record was finished");
    assert_eq!(outbox.first_unacked(), end);
    outbox.open(standing(1, 100)).unwrap();
    assert_eq!(outbox.pull_end(), Some(end));
    outbox.acked(end, end, 100).unwrap();
    assert!(outbox.is_finished());
}

#[test]
fn a_restarted_receiver_may_have_lost_what_it_accepted_and_did_not_finish() {
    let mut outbox = Outbox::new(1_000);
    outbox.push(lines(10));
    outbox.open(standing(0, 1_000)).unwrap();
    pull_all(&mut outbox);
    outbox.acked(Seq(7), Seq(4), 1_000).unwrap();
    outbox.unbind();
    assert_eq!(outbox.receiver_restarted(), 3);
    assert_eq!(outbox.first_unacked(), Seq(8));
    outbox.open(Standing { committed: Seq(7), received: Seq(7), finished: Seq(7), credit: 1_000 }).unwrap();
    assert_eq!(pull_all(&mut outbox), [8, 9, 10]);
}

#[test]
fn refuses_a_receiver_that_contradicts_it() {
    let mut outbox = Outbox::new(1_000);
    outbox.push(lines(4));
    assert_eq!(outbox.open(standing(5, 9)), Err(PeerError::Ahead { received: Seq(5), next: Seq(5) }));
    outbox.open(standing(0, 1_000)).unwrap();
    assert_eq!(outbox.acked(Seq(1), Seq(0), 9), Err(PeerError::Ahead { received: Seq(1), next: Seq(1) }));
    pull_all(&mut outbox);
    outbox.acked(Seq(4), Seq(0), 1_000).unwrap();
    outbox.unbind();
    assert_eq!(outbox.open(standing(3, 9)), Err(PeerError::Behind { committed: Seq(3), through: Seq(4) }));
}

#[test]
fn cancelling_finishes_everything_now_and_later() {
    let mut outbox = Outbox::new(1_000);
    outbox.push(lines(4));
    outbox.cancel();
    outbox.push(lines(2));
    outbox.end();
    assert!(outbox.is_finished() && outbox.is_settled() && !outbox.is_sendable());
}

#[test]
fn single_records_that_wait_are_joined_and_stored_in_larger_pieces() {
    let mut outbox = Outbox::new(256 * 1024);
    for _ in 0..100_000 {
        outbox.push(lines(1));
    }
    let stores: Vec<_> = std::iter::from_fn(|| outbox.poll_request()).collect();
    assert!(stores.len() < 100_000 / 200, "{} entries are stored", stores.len());
    assert!(outbox.memory_cost() - outbox.storing_cost() <= 256 * 1024 + 16 * 1024);
    assert_eq!(outbox.held_records(), 100_000);
}

#[test]
fn a_record_is_not_joined_to_one_that_was_sent() {
    let mut outbox = Outbox::new(1_000);
    outbox.push(lines(1));
    outbox.open(standing(0, 1_000)).unwrap();
    assert_eq!(pull_all(&mut outbox), [1]);
    outbox.push(lines(1));
    outbox.push(lines(1));
    outbox.acked(Seq(1), Seq(0), 1_000).unwrap();
    assert_eq!(pull_all(&mut outbox), [2, 3]);
}

#[test]
fn what_comes_stored_to_an_idle_link_is_fetched_at_once() {
    let mut outbox = Outbox::new(1_000);
    outbox.open(standing(0, 1_000)).unwrap();
    let body = Body::Stored { place: Place(7), records: 3, cost: 45 };
    outbox.assign(&body);
    outbox.push_assigned(body);
    assert!(matches!(outbox.poll_request(), Some(Request::Load { place: Place(7), .. })));
    outbox.loaded(Seq(1), lines(3));
    assert_eq!(pull_all(&mut outbox), [1, 2, 3]);
}

#[test]
fn a_new_receiver_of_a_cancelled_link_gets_its_end() {
    let mut outbox = Outbox::new(1_000);
    outbox.push(lines(4));
    outbox.cancel();
    let end = outbox.end();
    assert_eq!(outbox.receiver_restarted(), 0);
    assert!(!outbox.is_finished());
    assert_eq!(outbox.first_unacked(), end);
    outbox.open(Standing { committed: Seq(4), received: Seq(4), finished: Seq(4), credit: 100 }).unwrap();
    assert_eq!(outbox.pull_end(), Some(end));
}

#[test]
fn what_is_read_back_from_a_journal_begins_behind_what_is_acknowledged() {
    let held = |first, records| HeldOutput { first: Seq(first), records, cost: 10 * records };
    let state = OutputState { next: Seq(9), through: Seq(0), end: None, held: vec![held(1, 8)] };
    let mut outbox = Outbox::restore(1_000, &state);
    outbox.open(Standing { committed: Seq(3), received: Seq(3), finished: Seq(3), credit: 1_000 }).unwrap();
    let requests: Vec<_> = std::iter::from_fn(|| outbox.poll_request()).collect();
    let load = requests.iter().find_map(|request| match request {
        Request::Load { first_seq, records, .. } => Some((*first_seq, *records)),
        Request::Store { .. } | Request::Release { .. } | Request::Discard { .. } => None,
    });
    assert_eq!(load, Some((Seq(4), 5)), "{requests:?}");
    outbox.loaded(Seq(4), Batch::from_terminated(Bytes::from_static(b"d\ne\nf\ng\nh\n"), b'\n'));
    let pulled = outbox.pull(u64::MAX).expect("it is here");
    assert_eq!((pulled.first_seq, pulled.batch.len()), (Seq(4), 5));
}

#[test]
fn one_tuple_at_a_time_tells_how_long_acknowledgements_take_and_a_rewind_tells_nothing() {
    let at = Time::from_micros;
    let mut outbox = Outbox::new(10_000);
    outbox.push(lines(4));
    outbox.open(standing(0, 10_000)).unwrap();
    for now in [100, 200] {
        outbox.pull(30);
        outbox.sent_at(at(now));
    }
    outbox.acked(Seq(1), Seq(0), 0).unwrap();
    outbox.acked_at(at(300));
    assert_eq!(outbox.latencies().count(), 0, "the first frame is not acknowledged as a whole");
    outbox.acked(Seq(4), Seq(0), 0).unwrap();
    outbox.acked_at(at(900));
    assert_eq!((outbox.latencies().count(), outbox.latencies().sum.as_micros()), (1, 800));
    assert_eq!(outbox.latencies().counts[4], 1, "0.8 ms is above 0.5 and at most 1");
    outbox.push(lines(1));
    outbox.pull(30);
    outbox.sent_at(at(1000));
    outbox.unbind();
    outbox.open(Standing { committed: Seq(4), ..standing(5, 10_000) }).unwrap();
    outbox.acked(Seq(5), Seq(0), 0).unwrap();
    outbox.acked_at(at(5000));
    assert_eq!(outbox.latencies().count(), 1, "it may be of either sending");
}

#[test]
fn what_an_earlier_life_left_counts_when_it_is_acknowledged() {
    let held = vec![HeldOutput { first: Seq(3), records: 2, cost: 40 }];
    let state = OutputState { next: Seq(5), through: Seq(2), held, ..OutputState::fresh() };
    let mut outbox = Outbox::restore(10_000, &state);
    assert_eq!((outbox.held_records(), outbox.acknowledged()), (2, 0));
    outbox.open(Standing { committed: Seq(3), ..standing(4, 10_000) }).unwrap();
    assert_eq!((outbox.held_records(), outbox.acknowledged()), (1, 1));
}

/// An outbox with 100 bytes of memory and six batches of 45 bytes, and where those are outside.
fn past_its_memory(journaled: bool) -> (Outbox, std::collections::BTreeMap<u64, Batch>) {
    let (mut outbox, mut outside) = (Outbox::new(100), std::collections::BTreeMap::new());
    if journaled {
        outbox = Outbox::restore(100, &OutputState::fresh());
        outside = (0..6).map(|i| (1 + 3 * i, lines(3))).collect();
    }
    for _ in 0..6 {
        outbox.push(lines(3));
    }
    (outbox, outside)
}

/// Does what the outbox asks for, and holds it against its bound.
fn serve(outbox: &mut Outbox, outside: &mut std::collections::BTreeMap<u64, Batch>) {
    while let Some(request) = outbox.poll_request() {
        match request {
            Request::Store { first_seq, batch } => {
                outside.insert(first_seq.0, batch);
                outbox.stored(first_seq, Place(first_seq.0));
            }
            Request::Load { first_seq, .. } => outbox.loaded(first_seq, outside[&first_seq.0].clone()),
            Request::Discard { place } => assert!(outside.remove(&place.0).is_some(), "{place:?}"),
            Request::Release { through } => outside.retain(|first, _| first + 2 > through.0),
        }
        let held = outbox.memory_cost() - outbox.storing_cost();
        assert!(held <= 100 + 45, "{held} bytes: the budget, and one entry more");
    }
}

#[test]
fn what_is_read_back_stays_within_memory_however_much_credit_there_is() {
    for journaled in [false, true] {
        let (mut outbox, mut outside) = past_its_memory(journaled);
        for connection in 0..3 {
            serve(&mut outbox, &mut outside);
            outbox.open(standing(0, 10_000)).unwrap();
            let mut seen = Vec::new();
            while seen.len() < 18 {
                serve(&mut outbox, &mut outside);
                let pulled = pull_all(&mut outbox);
                assert!(!pulled.is_empty(), "stuck after {seen:?} on connection {connection}");
                seen.extend(pulled);
            }
            assert_eq!(seen, (1..=18).collect::<Vec<_>>(), "connection {connection}");
            assert!(outbox.memory_cost() <= 100, "what was sent is dropped past the budget");
            outbox.unbind();
        }
        outbox.open(standing(18, 10_000)).unwrap();
        serve(&mut outbox, &mut outside);
        assert_eq!((outbox.memory_cost(), outbox.stored_cost(), outside.len()), (0, 0, 0), "{journaled}");
    }
}

#[test]
fn connections_that_break_leave_nothing_in_memory_past_its_budget() {
    for journaled in [false, true] {
        let (mut outbox, mut outside) = past_its_memory(journaled);
        for received in [0, 6, 9, 12, 15, 4, 7, 10] {
            serve(&mut outbox, &mut outside);
            outbox.open(Standing { committed: Seq(0), ..standing(received, 1) }).unwrap_or_else(|e| {
                panic!("{received}: {e}");
            });
            serve(&mut outbox, &mut outside);
            assert_eq!(pull_all(&mut outbox), [received + 1], "one byte of credit admits one");
            outbox.unbind();
        }
        // Asked for on a connection that is gone before it comes.
        for received in [9, 12, 15] {
            outbox.open(Standing { committed: Seq(0), ..standing(received, 1) }).unwrap();
            outbox.unbind();
        }
        serve(&mut outbox, &mut outside);
        outbox.open(standing(18, 1)).unwrap();
        serve(&mut outbox, &mut outside);
        assert_eq!((outbox.memory_cost(), outbox.stored_cost(), outside.len()), (0, 0, 0), "{journaled}");
    }
}

#[test]
fn small_ones_that_are_sent_as_they_come_stay_within_memory() {
    let (mut outbox, mut outside) = (Outbox::new(100), std::collections::BTreeMap::new());
    outbox.push(lines(6));
    outbox.open(standing(0, 10_000)).unwrap();
    let mut seen = pull_all(&mut outbox);
    for _ in 0..20 {
        outbox.push(lines(1));
        seen.extend(pull_all(&mut outbox));
        serve(&mut outbox, &mut outside);
    }
    assert_eq!(seen, (1..=26).collect::<Vec<_>>(), "nothing waits");
    assert_eq!(outbox.stored_cost(), 15 * 19, "all but the budget and the last");
    outbox.unbind();
    outbox.open(standing(0, 10_000)).unwrap();
    let mut again = Vec::new();
    while again.len() < 26 {
        serve(&mut outbox, &mut outside);
        again.extend(pull_all(&mut outbox));
    }
    outbox.acked(Seq(26), Seq::ZERO, 0).unwrap();
    serve(&mut outbox, &mut outside);
    assert_eq!((again, outside.len(), outbox.memory_cost()), (seen, 0, 0));
}
