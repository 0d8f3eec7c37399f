//! What a program reads: a stage without output.

use super::{AnySink, Lives, SinkEnd, SinkError, SinkWriter, Tasks};
use crate::io::resource::Resource;
use crate::io::shared::Shared;
use crate::pipeline::keys::kind::Kind;
use crate::pipeline::keys::{KeyInfo, Rendered, Shown, program, stage};
use crate::pipeline::reader::{KeyValue, Reader};
use crate::pipeline::{At, KeyRule, Mode, Pipeline, Problem, Stage};
use std::path::Path;
use std::sync::Arc;

/// The program, and how it runs; what its sink says by itself is not in it.
#[derive(Clone, Debug, PartialEq)]
pub struct Reads(pub Stage);

pub(super) struct ReadsKind;

impl Kind<AnySink> for ReadsKind {
    fn infos(&self) -> Vec<KeyInfo> {
        stage::sink_infos().into_iter().map(|(key, _)| key).collect()
    }

    fn is_meant<'d>(&self, _: &mut Reader<'d>, _: &KeyValue<'d>) -> bool {
        true
    }

    fn read<'d>(&self, reader: &mut Reader<'d>, given: &[KeyValue<'d>]) -> AnySink {
        Shared(Arc::new(Reads(stage::read_sink(reader, given))))
    }

    fn rendered(&self, end: &AnySink, pipeline: &Pipeline) -> Option<Vec<Rendered>> {
        let Reads(stage) = end.of()?;
        let mut said = stage.rendered_sink(pipeline);
        said.iter_mut().take(1).for_each(|key| key.shown = Shown::Always);
        Some(said)
    }

    fn misplaced(&self, entry: &KeyValue<'_>, title: &str) -> Problem {
        program::misplaced(entry, title)
    }
}

impl SinkEnd for Reads {
    fn describe(&self, _: &Path) -> String {
        let mode = match &self.0.mode {
            Mode::Stream(_) => String::new(),
            Mode::Batch(_) | Mode::Records(_) => format!(" ({})", self.0.mode.word()),
        };
        format!("runs {}{mode}", shell_words::join(&self.0.program.argv))
    }

    fn at(&self) -> Option<&At> {
        Some(self.0.program.at())
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
        Some(match &self.0.mode {
            Mode::Batch(_) => {
                "a batch that was not done is given to the program again, under the same WORKER_BATCH_ID"
            }
            Mode::Stream(_) => {
                "what the program was given is given to it again, until it has ended well with it (a `file` gets each once)"
            }
            Mode::Records(_) => "records that the program had not answered are given to it again",
        })
    }

    fn stage(&self) -> Option<&Stage> {
        Some(&self.0)
    }

    fn keyed(&self, rule: Option<&KeyRule>) -> Option<AnySink> {
        Some(Shared(Arc::new(Self(Stage { partition_by: rule.cloned(), ..self.0.clone() }))))
    }

    fn headed_by_letters(&self) -> Option<AnySink> {
        Some(Shared(Arc::new(Self(Stage { is_headed_by_letters: true, ..self.0.clone() }))))
    }

    fn open(&self, _: Option<u8>, _: Option<Lives<'_>>) -> Result<Option<Box<dyn SinkWriter>>, SinkError> {
        Ok(None)
    }
}
