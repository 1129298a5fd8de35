//! From files to runs.

use std::path::{Path as FilePath, PathBuf};

use smmu_machine::{Blueprint, Diagnostic, Document, MachineFile, Path, Problem, presets};

use super::{MachineChoice, Scenario, ScenarioFile};

/// Keys of overrides that reach into the machine begin with this.
const MACHINE: &str = "machine.";

/// What is laid over a scenario, and what its names are held against.
#[derive(Clone, Debug, Default)]
pub struct LoadOptions<'a> {
    /// `key=value`, laid over the file and over its variants, in this order. A key that begins
    /// with `machine.` reaches into the machine file.
    pub set: &'a [String],
    /// The faults that exist; `None` leaves fault names unchecked.
    pub faults: Option<&'a [&'a str]>,
}

/// A scenario file, worked out.
#[derive(Clone, PartialEq, Debug)]
pub struct Loaded {
    /// What it shows, in a line.
    pub title: String,
    /// One run for each variant, in the order of the file; a single one without a name if the
    /// file has no variants. Never empty.
    pub runs: Vec<Run>,
}

/// One run of a scenario.
#[derive(Clone, PartialEq, Debug)]
pub struct Run {
    /// The variant, if there are any.
    pub variant: Option<String>,
    /// What happens.
    pub scenario: Scenario,
    /// On what.
    pub machine: Blueprint,
}

impl Scenario {
    /// Reads a scenario file, its machine and its variants.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with one of the files or with an override, with line and remedy.
    pub fn load(path: &FilePath, options: &LoadOptions<'_>) -> Result<Loaded, Diagnostic> {
        let folder = path.parent().unwrap_or(FilePath::new(""));
        Self::load_document(Document::open(path)?, folder, options)
    }

    /// Works out a scenario that is in memory. `folder` is where paths in it start.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load).
    pub fn load_document(
        document: Document,
        folder: &FilePath,
        options: &LoadOptions<'_>,
    ) -> Result<Loaded, Diagnostic> {
        // Overrides may change the title and the variants themselves.
        let mut changed = document.clone();
        for set in options.set.iter().filter(|set| !is_for_machine(set)) {
            changed.set(set)?;
        }
        let file: ScenarioFile = changed.read()?;
        changed.refuse(file.check_variants())?;
        let mut runs = Vec::new();
        for (index, variant) in file.variant.iter().enumerate() {
            let mut sources = Sources::new(changed.clone(), folder);
            let keys = variant.set.keys().cloned().collect();
            sources.set_variant(index, keys)?;
            runs.push(sources.run(Some(variant.name.clone()), options)?);
        }
        if runs.is_empty() {
            runs.push(Sources::new(document, folder).run(None, options)?);
        }
        Ok(Loaded { title: file.title, runs })
    }
}

/// The scenario and, where it is a file of its own, the machine.
struct Sources<'a> {
    scenario: Document,
    folder: &'a FilePath,
}

impl<'a> Sources<'a> {
    fn new(scenario: Document, folder: &'a FilePath) -> Self {
        Self { scenario, folder }
    }

    /// Lays the values of a variant over the scenario.
    fn set_variant(&mut self, index: usize, keys: Vec<String>) -> Result<(), Diagnostic> {
        let path = Path::root().key("variant").index(index).key("set");
        self.scenario.set_from(&path, &keys)
    }

    fn run(
        mut self,
        variant: Option<String>,
        options: &LoadOptions<'_>,
    ) -> Result<Run, Diagnostic> {
        let (for_machine, for_scenario): (Vec<_>, Vec<_>) =
            options.set.iter().partition(|set| is_for_machine(set));
        for set in for_scenario {
            self.scenario.set(set)?;
        }
        let machine = self.machine(&for_machine)?;
        let file: ScenarioFile = self.scenario.read()?;
        let scenario = file.plan(&machine);
        self.scenario.refuse(file.check(&scenario, &machine, options.faults))?;
        Ok(Run { variant, scenario, machine })
    }

    /// The machine, from wherever the scenario says.
    fn machine(&mut self, sets: &[&String]) -> Result<Blueprint, Diagnostic> {
        let Some(name) = self.scenario.string_at("machine") else {
            return self.inline_machine(sets);
        };
        let mut document = if FilePath::new(&name).extension().is_some_and(|end| end == "toml") {
            let path: PathBuf = self.folder.join(&name);
            Document::open(&path).map_err(|error| self.at_machine(error.to_string(), &name))?
        } else {
            self.preset(&name)?
        };
        for set in sets {
            document.set_below(MACHINE, set)?;
        }
        MachineFile::load_document(&document)
    }

    fn inline_machine(&mut self, sets: &[&String]) -> Result<Blueprint, Diagnostic> {
        for set in sets {
            self.scenario.set(set)?;
        }
        let file: ScenarioFile = self.scenario.read()?;
        let MachineChoice::Inline(machine) = file.machine else {
            return Err(self.at_machine("the machine is not a table".to_owned(), ""));
        };
        machine.blueprint().map_err(|problems| {
            let root = Path::root().key("machine");
            let moved = |one: Problem| Problem { at: one.at.under(&root), ..one };
            let moved = problems.into_iter().map(moved).collect();
            self.scenario
                .refuse(moved)
                .err()
                .unwrap_or_else(|| self.at_machine("the machine is not possible".to_owned(), ""))
        })
    }

    /// The machine that is all default but for its preset.
    fn preset(&self, name: &str) -> Result<Document, Diagnostic> {
        if presets::find(name).is_none() {
            let names = presets::all().iter().map(|preset| preset.name);
            let help = format!(
                "{}; the name of a machine file ends in .toml",
                smmu_machine::suggest::remedy(name, names)
            );
            let at = Path::root().key("machine");
            let problem = Problem::new(at, format!("no preset is named `{name}`"), help);
            return Err(self.scenario.diagnose(problem));
        }
        Document::parse(name, &format!("preset = \"{name}\"\n[[smmu]]\nname = \"smmu0\"\n"))
    }

    fn at_machine(&self, what: String, name: &str) -> Diagnostic {
        let folder = shown(self.folder);
        let help = format!("paths start where the scenario lies: `{name}` in {folder}");
        self.scenario.diagnose(Problem::new(Path::root().key("machine"), what, help))
    }
}

/// The override reaches into the machine, which may be a file of its own.
fn is_for_machine(set: &str) -> bool {
    set.trim_start().starts_with(MACHINE)
}

fn shown(folder: &FilePath) -> String {
    if folder.as_os_str().is_empty() { ".".to_owned() } else { folder.display().to_string() }
}
