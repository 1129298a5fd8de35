//! Parameters of generators.

use smmu_machine::{Bytes, Path, Problem};

use super::super::{Accelerator, NicRing, Nvme, TenantRing, Traffic, VmPlan, Window};

/// Accesses that one step may make, so that a slip of the pen does not run for days.
pub(super) const ACCESSES_MAX: u64 = 1_000_000_000;

/// Adds what is wrong with a generator, apart from where it runs.
pub(super) fn check(traffic: &Traffic, path: &Path, problems: &mut Vec<Problem>) {
    match traffic {
        Traffic::NicRing(nic) => check_nic(nic, &path.key("nic_ring"), problems),
        Traffic::Window(window) => check_window(window, &path.key("window"), problems),
        Traffic::TenantRing(tenant) => check_tenant(tenant, &path.key("tenant_ring"), problems),
        Traffic::Nvme(nvme) => check_nvme(nvme, &path.key("nvme"), problems),
        Traffic::Accelerator(accelerator) => {
            check_accelerator(accelerator, &path.key("accelerator"), problems);
        }
    }
}

/// Adds a problem if the generator does not fit into the RAM of a VM.
pub(super) fn check_fits(traffic: &Traffic, vm: &VmPlan, path: &Path, problems: &mut Vec<Problem>) {
    let needed = traffic.footprint();
    if needed > vm.ram.bytes.0 {
        let what = format!(
            "the workload uses {} of RAM, `{}` has {}",
            Bytes(needed),
            vm.name,
            vm.ram.bytes
        );
        problems.push(Problem::new(path.clone(), what, "give the VM more RAM, or make it smaller"));
    }
}

/// Adds a problem unless `value` lies in `min..=max`.
fn bound(path: &Path, key: &str, value: u64, min: u64, max: u64, problems: &mut Vec<Problem>) {
    if value < min || value > max {
        let what = format!("{key} = {value} is not possible");
        problems.push(Problem::new(path.key(key), what, format!("choose {min} to {max}")));
    }
}

fn check_nic(nic: &NicRing, path: &Path, problems: &mut Vec<Problem>) {
    let ring = u64::from(nic.ring);
    bound(path, "packets", nic.packets, 0, ACCESSES_MAX, problems);
    bound(path, "ring", ring, 8, 65_536, problems);
    bound(path, "mtu", nic.mtu.into(), 64, 65_536, problems);
    bound(path, "buffers", nic.buffers().into(), 1, 1 << 20, problems);
    for (key, value) in [
        ("tx_prefetch", nic.tx_prefetch),
        ("tx_writeback", nic.tx_writeback),
        ("rx_refill", nic.rx_refill),
        ("rx_head", nic.rx_head),
    ] {
        bound(path, key, value.into(), 1, ring.max(1), problems);
    }
    bound(path, "interrupt", nic.interrupt.into(), 1, u32::MAX.into(), problems);
    if !nic.ring.is_power_of_two() {
        let what = format!("ring = {} is no power of two", nic.ring);
        let help = format!("use {}", nic.ring.clamp(8, 65_536).next_power_of_two());
        problems.push(Problem::new(path.key("ring"), what, help));
    }
}

fn check_window(window: &Window, path: &Path, problems: &mut Vec<Problem>) {
    let transfer = window.transfer.0;
    bound(path, "transfers", window.transfers, 0, ACCESSES_MAX, problems);
    bound(path, "transfer", transfer, 8, 4096, problems);
    if transfer != 0 && (window.window.0 == 0 || !window.window.0.is_multiple_of(transfer)) {
        let what = format!(
            "a window of {} is no whole number of accesses of {}",
            window.window, window.transfer
        );
        let help = format!("give a multiple of {}", window.transfer);
        problems.push(Problem::new(path.key("window"), what, help));
    }
}

fn check_tenant(tenant: &TenantRing, path: &Path, problems: &mut Vec<Problem>) {
    bound(path, "packets", tenant.packets, 0, ACCESSES_MAX, problems);
    bound(path, "bytes", tenant.bytes.into(), 64, 65_536, problems);
    bound(path, "areas", tenant.areas.into(), 1, 65_536, problems);
    bound(path, "burst", tenant.burst.into(), 1, u32::MAX.into(), problems);
}

fn check_nvme(nvme: &Nvme, path: &Path, problems: &mut Vec<Problem>) {
    bound(path, "commands", nvme.commands, 0, ACCESSES_MAX, problems);
    bound(path, "depth", nvme.depth.into(), 1, 1024, problems);
    bound(path, "jobs", nvme.jobs.into(), 1, 64, problems);
    bound(path, "reads", nvme.reads.into(), 0, 100, problems);
    pages(path, "block", nvme.block, 1 << 20, problems);
}

fn check_accelerator(accelerator: &Accelerator, path: &Path, problems: &mut Vec<Problem>) {
    bound(path, "messages", accelerator.messages, 0, 1 << 20, problems);
    bound(path, "reuse", accelerator.reuse.into(), 1, 5000, problems);
    pages(path, "bytes", accelerator.bytes, 1 << 30, problems);
}

/// Adds a problem unless `bytes` is a whole number of pages up to `max`.
fn pages(path: &Path, key: &str, bytes: Bytes, max: u64, problems: &mut Vec<Problem>) {
    bound(path, key, bytes.0, 4096, max, problems);
    if !bytes.0.is_multiple_of(4096) {
        let what = format!("{key} = {bytes} is no whole number of pages");
        let help = format!("use {}", Bytes(bytes.0.next_multiple_of(4096)));
        problems.push(Problem::new(path.key(key), what, help));
    }
}
