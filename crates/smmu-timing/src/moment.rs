//! Virtual time.

use std::ops::{Add, AddAssign, Sub};

/// A moment, or a length of time, in picoseconds since the start.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct Moment(pub u64);

impl Moment {
    /// Picoseconds of a nanosecond.
    pub const PER_NS: u64 = 1000;

    /// This many nanoseconds.
    #[must_use]
    pub const fn from_ns(ns: u64) -> Self {
        Self(ns.saturating_mul(Self::PER_NS))
    }

    /// Whole nanoseconds.
    #[must_use]
    pub const fn ns(self) -> u64 {
        self.0 / Self::PER_NS
    }
}

impl Add for Moment {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl AddAssign for Moment {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

/// Nothing where the other is later.
impl Sub for Moment {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}
