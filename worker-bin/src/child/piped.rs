//! Programs that are themselves an end of the pipeline: one of their ends is a file for a blocking thread.

use super::failure::{self, LastWords, NotStarted};
use super::launcher::{Child, Launcher};
use super::pipes::{Gauges, pipe_pair};
use super::program::{Program, TaskEnv};
use super::stderr::{self, Source, Tail};
use super::stop::{Leaving, Step, StopOrder};
use super::survivors::{self, Output, Over};
use super::watch::Idle;
use super::wire::Exit;
use crate::stopped::stopped;
use std::convert::Infallible;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::net::unix::pipe;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tracing::Instrument as _;
use worker_core::event::{Failure, FailureKind};

/// How often it is looked whether it runs at all.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How long standard error may stay open after the program's end.
const PATIENCE: Duration = Duration::from_secs(1);

/// A program source or sink. Dropping it kills the program's process group.
#[derive(Debug)]
pub struct PipedChild {
    program: Arc<Program>,
    /// Follows the child, which it owns; gives its end.
    following: JoinHandle<Result<Exit, String>>,
    exit: Option<Result<Exit, String>>,
    shared: Arc<Shared>,
    /// Reads its standard error; gives `tail` in the end.
    stderr: Option<JoinHandle<Tail>>,
    tail: String,
    stop: Arc<Notify>,
}

/// What is told to who follows a child.
#[derive(Debug, Default)]
struct Shared {
    kill: Notify,
    /// Its output and its standard error are at their ends: nobody waits for what it left behind any more.
    let_go: Notify,
    /// Nobody reads its output now, for a reason that is not its own.
    is_held_up: AtomicBool,
    has_output_ended: AtomicBool,
}

impl Shared {
    fn output(&self) -> Output {
        if self.has_output_ended.load(Ordering::Relaxed) {
            Output::AtItsEnd
        } else if self.is_held_up.load(Ordering::Relaxed) {
            Output::HeldUp
        } else {
            Output::Taken
        }
    }
}

/// Starts a program whose standard output is read from the file; its standard input is empty. `stop` ends it in good order.
///
/// # Errors
/// The program could not be started.
pub async fn start_source(
    launcher: &Launcher,
    program: Arc<Program>,
    env: &TaskEnv,
    stop: &Arc<StopOrder>,
    on_stopped: impl Fn(Option<Idle>) + Clone + Send + 'static,
) -> Result<(File, PipedChild), Failure> {
    let ends = || {
        let (reading, writing) = pipe_pair()?;
        Ok((OwnedFd::from(File::open("/dev/null")?), Some(writing), reading))
    };
    patiently(&program, stop, || start(launcher, &program, env, ends(), stop, on_stopped.clone())).await
}

/// As [`failure::patiently`], until it is to stop; what is started is stopped by who follows it.
async fn patiently<T, F: Future<Output = Result<T, NotStarted>>>(
    program: &Program,
    stop: &StopOrder,
    start: impl FnMut() -> F,
) -> Result<T, Failure> {
    let end = Notify::new();
    let pass_on = async {
        stop.is_asked().await;
        end.notify_one();
        std::future::pending::<Infallible>().await
    };
    tokio::select! {
        started = failure::patiently(program, &end, start) => started,
        never = pass_on => match never {},
    }
}

impl PipedChild {
    /// Kills it and everything below it.
    pub fn kill(&self) {
        self.shared.kill.notify_one();
    }

    /// Whether its output is read, or would be if there were some.
    pub fn is_read(&self, is_read: bool) {
        self.shared.is_held_up.store(!is_read, Ordering::Relaxed);
    }

    /// Waits for its end; its output was read to its end, or is closed here. May be dropped and called again.
    ///
    /// # Errors
    /// It did not end with an accepted exit status; with the end of what it said on standard error.
    pub async fn wait(&mut self) -> Result<(), Failure> {
        let exit = match self.exit.clone() {
            Some(exit) => exit,
            None => {
                let exit = self.followed_to_its_end().await;
                self.exit.insert(exit).clone()
            }
        };
        if let Some(draining) = &mut self.stderr {
            let drained = match tokio::time::timeout(PATIENCE, &mut *draining).await {
                Ok(drained) => drained,
                Err(_) => {
                    self.stop.notify_one();
                    draining.await
                }
            };
            self.tail = drained.map(|tail| tail.text()).unwrap_or_default();
            self.stderr = None;
        }
        let words = LastWords { stderr_tail: self.tail.clone(), silent: false };
        match exit {
            Ok(exit) => failure::judge(&self.program, exit, words),
            Err(why) => Err(words.failure(FailureKind::Worker, why)),
        }
    }
}

impl PipedChild {
    async fn followed_to_its_end(&mut self) -> Result<Exit, String> {
        let Self { following, stderr, tail, shared, .. } = self;
        shared.has_output_ended.store(true, Ordering::Relaxed);
        loop {
            let drained = async {
                match stderr.as_mut() {
                    Some(draining) => draining.await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                followed = &mut *following => return followed.unwrap_or_else(|error| Err(error.to_string())),
                drained = drained => {
                    *tail = drained.map(|tail| tail.text()).unwrap_or_default();
                    *stderr = None;
                    shared.let_go.notify_one();
                }
            }
        }
    }
}

impl Drop for PipedChild {
    fn drop(&mut self) {
        // With the child that it owns, which is killed so.
        self.following.abort();
    }
}

/// Follows a child to its end, and stops it where that is asked for. Its input is not ours to close here.
///
/// What it left behind may go on for as long as it does something and has not let go of its pipes, which are read by others.
async fn follow(
    mut child: Child,
    stop: Arc<StopOrder>,
    shared: Arc<Shared>,
    program: Arc<Program>,
    env: TaskEnv,
    on_stopped: impl Fn(Option<Idle>),
) -> Result<Exit, String> {
    let mut leaving = Leaving::new(&stop, program.stop_grace);
    let mut looks = tokio::time::interval(LOOK_EVERY);
    let mut seen = None;
    let (mut exit, mut surviving) = (None, None);
    loop {
        tokio::select! {
            ended = child.wait(), if exit.is_none() => {
                // What is printed while it is stopped counts, whoever does.
                let wanted = failure::is_good(&program, &ended) || stop.asked().is_some();
                surviving = survivors::after(&mut child, wanted, &program, &env, || shared.output());
                if surviving.is_none() {
                    return ended;
                }
                exit = Some(ended);
            }
            over = survivors::over(&mut surviving), if surviving.is_some() => return match over {
                Over::Lost(what) if stop.asked().is_none() => Err(what),
                Over::Lost(what) => {
                    tracing::warn!(stage = program.stage, task = env.task, "{what}");
                    seen_end(exit)
                }
                Over::Well => seen_end(exit),
            },
            () = shared.let_go.notified(), if surviving.is_some() => return seen_end(exit),
            step = leaving.next() => match step {
                Step::Terminate => child.terminate(),
                Step::Kill => child.kill(),
            },
            () = shared.kill.notified() => child.kill(),
            _ = looks.tick() => {
                let pid = u32::try_from(child.pid().as_raw_pid()).unwrap_or_default();
                let by = stopped(pid);
                if std::mem::replace(&mut seen, by) != by {
                    on_stopped(by.map(|by| Idle::Stopped { pid, by }));
                }
            }
        }
    }
}

fn seen_end(exit: Option<Result<Exit, String>>) -> Result<Exit, String> {
    exit.unwrap_or_else(|| Err("its end was never seen".to_owned()))
}

/// Standard input and output of the child (standard error where `None`), and our end.
type Ends = (OwnedFd, Option<OwnedFd>, OwnedFd);

async fn start(
    launcher: &Launcher,
    program: &Arc<Program>,
    env: &TaskEnv,
    ends: io::Result<Ends>,
    stop: &Arc<StopOrder>,
    on_stopped: impl Fn(Option<Idle>) + Send + 'static,
) -> Result<(File, PipedChild), NotStarted> {
    let pipes = || -> io::Result<_> {
        let (stdin, stdout, ours) = ends?;
        let (from_stderr, stderr) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
        let stdout = stdout.map_or_else(|| stderr.try_clone(), Ok)?;
        Ok(([stdin, stdout, stderr], pipe::Receiver::from_owned_fd(from_stderr)?, ours))
    };
    let (stdio, stderr, ours) = pipes().map_err(|error| failure::no_pipes(program, &error))?;
    let child = match launcher.spawn(program.start(env, false), stdio).await {
        Ok(child) => child,
        Err(error) => return Err(failure::not_started(program, error)),
    };
    let shared = Arc::new(Shared::default());
    let followed =
        follow(child, Arc::clone(stop), Arc::clone(&shared), Arc::clone(program), env.clone(), on_stopped);
    let following = tokio::spawn(followed);
    let stop = Arc::new(Notify::new());
    let (limit, stage, task, stopping) =
        (program.log_limit.clone(), program.stage.clone(), env.task.clone(), stop.clone());
    let draining = async move {
        let mut tail = Tail::default();
        let source = Source { stage: &stage, task: &task, limit: &limit };
        stderr::drain(stderr, &source, &mut tail, &Gauges::default(), &stopping).await;
        tail
    };
    let draining = tokio::spawn(draining.in_current_span());
    let program = Arc::clone(program);
    let (exit, stderr, tail) = (None, Some(draining), String::new());
    Ok((File::from(ours), PipedChild { program, following, exit, shared, stderr, tail, stop }))
}

#[cfg(test)]
mod tests {
    use super::super::stop::Manner;
    use super::*;

    #[tokio::test]
    async fn a_source_that_waits_to_be_started_ends_with_a_stop() {
        let program = Program::new("source", ["true"]);
        let stop = StopOrder::new();
        let mut tries = 0;
        let start = || {
            tries += 1;
            stop.stop(Manner::Terminate);
            async { Err::<(), _>(NotStarted::NoRoom("no descriptor".to_owned())) }
        };
        let waits = tokio::time::timeout(Duration::from_secs(30), patiently(&program, &stop, start));
        let failure = waits.await.expect("it does not wait for room any more").unwrap_err();
        assert!(failure.message.contains("was killed by its task"), "{}", failure.message);
        assert!(tries < 3, "{tries}");
    }
}
