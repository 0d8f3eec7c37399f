//! Ends of any kind, shared by all who ask them.

use std::any::Any;
use std::fmt::{Debug, Formatter, Result};
use std::ops::Deref;
use std::sync::Arc;

/// An end whose kind only itself knows; two are equal if they are of one kind and equal there.
pub struct Shared<T: ?Sized>(pub Arc<T>);

/// What compares with any value, and is equal to none of another type.
pub trait Comparable: Any {
    fn as_any(&self) -> &dyn Any;

    fn equals(&self, other: &dyn Any) -> bool;
}

impl<T: PartialEq + Any> Comparable for T {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn equals(&self, other: &dyn Any) -> bool {
        other.downcast_ref::<T>() == Some(self)
    }
}

impl<T: Comparable + ?Sized> Shared<T> {
    /// The end, if it is of this kind.
    #[must_use]
    pub fn of<K: Clone + 'static>(&self) -> Option<K> {
        self.0.as_any().downcast_ref().cloned()
    }
}

impl<T: Comparable + ?Sized> PartialEq for Shared<T> {
    fn eq(&self, other: &Self) -> bool {
        self.0.equals(other.0.as_any())
    }
}

impl<T: ?Sized> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T: ?Sized> Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: Debug + ?Sized> Debug for Shared<T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        self.0.fmt(f)
    }
}
