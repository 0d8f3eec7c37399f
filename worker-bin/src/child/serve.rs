//! A running child with its three pipes served together, until it has ended and all was read.

use super::failure::{self, LastWords, NotStarted};
use super::idle::Watched;
use super::launcher::{Child, Launcher};
use super::outlet::{Gathered, Outlet, Pace, Rush};
use super::pipes::{Gauges, bytes_inside, pipe_pair};
use super::program::{PrintsTo, Program, TaskEnv};
use super::stderr::{self, Source, Tail};
use super::stop::{Leaving, Step, StopOrder};
use super::survivors::{self, Output, Over};
use super::watch::{IdleCallback, Watcher};
use super::wire::Exit;
use crate::chaos::Doom;
use crate::io::chunker::{Chunker, FinishError, RecordTooLong};
use std::convert::Infallible;
use std::future::{Future, pending};
use std::io;
use std::os::fd::OwnedFd;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;
use tokio::net::unix::pipe;
use tokio::sync::Notify;
use tokio::time::{Instant, Sleep, sleep};
use worker_core::event::{Failure, FailureKind};
use worker_proto::Batch;

/// How often it is looked whether a pipe still moves after the child's end.
const PATIENCE: Duration = Duration::from_millis(500);

/// What pipes hold at most when a child ends, in bytes, and some more. Who writes more later is not of this task.
const AFTERMATH_BYTES_MAX: u64 = 8 << 20;

/// How soon, and how often later, it is asked whether there is room for what a child prints.
const TAKEN_LOOK_MIN: Duration = Duration::from_micros(500);
const TAKEN_LOOK_MAX: Duration = Duration::from_millis(10);

/// It is found no later than after this part of the time in which there was none.
const TAKEN_LOOK_PART: u32 = 8;

/// How often it is asked whether the moment of a child's death has come.
const DUE_LOOK: Duration = Duration::from_millis(1);

/// How long a killed child may take to die before it is left alone (it sits in the kernel, or is another user's).
const DEATH_LOOKS: u32 = 20;

/// Takes the batches that a child printed; its error ends the child.
pub(crate) type Deliver<'a> = &'a mut (dyn FnMut(Batch) -> Result<(), String> + Send);

/// A child that was started, and our ends of its pipes.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    stdout: pipe::Receiver,
    stderr: pipe::Receiver,
    /// Our copy of its reading end: it shows what the child left unread, even after its end. It also means that writing
    /// to a child that has gone waits instead of failing; the exit is what ends the writing.
    unread: Arc<OwnedFd>,
    /// What is to befall it.
    doom: Option<Doom>,
}

#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) result: Result<(), Failure>,
    /// Bytes that were written to its standard input, and not read.
    pub(crate) unread: u64,
    pub(crate) records: u64,
    /// The last lines it said on standard error.
    pub(crate) stderr_tail: String,
}

/// What `serve` needs besides the pipes.
pub(crate) struct Service<'a> {
    pub(crate) program: &'a Program,
    pub(crate) env: &'a TaskEnv,
    pub(crate) gauges: &'a Gauges,
    /// A stream: output is delivered as soon as there is no more to read, and a child that buffers it is on_idle of.
    pub(crate) stream: bool,
    /// Its output comes in many small writes: while it has enough to do, it is read now and then, not at each of them.
    pub(crate) gathers: bool,
    /// What it is when its output is refused.
    pub(crate) refusal: FailureKind,
    /// Told when the child shall be killed.
    pub(crate) kill: &'a Notify,
    /// Says that it shall come to its end in good order.
    pub(crate) stop: &'a StopOrder,
    /// Hears that the child does nothing though it has something to do.
    pub(crate) on_idle: IdleCallback<'a>,
    /// Says whether its output is to be read now. While it is not, no clock of the child runs.
    pub(crate) takes_print: &'a (dyn Fn() -> bool + Sync),
}

/// Why a child is killed.
enum Fault {
    Timeout(Duration),
    KillAsked,
    Failed(FailureKind, String),
    /// By [`Doom`].
    Injected,
}

impl Running {
    /// Starts the program on new pipes, as soon as the system has room for it; gives the writing end of its standard input
    /// beside it.
    pub(crate) async fn start(
        launcher: &Launcher,
        program: &Program,
        env: &TaskEnv,
        stream: bool,
        kill: &Notify,
    ) -> Result<(Self, pipe::Sender), Failure> {
        failure::patiently(program, kill, || Self::try_start(launcher, program, env, stream)).await
    }

    async fn try_start(
        launcher: &Launcher,
        program: &Program,
        env: &TaskEnv,
        stream: bool,
    ) -> Result<(Self, pipe::Sender), NotStarted> {
        let pipes = || -> io::Result<_> {
            let (stdin, to_stdin) = pipe_pair()?;
            let unread = Arc::new(stdin.try_clone()?);
            let (from_stdout, stdout) = pipe_pair()?;
            let (from_stderr, stderr) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
            let stdout = match program.prints_to {
                PrintsTo::Records => stdout,
                // Ours is at its end at once.
                PrintsTo::Log => stderr.try_clone()?,
            };
            let ours = (
                pipe::Sender::from_owned_fd(to_stdin)?,
                pipe::Receiver::from_owned_fd(from_stdout)?,
                pipe::Receiver::from_owned_fd(from_stderr)?,
            );
            Ok(([stdin, stdout, stderr], ours, unread))
        };
        let (theirs, (stdin, stdout, stderr), unread) =
            pipes().map_err(|error| failure::no_pipes(program, &error))?;
        match launcher.spawn(program.start(env, stream), theirs).await {
            Ok(child) => {
                let doom = env.chaos.as_ref().map(|chaos| Doom::of(chaos, &env.task));
                Ok((Self { child, stdout, stderr, unread, doom }, stdin))
            }
            Err(error) => Err(failure::not_started(program, error)),
        }
    }

    /// Shows what it has not read.
    pub(crate) fn unread(&self) -> &Arc<OwnedFd> {
        &self.unread
    }

    /// Feeds, reads and watches the child until it has ended, however it ends.
    pub(crate) async fn serve(
        self,
        service: &Service<'_>,
        feed: impl Future<Output = io::Result<()>>,
        deliver: Deliver<'_>,
    ) -> Ended {
        let Self { mut child, stdout, stderr, unread, doom } = self;
        let Service { program, env, gauges, .. } = *service;
        let mut chunker = Chunker::new(&program.framing, program.max_record, program.chunk_bytes);
        let mut tail = Tail::default();
        let source = Source { stage: &program.stage, task: &env.task, limit: &program.log_limit };
        let (stop_stdout, stop_stderr) = (Notify::new(), Notify::new());
        let watched = Watched { group: child.pid(), gauges, unread: &unread };
        let (exit, fault) = {
            let read = read_output(stdout, &mut chunker, service, deliver, &stop_stdout);
            let drain = stderr::drain(stderr, &source, &mut tail, gauges, &stop_stderr);
            let stops = [&stop_stdout, &stop_stderr];
            run(&mut child, service, watched, feed, read, (drain, until_due(&doom, gauges)), stops).await
        };
        let words = LastWords { stderr_tail: tail.text(), silent: gauges.printed.load(Relaxed) == 0 };
        let result = match (fault, exit) {
            (Some(Fault::Timeout(limit)), _) => {
                let taken = gauges.fed.load(Relaxed).saturating_sub(bytes_inside(&unread));
                Err(failure::timed_out(
                    program,
                    limit,
                    LastWords { silent: words.silent && taken == 0, ..words },
                ))
            }
            (Some(Fault::Failed(kind, message)), _) => Err(words.failure(kind, message)),
            (Some(Fault::KillAsked), _) => Err(failure::killed(program, words)),
            (Some(Fault::Injected), _) => Err(failure::injected(program, words)),
            (None, Some(Ok(exit))) => {
                let stays = service.stop.asked().is_none();
                match failure::judge(program, exit, words) {
                    Ok(()) if stays && doom.as_ref().is_some_and(Doom::is_due_at_the_end) => {
                        Err(failure::injected(program, LastWords::default()))
                    }
                    Ok(()) => deliver_last(&mut chunker, service, deliver),
                    Err(failure) => Err(failure),
                }
            }
            (None, Some(Err(why))) => Err(words.failure(FailureKind::Worker, why)),
            (None, None) => Err(words.failure(FailureKind::Worker, "its end was never seen".into())),
        };
        match (&result, doom) {
            (Err(Failure { kind: FailureKind::Injected, .. }), Some(doom)) => doom.befell(),
            (_, Some(doom)) => doom.passed(),
            (_, None) => {}
        }
        let (unread, stderr_tail) = (bytes_inside(&unread), tail.text());
        Ended { result, unread, records: chunker.records(), stderr_tail }
    }
}

/// The loop around a child. Returns its end, unless it cannot even be killed, and why it was killed.
async fn run(
    child: &mut Child,
    service: &Service<'_>,
    watched: Watched<'_>,
    feed: impl Future<Output = io::Result<()>>,
    read: impl Future<Output = Result<(), Fault>>,
    (drain, due): (impl Future<Output = ()>, impl Future<Output = ()>),
    stops: [&Notify; 2],
) -> (Option<Result<Exit, String>>, Option<Fault>) {
    let program = service.program;
    let (mut feed, mut read, mut drain, mut due) = (pin!(feed), pin!(read), pin!(drain), pin!(due));
    let mut idle = pin!(watched.idle_for(program.timeout));
    let mut watching = Some(Box::pin(Watcher::new(watched, service).watch()));
    let mut look = pin!(sleep(PATIENCE));
    let (mut feeding, mut reading, mut draining) = (true, true, true);
    let has_ended = AtomicBool::new(false);
    let (mut exit, mut fault, mut surviving) = (None, None, None);
    let mut leaving = Leaving::new(service.stop, program.stop_grace);
    let mut aftermath = Aftermath::default();
    while exit.is_none() || reading || draining {
        let alive = fault.is_none() && (exit.is_none() || surviving.is_some());
        let new_fault = tokio::select! {
            fed = &mut feed, if feeding && alive && exit.is_none() => {
                feeding = false;
                fed.err().map(|error| cannot(program, "write to", &error))
            }
            read = &mut read, if reading => {
                reading = false;
                has_ended.store(true, Relaxed);
                read.err()
            }
            () = &mut drain, if draining => { draining = false; None }
            () = &mut idle, if alive && exit.is_none() => program.timeout.map(Fault::Timeout),
            () = service.kill.notified(), if fault.is_none() => Some(Fault::KillAsked),
            () = &mut due, if alive && exit.is_none() => Some(Fault::Injected),
            step = leaving.next(), if alive => match step {
                Step::Terminate => { child.terminate(); None }
                Step::Kill => Some(Fault::KillAsked),
            },
            never = forever(&mut watching), if alive => match never {},
            ended = child.wait(), if exit.is_none() => {
                let wanted = fault.is_none() && failure::is_good(program, &ended);
                surviving = survivors::after(child, wanted, program, service.env, || output_of(service, &has_ended));
                exit = Some(ended);
                aftermath.begin(watched.gauges, look.as_mut());
                None
            }
            over = survivors::over(&mut surviving), if surviving.is_some() => {
                surviving = None;
                child.kill();
                aftermath.begin(watched.gauges, look.as_mut());
                lost(over)
            }
            () = &mut look, if !alive => {
                look.as_mut().reset(Instant::now() + PATIENCE);
                // What is not read for a reason that is not its own is not over.
                let is_held_up = fault.is_none() && watched.gauges.held_up.load(Relaxed);
                if !is_held_up && aftermath.is_over(watched.gauges, exit.is_some()) {
                    if exit.is_none() {
                        break;
                    }
                    stops.iter().for_each(|stop| stop.notify_one());
                }
                None
            }
        };
        if let (None, Some(new)) = (&fault, new_fault) {
            fault = Some(new);
            surviving = None;
            reading = false;
            child.kill();
            aftermath.begin(watched.gauges, look.as_mut());
        }
        if exit.is_some() || fault.is_some() {
            // What it on_idle of a living child is over.
            watching = None;
        }
    }
    (exit, fault)
}

/// Waits for the moment at which the child is killed on purpose.
async fn until_due(doom: &Option<Doom>, gauges: &Gauges) {
    let Some(doom) = doom.as_ref().filter(|doom| doom.moment.is_some()) else { return pending().await };
    while !doom.is_due(gauges.fed.load(Relaxed), gauges.printed.load(Relaxed)) {
        sleep(DUE_LOOK).await;
    }
}

fn lost(over: Over) -> Option<Fault> {
    match over {
        Over::Well => None,
        Over::Lost(what) => Some(Fault::Failed(FailureKind::Timeout, what)),
    }
}

/// What becomes of what is printed behind the program's own end. A sink's has no output, and one that has answered all that it was asked
/// owes none.
fn output_of(service: &Service<'_>, has_ended: &AtomicBool) -> Output {
    match service.program.prints_to {
        PrintsTo::Records if has_ended.load(Relaxed) => Output::AtItsEnd,
        PrintsTo::Records if service.gathers && service.gauges.owed.load(Relaxed) == 0 => Output::AtItsEnd,
        PrintsTo::Records if service.gauges.held_up.load(Relaxed) => Output::HeldUp,
        PrintsTo::Records => Output::Taken,
        PrintsTo::Log => Output::None,
    }
}

async fn forever(work: &mut Option<Pin<Box<impl Future<Output = Infallible>>>>) -> Infallible {
    match work {
        Some(work) => work.await,
        None => pending().await,
    }
}

/// What still moves after a child has ended or was killed.
#[derive(Default)]
struct Aftermath {
    moved_before: u64,
    moved: u64,
    unmoved_looks: u32,
}

impl Aftermath {
    fn begin(&mut self, gauges: &Gauges, look: Pin<&mut Sleep>) {
        look.reset(Instant::now() + PATIENCE);
        let moved = gauges.moved(0);
        *self = Self { moved_before: moved, moved, unmoved_looks: 0 };
    }

    /// Whether waiting longer is useless: a process that is none of ours any more holds a pipe open.
    fn is_over(&mut self, gauges: &Gauges, exited: bool) -> bool {
        let moved = gauges.moved(0);
        self.unmoved_looks = if moved == self.moved { self.unmoved_looks + 1 } else { 0 };
        self.moved = moved;
        // Two looks: after this process itself was stopped, the first may come before any reading.
        let looks = if exited { 2 } else { DEATH_LOOKS };
        self.unmoved_looks >= looks || (exited && moved - self.moved_before > AFTERMATH_BYTES_MAX)
    }
}

async fn read_output(
    pipe: pipe::Receiver,
    chunker: &mut Chunker,
    service: &Service<'_>,
    deliver: Deliver<'_>,
    stop: &Notify,
) -> Result<(), Fault> {
    let program = service.program;
    let failed = |error| cannot(program, "read from", &error);
    let mut rush = Rush::through(&pipe);
    let (mut outlet, mut pace) = (Outlet::Watched(pipe), Pace::default());
    let (mut open, mut spoke) = (true, false);
    while open {
        tokio::task::consume_budget().await;
        until_it_is_taken(service, stop).await;
        let space = chunker.space();
        let room = space.capacity() - space.len();
        let (waits, all) = match outlet.try_read(space) {
            Ok(count) => {
                if count > 0 {
                    service.gauges.has_printed(count as u64);
                }
                rush.read(count);
                open = count > 0;
                (false, count < room)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => (true, true),
            Err(error) => return Err(failed(error)),
        };
        while let Some(batch) = chunker.next().map_err(|error| too_long(program, error))? {
            spoke = true;
            deliver(batch).map_err(|why| Fault::Failed(service.refusal, why))?;
        }
        let gathers = service.gathers && all && open;
        if service.stream
            && (waits || gathers || !open)
            && let Some(batch) = chunker.flush().map_err(|error| too_long(program, error))?
        {
            spoke = true;
            deliver(batch).map_err(|why| Fault::Failed(service.refusal, why))?;
        }
        // In a moment one that prints fast fills its pipe, and waits.
        if gathers && !rush.is_on() {
            match pace.gather(&mut outlet, service.gauges, stop).await.map_err(failed)? {
                Gathered::Something => continue,
                Gathered::Stopped => return Ok(()),
                Gathered::Nothing => {}
            }
        }
        // Who has just printed will print more: each reading costs what follows from it much the same, however short it is.
        let prints = waits && service.stream && !service.gathers && std::mem::take(&mut spoke);
        if prints && !rush.is_on() {
            match outlet.gather(stop).await.map_err(failed)? {
                Gathered::Stopped => return Ok(()),
                Gathered::Something | Gathered::Nothing => continue,
            }
        }
        if waits {
            tokio::select! {
                ready = outlet.readable() => ready.map_err(failed)?,
                () = stop.notified() => open = false,
            }
        }
    }
    Ok(())
}

/// Waits, if need be, until there is somebody for what the child prints.
async fn until_it_is_taken(service: &Service<'_>, stop: &Notify) {
    if (service.takes_print)() {
        return;
    }
    service.gauges.is_held_up(true);
    let since = Instant::now();
    while !(service.takes_print)() {
        let wait = since.elapsed() / TAKEN_LOOK_PART;
        tokio::select! {
            () = sleep(wait.clamp(TAKEN_LOOK_MIN, TAKEN_LOOK_MAX)) => {}
            () = stop.notified() => { stop.notify_one(); break; }
        }
    }
    service.gauges.is_held_up(false);
}

/// The rest, unterminated record included: only a good end makes it count.
fn deliver_last(chunker: &mut Chunker, service: &Service<'_>, deliver: Deliver<'_>) -> Result<(), Failure> {
    let failed = |kind, message| LastWords::default().failure(kind, message);
    match chunker.finish() {
        Ok(None) => Ok(()),
        Ok(Some(batch)) => deliver(batch).map_err(|why| failed(service.refusal, why)),
        Err(error) => Err(failed(FailureKind::Output, of_output(service.program, &error))),
    }
}

fn too_long(program: &Program, error: RecordTooLong) -> Fault {
    Fault::Failed(FailureKind::Output, of_output(program, &error.into()))
}

fn of_output(program: &Program, error: &FinishError) -> String {
    format!("output of {}: {error}", program.name())
}

fn cannot(program: &Program, what: &str, error: &io::Error) -> Fault {
    Fault::Failed(FailureKind::Worker, format!("cannot {what} {}: {error}", program.name()))
}
