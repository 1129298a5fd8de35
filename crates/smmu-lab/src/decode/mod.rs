//! What do these words mean? Events, commands, STEs and CDs, field by field.
//!
//! Names and places of fields come from the architecture crate, their meanings from the fact
//! sheets under `spec/`.

mod facts;
mod words;

pub use words::{BadWords, words};

use serde_json::{Value, json};
use smmu_arch::{
    Cd, CdWords, Command, CommandError, Event, Features, FieldInfo, IdRegisters, Ste, SteWords,
    StreamConfig, StreamWorld,
};

/// An encoded structure of the architecture.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Structure {
    /// A record of the Event queue: 32 bytes.
    Event,
    /// An entry of the Command queue: 16 bytes.
    Command,
    /// A Stream Table Entry: 64 bytes.
    Ste,
    /// A Context Descriptor: 64 bytes.
    Cd,
}

impl Structure {
    /// Its 64-bit words.
    #[must_use]
    pub const fn word_count(self) -> usize {
        match self {
            Self::Event => 4,
            Self::Command => 2,
            Self::Ste | Self::Cd => 8,
        }
    }

    /// Its name on the command line and in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Event => "event",
            Self::Command => "command",
            Self::Ste => "ste",
            Self::Cd => "cd",
        }
    }
}

impl Structure {
    /// Its name in a sentence.
    const fn with_article(self) -> &'static str {
        match self {
            Self::Event => "an event",
            Self::Command => "a command",
            Self::Ste => "an STE",
            Self::Cd => "a CD",
        }
    }
}

/// Words, explained.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Decoded {
    /// What kind of structure they are.
    pub structure: Structure,
    /// The words.
    pub words: Vec<u64>,
    /// Its name in the architecture, `F_TRANSLATION`; `STE` and `CD` have no further one.
    pub name: String,
    /// All of it in a line, where it can be said in one.
    pub summary: Option<String>,
    /// When an event is recorded, or what a command does.
    pub about: Option<String>,
    /// Its fields, lowest bit first.
    pub fields: Vec<DecodedField>,
    /// What is wrong with it. Configuration is held against the preset `reference`.
    pub problems: Vec<String>,
}

/// A field, explained.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DecodedField {
    /// Name in the architecture.
    pub name: &'static str,
    /// Most significant bit, from bit 0 of the structure.
    pub msb: u16,
    /// Least significant bit.
    pub lsb: u16,
    /// The bits as they stand.
    pub value: u64,
    /// What this value means, or what the field is for.
    pub meaning: String,
}

/// Explains the words of a structure; missing ones count as 0, further ones are left out.
#[must_use]
pub fn decode(structure: Structure, given: &[u64]) -> Decoded {
    match structure {
        Structure::Event => event(fixed(given)),
        Structure::Command => command(fixed(given)),
        Structure::Ste => ste(fixed(given)),
        Structure::Cd => cd(fixed(given)),
    }
}

fn fixed<const N: usize>(given: &[u64]) -> [u64; N] {
    std::array::from_fn(|index| given.get(index).copied().unwrap_or(0))
}

fn event(words: [u64; 4]) -> Decoded {
    let number = words[0] as u8;
    let facts = facts::event(number);
    let (name, summary, fields, problems) = match Event::decode(&words) {
        Ok(event) => {
            let name = event.name().to_owned();
            (name, Some(event.to_string()), event.fields(), Vec::new())
        }
        Err(error) => {
            let known = facts.and_then(facts::name);
            let name = known.map_or(format!("event {number:#04x}"), str::to_owned);
            (name, None, Vec::new(), vec![error.to_string()])
        }
    };
    let places = fields.into_iter().map(Place::from);
    Decoded {
        structure: Structure::Event,
        words: words.to_vec(),
        name,
        summary,
        about: facts.and_then(|facts| facts::text(facts, "when")),
        fields: explained(places, |name| facts::of_event(facts, name)),
        problems,
    }
}

fn command(words: [u64; 2]) -> Decoded {
    let opcode = words[0] as u8;
    let (name, summary, problems) = match Command::decode(&words) {
        Ok(command) => (command.name().to_owned(), Some(command.to_string()), Vec::new()),
        Err(error) => {
            let known = facts::command(opcode, None).and_then(facts::name);
            let name = known.map_or(format!("command {opcode:#04x}"), str::to_owned);
            let why = match error {
                CommandError::Illegal(illegal) => format!("CERROR_ILL: {illegal}"),
                other => other.to_string(),
            };
            (name, None, vec![why])
        }
    };
    let facts = facts::command(opcode, Some(&name));
    let places = Command::fields_of(&words).into_iter().map(Place::from);
    Decoded {
        structure: Structure::Command,
        words: words.to_vec(),
        name,
        summary,
        about: facts.and_then(|facts| facts::text(facts, "scope")),
        fields: explained(places, |name| facts::of_command(facts, name)),
        problems,
    }
}

fn ste(words: [u64; 8]) -> Decoded {
    let ste = Ste::decode(&words);
    let broken = ste.violations(&reference()).map(|rule| rule.to_string()).collect();
    configuration(Structure::Ste, "STE", words, SteWords::FIELDS, broken)
}

/// A CD is held against the plainest stream that could use it: stage 1 of the EL1 world.
fn cd(words: [u64; 8]) -> Decoded {
    let ste = Ste { valid: true, config: StreamConfig::Stage1, ..Ste::default() };
    let cd = Cd::decode(&words);
    let reference = reference();
    let rules = cd.violations(&ste, &reference, StreamWorld::NsEl1);
    let broken = rules.map(|rule| rule.to_string()).collect();
    configuration(Structure::Cd, "CD", words, CdWords::FIELDS, broken)
}

fn reference() -> Features {
    Features::decode(&IdRegisters::REFERENCE)
}

fn configuration(
    structure: Structure,
    name: &str,
    words: [u64; 8],
    fields: &'static [FieldInfo],
    problems: Vec<String>,
) -> Decoded {
    let places = fields.iter().map(|field| Place::from((*field, field.extract(&words))));
    Decoded {
        structure,
        words: words.to_vec(),
        name: name.to_owned(),
        summary: None,
        about: None,
        fields: explained(places, |name| facts::of_configuration(structure, name)),
        problems,
    }
}

/// A field with its bits.
struct Place {
    name: &'static str,
    msb: u16,
    lsb: u16,
    value: u64,
}

impl From<(FieldInfo, u64)> for Place {
    fn from((field, value): (FieldInfo, u64)) -> Self {
        Self { name: field.name, msb: field.msb, lsb: field.lsb, value }
    }
}

impl Place {
    /// The address that the bits stand for: they hold it from its own bit `lsb` of the word on.
    fn address(&self) -> Option<u64> {
        let is_address = ["Address", "Addr", "IPA", "Ptr", "TTB", "TTB0", "TTB1"];
        let held = is_address.iter().any(|end| self.name.ends_with(end)) && self.name != "NSIPA";
        held.then(|| self.value << (self.lsb % 64))
    }
}

/// The fields with their meanings from the fact sheets.
fn explained(
    places: impl Iterator<Item = Place>,
    facts_of: impl Fn(&str) -> Vec<&'static toml::Table>,
) -> Vec<DecodedField> {
    let explain = |place: Place| {
        let meaning = match place.address() {
            Some(address) => format!("address {address:#x}"),
            None => facts::meaning(&facts_of(place.name), place.value),
        };
        let Place { name, msb, lsb, value } = place;
        DecodedField { name, msb, lsb, value, meaning }
    };
    places.map(explain).collect()
}

impl Decoded {
    /// The same as data; numbers are hexadecimal texts, since JSON readers lose bits above 2^53.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let hex = |value: u64| format!("{value:#x}");
        let fields: Vec<Value> = self
            .fields
            .iter()
            .map(|field| {
                json!({
                    "name": field.name,
                    "msb": field.msb,
                    "lsb": field.lsb,
                    "value": hex(field.value),
                    "meaning": field.meaning,
                })
            })
            .collect();
        json!({
            "structure": self.structure.name(),
            "words": self.words.iter().map(|word| hex(*word)).collect::<Vec<_>>(),
            "name": self.name,
            "summary": self.summary,
            "about": self.about,
            "fields": fields,
            "problems": self.problems,
        })
    }
}
