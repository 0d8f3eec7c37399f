//! Where records come from: a folder for each kind of source, and what they have in common.

mod end;
mod error;
pub mod file;
mod generate;
mod header;
mod kept;
mod lag;
mod list;
mod long;
mod part;
pub mod program;
mod reader;
pub mod stdin;
mod stop;
mod stream;
mod unpack;

pub use end::{AnySource, Ending, Lives, Opened, Opening, SourceEnd};
pub use error::SourceError;
pub use file::{FileSource, SourceFiles, expand, first_record};
pub use header::Header;
pub use lag::Lag;
pub use long::{OnDamage, OnLong};
pub use part::Part;
pub use reader::{AsksForRoom, Progress, SourceOptions, SourceReader, Total, Written};
pub use stop::Stop;
pub use stream::StreamSource;

use crate::pipeline::keys::kind::Kind;
use reader::{Counter, SlowStart};

/// All kinds of sources; the last one, which has no keys but its own, stands in where a table names none.
pub(crate) const KINDS: &[&dyn Kind<AnySource>] =
    &[&file::KIND, &list::KIND, &program::KIND, &generate::KIND, &stdin::KIND];
