//! When a CD is ILLEGAL. Section "Context Descriptor", "Validity of CD".

use super::{Cd, CdTable};
use crate::address_size::exceeds;
use crate::rules::rules;
use crate::ste::t0sz_max;
use crate::{Features, Granule, HardwareUpdate, StallModel, Ste, StreamWorld, TermModel};

rules! {
    /// Why a CD is ILLEGAL. A transaction that uses it gets C_BAD_CD.
    IllegalCd(cd: &Cd, ste: &Ste, f: &Features, world: StreamWorld) {
        Invalid "CD-V", "V is 0" => !cd.valid;
        Stalld "CD-STALLD", "S is 1 although STE.S1STALLD forbids stalls" => cd.s && ste.s1_stalld;
        Term "CD-TERM", "A is 0 although TERM_MODEL is 1" => !cd.a && f.term_model == TermModel::AbortOnly;
        NoStall "CD-NOSTALL", "S is 1 although nothing may stall" => cd.s && f.stall_model == StallModel::TerminateOnly;
        Forced "CD-FORCED", "S is 0 although stalls are forced" => !cd.s && f.stall_model == StallModel::StallForced;
        Endi "CD-ENDI", "ENDI selects a byte order that is not implemented" => !f.endianness.supports(cd.endi) && enabled(cd, world).next().is_some();
        Lpae "CD-LPAE", "LPAE tables are not implemented, or the world is EL2-E2H" => !cd.aa64 && (!f.lpae_tables || world == StreamWorld::El2E2h);
        Aa64 "CD-AA64", "VMSAv8-64 tables are not implemented, or stage 2 has LPAE tables" => cd.aa64 && (!f.aarch64_tables || ste.config.has_stage2() && !ste.s2_aa64);
        Httu0 "CD-HTTU-0", "HA or HD is 1 although HTTU is 0" => cd.aa64 && f.httu == HardwareUpdate::None && (cd.ha || cd.hd);
        Httu1 "CD-HTTU-1", "HD is 1 although HTTU is 1" => cd.aa64 && f.httu == HardwareUpdate::AccessFlag && cd.hd;
        Asid8 "CD-ASID8", "ASID has more than 8 bits although ASID16 is 0" => world.has_asid() && !f.asid16 && cd.asid.0 > 0xff;
        TxszMax "CD-TXSZ-MAX", "T0SZ or T1SZ is too large" => any(cd, world, |t| t.tsz > t0sz_max(t.tg, f));
        TxszMin "CD-TXSZ-MIN", "T0SZ or T1SZ is too small" => any(cd, world, |t| t.tsz < txsz_min(cd, t, f));
        Tg "CD-TG", "TG0 or TG1 is reserved or names a granule that is not implemented" => any(cd, world, |t| !t.tg.is_some_and(|granule| f.supports(granule)));
        TtbRange "CD-TTB-RANGE", "TTB0 or TTB1 is beyond the effective output size" => enabled(cd, world).any(|t| exceeds(t.ttb, cd.output_bits(t, f)));
    }
}

impl Cd {
    /// Whether a transaction of the stream may use the CD. Fields of a half that is disabled are
    /// not checked.
    ///
    /// # Errors
    ///
    /// The first rule that is broken: the transaction gets C_BAD_CD.
    pub fn check(
        &self,
        ste: &Ste,
        features: &Features,
        world: StreamWorld,
    ) -> Result<(), IllegalCd> {
        self.violations(ste, features, world).next().map_or(Ok(()), Err)
    }

    /// Every rule that is broken, for messages and tests.
    pub fn violations(
        &self,
        ste: &Ste,
        features: &Features,
        world: StreamWorld,
    ) -> impl Iterator<Item = IllegalCd> {
        let visible = if self.valid { &IllegalCd::ALL[1..] } else { &IllegalCd::ALL[..1] };
        visible.iter().copied().filter(move |rule| rule.is_broken(self, ste, features, world))
    }
}

/// The halves in use.
fn enabled(cd: &Cd, world: StreamWorld) -> impl Iterator<Item = &CdTable> {
    (0..2).filter_map(move |half| cd.table(half, world))
}

/// Whether a half in use with VMSAv8-64 tables has the fault.
fn any(cd: &Cd, world: StreamWorld, fault: impl Fn(&CdTable) -> bool) -> bool {
    cd.aa64 && enabled(cd, world).any(fault)
}

/// Smallest TxSZ: inputs of 48 bits; with IDR5.VAX 52, for 64K pages or with DS.
fn txsz_min(cd: &Cd, table: &CdTable, f: &Features) -> u8 {
    let wide = table.tg == Some(Granule::K64) || cd.ds && f.ds;
    if f.vax && wide { 12 } else { 16 }
}
