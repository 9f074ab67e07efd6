//! `layout init`

use std::fs;

use serde_json::json;

use crate::support::*;

#[test]
fn a_new_layout_has_four_parts() {
    let sandbox = Sandbox::empty();
    sandbox.run("layout init --path image").succeeds("Initialised OCI Image Layout at image\n", "");
    assert_eq!(
        sandbox.tree().into_keys().collect::<Vec<_>>(),
        [
            "./image",
            "./image/.regshape-stage.json",
            "./image/blobs",
            "./image/blobs/sha256",
            "./image/index.json",
            "./image/oci-layout"
        ]
    );
    assert_eq!(sandbox.text("image/oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#);
    assert_eq!(
        sandbox.text("image/index.json"),
        format!("{{\n  \"schemaVersion\": 2,\n  \"mediaType\": \"{INDEX_TYPE}\",\n  \"manifests\": []\n}}\n")
    );
    assert_eq!(
        sandbox.text("image/.regshape-stage.json"),
        "{\n  \"schema_version\": 1,\n  \"layers\": [],\n  \"config\": null,\n  \"manifest\": null\n}\n"
    );
    sandbox.is_valid();
}

#[test]
fn json_says_where_the_layout_is() {
    let sandbox = Sandbox::empty();
    sandbox.run("layout init -p ./deep/er/image --json").succeeds("{\n  \"layout_path\": \"./deep/er/image\"\n}\n", "");
    sandbox.run("layout validate -p deep/er/image").succeeds("Layout at deep/er/image is valid.\n", "");
}

#[test]
fn other_files_in_the_directory_are_left_alone() {
    let sandbox = Sandbox::empty();
    fs::create_dir_all(sandbox.path("image/src")).expect("created");
    sandbox.write("image/src/notes", "mine");
    sandbox.write("image/README", "mine too");
    sandbox.ok("layout init --path image");
    assert_eq!((sandbox.text("image/src/notes"), sandbox.text("image/README")), ("mine".into(), "mine too".into()));
    // An empty `blobs` directory is accepted, too.
    fs::create_dir_all(sandbox.path("other/blobs")).expect("created");
    sandbox.ok("layout init --path other");
}

#[test]
fn files_of_another_program_are_never_overwritten() {
    for (name, content, message) in [
        (
            "index.json",
            "{\"mine\":1}",
            "image holds 'index.json', which no interrupted 'init' left; remove it or choose another directory",
        ),
        (
            ".regshape-stage.json",
            "{\"mine\":1}",
            "image holds '.regshape-stage.json', which no interrupted 'init' left; remove it or choose another directory",
        ),
        (
            "blobs/file",
            "x",
            "image holds 'blobs', which no interrupted 'init' left; remove it or choose another directory",
        ),
        (
            "blobs/sha256/0",
            "",
            "image holds 'blobs', which no interrupted 'init' left; remove it or choose another directory",
        ),
        (
            "blobs/sha512/0",
            "",
            "image holds 'blobs', which no interrupted 'init' left; remove it or choose another directory",
        ),
        ("oci-layout", "{}", "image is already an OCI Image Layout"),
        ("oci-layout/x", "", "image is already an OCI Image Layout"),
    ] {
        let sandbox = Sandbox::empty();
        let path = sandbox.path("image").join(name);
        fs::create_dir_all(path.parent().expect("below the directory")).expect("created");
        fs::write(path, content).expect("written");
        sandbox.refuses("layout init --path image", message);
    }
}

#[test]
fn a_file_where_the_directory_should_be_is_an_error() {
    let sandbox = Sandbox::empty();
    sandbox.write("image", "a file");
    sandbox.refuses("layout init --path image", "failed to create image: not a directory");
    let before = sandbox.tree();
    let outcome = sandbox.run("layout init --path image/below");
    assert_eq!((outcome.status, outcome.stdout.as_str()), (1, ""));
    assert_eq!(sandbox.tree(), before);
}

#[cfg(unix)]
#[test]
fn the_umask_determines_the_modes_of_a_layout() {
    use std::os::unix::fs::PermissionsExt;
    use std::process::Command;

    for (umask, file_mode, directory_mode) in [("022", 0o644, 0o755), ("002", 0o664, 0o775), ("077", 0o600, 0o700)] {
        let sandbox = Sandbox::empty();
        sandbox.write("base.tar", base_tar());
        let script = format!(
            "umask {umask} && \"$0\" layout init -p image && \"$0\" layout add layer -p image -f base.tar -q && \"$0\" layout generate config -p image -q && \"$0\" layout generate manifest -p image -q"
        );
        let status = Command::new("sh")
            .args(["-c", &script, env!("CARGO_BIN_EXE_regshape")])
            .current_dir(sandbox.path("."))
            .output()
            .expect("a shell")
            .status;
        assert!(status.success());
        for name in sandbox.tree().into_keys().filter(|name| name.starts_with("./image")) {
            let metadata = fs::metadata(sandbox.path(&name)).expect("readable");
            let expected = if metadata.is_dir() { directory_mode } else { file_mode };
            assert_eq!(metadata.permissions().mode() & 0o777, expected, "{name} under {umask}");
        }
    }
}

#[test]
fn a_layout_can_be_created_in_the_working_directory() {
    let sandbox = Sandbox::empty();
    sandbox.run("layout init --path .").succeeds("Initialised OCI Image Layout at .\n", "");
    assert_eq!(sandbox.json("oci-layout"), json!({"imageLayoutVersion": "1.0.0"}));
}
