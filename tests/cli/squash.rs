//! `layout squash`

use serde_json::json;

use crate::layers::{build, image_of};
use crate::rewritten::{Image, is_sound};
use crate::support::*;

/// Squashes an image of layers, and returns the entries of its layers. Its files stay.
#[track_caller]
fn squashed(layers: &[&[&str]], flags: &str) -> Vec<Vec<String>> {
    let sandbox = image_of(layers);
    let listed = || {
        let mut files = sandbox.ok_json("files -p image:v1");
        for entry in files["entries"].as_array_mut().expect("entries") {
            entry.as_object_mut().expect("an entry").remove("layer");
        }
        files["entries"].clone()
    };
    let before = listed();
    sandbox.ok(&format!("squash -q -p image:v1 {flags}"));
    assert_eq!(listed(), before, "{layers:?}");
    is_sound(&sandbox);
    // A second time there is nothing to do.
    let tree = sandbox.tree();
    sandbox.ok(&format!("squash -q -p image:v1 {flags}"));
    assert!(sandbox.tree() == tree, "{layers:?}");
    Image::of(&sandbox, "v1").entries()
}

#[test]
fn e4_all_layers_become_one_without_whiteouts() {
    for (layers, after) in [
        (&[&["a=1", "b=1"][..], &["a=2", "d/x=1"], &[".wh.b"]][..], vec!["a=2", "d/", "d/x=1"]),
        (&[&["d/", "d/x=1", "d/y=1"], &["d/.wh..wh..opq", "d/z=1"]], vec!["d/", "d/z=1"]),
        // ggcr#2029: a directory that is deleted and made again has no old files.
        (&[&["d/", "d/old=1"], &[".wh.d"], &["d/", "d/new=1"]], vec!["d/", "d/new=1"]),
        // ggcr#2002: one name of a file is replaced, the other stays.
        (&[&["a=1", "b&a"], &["a=2"]], vec!["a=2", "b=1"]),
        (&[&["a=1", "b&a", "c&a"], &[".wh.a"]], vec!["b=1", "c&b"]),
        (&[&["a=1"], &["b&a"]], vec!["a=1", "b&a"]),
        (&[&["d/", "d/x=1"], &["d>e", "e/y=1"]], vec!["d>e", "e/", "e/y=1"]),
        (&[&["f=1"], &["f/", "f/x=1"]], vec!["f/", "f/x=1"]),
        // Layers are applied alone: entries below a link of a lower layer hide it.
        (&[&["lib>usr/lib", "usr/lib/a=1"], &["lib/b=1"]], vec!["lib/", "lib/b=1", "usr/", "usr/lib/", "usr/lib/a=1"]),
        (&[&["stargz.index.json=x", ".prefetch.landmark=x", "a=1"], &["b=1"]], vec!["a=1", "b=1"]),
        (
            &[&["c1,3 null", "p pipe", "b8,0 disk", "x&null"], &["y=1"]],
            vec!["4 disk", "3 null", "6 pipe", "x&null", "y=1"],
        ),
        (&[&["a=1", ".wh.b"]], vec!["a=1"]),
    ] {
        let is_marked = layers[0].contains(&"stargz.index.json=x");
        if is_marked {
            let sandbox = image_of(layers);
            sandbox.ok("squash -q -p image:v1");
            assert_eq!(Image::of(&sandbox, "v1").entries(), [after]);
        } else {
            assert_eq!(squashed(layers, ""), [after], "{layers:?}");
        }
    }
}

#[test]
fn e4_whiteouts_of_files_of_the_base_stay() {
    let base: &[&str] = &["a=1", "b=1", "d/", "d/x=1", "d/y=1", "e/", "e/z=1", "h=1", "i&h"];
    for (layers, above) in [
        (&[base, &["c=1"], &["c=2", ".wh.a"]][..], vec![".wh.a=", "c=2"]),
        // C5: nothing is deleted that the base does not have.
        (&[base, &["c=1", ".wh.none"], &[".wh.c"]], vec![]),
        // C2: one whiteout for a directory.
        (&[base, &["d/x=2"], &[".wh.d"]], vec![".wh.d="]),
        // C4: a directory that is made again deletes each old entry.
        (&[base, &[".wh.d"], &["d/", "d/y=2"]], vec!["d/", "d/.wh.x=", "d/y=2"]),
        (&[base, &["d/.wh..wh..opq", "d/n=1"], &["d/m=1"]], vec!["d/", "d/.wh..wh..opq=", "d/m=1", "d/n=1"]),
        // C3: what is in the place of a directory.
        (&[base, &["d=1"], &["c=1"]], vec!["c=1", "d=1"]),
        (&[base, &["a/", "a/x=1"], &["c=1"]], vec!["a/", "a/x=1", "c=1"]),
        // C6: all names of a file that gets another one.
        (&[base, &["j&h"], &["c=1"]], vec!["c=1", "h=1", "i&h", "j&h"]),
        (&[base, &["h=2"], &["c=1"]], vec!["c=1", "h=2"]),
        (&[base, &["700 d/"], &["c=1"]], vec!["c=1", "d/"]),
        // Directories above a file are those of the base.
        (&[base, &["e/f/g=1"], &["c=1"]], vec!["c=1", "e/", "e/f/", "e/f/g=1"]),
    ] {
        let entries = squashed(layers, "--keep 1");
        assert_eq!(entries.len(), 2);
        assert_eq!(entries[1], above, "{layers:?}");
    }
    let sandbox = image_of(&[&["a=1"], &["d/.wh..wh..opq"], &["c=1"]]);
    let manifest = Image::of(&sandbox, "v1").manifest;
    for flags in ["--keep 2", "--keep 3"] {
        sandbox.ok(&format!("squash -q -p image:v1 {flags}"));
        assert_eq!(Image::of(&sandbox, "v1").manifest, manifest, "{flags}");
    }
    let sandbox = image_of(&[&["a=1"]]);
    let tree = sandbox.tree();
    sandbox.ok("squash -q -p image:v1");
    assert!(sandbox.tree() == tree, "one layer without whiteouts");
}

#[test]
fn e4_attributes_and_formats_stay() {
    let sandbox = image_of(&[&["4711 7:8 @90 a=1", "1777 @80 t/"], &["@70 l>a"]]);
    let listed = |sandbox: &Sandbox| sandbox.ok("files -l -p image:v1").replace(" 1 /", " 0 /");
    let before = listed(&sandbox);
    sandbox.ok("recompress -q -p image:v1 --compress-format zstd");
    sandbox.ok("squash -q -p image:v1");
    assert_eq!(listed(&sandbox), before);
    assert_eq!(Image::of(&sandbox, "v1").formats(), ["v1.tar+zstd"]);
    let manifest = Image::of(&sandbox, "v1").manifest;
    // The same layers give the same image.
    build(&sandbox, "image:v2", &[&["4711 7:8 @90 a=1", "1777 @80 t/"], &["@70 l>a"]]);
    sandbox.ok("recompress -q -p image:v2 --compress-format zstd");
    sandbox.ok("squash -q -p image:v2");
    assert_eq!(Image::of(&sandbox, "v2").manifest, manifest);
}

#[test]
fn e4_the_history_has_one_entry_for_the_layer() {
    let sandbox = Sandbox::empty();
    for name in ["a", "b", "c"] {
        sandbox.write(name, name);
    }
    sandbox.ok("build -q -o image:base --copy a:/a --history one");
    sandbox.ok("build -q -o image:v1 --base image:base --copy b:/b --next-layer --copy c:/c --history two");
    let steps = |tag: &str| {
        let config = Image::of(&sandbox, tag).config;
        let history = config["history"].as_array().expect("a history").clone();
        json!(history.iter().map(|entry| entry["created_by"].clone()).collect::<Vec<_>>())
    };
    let annotations = Image::of(&sandbox, "v1").manifest["annotations"].clone();
    sandbox.ok("squash -q -p image:v1 --keep-base --tag above");
    assert_eq!(steps("above"), json!(["regshape add layer --copy /a", "one", "regshape squash", "two"]));
    assert_eq!(Image::of(&sandbox, "above").manifest["annotations"], annotations);
    sandbox.ok("squash -q -p image:v1 --keep-base --base image:base --tag named");
    assert_eq!(Image::of(&sandbox, "named").manifest, Image::of(&sandbox, "above").manifest);
    let value = sandbox.ok_json("squash -p image:v1 --tag all");
    assert_eq!(steps("all"), json!(["one", "regshape squash", "two"]));
    assert_eq!(Image::of(&sandbox, "all").manifest.get("annotations"), None);
    assert_eq!(
        value["warnings"],
        json!(["the layers of the base are no longer the lowest: the annotations that name the base are removed"])
    );
}

#[test]
fn what_cannot_be_squashed_is_refused_and_nothing_changes() {
    let sandbox = image_of(&[&["a=1"], &["h&gone"]]);
    let before = sandbox.tree();
    for (flags, status, message) in [
        ("", 1, "'/h' is a hard link to '/gone', which is not there"),
        (
            "--keep-base",
            1,
            "'v1' does not name its base; name the base with --base, or the number of its layers with --keep",
        ),
        ("--base image:v1", 2, "--base needs --keep-base"),
        ("--keep 3", 1, "3 layers cannot be kept ('v1' has 2)"),
    ] {
        sandbox.run(&format!("squash -p image:v1 {flags}")).is(status, "", format!("Error: {message}\n"));
        assert!(sandbox.tree() == before, "{flags}");
    }
}
