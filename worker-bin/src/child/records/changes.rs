//! Changes of keyed state as bytes: what a commit of a records task holds, and a checkpoint.
//!
//! A change is the key's length (LEB128), the key, then 0 for a removal or the value's length plus 1 (LEB128) and the
//! value. Changes stand one behind the other, in the order in which they were made; all of a state is a row of puts.

/// Appends that `key` has this value now.
pub(super) fn push_put(out: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    push_sized(out, key.len() as u64, key);
    push_sized(out, value.len() as u64 + 1, value);
}

/// Appends that `key` has no value any more.
pub(super) fn push_del(out: &mut Vec<u8>, key: &[u8]) {
    push_sized(out, key.len() as u64, key);
    push_sized(out, 0, &[]);
}

/// The changes in such bytes: key, and value or removal. Bytes that are no change give `None`, once, at the end.
pub(super) fn decode(changes: &[u8]) -> impl Iterator<Item = Option<(&[u8], Option<&[u8]>)>> {
    let mut rest = Some(changes);
    std::iter::from_fn(move || {
        let left = rest.take()?;
        if left.is_empty() {
            return None;
        }
        let change = change(left);
        rest = change.map(|(_, rest)| rest);
        Some(change.map(|(change, _)| change))
    })
}

type Change<'a> = (&'a [u8], Option<&'a [u8]>);

fn change(bytes: &[u8]) -> Option<(Change<'_>, &[u8])> {
    let (key_bytes, rest) = number(bytes)?;
    let (key, rest) = rest.split_at_checked(usize::try_from(key_bytes).ok()?)?;
    let (value_bytes, rest) = number(rest)?;
    let Some(value_bytes) = value_bytes.checked_sub(1) else { return Some(((key, None), rest)) };
    let (value, rest) = rest.split_at_checked(usize::try_from(value_bytes).ok()?)?;
    Some(((key, Some(value)), rest))
}

fn push_sized(out: &mut Vec<u8>, mut number: u64, bytes: &[u8]) {
    while number >= 0x80 {
        out.push(u8::try_from(number & 0x7f).unwrap_or(0) | 0x80);
        number >>= 7;
    }
    out.push(u8::try_from(number).unwrap_or(0));
    out.extend_from_slice(bytes);
}

fn number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut number = 0;
    for (index, &byte) in bytes.iter().take(9).enumerate() {
        number |= u64::from(byte & 0x7f) << (7 * index);
        if byte < 0x80 {
            return Some((number, &bytes[index + 1..]));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Owned = (Vec<u8>, Option<Vec<u8>>);

    fn encoded(all: &[Owned]) -> Vec<u8> {
        let mut encoded_bytes = Vec::new();
        for (key, value) in all {
            match value {
                Some(value) => push_put(&mut encoded_bytes, key, value),
                None => push_del(&mut encoded_bytes, key),
            }
        }
        encoded_bytes
    }

    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec(any::<u8>(), 0..300)
    }

    proptest! {
        #[test]
        fn changes_are_read_back(all in prop::collection::vec((bytes(), prop::option::of(bytes())), 0..6)) {
            let encoded_bytes = encoded(&all);
            let back: Option<Vec<Owned>> = decode(&encoded_bytes)
                .map(|change| change.map(|(key, value)| (key.to_vec(), value.map(<[u8]>::to_vec))))
                .collect();
            prop_assert_eq!(back, Some(all));
        }

        #[test]
        fn what_is_cut_short_is_noticed(key in bytes(), value in bytes(), cut in any::<prop::sample::Index>()) {
            let encoded_bytes = encoded(&[(key, Some(value))]);
            let cut = cut.index(encoded_bytes.len() - 1) + 1;
            prop_assert!(decode(&encoded_bytes[..cut]).any(|change| change.is_none()));
        }

        #[test]
        fn any_bytes_are_survived(encoded_bytes in bytes()) {
            prop_assert!(decode(&encoded_bytes).count() <= encoded_bytes.len());
        }
    }
}
