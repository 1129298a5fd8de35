//! The order in which the checker was told of things.

use std::fmt;

/// A position in the order of all that a checker was told, from 1 on: the order in which things
/// happened on the one machine that it watches.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Moment(pub u64);

impl Moment {
    /// Later than anything.
    pub(super) const NOW: Self = Self(u64::MAX);
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}
