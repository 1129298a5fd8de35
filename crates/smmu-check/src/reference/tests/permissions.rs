//! Section "Permissions".

use super::*;

/// Who may do what through one leaf: letters r, w, x for unprivileged, then privileged.
fn rights(cd: [u64; 8], table_bits: u64, leaf_bits: u64) -> String {
    let bench = Bench::new(ste(5), cd);
    bench.stage1_tables().write(S1[2], S1[3] | TABLE | table_bits);
    bench.write(S1[3], 0x8000_0000 | (S1_PAGE & !(3 << 6)) | leaf_bits);
    letters(&bench)
}

fn letters(bench: &Bench) -> String {
    let mut text = String::new();
    for privileged in [false, true] {
        for (letter, direction, instruction) in [
            ('r', Direction::Read, false),
            ('w', Direction::Write, false),
            ('x', Direction::Read, true),
        ] {
            let access = Access { direction, privileged, instruction };
            let allowed = bench.rule(&Transaction { access, ..read(0) }).allowed;
            text.push(if allowed.output().is_some() { letter } else { '-' });
        }
        text.push(' ');
    }
    text.trim_end().to_owned()
}

#[test]
fn ap_of_stage1() {
    assert_eq!(rights(cd(), 0, 0), "--x rwx");
    assert_eq!(rights(cd(), 0, 1 << 6), "rwx rw-"); // writable by all: never executed privileged
    assert_eq!(rights(cd(), 0, 2 << 6), "--x r-x");
    assert_eq!(rights(cd(), 0, 3 << 6), "r-x r-x");
}

#[test]
fn execute_never_of_stage1() {
    assert_eq!(rights(cd(), 0, 3 << 6 | 1 << 54), "r-- r-x");
    assert_eq!(rights(cd(), 0, 3 << 6 | 1 << 53), "r-x r--");
}

#[test]
fn tables_limit_what_is_below_them_unless_had() {
    assert_eq!(rights(cd(), 1 << 61, 1 << 6), "--x rwx");
    assert_eq!(rights(cd(), 2 << 61, 1 << 6), "r-x r-x");
    assert_eq!(rights(cd(), 1 << 60, 3 << 6), "r-- r-x");
    assert_eq!(rights(cd(), 1 << 59, 3 << 6), "r-x r--");
    let mut had = cd();
    had[1] |= 1 << 1;
    assert_eq!(rights(had, 0xf << 59, 1 << 6), "rwx rw-");
}

#[test]
fn wxn_and_pan() {
    let mut wxn = cd();
    wxn[0] |= 1 << 36;
    assert_eq!(rights(wxn, 0, 1 << 6), "rw- rw-");
    assert_eq!(rights(wxn, 0, 0), "--x rw-");
    let mut pan = cd();
    pan[0] |= 1 << 40;
    assert_eq!(rights(pan, 0, 3 << 6), "r-x --x");
    assert_eq!(rights(pan, 0, 2 << 6), "--x r-x");
}

#[test]
fn e0pd_faults_unprivileged_accesses() {
    let mut e0pd = cd();
    e0pd[1] |= 1 << 2;
    assert_eq!(rights(e0pd, 0, 3 << 6), "--- r-x");
}

#[test]
fn s2ap_and_xn_of_stage2() {
    let rights = |leaf_bits: u64| {
        let bench = Bench::new(ste(6), [0; 8]);
        bench.stage2_tables().write(S2[2], 0x9000_0000 | (S2_PAGE & !(3 << 6)) | leaf_bits);
        letters(&bench)
    };
    assert_eq!(rights(0), "--x --x");
    assert_eq!(rights(1 << 6), "r-x r-x");
    assert_eq!(rights(2 << 6), "-wx -wx");
    assert_eq!(rights(3 << 6 | 1 << 53), "rwx rw-");
    assert_eq!(rights(3 << 6 | 2 << 53), "rw- rw-");
    assert_eq!(rights(3 << 6 | 3 << 53), "rw- rwx");
}

#[test]
fn the_ste_overrides_privilege_and_instruction() {
    let mut words = ste(5);
    words[1] |= 3 << 48; // PRIVCFG = privileged
    let bench = Bench::new(words, cd());
    bench.stage1_tables().write(S1[3], 0x8000_0000 | (S1_PAGE & !(3 << 6)));
    assert_eq!(letters(&bench), "rwx rwx");
    words[1] |= 2 << 50; // INSTCFG = data
    let bench = Bench::new(words, cd());
    bench.stage1_tables().write(S1[3], 0x8000_0000 | (S1_PAGE & !(3 << 6)) | 3 << 53);
    assert_eq!(letters(&bench), "rwx rwx");
}
