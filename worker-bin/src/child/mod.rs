//! Child processes: the launcher that starts them, and the ways to talk to them.
//!
//! [`Launcher`] is a handle on a small process, this binary started as `worker __launcher`, which makes and ends every
//! child: starting one does not depend on how large the worker is, and no descendant survives the worker.
//!
//! - [`run_batch`] gives one batch to a fresh process and reads its answer to the end;
//! - [`start_stream`] feeds a process for as long as a task or window lives;
//! - [`start_records`] asks a process about each record and takes its answers;
//! - [`start_source`] lends the output of a program that is itself a source of the pipeline.
//!
//! All of them serve standard input, output and error together, so that no order in which a program reads and writes
//! can dead-lock, and all end the whole process group, daemons included, when the program itself has ended and what it
//! started has let go of its pipes or does nothing any more.

mod batch;
mod begin;
mod cgroup;
mod confined;
mod confinement;
mod descent;
mod failure;
mod guardian;
mod handed;
mod idle;
mod launcher;
mod launcher_main;
mod namespace;
mod outlet;
mod piped;
mod pipes;
mod program;
mod reading;
pub mod records;
mod sandbox;
mod serve;
mod spawn;
mod stderr;
mod stop;
mod stream;
mod survivors;
mod tag;
mod watch;
mod wire;
mod words;

pub use batch::{BatchStats, Oversight, run_batch};
pub use begin::{Containment, PidNamespace, containment_here};
pub(crate) use confined::command_by_hand;
pub use confinement::{Confinement, Files, Identity, Limit, Limited};
pub use launcher::Launcher;
pub use launcher_main::{LAUNCHER_ARG, launcher_main};
pub use piped::{PipedChild, start_source};
pub use program::{Gives, PrintsTo, Program, STOP_GRACE, Takes, TaskEnv};
pub use reading::HasRead;
pub use records::start_records;
pub(crate) use sandbox::is_possible as can_be_sandboxed;
pub use stderr::LogLimit;
pub use stop::{Manner, StopOrder};
pub use stream::{Replay, StreamEvents, StreamHandle, start_stream};
pub use watch::Idle;
pub(crate) use words::{Filling, filled};
