//! Bytes in and out of the pipeline: chunks of records, files, standard streams, spill and dead letters.
//!
//! Everything here blocks and knows nothing of tokio: it is called from threads of its own.

pub(crate) mod beside;
pub(crate) mod buffers;
pub mod chunker;
pub mod dead;
pub mod durable;
pub mod framing;
pub mod identity;
mod layout;
mod loss;
pub mod made;
pub mod resource;
pub mod shared;
pub mod sink;
pub mod source;
pub mod spill;

pub use layout::LayoutError;

use std::path::Path;
use worker_stdio::Stream;

/// Whether a path is another name of a standard stream.
pub(crate) fn names(path: &Path, stream: Stream) -> bool {
    let (number, word) = match stream {
        Stream::Input => (0, "/dev/stdin"),
        Stream::Output => (1, "/dev/stdout"),
        Stream::Error => (2, "/dev/stderr"),
    };
    let numbered = ["/dev/fd", "/proc/self/fd"].map(|dir| Path::new(dir).join(number.to_string()));
    path == Path::new(word) || numbered.iter().any(|name| name == path)
}
