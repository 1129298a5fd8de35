//! Unmapping.

use super::{BuildError, Table};
use smmu_arch::{DescriptorKind, Granule, Pa};
use smmu_bus::Cpu;

/// One descriptor that was made invalid: what the caller has to invalidate.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Unmapped {
    /// First input address that the descriptor covered.
    pub input: u64,
    /// Bytes that it covered.
    pub bytes: u64,
    /// Its level, 0 to 3.
    pub level: i8,
    /// Granule of the table.
    pub granule: Granule,
    /// It was a page or block; otherwise a table, with everything below it: then walks may have
    /// cached it, and the invalidation has to reach non-leaf entries.
    pub leaf: bool,
}

/// A table page that is no longer linked. It may be freed once no walk can still use it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Retired {
    /// Address.
    pub pa: Pa,
    /// Length.
    pub bytes: u64,
}

/// What [`Table::unmap`] did.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Removed {
    /// Bytes that were mapped and are no longer.
    pub bytes: u64,
    /// Tables to free after the invalidation.
    pub retired: Vec<Retired>,
}

impl Table {
    /// Unmaps `bytes` bytes of input from `input` on. What is not mapped is skipped. Each
    /// descriptor is told to `gather` after the store that made it invalid.
    ///
    /// A table whose whole range is unmapped is taken out as one, by one store.
    ///
    /// # Errors
    /// [`BuildError::Misaligned`], [`BuildError::OutOfRange`]; [`BuildError::PartOfLeaf`] where a
    /// block or contiguous group reaches out of the range; [`BuildError::Aborted`]. The table is
    /// unchanged after all but the last.
    pub fn unmap(
        &self,
        cpu: &dyn Cpu,
        input: u64,
        bytes: u64,
        gather: &mut dyn FnMut(Unmapped),
    ) -> Result<Removed, BuildError> {
        self.check_range(input, bytes)?;
        let start = self.geometry.start_level;
        self.refuse_parts(cpu, input, bytes)?;
        let mut removed = Removed::default();
        self.erase(cpu, self.base, start, (input, bytes), gather, &mut removed)?;
        cpu.barrier();
        Ok(removed)
    }

    /// Refuses a range that cuts a leaf. Only its two ends can.
    fn refuse_parts(&self, cpu: &dyn Cpu, input: u64, bytes: u64) -> Result<(), BuildError> {
        for edge in [input, input + bytes - 1] {
            let Some((word, level)) = self.leaf_at(cpu, edge)? else { continue };
            let span_log2 = self.span_log2(word, level);
            let (first, length) = (edge >> span_log2 << span_log2, 1 << span_log2);
            if first < input || first + length > input + bytes {
                return Err(BuildError::PartOfLeaf { input: first, bytes: length });
            }
        }
        Ok(())
    }

    /// log2 of the bytes that a leaf maps, with its contiguous group.
    fn span_log2(&self, word: u64, level: i8) -> u32 {
        let granule = self.geometry.granule;
        let contiguous = word >> 52 & 1 != 0;
        let group = if contiguous { granule.contiguous_log2(level) } else { 0 };
        granule.level_shift(level) + group
    }

    fn erase(
        &self,
        cpu: &dyn Cpu,
        table: Pa,
        level: i8,
        (input, bytes): (u64, u64),
        gather: &mut dyn FnMut(Unmapped),
        removed: &mut Removed,
    ) -> Result<(), BuildError> {
        for piece in self.pieces(table, level, input, bytes) {
            let word = self.load(cpu, piece.entry)?;
            let kind = self.kind(word, level);
            match kind {
                DescriptorKind::Invalid => continue,
                DescriptorKind::Table if !piece.whole => {
                    let range = (piece.input, piece.bytes);
                    self.erase(cpu, self.next(word), level + 1, range, gather, removed)?;
                    continue;
                }
                DescriptorKind::Table => {
                    self.store(cpu, piece.entry, 0)?;
                    self.retire(cpu, self.next(word), level + 1, removed)?;
                }
                DescriptorKind::Leaf => {
                    self.store(cpu, piece.entry, 0)?;
                    removed.bytes += piece.bytes;
                }
            }
            gather(Unmapped {
                input: piece.input,
                bytes: piece.bytes,
                level,
                granule: self.geometry.granule,
                leaf: kind == DescriptorKind::Leaf,
            });
        }
        Ok(())
    }

    /// Puts an unlinked table and all below it on the list of the retired.
    fn retire(
        &self,
        cpu: &dyn Cpu,
        table: Pa,
        level: i8,
        removed: &mut Removed,
    ) -> Result<(), BuildError> {
        let mut tables = Vec::new();
        self.collect(cpu, table, level, &mut tables, &mut removed.bytes)?;
        let bytes = 1 << self.geometry.granule.shift();
        removed.retired.extend(tables.into_iter().map(|pa| Retired { pa, bytes }));
        Ok(())
    }
}
