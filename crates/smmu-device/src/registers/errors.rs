//! Global errors: the toggle protocol of GERROR and GERRORN.
//!
//! Architecture: section "Global error recording". An error is active while its bits differ.

use super::RegisterFile;
use crate::Notification;
use smmu_arch::Pa;
use smmu_arch::registers::{Gerror, GerrorIrqCfg0, GerrorIrqCfg1, Gerrorn, IrqCtrl, Register};
use smmu_bus::InterruptLine;

/// A global error that this model can raise.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum GlobalError {
    /// CMDQ_ERR: a command is illegal or could not be read.
    CommandQueue,
    /// EVENTQ_ABT_ERR: a record could not be written.
    EventQueueAbort,
    /// PRIQ_ABT_ERR: a page request could not be written.
    PriQueueAbort,
    /// CMDQP_ERR: an enhanced Command queue has an error.
    EnhancedCommandQueue,
    /// MSI_CMDQ_ABT_ERR: the MSI of a CMD_SYNC could not be written.
    MsiCommandQueue,
    /// MSI_EVENTQ_ABT_ERR: the MSI of the Event queue could not be written.
    MsiEventQueue,
    /// MSI_PRIQ_ABT_ERR: the MSI of the PRI queue could not be written.
    MsiPriQueue,
    /// MSI_GERROR_ABT_ERR: the MSI of this very register could not be written.
    MsiGerror,
}

impl GlobalError {
    fn mask(self) -> u64 {
        let none = Gerror::new();
        let one = match self {
            Self::CommandQueue => none.with_cmdq_err(true),
            Self::EnhancedCommandQueue => none.with_cmdqp_err(true),
            Self::EventQueueAbort => none.with_eventq_abt_err(true),
            Self::PriQueueAbort => none.with_priq_abt_err(true),
            Self::MsiPriQueue => none.with_msi_priq_abt_err(true),
            Self::MsiCommandQueue => none.with_msi_cmdq_abt_err(true),
            Self::MsiEventQueue => none.with_msi_eventq_abt_err(true),
            Self::MsiGerror => none.with_msi_gerror_abt_err(true),
        };
        one.to_word()
    }
}

impl RegisterFile {
    /// The error is active: not acknowledged yet.
    pub(crate) fn is_active(&self, error: GlobalError) -> bool {
        let (gerror, gerrorn): (Gerror, Gerrorn) = (self.get(), self.get());
        (gerror.to_word() ^ gerrorn.to_word()) & error.mask() != 0
    }

    /// Makes an error active. The interrupt goes out on activation only, and not for a GERROR MSI
    /// that aborted.
    pub(crate) fn activate(&mut self, error: GlobalError) -> Option<Notification> {
        if self.is_active(error) {
            return None;
        }
        let gerror: Gerror = self.get();
        self.set(Gerror::from_word(gerror.to_word() ^ error.mask()));
        let irq: IrqCtrl = self.get();
        if error == GlobalError::MsiGerror || !irq.gerror_irqen() {
            return None;
        }
        let (target, data): (GerrorIrqCfg0, GerrorIrqCfg1) = (self.get(), self.get());
        Some(Notification {
            msi: self.message(target.address(), data.data()),
            line: Some(InterruptLine::GlobalError),
            send_event: false,
            abort: Some(GlobalError::MsiGerror),
        })
    }

    /// An MSI, where the SMMU can send one and its address is not zero. The zero test uses the
    /// whole field; the address is then truncated to the OAS.
    pub(crate) fn message(&self, address: u64, data: u32) -> Option<(Pa, u32)> {
        (self.features().msi && address != 0).then(|| (Pa(self.physical(address)), data))
    }
}
