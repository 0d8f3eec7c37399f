//! Names of things on the wire, each a type of its own so that they cannot be mixed up.

use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

id! {
    /// A link's number: its place in the pipeline's list of links, which every node computes alike.
    LinkId(u32)
}
id! {
    /// A position on a link. The first tuple of a link is 1; 0 means "nothing yet".
    Seq(u64)
}
id! {
    /// Which life of a task this is; grows at every start. In memory mode it is the process's [`Incarnation`].
    Epoch(u64)
}
id! {
    /// Which life of a process this is: microseconds since the Unix epoch at its start.
    Incarnation(u64)
}
id! {
    /// The number of a connection between two nodes, counted by the dialling process from 1.
    ConnNo(u64)
}
id! {
    /// Identifies the journal behind one end of a link. In memory mode the process's [`Incarnation`].
    JournalId(u64)
}
id! {
    /// A hash of what two nodes must agree on; equal fingerprints mean equal meaning.
    Fingerprint(u64)
}

impl Seq {
    /// Before the first tuple.
    pub const ZERO: Seq = Seq(0);

    /// The position after this one.
    #[must_use]
    pub fn next(self) -> Seq {
        Seq(self.0 + 1)
    }

    /// The position `count` tuples later.
    #[must_use]
    pub fn plus(self, count: u64) -> Seq {
        Seq(self.0 + count)
    }

    /// The position before this one; [`Seq::ZERO`] stays.
    #[must_use]
    pub fn before(self) -> Seq {
        Seq(self.0.saturating_sub(1))
    }

    /// How many tuples lie in `(earlier, self]`; 0 if `earlier` is not earlier.
    #[must_use]
    pub fn since(self, earlier: Seq) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}
