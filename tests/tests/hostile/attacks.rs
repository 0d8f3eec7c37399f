//! The attacks, each a way to begin it and what is seen of it.

use crate::stranger::{Insight, Stranger};
use std::net::Ipv4Addr;
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
    plain: Outcome,
    /// The same where nodes show certificates.
    tls: Outcome,
    pub(crate) length: Duration,
    /// Begins it; it ends when it is told that it is over.
    pub(crate) begin: fn(&Insight, &Arc<AtomicBool>) -> Vec<JoinHandle<()>>,
}

/// Some classes, or nothing where it is not made.
type Outcome = Option<&'static [&'static str]>;

type Begin = fn(&Insight, &Arc<AtomicBool>) -> Vec<JoinHandle<()>>;

impl Attack {
    pub(crate) fn classes(&self, is_tls: bool) -> Outcome {
        if is_tls { self.tls } else { self.plain }
    }
}

const fn attack(name: &'static str, plain: Outcome, tls: Outcome, begin: Begin) -> Attack {
    Attack { name, plain, tls, length: Duration::from_secs(2), begin }
}

/// Strangers try each of the pipeline's.
const LINKS: [LinkId; 3] = [LinkId(0), LinkId(1), LinkId(2)];

/// How many addresses one who has many has.
const SOURCES: u8 = 40;

/// With certificates, those in a node's name are made by who has stolen that of node d.
pub(crate) const ATTACKS: &[Attack] = &[
    attack("silent", Some(&["crowded"]), Some(&["crowded"]), |who, over| holds(who, over, (2000, 1), b"")),
    attack("silent, from 40 addresses", Some(&["crowded"]), Some(&["crowded"]), |who, over| {
        holds(who, over, (2000, SOURCES), b"")
    }),
    attack("dripping", Some(&["hello_late"]), Some(&["certificate"]), |who, over| {
        holds(who, over, (40, 1), &[0])
    }),
    Attack {
        // Longer than a handshake may take.
        length: Duration::from_secs(6),
        ..attack("a handshake that drips", None, Some(&["handshake_late"]), dripping_handshake)
    },
    attack("garbage", Some(&["frame"]), Some(&["certificate"]), |who, over| {
        says(who, over, NOBODY, |_, one| {
            one.say_bytes(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        })
    }),
    attack("a certificate of another CA", None, Some(&["certificate"]), |who, over| {
        says(who, over, Some(FOREIGN), |who, one| {
            one.say(&Frame::Hello(who.hello("d", 1)));
            assert_eq!(one.hear(), None, "nobody is answered who has proved nothing");
        })
    }),
    attack("no Hello", Some(&["violation"]), Some(&["violation"]), |who, over| {
        says(who, over, D, |_, one| {
            one.say(&Frame::Bye);
        })
    }),
    attack("foreign Hellos", Some(FOREIGN_HELLOS), Some(FOREIGN_HELLOS), |who, over| {
        says(who, over, D, foreign)
    }),
    attack("another's name", None, Some(&["unknown_node"]), |who, over| {
        says(who, over, D, |who, one| {
            one.say(&Frame::Hello(who.hello.clone()));
            let answer = one.hear();
            assert!(!matches!(answer, Some(Frame::Welcome(_))), "let in as node a");
        })
    }),
    attack("a number far too high", Some(&["violation"]), Some(&["violation"]), |who, over| {
        says(who, over, D, |who, one| {
            // Without certificates he can do it in the name of who is there.
            let hello = if who.disguises.is_some() { who.hello("d", 4711) } else { who.hello.clone() };
            one.say(&Frame::Hello(Hello { conn_no: ConnNo(1 << 62), ..hello }));
            let answer = one.hear();
            assert!(!matches!(answer, Some(Frame::Welcome(_))), "let in with it");
        })
    }),
    attack("taking over", Some(&["busy"]), Some(&["busy"]), |who, over| says(who, over, D, greet)),
    attack("an epoch far too high", Some(&["violation"]), Some(&["violation"]), |who, over| {
        says(who, over, D, |who, one| {
            greet(who, one);
            for link in LINKS {
                let (epoch, journal) = (Epoch(1 << 62), JournalId(1));
                one.say(&Frame::Open(Open { link, epoch, journal, first_unacked: Seq(1), next: Seq(1) }));
            }
        })
    }),
    // Of who has a node's certificate it is that node's, and counts: SECURITY.md.
    attack("a goodbye", Some(&[]), None, |who, over| {
        says(who, over, D, |who, one| {
            greet(who, one);
            let message = "\u{1b}[2J\u{1b}]0;OWNED\u{7}all is well".to_owned();
            one.say(&Frame::GoAway(GoAway { why: GoAwayWhy::Failed, message }));
            one.hear();
        })
    }),
    attack("large frames", Some(&[]), Some(&[]), large_frames),
    attack("a frame that drips", Some(&[]), Some(&[]), dripping_frame),
    attack("pings", Some(&[]), Some(&[]), pings),
];

/// In whose name somebody speaks.
type Name = Option<&'static str>;

const NOBODY: Name = None;
const D: Name = Some("d");

/// The name of node d, by a CA that nobody believes.
pub(crate) const FOREIGN: &str = "foreign";

const FOREIGN_HELLOS: &[&str] = &["protocol", "pipeline", "placement", "unknown_node"];

/// Somebody who holds so many connections from so many addresses, opens those again that are closed, and says `bytes` on each now and then.
fn holds(
    insight: &Insight,
    over: &Arc<AtomicBool>,
    (count, sources): (usize, u8),
    bytes: &'static [u8],
) -> Vec<JoinHandle<()>> {
    let (insight, over) = (insight.clone(), Arc::clone(over));
    vec![std::thread::spawn(move || {
        let mut addresses = (1..=sources).map(|last| Ipv4Addr::new(127, 0, 0, last)).cycle();
        let mut held: Vec<Stranger> = Vec::new();
        while !over.load(Ordering::Relaxed) {
            held.retain_mut(|one| !one.is_closed() && one.say_bytes(bytes));
            while held.len() < count && !over.load(Ordering::Relaxed) {
                let source = addresses.next().expect("there is one at least");
                let Some(one) = Stranger::connect_from(&insight, source) else { break };
                held.push(one);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    })]
}

/// Several who connect, say something and leave, all the time.
fn says(
    insight: &Insight,
    over: &Arc<AtomicBool>,
    name: Name,
    what: fn(&Insight, &mut Stranger),
) -> Vec<JoinHandle<()>> {
    let begin = |_| {
        let (insight, over) = (insight.clone(), Arc::clone(over));
        std::thread::spawn(move || {
            while !over.load(Ordering::Relaxed) {
                let one = match name {
                    Some(name) => Stranger::connect_as(&insight, name),
                    None => Stranger::connect(&insight),
                };
                if let Some(mut one) = one {
                    what(&insight, &mut one);
                }
                // Nobody is to lose by how much of the machine the attack itself takes.
                std::thread::sleep(Duration::from_millis(2));
            }
        })
    };
    (0..4).map(begin).collect()
}

/// As one who begins a TLS handshake, and goes on with it a byte at a time.
fn dripping_handshake(insight: &Insight, over: &Arc<AtomicBool>) -> Vec<JoinHandle<()>> {
    let (insight, over) = (insight.clone(), Arc::clone(over));
    vec![std::thread::spawn(move || {
        // A record of 4 KiB that begins with the length of a ClientHello of nearly as much.
        let begins = [22, 3, 1, 16, 0, 1, 0, 15, 252, 3, 3];
        let mut held: Vec<Stranger> = Vec::new();
        while !over.load(Ordering::Relaxed) {
            held.retain_mut(|one| !one.is_closed() && one.say_bytes(&[7]));
            while held.len() < 40 {
                let Some(mut one) = Stranger::connect(&insight) else { break };
                one.say_bytes(&begins);
                held.push(one);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    })]
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
            let Some(mut one) = Stranger::connect_as(&insight, "d") else { continue };
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
        let Some(mut one) = Stranger::connect_as(&insight, "d") else { return };
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
        let Some(mut one) = Stranger::connect_as(&insight, "d") else { return };
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
