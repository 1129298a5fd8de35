//! Permissions of both stages against the rules said one right at a time.

#![allow(clippy::nonminimal_bool)] // each rule is said as the architecture says it

mod common;

use common::*;
use proptest::prelude::*;
use smmu_arch::*;
use smmu_tables::{Walk, run};
use smmu_testpoint::testpoint;

/// Every kind of access: writes with InD are data.
fn accesses() -> impl Iterator<Item = Access> {
    let privileges = [false, true];
    privileges.into_iter().flat_map(|privileged| {
        [
            (Direction::Read, false),
            (Direction::Read, true),
            (Direction::Write, false),
            (Direction::Write, true),
        ]
        .map(|(direction, instruction)| Access { direction, privileged, instruction })
    })
}

#[derive(Clone, Copy, Debug)]
struct Case {
    // Leaf of stage 1.
    ap1: bool,
    ap2: bool,
    uxn: bool,
    pxn: bool,
    // Table above it.
    aptable: u64,
    uxn_table: bool,
    pxn_table: bool,
    // Regime.
    had: bool,
    wxn: bool,
    pan: bool,
    two_privileges: bool,
    // Leaf of stage 2.
    s2ap: u64,
    xn: u64,
    xnx: bool,
}

impl Case {
    fn stage1_allows(&self, access: Access) -> bool {
        let tables = !self.had;
        let writable = !self.ap2 && !(tables && self.aptable & 2 != 0);
        let uxn = self.uxn || tables && self.uxn_table;
        let pxn = self.pxn || tables && self.pxn_table;
        if !self.two_privileges {
            return match (access.is_write(), access.is_fetch()) {
                (true, _) => writable,
                (_, true) => !uxn && !(self.wxn && writable),
                _ => true,
            };
        }
        let user = self.ap1 && !(tables && self.aptable & 1 != 0);
        match (access.privileged, access.is_write(), access.is_fetch()) {
            (false, true, _) => user && writable,
            (false, _, true) => !uxn && !(self.wxn && user && writable),
            (false, ..) => user,
            (true, true, _) => writable && !(self.pan && user),
            (true, _, true) => !pxn && !(user && writable) && !(self.wxn && writable),
            (true, ..) => !(self.pan && user),
        }
    }

    fn stage2_allows(&self, access: Access) -> bool {
        match (access.is_write(), access.is_fetch()) {
            (true, _) => self.s2ap & 2 != 0,
            (_, true) if !self.xnx => self.xn & 2 == 0,
            (_, true) => match self.xn {
                0 => true,
                1 => !access.privileged,
                2 => false,
                _ => access.privileged,
            },
            _ => self.s2ap & 1 != 0,
        }
    }

    /// Nested tables of one page: stage 1 of 64K tables at levels 2 and 3, stage 2 of one level.
    fn walk(&self, access: Access) -> Result<Permissions, Fault> {
        let mut one = stage1(root(0x1_0000, 30, Granule::K64, 2));
        one.low.hierarchy_disabled = self.had;
        one.write_execute_never = self.wxn;
        one.privileged_access_never = self.pan;
        one.two_privileges = self.two_privileges;
        let mut two = stage2(root(0x10_0000, 25, Granule::K64, 3));
        two.execute_by_privilege = self.xnx;
        let regime = regime(Some(one), Some(two));
        let bit = |set: bool, at: u32| u64::from(set) << at;
        let s2 = |pa: u64| pa | AF | S2_READ | S2_NORMAL | PAGE;
        let memory = Words::new(&[
            (0x10_0008, s2(0x1_0000)),
            (0x10_0010, s2(0x2_0000)),
            (0x10_0018, 0x3_0000 | AF | self.s2ap << 6 | self.xn << 53 | S2_NORMAL | PAGE),
            (
                0x1_0000,
                0x2_0000
                    | self.aptable << 61
                    | bit(self.uxn_table, 60)
                    | bit(self.pxn_table, 59)
                    | TABLE,
            ),
            (
                0x2_0000,
                0x3_0000
                    | AF
                    | bit(self.ap1, 6)
                    | bit(self.ap2, 7)
                    | bit(self.uxn, 54)
                    | bit(self.pxn, 53)
                    | PAGE,
            ),
        ]);
        run(Walk::new(&regime, 0x123, access), &regime, &memory).map(|w| w.entry.permissions)
    }
}

fn check(case: Case) {
    for access in accesses() {
        let refused =
            |stage, ipa| Err(stage_fault(StageFaultKind::Permission, stage, FaultClass::In, ipa));
        let expected = match (case.stage1_allows(access), case.stage2_allows(access)) {
            (false, _) => refused(Stage::Stage1, 0),
            (true, false) => refused(Stage::Stage2, 0x3_0123),
            (true, true) => Ok(()),
        };
        let found = case.walk(access);
        assert_eq!(found.map(|_| ()), expected, "{access:?} {case:?}");
        // The entry answers for every other access as a walk would.
        let Ok(permissions) = found else { continue };
        for other in accesses() {
            let both = case.stage1_allows(other) && case.stage2_allows(other);
            assert_eq!(permissions.allows(other), both, "{other:?} {case:?}");
        }
    }
}

const OPEN: Case = Case {
    ap1: true,
    ap2: false,
    uxn: false,
    pxn: false,
    aptable: 0,
    uxn_table: false,
    pxn_table: false,
    had: false,
    wxn: false,
    pan: false,
    two_privileges: true,
    s2ap: 3,
    xn: 0,
    xnx: true,
};

/// r, w and x, unprivileged then privileged, as a string of the rights that a leaf has.
fn rights(case: Case) -> String {
    let permitted = accesses().filter(|a| a.direction == Direction::Read || !a.instruction);
    let letter = |access: Access| match (access.is_write(), access.is_fetch()) {
        (true, _) => 'w',
        (_, true) => 'x',
        _ => 'r',
    };
    permitted.map(|a| if case.walk(a).is_ok() { letter(a) } else { '-' }).collect()
}

#[test]
fn access_permission_bits_of_stage_1() {
    // In the order r x w unprivileged, r x w privileged.
    let ap = |ap2, ap1| rights(Case { ap1, ap2, ..OPEN });
    assert_eq!(ap(false, false), "-x-rxw");
    assert_eq!(ap(false, true), "rxwr-w");
    assert_eq!(ap(true, false), "-x-rx-");
    assert_eq!(ap(true, true), "rx-rx-");
    testpoint!(152, 153, 155, 270);
}

#[test]
fn pan_takes_privileged_data_accesses_from_unprivileged_pages() {
    let pan = Case { pan: true, ap2: true, ..OPEN };
    assert_eq!(rights(pan), "rx--x-");
    assert_eq!(rights(Case { ap1: false, ap2: false, ..pan }), "-x-rxw");
}

#[test]
fn wxn_makes_writable_pages_non_executable() {
    let wxn = Case { wxn: true, ..OPEN };
    assert_eq!(rights(wxn), "r-wr-w");
    assert_eq!(rights(Case { ap1: false, ..wxn }), "-x-r-w");
    assert_eq!(rights(Case { ap2: true, ..wxn }), "rx-rx-");
}

#[test]
fn one_privilege_ignores_ap_1_and_pxn() {
    let one = Case { two_privileges: false, ap1: false, pxn: true, aptable: 1, ..OPEN };
    assert_eq!(rights(one), "rxwrxw");
    assert_eq!(rights(Case { ap2: true, uxn: true, ..one }), "r--r--");
}

#[test]
fn tables_limit_what_is_below_unless_had() {
    let limited = Case { aptable: 3, uxn_table: true, ..OPEN };
    assert_eq!(rights(limited), "---rx-");
    assert_eq!(rights(Case { had: true, ..limited }), "rxwr-w");
    testpoint!(157);
}

#[test]
fn execute_never_of_stage_2() {
    let xn = |xn, xnx| rights(Case { xn, xnx, ap2: true, ..OPEN });
    assert_eq!([0, 1, 2, 3].map(|code| xn(code, true)), ["rx-rx-", "rx-r--", "r--r--", "r--rx-"]);
    assert_eq!([0, 1, 2, 3].map(|code| xn(code, false)), ["rx-rx-", "rx-rx-", "r--r--", "r--r--"]);
    // An instruction fetch needs no read permission of stage 2.
    assert_eq!(rights(Case { s2ap: 0, ap2: true, ..OPEN }), "-x--x-");
}

#[test]
fn every_stage_1_leaf_under_every_regime() {
    for bits in 0u32..1 << 8 {
        let bit = |at: u32| bits >> at & 1 != 0;
        check(Case {
            ap1: bit(0),
            ap2: bit(1),
            uxn: bit(2),
            pxn: bit(3),
            wxn: bit(4),
            pan: bit(5),
            two_privileges: bit(6),
            had: bit(7),
            ..OPEN
        });
    }
}

proptest! {
    #[test]
    fn any_combination_of_both_stages(bits in 0u32..1 << 17) {
        let bit = |at: u32| bits >> at & 1 != 0;
        let two = |at: u32| u64::from(bits >> at & 3);
        check(Case {
            ap1: bit(0),
            ap2: bit(1),
            uxn: bit(2),
            pxn: bit(3),
            aptable: two(4),
            uxn_table: bit(6),
            pxn_table: bit(7),
            had: bit(8),
            wxn: bit(9),
            pan: bit(10),
            two_privileges: bit(11),
            s2ap: two(12),
            xn: two(14),
            xnx: bit(16),
        });
        testpoint!(171);
    }
}
