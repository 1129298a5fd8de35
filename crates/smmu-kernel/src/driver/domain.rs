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
use crate::faults::FaultSwitch;
use crate::log::Notice;
use crate::personality::Personality;
use crate::{Errno, Oops};
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
    /// Streams with the VMID that each uses. One that is just being moved from one guest's entry to
    /// another stands here twice.
    users: Vec<(StreamId, Vmid)>,
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
        let (users, remembered) = (Vec::new(), false);
        let smmu = smmu.id;
        Ok(Self { number, smmu, tag, ownership, table, nest_parent, users, remembered })
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
    pub(crate) fn streams(&self) -> impl Iterator<Item = StreamId> {
        self.users.iter().map(|&(stream, _)| stream)
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
        self.enter(env, stream, (None, self.tag.vmid()))
    }

    /// Like [`Domain::attach`], with a guest's entry above this stage 2, under a VMID that is the
    /// domain's or the guest's own.
    ///
    /// # Errors
    /// As [`Domain::attach`].
    pub(crate) fn attach_nested(
        &mut self,
        env: Env<'_>,
        stream: StreamId,
        guest: &VirtualSte,
        vmid: Vmid,
    ) -> Result<(), Errno> {
        self.enter(env, stream, (Some(guest), vmid))
    }

    fn enter(
        &mut self,
        env: Env<'_>,
        stream: StreamId,
        (guest, vmid): (Option<&VirtualSte>, Vmid),
    ) -> Result<(), Errno> {
        let smmu = self.smmu_of(env);
        if let Tag::Stage2(_) = self.tag {
            // From here on an unmap sends its TLBI, before the first translation can be made.
            smmu.join_vmid(env, vmid);
        }
        self.remembered = self.ownership == Ownership::SharedVmid;
        self.users.push((stream, vmid));
        if !env.has(FaultSwitch::InvAttachRace) {
            // Whoever unmaps from now on sees the stream, or its STE is not there yet.
            env.cpu.barrier();
        }
        let written = match guest {
            None => self.write_entry(env, smmu, stream),
            Some(guest) => {
                let entry = guest.over(&self.stage2_entry(smmu, vmid));
                strtab::write(env, smmu, stream, &entry)
            }
        };
        if written.is_ok() {
            // What the endpoint has from another domain goes, and with a guest ATS is off.
            Self::forget_at(env, smmu, stream);
        } else {
            self.users.pop();
            if let Tag::Stage2(_) = self.tag {
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
            Tag::Stage2(vmid) => self.stage2_entry(smmu, vmid),
        };
        let ats = smmu.ats_streams.contains(&stream);
        let eats = if ats { Eats::Full } else { Eats::Disabled };
        strtab::write(env, smmu, stream, &Ste { eats, ..plain }.encode())
    }

    fn stage2_entry(&self, smmu: &Smmu, vmid: Vmid) -> Ste {
        entries::stage2(&self.table, vmid, &smmu.features)
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
        if !env.has(FaultSwitch::NoAtcAtDetach) {
            atc::forget(env, smmu, atc::commands(smmu, &[stream], None));
        }
    }

    /// A stream whose entry names something else by now leaves. When it was the last that used the
    /// number, everything of the number is forgotten.
    pub(crate) fn leave(&mut self, env: Env<'_>, stream: StreamId) {
        let smmu = self.smmu_of(env);
        let at = self.users.iter().position(|&(attached, _)| attached == stream);
        let vmid = at.map_or(self.tag.vmid(), |at| self.users.remove(at).1);
        let (tag, last) = match self.tag {
            Tag::Stage1(_) => (self.tag, self.users.is_empty()),
            Tag::Stage2(_) => (Tag::Stage2(vmid), smmu.leave_vmid(env, vmid)),
        };
        if last && !env.has(FaultSwitch::FlushAtFree) {
            flush(env, smmu, tag);
            self.forgotten(env, smmu, vmid);
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
        let tags = if gather.is_empty() { Vec::new() } else { self.live_tags(env, smmu) };
        let range = (input, input + (bytes - 1));
        // What a guest's stage 1 made of the range has other addresses.
        let forgotten = (!self.nest_parent).then_some(range);
        let streams: Vec<_> = if tags.is_empty() { Vec::new() } else { self.streams().collect() };
        let mut atc = atc::commands(smmu, &streams, forgotten);
        if env.has(FaultSwitch::AtcBeforeTlbi) {
            atc::forget(env, smmu, std::mem::take(&mut atc));
        }
        if env.has(FaultSwitch::RangeEndInclusive) && smmu.features.ril {
            self.run_over(env, range, &tags);
        }
        let batch = (!tags.is_empty()).then(|| self.invalidate(env, smmu, &gather, &tags));
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
        let tags = self.live_tags(env, smmu);
        tags.iter().for_each(|&tag| flush(env, smmu, tag));
        if !tags.is_empty() {
            let streams: Vec<_> = self.streams().collect();
            atc::forget(env, smmu, atc::commands(smmu, &streams, None));
        }
    }

    /// What an input address is mapped to.
    pub(crate) fn translate(&self, env: Env<'_>, input: u64) -> Option<Pa> {
        self.table.translate(env.cpu, input).map(Pa)
    }

    /// The tags under which translations of the domain may be cached. Without a stream there are
    /// none: the last one that left flushed them.
    fn live_tags(&self, env: Env<'_>, smmu: &Smmu) -> Vec<Tag> {
        let always = env.has(FaultSwitch::FlushAtFree);
        match self.tag {
            Tag::Stage1(_) if always || !self.users.is_empty() => vec![self.tag],
            Tag::Stage1(_) => Vec::new(),
            Tag::Stage2(_) => {
                let mut vmids = self.vmids();
                vmids.retain(|&vmid| always || smmu.uses_vmid(env, vmid));
                vmids.into_iter().map(Tag::Stage2).collect()
            }
        }
    }

    /// The domain's own VMID, and those of guests that use it under a VMID of theirs.
    fn vmids(&self) -> Vec<Vmid> {
        let mut vmids = vec![self.tag.vmid()];
        for &(_, vmid) in &self.users {
            if !vmids.contains(&vmid) {
                vmids.push(vmid);
            }
        }
        vmids
    }

    /// The loop over the pieces of a range that is one byte too long.
    fn run_over(&self, env: Env<'_>, (first, last): (u64, u64), tags: &[Tag]) {
        if let [Tag::Stage1(_)] = tags {
            let bytes = last - first + 2;
            env.oops(Oops::EndlessRange { smmu: self.smmu, first, bytes });
        }
    }

    fn invalidate<'a>(
        &self,
        env: Env<'a>,
        smmu: &'a Smmu,
        gather: &Gather,
        tags: &[Tag],
    ) -> Batch<'a> {
        let mut batch = Batch::new(env, smmu);
        if env.has(FaultSwitch::SkipUnmapTlbi) {
            return batch;
        }
        for &tag in tags {
            let tag = match tag {
                Tag::Stage2(_) if env.has(FaultSwitch::TlbiWrongVmid) => Tag::Stage2(Vmid(0)),
                tag => tag,
            };
            let limited = env.driver.options.tlbi_limit;
            let scope = gather.invalidate(&mut batch, &smmu.features, tag, limited);
            // A TLBI by IPA need not reach what was combined with a guest's stage 1.
            if self.nest_parent && scope == Scope::Addresses && !env.has(FaultSwitch::SkipS1Clear) {
                batch.sync();
                batch = Batch::new(env, smmu);
                batch.add(Command::TlbiNhAll(TlbiVmid { vmid: tag.vmid() }));
            }
        }
        batch
    }

    fn promises(&self, env: Env<'_>, range: (u64, u64)) -> Vec<Promise> {
        let space = (self.smmu, self.tag.vmid());
        let parts = match self.ownership {
            Ownership::SharedVmid => {
                let own = env.driver.sharing.remove(env, space, self.number, range);
                if env.has(FaultSwitch::SplitTables) { vec![range] } else { own }
            }
            Ownership::Asid | Ownership::Vmid => vec![range],
        };
        let (stage, asid) = match self.tag {
            Tag::Stage1(asid) => (Stage::Stage1, Some(asid)),
            Tag::Stage2(_) => (Stage::Stage2, None),
        };
        let promise = |vmid| {
            move |(first, last)| Promise::Unmapped {
                smmu: self.smmu,
                stage,
                vmid,
                asid,
                first,
                last,
            }
        };
        self.vmids()
            .into_iter()
            .flat_map(|vmid| parts.clone().into_iter().map(promise(vmid)))
            .collect()
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
        for at in 0..self.users.len() {
            smmu.join_vmid(env, vmid);
            self.write_entry(env, smmu, self.users[at].0)?;
            self.users[at].1 = vmid;
            last = smmu.leave_vmid(env, old);
        }
        env.driver.sharing.retag(env, self.smmu, self.number, old, vmid);
        if last && !env.has(FaultSwitch::VmidSwapWithoutTlbi) {
            flush(env, smmu, Tag::Stage2(old));
            self.forgotten(env, smmu, old);
            self.remembered = true;
        }
        Ok(())
    }

    /// Gives the domain another ASID, because a process has the old one and shares its address space
    /// with a device (Linux's `arm_smmu_share_asid`): contexts first, then the old number is
    /// forgotten and free. Nothing happens to a stage 2.
    ///
    /// # Errors
    /// ENOSPC: no ASID is free. EIO.
    pub(crate) fn give_asid(&mut self, env: Env<'_>) -> Result<(), Errno> {
        let Tag::Stage1(old) = self.tag else { return Ok(()) };
        let smmu = self.smmu_of(env);
        self.tag = Tag::Stage1(smmu.allocate_asid(env)?);
        self.streams().try_for_each(|stream| self.write_entry(env, smmu, stream))?;
        if !env.has(FaultSwitch::AsidSeizeWithoutTlbi) {
            flush(env, smmu, Tag::Stage1(old));
        }
        smmu.free_asid(env, old);
        Ok(())
    }

    /// Gives tables and number back. Whatever was mapped should be unmapped and no stream attached;
    /// the series frees some domains nevertheless (bug B2). A table whose descriptors may be remembered
    /// under a VMID that is in use is kept until that is flushed, with the last stream.
    pub(crate) fn free(self, env: Env<'_>) {
        let smmu = self.smmu_of(env);
        if !self.users.is_empty() {
            env.log(smmu, Notice::FreedAttachedDomain { vmid: self.tag.vmid() });
        }
        if env.has(FaultSwitch::FlushAtFree) {
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
            smmu.adopt_vmid(env, vmid)?;
            Ok(vmid)
        }
    }
}

fn shared_vmid(env: Env<'_>, told: Option<u32>) -> Result<Vmid, Errno> {
    match told {
        // Bug B4: 16 bits of the number, of which 0 means "none told".
        Some(number) if env.has(FaultSwitch::VmidUnchecked) && number as u16 == 0 => {
            env.driver.shared_vmids.allocate(env)
        }
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
