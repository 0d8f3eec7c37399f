//! The attacks, each a way to begin it and what is seen of it.

use crate::stranger::{Insight, Stranger};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;
use worker_proto::frame::{GoAway, GoAwayWhy, Hello, Open};
use worker_proto::limits::FRAME_BYTES_MAX;
use worker_proto::{ConnNo, Epoch, Fingerprint, Frame, Incarnation, JournalId, LinkId, Seq};

/// One of them.
pub(crate) struct Attack {
    pub(crate) name: &'static str,
    /// What the log of the node counts it as.
    pub(crate) classes: &'static [&'static str],
    /// Begins it; it ends when it is told that it is over.
    pub(crate) begin: fn(&Insight, &Arc<AtomicBool>) -> Vec<JoinHandle<()>>,
}

/// Strangers try each of the pipeline's.
const LINKS: [LinkId; 3] = [LinkId(0), LinkId(1), LinkId(2)];

pub(crate) const ATTACKS: &[Attack] = &[
    Attack { name: "silent", classes: &["crowded"], begin: |who, over| holds(who, over, 2000, b"") },
    Attack { name: "dripping", classes: &["hello_late"], begin: |who, over| holds(who, over, 40, &[0]) },
    Attack {
        name: "garbage",
        classes: &["frame"],
        begin: |who, over| {
            says(who, over, |_, one| {
                one.say_bytes(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
            })
        },
    },
    Attack {
        name: "no Hello",
        classes: &["violation"],
        begin: |who, over| {
            says(who, over, |_, one| {
                one.say(&Frame::Bye);
            })
        },
    },
    Attack {
        name: "foreign Hellos",
        classes: &["protocol", "pipeline", "placement", "unknown_node"],
        begin: |who, over| says(who, over, foreign),
    },
    Attack {
        name: "a number far too high",
        classes: &["violation"],
        begin: |who, over| {
            says(who, over, |who, one| {
                one.say(&Frame::Hello(Hello { conn_no: ConnNo(1 << 62), ..who.hello.clone() }));
                let answer = one.hear();
                assert!(!matches!(answer, Some(Frame::Welcome(_))), "let in as node a");
            })
        },
    },
    Attack { name: "taking over", classes: &["busy"], begin: |who, over| says(who, over, greet) },
    Attack {
        name: "an epoch far too high",
        classes: &["violation"],
        begin: |who, over| {
            says(who, over, |who, one| {
                greet(who, one);
                for link in LINKS {
                    let (epoch, journal) = (Epoch(1 << 62), JournalId(1));
                    one.say(&Frame::Open(Open { link, epoch, journal, first_unacked: Seq(1), next: Seq(1) }));
                }
            })
        },
    },
    Attack {
        name: "a goodbye",
        classes: &[],
        begin: |who, over| {
            says(who, over, |who, one| {
                greet(who, one);
                let message = "\u{1b}[2J\u{1b}]0;OWNED\u{7}all is well".to_owned();
                one.say(&Frame::GoAway(GoAway { why: GoAwayWhy::Failed, message }));
                one.hear();
            })
        },
    },
    Attack { name: "large frames", classes: &[], begin: large_frames },
    Attack { name: "a frame that drips", classes: &[], begin: dripping_frame },
    Attack { name: "pings", classes: &[], begin: pings },
];

/// Somebody who holds so many connections, opens those again that are closed, and says `bytes` on each now and then.
fn holds(
    insight: &Insight,
    over: &Arc<AtomicBool>,
    count: usize,
    bytes: &'static [u8],
) -> Vec<JoinHandle<()>> {
    let (insight, over) = (insight.clone(), Arc::clone(over));
    vec![std::thread::spawn(move || {
        let mut held: Vec<Stranger> = Vec::new();
        while !over.load(Ordering::Relaxed) {
            held.retain_mut(|one| !one.is_closed() && one.say_bytes(bytes));
            while held.len() < count && !over.load(Ordering::Relaxed) {
                let Some(one) = Stranger::connect(&insight) else { break };
                held.push(one);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    })]
}

/// Several who connect, say something and leave, all the time.
fn says(insight: &Insight, over: &Arc<AtomicBool>, what: fn(&Insight, &mut Stranger)) -> Vec<JoinHandle<()>> {
    let begin = |_| {
        let (insight, over) = (insight.clone(), Arc::clone(over));
        std::thread::spawn(move || {
            while !over.load(Ordering::Relaxed) {
                if let Some(mut one) = Stranger::connect(&insight) {
                    what(&insight, &mut one);
                }
                // Nobody is to lose by how much of the machine the attack itself takes.
                std::thread::sleep(Duration::from_millis(2));
            }
        })
    };
    (0..4).map(begin).collect()
}

fn foreign(insight: &Insight, one: &mut Stranger) {
    let mut hello = insight.hello("d", 1);
    match hello.conn_no.0 % 4 {
        0 => hello.protocol += 1,
        1 => hello.pipeline = Fingerprint(1),
        2 => hello.placement = Fingerprint(1),
        _ => hello.node = format!("\u{1b}[31mnode-{}", hello.conn_no),
    }
    one.say(&Frame::Hello(hello));
    if let Some(Frame::GoAway(said)) = one.hear() {
        assert_eq!(said.message, "", "a stranger is told the class alone");
    }
}

/// As node d, of one life.
fn greet(insight: &Insight, one: &mut Stranger) {
    one.say(&Frame::Hello(insight.hello("d", 4711)));
    one.hear();
}

/// As node d, which takes over from itself, with nearly all of the largest frame each time.
fn large_frames(insight: &Insight, over: &Arc<AtomicBool>) -> Vec<JoinHandle<()>> {
    let (insight, over) = (insight.clone(), Arc::clone(over));
    vec![std::thread::spawn(move || {
        let mut held = Vec::new();
        let bytes = vec![0; FRAME_BYTES_MAX - 1];
        while !over.load(Ordering::Relaxed) {
            let Some(mut one) = Stranger::connect(&insight) else { continue };
            one.say(&Frame::Hello(insight.hello("d", 4711)));
            if matches!(one.hear(), Some(Frame::Welcome(_))) {
                one.say_bytes(&u32::try_from(FRAME_BYTES_MAX).expect("it fits").to_be_bytes());
                one.say_bytes(&bytes);
            }
            held.push(one);
            std::thread::sleep(Duration::from_millis(20));
        }
    })]
}

fn dripping_frame(insight: &Insight, over: &Arc<AtomicBool>) -> Vec<JoinHandle<()>> {
    let (insight, over) = (insight.clone(), Arc::clone(over));
    vec![std::thread::spawn(move || {
        let Some(mut one) = Stranger::connect(&insight) else { return };
        one.say(&Frame::Hello(Hello { incarnation: Incarnation(4711), ..insight.hello("d", 4711) }));
        one.hear();
        one.say_bytes(&1000_u32.to_be_bytes());
        while !over.load(Ordering::Relaxed) && one.say_bytes(&[0]) {
            std::thread::sleep(Duration::from_millis(100));
        }
    })]
}

/// As node d, with pings, and what it is answered is not read.
fn pings(insight: &Insight, over: &Arc<AtomicBool>) -> Vec<JoinHandle<()>> {
    let (insight, over) = (insight.clone(), Arc::clone(over));
    vec![std::thread::spawn(move || {
        let Some(mut one) = Stranger::connect(&insight) else { return };
        greet(&insight, &mut one);
        let mut number = 0;
        while !over.load(Ordering::Relaxed) {
            number += 1;
            one.say(&Frame::Ping(number));
            one.say(&Frame::Bye);
            if number % 50 == 0 {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    })]
}
