//! Mapping.

use super::table::{Piece, clear};
use super::{BuildError, PageAllocator, Prot, Table};
use smmu_arch::{DescriptorKind, Pa, descriptor_address_bits};
use smmu_bus::Cpu;

/// One call of [`Table::map`], once its pages are there.
struct Mapping<'a> {
    table: &'a Table,
    cpu: &'a dyn Cpu,
    /// Fresh pages, one for each table that is missing.
    fresh: Vec<Pa>,
    clear: bool,
    input: u64,
    output: u64,
    bytes: u64,
    prot: Prot,
}

impl Table {
    /// Maps `bytes` bytes of input from `input` on to `output`, with the largest leaves that fit
    /// and whose place no table has taken: a table that was left empty stays and is filled.
    ///
    /// Groups of leaves that this call covers as a whole bear the Contiguous hint.
    ///
    /// The table is unchanged after every error but [`BuildError::Aborted`]: pages are allocated
    /// before the first store.
    ///
    /// # Errors
    /// [`BuildError::Misaligned`], [`BuildError::OutOfRange`], [`BuildError::NoAccess`],
    /// [`BuildError::AlreadyMapped`], [`BuildError::OutOfMemory`], [`BuildError::Aborted`].
    pub fn map(
        &self,
        cpu: &dyn Cpu,
        pages: &mut dyn PageAllocator,
        input: u64,
        output: u64,
        bytes: u64,
        prot: Prot,
    ) -> Result<(), BuildError> {
        self.check_range(input, bytes)?;
        self.check_output(output, bytes)?;
        if !prot.read && !prot.write {
            return Err(BuildError::NoAccess);
        }
        let mut mapping = Mapping {
            table: self,
            cpu,
            fresh: Vec::new(),
            clear: false,
            input,
            output,
            bytes,
            prot,
        };
        let start = self.geometry.start_level;
        let missing = mapping.survey(Some(self.base), start, input, bytes)?;
        mapping.clear = !pages.gives_zeroed();
        mapping.fresh = self.allocate(pages, missing)?;
        mapping.write(self.base, start, input, bytes)?;
        cpu.barrier();
        Ok(())
    }

    fn check_output(&self, output: u64, bytes: u64) -> Result<(), BuildError> {
        if output & ((1 << self.geometry.granule.shift()) - 1) != 0 {
            return Err(BuildError::Misaligned);
        }
        match output.checked_add(bytes) {
            Some(end) if end <= 1 << self.geometry.output_bits => Ok(()),
            _ => Err(BuildError::OutOfRange),
        }
    }

    /// `count` pages or none.
    fn allocate(&self, pages: &mut dyn PageAllocator, count: u64) -> Result<Vec<Pa>, BuildError> {
        let bytes = 1 << self.geometry.granule.shift();
        let mut fresh = Vec::new();
        for _ in 0..count {
            let Some(pa) = pages.allocate(bytes) else {
                fresh.into_iter().for_each(|pa| pages.free(pa, bytes));
                return Err(BuildError::OutOfMemory);
            };
            fresh.push(pa);
        }
        Ok(fresh)
    }
}

impl Mapping<'_> {
    /// Counts the tables that are missing for a part of the range in `table`, which is itself
    /// missing where it is `None`, and refuses what is mapped.
    fn survey(
        &self,
        table: Option<Pa>,
        level: i8,
        input: u64,
        bytes: u64,
    ) -> Result<u64, BuildError> {
        let mut missing = 0;
        for piece in self.table.pieces(table.unwrap_or_default(), level, input, bytes) {
            let word = match table {
                Some(_) => self.table.load(self.cpu, piece.entry)?,
                None => 0,
            };
            let below = |next| self.survey(next, level + 1, piece.input, piece.bytes);
            missing += match self.table.kind(word, level) {
                DescriptorKind::Leaf => return Err(BuildError::AlreadyMapped(piece.input)),
                DescriptorKind::Table => below(Some(self.table.next(word)))?,
                DescriptorKind::Invalid if self.fits(level, &piece) => 0,
                DescriptorKind::Invalid => 1 + below(None)?,
            };
        }
        Ok(missing)
    }

    /// Writes a part of the range into `table`.
    fn write(&mut self, table: Pa, level: i8, input: u64, bytes: u64) -> Result<(), BuildError> {
        let mut hint_end = 0;
        for piece in self.table.pieces(table, level, input, bytes) {
            let word = self.table.load(self.cpu, piece.entry)?;
            if self.table.kind(word, level) == DescriptorKind::Table {
                self.write(self.table.next(word), level + 1, piece.input, piece.bytes)?;
            } else if self.fits(level, &piece) {
                if let Some(end) = self.group_end(table, level, &piece)? {
                    hint_end = end;
                }
                let contiguous = piece.input < hint_end;
                let output = self.output_of(&piece);
                let leaf = self.prot.leaf(&self.table.geometry, level, output, contiguous);
                self.table.store(self.cpu, piece.entry, leaf)?;
            } else {
                self.link(level, &piece)?;
            }
        }
        Ok(())
    }

    /// Makes the table for a piece, fills it, and only then links it.
    fn link(&mut self, level: i8, piece: &Piece) -> Result<(), BuildError> {
        let table = self.fresh.pop().ok_or(BuildError::OutOfMemory)?;
        let geometry = &self.table.geometry;
        if self.clear {
            clear(self.cpu, table, 1 << geometry.granule.shift())?;
        }
        self.write(table, level + 1, piece.input, piece.bytes)?;
        self.cpu.barrier();
        let word = descriptor_address_bits(table.0, geometry.format()) | 3;
        self.table.store(self.cpu, piece.entry, word)
    }

    /// A leaf of `level` can map the piece.
    fn fits(&self, level: i8, piece: &Piece) -> bool {
        let geometry = &self.table.geometry;
        let aligned = Pa(self.output_of(piece)).is_aligned(geometry.granule.level_shift(level));
        geometry.has_leaf(level) && piece.whole && aligned
    }

    /// If `piece` begins a contiguous group that this call maps with leaves throughout: its end.
    fn group_end(&self, table: Pa, level: i8, piece: &Piece) -> Result<Option<u64>, BuildError> {
        let geometry = &self.table.geometry;
        let shift = geometry.granule.level_shift(level);
        let span = shift + geometry.granule.contiguous_log2(level);
        let bytes = 1 << span;
        let covered = piece.input.is_multiple_of(bytes)
            && self.output_of(piece).is_multiple_of(bytes)
            && self.input + self.bytes - piece.input >= bytes;
        if !geometry.contiguous || span == shift || !covered {
            return Ok(None);
        }
        for member in self.table.pieces(table, level, piece.input, bytes) {
            let word = self.table.load(self.cpu, member.entry)?;
            if self.table.kind(word, level) == DescriptorKind::Table {
                return Ok(None);
            }
        }
        Ok(Some(piece.input + bytes))
    }

    const fn output_of(&self, piece: &Piece) -> u64 {
        self.output + (piece.input - self.input)
    }
}
