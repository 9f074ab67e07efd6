//! `layout extract`

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use serde_json::json;

use crate::layer_tars::{file, image_of_tars, link};
use crate::support::*;

fn image() -> Sandbox {
    image_of_tars(&[
        [
            file(b"etc/app/a", b"1"),
            file(b"etc/app/b", b"2"),
            file(b"usr/lib/os", b"linux"),
            link(b"one", b'1', b"etc/app/a"),
        ]
        .concat(),
        [link(b"etc/os", b'2', b"/usr/lib/os"), file(b"etc/app/.wh.b", b""), file(b"etc/app/c", b"3")].concat(),
    ])
}

fn names(sandbox: &Sandbox, directory: &str) -> Vec<String> {
    let prefix = format!("./{directory}/");
    sandbox.contents().into_keys().filter_map(|path| path.strip_prefix(&prefix).map(str::to_owned)).collect()
}

#[test]
fn i2_files_and_subtrees_get_their_last_names() {
    let sandbox = image();
    let digest = sandbox.ok_json("manifest descriptor -p image:v1")["digest"].as_str().expect("a digest").to_owned();
    sandbox.run("extract -p image:v1 /etc/app etc/os one -o out").succeeds(
        format!("Extracted from image:\n   digest: {digest}\n   output: out\n  entries: 5\n    bytes: 2\n"),
        "",
    );
    assert_eq!(names(&sandbox, "out"), ["app", "app/a", "app/c", "one", "os"]);
    let inode = |name: &str| fs::symlink_metadata(sandbox.path(name)).expect("read").ino();
    assert_eq!(inode("out/one"), inode("out/app/a"));
    assert_eq!(fs::read_link(sandbox.path("out/os")).expect("a link").to_str(), Some("/usr/lib/os"));
    // A slash at the end follows a link; of the root it is the entries.
    sandbox.ok("extract -q -p image:v1 / -o all");
    assert_eq!(names(&sandbox, "all").len(), 9);
    let json = sandbox.ok_json("extract -p image:v1 /etc/app/c -o out");
    assert_eq!((&json["entries"], &json["bytes"], &json["output"]), (&json!(1), &json!(1), &json!("out")));
}

#[test]
fn the_umask_determines_the_mode_of_a_new_directory() {
    let sandbox = image();
    for (umask, mode) in [("022", 0o755), ("002", 0o775), ("077", 0o700), ("277", 0o500)] {
        let script = format!("umask {umask} && \"$0\" extract -q -p image:v1 /etc/app -o out");
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", &script, env!("CARGO_BIN_EXE_regshape")]).current_dir(sandbox.path("."));
        assert!(shell.output().expect("a shell").status.success());
        assert_eq!(fs::metadata(sandbox.path("out")).expect("read").mode() & 0o7777, mode, "{umask}");
        // The entries have the modes of the image, and a directory that is there keeps its own.
        assert_eq!(fs::metadata(sandbox.path("out/app")).expect("read").mode() & 0o7777, 0o755, "{umask}");
        fs::remove_dir_all(sandbox.path("out")).expect("removed");
    }
    fs::create_dir(sandbox.path("out")).expect("made");
    fs::set_permissions(sandbox.path("out"), fs::Permissions::from_mode(0o711)).expect("changed");
    sandbox.ok("extract -q -p image:v1 /etc/app -o out");
    assert_eq!(fs::metadata(sandbox.path("out")).expect("read").mode() & 0o7777, 0o711);
}

#[test]
fn nothing_is_replaced_and_nothing_is_left_behind() {
    let sandbox = image();
    fs::create_dir(sandbox.path("out")).expect("made");
    sandbox.write("out/app", "mine");
    sandbox.refuses(
        "extract -p image:v1 /usr /etc/app -o out",
        "out/app exists; nothing is replaced: remove it, or name another directory",
    );
    sandbox.refuses("extract -p image:v1 /etc/app/a /one/x -o new", "'/one/x' is not in the image");
    sandbox.refuses("extract -p image:v1 /etc/app/b -o new", "'/etc/app/b' is not in the image");
    sandbox.refuses(
        "extract -p image:v1 /usr/lib/os /etc/os -o new",
        "'/usr/lib/os' and '/etc/os' would both be 'os' in the destination; extract them one at a time",
    );
    let outcome = sandbox.run("extract -p image:v1 /usr -o image/blobs");
    assert!(outcome.status == 1 && outcome.stderr.contains("is inside the layout"), "{outcome:?}");
    assert_eq!(sandbox.run("extract -p image:v1 /nothing -o new").status, 3);
    sandbox.ok("extract -q -p image:v1 /usr -o out");
    assert_eq!(names(&sandbox, "out"), ["app", "usr", "usr/lib", "usr/lib/os"]);
    assert_eq!(sandbox.text("out/app"), "mine");
}

#[test]
fn layers_that_are_not_needed_are_not_read() {
    let sandbox = image();
    let lowest =
        sandbox.ok_json("manifest get -p image:v1")["layers"][0]["digest"].as_str().expect("a digest").to_owned();
    let size = sandbox.blob(&lowest).len();
    sandbox.write(&blob_name(&lowest), vec![0; size]);
    sandbox.ok("extract -q -p image:v1 /etc/app/c -o out");
    assert_eq!(sandbox.text("out/c"), "3");
    let outcome = sandbox.run("extract -p image:v1 /etc/app -o other");
    assert!(outcome.status == 1 && !sandbox.path("other").exists(), "{outcome:?}");
}
