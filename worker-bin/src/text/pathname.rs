//! Paths of any bytes in text that has to be UTF-8, such as a pipeline file.
//!
//! A byte that is none of UTF-8 stands there as the character U+10FF00 and its value, `\\U0010FFE9` for 0xE9. These 128 characters are for
//! private use at the very end of Unicode; a name that has one itself cannot be written.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

/// Of the byte 0.
const BASE: u32 = 0x0010_FF00;

/// A path as text that no other path has.
pub(crate) fn to_text(path: &Path) -> String {
    let mut text = String::with_capacity(path.as_os_str().len());
    for chunk in path.as_os_str().as_bytes().utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().filter_map(|&byte| char::from_u32(BASE + u32::from(byte))));
    }
    text
}

/// The path that a text stands for.
pub(crate) fn to_path(text: &str) -> PathBuf {
    let mut bytes = Vec::with_capacity(text.len());
    for c in text.chars() {
        match byte(c) {
            Some(byte) => bytes.push(byte),
            None => bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    OsString::from_vec(bytes).into()
}

/// The byte that a character stands for, if it stands for one.
pub(crate) fn byte(c: char) -> Option<u8> {
    u8::try_from(u32::from(c).checked_sub(BASE)?).ok().filter(|byte| !byte.is_ascii())
}

/// For serde: a path as its text.
pub(crate) fn serialize<S: serde::Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&to_text(path))
}

/// For serde: paths as their texts.
pub(crate) mod maybe {
    use serde::{Deserialize as _, Deserializer, Serializer};
    use std::path::PathBuf;

    pub(crate) fn serialize<S: Serializer>(path: &Option<PathBuf>, serializer: S) -> Result<S::Ok, S::Error> {
        match path {
            Some(path) => serializer.serialize_some(&super::to_text(path)),
            None => serializer.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<PathBuf>, D::Error> {
        Ok(Option::<String>::deserialize(deserializer)?.map(|text| super::to_path(&text)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsStr;

    #[test]
    fn every_path_comes_back_and_text_stays_what_it_is() {
        for bytes in
            [&b"a/b.log"[..], "caf\u{e9}/\u{1f600}".as_bytes(), b"caf\xe9", b"\xff\x80/\xe2\x82x", b""]
        {
            let path = Path::new(OsStr::from_bytes(bytes));
            assert_eq!(to_path(&to_text(path)), path);
            assert_eq!(path.to_str().is_some(), path.to_str() == Some(&to_text(path)), "{path:?}");
        }
        assert_eq!(to_text(Path::new(OsStr::from_bytes(b"caf\xe9"))), "caf\u{10ffe9}");
        assert_eq!(byte('\u{10ff7f}'), None);
    }
}
