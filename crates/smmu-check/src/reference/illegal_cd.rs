//! When a CD is illegal (C_BAD_CD). Architecture: section "CD", the ILLEGAL conditions.
//!
//! Each rule has the name that the table of facts gives it.

use super::Reference;
use super::bits::{address, bit, bits, size_bits};
use super::stage1::{granule0, granule1};
use super::table::has_granule;
use smmu_arch::{HardwareUpdate, StallModel, StreamWorld, TermModel};

impl Reference {
    /// The first rule that a CD breaks.
    pub(super) fn illegal_cd(
        &self,
        cd: &[u64; 8],
        ste: &[u64; 8],
        world: StreamWorld,
    ) -> Option<&'static str> {
        let two = world.has_ttb1();
        let low = !(two && bit(cd, 14));
        let high = two && !bit(cd, 30);
        let (flag, dirty) = (bit(cd, 43), bit(cd, 42));
        let (stalls, big) = (bit(cd, 44), bit(cd, 15));
        let endian = low || high;
        let rules = [
            ("CD-V", !bit(cd, 31)),
            ("CD-STALLD", stalls && bit(ste, 91)),
            ("CD-TERM", !bit(cd, 46) && self.features.term_model == TermModel::AbortOnly),
            ("CD-NOSTALL", stalls && self.features.stall_model == StallModel::TerminateOnly),
            ("CD-FORCED", !stalls && self.features.stall_model == StallModel::StallForced),
            ("CD-ENDI", endian && !self.features.endianness.supports(big)),
            ("CD-LPAE", !bit(cd, 41)),
            ("CD-HTTU-0", self.features.httu == HardwareUpdate::None && (flag || dirty)),
            ("CD-HTTU-1", self.features.httu == HardwareUpdate::AccessFlag && dirty),
            ("CD-ASID8", !self.features.asid16 && world.has_asid() && bits(cd, 63, 56) != 0),
        ];
        let broken = rules.into_iter().find(|&(_, broken)| broken).map(|(name, _)| name);
        let ips = size_bits(bits(cd, 34, 32)).min(self.features.oas_bits);
        let ds = self.features.ds && bit(cd, 186);
        let half = |used: bool, granule, tsz, ttb| {
            if used { self.illegal_half(granule, tsz, ttb, (ips, ds)) } else { None }
        };
        broken
            .or_else(|| half(low, granule0(cd), bits(cd, 5, 0), address(cd, 1, 4)))
            .or_else(|| half(high, granule1(cd), bits(cd, 21, 16), address(cd, 2, 4)))
    }

    fn illegal_half(
        &self,
        granule: Option<u32>,
        tsz: u64,
        ttb: u64,
        (ips, ds): (u8, bool),
    ) -> Option<&'static str> {
        let granule = granule.filter(|&shift| has_granule(&self.features, shift));
        let is_64k = granule == Some(16);
        let tsz_max = if !self.features.stt {
            39
        } else if is_64k {
            47
        } else {
            48
        };
        let tsz_min = if self.features.vax && (is_64k || ds) { 12 } else { 16 };
        let ttb_bits = if is_64k || ds { ips } else { ips.min(48) };
        let rules = [
            ("CD-TG", granule.is_none()),
            ("CD-TXSZ-MAX", tsz > tsz_max),
            ("CD-TXSZ-MIN", tsz < tsz_min),
            ("CD-TTB-RANGE", ttb >> ttb_bits != 0),
        ];
        rules.into_iter().find(|&(_, broken)| broken).map(|(name, _)| name)
    }
}
