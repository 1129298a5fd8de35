//! PEs that maintain the TLB by broadcasts.

use super::script::Words;
use super::{Bench, Kind, Setup, Space};
use smmu_arch::{
    Asid, BroadcastTlbi, TlbiAsid, TlbiEl2Va, TlbiEl2Vaa, TlbiIpa, TlbiVa, TlbiVaa, TlbiVmid,
    TlbiVmidAsid, Vmid,
};
use smmu_bus::{Actor, Answer, Condition, Step};
use smmu_device::{BroadcastSync, Smmu};
use smmu_tables::Prot;

/// An SMMU that takes part: IDR0.BTM = 1.
pub fn taking_part() -> Setup {
    let mut setup = Setup { cr2: 0, ..Setup::default() };
    setup.ids.idr0 |= 1 << 5;
    setup
}

/// A bench that takes part, with one mapped stream.
pub fn mapped() -> (Bench, u32) {
    let mut bench = Bench::with(taking_part());
    let space = Space { kind: Kind::Stage1, vmid: 0, asid: 1 };
    bench.map(space, 0x1000, 0x8000, 0x1000, Prot::READ_WRITE);
    let stream = bench.stream_of(space);
    (bench, stream)
}

/// A PE begins a DSB; what the part of the SMMU waits for.
pub fn begin_dsb(smmu: &Smmu) -> (BroadcastSync, Condition) {
    let mut sync = smmu.broadcast_sync().expect("IDR0.BTM");
    match sync.step(Answer::Start) {
        Step::Wait(condition) => (sync, condition),
        other => panic!("a DSB does not begin with {other:?}"),
    }
}

impl Bench {
    /// A PE broadcasts a TLBI.
    pub fn tlbi(&mut self, tlbi: BroadcastTlbi) {
        self.smmu.broadcast(&tlbi, &mut self.background);
    }

    /// A PE's DSB, for which there is nothing to wait.
    pub fn dsb(&mut self) {
        let (mut sync, condition) = begin_dsb(&self.smmu);
        assert!(self.smmu.holds(condition), "waits for {condition:?}");
        assert_eq!(sync.step(Answer::Resumed), Step::Done(()));
        self.smmu.broadcast_synchronised(&sync, &mut self.background);
    }
}

/// A TLBI instruction, or `None` for DSB.
pub fn parse(words: &Words<'_>) -> Option<BroadcastTlbi> {
    let vmid = Vmid(words.number("vmid").unwrap_or(0) as u16);
    let asid = Asid(words.number("asid").unwrap_or(0) as u16);
    let range = words.range();
    Some(match words.0[0] {
        "VMALLE1IS" => BroadcastTlbi::Vmalle1(TlbiVmid { vmid }),
        "ASIDE1IS" => BroadcastTlbi::Aside1(TlbiVmidAsid { vmid, asid }),
        "VAE1IS" => BroadcastTlbi::Vae1(TlbiVa { vmid, asid, range }),
        "VAAE1IS" => BroadcastTlbi::Vaae1(TlbiVaa { vmid, range }),
        "VMALLS12E1IS" => BroadcastTlbi::Vmalls12e1(TlbiVmid { vmid }),
        "IPAS2E1IS" => BroadcastTlbi::Ipas2e1(TlbiIpa { vmid, range }),
        "ALLE1IS" => BroadcastTlbi::Alle1,
        "ALLE2IS" => BroadcastTlbi::Alle2,
        "ASIDE2" => BroadcastTlbi::Aside2(TlbiAsid { asid }),
        "VAE2IS" => BroadcastTlbi::Vae2(TlbiEl2Va { asid, range }),
        "VAAE2" => BroadcastTlbi::Vaae2(TlbiEl2Vaa { range }),
        "DSB" => return None,
        other => panic!("no instruction {other}"),
    })
}
