//! A virtual interface: whose commands its queues give.

use crate::command_queue::{Admission, Guest};
use smmu_arch::registers::{CmdqvSidMatch, CmdqvVintfConfig, VINTF_STREAMS, VintfWord};
use smmu_arch::{StreamId, Vmid};
use std::sync::Arc;

/// The registers of an interface.
#[derive(Clone, Debug)]
pub(super) struct Interface {
    config: CmdqvVintfConfig,
    matches: [CmdqvSidMatch; VINTF_STREAMS],
    replacements: [u32; VINTF_STREAMS],
    /// What they come to.
    admission: Admission,
}

impl Default for Interface {
    fn default() -> Self {
        let mut interface = Self {
            config: CmdqvVintfConfig::new(),
            matches: [CmdqvSidMatch::new(); VINTF_STREAMS],
            replacements: [0; VINTF_STREAMS],
            admission: Admission::Hypervisor,
        };
        interface.admission = interface.work_out_admission();
        interface
    }
}

impl Interface {
    pub(super) const fn config(&self) -> CmdqvVintfConfig {
        self.config
    }

    pub(super) fn admission(&self) -> Admission {
        self.admission.clone()
    }

    /// A word that the interface itself holds; 0 for the others.
    pub(super) fn read(&self, word: VintfWord) -> u32 {
        match word {
            VintfWord::Config => self.config.into(),
            VintfWord::SidMatch(slot) => {
                self.matches.get(usize::from(slot)).map_or(0, |&slot| slot.into())
            }
            VintfWord::SidReplace(slot) => {
                self.replacements.get(usize::from(slot)).copied().unwrap_or(0)
            }
            VintfWord::Status | VintfWord::LvcmdqErrMap(_) => 0,
        }
    }

    pub(super) fn write(&mut self, word: VintfWord, value: u32) {
        match word {
            VintfWord::Config => self.config = value.into(),
            VintfWord::SidMatch(slot) => {
                if let Some(slot) = self.matches.get_mut(usize::from(slot)) {
                    *slot = value.into();
                }
            }
            VintfWord::SidReplace(slot) => {
                if let Some(slot) = self.replacements.get_mut(usize::from(slot)) {
                    *slot = value;
                }
            }
            VintfWord::Status | VintfWord::LvcmdqErrMap(_) => {}
        }
        self.admission = self.work_out_admission();
    }

    fn work_out_admission(&self) -> Admission {
        if self.config.hyp_own() {
            return Admission::Hypervisor;
        }
        let slots = self.matches.iter().zip(self.replacements);
        let valid = slots.filter(|(virtual_sid, _)| virtual_sid.enable());
        let streams = valid
            .map(|(virtual_sid, physical)| (StreamId(virtual_sid.virt_sid()), StreamId(physical)));
        Admission::Guest(Arc::new(Guest {
            vmid: Vmid(self.config.vmid()),
            streams: streams.collect(),
        }))
    }
}
