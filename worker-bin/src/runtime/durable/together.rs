//! Whether the journals of a node's columns belong together: what one of them has of another's, that one has.

use super::{DurableError, DurableTask};
use std::collections::BTreeMap;
use worker_core::config::{Graph, TaskId};
use worker_proto::{LinkId, Seq};

/// A journal that says less than another one has from it, or has told it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Behind {
    /// The column whose journal that is.
    pub(super) column: usize,
    /// What it says, and what the other one does.
    pub(super) why: String,
}

/// How far a journal says that a link is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Standing {
    column: usize,
    /// At its sender: the next tuple, and through which the receiver has acknowledged.
    sent: (Seq, Seq),
    /// At its receiver: through which it has committed.
    taken: Seq,
    /// The task's end is committed: what it did not take before, it is not given.
    ended: bool,
}

/// The first link between two columns whose ends contradict each other. A crash leaves none such: a tuple leaves its column when it is
/// durable there, and is acknowledged to another when it is durable here. What is cut off by hand, or put back from a copy, does.
pub(super) fn behind(graph: &Graph, tasks: &BTreeMap<TaskId, DurableTask>) -> Option<Behind> {
    (0..).zip(&graph.links).find_map(|(at, link)| {
        let at = LinkId(at);
        let standing = |task: TaskId| {
            let DurableTask { column, state, .. } = tasks.get(&task)?;
            let sent =
                state.outputs.get(&at).map_or((Seq(1), Seq::ZERO), |output| (output.next, output.through));
            let taken = state.inputs.get(&at).map_or(Seq::ZERO, |input| input.through);
            Some(Standing { column: *column, sent, taken, ended: state.ended })
        };
        let (sender, receiver) = (standing(link.from)?, standing(link.to)?);
        let name = graph.link_name(at);
        contradiction(sender, receiver, &name)
    })
}

fn contradiction(sender: Standing, receiver: Standing, link: &str) -> Option<Behind> {
    let ((next, acknowledged), taken) = (sender.sent, receiver.taken);
    if sender.column == receiver.column {
        return None;
    }
    if taken >= next {
        let why = format!(
            "of link {link} it has what was sent up to {}, and the receiver has taken all through {taken}",
            next.before()
        );
        return Some(Behind { column: sender.column, why });
    }
    if acknowledged > taken && !receiver.ended {
        let why = format!(
            "of link {link} it has what was taken through {taken}, and the sender was told that it has all through {acknowledged}"
        );
        return Some(Behind { column: receiver.column, why });
    }
    None
}

impl Behind {
    pub(super) fn error(
        self,
        journal: &std::path::Path,
        ended_at: Option<&worker_journal::EndedAt>,
    ) -> DurableError {
        let (file, ends) = match ended_at {
            Some(at) => {
                (journal.join(&at.segment), format!("ends at byte {}", crate::text::units::number(at.offset)))
            }
            None => (journal.to_owned(), "is new".to_owned()),
        };
        DurableError::Behind { file, ends, why: self.why }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_journal_that_says_less_than_another_has_of_it_is_named() {
        let at = |column, sent: (u64, u64), taken| Standing {
            column,
            sent: (Seq(sent.0), Seq(sent.1)),
            taken: Seq(taken),
            ended: false,
        };
        let receiver = |taken| at(1, (1, 0), taken);
        // Acknowledged or not, all of it or nothing.
        for (sent, taken) in [((1, 0), 0), ((6, 0), 0), ((6, 0), 5), ((6, 3), 3), ((6, 5), 5)] {
            assert_eq!(
                contradiction(at(0, sent, 0), receiver(taken), "a/0 -> b/1"),
                None,
                "{sent:?}, {taken}"
            );
        }
        let behind = |sent, taken| {
            contradiction(at(0, sent, 0), receiver(taken), "a/0 -> b/1").map(|behind| behind.column)
        };
        assert_eq!((behind((6, 5), 6), behind((1, 0), 1)), (Some(0), Some(0)), "the sender's was cut");
        assert_eq!((behind((6, 5), 4), behind((6, 1), 0)), (Some(1), Some(1)), "the receiver's was");
        let done = Standing { ended: true, ..receiver(2) };
        assert_eq!(contradiction(at(0, (6, 5), 0), done, "a/0 -> b/1"), None, "it wanted no more");
        assert_eq!(
            contradiction(at(1, (6, 5), 0), receiver(9), "a/1 -> b/1"),
            None,
            "one journal is cut as a whole"
        );
    }
}
