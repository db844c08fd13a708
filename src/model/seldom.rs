//! What most entries never need.
//!
//! A mount knows a million entries, and works on a few of them. What only those have stands in a box of its
//! own, which is made when one of its fields is first changed, and let go when all of them are as they were.
//! Readers see the same fields either way.

use std::ops::{Deref, DerefMut};

/// Fields that are the same for almost all entries.
pub trait Rest: Clone + 'static {
    /// What an entry has of which nothing was changed.
    fn rest() -> &'static Self;
    /// Is it no different from [`Self::rest`]?
    fn is_at_rest(&self) -> bool;
}

/// A value that takes eight bytes as long as it is at rest.
#[derive(Debug, Clone)]
pub struct Seldom<T: Rest>(Option<Box<T>>);

impl<T: Rest> Default for Seldom<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T: Rest> From<T> for Seldom<T> {
    fn from(value: T) -> Self {
        Self((!value.is_at_rest()).then(|| Box::new(value)))
    }
}

impl<T: Rest> Deref for Seldom<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0.as_deref().unwrap_or_else(|| T::rest())
    }
}

impl<T: Rest> DerefMut for Seldom<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.0.get_or_insert_with(|| Box::new(T::rest().clone()))
    }
}

impl<T: Rest> Seldom<T> {
    /// Lets the box go where it says nothing any more.
    pub fn settle(&mut self) {
        if self.0.as_ref().is_some_and(|value| value.is_at_rest()) {
            self.0 = None;
        }
    }

    /// Is there a box?
    pub fn is_boxed(&self) -> bool {
        self.0.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Clone, PartialEq)]
    struct Colour(u8);

    impl Rest for Colour {
        fn rest() -> &'static Self {
            &Self(7)
        }

        fn is_at_rest(&self) -> bool {
            *self == *Self::rest()
        }
    }

    #[test]
    fn it_is_boxed_from_the_first_change_until_nothing_is_changed_any_more() {
        let mut colour = Seldom::<Colour>::default();
        assert_eq!((colour.0.is_none(), colour.deref()), (true, &Colour(7)));
        colour.deref_mut().0 = 8;
        colour.settle();
        assert_eq!((colour.is_boxed(), colour.deref()), (true, &Colour(8)));
        colour.deref_mut().0 = 7;
        colour.settle();
        assert!(!colour.is_boxed() && !Seldom::from(Colour(7)).is_boxed());
    }
}
