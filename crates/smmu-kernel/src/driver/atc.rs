//! Endpoints with ATS: who may use it, and what their address translation caches forget.
//!
//! Architecture: chapter "ATS and PRI", section "ATS invalidation". No TLBI reaches an endpoint, and
//! one that is told to forget may ask again at once: so CMD_ATC_INV goes out when the TLBI before it
//! has completed, as from Linux's `arm_smmu_invs_end_batch` (drivers/iommu/arm/arm-smmu-v3/
//! arm-smmu-v3.c), and a CMD_SYNC of its own waits for the endpoint.

use super::{Batch, Env, Smmu};
use crate::faults::FaultSwitch;
use crate::kernel::DeviceNode;
use smmu_arch::{AtcInv, Command, Features, Iova, StallModel, StreamId};
use std::collections::BTreeSet;

/// CMD_ATC_INV counts pages of 4 KiB, whatever the granule is.
const PAGE_SHIFT: u32 = 12;
/// Size of the whole address space.
const EVERYTHING: u8 = 52;

/// Streams of one SMMU that may use ATS: both it and the device have it. Where every fault stalls
/// there are none, as full ATS does not go with STE.S2S = 1.
pub(super) fn streams(features: &Features, devices: &[&DeviceNode]) -> BTreeSet<StreamId> {
    if !features.ats || features.stall_model == StallModel::StallForced {
        return BTreeSet::new();
    }
    let with_ats = devices.iter().filter(|device| device.ats);
    with_ats.flat_map(|device| device.streams.iter().copied()).collect()
}

/// The commands by which those of `streams` that use ATS forget a range, or all.
pub(super) fn commands(
    smmu: &Smmu,
    streams: &[StreamId],
    range: Option<(u64, u64)>,
) -> Vec<Command> {
    let with_ats = streams.iter().filter(|&stream| smmu.ats_streams.contains(stream));
    with_ats.map(|&stream| command(stream, range)).collect()
}

/// The command by which an endpoint forgets input addresses from the first to the last, or all.
///
/// Its region is the smallest aligned power of two that covers them, as in Linux's
/// `arm_smmu_atc_inv_to_cmd`.
fn command(stream: StreamId, range: Option<(u64, u64)>) -> Command {
    let (size_log2, address) = range.map_or((EVERYTHING, 0), |(first, last)| {
        let differing = (first ^ last) >> PAGE_SHIFT;
        let size_log2 = u64::BITS - differing.leading_zeros();
        (size_log2 as u8, first)
    });
    let address = Iova(address).align_down(PAGE_SHIFT + u32::from(size_log2));
    Command::AtcInv(AtcInv { stream, substream: None, global: false, size_log2, address })
}

/// Sends commands to endpoints and waits until each has answered.
pub(super) fn forget(env: Env<'_>, smmu: &Smmu, commands: Vec<Command>) {
    if commands.is_empty() || env.has(FaultSwitch::NoAtcInvalidation) {
        return;
    }
    let mut batch = Batch::new(env, smmu);
    commands.into_iter().for_each(|command| batch.add(command));
    if env.has(FaultSwitch::MissingSync) { batch.leave() } else { batch.sync() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn covered(range: Option<(u64, u64)>) -> AtcInv {
        match command(StreamId(1), range) {
            Command::AtcInv(invalidation) => invalidation,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_range_across_a_power_of_two_takes_the_next_one() {
        let size = |first, last| covered(Some((first, last))).size_log2;
        assert_eq!(size(0x8000, 0x8fff), 0);
        assert_eq!(size(0x8000, 0xbfff), 2);
        assert_eq!(size(0x7000, 0x8fff), 4); // 0 to 0xffff
        assert_eq!((covered(None).first(), covered(None).last()), (Iova(0), Iova(u64::MAX)));
    }

    proptest! {
        /// Half of the region would not do: its halves hold one end each.
        #[test]
        fn the_region_covers_the_range_and_is_the_smallest(first: u64, bytes in 0u64..1 << 48) {
            let last = first.saturating_add(bytes);
            let region = covered(Some((first, last)));
            prop_assert!(region.first().0 <= first && last <= region.last().0);
            let middle = region.first().0 + (region.last().0 - region.first().0) / 2;
            prop_assert!(region.size_log2 == 0 || (first <= middle && middle < last));
        }
    }
}
