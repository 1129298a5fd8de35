//! The fact sheets of `spec/`, as far as they say what fields mean.

use std::sync::LazyLock;

use toml::Table;

use super::Structure;

static EVENTS: LazyLock<Table> =
    LazyLock::new(|| sheet(include_str!("../../../../spec/events.toml")));
static COMMANDS: LazyLock<Table> =
    LazyLock::new(|| sheet(include_str!("../../../../spec/commands.toml")));
static STE: LazyLock<Table> = LazyLock::new(|| sheet(include_str!("../../../../spec/ste.toml")));
static CD: LazyLock<Table> = LazyLock::new(|| sheet(include_str!("../../../../spec/cd.toml")));

/// The sheets are compiled in: one that cannot be read is our mistake, and a test would show it.
fn sheet(text: &str) -> Table {
    text.parse().expect("a fact sheet is TOML")
}

/// The tables of an array of tables.
fn tables(sheet: &'static Table, key: &str) -> impl Iterator<Item = &'static Table> {
    sheet
        .get(key)
        .and_then(|list| list.as_array())
        .into_iter()
        .flatten()
        .filter_map(|one| one.as_table())
}

fn named(list: impl Iterator<Item = &'static Table>, name: &str) -> Option<&'static Table> {
    list.into_iter().find(|one| self::name(one) == Some(name))
}

/// The sheet of an event.
pub(super) fn event(number: u8) -> Option<&'static Table> {
    let is_it = |one: &&Table| one.get("id").and_then(|id| id.as_integer()) == Some(number.into());
    tables(&EVENTS, "event").find(is_it)
}

/// The sheet of a command: opcodes are shared, so a name decides where it is known.
pub(super) fn command(opcode: u8, wanted: Option<&str>) -> Option<&'static Table> {
    let has_opcode = |one: &&'static Table| {
        one.get("opcode").and_then(|opcode| opcode.as_integer()) == Some(opcode.into())
    };
    let candidates = || tables(&COMMANDS, "command").filter(has_opcode);
    match wanted {
        Some(wanted) => named(candidates(), wanted).or_else(|| candidates().next()),
        None => candidates().next(),
    }
}

/// What the sheets say about a field of an event: the event's own words first.
pub(super) fn of_event(event: Option<&'static Table>, field: &str) -> Vec<&'static Table> {
    let own = event.and_then(|event| named(tables(event, "fields"), field));
    let meta = EVENTS.get("meta").and_then(|meta| meta.as_table());
    let common = meta.and_then(|meta| named(tables(meta, "common_header"), field));
    own.into_iter().chain(common).collect()
}

/// What the sheets say about a field of a command: the command's own words first.
pub(super) fn of_command(command: Option<&'static Table>, field: &str) -> Vec<&'static Table> {
    let own = command.and_then(|command| named(tables(command, "fields"), field));
    let common = named(tables(&COMMANDS, "common_field"), field);
    own.into_iter().chain(common).collect()
}

/// What the sheets say about a field of an STE or a CD.
pub(super) fn of_configuration(structure: Structure, field: &str) -> Vec<&'static Table> {
    let sheet = if structure == Structure::Cd { &CD } else { &STE };
    named(tables(sheet, "field"), field).into_iter().collect()
}

/// The name of an entry.
pub(super) fn name(entry: &'static Table) -> Option<&'static str> {
    entry.get("name")?.as_str()
}

/// A text of an entry; an empty one is none.
pub(super) fn text(entry: &Table, key: &str) -> Option<String> {
    entry.get(key)?.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
}

/// What a value means by the first sheet that lists it, else what the field is for.
pub(super) fn meaning(facts: &[&'static Table], value: u64) -> String {
    let listed = |field: &&'static Table| {
        let values = field.get("values")?.as_table()?;
        values.get(&value.to_string())?.as_str().map(str::to_owned)
    };
    let class = || {
        let is_class = facts.iter().any(|field| name(field) == Some("CLASS"));
        let values = EVENTS.get("meta")?.get("class_values")?.get(value.to_string())?;
        values.as_str().filter(|_| is_class).map(str::to_owned)
    };
    let purpose = || facts.iter().find_map(|field| text(field, "meaning"));
    facts
        .iter()
        .find_map(listed)
        .or_else(class)
        .or_else(purpose)
        .or_else(|| known(facts, value))
        .unwrap_or_default()
}

/// Flags of event records that the sheets name without words.
fn known(facts: &[&'static Table], value: u64) -> Option<String> {
    let set = value != 0;
    let word = match name(facts.first()?)? {
        "RnW" => {
            if set {
                "read"
            } else {
                "write"
            }
        }
        "PnU" => {
            if set {
                "privileged"
            } else {
                "unprivileged"
            }
        }
        "InD" => {
            if set {
                "instruction"
            } else {
                "data"
            }
        }
        "S2" => {
            if set {
                "stage 2"
            } else {
                "stage 1"
            }
        }
        "Stall" => {
            if set {
                "waits for CMD_RESUME"
            } else {
                "terminated"
            }
        }
        "TTRnW" => {
            if set {
                "descriptor read"
            } else {
                "descriptor write"
            }
        }
        "STAG" => "stall tag",
        "Reason" => "IMPLEMENTATION DEFINED",
        "GPCF" => "Granule Protection Check fault",
        "NSIPA" => {
            if set {
                "the IPA is Non-secure"
            } else {
                "the IPA is of the stream's own state"
            }
        }
        "P" | "pR" | "pW" | "pX" | "uR" | "uW" | "uX" | "R" | "W" | "X" => {
            if set {
                "asked for"
            } else {
                "not asked for"
            }
        }
        _ => return None,
    };
    Some(word.to_owned())
}
