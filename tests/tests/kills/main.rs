//! Pipelines with state whose workers, launchers and programs are killed at random moments: what the sinks have in the end is
//! what a shell makes of the same input, byte for byte, or sorted where partitions interleave.
//!
//! The moments are drawn from a seed, a new one each time; `WORKER_KILL_SEED=n` draws the same again. What a kill meets depends
//! on the machine, so a replay is no more than likely to show the same. `WORKER_KILLS_PERCENT=n` makes it fewer or more kills.

mod batch;
mod follow;
mod headers;
mod nodes;
mod order;
mod records;
mod stream;

use std::io::Write as _;
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use worker_tests::process::{Crew, Hits, Scratch};
use worker_tests::sim::rng::Rng;

/// How many kills there may be in one round: a pipeline that is killed more often than it gets forward takes long.
const KILLS_A_ROUND_MAX: u64 = 14;

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is a number, not {text:?}")))
}

/// Runs a pipeline in rounds, each from its beginning, until so many kills have hit.
fn campaign(name: &str, kills: u64, round: impl Fn(&Scratch, &mut Rng, u64) -> Hits) {
    let fresh = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970").as_micros();
    let seed =
        number("WORKER_KILL_SEED").unwrap_or_else(|| u64::try_from(fresh).expect("it is before 586912 AD"));
    let kills = kills * number("WORKER_KILLS_PERCENT").unwrap_or(100) / 100;
    let (begun, mut rng, mut hits, mut rounds) = (Instant::now(), Rng::new(seed), Hits::default(), 0);
    println(&format!("{name}: WORKER_KILL_SEED={seed}"));
    while hits.total() < kills {
        let scratch = Scratch::new();
        let left = kills - hits.total();
        let wanted = rng.within(1, KILLS_A_ROUND_MAX).min(left);
        hits += round(&scratch, &mut rng, wanted);
        scratch.assert_no_process_left();
        rounds += 1;
        assert!(rounds < 20 + kills, "{name}: only {hits:?} in {rounds} rounds: it ends before it is hit");
    }
    let seconds = begun.elapsed().as_secs_f64();
    println(&format!(
        "{name}: {} kills of workers and {} of programs in {rounds} rounds, {seconds:.1} s",
        hits.workers, hits.programs
    ));
    assert!(hits.workers * 4 >= kills, "{name}: a good part hits workers: {hits:?}");
}

/// The sinks hold what they should.
fn assert_equal(crew: &Crew<'_>, scratch: &Scratch, what: &str, got: &str, want: &str) {
    let (got, want) = (scratch.shell(got), scratch.shell(want));
    if got == want {
        return;
    }
    let (got, want) =
        (String::from_utf8_lossy(&got).into_owned(), String::from_utf8_lossy(&want).into_owned());
    let first = got.lines().zip(want.lines()).position(|(a, b)| a != b);
    let first = first.unwrap_or_else(|| got.lines().count().min(want.lines().count()));
    panic!(
        "{what} has {} lines instead of {}; line {first} is {:?} instead of {:?}\n{}",
        got.lines().count(),
        want.lines().count(),
        got.lines().nth(first),
        want.lines().nth(first),
        crew.story()
    );
}

/// No record was dead-lettered.
fn assert_no_letters(crew: &Crew<'_>, scratch: &Scratch) {
    let letters = scratch.shell("find state -path '*/dead/*' -type f -exec cat {} +");
    assert!(letters.is_empty(), "condemned: {}\n{}", String::from_utf8_lossy(&letters), crew.story());
}

fn println(line: &str) {
    writeln!(std::io::stderr(), "{line}").ok();
}
