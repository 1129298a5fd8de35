//! Bad scenarios: each is refused at its place, with a remedy; nothing makes the reader panic.

use std::path::Path;

use proptest::prelude::*;
use smmu_lab::{Diagnostic, Document, LoadOptions, Scenario};

const HEAD: &str = "title = 't'\nmachine = 'reference'\n";

fn load_with(text: &str, options: &LoadOptions<'_>) -> Result<(), Diagnostic> {
    let document = Document::parse("s.toml", text)?;
    Scenario::load_document(document, Path::new("nowhere"), options).map(drop)
}

/// Refused with a message and a remedy that contain the given texts.
#[track_caller]
fn check(text: &str, message: &str, remedy: &str) {
    let faults = ["reuse-without-tlbi"];
    let options = LoadOptions { set: &[], faults: Some(&faults) };
    let error = load_with(text, &options).expect_err(text);
    let help = error.remedy().unwrap_or_default();
    assert!(error.to_string().contains(message), "{error}");
    assert!(help.contains(remedy), "{help}");
}

/// A scenario with VM A (nic0, 16 MiB at 0x4000_0000) and a step on line 6.
#[track_caller]
fn check_step(step: &str, message: &str, remedy: &str) {
    let vm = "vm = [{ name = 'A', devices = ['nic0', 'nic1'] }]\n";
    check(&format!("{HEAD}{vm}\n[[step]]\n{step}\n"), message, remedy);
}

#[test]
fn an_unknown_key_is_refused_with_a_suggestion() {
    check(&format!("{HEAD}sede = 1\n"), "s.toml:3:1: unknown field `sede`", "`seed`");
    check_step("dam = { device = 'nic0' }", "s.toml:6:1: unknown variant `dam`", "`dma`");
    check_step("dma = { device = 'nic0', iovaa = 1 }", "s.toml:6:26: unknown field", "`iova`");
    check(
        "title = 't'\nmachine = { memroy = [] }\n",
        "s.toml:2:13: unknown field `memroy`",
        "`memory`",
    );
    check(&format!("{HEAD}[expect]\nstall = 0\n"), "s.toml:4:1: unknown variant", "`stale`");
    check(&format!("{HEAD}personality = 'rcf'\n"), "s.toml:3:15: unknown variant", "`rfc`");
}

#[test]
fn a_wrong_type_is_refused_where_it_stands() {
    check(&format!("{HEAD}seed = 'one'\n"), "s.toml:3:8: invalid type: string", "whole number");
    check_step("dma = { device = 'nic0', iova = -1 }", "s.toml:6:33: invalid value", "0 or more");
    check("title = 't'\nmachine = 3\n", "s.toml:2:11: invalid type: integer", "");
    check("title = 't'\nmachine = [\n", "s.toml:", "TOML");
    check("title = 't'\n", "missing field `machine`", "add `machine");
}

#[test]
fn two_things_in_one_step_are_refused() {
    check_step("stop = { vm = 'A' }\nmark = { name = 'm' }", "wanted exactly 1", "one key only");
}

#[test]
fn a_machine_is_found_or_said_where() {
    check("title = 't'\nmachine = 'idael'\n", "s.toml:2:11: no preset is named", "`ideal`");
    check("title = 't'\nmachine = 'x.toml'\n", "s.toml:2:11: nowhere/x.toml", "nowhere");
    check(
        "title = 't'\nmachine = { memory = [{ base = 1, bytes = 4096 }] }\n",
        "s.toml:2:32: memory at 0x1 is not aligned",
        "use 0x0",
    );
    let overlap = "title = 't'\n[[machine.memory]]\nbase = 0\nbytes = 8192\n\
        [[machine.memory]]\nbase = 4096\nbytes = 4096\n";
    check(overlap, "s.toml:6:8: memory 0x1000–0x1fff overlaps memory 0x0–0x1fff", "0x2000");
}

#[test]
fn vms_have_devices_of_the_machine_each_its_own() {
    let vm = |text: &str| format!("{HEAD}[[vm]]\nname = 'A'\n{text}\n");
    check(&vm("devices = []"), "s.toml:5:11: VM `A` has no devices", "devices = [\"nic0\"]");
    check(&vm(""), "missing field `devices`", "");
    check(&vm("devices = ['nci0']"), "s.toml:5:12: the machine has no device `nci0`", "`nic0`");
    let two = format!("{}[[vm]]\nname = 'B'\ndevices = ['nic0']\n", vm("devices = ['nic0']"));
    check(&two, "s.toml:8:11: device `nic0` is assigned to `A` already", "one VM");
    let twins = format!("{}[[vm]]\nname = 'A'\ndevices = ['nic1']\n", vm("devices = ['nic0']"));
    check(&twins, "s.toml:7:8: a VM named `A` exists already", "own name");
    check(&vm("devices = ['nic0']\niommu = 'type1'\nvmid = 'shared'"), "s.toml:7:8", "nesting");
    let grouped = "title = 't'\n\
        machine = { device = [{ name = 'a', streams = [1], group = 1 }, \
                              { name = 'b', streams = [2], group = 1 }] }\n\
        vm = [{ name = 'A', devices = ['a'] }, { name = 'B', devices = ['b'] }]\n";
    check(grouped, "s.toml:3:64: device `b` shares IOMMU group 1", "one VM");
}

#[test]
fn ram_is_aligned_addressable_and_fits_into_memory() {
    let ram =
        |ram: &str| format!("{HEAD}[[vm]]\nname = 'A'\ndevices = ['nic0']\nram = {{ {ram} }}\n");
    check(&ram("guest = 0x1234"), "s.toml:6:17: RAM at 0x1234 is not aligned", "use 0x1000");
    check(&ram("bytes = 100"), "no whole number of pages", "multiple of 4KiB");
    check(&ram("page = '64KiB'"), "64KiB is no size of host pages", "2MiB");
    check(&ram("bytes = '8GiB'"), "comes to 8GiB, the machine has 4GiB", "less RAM");
    check(&ram("guest = 0x1000000000000"), "beyond the 48 bits", "0x1000000000000");
}

#[test]
fn dma_goes_where_something_is_mapped() {
    let dma = |iova: &str| format!("dma = {{ device = 'nic0', iova = {iova} }}");
    check_step(
        &dma("0x1000"),
        "s.toml:6:33: nothing of `A` is ever mapped at 0x1000",
        "RAM of `A`",
    );
    check_step(
        &dma("0x1000000000000"),
        "s.toml:6:33: 0x1000000000000",
        "stay below 0x1000000000000",
    );
    check_step("dma = { device = 'nic9', iova = 0 }", "s.toml:6:18: the machine has no", "`nic0`");
    check_step("dma = { device = 'nic3', iova = 0 }", "belongs to no VM", "expect = \"abort\"");
    let abort = "dma = { device = 'nic3', iova = 0, expect = 'abort' }";
    let text = format!("{HEAD}[[step]]\n{abort}\n");
    assert!(load_with(&text, &LoadOptions::default()).is_ok());
}

#[test]
fn maps_are_aligned_and_have_ram_behind_them() {
    let map = |keys: &str| format!("map = {{ vm = 'A', {keys} }}");
    check_step(&map("iova = 1, bytes = 4096"), "s.toml:6:26: iova = 0x1 is not aligned", "0x0");
    check_step(&map("iova = 0, bytes = 4096"), "there is no RAM of `A` at 0x0", "`from`");
    check_step("unmap = { vm = 'B', iova = 0, bytes = 0 }", "no VM is named `B`", "`A`");
    let foreign = "unmap = { vm = 'A', iova = 0, bytes = 4096, containers = ['nic2'] }";
    check_step(foreign, "s.toml:6:59: device `nic2` is not one of `A`", "`nic0`");
}

#[test]
fn workloads_are_possible_and_fit() {
    let work =
        |traffic: &str| format!("workload = {{ devices = ['nic0'], traffic = {{ {traffic} }} }}");
    check_step(&work("nic_ring = { ring = 100 }"), "ring = 100 is no power of two", "use 128");
    check_step(&work("nic_ring = { mtu = 9 }"), "mtu = 9 is not possible", "64 to 65536");
    check_step(&work("window = { window = '64MiB' }"), "uses 64MiB of RAM, `A` has 16MiB", "more");
    check_step(&work("tenant_ring = { areas = 0 }"), "areas = 0 is not possible", "1 to 65536");
    check_step(
        &work("nvme = { block = '5000' }"),
        "block = 5000B is no whole number of pages",
        "8KiB",
    );
    check_step(&work("nvme = { depth = 2000 }"), "depth = 2000 is not possible", "1 to 1024");
    check_step(&work("accelerator = { reuse = 0 }"), "reuse = 0 is not possible", "1 to 5000");
    check_step(&work("nic-ring = {}"), "unknown variant `nic-ring`", "`nic_ring`");
    check_step("workload = { devices = [], traffic = { window = {} } }", "no device does", "VM");
}

#[test]
fn commands_have_their_operands() {
    let command = |keys: &str| format!("command = {{ {keys} }}");
    check_step(&command("op = 'tlbi-nh-asid', vmid = 1"), "needs `asid`", "add `asid");
    check_step(&command("op = 'tlbi-nsnh-all', vmid = 1"), "has no `vmid`", "none");
    check_step(&command("op = 'tlbi-nh-asdi'"), "unknown variant", "`tlbi-nh-asid`");
    check_step(&command("op = 'tlbi-nh-all', vmid = 0x10000"), "too wide", "0xffff");
    check_step(&command("op = 'tlbi-nh-all', vmid = 'nic'"), "no device `nic`", "`nic0`");
    let pages = "op = 'tlbi-s2-ipa', vmid = 1, address = 0, pages = 33";
    check_step(&command(pages), "cannot name 33 pages", "1 to 32");
    check_step(&command("op = 'cfgi-all', smmu = 'smmu1'"), "no SMMU is named", "`smmu0`");
}

#[test]
fn expectations_can_be_held() {
    let expect = |keys: &str| format!("expect = {{ {keys} }}");
    check_step(&expect("metric = 'hits'"), "nothing is expected of `hits`", "`equals`");
    check_step(&expect("metric = 'tlbi', vm = 'A', equals = 0"), "not counted by vm", "`smmu`");
    check_step(&expect("metric = 'vmid', equals = 1"), "for one device only", "device");
    check_step(&expect("metric = 'hits', since = 'm', equals = 1"), "the mark `m`", "mark =");
    check_step(&expect("metric = 'resident', since = 'm', equals = 1"), "what is now", "`since`");
    check(&format!("{HEAD}[expect]\nvmid = 1\n"), "s.toml:4:8: `vmid`", "step");
}

#[test]
fn faults_variants_and_repeats_are_checked() {
    check(&format!("{HEAD}faults = ['reuse-wihtout-tlbi']\n"), "s.toml:3:11: no fault", "`reuse-");
    let variant = |set: &str| format!("{HEAD}[[variant]]\nname = 'v'\nset = {{ {set} }}\n");
    check(&variant("'vm.A.vmid' = 1"), "expected a list", "");
    check(&variant("'seed.x' = 1"), "invalid type: map", "whole number");
    check(&variant("'seed' = 'x'"), "s.toml:5:18: invalid type: string", "");
    check(&variant("'variant.v.name' = 'x'"), "cannot change variants", "");
    let repeat = "repeat = { times = 2000000, steps = [{ mark = { name = 'm' } }] }";
    check_step(repeat, "come to 2000000", "at most 1000000");
}

#[test]
fn an_override_is_held_to_the_same_checks() {
    let text = format!("{HEAD}[[vm]]\nname = 'A'\ndevices = ['nic0']\n");
    for (set, place, remedy) in [
        ("vm.A.vmid=commom", "--set:1:11: unknown variant", "`private`, `shared`"),
        ("vm.A.devices=[]", "--set:1:14: VM `A` has no devices", "nic0"),
        ("machine.smmu.smmu0.tlb.ways=3", "--set:1:29: 2048 entries", "2046 or 2049"),
        ("machine.smmu=[{name='s',tlb.ways=3}]", "--set:1:25: 2048 entries", "2046 or 2049"),
        ("seed", "--set:1:1: no `=`", "key=value"),
    ] {
        let sets = [set.to_owned()];
        let options = LoadOptions { set: &sets, faults: None };
        let error = load_with(&text, &options).expect_err(set);
        assert!(error.to_string().contains(place), "{error}");
        assert!(error.remedy().unwrap_or_default().contains(remedy), "{:?}", error.remedy());
    }
}

const SAMPLES: [&str; 5] = [
    include_str!("../../../scenarios/shared-vmid.toml"),
    include_str!("../../../scenarios/tlbi-scope.toml"),
    include_str!("../../../scenarios/rfc-split-tables.toml"),
    include_str!("../../../scenarios/machines/three-nics.toml"),
    include_str!("../../../scenarios/machines/vmid8.toml"),
];

/// Words that a mutation puts in place of others: bounds, other types, other structures.
const WORDS: [&str; 16] = [
    "0",
    "-1",
    "1",
    "9223372036854775807",
    "18446744073709551615",
    "''",
    "'A'",
    "[]",
    "{}",
    "nan",
    "0xffffffffffff",
    "'99999999TiB'",
    "[[vm]]",
    "count = 4096",
    "\u{e9}\u{20ac}",
    "[machine]",
];

/// A sample with some of its words replaced.
fn mutated() -> impl Strategy<Value = String> {
    let edits = prop::collection::vec((any::<prop::sample::Index>(), 0..WORDS.len()), 1..6);
    (0..SAMPLES.len(), edits).prop_map(|(sample, edits)| {
        let mut words: Vec<&str> = SAMPLES[sample].split_inclusive([' ', '\n', ',']).collect();
        for (at, word) in edits {
            let at = at.index(words.len());
            words[at] = WORDS[word];
        }
        words.concat()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn mutated_samples_never_panic(text in mutated(), set in "[a-z.0-9]{0,12}=?[ -~]{0,8}") {
        let machine_inline = format!("title = ''\nmachine = 'reference'\n{text}");
        for text in [&text, &machine_inline] {
            let sets = [set.clone()];
            for set in [&[][..], &sets] {
                let result = load_with(text, &LoadOptions { set, faults: None });
                if let Err(error) = result {
                    prop_assert!(!error.to_string().is_empty());
                    let mut shown = String::new();
                    let handler = miette::NarratableReportHandler::new();
                    prop_assert!(handler.render_report(&mut shown, &error).is_ok());
                }
            }
            if let Ok(document) = Document::parse("m.toml", text) {
                let _ = smmu_machine::MachineFile::load_document(&document);
            }
        }
    }

    #[test]
    fn any_text_never_panics(text in "\\PC*") {
        let _ = load_with(&text, &LoadOptions::default());
    }
}
