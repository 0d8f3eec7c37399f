//! What a program that has ended well left behind: processes that still work for it, as in `tee >(gzip > copy.gz)`.
//!
//! They are waited for as long as they do something and hold one of the program's pipes. What does nothing for its `stop_grace`, and
//! could do something, is a daemon, or hangs: it is killed. So is, after that time, what holds standard error alone, however busy: of a
//! program whose output is at its end nothing more is waited for than last words. The work of a sink's processes is not seen from here:
//! they get six times that, and who may have some of its input as long as they do something.
//!
//! Where records may be lost with what is killed, the program has not ended well: of a stage or source whose output was still held, of a sink
//! some of whose input may be. Else it is said, and that is all.

use super::descent::{self, Left};
use super::launcher::Child;
use super::program::{Program, TaskEnv};
use rustix::process::Pid;
use std::future::pending;
use std::pin::Pin;
use std::time::Duration;
use tokio::time::Instant;

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

/// How it came to nobody being left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Over {
    /// They have ended, or what is still there is none of the program's work.
    Well,
    /// They are to be killed, and records may be lost with them: what happened, for people.
    Lost(String),
}

impl Survivors {
    /// Returns when none is left, or when they are to be killed.
    async fn over(self, program: &Program, env: &TaskEnv, output: impl Fn() -> Output) -> Over {
        let patience = program.timeout.map_or(program.stop_grace, |timeout| timeout.min(program.stop_grace));
        let (mut wait, mut before) = (LOOK_AFTER, None);
        let (mut idle, mut looked) = (Duration::ZERO, Instant::now());
        let mut ended = Duration::ZERO;
        loop {
            tokio::time::sleep(wait).await;
            // Time in which this process itself was stopped or busy does not count.
            let elapsed = looked.elapsed().min(wait);
            looked = Instant::now();
            let Some(left) = self.look().await else {
                before = None;
                continue;
            };
            if left.names.is_empty() {
                return Over::Well;
            }
            let now = left.activity.clone();
            let still = before.replace(now).is_some_and(|before| left.activity.is_idle_since(&before));
            let output = output();
            idle = if still && output != Output::HeldUp { idle + elapsed } else { Duration::ZERO };
            let most = match output {
                Output::Taken | Output::HeldUp => None,
                Output::AtItsEnd => Some(program.stop_grace),
                Output::None if left.may_hold_input => None,
                Output::None => Some(program.stop_grace * GRACES_OF_SINK),
            };
            ended = if most.is_some() { ended + elapsed } else { Duration::ZERO };
            if idle >= patience {
                return abandoned((program, env), &left, patience, output, " and did nothing");
            }
            if let Some(most) = most.filter(|most| ended >= *most) {
                return abandoned((program, env), &left, most, output, ", and no more than that,");
            }
            wait = (wait * 2).min(LOOK_EVERY);
        }
    }

    /// `None`: nobody knows, as there is no descriptor to look with. Reading `/proc` takes milliseconds where there are thousands
    /// of processes: not on this thread.
    async fn look(self) -> Option<Left> {
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
) -> Option<Pin<Box<impl Future<Output = Over> + use<'a, F>>>> {
    let survivors = child.survivors().filter(|_| wanted);
    if survivors.is_none() {
        child.kill();
    }
    survivors.map(|survivors| Box::pin(survivors.over(program, env, output)))
}

/// Waits for this to be over, if there is something.
pub(super) async fn over(work: &mut Option<Pin<Box<impl Future<Output = Over>>>>) -> Over {
    match work {
        Some(work) => work.await,
        None => pending().await,
    }
}

/// What those that are to be killed did, and whether records may be lost with them; where not, it is said.
fn abandoned(
    (program, env): (&Program, &TaskEnv),
    left: &Left,
    patience: Duration,
    output: Output,
    did: &str,
) -> Over {
    let (held, lost, is_lost) = match output {
        Output::Taken | Output::HeldUp => {
            ("its output", "what they might have printed would be missing", true)
        }
        Output::AtItsEnd => ("its standard error", "its output is complete", false),
        Output::None if left.may_hold_input => {
            ("its standard error", "what they had of its input would be missing", true)
        }
        Output::None => ("its standard error", "they had none of its input", false),
    };
    let what = format!(
        "{} has ended well, but processes that it started held {held} open{did} for {:.1} s: {}; they were killed, and {lost}; let the \
         program wait for them, let them close its output and its standard error, or raise stop_grace",
        program.name(),
        patience.as_secs_f64(),
        left.names.join(", ")
    );
    if is_lost {
        return Over::Lost(what);
    }
    tracing::warn!(stage = program.stage, task = env.task, "{what}");
    Over::Well
}
