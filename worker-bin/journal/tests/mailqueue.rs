//! The example `mailqueue`, killed: nothing is lost, the order is kept, and what comes twice is as little as it says.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime};
use worker_core::rng::Rng;

const DESTINATIONS: [&str; 4] = ["alice", "bob", "carol", "dave"];

/// Every so many mails one is refused for good.
const REFUSED_EVERY: u64 = 7;

/// The example, up to date.
fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let test = std::env::current_exe().unwrap();
        // target/<profile>/deps/<test>
        let profile = test.ancestors().nth(2).unwrap();
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.args(["build", "--quiet", "--package", "worker-journal", "--example", "mailqueue"]);
        cargo.arg("--target-dir").arg(profile.parent().unwrap()).current_dir(env!("CARGO_MANIFEST_DIR"));
        if profile.ends_with("release") {
            cargo.arg("--release");
        }
        assert!(cargo.status().unwrap().success(), "the example is built");
        profile.join("examples/mailqueue")
    })
}

/// A directory of the queue, and the mails it is given.
struct Spool {
    dir: tempfile::TempDir,
    mails: u64,
    kills: usize,
}

impl Spool {
    fn new(mails: u64, padding: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let line = |id| format!("{} {}\n", destination(id), body(id, padding));
        fs::write(dir.path().join("mails"), (1..=mails).map(line).collect::<String>()).unwrap();
        fs::write(dir.path().join("nothing"), "").unwrap();
        Self { dir, mails, kills: 0 }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Begins a life that reads `input`; `fault` as in `worker_journal::fault`.
    fn begin(&self, input: &str, fault: &str, schedule: &[&str]) -> Child {
        let out = OpenOptions::new().append(true).create(true).open(self.path("out")).unwrap();
        let mut command = Command::new(program());
        command.arg(self.path("queue")).args(schedule).env("WORKER_FAULT", fault);
        command.stdin(File::open(self.path(input)).unwrap()).stdout(out).stderr(Stdio::null());
        command.spawn().unwrap()
    }

    /// A life to its end.
    fn live(&self, input: &str) {
        let status = self.begin(input, "", &[]).wait().unwrap();
        assert!(status.success(), "{status}");
    }

    /// Kills a life when `is_due`; it may end before.
    fn kill_when(&mut self, mut life: Child, is_due: impl Fn(&Self) -> bool) -> ExitStatus {
        let deadline = Instant::now() + Duration::from_secs(60);
        while life.try_wait().unwrap().is_none() && !is_due(self) {
            assert!(Instant::now() < deadline, "it gets no further: {:?}", self.delivered());
            std::thread::sleep(Duration::from_micros(200));
        }
        life.kill().unwrap();
        let status = life.wait().unwrap();
        self.kills += usize::from(status.signal() == Some(9));
        status
    }

    /// Ids of what the servers were given, with repetitions.
    fn delivered(&self) -> BTreeMap<&'static str, Vec<u64>> {
        DESTINATIONS.map(|name| (name, ids(&self.path(&format!("queue/sent/{name}"))))).into()
    }

    fn deliveries(&self) -> usize {
        self.delivered().values().map(Vec::len).sum()
    }

    /// So many lines were promised to survive.
    fn accepted(&self) -> u64 {
        let out = fs::read_to_string(self.path("out")).unwrap_or_default();
        let said = out.lines().filter_map(|line| line.strip_prefix("accepted "));
        said.map(|lines| lines.parse().unwrap()).max().unwrap_or(0)
    }

    /// Of the first `lines` mails each is settled once, in order, but for what a kill repeats; others may be, too.
    fn assert_settled(&self, lines: u64, context: &str) {
        for (name, mut got) in self.delivered() {
            let (with, until) = (got.len(), got.last().copied().unwrap_or(0).max(lines));
            got.dedup();
            let mine = (1..=until).filter(|id| destination(*id) == name);
            let (refused, taken): (Vec<u64>, Vec<u64>) = mine.partition(|id| id % REFUSED_EVERY == 0);
            assert_eq!(got, taken, "{context}: {name} has each mail, in order");
            assert!(with - got.len() <= self.kills, "{context}: {name}, {} kills, {with} mails", self.kills);
            let dead = ids(&self.path(&format!("queue/dead/{name}")));
            assert!(
                dead.len() >= refused.iter().filter(|id| **id <= lines).count(),
                "{context}: {name}: {dead:?}"
            );
            let all = (1..=self.mails).filter(|id| destination(*id) == name && id % REFUSED_EVERY == 0);
            assert_eq!(dead, all.take(dead.len()).collect::<Vec<_>>(), "{context}: dead letters of {name}");
        }
    }
}

fn destination(id: u64) -> &'static str {
    DESTINATIONS[usize::try_from(id * id + id / 5).unwrap() % DESTINATIONS.len()]
}

fn body(id: u64, padding: usize) -> String {
    let mark = if id.is_multiple_of(REFUSED_EVERY) { "!" } else { "" };
    format!("{mark}mail {id} {}", "x".repeat(padding))
}

/// The first words of a file's lines; a file that is not there has none.
fn ids(path: &Path) -> Vec<u64> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.split_inclusive('\n').map(|line| line.split(' ').next().unwrap().parse().unwrap()).collect()
}

#[test]
fn killed_at_random_moments_it_loses_nothing_and_keeps_the_order() {
    let fresh = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    println!("seeds 1, 2, 3 and {fresh}");
    let mut kills = 0;
    for seed in [1, 2, 3, fresh] {
        let (mut rng, mut spool) = (Rng::new(seed), Spool::new(400, 10));
        for _ in 0..8 {
            let more = usize::try_from(rng.up_to(60)).unwrap();
            let before = spool.deliveries();
            let life = spool.begin("mails", "", &["bob=2"]);
            spool.kill_when(life, |spool| spool.deliveries() >= before + more);
        }
        let promised = spool.accepted();
        spool.live("nothing");
        spool.assert_settled(promised, &format!("seed {seed}, without the input"));
        spool.live("mails");
        spool.assert_settled(spool.mails, &format!("seed {seed}"));
        kills += spool.kills;
    }
    assert!(kills >= 12, "only {kills} kills hit");
}

#[cfg(debug_assertions)]
#[test]
fn killed_at_any_point_it_loses_nothing_and_keeps_the_order() {
    let points = ["create", "allocate", "write", "sync", "syncdir", "rename", "mkdir"];
    let points = points.map(|what| format!("journal.{what}")).into_iter();
    let mut met: BTreeMap<String, usize> = BTreeMap::new();
    for point in points.chain(["mailqueue.call".to_owned(), "mailqueue.dead".to_owned()]) {
        for passage in
            [".before:1", ".after:1", ".before:2", ".after:4", ".before:9", ".after:17", ".after:40"]
        {
            let fault = format!("{point}{passage}");
            let mut spool = Spool::new(40, 10);
            // Twice, so that there is a journal to go on with.
            for _ in 0..2 {
                let status = spool.begin("mails", &fault, &[]).wait().unwrap();
                assert!(status.success() || status.signal() == Some(9), "{fault}: {status}");
                spool.kills += usize::from(!status.success());
            }
            *met.entry(point.clone()).or_default() += spool.kills;
            let promised = spool.accepted();
            spool.live("nothing");
            spool.assert_settled(promised, &format!("{fault}, without the input"));
            spool.live("mails");
            spool.assert_settled(spool.mails, &fault);
        }
    }
    assert!(met.values().all(|kills| *kills >= 2), "each point kills: {met:?}");
}

#[test]
fn a_dead_destination_holds_up_nobody_and_its_mails_outlive_memory_and_process() {
    let mut spool = Spool::new(400, 2_000);
    let life = spool.begin("mails", "", &["bob=1000000"]);
    let mails_of = |name| (1..=400).filter(|id| destination(*id) == name && id % REFUSED_EVERY != 0).count();
    let others = 400 - 400 / 7 - mails_of("bob");
    let status = spool.kill_when(life, |spool| spool.accepted() == 400 && spool.deliveries() >= others);
    assert_eq!(status.signal(), Some(9), "it would have gone on trying");
    assert_eq!(spool.delivered()["bob"], Vec::<u64>::new());
    assert!(mails_of("bob") * 2_000 > 2 * (64 << 10), "more than fits into memory");
    spool.live("nothing");
    spool.assert_settled(400, "bob is back");
}

#[test]
fn one_process_has_the_queue() {
    let mut spool = Spool::new(40, 10);
    let first = spool.begin("mails", "", &["bob=1000000"]);
    spool.kill_when(first, |spool| {
        let is_running = spool.accepted() == 40;
        if is_running {
            let status = spool.begin("mails", "", &[]).wait().unwrap();
            assert_eq!(status.code(), Some(1), "a second one is refused");
        }
        is_running
    });
    spool.live("mails");
    spool.assert_settled(40, "alone again");
}
