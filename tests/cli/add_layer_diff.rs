//! `layout add layer --diff-from`: layers of changes.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::layers::{build, image_of};
use crate::rewritten::{Image, is_sound, listed};
use crate::support::*;

/// Unpacks an image of layers to `new`, changes it with a shell script, and returns the entries of the layer of changes. The
/// image with that layer has the files of the directory.
#[track_caller]
fn changed(layers: &[&[&str]], script: &str, flags: &str) -> Vec<String> {
    let sandbox = image_of(layers);
    sandbox.ok("unpack -q -p image:v1 -o new --state state.json");
    sh(&sandbox, script);
    let flags = format!("--state state.json {flags}");
    let words = format!("add layer -q -p image:v1 --diff-from image:v1 --to new --tag v2 {flags}");
    sandbox.ok(&words);
    is_sound(&sandbox);
    let image = Image::of(&sandbox, "v2");
    let layer = image.entries().pop().expect("a layer");
    // Compared with the result there are no changes, and the image has the files of the directory.
    let again = sandbox.run(&format!(
        "add layer -p image:v2 --diff-from image:v2 --to new {}",
        flags.replace("--state state.json", "")
    ));
    if rustix::process::geteuid().is_root() && !flags.contains("opaque") {
        again.is(1, "", "Error: new has no changes for a layer; --allow-empty makes a layer without files\n");
    }
    layer
}

#[track_caller]
fn sh(sandbox: &Sandbox, script: &str) {
    let status = Command::new("sh").args(["-ec", script]).current_dir(sandbox.path("new")).status();
    assert!(status.expect("a shell").success(), "{script}");
}

const IMAGE: &[&[&str]] = &[&["a=1", "b=1", "d/", "d/x=1", "d/e/", "d/e/y=1", "h=1", "i&h", "l>a"]];

#[test]
fn c1_what_changed_is_in_the_layer_and_what_did_not_is_not() {
    for (script, entries) in [
        ("echo 2 > a", vec!["a=2\n"]),
        // A file that was only touched, or written again, is not changed.
        ("touch a && cp b c && cat c > b && rm c && echo 2 > n", vec!["n=2\n"]),
        ("chmod 600 a", vec!["a=1"]),
        ("chmod 700 d", vec!["d/"]),
        ("rm l && ln -s b l", vec!["l>b"]),
        ("echo 2 > d/e/y", vec!["d/", "d/e/", "d/e/y=2\n"]),
        ("mkdir -p n/m && echo 1 > n/m/f", vec!["n/", "n/m/", "n/m/f=1\n"]),
        ("mkfifo p", vec!["6 p"]),
    ] {
        assert_eq!(changed(IMAGE, script, ""), entries, "{script}");
    }
}

#[test]
fn c2_to_c5_deleted_paths_have_one_whiteout() {
    for (script, entries) in [
        ("rm a", vec![".wh.a="]),
        ("rm -r d", vec![".wh.d="]),
        ("rm d/x", vec!["d/", "d/.wh.x="]),
        // C3: another type takes the place alone.
        ("rm -r d && echo 1 > d", vec!["d=1\n"]),
        ("rm -r d && ln -s a d", vec!["d>a"]),
        ("rm a && mkdir a && echo 1 > a/f", vec!["a/", "a/f=1\n"]),
        // C4: the old entries of a directory that is made again are deleted one by one.
        ("rm -r d && mkdir d && echo 1 > d/new", vec!["d/", "d/.wh.e=", "d/.wh.x=", "d/new=1\n"]),
        // C5: what was never in the image is not deleted.
        ("echo 1 > n && rm n && rm b", vec![".wh.b="]),
    ] {
        assert_eq!(changed(IMAGE, script, ""), entries, "{script}");
    }
    assert_eq!(changed(IMAGE, "rm d/x", "--opaque /d"), ["d/", "d/.wh..wh..opq=", "d/e/", "d/e/y=1"]);
}

#[test]
fn c6_all_names_of_a_changed_file_are_in_the_layer() {
    for (script, entries) in [
        ("echo 2 > h", vec!["h=2\n", "i&h"]),
        ("ln h j", vec!["h=1", "i&h", "j&h"]),
        ("rm i", vec![".wh.i=", "h=1"]),
        ("rm i && cp h i", vec!["h=1", "i=1"]),
        ("rm b && ln a b", vec!["a=1", "b&a"]),
    ] {
        assert_eq!(changed(IMAGE, script, ""), entries, "{script}");
    }
}

#[test]
fn c7_times_are_compared_if_they_are_asked_for() {
    let sandbox = image_of(IMAGE);
    sandbox.ok("unpack -q -p image:v1 -o new --state state.json");
    sh(&sandbox, "touch -d @5 a");
    let words = "add layer -q -p image:v1 --diff-from image:v1 --to new --state state.json";
    sandbox.run(words).is(1, "", "Error: new has no changes for a layer; --allow-empty makes a layer without files\n");
    sandbox.ok(&format!("{words} --compare-times --tag v2"));
    assert_eq!(Image::of(&sandbox, "v2").entries()[1], ["a=1"]);
    sandbox.ok(&format!("{words} --allow-empty --tag v3"));
    assert_eq!(Image::of(&sandbox, "v3").entries()[1], [""; 0]);
}

#[test]
fn c8_volumes_and_excluded_paths_are_not_compared() {
    let sandbox = image_of(IMAGE);
    sandbox.ok("update config -q -p image:v1 --volume /d");
    sandbox.ok("unpack -q -p image:v1 -o new --state state.json");
    sh(&sandbox, "rm d/x && echo 1 > d/n && echo 2 > a && echo 2 > b && echo 1 > log");
    let words = "add layer -q -p image:v1 --diff-from image:v1 --to new --state state.json --exclude b --exclude log";
    let outcome = sandbox.run(&format!("{} --tag v2", words.replace("-q ", "")));
    assert_eq!(
        outcome.stderr,
        "Note: left out volumes of the image: d\nNote: the image gets no history, because it has none\n"
    );
    assert_eq!(Image::of(&sandbox, "v2").entries()[1], ["a=2\n"]);
    sandbox.ok(&format!("{words} --no-mask-volumes --tag v3"));
    assert_eq!(Image::of(&sandbox, "v3").entries()[1], ["a=2\n", "d/", "d/.wh.x=", "d/n=1\n"]);
    // Sockets hide entries, and are none.
    let _socket = std::os::unix::net::UnixListener::bind(sandbox.path("new/h2")).expect("a socket");
    fs::remove_file(sandbox.path("new/h")).expect("removed");
    let _other = std::os::unix::net::UnixListener::bind(sandbox.path("new/h")).expect("a socket");
    sandbox.ok(&format!("{words} --exclude i --exclude a --allow-empty --tag v4"));
    assert_eq!(Image::of(&sandbox, "v4").entries()[1], [""; 0]);
}

#[test]
fn c9_owners_that_a_plain_user_does_not_have_are_those_of_the_image() {
    let sandbox = image_of(&[&["33:33 www=1", "4755 0:8 su=1", "33:0 750 d/", "5:6 d/f=1", "c1,3 null"]]);
    let user = rustix::process::geteuid().as_raw();
    sandbox.ok("unpack -q -p image:v1 -o new --state state.json");
    if user == 0 {
        // The tree that a plain user has.
        let mut state = sandbox.json("state.json");
        state["owner"] = json!([1000, 1000]);
        (state["has_setuid"], state["has_privileged_xattrs"]) = (json!(false), json!(false));
        state["devices"] = json!(["/null"]);
        state["checksum"] = json!("");
        let checksum = sha256(serde_json::to_string(&sorted(&state)).expect("text").as_bytes());
        state["checksum"] = json!(checksum);
        sandbox.write("state.json", state.to_string());
        sh(&sandbox, "rm null && chmod 755 su && chown -R 1000:1000 .");
    }
    sh(&sandbox, "echo 2 > www && echo 1 > mine && echo 2 > su");
    sandbox.ok("add layer -q -p image:v1 --diff-from image:v1 --to new --state state.json --tag v2");
    let listed = sandbox.ok_json("files -p image:v2 --layer 1");
    let line = |entry: &Value| {
        format!("{} {} {}:{}", entry["path"].as_str().expect("a path"), entry["mode"], entry["uid"], entry["gid"])
    };
    let lines: Vec<_> = listed["entries"].as_array().expect("entries").iter().map(line).collect();
    assert_eq!(lines, ["/mine \"0644\" 0:0", "/su \"4755\" 0:8", "/www \"0644\" 33:33"]);
}

/// Returns an object with its keys in order.
fn sorted(value: &Value) -> std::collections::BTreeMap<&String, &Value> {
    value.as_object().expect("an object").iter().collect()
}

#[test]
fn a_directory_is_compared_with_another_one_and_the_layer_is_staged() {
    let sandbox = Sandbox::new();
    for (name, content) in [("old/a", "1"), ("old/b", "1"), ("new/a", "2"), ("new/c", "1")] {
        fs::create_dir_all(sandbox.path(name).parent().expect("a parent")).expect("made");
        sandbox.write(name, content);
    }
    symlink("a", sandbox.path("new/l")).expect("a link");
    fs::set_permissions(sandbox.path("new"), fs::Permissions::from_mode(0o755)).expect("set");
    fs::set_permissions(sandbox.path("old"), fs::Permissions::from_mode(0o755)).expect("set");
    let owner = fs::metadata(sandbox.path("new")).expect("read").uid();
    sandbox.ok("add layer -q -p image --diff-from old --to new --mtime @7");
    sandbox.ok("generate config -q -p image --os linux --architecture amd64");
    sandbox.ok("generate manifest -q -p image --ref-name v1");
    let image = Image::of(&sandbox, "v1");
    assert_eq!(image.entries(), [[".wh.b=", "a=2", "c=1", "l>a"]]);
    assert_eq!(image.config["history"][0]["created_by"], "regshape add layer --diff");
    let listed = sandbox.ok_json("files -p image:v1 --layer 0");
    assert_eq!((&listed["entries"][1]["uid"], &listed["entries"][1]["mtime"]), (&json!(owner), &json!(7)));
    // The owner can be set.
    sandbox.ok("reset -q -p image");
    sandbox.ok("add layer -q -p image --diff-from old --to new --owner 3:4");
    sandbox.misuses(
        "add layer -p image --diff-from old --to new --state s.json",
        "--state needs an image: --diff-from names a directory",
    );
}

#[test]
fn what_cannot_be_compared_is_refused_and_nothing_changes() {
    let sandbox = image_of(IMAGE);
    build(&sandbox, "image:other", &[&["z=1"]]);
    sandbox.ok("unpack -q -p image:v1 -o new --state state.json");
    sh(&sandbox, "echo 2 > a");
    let mut edited = sandbox.json("state.json");
    edited["has_setuid"] = json!(!edited["has_setuid"].as_bool().expect("a bool"));
    sandbox.write("edited.json", edited.to_string());
    sandbox.write("file", "");
    let before = sandbox.tree();
    let digest = |at: usize| sandbox.index()["manifests"][at]["digest"].as_str().expect("a digest").to_owned();
    for (flags, status, message) in [
        ("--diff-from image:v3 --to new", 1, "image has no manifest 'v3'; 'layout tag list' lists the tags".to_owned()),
        ("--diff-from image:v1 --to none", 1, "File not found: none".to_owned()),
        ("--diff-from image:v1 --to file", 1, "file is not a directory".to_owned()),
        ("--diff-from image:v1 --to new --opaque /a", 1, "'/a' is not a directory, so it cannot be opaque".to_owned()),
        (
            "--diff-from image:other --to new --state state.json",
            1,
            format!("state.json is the state of image {}, not of {}", digest(0), digest(1)),
        ),
        (
            "--diff-from image:v1 --to new --state edited.json",
            1,
            "edited.json was changed since 'unpack' wrote it".to_owned(),
        ),
    ] {
        sandbox.run(&format!("add layer -p image:v1 {flags}")).is(status, "", format!("Error: {message}\n"));
        assert!(sandbox.tree() == before, "{flags}");
    }
    for flags in ["--diff-from image:v1", "--to new", "--diff-from image:v1 --to new --copy a", "--file a --state s"] {
        assert_eq!(sandbox.run(&format!("add layer -p image:v1 {flags}")).status, 2, "{flags}");
    }
}

/// Makes layers of changes while another thread swaps directories for links to `victim`, for two seconds. No layer may have a
/// file of `victim`. `from` is what `new` is compared with, `directories` are those that are attacked, and a link stays for one
/// of the `times`, in milliseconds.
fn attack(from: &str, directories: &[&str], times: &[u64]) {
    let entries = (0..40).flat_map(|at| {
        let directory = format!("d{}/e{at}/", at % 4);
        [directory.clone(), format!("{directory}f=before")]
    });
    let entries: Vec<String> = entries.collect();
    let sandbox = image_of(&[&entries.iter().map(String::as_str).collect::<Vec<_>>()]);
    for tree in ["old", "new", "victim"] {
        sandbox.ok(&format!("unpack -q -p image:v1 -o {tree}"));
    }
    sh(&sandbox, "for f in d*/e*/f; do printf inside > $f; done");
    // The victim has the same directories with files of the same size, and with others.
    sh(&sandbox, "cd ../victim; for d in d*/e*; do printf secret > $d/f; printf secret > $d/hidden; mv $d .; done");
    let victim = sandbox.path("victim");
    let (is_over, swaps) = (AtomicBool::new(false), AtomicU64::new(0));
    let swap = |directory: &Path, time: Duration| {
        let away = directory.with_extension("away");
        fs::rename(directory, &away).expect("renamed");
        symlink(&victim, directory).expect("a link");
        std::thread::sleep(time);
        fs::remove_file(directory).expect("removed");
        fs::rename(&away, directory).expect("renamed");
        swaps.fetch_add(1, Ordering::Relaxed);
        std::thread::sleep(time);
    };
    let (mut made, mut outcomes) = (Vec::new(), Vec::new());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut rounds = directories.iter().cycle().zip(times.iter().cycle());
            while !is_over.load(Ordering::Relaxed) {
                let (directory, time) = rounds.next().expect("endless");
                swap(&sandbox.path(directory), Duration::from_millis(*time));
            }
        });
        let started = Instant::now();
        while started.elapsed().as_secs() < 2 {
            let words = "add layer -q -p image:v1 --compress-format none --allow-empty";
            let tag = format!("of{}", outcomes.len());
            let outcome = sandbox.run(&format!("{words} --tag {tag} --diff-from {from} --to new"));
            if outcome.status == 0 {
                made.push(tag);
            }
            outcomes.push(outcome);
        }
        is_over.store(true, Ordering::Relaxed);
    });
    assert!(swaps.load(Ordering::Relaxed) > 10, "{swaps:?}");
    let others: Vec<_> = outcomes.iter().filter(|outcome| !matches!(outcome.status, 0 | 1)).collect();
    assert!(others.is_empty(), "{others:?}");
    for tag in made {
        let layer = Image::of(&sandbox, &tag).tars.pop().expect("a layer");
        for word in [&b"secret"[..], b"hidden"] {
            assert!(!layer.windows(word.len()).any(|bytes| bytes == word), "{:?}", listed(&layer));
        }
    }
}

#[test]
fn directories_that_are_swapped_for_links_lead_nothing_into_the_layer() {
    attack("image:v1", &["new/d0", "new/d1", "new/d2", "new/d3"], &[0]);
}

/// A directory is listed, entered, and entered again when its files are read: the link is there in between, or from then on.
#[test]
fn directories_that_are_links_for_a_while_lead_nothing_into_the_layer() {
    std::thread::scope(|scope| {
        scope.spawn(|| attack("image:v1", &["new/d3"], &[1, 3, 7, 13, 29]));
        scope.spawn(|| attack("old", &["new/d3", "old/d3"], &[1, 3, 7, 13, 29]));
    });
}
