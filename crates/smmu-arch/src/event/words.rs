//! Layouts of the event records: the first word, which says who, and the three words after it,
//! which say what. One layout for each set of fields.

use modular_bitfield::specifiers::*;

use crate::FaultClass;
use crate::queue_layout::{Address55To3, Address55To12, Address63To12, layout};
use crate::queue_layout::{StreamIdField, SubstreamIdField};

layout! {
    /// First word of most records.
    struct HeaderWord: 1 words, 64 bits {
        id: B8 = "ID",
        #[skip] __: B3,
        ssv: bool = "SSV",
        substream: SubstreamIdField = "SubstreamID",
        stream: StreamIdField = "StreamID",
    }

    /// First word of F_STREAM_DISABLED and F_TRANSL_FORBIDDEN: no SubstreamID.
    struct StreamHeaderWord: 1 words, 64 bits {
        id: B8 = "ID",
        #[skip] __: B24,
        stream: StreamIdField = "StreamID",
    }

    /// First word of C_BAD_SUBSTREAMID: always a SubstreamID, and no SSV.
    struct SubstreamHeaderWord: 1 words, 64 bits {
        id: B8 = "ID",
        #[skip] __: B4,
        substream: SubstreamIdField = "SubstreamID",
        stream: StreamIdField = "StreamID",
    }

    /// F_UUT.
    struct UutWords: 3 words, 192 bits {
        reason: B16 = "Reason",
        #[skip] __: B17,
        pnu: bool = "PnU",
        ind: bool = "InD",
        rnw: bool = "RnW",
        #[skip] __: B28,
        input: B64 = "InputAddr",
        #[skip] __: B64,
    }

    /// F_STE_FETCH, F_CD_FETCH, F_VMS_FETCH.
    struct FetchWords: 3 words, 192 bits {
        reason: B16 = "Reason",
        gpcf: bool = "GPCF",
        #[skip] __: B114,
        address: Address55To3 = "FetchAddr",
        #[skip] __: B8,
    }

    /// F_BAD_ATS_TREQ.
    struct AtsRequestWords: 3 words, 192 bits {
        span: B4 = "Span",
        #[skip] __: B24,
        privileged: bool = "P",
        execute: bool = "X",
        write: bool = "W",
        read: bool = "R",
        #[skip] __: B44,
        input: Address63To12 = "InputAddr",
        #[skip] __: B64,
    }

    /// F_TRANSL_FORBIDDEN.
    struct ForbiddenWords: 3 words, 192 bits {
        #[skip] __: B35,
        rnw: bool = "RnW",
        #[skip] __: B28,
        input: B64 = "InputAddr",
        #[skip] __: B64,
    }

    /// F_WALK_EABT.
    struct WalkAbortWords: 3 words, 192 bits {
        reason: B16 = "Reason",
        gpcf: bool = "GPCF",
        #[skip] __: B16,
        pnu: bool = "PnU",
        ind: bool = "InD",
        rnw: bool = "RnW",
        #[skip] __: B2,
        nsipa: bool = "NSIPA",
        s2: bool = "S2",
        class: FaultClass = "CLASS",
        #[skip] __: B22,
        input: B64 = "InputAddr",
        #[skip] __: B3,
        address: Address55To3 = "FetchAddr",
        #[skip] __: B8,
    }

    /// F_TRANSLATION, F_ADDR_SIZE, F_ACCESS; F_PERMISSION adds TTRnW.
    struct StageWords: 3 words, 192 bits {
        stag: B16 = "STAG",
        #[skip] __: B15,
        stall: bool = "Stall",
        #[skip] __: B1,
        pnu: bool = "PnU",
        ind: bool = "InD",
        rnw: bool = "RnW",
        #[skip] __: B2,
        nsipa: bool = "NSIPA",
        s2: bool = "S2",
        class: FaultClass = "CLASS",
        #[skip] __: B2,
        ttrnw: bool = "TTRnW",
        #[skip] __: B19,
        input: B64 = "InputAddr",
        #[skip] __: B12,
        ipa: Address55To12 = "IPA",
        #[skip] __: B8,
    }

    /// F_TLB_CONFLICT.
    struct TlbConflictWords: 3 words, 192 bits {
        reason: B16 = "Reason",
        #[skip] __: B17,
        pnu: bool = "PnU",
        ind: bool = "InD",
        rnw: bool = "RnW",
        #[skip] __: B2,
        nsipa: bool = "NSIPA",
        s2: bool = "S2",
        #[skip] __: B24,
        input: B64 = "InputAddr",
        #[skip] __: B12,
        ipa: Address55To12 = "IPA",
        #[skip] __: B8,
    }

    /// F_CFG_CONFLICT.
    struct ConfigConflictWords: 3 words, 192 bits {
        reason: B16 = "Reason",
        #[skip] __: B48,
        #[skip] __: B128,
    }

    /// E_PAGE_REQUEST.
    struct PageRequestWords: 3 words, 192 bits {
        #[skip] __: B33,
        unprivileged_execute: bool = "uX",
        unprivileged_write: bool = "uW",
        unprivileged_read: bool = "uR",
        #[skip] __: B1,
        privileged_execute: bool = "pX",
        privileged_write: bool = "pW",
        privileged_read: bool = "pR",
        #[skip] __: B4,
        span: B8 = "Span",
        #[skip] __: B24,
        input: Address63To12 = "InputAddr",
        #[skip] __: B64,
    }
}
