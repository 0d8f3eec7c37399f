//! bzip2: streams of blocks of at most 900 kB, which cost at most 4 MB.

use super::{Failure, Member, Step, Then};
use bzip2::{Decompress, Error, Status};

pub(super) struct Bzip2(Decompress);

impl Bzip2 {
    pub(super) fn new() -> Self {
        Self(Decompress::new(false))
    }
}

impl Member for Bzip2 {
    fn step(&mut self, input: &[u8], output: &mut [u8], _: bool) -> Step {
        let (taken, given) = (self.0.total_in(), self.0.total_out());
        let result = self.0.decompress(input, output);
        let then = match result {
            Ok(Status::Ok | Status::FlushOk | Status::RunOk | Status::FinishOk) => Ok(Then::More),
            Ok(Status::StreamEnd) => Ok(Then::AtItsEnd),
            Ok(Status::MemNeeded) => Err(Failure::Refused("there is no memory for its blocks".to_owned())),
            Err(Error::DataMagic) => Err(Failure::Damaged("it does not begin as bzip2 data does".to_owned())),
            Err(Error::Data | Error::Sequence | Error::Param) => Err(Failure::Damaged(
                "a block is not what its check sum says, or cannot be unpacked".to_owned(),
            )),
        };
        Step {
            taken: usize::try_from(self.0.total_in() - taken).unwrap_or(usize::MAX),
            given: usize::try_from(self.0.total_out() - given).unwrap_or(usize::MAX),
            then,
        }
    }
}
