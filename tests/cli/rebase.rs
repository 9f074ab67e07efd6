//! `layout rebase`

use serde_json::json;

use crate::layers::layer;
use crate::rewritten::{Image, is_sound};
use crate::support::*;

const DIGEST: &str = "org.opencontainers.image.base.digest";

/// Makes a layout `bases` with the images `old` and `new`, and `image:v1` on the old one.
fn sandbox() -> Sandbox {
    let sandbox = Sandbox::empty();
    sandbox.write("old.tar", layer(&["etc/", "etc/os=old", "etc/gone=1", "etc/same=1", "@5 etc/hosts=base"]));
    sandbox.write("new.tar", layer(&["etc/", "etc/os=new", "etc/same=1", "@9 etc/hosts=base", "etc/added=1"]));
    sandbox.write("extra.tar", layer(&["opt/extra=1"]));
    sandbox.write("app.tar", layer(&["app=1"]));
    let flags = "--env PATH=/bin --label version=1 --user base --history base --created 2020-01-01T00:00:00Z";
    sandbox.ok(&format!("build -q -o bases:old --layer old.tar {flags} --env HOME=/old"));
    let flags = "--env PATH=/sbin --label version=2 --user other --history base --created 2021-01-01T00:00:00Z";
    sandbox.ok(&format!("build -q -o bases:new --layer new.tar --layer extra.tar {flags}"));
    let flags = "--env APP=1 --label app=1 --entrypoint /app --created 2022-01-01T00:00:00Z --annotation my=1";
    sandbox.ok(&format!("build -q -o image:v1 --base bases:old --layer app.tar {flags}"));
    sandbox
}

#[test]
fn e3_the_layers_the_history_and_the_config_of_the_base_are_replaced() {
    let sandbox = sandbox();
    let before = Image::of(&sandbox, "v1");
    let new = sandbox.json("bases/index.json")["manifests"][1]["digest"].clone();
    let outcome = sandbox.run("rebase -q -p image:v1 --new-base bases:new");
    assert_eq!((outcome.status, outcome.stderr.as_str()), (0, ""));
    let after = Image::of(&sandbox, "v1");
    assert_eq!(
        after.entries(),
        [vec!["etc/", "etc/os=new", "etc/same=1", "etc/hosts=base", "etc/added=1"], vec!["opt/extra=1"], vec!["app=1"],]
    );
    assert_eq!(after.manifest["layers"][2], before.manifest["layers"][1]);
    assert_eq!(after.manifest["annotations"], json!({"my": "1", DIGEST: new}));
    assert_eq!(
        after.config["config"],
        json!({
            "Entrypoint": ["/app"],
            "Env": ["PATH=/sbin", "APP=1"],
            "Labels": {"app": "1", "version": "2"},
            "User": "other",
        })
    );
    assert_eq!(after.config["created"], before.config["created"]);
    let created: Vec<_> =
        after.config["history"].as_array().expect("a history").iter().map(|entry| &entry["created"]).collect();
    let (base, own) = ("2021-01-01T00:00:00Z", "2022-01-01T00:00:00Z");
    assert_eq!(created, [base, base, base, own]);
    is_sound(&sandbox);
    // E2: the annotation names the new base, so that the image can be put back.
    let tree = sandbox.tree();
    sandbox.ok("rebase -q -p image:v1 --new-base bases:new");
    assert!(sandbox.tree() == tree, "nothing changes");
    sandbox.ok("rebase -q -p image:v1 --new-base bases:old");
    assert_eq!(Image::of(&sandbox, "v1").manifest, before.manifest);
}

#[test]
fn e3_a_recompressed_base_is_the_same_base() {
    let sandbox = sandbox();
    sandbox.ok("recompress -q -p bases:old --compress-format zstd --tag small");
    sandbox.ok("rebase -q -p image:v1 --old-base bases:small --new-base bases:new");
    assert_eq!(Image::of(&sandbox, "v1").tars.len(), 3);
}

#[test]
fn e3_all_platforms_of_an_index_get_the_base_for_theirs() {
    let sandbox = Sandbox::empty();
    for name in ["amd64", "arm64", "app"] {
        sandbox.write(name, name);
    }
    let platforms = "--platform linux/amd64 --platform linux/arm64";
    sandbox.ok(&format!("build -q -o bases:old {platforms} --copy app:/old"));
    sandbox.ok(&format!("build -q -o bases:new {platforms} --copy {{arch}}:/base"));
    sandbox.ok("build -q -o image:v1 --base bases:old --platform all --copy app:/app");
    sandbox.ok("rebase -q -p image:v1 --new-base bases:new");
    let images = Image::all_of(&sandbox, "v1");
    let entries: Vec<_> = images.iter().map(Image::entries).collect();
    let base = |name: &str| vec![vec![format!("base={name}")], vec!["app=app".to_owned()]];
    assert_eq!(entries, [base("amd64"), base("arm64")]);
    // E2: an index that is named is the base.
    let index = sandbox.json("bases/index.json")["manifests"][1]["digest"].clone();
    assert_eq!(images[0].manifest["annotations"][DIGEST], index);
    is_sound(&sandbox);
    sandbox.ok("build -q -o bases:amd64 --copy app:/only");
    sandbox.run("rebase -p image:v1 --new-base bases:amd64").is(
        1,
        "",
        "Error: 'v1 (linux/arm64)' is for linux/arm64, but its new base is for linux/amd64\n",
    );
}

#[test]
fn e3_paths_that_do_not_fit_the_new_base_are_reported() {
    let sandbox = sandbox();
    sandbox.write(
        "app.tar",
        layer(&[
            "etc/os=app",
            "etc/same=app",
            "etc/hosts=app",
            "etc/.wh.gone",
            "opt/.wh..wh..opq",
            "opt/app=1",
            "etc/added=2",
        ]),
    );
    sandbox.ok("build -q -o image:v2 --base bases:old --layer app.tar");
    let value = sandbox.ok_json("rebase -p image:v2 --new-base bases:new");
    assert_eq!(
        value["warnings"],
        json!([
            "a layer deletes '/etc/gone', which the new base does not have",
            "a layer hides entries that the new base adds to '/opt'",
            "the image and the new base have both changed '/etc/added'",
            "the image and the new base have both changed '/etc/os'",
        ])
    );
}

#[test]
fn what_cannot_be_rebased_is_refused_and_nothing_changes() {
    let sandbox = sandbox();
    sandbox.ok("build -q -o image:scratch --layer app.tar");
    sandbox.ok("build -q -o bases:arm --platform linux/arm64 --layer new.tar");
    sandbox.ok("rebase -q -p image:v1 --new-base bases:new --tag v2");
    sandbox.ok("update config -q -p image:v2 --no-history");
    sandbox.ok("update config -q -p image:v2 --history other");
    let before = sandbox.tree();
    let old = sandbox.json("bases/index.json")["manifests"][0]["digest"].as_str().expect("a digest").to_owned();
    for (words, status, message) in [
        ("image:scratch --new-base bases:new", 1, "'scratch' does not name its base; name it with --old-base".to_owned()),
        (
            "image:scratch --old-base bases:old --new-base bases:new",
            1,
            "the lowest layers of 'scratch' are not those of 'bases:old'; name the base that the image was built on".to_owned(),
        ),
        ("image:v1 --new-base bases:arm", 1, "'v1' is for linux/amd64, but its new base is for linux/arm64".to_owned()),
        ("image:v1 --new-base bases:none", 3, "bases has no manifest 'none'; 'layout tag list' lists the tags".to_owned()),
        ("image:v1 --new-base nowhere", 1, "File not found: nowhere".to_owned()),
        (
            "image:v2 --new-base bases:old",
            1,
            "the history of 'v2' does not begin with that of its old base; 'update config --no-history' drops the history"
                .to_owned(),
        ),
    ] {
        sandbox.run(&format!("rebase -p {words}")).is(status, "", format!("Error: {message}\n"));
        assert!(sandbox.tree() == before, "{words}");
    }
    sandbox.ok("init -q moved");
    sandbox.ok("build -q -o moved:new --layer new.tar");
    sandbox.run("rebase -p image:v1 --new-base moved:new").is(
        1,
        "",
        format!("Error: the base of 'v1' is not stored: {old}; name it with --old-base\n"),
    );
    let digest = sandbox.json("bases/index.json")["manifests"][1]["digest"].as_str().expect("a digest").to_owned();
    let manifest = sandbox.json(&blob_name(&digest).replace("image/", "bases/"));
    let damaged = manifest["layers"][0]["digest"].as_str().expect("a digest").to_owned();
    let name = blob_name(&damaged).replace("image/", "bases/");
    let mut blob = sandbox.read(&name);
    blob[20] ^= 1;
    sandbox.write(&name, blob);
    let before = sandbox.tree();
    sandbox.run("rebase -p image:v1 --new-base bases:new --tag x").fails_with(1, predicates::str::contains(damaged));
    assert!(sandbox.tree() == before);
}
