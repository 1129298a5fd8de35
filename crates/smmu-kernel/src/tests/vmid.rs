//! VMIDs of the three personalities: what user space is told, what the entries say.

use super::platform::{Bench, Desk, USER, narrow_vmids, stage1_only, stage2_only};
use crate::client::{Container, Group, IommuType};
use crate::{ContainerView, Errno, Notice, Oops, Options, Personality};
use smmu_arch::{IdRegisters, SmmuId, StreamConfig, StreamId, Vmid};

/// A container with group `number`, without an IOMMU.
fn with_group<'d>(desk: &'d Desk<'_>, number: u32) -> (Container<'d>, Group<'d>) {
    let process = desk.process();
    let container = Container::open(&process).unwrap();
    let group = Group::open(&process, number).unwrap();
    group.set_container(&container).unwrap();
    (container, group)
}

fn bench(personality: Personality) -> Bench {
    Bench::booted(narrow_vmids(), Options::new(personality))
}

fn vmids(view: &ContainerView) -> Vec<u16> {
    view.domains.iter().map(|domain| domain.vmid.unwrap().0).collect()
}

/// Says what happens to a device's translations: the entry's Config and VMID.
fn entry(bench: &Bench, device: u32) -> (StreamConfig, Vmid) {
    let ste = bench.ste(StreamId(0x100 * device + 8));
    (ste.config, ste.vmid)
}

#[test]
fn fixed_the_first_device_gets_a_vmid_and_the_others_take_it() {
    let bench = bench(Personality::RfcFixed);
    let desk = bench.desk();
    let (first, _) = with_group(&desk, 1);
    assert_eq!(first.get_vmid(), Ok(None));
    first.set_iommu(IommuType::Nesting).unwrap();
    let vmid = first.get_vmid().unwrap().unwrap();
    assert_eq!(vmid, 1);

    let (second, _) = with_group(&desk, 2);
    second.set_vmid(vmid).unwrap();
    second.set_iommu(IommuType::Nesting).unwrap();
    assert_eq!(second.get_vmid(), Ok(Some(vmid)));
    assert_eq!([entry(&bench, 0), entry(&bench, 1)], [(StreamConfig::Stage2, Vmid(1)); 2]);
    assert_eq!(bench.kernel.statistics().smmus[0].vmids_in_use, 1);
}

/// The example of the document sets the VMID after the IOMMU.
#[test]
fn fixed_a_late_set_retags_the_live_domain_and_frees_its_old_vmid() {
    let bench = bench(Personality::RfcFixed);
    let desk = bench.desk();
    let (first, _) = with_group(&desk, 1);
    first.set_iommu(IommuType::Nesting).unwrap();
    let (second, _) = with_group(&desk, 2);
    second.set_iommu(IommuType::Nesting).unwrap();
    second.map_dma(0x1000, USER, 0x1000).unwrap();
    assert_eq!(entry(&bench, 1), (StreamConfig::Stage2, Vmid(2)));
    desk.trace();
    second.set_vmid(1).unwrap();
    assert_eq!(
        desk.trace(),
        [
            "CMD_CFGI_STE stream=0x108 leaf",
            "CMD_SYNC cs=none",
            "CMD_TLBI_S12_VMALL vmid=0x2",
            "CMD_SYNC cs=none",
            "VMID 0x2 was freed",
        ]
    );
    assert_eq!(entry(&bench, 1), (StreamConfig::Stage2, Vmid(1)));
    assert_eq!(second.get_vmid(), Ok(Some(1)));
    assert_eq!(bench.kernel.statistics().smmus[0].ste_breaks, 0);
    // The unmap goes by the new number.
    second.unmap_dma(0x1000, 0x1000).unwrap();
    assert!(desk.trace()[0].starts_with("CMD_TLBI_S2_IPA vmid=0x1 "));
}

/// B1 and B2.
#[test]
fn rfc_the_first_device_fails_and_leaves_its_entry_live() {
    let bench = bench(Personality::Rfc);
    let desk = bench.desk();
    let (first, _) = with_group(&desk, 1);
    assert_eq!(first.set_iommu(IommuType::Nesting), Err(Errno::EPERM));
    assert_eq!(first.get_vmid(), Ok(None));
    assert_eq!(entry(&bench, 0), (StreamConfig::Stage2, Vmid(1)));
    assert_eq!(bench.kernel.statistics().smmus[0].vmids_in_use, 0);
    assert_eq!(bench.kernel.log()[0].notice, Notice::FreedAttachedDomain { vmid: Vmid(1) });
    // The container still can be used: nothing was set.
    first.set_vmid(7).unwrap();
    first.set_iommu(IommuType::Nesting).unwrap();
    assert_eq!(entry(&bench, 0), (StreamConfig::Stage2, Vmid(7)));
}

#[test]
fn rfc_further_devices_work_in_the_order_of_the_text() {
    let bench = bench(Personality::Rfc);
    let desk = bench.desk();
    for number in [1, 2] {
        let (container, _) = with_group(&desk, number);
        container.set_vmid(5).unwrap();
        container.set_iommu(IommuType::Nesting).unwrap();
        assert_eq!(container.get_vmid(), Ok(Some(5)));
    }
    assert_eq!([entry(&bench, 0), entry(&bench, 1)], [(StreamConfig::Stage2, Vmid(5)); 2]);
}

/// B3.
#[test]
fn rfc_a_late_set_changes_only_the_containers_word() {
    let bench = bench(Personality::Rfc);
    let desk = bench.desk();
    let (container, _) = with_group(&desk, 1);
    container.set_vmid(5).unwrap();
    container.set_iommu(IommuType::Nesting).unwrap();
    desk.trace();
    assert_eq!(container.set_vmid(6), Ok(()));
    assert_eq!(desk.trace(), [""; 0]);
    assert_eq!(container.get_vmid(), Ok(Some(6)));
    assert_eq!(entry(&bench, 0).1, Vmid(5));
    // A group that joins later takes the driver's copy, not the word.
    Group::open(&desk.process(), 2).unwrap().set_container(&container).unwrap();
    assert_eq!(entry(&bench, 1).1, Vmid(5));
}

/// B4.
#[test]
fn rfc_takes_any_number() {
    let outcome = |number| {
        let bench = bench(Personality::Rfc);
        let desk = bench.desk();
        let (container, _) = with_group(&desk, 1);
        container.set_vmid(number).unwrap();
        let set = container.set_iommu(IommuType::Nesting);
        let told = container.get_vmid().ok().flatten();
        (set, told, bench.kernel.oops().is_none().then(|| entry(&bench, 0).1.0))
    };
    assert_eq!(outcome(0), (Ok(()), Some(0), Some(1))); // "unset": the kernel picks another
    assert_eq!(outcome(0x1_0000), (Ok(()), Some(0x1_0000), Some(1))); // cut to 0
    assert_eq!(outcome(0x1_0005), (Ok(()), Some(0x1_0005), Some(5))); // cut to 5
    assert_eq!(outcome(300), (Err(Errno::EIO), None, None)); // behind the array of counts
}

#[test]
fn the_invalid_number_is_refused_by_both() {
    for personality in [Personality::Rfc, Personality::RfcFixed] {
        let bench = bench(personality);
        let desk = bench.desk();
        let container = Container::open(&desk.process()).unwrap();
        assert_eq!(container.set_vmid(u32::MAX), Err(Errno::EINVAL));
    }
}

#[test]
fn fixed_numbers_that_mean_nothing_are_refused() {
    let bench = bench(Personality::RfcFixed);
    let desk = bench.desk();
    let container = Container::open(&desk.process()).unwrap();
    for number in [0, 256, 300, 0x1_0000, 0x1_0005] {
        assert_eq!(container.set_vmid(number), Err(Errno::EINVAL), "{number:#x}");
    }
    assert_eq!(container.set_vmid(255), Ok(()));
}

/// B5: a number that user space named is not reserved.
#[test]
fn a_number_that_was_set_is_reserved_by_the_fixed_series_only() {
    let other = |personality| {
        let bench = bench(personality);
        let desk = bench.desk();
        let (vm, _) = with_group(&desk, 1);
        vm.set_vmid(1).unwrap();
        vm.set_iommu(IommuType::Nesting).unwrap();
        let (stranger, _) = with_group(&desk, 2);
        stranger.set_vmid(0x1_0000).ok(); // makes the series as posted pick a number
        stranger.set_iommu(IommuType::Nesting).unwrap();
        vmids(&stranger.view().unwrap())
    };
    assert_eq!(other(Personality::Rfc), [1]);
    assert_eq!(other(Personality::RfcFixed), [2]);
}

/// B6: one number on several SMMUs.
#[test]
fn two_smmus_keep_numbers_apart_unless_the_series_is_fixed() {
    let other = |personality| {
        let reference = narrow_vmids();
        let bench = Bench::new(&[reference, reference], &[0, 1, 1], Options::new(personality));
        let desk = bench.desk();
        desk.boot();
        let (vm, _) = with_group(&desk, 1); // behind SMMU 0
        vm.set_vmid(1).unwrap();
        vm.set_iommu(IommuType::Nesting).unwrap();
        let (stranger, _) = with_group(&desk, 2); // behind SMMU 1
        stranger.set_vmid(0x1_0000).ok();
        stranger.set_iommu(IommuType::Nesting).unwrap();
        let (more, _) = with_group(&desk, 3); // the machine's second device, behind SMMU 1
        more.set_vmid(1).unwrap();
        more.set_iommu(IommuType::Nesting).unwrap();
        (vmids(&stranger.view().unwrap()), vmids(&more.view().unwrap()))
    };
    assert_eq!(other(Personality::Rfc), (vec![1], vec![1]));
    assert_eq!(other(Personality::RfcFixed), (vec![2], vec![1]));
}

#[test]
fn fixed_a_number_that_another_smmu_uses_for_something_else_is_busy() {
    let ids = [IdRegisters::REFERENCE, stage2_only()];
    let bench = Bench::new(&ids, &[0, 1], Options::new(Personality::RfcFixed));
    let desk = bench.desk();
    desk.boot();
    let (own, _) = with_group(&desk, 2);
    own.set_iommu(IommuType::Type1v2).unwrap(); // stage 2, VMID 1 of SMMU 1
    let (vm, _) = with_group(&desk, 1);
    assert_eq!(vm.set_vmid(1), Err(Errno::EBUSY));
    // A number that the kernel picks for a machine is free on both.
    vm.set_iommu(IommuType::Nesting).unwrap();
    assert_eq!(vm.get_vmid(), Ok(Some(2)));
}

/// B8.
#[test]
fn rfc_a_failed_attach_after_a_set_frees_a_domain_without_smmu() {
    let bench = Bench::new(&[narrow_vmids()], &[0], Options::new(Personality::Rfc));
    let desk = bench.desk();
    desk.boot();
    let (container, _) = with_group(&desk, 1);
    container.set_vmid(5).unwrap();
    bench.exhaust_heap();
    assert_eq!(container.set_iommu(IommuType::Nesting), Err(Errno::EIO));
    assert_eq!(bench.kernel.oops(), Some(Oops::FreedUnattachedDomain { smmu: SmmuId(0) }));
}

/// B9: two containers, one number, two tables.
#[test]
fn an_unmap_promises_nothing_while_another_container_of_the_vmid_maps_the_page() {
    let promises = |personality| {
        let bench = bench(personality);
        let desk = bench.desk();
        let containers = [1, 2].map(|number| {
            let (container, _) = with_group(&desk, number);
            container.set_vmid(5).unwrap();
            container.set_iommu(IommuType::Nesting).unwrap();
            container.map_dma(0, USER, 0x4000).unwrap();
            container
        });
        desk.trace();
        containers.map(|container| {
            container.unmap_dma(0, 0x4000).unwrap();
            desk.trace().iter().filter(|line| line.starts_with("unmap")).count()
        })
    };
    assert_eq!(promises(Personality::Rfc), [1, 1]);
    assert_eq!(promises(Personality::RfcFixed), [0, 1]);
}

/// B10: hot-plug flushes the whole machine.
#[test]
fn only_the_last_user_of_a_vmid_flushes_it_in_the_fixed_series() {
    let flushes = |personality| {
        let bench = bench(personality);
        let desk = bench.desk();
        let (container, _) = with_group(&desk, 1);
        container.set_vmid(5).unwrap();
        container.set_iommu(IommuType::Nesting).unwrap();
        desk.trace();
        let count = || desk.trace().iter().filter(|line| line.contains("S12_VMALL")).count();
        let group = Group::open(&desk.process(), 2).unwrap();
        group.set_container(&container).unwrap();
        let plug = count();
        group.unset_container().unwrap();
        (plug, count())
    };
    assert_eq!(flushes(Personality::Rfc), (1, 0));
    assert_eq!(flushes(Personality::RfcFixed), (0, 0));
}

#[test]
fn upstream_knows_neither_nesting_containers_nor_vmids() {
    let bench = bench(Personality::Upstream);
    let desk = bench.desk();
    let (container, _) = with_group(&desk, 1);
    assert_eq!(container.check_extension(6), Ok(false));
    assert_eq!(container.set_iommu(IommuType::Nesting), Err(Errno::ENODEV));
    assert_eq!(
        (container.get_vmid(), container.set_vmid(1)),
        (Err(Errno::EINVAL), Err(Errno::EINVAL))
    );
    container.set_iommu(IommuType::Type1v2).unwrap();
    assert_eq!(
        (container.get_vmid(), container.set_vmid(1)),
        (Err(Errno::ENOTTY), Err(Errno::ENOTTY))
    );
}

#[test]
fn get_with_a_bad_pointer_faults() {
    let bench = bench(Personality::RfcFixed);
    let desk = bench.desk();
    let container = Container::open(&desk.process()).unwrap();
    let get = desk.process().ioctl(container.fd(), crate::uapi::IOMMU_GET_VMID, 8);
    assert_eq!(get, Err(Errno::EFAULT));
}

#[test]
fn eight_bits_are_exhausted_after_255_domains_and_recover() {
    for personality in [Personality::RfcFixed, Personality::Upstream] {
        let kind = match personality {
            Personality::Upstream => IommuType::Type1v2,
            _ => IommuType::Nesting,
        };
        let ids = IdRegisters { idr0: stage2_only().idr0 & !(1 << 18), ..stage2_only() };
        let bench = Bench::new(&[ids], &[0; 256], Options::new(personality));
        let desk = bench.desk();
        desk.boot();
        let mut held = Vec::new();
        for number in 1..=255 {
            let (container, group) = with_group(&desk, number);
            container.set_iommu(kind).unwrap();
            held.push(group);
        }
        let (last, _) = with_group(&desk, 256);
        assert_eq!(last.set_iommu(kind), Err(Errno::ENOSPC));
        assert_eq!(bench.kernel.statistics().smmus[0].vmids_in_use, 255);
        held[99].unset_container().unwrap();
        last.set_iommu(kind).unwrap();
        assert_eq!(vmids(&last.view().unwrap()), [100]);
    }
}

#[test]
fn fixed_a_reservation_ends_with_its_container() {
    let bench = bench(Personality::RfcFixed);
    let desk = bench.desk();
    let container = Container::open(&desk.process()).unwrap();
    container.set_vmid(9).unwrap();
    container.set_vmid(10).unwrap();
    let in_use = || bench.kernel.statistics().smmus[0].vmids_in_use;
    assert_eq!(in_use(), 1);
    container.close().unwrap();
    assert_eq!(in_use(), 0);
}

#[test]
fn nesting_without_stage_2_is_refused_by_the_fixed_series() {
    let bench = Bench::booted(stage1_only(), Options::new(Personality::RfcFixed));
    let desk = bench.desk();
    let (container, _) = with_group(&desk, 1);
    assert_eq!(container.set_iommu(IommuType::Nesting), Err(Errno::EOPNOTSUPP));
}

#[test]
fn one_container_over_two_smmus_has_two_domains() {
    let ids = stage2_only();
    let bench = Bench::new(&[ids, ids], &[0, 1], Options::new(Personality::Upstream));
    let desk = bench.desk();
    desk.boot();
    let (container, first) = with_group(&desk, 1);
    container.set_iommu(IommuType::Type1v2).unwrap();
    container.map_dma(0, USER, 0x2000).unwrap();
    let second = Group::open(&desk.process(), 2).unwrap();
    second.set_container(&container).unwrap(); // what is mapped is mapped there, too
    let view = container.view().unwrap();
    assert_eq!((vmids(&view), view.mappings), (vec![1, 1], 1));
    desk.trace();
    container.unmap_dma(0, 0x2000).unwrap();
    let trace = desk.trace();
    let syncs = trace.iter().filter(|line| line.ends_with("CMD_SYNC cs=none")).count();
    let returned = trace.iter().filter(|line| line.contains("went back")).count();
    assert_eq!((syncs, returned), (2, 1));
    first.unset_container().unwrap();
    assert_eq!(container.view().unwrap().domains.len(), 1);
}

/// Descriptors of a table may be remembered under a VMID for as long as it is not flushed: until then
/// the pages of the table belong to nobody else.
#[test]
fn fixed_tables_under_a_common_vmid_go_back_when_it_is_flushed() {
    let bench = bench(Personality::RfcFixed);
    let desk = bench.desk();
    let free = || bench.kernel.statistics().heap_free_bytes;
    let (first, one) = with_group(&desk, 1);
    first.set_iommu(IommuType::Nesting).unwrap();
    let vmid = first.get_vmid().unwrap().unwrap();
    let (second, two) = with_group(&desk, 2);
    second.set_vmid(vmid).unwrap();
    let before = free();
    second.set_iommu(IommuType::Nesting).unwrap();
    for container in [&first, &second] {
        container.map_dma(0x1000, USER, 0x1000).unwrap();
    }
    let mapped = free();
    desk.trace();
    two.close().unwrap();
    second.close().unwrap();
    let flushes = |line: &&String| line.starts_with("CMD_TLBI_S12_VMALL");
    assert_eq!(desk.trace().iter().filter(flushes).count(), 0);
    assert_eq!(free(), mapped, "the first container still uses the VMID");
    one.close().unwrap();
    first.close().unwrap();
    assert_eq!(desk.trace().iter().filter(flushes).count(), 1);
    assert!(free() > before, "the tables of both have gone back");
}
