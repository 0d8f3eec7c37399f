//! What it costs to be watched: a job alone, and the same job whose metrics are scraped once a second and whose events a page
//! listens to.

use super::About;
use crate::figure::Figure;
use crate::input;
use crate::meter::{Meter, Took, finish};
use crate::pipeline::{Delivery, worker};
use crate::suite::{Contender, Suite, Work};
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

pub(super) const NAME: &str = "observed";

const PIPELINE: &str = r#"
[source.log]
file = "access-*.log"

[stage.errors]
from = "log"
run = ["grep", " 50[0-9] "]
mode = "stream"
ok_exit = [0, 1]

[stage.per_path]
from = "errors"
partition_by = { field = 7 }
mode = "stream"
run = ["awk", "{c[$7]++} END{for(p in c) print c[p], p}"]
partitions = 2

[sink.out]
from = "per_path"
file = "out.txt"
exists = "replace"
"#;

/// So often the input comes: a run of some seconds is one that is looked at.
const COPIES: u64 = 8;

const SCRAPE_EVERY: Duration = Duration::from_secs(1);

/// What watching has seen.
#[derive(Debug, Default)]
struct Seen {
    scrapes: AtomicU64,
    events: AtomicU64,
}

pub(super) fn about() -> About {
    About::new(
        format!("{COPIES} times {}", input::ACCESS_LOG_IS),
        "`worker run observed.toml --quiet`: grep as stream and a count by key in two awk, in memory; metrics are fetched once a second, and one \
         client reads the events",
        "the same with `--admin none`",
    )
}

pub(super) fn measure(suite: &Suite) -> Vec<Figure> {
    input::access_log(suite);
    for copy in 0..COPIES {
        let link = suite.dir().join(format!("access-{copy}.log"));
        std::fs::hard_link(suite.dir().join(input::ACCESS_LOG), link).expect("link the log");
    }
    std::fs::write(suite.dir().join("observed.toml"), PIPELINE).expect("write the pipeline file");
    let seen = Seen::default();
    let limit = Contender::new("the same alone", || run(suite, suite.worker(), "none", None));
    let others = suite.workers.iter().map(|(who, binary)| {
        let seen = &seen;
        let watched = move || {
            let address =
                TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port").to_string();
            run(suite, binary, &address, Some(seen))
        };
        Contender::new(format!("{who}, watched"), watched)
    });
    let work = Work { row: NAME, work: format!("{COPIES} access logs, 1 line in 40 passes"), unit: "s" };
    let figures = work.in_turn(suite.rounds, limit, others.collect());
    println!("{} scrapes, {} events", seen.scrapes.load(Relaxed), seen.events.load(Relaxed));
    figures
}

fn run(suite: &Suite, binary: &Path, admin: &str, watched: Option<&Seen>) -> Took {
    let mut command = worker(binary, suite, &["observed.toml", "--admin", admin], Delivery::Memory);
    let meter = Meter::begin();
    let child = command.spawn().expect("start the worker");
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        if let Some(seen) = watched {
            scope.spawn(|| scrape(admin, seen, &over));
            scope.spawn(|| listen(admin, seen, &over));
        }
        let took = finish(child, &meter);
        over.store(true, Relaxed);
        took
    })
}

fn ask(address: &str, path: &str) -> std::io::Result<TcpStream> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n")?;
    Ok(stream)
}

fn scrape(address: &str, seen: &Seen, over: &AtomicBool) {
    while !over.load(Relaxed) {
        let mut text = Vec::new();
        if ask(address, "/metrics").and_then(|mut stream| stream.read_to_end(&mut text)).is_ok()
            && text.ends_with(b"# EOF\n")
        {
            seen.scrapes.fetch_add(1, Relaxed);
            std::thread::sleep(SCRAPE_EVERY);
        } else {
            // Not there yet, or not any more.
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

fn listen(address: &str, seen: &Seen, over: &AtomicBool) {
    while !over.load(Relaxed) {
        let mut some = vec![0; 64 * 1024];
        if let Ok(mut stream) = ask(address, "/api/v1/events") {
            while let Ok(count @ 1..) = stream.read(&mut some) {
                let begun = some[..count].windows(6).filter(|bytes| bytes == b"event:").count();
                seen.events.fetch_add(begun as u64, Relaxed);
            }
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}
