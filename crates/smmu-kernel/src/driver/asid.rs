//! ASIDs of stage 1 domains.
//!
//! Linux has one space for all SMMUs, because CPUs' address spaces may be shared with devices. This
//! driver shares none, and numbers each SMMU's domains by themselves.

use super::{Env, Smmu};
use crate::Errno;
use smmu_arch::{Asid, Promise};

impl Smmu {
    /// A free number for a new domain.
    ///
    /// # Errors
    /// ENOSPC.
    pub(super) fn allocate_asid(&self, env: Env<'_>) -> Result<Asid, Errno> {
        let asid = self.asids.with(env.cpu, |asids| asids.allocate()).map(Asid);
        let asid = asid.ok_or(Errno::ENOSPC)?;
        env.cpu.promise(Promise::AsidAssigned { smmu: self.id, asid });
        Ok(asid)
    }

    /// Gives a number back, which was flushed when its last stream left.
    pub(super) fn free_asid(&self, env: Env<'_>, asid: Asid) {
        self.asids.with(env.cpu, |asids| asids.free(asid.0));
        env.cpu.promise(Promise::AsidFreed { smmu: self.id, asid });
    }
}
