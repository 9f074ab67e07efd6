//! File systems without locks, and locks held by a stopped process.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use serde_json::{Value, json};

use crate::lab::Lab;
use crate::samples::single;

const WARNING: &str = "cannot lock image on this file system: a concurrent command could undo this change";

fn strace(lab: &Lab, options: &[&str], words: &[&str]) -> (String, String) {
    let program = env!("CARGO_BIN_EXE_regshape");
    let output = lab.output("strace", &[&["-f", "-qq", "-o", "trace"], options, &[program, "layout"], words].concat());
    let text = |bytes| String::from_utf8(bytes).expect("text");
    let (stdout, stderr) = (text(output.stdout), text(output.stderr));
    assert!(output.status.success(), "{words:?}: {}: {stderr}", output.status);
    (stdout, stderr)
}

#[test]
fn without_locks_every_command_works_and_warns() {
    let Some(lab) = Lab::with(&["strace"]) else { return };
    lab.write("a.txt", "a");
    lab.run("tar", &["-cf", "a.tar", "a.txt"]);
    // The errors of file systems without locks, or without locks on such files.
    for error in ["ENOLCK", "EOPNOTSUPP", "ENOSYS", "EINVAL", "EBADF"] {
        lab.run("rm", &["-rf", "image"]);
        let options = ["-e", "trace=flock", "-e", &format!("inject=flock:error={error}")];
        let writers = [
            "init",
            "add layer -f a.tar -q",
            "annotate layer -i 0 --annotation a=1",
            "generate config -q",
            "update config --os plan9",
            "generate manifest -q --ref-name v1",
            "annotate manifest --annotation a=1",
        ];
        for words in writers {
            let words: Vec<_> = words.split(' ').chain(["-p", "image"]).collect();
            let (_, stderr) = strace(&lab, &options, &words);
            assert_eq!(stderr, format!("Warning: {WARNING}\n"), "{error}: {words:?}");
        }
        for words in ["status", "show", "validate"] {
            let (_, stderr) = strace(&lab, &options, &[words, "-p", "image"]);
            assert_eq!(stderr, "", "{error}: {words}");
        }
        // In JSON, the warnings of locks are separate from the warning about the change.
        let words = ["update", "config", "--os", "linux", "-p", "image", "--json"];
        let (stdout, stderr) = strace(&lab, &options, &words);
        let value: Value = serde_json::from_str(&stdout).expect("one value");
        assert_eq!((&value["warnings"], stderr.as_str()), (&json!([WARNING]), ""));
        assert_eq!(value["warning"], "manifest already generated; re-run 'layout generate manifest'");
        lab.regshape(&["layout", "validate", "-p", "image"]);
    }
}

#[test]
fn a_lock_that_fails_for_another_reason_is_an_error() {
    let Some(lab) = Lab::with(&["strace"]) else { return };
    lab.regshape(&["layout", "init", "-p", "image"]);
    lab.write("a.txt", "a");
    lab.run("tar", &["-cf", "a.tar", "a.txt"]);
    let before = lab.tree("image");
    let program = env!("CARGO_BIN_EXE_regshape");
    let words = ["-f", "-qq", "-o", "trace", "-e", "inject=flock:error=EIO", program];
    let output =
        lab.output("strace", &[&words[..], &["layout", "add", "layer", "-p", "image", "-f", "a.tar", "-q"]].concat());
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.starts_with("Error: failed to lock image/oci-layout: "), "{stderr}");
    assert_eq!(lab.tree("image"), before);
}

/// Waits until the program under strace is stopped, and returns its process id.
fn stopped_at(lab: &Lab, strace: &mut Child) -> String {
    loop {
        let trace = fs::read_to_string(lab.path("trace")).unwrap_or_default();
        let line = trace.lines().find(|line| line.contains("stopped by SIGSTOP")).map(str::to_owned);
        if let Some(line) = line {
            return line.split(' ').next().expect("a number").to_owned();
        }
        assert!(strace.try_wait().expect("it runs").is_none(), "it did not stop: {trace}");
        sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_collection_does_not_follow_a_directory_that_is_swapped() {
    let Some(lab) = Lab::with(&["strace"]) else { return };
    for layout in ["image", "victim"] {
        lab.regshape(&["layout", "init", "-p", layout]);
        for content in ["one", "two", "three"] {
            lab.write("content", content);
            lab.regshape(&["layout", "blob", "upload", "-p", layout, "-f", "content"]);
        }
    }
    let victim = lab.tree("victim");
    // The program stops after it has deleted the first blob.
    let mut stopped = Command::new("strace")
        .args(["-f", "-o", "trace", "-e", "trace=unlinkat", "-e", "inject=unlinkat:signal=STOP:when=1"])
        .arg(env!("CARGO_BIN_EXE_regshape"))
        .args(["layout", "gc", "-p", "image"])
        .current_dir(lab.path("."))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .expect("strace starts");
    let pid = stopped_at(&lab, &mut stopped);
    fs::rename(lab.path("image/blobs"), lab.path("image/moved")).expect("renamed");
    std::os::unix::fs::symlink(lab.path("victim/blobs"), lab.path("image/blobs")).expect("linked");
    lab.run("kill", &["-CONT", &pid]);
    assert!(stopped.wait().expect("strace ends").success());
    assert_eq!(lab.tree("victim"), victim);
    assert_eq!(fs::read_dir(lab.path("image/moved/sha256")).expect("there").count(), 0);
}

#[test]
fn a_mounted_blob_is_there_all_the_time() {
    let Some(lab) = Lab::with(&["strace"]) else { return };
    lab.write("content", "content");
    for repository in ["from", "to"] {
        let words = ["layout", "blob", "upload", "-p", ".", "--per-repo", "--repo", repository, "-f", "content"];
        lab.regshape(&words);
    }
    let blob = &lab.blobs("to")[0];
    let digest = format!("sha256:{blob}");
    // The stored blob is corrupt, so it is replaced.
    lab.write(&format!("to/blobs/sha256/{blob}"), "other!!");
    let words = ["blob", "mount", "-p", ".", "--per-repo", "--from", "from", "--repo", "to", "--digest", &digest];
    strace(&lab, &["-e", "trace=unlink,unlinkat"], &words);
    let trace = fs::read_to_string(lab.path("trace")).expect("readable");
    assert!(!trace.contains(&format!("{blob}\"")), "it is deleted: {trace}");
    assert_eq!(lab.read(&format!("to/blobs/sha256/{blob}")), b"content");
}

#[test]
fn the_death_of_a_stopped_process_frees_its_lock() {
    let Some(lab) = Lab::with(&["strace"]) else { return };
    lab.write("a.txt", "a");
    lab.run("tar", &["-cf", "a.tar", "a.txt"]);
    lab.regshape(&["layout", "init", "-p", "image"]);
    lab.regshape(&["layout", "add", "layer", "-p", "image", "-f", "a.tar", "-q"]);
    let annotate = |value: &str| -> Vec<String> {
        let words = ["layout", "annotate", "layer", "-p", "image", "-i", "0", "--annotation", value];
        words.map(str::to_owned).into()
    };
    // The program stops while it holds the lock and replaces the staging file.
    let mut stopped = Command::new("strace")
        .args(["-f", "-o", "trace", "-e", "trace=/^rename", "-e", "inject=/^rename:signal=STOP:when=1"])
        .arg(env!("CARGO_BIN_EXE_regshape"))
        .args(annotate("stopped=1"))
        .current_dir(lab.path("."))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .expect("strace starts");
    let pid = stopped_at(&lab, &mut stopped);
    let output = lab.output(
        env!("CARGO_BIN_EXE_regshape"),
        &[annotate("early=1"), vec!["--lock-timeout".to_owned(), "0".to_owned()]]
            .concat()
            .iter()
            .map(String::as_str)
            .collect::<Vec<_>>(),
    );
    assert_eq!(output.status.code(), Some(75), "{}", String::from_utf8_lossy(&output.stderr));
    let waiting = Command::new(env!("CARGO_BIN_EXE_regshape"))
        .args(annotate("late=1"))
        .current_dir(lab.path("."))
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("the program starts");
    lab.run("kill", &["-9", &pid]);
    let output = waiting.wait_with_output().expect("the program ends");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    stopped.wait().expect("strace ends");
    let annotations = lab.json("image/.regshape-stage.json")["layers"][0]["annotations"].clone();
    assert!(annotations["late"] == "1" && annotations["early"].is_null(), "{annotations}");
    // The one that waited may have looked for leftovers before the other was killed.
    lab.regshape(&["layout", "annotate", "layer", "-p", "image", "-i", "0", "--annotation", "next=1", "-q"]);
    assert!(!lab.tree("image").keys().any(|name| name.contains(".regshape-tmp-")));
    lab.regshape(&["layout", "validate", "-p", "image"]);
}

#[test]
fn a_layer_that_is_deleted_before_it_is_copied_is_looked_for_again() {
    let Some(lab) = Lab::with(&["strace"]) else { return };
    for (layout, name) in [("old", "a"), ("new", "b")] {
        lab.write("layer.tar", [single(name, name), vec![0; 1024]].concat());
        for words in [
            format!("init -p {layout}"),
            format!("add layer -p {layout} -f layer.tar -q"),
            format!("generate config -p {layout} -q"),
            format!("generate manifest -p {layout} --ref-name v1 -q"),
        ] {
            lab.regshape(&[vec!["layout"], words.split(' ').collect()].concat());
        }
    }
    let old = lab.json("old/index.json")["manifests"][0]["digest"].as_str().expect("a digest").to_owned();
    let new = lab.json("new/index.json")["manifests"][0]["digest"].as_str().expect("a digest").to_owned();
    let manifest: Value = serde_json::from_slice(&lab.blob("old", &old)).expect("JSON");
    let layer = manifest["layers"][0]["digest"].as_str().expect("a digest").replace(':', "/");
    for (words, made) in [
        ("export -p image:v1 -o out", "out/index.json"),
        ("export -p image:v1 -o out.tar", "out.tar"),
        ("import -p imported -f image:v1", "imported/index.json"),
        ("join -p image:v1 -o joined.tar", "joined.tar"),
    ] {
        lab.run("rm", &["-rf", "image", "out", "out.tar", "imported", "joined.tar", "trace"]);
        // Without a staging file, the image is reachable only through its tag.
        lab.regshape(&["layout", "import", "-p", "image", "-f", "old"]);
        let path = format!("image/blobs/{layer}");
        let run = |inject: &[&str]| {
            let mut command = Command::new("strace");
            command
                .args(["-f", "--quiet=attach,path-resolution", "-o", "trace", "-P", &path, "-e", "trace=openat"])
                .args(inject);
            command.arg(env!("CARGO_BIN_EXE_regshape")).arg("layout").args(words.split(' '));
            command.current_dir(lab.path(".")).stdin(Stdio::null()).stdout(Stdio::null());
            command
        };
        assert!(run(&[]).status().expect("strace starts").success(), "{words}");
        let opens = String::from_utf8(lab.read("trace")).expect("text").matches("openat(").count();
        assert!(opens > 1, "{words}: looked at, and then copied");
        lab.run("rm", &["-rf", "out", "out.tar", "imported", "joined.tar", "trace"]);
        // The program stops after the last check of the layer, before it is copied.
        let stop = format!("inject=openat:signal=STOP:when={}", opens - 1);
        let mut stopped = run(&["-e", &stop]).spawn().expect("strace starts");
        let pid = stopped_at(&lab, &mut stopped);
        lab.regshape(&["layout", "import", "-p", "image", "-f", "new", "--replace-tag"]);
        lab.regshape(&["layout", "manifest", "delete", "-p", "image", "--ref", &old]);
        lab.regshape(&["layout", "gc", "-p", "image"]);
        assert!(!lab.path(&path).exists(), "{words}");
        lab.run("kill", &["-CONT", &pid]);
        assert!(stopped.wait().expect("strace ends").success(), "{words}");
        let content = String::from_utf8_lossy(&lab.read(made)).into_owned();
        // The index of a multi-platform image is a blob, which refers to the manifest.
        assert!(content.contains(&new) && !content.contains(&old), "{words}: {content}");
    }
}

#[test]
fn an_archive_is_not_begun_again_in_an_open_descriptor() {
    let Some(lab) = Lab::with(&["strace", "sh"]) else { return };
    for (layout, name) in [("old", "a"), ("new", "b")] {
        lab.write("layer.tar", [single(name, name), vec![0; 1024]].concat());
        for words in [
            format!("init -p {layout}"),
            format!("add layer -p {layout} -f layer.tar -q"),
            format!("generate config -p {layout} -q"),
            format!("generate manifest -p {layout} --ref-name v1 -q"),
        ] {
            lab.regshape(&[vec!["layout"], words.split(' ').collect()].concat());
        }
    }
    let old = lab.json("old/index.json")["manifests"][0]["digest"].as_str().expect("a digest").to_owned();
    let manifest: Value = serde_json::from_slice(&lab.blob("old", &old)).expect("JSON");
    let layer = manifest["layers"][0]["digest"].as_str().expect("a digest").replace(':', "/");
    let path = format!("image/blobs/{layer}");
    lab.run("ln", &["-s", "/dev/fd/3", "stream.tar"]);
    for words in ["export -p image:v1 --format oci-archive -o /dev/fd/3", "join -p image:v1 -o stream.tar"] {
        lab.run("rm", &["-rf", "image", "out.tar", "trace"]);
        lab.regshape(&["layout", "import", "-p", "image", "-f", "old"]);
        let run = |inject: &str| {
            let mut command = Command::new("sh");
            let program = env!("CARGO_BIN_EXE_regshape");
            let trace = format!("-f --quiet=attach,path-resolution -o trace -P {path} -e trace=openat {inject}");
            command.args(["-c", &format!("exec strace {trace} {program} layout {words} 3> out.tar")]);
            command.current_dir(lab.path(".")).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
            command
        };
        assert!(run("").status().expect("strace starts").success(), "{words}");
        let opens = String::from_utf8(lab.read("trace")).expect("text").matches("openat(").count();
        lab.run("rm", &["-f", "out.tar", "trace"]);
        let mut stopped = run(&format!("-e inject=openat:signal=STOP:when={}", opens - 1)).spawn().expect("it starts");
        let pid = stopped_at(&lab, &mut stopped);
        lab.regshape(&["layout", "import", "-p", "image", "-f", "new", "--replace-tag"]);
        lab.regshape(&["layout", "manifest", "delete", "-p", "image", "--ref", &old]);
        lab.regshape(&["layout", "gc", "-p", "image"]);
        lab.run("kill", &["-CONT", &pid]);
        let output = stopped.wait_with_output().expect("strace ends");
        assert_eq!(output.status.code(), Some(1), "{words}: {}", String::from_utf8_lossy(&output.stderr));
    }
}
