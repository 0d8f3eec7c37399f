//! Logs through all ways of rotation, each look and each life at a moment that the test chooses.

mod copies;
mod framings;
mod lives;
mod many;
mod rotation;

use super::*;
use std::io::Write as _;
use worker_journal::Fold as _;

/// A directory with logs, and a reader of them that looks when it is told to.
pub(super) struct Bench {
    dir: tempfile::TempDir,
    pattern: &'static str,
    options: SourceOptions,
    since: Since,
    idle: Duration,
    /// What the journal has.
    sum: Sum,
    reader: Option<FollowReader>,
}

impl Bench {
    fn new(pattern: &'static str) -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            pattern,
            options: SourceOptions::default(),
            since: Since::Start,
            idle: Duration::from_secs(3600),
            sum: Sum::default(),
            reader: None,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn append(&self, name: &str, text: &str) {
        let file = std::fs::OpenOptions::new().append(true).create(true).open(self.path(name));
        file.unwrap().write_all(text.as_bytes()).unwrap();
    }

    fn rename(&self, from: &str, to: &str) {
        std::fs::rename(self.path(from), self.path(to)).unwrap();
    }

    /// As logrotate does it: what is in the copy is cut from the file.
    fn copy(&self, from: &str, to: &str) {
        std::fs::write(self.path(to), std::fs::read(self.path(from)).unwrap()).unwrap();
    }

    fn cut(&self, name: &str) {
        std::fs::File::options().write(true).open(self.path(name)).unwrap().set_len(0).unwrap();
    }

    fn remove(&self, name: &str) {
        std::fs::remove_file(self.path(name)).unwrap();
    }

    fn gzip(&self, name: &str) {
        self.gzip_to(name, &format!("{name}.gz"));
        self.remove(name);
    }

    fn gzip_to(&self, name: &str, to: &str) {
        let packed = crate::io::source::unpack::samples::gzip(&std::fs::read(self.path(name)).unwrap());
        std::fs::write(self.path(to), packed).unwrap();
    }

    fn try_open(&self) -> Result<FollowReader, SourceError> {
        let following = Following {
            base: self.dir.path(),
            patterns: &[self.pattern.to_owned()],
            since: self.since,
            idle: self.idle,
            stop: Stop::new().unwrap(),
            durable: Some((self.sum.position(), Path::new("/nowhere/state"))),
        };
        FollowReader::open(following, &self.options)
    }

    fn reader(&mut self) -> &mut FollowReader {
        if self.reader.is_none() {
            let mut reader = self.try_open().unwrap();
            if let Some(position) = reader.begin() {
                self.sum.apply(&position);
            }
            self.reader = Some(reader);
        }
        self.reader.as_mut().unwrap()
    }

    /// The process dies: what it has not committed is not known.
    fn kill(&mut self) {
        self.reader = None;
    }

    /// One look, and what it has found to read; commits at most so many chunks.
    fn read_chunks(&mut self, max: usize) -> String {
        let mut text = String::new();
        let is_new = self.reader.is_none();
        let reader = self.reader();
        if !is_new {
            reader.look().unwrap();
        }
        let mut chunks = 0;
        while chunks < max {
            let reader = self.reader();
            if reader.turn.is_none() && !reader.catalog.has_next() {
                break;
            }
            if let Some(batch) = reader.advance().unwrap() {
                let position = reader.position().unwrap();
                for index in 0..batch.len() {
                    text.push_str(std::str::from_utf8(batch.record(index)).unwrap());
                }
                self.sum.apply(&position);
                chunks += 1;
            }
        }
        text
    }

    fn read(&mut self) -> String {
        self.read_chunks(usize::MAX)
    }

    /// Looks until something came, or what is pending is decided.
    fn read_decided(&mut self) -> String {
        let until = Instant::now() + Duration::from_secs(20);
        let mut text = self.read();
        while text.is_empty() && self.reader().catalog.waits_for_time() {
            assert!(Instant::now() < until, "nothing is decided");
            std::thread::sleep(Duration::from_millis(20));
            text = self.read();
        }
        text
    }
}

/// Lines that are long enough together to be known again.
fn lines(from: u32, to: u32) -> String {
    (from..to).map(|n| format!("line {n} of some length that makes it easy to know it again\n")).collect()
}

#[test]
fn what_is_no_regular_file_is_refused() {
    let bench = Bench::new("pipe");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        bench.path("pipe"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    let error = bench.try_open().unwrap_err().to_string();
    assert!(error.contains("pipe") && error.contains("leave `follow` out"), "{error}");
    let bench = Bench { pattern: "dir", ..Bench::new("dir") };
    std::fs::create_dir(bench.path("dir")).unwrap();
    assert!(matches!(bench.try_open(), Err(SourceError::Directory { .. })));
    let bench = Bench::new("wide.log");
    std::fs::write(bench.path("wide.log"), b"\xff\xfea\0\n\0b\0").unwrap();
    let error = bench.try_open().unwrap_err().to_string();
    assert!(error.contains("UTF-16") && error.contains("iconv"), "{error}");
}
