//! Concurrent writers: each waits for the others, and no change is lost.

use std::collections::BTreeSet;
use std::fs;
use std::process::{Child, Stdio};

use serde_json::json;

use crate::support::*;

const WRITERS: usize = 20;

/// Runs many processes of the program at once; all of them must succeed.
#[track_caller]
fn all_at_once(sandbox: &Sandbox, words: impl Fn(usize) -> String) {
    let start = |number: usize| {
        let mut command = sandbox.command();
        command.args(words(number).split_whitespace()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().expect("the program starts")
    };
    let children: Vec<Child> = (0..WRITERS).map(start).collect();
    for child in children {
        let outcome: Outcome = child.wait_with_output().expect("the program ends").into();
        // On a busy machine a process may wait for more than a second, and prints a note.
        let waited = "Waiting for another process that is changing image...\n";
        assert!(outcome.status == 0 && ["", waited].contains(&outcome.stderr.as_str()), "{outcome:?}");
    }
    assert!(sandbox.tree().keys().all(|name| !name.contains(".regshape-tmp-")), "no temporary file is left");
}

#[test]
fn twenty_layers_added_at_once_are_all_staged() {
    let sandbox = Sandbox::new();
    let layer = |number: usize| gzip(&[base_tar(), vec![0; 512 * number]].concat());
    (0..WRITERS).for_each(|number| sandbox.write(&format!("{number}.tar.gz"), layer(number)));
    all_at_once(&sandbox, |number| {
        format!("layout add layer -p image -f {number}.tar.gz --annotation number={number} --quiet")
    });
    let stage = sandbox.stage();
    let staged: BTreeSet<_> = stage["layers"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|layer| (layer["annotations"]["number"].to_string(), layer["digest"].to_string()))
        .collect();
    let expected: BTreeSet<_> = (0..WRITERS)
        .map(|number| (json!(number.to_string()).to_string(), json!(sha256(&layer(number))).to_string()))
        .collect();
    assert_eq!(staged, expected);
    assert_eq!(stage["layers"].as_array().map(Vec::len), Some(WRITERS));
    assert_eq!(sandbox.blobs().len(), WRITERS);
    sandbox.ok("layout generate config -p image");
    sandbox.ok("layout generate manifest -p image");
    sandbox.is_valid();
}

#[test]
fn the_same_layer_added_at_once_is_stored_once_and_staged_every_time() {
    let sandbox = Sandbox::new();
    all_at_once(&sandbox, |_| "layout add layer -p image -f base.tar --quiet".to_owned());
    assert_eq!(sandbox.stage()["layers"].as_array().map(Vec::len), Some(WRITERS));
    sandbox.has_blobs([BASE]);
}

fn twenty_annotations() -> serde_json::Value {
    (0..WRITERS)
        .map(|number| (format!("key{number}"), json!(number.to_string())))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

#[test]
fn twenty_annotations_of_a_layer_at_once_are_all_kept() {
    let sandbox = Sandbox::staged();
    all_at_once(&sandbox, |number| format!("layout annotate layer -p image -i 1 --annotation key{number}={number}"));
    assert_eq!(sandbox.stage()["layers"][1]["annotations"], twenty_annotations());
    assert_eq!(sandbox.stage()["layers"][0]["annotations"], json!({}));
}

#[test]
fn twenty_annotations_of_a_manifest_at_once_are_all_kept() {
    let sandbox = Sandbox::built();
    all_at_once(&sandbox, |number| format!("layout annotate manifest -p image --annotation key{number}={number}"));
    let digest = sandbox.stage()["manifest"]["digest"].as_str().expect("a digest").to_owned();
    assert_eq!(sandbox.index()["manifests"][0]["digest"], json!(digest));
    assert_eq!(sandbox.blob_json(&digest)["annotations"], twenty_annotations());
    // Intermediate manifests are deleted.
    sandbox.has_blobs([BASE, PATCHES, CONFIG, &digest]);
    sandbox.is_valid();
}

#[test]
fn twenty_ref_names_at_once_are_all_listed() {
    let sandbox = Sandbox::configured();
    all_at_once(&sandbox, |number| format!("layout generate manifest -p image --ref-name v{number} --quiet"));
    let index = sandbox.index();
    let names: BTreeSet<_> = index["manifests"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|entry| entry["annotations"]["org.opencontainers.image.ref.name"].as_str().expect("a name").to_owned())
        .collect();
    assert_eq!(names, (0..WRITERS).map(|number| format!("v{number}")).collect());
    sandbox.has_blobs([BASE, PATCHES, CONFIG, MANIFEST]);
    sandbox.is_valid();
}

#[test]
fn of_many_that_make_one_layout_one_succeeds() {
    let sandbox = Sandbox::empty();
    let start = |_| {
        let mut command = sandbox.command();
        command.args(["layout", "init", "-p", "image"]).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().expect("the program starts")
    };
    let children: Vec<Child> = (0..8).map(start).collect();
    let mut outcomes: Vec<Outcome> =
        children.into_iter().map(|child| child.wait_with_output().expect("the program ends").into()).collect();
    outcomes.sort_by_key(|outcome| outcome.status);
    outcomes[0].succeeds("Initialised OCI Image Layout at image\n", "");
    outcomes[1..].iter().for_each(|outcome| outcome.fails("Error: image is already an OCI Image Layout\n"));
    sandbox.is_valid();
}

/// Runs every kind of command on one layout at once: the changes of every writer are in the final layout, and each
/// reader sees a consistent layout all the time. A longer run, with killed processes, is among the tests with other
/// programs.
#[test]
fn forty_commands_of_every_kind_at_once_lose_nothing() {
    const ROUNDS: usize = 2;
    let sandbox = Sandbox::built();
    let run = |words: String| -> Outcome {
        sandbox.command().args(words.split_whitespace()).output().expect("the program runs").into()
    };
    let does = |words: String| {
        let outcome = run(words.clone());
        assert_eq!(outcome.status, 0, "{words}: {outcome:?}");
        outcome
    };
    let work = |worker: usize, round: usize| match worker % 8 {
        0 | 1 => {
            let name = format!("{worker}-{round}.tar");
            sandbox.write(&name, [base_tar(), vec![0; 512 * (worker * ROUNDS + round)]].concat());
            does(format!("layout add layer -p image -f {name} --annotation number={worker}-{round} -q"));
        }
        2 => drop(does(format!("layout annotate layer -p image -i 0 --annotation key{worker}-{round}=1 -q"))),
        3 => drop(does(format!("layout annotate manifest -p image --annotation key{worker}-{round}=1"))),
        // A layer that was added in between makes the config outdated: the loop generates it again.
        4 => loop {
            does("layout generate config -p image -q".to_owned());
            let outcome = run(format!("layout generate manifest -p image --ref-name v{worker}-{round} -q"));
            if outcome.status == 0 {
                break;
            }
            assert!(outcome.stderr.starts_with("Error: config does not match the staged layers"), "{outcome:?}");
        },
        5 => assert_eq!(does("layout validate -p image --json".to_owned()).json()["valid"], true),
        6 => assert!(does("layout status -p image --json".to_owned()).json()["layers"].is_array()),
        _ => assert!(does("layout show -p image".to_owned()).json()["manifests"].is_array()),
    };
    std::thread::scope(|scope| {
        for worker in 0..40 {
            scope.spawn(move || (0..ROUNDS).for_each(|round| work(worker, round)));
        }
    });
    let expected = |prefix: &str, kinds: &[usize]| -> BTreeSet<String> {
        let workers = (0..40).filter(|worker| kinds.contains(&(worker % 8)));
        workers.flat_map(|worker| (0..ROUNDS).map(move |round| format!("{prefix}{worker}-{round}"))).collect()
    };
    let stage = sandbox.stage();
    let layers = stage["layers"].as_array().expect("a list");
    let text = |value: &serde_json::Value| value.as_str().expect("text").to_owned();
    let numbers: Vec<_> = layers[2..].iter().map(|layer| text(&layer["annotations"]["number"])).collect();
    assert_eq!(numbers.len(), expected("", &[0, 1]).len());
    assert_eq!(numbers.into_iter().collect::<BTreeSet<_>>(), expected("", &[0, 1]));
    let keys = layers[0]["annotations"].as_object().expect("an object").keys().cloned();
    assert_eq!(keys.collect::<BTreeSet<_>>(), expected("key", &[2]));
    let index = sandbox.index();
    let entries = index["manifests"].as_array().expect("a list");
    let names: Vec<_> =
        entries.iter().map(|entry| text(&entry["annotations"]["org.opencontainers.image.ref.name"])).collect();
    assert_eq!(names.len(), expected("v", &[4]).len() + 1);
    assert!(expected("v", &[4]).iter().all(|name| names.contains(name)), "{names:?}");
    assert!(sandbox.tree().keys().all(|name| !name.contains(".regshape-tmp-")), "no temporary file is left");
    sandbox.is_valid();
}

/// The export waits for a layout that is being created.
#[test]
fn an_export_beside_a_command_that_makes_a_layout_adds_to_it() {
    let sandbox = Sandbox::built();
    sandbox.write("empty.json", r#"{"schemaVersion":2,"manifests":[]}"#);
    for other in [
        "layout init -p there",
        "layout blob upload -p there -f base.tar",
        "layout manifest put -p there -f empty.json --tag empty",
        "layout export -p image -o there",
    ] {
        for (round, words) in
            ["export -p image -o there", "import -p there -f image"].into_iter().cycle().enumerate().take(8)
        {
            if round % 4 < 2 {
                fs::create_dir(sandbox.path("there")).expect("made");
            }
            let spawn = |words: &str| {
                let mut command = sandbox.command();
                command.args(words.split_whitespace()).stdout(Stdio::piped()).stderr(Stdio::piped());
                command.spawn().expect("the program starts")
            };
            let exporter = spawn(&format!("layout {words}"));
            let maker = spawn(other);
            let exported: Outcome = exporter.wait_with_output().expect("it ends").into();
            let made: Outcome = maker.wait_with_output().expect("it ends").into();
            assert_eq!(exported.status, 0, "{words} beside {other}: {exported:?}");
            // An init that is too late finds a layout.
            let is_late = other.contains("init") && made.stderr.contains("already");
            assert!(made.status == 0 || is_late, "{other} beside {words}: {made:?}");
            sandbox.ok("layout validate -p there");
            let tags = sandbox.ok("layout tag list -p there");
            assert!(tags.lines().any(|tag| tag == "latest"), "{words} beside {other}: {tags}");
            assert!(sandbox.tree().keys().all(|name| !name.contains(".regshape-tmp-")), "{words} beside {other}");
            fs::remove_dir_all(sandbox.path("there")).expect("removed");
        }
    }
}
