//! The program is killed at random moments of pushes and pulls; the same command then finishes.

use std::fs;
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::fake_registry::{Action, Options, Rule};
use crate::lab::*;

const ROUNDS: u64 = 12;

fn lab() -> Lab {
    let lab = Lab::with(Options { delay: Duration::from_millis(2), ..Options::default() });
    let mut made = lab.layout("l");
    let (one, two) = (made.image_for("amd64", 1, &[2 * MIB, KIB]), made.image_for("arm64", 2, &[300 * KIB, 2 * KIB]));
    let index = made.index(&[("amd64", &one), ("arm64", &two)]);
    made.list(&index, "v1").list(&one, "one");
    lab
}

fn start(lab: &Lab, words: &str) -> Child {
    let words = words.split(' ').map(|word| word.replace("HOST", &lab.fake.host()));
    lab.program().args(words).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// Returns how long a command takes without a kill.
fn time(words: &str, prepare: impl Fn(&Lab)) -> Duration {
    let lab = lab();
    prepare(&lab);
    let start_of_run = Instant::now();
    assert!(start(&lab, words).wait().unwrap().success());
    start_of_run.elapsed()
}

/// Kills a command after a part of the time that it takes, drawn by a seed.
fn kill(lab: &Lab, words: &str, whole: Duration, seed: u64) {
    let drawn = bytes(seed + 17, 1)[0];
    let mut child = start(lab, words);
    thread::sleep(whole * u32::from(drawn) / 255);
    child.kill().unwrap();
    child.wait().unwrap();
}

fn payload(lab: &Lab) -> u64 {
    let blobs = fs::read_dir(lab.path("l/blobs/sha256")).unwrap();
    blobs.map(|blob| blob.unwrap().metadata().unwrap().len()).sum()
}

#[test]
fn a_push_that_was_killed_goes_on() {
    for chunked in ["", " --chunk-size 300000"] {
        let words = format!("--insecure push l HOST/{REPOSITORY}{chunked}");
        let whole = time(&words, |_| ());
        for seed in 0..ROUNDS / 2 {
            let lab = lab();
            kill(&lab, &words, whole, seed);
            for (tag, _) in lab.fake.tags(REPOSITORY) {
                lab.has(&tag);
            }
            lab.run(&words).succeeds();
            lab.has("v1");
            lab.has("one");
            let limit = payload(&lab) + 64 * KIB as u64;
            assert!(lab.fake.bytes_received() <= limit, "{seed}: {} of {limit}", lab.fake.bytes_received());
            assert!(lab.names("home/.local/state/regshape/uploads").is_empty(), "{seed}");
        }
    }
}

#[test]
fn a_pull_that_was_killed_goes_on() {
    let words = format!("--insecure pull HOST/{REPOSITORY}:v1 new");
    let prepare = |lab: &Lab| {
        lab.serve_layout("l");
        lab.fake.rule(Rule::on("GET", "*/blobs/*"), Action::Drip(64 * KIB, Duration::from_millis(3)));
    };
    let whole = time(&words, prepare);
    for seed in 0..ROUNDS {
        let lab = lab();
        prepare(&lab);
        kill(&lab, &words, whole, seed);
        // There is a valid layout, or none yet.
        let is_layout = lab.path("new/oci-layout").exists() && lab.path("new/index.json").exists();
        if is_layout {
            lab.run("layout validate -p new --deep").succeeds();
        }
        let uploads = fs::read_dir(lab.path("new/.regshape-uploads")).into_iter().flatten();
        let kept: u64 = uploads.map(|file| file.unwrap().metadata().unwrap().len()).sum();
        let second: Value = serde_json::from_str(lab.run(&format!("{words} --json")).succeeds()).unwrap();
        lab.run("layout validate -p new --deep").succeeds();
        let fetched = second["summary"]["bytes_downloaded"].as_u64().unwrap();
        assert!(fetched + kept <= payload(&lab), "{seed}: {fetched} after {kept}");
        let names = lab.names("new");
        assert!(!names.iter().any(|name| name.contains("uploads")), "{seed}: {names:?}");
    }
}
