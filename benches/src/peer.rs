//! The peer: the crate `smmu` 1.8, which keeps its mappings in hash maps and its TLB in one more.
//!
//! It does the same work through its own interface: streams configured, pages mapped one by one,
//! TLB on, statistics on (they cannot be switched off).

use crate::layout::{self, IOVA, PAGE, Stages};
use smmu_peer::SMMU;
use smmu_peer::prelude::{
    AccessType, CacheConfig, CommandEntry, CommandType, IOVA as PeerIova, PA, PASID,
    PagePermissions, SMMUConfig, SecurityState, StreamConfig, StreamID,
};

/// The smallest TLB that the peer lets one have.
pub const TLB_ENTRIES_MIN: usize = CacheConfig::MIN_CACHE_SIZE;

/// The peer with its streams mapped.
pub struct Peer {
    smmu: SMMU,
}

impl Peer {
    /// The same streams and mappings as [`Machine`](crate::machine::Machine) builds.
    #[must_use]
    pub fn new(tlb_entries: usize, streams: usize, stages: Stages, pages: u64) -> Self {
        let cache = CacheConfig::builder().tlb_cache_size(tlb_entries).build().expect("a TLB");
        let config = SMMUConfig::builder().cache_config(cache).build().expect("a configuration");
        let smmu = SMMU::with_config(config);
        smmu.enable().expect("a fresh SMMU");
        (0..streams).for_each(|thread| map_stream(&smmu, thread, stages, pages));
        Self { smmu }
    }

    /// Translates a read of a stream: the output address.
    #[inline(always)]
    pub fn translate(&self, of: &PeerStream, iova: u64) -> u64 {
        let iova = PeerIova::new(iova).expect("48 bits");
        let (access, security) = (AccessType::Read, SecurityState::NonSecure);
        let translated = self.smmu.translate(of.stream, of.pasid, iova, access, security);
        translated.expect("a mapped page").physical_address().as_u64()
    }

    /// CMD_TLBI_NH_VA and CMD_SYNC, consumed at once: commands done.
    #[inline]
    pub fn invalidate_page(&self, thread: usize, iova: u64) -> u64 {
        let id = layout::stream(thread);
        let mut command = CommandEntry::new(CommandType::TlbiNhVa, u32::from(id), 0);
        (command.vmid, command.asid) = (id, id);
        (command.start_address, command.end_address) = (iova, iova);
        let sync = CommandEntry::new(CommandType::Sync, 0, 0);
        for command in [command, sync] {
            self.smmu.submit_command(command).expect("room in the queue");
        }
        self.smmu.process_command_queue().expect("legal commands") as u64
    }
}

/// The names of a stream.
#[derive(Clone, Copy)]
pub struct PeerStream {
    stream: StreamID,
    pasid: PASID,
}

impl PeerStream {
    /// The stream of a thread.
    #[must_use]
    pub fn new(thread: usize) -> Self {
        let stream = StreamID::new(u32::from(layout::stream(thread))).expect("a small number");
        Self { stream, pasid: PASID::new(0).expect("a small number") }
    }
}

fn map_stream(smmu: &SMMU, thread: usize, stages: Stages, pages: u64) {
    let PeerStream { stream, pasid } = PeerStream::new(thread);
    let nested = stages == Stages::Nested;
    let config = StreamConfig::builder()
        .translation_enabled(true)
        .stage1_enabled(true)
        .stage2_enabled(nested)
        .build()
        .expect("a stream");
    smmu.configure_stream(stream, config).expect("a free stream");
    if nested {
        smmu.create_stage2_address_space(stream).expect("stage 2 is on");
    }
    smmu.create_pasid(stream, pasid).expect("a free PASID");
    smmu.set_pasid_asid(stream, pasid, layout::stream(thread)).expect("a PASID");
    smmu.set_stream_vmid(stream, layout::stream(thread)).expect("a stream");
    let rights = PagePermissions::read_write;
    let security = SecurityState::NonSecure;
    for page in 0..pages {
        let input = PeerIova::new(IOVA + page * PAGE).expect("48 bits");
        let output = PA::new(layout::output(page, pages)).expect("48 bits");
        let middle = layout::ipa(page, pages);
        let stage1 = if nested { PA::new(middle).expect("48 bits") } else { output };
        smmu.map_page(stream, pasid, input, stage1, rights(), security).expect("a free page");
        if nested {
            let ipa = PeerIova::new(middle).expect("48 bits");
            smmu.map_stage2_page(stream, ipa, output, rights(), security).expect("a free page");
        }
    }
}
