//! The little JSON that is written for every record.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

const WORD: usize = size_of::<u64>();
const LOW: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = LOW << 7;

/// How many bytes are looked at at a time.
const CHUNK: usize = 16;

pub(super) fn push_number(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0; 20];
    let mut start = digits.len();
    loop {
        start -= 1;
        digits[start] = b'0' + u8::try_from(number % 10).unwrap_or(0);
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[start..]);
}

/// Appends `"name":"…"`, or `"name_b64":"…"` where the bytes are not UTF-8.
#[inline]
pub(super) fn push_bytes_member(out: &mut Vec<u8>, name: &str, bytes: &[u8]) {
    if has_none(bytes, |byte| !(b' '..0x80).contains(&byte) || byte == b'"' || byte == b'\\') {
        out.reserve(name.len() + bytes.len() + 5);
        out.push(b'"');
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"\":\"");
        out.extend_from_slice(bytes);
        out.push(b'"');
    } else {
        push_special_member(out, name, bytes);
    }
}

fn push_special_member(out: &mut Vec<u8>, name: &str, bytes: &[u8]) {
    out.push(b'"');
    out.extend_from_slice(name.as_bytes());
    match std::str::from_utf8(bytes) {
        Ok(text) => {
            out.extend_from_slice(b"\":");
            push_string(out, text);
        }
        Err(_) => {
            out.extend_from_slice(b"_b64\":");
            push_base64(out, bytes);
        }
    }
}

/// Appends a JSON string. What is not ASCII stays as it is.
pub(super) fn push_string(out: &mut Vec<u8>, text: &str) {
    let mut rest = text.as_bytes();
    out.reserve(rest.len() + 2);
    out.push(b'"');
    loop {
        let plain = plain_bytes(rest);
        out.extend_from_slice(&rest[..plain]);
        let Some(&special) = rest.get(plain) else { break };
        push_escaped(out, special);
        rest = &rest[plain + 1..];
    }
    out.push(b'"');
}

/// Appends a JSON string of the bytes in base64.
pub(super) fn push_base64(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    out.extend_from_slice(STANDARD.encode(bytes).as_bytes());
    out.push(b'"');
}

/// Whether no byte of a text is such a one; looked at many at a time.
#[inline]
pub(super) fn has_none(text: &[u8], is: impl Fn(u8) -> bool) -> bool {
    let has = |chunk: &[u8; CHUNK]| chunk.iter().fold(false, |has, &byte| has | is(byte));
    match text.last_chunk() {
        // The last ones are looked at again with those before them.
        Some(last) => !text.as_chunks().0.iter().any(has) && !has(last),
        None => !text.iter().any(|&byte| is(byte)),
    }
}

/// How many bytes come before the first quote or backslash.
#[inline]
pub(super) fn until_special(text: &[u8]) -> usize {
    // What is short costs more to be looked for than to be looked at.
    if let Some(word) = text.first_chunk() {
        let word = u64::from_le_bytes(*word);
        let marks = (equal(word, b'"') | equal(word, b'\\')) & HIGH;
        if marks != 0 {
            return marks.trailing_zeros() as usize / 8;
        }
    }
    memchr::memchr2(b'"', b'\\', text).unwrap_or(text.len())
}

/// How many bytes stand for themselves in a JSON string, before the first that does not.
fn plain_bytes(text: &[u8]) -> usize {
    let mut words = text.chunks_exact(WORD);
    let mut at = 0;
    for word in words.by_ref() {
        let word =
            u64::from_le_bytes([word[0], word[1], word[2], word[3], word[4], word[5], word[6], word[7]]);
        // The lowest mark is exact; those above it may be a carry of it.
        let marks = (below_space(word) | equal(word, b'"') | equal(word, b'\\')) & HIGH;
        if marks != 0 {
            return at + marks.trailing_zeros() as usize / 8;
        }
        at += WORD;
    }
    let special = |&byte: &u8| byte < b' ' || byte == b'"' || byte == b'\\';
    at + words.remainder().iter().position(special).unwrap_or(words.remainder().len())
}

fn below_space(word: u64) -> u64 {
    word.wrapping_sub(LOW * u64::from(b' ')) & !word
}

fn equal(word: u64, byte: u8) -> u64 {
    let difference = word ^ (LOW * u64::from(byte));
    difference.wrapping_sub(LOW) & !difference
}

fn push_escaped(out: &mut Vec<u8>, byte: u8) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let short = match byte {
        b'"' | b'\\' => byte,
        b'\t' => b't',
        b'\r' => b'r',
        b'\n' => b'n',
        _ => {
            out.extend_from_slice(b"\\u00");
            out.extend([byte >> 4, byte & 15].map(|digit| DIGITS[usize::from(digit)]));
            return;
        }
    };
    out.extend([b'\\', short]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_text_is_read_back(text in "[\\x00-\\x7f\\u{80}-\\u{10ffff}]{0,40}") {
            let mut out = Vec::new();
            push_string(&mut out, &text);
            prop_assert!(!out.contains(&b'\n'));
            prop_assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), text);
        }

        #[test]
        fn any_bytes_are_read_back(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let mut out = b"{".to_vec();
            push_bytes_member(&mut out, "record", &bytes);
            out.push(b'}');
            let value: serde_json::Value = serde_json::from_slice(&out).unwrap();
            let back = match (&value["record"], &value["record_b64"]) {
                (serde_json::Value::String(text), _) => text.clone().into_bytes(),
                (_, encoded) => STANDARD.decode(encoded.as_str().unwrap()).unwrap(),
            };
            prop_assert_eq!(back, bytes);
        }

        #[test]
        fn what_is_looked_at_many_at_a_time_is_what_each_is(text in "[a\\x1f\"\\\\é]{0,3}[a-z]{0,40}[a\\x1f\"\\\\é]{0,3}[a-z]{0,9}") {
            let text = text.as_bytes();
            let plain = |&byte: &u8| byte >= b' ';
            prop_assert_eq!(has_none(text, |byte| byte < b' '), text.iter().all(plain));
            let quoted = |&byte: &u8| byte == b'"' || byte == b'\\';
            prop_assert_eq!(until_special(text), text.iter().position(quoted).unwrap_or(text.len()));
        }

        #[test]
        fn numbers_are_decimal(number in any::<u64>()) {
            let mut out = Vec::new();
            push_number(&mut out, number);
            prop_assert_eq!(out, number.to_string().into_bytes());
        }
    }
}
