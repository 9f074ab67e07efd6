//! The files of an image are those that umoci unpacks.

use std::fs;

use serde_json::Value;

use super::lab::{Lab, is_root, say};
use super::samples::{base, patches, single};

/// Prints path, type, mode, owner and group; of other things than directories the time, the number of names and the target; of
/// files the size.
const FORM: [&str; 3] = ["%P %y %m %U:%G", " %T@ %n %l", " %s"];

/// Returns an entry of `files --json` in that form.
fn line(entry: &Value) -> String {
    let text = |key: &str| entry[key].as_str().unwrap_or_default().to_owned();
    let kind = match text("type").as_str() {
        "file" => "f",
        "directory" => "d",
        "link" => "l",
        "character-device" => "c",
        "block-device" => "b",
        "pipe" => "p",
        other => panic!("{other}"),
    };
    let mode = u32::from_str_radix(&text("mode"), 8).expect("a mode");
    let mut line = format!("{} {kind} {mode:o} {}:{}", &text("path")[1..], entry["uid"], entry["gid"]);
    if kind != "d" {
        line += &format!(" {}.0000000000 {} {}", entry["mtime"], entry["links"], text("target"));
    }
    if kind == "f" {
        line += &format!(" {}", entry["size"]);
    }
    line
}

/// Lists a directory in that form.
fn listing(lab: &Lab, root: &str) -> String {
    let [all, others, files] = FORM;
    let [others, files] = [format!("{all}{others}\n"), format!("{all}{others}{files}\n")];
    let directories = format!("{all}\n");
    let of_type = |kind: &'static str| ["(", "-type", kind, "-printf"];
    let words = [
        &[root, "-mindepth", "1"][..],
        &of_type("d"),
        &[&directories, ")", "-o"],
        &of_type("f"),
        &[&files, ")", "-o", "-printf", &others],
    ];
    lab.run("find", &words.concat())
}

#[test]
fn i1_files_and_cat_show_what_umoci_unpacks() {
    let Some(lab) = Lab::with(&["umoci", "find"]) else { return };
    if !is_root() {
        return say("skipped a test of files: only root can unpack owners");
    }
    for (name, layer) in [("0", base()), ("1", patches()), ("2", single("etc/more", "more\n"))] {
        lab.write(&format!("{name}.tar"), layer);
    }
    lab.regshape(&["build", "-q", "-o", "image:v1", "--layer", "0.tar", "--layer", "1.tar", "--layer", "2.tar"]);
    lab.run("umoci", &["unpack", "--image", "image:v1", "bundle"]);
    let unpacked = listing(&lab, "bundle/rootfs");
    let mut expected: Vec<&str> = unpacked.lines().collect();
    let listed: Value =
        serde_json::from_str(&lab.regshape(&["files", "-p", "image:v1", "--json"])).expect("a JSON value");
    let entries: Vec<&Value> =
        listed["entries"].as_array().expect("entries").iter().filter(|entry| entry["path"] != "/").collect();
    let found: Vec<String> = entries.iter().map(|entry| line(entry)).collect();
    let mut found: Vec<&str> = found.iter().map(|line| line.trim_end()).collect();
    expected.iter_mut().for_each(|line| *line = line.trim_end());
    found.sort_unstable();
    expected.sort_unstable();
    assert!(found.len() > 5, "{found:?}");
    assert_eq!(found, expected);
    for entry in entries.iter().filter(|entry| entry["type"] == "file") {
        let path = entry["path"].as_str().expect("a path");
        let content = lab.run_bytes(env!("CARGO_BIN_EXE_regshape"), &["cat", "-p", "image:v1", path]);
        let unpacked = fs::read(lab.path("bundle/rootfs").join(&path[1..])).expect("a file");
        assert!(content == unpacked, "{path}");
    }
}

#[test]
fn i4_tar_unpacks_an_exported_root_as_umoci_unpacks_the_image() {
    let Some(lab) = Lab::with(&["umoci", "find", "tar"]) else { return };
    if !is_root() {
        return say("skipped a test of export: only root can unpack owners");
    }
    for (name, layer) in [("0", base()), ("1", patches()), ("2", single("etc/more", "more\n"))] {
        lab.write(&format!("{name}.tar"), layer);
    }
    lab.regshape(&["build", "-q", "-o", "image:v1", "--layer", "0.tar", "--layer", "1.tar", "--layer", "2.tar"]);
    lab.run("umoci", &["unpack", "--image", "image:v1", "bundle"]);
    let sorted = |root: &str| {
        let mut lines: Vec<String> = listing(&lab, root).lines().map(|line| line.trim_end().to_owned()).collect();
        lines.sort_unstable();
        lines
    };
    let expected = sorted("bundle/rootfs");
    assert!(expected.len() > 5, "{expected:?}");
    for name in ["root.tar", "root.tar.gz", "root.tar.zst"] {
        lab.regshape(&["export", "-q", "image:v1", "--format", "rootfs", "-o", name]);
        lab.run("rm", &["-rf", "out"]);
        fs::create_dir(lab.path("out")).expect("made");
        lab.run("tar", &["-xpf", name, "-C", "out"]);
        assert_eq!(sorted("out"), expected, "{name}");
        lab.run("diff", &["-r", "--no-dereference", "bundle/rootfs", "out"]);
    }
}

#[test]
fn sparse_files_of_gnu_tar_are_read_and_written() {
    let Some(lab) = Lab::with(&["tar", "truncate", "cmp"]) else { return };
    lab.write("f", "begin");
    lab.run("truncate", &["-s", "3000000", "f"]);
    let mut content = lab.read("f");
    for at in (0..content.len()).step_by(200_000) {
        content[at..at + 4096].fill(b'x');
    }
    lab.write("dense", &content);
    lab.run("cp", &["--sparse=always", "dense", "f"]);
    for (name, format) in [
        ("gnu", &["--format=gnu"][..]),
        ("0.0", &["--format=pax", "--sparse-version=0.0"]),
        ("0.1", &["--format=pax", "--sparse-version=0.1"]),
        ("1.0", &["--format=pax", "--sparse-version=1.0"]),
    ] {
        lab.run("tar", &[&["-S", "-cf", "l.tar"], format, &["f"]].concat());
        assert!(lab.read("l.tar").len() < content.len() / 2, "{name}: the file is stored with its holes");
        let image = format!("{name}:v1");
        lab.regshape(&["build", "-q", "-o", &image, "--layer", "l.tar"]);
        let shown = lab.run_bytes(env!("CARGO_BIN_EXE_regshape"), &["cat", "-p", &image, "f"]);
        assert!(shown == content, "{name}: {} bytes", shown.len());
        lab.regshape(&["unpack", &image, "-q", "-o", &format!("tree-{name}")]);
        lab.run("cmp", &["dense", &format!("tree-{name}/f")]);
    }
}

/// The system says 'Invalid argument' for an owner that a user namespace does not have.
#[test]
fn j5_an_owner_that_a_user_namespace_does_not_have_is_named() {
    let Some(lab) = Lab::with(&["unshare"]) else { return };
    if !lab.output("unshare", &["-Ur", "true"]).status.success() {
        return say("skipped a test of user namespaces: this system allows none");
    }
    lab.write("a", "a");
    let build = |owner: &str| lab.regshape(&["build", "-q", "-o", "image:v1", "--copy", "a:/d/a", "--owner", owner]);
    let inside = |words: &str| {
        let program = env!("CARGO_BIN_EXE_regshape");
        let output = lab.output("unshare", &[&["-Ur", program], &words.split(' ').collect::<Vec<_>>()[..]].concat());
        (output.status.code(), String::from_utf8(output.stderr).expect("text"))
    };
    build("5:6");
    let user = "Error: '/d/a' belongs to the user 5, which this user namespace does not have; 'unpack' maps it with --uid-map; or use a \
                namespace that has it: /proc/self/uid_map lists its users\n";
    for words in ["unpack image:v1 -o tree", "extract -p image:v1 /d/a -o tree"] {
        assert_eq!(inside(words), (Some(1), user.to_owned()), "{words}");
        assert!(!lab.path("tree").exists(), "{words}");
    }
    let group = "Error: '/d/a' belongs to the group 6, which this user namespace does not have; 'unpack' maps it with --gid-map; or use a \
                 namespace that has it: /proc/self/gid_map lists its groups\n";
    build("0:6");
    assert_eq!(inside("unpack image:v1 -o tree"), (Some(1), group.to_owned()));
    build("0:0");
    assert_eq!(inside("unpack image:v1 -q -o tree"), (Some(0), String::new()));
}
