//! One run of a test's pipeline, by a worker of its own: what kills that is seen here.

use crate::pipeline::{Detail, Pipeline, to_toml};
use crate::report::Report;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How often it is asked whether a worker has ended.
const LOOK: Duration = Duration::from_millis(3);

/// Starts workers.
#[derive(Debug)]
pub(in crate::cli) struct Runner {
    exe: PathBuf,
    /// `None`: a run may take as long as it does.
    timeout: Option<Duration>,
}

/// What came of one run.
#[derive(Debug)]
pub(in crate::cli) struct Ran {
    /// `None`: it took too long, and was killed.
    pub(in crate::cli) status: Option<ExitStatus>,
    pub(in crate::cli) report: Option<Report>,
    /// What it said.
    pub(in crate::cli) said: String,
}

impl Ran {
    /// It was killed, as a test of its pipeline wants.
    pub(super) fn was_killed(&self) -> bool {
        self.status.is_some_and(|status| status.signal() == Some(9))
    }
}

impl Runner {
    /// # Errors
    /// Why it could start none.
    pub(in crate::cli) fn new(timeout: Option<Duration>) -> Result<Self, String> {
        let exe = std::env::current_exe();
        let exe = exe.map_err(|error| format!("cannot find this program to start it again: {error}"))?;
        Ok(Self { exe, timeout })
    }

    pub(super) fn timeout(&self) -> Option<Duration> {
        self.timeout
    }

    /// Runs a pipeline to its end, with its own files in `dir`.
    ///
    /// # Errors
    /// It cannot be started, or its files not be read.
    pub(in crate::cli) fn run(&self, pipeline: &Pipeline, dir: &Path, more: &[String]) -> io::Result<Ran> {
        let (report, said) = (dir.join("report.json"), dir.join("said"));
        if report.exists() {
            std::fs::remove_file(&report)?;
        }
        let mut command = Command::new(&self.exe);
        command.args(["run", "-", "--progress", "none", "--admin", "none", "--quiet", "--color", "never"]);
        command.arg("--report").arg(&report).arg("--dead-letters").arg(dir.join("dead-letters.jsonl"));
        command.arg("--spill-dir").arg(dir).args(more).current_dir(&pipeline.dir);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(File::create(&said)?);
        let mut child = command.spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            // One that does not read it says why.
            stdin.write_all(to_toml(pipeline, Detail::Short).as_bytes()).ok();
        }
        let status = self.end(&mut child)?;
        let said = String::from_utf8_lossy(&std::fs::read(&said)?).into_owned();
        let report = std::fs::read(&report).ok().and_then(|json| serde_json::from_slice(&json).ok());
        Ok(Ran { status, report, said })
    }

    fn end(&self, child: &mut Child) -> io::Result<Option<ExitStatus>> {
        let deadline = self.timeout.map(|timeout| Instant::now() + timeout);
        loop {
            if let Some(status) = child.try_wait()? {
                return Ok(Some(status));
            }
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                // Its programs die with it.
                child.kill()?;
                child.wait()?;
                return Ok(None);
            }
            std::thread::sleep(LOOK);
        }
    }
}
