//! A layout that another process is changing: commands that write wait, report it, and give up after the timeout.

// On Windows a lock also prevents reading the marker.
#![cfg(unix)]

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;
use std::thread;

use crate::support::*;

const WRITERS: [&str; 6] = [
    "layout add layer -f base.tar -q",
    "layout annotate layer -i 0 --annotation a=1",
    "layout annotate manifest --annotation a=1",
    "layout generate config -q --architecture arm64",
    "layout generate manifest -q --annotation a=1",
    "layout update config --os freebsd",
];

const WAITING: &str = "Waiting for another process that is changing image...\n";

/// Locks a file or directory until the result is dropped.
fn hold(sandbox: &Sandbox, name: &str) -> File {
    let file = File::open(sandbox.path(name)).expect("opened");
    file.lock().expect("locked");
    file
}

fn gave_up(waited: &str) -> String {
    format!("Error: image is locked by another process; waited {waited}; try again, or raise --lock-timeout\n")
}

#[test]
fn a_writer_says_that_it_waits_and_goes_on_when_it_can() {
    let sandbox = Sandbox::built();
    let held = hold(&sandbox, "image/oci-layout");
    let mut child = sandbox
        .command()
        .args(["layout", "annotate", "layer", "-p", "image", "-i", "0", "--annotation", "a=1", "--lock-timeout", "1h"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut stderr = BufReader::new(child.stderr.take().expect("a pipe"));
    let mut line = String::new();
    stderr.read_line(&mut line).expect("a line");
    assert_eq!(line, WAITING);
    assert_eq!(sandbox.stage()["layers"][0]["annotations"], serde_json::json!({}), "it waits");
    drop(held);
    let mut rest = String::new();
    stderr.read_to_string(&mut rest).expect("text");
    assert_eq!(rest, outdated("layer"));
    assert!(child.wait().expect("the program ends").success());
    assert_eq!(sandbox.stage()["layers"][0]["annotations"], serde_json::json!({"a": "1"}));
}

#[test]
fn a_writer_gives_up_at_once_where_it_must_not_wait() {
    let sandbox = Sandbox::built();
    let _held = hold(&sandbox, "image/oci-layout");
    let before = sandbox.tree();
    for words in WRITERS {
        sandbox.run(&format!("{words} -p image --lock-timeout 0")).fails(gave_up("0s"));
        assert_eq!(sandbox.tree(), before, "{words}");
    }
}

#[test]
fn a_writer_gives_up_after_the_time_that_it_may_wait() {
    let sandbox = Sandbox::built();
    let _held = hold(&sandbox, "image/oci-layout");
    let before = sandbox.tree();
    let cases = [
        ("--lock-timeout 20ms", "", "20ms"),
        ("--lock-timeout 1200ms", WAITING, "1.2s"),
        ("--lock-timeout 1200ms --quiet", "", "1.2s"),
    ];
    thread::scope(|scope| {
        for (flags, waits, waited) in cases {
            let (sandbox, before) = (&sandbox, &before);
            scope.spawn(move || {
                let words = format!("layout annotate manifest -p image --annotation a=1 {flags}");
                sandbox.run(&words).fails(format!("{waits}{}", gave_up(waited)));
                assert_eq!(sandbox.tree(), *before, "{words}");
            });
        }
    });
}

#[test]
fn init_waits_for_another_init() {
    let sandbox = Sandbox::empty();
    std::fs::create_dir(sandbox.path("image")).expect("created");
    let held = hold(&sandbox, "image");
    let before = sandbox.tree();
    sandbox.run("layout init -p image --lock-timeout 0").fails(gave_up("0s"));
    sandbox.run("layout init -p image --lock-timeout 1001ms").fails(format!("{WAITING}{}", gave_up("1.001s")));
    assert_eq!(sandbox.tree(), before);
    drop(held);
    sandbox.run("layout init -p image --lock-timeout 0").succeeds("Initialised OCI Image Layout at image\n", "");
}

#[test]
fn readers_do_not_wait() {
    let sandbox = Sandbox::built();
    let _held = hold(&sandbox, "image/oci-layout");
    for words in ["layout status -p image", "layout show -p image", "layout validate -p image"] {
        sandbox.ok(words);
    }
}

#[test]
fn a_time_to_wait_has_a_unit() {
    let sandbox = Sandbox::built();
    for time in ["30", "soon", "-1s", ""] {
        let words = ["layout", "annotate", "manifest", "-p", "image", "--annotation", "a=1"];
        let flag = format!("--lock-timeout={time}");
        sandbox
            .run_words(words.into_iter().chain([flag.as_str()]))
            .fails_with(2, predicates::str::contains("for '--lock-timeout <DURATION>'"));
    }
}

/// Starts a command while the layout is locked, and returns it when it is waiting.
fn waiting(sandbox: &Sandbox, words: &str) -> std::process::Child {
    let mut child = sandbox
        .command()
        .args(words.split(' '))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut lines = BufReader::new(child.stderr.as_mut().expect("a pipe")).lines().map(|line| line.expect("text"));
    assert!(lines.any(|line| line.starts_with("Waiting for another process")), "{words}");
    child
}

#[test]
fn a_writer_locks_the_layout_that_took_the_place_of_the_one_that_it_waited_for() {
    let sandbox = Sandbox::staged();
    let held = hold(&sandbox, "image/oci-layout");
    let mut child = waiting(&sandbox, "layout add layer -p image -f base.tar --media-type a/b --lock-timeout 1h");
    std::fs::rename(sandbox.path("image"), sandbox.path("old")).expect("renamed");
    sandbox.ok("layout init -p image");
    let new = hold(&sandbox, "image/oci-layout");
    let (before, old) = (sandbox.text("image/.regshape-stage.json"), sandbox.text("old/.regshape-stage.json"));
    drop(held);
    // The command waits again. Inactivity cannot be observed except by sleeping.
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert!(child.try_wait().expect("it runs").is_none());
    assert_eq!(sandbox.text("image/.regshape-stage.json"), before);
    drop(new);
    assert!(child.wait().expect("it ends").success());
    assert_eq!(sandbox.stage()["layers"].as_array().expect("a list").len(), 1);
    assert_eq!(sandbox.text("old/.regshape-stage.json"), old);
    sandbox.is_valid();
}

#[test]
fn a_writer_repeats_its_checks_under_the_lock() {
    // Each stores or needs this blob.
    const BLOB: &str = "layers";
    let writers = [
        "layout blob upload -p image -f blob",
        "layout manifest put -p image -f blob --media-type a/b",
        "layout import -p image -f other --ref-name imported",
        "layout export -p other -o image --ref-name exported",
        "layout add layer -p image -f blob --media-type application/vnd.oci.image.layer.v1.tar",
        "layout blob mount -p . --per-repo --from other --repo image --digest BLOB",
    ];
    let changes = ["nothing", "deleted", "stored", "stored wrong"];
    let check = |words: &str, change: &str| {
        let sandbox = Sandbox::built();
        sandbox.write("blob", BLOB);
        sandbox.ok("layout blob upload -p other -f blob");
        let digest = sha256(BLOB.as_bytes());
        let entry = serde_json::json!({"mediaType": "a/b", "digest": digest, "size": BLOB.len()});
        sandbox.edit("other/index.json", |index| index["manifests"] = serde_json::json!([entry]));
        let path = sandbox.path(blob_name(&digest));
        if change == "deleted" {
            sandbox.store(BLOB);
        }
        let held = hold(&sandbox, "image/oci-layout");
        let mut child = waiting(&sandbox, &words.replace("BLOB", &digest));
        match change {
            "deleted" => std::fs::remove_file(&path).expect("deleted"),
            "stored" => drop(sandbox.store(BLOB)),
            "stored wrong" => std::fs::write(&path, "wrong!").expect("written"),
            _ => {}
        }
        drop(held);
        assert!(child.wait().expect("it ends").success(), "{words}: {change}");
        assert_eq!(std::fs::read_to_string(path).expect("there"), BLOB, "{words}: {change}");
        let outcome = sandbox.run("layout validate -p image");
        assert_eq!(outcome.status, 0, "{words}: {change}: {outcome:?}");
        assert!(!sandbox.contents().keys().any(|name| name.contains(".regshape-tmp-")), "{words}: {change}");
    };
    // Each waits a second until the program says that it waits.
    thread::scope(|scope| {
        for (words, change) in writers.into_iter().flat_map(|words| changes.map(|change| (words, change))) {
            scope.spawn(move || check(words, change));
        }
    });
}
