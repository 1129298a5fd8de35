//! What happened in a run, as the text of other tools: QEMU's trace events, and rows of a trace that
//! a study of TLBs reads.

use smmu_arch::{
    AddressSpace, AsidMatch, Command, ConfigKey, Event, Invalidation, Observation, Path, Stages,
    Structure, TlbEntry, TlbScope, Transaction, VmidMatch, Why,
};
use std::fmt::Write;

/// A form of text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TraceText {
    /// Trace events of QEMU's SMMUv3 (hw/arm/trace-events), without the prefix of a log.
    Qemu,
    /// Rows of `sid,ssid,vmid,asid,iova,rw`, one a transaction that was translated.
    Csv,
}

/// Writes observations as they come.
#[derive(Debug)]
pub(super) struct TraceWriter {
    form: TraceText,
    text: String,
    lookups: Tally,
    configurations: Tally,
}

/// Hits and misses so far, as QEMU prints them behind each look-up.
#[derive(Clone, Copy, Default, Debug)]
struct Tally {
    hits: u64,
    misses: u64,
}

impl Tally {
    fn count(&mut self, hit: bool) -> u64 {
        *(if hit { &mut self.hits } else { &mut self.misses }) += 1;
        100 * self.hits / (self.hits + self.misses)
    }
}

impl TraceWriter {
    pub(super) fn new(form: TraceText) -> Self {
        let text = match form {
            TraceText::Qemu => String::new(),
            TraceText::Csv => "sid,ssid,vmid,asid,iova,rw\n".to_owned(),
        };
        let (lookups, configurations) = Default::default();
        Self { form, text, lookups, configurations }
    }

    pub(super) fn take(&mut self) -> String {
        std::mem::take(&mut self.text)
    }

    pub(super) fn observe(&mut self, observation: &Observation) {
        match self.form {
            TraceText::Qemu => self.qemu(observation),
            TraceText::Csv => self.csv(observation),
        }
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // A string takes whatever is written into it.
        let _ = writeln!(self.text, "{line}");
    }

    fn csv(&mut self, observation: &Observation) {
        let Observation::Translated { transaction, space: Some(space), .. } = observation else {
            return;
        };
        let Transaction { stream, substream, iova, access } = transaction;
        let (ssid, rw) =
            (substream.map_or(0, |id| id.0), if access.is_write() { 'w' } else { 'r' });
        let AddressSpace { vmid, asid, .. } = space;
        self.line(format_args!("{},{ssid},{},{},{:#x},{rw}", stream.0, vmid.0, asid.0, iova.0));
    }

    fn qemu(&mut self, observation: &Observation) {
        match observation {
            Observation::ConfigLookedUp { key: ConfigKey::Ste(stream), hit } => {
                let (stream, hit) = (stream.0, *hit);
                let rate = self.configurations.count(hit);
                let Tally { hits, misses } = self.configurations;
                let (event, shout) = if hit { ("hit", "HIT") } else { ("miss", "MISS") };
                self.line(format_args!(
                    "smmuv3_config_cache_{event} Config cache {shout} for sid={stream:#x} \
                     (hits={hits}, misses={misses}, hit rate={rate})"
                ));
            }
            Observation::Fetched { pa, why: Why::Ste } => {
                self.line(format_args!("smmuv3_get_ste STE addr: {:#x}", pa.0));
            }
            Observation::Fetched { pa, why: Why::Cd } => {
                self.line(format_args!("smmuv3_get_cd CD addr: {:#x}", pa.0));
            }
            Observation::LookedUp { structure: Structure::MainTlb, space, input, hit } => {
                self.looked_up(space, *input, hit.is_some());
            }
            Observation::Filled { structure: Structure::MainTlb, entry, .. } => self.filled(entry),
            Observation::Translated { transaction, output, path, space } => {
                self.translated(transaction, output.0, *path, space.as_ref());
            }
            Observation::EventRecorded(event) => self.recorded(event),
            Observation::CommandConsumed(command) => self.consumed(command),
            Observation::Invalidated { scope: Invalidation::Translations(scope), .. } => {
                self.invalidated(scope);
            }
            _ => {}
        }
    }

    fn looked_up(&mut self, space: &AddressSpace, input: u64, hit: bool) {
        let rate = self.lookups.count(hit);
        let Tally { hits, misses } = self.lookups;
        let (event, shout) = if hit { ("hit", "HIT") } else { ("miss", "MISS") };
        let (asid, vmid, page) = (space.asid.0, space.vmid.0, input & !0xfff);
        self.line(format_args!(
            "smmu_iotlb_lookup_{event} IOTLB cache {shout} asid={asid} vmid={vmid} addr={page:#x} \
             hit={hits} miss={misses} hit rate={rate}"
        ));
    }

    fn filled(&mut self, entry: &TlbEntry) {
        let Some(leaf) = entry.stage1.or(entry.stage2) else { return };
        let (asid, vmid) = (entry.space.asid.0, entry.space.vmid.0);
        let granule = granule_code(leaf.granule);
        self.line(format_args!(
            "smmu_iotlb_insert IOTLB ++ asid={asid} vmid={vmid} addr={:#x} tg={granule} level={}",
            entry.input, leaf.level
        ));
    }

    fn translated(
        &mut self,
        transaction: &Transaction,
        output: u64,
        path: Path,
        space: Option<&AddressSpace>,
    ) {
        let (stream, iova) = (transaction.stream.0, transaction.iova.0);
        let region = format!("smmuv3-iommu-memory-region-{stream}");
        let is_write = u8::from(transaction.access.is_write());
        match (path, space) {
            (Path::Bypass, _) | (_, None) => self.line(format_args!(
                "smmuv3_translate_bypass {region} sid={stream:#x} bypass (smmu enabled) \
                 iova:{iova:#x} is_write={is_write}"
            )),
            (_, Some(space)) => {
                let stage = match space.kind {
                    smmu_arch::EntryKind::Stage1 => 1,
                    smmu_arch::EntryKind::Stage2 => 2,
                    smmu_arch::EntryKind::Combined => 3,
                };
                let perm = 1 + is_write;
                self.line(format_args!(
                    "smmuv3_translate_success {region} sid={stream:#x} iova={iova:#x} \
                     translated={output:#x} perm={perm:#x} stage={stage}"
                ));
            }
        }
    }

    fn recorded(&mut self, event: &Event) {
        let (name, stream) = (event.kind.name(), event.stream.0);
        self.line(format_args!("smmuv3_record_event {name} sid={stream:#x}"));
    }

    fn consumed(&mut self, command: &Command) {
        let name = command.name();
        let name = name.strip_prefix("CMD_").unwrap_or(name);
        self.line(format_args!("smmuv3_cmdq_opcode <--- SMMU_CMD_{name}"));
    }

    fn invalidated(&mut self, scope: &TlbScope) {
        let vmid = match scope.vmid {
            VmidMatch::Like { vmid, .. } => Some(vmid.0),
            VmidMatch::Any => None,
        };
        let asid = match scope.asid {
            AsidMatch::NonGlobal(asid) | AsidMatch::OrGlobal(asid) => Some(asid.0),
            AsidMatch::Any => None,
        };
        let stage = if scope.stages == Stages::Stage2 { 2 } else { 1 };
        match (scope.address, vmid, asid) {
            (Some(range), ..) => {
                let (vmid, asid) = (vmid.map_or(-1, i32::from), asid.map_or(-1, i32::from));
                let granule = range.granule.map_or(1, granule_code);
                let pages = (range.last.wrapping_sub(range.first) >> (10 + 2 * granule)) + 1;
                self.line(format_args!(
                    "smmuv3_range_inval vmid={vmid} asid={asid} addr={:#x} tg={granule} \
                     num_pages={pages:#x} ttl={} leaf={} stage={stage}",
                    range.first,
                    range.level,
                    u8::from(range.leaf)
                ));
            }
            (None, Some(vmid), Some(asid)) => self.line(format_args!(
                "smmu_iotlb_inv_asid_vmid IOTLB invalidate asid={asid} vmid={vmid}"
            )),
            (None, Some(vmid), None) => {
                self.line(format_args!("smmu_iotlb_inv_vmid IOTLB invalidate vmid={vmid}"));
            }
            (None, None, _) => self.line(format_args!("smmu_iotlb_inv_all IOTLB invalidate all")),
        }
    }
}

/// TG as commands encode it: 1 for 4K, 2 for 16K, 3 for 64K.
const fn granule_code(granule: smmu_arch::Granule) -> u32 {
    (granule.shift() - 10) / 2
}
