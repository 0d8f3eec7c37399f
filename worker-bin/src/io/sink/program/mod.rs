//! What a program reads.

use super::{Lives, Opened, SinkEnd, SinkError, Tasks};
use crate::io::resource::Resource;
use crate::pipeline::{At, Program};
use std::path::Path;

#[derive(Clone, Debug)]
pub struct Reads(pub Program);

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
