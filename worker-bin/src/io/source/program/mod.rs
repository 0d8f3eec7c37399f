//! What a program prints.

use super::{AnySource, Ending, Opened, Opening, SourceEnd, SourceError};
use crate::io::resource::Resource;
use crate::io::shared::Shared;
use crate::pipeline::keys::kind::End;
use crate::pipeline::keys::program;
use crate::pipeline::{At, Program, endless};
use std::path::Path;
use std::sync::Arc;

#[derive(Clone, Debug, PartialEq)]
pub struct Prints(pub Program);

pub(super) const KIND: End<AnySource, Program> = End {
    keys: program::KEYS,
    make: |program, _| Shared(Arc::new(Prints(program))),
    of: |end| end.of().map(|Prints(program)| program),
    is_meant: |_, _| true,
    misplaced: program::misplaced,
};

impl SourceEnd for Prints {
    fn describe(&self) -> String {
        format!("runs {}", shell_words::join(&self.0.argv))
    }

    fn at(&self) -> Option<&At> {
        Some(self.0.at())
    }

    fn holds(&self, _: &Path) -> Vec<Resource> {
        Vec::new()
    }

    fn local(&self) -> Option<&'static str> {
        None
    }

    fn ending(&self) -> Ending {
        if endless(&self.0.argv) { Ending::Never } else { Ending::Unknown }
    }

    fn at_a_crash(&self) -> Option<&'static str> {
        Some(
            "at a crash, what the program printed and was not in the journal yet is lost, or comes again if the \
             program repeats it when it is run again",
        )
    }

    fn program(&self) -> Option<&Program> {
        Some(&self.0)
    }

    fn open(&self, _: &Opening<'_>) -> Result<Opened, SourceError> {
        Ok(Opened::Program(self.0.clone()))
    }
}
