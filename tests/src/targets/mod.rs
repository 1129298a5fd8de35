//! What holds for any input: one function a target, which panics where it does not hold.

mod encodings;
mod events;
mod files;
mod operations;
mod registers;
mod walk;

pub use encodings::{command_decode, event_decode, ste_cd_decode_check};
pub use events::event_drain;
pub use files::{machine_toml, replay_case, scenario_toml};
pub use operations::{Operations, operations};
pub use registers::registers_mmio;
pub use walk::walk;

/// A fuzz target.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name: of the fuzz target, and of the folder of inputs that are kept for it.
    pub name: &'static str,
    /// Panics on an input that breaks it.
    pub check: fn(&[u8]),
}

/// Every target that holds. The canary is not among them.
pub const TARGETS: &[Target] = &[
    Target { name: "command_decode", check: command_decode },
    Target { name: "event_decode", check: event_decode },
    Target { name: "ste_cd_decode_check", check: ste_cd_decode_check },
    Target { name: "registers_mmio", check: registers_mmio },
    Target { name: "event_drain", check: event_drain },
    Target { name: "operations", check: any_operations },
    Target { name: "walk", check: walk },
    Target { name: "machine_toml", check: machine_toml },
    Target { name: "replay_case", check: replay_case },
    Target { name: "scenario_toml", check: scenario_toml },
];

/// [`operations`], of which only the end counts.
pub fn any_operations(bytes: &[u8]) {
    operations(bytes);
}

/// The target that is built to fail: on CMD_SYNC with CS = 1, behind a bit of every field that it
/// needs. A fuzzer that does not find it within seconds is not fuzzing.
///
/// # Panics
///
/// On the command that it waits for.
pub fn canary(bytes: &[u8]) {
    let command = smmu_arch::Command::decode(&crate::draw::Draw::new(bytes).words());
    let Ok(smmu_arch::Command::Sync(sync)) = command else { return };
    assert!(sync.signal != smmu_arch::SyncSignal::Irq, "the canary was found, as it should be");
}
