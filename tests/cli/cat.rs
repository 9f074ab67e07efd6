//! `layout cat`

use std::io::pipe;

use serde_json::json;

use crate::layers::*;
use crate::registry::{EMPTY_TYPE, blob, document, list, manifest, named, with};
use crate::support::*;

#[test]
fn i2_files_are_printed_one_after_the_other_as_they_are() {
    let sandbox = image_of(&[&["a=one", "d/b=two"], &["d/c=three"]]);
    sandbox.run("cat -p image:v1 /a").succeeds("one", "");
    sandbox.run("cat -p image:v1 d/c /a /d/b").succeeds("threeonetwo", "");
    sandbox.run("cat -p image -q a").succeeds("one", "");
    sandbox.ok("export image:v1 -q -o image.tar");
    sandbox.run("cat -p image.tar a").succeeds("one", "");
    assert_eq!(
        sandbox.ok_json("cat -p image:v1 /d/c /a"),
        json!({"files": [
            {"path": "/d/c", "layer": 1, "size": 5, "text": "three"},
            {"path": "/a", "layer": 0, "size": 3, "text": "one"},
        ]})
    );
}

#[test]
fn i2_links_are_followed_inside_the_image() {
    let sandbox =
        image_of(&[&["etc/hosts=here", "up>../../../etc", "abs>/etc/hosts", "d/rel>../abs", "loop>loop", "no>gone"]]);
    for path in ["/up/hosts", "/abs", "/d/rel", "../../etc/hosts"] {
        sandbox.run(&format!("cat -p image:v1 {path}")).succeeds("here", "");
    }
    sandbox
        .run("cat -v -p image:v1 /d/rel")
        .succeeds("here", "Following the link /d/rel to ../abs\nFollowing the link /abs to /etc/hosts\n");
    sandbox.run("cat -p image:v1 --no-follow /d/rel").is(
        1,
        "",
        "Error: '/d/rel' is a symbolic link, not a regular file\n",
    );
    sandbox.run("cat -p image:v1 --no-follow /up/hosts").succeeds("here", "");
    for (path, says) in [
        ("/no", "'/no' is not in the image: '/gone' is missing; the link '/no' leads to 'gone'"),
        ("/up/../f", "'/up/../f' is not in the image: '/f' is missing; the link '/up' leads to '../../../etc'"),
        ("/loop", "'/loop' is not in the image: it leads through more than 40 links"),
        ("/d/rel/", "'/d/rel/' is not a directory"),
    ] {
        sandbox.run(&format!("cat -p image:v1 {path}")).is(3, "", format!("Error: {says}\n"));
    }
    let outcome = sandbox.run_words(["cat", "-p", "image:v1", ""]);
    assert!(outcome.status == 2 && outcome.stderr.contains("it is empty"), "{outcome:?}");
    let outcome = sandbox.run("cat image:v1 /abs");
    let says = "'image:v1' was read as PATH: use -p image:v1 if it is the layout\n";
    assert!(outcome.status == 2 && outcome.stderr.ends_with(says), "{outcome:?}");
}

#[test]
fn i2_hard_links_are_read_from_the_entry_with_the_content() {
    let sandbox = image_of(&[&["a=content", "b&a"], &["c&b", "d/e&a"], &[".wh.a", ".wh.b", "f&c"]]);
    for path in ["c", "d/e", "f"] {
        sandbox.run(&format!("cat -p image:v1 {path}")).succeeds("content", "");
    }
    sandbox.run("cat -p image:v1 a").is(3, "", "Error: '/a' is not in the image\n");
    sandbox.run("cat -p image:v1 --layer 1 c").is(1, "", "Error: '/c' is a hard link to '/b', which is not there\n");
}

#[test]
fn j8_hard_links_to_hard_links_of_many_layers_are_found() {
    let links: Vec<String> = (1..60).map(|at| format!("x{at}&x{}", at - 1)).collect();
    let layers: Vec<Vec<&str>> =
        std::iter::once(vec!["x0=content"]).chain(links.iter().map(|link| vec![link.as_str()])).collect();
    let sandbox = image_of(&layers.iter().map(Vec::as_slice).collect::<Vec<_>>());
    sandbox.run("cat -p image:v1 x59").succeeds("content", "");
    assert_eq!(sandbox.ok("files -p image:v1 x59"), "/x59\n");
}

/// google/go-containerregistry#2002 and #2029.
#[test]
fn e5_faults_of_others_are_not_ours() {
    let sandbox = image_of(&[&["a=old", "b&a"], &["a=new"]]);
    sandbox.run("cat -p image:v1 a b").succeeds("newold", "");
    let sandbox = image_of(&[&["d/", "d/old=1", "d/new=1"], &[".wh.d"], &["d/", "d/new=2"]]);
    sandbox.run("cat -p image:v1 d/new").succeeds("2", "");
    sandbox.run("cat -p image:v1 d/old").is(3, "", "Error: '/d/old' is not in the image\n");
    let sandbox = image_of(&[&["d/old=1"], &["d/.wh..wh..opq", "d/new=2"]]);
    sandbox.run("cat -p image:v1 d/old").is(3, "", "Error: '/d/old' is not in the image\n");
    sandbox.run("cat -p image:v1 --layer 0 d/old").succeeds("1", "");
}

#[test]
fn i2_upper_layers_are_read_first_and_no_more_than_are_needed() {
    let sandbox = image_of(&[&["low=1", "both=1"], &["both=2", ".wh.gone"], &["top=3"]]);
    let digests = layer_digests(&sandbox);
    flip_bit(&sandbox, &digests[0]);
    sandbox.run("cat -p image:v1 top both").succeeds("32", "");
    sandbox.run("cat -p image:v1 --layer 1 both").succeeds("2", "");
    sandbox.run("cat -p image:v1 gone").is(3, "", "Error: '/gone' is not in the image\n");
    let damaged = sandbox.run("cat -p image:v1 top low");
    assert_eq!((damaged.status, damaged.stdout.as_str()), (1, ""));
    assert!(damaged.stderr.contains(&digests[0]), "{damaged:?}");
    sandbox.run("cat -p image:v1 --layer 3 top").is(3, "", "Error: no layer 3: the image has 3 layers\n");
    sandbox.run("cat -p image:v1 --layer 0 top").fails_with(1, predicates::str::contains(&digests[0]));
}

#[test]
fn a_damaged_layer_is_refused_before_anything_is_printed() {
    let long = format!("a={}", "0123456789abcdef".repeat(4096));
    let sandbox = image_of(&[&[&long, "b=1"]]);
    let digest = &layer_digests(&sandbox)[0];
    let whole = sandbox.blob(digest);
    for at in [whole.len() / 2, whole.len() - 5] {
        let mut blob = whole.clone();
        blob[at] ^= 1;
        sandbox.write(&blob_name(digest), blob);
        let outcome = sandbox.run("cat -p image:v1 a");
        assert_eq!((outcome.status, outcome.stdout.as_str()), (1, ""), "{at}");
        assert!(outcome.stderr.contains(digest.as_str()), "{at}: {}", outcome.stderr);
    }
}

#[test]
fn other_types_than_files_are_refused_before_anything_is_printed() {
    let sandbox = image_of(&[&["a=1", "d/", "666 c1,3 null", "600 b8,0 disk", "p pipe", "h&none"]]);
    for (path, message) in [
        ("d", "'/d' is a directory, not a regular file"),
        ("null", "'/null' is a character device, not a regular file"),
        ("disk", "'/disk' is a block device, not a regular file"),
        ("pipe", "'/pipe' is a named pipe, not a regular file"),
        ("h", "'/h' is a hard link to '/none', which is not there"),
    ] {
        sandbox.refuses(&format!("cat -p image:v1 a {path}"), message);
    }
}

#[test]
fn content_that_is_not_text_is_base64_in_the_json() {
    let sandbox = Sandbox::empty();
    sandbox.write("a", b"\xff\0\xfe");
    sandbox.ok("build -q -o image:v1 --copy a:/a");
    assert_eq!(sandbox.ok_json("cat -p image:v1 a")["files"][0]["base64"], json!("/wD+"));
    let output = sandbox.command().args(["cat", "-p", "image:v1", "a"]).output().expect("runs");
    assert_eq!(output.stdout, b"\xff\0\xfe");
}

#[test]
fn one_image_must_be_named() {
    let sandbox = image_of(&[&["a=1"]]);
    build(&sandbox, "image:v2", &[&["a=2"]]);
    sandbox.misuses("cat -p image a", "which image? name it as DIR:TAG (tags: v1, v2)");
    sandbox.misuses("files -p image", "which image? name it as DIR:TAG (tags: v1, v2)");
    sandbox.ok("update config image:v2 -q --architecture arm64");
    sandbox.ok("generate index -q -p image --ref-name all v1 v2");
    for command in ["cat -p image:all a", "files -p image:all"] {
        let outcome = sandbox.run(command);
        assert_eq!((outcome.status, outcome.stdout.as_str()), (1, ""), "{outcome:?}");
        assert!(
            outcome
                .stderr
                .ends_with(" image:all has images for linux/amd64, linux/arm64; choose one with --platform\n"),
            "{outcome:?}"
        );
    }
    sandbox.run("cat -p image:all a --platform linux/arm64").succeeds("2", "");
    sandbox.run("cat -p image:all a --platform linux/s390x").fails_with(3, predicates::str::contains("linux/s390x"));
}

#[test]
fn an_artifact_has_no_files() {
    let sandbox = Sandbox::new();
    let empty = blob(&sandbox, EMPTY_TYPE, "{}");
    let artifact = with(manifest(&empty, &[&empty]), json!({"artifactType": "application/x"}));
    let artifact = document(&sandbox, &artifact);
    list(&sandbox, &[&named(&artifact, "v1")]);
    for command in ["cat -p image:v1 a", "files -p image:v1"] {
        sandbox.run(command).fails_with(1, predicates::str::contains("image:v1 has no image, so it has no files"));
    }
}

#[test]
fn a_closed_pipe_is_not_an_error() {
    let sandbox = image_of(&[&["a=1"]]);
    let (reader, writer) = pipe().expect("a pipe");
    drop(reader);
    let outcome: Outcome =
        sandbox.command().args(["cat", "-p", "image:v1", "a"]).stdout(writer).output().expect("runs").into();
    assert_eq!((outcome.status, outcome.stderr.as_str()), (0, ""));
}

#[test]
fn files_are_printed_in_the_order_of_the_words_whatever_their_layers() {
    // Names of files too large to be kept, and of small ones, in two layers.
    let large = |letter: &str| letter.repeat(9 << 20);
    let (x, y, z) = (large("x"), large("y"), large("z"));
    let lower: [&str; 5] = ["a=1", &format!("x={x}"), &format!("y={y}"), "empty=", "b=2"];
    let upper: [&str; 3] = ["c=3", &format!("z={z}"), "link&c"];
    let sandbox = image_of(&[&lower, &upper]);
    let content = |name: &str| match name {
        "a" => "1",
        "b" => "2",
        "c" | "link" => "3",
        "x" => &x,
        "y" => &y,
        "z" => &z,
        _ => "",
    };
    for words in [
        "a b c",
        "b a",
        "b c a",
        "c b link a c",
        "a a a",
        "empty a empty",
        "b empty c a",
        "y x",
        "y x a x",
        "z y x y a x c",
        "b y z x a empty",
    ] {
        let expected: String = words.split(' ').map(content).collect();
        let shown = sandbox.ok(&format!("cat -p image:v1 {words}"));
        assert!(shown == expected, "{words}: {} bytes, not {}", shown.len(), expected.len());
    }
    let files = sandbox.ok_json("cat -p image:v1 b c empty a")["files"].clone();
    let texts: Vec<_> = files.as_array().expect("a list").iter().map(|file| file["text"].clone()).collect();
    assert_eq!(texts, [json!("2"), json!("3"), json!(""), json!("1")]);
}

#[test]
fn a_layer_that_is_not_stored_matters_only_where_it_is_needed() {
    let sandbox = image_of(&[&["low=1", "d/x=1"], &["d/", "d/top=2", "link>d/top"]]);
    let digests = layer_digests(&sandbox);
    std::fs::remove_file(sandbox.path(blob_name(&digests[0]))).expect("removed");
    sandbox.run("cat -p image:v1 d/top link").succeeds("22", "");
    sandbox.run("files -p image:v1 link /d/top d/top").succeeds("/d/top\n/link\n", "");
    sandbox.run("files -p image:v1 --layer 1 d").succeeds("/d\n/d/top\n", "");
    if cfg!(target_os = "linux") {
        sandbox.ok("extract -p image:v1 -q d/top link -o out");
        assert_eq!(sandbox.text("out/top"), "2");
    }
    for words in ["cat -p image:v1 low", "files -p image:v1 d", "files -p image:v1 -l d/top", "files -p image:v1"] {
        let outcome = sandbox.run(words);
        assert_eq!((outcome.status, outcome.stdout.as_str()), (1, ""), "{words}");
        assert!(
            outcome.stderr.contains(&digests[0]) && outcome.stderr.contains("does not exist"),
            "{words}: {outcome:?}"
        );
    }
}
