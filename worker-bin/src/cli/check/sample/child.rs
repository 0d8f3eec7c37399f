//! One run of a stage's program, with all its pipes served together and a limit of time.

use crate::child::{Confinement, Filling, Gives, command_by_hand, filled};
use crate::pipeline::{Mode, Stage};
use rustix::process::{Pid, Signal, kill_process_group};
use std::ffi::OsString;
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// How long a program may take where its stage does not say.
const TIME_MAX: Duration = Duration::from_secs(60);

/// What it says on standard error is kept up to here, in bytes.
const STDERR_BYTES_MAX: u64 = 8 * 1024;

/// In what a program is given its input.
#[derive(Debug)]
pub(super) enum Given<'a> {
    Stdin(Vec<u8>),
    Arguments(&'a [Vec<u8>]),
    File(Vec<u8>),
}

/// Gives `input` to the stage's program and returns its output; or why that failed and what to do.
pub(super) fn run(stage: &Stage, input: Given<'_>) -> Result<Vec<u8>, String> {
    let command = stage.program.command(&stage.name).map_err(|error| error.to_string())?;
    let tmpdir =
        tempfile::tempdir().map_err(|error| format!("cannot make a temporary directory: {error}"))?;
    let file = tmpdir.path().join("output");
    let output =
        Some(&file).filter(|_| matches!(&stage.mode, Mode::Batch(batch) if batch.output == Gives::File));
    let (argv, input) = handed(&command.argv, input, tmpdir.path(), output)?;
    let mut child = if command.confinement == Confinement::default() {
        let mut child = Command::new(&command.program);
        child.arg0(&argv[0]).args(&argv[1..]);
        child
    } else {
        let exe =
            std::env::current_exe().map_err(|error| format!("cannot find the worker's own file: {error}"))?;
        command_by_hand(&exe, &command.confinement, &argv)
    };
    child.current_dir(&command.cwd).process_group(0);
    if command.clear_env {
        child.env_clear();
    }
    if matches!(stage.mode, Mode::Stream(_)) {
        child.env("PYTHONHASHSEED", "0").env("PERL_HASH_SEED", "0");
    }
    child.envs(command.env).env("WORKER_TASK", format!("{}/0", stage.name)).env("WORKER_STAGE", &stage.name);
    child.env("WORKER_PARTITION", "0").env("WORKER_PARTITIONS", "1").env("WORKER_BATCH_ID", "1");
    child.env("WORKER_ATTEMPT", "1").env("WORKER_TMPDIR", tmpdir.path());
    child.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child =
        child.spawn().map_err(|error| format!("cannot start {}: {error}", command.program.display()))?;
    let limit = stage.timeout.unwrap_or(TIME_MAX).max(TIME_MAX);
    match serve(&mut child, input, limit) {
        Ok((printed, complaint, status)) => {
            verdict(stage, status, &complaint)?;
            match output {
                None => Ok(printed),
                Some(file) => {
                    std::fs::read(file).map_err(|error| format!("it should make the file {{out}}: {error}"))
                }
            }
        }
        Err(why) => {
            // Not reaped yet, so the number still is its own.
            if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
                kill_process_group(group, Signal::KILL).ok();
            }
            child.wait().map_err(|error| format!("cannot wait for it: {error}"))?;
            Err(why)
        }
    }
}

/// The words of a program that is given this, and what it gets on standard input.
fn handed(
    argv: &[OsString],
    input: Given<'_>,
    tmpdir: &Path,
    output: Option<&PathBuf>,
) -> Result<(Vec<OsString>, Vec<u8>), String> {
    let output = output.map(|path| path.as_os_str().as_bytes());
    let with = |inputs: Option<&[&[u8]]>| filled(argv, &Filling { inputs, output });
    Ok(match input {
        Given::Stdin(input) => (with(None), input),
        Given::Arguments(records) => {
            let records: Vec<&[u8]> = records.iter().map(Vec::as_slice).collect();
            (with(Some(&records)), Vec::new())
        }
        Given::File(input) => {
            let path = tmpdir.join("input");
            std::fs::write(&path, input)
                .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
            (with(Some(&[path.as_os_str().as_bytes()])), Vec::new())
        }
    })
}

/// Serves all pipes until standard output has ended and the child has; returns what came on
/// both outputs and its status.
fn serve(
    child: &mut Child,
    input: Vec<u8>,
    limit: Duration,
) -> Result<(Vec<u8>, String, ExitStatus), String> {
    let deadline = Instant::now() + limit;
    let (done, wait) = mpsc::channel();
    if let Some(mut stdin) = child.stdin.take() {
        // A program may end before it has read everything: that is no error.
        thread::spawn(move || stdin.write_all(&input).ok());
    }
    let stderr = child.stderr.take();
    let complaint = thread::spawn(move || {
        let mut kept = Vec::new();
        if let Some(mut stderr) = stderr {
            (&mut stderr).take(STDERR_BYTES_MAX).read_to_end(&mut kept).ok();
            std::io::copy(&mut stderr, &mut std::io::sink()).ok();
        }
        String::from_utf8_lossy(&kept).trim_end().to_owned()
    });
    let stdout = child.stdout.take();
    thread::spawn(move || {
        let mut output = Vec::new();
        let read = stdout.map_or(Ok(0), |mut stdout| stdout.read_to_end(&mut output));
        let complaint = complaint.join().unwrap_or_default();
        done.send(read.map(|_| (output, complaint))).ok();
    });
    let late = || format!("still running after {} s, killed", limit.as_secs());
    let (output, complaint) = wait
        .recv_timeout(limit)
        .map_err(|_| late())?
        .map_err(|error| format!("cannot read what it prints: {error}"))?;
    // Its outputs are closed, so it is about to end.
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Ok((output, complaint, status)),
            Ok(None) if Instant::now() < deadline => thread::sleep(Duration::from_millis(1)),
            Ok(None) => return Err(late()),
            Err(error) => return Err(format!("cannot wait for it: {error}")),
        }
    }
}

fn verdict(stage: &Stage, status: ExitStatus, complaint: &str) -> Result<(), String> {
    let said = if complaint.is_empty() { String::new() } else { format!("; it said: {complaint}") };
    match (status.code(), status.signal()) {
        (Some(code), _) if u8::try_from(code).is_ok_and(|code| stage.ok_exit.contains(&code)) => Ok(()),
        (Some(1), _) if complaint.is_empty() => {
            Err("exit status 1; if that is fine (grep without a match), say ok_exit = [0, 1]".to_owned())
        }
        (Some(code), _) => Err(format!("exit status {code}{said}")),
        (None, signal) => Err(format!("ended by signal {}{said}", signal.unwrap_or_default())),
    }
}
