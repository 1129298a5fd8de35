//! Where the fields of a CD lie. Section "Context Descriptor".

use crate::layout::layout;
use modular_bitfield::prelude::*;

layout! {
    /// Every field of a Context Descriptor, also those that this model does not use.
    pub CdWords(512) as [u64; 8] {
        /// 64 - input bits of TTB0.
        T0SZ t0sz: B6;
        /// Granule of TTB0.
        TG0 tg0: B2;
        /// TTB0 walk inner cacheability.
        IR0 ir0: B2;
        /// TTB0 walk outer cacheability.
        OR0 or0: B2;
        /// TTB0 walk shareability.
        SH0 sh0: B2;
        /// TTB0 disabled.
        EPD0 epd0: bool;
        /// Stage 1 tables are big-endian.
        ENDI endi: bool;
        /// 64 - input bits of TTB1.
        T1SZ t1sz: B6;
        /// Granule of TTB1, in an order of its own.
        TG1 tg1: B2;
        /// TTB1 walk inner cacheability.
        IR1 ir1: B2;
        /// TTB1 walk outer cacheability.
        OR1 or1: B2;
        /// TTB1 walk shareability.
        SH1 sh1: B2;
        /// TTB1 disabled.
        EPD1 epd1: bool;
        /// Valid.
        V v: bool;
        /// Output size code of stage 1.
        IPS ips: B3;
        /// No Access flag faults at stage 1.
        AFFD affd: bool;
        /// Writable implies execute-never.
        WXN wxn: bool;
        /// The same for unprivileged-writable, LPAE only.
        UWXN uwxn: bool;
        /// Top byte ignored for TTB0.
        TBI0 tbi0: bool;
        /// Top byte ignored for TTB1.
        TBI1 tbi1: bool;
        /// Privileged access never.
        PAN pan: bool;
        /// VMSAv8-64 tables.
        AA64 aa64: bool;
        /// Hardware dirty state.
        HD hd: bool;
        /// Hardware Access flag.
        HA ha: bool;
        /// Faults stall.
        S s: bool;
        /// Faults are recorded.
        R r: bool;
        /// Terminated faults abort.
        A a: bool;
        /// ASID set: 1 is private.
        ASET aset: bool;
        /// Address space identifier.
        ASID asid: B16;
        /// NS of TTB0, Secure streams.
        NSCFG0 nscfg0: bool;
        /// Hierarchical attributes of TTB0 disabled.
        HAD0 had0: bool;
        /// No unprivileged access through TTB0.
        E0PD0 e0pd0: bool;
        /// Access flag of table descriptors.
        HAFT haft: bool;
        /// TTB0 address bits 55:4.
        TTB0 ttb0: B52 [B2];
        /// Protected or contiguous selection.
        PnCH pnch: bool;
        /// PAN covers executable pages.
        EPAN epan: bool;
        /// PBHA bit 59 of TTB0.
        HWU059 hwu059: bool;
        /// PBHA bit 60 of TTB0.
        HWU060 hwu060: bool;
        /// PBHA bit 61 of TTB0.
        HWU061 hwu061: bool;
        /// PBHA bit 62 of TTB0.
        HWU062 hwu062: bool;
        /// NS of TTB1, Secure streams.
        NSCFG1 nscfg1: bool;
        /// Hierarchical attributes of TTB1 disabled.
        HAD1 had1: bool;
        /// No unprivileged access through TTB1.
        E0PD1 e0pd1: bool;
        /// Attribute index extension.
        AIE aie: bool;
        /// TTB1 address bits 55:4.
        TTB1 ttb1: B52 [B2];
        /// 52-bit descriptors.
        DS ds: bool;
        /// Permission indirection.
        PIE pie: bool;
        /// PBHA bit 59 of TTB1.
        HWU159 hwu159: bool;
        /// PBHA bit 60 of TTB1.
        HWU160 hwu160: bool;
        /// PBHA bit 61 of TTB1.
        HWU161 hwu161: bool;
        /// PBHA bit 62 of TTB1.
        HWU162 hwu162: bool;
        /// Memory attributes 0 to 3.
        MAIR0 mair0: B32;
        /// Memory attributes 4 to 7.
        MAIR1 mair1: B32;
        /// IMPLEMENTATION DEFINED attributes.
        AMAIR0 amair0: B32;
        /// IMPLEMENTATION DEFINED attributes.
        AMAIR1 amair1: B32;
        /// IMPLEMENTATION DEFINED.
        IMPDEF impdef: B32;
        /// MPAM PARTID.
        PARTID partid: B16;
        /// MPAM PMG.
        PMG pmg: B8 [B8];
        /// Unprivileged indirect permissions.
        PIIU piiu: B48 [B16];
        /// Privileged indirect permissions.
        PIIP piip: B48 [B16];
    }
}
