//! Every latency, slot count and policy: the `[timing]` table of a machine file.
//!
//! Names are those of gem5's SMMUv3 model where they mean the same: `lat` and `slots` without a unit
//! count cycles of the SMMU and slots.

use crate::Moment;
use schemars::JsonSchema;
use serde::Deserialize;

/// A parameter, for lists.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Parameter {
    /// Key in the table.
    pub key: &'static str,
    /// Unit.
    pub unit: &'static str,
    /// Smallest value.
    pub least: u64,
    /// Largest value.
    pub most: u64,
    /// Where the default comes from, or that it is assumed.
    pub source: &'static str,
}

/// A value that no machine can have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Impossible {
    /// The parameter.
    pub parameter: Parameter,
    /// The value.
    pub value: u64,
}

/// Says each parameter once: its field, its key in the file, its default, range, unit and source.
macro_rules! parameters {
    ($($(#[doc = $doc:literal])+ $key:ident: $type:ty = $default:expr, $least:expr => $most:expr,
       $unit:literal, $source:literal;)+) => {
        /// What takes how long, and how much of it can be done at once.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub struct Parameters {
            $($(#[doc = $doc])+ pub $key: $type,)+
        }

        /// The `[timing]` table. What is not given keeps its default.
        #[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields)]
        pub struct TimingTable {
            $($(#[doc = $doc])+ #[doc = concat!("Default: ", stringify!($default), ".")]
              pub $key: Option<$type>,)+
        }

        impl Default for Parameters {
            fn default() -> Self {
                Self { $($key: $default,)+ }
            }
        }

        impl Parameters {
            /// All parameters, in the order of the table.
            pub const ALL: &'static [Parameter] = &[$(Parameter {
                key: stringify!($key), unit: $unit, least: $least, most: $most, source: $source,
            },)+];

            /// With the keys of a table over it.
            #[must_use]
            pub fn with(self, over: &TimingTable) -> Self {
                Self { $($key: over.$key.unwrap_or(self.$key),)+ }
            }

            /// Each with its value; a switch is 0 or 1.
            pub fn values(&self) -> impl Iterator<Item = (Parameter, u64)> + use<> {
                let values = [$(u64::from(self.$key),)+];
                Self::ALL.iter().copied().zip(values)
            }
        }
    };
}

parameters! {
    /// Clock of the SMMU in MHz, 1 to 10000; a cycle is one period of it.
    clock_mhz: u32 = 1000, 1 => 10_000, "MHz", "assumed";
    /// Look-up in a µTLB, in cycles.
    utlb_lat: u32 = 1, 0 => 1_000_000, "cycles", "gem5 SMMUv3: utlb_lat";
    /// Look-ups under way at once in a µTLB, 1 to 4096.
    utlb_slots: u32 = 1, 1 => 4096, "slots", "gem5 SMMUv3: utlb_slots";
    /// Look-up in a main TLB, in cycles.
    tlb_lat: u32 = 3, 0 => 1_000_000, "cycles", "gem5 SMMUv3: tlb_lat";
    /// Look-ups under way at once in a main TLB, 1 to 4096.
    tlb_slots: u32 = 3, 1 => 4096, "slots", "gem5 SMMUv3: tlb_slots";
    /// Transactions of a port that are under way at once, from their arrival to their end, 1 to 1024.
    ifc_xlate_slots: u32 = 16, 1 => 1024, "slots", "gem5 SMMUv3: xlate_slots of a device interface";
    /// Hits of a port are served while it waits for a miss. Without it a port has one transaction at
    /// a time.
    hit_under_miss: bool = true, 0 => 1, "switch", "documented for the MMU-700";
    /// A miss of a page that is being walked for waits for that walk, and makes none of its own.
    merge_misses: bool = true, 0 => 1, "switch", "assumed";
    /// Bytes that a port moves in a cycle, 1 to 4096.
    port_width: u32 = 16, 1 => 4096, "bytes", "gem5 SMMUv3: port_width";
    /// From a port to the SMMU's shared part (TBU to TCU), in cycles.
    ifc_smmu_lat: u32 = 8, 0 => 1_000_000, "cycles", "gem5 SMMUv3: ifc_smmu_lat";
    /// From the shared part to a port (TCU to TBU), in cycles.
    smmu_ifc_lat: u32 = 8, 0 => 1_000_000, "cycles", "gem5 SMMUv3: smmu_ifc_lat";
    /// From one message on the link to the next, each way, in cycles.
    link_gap: u32 = 1, 0 => 1_000_000, "cycles", "gem5 SMMUv3: one message a cycle";
    /// Translations that the shared part works on at once, 1 to 65536.
    xlate_slots: u32 = 64, 1 => 65_536, "slots", "gem5 SMMUv3: xlate_slots";
    /// Look-up of configuration in the shared part, in cycles.
    cfg_lat: u32 = 3, 0 => 1_000_000, "cycles", "gem5 SMMUv3: cfg_lat";
    /// Look-ups of configuration under way at once, 1 to 4096.
    cfg_slots: u32 = 3, 1 => 4096, "slots", "gem5 SMMUv3: cfg_slots";
    /// Fetches of configuration under way at once, 1 to 4096.
    cfg_fetch_slots: u32 = 4, 1 => 4096, "slots", "documented for the MMU-700: 1, 2 or 4";
    /// Look-up in the walk caches and the IPA TLB, in cycles.
    walk_lat: u32 = 4, 0 => 1_000_000, "cycles", "gem5 SMMUv3: walk_lat";
    /// Look-ups under way at once in the walk caches, 1 to 4096.
    walk_slots: u32 = 4, 1 => 4096, "slots", "gem5 SMMUv3: walk_slots";
    /// Walks under way at once, 1 to 65536.
    ptw_slots: u32 = 16, 1 => 65_536, "slots", "gem5 SMMUv3: ptw_slots";
    /// Decoding and execution of a command behind its fetch, in cycles.
    cmd_lat: u32 = 4, 0 => 1_000_000, "cycles", "assumed";
    /// Search of the structures for what a message says to forget, in cycles.
    inv_lat: u32 = 4, 0 => 1_000_000, "cycles", "assumed";
    /// Invalidation messages from the shared part to the ports under way at once, 1 to 4096.
    inv_slots: u32 = 1, 1 => 4096, "slots", "documented for the MMU-700";
    /// Completion of a CMD_SYNC behind the last that it waits for, in cycles.
    sync_lat: u32 = 4, 0 => 1_000_000, "cycles", "assumed";
    /// A wired interrupt or event (SEV) to the CPU that waits for it, in ns.
    irq_lat_ns: u32 = 100, 0 => 1_000_000, "ns", "assumed";
    /// From a device to its port, and from there back, each way, in ns.
    device_lat_ns: u32 = 0, 0 => 1_000_000, "ns", "assumed: an integrated device";
    /// A message from the SMMU to an endpoint (ATS), in ns.
    atc_lat_ns: u32 = 450, 0 => 1_000_000, "ns", "HyperSIO: PCIe, one way";
    /// An access to memory, in ns.
    mem_lat_ns: u32 = 50, 0 => 1_000_000, "ns", "HyperSIO: DRAM";
    /// Bytes that memory moves in a nanosecond, 1 to 65536. An access takes whole lines of 64 bytes.
    mem_bytes_per_ns: u32 = 64, 1 => 65_536, "bytes/ns", "assumed";
    /// Accesses to memory under way at once, 1 to 65536.
    mem_slots: u32 = 256, 1 => 65_536, "slots", "assumed";
    /// Size of the last-level cache through which walks go, in KiB; 0 for none.
    llc_kib: u32 = 0, 0 => 1_048_576, "KiB", "assumed: none";
    /// Ways of the last-level cache, 1 to 64.
    llc_ways: u32 = 16, 1 => 64, "ways", "assumed";
    /// A hit in the last-level cache, in ns.
    llc_lat_ns: u32 = 15, 0 => 1_000_000, "ns", "assumed";
    /// A CPU reads a word of memory, in ns.
    cpu_load_ns: u32 = 2, 0 => 1_000_000, "ns", "assumed: in its cache";
    /// A CPU writes a word of memory, in ns.
    cpu_store_ns: u32 = 2, 0 => 1_000_000, "ns", "assumed: in its cache";
    /// A CPU replaces a word of memory (CAS), in ns. Those of one line of 64 bytes exclude each
    /// other.
    cpu_cas_ns: u32 = 20, 0 => 1_000_000, "ns", "assumed";
    /// A CPU reads a device register, in ns.
    mmio_read_ns: u32 = 100, 0 => 1_000_000, "ns", "assumed";
    /// A CPU writes a device register, in ns.
    mmio_write_ns: u32 = 20, 0 => 1_000_000, "ns", "assumed: posted";
    /// A CPU orders its accesses, in ns.
    cpu_barrier_ns: u32 = 10, 0 => 1_000_000, "ns", "assumed";
    /// A CPU takes a lock, or gives it back, in ns.
    cpu_lock_ns: u32 = 10, 0 => 1_000_000, "ns", "assumed";
    /// A CPU broadcasts a TLBI, in ns.
    cpu_tlbi_ns: u32 = 20, 0 => 1_000_000, "ns", "assumed";
}

/// Bytes of a line of memory.
pub(crate) const LINE_BYTES: u64 = 64;

impl Parameters {
    /// Nothing takes time, and nobody waits for anybody: the order of steps is that of the actors'
    /// numbers alone.
    #[must_use]
    pub fn zero() -> Self {
        let default = Self::default();
        Self {
            utlb_lat: 0,
            tlb_lat: 0,
            merge_misses: false,
            port_width: u32::MAX,
            ifc_smmu_lat: 0,
            smmu_ifc_lat: 0,
            link_gap: 0,
            xlate_slots: u32::MAX,
            cfg_lat: 0,
            cfg_fetch_slots: u32::MAX,
            walk_lat: 0,
            ptw_slots: u32::MAX,
            cmd_lat: 0,
            inv_lat: 0,
            inv_slots: u32::MAX,
            sync_lat: 0,
            irq_lat_ns: 0,
            device_lat_ns: 0,
            atc_lat_ns: 0,
            mem_lat_ns: 0,
            mem_bytes_per_ns: u32::MAX,
            mem_slots: u32::MAX,
            llc_lat_ns: 0,
            cpu_load_ns: 0,
            cpu_store_ns: 0,
            cpu_cas_ns: 0,
            mmio_read_ns: 0,
            mmio_write_ns: 0,
            cpu_barrier_ns: 0,
            cpu_lock_ns: 0,
            cpu_tlbi_ns: 0,
            ..default
        }
    }

    /// Values that no machine can have, in the order of the table.
    pub fn impossible(&self) -> impl Iterator<Item = Impossible> {
        let out = |&(parameter, value): &(Parameter, u64)| {
            !(parameter.least..=parameter.most).contains(&value)
        };
        self.values().filter(out).map(|(parameter, value)| Impossible { parameter, value })
    }

    /// Lines of the last-level cache.
    #[must_use]
    pub const fn llc_lines(&self) -> u64 {
        self.llc_kib as u64 * 1024 / LINE_BYTES
    }

    /// Transactions that a port has under way at once.
    #[must_use]
    pub const fn transactions(&self) -> u32 {
        if self.hit_under_miss { self.ifc_xlate_slots } else { 1 }
    }

    /// This many cycles of the SMMU.
    #[must_use]
    pub fn cycles(&self, cycles: u32) -> Moment {
        Moment(u64::from(cycles) * 1_000_000 / u64::from(self.clock_mhz))
    }

    /// How long memory is kept busy by an access of so many bytes.
    #[must_use]
    pub fn transfer(&self, bytes: u64) -> Moment {
        let whole = bytes.next_multiple_of(LINE_BYTES).max(LINE_BYTES);
        Moment(whole * Moment::PER_NS / u64::from(self.mem_bytes_per_ns))
    }

    /// How long a port is kept busy by so many bytes.
    #[must_use]
    pub fn beats(&self, bytes: u64) -> Moment {
        match self.port_width {
            u32::MAX => Moment(0),
            width => self.cycles(bytes.div_ceil(width.into()) as u32),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_possible_and_what_is_not_is_told() {
        assert_eq!(Parameters::default().impossible().count(), 0);
        let none = Parameters { ptw_slots: 0, port_width: 0, ..Parameters::default() };
        let told: Vec<_> = none.impossible().map(|one| one.parameter.key).collect();
        assert_eq!(told, ["port_width", "ptw_slots"]);
    }

    #[test]
    fn a_table_replaces_what_it_names() {
        let table = TimingTable { ptw_slots: Some(8), ..TimingTable::default() };
        let with = Parameters::default().with(&table);
        assert_eq!((with.ptw_slots, with.xlate_slots), (8, 64));
    }

    #[test]
    fn lengths_of_time_are_exact() {
        let zero = Parameters::zero();
        assert_eq!((zero.transfer(4096), zero.beats(4096)), (Moment(0), Moment(0)));
        let parameters = Parameters { clock_mhz: 800, ..Parameters::default() };
        assert_eq!(parameters.cycles(8), Moment(10_000));
        assert_eq!(parameters.transfer(65), Moment(2_000));
        assert_eq!(parameters.beats(33), Moment(3 * 1250));
    }
}
