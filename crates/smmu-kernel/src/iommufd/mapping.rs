//! One mapping of an address space: user memory, pinned while a page table holds it.

use crate::Errno;
use crate::driver::{Domain, Env};
use crate::vfio::Call;
use smmu_bus::Pinned;
use smmu_tables::Prot;

/// One mapping.
#[derive(Debug)]
pub(super) struct Mapping {
    pub(super) length: u64,
    pub(super) user: u64,
    pub(super) prot: Prot,
    /// The first mapping of these pages was for writing, so that a copy may be.
    pub(super) writable: bool,
    /// Where the pages are; empty while they are not pinned.
    runs: Vec<Pinned>,
}

impl Mapping {
    /// A mapping that nothing is pinned for.
    pub(super) const fn new(user: u64, length: u64, prot: Prot) -> Self {
        Self { length, user, prot, writable: prot.write, runs: Vec::new() }
    }

    /// Part of the pages, for another mapping of them.
    pub(super) const fn part(&self, user: u64, length: u64) -> Self {
        Self { length, user, prot: self.prot, writable: self.writable, runs: Vec::new() }
    }

    /// Pins the pages, where the limit of locked memory allows it.
    ///
    /// # Errors
    /// ENOMEM, EFAULT.
    pub(super) fn pin(&mut self, call: Call<'_>, locked: &mut u64) -> Result<(), Errno> {
        if locked.saturating_add(self.length) > call.env.driver.options.memlock_bytes {
            return Err(Errno::ENOMEM);
        }
        self.runs = call.process.pin(self.user, self.length)?;
        *locked += self.length;
        call.pins.lend(call.env, &self.runs);
        Ok(())
    }

    /// Gives the pages back, if they are pinned.
    pub(super) fn unpin(&mut self, call: Call<'_>, locked: &mut u64) {
        if self.runs.is_empty() {
            return;
        }
        *locked -= self.length;
        let runs = std::mem::take(&mut self.runs);
        runs.iter().for_each(|run| call.process.unpin(run));
        call.pins.give_back(call.env, &runs);
    }

    /// Maps the pages in a page table: as blocks where they can be, or page by page.
    ///
    /// # Errors
    /// ENOMEM, EIO.
    pub(super) fn fill(
        &self,
        env: Env<'_>,
        domain: &Domain,
        iova: u64,
        huge: bool,
    ) -> Result<(), Errno> {
        let page = 1 << domain.page_sizes().trailing_zeros();
        let mut at = iova;
        for run in &self.runs {
            let step = if huge { run.bytes } else { page };
            for offset in (0..run.bytes).step_by(step as usize) {
                domain.map(env, at + offset, run.pa.offset(offset), step, self.prot)?;
            }
            at += run.bytes;
        }
        Ok(())
    }
}
