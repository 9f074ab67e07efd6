//! `layout blob mount`

#[cfg(unix)]
use std::fs;

use serde_json::json;

use crate::support::*;

/// Creates layouts of two repositories, the first with a blob; returns its digest, too.
fn layouts() -> (Sandbox, String) {
    let sandbox = Sandbox::empty();
    sandbox.write("x", "content");
    sandbox.write("y", "other");
    sandbox.ok("layout blob upload --path layouts --per-repo --repo example/base --file x");
    sandbox.ok("layout blob upload --path layouts --per-repo --repo app --file y");
    (sandbox, sha256(b"content"))
}

fn mounted(digest: &str) -> String {
    format!("Mounted blob:\n  digest: {digest}\n    size: 7\n")
}

fn words(digest: &str, to: &str) -> String {
    format!("layout blob mount --path layouts --per-repo --repo {to} --from example/base --digest {digest}")
}

fn blob(layout: &str, digest: &str) -> String {
    format!("layouts/{layout}/blobs/{}", digest.replace(':', "/"))
}

#[test]
fn a_blob_is_put_into_the_layout_of_another_repository() {
    let (sandbox, digest) = layouts();
    // A repository that exists, and a new one.
    for to in ["app", "example/base/nested", "new"] {
        sandbox.run(&words(&digest, to)).succeeds(mounted(&digest), "");
        assert_eq!(sandbox.text(&blob(to, &digest)), "content");
        let outcome = sandbox.run(&format!("layout validate --path layouts/{to}"));
        assert_eq!(
            (outcome.status, outcome.stdout),
            (
                0,
                format!(
                    "Layout at layouts/{to} is valid.
"
                )
            )
        );
        let before = sandbox.contents();
        let expected = json!({
            "digest": digest,
            "size": 7,
            "media_type": "application/octet-stream",
            "status": "mounted"
        });
        assert_eq!(sandbox.ok_json(&words(&digest, to)), expected);
        assert_eq!(sandbox.contents(), before, "once more changes nothing");
    }
    assert_eq!(sandbox.text(&blob("app", &sha256(b"other"))), "other");
    assert_eq!(sandbox.text(&blob("example/base", &digest)), "content");
}

#[test]
fn a_mounted_blob_stays_when_the_other_is_deleted() {
    let (sandbox, digest) = layouts();
    sandbox.ok(&words(&digest, "app"));
    sandbox.ok(&format!("layout blob delete --path layouts --per-repo --repo example/base --digest {digest}"));
    assert!(!sandbox.path(blob("example/base", &digest)).exists());
    assert_eq!(sandbox.text(&blob("app", &digest)), "content");
}

#[test]
fn in_a_shared_layout_a_mount_changes_nothing() {
    let sandbox = Sandbox::built();
    let before = sandbox.contents();
    sandbox
        .run(&format!("layout blob mount --path image --repo app --from other --digest {BASE}"))
        .succeeds(format!("Mounted blob:\n  digest: {BASE}\n    size: {BASE_SIZE}\n"), "");
    assert_eq!(sandbox.contents(), before);
    let missing = sha256(b"missing");
    let words = format!("layout blob mount --path image --repo app --from other --digest {missing}");
    sandbox.refuses(&words, &format!("image has no blob {missing} (BLOB_UNKNOWN)"));
}

#[test]
fn missing_and_corrupt_blobs_are_not_mounted() {
    let (sandbox, digest) = layouts();
    let missing = sha256(b"missing");
    for to in ["app", "new"] {
        let message = format!("layouts/example/base has no blob {missing} (BLOB_UNKNOWN)");
        sandbox.refuses(&words(&missing, to), &message);
        sandbox.write(&blob("example/base", &digest), "CONTENT");
        let actual = sha256(b"CONTENT");
        let message = format!("digest mismatch for {digest}: expected {digest}, got {actual} (DIGEST_INVALID)");
        sandbox.refuses(&words(&digest, to), &message);
        sandbox.write(&blob("example/base", &digest), "content");
    }
    let nowhere = format!("layout blob mount --path layouts --per-repo --repo app --from nobody --digest {digest}");
    sandbox.refuses(&nowhere, &format!("layouts/nobody has no blob {digest} (BLOB_UNKNOWN)"));
    // A corrupt blob in the target is replaced.
    sandbox.write(&blob("app", &digest), "CONTENT");
    sandbox.run(&words(&digest, "app")).succeeds(mounted(&digest), "");
    assert_eq!(sandbox.text(&blob("app", &digest)), "content");
}

#[test]
fn both_repositories_must_be_named() {
    let (sandbox, digest) = layouts();
    let sandbox_words = |rest: &str| format!("layout blob mount --path layouts --digest {digest} {rest}");
    sandbox.refuses(
        &sandbox_words("--per-repo --from app"),
        "layouts holds one layout per repository, and no repository is named (NAME_INVALID); use --repo",
    );
    let outcome = sandbox.run(&sandbox_words("--per-repo --repo app"));
    assert_eq!(outcome.status, 2, "{outcome:?}");
    for (rest, name) in [("--per-repo --repo app --from Base", "Base"), ("--per-repo --repo app/ --from app", "app/")] {
        let before = sandbox.tree();
        let outcome = sandbox.run(&sandbox_words(rest));
        assert_eq!((outcome.status, outcome.stdout.as_str()), (1, ""));
        assert!(outcome.stderr.starts_with(&format!("Error: '{name}' is not a repository name")), "{outcome:?}");
        assert!(outcome.stderr.ends_with(" (NAME_INVALID)\n"), "{outcome:?}");
        assert_eq!(sandbox.tree(), before);
    }
    let image = Sandbox::built();
    image.refuses(
        &format!("layout blob mount --path image --from app --digest {BASE}"),
        "no repository is named that is to have the blob; use --repo",
    );
}

#[test]
#[cfg(unix)]
fn a_link_is_not_mounted_as_a_link() {
    let (sandbox, digest) = layouts();
    let path = sandbox.path(blob("example/base", &digest));
    sandbox.write("layouts/example/base/inside", "content");
    fs::remove_file(&path).expect("deleted");
    std::os::unix::fs::symlink("../../inside", &path).expect("linked");
    sandbox.run(&words(&digest, "app")).succeeds(mounted(&digest), "");
    assert!(fs::symlink_metadata(sandbox.path(blob("app", &digest))).expect("there").is_file());
    assert_eq!(sandbox.text(&blob("app", &digest)), "content");
}
