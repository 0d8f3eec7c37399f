//! Who has connected and not been let in yet: all of them together have a budget, and nobody keeps anybody out with it.
//!
//! A connection is accepted always. Where there are too many of one address, the oldest one of it is dropped; where there are too many in
//! all, the oldest one of the address that has most. A node of the pipeline has one or two, and says at once who it is: it is let in before it
//! is the oldest, and whoever has fewer addresses than there may be strangers cannot crowd it out, however fast he is.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// All who are accepted and without a `Welcome`, those that are being sent away included.
#[derive(Debug)]
pub(crate) struct Strangers {
    max: usize,
    per_address_max: usize,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    last: u64,
    /// By the order in which they came.
    all: BTreeMap<u64, (Origin, Arc<Notify>)>,
    by_origin: BTreeMap<Origin, BTreeSet<u64>>,
}

/// What counts as one address: of IPv6 the network, for who has one address there has 2⁶⁴.
type Origin = IpAddr;

/// The right to be a stranger; given back when dropped.
#[derive(Debug)]
pub(crate) struct Admission {
    strangers: Arc<Strangers>,
    number: u64,
    dropped: Arc<Notify>,
}

impl Strangers {
    pub(crate) fn new(max: usize, per_address_max: usize) -> Arc<Self> {
        Arc::new(Self { max: max.max(1), per_address_max: per_address_max.max(1), table: Mutex::default() })
    }

    /// One more; whoever has to make room for it is told.
    pub(crate) fn enter(self: &Arc<Self>, address: IpAddr) -> Admission {
        let origin = origin(address);
        let mut table = self.table();
        let of_origin = table.by_origin.get(&origin);
        let oldest = match of_origin.filter(|numbers| numbers.len() >= self.per_address_max) {
            Some(numbers) => numbers.first().copied(),
            None if table.all.len() >= self.max => table.oldest_of_most(),
            None => None,
        };
        oldest.into_iter().for_each(|number| table.drop_one(number));
        table.last += 1;
        let (number, dropped) = (table.last, Arc::new(Notify::new()));
        table.all.insert(number, (origin, Arc::clone(&dropped)));
        table.by_origin.entry(origin).or_default().insert(number);
        Admission { strangers: Arc::clone(self), number, dropped }
    }

    /// The system has no room for one more: the oldest one gives its own.
    pub(crate) fn make_room(&self) {
        let mut table = self.table();
        let oldest = table.oldest_of_most();
        oldest.into_iter().for_each(|number| table.drop_one(number));
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    /// Of the address that has most; of several the one that came first.
    fn oldest_of_most(&self) -> Option<u64> {
        let most = self.by_origin.values().max_by_key(|numbers| (numbers.len(), Reverse(numbers.first())));
        most?.first().copied()
    }

    fn drop_one(&mut self, number: u64) {
        if let Some(dropped) = self.remove(number) {
            dropped.notify_one();
        }
    }

    fn remove(&mut self, number: u64) -> Option<Arc<Notify>> {
        let (origin, dropped) = self.all.remove(&number)?;
        if let Some(numbers) = self.by_origin.get_mut(&origin) {
            numbers.remove(&number);
            if numbers.is_empty() {
                self.by_origin.remove(&origin);
            }
        }
        Some(dropped)
    }
}

impl Admission {
    /// Resolves when this one has to make room.
    pub(crate) fn dropped(&self) -> Arc<Notify> {
        Arc::clone(&self.dropped)
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.strangers.table().remove(self.number);
    }
}

fn origin(address: IpAddr) -> Origin {
    match address.to_canonical() {
        IpAddr::V6(ip) => {
            let [a, b, c, d, ..] = ip.segments();
            IpAddr::from([a, b, c, d, 0, 0, 0, 0])
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use std::pin::pin;
    use std::task::Poll;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    async fn is_dropped(one: &Admission) -> bool {
        let dropped = one.dropped();
        let mut told = pin!(dropped.notified());
        let told = poll_fn(|cx| Poll::Ready(told.as_mut().poll(cx).is_ready())).await;
        if told {
            dropped.notify_one();
        }
        told
    }

    #[tokio::test]
    async fn the_oldest_makes_room_of_its_address_first() {
        let all = Strangers::new(4, 2);
        let a: Vec<_> = (0..2).map(|_| all.enter(ip("10.0.0.1"))).collect();
        let b = all.enter(ip("10.0.0.2"));
        let third = all.enter(ip("10.0.0.1"));
        let told = [is_dropped(&a[0]).await, is_dropped(&a[1]).await, is_dropped(&b).await];
        assert_eq!(told, [true, false, false], "the third of an address costs the first one of it");
        let c = all.enter(ip("10.0.0.3"));
        let d = all.enter(ip("10.0.0.4"));
        let told =
            [is_dropped(&a[1]).await, is_dropped(&b).await, is_dropped(&c).await, is_dropped(&d).await];
        assert_eq!(told, [true, false, false, false], "the fifth costs the oldest of all");
        drop((third, c));
        let _e = all.enter(ip("10.0.0.5"));
        assert!(!is_dropped(&b).await, "there is room again");
        all.make_room();
        assert!(is_dropped(&b).await);
    }

    #[tokio::test]
    async fn who_has_many_addresses_crowds_out_himself() {
        let all = Strangers::new(8, 4);
        let node = all.enter(ip("10.0.0.1"));
        let mut his = Vec::new();
        for round in 0..100 {
            his.push(all.enter(IpAddr::from([10, 0, 1, round % 4])));
        }
        assert!(!is_dropped(&node).await, "whoever has one stays while others have more");
        let mut told = 0;
        for one in &his {
            told += usize::from(is_dropped(one).await);
        }
        assert_eq!(told, his.len() - 7);
    }

    #[tokio::test]
    async fn who_has_an_ipv6_network_has_one_address() {
        let all = Strangers::new(100, 1);
        let first = all.enter(ip("2001:db8::1"));
        let other = all.enter(ip("2001:db8:0:1::1"));
        let _next = all.enter(ip("2001:db8::ffff:2"));
        assert_eq!([is_dropped(&first).await, is_dropped(&other).await], [true, false]);
        assert_eq!(origin(ip("::ffff:10.0.0.1")), ip("10.0.0.1"));
    }

    #[test]
    fn nothing_is_kept_of_who_is_gone() {
        let all = Strangers::new(10, 10);
        drop((0..1000).map(|_| all.enter(ip("10.0.0.1"))).collect::<Vec<_>>());
        let table = all.table();
        assert!(table.all.is_empty() && table.by_origin.is_empty(), "{table:?}");
    }
}
