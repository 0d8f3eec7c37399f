//! Which ends of chunks are committed with what is asked to be.

use super::{Boundary, Taking};
use worker_proto::{Epoch, LinkId, Seq};

const A: LinkId = LinkId(0);
const B: LinkId = LinkId(1);

/// Has taken chunks that end so, of links whose first tuples are all committed but those of `A`.
fn taking(open: &[(LinkId, u64)]) -> Taking {
    let mut taking = Taking::new(vec![A, B], 0, 1);
    taking.open = open.iter().map(|&(link, seq)| Boundary { link, epoch: Epoch(1), seq: Seq(seq) }).collect();
    taking
}

fn covered(taking: &mut Taking, header: Option<u64>) -> Vec<(LinkId, u64)> {
    let header = |link| header.filter(|_| link == B).map(Seq);
    std::iter::from_fn(|| taking.covered(false, header)).map(|end| (end.link, end.seq.0)).collect()
}

#[test]
fn an_empty_chunk_waits_for_the_chunks_before_it() {
    let mut taking = taking(&[(A, 2), (B, 1), (A, 3)]);
    assert_eq!(covered(&mut taking, None), []);
    taking.asked.insert(A, Seq(1));
    assert_eq!(covered(&mut taking, None), [(A, 2), (B, 1), (A, 3)]);
    assert_eq!(taking.committed, 3);
}

#[test]
fn a_header_between_two_empty_chunks_holds_up_none_of_them() {
    let mut taking = taking(&[(A, 2), (B, 1), (B, 3)]);
    assert_eq!(covered(&mut taking, Some(2)), []);
    taking.asked.insert(A, Seq(1));
    assert_eq!(covered(&mut taking, Some(2)), [(A, 2), (B, 1), (B, 3)]);
}
