//! Layouts written by several users: a blob stored by one of them and stored again by another.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Output;
use std::time::{Duration, SystemTime};

use crate::lab::{Lab, is_root, say};
use crate::samples::single;

const USER: u32 = 54321;

/// Creates a lab with a layout that all users may write to; `None` if the test is skipped.
fn lab() -> Option<Lab> {
    let lab = Lab::with(&["setpriv"])?;
    if !is_root() {
        say("skipped a test of several users: needs root");
        return None;
    }
    lab.write("content", "content");
    lab.write("layer.tar", [single("a", "a"), vec![0; 1024]].concat());
    lab.regshape(&["layout", "init", "-p", "image"]);
    lab.run("chmod", &["755", "."]);
    Some(lab)
}

/// Runs a command as another user.
fn as_user(lab: &Lab, words: &str) -> Output {
    let user = format!("--reuid={USER}");
    let options = [user.as_str(), "--regid=54321", "--clear-groups", env!("CARGO_BIN_EXE_regshape"), "layout"];
    lab.output("setpriv", &[&options[..], &words.split(' ').collect::<Vec<_>>()].concat())
}

/// Stores a file as a blob, as root, with an old modification time; returns its path.
fn old_blob(lab: &Lab) -> String {
    let stored = lab.regshape(&["layout", "blob", "upload", "-p", "image", "-f", "content", "--json"]);
    let stored: serde_json::Value = serde_json::from_str(&stored).expect("JSON");
    let digest = stored["digest"].as_str().expect("a digest");
    let path = format!("image/blobs/{}", digest.replace(':', "/"));
    lab.run("chmod", &["-R", "a+rwX", "image"]);
    lab.run("chmod", &["644", &path]);
    lab.run("touch", &["-d", "@0", &path]);
    path
}

fn age(lab: &Lab, path: &str) -> Duration {
    let modified = fs::metadata(lab.path(path)).expect("it is there").modified().expect("a time");
    SystemTime::now().duration_since(modified).unwrap_or_default()
}

#[test]
fn a_blob_that_another_user_stored_is_young_once_it_is_stored_again() {
    let Some(lab) = lab() else { return };
    for words in
        ["blob upload -p image -f content", "blob mount -p . --per-repo --repo image --from other --digest DIGEST"]
    {
        let path = old_blob(&lab);
        let digest = path.trim_start_matches("image/blobs/").replace('/', ":");
        lab.run("rm", &["-rf", "other"]);
        lab.regshape(&["layout", "init", "-p", "other"]);
        lab.regshape(&["layout", "blob", "upload", "-p", "other", "-f", "content"]);
        let output = as_user(&lab, &words.replace("DIGEST", &digest));
        assert!(output.status.success() && output.stderr.is_empty(), "{words}: {output:?}");
        assert!(age(&lab, &path) < Duration::from_secs(600), "{words}");
        assert_eq!(fs::metadata(lab.path(&path)).expect("it is there").uid(), USER, "{words}: it is stored anew");
        lab.regshape(&["layout", "gc", "-p", "image", "--keep-younger-than", "1h"]);
        assert_eq!(lab.read(&path), b"content", "{words}");
        lab.regshape(&["layout", "gc", "-p", "image"]);
    }
}

#[test]
fn in_a_sticky_directory_the_blobs_of_others_stay() {
    let Some(lab) = lab() else { return };
    let path = old_blob(&lab);
    lab.run("chmod", &["1777", "image/blobs/sha256"]);
    let before = lab.tree("image");
    // The old blob could be deleted before a later command refers to it.
    let output = as_user(&lab, "blob upload -p image -f content");
    let message = format!("Error: failed to write {path}: Operation not permitted (os error 1)\n");
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr)), (Some(1), message.into()));
    assert_eq!(lab.tree("image"), before);
    // From now on the blob is kept by a document that refers to it.
    let output = as_user(&lab, "add layer -p image -f content --media-type text/plain -q");
    assert!(output.status.success(), "{output:?}");
    assert_eq!(fs::metadata(lab.path(&path)).expect("it is there").uid(), 0);
    lab.regshape(&["layout", "gc", "-p", "image"]);
    assert_eq!(lab.read(&path), b"content");
    // New blobs belong to the user, and are deleted with their tags.
    for words in ["add layer -p image -f layer.tar -q", "generate config -p image -q", "generate manifest -p image -q"]
    {
        let output = as_user(&lab, words);
        assert!(output.status.success(), "{words}: {output:?}");
    }
    lab.validate("image");
}
