//! `layout blob upload`

use std::fs;

use serde_json::json;
use sha2::Digest as _;

use crate::support::*;

fn stored(digest: &str, size: usize) -> String {
    format!("Stored blob:\n  digest: {digest}\n    size: {size}\n")
}

/// Checks that a layout is valid, with a warning about unreferenced blobs.
#[track_caller]
fn is_valid(sandbox: &Sandbox, path: &str, loose: &str) {
    let outcome = sandbox.run(&format!("layout validate --path {path}"));
    outcome.succeeds(format!("Layout at {path} is valid.\n"), format!("Warning: {loose} not referenced\n"));
}

/// Creates a layout, and a file `x` next to it.
fn with_file() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("x", "content");
    sandbox
}

#[test]
fn a_file_becomes_a_blob() {
    let sandbox = with_file();
    let digest = sha256(b"content");
    let index = sandbox.read("image/index.json");
    let words = "layout blob upload --path image --file x";
    sandbox.run(words).succeeds(stored(&digest, 7), "");
    sandbox.has_blobs([digest.as_str()]);
    // A repeated upload is not an error, and changes nothing.
    let before = sandbox.contents();
    sandbox.run(&format!("{words} --digest {digest}")).succeeds(stored(&digest, 7), "");
    let expected = json!({"digest": digest, "size": 7, "media_type": "application/octet-stream"});
    assert_eq!(sandbox.ok_json(words), expected);
    assert_eq!(sandbox.contents(), before);
    assert_eq!(sandbox.read("image/index.json"), index, "nothing names it yet");
    is_valid(&sandbox, "image", "1 blob (7 bytes) is");
}

#[test]
fn standard_input_becomes_a_blob() {
    let sandbox = Sandbox::new();
    let digest = sha256(b"piped");
    let words = "layout blob upload --path image --file -";
    sandbox.run_with_input(words, b"piped").succeeds(stored(&digest, 5), "");
    sandbox.run_with_input(&format!("{words} --digest {digest}"), b"piped").succeeds(stored(&digest, 5), "");
    let large = vec![b'x'; 3 << 20];
    sandbox.run_with_input(words, &large).succeeds(stored(&sha256(&large), large.len()), "");
    sandbox.has_blobs([digest.as_str(), &sha256(&large)]);
}

#[test]
fn empty_content_is_stored() {
    let sandbox = Sandbox::new();
    sandbox.write("empty", "");
    let digest = sha256(b"");
    sandbox.run("layout blob upload --path image --file empty").succeeds(stored(&digest, 0), "");
    sandbox.run("layout blob upload --path image --file -").succeeds(stored(&digest, 0), "");
    sandbox.run("layout blob upload --path image --file /dev/null").succeeds(stored(&digest, 0), "");
    sandbox.has_blobs([digest.as_str()]);
    assert_eq!(sandbox.blob(&digest), b"");
}

#[test]
fn the_digest_selects_the_algorithm() {
    let sandbox = with_file();
    for digest in [
        format!("sha512:{}", hex::encode(sha2::Sha512::digest("content"))),
        format!("blake3:{}", blake3::hash(b"content").to_hex()),
    ] {
        let words = format!("layout blob upload --path image --file x --digest {digest}");
        sandbox.run(&words).succeeds(stored(&digest, 7), "");
        assert_eq!(sandbox.blob(&digest), b"content");
        sandbox.run(&words).succeeds(stored(&digest, 7), "");
    }
    sandbox.has_blobs([]);
}

#[test]
fn content_of_another_digest_leaves_nothing_behind() {
    let sandbox = with_file();
    let (wanted, actual) = (sha256(b"other"), sha256(b"content"));
    sandbox.refuses(
        &format!("layout blob upload --path image --file x --digest {wanted}"),
        &format!("digest mismatch for {wanted}: expected {wanted}, got {actual} (DIGEST_INVALID)"),
    );
    let wanted = format!("sha512:{}", hex::encode(sha2::Sha512::digest("other")));
    let actual = format!("sha512:{}", hex::encode(sha2::Sha512::digest("content")));
    sandbox.refuses(
        &format!("layout blob upload --path image --file x --digest {wanted}"),
        &format!("digest mismatch for {wanted}: expected {wanted}, got {actual} (DIGEST_INVALID)"),
    );
    sandbox.refuses(
        "layout blob upload --path image --file x --digest md5:00",
        "digest md5:00 cannot be verified: its algorithm is not supported (DIGEST_INVALID)",
    );
    sandbox.refuses(
        "layout blob upload --path image --file x --digest latest",
        "'latest' is not a digest: it has no colon (DIGEST_INVALID)",
    );
    let outcome = sandbox
        .run_with_input(&format!("layout blob upload --path image --file - --digest {}", sha256(b"x")), b"other");
    let message = format!("digest mismatch for {0}: expected {0}, got {1}", sha256(b"x"), sha256(b"other"));
    outcome.fails(format!("Error: {message} (DIGEST_INVALID)\n"));
    sandbox.has_blobs([]);
}

#[test]
fn a_missing_layout_is_made_only_for_a_manifest_that_can_be_stored() {
    let sandbox = Sandbox::empty();
    sandbox.write("x", "content");
    let wrong = sha256(b"other");
    for path in ["image", "deep/down/image"] {
        sandbox.refuses(
            &format!("layout blob upload --path {path} --file x --digest {wrong}"),
            &format!("digest mismatch for {wrong}: expected {wrong}, got {} (DIGEST_INVALID)", sha256(b"content")),
        );
        sandbox.refuses(&format!("layout blob upload --path {path} --file missing"), "File not found: missing");
        let words = format!("layout blob upload --path {path} --file x");
        sandbox.run(&words).succeeds(stored(&sha256(b"content"), 7), "");
        is_valid(&sandbox, path, "1 blob (7 bytes) is");
        let files = |name: &str| sandbox.tree().contains_key(&format!("./{path}/{name}"));
        assert!(files("oci-layout") && files("index.json") && !files(".regshape-stage.json"));
    }
}

#[test]
fn a_layout_is_not_made_over_existing_files() {
    let sandbox = Sandbox::empty();
    sandbox.write("x", "content");
    fs::create_dir(sandbox.path("image")).expect("made");
    sandbox.write("image/index.json", r#"{"schemaVersion":2,"manifests":[],"of":"somebody"}"#);
    sandbox.refuses(
        "layout blob upload --path image --file x",
        "image holds 'index.json', which no interrupted 'init' left; remove it or choose another directory",
    );
    fs::remove_file(sandbox.path("image/index.json")).expect("deleted");
    sandbox.write("image/notes", "of somebody");
    sandbox.run("layout blob upload --path image --file x").succeeds(stored(&sha256(b"content"), 7), "");
    assert_eq!(sandbox.text("image/notes"), "of somebody");
}

#[test]
fn an_unreadable_file_is_reported() {
    let sandbox = with_file();
    fs::create_dir(sandbox.path("directory")).expect("made");
    for (file, message) in [
        ("missing", "File not found: missing"),
        ("x/missing", "File not found: x/missing"),
        ("directory", "directory is a directory, not a file"),
    ] {
        sandbox.refuses(&format!("layout blob upload --path image --file {file}"), message);
    }
    let message = "'blob upload' takes a layout: remove ':latest' from the path";
    sandbox.misuses("layout blob upload --path image:latest --file x", message);
}

#[test]
fn an_existing_blob_is_trusted_by_its_content_alone() {
    let sandbox = with_file();
    let digest = sha256(b"content");
    for corrupt in ["CONTENT", "short", ""] {
        sandbox.write(&blob_name(&digest), corrupt);
        sandbox.run("layout blob upload --path image --file x").succeeds(stored(&digest, 7), "");
        assert_eq!(sandbox.blob(&digest), b"content", "{corrupt}");
    }
    sandbox.has_blobs([digest.as_str()]);
    // An upload with a wrong digest does not change the blob.
    sandbox.write("y", "other");
    let before = sandbox.tree();
    assert_eq!(sandbox.run(&format!("layout blob upload --path image --file y --digest {digest}")).status, 1);
    assert_eq!(sandbox.tree(), before);
}

#[test]
#[cfg(unix)]
fn links_are_replaced_and_never_written_through() {
    use std::os::unix::fs::symlink;

    let digest = sha256(b"content");
    // A symbolic link at the blob's path leads out of the layout: to the right content, to other content, to a missing
    // file.
    for content in [Some("content"), Some("other"), None] {
        let sandbox = with_file();
        content.into_iter().for_each(|content| sandbox.write("outside", content));
        symlink(sandbox.path("outside"), sandbox.path(blob_name(&digest))).expect("linked");
        sandbox.run("layout blob upload --path image --file x").succeeds(stored(&digest, 7), "");
        assert!(fs::symlink_metadata(sandbox.path(blob_name(&digest))).expect("there").is_file());
        assert_eq!(sandbox.blob(&digest), b"content");
        assert_eq!(fs::read_to_string(sandbox.path("outside")).ok().as_deref(), content);
    }
    // The directory of the blobs is a link out of the layout.
    let sandbox = with_file();
    fs::rename(sandbox.path("image/blobs"), sandbox.path("blobs")).expect("moved");
    symlink("../blobs", sandbox.path("image/blobs")).expect("linked");
    let words = "layout blob upload --path image --file x";
    let message = "image/blobs is a link out of the layout; use --shared-blobs if its blobs are shared on purpose";
    sandbox.refuses(words, message);
    sandbox.run(&format!("{words} --shared-blobs")).succeeds(stored(&digest, 7), "");
    assert_eq!(sandbox.text(&format!("blobs/{}", digest.replace(':', "/"))), "content");
}

#[test]
fn twenty_uploads_at_once_make_one_layout() {
    let sandbox = Sandbox::empty();
    (0..20).for_each(|number| sandbox.write(&format!("x{number}"), number.to_string()));
    let children: Vec<_> = (0..20)
        .map(|number| {
            let words = format!("layout blob upload --path image --file x{number}");
            sandbox.command().args(words.split(' ')).stdout(std::process::Stdio::piped()).spawn().expect("it starts")
        })
        .collect();
    for (number, child) in children.into_iter().enumerate() {
        let outcome: Outcome = child.wait_with_output().expect("it ends").into();
        outcome.succeeds(stored(&sha256(number.to_string().as_bytes()), number.to_string().len()), "");
    }
    let digests: Vec<_> = (0..20).map(|number| sha256(number.to_string().as_bytes())).collect();
    sandbox.has_blobs(digests.iter().map(String::as_str));
    is_valid(&sandbox, "image", "20 blobs (30 bytes) are");
}
