//! The worker's own standard input.

use super::{AnySource, Ending, Opened, Opening, SourceEnd, SourceError, StreamSource};
use crate::io::resource::Resource;
use crate::io::shared::Shared;
use crate::pipeline::keys::kind::{End, OnlyTrue, must_be_true};
use crate::pipeline::keys::{Class, Key, Section, WhenAbsent, program};
use std::path::Path;
use std::sync::Arc;

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
        doc: "reads the worker's standard input",
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

    fn at_a_crash(&self) -> Option<&'static str> {
        Some(
            "standard input is journaled as it is read; at a crash, what was not read yet is lost, and what is piped in \
             again counts again (a `file` is continued by itself)",
        )
    }

    fn open(&self, opening: &Opening<'_>) -> Result<Opened, SourceError> {
        let stdin = StreamSource::stdin(&opening.options, opening.stop.clone())?;
        Ok(Opened::Reader(Box::new(opening.resume(stdin)?)))
    }
}
