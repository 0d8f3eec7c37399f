//! Whose turn it is to send: links of one connection, a frame each.

use std::collections::VecDeque;
use worker_proto::LinkId;

/// Links that have something to send. Whoever had nothing for a whole round goes before all others, once: a link that trickles waits
/// for the frame that is being written, and not for one of each link that floods. One that floods is served every round.
#[derive(Debug)]
pub(super) struct Turns {
    /// Those that had nothing for a round.
    fresh: VecDeque<LinkId>,
    /// The others; also who has just sent its last, until its turn comes round.
    others: VecDeque<LinkId>,
    /// Which are in either.
    queued: Vec<bool>,
    first_link: u32,
}

impl Turns {
    pub(super) fn new(links: &[LinkId]) -> Self {
        let first_link = links.iter().map(|l| l.0).min().unwrap_or(0);
        let span = links.iter().map(|l| l.0).max().map_or(0, |last| last - first_link + 1);
        let queued = vec![false; span as usize];
        Self { fresh: VecDeque::new(), others: VecDeque::new(), queued, first_link }
    }

    /// A link has something to send; says whether it had nothing before.
    pub(super) fn ready(&mut self, link: LinkId) -> bool {
        let is_new = !std::mem::replace(&mut self.queued[(link.0 - self.first_link) as usize], true);
        if is_new {
            self.fresh.push_back(link);
        }
        is_new
    }

    /// Whose turn it is.
    pub(super) fn next(&mut self) -> Option<LinkId> {
        self.fresh.pop_front().or_else(|| self.others.pop_front())
    }

    /// The link whose turn it was has sent a frame, or had nothing to send.
    pub(super) fn took(&mut self, link: LinkId, sent: bool) {
        match sent {
            true => self.others.push_back(link),
            false => self.queued[(link.0 - self.first_link) as usize] = false,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.fresh.is_empty() && self.others.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.fresh.clear();
        self.others.clear();
        self.queued.fill(false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Links 10 to 10 + `floods` always have something, and link 9 has what it is given: who sends in turn.
    fn sends(floods: u32, rounds: usize, mut trickles: impl FnMut(usize) -> bool) -> Vec<u32> {
        let links: Vec<LinkId> = (9..10 + floods).map(LinkId).collect();
        let mut turns = Turns::new(&links);
        links[1..].iter().for_each(|link| assert!(turns.ready(*link)));
        let (mut sent, mut left) = (Vec::new(), 0);
        while sent.len() < rounds {
            if trickles(sent.len()) {
                left += 1;
                turns.ready(LinkId(9));
            }
            let link = turns.next().unwrap();
            let sends = link != LinkId(9) || left > 0;
            left -= i32::from(sends && link == LinkId(9));
            turns.took(link, sends);
            sent.extend(sends.then_some(link.0));
        }
        sent
    }

    #[test]
    fn a_link_that_trickles_goes_before_those_that_flood() {
        let sent = sends(50, 200, |at| at == 100);
        assert_eq!(sent.iter().position(|link| *link == 9), Some(100));
    }

    #[test]
    fn links_that_flood_take_turns_whoever_is_beside_them() {
        let sent = sends(3, 400, |_| true);
        for link in 9..13 {
            let times = sent.iter().filter(|sent| **sent == link).count();
            assert!((99..=101).contains(&times), "link {link} {times} times of {}", sent.len());
        }
    }
}
