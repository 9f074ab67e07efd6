//! `--dry-run` prints the result of the real run and changes nothing.

use serde_json::json;

use crate::support::*;

/// Runs a command with `--dry-run`, then without, and compares their results.
#[track_caller]
fn is_announced(sandbox: &Sandbox, words: &str, would: &str, did: &str) {
    let before = sandbox.tree();
    let planned = sandbox.run(&format!("{words} --dry-run"));
    let mut value = sandbox.run(&format!("{words} --dry-run --json")).json();
    let printed = sandbox.run(&format!("{words} --dry-run --template {{dry_run}}"));
    assert_eq!((printed.status, printed.stdout.as_str()), (0, "true\n"), "{words}");
    assert_eq!(sandbox.tree(), before, "{words} --dry-run changed something");
    assert_eq!(value["dry_run"], true, "{words}");
    let done = sandbox.run(words);
    assert_eq!(done.status, 0, "{words}: {done:?}");
    assert_eq!(planned.stdout, done.stdout.replacen(did, would, 1), "{words}");
    assert_eq!(planned.stderr, done.stderr, "{words}");
    assert_ne!(planned.stdout, done.stdout, "{words}");
    if value["status"] != json!(null) {
        assert_eq!(value["status"].take(), "would be deleted", "{words}");
    }
}

#[test]
fn deletions_are_announced() {
    let sandbox = Sandbox::built();
    sandbox.ok("tag add -p image:latest v1 v2");
    is_announced(&sandbox, "tag delete -p image:v1", "Would delete tag:", "Deleted tag:");
    is_announced(&sandbox, "manifest delete -p image:v2", "Would delete manifest:", "Deleted manifest:");
    sandbox.write("note", "unreferenced");
    let blob = sandbox.ok("blob upload image --file note -q");
    is_announced(&sandbox, &format!("blob delete image -d {blob}"), "Would delete blob:", "Deleted blob:");
    sandbox.refuses(
        "tag delete -p image:v9 --dry-run",
        "image has no tag 'v9' (MANIFEST_UNKNOWN); 'layout tag list' lists the tags",
    );
}

#[test]
fn a_referrer_that_keeps_an_image_is_announced() {
    let sandbox = Sandbox::built();
    // Without the staging file, which refers to the manifest too.
    std::fs::remove_file(sandbox.path("image/.regshape-stage.json")).expect("deleted");
    sandbox.write("sbom.json", "{}");
    let blob = sandbox.ok("blob upload image --file sbom.json -q");
    let blob = json!({"mediaType": "application/spdx+json", "digest": blob.trim(), "size": 2});
    let subject = json!({"mediaType": MANIFEST_TYPE, "digest": MANIFEST, "size": MANIFEST_SIZE});
    let referrer = json!({
        "schemaVersion": 2, "mediaType": MANIFEST_TYPE, "artifactType": "application/spdx+json",
        "config": blob, "layers": [blob], "subject": subject,
    });
    sandbox.write("referrer.json", referrer.to_string());
    sandbox.ok("manifest put image --file referrer.json");
    let outcome = sandbox.run("tag delete -p image:latest --dry-run");
    assert!(outcome.stderr.contains("is kept: "), "{outcome:?}");
    is_announced(&sandbox, "manifest delete -p image:latest", "Would delete manifest:", "Deleted manifest:");
}

#[test]
fn copies_are_announced() {
    let sandbox = Sandbox::built();
    is_announced(&sandbox, "export image -o image.tar", "Would export:", "Exported:");
    is_announced(&sandbox, "export image -o copy", "Would export:", "Exported:");
    is_announced(&sandbox, "import new -f image.tar", "Would import:", "Imported:");
    is_announced(&sandbox, "import new -f image --ref-name v2", "Would import:", "Imported:");
    is_announced(&sandbox, "join image -o joined --ref-name v1", "Would join:", "Joined:");
    is_announced(&sandbox, "join image -o joined.tar --ref-name v1", "Would join:", "Joined:");
    let other = "import new -f image.tar --ref-name latest";
    is_announced(&sandbox, other, "Would import:", "Imported:");
    sandbox.ok("generate config image --architecture arm64");
    sandbox.ok("generate manifest image --ref-name latest");
    let taken = sandbox.run("import new -f image");
    assert_eq!(taken.status, 1);
    let before = sandbox.tree();
    assert_eq!(sandbox.run("import new -f image --dry-run"), taken);
    assert_eq!(sandbox.tree(), before);
}

#[test]
fn a_dry_run_deletes_no_leftovers_and_waits_for_no_lock() {
    let sandbox = Sandbox::built();
    sandbox.ok("export image -o image.tar");
    std::fs::create_dir(sandbox.path("image/.regshape-tmp-1-1-1-abcdef")).expect("made");
    let before = sandbox.tree();
    for words in [
        "tag delete -p image:latest",
        "manifest delete -p image:latest",
        "import image -f image.tar",
        "join image.tar -o image --ref-name v1",
    ] {
        let outcome = sandbox.run(&format!("{words} --dry-run"));
        assert_eq!(outcome.status, 0, "{words}: {outcome:?}");
        assert_eq!(sandbox.tree(), before, "{words}");
    }
}
