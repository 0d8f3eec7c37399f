//! What a program that has ended well left behind: processes that still work for it, as in `tee >(gzip > copy.gz)`.
//!
//! They are waited for as long as they do something and hold one of the program's pipes. What does nothing for a while, and could do
//! something, is a daemon, or hangs: it is killed, which is said. So is, after its `stop_grace`, what holds standard error alone,
//! however busy: of a program whose output is at its end nothing more is waited for than last words. The work of a sink's processes
//! is not seen from here: they get six times that.

use super::descent::{self, Activity};
use super::launcher::Child;
use super::program::{Program, TaskEnv};
use rustix::process::Pid;
use std::future::pending;
use std::pin::Pin;
use std::time::Duration;
use tokio::time::Instant;

/// How long they may do nothing; less where the program's `stop_grace` or `timeout` is.
const IDLE_MAX: Duration = Duration::from_secs(5);

/// What processes of a sink get of its `stop_grace`, for they may be writing what it is for.
const GRACES_OF_SINK: u32 = 6;

/// How often it is looked, at first and later.
const LOOK_AFTER: Duration = Duration::from_millis(20);
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// What becomes of the output of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Output {
    Taken,
    /// Nobody takes it now, for a reason that is not the program's.
    HeldUp,
    AtItsEnd,
    /// A sink has none.
    None,
}

/// The processes that an ended child has left behind.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Survivors {
    pub(super) launcher: Pid,
    /// The child's.
    pub(super) id: u64,
    pub(super) group: Pid,
}

impl Survivors {
    /// Returns when none is left, or when they have done nothing for too long, which is said: they are to be killed then.
    async fn over(self, program: &Program, env: &TaskEnv, output: impl Fn() -> Output) {
        let patience =
            program.timeout.map_or(IDLE_MAX, |timeout| timeout.min(IDLE_MAX)).min(program.stop_grace);
        let (mut wait, mut before) = (LOOK_AFTER, None);
        let (mut idle, mut looked) = (Duration::ZERO, Instant::now());
        let mut ended = Duration::ZERO;
        loop {
            tokio::time::sleep(wait).await;
            // Time in which this process itself was stopped or busy does not count.
            let elapsed = looked.elapsed().min(wait);
            looked = Instant::now();
            let Some((names, activity)) = self.look().await else {
                before = None;
                continue;
            };
            if names.is_empty() {
                return;
            }
            let still =
                before.replace(activity.clone()).is_some_and(|before| activity.is_idle_since(&before));
            let output = output();
            idle = if still && output != Output::HeldUp { idle + elapsed } else { Duration::ZERO };
            let most = match output {
                Output::Taken | Output::HeldUp => None,
                Output::AtItsEnd => Some(program.stop_grace),
                Output::None => Some(program.stop_grace * GRACES_OF_SINK),
            };
            ended = if most.is_some() { ended + elapsed } else { Duration::ZERO };
            if idle >= patience {
                let what = "held its output open and did nothing";
                let lost = "what they might have printed is missing";
                return say_abandoned((program, env), &names, patience, (what, lost));
            }
            if let Some(most) = most.filter(|most| ended >= *most) {
                let what = "held its standard error open, and no more than that,";
                let lost = match output {
                    Output::None => "what they might have done is missing",
                    Output::Taken | Output::HeldUp | Output::AtItsEnd => "its output is complete",
                };
                return say_abandoned((program, env), &names, most, (what, lost));
            }
            wait = (wait * 2).min(LOOK_EVERY);
        }
    }

    /// `None`: nobody knows, as there is no descriptor to look with. Reading `/proc` takes milliseconds where there are thousands
    /// of processes: not on this thread.
    async fn look(self) -> Option<(Vec<String>, Activity)> {
        let Self { launcher, id, group } = self;
        let looking = tokio::task::spawn_blocking(move || descent::survivors(launcher, id, group));
        looking.await.ok()?.ok()
    }
}

/// What `child`, which has ended, left behind: to be waited for where it is wanted and there is something, else killed.
pub(super) fn after<'a, F: Fn() -> Output + 'a>(
    child: &mut Child,
    wanted: bool,
    program: &'a Program,
    env: &'a TaskEnv,
    output: F,
) -> Option<Pin<Box<impl Future<Output = ()> + use<'a, F>>>> {
    let survivors = child.survivors().filter(|_| wanted);
    if survivors.is_none() {
        child.kill();
    }
    survivors.map(|survivors| Box::pin(survivors.over(program, env, output)))
}

/// Waits for this to be over, if there is something.
pub(super) async fn over(work: &mut Option<Pin<Box<impl Future<Output = ()>>>>) {
    match work {
        Some(work) => work.await,
        None => pending().await,
    }
}

fn say_abandoned(
    (program, env): (&Program, &TaskEnv),
    names: &[String],
    patience: Duration,
    (what, lost): (&str, &str),
) {
    tracing::warn!(
        stage = program.stage,
        task = env.task,
        "{} has ended well, but processes that it started {what} for {:.1} s: {}; they were killed, and {lost}; let the program wait \
         for them, or let them close its output and its standard error",
        program.name(),
        patience.as_secs_f64(),
        names.join(", ")
    );
}
