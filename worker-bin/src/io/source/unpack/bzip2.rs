//! bzip2: streams of blocks of at most 900 kB, which cost at most 4 MB.

use super::{Failure, Member, Step, Then};
use bzip2::{Decompress, Error, Status};

/// What one call of the library unpacks at most, in bytes: where it finds damage, it does not say how much it has given
/// before in that call. Calls that begin and end at the same places whatever room there is lose the same.
const CALL_BYTES: usize = 4096;

pub(super) struct Bzip2 {
    stream: Decompress,
    unpacked: Box<[u8; CALL_BYTES]>,
    /// How much of it is there, and how much of that was given.
    filled: usize,
    given: usize,
    /// What comes when all of it was given.
    end: Option<Result<Then, Failure>>,
}

impl Bzip2 {
    pub(super) fn new() -> Self {
        let (stream, unpacked) = (Decompress::new(false), Box::new([0; CALL_BYTES]));
        Self { stream, unpacked, filled: 0, given: 0, end: None }
    }

    /// Unpacks until there is no more room or no more input; gives how much it took, and whether anything came of it.
    fn unpack(&mut self, input: &[u8]) -> (usize, bool) {
        if self.filled == CALL_BYTES {
            (self.filled, self.given) = (0, 0);
        }
        let (taken, filled) = (self.stream.total_in(), self.stream.total_out());
        let result = self.stream.decompress(input, &mut self.unpacked[self.filled..]);
        let grown = |now: u64, before: u64| usize::try_from(now - before).unwrap_or(usize::MAX);
        let (taken, came) = (grown(self.stream.total_in(), taken), grown(self.stream.total_out(), filled));
        self.filled += came;
        self.end = match result {
            Ok(Status::Ok | Status::FlushOk | Status::RunOk | Status::FinishOk) => None,
            Ok(Status::StreamEnd) => Some(Ok(Then::AtItsEnd)),
            Ok(Status::MemNeeded) => {
                Some(Err(Failure::Refused("there is no memory for its blocks".to_owned())))
            }
            Err(Error::DataMagic) => {
                Some(Err(Failure::Damaged("it does not begin as bzip2 data does".to_owned())))
            }
            Err(Error::Data | Error::Sequence | Error::Param) => Some(Err(Failure::Damaged(
                "a block is not what its check sum says, or cannot be unpacked".to_owned(),
            ))),
        };
        (taken, came > 0 || self.end.is_some())
    }
}

impl Member for Bzip2 {
    fn step(&mut self, input: &[u8], output: &mut [u8], _: bool) -> Step {
        let (mut taken, mut given) = (0, 0);
        loop {
            let ready = &self.unpacked[self.given..self.filled];
            let some = ready.len().min(output.len() - given);
            output[given..given + some].copy_from_slice(&ready[..some]);
            (self.given, given) = (self.given + some, given + some);
            if self.given < self.filled {
                return Step { taken, given, then: Ok(Then::More) };
            }
            if let Some(end) = self.end.take() {
                return Step { taken, given, then: end };
            }
            if given == output.len() {
                return Step { taken, given, then: Ok(Then::More) };
            }
            let (took, came) = self.unpack(&input[taken..]);
            taken += took;
            if took == 0 && !came {
                return Step { taken, given, then: Ok(Then::More) };
            }
        }
    }
}
