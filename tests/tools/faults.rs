//! System calls that fail, and programs that die there.
//!
//! For every call that changes something, in every command that writes: a run in which it fails, one that is killed at it,
//! and one that is asked to end there. After each the layout is valid, everything that was there before still is, the same
//! command succeeds and leaves no temporary file; a command that reported an error changed nothing, and one that was asked
//! to end changed nothing or did its work.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::process::Output;

use crate::lab::Lab;

/// The calls that change something, or wait for it to be on the disk.
const CALLS: [&str; 14] = [
    "open",
    "openat",
    "write",
    "fsync",
    "fdatasync",
    "flock",
    "linkat",
    "link",
    "rename",
    "renameat",
    "renameat2",
    "unlink",
    "mkdir",
    "rmdir",
];

/// Takes the files without a name away, as some file systems have none: they alone are opened with this call.
const NAMED: [&str; 2] = ["-e", "inject=open:error=EOPNOTSUPP"];

/// What a call that fails may say.
const FAILURES: [&str; 3] = ["ENOSPC", "EIO", "EACCES"];

#[test]
fn init_survives_every_fault() {
    survives("init", &["layout", "init", "-p", "image"], "", &[]);
}

#[test]
fn init_survives_every_fault_with_named_temporary_files() {
    survives("init", &["layout", "init", "-p", "image"], "", &NAMED);
}

#[test]
fn add_layer_survives_every_fault() {
    survives("add layer", &["layout", "add", "layer", "-p", "image", "-f", "b.tar", "-q"], "built", &[]);
}

#[test]
fn add_layer_survives_every_fault_with_named_temporary_files() {
    survives("add layer", &["layout", "add", "layer", "-p", "image", "-f", "b.tar", "-q"], "built", &NAMED);
}

#[test]
fn annotate_layer_survives_every_fault() {
    survives(
        "annotate layer",
        &["layout", "annotate", "layer", "-p", "image", "-i", "0", "--annotation", "a=1"],
        "built",
        &[],
    );
}

#[test]
fn generate_config_survives_every_fault() {
    survives("generate config", &["layout", "generate", "config", "-p", "image", "--os", "plan9", "-q"], "built", &[]);
}

#[test]
fn generate_manifest_survives_every_fault() {
    let words = ["layout", "generate", "manifest", "-p", "image", "--ref-name", "v1", "--annotation", "a=1", "-q"];
    survives("generate manifest", &words, "built", &[]);
}

#[test]
fn generate_manifest_survives_every_fault_with_named_temporary_files() {
    let words = ["layout", "generate", "manifest", "-p", "image", "--ref-name", "v1", "--annotation", "a=1", "-q"];
    survives("generate manifest", &words, "built", &NAMED);
}

#[test]
fn update_config_survives_every_fault() {
    survives("update config", &["layout", "update", "config", "-p", "image", "--os", "plan9", "-q"], "built", &[]);
}

#[test]
fn annotate_manifest_survives_every_fault() {
    survives(
        "annotate manifest",
        &["layout", "annotate", "manifest", "-p", "image", "--annotation", "a=1"],
        "built",
        &[],
    );
}

/// A reader that finds a blob gone because somebody replaced the image meanwhile looks again.
#[test]
fn a_reader_is_not_confused_by_a_writer() {
    let Some(lab) = Lab::with(&["strace"]) else { return };
    build(&lab);
    let read = ["layout", "validate", "-p", "image"];
    let opens = calls(&lab, &read)["openat"];
    // Between reading index.json and the manifest that it names, wherever that is.
    for at in opens.saturating_sub(6)..=opens {
        let delay = format!("inject=openat:delay_enter=300000:when={at}");
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| strace(&lab, &["-e", "trace=openat", "-e", &delay], &read));
            std::thread::sleep(std::time::Duration::from_millis(150));
            lab.regshape(&["layout", "annotate", "manifest", "-p", "image", "--annotation", &format!("at={at}")]);
            let output = reader.join().expect("it ran");
            assert!(output.status.success(), "call {at}: {}", String::from_utf8_lossy(&output.stderr));
        });
    }
}

/// Runs a command on a copy of a layout once for each call and kind of fault, always with some options of strace.
#[track_caller]
fn survives(name: &str, words: &[&str], base: &str, options: &[&str]) {
    let Some(lab) = Lab::with(&["strace"]) else { return };
    if !base.is_empty() {
        build(&lab);
        lab.run("mv", &["image", base]);
    }
    let fresh = || {
        lab.run("rm", &["-rf", "image"]);
        if !base.is_empty() {
            lab.run("cp", &["-a", base, "image"]);
        }
    };
    fresh();
    let before = lab.tree("image");
    let counted = calls_with(&lab, words, options);
    let after = lab.tree("image");
    assert_ne!(before, after, "{name} changes something");
    let trace = String::from_utf8(lab.read("trace")).expect("text");
    let has_named = trace.lines().any(|line| line.contains(".regshape-tmp-") && line.contains("O_EXCL"));
    assert_eq!(has_named, !options.is_empty(), "{name}: the temporary files are of the other kind");
    for call in CALLS {
        if options.iter().any(|option| option.contains(&format!("inject={call}:"))) {
            continue;
        }
        for at in 1..=counted.get(call).copied().unwrap_or_default() {
            let failure = FAILURES[at % FAILURES.len()];
            for fault in [format!("error={failure}"), "signal=KILL".to_owned(), "signal=TERM".to_owned()] {
                fresh();
                let inject = format!("inject={call}:{fault}:when={at}");
                let traced = format!("trace=open,{call}");
                let output = strace(&lab, &[options, &["-e", &traced, "-e", &inject]].concat(), words);
                let stderr = String::from_utf8_lossy(&output.stderr);
                let case = format!("{name}: {inject}: {}: {stderr}", output.status);
                assert!(!stderr.contains("panicked"), "{case}");
                // The result could not be shown: the work is done.
                let is_done = output.status.success() || stderr.contains("standard output");
                if output.status.code() == Some(1) && !is_done {
                    assert_eq!(lab.tree("image"), before, "{case}");
                }
                if fault == "signal=TERM" {
                    let found = lab.tree("image");
                    // Before it watches for signals, and has done anything, the program ends as any other.
                    let is_too_early = output.status.signal() == Some(15) && found == before;
                    assert!(is_too_early || matches!(output.status.code(), Some(0 | 143)), "{case}");
                    assert!(found == before && !is_done || found == after, "{case}: {:?}", found.keys());
                    assert!(!found.is_empty() || !lab.path("image").exists(), "{case}: a directory is left");
                }
                if base.is_empty() && lab.path("image/oci-layout").exists() {
                    lab.regshape(&["layout", "validate", "-p", "image"]);
                    continue;
                }
                if !base.is_empty() {
                    lab.regshape(&["layout", "validate", "-p", "image"]);
                    let shown = lab.regshape(&["layout", "show", "-p", "image", "--json"]);
                    for tag in ["v1", "v2"] {
                        assert!(shown.contains(&format!("\"{tag}\"")), "{case}\n{shown}");
                    }
                    assert!(lab.regshape(&["layout", "status", "-p", "image"]).contains("[0] sha256:"), "{case}");
                }
                lab.regshape(words);
                lab.regshape(&["layout", "validate", "-p", "image"]);
                let temporary: Vec<_> =
                    lab.tree("image").into_keys().filter(|name| name.contains(".regshape-tmp-")).collect();
                assert!(temporary.is_empty(), "{case}: {temporary:?}");
            }
        }
    }
}

/// Makes a layout with two tags of one build.
fn build(lab: &Lab) {
    lab.write("a.txt", "a");
    lab.write("b.txt", "b");
    for name in ["a", "b"] {
        lab.run("tar", &["-cf", &format!("{name}.tar"), &format!("{name}.txt")]);
    }
    for words in [
        "init -p image",
        "add layer -p image -f a.tar -q",
        "generate config -p image -q",
        "generate manifest -p image --ref-name v2 -q",
        "generate manifest -p image --ref-name v1 --annotation n=1 -q",
    ] {
        lab.regshape(&[vec!["layout"], words.split(' ').collect()].concat());
    }
}

/// Counts the calls of a command, on the layout as it is, which it then has changed.
fn calls(lab: &Lab, words: &[&str]) -> BTreeMap<String, usize> {
    calls_with(lab, words, &[])
}

/// Counts the calls of a command that runs with some options of strace.
fn calls_with(lab: &Lab, words: &[&str], options: &[&str]) -> BTreeMap<String, usize> {
    let traced = format!("trace={}", CALLS.join(","));
    let output = strace(lab, &[&["-o", "trace", "-e", &traced], options].concat(), words);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let trace = String::from_utf8(lab.read("trace")).expect("text");
    let mut counts = BTreeMap::new();
    for line in trace.lines() {
        // "1234 openat(AT_FDCWD, …"
        let Some((head, _)) = line.split_once('(') else { continue };
        let call = head.rsplit(' ').next().unwrap_or(head);
        *counts.entry(call.to_owned()).or_default() += 1;
    }
    counts
}

fn strace(lab: &Lab, options: &[&str], words: &[&str]) -> Output {
    let program = env!("CARGO_BIN_EXE_regshape");
    let output = if options.contains(&"-o") { &[][..] } else { &["-o", "/dev/null"][..] };
    lab.output("strace", &[&["-f", "-qq"], output, options, &[program], words].concat())
}
