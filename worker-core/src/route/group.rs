//! From key bytes to a partition, the same on every node and in every version.

use xxhash_rust::xxh3::xxh3_64;

/// How many key groups there are, whatever the number of partitions.
pub const KEY_GROUPS: u16 = 4096;

/// A share of all keys that always stays together; below [`KEY_GROUPS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyGroup(u16);

impl KeyGroup {
    /// The group's number.
    #[must_use]
    pub fn number(self) -> u16 {
        self.0
    }
}

/// The group of a key: XXH3-64 of its bytes, modulo [`KEY_GROUPS`].
#[must_use]
pub fn key_group(key: &[u8]) -> KeyGroup {
    let group = xxh3_64(key) % u64::from(KEY_GROUPS);
    KeyGroup(u16::try_from(group).expect("the remainder is below KEY_GROUPS"))
}

/// The partition of a group: each of `partitions` (at least 1) has a contiguous range of groups.
#[must_use]
pub fn partition_of(group: KeyGroup, partitions: usize) -> usize {
    usize::from(group.0) * partitions / usize::from(KEY_GROUPS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_of_keys_never_change() {
        let groups = [&b""[..], b"a", b"key", b"/index.html", b"AK"].map(|key| key_group(key).number());
        assert_eq!(groups, [1218, 3615, 1507, 2088, 673]);
    }

    #[test]
    fn partitions_of_groups_are_contiguous_ranges_of_equal_size() {
        let partition = |group, partitions| partition_of(KeyGroup(group), partitions);
        assert_eq!([0, 1365, 1366, 2730, 2731, 4095].map(|g| partition(g, 3)), [0, 0, 1, 1, 2, 2]);
        assert_eq!([0, 4095].map(|g| partition(g, 1)), [0, 0]);
        assert_eq!([0, 1, 4095].map(|g| partition(g, 4096)), [0, 1, 4095]);
        for partitions in [2, 7, 100] {
            let mut sizes = vec![0; partitions];
            (0..KEY_GROUPS).for_each(|g| sizes[partition(g, partitions)] += 1);
            let (least, most) = (sizes.iter().min(), sizes.iter().max());
            assert!(most.unwrap() - least.unwrap() <= 1, "{partitions}: {sizes:?}");
        }
    }
}
