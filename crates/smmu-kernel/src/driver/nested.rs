//! What a guest may say about its streams and its caches: the entry of its own stream table, and
//! commands of its own Command queue, made safe for the real SMMU.
//!
//! As Linux 7.2 does. Architecture: sections "Stream Table Entry" and "Commands".

use super::entries;
use super::entry_writer::{Words, bits};
use crate::Errno;
use smmu_arch::{
    AtcInv, CfgiCd, CfgiCdAll, Command, Ste, SteWords, StreamConfig, StreamId, TlbiVa, TlbiVaa,
    TlbiVmid, TlbiVmidAsid, Vmid,
};

/// Fields of words 0 and 1 that a guest may set.
#[rustfmt::skip]
const GUEST_FIELDS: &[&str] = &[
    "V", "Config", "S1Fmt", "S1ContextPtr", "S1CDMax",
    "S1DSS", "S1CIR", "S1COR", "S1CSH", "S1STALLD", "EATS",
];

/// The first two words of a guest's STE, checked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct VirtualSte(Ste);

impl VirtualSte {
    /// Takes the words as the guest wrote them. An entry with V = 0 counts as one that aborts.
    ///
    /// # Errors
    /// EIO: a field that is not the guest's; Config is neither abort, bypass nor stage 1; EATS is
    /// neither 0 nor 1.
    pub(crate) fn new(words: [u64; 2]) -> Result<Self, Errno> {
        let whole: Words = [words[0], words[1], 0, 0, 0, 0, 0, 0];
        let ste = SteWords::from_words(&whole);
        if !ste.v() {
            return Ok(Self(Ste::decode(&entries::abort())));
        }
        let allowed = bits(SteWords::FIELDS, GUEST_FIELDS);
        if whole.iter().zip(allowed).any(|(word, mask)| word & !mask != 0) {
            return Err(Errno::EIO);
        }
        // By the bits: some are reserved, and count as abort for the SMMU alone.
        let config = StreamConfig::from_bits(ste.config());
        let offered = [StreamConfig::Abort, StreamConfig::Bypass, StreamConfig::Stage1];
        if !offered.contains(&config) || config.to_bits() != ste.config() || ste.eats() > 1 {
            return Err(Errno::EIO);
        }
        let decoded = Ste::decode(&whole);
        // Bits 55:52 of the pointer are no address of this model.
        if SteWords::from_words(&decoded.encode()).s1_context_ptr() != ste.s1_context_ptr() {
            return Err(Errno::EIO);
        }
        Ok(Self(decoded))
    }

    /// Whether transactions go through the guest's stage 1, so that CD invalidations and events
    /// need the guest's name of the stream.
    pub(crate) fn translates(&self) -> bool {
        self.0.config == StreamConfig::Stage1
    }

    /// The entry for the real table, over the stage 2 of the parent. EATS is not taken over: this
    /// driver turns ATS on for its own domains alone.
    pub(super) fn over(&self, stage2: &Ste) -> Words {
        let guest = &self.0;
        match guest.config {
            StreamConfig::Stage1 => Ste {
                config: StreamConfig::Nested,
                s1_fmt: guest.s1_fmt,
                s1_context_ptr: guest.s1_context_ptr,
                s1_cd_max: guest.s1_cd_max,
                s1_dss: guest.s1_dss,
                s1_cir: guest.s1_cir,
                s1_cor: guest.s1_cor,
                s1_csh: guest.s1_csh,
                s1_stalld: guest.s1_stalld,
                // A guest that faults on every transaction must not fill the Event queue.
                mev: true,
                ..*stage2
            }
            .encode(),
            StreamConfig::Bypass => stage2.encode(),
            _ => entries::abort(),
        }
    }
}

/// A guest's command with the VMID or the StreamID that it may name in truth. `stream_of` knows the
/// guest's names of streams.
///
/// # Errors
/// EIO: a command that is not the guest's to send, that is illegal on every Command queue, or that
/// names a stream which the guest has not.
pub(crate) fn guest_command(
    words: &[u64; 2],
    vmid: Vmid,
    stream_of: impl Fn(StreamId) -> Option<StreamId>,
) -> Result<Command, Errno> {
    let real = |stream| stream_of(stream).ok_or(Errno::EIO);
    Ok(match Command::decode(words).map_err(|_| Errno::EIO)? {
        // Everything of EL1 is everything of one VMID to a guest.
        Command::TlbiNsnhAll | Command::TlbiNhAll(_) => Command::TlbiNhAll(TlbiVmid { vmid }),
        Command::TlbiNhAsid(told) => Command::TlbiNhAsid(TlbiVmidAsid { vmid, ..told }),
        Command::TlbiNhVa(told) => Command::TlbiNhVa(TlbiVa { vmid, ..told }),
        Command::TlbiNhVaa(told) => Command::TlbiNhVaa(TlbiVaa { vmid, ..told }),
        Command::AtcInv(told) => Command::AtcInv(AtcInv { stream: real(told.stream)?, ..told }),
        Command::CfgiCd(told) => Command::CfgiCd(CfgiCd { stream: real(told.stream)?, ..told }),
        Command::CfgiCdAll(told) => Command::CfgiCdAll(CfgiCdAll { stream: real(told.stream)? }),
        _ => return Err(Errno::EIO),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use smmu_arch::Asid;

    /// Words by hand: V is bit 0, Config bits 3:1, S1ContextPtr bits 51:6.
    const STAGE1: u64 = 0x8_0000_0000 | 0b101 << 1 | 1;

    #[test]
    fn a_guest_sets_its_own_fields_and_no_others() {
        assert!(VirtualSte::new([STAGE1, 0]).unwrap().translates());
        assert!(!VirtualSte::new([0b100 << 1 | 1, 0]).unwrap().translates());
        // V = 0: whatever else stands there.
        assert!(!VirtualSte::new([STAGE1 & !1, u64::MAX]).unwrap().translates());
        for config in [1u64, 2, 3, 6, 7] {
            assert_eq!(VirtualSte::new([config << 1 | 1, 0]), Err(Errno::EIO), "Config {config}");
        }
        // Bits 58:52 of word 0 are no address; STRW is 95:94, SHCFG 109:108, MTCFG 100.
        for words in
            [[STAGE1 | 1 << 52, 0], [STAGE1, 1 << 30], [STAGE1, 1 << 44], [STAGE1, 1 << 36]]
        {
            assert_eq!(VirtualSte::new(words), Err(Errno::EIO), "{words:x?}");
        }
        // EATS is 93:92.
        assert!(VirtualSte::new([STAGE1, 1 << 28]).is_ok());
        assert_eq!(VirtualSte::new([STAGE1, 2 << 28]), Err(Errno::EIO));
    }

    #[test]
    fn the_entry_is_the_parents_with_the_guests_stage_1() {
        let parent = Ste {
            valid: true,
            config: StreamConfig::Stage2,
            vmid: Vmid(7),
            s2_ttb: 0x4000_0000,
            ..Ste::default()
        };
        let nested = Ste::decode(&VirtualSte::new([STAGE1, 1 << 28]).unwrap().over(&parent));
        assert_eq!((nested.config, nested.vmid), (StreamConfig::Nested, Vmid(7)));
        assert_eq!((nested.s1_context_ptr, nested.s2_ttb), (0x8_0000_0000, 0x4000_0000));
        assert!(nested.mev && nested.eats == Ste::default().eats);
        let bypass = VirtualSte::new([0b100 << 1 | 1, 0]).unwrap().over(&parent);
        assert_eq!(bypass, parent.encode());
        assert_eq!(VirtualSte::new([0, 0]).unwrap().over(&parent), entries::abort());
    }

    fn rewrite(words: [u64; 2]) -> Result<Command, Errno> {
        let known = |stream: StreamId| (stream == StreamId(5)).then_some(StreamId(0x108));
        guest_command(&words, Vmid(9), known)
    }

    #[test]
    fn a_guest_names_no_vmid_but_its_own() {
        let all = Command::TlbiNhAll(TlbiVmid { vmid: Vmid(9) });
        assert_eq!(rewrite([0x30, 0]), Ok(all));
        assert_eq!(rewrite([0x10 | 3 << 32, 0]), Ok(all));
        let asid = Command::TlbiNhAsid(TlbiVmidAsid { vmid: Vmid(9), asid: Asid(4) });
        assert_eq!(rewrite([0x11 | 3 << 32 | 4 << 48, 0]), Ok(asid));
        let by_address = rewrite([0x12 | 3 << 32 | 4 << 48, 0x7000 | 1]).unwrap();
        assert_eq!(by_address.encode(), [0x12 | 9 << 32 | 4 << 48, 0x7000 | 1]);
        assert_eq!(rewrite([0x13 | 3 << 32, 0x7000]).unwrap().encode(), [0x13 | 9 << 32, 0x7000]);
    }

    #[test]
    fn a_guest_names_its_streams_by_its_own_names() {
        for opcode in [0x05, 0x06, 0x40] {
            assert_eq!(rewrite([opcode | 5 << 32, 0]).unwrap().encode()[0], opcode | 0x108 << 32);
            assert_eq!(rewrite([opcode | 6 << 32, 0]), Err(Errno::EIO));
        }
    }

    #[test]
    fn what_is_not_the_guests_is_refused() {
        // STE invalidations are new HWPTs, stage 2 is the host's, and so is the CMD_SYNC.
        for opcode in 0..=255u64 {
            let known = [0x05, 0x06, 0x10, 0x11, 0x12, 0x13, 0x30, 0x40].contains(&opcode);
            assert_eq!(rewrite([opcode | 5 << 32, 0]).is_ok(), known, "{opcode:#x}");
        }
    }
}
