//! Another service that uses the outbox by itself: webhooks to several customers, of which one is down for a while.
//!
//! Each customer has an [`Outbox`] and a [`Backoff`]. A failed call moves nothing and enqueues nothing: the outbox is
//! unbound, and what was not acknowledged is pulled again, in order, when the customer's wait is over. So one dead customer
//! costs its own waits and nobody else's. Time is made up: `cargo run -p worker-core --example webhook`

#![expect(clippy::print_stdout, reason = "an example tells what it does")]

use std::time::Duration;
use worker_core::backoff::Backoff;
use worker_core::outbox::{Outbox, PeerError, Standing};
use worker_core::rng::Rng;
use worker_core::{Batch, Seq, Time};

const HOOKS: u64 = 200;
/// How long a call to a customer takes.
const CALL: Duration = Duration::from_millis(5);
/// The second customer answers nothing in this time.
const DOWN: (Time, Time) = (Time::from_micros(300_000), Time::from_micros(4_000_000));

fn main() -> Result<(), PeerError> {
    let mut rng = Rng::new(42);
    let mut customers = [Customer::new("steady"), Customer::new("shaky")];
    for number in 0..HOOKS {
        for customer in &mut customers {
            customer.outbox.push(Batch::from_terminated(format!("order {number}\n").into(), b'\n'));
        }
    }
    let mut now = Time::ZERO;
    while customers.iter().any(|customer| !customer.outbox.is_settled()) {
        now = now + Duration::from_millis(1);
        for customer in &mut customers {
            customer.work(now, &mut rng)?;
        }
        assert!(now < Time::from_micros(60_000_000), "a customer is stuck");
    }
    let expected: Vec<String> = (0..HOOKS).map(|number| format!("order {number}\n")).collect();
    for Customer { name, received, failures, last, outbox, .. } in &customers {
        assert_eq!(*received, expected, "every hook once, in order");
        let (count, retried) = (received.len(), outbox.counters().retried_records);
        println!(
            "{name}: {count} hooks in order by {last} s; {failures} calls failed, {retried} hooks were sent again"
        );
    }
    let (steady, shaky) = (customers[0].last, customers[1].last);
    assert!(steady < Time::from_micros(1_500_000), "the steady customer did not notice: {steady}");
    assert!(shaky > DOWN.1, "the shaky one got the rest when it was back: {shaky}");
    Ok(())
}

/// One customer: what it is still to be sent, and, on the other side of the wire, what it got.
struct Customer {
    name: &'static str,
    outbox: Outbox,
    backoff: Backoff,
    /// Nothing is done before.
    not_before: Time,
    /// The call that is under way, and when it ends.
    call: Option<(Time, Seq, Batch)>,
    received: Vec<String>,
    failures: u64,
    last: Time,
}

impl Customer {
    fn new(name: &'static str) -> Self {
        Self {
            name,
            outbox: Outbox::new(1 << 20),
            backoff: Backoff::new(Duration::from_millis(20), Duration::from_millis(500)),
            not_before: Time::ZERO,
            call: None,
            received: Vec::new(),
            failures: 0,
            last: Time::ZERO,
        }
    }

    /// Ends the call that is over, and begins the next one.
    fn work(&mut self, now: Time, rng: &mut Rng) -> Result<(), PeerError> {
        if now < self.not_before {
            return Ok(());
        }
        if let Some((ends, seq, batch)) = self.call.take() {
            if now < ends {
                self.call = Some((ends, seq, batch));
                return Ok(());
            }
            if self.is_down(now) {
                self.failed(now, rng);
                return Ok(());
            }
            self.answered(now, seq, &batch)?;
        }
        if !self.outbox.is_open() {
            // A customer has what it acknowledged, and takes one hook after the other: any credit will do.
            let through = self.outbox.through();
            self.outbox.open(Standing {
                committed: through,
                received: through,
                finished: through,
                credit: u64::MAX,
            })?;
        }
        // A cost of one byte: one record a call.
        self.call = self.outbox.pull(1).map(|pulled| (now + CALL, pulled.first_seq, pulled.batch));
        Ok(())
    }

    fn is_down(&self, now: Time) -> bool {
        self.name == "shaky" && now >= DOWN.0 && now < DOWN.1
    }

    /// 200: the hook is released.
    fn answered(&mut self, now: Time, seq: Seq, batch: &Batch) -> Result<(), PeerError> {
        self.received.extend(batch.iter().map(|record| String::from_utf8_lossy(record).into_owned()));
        self.backoff.reset();
        self.last = now;
        self.outbox.acked(seq, seq, u64::MAX)
    }

    /// 503, or no answer: the same hook again, later.
    fn failed(&mut self, now: Time, rng: &mut Rng) {
        self.failures += 1;
        self.outbox.unbind();
        let wait = self.backoff.fail(rng);
        self.not_before = now + wait;
        println!("{now} s: {} does not answer, next call in {wait:?}", self.name);
    }
}
