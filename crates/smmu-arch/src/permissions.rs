//! Permissions of a translation, both stages side by side.
//!
//! Architecture: section "Permissions" and VMSAv8-64 "Access permissions". Stage 1 is checked
//! first; a fault says which stage refused.

use crate::Access;

/// Rights of both stages as one bit set, so that a hit checks them with one AND.
///
/// A stage that is bypassed grants everything.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Permissions(u16);

impl Permissions {
    const S1_SHIFT: u32 = 0;
    const S2_SHIFT: u32 = 6;

    /// Everything is allowed by both stages.
    pub const ALL: Self = Self(0xfff);

    /// Combines the rights of two stages.
    #[must_use]
    pub const fn new(stage1: StageRights, stage2: StageRights) -> Self {
        Self((stage1.0 as u16) << Self::S1_SHIFT | (stage2.0 as u16) << Self::S2_SHIFT)
    }

    /// From the 12-bit set that [`Permissions::bits`] gives.
    #[must_use]
    pub const fn from_bits(bits: u16) -> Self {
        Self(bits & 0xfff)
    }

    /// As a 12-bit set: stage 1 in bits 5:0, stage 2 in bits 11:6.
    #[must_use]
    pub const fn bits(self) -> u16 {
        self.0
    }

    /// Rights of stage 1.
    #[must_use]
    pub const fn stage1(self) -> StageRights {
        StageRights((self.0 >> Self::S1_SHIFT) as u8 & 0x3f)
    }

    /// Rights of stage 2.
    #[must_use]
    pub const fn stage2(self) -> StageRights {
        StageRights((self.0 >> Self::S2_SHIFT) as u8 & 0x3f)
    }

    /// The set of bits that `access` needs of [`Permissions::bits`]; compute it once a
    /// transaction.
    #[must_use]
    pub const fn needed(access: Access) -> u16 {
        let right = StageRights::needed(access).0 as u16;
        right << Self::S1_SHIFT | right << Self::S2_SHIFT
    }

    /// Both stages allow `access`.
    #[must_use]
    pub const fn allows(self, access: Access) -> bool {
        let needed = Self::needed(access);
        self.0 & needed == needed
    }
}

/// What one stage allows: read, write and execute, each for unprivileged and privileged.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct StageRights(u8);

impl StageRights {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// Everything; also what a bypassed stage grants.
    pub const ALL: Self = Self(0x3f);
    /// Unprivileged read.
    pub const READ_UNPRIVILEGED: Self = Self(1);
    /// Unprivileged write.
    pub const WRITE_UNPRIVILEGED: Self = Self(2);
    /// Unprivileged execute.
    pub const EXECUTE_UNPRIVILEGED: Self = Self(4);
    /// Privileged read.
    pub const READ_PRIVILEGED: Self = Self(8);
    /// Privileged write.
    pub const WRITE_PRIVILEGED: Self = Self(16);
    /// Privileged execute.
    pub const EXECUTE_PRIVILEGED: Self = Self(32);
    /// All that is unprivileged.
    pub const UNPRIVILEGED: Self = Self(1 | 2 | 4);
    /// Read at both privileges.
    pub const READ: Self = Self(1 | 8);
    /// Write at both privileges.
    pub const WRITE: Self = Self(2 | 16);
    /// Execute at both privileges.
    pub const EXECUTE: Self = Self(4 | 32);

    /// As a 6-bit set.
    #[must_use]
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// From a 6-bit set.
    #[must_use]
    pub const fn from_bits(bits: u8) -> Self {
        Self(bits & 0x3f)
    }

    /// The one right that `access` needs.
    #[must_use]
    pub const fn needed(access: Access) -> Self {
        let unprivileged = match (access.is_write(), access.is_fetch()) {
            (true, _) => Self::WRITE_UNPRIVILEGED.0,
            (false, true) => Self::EXECUTE_UNPRIVILEGED.0,
            (false, false) => Self::READ_UNPRIVILEGED.0,
        };
        Self(if access.privileged { unprivileged << 3 } else { unprivileged })
    }

    /// This stage allows `access`.
    #[must_use]
    pub const fn allows(self, access: Access) -> bool {
        self.0 & Self::needed(access).0 != 0
    }

    /// Every right of `other` is in this set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Rights of either.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Rights of both.
    #[must_use]
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// These rights without those of `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

impl std::ops::BitOr for StageRights {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        self.union(other)
    }
}
