//! Which workers run here: each has an entry in the user's runtime directory, and holds its lock for as long as it lives.
//!
//! The directory is `WORKER_RUNTIME_DIR`, else `worker` in `XDG_RUNTIME_DIR`, else `worker-UID` in the system's temporary
//! directory. Only its user can read it: entries hold the token. A lock is the kernel's (`flock`), so it goes with the process
//! however that ends; an entry without one is of a process that ended, and says how, if it could. Such entries are kept for
//! [`KEPT`], the last [`ENDED_MAX`] of them, so that `worker why` can still say what happened.

use super::Token;
use super::client::Client;
use crate::explain::Snapshot;
use crate::mutex::lock;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime};
use worker_net::Trust;

/// How long the entry of a process that ended is kept.
pub const KEPT: Duration = Duration::from_secs(24 * 3600);

/// How many entries of processes that ended are kept.
pub const ENDED_MAX: usize = 16;

/// Largest entry that is read, in bytes.
const ENTRY_BYTES_MAX: u64 = 64 << 20;

/// How long an own entry may be held by others: none does for more than a read.
const LOCK_PATIENCE: Duration = Duration::from_millis(500);

/// How the text of an entry begins.
const ENTRY_BEGINS: &[u8] = br#"{"pid":"#;

/// A worker that runs here, or did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RegistryEntry {
    pub pid: u32,
    pub pipeline: String,
    pub node: String,
    /// Where its admin API answers.
    pub admin: Option<String>,
    /// The certificate that is shown there now, in DER and base64; none without TLS.
    #[serde(default)]
    pub certificate: Option<String>,
    /// What orders must carry.
    pub token: String,
    /// When it began, in milliseconds since 1970.
    pub started_ms: u64,
    /// How it was when it ended, if it could say so.
    pub last: Option<Box<Snapshot>>,
    /// Where it keeps its state; none in memory.
    #[serde(default, with = "crate::text::pathname::maybe")]
    pub state: Option<PathBuf>,
}

/// An entry, and whether its process lives.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    pub entry: RegistryEntry,
    pub alive: bool,
}

/// The entry of this process; its lock is given up when that has ended, or this is dropped.
#[derive(Debug)]
pub struct Registration(Mutex<Own>);

#[derive(Debug)]
struct Own {
    file: File,
    entry: RegistryEntry,
}

impl RegistryEntry {
    /// The token as a secret.
    #[must_use]
    pub fn token(&self) -> Token {
        Token::from_text(&self.token)
    }

    /// Who asks it, if it can be asked; whoever may read the entry is told by it whom to believe there.
    #[must_use]
    pub fn client(&self) -> Option<Client> {
        let client = Client::new(self.admin.as_ref()?, Some(self.token())).of_process(Some(self.pid));
        Some(client.trusting(self.trust()))
    }

    /// Whoever has the key of the certificate that it shows now.
    #[must_use]
    pub fn trust(&self) -> Option<Trust> {
        STANDARD.decode(self.certificate.as_ref()?).ok().map(Trust::exactly)
    }
}

impl Registration {
    /// Makes the entry of this process, and removes what is too old.
    ///
    /// # Errors
    /// The directory cannot be made, or is somebody else's.
    pub fn new(entry: RegistryEntry) -> io::Result<Self> {
        Self::in_dir(&dir(), entry)
    }

    fn in_dir(dir: &Path, entry: RegistryEntry) -> io::Result<Self> {
        make_private(dir)?;
        sweep(dir);
        let plain = |name: &str| {
            name.chars()
                .map(|c| if c.is_alphanumeric() || "-_".contains(c) { c } else { '_' })
                .collect::<String>()
        };
        let name = format!("{}-{}-{}.json", plain(&entry.pipeline), plain(&entry.node), entry.pid);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(dir.join(name))?;
        take(&file)?;
        let mut own = Own { file, entry };
        own.write()?;
        Ok(Self(Mutex::new(own)))
    }

    /// Says how this process was when its run ended, and gives the lock up; the entry stays for a while.
    pub fn ended(&self, last: Snapshot) {
        let mut own = lock(&self.0);
        own.entry.last = Some(Box::new(last));
        let written = own.write();
        if let Err(error) = written.and_then(|()| Ok(flock(&own.file, FlockOperation::Unlock)?)) {
            tracing::debug!(%error, "cannot say in the runtime directory how the run ended");
        }
    }

    /// Says which certificate is shown from now on, in DER; of a run that has ended nothing is said any more.
    pub fn shows(&self, certificate: &[u8]) {
        let mut own = lock(&self.0);
        if own.entry.last.is_some() {
            return;
        }
        own.entry.certificate = Some(STANDARD.encode(certificate));
        if let Err(error) = own.write() {
            tracing::warn!(%error, "cannot say in the runtime directory which certificate is shown now: commands here need --admin-ca");
        }
    }
}

impl Own {
    /// In place: the lock is the file's.
    fn write(&mut self) -> io::Result<()> {
        let text = serde_json::to_vec(&self.entry)?;
        self.file.set_len(0)?;
        self.file.rewind()?;
        self.file.write_all(&text)
    }
}

/// Every worker of this user that runs on this machine, or ended lately; the youngest first. In a directory in which no worker
/// makes an entry ([`refusal`]) there is none: whoever may write there could name any address as a worker's.
///
/// # Errors
/// The directory is there and cannot be read.
pub fn list() -> io::Result<Vec<Found>> {
    list_in(&dir())
}

fn list_in(dir: &Path) -> io::Result<Vec<Found>> {
    if refusal_of(dir).is_some() {
        return Ok(Vec::new());
    }
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut found: Vec<Found> = entries.flatten().filter_map(|entry| read(&entry.path())).collect();
    found.sort_by_key(|f| std::cmp::Reverse((f.alive, f.entry.started_ms)));
    Ok(found)
}

/// The directory of entries.
#[must_use]
pub fn dir() -> PathBuf {
    if let Some(dir) = std::env::var_os("WORKER_RUNTIME_DIR").filter(|dir| !dir.is_empty()) {
        return dir.into();
    }
    match std::env::var_os("XDG_RUNTIME_DIR").filter(|dir| !dir.is_empty() && Path::new(dir).is_dir()) {
        Some(dir) => Path::new(&dir).join("worker"),
        None => std::env::temp_dir().join(format!("worker-{}", rustix::process::getuid().as_raw())),
    }
}

/// Takes the lock of an own entry. Who lists or sweeps just now holds it for a moment.
fn take(file: &File) -> io::Result<()> {
    let begun = Instant::now();
    loop {
        match flock(file, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) if begun.elapsed() < LOCK_PATIENCE => {
                std::thread::sleep(Duration::from_millis(1));
            }
            result => return Ok(result?),
        }
    }
}

/// Makes the directory, or finds that it is this user's alone.
fn make_private(dir: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    refusal_of(dir).map_or(Ok(()), |why| Err(io::Error::other(why)))
}

/// Why no worker makes an entry in the directory, where it is there and not this user's alone, and how to mend that.
#[must_use]
pub fn refusal() -> Option<String> {
    refusal_of(&dir())
}

fn refusal_of(dir: &Path) -> Option<String> {
    let metadata = std::fs::symlink_metadata(dir).ok()?;
    let (mode, name) = (metadata.mode() & 0o7777, dir.display());
    let is = match () {
        () if !metadata.is_dir() => "is none: remove it, or set WORKER_RUNTIME_DIR".to_owned(),
        () if metadata.uid() != rustix::process::geteuid().as_raw() => {
            "is another user's: set WORKER_RUNTIME_DIR to one of your own".to_owned()
        }
        () if mode & 0o077 != 0 => format!("has mode {mode:04o}: chmod 700 {name}"),
        () => return None,
    };
    Some(format!(
        "{name} must be a directory of this user that nobody else can read (mode 0700), and it {is}"
    ))
}

/// That none was found, and why that may be so although one runs.
#[must_use]
pub fn none_found(named: &str) -> String {
    match refusal() {
        Some(why) => format!(
            "no worker{named} is entered in the runtime directory, where none can be: {why}; a worker that runs all the same has \
             warned of that, and is named by --admin HOST:PORT"
        ),
        None => format!("no worker{named} runs here as this user (looked in {})", dir().display()),
    }
}

/// What an entry says; nothing if it is none, or is just being written.
fn read(path: &Path) -> Option<Found> {
    if path.extension().is_none_or(|extension| extension != "json") {
        return None;
    }
    let mut file = open_own(path)?;
    let alive = flock(&file, FlockOperation::NonBlockingLockShared).is_err();
    let mut text = Vec::new();
    (&mut file).take(ENTRY_BYTES_MAX).read_to_end(&mut text).ok()?;
    let entry = serde_json::from_slice(&text).ok()?;
    Some(Found { entry, alive })
}

/// A file of this user. Nothing else is waited for (a named pipe without a writer), nor followed.
fn open_own(path: &Path) -> Option<File> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).ok()?;
    let metadata = file.metadata().ok()?;
    let own = metadata.is_file() && metadata.uid() == rustix::process::geteuid().as_raw();
    own.then_some(file)
}

/// Removes entries of processes that ended long ago, and all but the last few. Other files of the directory stay: a user may have
/// named any.
fn sweep(dir: &Path) {
    let mut ended: Vec<(SystemTime, PathBuf)> = Vec::new();
    for path in std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()) {
        if read(&path).is_none_or(|found| found.alive) && !is_torn(&path) {
            continue;
        }
        let changed = path.metadata().and_then(|m| m.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
        ended.push((changed, path));
    }
    ended.sort_by(|a, b| b.cmp(a));
    let old = |changed: &SystemTime| changed.elapsed().is_ok_and(|age| age > KEPT);
    for (at, (changed, path)) in ended.iter().enumerate() {
        if at >= ENDED_MAX || old(changed) {
            std::fs::remove_file(path).ok();
        }
    }
}

/// Whether this is what a process left that died while it wrote its entry.
fn is_torn(path: &Path) -> bool {
    let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let of_a_process = stem.rsplit_once('-').is_some_and(|(_, pid)| pid.parse::<u32>().is_ok());
    let Some(mut file) = open_own(path) else { return false };
    let mut begin = Vec::new();
    let named = of_a_process && path.extension().is_some_and(|extension| extension == "json");
    named
        && flock(&file, FlockOperation::NonBlockingLockShared).is_ok()
        && (&mut file).take(ENTRY_BEGINS.len() as u64).read_to_end(&mut begin).is_ok()
        && ENTRY_BEGINS.starts_with(&begin)
        && read(path).is_none()
}

#[cfg(test)]
mod tests;
