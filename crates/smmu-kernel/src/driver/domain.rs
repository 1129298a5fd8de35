//! Domains: an address space of one SMMU, and the streams that use it.
//!
//! Like Linux's paging domains. A stream that is in no domain is blocked: its stream table entry
//! aborts.

use super::heap::TablePages;
use super::invalidate::{Gather, Scope, Tag};
use super::nested::VirtualSte;
use super::probe::granule;
use super::unmap::{Deferred, PendingUnmap, flush};
use super::{Batch, Env, Smmu, atc, entries, strtab};
use crate::Errno;
use crate::faults::FaultSwitch;
use crate::log::Notice;
use crate::personality::Personality;
use smmu_arch::{
    Command, Eats, Features, Granule, Pa, Promise, SmmuId, Stage, Ste, StreamId, TlbiVmid, Vmid,
};
use smmu_tables::{BuildError, Geometry, Prot, Table};

/// What a domain is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum DomainKind {
    /// An address space of its own: stage 1 where there is one.
    Private,
    /// Guest-physical addresses of a virtual machine: stage 2, with a VMID that may be told
    /// beforehand. No stage 1 can be set through a container, so the entry bypasses it.
    Nesting {
        /// The container's number, or `None` for a new one.
        vmid: Option<u32>,
    },
    /// The stage 2 of virtual machines whose own stage 1 stands above it (iommufd's NEST_PARENT).
    NestParent,
}

/// Where the number of a domain comes from, and so who takes it back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Ownership {
    Asid,
    Vmid,
    SharedVmid,
}

/// An address space of one SMMU.
#[derive(Debug)]
pub(crate) struct Domain {
    number: u64,
    smmu: SmmuId,
    tag: Tag,
    ownership: Ownership,
    table: Table,
    /// Stage 1 of guests may stand above: what was combined with it is to be forgotten too.
    nest_parent: bool,
    /// A stream that is just being moved from one guest's entry to another stands here twice.
    streams: Vec<StreamId>,
    /// Its table may be remembered under a VMID that others use as well.
    remembered: bool,
}

impl Domain {
    /// An empty domain of an SMMU with a number of its own.
    ///
    /// # Errors
    /// ENOSPC: no number is free. ENOMEM. EOPNOTSUPP: `rfc-fixed` makes no nesting domain without
    /// stage 2, and nobody a parent without both stages.
    pub(crate) fn new(env: Env<'_>, smmu: &Smmu, kind: DomainKind) -> Result<Self, Errno> {
        let features = &smmu.features;
        let nesting = matches!(kind, DomainKind::Nesting { .. });
        let fixed = env.driver.options.personality == Personality::RfcFixed;
        if nesting && fixed && !features.s2p {
            return Err(Errno::EOPNOTSUPP);
        }
        let nest_parent = kind == DomainKind::NestParent;
        if nest_parent && !(features.s1p && features.s2p) {
            return Err(Errno::EOPNOTSUPP);
        }
        let stage2 = features.s2p && (nesting || nest_parent || !features.s1p);
        let geometry = geometry(features, if stage2 { Stage::Stage2 } else { Stage::Stage1 });
        let table = Table::new(env.cpu, geometry, &mut TablePages(env)).map_err(build_errno)?;
        let numbered = match kind {
            _ if !stage2 => {
                smmu.allocate_asid(env).map(|asid| (Tag::Stage1(asid), Ownership::Asid))
            }
            DomainKind::Nesting { vmid } if fixed => {
                shared_vmid(env, vmid).map(|vmid| (Tag::Stage2(vmid), Ownership::SharedVmid))
            }
            DomainKind::Nesting { vmid } => {
                told_vmid(env, smmu, vmid).map(|vmid| (Tag::Stage2(vmid), Ownership::Vmid))
            }
            DomainKind::Private | DomainKind::NestParent => {
                smmu.allocate_vmid(env).map(|vmid| (Tag::Stage2(vmid), Ownership::Vmid))
            }
        };
        let (tag, ownership) = match numbered {
            Ok(numbered) => numbered,
            Err(errno) => {
                let _ = table.free(env.cpu, &mut TablePages(env));
                return Err(errno);
            }
        };
        let number = env.driver.number_domain();
        let (streams, remembered) = (Vec::new(), false);
        let smmu = smmu.id;
        Ok(Self { number, smmu, tag, ownership, table, nest_parent, streams, remembered })
    }

    /// SMMU of the domain.
    pub(crate) const fn smmu(&self) -> SmmuId {
        self.smmu
    }

    /// VMID, for stage 2.
    pub(crate) const fn vmid(&self) -> Option<Vmid> {
        match self.tag {
            Tag::Stage1(_) => None,
            Tag::Stage2(vmid) => Some(vmid),
        }
    }

    /// Whether other domains may have the same VMID and rely on each other's tables.
    pub(crate) fn is_shared(&self) -> bool {
        self.ownership == Ownership::SharedVmid
    }

    /// Stage 1 or stage 2, with the number that tags it, for whoever looks from outside.
    pub(crate) const fn tag(&self) -> Tag {
        self.tag
    }

    /// Streams that are attached.
    pub(crate) fn streams(&self) -> &[StreamId] {
        &self.streams
    }

    /// Sizes that can be mapped, as a set of bits: bit n for 2^n bytes. The Contiguous hint is not
    /// among them, as in Linux.
    pub(crate) fn page_sizes(&self) -> u64 {
        Geometry { contiguous: false, ..*self.table.geometry() }.page_sizes()
    }

    /// Last input address.
    pub(crate) fn last_input(&self) -> u64 {
        (1 << self.table.geometry().input_bits) - 1
    }

    /// Lets a stream use the domain. The stream was blocked before, or is to leave another domain
    /// ([`Domain::leave`]) at once.
    ///
    /// # Errors
    /// ENODEV: the stream has no place in the table. ENOMEM, EIO.
    pub(crate) fn attach(&mut self, env: Env<'_>, stream: StreamId) -> Result<(), Errno> {
        self.enter(env, stream, None)
    }

    /// Like [`Domain::attach`], with a guest's entry above this stage 2.
    ///
    /// # Errors
    /// As [`Domain::attach`].
    pub(crate) fn attach_nested(
        &mut self,
        env: Env<'_>,
        stream: StreamId,
        guest: &VirtualSte,
    ) -> Result<(), Errno> {
        self.enter(env, stream, Some(guest))
    }

    fn enter(
        &mut self,
        env: Env<'_>,
        stream: StreamId,
        guest: Option<&VirtualSte>,
    ) -> Result<(), Errno> {
        let smmu = self.smmu_of(env);
        if let Tag::Stage2(vmid) = self.tag {
            // From here on an unmap sends its TLBI, before the first translation can be made.
            smmu.join_vmid(env, vmid);
        }
        self.remembered = self.ownership == Ownership::SharedVmid;
        self.streams.push(stream);
        let written = match guest {
            None => self.write_entry(env, smmu, stream),
            Some(guest) => {
                let entry = guest.over(&self.stage2_entry(smmu));
                strtab::write(env, smmu, stream, &entry)
            }
        };
        if written.is_ok() {
            // What the endpoint has from another domain goes, and with a guest ATS is off.
            Self::forget_at(env, smmu, stream);
        } else {
            self.streams.pop();
            if let Tag::Stage2(vmid) = self.tag {
                smmu.leave_vmid(env, vmid);
            }
        }
        written
    }

    fn write_entry(&self, env: Env<'_>, smmu: &Smmu, stream: StreamId) -> Result<(), Errno> {
        let plain = match self.tag {
            Tag::Stage1(asid) => {
                let context = entries::context(&self.table, asid, &smmu.features);
                let context = strtab::write_context(env, smmu, stream, &context)?;
                entries::stage1(context, &smmu.features)
            }
            Tag::Stage2(_) => self.stage2_entry(smmu),
        };
        let ats = smmu.ats_streams.contains(&stream);
        let eats = if ats { Eats::Full } else { Eats::Disabled };
        strtab::write(env, smmu, stream, &Ste { eats, ..plain }.encode())
    }

    fn stage2_entry(&self, smmu: &Smmu) -> Ste {
        entries::stage2(&self.table, self.tag.vmid(), &smmu.features)
    }

    /// Blocks a stream again. When it was the last that used the number, everything of the number
    /// is forgotten.
    pub(crate) fn detach(&mut self, env: Env<'_>, stream: StreamId) {
        // The entry was there when the stream was attached.
        let smmu = self.smmu_of(env);
        let _ = strtab::write(env, smmu, stream, &entries::abort());
        Self::forget_at(env, smmu, stream);
        self.leave(env, stream);
    }

    /// An endpoint forgets all that it has, after its entry was written: as Linux's
    /// `arm_smmu_attach_commit` does where ATS is turned on or off or stays on.
    fn forget_at(env: Env<'_>, smmu: &Smmu, stream: StreamId) {
        atc::forget(env, smmu, atc::commands(smmu, &[stream], None));
    }

    /// A stream whose entry names something else by now leaves. When it was the last that used the
    /// number, everything of the number is forgotten.
    pub(crate) fn leave(&mut self, env: Env<'_>, stream: StreamId) {
        let smmu = self.smmu_of(env);
        if let Some(at) = self.streams.iter().position(|&attached| attached == stream) {
            self.streams.remove(at);
        }
        let last = match self.tag {
            Tag::Stage1(_) => self.streams.is_empty(),
            Tag::Stage2(vmid) => smmu.leave_vmid(env, vmid),
        };
        if last && !env.driver.options.personality.flushes_at_free() {
            flush(env, smmu, self.tag);
            self.forgotten(env, smmu, self.tag.vmid());
        }
        env.cpu.promise(Promise::Detached { smmu: self.smmu, stream });
    }

    /// Everything of a VMID was flushed: tables that were kept for it go back.
    fn forgotten(&mut self, env: Env<'_>, smmu: &Smmu, vmid: Vmid) {
        self.remembered = false;
        for table in smmu.take_kept(env, vmid) {
            // A table that does not answer is lost.
            let _ = table.free(env.cpu, &mut TablePages(env));
        }
    }

    /// Maps a contiguous range.
    ///
    /// # Errors
    /// EEXIST, EINVAL, ENOMEM, EIO; then nothing was mapped.
    pub(crate) fn map(
        &self,
        env: Env<'_>,
        input: u64,
        output: Pa,
        bytes: u64,
        prot: Prot,
    ) -> Result<(), Errno> {
        let space = (self.smmu, self.tag.vmid());
        let range = (input, input + (bytes - 1));
        let shared = self.ownership == Ownership::SharedVmid;
        if shared {
            // Before the table is written: a container that unmaps meanwhile must not promise it.
            env.driver.sharing.add(env, space, self.number, range);
        }
        let pages = &mut TablePages(env);
        let mapped = self.table.map(env.cpu, pages, input, output.0, bytes, prot);
        if shared && mapped.is_err() {
            env.driver.sharing.remove(env, space, self.number, range);
        }
        mapped.map_err(build_errno)?;
        self.smmu_of(env).counters.maps.add_one();
        Ok(())
    }

    /// Takes a range out of the table and sends the commands that this needs. The range holds whole
    /// mappings.
    pub(crate) fn unmap<'a>(&self, env: Env<'a>, input: u64, bytes: u64) -> PendingUnmap<'a> {
        let smmu = self.smmu_of(env);
        let mut gather = Gather::default();
        let removed = self.table.unmap(env.cpu, input, bytes, &mut |one| gather.add(one));
        let removed = removed.unwrap_or_default();
        smmu.counters.unmaps.add_one();
        let live = self.is_live(env, smmu) && !gather.is_empty();
        let range = (input, input + (bytes - 1));
        // What a guest's stage 1 made of the range has other addresses.
        let forgotten = (!self.nest_parent).then_some(range);
        let batch = live.then(|| self.invalidate(env, smmu, &gather));
        let atc = if live { atc::commands(smmu, &self.streams, forgotten) } else { Vec::new() };
        let (retired, promises) = (removed.retired, self.promises(env, range));
        PendingUnmap { env, smmu, batch, atc, retired, promises }
    }

    /// Takes a range out of the table and leaves it to a later flush to forget it.
    pub(crate) fn unmap_lazily(&self, env: Env<'_>, input: u64, bytes: u64) -> Deferred {
        let removed = self.table.unmap(env.cpu, input, bytes, &mut |_| {}).unwrap_or_default();
        self.smmu_of(env).counters.unmaps.add_one();
        let promises = self.promises(env, (input, input + (bytes - 1)));
        Deferred { retired: removed.retired, promises }
    }

    /// Forgets everything of the domain.
    pub(crate) fn flush(&self, env: Env<'_>) {
        let smmu = self.smmu_of(env);
        if self.is_live(env, smmu) {
            flush(env, smmu, self.tag);
            atc::forget(env, smmu, atc::commands(smmu, &self.streams, None));
        }
    }

    /// What an input address is mapped to.
    pub(crate) fn translate(&self, env: Env<'_>, input: u64) -> Option<Pa> {
        self.table.translate(env.cpu, input).map(Pa)
    }

    /// Whether translations of the number may be cached. Without a stream they are not: the last one
    /// that left flushed them.
    fn is_live(&self, env: Env<'_>, smmu: &Smmu) -> bool {
        env.driver.options.personality.flushes_at_free()
            || match self.tag {
                Tag::Stage1(_) => !self.streams.is_empty(),
                Tag::Stage2(vmid) => smmu.uses_vmid(env, vmid),
            }
    }

    fn invalidate<'a>(&self, env: Env<'a>, smmu: &'a Smmu, gather: &Gather) -> Batch<'a> {
        let mut batch = Batch::new(env, smmu);
        let tag = match self.tag {
            Tag::Stage2(_) if env.has(FaultSwitch::TlbiWrongVmid) => Tag::Stage2(Vmid(0)),
            tag => tag,
        };
        if env.has(FaultSwitch::SkipUnmapTlbi) {
            return batch;
        }
        let scope =
            gather.invalidate(&mut batch, &smmu.features, tag, env.driver.options.tlbi_limit);
        // A TLBI by IPA need not reach what was combined with a guest's stage 1.
        if self.nest_parent && scope == Scope::Addresses && !env.has(FaultSwitch::SkipS1Clear) {
            batch.sync();
            batch = Batch::new(env, smmu);
            batch.add(Command::TlbiNhAll(TlbiVmid { vmid: tag.vmid() }));
        }
        batch
    }

    fn promises(&self, env: Env<'_>, range: (u64, u64)) -> Vec<Promise> {
        let space = (self.smmu, self.tag.vmid());
        let parts = match self.ownership {
            Ownership::SharedVmid => env.driver.sharing.remove(env, space, self.number, range),
            Ownership::Asid | Ownership::Vmid => vec![range],
        };
        let (stage, asid) = match self.tag {
            Tag::Stage1(asid) => (Stage::Stage1, Some(asid)),
            Tag::Stage2(_) => (Stage::Stage2, None),
        };
        let promise = |(first, last)| Promise::Unmapped {
            smmu: self.smmu,
            stage,
            vmid: self.tag.vmid(),
            asid,
            first,
            last,
        };
        parts.into_iter().map(promise).collect()
    }

    /// Gives the domain another VMID that the caller holds (`rfc-fixed`): entries first, then the
    /// old number is forgotten unless somebody else uses it. The caller gives the old one back.
    ///
    /// # Errors
    /// EIO.
    pub(crate) fn retag(&mut self, env: Env<'_>, vmid: Vmid) -> Result<(), Errno> {
        let smmu = self.smmu_of(env);
        let old = self.tag.vmid();
        self.tag = Tag::Stage2(vmid);
        let mut last = false;
        for &stream in &self.streams {
            smmu.join_vmid(env, vmid);
            self.write_entry(env, smmu, stream)?;
            last = smmu.leave_vmid(env, old);
        }
        env.driver.sharing.retag(env, self.smmu, self.number, old, vmid);
        if last {
            flush(env, smmu, Tag::Stage2(old));
            self.forgotten(env, smmu, old);
            self.remembered = true;
        }
        Ok(())
    }

    /// Gives tables and number back. Whatever was mapped should be unmapped and no stream attached;
    /// the series frees some domains nevertheless (bug B2). A table whose descriptors may be remembered
    /// under a VMID that is in use is kept until that is flushed, with the last stream.
    pub(crate) fn free(self, env: Env<'_>) {
        let smmu = self.smmu_of(env);
        if !self.streams.is_empty() {
            env.log(smmu, Notice::FreedAttachedDomain { vmid: self.tag.vmid() });
        }
        if env.driver.options.personality.flushes_at_free() {
            flush(env, smmu, self.tag);
        }
        let kept = self.remembered && smmu.keep_table(env, self.tag.vmid(), &self.table);
        if self.remembered && !kept {
            flush(env, smmu, self.tag);
        }
        if !kept {
            // A table that does not answer is lost.
            let _ = self.table.free(env.cpu, &mut TablePages(env));
        }
        match (self.tag, self.ownership) {
            (Tag::Stage1(asid), _) => smmu.free_asid(env, asid),
            (Tag::Stage2(vmid), Ownership::SharedVmid) => {
                env.driver.shared_vmids.release(env, vmid);
            }
            (Tag::Stage2(vmid), _) => smmu.release_vmid(env, vmid),
        }
    }

    fn smmu_of<'a>(&self, env: Env<'a>) -> &'a Smmu {
        env.driver.smmu(self.smmu).expect("a domain belongs to a probed SMMU")
    }
}

/// The series keeps 16 bits of the number, and takes 0 for "none told" (bug B4).
fn told_vmid(env: Env<'_>, smmu: &Smmu, told: Option<u32>) -> Result<Vmid, Errno> {
    match Vmid(told.unwrap_or(0) as u16) {
        Vmid(0) => smmu.allocate_vmid(env),
        vmid => {
            smmu.adopt_vmid(env, vmid);
            Ok(vmid)
        }
    }
}

fn shared_vmid(env: Env<'_>, told: Option<u32>) -> Result<Vmid, Errno> {
    match told {
        None => env.driver.shared_vmids.allocate(env),
        Some(number) => env.driver.shared_vmids.reserve(env, number),
    }
}

/// The largest table that the SMMU walks: all of the IPA range for stage 2, 48 bits for stage 1.
fn geometry(features: &Features, stage: Stage) -> Geometry {
    let granule = granule(features).unwrap_or(Granule::K4);
    let most = if granule == Granule::K64 { 52 } else { 48 };
    let output_bits = features.oas_bits.min(most);
    let shape = match stage {
        Stage::Stage1 => Geometry::stage1(granule, 48, output_bits),
        Stage::Stage2 => Geometry::stage2(granule, output_bits, output_bits),
    };
    Geometry { contiguous: true, ..shape }
}

const fn build_errno(error: BuildError) -> Errno {
    match error {
        BuildError::AlreadyMapped(_) => Errno::EEXIST,
        BuildError::OutOfMemory => Errno::ENOMEM,
        BuildError::Aborted(_) => Errno::EIO,
        BuildError::Geometry
        | BuildError::Misaligned
        | BuildError::OutOfRange
        | BuildError::NoAccess
        | BuildError::PartOfLeaf { .. } => Errno::EINVAL,
    }
}
