//! Where the registers of a machine stand, and that nothing else stands there.

use smmu_arch::Features;
use smmu_arch::registers::CMDQV_BYTES;

use super::{Blueprint, PMCG_STRIDE, SmmuBlueprint};
use crate::{Path, Problem};

const ALIGNMENT: u64 = 0x1_0000;

/// Registers at a physical address.
pub(crate) struct Window {
    /// For messages: whose registers they are.
    pub(crate) what: String,
    pub(crate) base: u64,
    pub(crate) bytes: u64,
    /// The key that says where they are, under the table of the SMMU.
    key: &'static [&'static str],
}

impl SmmuBlueprint {
    /// Bytes of the SMMU's registers: the two pages, and what its features put behind them.
    #[must_use]
    pub fn register_bytes(&self) -> u64 {
        Features::decode(&self.ids).register_bytes()
    }

    pub(crate) fn windows(&self) -> impl Iterator<Item = Window> {
        let own = Window {
            what: format!("`{}`", self.name),
            base: self.registers,
            bytes: self.register_bytes(),
            key: &["registers"],
        };
        let cmdqv = self.cmdqv.map(|cmdqv| Window {
            what: format!("the CMDQV of `{}`", self.name),
            base: cmdqv.registers,
            bytes: CMDQV_BYTES,
            key: &["cmdqv", "registers"],
        });
        let pmcg = self.pmcg.map(|pmcg| Window {
            what: format!("the PMCG of `{}`", self.name),
            base: pmcg.registers,
            bytes: PMCG_STRIDE,
            key: &["pmcg", "registers"],
        });
        std::iter::once(own).chain(cmdqv).chain(pmcg)
    }
}

impl Window {
    fn overlaps(&self, base: u64, bytes: u64) -> bool {
        overlap((self.base, self.bytes), (base, bytes))
    }

    /// What is wrong with the place, whatever else stands where.
    fn misplaced(&self, blueprint: &Blueprint) -> Vec<(String, String)> {
        let Self { what, base, bytes, .. } = self;
        let mut wrong = Vec::new();
        if !base.is_multiple_of(ALIGNMENT) {
            let text = format!("the registers of {what} at {base:#x} are not aligned to 64 KiB");
            wrong.push((text, format!("use {:#x}", base / ALIGNMENT * ALIGNMENT)));
        }
        if *base > (1 << 52) - bytes {
            let text = format!("the registers of {what} at {base:#x} lie beyond 2^52");
            wrong.push((text, "physical addresses have at most 52 bits".to_owned()));
        }
        for region in &blueprint.memory {
            if self.overlaps(region.base, region.bytes) {
                let own = range(*base, *bytes);
                let memory = range(region.base, region.bytes);
                let text = format!("the registers of {what} {own} lie inside memory {memory}");
                wrong.push((text, "move the registers out of memory".to_owned()));
            }
        }
        wrong
    }
}

/// Checks the place of every register window.
pub(super) fn check_windows(blueprint: &Blueprint, problems: &mut Vec<Problem>) {
    let mut placed: Vec<Window> = Vec::new();
    for (index, smmu) in blueprint.smmus.iter().enumerate() {
        let table = Path::root().key("smmu").index(index);
        for window in smmu.windows() {
            let place = window.key.iter().fold(table.clone(), |path, key| path.key(key));
            let mut wrong = window.misplaced(blueprint);
            for other in placed.iter().filter(|other| other.overlaps(window.base, window.bytes)) {
                let what = format!("the registers of {} and {} overlap", window.what, other.what);
                let above = other.base.saturating_add(other.bytes);
                wrong.push((what, format!("use {above:#x} or above")));
            }
            problems.extend(
                wrong.into_iter().map(|(what, help)| Problem::new(place.clone(), what, help)),
            );
            placed.push(window);
        }
    }
}

pub(super) fn overlap((a, a_bytes): (u64, u64), (b, b_bytes): (u64, u64)) -> bool {
    a < b.saturating_add(b_bytes) && b < a.saturating_add(a_bytes)
}

pub(super) fn range(base: u64, bytes: u64) -> String {
    format!("{base:#x}–{:#x}", base.saturating_add(bytes.saturating_sub(1)))
}
