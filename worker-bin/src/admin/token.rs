//! The secret of a worker: where it comes from, and where its user finds it.

use rustix::fs::OFlags;
use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Sets the token of a worker, and is what commands take that speak to one elsewhere.
pub const TOKEN_VARIABLE: &str = "WORKER_ADMIN_TOKEN";

/// Most bytes of a file with a token.
const FILE_BYTES_MAX: u64 = 4 << 10;

/// The secret of one instance.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// The one that the user gave in a file, else that of the environment (`WORKER_ADMIN_TOKEN`), else a new one of 128 random bits.
    /// With it where a user finds it, if that is not the runtime directory.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub fn given_or_new(file: Option<Self>) -> io::Result<(Self, Option<TokenPlace>)> {
        match (file, Self::from_env()) {
            (Some(token), _) => Ok((token, Some(TokenPlace::File))),
            (None, Some(token)) => Ok((token, Some(TokenPlace::Environment))),
            (None, None) => Ok((Self::random()?, None)),
        }
    }

    /// The one of the environment, if there is one.
    #[must_use]
    pub fn from_env() -> Option<Self> {
        let text = std::env::var(TOKEN_VARIABLE).ok()?;
        Some(Self::from_text(&text)).filter(|token| !token.0.is_empty())
    }

    /// The first line of a file, such as a mounted secret.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub fn from_file(path: &Path) -> Result<Self, TokenFileError> {
        let wrong = |why| TokenFileError { path: path.to_owned(), why };
        let system = |error| wrong(TokenFileFault::System(error));
        // A pipe that nobody writes to is not waited for.
        let flags = OFlags::NONBLOCK.bits().cast_signed();
        let file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(system)?;
        if !file.metadata().map_err(system)?.is_file() {
            return Err(wrong(TokenFileFault::NoFile));
        }
        let mut bytes = Vec::new();
        file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(system)?;
        if bytes.len() as u64 > FILE_BYTES_MAX {
            return Err(wrong(TokenFileFault::TooLarge));
        }
        let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default().trim_ascii();
        if line.is_empty() {
            return Err(wrong(TokenFileFault::Empty));
        }
        match std::str::from_utf8(line) {
            Ok(token) if line.iter().all(u8::is_ascii_graphic) => Ok(Self(token.to_owned())),
            Ok(_) | Err(_) => Err(wrong(TokenFileFault::NoToken)),
        }
    }

    /// One that was read from somewhere.
    #[must_use]
    pub fn from_text(text: &str) -> Self {
        Self(text.trim().to_owned())
    }

    /// As it is sent.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0
    }

    fn random() -> io::Result<Self> {
        let mut bytes = [0_u8; 16];
        let file = File::open("/dev/urandom")?;
        (&file).read_exact(&mut bytes)?;
        let mut text = String::with_capacity(32);
        for byte in bytes {
            write!(text, "{byte:02x}").ok();
        }
        Ok(Self(text))
    }

    /// Whether this is it. Takes the same time wherever the two differ.
    pub(super) fn is(&self, given: &[u8]) -> bool {
        let own = self.0.as_bytes();
        let differs = given.iter().zip(own).fold(0, |differs, (a, b)| differs | (a ^ b));
        given.len() == own.len() && differs == 0
    }
}

/// A file that gives no token.
#[derive(Debug, Error)]
#[error("--admin-token-file {}: {why}", path.display())]
pub struct TokenFileError {
    path: PathBuf,
    why: TokenFileFault,
}

#[derive(Debug, Error)]
enum TokenFileFault {
    #[error("cannot read it: {0}; the token is its first line")]
    System(io::Error),
    #[error("it is no regular file; the token is the first line of one")]
    NoFile,
    #[error("it has more than 4096 bytes; the token is the first line of a small file")]
    TooLarge,
    #[error("its first line is empty; write the token there, such as 32 random hexadecimal digits")]
    Empty,
    #[error("its first line is no token; one has letters, digits and signs of ASCII, and no blanks")]
    NoToken,
}

/// Where a user finds the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenPlace {
    /// The file of `--admin-token-file`.
    File,
    /// `WORKER_ADMIN_TOKEN` of the process.
    Environment,
    /// The instance's entry in the runtime directory.
    Entry,
    /// The runtime directory has no entry.
    Nowhere,
}

impl TokenPlace {
    pub(super) fn says(self) -> &'static str {
        match self {
            Self::File => {
                "it is in the file that this worker's --admin-token-file names; worker's commands take the same option"
            }
            Self::Environment => "it is the WORKER_ADMIN_TOKEN with which this worker was started",
            Self::Entry => {
                "worker status --list, on this worker's machine as its user, says where the token is; elsewhere \
                 --admin-token-file or WORKER_ADMIN_TOKEN gives it to worker's commands"
            }
            Self::Nowhere => {
                "this worker has no place where the token could be read (its runtime directory was refused, as it said at its \
                 start): start it with --admin-token-file or WORKER_ADMIN_TOKEN set, and give the same to worker's commands"
            }
        }
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::Mode;

    #[test]
    fn a_token_is_not_shown() {
        assert_eq!(format!("{:?}", Token::from_text("s3cret")), "Token(…)");
        assert_ne!(Token::random().expect("random"), Token::random().expect("random"));
    }

    #[test]
    fn a_file_gives_its_first_line_or_says_what_is_wrong_with_it() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("token");
        let read = |text: &[u8]| {
            std::fs::write(&path, text).expect("written");
            Token::from_file(&path).map(|token| token.text().to_owned()).map_err(|error| error.to_string())
        };
        for good in [&b"s3cret"[..], b"s3cret\n", b"  s3cret \r\nmore\n"] {
            assert_eq!(read(good).as_deref(), Ok("s3cret"));
        }
        let full = [b"s3cret\n".as_slice(), &vec![b'x'; 4089]].concat();
        assert_eq!(read(&full).as_deref(), Ok("s3cret"));
        for (bad, said) in [
            (&b""[..], "first line is empty"),
            (b"\ns3cret", "first line is empty"),
            (b" \t\r\n", "first line is empty"),
            (b"two words\n", "no token"),
            (b"s3cr\xc3\xa9t\n", "no token"),
            (b"s3cret\0\n", "no token"),
            (b"\xff\n", "no token"),
            (&vec![b'x'; 4097], "more than 4096 bytes"),
        ] {
            let error = read(bad).expect_err(said);
            assert!(error.starts_with("--admin-token-file ") && error.contains(said), "{error}");
        }
    }

    #[test]
    fn what_is_no_file_is_not_waited_for() {
        let dir = tempfile::tempdir().expect("a directory");
        let pipe = dir.path().join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)
            .expect("a pipe");
        for (path, said) in [
            (pipe.as_path(), "no regular file"),
            (dir.path(), "no regular file"),
            (Path::new("/dev/zero"), "no regular file"),
            (&dir.path().join("none"), "cannot read it"),
        ] {
            let error = Token::from_file(path).expect_err(said).to_string();
            assert!(error.contains(said) && error.contains(&path.display().to_string()), "{error}");
        }
    }
}
