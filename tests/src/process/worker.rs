//! One process of a test.

use super::scratch::{Scratch, eventually};
use rustix::process::{Pid, Signal, kill_process};
use std::fs::File;
use std::marker::PhantomData;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use tokio::signal::unix::{SignalKind, signal};

/// A process about to be started: standard input empty, standard output and error kept.
#[derive(Debug)]
pub struct Start<'a> {
    scratch: &'a Scratch,
    /// What is started.
    pub command: Command,
    number: u64,
    stdin: Stdio,
    stdout: Option<Stdio>,
    stderr: Option<Stdio>,
}

/// A process that was started. Killed when dropped.
#[derive(Debug)]
pub struct Running<'a> {
    /// Its files and descendants are the scratch's, which therefore has to live longer.
    _scratch: PhantomData<&'a Scratch>,
    child: Child,
    command: String,
    stdout: PathBuf,
    stderr: PathBuf,
    status: Option<ExitStatus>,
}

/// How a process ended.
#[derive(Debug)]
pub struct Finished {
    /// Its status.
    pub status: ExitStatus,
    /// What it wrote to standard output.
    pub stdout: Vec<u8>,
    /// What it wrote to standard error.
    pub stderr: String,
    /// The most memory it had resident, in bytes, as far as it was seen.
    pub peak_rss_bytes: u64,
    command: String,
}

impl<'a> Start<'a> {
    pub(super) fn new(scratch: &'a Scratch, command: Command, number: u64) -> Self {
        Self { scratch, command, number, stdin: Stdio::null(), stdout: None, stderr: None }
    }

    /// Gives it these bytes on standard input.
    ///
    /// # Panics
    /// They cannot be written to a file.
    #[must_use]
    pub fn input(mut self, bytes: impl AsRef<[u8]>) -> Self {
        let path = self.scratch.write(&format!("stdin.{}", self.number), bytes);
        self.stdin = File::open(path).expect("the file just written").into();
        self
    }

    /// Another standard input.
    #[must_use]
    pub fn stdin(mut self, stdin: impl Into<Stdio>) -> Self {
        self.stdin = stdin.into();
        self
    }

    /// Another standard output than the file that [`Finished::stdout`] shows.
    #[must_use]
    pub fn stdout(mut self, stdout: impl Into<Stdio>) -> Self {
        self.stdout = Some(stdout.into());
        self
    }

    /// Another standard error than the file that [`Finished::stderr`] shows.
    #[must_use]
    pub fn stderr(mut self, stderr: impl Into<Stdio>) -> Self {
        self.stderr = Some(stderr.into());
        self
    }

    /// One more variable of the environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// Starts it.
    ///
    /// # Panics
    /// It cannot be started.
    #[must_use]
    pub fn start(mut self) -> Running<'a> {
        heed_signals();
        let stdout = self.scratch.path(&format!("stdout.{}", self.number));
        let stderr = self.scratch.path(&format!("stderr.{}", self.number));
        let create = |path: &PathBuf| File::create(path).expect("a file in the scratch directory");
        let kept = create(&stdout);
        self.command.stdin(self.stdin).stdout(self.stdout.unwrap_or_else(|| kept.into()));
        let said = create(&stderr);
        self.command.stderr(self.stderr.unwrap_or_else(|| said.into()));
        let command = format!("{:?}", self.command);
        let child = self.command.spawn().unwrap_or_else(|error| panic!("{command}: {error}"));
        Running { _scratch: PhantomData, child, command, stdout, stderr, status: None }
    }

    /// Runs it to its end.
    pub fn run(self) -> Finished {
        self.start().wait(Duration::from_secs(30))
    }
}

impl Running<'_> {
    /// Its process id.
    ///
    /// # Panics
    /// Never: ids are positive and below 2^22.
    #[must_use]
    pub fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).expect("process ids are small")
    }

    /// Takes the writing end of its standard input, if it was started with a pipe.
    pub fn take_stdin(&mut self) -> Option<std::process::ChildStdin> {
        self.child.stdin.take()
    }

    /// Takes the reading end of its standard output, if it was started with a pipe.
    pub fn take_stdout(&mut self) -> Option<std::process::ChildStdout> {
        self.child.stdout.take()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        send(self.pid(), signal);
    }

    /// Kills it with no chance to clean up, and waits until it is gone.
    ///
    /// # Panics
    /// The system refuses.
    pub fn kill(mut self) {
        self.signal(Signal::KILL);
        self.status = Some(self.child.wait().expect("a killed child can be waited for"));
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        if self.status.is_none() {
            self.status = self.child.try_wait().ok().flatten();
        }
        self.status.is_some()
    }

    /// What it wrote to standard output so far.
    #[must_use]
    pub fn stdout(&self) -> Vec<u8> {
        std::fs::read(&self.stdout).unwrap_or_default()
    }

    /// What it wrote to standard error so far.
    #[must_use]
    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.stderr).unwrap_or_default()).into_owned()
    }

    /// Waits until standard error holds this text.
    ///
    /// # Panics
    /// It does not, or the process ends without it.
    pub fn wait_for_message(&mut self, text: &str, deadline: Duration) {
        eventually(&format!("message {text:?}"), deadline, || {
            let ended = self.has_ended();
            let stderr = self.stderr();
            assert!(!ended || stderr.contains(text), "{} ended without {text:?}: {stderr}", self.command);
            if stderr.contains(text) { Ok(()) } else { Err(stderr) }
        });
    }

    /// The most memory it had resident so far, in bytes (`VmHWM`).
    #[must_use]
    pub fn peak_rss_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        kib.map_or(0, |kib| kib * 1024)
    }

    /// Waits until it has ended.
    ///
    /// # Panics
    /// It has not at the deadline, or it has panicked.
    pub fn wait(mut self, deadline: Duration) -> Finished {
        let begun = Instant::now();
        let mut peak_rss_bytes = 0;
        while !self.has_ended() {
            peak_rss_bytes = self.peak_rss_bytes().max(peak_rss_bytes);
            if begun.elapsed() > deadline {
                panic!("{} hangs: not done after {deadline:?}; it said: {}", self.command, self.stderr());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let (stdout, stderr) = (self.stdout(), self.stderr());
        assert!(!stderr.contains("panicked"), "{} panicked: {stderr}", self.command);
        let status = self.status.expect("it has ended");
        Finished { status, stdout, stderr, peak_rss_bytes, command: self.command.clone() }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if !self.has_ended() {
            if std::thread::panicking() {
                eprint_tail(&self.command, &self.stderr());
            }
            self.signal(Signal::KILL);
            self.child.wait().ok();
        }
    }
}

impl Finished {
    /// It ended by itself with this status.
    ///
    /// # Panics
    /// It did not.
    pub fn expect(self, code: i32) -> Self {
        let Self { status, stderr, command, .. } = &self;
        assert_eq!(status.code(), Some(code), "{command} ended with {status}; it said: {stderr}");
        self
    }

    /// It was killed by this signal.
    ///
    /// # Panics
    /// It was not.
    pub fn expect_signal(self, signal: i32) -> Self {
        assert_eq!(self.status.signal(), Some(signal), "{} ended with {}", self.command, self.status);
        self
    }

    /// Standard error holds all of these texts.
    ///
    /// # Panics
    /// One is missing.
    pub fn says(self, texts: &[&str]) -> Self {
        for text in texts {
            assert!(self.stderr.contains(text), "{} does not say {text:?}: {}", self.command, self.stderr);
        }
        self
    }

    /// How many records it reports as possibly lost.
    ///
    /// # Panics
    /// The report holds no number.
    #[must_use]
    pub fn lost(&self) -> u64 {
        let line = self.stderr.lines().find_map(|line| line.strip_prefix("at most "));
        line.map_or(0, |line| {
            let number: String =
                line.chars().take_while(|c| c.is_ascii_digit() || *c == ' ').filter(|c| *c != ' ').collect();
            number.parse().expect("a number of records")
        })
    }
}

#[expect(clippy::print_stderr, reason = "a failing test shows what its processes said")]
fn eprint_tail(command: &str, stderr: &str) {
    let from = stderr.len().saturating_sub(4000);
    eprintln!("--- {command} said:\n{}", stderr.get(from..).unwrap_or(stderr));
}

/// Sends a signal to a process that may be gone.
pub(super) fn send(pid: i32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid) {
        kill_process(pid, signal).ok();
    }
}

/// Lets what is started hear the signals that tests send, whatever whoever runs the tests ignores (nohup, `cargo test &` in a
/// script): what this process catches, its children start with as is usual.
fn heed_signals() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap_or_default();
        let mask = u64::from_str_radix(mask.trim(), 16).unwrap_or_default();
        let sent = [Signal::HUP, Signal::INT, Signal::QUIT, Signal::TERM, Signal::XCPU, Signal::XFSZ];
        let ignored = sent.map(Signal::as_raw).into_iter().filter(|number| mask >> (number - 1) & 1 == 1);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().expect("a runtime");
        let _within = runtime.enter();
        for number in ignored {
            // The handler stays; nobody listens.
            drop(signal(SignalKind::from_raw(number)).expect("a handler"));
        }
    });
}
