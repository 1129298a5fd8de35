//! The HTML report: whole in itself, correct markup, the numbers of the results.

use serde_json::{Value, json};
use smmu_lab::report::page;
use smmu_lab::run::{DeviceCounts, Results, RunOptions, run};
use smmu_lab::{LoadOptions, Scenario};
use std::path::{Path, PathBuf};
use std::process::Command;

fn results(name: &str, set: &[&str]) -> Results {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../scenarios").join(name);
    let set: Vec<String> = set.iter().map(|&key| key.to_owned()).collect();
    let loaded = Scenario::load(&path, &LoadOptions { set: &set, faults: None })
        .unwrap_or_else(|error| panic!("{error}"));
    run(&loaded, &RunOptions::default()).unwrap()
}

fn shared() -> Results {
    results("shared-vmid.toml", &[])
}

fn leak() -> Results {
    results("vmid-reuse.toml", &["faults=[\"reuse-without-tlbi\"]"])
}

/// The content of the element that carries this id.
fn embedded(page: &str, id: &str) -> Value {
    let open = format!("<script type=\"application/json\" id=\"{id}\">");
    let (_, rest) = page.split_once(&open).unwrap();
    let (content, _) = rest.split_once("</script>").unwrap();
    serde_json::from_str(content).unwrap()
}

/// The data of one figure.
fn figure(page: &str, id: &str) -> Value {
    let figures = embedded(page, "figure-data");
    figures.as_array().unwrap().iter().find(|figure| figure["id"] == id).unwrap().clone()
}

/// The page without what stands in its scripts and styles.
fn markup(page: &str) -> String {
    let mut out = String::new();
    let mut rest = page;
    while let Some(start) = ["<script", "<style"].iter().filter_map(|tag| rest.find(tag)).min() {
        let end_tag = if rest[start..].starts_with("<script") { "</script>" } else { "</style>" };
        let content = start + rest[start..].find('>').unwrap() + 1;
        let end = content + rest[content..].find(end_tag).unwrap();
        out.push_str(&rest[..content]);
        rest = &rest[end..];
        let (tag, after) = rest.split_at(end_tag.len());
        out.push_str(tag);
        rest = after;
    }
    out + rest
}

/// Names of the elements in the order of their tags, closing ones with a slash.
fn tags(markup: &str) -> Vec<&str> {
    let pieces = markup.split('<').skip(1);
    pieces.map(|piece| piece.split([' ', '>', '\n']).next().unwrap()).collect()
}

#[test]
fn nothing_is_loaded_from_elsewhere() {
    let page = page(&shared());
    for load in ["src=", "@import", "url(", "fetch(", "XMLHttpRequest", "import("] {
        assert!(!page.contains(load), "{load}");
    }
    let links: Vec<&str> = page.split("href=\"").skip(1).collect();
    assert!(links.iter().all(|link| link.starts_with("data:")), "only the empty icon");
    assert!(page.contains("default-src 'none'"), "and the browser is told to refuse the rest");
}

#[test]
fn elements_are_closed_in_order_and_ids_are_unique() {
    for results in [shared(), leak()] {
        let page = page(&results);
        let markup = markup(&page);
        let mut open = Vec::new();
        for tag in tags(&markup) {
            match tag.strip_prefix('/') {
                Some(closed) => assert_eq!(open.pop(), Some(closed)),
                None if ["!DOCTYPE", "meta", "link"].contains(&tag) => {}
                None => open.push(tag),
            }
        }
        assert_eq!(open, Vec::<&str>::new());
        let mut ids: Vec<&str> =
            markup.split(" id=\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
        let all = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), all);
    }
}

#[test]
fn embedded_json_is_the_results() {
    for results in [shared(), leak()] {
        assert_eq!(embedded(&page(&results), "results"), serde_json::to_value(&results).unwrap());
    }
}

#[test]
fn hostile_text_stays_text() {
    let hostile = "</script></title><script>alert(1)</script><!-- {{script}} \"'&";
    let mut results = leak();
    results.title = hostile.to_owned();
    results.description = hostile.to_owned();
    for run in &mut results.runs {
        run.variant = Some(hostile.to_owned());
        run.faults = vec![hostile.to_owned()];
        run.vms[0].name = hostile.to_owned();
        run.vms[0].devices[0].name = hostile.to_owned();
        run.smmus[0].name = hostile.to_owned();
        run.verdicts[0].text = hostile.to_owned();
    }
    let hurt = page(&results);
    assert!(!hurt.contains("<script>alert"));
    assert_eq!(hurt.matches("</script>").count(), page(&leak()).matches("</script>").count());
    assert_eq!(embedded(&hurt, "results"), serde_json::to_value(&results).unwrap());
    assert!(hurt.contains("<title>&lt;/script&gt;&lt;/title&gt;&lt;script&gt;alert(1)"));
}

#[test]
fn equal_results_give_equal_bytes() {
    assert_eq!(page(&shared()), page(&shared()));
}

#[test]
fn figures_have_the_numbers_of_the_results() {
    let results = shared();
    let page = page(&results);
    let figure = |id: &str| figure(&page, id);
    assert_eq!(figure("walks")["categories"], json!(["A · nic0", "A · nic1", "B · nic2"]));
    for (index, run) in results.runs.iter().enumerate() {
        let value = |id: &str, place: usize| figure(id)["series"][index]["values"][place].clone();
        let devices: Vec<_> = run.vms.iter().flat_map(|vm| &vm.devices).collect();
        for (place, device) in devices.iter().enumerate() {
            assert_eq!(value("hit-rate", place), device.hit_rate() * 100.0);
            assert_eq!(value("shared-hits", place), device.counts.shared_hits);
            assert_eq!(value("walks", place), device.counts.misses);
            assert_eq!(value("fetches", place), device.counts.fetches);
        }
        for (place, vm) in run.vms.iter().enumerate() {
            assert_eq!(value("tlbi", place), vm.counts.tlbi);
            assert_eq!(value("dropped", place), vm.counts.dropped);
        }
        let held = run.smmus.iter().flat_map(|smmu| &smmu.resident);
        let all = figure("resident")["categories"].as_array().unwrap().len() - 1;
        assert_eq!(value("resident", all), held.map(|one| u64::from(one.entries)).sum::<u64>());
    }
}

#[test]
fn a_vmid_that_changes_hands_between_runs_is_two_categories() {
    let resident = figure(&page(&shared()), "resident");
    assert_eq!(resident["categories"], json!(["1 (A)", "2 (A)", "2 (B)", "3 (B)", "all"]));
    for (run, without) in [(0, vec![2]), (1, vec![1, 3])] {
        let values = resident["series"][run]["values"].as_array().unwrap();
        let absent = |place: &usize| values[*place].is_null();
        assert_eq!((0..5).filter(absent).collect::<Vec<_>>(), without);
    }
}

#[test]
fn what_was_not_counted_is_no_zero() {
    let mut results = leak();
    results.runs[0].vms[0].devices[0].counts = DeviceCounts::default();
    let page = page(&results);
    assert_eq!(figure(&page, "hit-rate")["series"][0]["values"], json!([null, 100.0]));
    assert_eq!(figure(&page, "walks")["series"][0]["values"], json!([0, 0]));
    assert!(!page.contains("id=\"plot-walks\""), "a chart without a bar is a sentence");
}

#[test]
fn complaints_are_shown_where_there_are_any() {
    assert!(!page(&shared()).contains("Failures and verdicts"));
    let page = page(&leak());
    assert!(page.contains("Failures and verdicts"));
    assert!(page.contains("<span class=\"badge bad\">failed</span>"));
    assert!(page.contains("id=\"plot-stale\""));
}

/// Opens the page in a real browser, where there is one, and listens to its console.
#[test]
fn a_browser_draws_every_figure_without_a_complaint() {
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let found = |name: &&&str| {
        let version = Command::new(name).arg("--version").output();
        version.is_ok_and(|output| output.status.success())
    };
    let Some(browser) = names.iter().find(found) else {
        println!("skipped: none of {} is installed", names.join(", "));
        return;
    };
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let pages =
        [("shared", shared()), ("leak", leak()), ("exhaust", results("exhaust-8bit.toml", &[]))];
    for (name, results) in pages {
        let page = page(&results);
        let path = folder.join(format!("{name}.html"));
        std::fs::write(&path, &page).unwrap();
        let drawn = dump(browser, &path, &folder.join("browser"));
        assert_eq!(drawn.matches("<canvas").count(), page.matches("class=\"plot\"").count());
    }
}

/// The page as it stands after its scripts ran.
fn dump(browser: &str, path: &Path, profile: &Path) -> String {
    let output = Command::new(browser)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--v=0"])
        .arg(format!("--user-data-dir={}", profile.display()))
        .args(["--virtual-time-budget=2000", "--dump-dom"])
        .arg(format!("file://{}", path.display()))
        .output()
        .unwrap();
    let talk = String::from_utf8_lossy(&output.stderr);
    let complaints: Vec<&str> = talk.lines().filter(|line| line.contains("CONSOLE")).collect();
    assert!(complaints.is_empty(), "{complaints:#?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}
