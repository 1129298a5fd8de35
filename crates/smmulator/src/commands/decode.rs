//! `smmulator decode`: what is event 0x10?

use clap::{Args, ValueEnum};
use owo_colors::OwoColorize;
use smmu_lab::decode::{BadWords, Decoded, Structure, decode, words};

use crate::exit::{Error, Exit};
use crate::output;

/// Explain an event record, a command, an STE or a CD, field by field.
///
/// Words are hexadecimal, lowest first, as a log shows them: 64 bits wide, or twice as many of 32
/// bits.
#[derive(Args, Debug)]
#[command(after_help = "Example: smmulator decode command 0x0007000500000011 0")]
pub(crate) struct Decode {
    /// What the words are
    structure: Kind,
    /// The words: event 4 of 64 bits or 8 of 32, command 2 or 4, STE and CD 8 or 16
    #[arg(required = true, value_name = "WORDS", allow_negative_numbers = true)]
    words: Vec<String>,
    /// Show fields that are 0, too
    #[arg(long)]
    all: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    /// A record of the Event queue
    Event,
    /// An entry of the Command queue
    Command,
    /// A Stream Table Entry
    Ste,
    /// A Context Descriptor
    Cd,
}

impl From<Kind> for Structure {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Event => Self::Event,
            Kind::Command => Self::Command,
            Kind::Ste => Self::Ste,
            Kind::Cd => Self::Cd,
        }
    }
}

impl From<BadWords> for Error {
    fn from(bad: BadWords) -> Self {
        Self::Typed { what: bad.to_string(), help: bad.remedy() }
    }
}

impl Decode {
    pub(crate) fn run(self) -> Result<Exit, Error> {
        let structure = self.structure.into();
        let decoded = decode(structure, &words(structure, &self.words)?);
        if self.json {
            output::json(decoded.to_json())?;
        } else {
            output::text(&shown(&decoded, self.all))?;
        }
        Ok(Exit::Held)
    }
}

/// A heading, a table of fields, and what is wrong.
fn shown(decoded: &Decoded, all: bool) -> String {
    let mut text = format!("{}\n", decoded.summary.as_ref().unwrap_or(&decoded.name).bold());
    if let Some(about) = &decoded.about {
        text += &format!("{about}\n");
    }
    // Events and commands are short; an STE has dozens of fields, most of them 0.
    let short = matches!(decoded.structure, Structure::Event | Structure::Command);
    let is_shown = |value: u64| all || short || value != 0;
    let mut table = output::table(&["field", "bits", "value", "meaning"]);
    for field in decoded.fields.iter().filter(|field| is_shown(field.value)) {
        let bits = match field.msb - field.lsb {
            0 => field.lsb.to_string(),
            _ => format!("{}:{}", field.msb, field.lsb),
        };
        table.add_row([field.name, &bits, &format!("{:#x}", field.value), &field.meaning]);
    }
    if !table.is_empty() {
        text += &format!("{table}\n");
    }
    let hidden = decoded.fields.iter().filter(|field| !is_shown(field.value)).count();
    if hidden > 0 {
        text += &format!("{hidden} further fields are 0 (--all shows them)\n");
    }
    for problem in &decoded.problems {
        text += &format!("{} {problem}\n", "illegal:".red().bold());
    }
    text
}
