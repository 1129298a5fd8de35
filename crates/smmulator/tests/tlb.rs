//! `smmulator tlb` from outside.

use assert_cmd::Command;
use std::path::PathBuf;

fn tlb(args: &[&str], stdin: &[u8]) -> (i32, String, String) {
    let mut command = Command::cargo_bin("smmulator").unwrap();
    let output = command.arg("tlb").args(args).write_stdin(stdin).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn json(args: &[&str], stdin: &[u8]) -> serde_json::Value {
    let (status, stdout, stderr) = tlb(&[args, &["--json"]].concat(), stdin);
    assert_eq!((status, stderr.as_str()), (0, ""));
    serde_json::from_str(&stdout).unwrap()
}

const CSV: &[u8] = b"vmid,asid,iova\n1,7,0x1000\n1,7,0x1008\n2,7,0x1000\n1,7,4096\n";

#[test]
fn a_csv_is_counted_by_vmid() {
    let report = json(&["-", "--format", "csv"], CSV);
    assert_eq!((&report["references"], &report["hits"]), (&4.into(), &2.into()));
    assert_eq!(report["compulsory"], 2);
    assert_eq!(report["by_context"][0]["vmid"], 1);
    assert_eq!(report["by_context"][0]["hits"], 2);
    assert_eq!(report["schema_version"], 1);
    let (_, text, _) = tlb(&["-", "--format", "csv"], CSV);
    assert!(text.contains("hits                2 (50.000 %)"), "{text}");
    assert!(text.contains("compulsory"), "{text}");
}

#[test]
fn a_curve_goes_with_it() {
    let report = json(&["-", "--format", "csv", "--mrc"], CSV);
    assert_eq!(report["curve"]["pages"], 2);
    assert_eq!(report["curve"]["points"][0]["miss_ratio"], 0.75);
    assert_eq!(report["curve"]["points"][1]["miss_ratio"], 0.5);
    assert_eq!(report["curve"]["error_bound"], 0.0);
}

#[test]
fn a_trace_may_be_packed() {
    // `iova` and 4096 on lines of their own, by `gzip -n` and by `zstd`.
    let gzip = include_bytes!("data/one.csv.gz");
    let zstd = include_bytes!("data/one.csv.zst");
    for packed in [&gzip[..], &zstd[..]] {
        assert_eq!(json(&["-", "--format", "csv"], packed)["references"], 1);
    }
}

#[test]
fn gem5s_hierarchy_is_a_preset() {
    let words: Vec<u8> = [0u32, 1, 0].iter().flat_map(|word| word.to_le_bytes()).collect();
    let report = json(&["-", "--format", "packed", "--preset", "gem5-default"], &words);
    assert_eq!((&report["utlb_hits"], &report["pte_fetches"]), (&1.into(), &5.into()));
}

#[test]
fn bad_input_is_told_with_cause_and_remedy() {
    let check = |args: &[&str], stdin: &[u8], what: &str, help: &str| {
        let (status, stdout, stderr) = tlb(args, stdin);
        assert_eq!((status, stdout.as_str()), (2, ""), "{args:?}");
        assert!(stderr.contains(what) && stderr.contains(help), "{stderr}");
    };
    let csv = ["-", "--format", "csv"];
    check(&csv, b"iova\nx\n", "standard input:2: `x` is no iova", "decimal");
    check(&["-"], b"", "which format", "--format csv");
    check(&["no.csv"], b"", "no.csv: No such file", "trace that can be read");
    check(&["-", "--format", "packed"], &[0; 7], "middle of a record", "cut off");
    check(&["-", "--format", "text"], b"hello\n", "no line is a trace event", "smmu_iotlb");
    let entries = ["-", "--format", "csv", "--entries", "50"];
    check(&entries, CSV, "50 entries cannot be divided into sets of 4", "other --entries");
    let tree = ["-", "--format", "csv", "--ways", "0", "--policy", "tree-plru"];
    check(&tree, CSV, "power of two of ways up to 64", "--policy");
    check(&["-", "--format", "csv", "--mrc", "--sample", "2"], CSV, "a share of 2", "at most 1");
    check(&["-", "--preset", "gem5-default", "--policy", "rrip"], b"", "no such policy", "lru");
    check(&["--rows", "no.json"], b"", "no.json", "file of rows");
    check(&csv, &[0x28, 0xb5, 0x2f, 0xfd, 0xff, 0xff], "standard input", "");
}

#[test]
fn a_stream_is_a_trace() {
    let stream = |args: &[&str]| {
        let mut command = Command::cargo_bin("smmulator").unwrap();
        command.arg("tlb").args(args).output().unwrap().stdout
    };
    let once = stream(&["--stream", "ring1k.c1"]);
    assert_eq!((once.len(), &once[..8]), (4 << 20, &[0, 0, 0, 0, 1, 0, 0, 0][..]));
    let twice = stream(&["--stream", "ring1k.c1", "--repeat", "2"]);
    assert_eq!(twice, [once.clone(), once].concat());
    let report = json(&["-", "--format", "packed", "--count"], &twice);
    assert_eq!((&report["references"], &report["misses"]), (&(2 << 20).into(), &1024.into()));
    let (status, _, stderr) = tlb(&["--stream", "ring2k.c1"], b"");
    assert_eq!(status, 2);
    assert!(stderr.contains("no stream `ring2k.c1`") && stderr.contains("zipf64k.c16"), "{stderr}");
}

#[test]
fn rows_of_gem5_are_compared() {
    let file = std::env::temp_dir().join(format!("smmulator-rows-{}.json", std::process::id()));
    let row = |hits: u64| {
        format!(
            "{{\"rows\": [{{\"stream\": \"ring1k.c1\", \"cache\": \"uTLB_32_full\", \
             \"policy\": \"rr\", \"ids\": \"sid/ssid\", \"hits\": {hits}}}]}}"
        )
    };
    let run = |text: String| {
        std::fs::write(&file, text).unwrap();
        let path: PathBuf = file.clone();
        tlb(&["--rows", path.to_str().unwrap()], b"")
    };
    let (status, stdout, _) = run(row(0));
    assert_eq!((status, stdout.trim()), (0, "1 of 1 rows are equal"));
    let (status, stdout, _) = run(row(1));
    assert_eq!(status, 1);
    assert!(stdout.contains("ring1k.c1 uTLB_32_full rr sid/ssid: hits is 0, not 1"), "{stdout}");
    let (status, _, stderr) = run(row(1).replace("uTLB_32_full", "x"));
    assert_eq!(status, 2);
    assert!(stderr.contains("row 1: there is no cache `x`"), "{stderr}");
    std::fs::remove_file(&file).unwrap();
}
