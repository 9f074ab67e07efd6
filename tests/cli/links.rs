//! Links in a layout: those that stay in it are followed, those that leave it are not.

#![cfg(unix)]

use std::fs;
use std::os::unix::fs::symlink;

use crate::support::*;

/// Moves a file of a layout and leaves a link to it.
fn replace_by_link(sandbox: &Sandbox, name: &str, target: &str) {
    let path = sandbox.path(name);
    fs::rename(&path, sandbox.path(target)).expect("moved");
    symlink(sandbox.path(target), path).expect("linked");
}

#[test]
fn links_that_stay_in_the_layout_are_followed() {
    let sandbox = Sandbox::built();
    fs::create_dir(sandbox.path("image/elsewhere")).expect("created");
    let base = blob_name(BASE);
    for name in [base.as_str(), "image/index.json", "image/.regshape-stage.json", "image/oci-layout"] {
        let target = format!("image/elsewhere/{}", name.replace('/', "-"));
        replace_by_link(&sandbox, name, &target);
    }
    replace_by_link(&sandbox, "image/blobs", "image/elsewhere/blobs");
    sandbox.is_valid();
    assert_eq!(sandbox.run("layout validate -p image --shared-blobs").status, 0);
    sandbox.ok("layout add layer -p image -f base.tar -q");
    sandbox.ok("layout generate config -p image -q");
    sandbox.ok("layout generate manifest -p image --ref-name v2 -q");
    sandbox.is_valid();
    for name in ["image/index.json", "image/.regshape-stage.json"] {
        assert!(fs::symlink_metadata(sandbox.path(name)).expect("there").is_symlink(), "{name} is still a link");
    }
}

#[test]
fn a_layout_may_be_reached_through_a_link() {
    let sandbox = Sandbox::built();
    symlink("image", sandbox.path("link")).expect("linked");
    for words in ["validate", "show", "status", "annotate manifest --annotation a=1", "add layer -f base.tar -q"] {
        sandbox.ok(&format!("layout {words} -p link"));
    }
    sandbox.is_valid();
}

#[test]
fn links_that_leave_the_layout_are_not_followed() {
    for (name, message) in [
        ("image/index.json", "index.json at image is not a valid OCI Image Index"),
        ("image/.regshape-stage.json", "staging file at image is malformed: a link that leads out of the layout"),
        ("image/oci-layout", "oci-layout at image is malformed: a link that leads out of the layout"),
    ] {
        let sandbox = Sandbox::built();
        replace_by_link(&sandbox, name, "outside");
        sandbox.refuses("layout annotate manifest -p image --annotation a=1", message);
    }
    let sandbox = Sandbox::built();
    replace_by_link(&sandbox, &blob_name(CONFIG), "outside");
    let message = format!("blob {CONFIG} is not a regular file");
    sandbox.refuses("layout update config -p image --os plan9", &message);
    sandbox.refuses("layout validate -p image", &message);
}

#[test]
fn blobs_that_layouts_share_are_asked_for() {
    let sandbox = Sandbox::built();
    replace_by_link(&sandbox, "image/blobs", "shared");
    let error =
        "image/blobs is a link that leads out of the layout; use --shared-blobs if it is meant to share its blobs";
    for words in [
        "add layer -f base.tar -q",
        "annotate manifest --annotation a=1",
        "generate config -q --os plan9",
        "generate manifest -q",
        "update config --os plan9",
    ] {
        let before = sandbox.tree();
        sandbox.refuses(&format!("layout {words} -p image"), error);
        assert_eq!(sandbox.tree(), before, "{words}");
        sandbox.ok(&format!("layout {words} -p image --shared-blobs"));
    }
    assert_eq!(sandbox.run("layout validate -p image").status, 1);
    sandbox.ok("layout validate -p image --shared-blobs");
}

#[test]
fn blobs_that_layouts_share_are_not_deleted() {
    let sandbox = Sandbox::empty();
    sandbox.write("base.tar", base_tar());
    fs::create_dir_all(sandbox.path("store/sha256")).expect("created");
    for layout in ["one", "two"] {
        sandbox.ok(&format!("layout init -p {layout}"));
        fs::remove_dir_all(sandbox.path(layout).join("blobs")).expect("removed");
        symlink(sandbox.path("store"), sandbox.path(layout).join("blobs")).expect("linked");
        for words in ["add layer -f base.tar", "generate config", "generate manifest --ref-name x"] {
            sandbox.ok(&format!("layout {words} -p {layout} -q --shared-blobs"));
        }
    }
    for words in ["update config --os plan9", "generate manifest --ref-name x", "annotate manifest --annotation a=1"] {
        sandbox.ok(&format!("layout {words} -p one -q --shared-blobs"));
        sandbox.ok("layout validate -p two --shared-blobs");
    }
}

#[test]
fn init_makes_nothing_behind_a_link() {
    let sandbox = Sandbox::empty();
    for directory in ["outside", "image"] {
        fs::create_dir(sandbox.path(directory)).expect("created");
    }
    symlink(sandbox.path("outside"), sandbox.path("image/blobs")).expect("linked");
    let before = sandbox.tree();
    assert_eq!(sandbox.run("layout init -p image").status, 1);
    assert_eq!(sandbox.tree(), before);
}
