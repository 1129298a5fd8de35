//! The reference pages of the file formats, written from their JSON Schemas.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde_json::Value;
use smmu_machine::MachineFile;

use crate::ScenarioFile;

/// Where the machine page stands beside the scenario page.
const MACHINE_PAGE: &str = "machine-file.md";

/// `docs/src/reference/machine-file.md`.
#[must_use]
pub fn machine_page() -> String {
    let intro = "A machine file says what a machine is made of. Whatever it leaves out comes from \
        a preset (`smmulator presets`) or a default. The schema: `smmulator schema machine`.";
    Page::new(MachineFile::schema(), &Value::Null).write(
        "Machine file",
        intro,
        &["memory", "smmu", "device"],
    )
}

/// `docs/src/reference/scenario-file.md`.
#[must_use]
pub fn scenario_page() -> String {
    let intro = "A scenario file says who does what on which machine, and what must come out. \
        Keys and metrics are in `snake_case`, other values in `kebab-case`. Any value can be \
        replaced on the command line: `--set vm.A.vmid=shared`, `--set machine.smmu.smmu0.tlb.\
        entries=64`. The schema: `smmulator schema scenario`.";
    let page = Page::new(ScenarioFile::schema(), &MachineFile::schema());
    page.write("Scenario file", intro, &["vm", "variant", "step"])
}

/// A page in the making.
struct Page {
    schema: Value,
    /// Definitions that another page describes.
    elsewhere: BTreeSet<String>,
}

impl Page {
    fn new(schema: Value, other: &Value) -> Self {
        let mut elsewhere: BTreeSet<String> = definitions(other).map(|(name, _)| name).collect();
        if !elsewhere.is_empty() {
            elsewhere.insert("MachineFile".to_owned());
            elsewhere.remove("Bytes");
        }
        Self { schema, elsewhere }
    }

    fn write(&self, title: &str, intro: &str, arrays: &[&str]) -> String {
        let mut page = format!(
            "# {title}\n\n<!-- Written from the schema: UPDATE_EXPECT=1 cargo test -p smmu-lab \
             --test reference -->\n\n{intro}\n\n{}\n",
            paragraphs(&self.schema)
        );
        self.keys(&self.schema, &mut page);
        let _ = writeln!(
            page,
            "\nArrays of tables ({}) are written `[[{}]]`.",
            arrays.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", "),
            arrays[0]
        );
        for name in self.in_order() {
            let Some(definition) = self.schema["$defs"].get(&name) else { continue };
            let _ = write!(page, "\n## {name}\n\n{}\n", paragraphs(definition));
            self.body(definition, &mut page);
        }
        page
    }

    fn body(&self, definition: &Value, page: &mut String) {
        if definition["properties"].is_object() {
            self.keys(definition, page);
        } else {
            self.values(definition, page);
        }
    }

    /// A table of the keys of a structure.
    fn keys(&self, structure: &Value, page: &mut String) {
        let Some(properties) = structure["properties"].as_object() else { return };
        let required: Vec<&str> = structure["required"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        page.push_str("\n| key | type | |\n|---|---|---|\n");
        let (needed, optional): (Vec<_>, Vec<_>) =
            properties.iter().partition(|(key, _)| required.contains(&key.as_str()));
        for (key, property) in needed.into_iter().chain(optional) {
            let must = if required.contains(&key.as_str()) { " **Required.**" } else { "" };
            let meaning = cell(&paragraphs(property));
            let _ = writeln!(page, "| `{key}` | {} | {meaning}{must} |", self.kind(property));
        }
    }

    /// A table of the values of a choice, or of the keys of a table with exactly one.
    fn values(&self, choice: &Value, page: &mut String) {
        let Some(options) = choice["oneOf"].as_array() else { return };
        page.push_str("\n| value | |\n|---|---|\n");
        for option in options {
            let meaning = cell(&paragraphs(option));
            if let Some(names) = option["enum"].as_array() {
                for name in names.iter().filter_map(Value::as_str) {
                    let _ = writeln!(page, "| `{name}` | {meaning} |");
                }
            } else if let Some(name) = option["const"].as_str() {
                let _ = writeln!(page, "| `{name}` | {meaning} |");
            } else if let Some((key, inner)) = only_key(option) {
                let _ = writeln!(page, "| `{key} = ` {} | {meaning} |", self.kind(inner));
            } else {
                let _ = writeln!(page, "| {} | {meaning} |", self.kind(option));
            }
        }
    }

    /// A type, as a person writes it.
    fn kind(&self, property: &Value) -> String {
        if let Some(name) = reference(property) {
            return self.link(name);
        }
        if let Some(options) = property["anyOf"].as_array() {
            let options = options.iter().filter(|option| option["type"] != "null");
            return options.map(|option| self.kind(option)).collect::<Vec<_>>().join(" or ");
        }
        let names = match &property["type"] {
            Value::Array(names) => names.iter().filter_map(Value::as_str).collect(),
            name => name.as_str().into_iter().collect::<Vec<_>>(),
        };
        match names.into_iter().find(|name| *name != "null") {
            Some("array") => format!("list of {}", self.kind(&property["items"])),
            Some("object") => "table".to_owned(),
            Some(name) => name.to_owned(),
            None => "any".to_owned(),
        }
    }

    fn link(&self, name: &str) -> String {
        let anchor = name.to_lowercase();
        if name == "MachineFile" && self.elsewhere.contains(name) {
            format!("[machine]({MACHINE_PAGE})")
        } else {
            format!("[{name}](#{anchor})")
        }
    }

    /// Definitions in the order in which the page first names them.
    fn in_order(&self) -> Vec<String> {
        let mut names = Vec::new();
        let root = self.schema.as_object().into_iter().flatten();
        for (_, part) in root.filter(|(key, _)| *key != "$defs") {
            self.collect(part, &mut names);
        }
        names
    }

    fn collect(&self, part: &Value, names: &mut Vec<String>) {
        if let Some(name) = reference(part)
            && !self.elsewhere.contains(name)
            && !names.iter().any(|known| known == name)
        {
            names.push(name.to_owned());
            self.collect(&self.schema["$defs"][name], names);
        }
        match part {
            Value::Object(inner) => inner.values().for_each(|one| self.collect(one, names)),
            Value::Array(inner) => inner.iter().for_each(|one| self.collect(one, names)),
            _ => {}
        }
    }
}

fn definitions(schema: &Value) -> impl Iterator<Item = (String, &Value)> {
    schema["$defs"].as_object().into_iter().flatten().map(|(name, one)| (name.clone(), one))
}

/// The name of the definition that a schema refers to.
fn reference(schema: &Value) -> Option<&str> {
    schema["$ref"].as_str()?.strip_prefix("#/$defs/")
}

fn only_key(option: &Value) -> Option<(&String, &Value)> {
    let properties = option["properties"].as_object()?;
    if properties.len() == 1 { properties.iter().next() } else { None }
}

/// A description, its lines joined, its paragraphs kept.
fn paragraphs(schema: &Value) -> String {
    let text = schema["description"].as_str().unwrap_or_default();
    let joined = text.split("\n\n").map(|paragraph| paragraph.replace('\n', " "));
    joined.collect::<Vec<_>>().join("\n\n")
}

fn cell(text: &str) -> String {
    text.replace("\n\n", " ").replace('|', "\\|")
}
