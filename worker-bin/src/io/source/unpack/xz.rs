//! xz: streams, their padding and their check sums, as `xz` takes them.

use super::{Failure, MEMORY_MIB_MAX, Member, Step, Then};
use lzma_rust2::{Action, Status, XzStream};
use std::io::{self, ErrorKind};

/// A dictionary of that size, and what is needed beside it.
const MEMORY_KIB_MAX: u32 = (MEMORY_MIB_MAX + 1) << 10;

/// All streams of an input.
pub(super) struct Xz(XzStream);

impl Xz {
    pub(super) fn new() -> Self {
        Self(XzStream::new_mem_limit(true, MEMORY_KIB_MAX))
    }

    fn failure(&self, error: &io::Error) -> Failure {
        if error.kind() == ErrorKind::OutOfMemory {
            let mib = self.0.memory_usage().unwrap_or(0) >> 10;
            return Failure::Refused(format!(
                "it needs {mib} MiB of memory to be unpacked, and {MEMORY_MIB_MAX} MiB are the limit"
            ));
        }
        if error.kind() == ErrorKind::Unsupported {
            return Failure::Refused(error.to_string());
        }
        if error.kind() == ErrorKind::UnexpectedEof {
            return Failure::BrokenOff(error.to_string());
        }
        Failure::Damaged(error.to_string())
    }
}

impl Member for Xz {
    fn step(&mut self, input: &[u8], output: &mut [u8], is_last: bool) -> Step {
        let (mut taken, mut given) = (0, 0);
        loop {
            // Of what fails the library gives nothing, so it gets byte for byte: what comes before damage is the same however it comes.
            let next = &input[taken..input.len().min(taken + 1)];
            let action = if next.is_empty() && is_last { Action::Finish } else { Action::Run };
            let before = (self.0.total_in(), self.0.total_out());
            let result = self.0.process(next, &mut output[given..], action);
            let more_given = length(self.0.total_out() - before.1);
            let more_taken = length(self.0.total_in() - before.0);
            (taken, given) = (taken + more_taken, given + more_given);
            let then = match result {
                Ok(result) if result.status == Status::StreamEnd => Ok(Then::AtItsEnd),
                Ok(_) if given < output.len() && more_taken + more_given > 0 => continue,
                Ok(_) => Ok(Then::More),
                Err(error) => Err(self.failure(&error)),
            };
            return Step { taken, given, then };
        }
    }
}

fn length(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}
