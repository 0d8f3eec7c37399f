//! Ports without an engine: what they tell, and what they do not, is heard by the test in the node's place.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod ends;
mod programs;

use bytes::Bytes;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, Weak};
use std::time::{Duration, Instant};
use worker_bin::child::{Launcher, Program, TaskEnv};
use worker_bin::runtime::parts::{
    Blockers, Collector, Reporter, StageProgram, Staging, Taps, TaskContext, TaskMeasure, Tell, Waits,
};
use worker_core::Time;
use worker_core::config::TaskId;
use worker_core::event::{Body, Event, Output, Place, TaskEvent};
use worker_core::route::{Edge, Router};
use worker_proto::{Batch, LinkId};

const TASK: TaskId = TaskId(3);
const DEADLINE: Duration = Duration::from_secs(60);

/// Stands in for the node.
#[derive(Default)]
struct Heard {
    events: Mutex<Vec<TaskEvent>>,
    more: Condvar,
}

impl Tell for Heard {
    fn tell(&self, event: Event) {
        self.tell_all(vec![event]);
    }

    fn tell_all(&self, events: Vec<Event>) {
        for event in events {
            let Event::Task(TASK, event) = event else { panic!("not of this task: {event:?}") };
            self.events.lock().unwrap().push(event);
        }
        self.more.notify_all();
    }

    fn now(&self) -> Time {
        Time::ZERO
    }
}

impl Heard {
    /// What was told when `enough` holds of it for the first time.
    fn until(&self, enough: impl Fn(&[TaskEvent]) -> bool) -> Vec<TaskEvent> {
        let deadline = Instant::now() + DEADLINE;
        let mut events = self.events.lock().unwrap();
        while !enough(&events) {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "not heard in time: {events:?}");
            events = self.more.wait_timeout(events, left).unwrap().0;
        }
        events.clone()
    }

    /// What tells the port's news here; `context` is to live no longer.
    fn context(self: &Arc<Self>) -> TaskContext {
        let me: Arc<dyn Tell> = Arc::clone(self) as Arc<dyn Tell>;
        let to: Weak<dyn Tell> = Arc::downgrade(&me);
        let (blockers, measure) = (Arc::new(Blockers::default()), Arc::new(TaskMeasure::default()));
        TaskContext {
            reporter: Reporter::new(TASK, to, blockers, measure),
            launcher: Launcher::start(Path::new(env!("CARGO_BIN_EXE_worker"))).unwrap(),
            runtime: tokio::runtime::Handle::current(),
            env: TaskEnv { task: "stage/0".into(), tmpdir: std::env::temp_dir(), ..TaskEnv::default() },
        }
    }
}

/// Nothing here is too much for memory.
#[derive(Debug)]
struct NoDisk;

impl Staging for NoDisk {
    fn put(&self, _batch: &Batch, _waits: Option<Waits<'_>>) -> Result<Option<Place>, String> {
        Ok(None)
    }

    fn discard(&self, _place: Place) {}
}

fn collector() -> Collector {
    let router = Router::new(vec![Edge { links: vec![LinkId(0)], by: None }], b'\n');
    Collector::new(TASK, router, 1 << 20, Box::new(NoDisk), Taps::new(&[]))
}

fn sh(script: &str) -> StageProgram {
    let program = Arc::new(Program::new("stage", ["sh", "-c", script]));
    StageProgram { program, header: None, gives_header: false }
}

fn lines(text: impl Into<Bytes>) -> Batch {
    Batch::from_terminated(text.into(), b'\n')
}

fn text(output: &Output) -> String {
    let records = output.chunks.iter().flat_map(|chunk| match &chunk.body {
        Body::Memory(batch) => {
            batch.iter().map(|r| String::from_utf8_lossy(r).into_owned()).collect::<Vec<_>>()
        }
        Body::Stored { .. } => panic!("nothing is stored here"),
    });
    records.collect()
}

/// A path that no other test uses, with nothing there.
fn marker(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("worker-ports-{name}-{}", std::process::id()));
    std::fs::remove_file(&path).ok();
    path
}

/// A program makes the file when it is where the test wants it.
async fn until_made(path: &Path) {
    let made = async {
        while !path.exists() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(DEADLINE, made).await.expect("the program gets there");
    std::fs::remove_file(path).unwrap();
}
