//! One test's directory and processes.

use super::worker::{Finished, Running, Start};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The variable that marks every process of a test, whatever process group or session it moved to.
const MARK: &str = "WORKER_TEST_RUN";

/// How long a process may take to die after its worker: one `kill` and a reap.
const DEATH_MAX: Duration = Duration::from_secs(5);

/// How often a condition is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(15);

/// A directory of its own, and the processes that were started in it.
#[derive(Debug)]
pub struct Scratch {
    dir: tempfile::TempDir,
    mark: String,
    starts: AtomicU64,
}

impl Scratch {
    /// A new, empty one.
    ///
    /// # Panics
    /// The temporary directory cannot be written.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "it makes a directory, which a default should not")]
    pub fn new() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let dir = tempfile::Builder::new().prefix("worker-test-").tempdir().expect("a temporary directory");
        let mark = format!("{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        Self { dir, mark, starts: AtomicU64::new(0) }
    }

    /// The directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// A path in it.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes a file, directories included.
    ///
    /// # Panics
    /// It cannot be written.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        if let Some(dir) = path.parent() {
            std::fs::create_dir_all(dir).expect("a directory in the scratch directory");
        }
        std::fs::write(&path, content).expect("a file in the scratch directory");
        path
    }

    /// A file's bytes; none if it is not there (yet).
    #[must_use]
    pub fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap_or_default()
    }

    /// A file's text.
    #[must_use]
    pub fn text(&self, name: &str) -> String {
        String::from_utf8_lossy(&self.read(name)).into_owned()
    }

    /// A file's length in bytes; 0 if it is not there (yet).
    #[must_use]
    pub fn len(&self, name: &str) -> u64 {
        std::fs::metadata(self.path(name)).map_or(0, |m| m.len())
    }

    /// What a shell makes of a command in this directory: the result to compare with.
    ///
    /// # Panics
    /// The shell cannot be run, or says that the command failed.
    pub fn shell(&self, command: &str) -> Vec<u8> {
        let mut shell = std::process::Command::new("bash");
        shell.args(["-c", command]).current_dir(self.dir()).env("LC_ALL", "C").env("PYTHONHASHSEED", "0");
        let output = shell.output().expect("bash can be run");
        assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    /// A `worker` with these arguments, to be configured and started.
    #[must_use]
    pub fn worker<S: AsRef<str>>(&self, args: &[S]) -> Start<'_> {
        let mut start = self.program(super::worker_binary());
        start.command.args(args.iter().map(AsRef::as_ref));
        start
    }

    /// Another program whose descendants are watched as a worker's are.
    #[must_use]
    pub fn program(&self, program: &Path) -> Start<'_> {
        let number = self.starts.fetch_add(1, Ordering::Relaxed);
        let mut command = std::process::Command::new(program);
        command.current_dir(self.dir());
        for (name, _) in std::env::vars_os().filter(|(name, _)| changes_output(name)) {
            command.env_remove(name);
        }
        command.env(MARK, &self.mark).env("LC_ALL", "C");
        // Its workers are found by this test only.
        command.env("WORKER_RUNTIME_DIR", self.path("runtime"));
        Start::new(self, command, number)
    }

    /// Runs `worker run FILE` on this pipeline to its end.
    pub fn run(&self, pipeline: &str) -> Finished {
        self.run_with(pipeline, &[])
    }

    /// Runs `worker run FILE` with more arguments to its end.
    pub fn run_with(&self, pipeline: &str, args: &[&str]) -> Finished {
        self.start(pipeline, args).wait(Duration::from_secs(30))
    }

    /// Starts `worker run FILE` with more arguments.
    #[must_use]
    pub fn start(&self, pipeline: &str, args: &[&str]) -> Running<'_> {
        self.write("pipeline.toml", pipeline);
        self.worker(&[&["run", "pipeline.toml"], args].concat()).start()
    }

    /// Every living process of this test: workers, launchers, children and their descendants.
    #[must_use]
    pub fn processes(&self) -> Vec<(i32, String)> {
        let mark = format!("{MARK}={}\0", self.mark);
        let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
        let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        pids.filter_map(|pid: i32| {
            let environ = std::fs::read(format!("/proc/{pid}/environ")).ok()?;
            let cwd = std::fs::read_link(format!("/proc/{pid}/cwd")).unwrap_or_default();
            let marked = environ.windows(mark.len()).any(|window| window == mark.as_bytes());
            let command = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
            let ours = (marked || cwd.starts_with(self.dir())) && !command.is_empty();
            ours.then(|| (pid, String::from_utf8_lossy(&command).replace('\0', " ")))
        })
        .collect()
    }

    /// Waits until no process of this test is left.
    ///
    /// # Panics
    /// Some are, seconds later.
    pub fn assert_no_process_left(&self) {
        eventually("no process is left behind", DEATH_MAX, || {
            let left = self.processes();
            if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
        });
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if std::thread::panicking() && std::env::var_os("WORKER_TEST_KEEP").is_some() {
            self.dir.disable_cleanup(true);
        }
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.assert_no_process_left()));
        let Err(panic) = result else { return };
        for (pid, _) in self.processes() {
            super::worker::send(pid, rustix::process::Signal::KILL);
        }
        if !std::thread::panicking() {
            std::panic::resume_unwind(panic);
        }
    }
}

/// Whether a variable of whoever runs the tests would change what a worker does or says.
fn changes_output(name: &OsStr) -> bool {
    const NAMES: [&str; 6] = ["RUST_LOG", "NO_COLOR", "TERM", "COLUMNS", "LINES", "LANG"];
    const BEGINNINGS: [&str; 6] = ["CLICOLOR", "FORCE_COLOR", "LC_", "OTEL_", "WORKER_", "XDG_"];
    let Some(name) = name.to_str() else { return false };
    NAMES.contains(&name) || BEGINNINGS.iter().any(|beginning| name.starts_with(beginning))
}

/// Waits for a condition, which says what is missing as long as it does not hold.
///
/// # Panics
/// It does not hold at the deadline.
pub fn eventually<T>(what: &str, deadline: Duration, mut holds: impl FnMut() -> Result<T, String>) -> T {
    let begun = Instant::now();
    loop {
        match holds() {
            Ok(value) => return value,
            Err(why) => assert!(begun.elapsed() < deadline, "not within {deadline:?}: {what}; {why}"),
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// Looks at a condition for a while, during which it must always hold.
///
/// # Panics
/// It did not.
pub fn holds_for(what: &str, length: Duration, mut holds: impl FnMut() -> Result<(), String>) {
    let begun = Instant::now();
    while begun.elapsed() < length {
        if let Err(why) = holds() {
            panic!("after {:?}, not: {what}; {why}", begun.elapsed());
        }
        std::thread::sleep(LOOK_EVERY * 10);
    }
}

/// A port of the loopback that nobody listens on, below those that the system gives to outgoing connections.
///
/// # Panics
/// There is none.
#[must_use]
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let spread = u16::try_from(std::process::id() % 97).unwrap_or(0) * 200;
    for _ in 0..200 {
        let port = 10_000 + (spread + NEXT.fetch_add(1, Ordering::Relaxed)) % 20_000;
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no port is free");
}
