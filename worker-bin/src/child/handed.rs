//! How a batch comes to its program and its output back: by pipes, as arguments, in files.

use super::failure::{LastWords, NotStarted};
use super::program::{Gives, PrintsTo, Program, Takes, TaskEnv};
use super::words::{Filling, filled};
use crate::io::chunker::Chunker;
use bytes::Bytes;
use rustix::io::Errno;
use std::borrow::Cow;
use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use worker_core::event::{Failure, FailureKind};
use worker_proto::Batch;

/// Longest argument of a program, in bytes: Linux takes 32 pages, the zero byte at its end included.
const ARGUMENT_BYTES_MAX: usize = 32 * 4096 - 1;

/// A batch as its program is given it.
#[derive(Debug)]
pub(super) struct Handed<'a> {
    /// With the words that it is started with.
    pub(super) program: Cow<'a, Program>,
    /// What goes to its standard input.
    pub(super) pieces: VecDeque<Bytes>,
    /// The file that stands for its input, while it runs.
    _input: Option<Removed>,
    output: Option<Removed>,
}

/// A file that is removed when nobody needs it any more.
#[derive(Debug)]
struct Removed(PathBuf);

impl Drop for Removed {
    fn drop(&mut self) {
        // It may never have been made.
        std::fs::remove_file(&self.0).ok();
    }
}

impl<'a> Handed<'a> {
    /// The program for this batch.
    ///
    /// # Errors
    /// No program can be given these records, or there is no room for their file now.
    pub(super) async fn new(
        program: &'a Program,
        env: &TaskEnv,
        header: Option<&Bytes>,
        input: &[Batch],
    ) -> Result<Self, NotStarted> {
        let payloads = input.iter().map(|batch| batch.payload().clone());
        let pieces: VecDeque<Bytes> =
            header.cloned().into_iter().chain(payloads).filter(|piece| !piece.is_empty()).collect();
        if program.takes == Takes::Stdin && program.gives == Gives::Stdout {
            return Ok(Self { program: Cow::Borrowed(program), pieces, _input: None, output: None });
        }
        let file = |what: &str| env.tmpdir.join(format!("{what}-{}-{}", env.batch_id, env.attempt));
        let output = match program.gives {
            Gives::Stdout => None,
            Gives::File => Some(Removed(file("output"))),
        };
        let (argv, pieces, made) = match program.takes {
            Takes::Stdin => (words(program, None, output.as_ref()), pieces, None),
            Takes::Arguments => {
                let records = arguments(program, input)?;
                (words(program, Some(&records), output.as_ref()), VecDeque::new(), None)
            }
            Takes::File => {
                let made = Removed(file("input"));
                write(program, &made.0, pieces).await?;
                let argv = words(program, Some(&[made.0.as_os_str().as_bytes()]), output.as_ref());
                (argv, VecDeque::new(), Some(made))
            }
        };
        too_long(program, &argv)?;
        let prints_to = if output.is_some() { PrintsTo::Log } else { program.prints_to };
        let program = Cow::Owned(Program { argv, prints_to, ..program.clone() });
        Ok(Self { program, pieces, _input: made, output })
    }

    /// Gives what the program has left in its file to `deliver`, where that is its output; says how many records that were.
    ///
    /// # Errors
    /// There is no such file, or what is in it is refused.
    pub(super) async fn read_output(
        &self,
        deliver: &mut (dyn FnMut(Batch) -> Result<(), String> + Send),
    ) -> Result<u64, Failure> {
        let Some(Removed(path)) = &self.output else { return Ok(0) };
        let program = &*self.program;
        let fail = |message: String| failure(FailureKind::Output, message);
        let mut file = Some(open(path).map_err(|why| fail(format!("{} {why}", program.name())))?);
        let mut chunker = Chunker::new(&program.framing, program.max_record, program.chunk_bytes);
        let too_long = |error: &dyn std::fmt::Display| fail(format!("output of {}: {error}", program.name()));
        let refused = |why| failure(FailureKind::Worker, why);
        while let Some(open) = file.take() {
            // A file may be slow to read, and here nobody else may wait for it.
            let read = tokio::task::spawn_blocking(move || read_some(open)).await;
            let read = read.unwrap_or_else(|error| Err(io::Error::other(error)));
            let (rest, bytes) =
                read.map_err(|error| refused(format!("cannot read {}: {error}", path.display())))?;
            if !bytes.is_empty() {
                file = Some(rest);
            }
            chunker.space().extend_from_slice(&bytes);
            while let Some(batch) = chunker.next().map_err(|error| too_long(&error))? {
                deliver(batch).map_err(refused)?;
            }
        }
        if let Some(batch) = chunker.finish().map_err(|error| too_long(&error))? {
            deliver(batch).map_err(refused)?;
        }
        Ok(chunker.records())
    }
}

fn words(program: &Program, inputs: Option<&[&[u8]]>, output: Option<&Removed>) -> Vec<std::ffi::OsString> {
    let output = output.map(|Removed(path)| path.as_os_str().as_bytes());
    filled(&program.argv, &Filling { inputs, output })
}

/// The records, as arguments.
fn arguments<'b>(program: &Program, input: &'b [Batch]) -> Result<Vec<&'b [u8]>, NotStarted> {
    let records = input.iter().flat_map(|batch| batch.iter());
    let records: Vec<&[u8]> = records.map(|record| program.envelope_in.content(record)).collect();
    if records.iter().any(|record| record.contains(&0)) {
        return Err(cannot_take(
            program,
            "it holds a zero byte, which no argument can; give it on standard input or in a file: input = \"stdin\" or \"file\" (on the command line --batch-file)",
        ));
    }
    Ok(records)
}

fn too_long(program: &Program, argv: &[std::ffi::OsString]) -> Result<(), NotStarted> {
    match argv.iter().map(|word| word.len()).max().filter(|&bytes| bytes > ARGUMENT_BYTES_MAX) {
        None => Ok(()),
        Some(bytes) => Err(cannot_take(
            program,
            &format!(
                "it makes an argument of {bytes} bytes, and the system takes at most {ARGUMENT_BYTES_MAX}; give it on standard input \
                 or in a file: input = \"stdin\" or \"file\" (on the command line --batch-file)"
            ),
        )),
    }
}

fn cannot_take(program: &Program, why: &str) -> NotStarted {
    let message = format!("{} cannot be given the record: {why}", program.name());
    NotStarted::Failed(failure(FailureKind::Records, message))
}

fn failure(kind: FailureKind, message: String) -> Failure {
    LastWords { silent: true, ..LastWords::default() }.failure(kind, message)
}

/// Writes the file that a program is given.
async fn write(program: &Program, path: &Path, pieces: VecDeque<Bytes>) -> Result<(), NotStarted> {
    let own = path.to_owned();
    let written = tokio::task::spawn_blocking(move || {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&own)?;
        pieces.iter().try_for_each(|piece| file.write_all(piece))
    });
    let written = written.await.unwrap_or_else(|error| Err(io::Error::other(error)));
    written.map_err(|error| {
        let message = format!("cannot write {} for {}: {error}", path.display(), program.name());
        match error.raw_os_error().map(Errno::from_raw_os_error) {
            Some(Errno::NOSPC | Errno::DQUOT) => NotStarted::NoRoom(message),
            Some(_) | None => NotStarted::Failed(failure(FailureKind::Worker, message)),
        }
    })
}

/// The file that a program should have made.
fn open(path: &Path) -> Result<File, String> {
    let shown = path.display();
    match path.symlink_metadata() {
        Ok(there) if there.is_file() => {
            File::open(path).map_err(|error| format!("left {shown} as it cannot be read: {error}"))
        }
        Ok(_) => Err(format!(
            "left no regular file at {shown}; it should write its output to the file that {{out}} names"
        )),
        Err(_) => Err(format!(
            "ended well and made no file {shown}; it should write its output to the file that {{out}} names, or an empty one"
        )),
    }
}

fn read_some(mut file: File) -> io::Result<(File, Vec<u8>)> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    (&mut file).take(1 << 20).read_to_end(&mut bytes)?;
    Ok((file, bytes))
}
