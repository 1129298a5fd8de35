//! StreamWorlds: which exception level's translation regime a stream uses.

/// StreamWorld of a Non-secure stream (STE.STRW, CR2.E2H). Section "StreamWorld".
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum StreamWorld {
    /// Non-secure EL1: tagged by VMID and ASID, two table bases.
    NsEl1,
    /// EL2 without the Virtualization Host Extensions: no tags, one table base.
    El2,
    /// EL2 with E2H: tagged by ASID, two table bases.
    El2E2h,
}

impl StreamWorld {
    /// Entries carry a VMID.
    #[must_use]
    pub const fn has_vmid(self) -> bool {
        matches!(self, Self::NsEl1)
    }

    /// Non-global entries carry an ASID.
    #[must_use]
    pub const fn has_asid(self) -> bool {
        !matches!(self, Self::El2)
    }

    /// There is a second table base for addresses with bit 55 set.
    #[must_use]
    pub const fn has_ttb1(self) -> bool {
        !matches!(self, Self::El2)
    }

    /// Privileged and unprivileged accesses are told apart.
    #[must_use]
    pub const fn has_two_privileges(self) -> bool {
        !matches!(self, Self::El2)
    }
}
