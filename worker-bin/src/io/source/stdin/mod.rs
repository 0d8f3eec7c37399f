//! The worker's own standard input.

use super::{AnySource, Ending, Opened, Opening, SourceEnd, SourceError};
use crate::io::resource::Resource;
use crate::io::shared::Shared;
use crate::io::source::unpack::Format;
use crate::pipeline::keys::kind::{End, OnlyTrue, must_be_true};
use crate::pipeline::keys::{Class, Key, Section, WhenAbsent, program};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use worker_stdio::Stream;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StandardInput;

impl Section for StandardInput {
    fn defaults(_: &Path) -> Self {
        Self
    }
}

pub(super) const KIND: End<AnySource, StandardInput> = End {
    keys: &[&Key {
        name: "stdin",
        class: Class::Results,
        doc: "whether it reads the worker's standard input",
        value: OnlyTrue,
        when_absent: WhenAbsent::Required,
        get: |_| (),
        set: |_, (), _| (),
    }],
    make: |stdin, _| Shared(Arc::new(stdin)),
    of: Shared::of,
    is_meant: must_be_true,
    misplaced: program::misplaced,
};

impl SourceEnd for StandardInput {
    fn describe(&self) -> String {
        "reads standard input".to_owned()
    }

    fn holds(&self, _: &Path) -> Vec<Resource> {
        vec![Resource::StandardInput]
    }

    fn local(&self) -> Option<&'static str> {
        Some("reads standard input")
    }

    fn ending(&self) -> Ending {
        Ending::Unknown
    }

    fn may_decode(&self, _: &Path) -> Option<u64> {
        Some(Format::MEMORY_BYTES_MAX)
    }

    fn at_a_crash(&self) -> Option<&'static str> {
        Some(
            "what is read of a pipe is kept, and what lies in it goes with whoever holds it; what is piped in again counts \
             again (a regular file is gone on with)",
        )
    }

    fn open(&self, opening: &Opening<'_>) -> Result<Opened, SourceError> {
        let name = "standard input".to_owned();
        if Stream::Input.was_closed() {
            return Err(SourceError::Closed);
        }
        let stdin = std::io::stdin().as_fd().try_clone_to_owned();
        let stdin = stdin.map_err(|source| SourceError::Read { name: name.clone(), offset: 0, source })?;
        let place = place(&stdin);
        Ok(Opened::Reader(Box::new(opening.stream(stdin, name)?.found_at(place))))
    }
}

/// Where standard input is to be found, for people if it still has a name.
fn place(stdin: &OwnedFd) -> PathBuf {
    let always = PathBuf::from("/proc/self/fd/0");
    let is_there = |path: &PathBuf| match (rustix::fs::fstat(stdin), path.metadata()) {
        (Ok(ours), Ok(there)) => (ours.st_dev, ours.st_ino) == (there.dev(), there.ino()),
        (Ok(_) | Err(_), _) => false,
    };
    std::fs::read_link(&always).ok().filter(is_there).unwrap_or(always)
}
