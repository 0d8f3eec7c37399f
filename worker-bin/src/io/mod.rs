//! Bytes in and out of the pipeline: chunks of records, files, standard streams, spill and dead letters.
//!
//! Everything here blocks and knows nothing of tokio: it is called from threads of its own.

pub(crate) mod beside;
pub mod chunker;
pub mod dead;
pub mod durable;
mod layout;
pub mod resource;
pub mod shared;
pub mod sink;
pub mod source;
pub mod spill;

pub use layout::LayoutError;
