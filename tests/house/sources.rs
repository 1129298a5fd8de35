//! What holds for every source file.

use crate::repository::{Source, none, sources};

/// Lines after which a file is cut along a real seam.
const LINES_MAX: usize = 700;
/// Files that may be longer, each with its reason. There is none.
const LONG: [(&str, &str); 0] = [];

/// Marks of work that was put off. They are put together here, so that this file has none.
const POSTPONED: [&str; 5] = [
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("to", "do!("),
    concat!("unimpl", "emented!("),
    concat!("#[ign", "ore"),
];

/// First folders of paths that mean something on one machine only.
const MACHINE_FOLDERS: [&str; 5] = ["home", "Users", "root", "work", "tmp"];

const TEXT: [&str; 7] = [".rs", ".md", ".toml", ".py", ".sh", ".json", ".ci/run"];

fn found(source: &Source, mark: impl Fn(&str) -> bool) -> Vec<String> {
    let lines = source.lines().filter(|(_, line)| mark(line));
    lines.map(|(number, line)| format!("{}:{number}: {}", source.path, line.trim())).collect()
}

fn is_postponed(line: &str) -> bool {
    POSTPONED.iter().any(|mark| line.contains(mark))
}

/// An absolute path into a folder that only one machine has. What stands before it must not make
/// it the middle of something else, like an address on the web.
fn has_machine_path(line: &str) -> bool {
    MACHINE_FOLDERS.iter().any(|folder| {
        let path = format!("/{folder}/");
        let mut places = line.match_indices(&path);
        places.any(|(at, _)| {
            !line[..at].ends_with(|c: char| c.is_alphanumeric() || "_-.~}".contains(c))
        })
    })
}

fn has_example(root: &Source) -> bool {
    let lines = root.text.lines().map(str::trim_start);
    let doc: Vec<&str> = lines.take_while(|line| line.starts_with("//!")).collect();
    doc.len() > 1 && doc.iter().filter(|line| line.starts_with("//! ```")).count() >= 2
}

#[test]
fn no_source_file_is_too_long_to_find_ones_way_in() {
    let long = sources(&[".rs"]).into_iter().filter_map(|source| {
        let lines = source.text.lines().count();
        let excused = LONG.iter().any(|(path, _)| *path == source.path);
        (lines > LINES_MAX && !excused).then(|| format!("{}: {lines} lines", source.path))
    });
    none("cut the file along a real seam:", long);
}

#[test]
fn nothing_is_put_off_in_the_source() {
    let marks = sources(&[".rs"]).into_iter().flat_map(|source| found(&source, is_postponed));
    none("finish it, or say in docs/ that it is not modelled:", marks);
}

#[test]
fn no_path_belongs_to_one_machine() {
    let paths = sources(&TEXT).into_iter().flat_map(|source| found(&source, has_machine_path));
    none("a path that others do not have:", paths);
}

#[test]
fn every_crate_root_explains_itself_with_an_example() {
    let is_root = |path: &str| path.ends_with("/src/lib.rs") || path.ends_with("/src/main.rs");
    let roots = sources(&[".rs"]).into_iter().filter(|source| is_root(&source.path));
    let without = roots.filter(|root| !has_example(root));
    none(
        "a crate root says what the crate is and shows it in a block:",
        without.map(|root| root.path),
    );
}

#[test]
fn the_marks_are_found_where_they_are() {
    assert!(is_postponed(concat!("    // TO", "DO: later")) && !is_postponed("// done"));
    assert!(has_machine_path(concat!("let file = \"/ho", "me/somebody/file\";")));
    assert!(has_machine_path(concat!("see /wo", "rk/main")));
    assert!(!has_machine_path("https://example.org/home/page") && !has_machine_path("a/tmp/b"));
    assert!(has_example(&Source::new(
        "lib.rs",
        "//! A crate.\n//! ```\n//! a();\n//! ```\nfn f() {}"
    )));
    assert!(!has_example(&Source::new("lib.rs", "//! A crate.\nfn f() {}")));
}
