//! A TOML file that remembers where everything stands, with overrides laid over it.
//!
//! The file is parsed into a tree of values with their byte ranges. Overrides (`--set key=value`)
//! change the tree, not the text, and keep ranges of their own; so the same reader and the same
//! checks serve both, and a message about an override shows the override.

mod diagnostic;
mod overrides;
mod path;
pub mod suggest;

pub use diagnostic::{Diagnostic, Problem};
pub use path::{Path, Segment};

use std::ops::Range;

use overrides::Override;
use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// At most this many problems of a file are shown: the rest mostly follow from them.
const PROBLEMS_SHOWN: usize = 8;

/// A TOML file with its overrides.
///
/// ```
/// let mut document = smmu_machine::Document::parse("vm.toml", "[[vm]]\nname = 'A'\n").unwrap();
/// document.set("vm.A.vmid=shared").unwrap();
/// let table: toml::Table = document.read().unwrap();
/// assert_eq!(table["vm"][0]["vmid"].as_str(), Some("shared"));
/// ```
#[derive(Clone, Debug)]
pub struct Document {
    name: String,
    /// The file, then a line for each override. Ranges of the tree count in this text.
    text: String,
    /// Bytes of `text` that are the file.
    file_bytes: usize,
    overrides: Vec<Override>,
}

impl Document {
    /// Parses a text. `name` stands for it in messages.
    ///
    /// # Errors
    ///
    /// A text that is not TOML.
    pub fn parse(name: &str, text: &str) -> Result<Self, Diagnostic> {
        DeTable::parse(text).map_err(|error| not_toml(name, text, &error))?;
        let (name, text) = (name.to_owned(), text.to_owned());
        Ok(Self { name, file_bytes: text.len(), text, overrides: Vec::new() })
    }

    /// Reads and parses a file.
    ///
    /// # Errors
    ///
    /// A file that cannot be read, or is not TOML.
    pub fn open(path: &std::path::Path) -> Result<Self, Diagnostic> {
        let name = path.display().to_string();
        let bytes = std::fs::read(path).map_err(|error| {
            Diagnostic::unreadable(&name, error.to_string(), "give the path of a readable file")
        })?;
        match String::from_utf8(bytes) {
            Ok(text) => Self::parse(&name, &text),
            Err(error) => Err(Diagnostic::not_text(&name, &error)),
        }
    }

    /// The name that stands for the document in messages.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Reads the whole document as a `T`.
    ///
    /// # Errors
    ///
    /// A wrong type, an unknown or missing key.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, Diagnostic> {
        let reader = toml::de::Deserializer::from(self.tree());
        T::deserialize(reader).map_err(|error| {
            let help = suggest::from_message(error.message());
            let help = help.unwrap_or_else(|| LAST_REMEDY.to_owned());
            self.at(error.span().unwrap_or(0..0), sentence(error.message()), Some(help))
        })
    }

    /// Refuses the document for problems found in it.
    ///
    /// # Errors
    ///
    /// The diagnostic of the first problem, with the others attached; `Ok` if there is none.
    pub fn refuse(&self, problems: Vec<Problem>) -> Result<(), Diagnostic> {
        let shown = problems.into_iter().take(PROBLEMS_SHOWN);
        let all = shown.map(|problem| self.diagnose(problem)).collect();
        Diagnostic::first_of(all).map_or(Ok(()), Err)
    }

    /// A problem with the place where it stands.
    #[must_use]
    pub fn diagnose(&self, problem: Problem) -> Diagnostic {
        self.at(self.place(&problem.at), problem.what, Some(problem.help))
    }

    /// The string of a key of the root, if it is one.
    #[must_use]
    pub fn string_at(&self, key: &str) -> Option<String> {
        self.tree().get_ref().get(key)?.get_ref().as_str().map(str::to_owned)
    }

    /// The values, overrides included. Cheap enough to be made where it is needed: a description
    /// is a few kilobytes, read once a run.
    fn tree(&self) -> Spanned<DeTable<'_>> {
        let (mut root, _) = DeTable::parse_recoverable(&self.text[..self.file_bytes]);
        for one in &self.overrides {
            one.apply(&self.text, root.get_mut());
        }
        root
    }

    /// The bytes of a place, or of the nearest thing around it that is there.
    fn place(&self, path: &Path) -> Range<usize> {
        let tree = self.tree();
        let mut segments = path.segments().iter();
        let Some(Segment::Key(first)) = segments.next() else { return 0..0 };
        let Some(mut value) = tree.get_ref().get(first.as_str()) else { return 0..0 };
        for segment in segments {
            let Some(inner) = child(value, segment) else { break };
            value = inner;
        }
        value.span()
    }

    /// A diagnostic in the file, or in the override that the range lies in.
    fn at(&self, span: Range<usize>, what: String, help: Option<String>) -> Diagnostic {
        if span.start <= self.file_bytes {
            return Diagnostic::at(&self.name, &self.text[..self.file_bytes], span, what, help);
        }
        let line_start = self.text[..span.start].rfind('\n').map_or(0, |newline| newline + 1);
        let line = self.text[line_start..].lines().next().unwrap_or_default();
        let span = span.start - line_start..span.end.saturating_sub(line_start);
        Diagnostic::at("--set", line, span, what, help)
    }
}

fn child<'a, 'i>(
    value: &'a Spanned<DeValue<'i>>,
    segment: &Segment,
) -> Option<&'a Spanned<DeValue<'i>>> {
    match segment {
        Segment::Key(key) => value.get_ref().get(key.as_str()),
        Segment::Index(index) => value.get_ref().get(*index),
    }
}

/// Where nothing better is known.
const LAST_REMEDY: &str = "the reference of the file format in docs/ says what may stand here";

fn not_toml(name: &str, text: &str, error: &toml::de::Error) -> Diagnostic {
    let span = error.span().unwrap_or(0..0);
    let help = "this is not TOML; its rules stand at https://toml.io".to_owned();
    Diagnostic::at(name, text, span, sentence(error.message()), Some(help))
}

/// Messages of the reader have a line for each thing it was at, and name types of this program.
fn sentence(message: &str) -> String {
    let message = message.trim().replace('\n', ": ");
    let Some((what, expected)) = message.rsplit_once("expected ") else { return message };
    let plain = match expected {
        "u8" | "u16" | "u32" | "u64" | "usize" => format!("a whole number ({expected})"),
        "a sequence" => "a list".to_owned(),
        "a map" => "a table".to_owned(),
        other if other.starts_with("struct ") => "a table".to_owned(),
        _ => return message,
    };
    format!("{what}expected {plain}")
}
