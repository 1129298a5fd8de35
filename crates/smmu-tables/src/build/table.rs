//! A table and how it is gone through.

use super::{BuildError, Geometry};
use smmu_arch::{DescriptorKind, Pa, TableRoot, descriptor_address, descriptor_kind};
use smmu_bus::Cpu;

/// Where table pages come from.
pub trait PageAllocator {
    /// Gives `bytes` bytes, a power of two, aligned to itself; `None` where there are none.
    fn allocate(&mut self, bytes: u64) -> Option<Pa>;

    /// Takes back what [`PageAllocator::allocate`] gave.
    fn free(&mut self, pa: Pa, bytes: u64);

    /// Whether all that it gives reads as zero. Otherwise the CPU clears each page by stores.
    fn gives_zeroed(&self) -> bool {
        false
    }
}

/// A translation table in memory.
///
/// This is a handle: it holds where the table is and its shape, and everything else is read back
/// from memory. Input addresses are those of the range 0 to 2^`input_bits`; for a table of TTB1
/// leave the leading ones out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Table {
    pub(super) base: Pa,
    pub(super) geometry: Geometry,
}

/// A part of the input range inside one descriptor, and where it goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece {
    /// Address of the descriptor.
    pub(super) entry: Pa,
    /// First input address of the part.
    pub(super) input: u64,
    /// Its length.
    pub(super) bytes: u64,
    /// It is all that the descriptor covers.
    pub(super) whole: bool,
}

impl Table {
    /// An empty table.
    ///
    /// # Errors
    /// [`BuildError::Geometry`], [`BuildError::OutOfMemory`], [`BuildError::Aborted`].
    pub fn new(
        cpu: &dyn Cpu,
        geometry: Geometry,
        pages: &mut dyn PageAllocator,
    ) -> Result<Self, BuildError> {
        geometry.check()?;
        let bytes = geometry.start_table_bytes();
        let base = pages.allocate(bytes).ok_or(BuildError::OutOfMemory)?;
        if !pages.gives_zeroed() {
            clear(cpu, base, bytes).inspect_err(|_| pages.free(base, bytes))?;
        }
        Ok(Self { base, geometry })
    }

    /// The start table, for a CD or STE.
    #[must_use]
    pub const fn root(&self) -> TableRoot {
        self.geometry.root_at(self.base.0)
    }

    /// The shape.
    #[must_use]
    pub const fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// What `input` is mapped to, without a look at permissions. `None` where nothing is mapped
    /// or a table does not answer.
    #[must_use]
    pub fn translate(&self, cpu: &dyn Cpu, input: u64) -> Option<u64> {
        if input >> self.geometry.input_bits != 0 {
            return None;
        }
        let (word, level) = self.leaf_at(cpu, input).ok()??;
        let shift = self.geometry.granule.level_shift(level);
        Some(self.output(word, shift) | (input & ((1 << shift) - 1)))
    }

    /// Frees every page of the table. No SMMU may use it any more.
    ///
    /// # Errors
    /// [`BuildError::Aborted`]: pages that were not reached are lost.
    pub fn free(self, cpu: &dyn Cpu, pages: &mut dyn PageAllocator) -> Result<(), BuildError> {
        let bytes = 1 << self.geometry.granule.shift();
        let mut below = Vec::new();
        let mut mapped = 0;
        for piece in self.pieces(self.base, self.geometry.start_level, 0, self.input_bytes()) {
            let word = self.load(cpu, piece.entry)?;
            if self.kind(word, self.geometry.start_level) == DescriptorKind::Table {
                let level = self.geometry.start_level + 1;
                self.collect(cpu, self.next(word), level, &mut below, &mut mapped)?;
            }
        }
        below.into_iter().for_each(|pa| pages.free(pa, bytes));
        pages.free(self.base, self.geometry.start_table_bytes());
        Ok(())
    }

    /// The leaf descriptor that maps `input`, which lies in the range, and its level.
    pub(super) fn leaf_at(
        &self,
        cpu: &dyn Cpu,
        input: u64,
    ) -> Result<Option<(u64, i8)>, BuildError> {
        let (mut table, mut level) = (self.base, self.geometry.start_level);
        loop {
            let word = self.load(cpu, entry(&self.geometry, table, level, input))?;
            match self.kind(word, level) {
                DescriptorKind::Invalid => return Ok(None),
                DescriptorKind::Table => table = self.next(word),
                DescriptorKind::Leaf => return Ok(Some((word, level))),
            }
            level += 1;
        }
    }

    /// Gathers `table` of `level` and all tables below it, and counts the bytes mapped by them.
    pub(super) fn collect(
        &self,
        cpu: &dyn Cpu,
        table: Pa,
        level: i8,
        tables: &mut Vec<Pa>,
        mapped: &mut u64,
    ) -> Result<(), BuildError> {
        tables.push(table);
        let span = 1 << self.geometry.granule.level_shift(level);
        let entries = 1u64 << self.geometry.granule.stride();
        for index in 0..entries {
            let word = self.load(cpu, table.offset(index * 8))?;
            match self.kind(word, level) {
                DescriptorKind::Invalid => {}
                DescriptorKind::Leaf => *mapped += span,
                DescriptorKind::Table => {
                    self.collect(cpu, self.next(word), level + 1, tables, mapped)?;
                }
            }
        }
        Ok(())
    }

    /// Checks a range of input addresses.
    pub(super) fn check_range(&self, input: u64, bytes: u64) -> Result<(), BuildError> {
        let granule = (1 << self.geometry.granule.shift()) - 1;
        if bytes == 0 || (input | bytes) & granule != 0 {
            return Err(BuildError::Misaligned);
        }
        match input.checked_add(bytes) {
            Some(end) if end <= self.input_bytes() => Ok(()),
            _ => Err(BuildError::OutOfRange),
        }
    }

    /// The descriptors of `table` at `level` that a range goes through, in order.
    pub(super) fn pieces(
        &self,
        table: Pa,
        level: i8,
        input: u64,
        bytes: u64,
    ) -> impl Iterator<Item = Piece> + use<> {
        let span = 1u64 << self.geometry.granule.level_shift(level);
        let end = input + bytes;
        let first = input & !(span - 1);
        let geometry = self.geometry;
        (first..end).step_by(span as usize).map(move |start| {
            let from = start.max(input);
            let to = (start + span).min(end);
            Piece {
                entry: entry(&geometry, table, level, from),
                input: from,
                bytes: to - from,
                whole: to - from == span,
            }
        })
    }

    pub(super) fn load(&self, cpu: &dyn Cpu, entry: Pa) -> Result<u64, BuildError> {
        let word = cpu.load(entry)?;
        Ok(if self.geometry.big_endian { word.swap_bytes() } else { word })
    }

    pub(super) fn store(&self, cpu: &dyn Cpu, entry: Pa, word: u64) -> Result<(), BuildError> {
        let word = if self.geometry.big_endian { word.swap_bytes() } else { word };
        Ok(cpu.store(entry, word)?)
    }

    pub(super) fn kind(&self, word: u64, level: i8) -> DescriptorKind {
        descriptor_kind(word, self.geometry.granule, level, self.geometry.format())
    }

    /// The table that a table descriptor names.
    pub(super) fn next(&self, word: u64) -> Pa {
        Pa(self.output(word, self.geometry.granule.shift()))
    }

    const fn output(&self, word: u64, shift: u32) -> u64 {
        descriptor_address(word, shift, self.geometry.format())
    }

    const fn input_bytes(&self) -> u64 {
        1 << self.geometry.input_bits
    }
}

/// Address of the descriptor for `input` in `table`. The start table may be larger than one
/// granule, and is indexed as one.
const fn entry(geometry: &Geometry, table: Pa, level: i8, input: u64) -> Pa {
    let index = input >> geometry.granule.level_shift(level);
    let index = if level == geometry.start_level {
        index
    } else {
        index & ((1 << geometry.granule.stride()) - 1)
    };
    table.offset(index << 3)
}

/// Writes zeros.
pub(super) fn clear(cpu: &dyn Cpu, pa: Pa, bytes: u64) -> Result<(), BuildError> {
    for at in (0..bytes).step_by(8) {
        cpu.store(pa.offset(at), 0)?;
    }
    Ok(())
}
