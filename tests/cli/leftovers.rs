//! Leftovers of killed programs: which commands delete them, and which similar files are kept.

use std::fs;
use std::path::Path;

use serde_json::json;

use crate::leftover::leave;
use crate::support::*;

/// The commands that change the layout `image`.
const WRITERS: [&str; 16] = [
    "add layer -p image -f base.tar -q",
    "annotate layer -p image -i 0 --annotation a=1",
    "annotate manifest -p image --annotation a=1",
    "generate config -p image -q",
    "generate manifest -p image -q",
    "update config -p image --os linux",
    "tag add -p image --ref latest new",
    "tag move -p image --ref latest new",
    "tag delete -p image --ref latest",
    "manifest put -p image -f empty.json --tag new",
    "manifest delete -p image --ref latest",
    "blob upload -p image -f base.tar",
    "gc -p image",
    "import -p image -f other",
    "export -p other -o image",
    "join -p other:latest -o image --ref-name joined",
];

/// The commands that only read `image`.
const READERS: [&str; 21] = [
    "status -p image",
    "show -p image",
    "show -p image --tree",
    "validate -p image",
    "validate -p image --deep",
    "inspect -f image",
    "catalog list -p image",
    "tag list -p image",
    "manifest get -p image --ref latest",
    "manifest descriptor -p image --ref latest",
    "manifest info -p image --ref latest",
    "blob head -p image --digest BASE",
    "blob get -p image --digest BASE -o out",
    "referrer list -p image --ref latest",
    "gc -p image --dry-run",
    "export -p image -o out.tar",
    "export -p image -o out --dry-run",
    "export -p other -o image --dry-run",
    "export -p image -o elsewhere",
    "import -p elsewhere -f image",
    "join -p image:latest -o elsewhere --ref-name joined",
];

/// Creates a sandbox with two images, `image` and `other`.
fn images() -> Sandbox {
    let sandbox = Sandbox::built();
    sandbox.ok("layout generate manifest -p image --ref-name latest -q");
    sandbox.ok("layout export -p image -o other -q");
    sandbox.write("empty.json", json!({"schemaVersion": 2, "manifests": []}).to_string());
    sandbox
}

fn copy_of(source: &Sandbox) -> Sandbox {
    fn copy(from: &Path, to: &Path) {
        fs::create_dir_all(to).expect("made");
        for entry in fs::read_dir(from).expect("readable") {
            let entry = entry.expect("readable");
            let to = to.join(entry.file_name());
            if entry.path().is_dir() {
                copy(&entry.path(), &to)
            } else {
                assert!(fs::copy(entry.path(), to).is_ok(), "copied")
            }
        }
    }
    let sandbox = Sandbox::empty();
    copy(&source.path("."), &sandbox.path("."));
    sandbox
}

/// A blob in the scratch directory of a killed program.
const STAGED: &str = "blobs/sha256/0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// Creates a file and a directory like those that a killed program leaves, and returns their names.
fn leave_both(sandbox: &Sandbox, directory: &str) -> Vec<String> {
    sandbox.write(&format!("{directory}/written"), "half a layer");
    let mut left = vec![leave(&sandbox.path(format!("{directory}/written")))];
    // Windows does not lock directories.
    if cfg!(unix) {
        fs::create_dir_all(sandbox.path(format!("{directory}/made/blobs/sha256"))).expect("made");
        sandbox.write(&format!("{directory}/made/{STAGED}"), "half a blob");
        left.push(leave(&sandbox.path(format!("{directory}/made"))));
    }
    left.iter().map(|path| format!("{directory}/{}", path.file_name().unwrap_or_default().to_string_lossy())).collect()
}

/// Creates files and directories with names of leftovers, such as those from an archive, a checkout or a backup.
fn bring_others(sandbox: &Sandbox, directory: &str) -> Vec<String> {
    let left = leave_both(sandbox, directory);
    let file = |name: &str| (name.to_owned(), "precious".to_owned());
    let mut files =
        vec![file(".regshape-tmp-abc"), file(".regshape-tmp-new-0123456789abcdef"), file(".regshape-tmp-abc~")];
    files.push((".regshape-tmp-empty".to_owned(), String::new()));
    for (name, content) in &files {
        sandbox.write(&format!("{directory}/{name}"), content);
    }
    let mut names: Vec<String> = files.into_iter().map(|(name, _)| format!("{directory}/{name}")).collect();
    // With the files that an export has when it fills an empty directory.
    for name in ["oci-layout", "filling.json", STAGED, "mine"] {
        let path = format!("{directory}/.regshape-tmp-xyz/{name}");
        fs::create_dir_all(sandbox.path(&path).parent().expect("a directory")).expect("made");
        sandbox.write(&path, "{}");
        names.push(path);
    }
    // A copy has the name of its original.
    sandbox.write(&format!("{directory}/copy"), "half a layer");
    fs::rename(sandbox.path(format!("{directory}/copy")), sandbox.path(&left[0])).expect("in its place");
    names.push(left[0].clone());
    if let Some(left) = left.get(1) {
        fs::rename(sandbox.path(left), sandbox.path(format!("{directory}/original"))).expect("renamed");
        fs::create_dir_all(sandbox.path(left)).expect("made");
        fs::rename(sandbox.path(format!("{directory}/original/blobs")), sandbox.path(format!("{left}/blobs")))
            .expect("moved");
        fs::remove_dir(sandbox.path(format!("{directory}/original"))).expect("removed");
        names.push(format!("{left}/{STAGED}"));
    }
    names
}

#[test]
fn leftovers_go_with_the_next_command_that_changes_something() {
    let source = images();
    for words in WRITERS {
        let sandbox = copy_of(&source);
        let left = leave_both(&sandbox, "image");
        sandbox.write("image/.regshape-tmp", "not ours");
        sandbox.ok(&format!("layout {words}"));
        for name in left {
            assert!(!sandbox.path(&name).exists(), "{words}: {name}");
        }
        assert_eq!(sandbox.text("image/.regshape-tmp"), "not ours");
        sandbox.ok("layout validate -p image");
    }
}

#[test]
fn files_named_like_leftovers_stay() {
    let source = images();
    for words in WRITERS.into_iter().chain(READERS) {
        let sandbox = copy_of(&source);
        let others: Vec<String> =
            ["image", ".", "other"].iter().flat_map(|place| bring_others(&sandbox, place)).collect();
        let contents: Vec<_> = others.iter().map(|name| sandbox.read(name)).collect();
        sandbox.ok(&format!("layout {}", words.replace("BASE", BASE)));
        for (name, content) in others.iter().zip(contents) {
            assert_eq!(sandbox.read(name), content, "{words}: {name}");
        }
    }
}

#[test]
fn a_reader_and_a_dry_run_change_nothing() {
    let source = images();
    for words in READERS {
        let sandbox = copy_of(&source);
        leave_both(&sandbox, "image");
        leave_both(&sandbox, "other");
        let found = || {
            let mut found = sandbox.tree();
            found.retain(|name, _| !name.starts_with("./out") && !name.starts_with("./elsewhere"));
            found
        };
        let before = found();
        sandbox.ok(&format!("layout {}", words.replace("BASE", BASE)));
        assert_eq!(found(), before, "{words}");
    }
}

#[test]
fn leftovers_go_when_init_runs_again() {
    let sandbox = Sandbox::empty();
    fs::create_dir(sandbox.path("image")).expect("created");
    let left = leave_both(&sandbox, "image");
    sandbox.write("image/.regshape-tmp-x", "not ours");
    sandbox.ok("layout init -p image");
    for name in left {
        assert!(!sandbox.path(&name).exists(), "{name}");
    }
    assert_eq!(sandbox.text("image/.regshape-tmp-x"), "not ours");
}

#[test]
fn a_file_beside_an_output_file_goes_only_if_it_is_a_leftover() {
    for words in ["manifest get -p image --ref latest -o out/file", "export -p image -o out/file.tar"] {
        let sandbox = images();
        fs::create_dir(sandbox.path("out")).expect("made");
        let others = bring_others(&sandbox, "out");
        sandbox.write("out/written", "half an archive");
        let left = leave(&sandbox.path("out/written")).with_extension("");
        sandbox.ok(&format!("layout {words}"));
        assert!(!left.exists(), "{words}");
        for name in others {
            assert!(sandbox.path(&name).exists(), "{words}: {name}");
        }
    }
}

#[test]
fn an_export_leaves_foreign_files_beside_a_directory_named_like_a_leftover() {
    for flags in ["", " --dry-run"] {
        let sandbox = images();
        fs::create_dir_all(sandbox.path("mine/blobs")).expect("made");
        fs::create_dir_all(sandbox.path("mine/.regshape-tmp-abc")).expect("made");
        sandbox.write("mine/blobs/mine", "precious");
        sandbox.write("mine/index.json", "{}");
        sandbox.write("mine/.regshape-tmp-abc/oci-layout", r#"{"imageLayoutVersion":"1.0.0"}"#);
        sandbox.refuses(
            &format!("layout export -p image -o mine{flags}"),
            "mine is neither empty nor an OCI Image Layout",
        );
    }
}

#[test]
#[cfg(unix)]
fn what_a_killed_build_leaves_goes_with_the_next_command() {
    let sandbox = Sandbox::empty();
    sandbox.write("app", "x");
    // The image that is being built, with what its layers and documents were staged in.
    let scratch = |parent: &str| {
        sandbox.ok("build -o scratch/layout --copy app");
        sandbox.ok("add layer scratch/layout --copy app:/other");
        fs::rename(sandbox.path("scratch"), sandbox.path(format!("{parent}/scratch"))).expect("moved");
        let left = leave(&sandbox.path(format!("{parent}/scratch")));
        assert!(left.join("layout/.regshape-stage.json").exists());
        left
    };
    sandbox.ok("build -o image --copy app");
    for words in ["build -o image --copy app", "add layer image --copy app", "tag add -p image:latest v2"] {
        let left = scratch("image");
        sandbox.ok(words);
        assert!(!left.exists(), "{words}");
    }
    // A layout that is not there yet is built beside its place.
    let left = scratch(".");
    sandbox.ok("build -o new --copy app");
    assert!(!left.exists());
    // Another program's file stays.
    let left = scratch("image");
    fs::write(left.join("layout/notes"), "precious").expect("written");
    sandbox.ok("add layer image --copy app");
    assert!(left.join("layout/notes").exists());
}
