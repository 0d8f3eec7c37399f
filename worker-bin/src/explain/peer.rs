//! What keeps a peer away, in words.

use worker_core::stall::PeerCause;

/// What is said of a cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Words {
    /// In JSON.
    pub(crate) name: &'static str,
    /// How the peer is, to be read behind its name.
    pub(crate) state: &'static str,
    /// What to do, where that is not what [`Row`](super::Row) says.
    pub(crate) advice: Option<&'static str>,
}

/// Every cause: whoever adds one is sent here by [`words`].
const ALL: [PeerCause; 5] =
    [PeerCause::NotYet, PeerCause::Unreachable, PeerCause::Refused, PeerCause::Silent, PeerCause::Lost];

pub(super) fn words(cause: PeerCause) -> Words {
    let words = |name, state, advice| Words { name, state, advice };
    match cause {
        PeerCause::NotYet => words("not_yet", "not reached yet", None),
        PeerCause::Unreachable => words("unreachable", "unreachable", None),
        PeerCause::Refused => words(
            "refused",
            "has refused the connection",
            Some("node {node} answers, but takes no connection; its reason is above"),
        ),
        PeerCause::Silent => words(
            "silent",
            "silent",
            Some(
                "look whether the process of node {node} is stopped or its machine hangs, and whether the network drops \
                 packets between the two; what is held is sent when it answers",
            ),
        ),
        PeerCause::Lost => words("lost", "disconnected", None),
    }
}

/// Those of all causes.
pub(crate) fn causes() -> [Words; 5] {
    ALL.map(words)
}

/// The same by the name; of a cause that only another version knows, that the peer cannot be reached.
pub(super) fn named(name: &str) -> Words {
    ALL.map(words).into_iter().find(|words| words.name == name).unwrap_or(words(PeerCause::Unreachable))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The place of a cause in the list: one that is added has none, and does not compile.
    fn place(cause: PeerCause) -> usize {
        match cause {
            PeerCause::NotYet => 0,
            PeerCause::Unreachable => 1,
            PeerCause::Refused => 2,
            PeerCause::Silent => 3,
            PeerCause::Lost => 4,
        }
    }

    #[test]
    fn each_cause_is_found_by_its_name() {
        for (at, cause) in ALL.into_iter().enumerate() {
            assert_eq!((named(words(cause).name), place(cause)), (words(cause), at));
        }
        assert_eq!(named("on_the_moon").state, "unreachable");
    }
}
