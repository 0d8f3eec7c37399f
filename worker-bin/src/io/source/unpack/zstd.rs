//! zstd: frames, those to be skipped among them, as `zstd` takes them.

use super::{Failure, MEMORY_MIB_MAX, Member, Step, Then};
use std::io;
use zstd::stream::raw::{DParameter, Decoder, InBuffer, Operation as _, OutBuffer};

/// The header of a block.
const HEADER_BYTES: usize = 3;

/// All frames of an input. The library says nothing of what it has given in the step that fails; so a step is never over more than
/// the rest of one block, and what is owed is asked for before it.
pub(super) struct Zstd {
    decoder: Decoder<'static>,
    /// How much the library would take; 0 between frames.
    hint: usize,
    owes: bool,
}

/// What takes nothing, as the library cannot be used.
struct Unusable(String);

impl Zstd {
    pub(super) fn member() -> Box<dyn Member> {
        let limited = |mut decoder: Decoder<'static>| {
            decoder.set_parameter(DParameter::WindowLogMax(MEMORY_MIB_MAX.ilog2() + 20)).map(|()| decoder)
        };
        match Decoder::new().and_then(limited) {
            Ok(decoder) => Box::new(Self { decoder, hint: 0, owes: false }),
            Err(error) => Box::new(Unusable(error.to_string())),
        }
    }

    fn run(&mut self, input: &[u8], output: &mut [u8]) -> (usize, usize, io::Result<usize>) {
        let (mut from, mut into) = (InBuffer::around(input), OutBuffer::around(output));
        let result = self.decoder.run(&mut from, &mut into);
        (from.pos(), into.pos(), result)
    }
}

impl Member for Zstd {
    fn step(&mut self, input: &[u8], output: &mut [u8], is_last: bool) -> Step {
        if input.is_empty() && self.hint == 0 && !self.owes {
            let then = if is_last { Then::AtItsEnd } else { Then::More };
            return Step { taken: 0, given: 0, then: Ok(then) };
        }
        let was_owing = self.owes;
        let most = if self.owes { 0 } else { self.hint.saturating_sub(HEADER_BYTES).max(HEADER_BYTES) };
        let (taken, given, result) = self.run(&input[..input.len().min(most)], output);
        self.owes = result.is_ok() && given == output.len();
        match result {
            Ok(hint) => {
                self.hint = hint;
                // Nothing was owed after all.
                if was_owing && given == 0 {
                    return self.step(input, output, is_last);
                }
                Step::more(taken, given)
            }
            Err(error) if error.to_string().contains("too much memory") => {
                let why = format!("its window is more than the limit of {MEMORY_MIB_MAX} MiB");
                Step { taken, given, then: Err(Failure::Refused(why)) }
            }
            Err(error) => Step::failed(taken, given, error),
        }
    }
}

impl Member for Unusable {
    fn step(&mut self, _: &[u8], _: &mut [u8], _: bool) -> Step {
        Step { taken: 0, given: 0, then: Err(Failure::Refused(self.0.clone())) }
    }
}
