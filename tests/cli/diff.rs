//! `layout diff`

use std::fs;
use std::io::pipe;

use serde_json::{Value, json};

use crate::layers::*;
use crate::support::*;

/// Makes the images `a:v1` and `b:v1` of layers.
fn images(before: &[&[&str]], after: &[&[&str]]) -> Sandbox {
    let sandbox = Sandbox::empty();
    build(&sandbox, "a:v1", before);
    build(&sandbox, "b:v1", after);
    sandbox
}

/// Returns the lines about the files of two images of one layer each.
#[track_caller]
fn file_lines(before: &[&str], after: &[&str], words: &str) -> Vec<String> {
    lines_of(&images(&[before], &[after]), words, "files:")
}

/// Returns the lines of a section.
#[track_caller]
fn lines_of(sandbox: &Sandbox, words: &str, section: &str) -> Vec<String> {
    let outcome = sandbox.run(&format!("diff -p a:v1 --with b:v1 {words}"));
    assert_eq!(outcome.stderr, "", "{words}");
    let lines: Vec<_> = outcome.stdout.lines().map(str::to_owned).collect();
    assert_eq!(outcome.status, i32::from(!lines.is_empty()), "{words}");
    let after = lines.into_iter().skip_while(|line| line != section).skip(1);
    after.take_while(|line| !line.ends_with(':')).collect()
}

/// Changes the config of the only image of a layout.
fn edit_config(sandbox: &Sandbox, layout: &str, change: impl FnOnce(&mut Value)) {
    let digest_of = |value: &Value| value["digest"].as_str().expect("a digest").to_owned();
    let in_layout = |digest: &str| format!("{layout}/{}", blob_path(digest));
    let mut index = sandbox.json(&format!("{layout}/index.json"));
    let mut manifest = sandbox.json(&in_layout(&digest_of(&index["manifests"][0])));
    let mut config = sandbox.json(&in_layout(&digest_of(&manifest["config"])));
    change(&mut config);
    let store = |value: &Value, descriptor: &mut Value| {
        let content = serde_json::to_vec(value).expect("JSON");
        let digest = sha256(&content);
        sandbox.write(&in_layout(&digest), &content);
        descriptor["digest"] = json!(digest);
        descriptor["size"] = json!(content.len());
    };
    store(&config, &mut manifest["config"]);
    store(&manifest, &mut index["manifests"][0]);
    sandbox.write(&format!("{layout}/index.json"), serde_json::to_vec(&index).expect("JSON"));
}

fn blob_path(digest: &str) -> String {
    format!("blobs/{}", digest.replace(':', "/"))
}

const BASE: &[&str] = &["etc/", "etc/passwd=root", "bin/", "755 bin/sh=sh"];

#[test]
fn i3_equal_images_print_nothing_and_exit_with_0() {
    let sandbox = images(&[BASE, &["x=1"]], &[BASE, &["x=1"]]);
    for words in ["", "-q", "-v", "--ignore times"] {
        sandbox.run(&format!("diff -p a:v1 --with b:v1 {words}")).is(0, "", "");
    }
    sandbox.run("diff a:v1 --with a").is(0, "", "");
    let expected = json!({"equal": true, "config": [], "annotations": [], "layers": [], "files": []});
    assert_eq!(sandbox.ok_json("diff -p a:v1 --with b:v1"), expected);
}

#[test]
fn i3_no_layer_is_read_where_the_diff_ids_agree() {
    let sandbox = images(&[BASE], &[BASE]);
    for blob in fs::read_dir(sandbox.path("a/blobs/sha256")).expect("blobs").map(|blob| blob.expect("a blob").path()) {
        let content = fs::read(&blob).expect("read");
        if content.starts_with(b"\x1f\x8b") {
            fs::write(&blob, vec![0; content.len()]).expect("written");
        }
    }
    sandbox.run("diff -p a:v1 --with b:v1").is(0, "", "");
}

#[test]
fn i3_compression_is_a_difference_of_layers_unless_it_is_ignored() {
    let sandbox = images(&[BASE], &[BASE]);
    sandbox.ok("recompress -q -p b:v1 --compress-format none");
    let layer = |layout: &str| {
        let index = sandbox.json(&format!("{layout}/index.json"));
        let digest = index["manifests"][0]["digest"].as_str().expect("a digest").to_owned();
        sandbox.json(&format!("{layout}/{}", blob_path(&digest)))["layers"][0].clone()
    };
    let (before, after) = (layer("a"), layer("b"));
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let both = |key: &str| format!("{} -> {}", text(&before[key]), text(&after[key]));
    let expected =
        format!("layers:\n~ 0: media type {}, digest {}, size {}\n", both("mediaType"), both("digest"), both("size"));
    sandbox.run("diff -p a:v1 --with b:v1").is(1, expected, "");
    sandbox.run("diff -p a:v1 --with b:v1 --ignore compression").is(0, "", "");
}

#[test]
fn i3_each_attribute_of_a_file_is_compared() {
    let content = |of: &str| sha256(of.as_bytes());
    let (one, two, longer) = (content("1"), content("2"), content("22"));
    let content_line = format!("~ /f: content {one} -> {two}");
    let size_line = format!("~ /f: size 1 -> 2, content {one} -> {longer}");
    let cases: &[(&str, &str, &str)] = &[
        ("f=1", "f=2", &content_line),
        ("f=1", "f=22", &size_line),
        ("644 f=1", "4755 f=1", "~ /f: mode 0644 -> 4755"),
        ("0:0 f=1", "33:0 f=1", "~ /f: user 0 -> 33"),
        ("0:0 f=1", "0:33 f=1", "~ /f: group 0 -> 33"),
        ("@0 f=1", "@1767366245 f=1", "~ /f: time 1970-01-01T00:00:00Z -> 2026-01-02T15:04:05Z"),
        (
            "644 0:0 @0 f=1",
            "600 1:2 @9 f=1",
            "~ /f: mode 0644 -> 0600, user 0 -> 1, group 0 -> 2, time 1970-01-01T00:00:00Z -> 1970-01-01T00:00:09Z",
        ),
        ("l>a", "l>b", "~ /l: target 'a' -> 'b'"),
        ("h&a", "h&b", "~ /h: target '/a' -> '/b'"),
        ("c1,3 d", "c1,5 d", "~ /d: device 1:3 -> 1:5"),
        ("c1,3 d", "b1,3 d", "~ /d: type character-device -> block-device"),
        ("p f", "f=1", "~ /f: type pipe -> file"),
        ("f=1", "f>x", "~ /f: type file -> link"),
        ("755 d/", "700 d/", "~ /d: mode 0755 -> 0700"),
        ("755 ./", "700 ./", "~ /: mode 0755 -> 0700"),
    ];
    for (before, after, expected) in cases {
        let lines = file_lines(&[before, "z=1", "y=1"], &["z=1", after], "");
        assert_eq!(lines, [*expected, "- /y"], "{before} {after}");
    }
}

#[test]
fn i3_the_mode_of_a_link_means_nothing() {
    assert_eq!(file_lines(&["777 l>a", "x=1"], &["755 l>a", "y=1"], ""), ["- /x", "+ /y"]);
}

#[test]
fn i3_directories_that_no_entry_has_are_as_their_defaults() {
    assert_eq!(file_lines(&["d/x=1"], &["755 d/", "d/x=1", "y=1"], ""), ["+ /y"]);
    assert_eq!(file_lines(&["d/x=1"], &["700 d/", "d/x=1"], ""), ["~ /d: mode 0755 -> 0700"]);
}

#[test]
fn i3_a_type_that_changes_takes_the_entries_below_with_it() {
    let lines = file_lines(&["d/", "d/a=1", "d/e/", "d/e/b=1", "f=1"], &["d=1", "f/", "f/x=1"], "");
    assert_eq!(
        lines,
        ["~ /d: type directory -> file", "- /d/a", "- /d/e", "- /d/e/b", "~ /f: type file -> directory", "+ /f/x"]
    );
}

#[test]
fn i3_paths_are_in_the_order_of_files() {
    let lines = file_lines(&["a/", "a/x=1", "a-b=1", "b=1"], &["b=1", "a.c=1"], "");
    assert_eq!(lines, ["- /a", "- /a/x", "- /a-b", "+ /a.c"]);
}

#[test]
fn i3_hard_links_are_compared_by_their_groups() {
    let cases: &[(&[&str], &[&str], &[&str])] = &[
        (&["a=1", "b=1"], &["a=1", "b&a"], &["~ /b: hard link to none -> /a"]),
        (&["a=1", "b&a"], &["b=1", "a&b", "x=1"], &["+ /x"]),
        (&["a=1", "b&a", "c&a"], &["a=1", "b&a"], &["- /c"]),
        (
            &["a=1", "b&a", "c&a"],
            &["a=1", "b=1", "c&b"],
            &["~ /b: hard link to /a -> none", "~ /c: hard link to /a -> /b"],
        ),
        // The first name is not in both.
        (&["a=1", "b&a", "c&a"], &["b=1", "c&b"], &["- /a"]),
        (&["p a", "b&a"], &["p a", "p b"], &["~ /b: hard link to /a -> none"]),
    ];
    for (before, after, expected) in cases {
        assert_eq!(file_lines(before, after, ""), *expected, "{before:?} {after:?}");
    }
    // The names of a changed file all show its change.
    let (one, two) = (sha256(b"1"), sha256(b"2"));
    assert_eq!(
        file_lines(&["a=1", "b&a"], &["a=2", "b&a"], ""),
        [format!("~ /a: content {one} -> {two}"), format!("~ /b: content {one} -> {two}")]
    );
}

#[test]
fn i3_many_layers_and_one_with_the_same_files_differ_in_layers_alone() {
    let many: &[&[&str]] = &[
        &["etc/", "etc/passwd=root", "tmp/", "tmp/x=1", "old=1", "keep=1"],
        &["etc/passwd=changed", "tmp/.wh..wh..opq", ".wh.old", "link&keep"],
        &["600 keep=2"],
    ];
    let one: &[&[&str]] = &[&["etc/", "etc/passwd=changed", "tmp/", "link=1", "600 keep=2"]];
    let sandbox = images(many, one);
    assert_eq!(lines_of(&sandbox, "", "files:"), Vec::<String>::new());
    let layers = lines_of(&sandbox, "", "layers:");
    let starts: Vec<_> = layers.iter().map(|line| &line[..4]).collect();
    assert_eq!(starts, ["~ 0:", "- 1:", "- 2:"]);
    // A hard link to a file that an upper layer hides is read again.
    let sandbox = images(many, &[&["etc/", "etc/passwd=changed", "tmp/", "link=2", "600 keep=2"]]);
    let (one, two) = (sha256(b"1"), sha256(b"2"));
    assert_eq!(lines_of(&sandbox, "", "files:"), [format!("~ /link: content {one} -> {two}")]);
}

#[test]
fn i3_hidden_files_do_not_count() {
    let sandbox = images(&[&["a=1", "d/", "d/x=1"], &["a=2", ".wh.d"]], &[&["a=other"], &["a=2"]]);
    assert_eq!(lines_of(&sandbox, "", "files:"), Vec::<String>::new());
    assert_eq!(lines_of(&sandbox, "", "layers:").len(), 2);
}

#[test]
fn i3_files_of_shared_layers_are_compared_with_those_of_others() {
    // The file of the shared layer is in another place of the other image.
    let shared: &[&str] = &["a=1", "b=1"];
    let sandbox = images(&[shared, &["b=2"]], &[&["a=2"], shared]);
    let (one, two) = (sha256(b"1"), sha256(b"2"));
    assert_eq!(lines_of(&sandbox, "", "files:"), [format!("~ /b: content {two} -> {one}")]);
    let sandbox = images(&[shared, &["a=1"]], &[shared, &["a=3"]]);
    assert_eq!(lines_of(&sandbox, "", "files:"), [format!("~ /a: content {one} -> {}", sha256(b"3"))]);
    // A shared layer that an upper one hides in one image alone.
    let sandbox = images(&[shared], &[shared, &["a=2"]]);
    assert_eq!(lines_of(&sandbox, "", "files:"), [format!("~ /a: content {one} -> {two}")]);
}

#[test]
fn i3_ignored_attributes_of_files_make_layers_equal_too() {
    let cases: &[(&str, &[&str], &[&str])] = &[
        ("times", &["@1 a=1", "@2 d/"], &["@3 a=1", "@4 d/"]),
        ("owner", &["0:0 a=1"], &["1:2 a=1"]),
        ("mode", &["644 a=1", "700 d/"], &["600 a=1", "755 d/"]),
        ("order", &["a=1", "b=2"], &["b=2", "a=1"]),
    ];
    for (word, before, after) in cases {
        let sandbox = images(&[BASE, before], &[BASE, after]);
        let compared = sandbox.run("diff -p a:v1 --with b:v1");
        assert_eq!(compared.status, 1, "{word}");
        sandbox.run(&format!("diff -p a:v1 --with b:v1 --ignore {word}")).is(0, "", "");
        for (other, ..) in cases.iter().filter(|(other, ..)| other != word && *word != "order") {
            assert_eq!(sandbox.run(&format!("diff -p a:v1 --with b:v1 --ignore {other}")).status, 1, "{word} {other}");
        }
    }
    let sandbox = images(&[&["0:0 600 @1 a=1"]], &[&["1:1 644 @2 a=1"]]);
    for words in ["--ignore times --ignore owner --ignore mode", "--ignore times,owner,mode"] {
        sandbox.run(&format!("diff -p a:v1 --with b:v1 {words}")).is(0, "", "");
    }
    assert_eq!(sandbox.run("diff -p a:v1 --with b:v1 --ignore times,owner").status, 1);
}

#[test]
fn i3_layers_whose_entries_differ_stay_different_whatever_is_ignored() {
    let all = "--ignore times,owner,mode,xattrs,order,history,created,compression";
    let cases: &[(&[&str], &[&str])] = &[
        (&["etc/.wh.passwd"], &["etc/.wh.none"]),
        (&["etc/.wh..wh..opq"], &["x=1"]),
        (&["etc/x=1"], &["etc/", "etc/x=1"]),
        (&["x=1"], &["x=2"]),
        (&["x&etc/passwd"], &["x&bin/sh"]),
        (&["./", "x=1"], &["x=1"]),
    ];
    for (before, after) in cases {
        let sandbox = images(&[BASE, before], &[BASE, after]);
        assert_eq!(lines_of(&sandbox, all, "layers:").len(), 1, "{before:?} {after:?}");
    }
}

#[test]
fn i3_configs_and_annotations_are_compared_by_field() {
    let sandbox = images(&[BASE], &[BASE]);
    edit_config(&sandbox, "a", |config| {
        config["author"] = json!("me");
        config["config"] = json!({"Env": ["A=1", "B=2"], "Labels": {"a.b": "1"}, "Cmd": ["sh"]});
    });
    edit_config(&sandbox, "b", |config| {
        config["config"] = json!({"Env": ["A=1", "B=3"], "Cmd": ["sh", "-c"], "User": "\u{1b}[31m"});
    });
    sandbox.ok("annotate manifest -q -p b:v1 --annotation k=v");
    sandbox.run("diff -p a:v1 --with b:v1").is(
        1,
        "config:\n- author: \"me\"\n~ config.Cmd: [\"sh\"] -> [\"sh\",\"-c\"]\n~ config.Env.B: \"2\" -> \"3\"\n\
         - config.Labels.a.b: \"1\"\n+ config.User: \"\\u001b[31m\"\nannotations:\n+ k: \"v\"\n",
        "",
    );
    let found = sandbox.run("diff -p a:v1 --with b:v1 --json");
    assert_eq!((found.status, found.stderr.as_str()), (1, ""));
    let found: Value = serde_json::from_str(&found.stdout).expect("JSON");
    assert_eq!(
        found["config"][2],
        json!({"path": ["config", "Env", "B"], "change": "changed", "before": "2", "after": "3"})
    );
    assert_eq!(found["annotations"], json!([{"path": ["k"], "change": "added", "after": "v"}]));
}

#[test]
fn i3_each_word_ignores_its_fields_of_the_config() {
    let cases: &[(&str, Value, Value)] = &[
        ("history", json!({"history": [{"created_by": "a"}]}), json!({"history": [{"created_by": "b"}]})),
        ("history", json!({"history": [{"created_by": "a"}]}), json!({"history": null})),
        ("created", json!({"created": "2026-01-01T00:00:00Z"}), json!({"created": "2026-01-02T00:00:00Z"})),
        ("created", json!({"history": [{"created": "1"}]}), json!({"history": [{"created": "2"}]})),
        (
            "created",
            json!({"config": {"Labels": {"org.opencontainers.image.created": "1"}}}),
            json!({"config": {"Labels": {"org.opencontainers.image.created": "2"}}}),
        ),
        ("order", json!({"config": {"Env": ["A=1", "B=2"]}}), json!({"config": {"Env": ["B=2", "A=1"]}})),
        ("order", json!({"os.features": ["a", "b"]}), json!({"os.features": ["b", "a"]})),
    ];
    for (word, before, after) in cases {
        let sandbox = images(&[BASE], &[BASE]);
        for (layout, fields) in [("a", before), ("b", after)] {
            edit_config(&sandbox, layout, |config| {
                for (key, value) in fields.as_object().expect("an object") {
                    config[key] = value.clone();
                }
            });
        }
        assert_eq!(lines_of(&sandbox, "", "config:").len(), 1, "{before} {after}");
        assert_eq!(lines_of(&sandbox, "--ignore mode", "config:").len(), 1, "{before} {after}");
        sandbox.run(&format!("diff -p a:v1 --with b:v1 --ignore {word}")).is(0, "", "");
    }
}

#[test]
fn i3_created_is_ignored_among_annotations() {
    let sandbox = images(&[BASE], &[BASE]);
    sandbox.ok("annotate manifest -q -p a:v1 --annotation org.opencontainers.image.created=1");
    sandbox.ok("annotate manifest -q -p b:v1 --annotation org.opencontainers.image.created=2");
    let line = "annotations:\n~ org.opencontainers.image.created: \"1\" -> \"2\"\n";
    sandbox.run("diff -p a:v1 --with b:v1").is(1, line, "");
    sandbox.run("diff -p a:v1 --with b:v1 --ignore created").is(0, "", "");
}

#[test]
fn i3_layers_with_equal_entries_differ_in_their_formats_unless_compression_is_ignored() {
    let sandbox = images(&[&["@1 a=1"]], &[&["@2 a=1"]]);
    sandbox.ok("recompress -q -p b:v1 --compress-format zstd");
    let lines = lines_of(&sandbox, "--ignore times", "layers:");
    assert_eq!(lines.len(), 1);
    assert!(lines[0].ends_with(
        "media type application/vnd.oci.image.layer.v1.tar+gzip -> application/vnd.oci.image.layer.v1.tar+zstd"
    ));
    sandbox.run("diff -p a:v1 --with b:v1 --ignore times,compression").is(0, "", "");
}

#[test]
fn i3_quiet_prints_nothing_and_has_the_status() {
    let sandbox = images(&[&["a=1"]], &[&["a=2"]]);
    sandbox.run("diff -p a:v1 --with b:v1 -q").is(1, "", "");
}

#[test]
fn i3_the_json_has_every_value() {
    let sandbox = images(&[&["600 1:2 @3 a=1", "b&a", "gone=1"]], &[&["600 1:2 @3 a=22", "b=1", "l>a"]]);
    let outcome = sandbox.run("diff -p a:v1 --with b:v1 --json");
    assert_eq!((outcome.status, outcome.stderr.as_str()), (1, ""));
    let found: Value = serde_json::from_str(&outcome.stdout).expect("JSON");
    assert_eq!(found["equal"], json!(false));
    let layer = |layout: &str| {
        let manifest = sandbox.ok_json(&format!("manifest get {layout}:v1"));
        let config = sandbox.ok_json(&format!("config get -p {layout}:v1"));
        let layer = &manifest["layers"][0];
        json!({
            "layer": 0, "diff_id": config["rootfs"]["diff_ids"][0], "media_type": layer["mediaType"],
            "digest": layer["digest"], "size": layer["size"],
        })
    };
    assert_eq!(found["layers"], json!([{"change": "changed", "before": layer("a"), "after": layer("b")}]));
    let file = |mode: &str, (uid, gid, mtime): (u32, u32, u32), content: &str| {
        json!({
            "type": "file", "mode": mode, "uid": uid, "gid": gid, "size": content.len(), "mtime": mtime,
            "content": sha256(content.as_bytes()), "layer": 0,
        })
    };
    let mut linked = file("0600", (1, 2, 3), "1");
    linked["same_file_as"] = json!("/a");
    assert_eq!(
        found["files"],
        json!([
            {
                "path": "/a", "change": "changed", "differs": ["size", "content"],
                "before": file("0600", (1, 2, 3), "1"), "after": file("0600", (1, 2, 3), "22"),
            },
            {
                "path": "/b", "change": "changed", "differs": ["mode", "uid", "gid", "mtime", "same_file_as"],
                "before": linked, "after": file("0644", (0, 0, 0), "1"),
            },
            {"path": "/gone", "change": "removed", "before": file("0644", (0, 0, 0), "1")},
            {"path": "/l", "change": "added", "after": {
                "type": "link", "mode": "0777", "uid": 0, "gid": 0, "size": 0, "mtime": 0, "target": "a", "layer": 0,
            }},
        ])
    );
}

#[test]
fn i3_extended_attributes_are_compared_by_name() {
    let sandbox = Sandbox::empty();
    for (layout, attributes) in
        [("a", "xattr.user.a=MQ== xattr.user.same=MQ=="), ("b", "xattr.user.b=/wA= xattr.user.same=MQ==")]
    {
        sandbox.write("files.mtree", format!("#mtree\n./d type=dir mode=0755 uid=0 gid=0 time=0 {attributes}\n"));
        sandbox.ok(&format!("build -q -o {layout}:v1 --mtree files.mtree"));
    }
    let lines = ["~ /d: xattr user.a 0x31 -> none, xattr user.b none -> 0xff00"];
    assert_eq!(lines_of(&sandbox, "", "files:"), lines);
    assert_eq!(lines_of(&sandbox, "--ignore xattrs", "files:"), Vec::<String>::new());
}

#[test]
fn i3_names_that_are_not_text_are_shown_and_whole_in_the_json() {
    let tar = |name: &[u8]| {
        let mut tar = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_ustar();
        header.as_mut_bytes()[..name.len()].copy_from_slice(name);
        header.set_mode(0o644);
        header.set_size(0);
        header.set_cksum();
        tar.append(&header, &b""[..]).expect("appended");
        tar.into_inner().expect("a tar")
    };
    let sandbox = Sandbox::empty();
    sandbox.write("a.tar", tar(b"\xff"));
    sandbox.write("b.tar", tar(b"\x1b"));
    sandbox.ok("build -q -o a:v1 --layer a.tar");
    sandbox.ok("build -q -o b:v1 --layer b.tar");
    assert_eq!(lines_of(&sandbox, "", "files:"), ["+ /\\u{1b}", "- /\\xff"]);
    let found = sandbox.run("diff -p a:v1 --with b:v1 --json");
    let found: Value = serde_json::from_str(&found.stdout).expect("JSON");
    assert_eq!(found["files"][1]["path_bytes"], json!("L/8="));
}

#[test]
fn i3_an_archive_is_compared_with_a_layout() {
    let sandbox = images(&[BASE], &[BASE, &["x=1"]]);
    sandbox.ok("export a:v1 -q -o a.tar");
    sandbox.run("diff -p a.tar --with a:v1").is(0, "", "");
    sandbox.run("diff -p a:v1 --with a.tar").is(0, "", "");
    assert_eq!(sandbox.run("diff -p b:v1 --with a.tar -q").status, 1);
    let archive = sandbox.read("a.tar");
    sandbox.run_with_input("diff -p a:v1 --with -", &archive).is(0, "", "");
    sandbox.misuses("diff -p - --with -", "only one of the two images can be read from standard input");
}

#[test]
fn i3_an_index_needs_a_platform() {
    let sandbox = Sandbox::empty();
    sandbox.write("0.tar", layer(&["x=1"]));
    sandbox.write("1.tar", layer(&["x=2"]));
    sandbox.ok("build -q -o a:v1 --platform linux/amd64 --platform linux/arm64 --layer 0.tar");
    sandbox.ok("build -q -o b:v1 --platform linux/amd64 --layer 1.tar");
    let several = sandbox.run("diff -p b:v1 --with a:v1");
    several.is(2, "", "Error: a:v1 has images for linux/amd64, linux/arm64; choose one with --platform\n");
    // The error says which of two images of one layout it is about.
    sandbox.ok("build -q -o a:v2 --platform linux/amd64 --layer 1.tar");
    let several = sandbox.run("diff -p a:v2 --with a:v1");
    several.is(2, "", "Error: a:v1 has images for linux/amd64, linux/arm64; choose one with --platform\n");
    let none = sandbox.run("diff -p a:v2 --with a:v1 --platform linux/arm64");
    none.is(3, "", "Error: no linux/arm64 image in 'a:v2'; it has linux/amd64\n");
    let lines = sandbox.run("diff -p a:v1 --with b:v1 --platform linux/amd64");
    assert_eq!((lines.status, lines.stdout.lines().next()), (1, Some("layers:")));
    sandbox.run("diff -p a:v1 --with a:v1 --platform linux/arm64").is(0, "", "");
    let missing = sandbox.run("diff -p a:v1 --with b:v1 --platform linux/arm64");
    assert_eq!((missing.status, missing.stdout.as_str()), (3, ""));
}

#[test]
fn i3_errors_end_with_2_and_missing_names_with_3() {
    let sandbox = images(&[BASE, &["x=1"]], &[BASE]);
    assert_eq!(sandbox.run("diff -p a:v1 --with b:v2").status, 3);
    assert_eq!(sandbox.run("diff -p a:v2 --with b:v1").status, 3);
    for words in [
        "diff -p a:v1 --with none:v1",
        "diff -p none --with a:v1",
        "diff -p a:v1",
        "diff -p a:v1 --with b:v1 --ignore colour",
        "diff -p a:v1 --with b:v1 --nonsense",
        "diff -p a:v1 --with b:v1 --platform nonsense/x/y/z",
        "diff -p a:v1 --with b:v1 --log-file none/log",
    ] {
        let outcome = sandbox.run(words);
        assert_eq!((outcome.status, outcome.stdout.as_str()), (2, ""), "{words}: {outcome:?}");
    }
    let unknown = sandbox.run("diff -p a:v1 --with b:v1 --ignore colour");
    for word in ["times", "owner", "mode", "xattrs", "order", "history", "created", "compression"] {
        assert!(unknown.stderr.contains(word), "{unknown:?}");
    }
    let json = sandbox.run("diff -p a:v1 --with none --json");
    assert_eq!((json.status, json.stdout.as_str()), (2, ""));
    assert!(json.stderr.starts_with("{\"error\":"), "{json:?}");
}

#[test]
fn i3_a_damaged_layer_is_an_error_and_no_difference() {
    let sandbox = images(&[BASE], &[&["x=1"]]);
    let manifest = sandbox.ok_json("manifest get a:v1");
    let digest = manifest["layers"][0]["digest"].as_str().expect("a digest").to_owned();
    let blob = format!("a/{}", blob_path(&digest));
    let mut content = sandbox.read(&blob);
    let at = content.len() / 2;
    content[at] ^= 1;
    sandbox.write(&blob, content);
    for words in ["diff -p a:v1 --with b:v1", "diff -p b:v1 --with a:v1", "diff -p a:v1 --with b:v1 -q"] {
        let outcome = sandbox.run(words);
        assert_eq!((outcome.status, outcome.stdout.as_str()), (2, ""), "{outcome:?}");
        assert!(outcome.stderr.contains(&digest), "{outcome:?}");
    }
}

#[test]
fn i3_sparse_files_are_compared_by_their_content() {
    let sparse = |name: &str, content: &str, size: &str| {
        let mut tar = tar::Builder::new(Vec::new());
        tar.append_pax_extensions([("GNU.sparse.map", &b"0,1"[..]), ("GNU.sparse.size", size.as_bytes())])
            .expect("appended");
        let mut header = tar::Header::new_ustar();
        header.set_path(name).expect("a path");
        header.set_mode(0o644);
        header.set_size(content.len() as u64);
        header.set_cksum();
        tar.append(&header, content.as_bytes()).expect("appended");
        tar.into_inner().expect("a tar")
    };
    let large = (1_u64 << 40).to_string();
    let sandbox = Sandbox::empty();
    for (layout, tar) in [
        ("a", sparse("s", "1", "4")),
        ("b", sparse("s", "2", "4")),
        ("c", layer(&["s=1\0\0\0"])),
        ("d", sparse("s", "1", &large)),
        ("e", sparse("s", "2", &large)),
    ] {
        sandbox.write("0.tar", tar);
        sandbox.ok(&format!("build -q -o {layout}:v1 --layer 0.tar"));
    }
    let files = |words: &str| {
        let outcome = sandbox.run(words);
        let lines = outcome
            .stdout
            .lines()
            .skip_while(|line| *line != "files:")
            .map(|line| line.split(':').next().unwrap_or(line).to_owned());
        (outcome.status, lines.collect::<Vec<_>>())
    };
    assert_eq!(files("diff -p a:v1 --with b:v1"), (1, vec!["files".to_owned(), "~ /s".to_owned()]));
    assert_eq!(files("diff -p a:v1 --with c:v1"), (1, Vec::new()));
    assert_eq!(files("diff -p a:v1 --with d:v1"), (1, vec!["files".to_owned(), "~ /s".to_owned()]));
    let message = format!("Error: '/s' is a sparse file of {large} bytes: too large to be read with its holes\n");
    sandbox.run("diff -p d:v1 --with e:v1").is(2, "", message);
}

#[test]
fn i3_a_layout_that_is_changed_meanwhile_gives_one_result() {
    let sandbox = images(&[BASE, &["x=1"]], &[BASE]);
    // Layers of an image that another process replaces are missed, and the new image is read.
    let writer = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for round in 0..20 {
                sandbox.write("new.tar", layer(&[&format!("x={round}")]));
                sandbox.ok("build -q -o a:v1 --replace-tag --layer new.tar");
                sandbox.ok("gc -q a");
            }
        });
        while !writer.is_finished() {
            let outcome = sandbox.run("diff -p a:v1 --with b:v1");
            assert_eq!((outcome.status, outcome.stderr.as_str()), (1, ""));
        }
        writer.join()
    });
    writer.expect("the writer succeeds");
}

#[test]
fn i3_artifacts_have_no_files() {
    let sandbox = images(&[BASE], &[BASE]);
    sandbox.write("sbom.json", "{}");
    sandbox.ok("attach -q -p a:v1 --artifact-type application/x --file sbom.json");
    let digest = sandbox.json("a/index.json")["manifests"][1]["digest"].as_str().expect("a digest").to_owned();
    let says = format!("Error: a@{digest} has no image, so it has no files\n");
    sandbox.run(&format!("diff -p a@{digest} --with b:v1")).is(2, "", says);
}

#[test]
fn i3_a_reader_that_leaves_does_not_make_images_equal() {
    let sandbox = images(&[&["a=1"]], &[&["a=2"]]);
    for words in [&["diff", "-p", "a:v1", "--with", "b:v1"][..], &["diff", "-p", "a:v1", "--with", "b:v1", "--json"]] {
        let (reader, writer) = pipe().expect("a pipe");
        drop(reader);
        let status = sandbox.command().args(words).stdout(writer).status().expect("started");
        assert_eq!(status.code(), Some(1), "{words:?}");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn i3_a_full_output_is_an_error_and_no_difference() {
    let sandbox = images(&[&["a=1"]], &[&["a=2"]]);
    for words in [&["diff", "-p", "a:v1", "--with", "b:v1"][..], &["diff", "--help"]] {
        let full = fs::OpenOptions::new().write(true).open("/dev/full").expect("opened");
        let output = sandbox.command().args(words).stdout(full).output().expect("started");
        assert_eq!(output.status.code(), Some(2), "{words:?}");
    }
}

#[test]
fn i3_nothing_is_written() {
    let sandbox = images(&[BASE, &["x=1"]], &[BASE]);
    let before = sandbox.tree();
    assert_eq!(sandbox.run("diff -p a:v1 --with b:v1").status, 1);
    assert_eq!(sandbox.tree(), before);
}
