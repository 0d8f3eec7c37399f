//! `place`.

use super::value::{Value, any_of};
use crate::pipeline::diagnostics::{At, Problem};
use crate::pipeline::reader::{KeyValue, Reader};
use crate::pipeline::text::list;
use serde_json::json;
use std::path::Path;

/// A name in `place`.
#[derive(Clone, Debug, PartialEq)]
pub struct PlaceName {
    pub node: String,
    /// Where it is written.
    pub at: At,
}

/// Names of nodes, each of them once.
pub(super) struct Place;

impl Value for Place {
    type T = Vec<PlaceName>;

    fn read<'d>(&self, reader: &mut Reader<'d>, entry: &KeyValue<'d>) -> Option<Vec<PlaceName>> {
        let mut place: Vec<PlaceName> = Vec::new();
        for (node, at) in reader.strings(entry)? {
            if place.iter().any(|other| other.node == node) {
                reader.problems.push(Problem::at(
                    &at,
                    format!("node `{node}` is named twice in `place`"),
                    "again here",
                ));
            } else {
                place.push(PlaceName { node, at });
            }
        }
        Some(place)
    }

    fn text(&self, place: &Vec<PlaceName>, _: &Path) -> Option<String> {
        (!place.is_empty()).then(|| list(place.iter().map(|name| name.node.as_str())))
    }

    fn schema(&self) -> serde_json::Value {
        any_of([json!({"type": "string"}), json!({"type": "array", "items": {"type": "string"}})])
    }
}
