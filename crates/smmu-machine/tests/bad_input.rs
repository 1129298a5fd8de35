//! Bad machine files: each is refused at its place, with a remedy.

use smmu_machine::{Document, MachineFile};

/// `file:line:column: what` and the remedy.
fn refused(text: &str) -> (String, String) {
    let document = Document::parse("m.toml", text);
    let error = document.and_then(|d| MachineFile::load_document(&d)).expect_err(text);
    (error.to_string(), error.remedy().unwrap_or_default().to_owned())
}

#[track_caller]
fn check(text: &str, message: &str, remedy: &str) {
    let (what, help) = refused(text);
    assert!(what.contains(message), "{what}");
    assert!(help.contains(remedy), "{help}");
}

#[test]
fn an_unknown_key_is_refused_with_a_suggestion() {
    check(
        "[[smmu]]\nname = 's'\nregistres = 1\n",
        "m.toml:3:1: unknown field `registres`",
        "`registers`",
    );
    check("[[smmu]]\nname = 's'\ntlb.wyas = 1\n", "m.toml:3:5: unknown field `wyas`", "`ways`");
}

#[test]
fn a_wrong_type_is_refused_where_it_stands() {
    check("[[memory]]\nbase = 'x'\nbytes = 4096\n", "m.toml:2:8: invalid type: string", "");
    check("[[memory]]\nbase = 0\nbytes = '4 pages'\n", "m.toml:3:9: `4 pages` is no size", "");
    check("[[smmu]]\n", "missing field `name`", "");
}

#[test]
fn memory_must_not_overlap() {
    let two = "[[memory]]\nbase = 0\nbytes = '1MiB'\n[[memory]]\nbase = 0xff000\nbytes = 4096\n";
    check(two, "m.toml:5:8: memory 0xff000–0xfffff overlaps memory 0x0–0xfffff", "0x100000");
    check("[[memory]]\nbase = 1\nbytes = 4096\n", "not aligned to 4 KiB", "use 0x0");
    check("[[memory]]\nbase = 0\nbytes = 0\n", "no whole number of 4 KiB pages", "multiple");
    check("[[memory]]\nbase = 0xffffffffff000\nbytes = '8KiB'\n", "end beyond 2^52", "52 bits");
}

#[test]
fn registers_lie_outside_of_memory_and_of_each_other() {
    let smmu = |registers: &str| format!("[[smmu]]\nname = 'a'\nregisters = {registers}\n");
    check(&smmu("0x80000000"), "m.toml:3:13: the registers of `a`", "out of memory");
    check(&smmu("0x1000"), "not aligned to 64 KiB", "use 0x0");
    let two = format!("{}[[smmu]]\nname = 'b'\nregisters = 0x20000\n", smmu("0x10000"));
    check(&two, "m.toml:6:13: the registers of `b` and `a` overlap", "0x30000");
    let cmdqv = |keys: &str| format!("{}[smmu.cmdqv]\n{keys}\n", smmu("0x10000"));
    check(&cmdqv("registers = 0x80000000"), "the CMDQV of `a`", "out of memory");
    check(
        &cmdqv("registers = 0"),
        "m.toml:5:13: the registers of the CMDQV of `a` and `a` overlap",
        "0x30000",
    );
    check(
        &cmdqv("queues = 3"),
        "m.toml:5:10: a CMDQV cannot have 3 queues",
        "power of two up to 128",
    );
    check(&cmdqv("streams = 32"), "cannot have 32 streams", "up to 16");
    check(&cmdqv("interfaces = 0"), "cannot have 0 interfaces", "up to 64");
}

#[test]
fn names_and_streams_are_unique_and_known() {
    check(
        "[[smmu]]\nname = 'a'\n[[smmu]]\nname = 'a'\n",
        "m.toml:4:8: an SMMU named `a`",
        "own name",
    );
    let device = |extra: &str| format!("[[device]]\nname = 'nic'\nstreams = [1]\n{extra}");
    check(&device("smmu = 'smmu1'\n"), "m.toml:4:8: no SMMU is named `smmu1`", "`smmu0`");
    check(
        &device("[[device]]\nname = 'b'\nstreams = [1]\n"),
        "StreamID 0x1 of `b` is taken by `nic`",
        "own",
    );
    check("[[device]]\nname = 'n'\nstreams = [65536]\n", "beyond the 16 bits of `smmu0`", "0xffff");
    check("[[device]]\nname = 'n'\nstreams = []\n", "has no StreamID", "streams = [1]");
    check("preset = 'ideel'\n", "m.toml:1:10: no preset is named `ideel`", "`ideal`");
}

#[test]
fn copies_are_numbered() {
    let device =
        |name: &str, count: &str| format!("[[device]]\nname = '{name}'\nstreams = [1]\n{count}");
    check(&device("vf", "count = 2"), "m.toml:2:8: the copies of `vf`", "\"vf{n}\"");
    check(&device("vf{n}", ""), "there is no `count`", "add `count");
    check(&device("vf{n}", "count = 0"), "count = 0 is not possible", "1 to 4096");
    let document = Document::parse("m.toml", &device("vf{n}", "count = 3")).unwrap();
    let devices = MachineFile::load_document(&document).unwrap().devices;
    let seen: Vec<_> = devices.iter().map(|d| (d.name.as_str(), d.streams[0], d.group)).collect();
    assert_eq!(seen, [("vf0", 1, 0), ("vf1", 2, 1), ("vf2", 3, 2)]);
}

#[test]
fn a_group_lies_behind_one_smmu() {
    let file = "
        [[smmu]]
        name = 'a'
        [[smmu]]
        name = 'b'
        [[device]]
        name = 'n0'
        smmu = 'a'
        streams = [1]
        group = 7
        [[device]]
        name = 'n1'
        smmu = 'b'
        streams = [1]
        group = 7
    ";
    check(file, "m.toml:15:17: group 7 is spread over two SMMUs", "another group");
    let unsaid = "[[smmu]]\nname='a'\n[[smmu]]\nname='b'\n[[device]]\nname='n'\nstreams=[1]\n";
    check(unsaid, "does not say which SMMU", "one of a, b");
}

#[test]
fn structures_have_sizes_that_can_be_built() {
    let tlb = |keys: &str| format!("[[smmu]]\nname = 's'\ntlb = {{ {keys} }}\n");
    check(&tlb("entries = 50, ways = 4"), "cannot be divided into sets of 4", "48 or 52");
    check(&tlb("entries = 0"), "1 to 1048576 entries, not 0", "1 to 1048576");
    check(&tlb("entries = 2, ways = 4"), "2 entries cannot be divided into sets of 4", "use 0");
    check(&tlb("shape = 'unbounded', ways = 4"), "an unbounded structure has no entries", "remove");
    check(&tlb("shape = 'unbounded-by-asid', entries = 4"), "an unbounded structure has", "remove");
    check(&tlb("replacement = 'mru'"), "unknown variant `mru`", "did you mean `lru`");
    check(&tlb("partitions = 3"), "4 ways cannot be divided into 3 partitions", "a divisor");
    let tree = "replacement = 'tree-plru', entries = 96, ways = 12";
    check(&tlb(tree), "a power of two of ways up to 64, not 12", "`replacement = \"lru\"`");
    let sets = "partitions = 3, partition_by = 'sets'";
    check(&tlb(sets), "512 sets cannot be divided into 3 partitions", "a divisor of the sets");
    check(&tlb("region = '3MiB'"), "3MiB is the size of no entry", "a power of two");
    check(&tlb("sizes = ['4KiB', '2KiB']"), "2KiB is the size of no entry", "from 4KiB on");
    check(&tlb("sizes = []"), "no entry has no size", "leave `sizes` out");
    let part = |from: &str| format!("{{ from = '{from}', entries = 8 }}");
    let parts = |from: &[&str]| from.iter().map(|from| part(from)).collect::<Vec<_>>().join(", ");
    let split = |from: &[&str]| tlb(&format!("split = [{}]", parts(from)));
    check(&split(&["1GiB", "2MiB"]), "from 2^21 bytes on are split off", "in the order");
    check(&split(&["2MiB", "1GiB", "64KiB"]), "too many parts", "two sizes at most");
    let walks = "[[smmu]]\nname = 's'\n[smmu.walk_cache.stage1]\nentries = 13\n";
    check(walks, "m.toml:4:11: 13 entries cannot be divided into sets of 4", "12 or 16");
    let levels = "[[smmu]]\nname = 's'\n[smmu.walk_cache.stage1]\nlevels = [1, 3]\n";
    check(levels, "m.toml:4:10: level 3 has no table descriptors", "-1 to 2");
    let sizes =
        "[[smmu]]\nname = 's'\nwalk_cache.stage2 = { levels = [1], level_entries = [4, 8] }\n";
    check(sizes, "2 sizes for 1 levels", "one for each level");
    let unnamed = "[[smmu]]\nname = 's'\nwalk_cache.stage2 = { level_entries = [4] }\n";
    check(unnamed, "sizes of which levels?", "`levels = [0, 1, 2]`");
    let none = "[[smmu]]\nname = 's'\nmain_tlb = 'none'\n";
    check(none, "m.toml:3:12: an SMMU without a main TLB needs a µTLB", "micro_tlb");
}

#[test]
fn id_registers_are_consistent_and_announce_what_is_modelled() {
    let id = |keys: &str| format!("[[smmu]]\nname = 's'\n[smmu.id]\n{keys}\n");
    check(&id("idr0 = 0x094c721a"), "m.toml:4:8: IDR0.HYP", "S2P");
    check(&id("idr0 = 0x494c721b"), "IDR0.RME_IMPL announces what is not", "clear RME_IMPL");
    check(&id("vmid_bits = 9"), "m.toml:4:13: vmid_bits = 9 is not possible", "8 or 16");
    check(&id("oas_bits = 39"), "oas_bits = 39 is not possible", "40");
    let document = Document::parse("m.toml", &id("vmid_bits = 8\noas_bits = 40")).unwrap();
    let ids = MachineFile::load_document(&document).unwrap().smmus[0].ids;
    let reference = smmu_arch::IdRegisters::REFERENCE;
    assert_eq!(ids.idr0, reference.idr0 & !(1 << 18));
    assert_eq!(ids.idr5, (reference.idr5 & !7) | 2);
}

#[test]
fn several_problems_are_told_at_once() {
    let text = "preset = 'x'\n[[memory]]\nbase = 1\nbytes = 1\n";
    let document = Document::parse("m.toml", text).unwrap();
    let error = MachineFile::load_document(&document).unwrap_err();
    assert_eq!(error.others().len(), 2);
}
