//! What fetched words say, in a few words.

use smmu_arch::{
    Cd, DefaultSubstream, DescriptorFormat, Features, Granule, L1Cd, L1Std, Pa, Stage,
    Stage1LeafWord, Stage2LeafWord, Ste, StreamConfig, Why, descriptor_address,
};
use std::fmt::Write;

/// Reads what was fetched. It remembers what the STE and the CD said about the tables that are
/// fetched after them; where both were cached, it takes the tables for 4K ones.
pub(super) struct Reader<R> {
    read: R,
    features: Features,
    formats: [(Granule, DescriptorFormat); 2],
}

impl<R: Fn(Pa) -> Option<u64>> Reader<R> {
    pub(super) fn new(features: Features, read: R) -> Self {
        Self { read, features, formats: [(Granule::K4, DescriptorFormat::Bits48); 2] }
    }

    /// The word at `pa` and what it says.
    pub(super) fn fetched(&mut self, pa: Pa, why: Why) -> String {
        let Some(word) = (self.read)(pa) else { return format!("{why} at {pa}: no memory") };
        let says = match why {
            Why::L1Std => level1(L1Std::decode(word).span != 0, L1Std::decode(word).l2ptr),
            Why::L1Cd => level1(L1Cd::decode(word).valid, L1Cd::decode(word).l2ptr),
            Why::Ste => self.ste(&Ste::decode(&self.structure(pa))),
            Why::Cd => self.cd(&Cd::decode(&self.structure(pa))),
            Why::Descriptor { stage, level } => self.descriptor(word, stage, level),
            _ => return format!("{why} at {pa}: {word:#018x}"),
        };
        format!("{why} at {pa}: {word:#018x}, {says}")
    }

    /// The 64 bytes of an STE or CD.
    fn structure(&self, pa: Pa) -> [u64; 8] {
        std::array::from_fn(|index| {
            (self.read)(Pa(pa.0.wrapping_add(8 * index as u64))).unwrap_or(0)
        })
    }

    fn ste(&mut self, ste: &Ste) -> String {
        if !ste.valid {
            return "invalid".to_owned();
        }
        let mut says = match ste.config {
            StreamConfig::Abort => return "abort".to_owned(),
            StreamConfig::Bypass => return "bypass".to_owned(),
            StreamConfig::Stage1 => "stage 1".to_owned(),
            StreamConfig::Stage2 => "stage 2".to_owned(),
            StreamConfig::Nested => "stages 1 and 2".to_owned(),
        };
        if ste.config.has_stage1() {
            let _ = write!(says, ", CDs at {:#x}", ste.s1_context_ptr);
            if ste.s1_cd_max > 0 && ste.s1_dss == DefaultSubstream::Bypass {
                says.push_str(", bypass without a SubstreamID");
            }
        }
        if let (true, Some(granule)) = (ste.config.has_stage2(), ste.s2_tg) {
            self.formats[1] = (granule, ste.s2_descriptor_format(&self.features));
            let (vmid, tables) = (ste.vmid, ste.s2_ttb);
            let _ = write!(says, ", VMID {vmid}, stage 2 tables of {granule} at {tables:#x}");
        }
        says
    }

    fn cd(&mut self, cd: &Cd) -> String {
        if !cd.valid {
            return "invalid".to_owned();
        }
        let mut says = format!("ASID {}", cd.asid);
        for table in cd.tables.iter().filter(|table| !table.epd) {
            let Some(granule) = table.tg else { continue };
            self.formats[0] = (granule, cd.descriptor_format(table, &self.features));
            let _ = write!(says, ", stage 1 tables of {granule} at {:#x}", table.ttb);
        }
        says
    }

    fn descriptor(&self, word: u64, stage: Stage, level: i8) -> String {
        let (granule, format) = self.formats[usize::from(stage == Stage::Stage2)];
        let address = descriptor_address(word, granule.shift(), format);
        let kind = match (word & 3, level) {
            (3, 3) => "page",
            (3, _) => return format!("table at {address:#x}"),
            (1, ..3) => "block",
            _ => return "invalid".to_owned(),
        };
        format!("{kind} at {address:#x}{}", leaf(word, stage))
    }
}

fn level1(valid: bool, table: u64) -> String {
    if valid { format!("level 2 at {table:#x}") } else { "invalid".to_owned() }
}

/// What a leaf allows, and what else decides about its use.
fn leaf(word: u64, stage: Stage) -> String {
    let (one, two) = (Stage1LeafWord::from(word), Stage2LeafWord::from(word));
    let (access, global) = match stage {
        Stage::Stage1 if one.ap_read_only() => (", read-only", !one.ng()),
        Stage::Stage1 => (", read and write", !one.ng()),
        Stage::Stage2 => match (two.read(), two.write()) {
            (true, true) => (", read and write", false),
            (true, false) => (", read-only", false),
            (false, true) => (", write-only", false),
            (false, false) => (", no access", false),
        },
    };
    let mut says = access.to_owned();
    for (is, what) in [
        (stage == Stage::Stage1 && !one.ap_unprivileged(), ", privileged only"),
        (global, ", global"),
        (one.contiguous(), ", contiguous"),
        (!one.af(), ", AF clear"),
    ] {
        says.push_str(if is { what } else { "" });
    }
    says
}
