//! What a program may use and see, and the words in which the launcher is told.

use rustix::process::Resource;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::PathBuf;

/// What a program may use and see; by default what the worker may.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Confinement {
    pub limits: Vec<Limit>,
    /// Who it is; `None`: who the worker is.
    pub user: Option<Identity>,
    /// Which files it sees; `None`: those that the worker sees.
    pub files: Option<Files>,
    /// There is no network for it.
    pub is_offline: bool,
}

/// So much each of its processes may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    pub of: Limited,
    pub most: u64,
}

/// What a limit is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limited {
    /// Bytes of address space.
    Memory,
    /// Seconds of processor time.
    Cpu,
    OpenFiles,
    /// Processes and threads of its user, all together.
    Processes,
    /// Bytes of a file that it writes.
    FileSize,
}

/// A user as the system knows one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub user: u32,
    pub group: u32,
    /// All groups.
    pub groups: Vec<u32>,
}

/// The files that it sees, beside those that it takes to run a program at all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files {
    /// Below these it may read and execute.
    pub read: Vec<PathBuf>,
    /// Below these it may do anything.
    pub write: Vec<PathBuf>,
}

const LIMITED: [Limited; 5] =
    [Limited::Memory, Limited::Cpu, Limited::OpenFiles, Limited::Processes, Limited::FileSize];

impl Limited {
    /// As a pipeline names it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Limited::Memory => "memory",
            Limited::Cpu => "cpu",
            Limited::OpenFiles => "open_files",
            Limited::Processes => "processes",
            Limited::FileSize => "file_size",
        }
    }

    pub(crate) const fn resource(self) -> Resource {
        match self {
            Limited::Memory => Resource::As,
            Limited::Cpu => Resource::Cpu,
            Limited::OpenFiles => Resource::Nofile,
            Limited::Processes => Resource::Nproc,
            Limited::FileSize => Resource::Fsize,
        }
    }
}

impl Confinement {
    /// What the launcher is told; empty: nothing is asked for.
    pub(crate) fn words(&self) -> Vec<OsString> {
        let limit = |limit: &Limit| format!("{}={}", limit.of.word(), limit.most).into();
        let mut words: Vec<OsString> = self.limits.iter().map(limit).collect();
        if let Some(Identity { user, group, groups }) = &self.user {
            let groups: Vec<String> = groups.iter().map(u32::to_string).collect();
            words.push(format!("user={user}:{group}:{}", groups.join(",")).into());
        }
        if self.is_offline {
            words.push("offline=true".into());
        }
        if let Some(files) = &self.files {
            words.push("files=some".into());
            let mut path = |key: &str, path: &PathBuf| {
                let mut word = OsString::from(key);
                word.push(path);
                words.push(word);
            };
            files.read.iter().for_each(|read| path("read=", read));
            files.write.iter().for_each(|write| path("write=", write));
        }
        words
    }

    pub(super) fn of_words(words: &[OsString]) -> io::Result<Self> {
        let mut confinement = Self::default();
        words.iter().try_for_each(|word| confinement.take(word)).ok_or(io::ErrorKind::InvalidInput)?;
        Ok(confinement)
    }

    fn take(&mut self, word: &OsStr) -> Option<()> {
        let bytes = word.as_bytes();
        let (key, value) = bytes.split_at(memchr::memchr(b'=', bytes)?);
        let (key, value) = (std::str::from_utf8(key).ok()?, &value[1..]);
        let path = || PathBuf::from(OsString::from_vec(value.to_vec()));
        let text = || std::str::from_utf8(value).ok();
        match key {
            "user" => self.user = Some(Identity::of_word(text()?)?),
            "offline" => self.is_offline = true,
            "files" => self.files = Some(Files::default()),
            "read" => self.files.as_mut()?.read.push(path()),
            "write" => self.files.as_mut()?.write.push(path()),
            limit => {
                let of = LIMITED.into_iter().find(|of| of.word() == limit)?;
                self.limits.push(Limit { of, most: text()?.parse().ok()? });
            }
        }
        Some(())
    }
}

impl Identity {
    fn of_word(word: &str) -> Option<Self> {
        let mut parts = word.splitn(3, ':');
        let (user, group) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        let groups = parts.next()?.split(',').filter(|group| !group.is_empty());
        Some(Self { user, group, groups: groups.map(|group| group.parse().ok()).collect::<Option<_>>()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_say_all_of_it() {
        let path = PathBuf::from(OsString::from_vec(b"/a b=\xff".to_vec()));
        let all = Confinement {
            limits: LIMITED.map(|of| Limit { of, most: u64::MAX }).to_vec(),
            user: Some(Identity { user: 1000, group: 100, groups: vec![100, 4] }),
            files: Some(Files { read: vec![path.clone()], write: vec![path, "/w".into()] }),
            is_offline: true,
        };
        let none = Identity { user: 1, group: 2, groups: Vec::new() };
        let few = Confinement { user: Some(none), files: Some(Files::default()), ..Confinement::default() };
        for confinement in [all, few, Confinement::default()] {
            assert_eq!(Confinement::of_words(&confinement.words()).expect("words"), confinement);
        }
        assert!(Confinement::default().words().is_empty());
        for wrong in ["", "memory", "memory=x", "user=1", "other=1", "read=/x"] {
            assert!(Confinement::of_words(&[wrong.into()]).is_err(), "{wrong}");
        }
    }
}
