//! Data on stdout.

use std::io::{self, Write};
use std::path::Path;

use comfy_table::{ContentArrangement, Table, presets};
use serde_json::Value;

use crate::exit::Error;

/// Version of every JSON document that is printed.
const SCHEMA_VERSION: u32 = 1;

/// Prints a text. Colours in it are taken out where they are not wanted.
pub(crate) fn text(text: &str) -> io::Result<()> {
    let mut out = anstream::stdout().lock();
    out.write_all(text.as_bytes())?;
    if !text.ends_with('\n') {
        out.write_all(b"\n")?;
    }
    out.flush()
}

/// Writes a file whole.
pub(crate) fn file(path: &Path, text: &str) -> Result<(), Error> {
    std::fs::write(path, text).map_err(|error| Error::Typed {
        what: format!("{} cannot be written: {error}", path.display()),
        help: "name a file in a folder that exists and may be written".to_owned(),
    })
}

/// Prints a JSON document as it is.
pub(crate) fn raw_json(value: &Value) -> io::Result<()> {
    text(&format!("{value:#}"))
}

/// Prints a JSON object with its `schema_version`.
pub(crate) fn json(mut value: Value) -> io::Result<()> {
    if let Some(object) = value.as_object_mut() {
        object.insert("schema_version".to_owned(), SCHEMA_VERSION.into());
    }
    raw_json(&value)
}

/// Columns of a table where there is no terminal to ask.
const WIDTH: u16 = 100;

/// A table in plain lines, as wide as the terminal.
pub(crate) fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::UTF8_BORDERS_ONLY)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(header);
    if table.width().is_none() {
        table.set_width(WIDTH);
    }
    table
}
