//! The worker's own standard output.

use super::{AnySink, Lives, SinkEnd, SinkError, SinkWriter, StreamSink, Tasks};
use crate::io::resource::Resource;
use crate::io::shared::Shared;
use crate::pipeline::keys::kind::{End, OnlyTrue, must_be_true};
use crate::pipeline::keys::{Class, Key, Section, WhenAbsent, program};
use std::path::Path;
use std::sync::Arc;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StandardOutput;

impl Section for StandardOutput {
    fn defaults(_: &Path) -> Self {
        Self
    }
}

pub(super) const KIND: End<AnySink, StandardOutput> = End {
    keys: &[&Key {
        name: "stdout",
        class: Class::Results,
        doc: "whether it writes to the worker's standard output",
        value: OnlyTrue,
        when_absent: WhenAbsent::Required,
        get: |_| (),
        set: |_, (), _| (),
    }],
    make: |stdout, _| Shared(Arc::new(stdout)),
    of: Shared::of,
    is_meant: must_be_true,
    misplaced: program::misplaced,
};

impl SinkEnd for StandardOutput {
    fn describe(&self, _: &Path) -> String {
        "prints to standard output".to_owned()
    }

    fn holds(&self) -> Vec<Resource> {
        vec![Resource::StandardOutput]
    }

    fn local(&self) -> Option<&'static str> {
        Some("writes standard output")
    }

    fn tasks(&self) -> Tasks {
        Tasks::One("standard output has one sink task")
    }

    fn at_a_crash(&self) -> Option<&'static str> {
        Some("after a crash, the last records may be printed again (a `file` gets each once)")
    }

    fn open(
        &self,
        _: Option<u8>,
        lives: Option<Lives<'_>>,
    ) -> Result<Option<Box<dyn SinkWriter>>, SinkError> {
        let stdout = StreamSink::stdout()?;
        Ok(Some(Box::new(if lives.is_some() { stdout.followed() } else { stdout })))
    }
}
