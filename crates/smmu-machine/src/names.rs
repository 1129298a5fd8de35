//! Names in a file: unique, and numbered where one entry stands for many.

use std::collections::BTreeMap;

use crate::{Path, Problem};

/// Most copies of one entry.
pub const COPIES_MAX: u32 = 4096;

/// A name with its number in place of `{n}`.
#[must_use]
pub fn numbered(name: &str, number: u32) -> String {
    name.replace("{n}", &number.to_string())
}

/// How many times an entry is written out: `count` within its bounds, or once.
#[must_use]
pub fn copies(count: Option<u32>) -> u32 {
    count.unwrap_or(1).min(COPIES_MAX)
}

/// Adds a problem unless `count` is in bounds and goes together with `{n}` in the name.
pub fn check_copies(name: &str, count: Option<u32>, path: &Path, problems: &mut Vec<Problem>) {
    let templated = name.contains("{n}");
    match count {
        Some(count) if count == 0 || count > COPIES_MAX => {
            let what = format!("count = {count} is not possible");
            let help = format!("choose 1 to {COPIES_MAX}, or leave it out for a single one");
            problems.push(Problem::new(path.key("count"), what, help));
        }
        Some(_) if !templated => {
            let what = format!("the copies of `{name}` would all have the same name");
            let help = format!("put `{{n}}` where the number goes: \"{name}{{n}}\"");
            problems.push(Problem::new(path.key("name"), what, help));
        }
        None if templated => {
            let what = format!("`{name}` has a place for a number, but there is no `count`");
            let help = "add `count = …`, or take `{n}` out of the name";
            problems.push(Problem::new(path.key("name"), what, help));
        }
        _ => {}
    }
}

/// Adds a problem for each name of the array `key` that is taken already or cannot be one. `kind`
/// is what bears the name, with its article.
pub fn check_names<'a>(
    names: impl Iterator<Item = &'a str>,
    key: &str,
    kind: &str,
    problems: &mut Vec<Problem>,
) {
    let mut seen = BTreeMap::new();
    for (index, name) in names.enumerate() {
        let path = Path::root().key(key).index(index).key("name");
        if name.is_empty() || name.contains('.') || name.contains('=') {
            let what = format!("`{name}` is no name of {kind}");
            let help = "names are not empty and have no `.` and no `=`";
            problems.push(Problem::new(path, what, help));
        } else if let Some(first) = seen.insert(name.to_owned(), index) {
            let what = format!("{kind} named `{name}` exists already: [[{key}]] {}", first + 1);
            problems.push(Problem::new(path, what, "give each its own name"));
        }
    }
}
