//! What a program reads.

use super::{AnySink, Lives, Opened, SinkEnd, SinkError, Tasks};
use crate::io::resource::Resource;
use crate::io::shared::Shared;
use crate::pipeline::keys::kind::End;
use crate::pipeline::keys::program;
use crate::pipeline::{At, Program};
use std::path::Path;
use std::sync::Arc;

#[derive(Clone, Debug, PartialEq)]
pub struct Reads(pub Program);

pub(super) const KIND: End<AnySink, Program> = End {
    keys: program::KEYS,
    make: |program, _| Shared(Arc::new(Reads(program))),
    of: |end| end.of().map(|Reads(program)| program),
    is_meant: |_, _| true,
    misplaced: program::misplaced,
};

impl SinkEnd for Reads {
    fn describe(&self, _: &Path) -> String {
        format!("runs {}", shell_words::join(&self.0.argv))
    }

    fn at(&self) -> Option<&At> {
        Some(self.0.at())
    }

    fn holds(&self) -> Vec<Resource> {
        Vec::new()
    }

    fn local(&self) -> Option<&'static str> {
        None
    }

    fn tasks(&self) -> Tasks {
        Tasks::Any
    }

    fn at_a_crash(&self) -> Option<&'static str> {
        Some("after a crash, the program may be given the last records again (a `file` gets each once)")
    }

    fn program(&self) -> Option<&Program> {
        Some(&self.0)
    }

    fn open(&self, _: Option<Lives<'_>>) -> Result<Opened, SinkError> {
        Ok(Opened::Program(self.0.clone()))
    }
}
