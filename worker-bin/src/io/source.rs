//! Where records come from: a folder for each kind of source, and what they have in common.

mod end;
mod error;
pub mod file;
mod header;
pub mod program;
mod reader;
pub mod stdin;
mod stop;
mod stream;

pub use end::{Ending, Lives, Opened, Opening, SourceEnd};
pub use error::SourceError;
pub use file::{FileSource, SourceFiles, expand, first_record};
pub use header::Header;
pub use reader::{Progress, SourceOptions, SourceReader};
pub use stop::Stop;
pub use stream::StreamSource;

use reader::{Counter, SlowStart};
