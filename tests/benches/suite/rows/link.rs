//! A link between two processes over loopback, against bare TCP.
//!
//! *worker*: records from a source task on one node to a sink task on another, each node a process of its own with the real
//! core and the real net layer; counted are records the receiving core took (deduplicated, in order) and the sender saw
//! acknowledged. *bare*: records with a 4-byte length, written 64 KiB at a time on one socket, read 64 KiB at a time and
//! walked record by record. Neither does anything else with a record. Once both go through a proxy that is a long line. And once
//! the worker with TLS is held against the worker without.

mod bare;
mod end;
mod tls;

use super::About;
use crate::figure::{Aim, Figure, Measure};
use crate::meter::Meter;
use crate::suite::{Contender, Suite, Work};
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;
use tls::Certificates;
use worker_tests::distance::{Distance, Line};

pub(super) const NAME: &str = "link";
pub(super) const BARE_ROLE: &str = "bare-receiver";
pub(super) const NODE_ROLE: &str = "receiving-node";

const RECORD_BYTES: [usize; 3] = [16, 100, 1000];

pub(super) fn about() -> About {
    About::new(
        "records of 16, 100 and 1,000 bytes, made while they are sent, for 2 s; 3 s over 50 ms and 1 Gbit/s (a proxy that delays in each direction)",
        "two processes, each with core and net layer of a node, a source task on one and a sink task on the other; counted is what the receiver \
         took in order, once, and the sender saw acknowledged. Processor time is that of a million records, of both processes",
        "one TCP connection and one thread a side: records with a length of 4 bytes, written 64 KiB at a time, read 64 KiB at a time and walked \
         one by one, without acknowledgements; with TLS: the worker without TLS",
    )
}

pub(super) fn measure(suite: &Suite) -> Vec<Figure> {
    let time = Duration::from_secs_f64((2.0 * suite.size).max(0.2));
    let tls = Certificates::make();
    let near = RECORD_BYTES.map(|bytes| {
        let aim = (bytes == 100).then_some(Aim::AtLeast(1.2));
        (format!("{bytes}-byte records, acknowledged"), Way { bytes, time, line: None, tls: None }, aim)
    });
    // Long enough for what grows with need to have grown.
    let far = Way { bytes: 100, time: Duration::from_secs(3), line: Some(Line::FAR), tls: None };
    let far = ("100-byte records over 50 ms and 1 Gbit/s".to_owned(), far, Some(Aim::AtLeast(0.8)));
    let compare = |(work, way, aim): (String, Way, Option<Aim>)| {
        let work = Work { row: NAME, work, unit: "M records/s" };
        let worker = Contender::new("worker", move || way.worker()).aim(aim);
        work.in_turn(suite.rounds, Contender::new("bare TCP", move || way.bare()), vec![worker])
    };
    let mut figures: Vec<Figure> = near.into_iter().chain([far]).flat_map(compare).collect();
    for bytes in [100, 1000] {
        let work = Work { row: NAME, work: format!("{bytes}-byte records with TLS"), unit: "M records/s" };
        let plain = Way { bytes, time, line: None, tls: None };
        let secret = Way { tls: Some(tls.path()), ..plain };
        let with = Contender::new("worker, with TLS", move || secret.worker()).aim(Some(Aim::AtLeast(0.6)));
        figures.extend(work.in_turn(
            suite.rounds,
            Contender::new("worker without TLS", move || plain.worker()),
            vec![with],
        ));
    }
    figures
}

/// What is sent, for how long, and what lies between.
#[derive(Clone, Copy)]
struct Way<'a> {
    bytes: usize,
    time: Duration,
    line: Option<Line>,
    /// Where the certificates are.
    tls: Option<&'a Path>,
}

impl Way<'_> {
    fn bare(self) -> Measure {
        let meter = Meter::begin();
        let mut partner = Partner::start(BARE_ROLE, &[]);
        let begun = meter.elapsed();
        bare::send(self.to(&mut partner), self.bytes, self.time);
        let records = partner.number();
        let took = meter.elapsed() - begun;
        partner.end();
        rate(records, took, &meter)
    }

    fn worker(self) -> Measure {
        let meter = Meter::begin();
        let mut partner = Partner::start(NODE_ROLE, &self.receiver());
        let (records, took) = end::send(
            self.to(&mut partner),
            self.bytes,
            self.time,
            self.tls.map(|dir| tls::identity(dir, "a")),
        );
        assert_eq!(partner.number(), records, "every record arrived once and was acknowledged");
        partner.end();
        rate(records, took, &meter)
    }

    /// What the receiving node is told.
    fn receiver(self) -> Vec<String> {
        let tls = self.tls.map(|dir| dir.display().to_string());
        [self.bytes.to_string()].into_iter().chain(tls).collect()
    }

    /// The partner, or the near end of the line to it.
    fn to(self, partner: &mut Partner) -> SocketAddr {
        let port = u16::try_from(partner.number()).expect("a port");
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        self.line.map_or(address, |line| Distance::to(address.to_string(), line).address())
    }
}

/// Processor time is that of a million records, so that runs of unequal numbers can be compared.
fn rate(records: u64, took: Duration, meter: &Meter) -> Measure {
    let millions = records as f64 / 1e6;
    let processor = (meter.this() + meter.children()).as_secs_f64() / millions;
    Measure { value: millions / took.as_secs_f64(), processor: Some(processor) }
}

pub(super) fn bare_receiver(_: &[String]) {
    end_with_parent();
    bare::receive();
}

pub(super) fn receiving_node(args: &[String]) {
    end_with_parent();
    let tls = args.get(1).map(|dir| tls::identity(Path::new(dir), "b"));
    end::receive(args[0].parse().expect("how long a record is"), tls);
}

/// This program again, in another role; it prints numbers, a line each.
struct Partner {
    child: Child,
    says: BufReader<ChildStdout>,
}

impl Partner {
    fn start(role: &str, args: &[String]) -> Self {
        let exe = std::env::current_exe().expect("this program's path");
        let mut command = Command::new(exe);
        command.arg(role).args(args).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("start a partner");
        let says = BufReader::new(child.stdout.take().expect("it is piped"));
        Self { child, says }
    }

    fn number(&mut self) -> u64 {
        let mut line = String::new();
        self.says.read_line(&mut line).expect("the partner says something");
        line.trim().parse().expect("a number")
    }

    fn end(mut self) {
        assert!(self.child.wait().expect("the partner ends").success(), "the partner failed");
    }
}

/// No partner outlives who started it, however that ended: its standard input ends then.
fn end_with_parent() {
    std::thread::spawn(|| {
        let end = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        std::process::exit(i32::from(end.is_err()));
    });
}
