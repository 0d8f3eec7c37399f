//! One hop from node to node, against bytes that go over TCP from process to process, at the same rate.

use crate::cluster::{self, Alive};
use crate::figure::{Aim, Figure, Measure};
use crate::load::{self, Load};
use crate::suite::{Contender, Suite, Work};
use std::cell::Cell;
use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{ChildStdout, Command, Stdio};
use std::time::Duration;

pub(in crate::rows) const GIVER_ROLE: &str = "bare-giver";
pub(in crate::rows) const TAKER_ROLE: &str = "bare-taker";

const PIPELINE: &str = r#"
[source.in]
stdin = true
place = "a"

[sink.out]
stdout = true
place = "b"
"#;

pub(super) fn measure(suite: &Suite) -> Vec<Figure> {
    let length = super::length(suite);
    let full = |giver: &mut Alive, taker: ChildStdout, time: Duration| {
        load::full_rate_between(giver.stdin.take().expect("a pipe"), taker, time)
    };
    let delays = |load: &Load, giver: &mut Alive, taker: ChildStdout| {
        load.endless(giver.stdin.take().expect("a pipe"), taker)
    };
    let of_nodes =
        |binary: &Path, load: &Load| nodes(suite, binary, |giver, taker| delays(load, giver, taker));
    let of_bare = |load: &Load| bare(|giver, taker| delays(load, giver, taker));
    let mut figure =
        Figure::new(super::NAME, "one hop between two nodes: peak rate, held", "worker", "records/s")
            .against("bare TCP");
    let bare_peak = load::peak(length, |time| bare(|giver, taker| full(giver, taker, time)), of_bare);
    let full_of_nodes = |time| nodes(suite, suite.worker(), |giver, taker| full(giver, taker, time));
    let peak = load::peak(length, full_of_nodes, |load| of_nodes(suite.worker(), load));
    (figure.limits, figure.measured) = (vec![bare_peak.into()], vec![peak.into()]);
    println!("{}", figure.line());
    let half = Load { rate: peak / 2.0, length };
    let bare_late = Cell::new(0_usize);
    let limit = Contender::new("bare TCP", || {
        let delays = of_bare(&half);
        bare_late.set(bare_late.get() + usize::from(delays.backlog));
        Measure::from(delays.ms(990))
    });
    let others = suite.workers.iter().map(|(who, binary)| {
        let (of_nodes, half) = (&of_nodes, &half);
        Contender::new(who, move || of_nodes(binary, half).ms(990)).aim(Some(Aim::AtMost(1.3)))
    });
    let work = Work {
        row: super::NAME,
        work: "one hop between two nodes at 50 % of the peak: p99".to_owned(),
        unit: "ms",
    };
    let rounds = suite.rounds.min(3);
    let mut compared = work.in_turn(rounds, limit, others.collect());
    if 2 * bare_late.get() > rounds {
        let why = Some("bare TCP does not hold this rate".to_owned());
        compared.iter_mut().for_each(|figure| figure.incomparable.clone_from(&why));
    }
    [figure].into_iter().chain(compared).collect()
}

/// A source on one node, a sink on the other.
fn nodes<T>(suite: &Suite, binary: &Path, run: impl FnOnce(&mut Alive, ChildStdout) -> T) -> T {
    cluster::write(suite, &["a", "b"], PIPELINE);
    let mut taker = Alive::start(cluster::node(binary, suite, "b"));
    let mut giver = Alive::start(cluster::node(binary, suite, "a"));
    let stdout = taker.stdout.take().expect("a pipe");
    run(&mut giver, stdout)
}

fn bare<T>(run: impl FnOnce(&mut Alive, ChildStdout) -> T) -> T {
    let this = || Command::new(std::env::current_exe().expect("this program's path"));
    let mut taking = this();
    taking.arg(TAKER_ROLE).stderr(Stdio::piped());
    let mut taker = Alive::start(taking);
    let mut port = String::new();
    let says = taker.stderr.take().expect("a pipe");
    BufReader::new(says).read_line(&mut port).expect("it says where it listens");
    let mut giving = this();
    giving.args([GIVER_ROLE, port.trim()]);
    let mut giver = Alive::start(giving);
    let stdout = taker.stdout.take().expect("a pipe");
    run(&mut giver, stdout)
}

/// From standard input to a port.
pub(in crate::rows) fn giver(args: &[String]) {
    let port = args[0].parse().expect("a port");
    let socket = TcpStream::connect(("127.0.0.1", port)).expect("connect");
    socket.set_nodelay(true).expect("set TCP_NODELAY");
    pass(std::io::stdin().lock(), socket);
}

/// From a port, which it says on standard error, to standard output.
#[expect(clippy::print_stderr, reason = "its standard error is read by who started it")]
pub(in crate::rows) fn taker(_: &[String]) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    eprintln!("{}", listener.local_addr().expect("bound").port());
    let (socket, _) = listener.accept().expect("accept");
    pass(socket, std::io::stdout().lock());
}

/// At once, whatever has come.
fn pass(mut from: impl Read, mut to: impl Write) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let count = from.read(&mut buffer).expect("read");
        if count == 0 {
            return;
        }
        to.write_all(&buffer[..count]).and_then(|()| to.flush()).expect("write");
    }
}
