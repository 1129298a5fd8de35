//! Bad input, as it is shown.

use std::ops::Range;

use miette::{LabeledSpan, NamedSource, SourceCode};

use super::Path;

/// Something wrong with a description: where, what, and what to do about it.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{what}")]
pub struct Problem {
    /// Place in the description.
    pub at: Path,
    /// What is wrong.
    pub what: String,
    /// What would be right.
    pub help: String,
}

impl Problem {
    /// A problem at a place.
    pub fn new(at: Path, what: impl Into<String>, help: impl Into<String>) -> Self {
        Self { at, what: what.into(), help: help.into() }
    }
}

/// Bad input: the file, the line, what is wrong and what was meant.
///
/// It is a [`miette::Diagnostic`]; miette's graphical handler underlines the place. The plain text
/// ([`Display`](std::fmt::Display)) is `file:line:column: what is wrong`.
#[derive(Clone, Debug)]
pub struct Diagnostic(Box<Inner>);

#[derive(Clone, Debug)]
struct Inner {
    what: String,
    help: Option<String>,
    source: NamedSource<String>,
    span: Range<usize>,
    place: Option<(usize, usize)>,
    related: Vec<Diagnostic>,
}

impl Diagnostic {
    /// A diagnostic for a file of which nothing could be read.
    #[must_use]
    pub fn unreadable(file: &str, why: impl Into<String>, help: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            what: why.into(),
            help: Some(help.into()),
            source: NamedSource::new(file, String::new()),
            span: 0..0,
            place: None,
            related: Vec::new(),
        }))
    }

    /// A diagnostic for a file that is no text. What it holds is not shown: it could be anything.
    pub(super) fn not_text(file: &str, error: &std::string::FromUtf8Error) -> Self {
        let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let good = String::from_utf8_lossy(good);
        let (line, column) = line_and_column(&good, good.len());
        let what = format!("line {line}, column {column}: this is not UTF-8 text");
        Self::unreadable(file, what, "give a TOML file, saved as UTF-8")
    }

    /// A diagnostic at a range of bytes of a text, which is underlined.
    #[must_use]
    pub fn at(
        file: &str,
        text: &str,
        span: Range<usize>,
        what: String,
        help: Option<String>,
    ) -> Self {
        let span = on_characters(text, span);
        let place = Some(line_and_column(text, span.start));
        let source = NamedSource::new(file, text.to_owned());
        Self(Box::new(Inner { what, help, source, span, place, related: Vec::new() }))
    }

    /// The first of several, with the others attached; `None` if there is none.
    #[must_use]
    pub fn first_of(all: Vec<Self>) -> Option<Self> {
        let mut all = all.into_iter();
        let mut first = all.next()?;
        first.0.related.extend(all);
        Some(first)
    }

    /// The file, or `--set` for an override.
    #[must_use]
    pub fn file(&self) -> &str {
        self.0.source.name()
    }

    /// Line, from 1; `None` if the file could not be read.
    #[must_use]
    pub fn line(&self) -> Option<usize> {
        self.0.place.map(|(line, _)| line)
    }

    /// Column in characters, from 1; `None` if the file could not be read.
    #[must_use]
    pub fn column(&self) -> Option<usize> {
        self.0.place.map(|(_, column)| column)
    }

    /// What is wrong.
    #[must_use]
    pub fn what(&self) -> &str {
        &self.0.what
    }

    /// What would be right.
    #[must_use]
    pub fn remedy(&self) -> Option<&str> {
        self.0.help.as_deref()
    }

    /// Further problems of the same input.
    #[must_use]
    pub fn others(&self) -> &[Self] {
        &self.0.related
    }

    /// The same as data: `{file, line, column, message, help, related}`.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "file": self.file(),
            "line": self.line(),
            "column": self.column(),
            "message": self.0.what,
            "help": self.0.help,
            "related": self.0.related.iter().map(Self::to_json).collect::<Vec<_>>(),
        })
    }
}

impl std::fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0.place {
            Some((line, column)) => write!(f, "{}:{line}:{column}: {}", self.file(), self.0.what),
            None => write!(f, "{}: {}", self.file(), self.0.what),
        }
    }
}

impl std::error::Error for Diagnostic {}

impl miette::Diagnostic for Diagnostic {
    fn help<'a>(&'a self) -> Option<Box<dyn std::fmt::Display + 'a>> {
        self.0.help.as_ref().map(|help| Box::new(help) as Box<dyn std::fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.0.place.map(|_| &self.0.source as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        self.0.place?;
        Some(Box::new(std::iter::once(LabeledSpan::underline(self.0.span.clone()))))
    }

    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn miette::Diagnostic> + 'a>> {
        let related = self.0.related.iter().map(|one| one as &dyn miette::Diagnostic);
        (!self.0.related.is_empty()).then(|| Box::new(related) as Box<dyn Iterator<Item = _>>)
    }
}

/// The range moved onto boundaries of characters inside the text.
fn on_characters(text: &str, span: Range<usize>) -> Range<usize> {
    let boundary = |offset: usize| {
        let inside = (0..=offset.min(text.len())).rev();
        inside.into_iter().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
    };
    let start = boundary(span.start);
    start..boundary(span.end).max(start)
}

fn line_and_column(text: &str, offset: usize) -> (usize, usize) {
    let before = &text[..offset];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}
