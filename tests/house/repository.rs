//! The repository as text.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Folders that hold what was built or fetched, never what was written.
const BUILT: [&str; 4] = [".git", "target", "corpus", "artifacts"];

/// A file of the repository, by its path from the root, with `/` between folders.
pub(crate) struct Source {
    pub(crate) path: String,
    pub(crate) text: String,
}

impl Source {
    pub(crate) fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned() }
    }

    /// Lines with their numbers, from 1.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        (1..).zip(self.text.lines())
    }

    /// Lines of Rust without their comments. A `//` in a string ends the line too early, so what
    /// is looked for may be missed there, but nothing is found that is not code.
    pub(crate) fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        self.lines().map(|(number, line)| (number, line.split("//").next().unwrap_or_default()))
    }

    /// Built into the crate, and not only for its unit tests.
    pub(crate) fn is_product(&self) -> bool {
        let mut parts = self.path.split('/');
        parts.next() == Some("crates")
            && !parts.any(|part| ["tests", "tests.rs", "benches", "examples"].contains(&part))
    }

    /// The crate that the file belongs to: the folder below `crates`.
    pub(crate) fn room(&self) -> &str {
        self.path.strip_prefix("crates/").and_then(|rest| rest.split('/').next()).unwrap_or("")
    }
}

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package lies in the repository")
}

pub(crate) fn read(path: &str) -> String {
    let path = root().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Paths of all files that are tracked or about to be; without git, of all that lie there.
pub(crate) fn files() -> Vec<String> {
    let mut files = from_git().unwrap_or_else(|| walk(root()));
    files.retain(|path| root().join(path).is_file());
    files.sort();
    assert!(files.iter().any(|path| path == "Cargo.toml"), "the root manifest was not found");
    files
}

/// Text files whose names end in one of `ends`.
pub(crate) fn sources(ends: &[&str]) -> Vec<Source> {
    let mut files = files();
    files.retain(|path| ends.iter().any(|end| path.ends_with(end)));
    files.iter().map(|path| Source::new(path, &read(path))).collect()
}

/// Fails with the rule and every place that breaks it.
pub(crate) fn none(rule: &str, offences: impl IntoIterator<Item = String>) {
    let offences: Vec<String> = offences.into_iter().collect();
    assert!(offences.is_empty(), "{rule}\n  {}", offences.join("\n  "));
}

fn from_git() -> Option<Vec<String>> {
    let listing = ["ls-files", "--cached", "--others", "--exclude-standard", "-z"];
    let output = Command::new("git").arg("-C").arg(root()).args(listing).output().ok()?;
    let text = String::from_utf8(output.stdout).ok().filter(|_| output.status.success())?;
    let files = text.split('\0').filter(|path| !path.is_empty()).map(str::to_owned);
    Some(files.collect()).filter(|files: &Vec<String>| !files.is_empty())
}

fn walk(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("a folder of the repository can be read");
    let mut files = Vec::new();
    for path in entries.map(|entry| entry.expect("and so can its entries").path()) {
        if path.is_dir() && !BUILT.iter().any(|built| path.ends_with(built)) {
            files.extend(walk(&path));
        } else if path.is_file() {
            files.push(relative(path));
        }
    }
    files
}

fn relative(path: PathBuf) -> String {
    let inside = path.strip_prefix(root()).expect("the path lies below the root");
    inside.components().map(|part| part.as_os_str().to_string_lossy()).collect::<Vec<_>>().join("/")
}

#[test]
fn walking_finds_what_git_lists() {
    let Some(listed) = from_git() else { return };
    let walked = walk(root());
    let missing = listed.into_iter().filter(|path| root().join(path).is_file());
    none("a walk finds every tracked file", missing.filter(|path| !walked.contains(path)));
}
