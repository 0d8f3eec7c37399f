//! xz: streams, their padding and their check sums, as `xz` takes them.

use super::{Failure, MEMORY_MIB_MAX, Member, Step, Then};
use lzma_rust2::{Action, Status, XzStream};
use std::io::ErrorKind;

/// A dictionary of that size, and what is needed beside it.
const MEMORY_KIB_MAX: u32 = (MEMORY_MIB_MAX + 1) << 10;

/// How much is unpacked before it is given. In a piece that fails, what comes before the failure is lost.
const PIECE_BYTES: usize = 512;

/// All streams of an input.
pub(super) struct Xz(XzStream);

impl Xz {
    pub(super) fn new() -> Self {
        Self(XzStream::new_mem_limit(true, MEMORY_KIB_MAX))
    }
}

impl Member for Xz {
    fn step(&mut self, input: &[u8], output: &mut [u8], is_last: bool) -> Step {
        let (taken, given) = (self.0.total_in(), self.0.total_out());
        let (input, is_last) =
            (&input[..input.len().min(PIECE_BYTES)], is_last && input.len() <= PIECE_BYTES);
        let action = if is_last { Action::Finish } else { Action::Run };
        let then = match self.0.process(input, output, action) {
            Ok(result) if result.status == Status::StreamEnd => Ok(Then::AtItsEnd),
            Ok(_) => Ok(Then::More),
            Err(error) if error.kind() == ErrorKind::OutOfMemory => {
                let mib = self.0.memory_usage().unwrap_or(0) >> 10;
                Err(Failure::Refused(format!(
                    "it needs {mib} MiB of memory to be unpacked, and {MEMORY_MIB_MAX} MiB are the limit"
                )))
            }
            Err(error) if error.kind() == ErrorKind::Unsupported => Err(Failure::Refused(error.to_string())),
            Err(error) => Err(Failure::Damaged(error.to_string())),
        };
        Step {
            taken: usize::try_from(self.0.total_in() - taken).unwrap_or(usize::MAX),
            given: usize::try_from(self.0.total_out() - given).unwrap_or(usize::MAX),
            then,
        }
    }
}
