//! Mostly one.

use serde::Deserialize;
use serde::de::Deserializer;
use std::fmt;

/// A list that takes no memory of its own while it has one entry.
#[derive(Default)]
pub(in crate::child::records) enum Few<T> {
    #[default]
    None,
    One(T),
    Many(Vec<T>),
}

impl<T> Few<T> {
    pub(super) fn push(&mut self, entry: T) {
        match self {
            Self::Many(all) => all.push(entry),
            Self::None => *self = Self::One(entry),
            Self::One(_) => {
                let Self::One(first) = std::mem::replace(self, Self::None) else { return };
                *self = Self::Many(vec![first, entry]);
            }
        }
    }

    pub(in crate::child::records) fn as_slice(&self) -> &[T] {
        match self {
            Self::None => &[],
            Self::One(entry) => std::slice::from_ref(entry),
            Self::Many(all) => all,
        }
    }
}

impl<T> From<Vec<T>> for Few<T> {
    fn from(all: Vec<T>) -> Self {
        Self::Many(all)
    }
}

impl<T: fmt::Debug> fmt::Debug for Few<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_slice().fmt(f)
    }
}

/// `null` is a list without entries.
impl<'de, T: Deserialize<'de>> Deserialize<'de> for Few<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Option::<Vec<T>>::deserialize(deserializer)?.unwrap_or_default().into())
    }
}
