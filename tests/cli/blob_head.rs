//! `layout blob head`

use serde_json::json;
use sha2::Digest as _;

use crate::support::*;

fn shows(sandbox: &Sandbox, digest: &str, size: usize) {
    let words = format!("layout blob head --path image --digest {digest}");
    let before = sandbox.tree();
    sandbox.run(&words).succeeds(format!("Blob:\n  digest: {digest}\n    size: {size}\n"), "");
    let expected = json!({"digest": digest, "size": size, "media_type": "application/octet-stream"});
    assert_eq!(sandbox.ok_json(&words), expected);
    assert_eq!(sandbox.tree(), before);
}

#[test]
fn a_blob_is_found_referenced_or_not() {
    let sandbox = Sandbox::built();
    for (digest, size) in [(BASE, BASE_SIZE), (CONFIG, CONFIG_SIZE), (MANIFEST, MANIFEST_SIZE)] {
        shows(&sandbox, digest, usize::try_from(size).expect("small"));
    }
    shows(&sandbox, &sandbox.store("loose"), 5);
    shows(&sandbox, &sandbox.store(""), 0);
    // The content is not read.
    sandbox.write(&blob_name(BASE), "corrupt");
    shows(&sandbox, BASE, 7);
}

#[test]
fn a_blob_of_any_algorithm_is_found() {
    let sandbox = Sandbox::new();
    let digests = [
        format!("sha512:{}", hex::encode(sha2::Sha512::digest("x"))),
        format!("blake3:{}", blake3::hash(b"x").to_hex()),
        "md5:any-thing_1=".to_owned(),
    ];
    for digest in digests {
        let name = blob_name(&digest);
        std::fs::create_dir(sandbox.path(&name).parent().expect("a directory")).expect("made");
        sandbox.write(&name, "x");
        shows(&sandbox, &digest, 1);
    }
}

#[test]
fn the_repository_does_not_matter_in_one_layout() {
    let sandbox = Sandbox::built();
    let words = format!("layout blob head --path image --repo any/other --digest {BASE}");
    sandbox.run(&words).succeeds(format!("Blob:\n  digest: {BASE}\n    size: {BASE_SIZE}\n"), "");
}

#[test]
fn each_repository_has_its_own_blobs_where_it_has_its_own_layout() {
    let sandbox = Sandbox::empty();
    sandbox.write("x", "x");
    sandbox.ok("layout blob upload --path layouts --per-repo --repo one --file x");
    let x = sha256(b"x");
    let head = |repository: &str| {
        sandbox.run(&format!("layout blob head --path layouts --per-repo --repo {repository} --digest {x}"))
    };
    head("one").succeeds(format!("Blob:\n  digest: {x}\n    size: 1\n"), "");
    head("two").fails(format!("Error: layouts/two has no blob {x} (BLOB_UNKNOWN)\n"));
    let words = format!("layout blob head --path layouts --per-repo --digest {x}");
    let message = "layouts holds one layout per repository, and no repository is named (NAME_INVALID); use --repo";
    sandbox.refuses(&words, message);
}

#[test]
fn files_that_are_no_blobs_are_reported() {
    let sandbox = Sandbox::built();
    let missing = sha256(b"missing");
    let directory = sha256(b"directory");
    std::fs::create_dir(sandbox.path(blob_name(&directory))).expect("made");
    let cases = [
        (missing.as_str(), format!("image has no blob {missing} (BLOB_UNKNOWN)")),
        (&directory, format!("blob {directory} is not a regular file: {} is a directory", blob_name(&directory))),
        ("md5:abc", "image has no blob md5:abc (BLOB_UNKNOWN)".to_owned()),
        ("latest", "'latest' is not a digest: it has no colon (DIGEST_INVALID)".to_owned()),
        ("sha256:00", "'sha256:00' is not a digest: its hash has the wrong length (DIGEST_INVALID)".to_owned()),
    ];
    for (digest, message) in cases {
        sandbox.refuses(&format!("layout blob head --path image --digest {digest}"), &message);
    }
    let message = "Error: missing is not an OCI Image Layout (missing oci-layout file)\n";
    sandbox.run(&format!("layout blob head --path missing --digest {BASE}")).fails(message);
    let message = "'blob head' takes a layout: remove ':latest' from the path";
    sandbox.misuses(&format!("layout blob head --path image:latest --digest {BASE}"), message);
}
