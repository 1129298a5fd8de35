//! The register frame of one SMMU.

use super::Env;
use smmu_arch::Pa;
use smmu_arch::registers::Register;

/// Longest time to wait for an acknowledge, in nanoseconds: one second, as Linux waits.
pub(crate) const POLL_TIMEOUT_NS: u64 = 1_000_000_000;

/// Where the registers of an SMMU lie.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RegisterFrame {
    base: Pa,
}

impl RegisterFrame {
    pub(crate) const fn new(base: Pa) -> Self {
        Self { base }
    }

    /// Reads a register.
    pub(crate) fn read<R: Register>(self, env: Env<'_>) -> R {
        R::from_word(env.cpu.mmio_read(self.address::<R>(), bytes::<R>()))
    }

    /// Writes a register.
    pub(crate) fn write<R: Register>(self, env: Env<'_>, value: R) {
        env.cpu.mmio_write(self.address::<R>(), bytes::<R>(), value.to_word());
    }

    /// Reads a register until `done`; `false` after [`POLL_TIMEOUT_NS`].
    pub(crate) fn poll<R: Register>(self, env: Env<'_>, done: impl Fn(R) -> bool) -> bool {
        let mut pace = Pace::start(env);
        loop {
            if done(self.read(env)) {
                return true;
            }
            if !pace.wait(env) {
                return false;
            }
        }
    }

    fn address<R: Register>(self) -> Pa {
        self.base.offset(u64::from(R::PAGE.base() + R::OFFSET))
    }
}

const fn bytes<R: Register>() -> u8 {
    (R::WIDTH / 8) as u8
}

/// The rhythm of a poll: small steps at first, so that a short wait is seen to its end exactly,
/// then longer ones, so that a dead device costs few steps.
#[derive(Debug)]
pub(crate) struct Pace {
    deadline_ns: u64,
    step_ns: u64,
    small_steps: u32,
}

impl Pace {
    const STEP_NS: u64 = 20;
    const SMALL_STEPS: u32 = 64;
    const STEP_NS_MAX: u64 = 100_000;

    pub(crate) fn start(env: Env<'_>) -> Self {
        Self {
            deadline_ns: env.cpu.now_ns().saturating_add(POLL_TIMEOUT_NS),
            step_ns: Self::STEP_NS,
            small_steps: Self::SMALL_STEPS,
        }
    }

    /// Lets one step pass; `false` when the time is up.
    pub(crate) fn wait(&mut self, env: Env<'_>) -> bool {
        let now = env.cpu.now_ns();
        if now >= self.deadline_ns {
            return false;
        }
        env.cpu.wait_until(now + self.step_ns);
        match self.small_steps.checked_sub(1) {
            Some(left) => self.small_steps = left,
            None => self.step_ns = (self.step_ns * 2).min(Self::STEP_NS_MAX),
        }
        true
    }
}
