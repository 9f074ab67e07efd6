//! Blobs on another file system than the rest of the layout.

use std::fs;

use crate::lab::{Lab, is_root};
use crate::samples::single;

/// A script with every command that stores a blob.
const COMMANDS: &str = r#"set -e
export L=$1; shift
regshape -q layout add layer -p $L -f a.tar "$@"
regshape -q layout generate config -p $L "$@"
regshape -q layout generate manifest -p $L --ref-name v1 "$@"
regshape -q layout update config -p $L --os plan9 "$@"
regshape -q layout annotate manifest -p $L --annotation a=1 "$@"
regshape -q layout blob upload -p $L -f a.txt "$@"
regshape -q layout import -p $L -f from.tar --ref-name imported "$@"
regshape -q layout export -p from -o $L --ref-name exported "$@"
regshape -q layout manifest put -p $L -f manifest.json --tag put "$@"
regshape -q layout generate index -p $L --ref-name index --annotation a=1 ./from "$@"
regshape -q layout index annotate -p $L:index --annotation b=2 "$@"
regshape layout validate -p $L "$@"
test -z "$(find $L/ -name '.regshape-tmp*')"
echo mine > $L/blobs/.regshape-tmp-0
regshape layout validate -p $L "$@" 2>&1
"#;

/// Creates a lab with the input files of the commands.
fn lab(programs: &[&str]) -> Option<Lab> {
    let lab = Lab::with(programs)?;
    lab.write("a.txt", "content");
    lab.write("a.tar", single("a", "a"));
    lab.write("b.tar", single("b", "b"));
    for words in ["init -p from", "add layer -q -p from -f b.tar", "generate config -q -p from"] {
        lab.regshape(&[&["layout"], words.split(' ').collect::<Vec<_>>().as_slice()].concat());
    }
    lab.regshape(&["layout", "generate", "manifest", "-q", "-p", "from", "--ref-name", "x"]);
    lab.regshape(&["layout", "export", "-p", "from", "-o", "from.tar"]);
    lab.regshape(&["layout", "manifest", "get", "-p", "from", "--ref", "x", "-o", "manifest.json"]);
    lab.write("commands", COMMANDS.replace("regshape ", &format!("{} ", env!("CARGO_BIN_EXE_regshape"))));
    Some(lab)
}

#[test]
fn every_command_works_with_blobs_on_another_file_system() {
    let Some(lab) = lab(&["unshare", "mount"]) else { return };
    if !is_root() {
        return;
    }
    for place in ["image/blobs", "image/blobs/sha256"] {
        lab.regshape(&["layout", "init", "-p", "image"]);
        let script = format!("mount -t tmpfs none {place} && mkdir -p image/blobs/sha256 && sh commands image");
        let told = lab.run("unshare", &["-m", "sh", "-c", &script]);
        // Warnings are printed for files of the user, with any name.
        for foreign in ["1 blob (7 bytes) is not referenced", "blobs/.regshape-tmp-0 is no blob"] {
            assert!(told.contains(foreign), "{place}: {told}");
        }
        lab.run("rm", &["-rf", "image"]);
    }
}

#[test]
fn every_command_works_with_shared_blobs_on_another_file_system() {
    let Some(lab) = lab(&["sh"]) else { return };
    let Ok(other) = tempfile::tempdir_in("/dev/shm") else { return };
    fs::create_dir(other.path().join("sha256")).expect("created");
    lab.regshape(&["layout", "init", "-p", "image"]);
    fs::remove_dir_all(lab.path("image/blobs")).expect("removed");
    std::os::unix::fs::symlink(other.path(), lab.path("image/blobs")).expect("linked");
    lab.run("sh", &["commands", "image", "--shared-blobs"]);
}
