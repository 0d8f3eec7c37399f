//! A whole node whose peers say anything: greetings, frames in any order, lies about positions, and connections that come and go.
//!
//! What must hold: nothing panics and no sum of the core is wrong; who was not let in is told a class and nothing else; a sink is given
//! each position of a link once and in order; a link carries what its source gave; memory stays within the budgets.

mod driver;
mod peer;

use super::{Input, is_fit_to_print};
use driver::Driver;
use std::collections::BTreeSet;
use std::time::Duration;
use worker_core::Frame;
use worker_core::config::{NodeIx, TaskId};
use worker_core::event::{ConnEvent, ConnId, Event, Identity, Loss, NodeEvent, TaskEvent};
use worker_core::frame::GoAwayWhy;

/// Most inputs of a run.
const STEPS_MAX: usize = 400;

/// Most frames that are pulled at once: there is not so much to say.
const FRAMES_MAX: usize = 10_000;

/// The budgets of the links here, and what their tasks have in hand, in bytes.
const MEMORY_BYTES_MAX: u64 = 256 << 10;

pub(super) fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let mut session = Session::new(&mut input);
    for _ in 0..STEPS_MAX {
        if input.is_empty() {
            break;
        }
        session.step(&mut input);
        session.check();
    }
    session.end();
}

struct Session {
    driver: Driver,
    conns: Vec<ConnId>,
    /// Connections on which this node has said that the other side is let in.
    let_in: BTreeSet<ConnId>,
}

impl Session {
    fn new(input: &mut Input<'_>) -> Self {
        let driver = Driver::new(input);
        let mut session = Self { driver, conns: Vec::new(), let_in: BTreeSet::new() };
        session.settle();
        session
    }

    fn step(&mut self, input: &mut Input<'_>) {
        match input.below(16) {
            0 => {
                let identity = match input.below(4) {
                    0 => Identity::Proved(NodeIx(u16::from(input.below(2)))),
                    _ => Identity::Claimed,
                };
                let conn = self.driver.node.accept_as(self.driver.now, identity);
                self.conns.push(conn);
            }
            1..=7 => {
                if let Some((frame, conn)) = peer::frame(input, &self.driver).zip(self.conn(input)) {
                    self.driver.heard(&frame);
                    self.tell(Event::Conn(conn, ConnEvent::Frame(frame)));
                }
            }
            8 => {
                if let Some(conn) = self.conn(input) {
                    self.lose(conn, input);
                }
            }
            9 | 10 => self.transmit_all(),
            11 => {
                self.driver.pass(Duration::from_millis(1 + 37 * u64::from(input.byte())));
                self.settle();
            }
            12 => {
                self.driver.dialled(input.chance()).into_iter().for_each(|event| self.tell(event));
            }
            13 => self.driver.do_what_is_asked(input),
            14 => {
                let event = match input.below(16) {
                    0 => Event::Node(NodeEvent::Drain),
                    1 => Event::Node(NodeEvent::Finish),
                    2 => Event::Node(NodeEvent::StorageFull { full: input.chance() }),
                    3 => Event::Node(NodeEvent::WasStopped {
                        lasted: Duration::from_secs(input.byte().into()),
                    }),
                    _ => Event::Task(
                        TaskId(input.below(3).into()),
                        TaskEvent::Pause { paused: input.chance() },
                    ),
                };
                if self.driver.is_here(&event) {
                    self.tell(event);
                }
            }
            _ => self.driver.answers_at_once = input.chance(),
        }
        self.settle();
    }

    fn conn(&self, input: &mut Input<'_>) -> Option<ConnId> {
        let all: Vec<ConnId> = self.conns.iter().chain(&self.driver.dialled).copied().collect();
        (!all.is_empty()).then(|| all[all.len() - 1 - input.index(all.len())])
    }

    fn tell(&mut self, event: Event) {
        self.driver.tell(event);
        self.settle();
    }

    fn lose(&mut self, conn: ConnId, input: &mut Input<'_>) {
        self.conns.retain(|&known| known != conn);
        self.driver.dialled.retain(|&known| known != conn);
        let loss = [Loss::Lost, Loss::Silent][input.index(2)];
        self.tell(Event::Conn(conn, ConnEvent::Closed { loss, why: "the network broke".to_owned() }));
    }

    /// What the node asks for is done, connections are closed as it says.
    fn settle(&mut self) {
        while let Some(conn) = self.driver.settle() {
            self.transmit(conn);
            self.conns.retain(|&known| known != conn);
            self.driver.dialled.retain(|&known| known != conn);
            self.driver.dialling.retain(|&known| known != conn);
            let closed = ConnEvent::Closed { loss: Loss::Lost, why: "closed here".to_owned() };
            self.driver.tell(Event::Conn(conn, closed));
        }
    }

    fn transmit_all(&mut self) {
        let all: Vec<ConnId> = self.conns.iter().chain(&self.driver.dialled).copied().collect();
        all.into_iter().for_each(|conn| self.transmit(conn));
        self.settle();
    }

    fn transmit(&mut self, conn: ConnId) {
        for _ in 0..FRAMES_MAX {
            let Some(frame) = self.driver.node.poll_transmit(self.driver.now, conn) else { return };
            self.look_at(conn, frame);
        }
        panic!("it never stops talking");
    }

    /// What this node says, and to whom.
    fn look_at(&mut self, conn: ConnId, frame: Frame) {
        let mut out = worker_proto::SendBuffer::new();
        out.push(&frame).expect("what it says can be said");
        match frame {
            Frame::Welcome(_) => {
                self.let_in.insert(conn);
            }
            Frame::GoAway(go_away) => {
                let may_be_told = self.let_in.contains(&conn) || self.driver.greeted.contains(&conn);
                let says_why = !go_away.message.is_empty();
                assert!(!says_why || (may_be_told && go_away.why == GoAwayWhy::Failed), "{go_away:?}");
                is_fit_to_print(&go_away.message);
            }
            Frame::Refused(refused) => assert_eq!(refused.message, "", "the reason is for the log here"),
            Frame::Hello(_) => {
                self.driver.greeted.insert(conn);
            }
            Frame::Batch(batch) => {
                self.driver.is_what_was_given(batch.link, batch.first_seq, &batch.batch);
            }
            Frame::Open(_)
            | Frame::Opened(_)
            | Frame::Ack(_)
            | Frame::End(_)
            | Frame::Bye
            | Frame::Ping(_)
            | Frame::Pong(_) => {}
        }
    }

    fn check(&self) {
        let memory = self.driver.node.memory_bytes();
        assert!(memory <= MEMORY_BYTES_MAX, "{memory} bytes are held");
    }

    fn end(mut self) {
        self.transmit_all();
        assert_eq!(self.driver.node.check(), Ok(()));
        let _ = (self.driver.node.status(), self.driver.node.stalls());
        self.driver.node.stop(self.driver.now);
        self.settle();
        self.transmit_all();
        assert!(self.driver.node.is_over());
    }
}
