//! The keys of a pipeline file, each of them once.
//!
//! A table of the file is a section: a struct and, in the same file, the rows of its keys. A row ([`Key`]) has all that is
//! known of a key: its name, what it is for, its default, how it is read and written, and whether it changes results. From the
//! rows come reading with its messages, `--print-toml` and `check --full`, the semantic fingerprint, the page of keys (`docs/reference/keys.md`) and the
//! schema for editors: a new key is a field, its default and a row, and nothing else.

pub(crate) mod batch;
pub(crate) mod catalog;
pub(crate) mod confine;
pub(crate) mod failures;
pub(crate) mod framing;
mod from;
pub(crate) mod kind;
mod order;
mod partition_by;
pub(crate) mod pipeline;
mod place;
pub(crate) mod program;
pub(crate) mod rate;
pub(crate) mod records;
pub(crate) mod row;
pub(crate) mod sample;
pub(crate) mod schema;
pub(crate) mod sink;
pub(crate) mod source;
pub(crate) mod stage;
pub(crate) mod stream;
pub(crate) mod test;
pub(crate) mod value;

pub use order::Order;
pub use partition_by::{Column, KeyRule};
pub use place::PlaceName;
pub use sample::Share;

pub(crate) use row::{Class, Inline, Key, KeyInfo, Keys, Rendered, Row, Section, Shown, WhenAbsent, Within};
