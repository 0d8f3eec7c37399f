//! The processes of a pipeline, killed again and again and started again, as whoever watches over services would.

use super::nodes::Nodes;
use super::scratch::Scratch;
use super::victims::{descendants, kill_living};
use super::worker::{Running, Start};
use crate::sim::rng::Rng;
use rustix::process::Signal;
use std::os::unix::process::ExitStatusExt as _;
use std::time::{Duration, Instant};

/// How long the pipeline may take to its end after the last kill.
const PATIENCE: Duration = Duration::from_secs(60);

/// Upper limits in milliseconds of the time from one kill to the next, one drawn for each: some hit a process that starts
/// or recovers, some one that has run for a while.
const PAUSES_MS_MAX: [u64; 4] = [15, 60, 200, 500];

/// The processes of one pipeline with `--state`.
#[derive(Debug)]
pub struct Crew<'a> {
    members: Vec<Member<'a>>,
    /// Of 100 kills, how many hit a program or a launcher and not a worker.
    programs_percent: u64,
    exits: [i32; 2],
    story: Vec<String>,
    begun: Instant,
}

/// How many kills hit a living process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hits {
    /// Workers.
    pub workers: u64,
    /// Launchers, programs and what those have started.
    pub programs: u64,
}

/// How a process is started.
type StartsAs<'a> = Box<dyn Fn() -> Start<'a> + 'a>;

struct Member<'a> {
    name: String,
    start: StartsAs<'a>,
    running: Option<Running<'a>>,
    is_done: bool,
    /// A program of some node was killed in this life: the worker may end with an error because of it.
    is_harmed: bool,
}

impl Hits {
    /// All together.
    #[must_use]
    pub fn total(self) -> u64 {
        self.workers + self.programs
    }
}

impl std::ops::AddAssign for Hits {
    fn add_assign(&mut self, other: Self) {
        self.workers += other.workers;
        self.programs += other.programs;
    }
}

impl std::fmt::Debug for Member<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Member").field("name", &self.name).field("is_done", &self.is_done).finish()
    }
}

impl<'a> Crew<'a> {
    /// One process that runs the whole pipeline.
    #[must_use]
    pub fn one(scratch: &'a Scratch, pipeline: &str) -> Self {
        scratch.write("pipeline.toml", pipeline);
        let start =
            move || scratch.worker(&["run", "pipeline.toml", "--state", "state", "--progress", "none"]);
        Self::new(vec![Member::new("worker", start)])
    }

    /// A process for each of these nodes.
    #[must_use]
    pub fn nodes(nodes: &'a Nodes<'a>, names: &[&'a str]) -> Self {
        let member = |&name: &&'a str| {
            Member::new(name, move || {
                let mut start = nodes.node(name);
                start.command.args(["--state", "state", "--progress", "none"]);
                start
            })
        };
        Self::new(names.iter().map(member).collect())
    }

    /// Processes of these names, each started so.
    #[must_use]
    pub fn of(members: Vec<(String, StartsAs<'a>)>) -> Self {
        Self::new(members.into_iter().map(|(name, start)| Member::new(&name, start)).collect())
    }

    fn new(members: Vec<Member<'a>>) -> Self {
        Self { members, programs_percent: 33, exits: [0, 0], story: Vec::new(), begun: Instant::now() }
    }

    /// Another share of kills that hit programs.
    #[must_use]
    pub fn programs_percent(mut self, percent: u64) -> Self {
        self.programs_percent = percent;
        self
    }

    /// Another exit status than 0 is a good end too.
    #[must_use]
    pub fn may_exit(mut self, code: i32) -> Self {
        self.exits[1] = code;
        self
    }

    /// Kills at random so many times, and lets the pipeline come to its end then. Ends earlier if the pipeline does.
    ///
    /// # Panics
    /// A process ends badly without having been harmed, panics, or does not come to its end.
    pub fn kill_at_random(&mut self, rng: &mut Rng, kills: u64) -> Hits {
        let (hits, has_ended) = self.kill_some(rng, kills);
        if !has_ended {
            self.run_to_the_end();
        }
        hits
    }

    /// The same of a pipeline that has no end: it is stopped when `is_done` says so.
    ///
    /// # Panics
    /// As [`Crew::kill_at_random`].
    pub fn kill_until(&mut self, rng: &mut Rng, kills: u64, is_done: impl FnMut() -> bool) -> Hits {
        let (hits, _) = self.kill_some(rng, kills);
        self.stop_once(is_done);
        hits
    }

    /// Lets a pipeline that has no end go on until `is_done` says so, and stops it.
    ///
    /// # Panics
    /// As [`Crew::kill_at_random`].
    pub fn stop_once(&mut self, mut is_done: impl FnMut() -> bool) {
        let begun = Instant::now();
        while !is_done() {
            self.keep_running();
            self.runs_for(Duration::from_millis(20));
            if begun.elapsed() > PATIENCE {
                self.fail(&format!("not done {PATIENCE:?} after the last kill"));
            }
        }
        self.keep_running();
        self.exits[1] = 130;
        for running in self.members.iter().filter_map(|member| member.running.as_ref()) {
            running.signal(Signal::INT);
        }
        self.run_to_the_end();
    }

    /// Lets them run for a while; what has ended is started again.
    pub fn go_on_for(&mut self, length: Duration) {
        self.keep_running();
        self.runs_for(length);
    }

    /// The process of this name, if it runs.
    #[must_use]
    pub fn pid(&self, name: &str) -> Option<i32> {
        let member = self.members.iter().find(|member| member.name == name)?;
        Some(member.running.as_ref()?.pid())
    }

    /// Kills the worker of this name; whether it was there.
    pub fn kill(&mut self, name: &str) -> bool {
        let at = self.members.iter().position(|member| member.name == name && member.running.is_some());
        at.is_some_and(|at| self.kill_at(at))
    }

    /// Says, too, whether all have ended before it was through.
    fn kill_some(&mut self, rng: &mut Rng, kills: u64) -> (Hits, bool) {
        let mut hits = Hits::default();
        for _ in 0..kills {
            self.keep_running();
            let pause_ms = rng.pick(&PAUSES_MS_MAX);
            if !self.runs_for(Duration::from_millis(rng.below(pause_ms))) {
                return (hits, true);
            }
            if rng.chance(self.programs_percent) {
                hits.programs += u64::from(self.kill_program(rng));
            } else {
                hits.workers += u64::from(self.kill_worker(rng));
            }
        }
        (hits, false)
    }

    /// Starts what does not run until all have ended well.
    ///
    /// # Panics
    /// They do not.
    pub fn run_to_the_end(&mut self) {
        let begun = Instant::now();
        self.keep_running();
        while self.runs_for(Duration::from_millis(20)) {
            self.keep_running();
            if begun.elapsed() > PATIENCE {
                self.fail(&format!("hangs: not done {PATIENCE:?} after the last kill"));
            }
        }
    }

    /// Starts every process that is not done.
    fn keep_running(&mut self) {
        // One that starts beside a harmed one may hear of its failure.
        let is_harmed = self.members.iter().any(|member| member.running.is_some() && member.is_harmed);
        for at in 0..self.members.len() {
            let member = &mut self.members[at];
            if member.running.is_none() && !member.is_done {
                let running = (member.start)().start();
                let said = format!("{} starts as {}", member.name, running.pid());
                member.running = Some(running);
                member.is_harmed = is_harmed;
                self.tell(said);
            }
        }
    }

    /// Lets them run for a while; whether there is more to do.
    fn runs_for(&mut self, length: Duration) -> bool {
        let begun = Instant::now();
        loop {
            for at in 0..self.members.len() {
                self.look_at(at);
            }
            if self.members.iter().all(|member| member.is_done) {
                return false;
            }
            match length.checked_sub(begun.elapsed()) {
                Some(left) if !left.is_zero() => std::thread::sleep(left.min(Duration::from_millis(10))),
                _ => return true,
            }
        }
    }

    /// Takes notice of a process that has ended.
    fn look_at(&mut self, at: usize) {
        let member = &mut self.members[at];
        if member.running.as_mut().is_none_or(|running| !running.has_ended()) {
            return;
        }
        let Some(running) = member.running.take() else { return };
        let (harmed, name) = (member.is_harmed, member.name.clone());
        let finished = running.wait(Duration::ZERO);
        let status = finished.status;
        member.is_done = status.code().is_some_and(|code| self.exits.contains(&code));
        let is_done = member.is_done;
        self.tell(format!("{name} ends with {status}: {}", finished.stderr.trim()));
        let may_fail = harmed && status.code() == Some(1);
        if !is_done && !may_fail {
            self.fail(&format!("{name} ended with {status}, and nobody had harmed it"));
        }
    }

    fn kill_worker(&mut self, rng: &mut Rng) -> bool {
        let running: Vec<usize> =
            (0..self.members.len()).filter(|&at| self.members[at].running.is_some()).collect();
        if running.is_empty() {
            return false;
        }
        let at = rng.pick(&running);
        self.kill_at(at)
    }

    fn kill_at(&mut self, at: usize) -> bool {
        let Some(running) = self.members[at].running.take() else { return false };
        let hit = kill_living(running.pid());
        let finished = running.wait(Duration::from_secs(20));
        let is_killed = finished.status.signal() == Some(9);
        let said =
            format!("{} is killed: {} {}", self.members[at].name, finished.status, finished.stderr.trim());
        self.tell(said);
        // What had ended before is started again as well: nobody tells whoever watches over it that it is not needed.
        for member in &mut self.members {
            member.is_done = false;
        }
        hit && is_killed
    }

    fn kill_program(&mut self, rng: &mut Rng) -> bool {
        let workers = self.members.iter().enumerate();
        let workers = workers.filter_map(|(at, member)| Some((at, member.running.as_ref()?.pid())));
        let programs: Vec<(usize, i32)> =
            workers.flat_map(|(at, pid)| descendants(pid).into_iter().map(move |pid| (at, pid))).collect();
        if programs.is_empty() {
            return false;
        }
        let (at, pid) = rng.pick(&programs);
        let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let hit = kill_living(pid);
        // What one node fails of ends the others.
        self.members.iter_mut().for_each(|member| member.is_harmed |= hit);
        let command = String::from_utf8_lossy(&command).replace('\0', " ");
        let said = format!("{}'s {pid} ({}) is killed: {hit}", self.members[at].name, command.trim());
        self.tell(said);
        hit
    }

    fn tell(&mut self, what: String) {
        self.story.push(format!("{:9.3} s: {what}", self.begun.elapsed().as_secs_f64()));
    }

    /// What happened until now, the last part of it.
    #[must_use]
    pub fn story(&self) -> String {
        self.story[self.story.len().saturating_sub(40)..].join("\n")
    }

    fn fail(&self, why: &str) -> ! {
        let running = self.members.iter().filter_map(|member| Some((&member.name, member.running.as_ref()?)));
        let said: String =
            running.map(|(name, running)| format!("\n{name} says: {}", running.stderr())).collect();
        panic!("{why}\n{}{said}", self.story());
    }
}

impl<'a> Member<'a> {
    fn new(name: &str, start: impl Fn() -> Start<'a> + 'a) -> Self {
        let start: StartsAs<'a> = Box::new(start);
        Self { name: name.to_owned(), start, running: None, is_done: false, is_harmed: false }
    }
}
