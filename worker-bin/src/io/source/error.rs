//! Why a source cannot go on.

use super::unpack::{Encoding, Failure, Unpacker};
use crate::io::LayoutError;
use crate::io::chunker::{RecordTooLong, TornRecord};
use crate::text::escape::one_line;
use crate::text::units::number;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Why a source cannot go on.
#[derive(Debug, Error)]
pub enum SourceError {
    /// The user's pattern names nothing.
    #[error(
        "`{pattern}` matches no file in {directory}; check the pattern, and that it is relative to that directory"
    )]
    NoMatch {
        /// As the user wrote it.
        pattern: String,
        /// What it is relative to.
        directory: String,
    },
    /// The user's pattern is not one.
    #[error("`{pattern}` is not a file pattern: {why}; use `*`, `?`, `[a-z]` and `**`")]
    BadPattern {
        /// As the user wrote it.
        pattern: String,
        /// What is wrong, and where.
        why: String,
    },
    /// The user named a directory.
    #[error("{} is a directory, expected a file; name the files in it, as in `{}/*`", path.display(), path.display())]
    Directory { path: PathBuf },
    /// A file or directory cannot be opened.
    #[error("cannot open {}: {source}; check that it exists and may be read", path.display())]
    Open { path: PathBuf, source: io::Error },
    /// It came up only when the first files were being read.
    #[error("sink {sink} writes {}, which is to be read; choose another path for the sink", path.display())]
    Written { path: PathBuf, sink: String },
    /// A listed path is more or less than a record.
    #[error("the path {path} cannot be a record: {why}; {what}, or let the pattern leave it out")]
    NoRecord { path: String, why: String, what: String },
    /// A path of the first start leads nowhere any more.
    #[error(
        "{} is gone, which this run has listed at its first start and not given to anyone yet; put it back, or go on without it, with \
         on_damage = \"skip\" of its source, or begin a new run with --fresh",
        shown(path)
    )]
    ListedGone { path: PathBuf },
    /// A listed path leads nowhere any more.
    #[error(
        "{} is gone, which this run has listed when it began; run again to list what is there now, or go on without what is gone, with \
         on_damage = \"skip\" of its source",
        shown(path)
    )]
    ListedGoneMeanwhile { path: PathBuf },
    /// There is nothing to read.
    #[error(
        "standard input is closed; give it input (< FILE, or < /dev/null for none), or name a file to read"
    )]
    Closed,
    /// What of a pattern is in a place cannot be known.
    #[error(
        "cannot look for files in {}: {source}; let this user list and enter it, or name other files", path.display()
    )]
    Unlisted { path: PathBuf, source: io::Error },
    /// Reading failed on the way.
    #[error("cannot read {name} at byte {offset}: {source}", offset = number(*offset))]
    Read {
        /// The file's path or the stream's name.
        name: String,
        /// Where, in bytes from 0, as stored.
        offset: u64,
        source: io::Error,
    },
    /// Packed or encoded input is damaged or cut short.
    #[error(
        "{name}: damaged or truncated {format} data near byte {offset} of it ({why}); check it with `{check}`, or go on without what \
         cannot be unpacked, with on_damage = \"skip\" of its source",
        offset = number(*offset)
    )]
    Corrupt {
        /// The file's path or the stream's name.
        name: String,
        format: &'static str,
        /// The command that says what is wrong.
        check: &'static str,
        /// Where, in bytes from 0, as stored.
        offset: u64,
        /// What the unpacker says.
        why: String,
    },
    /// Packed input is right, and not for us.
    #[error(
        "{name}: this {format} data is not unpacked here: {why}; decode it on the way: `{command} | worker run …`, or as the \
         program of a source, run = [\"sh\", \"-c\", \"{command} FILE\"]"
    )]
    NotUnpacked {
        /// The file's path or the stream's name.
        name: String,
        format: &'static str,
        why: String,
        command: &'static str,
    },
    /// What is read of a stream cannot be kept.
    #[error("cannot keep what is read in {}: {source}; make sure that it may be read and written", path.display())]
    Spool { path: PathBuf, source: io::Error },
    /// Something of a pipe that was read before is kept, and a file does not go on behind it.
    #[error(
        "{name} is a file now, and {bytes} bytes of the pipe that it was are not done yet; go on with a pipe: `cat FILE | worker run …`",
        bytes = number(*bytes)
    )]
    LeftOfPipe {
        /// The stream's name.
        name: String,
        bytes: u64,
    },
    /// A file is not read to its end, and what is no file does not go on in it.
    #[error(
        "{name} is no file now, and this run is in the middle of the file that it was ({left} bytes of that are not done yet); go on \
         with that file: `worker run … < FILE`, or begin a new run with --fresh",
        left = number(*left)
    )]
    LeftOfFile {
        /// The stream's name.
        name: String,
        left: u64,
    },
    /// Something that was read is neither in the journal nor kept.
    #[error(
        "{} begins at byte {begins} of what was read, and the journal ends at byte {taken}: what lies between is in neither, as when \
         only a part of the state was put back from a copy; put back all of it, or begin a new run with --fresh",
        path.display(), begins = number(*begins), taken = number(*taken)
    )]
    Ahead { path: PathBuf, begins: u64, taken: u64 },
    /// What comes is packed or encoded in a way that is not read, or not where a later life could not go on in it.
    #[error(
        "{name} is {what}, {why}; decode it on the way: `{command} | worker run …`, or as the \
         program of a source, run = [\"sh\", \"-c\", \"{command} FILE\"]"
    )]
    Encoded {
        /// The stream's name.
        name: String,
        what: &'static str,
        why: &'static str,
        command: &'static str,
    },
    /// A record is too long.
    #[error(
        "{name}: {source}; on_long = \"dead-letter\" or \"cut\" of the source goes on without such records"
    )]
    TooLong {
        /// The file's path or the stream's name.
        name: String,
        /// Where in it, unpacked.
        source: RecordTooLong,
    },
    /// The input ends within a record, of which a part is none.
    #[error(
        "{name}: record {record} (starting at byte {offset}) breaks off: {why}; put its end right, check that `framing` says how records \
         follow one another, or go on without it, with on_damage = \"skip\" of its source",
        record = number(*record), offset = number(*offset)
    )]
    Torn {
        /// The file's path or the stream's name.
        name: String,
        /// Which record of it, from 1.
        record: u64,
        /// Where that starts, in bytes from 0, unpacked.
        offset: u64,
        why: String,
    },
    /// Files to be read as one have different first records.
    #[error(
        "{second} begins with another header than {first} (`{second_header}`, expected `{first_header}`); read them as \
         two sources, or use `header = \"skip\"`"
    )]
    HeadersDiffer {
        /// The file that came first.
        first: String,
        first_header: String,
        /// The file that differs.
        second: String,
        second_header: String,
    },
    /// Only regular files can be read again from where an earlier life was.
    #[error(
        "{} is not a regular file; where every record counts exactly once, a named pipe or device must be the only \
         path of its source: give it a source of its own", path.display()
    )]
    NotRegular { path: PathBuf },
    /// What is no regular file has no end that it could be followed behind.
    #[error(
        "{path} is not a regular file, and only those are followed; a named pipe or device is read as it comes: leave `follow` out, \
         or read it by a program, run = [\"cat\", \"{path}\"] of its source", path = path.display()
    )]
    NotFollowed { path: PathBuf },
    /// What grows cannot be decoded.
    #[error(
        "{path} is {what}, which is not followed while it grows; decode it on the way, as the program of a source: \
         run = [\"sh\", \"-c\", \"tail -F -c +1 {path} | iconv -f UTF-16 -t UTF-8\"]", path = path.display()
    )]
    NotFollowedEncoding { path: PathBuf, what: &'static str },
    /// What the system says of a file's length is not so.
    #[error(
        "{path} has no length that is known before it is read, as files below /proc and /sys: with state, read it by a program: \
         `cat {path} | worker run …`, or run = [\"cat\", \"{path}\"] of its source", path = path.display()
    )]
    NoLength { path: PathBuf },
    /// A file of the first start is not there any more.
    #[error(
        "{} is gone, and this run has not read all of it; put it back, or begin a new run with --fresh", path.display()
    )]
    Gone { path: PathBuf },
    /// A file of the first start is another one now.
    #[error(
        "{} is not the file that this run began to read: {what}; put that one back, or begin a new run with --fresh",
        path.display()
    )]
    Replaced { path: PathBuf, what: &'static str },
    /// A file of the first start was cut.
    #[error(
        "{} ends after {length} bytes, but had {expected} when this run began{}; restore it, or begin a new run with \
         --fresh", path.display(), of_which(*length, *read), length = number(*length), expected = number(*expected)
    )]
    Shorter {
        path: PathBuf,
        /// What it has now, in bytes.
        length: u64,
        expected: u64,
        /// How far it was read, in bytes.
        read: u64,
    },
    /// A file was cut while it was read, or before its turn.
    #[error(
        "{} ends after {length} bytes, but had {expected} when this run began{}: it was cut meanwhile, and what is missing is \
         not read; run again when it is whole",
        path.display(), of_which(*length, *read), length = number(*length), expected = number(*expected)
    )]
    Cut {
        path: PathBuf,
        /// What it has now, in bytes.
        length: u64,
        expected: u64,
        /// How far it was read, in bytes.
        read: u64,
    },
    /// A file has another in its place before its turn.
    #[error(
        "{} is not the file that was there when this run began: another one is in its place; run again to read that one",
        path.display()
    )]
    Swapped { path: PathBuf },
    /// What an earlier life has kept of its position is of no use.
    #[error(
        "the position kept for {name} cannot be used: {source}; run the version of worker that began this run, or \
         begin a new one with --fresh"
    )]
    Position {
        /// The stream's name, or what stands for the files.
        name: String,
        source: LayoutError,
    },
    /// The list of the first start's files cannot be stored or read.
    #[error(
        "the source's list of files, {}: {source}; make sure that there is room and that it may be read and written, \
         or begin a new run with --fresh", path.display()
    )]
    List { path: PathBuf, source: io::Error },
}

/// Of a file that was read further than it reaches now.
fn of_which(length: u64, read: u64) -> String {
    if read > length { format!(", of which {} were read", number(read)) } else { String::new() }
}

impl SourceError {
    /// The input called `name` is in an encoding that is not read.
    pub(super) fn encoded(name: String, encoding: &Encoding) -> Self {
        let why = match encoding.format {
            Some(_) => {
                "in the middle of which a later start could not go on where it comes from a pipe and state is kept"
            }
            None => "not text whose lines could be read",
        };
        Self::Encoded { name, what: encoding.what, why, command: encoding.command }
    }

    /// Why `unpacker`, of the input called `name`, cannot go on.
    pub(super) fn unpacking(name: String, unpacker: &Unpacker, failure: Failure) -> Self {
        let (format, offset) = (unpacker.format(), unpacker.offset());
        match failure {
            Failure::Damaged(why) | Failure::BrokenOff(why) => {
                Self::Corrupt { name, format: format.name(), check: format.check(), offset, why }
            }
            Failure::Refused(why) => {
                Self::NotUnpacked { name, format: format.name(), why, command: format.command() }
            }
        }
    }

    /// The input called `name` breaks off; with what there is of its last record.
    pub(super) fn torn(name: String, torn: TornRecord) -> (Self, Vec<u8>) {
        let TornRecord { record, offset, why, bytes } = torn;
        (Self::Torn { name, record, offset, why }, bytes)
    }

    /// That the rest of what was broken off was left out.
    pub(super) fn left_out(&self) -> String {
        let Self::Corrupt { name, format, offset, .. } = self else { return self.to_string() };
        let offset = number(*offset);
        format!(
            "{name} ended in the middle of its {format} data, near byte {offset}: what could be unpacked before that counts"
        )
    }

    /// That it is passed over, in a letter.
    pub(super) fn passed_over(&self) -> String {
        if let Self::ListedGone { path } | Self::ListedGoneMeanwhile { path } = self {
            return format!("{} is gone, which was listed; it was left out", shown(path));
        }
        if let Self::Torn { name, record, offset, why } = self {
            let (record, offset) = (number(*record), number(*offset));
            return format!(
                "record {record} of {name} (starting at byte {offset}) breaks off: {why}; it was left out"
            );
        }
        let Self::Corrupt { name, format, offset, why, .. } = self else { return self.to_string() };
        let offset = number(*offset);
        format!(
            "damaged or truncated {format} data near byte {offset} of {name} ({why}): the rest of it was left out, from this \
             record on"
        )
    }
}

/// A path on one line.
fn shown(path: &Path) -> String {
    one_line(path.as_os_str().as_bytes())
}
