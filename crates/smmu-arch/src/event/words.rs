//! Layouts of the event records: the first word, which says who, and the three words after it,
//! which say what. One layout for each set of fields.

use modular_bitfield::specifiers::*;

use crate::FaultClass;
use crate::field_types::{Address55To3, Address55To12, Address63To12};
use crate::field_types::{StreamIdField, SubstreamIdField};
use crate::layout::layout;

layout! {
    /// First word of most records.
    HeaderWord(64) as [u64; 1] {
        ID id: B8 [B3];
        SSV ssv: bool;
        SubstreamID substream: SubstreamIdField;
        StreamID stream: StreamIdField;
    }

    /// First word of F_STREAM_DISABLED and F_TRANSL_FORBIDDEN: no SubstreamID.
    StreamHeaderWord(64) as [u64; 1] {
        ID id: B8 [B24];
        StreamID stream: StreamIdField;
    }

    /// First word of C_BAD_SUBSTREAMID: always a SubstreamID, and no SSV.
    SubstreamHeaderWord(64) as [u64; 1] {
        ID id: B8 [B4];
        SubstreamID substream: SubstreamIdField;
        StreamID stream: StreamIdField;
    }

    /// F_UUT.
    UutWords(192) as [u64; 3] {
        Reason reason: B16 [B17];
        PnU pnu: bool;
        InD ind: bool;
        RnW rnw: bool [B28];
        InputAddr input: B64 [B64];
    }

    /// F_STE_FETCH, F_CD_FETCH, F_VMS_FETCH.
    FetchWords(192) as [u64; 3] {
        Reason reason: B16;
        GPCF gpcf: bool [B114];
        FetchAddr address: Address55To3 [B8];
    }

    /// F_BAD_ATS_TREQ.
    AtsRequestWords(192) as [u64; 3] {
        Span span: B4 [B24];
        P privileged: bool;
        X execute: bool;
        W write: bool;
        R read: bool [B44];
        InputAddr input: Address63To12 [B64];
    }

    /// F_TRANSL_FORBIDDEN.
    ForbiddenWords(192) as [u64; 3] {
        [B35];
        RnW rnw: bool [B28];
        InputAddr input: B64 [B64];
    }

    /// F_WALK_EABT.
    WalkAbortWords(192) as [u64; 3] {
        Reason reason: B16;
        GPCF gpcf: bool [B16];
        PnU pnu: bool;
        InD ind: bool;
        RnW rnw: bool [B2];
        NSIPA nsipa: bool;
        S2 s2: bool;
        CLASS class: FaultClass [B22];
        InputAddr input: B64 [B3];
        FetchAddr address: Address55To3 [B8];
    }

    /// F_TRANSLATION, F_ADDR_SIZE, F_ACCESS; F_PERMISSION adds TTRnW.
    StageWords(192) as [u64; 3] {
        STAG stag: B16 [B15];
        Stall stall: bool [B1];
        PnU pnu: bool;
        InD ind: bool;
        RnW rnw: bool [B2];
        NSIPA nsipa: bool;
        S2 s2: bool;
        CLASS class: FaultClass [B2];
        TTRnW ttrnw: bool [B19];
        InputAddr input: B64 [B12];
        IPA ipa: Address55To12 [B8];
    }

    /// F_TLB_CONFLICT.
    TlbConflictWords(192) as [u64; 3] {
        Reason reason: B16 [B17];
        PnU pnu: bool;
        InD ind: bool;
        RnW rnw: bool [B2];
        NSIPA nsipa: bool;
        S2 s2: bool [B24];
        InputAddr input: B64 [B12];
        IPA ipa: Address55To12 [B8];
    }

    /// F_CFG_CONFLICT.
    ConfigConflictWords(192) as [u64; 3] {
        Reason reason: B16 [B48 B128];
    }

    /// E_PAGE_REQUEST.
    PageRequestWords(192) as [u64; 3] {
        [B33];
        uX unprivileged_execute: bool;
        uW unprivileged_write: bool;
        uR unprivileged_read: bool [B1];
        pX privileged_execute: bool;
        pW privileged_write: bool;
        pR privileged_read: bool [B4];
        Span span: B8 [B24];
        InputAddr input: Address63To12 [B64];
    }
}
