//! `from`: names in the file, positions in the pipeline.

use super::value::any_of;
use super::{Class, KeyInfo, Rendered, Row, Shown};
use crate::pipeline::diagnostics::{At, Problem};
use crate::pipeline::model::{Origin, Pipeline};
use crate::pipeline::reader::{KeyValue, Reader};
use crate::pipeline::text::list;
use serde_json::json;

/// The row of `from` in a stage or sink.
pub(super) struct From<S> {
    pub(super) get: fn(&S) -> &[Origin],
    pub(super) set: fn(&mut S, Vec<(String, At)>),
}

impl<S> Row<S> for From<S> {
    fn name(&self) -> &'static str {
        "from"
    }

    fn info(&self) -> KeyInfo {
        let names = json!({"type": "array", "items": {"type": "string"}, "minItems": 1});
        KeyInfo {
            name: "from",
            class: Class::Results,
            doc: "what it reads: the name of a source or stage, or a list of names; may be left out where the file is one straight line",
            schema: any_of([json!({"type": "string"}), names]),
            default: None,
            otherwise: None,
            is_required: false,
            inner: Vec::new(),
        }
    }

    fn read<'d>(&self, reader: &mut Reader<'d>, entry: &KeyValue<'d>, section: &mut S) {
        let names = reader.strings(entry).unwrap_or_default();
        (self.set)(section, names);
    }

    fn rendered(&self, section: &S, pipeline: &Pipeline) -> Rendered {
        let names: Vec<&str> =
            (self.get)(section).iter().map(|&origin| pipeline.origin_name(origin)).collect();
        let text = Some(list(names.iter().copied()));
        Rendered { name: "from", results: text.clone(), text, shown: Shown::Always }
    }
}

/// A list of no names is not the same as no list.
pub(super) fn refuse_nothing<'d>(
    reader: &mut Reader<'d>,
    title: &str,
    given: &[KeyValue<'d>],
    names: Option<&[(String, At)]>,
) {
    let entry = given.iter().find(|entry| entry.key == "from" && entry.value.get_ref().is_array());
    if let (Some(entry), Some([])) = (entry, names) {
        let title = format!("{title} reads from nothing");
        reader.problems.push(Problem::at(&entry.at(), title, "expected the name of a source or stage"));
    }
}
