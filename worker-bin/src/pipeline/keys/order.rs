//! `order`, of stages and sinks.

use super::value::{Value, Words};
use crate::pipeline::reader::{KeyValue, Reader};
use crate::pipeline::text::quoted;
use std::path::Path;

/// In which order records come out of a stage, or are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// As they come.
    #[default]
    Any,
    /// In that of the source.
    Input,
}

/// The value; what is the default is no text, as it was none before there was another.
pub(super) struct OrderWord;

const WORDS: Words<Order> = Words(&[("any", Order::Any), ("input", Order::Input)]);

impl Value for OrderWord {
    type T = Order;

    fn read<'d>(&self, reader: &mut Reader<'d>, entry: &KeyValue<'d>) -> Option<Order> {
        WORDS.read(reader, entry)
    }

    fn text(&self, order: &Order, _: &Path) -> Option<String> {
        match order {
            Order::Any => None,
            Order::Input => Some(quoted("input")),
        }
    }

    fn schema(&self) -> serde_json::Value {
        WORDS.schema()
    }
}
