//! Files that match a pattern.

mod decode;
mod files;
mod fixed;
mod paths;
mod position;

pub use files::{FileSource, first_record};
pub use fixed::SourceFiles;
pub use paths::expand;
