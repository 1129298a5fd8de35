//! The scenarios that come with the project are valid, by the reader and by the schema.

use std::path::{Path, PathBuf};

use smmu_lab::scenario::{Iommu, Personality, Step, VmidChoice};
use smmu_lab::{LoadOptions, Loaded, Scenario, ScenarioFile};
use smmu_machine::MachineFile;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios")
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> =
        entries.filter(|path| path.extension().is_some_and(|end| end == "toml")).collect();
    files.sort();
    assert!(!files.is_empty());
    files
}

fn load(name: &str) -> Loaded {
    let path = folder().join(name);
    Scenario::load(&path, &LoadOptions::default()).unwrap_or_else(|error| panic!("{error}"))
}

fn load_with(name: &str, set: &[&str]) -> Loaded {
    let set: Vec<String> = set.iter().map(|&one| one.to_owned()).collect();
    let options = LoadOptions { set: &set, faults: None };
    Scenario::load(&folder().join(name), &options).unwrap_or_else(|error| panic!("{error}"))
}

fn check_schema(schema: &serde_json::Value, file: &Path) {
    let validator = jsonschema::validator_for(schema).unwrap();
    let table: toml::Table = std::fs::read_to_string(file).unwrap().parse().unwrap();
    let json = serde_json::to_value(table).unwrap();
    let errors: Vec<_> =
        validator.iter_errors(&json).map(|e| format!("{}: {e}", e.instance_path())).collect();
    assert!(errors.is_empty(), "{}: {errors:#?}", file.display());
}

#[test]
fn every_scenario_loads_and_fits_the_schema() {
    let folders = ["", "kernel", "experiments"].map(|name| files(&folder().join(name)));
    for file in folders.into_iter().flatten() {
        check_schema(&ScenarioFile::schema(), &file);
        Scenario::load(&file, &LoadOptions::default()).unwrap_or_else(|error| panic!("{error}"));
    }
}

#[test]
fn every_machine_loads_and_fits_the_schema() {
    for file in files(&folder().join("machines")) {
        check_schema(&MachineFile::schema(), &file);
        MachineFile::load(&file).unwrap_or_else(|error| panic!("{error}"));
    }
}

#[test]
fn the_schema_refuses_what_the_reader_refuses() {
    let validator = jsonschema::validator_for(&ScenarioFile::schema()).unwrap();
    for text in [
        "machine = 'reference'",
        "title = ''\nmachine = 1",
        "title = ''\nmachine = 'reference'\ncolour = 1",
        "title = ''\nmachine = 'reference'\n[expect]\nspeed = 1",
        "title = ''\nmachine = 'reference'\n[[step]]\ndance = {}",
        "title = ''\nmachine = { preset = 'ideal', memroy = [] }",
        "title = ''\nmachine = 'reference'\n[[vm]]\nname = 'A'\ndevices = []\nvmid = 'common'",
    ] {
        let table: toml::Table = text.parse().unwrap();
        assert!(!validator.is_valid(&serde_json::to_value(table).unwrap()), "{text}");
        let document = smmu_lab::Document::parse("s.toml", text).unwrap();
        assert!(document.read::<ScenarioFile>().is_err(), "{text}");
    }
}

#[test]
fn variants_differ_in_what_they_set() {
    let loaded = load("shared-vmid.toml");
    let seen: Vec<_> = loaded
        .runs
        .iter()
        .map(|run| (run.variant.as_deref().unwrap(), run.scenario.vms[0].vmid))
        .collect();
    assert_eq!(seen, [("private", VmidChoice::Private), ("shared", VmidChoice::Shared)]);
    let run = &loaded.runs[0];
    assert_eq!(run.scenario.vms[0].containers, [vec![0], vec![1]]);
    assert_eq!(run.scenario.vms[1].containers, [vec![2]]);
    assert_eq!(run.machine.devices[2].streams, [3]);
}

#[test]
fn a_variant_can_change_a_step() {
    let loaded = load("rfc-get-first.toml");
    let expected: Vec<_> = loaded
        .runs
        .iter()
        .map(|run| match &run.scenario.steps[0] {
            Step::Start(start) => (run.scenario.personality, start.expect.name()),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(expected, [(Personality::Rfc, "EPERM"), (Personality::RfcFixed, "ok")]);
}

#[test]
fn overrides_reach_the_scenario_and_the_machine_file() {
    let set = ["seed=7", "vm.B.iommu=type1", "machine.smmu.smmu0.tlb.entries=64"];
    let loaded = load_with("shared-vmid.toml", &set);
    for run in &loaded.runs {
        assert_eq!(run.scenario.seed, 7);
        assert_eq!(run.scenario.vms[1].iommu, Iommu::Type1);
        let tlb = format!("{:?}", run.machine.smmus[0].tlb);
        assert!(tlb.contains("entries: 64"), "{tlb}");
    }
    let loaded = load_with("vmid-reuse.toml", &["machine.preset=adversary"]);
    assert_eq!(loaded.runs[0].machine.smmus[0].preset, "adversary");
    let loaded = load_with("vmid-reuse.toml", &["machine={ preset = 'ideal' }"]);
    assert_eq!(loaded.runs[0].machine.smmus[0].preset, "ideal");
}

#[test]
fn overrides_reach_the_title_and_the_variants_themselves() {
    let set = ["title='another'", "variant.0.name='first'", "variant.1.set={ seed = 9 }"];
    let loaded = load_with("shared-vmid.toml", &set);
    assert_eq!(loaded.title, "another");
    assert_eq!(loaded.runs[0].variant.as_deref(), Some("first"));
    assert_eq!(loaded.runs[1].scenario.seed, 9);
}

#[test]
fn copies_of_a_vm_are_written_out() {
    let run = &load("exhaust-8bit.toml").runs[0];
    assert_eq!(run.scenario.vms.len(), 256);
    assert_eq!(run.scenario.vms[41].name, "T41");
    assert_eq!(run.machine.devices[run.scenario.vms[41].containers[0][0]].name, "vf41");
    assert!(!smmu_arch::Features::decode(&run.machine.smmus[0].ids).vmid16);
}
