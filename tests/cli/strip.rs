//! `layout strip`

use crate::layers::image_of;
use crate::rewritten::{Image, is_sound};
use crate::support::*;

/// Strips paths of an image of layers, and returns the entries of its layers.
#[track_caller]
fn stripped(layers: &[&[&str]], paths: &str) -> Vec<Vec<String>> {
    let sandbox = image_of(layers);
    let before = Image::of(&sandbox, "v1");
    sandbox.ok(&format!("strip -q -p image:v1 {paths}"));
    let after = Image::of(&sandbox, "v1");
    assert_eq!(after.config["history"], before.config["history"]);
    is_sound(&sandbox);
    after.entries()
}

#[test]
fn h2_paths_go_from_every_layer_with_their_whiteouts() {
    for (layers, paths, after) in [
        (&[&["a=1", "b=1"][..], &["a=2"], &[".wh.a", "c=1"]][..], "/a", vec![vec!["b=1"], vec![], vec!["c=1"]]),
        (
            &[&["d/", "d/x=1", "d/e/", "d/e/y=1", "dd=1"], &["d/.wh..wh..opq", "d/z=1"], &[".wh.d"]],
            "d",
            vec![vec!["dd=1"], vec![], vec![]],
        ),
        // Empty parents stay, and whiteouts of parents too.
        (&[&["d/", "d/x=1"], &[".wh.d", "d/", "d/y=1"]], "/d/x", vec![vec!["d/"], vec![".wh.d=", "d/", "d/y=1"]]),
        (&[&["l>t", "t=1"]], "/l", vec![vec!["t=1"]]),
        // Users see the files of usr/lib in lib.
        (&[&["usr/lib/x=1", "usr/lib/y=1", "lib>usr/lib"]], "/lib/x", vec![vec!["usr/lib/y=1", "lib>usr/lib"]]),
    ] {
        assert_eq!(stripped(layers, paths), after, "{paths}");
    }
    assert_eq!(stripped(&[&["./a=1", "/b=1", "./c=1"]], "/a /b"), [["./c=1"]]);
    // A name that a later entry of the layer replaces is content of the layer too.
    assert_eq!(stripped(&[&["a=secret", "b=1", "a=public"]], "/a"), [["b=1"]]);
}

#[test]
fn h2_parents_without_an_entry_of_their_own_stay() {
    for (layers, paths, after) in [
        // Without its entry, the file or link of the layer below would be there again.
        (&[&["d=1"][..], &["d/x=1"]][..], "/d/x", vec![vec!["d=1"], vec!["d/"]]),
        (
            &[&["usr/lib/y=1", "lib>usr/lib"], &["lib/t=1"]],
            "/lib/t",
            vec![vec!["usr/lib/y=1", "lib>usr/lib"], vec!["lib/"]],
        ),
        (&[&["d=1"], &["d/e/f/x=1"]], "/d/e/f/x", vec![vec!["d=1"], vec!["d/e/f/"]]),
        (&[&["d=1"], &["d/e/x=1", "d/y=1"]], "/d/e", vec![vec!["d=1"], vec!["d/y=1"]]),
        (&[&["d=1"], &["d/.wh.x"]], "/d/x", vec![vec!["d=1"], vec!["d/"]]),
        // The directory would be missing.
        (&[&["d/x=1"]], "/d/x", vec![vec!["d/"]]),
        (&[&["d/", "d/y=1"], &[".wh.d", "d/x=1"]], "/d/x", vec![vec!["d/", "d/y=1"], vec![".wh.d=", "d/"]]),
        (&[&["d/x=1"], &[".wh.d"], &["d/x=2"]], "/d/x", vec![vec!["d/"], vec![".wh.d="], vec!["d/"]]),
        // The layers below have the directory, or the layer has another entry in it.
        (&[&["d/"], &["d/x=1"]], "/d/x", vec![vec!["d/"], vec![]]),
        (&[&["d/x=1"], &["d/x=2"]], "/d/x", vec![vec!["d/"], vec![]]),
        (&[&["d=1"], &["d/x=1", "d/y=1"]], "/d/x", vec![vec!["d=1"], vec!["d/y=1"]]),
        (&[&["d=1"], &["d/x=1", "d/.wh.y"]], "/d/x", vec![vec!["d=1"], vec!["d/.wh.y="]]),
        (&[&["d=1"], &["d/x=1", "d/.wh..wh..opq"]], "/d/x", vec![vec!["d=1"], vec!["d/.wh..wh..opq="]]),
    ] {
        assert_eq!(stripped(layers, paths), after, "{layers:?}");
    }
    // A file of the layer itself, which an entry below it replaced. The directory keeps the attributes of the layers below.
    let sandbox = image_of(&[&["750 3:4 @5 d/", "d/y=1"], &["d=1", "d/x=1"]]);
    sandbox.ok("strip -q -p image:v1 /d/x");
    let entries = [vec!["d/", "d/y=1"], vec!["d=1", "d/"]];
    assert_eq!(Image::of(&sandbox, "v1").entries(), entries);
    assert_eq!(
        sandbox.ok("files -l -p image:v1"),
        "drwxr-x--- 1 3 4 0 1970-01-01 00:00 1 /d\n-rw-r--r-- 1 0 0 1 1970-01-01 00:00 0 /d/y\n"
    );
}

#[test]
fn h2_entries_below_a_link_that_goes_stay_where_they_are() {
    for (layers, after) in [
        (&[&["l>d", "l/x=1", "l/e/", "l/.wh.y"][..]][..], vec![vec!["d/x=1", "d/e/", "d/.wh.y="]]),
        (&[&["l>d", "d/x=1", "h&l/x"]], vec![vec!["d/x=1", "h&d/x"]]),
        (&[&["l>d", "d/x=1"], &["h&l/x"]], vec![vec!["d/x=1"], vec!["h&d/x"]]),
        // A whiteout goes through links that come after it, too.
        (&[&["d/y=1"], &["l/.wh.y", "l>d"]], vec![vec!["d/y=1"], vec!["d/.wh.y="]]),
        // Other links lead where they led.
        (&[&["l>d", "m>e", "d/x=1"], &["m>e", "m/x=1"]], vec![vec!["m>e", "d/x=1"], vec!["m>e", "m/x=1"]]),
    ] {
        assert_eq!(stripped(layers, "/l"), after, "{layers:?}");
    }
}

#[test]
fn h2_the_next_hard_link_becomes_the_file() {
    for (layers, after) in [
        (&[&["4711 7:8 a=1", "b&a", "c&a", "d=2"][..]][..], vec![vec!["b=1", "c&b", "d=2"]]),
        // Links may lead to links.
        (&[&["a=1", "b&a", "c&b"]], vec![vec!["b=1", "c&b"]]),
        // A link may come before its target.
        (&[&["b&a", "a=1", "c&a"]], vec![vec!["b=1", "c&b"]]),
        // A file of a lower layer.
        (&[&["a=1", "x=1"], &["b&a", "d/c&./a"]], vec![vec!["x=1"], vec!["b=1", "d/c&b"]]),
        (&[&["a=1"], &["b&a"], &["c&a"]], vec![vec![], vec!["b=1"], vec!["c=1"]]),
        // The names of a symbolic link.
        (&[&["a>t", "b&a"]], vec![vec!["b>t"]]),
    ] {
        assert_eq!(stripped(layers, "/a"), after, "{layers:?}");
    }
    assert_eq!(stripped(&[&["d/", "d/a=1", "b&d/a"]], "/d"), [["b=1"]]);
    let sandbox = image_of(&[&["4711 7:8 @9 a=1", "b&a"]]);
    sandbox.ok("strip -q -p image:v1 a");
    let listed = sandbox.ok("files -l -p image:v1");
    assert_eq!(listed, "-rws--x--x 1 7 8 1 1970-01-01 00:00 0 /b\n");
}

#[test]
fn a_path_that_no_layer_has_is_status_3_and_nothing_changes() {
    let sandbox = image_of(&[&["a=1"], &[".wh.a"]]);
    let before = sandbox.tree();
    sandbox.run("strip -p image:v1 /a /gone").is(3, "", "Error: '/gone' is not in the image\n");
    sandbox.run("strip -p image:v1 /").is(2, "", "Error: '/' is the whole image; name files or directories in it\n");
    let empty = sandbox.run_words(["strip", "-p", "image:v1", ""]);
    empty.fails_with(2, predicates::str::contains("it is empty"));
    assert!(sandbox.tree() == before);
    // A secret that a whiteout hides is there.
    sandbox.ok("strip -q -p image:v1 /a");
    assert_eq!(Image::of(&sandbox, "v1").entries(), [[""; 0]; 2]);
}

#[test]
fn e2_the_annotations_of_the_base_go_with_its_layers() {
    let sandbox = Sandbox::empty();
    sandbox.write("app", "app");
    sandbox.ok("build -q -o image:base --copy app:/base");
    sandbox.ok("build -q -o image:v1 --base image:base --copy app:/app --copy app:/tool");
    sandbox.ok("strip -q -p image:v1 /tool");
    assert!(Image::of(&sandbox, "v1").manifest["annotations"].is_object());
    let left = "the layers of the base are no longer the lowest: the annotations that name the base are removed";
    let value = sandbox.ok_json("strip -p image:v1 /base");
    assert_eq!(value["warnings"], serde_json::json!([left]));
    assert_eq!(Image::of(&sandbox, "v1").manifest.get("annotations"), None);
}
