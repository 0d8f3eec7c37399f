//! What the generated records say.

use std::io::Write as _;

/// SplitMix64's increment and multipliers.
const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;
const MIX: [u64; 2] = [0xbf58_476d_1ce4_e5b9, 0x94d0_49bb_1331_11eb];

const KEY_DIGITS_MIN: u32 = 5;

/// Makes records: each is a function of the seed and its number, whatever came before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Records {
    pub(super) seed: u64,
    /// How many different keys there are.
    pub(super) keys: u64,
    /// Of each record, without its terminator.
    pub(super) bytes: u64,
}

impl Records {
    /// Appends record `number` without a terminator.
    ///
    /// `k00123 456 mboanigh…`: the key, drawn evenly from all; the number; letters up to the length. With random numbers
    /// 0, 1, 2… from SplitMix64, started at the mixed sum of the seed and the number, number 0 draws the key and the others
    /// eight letters from a to p each.
    pub(super) fn append(&self, to: &mut Vec<u8>, number: u64) {
        let end = to.len() + usize::try_from(self.bytes).unwrap_or(usize::MAX);
        let mut random = mixed(self.seed.wrapping_mul(GAMMA).wrapping_add(number));
        let mut next = || {
            random = random.wrapping_add(GAMMA);
            mixed(random)
        };
        let key = u64::try_from((u128::from(next()) * u128::from(self.keys)) >> 64).unwrap_or(0);
        let width = key_digits(self.keys) as usize;
        write!(to, "k{key:0width$} {number} ").expect("a vector takes what is written to it");
        while to.len() < end {
            let letters = (next() & 0x0f0f_0f0f_0f0f_0f0f) + 0x6161_6161_6161_6161;
            to.extend_from_slice(&letters.to_le_bytes());
        }
        to.truncate(end);
    }

    /// Least length that has room for the key, numbers up to `last` and a letter.
    pub(super) fn bytes_min(&self, last: u64) -> u64 {
        u64::from(1 + key_digits(self.keys) + 1 + digits(last) + 2)
    }
}

/// Keys have the same number of digits.
fn key_digits(keys: u64) -> u32 {
    digits(keys.saturating_sub(1)).max(KEY_DIGITS_MIN)
}

fn digits(number: u64) -> u32 {
    number.checked_ilog10().unwrap_or(0) + 1
}

/// SplitMix64's output function.
fn mixed(state: u64) -> u64 {
    let state = (state ^ (state >> 30)).wrapping_mul(MIX[0]);
    let state = (state ^ (state >> 27)).wrapping_mul(MIX[1]);
    state ^ (state >> 31)
}
