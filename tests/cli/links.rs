//! Links in a layout: those that stay inside are followed, those that lead out are rejected.

#![cfg(unix)]

use std::fs;
use std::os::unix::fs::symlink;

use crate::support::*;

/// Moves a file of a layout and replaces it by a link.
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
    let message = format!("blob {CONFIG} is a link out of the layout: {}", blob_name(CONFIG));
    let hint = "replace the link with the file; --shared-blobs follows a link at 'blobs' only";
    sandbox.refuses("layout update config -p image --os plan9", &format!("{message}; {hint}"));
    sandbox.refuses("layout validate -p image", &message);
}

#[test]
fn shared_blobs_require_a_flag() {
    let sandbox = Sandbox::built();
    replace_by_link(&sandbox, "image/blobs", "shared");
    let error = "image/blobs is a link out of the layout; use --shared-blobs if its blobs are shared on purpose";
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
fn a_layout_is_made_over_blobs_that_layouts_share() {
    let sandbox = Sandbox::built();
    fs::create_dir_all(sandbox.path("store/sha256")).expect("created");
    for words in ["init -p new", "blob upload -p new -f base.tar", "import -p new -f image", "export -p image -o new"] {
        fs::create_dir(sandbox.path("new")).expect("created");
        symlink(sandbox.path("store"), sandbox.path("new/blobs")).expect("linked");
        let before = sandbox.tree();
        assert_eq!(sandbox.run(&format!("layout {words}")).status, 1, "{words}");
        assert_eq!(sandbox.tree(), before, "{words}");
        sandbox.ok(&format!("layout {words} --shared-blobs"));
        assert!(fs::symlink_metadata(sandbox.path("new/blobs")).expect("there").is_symlink(), "{words}");
        sandbox.ok("layout validate -p new --shared-blobs");
        fs::remove_dir_all(sandbox.path("new")).expect("removed");
    }
    assert!(sandbox.path(blob_name(BASE).replace("image/blobs", "store")).exists());
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

/// Points the first entry of `index.json` to its manifest by its SHA-512 digest, which is a link to the blob.
fn linked(target: impl Fn(&Sandbox) -> std::path::PathBuf) -> (Sandbox, String) {
    use sha2::Digest as _;
    let sandbox = Sandbox::built();
    let digest = format!("sha512:{:x}", Hex(&sha2::Sha512::digest(sandbox.blob(MANIFEST))));
    fs::create_dir_all(sandbox.path("image/blobs/sha512")).expect("created");
    let target = target(&sandbox);
    symlink(target, sandbox.path(blob_name(&digest))).expect("linked");
    fs::remove_file(sandbox.path("image/.regshape-stage.json")).expect("deleted");
    sandbox.edit("image/index.json", |index| index["manifests"][0]["digest"] = digest.as_str().into());
    (sandbox, digest)
}

/// Formats bytes as hexadecimal digits.
struct Hex<'a>(&'a [u8]);

impl std::fmt::LowerHex for Hex<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[test]
fn a_blob_that_a_referenced_link_points_to_is_kept() {
    type Target = fn(&Sandbox) -> std::path::PathBuf;
    let cases: [(&str, Target); 4] = [
        ("relative", |_| format!("../sha256/{}", &MANIFEST["sha256:".len()..]).into()),
        ("absolute", |sandbox| sandbox.path(blob_name(MANIFEST))),
        ("chain", |sandbox| {
            symlink(format!("../sha256/{}", &MANIFEST["sha256:".len()..]), sandbox.path("image/blobs/sha512/hop"))
                .expect("linked");
            "hop".into()
        }),
        ("through a linked directory", |sandbox| {
            symlink("blobs/sha256", sandbox.path("image/alias")).expect("linked");
            format!("../../alias/{}", &MANIFEST["sha256:".len()..]).into()
        }),
    ];
    for (case, target) in cases {
        let (sandbox, digest) = linked(target);
        let all = sandbox.contents();
        assert_eq!(sandbox.run("layout validate -p image").status, 0, "{case}");
        let tree = sandbox.ok("layout show --tree -p image");
        assert!(!tree.contains("not referenced"), "{case}: {tree}");
        assert_eq!(sandbox.ok_json("layout gc -p image")["blobs"]["count"], 0, "{case}");
        let link = format!("blobs/{}, a link to it", digest.replace(':', "/"));
        let message = format!("blob {MANIFEST} is referenced by {link} (DENIED); delete its referrer first");
        sandbox.refuses(&format!("layout blob delete -p image --digest {MANIFEST}"), &message);
        assert_eq!(sandbox.contents(), all, "{case}");
        // The image from the staging file is replaced, but an imported image still needs its blobs.
        sandbox.ok("layout import -p image --file image --ref-name other -q");
        assert_eq!(sandbox.run("layout validate -p image").status, 0, "{case}");
    }
}

#[test]
fn an_earlier_manifest_stays_if_a_link_points_to_it() {
    use sha2::Digest as _;
    let sandbox = Sandbox::built();
    let digest = format!("sha512:{:x}", Hex(&sha2::Sha512::digest(sandbox.blob(MANIFEST))));
    fs::create_dir_all(sandbox.path("image/blobs/sha512")).expect("created");
    symlink(format!("../sha256/{}", &MANIFEST["sha256:".len()..]), sandbox.path(blob_name(&digest))).expect("linked");
    sandbox.edit("image/index.json", |index| {
        let mut entry = index["manifests"][0].clone();
        entry["digest"] = digest.as_str().into();
        entry["annotations"] = serde_json::json!({});
        index["manifests"].as_array_mut().expect("a list").push(entry);
    });
    for words in ["annotate manifest --annotation a=1", "update config --os plan9", "generate manifest --ref-name x -q"]
    {
        sandbox.run(&format!("layout {words} -p image"));
        assert_eq!(sandbox.run("layout validate -p image").status, 0, "{words}");
    }
}

#[test]
fn a_blobs_directory_linked_to_another_algorithm_is_read() {
    // The digests of both algorithms have the same length.
    let sandbox = Sandbox::built();
    symlink("sha256", sandbox.path("image/blobs/blake3")).expect("linked");
    let name = "blake3:ea8f163db38682925e4491c5e58d4bb3506ef8c14eb78a86e908c5624a67200f";
    sandbox.write(&blob_name(name), "hello");
    sandbox.edit("image/index.json", |index| {
        let entry = serde_json::json!({"mediaType": "application/x-aux", "digest": name, "size": 5});
        index["manifests"].as_array_mut().expect("a list").push(entry);
    });
    assert_eq!(sandbox.ok_json("layout gc -p image")["blobs"]["count"], 0);
    assert_eq!(sandbox.text(&blob_name(name)), "hello");
}
