//! When an STE is illegal (C_BAD_STE). Architecture: section "STE", the ILLEGAL conditions.
//!
//! Each rule has the name that the table of facts gives it.

use super::Reference;
use super::bits::{address, bit, bits, size_bits};
use super::stage2::{granule, has_ds, start_level};
use super::table::has_granule;
use smmu_arch::{HardwareUpdate, StallModel};

impl Reference {
    /// The first rule that an STE with V = 1 and Config 4 to 7 breaks.
    pub(super) fn illegal_ste(&self, ste: &[u64; 8]) -> Option<&'static str> {
        let config = bits(ste, 3, 1);
        let stage1 = config & 1 == 1;
        let stage2 = config & 2 == 2;
        let rules = [
            ("STE-S1P", stage1 && !self.features.s1p),
            ("STE-S2P", stage2 && !self.features.s2p),
            ("STE-STRW", config == 5 && self.features.hyp && matches!(bits(ste, 95, 94), 1 | 3)),
            ("STE-EATS", config != 4 && self.illegal_eats(ste, config)),
            (
                "STE-S1STALLD",
                stage1
                    && bit(ste, 91)
                    && self.features.stall_model != StallModel::StallAndTerminate,
            ),
            ("STE-S1CDMAX", stage1 && self.illegal_cd_count(ste)),
            ("STE-S1FMT", stage1 && self.illegal_cd_format(ste)),
            ("STE-S1CTXPTR", config == 5 && address(ste, 0, 6) >> self.features.oas_bits != 0),
            (
                "STE-VMID8",
                self.uses_vmid(ste, config) && !self.features.vmid16 && bits(ste, 143, 136) != 0,
            ),
        ];
        let broken = rules.into_iter().find(|&(_, broken)| broken).map(|(name, _)| name);
        broken.or_else(|| if stage2 { self.illegal_stage2(ste) } else { None })
    }

    /// STE-EATS-SPLIT and STE-EATS-FULL-S2S.
    fn illegal_eats(&self, ste: &[u64; 8], config: u64) -> bool {
        let stalls = bit(ste, 185);
        match bits(ste, 93, 92) {
            _ if !self.features.ats => false,
            1 => config & 2 == 2 && stalls,
            2 => config != 7 || stalls || self.features.ns1ats,
            _ => false,
        }
    }

    fn illegal_cd_count(&self, ste: &[u64; 8]) -> bool {
        self.features.ssid_bits != 0 && bits(ste, 63, 59) > u64::from(self.features.ssid_bits)
    }

    fn illegal_cd_format(&self, ste: &[u64; 8]) -> bool {
        let several = self.features.ssid_bits != 0 && bits(ste, 63, 59) != 0;
        several && matches!(bits(ste, 5, 4), 1 | 2) && !self.features.two_level_cd
    }

    /// EL1 streams bear a VMID wherever stage 2 is implemented.
    fn uses_vmid(&self, ste: &[u64; 8], config: u64) -> bool {
        let el2 = config == 5 && self.features.hyp && bits(ste, 95, 94) == 2;
        self.features.s2p && config != 4 && !el2
    }

    fn illegal_stage2(&self, ste: &[u64; 8]) -> Option<&'static str> {
        let aarch64 = bit(ste, 179);
        let stalls = bit(ste, 185);
        let hardware_flag = bit(ste, 184);
        let hardware_dirty = bit(ste, 183);
        let big = bit(ste, 180);
        let t0sz = bits(ste, 165, 160);
        let granule = granule(ste).filter(|&shift| has_granule(&self.features, shift));
        let is_64k = granule == Some(16);
        let output_bits = size_bits(bits(ste, 178, 176)).min(self.features.oas_bits);
        let wide = is_64k || has_ds(&self.features, ste);
        let field_bits = if wide { output_bits } else { output_bits.min(48) };
        let t0sz_max = if !self.features.stt {
            39
        } else if is_64k {
            47
        } else {
            48
        };
        let t0sz_floor: u64 = if wide { 12 } else { 16 };
        let t0sz_min = t0sz_floor.max(64 - u64::from(self.features.ias_bits()));
        let rules = [
            ("STE-S2AA64", !aarch64),
            ("STE-S2S-NOSTALL", stalls && self.features.stall_model == StallModel::TerminateOnly),
            ("STE-S2S-FORCED", !stalls && self.features.stall_model == StallModel::StallForced),
            (
                "STE-S2HTTU-0",
                self.features.httu == HardwareUpdate::None && (hardware_flag || hardware_dirty),
            ),
            ("STE-S2HTTU-1", self.features.httu == HardwareUpdate::AccessFlag && hardware_dirty),
            ("STE-S2TG", granule.is_none()),
            ("STE-S2TTB-RANGE", address(ste, 3, 4) >> field_bits != 0),
            ("STE-S2T0SZ-MAX", t0sz > t0sz_max),
            ("STE-S2T0SZ-MIN", t0sz < t0sz_min),
            ("STE-S2ENDI", !self.features.endianness.supports(big)),
            ("STE-S2-START", granule.is_some_and(|shift| self.illegal_start(ste, shift, t0sz))),
        ];
        rules.into_iter().find(|&(_, broken)| broken).map(|(name, _)| name)
    }

    /// The start level exists, and one to sixteen tables side by side resolve the input.
    fn illegal_start(&self, ste: &[u64; 8], granule: u32, t0sz: u64) -> bool {
        let Some(start) = start_level(&self.features, ste, granule) else { return true };
        let stride = u64::from(granule) - 3;
        let shift = u64::from(granule) + (3 - start) as u64 * stride;
        let input_bits = 64 - t0sz;
        !(shift + 1..=shift + stride + 4).contains(&input_bits)
    }
}
