//! Bringing an SMMU up.
//!
//! Architecture: section "SMMU initialization". The order: everything aborts; off; attributes,
//! worlds, stream table; Command queue; all caches forgotten; Event queue; interrupts; on.

use super::queue::Batch;
use super::{Env, Refusal, Smmu};
use smmu_arch::Command;
use smmu_arch::registers::{
    CmdqBase, CmdqCons, CmdqProd, Cr0, Cr0Ack, Cr1, Cr2, EventqBase, EventqCons, EventqProd, Gbpa,
    IrqCtrl, IrqCtrlAck, Register, StrtabBase, StrtabBaseCfg,
};

/// Write-Back cacheability and Inner shareability of CR1.
const WRITE_BACK: u8 = 1;
const INNER_SHAREABLE: u8 = 3;

/// Brings an SMMU from any state to translating, with every stream aborting.
pub(super) fn reset(env: Env<'_>, smmu: &Smmu) -> Result<(), Refusal> {
    abort_all(env, smmu)?;
    enable(env, smmu, Cr0::new())?;
    interrupts(env, smmu, IrqCtrl::new())?;
    attributes_and_tables(env, smmu);

    command_queue(env, smmu);
    let mut cr0 = Cr0::new().with_cmdqen(true);
    enable(env, smmu, cr0)?;
    forget_all(env, smmu);

    event_queue(env, smmu);
    cr0.set_eventqen(true);
    enable(env, smmu, cr0)?;
    let wired = IrqCtrl::new().with_eventq_irqen(true).with_gerror_irqen(true);
    interrupts(env, smmu, wired)?;

    if smmu.features.ats {
        cr0.set_atschk(true);
        enable(env, smmu, cr0)?;
    }
    cr0.set_smmuen(true);
    enable(env, smmu, cr0)
}

/// No transaction passes while the SMMU is off.
fn abort_all(env: Env<'_>, smmu: &Smmu) -> Result<(), Refusal> {
    acknowledged(smmu.frame.poll(env, |gbpa: Gbpa| !gbpa.update()), Gbpa::NAME)?;
    let gbpa = smmu.frame.read::<Gbpa>(env).with_abort(true).with_update(true);
    smmu.frame.write(env, gbpa);
    acknowledged(smmu.frame.poll(env, |gbpa: Gbpa| !gbpa.update()), Gbpa::NAME)
}

/// Writes CR0 and waits until all of it is acknowledged.
fn enable(env: Env<'_>, smmu: &Smmu, cr0: Cr0) -> Result<(), Refusal> {
    smmu.frame.write(env, cr0);
    let wanted = u32::from(cr0);
    acknowledged(smmu.frame.poll(env, |ack: Cr0Ack| u32::from(ack) == wanted), Cr0Ack::NAME)
}

fn interrupts(env: Env<'_>, smmu: &Smmu, enabled: IrqCtrl) -> Result<(), Refusal> {
    smmu.frame.write(env, enabled);
    let wanted = u32::from(enabled);
    let poll = smmu.frame.poll(env, |ack: IrqCtrlAck| u32::from(ack) == wanted);
    acknowledged(poll, IrqCtrlAck::NAME)
}

const fn acknowledged(done: bool, register: &'static str) -> Result<(), Refusal> {
    if done { Ok(()) } else { Err(Refusal::Timeout { register }) }
}

fn attributes_and_tables(env: Env<'_>, smmu: &Smmu) {
    let cr1 = Cr1::new()
        .with_table_sh(INNER_SHAREABLE)
        .with_table_oc(WRITE_BACK)
        .with_table_ic(WRITE_BACK)
        .with_queue_sh(INNER_SHAREABLE)
        .with_queue_oc(WRITE_BACK)
        .with_queue_ic(WRITE_BACK);
    smmu.frame.write(env, cr1);
    // Broadcast TLB maintenance is ignored: this driver invalidates by commands alone.
    smmu.frame.write(env, Cr2::new().with_ptm(true).with_recinvsid(true));
    let (base, config) = smmu.streams.with(env.cpu, |table| table.registers());
    smmu.frame.write::<StrtabBase>(env, base);
    smmu.frame.write::<StrtabBaseCfg>(env, config);
}

fn command_queue(env: Env<'_>, smmu: &Smmu) {
    let (base, log2size) = smmu.queue.with(env.cpu, |queue| queue.place());
    let base = CmdqBase::new().with_address(base.0).with_log2size(log2size as u8);
    smmu.frame.write(env, base.with_ra(true));
    smmu.frame.write(env, CmdqProd::new());
    smmu.frame.write(env, CmdqCons::new());
}

/// What an SMMU cached before is unknown.
fn forget_all(env: Env<'_>, smmu: &Smmu) {
    let mut batch = Batch::new(env, smmu);
    batch.add(Command::CfgiAll);
    batch.sync();
    let mut batch = Batch::new(env, smmu);
    if smmu.features.hyp {
        batch.add(Command::TlbiEl2All);
    }
    batch.add(Command::TlbiNsnhAll);
    batch.sync();
}

fn event_queue(env: Env<'_>, smmu: &Smmu) {
    let (base, log2size) = smmu.events.with(env.cpu, |queue| queue.place());
    let base = EventqBase::new().with_address(base.0).with_log2size(log2size as u8);
    smmu.frame.write(env, base.with_wa(true));
    smmu.frame.write(env, EventqProd::new());
    smmu.frame.write(env, EventqCons::new());
}
