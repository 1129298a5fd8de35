//! The CD as an SMMU with given features acts on it.

use super::{Cd, CdTable};
use crate::{Features, StreamWorld};

impl Cd {
    /// The CD with every field that has no effect cleared, so that nobody asks for the feature or
    /// the world again: HADx, E0PDx and EPAN where they are not implemented, PAN and E0PDx in a
    /// world with one privilege level, HA and HD with LPAE tables, HD without HA. The check is
    /// made on the CD as written.
    #[must_use]
    pub fn effective(&self, features: &Features, world: StreamWorld) -> Self {
        let two_privileges = world.has_two_privileges();
        let table = |table: CdTable| CdTable {
            had: table.had && features.had,
            e0pd: table.e0pd && features.e0pd && two_privileges,
            ..table
        };
        Self {
            tables: self.tables.map(table),
            pan: self.pan && two_privileges,
            epan: self.epan && features.epan && two_privileges,
            ds: self.ds && features.ds,
            ha: self.ha && self.aa64,
            hd: self.hd && self.ha && self.aa64,
            ..*self
        }
    }
}
