//! Where a byte stands, 64 bytes at a time: looked for one by one, those that stand close to each other cost more than what lies between.

use std::ops::ControlFlow;
use wide::u8x16;

const BLOCK_BYTES: usize = 64;
const PART_BYTES: usize = 16;

/// Tells of each place of `byte` in `bytes`, in order, until that is enough.
#[inline]
pub(super) fn each_place(
    bytes: &[u8],
    byte: u8,
    mut tell: impl FnMut(usize) -> ControlFlow<()>,
) -> ControlFlow<()> {
    let (blocks, rest) = bytes.as_chunks();
    let mut begin = 0;
    for block in blocks {
        let mut marks = marks_of(block, byte);
        while marks != 0 {
            tell(begin + marks.trailing_zeros() as usize)?;
            marks &= marks - 1;
        }
        begin += BLOCK_BYTES;
    }
    memchr::memchr_iter(byte, rest).try_for_each(|at| tell(begin + at))
}

/// A bit for each byte of the block that is this one, the lowest for the first.
#[inline]
fn marks_of(block: &[u8; BLOCK_BYTES], byte: u8) -> u64 {
    let (parts, _) = block.as_chunks::<PART_BYTES>();
    let mut marks = 0;
    for (index, part) in parts.iter().enumerate() {
        let is = u8x16::new(*part).simd_eq(u8x16::splat(byte)).to_bitmask();
        marks |= u64::from(is) << (index * PART_BYTES);
    }
    marks
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn places(bytes: &[u8], most: usize) -> Vec<usize> {
        let mut places = Vec::new();
        let told = each_place(bytes, b'\n', |at| {
            places.push(at);
            if places.len() == most { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        assert_eq!(told.is_break(), places.len() == most);
        places
    }

    proptest! {
        #[test]
        fn places_are_those_of_a_plain_search(bytes in "[\nx\u{0a}]{0,300}|[x\u{8a}]{0,90}", most in 1usize..400) {
            let bytes = bytes.as_bytes();
            let plain: Vec<usize> = (0..bytes.len()).filter(|&at| bytes[at] == b'\n').take(most).collect();
            prop_assert_eq!(places(bytes, most), plain);
        }
    }
}
