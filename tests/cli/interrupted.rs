//! Killed programs, full disks, read-only directories: the layout stays intact.

use std::fs;
#[cfg(unix)]
use std::io::Write;
use std::path::Path;
#[cfg(unix)]
use std::process::{Command, Stdio};

use crate::support::*;

/// Returns the names of temporary files in a layout.
#[cfg(unix)]
fn temporary(sandbox: &Sandbox) -> Vec<String> {
    sandbox.tree().into_keys().filter(|name| name.contains(".regshape-tmp-")).collect()
}

/// Returns incompressible bytes, the same in every run.
#[cfg(unix)]
fn noise(length: usize) -> Vec<u8> {
    let mut state = 1u32;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_le_bytes()[0]
    };
    (0..length).map(|_| next()).collect()
}

#[cfg(unix)]
#[test]
fn a_layer_whose_writer_is_killed_midway_leaves_nothing() {
    use std::os::unix::process::ExitStatusExt;

    let layer = gzip(&[base_tar(), noise(2 << 20)].concat());
    for content in [layer.as_slice(), &gunzip(&layer)] {
        let sandbox = Sandbox::built();
        let before = sandbox.tree();
        let mut child = sandbox
            .command()
            .args(["layout", "add", "layer", "-p", "image", "-f", "-", "-q"])
            .stdin(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut pipe = child.stdin.take().expect("a pipe");
        // A pipe holds far less than this: when the write returns, most of the bytes were read.
        pipe.write_all(&content[..1 << 20]).expect("the program reads");
        child.kill().expect("killed");
        assert_eq!(child.wait().expect("the program ends").signal(), Some(9));
        drop(pipe);
        sandbox.is_valid();
        // On a file system without unnamed files, a temporary file is left, which the next writing command deletes.
        let named = temporary(&sandbox);
        let mut after = sandbox.tree();
        after.retain(|name, _| !named.contains(name));
        assert_eq!(after, before);
        sandbox.ok("layout annotate layer -p image -i 0 --annotation a=1");
        assert_eq!(temporary(&sandbox), Vec::<String>::new());
        sandbox.is_valid();
    }
}

#[test]
fn init_goes_on_from_wherever_it_was_killed() {
    let whole = Sandbox::new();
    // In the order of creation; the marker is created last.
    let parts = ["image", "image/blobs", "image/blobs/sha256", "image/index.json", "image/.regshape-stage.json"];
    let is_directory = |part: &str| whole.path(part).is_dir();
    for killed_after in 0..=parts.len() {
        for last_is_empty in [false, true] {
            let sandbox = Sandbox::empty();
            for (at, part) in parts[..killed_after].iter().enumerate() {
                if is_directory(part) {
                    fs::create_dir(sandbox.path(part)).expect("created");
                } else {
                    // After a system crash, a file may exist without its content.
                    let content = if last_is_empty && at + 1 == killed_after { vec![] } else { whole.read(part) };
                    sandbox.write(part, content);
                }
            }
            if killed_after > 0 {
                sandbox.write("image/.regshape-tmp-x", "");
            }
            let before = sandbox.tree();
            sandbox
                .run("layout show -p image")
                .fails("Error: image is not an OCI Image Layout (missing oci-layout file)\n");
            assert_eq!(sandbox.tree(), before);
            sandbox.run("layout init -p image").succeeds("Initialised OCI Image Layout at image\n", "");
            for part in ["image/index.json", "image/.regshape-stage.json", "image/oci-layout"] {
                assert_eq!(sandbox.text(part), whole.text(part), "killed after {killed_after} parts");
            }
            sandbox.is_valid();
        }
    }
}

#[test]
fn export_and_import_go_on_from_wherever_an_init_was_killed() {
    let whole = Sandbox::new();
    let parts = ["half", "half/blobs", "half/blobs/sha256", "half/index.json", "half/.regshape-stage.json"];
    for killed_after in 1..=parts.len() {
        for (words, dry_run) in [
            ("layout export -p image -o half -q", Some("layout export -p image -o half --dry-run -q")),
            ("layout import -p half -f image -q", None),
        ] {
            for last_is_empty in [false, true] {
                let sandbox = Sandbox::built();
                for (at, part) in parts[..killed_after].iter().enumerate() {
                    let made = part.replace("half", "image");
                    if whole.path(&made).is_dir() {
                        fs::create_dir(sandbox.path(part)).expect("created");
                    } else {
                        let is_empty = last_is_empty && at + 1 == killed_after;
                        sandbox.write(part, if is_empty { vec![] } else { whole.read(&made) });
                    }
                }
                sandbox.write("half/.regshape-tmp-x", "");
                let before = sandbox.tree();
                if let Some(dry_run) = dry_run {
                    sandbox.ok(dry_run);
                    assert_eq!(sandbox.tree(), before, "{dry_run} changed something");
                }
                sandbox.ok(words);
                assert_eq!(
                    sandbox.json("half/index.json"),
                    sandbox.json("image/index.json"),
                    "{words}, {killed_after}"
                );
                let has_stage = killed_after == parts.len();
                assert_eq!(sandbox.path("half/.regshape-stage.json").exists(), has_stage, "{words}, {killed_after}");
                sandbox.ok("layout validate -p half");
            }
        }
    }
    // A directory with any content was not left by an init.
    for (name, content) in [
        ("half/index.json", "{}"),
        ("half/.regshape-stage.json", "{}"),
        ("half/blobs/sha256/0", ""),
        ("half/blobs/mine", ""),
        ("half/mine", ""),
    ] {
        let sandbox = Sandbox::built();
        fs::create_dir_all(sandbox.path("half/blobs/sha256")).expect("created");
        sandbox.write(name, content);
        let message = "half is neither empty nor an OCI Image Layout";
        sandbox.refuses("layout export -p image -o half", message);
        sandbox.refuses("layout import -p half -f image", message);
    }
}

#[test]
fn an_empty_marker_is_from_an_interrupted_init_too() {
    let sandbox = Sandbox::new();
    sandbox.write("image/oci-layout", "");
    sandbox.run("layout init -p image").succeeds("Initialised OCI Image Layout at image\n", "");
    sandbox.is_valid();

    let sandbox = Sandbox::built();
    fs::create_dir(sandbox.path("half")).expect("created");
    sandbox.write("half/oci-layout", "");
    sandbox.ok("layout export -p image -o half -q");
    assert_eq!(sandbox.json("half/index.json"), sandbox.json("image/index.json"));
    sandbox.ok("layout validate -p half");
}

#[test]
fn a_failed_init_deletes_its_files() {
    let sandbox = Sandbox::empty();
    fs::create_dir(sandbox.path("image")).expect("created");
    sandbox.write("image/.regshape-stage.json", "{}");
    sandbox.refuses(
        "layout init -p image",
        "image holds '.regshape-stage.json', which no interrupted 'init' left; remove it or choose another directory",
    );
    assert!(!sandbox.path("image/blobs").exists());
}

/// Runs the program in a shell that limits files to a few kilobytes.
#[cfg(unix)]
fn run_on_a_full_disk(sandbox: &Sandbox, words: &str) -> Outcome {
    // Exceeding the limit is an error like a full disk, if the signal is ignored.
    let script = "trap '' XFSZ; ulimit -f 8; exec \"$0\" \"$@\"";
    Command::new("sh")
        .args(["-c", script, env!("CARGO_BIN_EXE_regshape")])
        .args(words.split_whitespace())
        .current_dir(sandbox.path("."))
        .stdin(Stdio::null())
        .output()
        .expect("a shell")
        .into()
}

#[cfg(unix)]
#[test]
fn a_full_disk_leaves_the_layout_as_it_was() {
    let sandbox = Sandbox::built();
    let layer = [base_tar(), noise(1 << 20)].concat();
    sandbox.write("large.tar", &layer);
    sandbox.write("large.tar.gz", gzip(&layer));
    // A layer that is not stored yet.
    sandbox.write("small.tar", patches_tar());
    let before = sandbox.tree();
    for file in ["large.tar", "large.tar.gz"] {
        let outcome = run_on_a_full_disk(&sandbox, &format!("layout add layer -p image -f {file} -q"));
        assert_eq!((outcome.status, outcome.stdout.as_str()), (1, ""), "{file}");
        assert!(outcome.stderr.starts_with("Error: failed to write to image: File too large"), "{}", outcome.stderr);
        assert_eq!(outcome.stderr.lines().count(), 1);
        assert_eq!(sandbox.tree(), before, "{file}");
    }
    // The blob fits on the disk, but not the document that refers to it.
    let long = format!("a={}", "x".repeat(16 << 10));
    for words in [
        format!("layout add layer -p image -f small.tar -q --annotation {long}"),
        format!("layout annotate layer -p image -i 0 --annotation {long}"),
        format!("layout annotate manifest -p image --annotation {long}"),
        format!("layout generate config -p image -q --annotation {long}"),
        format!("layout generate manifest -p image -q --annotation {long}"),
        format!("layout update config -p image --annotation {long}"),
    ] {
        let outcome = run_on_a_full_disk(&sandbox, &words);
        assert_eq!((outcome.status, outcome.stdout.as_str()), (1, ""), "{}", &words[..40]);
        assert_eq!(sandbox.tree(), before, "{}", &words[..40]);
    }
    sandbox.is_valid();
}

/// Returns whether the tests run as a user, such as root, who can write anywhere.
#[cfg(unix)]
fn writes_anywhere(directory: &Path) -> bool {
    let probe = directory.join("probe");
    let can = fs::write(&probe, "").is_ok();
    let _ = fs::remove_file(probe);
    can
}

#[cfg(unix)]
#[test]
fn a_directory_that_cannot_be_written_is_an_error_and_can_still_be_read() {
    use std::os::unix::fs::PermissionsExt;

    let sandbox = Sandbox::built();
    let directories = ["image/blobs/sha256", "image/blobs", "image"].map(|name| sandbox.path(name));
    let set = |mode| {
        for directory in &directories {
            fs::set_permissions(directory, fs::Permissions::from_mode(mode)).expect("set");
        }
    };
    set(0o555);
    if writes_anywhere(&directories[2]) {
        set(0o755);
        eprintln!("skipped: this user can write into a read-only directory");
        return;
    }
    let before = sandbox.tree();
    let mut outcomes = Vec::new();
    for words in [
        "add layer -f base.tar -q",
        "annotate layer -i 0 --annotation a=1",
        "annotate manifest --annotation a=1",
        "generate config -q --architecture arm64",
        "generate manifest -q --annotation a=1",
        "update config --os freebsd",
    ] {
        outcomes.push((words, sandbox.run(&format!("layout {words} -p image"))));
    }
    outcomes.push(("init", sandbox.run("layout init -p image/blobs/new")));
    let after = sandbox.tree();
    sandbox.is_valid();
    sandbox.ok("layout status -p image");
    set(0o755);
    assert_eq!(after, before);
    for (words, outcome) in outcomes {
        assert_eq!((outcome.status, outcome.stdout.as_str()), (1, ""), "{words}: {outcome:?}");
        assert!(outcome.stderr.contains("Permission denied"), "{words}: {outcome:?}");
    }
}

#[test]
fn documents_that_are_no_files_are_refused() {
    for (name, message) in [
        (".regshape-stage.json", "staging file at image is malformed: a directory, not a regular file"),
        ("index.json", "index.json at image is not a valid OCI Image Index"),
        ("oci-layout", "oci-layout at image is malformed: a directory, not a regular file"),
    ] {
        let sandbox = Sandbox::built();
        let path = sandbox.path(Path::new("image").join(name));
        fs::remove_file(&path).expect("removed");
        fs::create_dir(&path).expect("created");
        sandbox.refuses("layout generate manifest -p image -q", message);
    }
}
