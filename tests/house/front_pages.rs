//! README, CONTRIBUTING, the architecture and the book: what they promise is there.

use crate::repository::{Source, files, none, read, root, sources};
use std::path::{Component, Path, PathBuf};

/// What a new user types, in this order.
const MAIN_JOB: &str = "cargo run --release -- run scenarios/shared-vmid.toml";
const TEST: &str = "cargo test --workspace";

#[test]
fn the_readme_says_how_to_run_and_how_to_test_and_ci_does_both() {
    let (readme, ci) = (read("README.md"), read(".ci/run"));
    for command in [MAIN_JOB, TEST] {
        assert!(readme.contains(command), "README.md does not show `{command}`");
        assert!(ci.contains(command), ".ci/run does not run `{command}`");
    }
}

#[cfg(unix)]
#[test]
fn ci_can_be_run() {
    use std::os::unix::fs::PermissionsExt;
    let mode = root().join(".ci/run").metadata().expect(".ci/run is there").permissions().mode();
    assert!(mode & 0o111 != 0, ".ci/run is not executable");
}

#[test]
fn the_architecture_says_where_every_crate_is() {
    let text = read("ARCHITECTURE.md");
    let crates = files().into_iter().filter_map(|path| {
        path.strip_prefix("crates/")?.strip_suffix("/Cargo.toml").map(str::to_owned)
    });
    let missing = crates.filter(|name| !text.contains(&format!("`{name}`")));
    none("ARCHITECTURE.md answers \"where is X?\" for every crate:", missing);
}

#[test]
fn every_page_of_the_book_is_in_its_summary() {
    let summary = read("docs/src/SUMMARY.md");
    let pages = files().into_iter().filter_map(|path| {
        let page = path.strip_prefix("docs/src/")?;
        let missing = page.ends_with(".md")
            && page != "SUMMARY.md"
            && !summary.contains(&format!("({page})"));
        missing.then(|| page.to_owned())
    });
    none("a page that nobody can turn to:", pages);
}

#[test]
fn every_link_between_pages_leads_somewhere() {
    let dead = sources(&[".md"]).into_iter().flat_map(|page| dead_links(&page));
    none("a link leads nowhere:", dead);
}

fn dead_links(page: &Source) -> Vec<String> {
    let folder = Path::new(&page.path).parent().unwrap_or(Path::new(""));
    let is_dead = |link: &&str| {
        let file = link.split('#').next().unwrap_or_default();
        !file.is_empty()
            && !file.contains("://")
            && !file.starts_with("mailto:")
            && !root().join(plain(&folder.join(file))).exists()
    };
    links(&page.text).filter(is_dead).map(|link| format!("{}: {link}", page.path)).collect()
}

/// Targets of `[text](target)`.
fn links(text: &str) -> impl Iterator<Item = &str> {
    text.split("](").skip(1).filter_map(|rest| rest.split(')').next())
}

/// The path without `..`.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(plain.pop()),
            part => plain.push(part),
        }
    }
    plain
}

#[test]
fn a_dead_link_is_found() {
    let page = Source::new(
        "docs/src/page.md",
        "[a](../../LICENSE-MIT#top) [b](nowhere.md) [c](https://example.org) [d](#here)",
    );
    assert_eq!(dead_links(&page), ["docs/src/page.md: nowhere.md"]);
}
