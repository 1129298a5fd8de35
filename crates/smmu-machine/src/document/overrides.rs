//! Values laid over a file: `--set vm.A.vmid=shared`, and the `set` tables of variants.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Diagnostic, Document, Path, Segment, suggest};

/// A value laid over the tree.
#[derive(Clone, Debug)]
pub(super) struct Override {
    at: Path,
    value: Source,
}

/// Where the value comes from.
#[derive(Clone, Debug)]
enum Source {
    /// A TOML value at a range of the text.
    Toml(Range<usize>),
    /// A bare word at a range of the text: a string without its quotes.
    Word(Range<usize>),
    /// A copy of another value of the document.
    Copy(Path),
}

impl Document {
    /// Lays a value over the document: `key=value`, where the key is a dotted path and the value
    /// is TOML or a bare word. An element of an array is named by its `name` or its index from 0:
    /// `vm.A.vmid=shared`, `step.0.dma.count=8`.
    ///
    /// # Errors
    ///
    /// A text without `=`, a path through something that is not there or holds nothing.
    pub fn set(&mut self, assignment: &str) -> Result<(), Diagnostic> {
        self.set_below("", assignment)
    }

    /// As [`set`](Self::set), for a document that is known to its user under a name: with
    /// `machine.`, the key `machine.preset` is this document's `preset`.
    ///
    /// # Errors
    ///
    /// As [`set`](Self::set).
    pub fn set_below(&mut self, prefix: &str, assignment: &str) -> Result<(), Diagnostic> {
        let assignment = assignment.replace(['\n', '\r'], " ");
        let start = self.text.len() + 1;
        let mut text = format!("{}\n{assignment}", self.text);
        std::mem::swap(&mut self.text, &mut text);
        let result = self.set_at(prefix, start, &assignment);
        if result.is_err() {
            self.text = text;
        }
        result
    }

    /// Lays copies of the document's own values over it: every pair of the table at `path`, whose
    /// keys are dotted paths.
    ///
    /// # Errors
    ///
    /// As [`set`](Self::set), at the pair.
    pub fn set_from(&mut self, path: &Path, keys: &[String]) -> Result<(), Diagnostic> {
        for key in keys {
            let from = path.key(key);
            let at = self
                .resolve(key)
                .map_err(|(what, help)| self.at(self.place(&from), what, Some(help)))?;
            self.overrides.push(Override { at, value: Source::Copy(from) });
        }
        Ok(())
    }

    fn set_at(&mut self, prefix: &str, start: usize, assignment: &str) -> Result<(), Diagnostic> {
        let refuse = |span: Range<usize>, what: String, help: String| {
            Diagnostic::at("--set", assignment, span, what, Some(help))
        };
        let Some(equals) = assignment.find('=') else {
            let help = "write `key=value`, for example `seed=7` or `vm.A.vmid=shared`";
            return Err(refuse(0..assignment.len(), "no `=`".to_owned(), help.to_owned()));
        };
        let key = assignment[..equals].trim();
        let key = key.strip_prefix(prefix).unwrap_or(key);
        let at = self.resolve(key).map_err(|(what, help)| refuse(0..equals, what, help))?;
        let value_at = assignment.len() - assignment[equals + 1..].trim_start().len();
        let range = value_at..assignment.trim_end().len().max(value_at);
        let word = &assignment[range.clone()];
        let in_text = start + range.start..start + range.end;
        let value = match DeValue::parse(word) {
            Ok(_) => Source::Toml(in_text),
            Err(_) if is_bare_word(word) => Source::Word(in_text),
            Err(error) => {
                let span = error.span().map_or(range, |s| s.start + value_at..s.end + value_at);
                let help = "give a TOML value: a number, `true`, \"text\", [list]".to_owned();
                return Err(refuse(span, error.message().to_owned(), help));
            }
        };
        self.overrides.push(Override { at, value });
        Ok(())
    }

    /// The place that a dotted path names. What is wrong and the remedy, if it names none.
    fn resolve(&self, dotted: &str) -> Result<Path, (String, String)> {
        let tree = self.tree();
        let mut path = Path::root();
        let mut here: Option<&Spanned<DeValue<'_>>> = None;
        let mut in_root = true;
        for name in dotted.split('.').map(str::trim) {
            if name.is_empty() {
                return Err((format!("`{dotted}` has an empty part"), SHAPE.to_owned()));
            }
            let segment = match here.map(Spanned::get_ref) {
                Some(DeValue::Array(array)) => Segment::Index(element(array, name)?),
                Some(DeValue::Table(_)) | None => Segment::Key(name.to_owned()),
                Some(other) => {
                    let what = format!("`{path}` is a {}, not a table", other.type_str());
                    return Err((what, SHAPE.to_owned()));
                }
            };
            here = match (&segment, in_root) {
                (Segment::Key(key), true) => tree.get_ref().get(key.as_str()),
                _ => here.and_then(|value| super::child(value, &segment)),
            };
            in_root = false;
            path = match segment {
                Segment::Key(key) => path.key(&key),
                Segment::Index(index) => path.index(index),
            };
        }
        Ok(path)
    }
}

const SHAPE: &str = "write `key=value` with a path like `machine.smmu.smmu0.tlb.entries`";

/// The element of an array with a name, or at an index.
fn element(array: &[Spanned<DeValue<'_>>], name: &str) -> Result<usize, (String, String)> {
    let names: Vec<Option<&str>> = array
        .iter()
        .map(|one| one.get_ref().get("name").and_then(|name| name.get_ref().as_str()))
        .collect();
    if let Some(index) = names.iter().position(|one| *one == Some(name)) {
        return Ok(index);
    }
    match name.parse() {
        Ok(index) if index < array.len() => Ok(index),
        Ok(_) => Err((
            format!("there is no element {name}"),
            format!("the list has {} elements, counted from 0", array.len()),
        )),
        Err(_) => Err((
            format!("nothing here is named `{name}`"),
            suggest::remedy(name, names.into_iter().flatten()),
        )),
    }
}

/// What may stand without quotes after `=`.
fn is_bare_word(word: &str) -> bool {
    let allowed = |c: char| c.is_alphanumeric() || "-_./ ".contains(c);
    word.starts_with(|c: char| c.is_alphanumeric() || c == '/' || c == '.')
        && word.chars().all(allowed)
}

impl Override {
    /// Lays the value over the tree. Does nothing if the place went away under another override.
    pub(super) fn apply<'i>(&self, text: &'i str, root: &mut DeTable<'i>) {
        let value = match &self.value {
            Source::Toml(range) => {
                let (mut value, _) = DeValue::parse_recoverable(&text[range.clone()]);
                shift(&mut value, range.start);
                value
            }
            Source::Word(range) => {
                Spanned::new(range.clone(), DeValue::String(text[range.clone()].into()))
            }
            Source::Copy(from) => match find(root, from) {
                Some(value) => value.clone(),
                None => return,
            },
        };
        let Some((Segment::Key(first), rest)) = self.at.segments().split_first() else { return };
        place(root, first, rest, value);
    }
}

fn find<'a, 'i>(root: &'a DeTable<'i>, path: &Path) -> Option<&'a Spanned<DeValue<'i>>> {
    let (Segment::Key(first), rest) = path.segments().split_first()? else { return None };
    rest.iter().try_fold(root.get(first.as_str())?, |value, segment| super::child(value, segment))
}

/// Puts a value under `key`, through tables and arrays that are made where they are missing.
fn place<'i>(table: &mut DeTable<'i>, key: &str, rest: &[Segment], value: Spanned<DeValue<'i>>) {
    let span = value.span();
    let entry = table.entry(Spanned::new(span.clone(), key.to_owned().into()));
    if rest.is_empty() {
        match entry {
            toml::map::Entry::Occupied(mut old) => drop(old.insert(value)),
            toml::map::Entry::Vacant(gap) => drop(gap.insert(value)),
        }
    } else {
        let inner = entry.or_insert_with(|| Spanned::new(span, DeValue::Table(DeTable::new())));
        place_inside(inner.get_mut(), rest, value);
    }
}

fn place_inside<'i>(target: &mut DeValue<'i>, path: &[Segment], value: Spanned<DeValue<'i>>) {
    match (target, path) {
        (DeValue::Table(table), [Segment::Key(key), rest @ ..]) => place(table, key, rest, value),
        (DeValue::Array(array), [Segment::Index(index), rest @ ..]) => {
            let Some(element) = array.get_mut(*index) else { return };
            if rest.is_empty() {
                *element = value;
            } else {
                place_inside(element.get_mut(), rest, value);
            }
        }
        _ => {}
    }
}

/// Moves the ranges of a value, and of all inside it, on by `by` bytes.
fn shift(value: &mut Spanned<DeValue<'_>>, by: usize) {
    let span = value.span();
    let mut inner = std::mem::replace(value.get_mut(), DeValue::Boolean(false));
    match &mut inner {
        DeValue::Array(array) => array.iter_mut().for_each(|element| shift(element, by)),
        DeValue::Table(table) => {
            let old = std::mem::take(table);
            table.extend(old.into_iter().map(|(key, mut value)| {
                shift(&mut value, by);
                let span = key.span();
                (Spanned::new(span.start + by..span.end + by, key.into_inner()), value)
            }));
        }
        _ => {}
    }
    *value = Spanned::new(span.start + by..span.end + by, inner);
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "seed = 1\n[[vm]]\nname = 'A'\nvmid = 'private'\n[v]\n'vm.A.vmid' = 'x'\n";

    fn document() -> Document {
        Document::parse("f.toml", FILE).unwrap()
    }

    fn read(document: &Document) -> toml::Table {
        document.read().unwrap()
    }

    #[test]
    fn an_override_replaces_by_name_by_index_and_in_tables_not_there_yet() {
        let mut document = document();
        document.set("seed = 7").unwrap();
        document.set("vm.A.vmid=shared").unwrap();
        document.set("vm.0.ram.bytes=\"16MiB\"").unwrap();
        document.set("list=[{a=1}]").unwrap();
        let table = read(&document);
        assert_eq!(table["seed"].as_integer(), Some(7));
        assert_eq!(table["vm"][0]["vmid"].as_str(), Some("shared"));
        assert_eq!(table["vm"][0]["ram"]["bytes"].as_str(), Some("16MiB"));
        assert_eq!(table["list"][0]["a"].as_integer(), Some(1));
    }

    #[test]
    fn a_table_of_the_file_is_laid_over_it() {
        let mut document = document();
        document.set_from(&Path::root().key("v"), &["vm.A.vmid".to_owned()]).unwrap();
        assert_eq!(read(&document)["vm"][0]["vmid"].as_str(), Some("x"));
        let wrong = Document::parse("f.toml", "[v]\n'seed.a' = 1\n'b' = 2\n[seed]\n").unwrap();
        assert!(wrong.clone().set_from(&Path::root().key("v"), &["b".to_owned()]).is_ok());
    }

    #[test]
    fn a_message_about_an_override_shows_the_override() {
        #[derive(serde::Deserialize, Debug)]
        struct Seeded {
            #[allow(dead_code)]
            seed: u64,
        }
        let mut document = document();
        document.set("seed=\"many\"").unwrap();
        let error = document.read::<Seeded>().unwrap_err();
        assert_eq!((error.file(), error.line(), error.column()), ("--set", Some(1), Some(6)));
    }

    #[test]
    fn a_bad_override_is_refused_with_a_remedy_and_changes_nothing() {
        let mut document = document();
        for (bad, remedy) in [
            ("seed", "write `key=value`"),
            ("vm.B.vmid=1", "choose one of `A`"),
            ("vm.3.vmid=1", "the list has 1 elements"),
            ("seed.x=1", "write `key=value` with a path"),
            (".=1", "write `key=value` with a path"),
            ("seed=[1", "give a TOML value"),
        ] {
            let error = document.set(bad).unwrap_err();
            assert_eq!(error.file(), "--set");
            assert!(error.remedy().unwrap().contains(remedy), "{bad}: {:?}", error.remedy());
        }
        assert_eq!(read(&document)["seed"].as_integer(), Some(1));
    }
}
