//! What the admin address did not answer, by its reason: counted, and told in few lines however many there are.

use crate::mutex::lock;
use std::net::IpAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How often a line of one reason is logged at most.
const SAY_EVERY: Duration = Duration::from_secs(5);

/// Why a connection was closed, or a request was not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// So many connections are open, and none of them has asked for less long.
    Connections,
    /// This process may open no more files.
    Files,
    /// So many read the events already.
    Readers,
    /// TLS is spoken, and what came is none, or comes too slowly.
    Tls,
    /// The head of a request does not come, or is none, or is too large.
    Head,
    /// The same of its body.
    Body,
    /// Nobody takes what is answered.
    Unread,
    /// It names no host, or one that may be another machine.
    Host,
    /// A page of another origin sends it.
    Origin,
    /// It needs the token.
    Token,
}

impl Refusal {
    const ALL: [Self; 10] = [
        Self::Connections,
        Self::Files,
        Self::Readers,
        Self::Tls,
        Self::Head,
        Self::Body,
        Self::Unread,
        Self::Host,
        Self::Origin,
        Self::Token,
    ];

    /// As the label of a metric.
    fn name(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::Files => "files",
            Self::Readers => "readers",
            Self::Tls => "tls",
            Self::Head => "head",
            Self::Body => "body",
            Self::Unread => "unread",
            Self::Host => "host",
            Self::Origin => "origin",
            Self::Token => "token",
        }
    }

    fn says(self) -> &'static str {
        match self {
            Self::Connections => {
                "closed a connection to the admin address for a newer one: 64 are open, and it had asked nothing for longest"
            }
            Self::Files => {
                "no connection to the admin address can be taken for now: this process may open no more files (ulimit -n)"
            }
            Self::Readers => {
                "16 read the events of the admin address already: another one is told to come again"
            }
            Self::Tls => {
                "refused a connection to the admin address: TLS is spoken there, and its handshake did not come, failed or was too slow"
            }
            Self::Head => {
                "closed a connection to the admin address: what came is no head of a request, or it came too slowly"
            }
            Self::Body => "refused a request to the admin address: its body is too large, or came too slowly",
            Self::Unread => "closed a connection to the admin address: nobody takes what is answered",
            Self::Host => {
                "refused a request to the admin address by a name that is none of this machine (--admin-host NAME allows one)"
            }
            Self::Origin => "refused a request to the admin address that a page of another origin sends",
            Self::Token => "refused a request to the admin address without the token",
        }
    }
}

/// What was refused so far.
#[derive(Debug, Default)]
pub struct Refusals([Counted; Refusal::ALL.len()]);

#[derive(Debug, Default)]
struct Counted {
    all: AtomicU64,
    said: Mutex<Said>,
}

#[derive(Debug, Default)]
struct Said {
    last: Option<Instant>,
    left_out: u64,
}

impl Refusals {
    /// Counts one, and says so unless one of the kind was said just now.
    pub(super) fn note(&self, why: Refusal, from: Option<IpAddr>) {
        let counted = &self.0[why as usize];
        counted.all.fetch_add(1, Ordering::Relaxed);
        let Some(left_out) = counted.due(Instant::now()) else { return };
        let from = from.map(tracing::field::display);
        tracing::warn!(from, left_out, "{}", why.says());
    }

    /// How many of each reason, by its name.
    pub fn counts(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Refusal::ALL.into_iter().map(|why| (why.name(), self.0[why as usize].all.load(Ordering::Relaxed)))
    }
}

impl Counted {
    /// If a line is due: how many like it were left out since the last.
    fn due(&self, now: Instant) -> Option<u64> {
        let mut said = lock(&self.said);
        if said.last.is_some_and(|last| now.duration_since(last) < SAY_EVERY) {
            said.left_out += 1;
            return None;
        }
        said.last = Some(now);
        Some(std::mem::take(&mut said.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_a_counter_of_its_own_and_few_lines() {
        let refusals = Refusals::default();
        for (at, why) in Refusal::ALL.into_iter().enumerate() {
            assert_eq!(why as usize, at);
            (0..=at).for_each(|_| refusals.note(why, None));
        }
        let counts: Vec<_> = refusals.counts().collect();
        assert_eq!((counts[0], counts[9]), (("connections", 1), ("token", 10)));
        let (counted, start) = (Counted::default(), Instant::now());
        let due = |ms| counted.due(start + Duration::from_millis(ms));
        assert_eq!(
            [due(0), due(1), due(4999), due(5000), due(9999), due(20_000)],
            [Some(0), None, None, Some(2), None, Some(1)]
        );
    }
}
