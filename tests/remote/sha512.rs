//! Images whose blobs have SHA-512 digests.

use std::fs;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha512};

use crate::fake_registry::{Action, Rule, digest_of};
use crate::lab::*;

fn sha512_of(bytes: &[u8]) -> String {
    let hash: String = Sha512::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha512:{hash}")
}

/// Stores a blob in the layout `l`, and returns its descriptor.
fn blob(lab: &Lab, media_type: &str, bytes: &[u8]) -> Value {
    let digest = sha512_of(bytes);
    let directory = lab.path("l/blobs/sha512");
    fs::create_dir_all(&directory).unwrap();
    fs::write(directory.join(&digest["sha512:".len()..]), bytes).unwrap();
    json!({ "mediaType": media_type, "digest": digest, "size": bytes.len() })
}

/// Makes a layout `l` of an image whose config and layers have SHA-512 digests, and whose manifest may have one too.
fn image(lab: &Lab, layers: &[usize], has_sha512_manifest: bool) -> Vec<Value> {
    let mut made = lab.layout("l");
    let layers: Vec<Value> =
        (0_u64..).zip(layers).map(|(number, size)| blob(lab, LAYER, &layer(number, *size))).collect();
    // A diff_id is a digest too.
    let diff_ids: Vec<&Value> = layers.iter().map(|layer| &layer["digest"]).collect();
    let config = json!({
        "architecture": "amd64", "os": "linux", "rootfs": { "type": "layers", "diff_ids": diff_ids },
    });
    let config = blob(lab, CONFIG, config.to_string().as_bytes());
    let manifest = json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers });
    let entry = if has_sha512_manifest {
        blob(lab, MANIFEST, manifest.to_string().as_bytes())
    } else {
        made.document(&manifest)
    };
    made.list(&entry, "v1");
    [vec![config], layers].concat()
}

/// Returns the SHA-256 digest of the manifest in the layout `l`.
fn manifest_digest(lab: &Lab) -> String {
    let index: Value = serde_json::from_slice(&fs::read(lab.path("l/index.json")).unwrap()).unwrap();
    let path = format!("l/blobs/{}", digest(&index["manifests"][0]).replace(':', "/"));
    digest_of(&fs::read(lab.path(&path)).unwrap())
}

/// Checks that a registry and a layout have the same bytes as the layout `l`.
fn is_everywhere(lab: &Lab, blobs: &[Value], layout: &str) {
    for blob in blobs {
        let digest = digest(blob);
        let name = format!("blobs/sha512/{}", &digest["sha512:".len()..]);
        let bytes = fs::read(lab.path("l").join(&name)).unwrap();
        assert!(lab.fake.blob(REPOSITORY, digest).as_ref() == Some(&bytes), "{digest}");
        assert!(fs::read(lab.path(layout).join(&name)).unwrap() == bytes, "{digest}");
    }
    // Nothing but them and the manifest, which has a SHA-256 digest where it is pulled by a tag.
    let names = |algorithm: &str| lab.names(&format!("{layout}/blobs/{algorithm}"));
    assert_eq!((names("sha512").len(), names("sha256").len()), (blobs.len(), 1));
    assert_eq!(names("sha256"), [manifest_digest(lab)["sha256:".len()..].to_owned()]);
}

#[test]
fn blobs_with_sha512_digests_are_pushed_and_pulled() {
    for (flags, has_sha512_manifest) in [("", false), ("--chunk-size 1048576", false), ("", true)] {
        let lab = Lab::new();
        let blobs = image(&lab, &[KIB, 0, 3 * MIB], has_sha512_manifest);
        lab.run(&format!("push l HOST/{REPOSITORY} {flags}")).succeeds();
        lab.run(&format!("pull HOST/{REPOSITORY}:v1 new")).succeeds();
        is_everywhere(&lab, &blobs, "new");
        assert_eq!(lab.run("layout validate --deep -p new").succeeds(), "Layout at new is valid.\n");
        lab.is_valid("new");
        // Everything is there already.
        let again = lab.run(&format!("push l HOST/{REPOSITORY} --json"));
        let summary = &serde_json::from_str::<Value>(again.succeeds()).unwrap()["summary"];
        assert_eq!((&summary["blobs_uploaded"], &summary["blobs_skipped"]), (&json!(0), &json!(4)));
    }
}

#[test]
fn a_registry_that_confirms_sha512_by_sha256_is_believed() {
    // docker-registry 2.8 does.
    let lab = Lab::new();
    let blobs = image(&lab, &[KIB, 2 * MIB], false);
    for blob in &blobs {
        let digest = digest(blob);
        let bytes = fs::read(lab.path("l/blobs/sha512").join(&digest["sha512:".len()..])).unwrap();
        let other = Action::DigestHeader(Some(digest_of(&bytes)));
        lab.fake.rule(Rule::on("PUT", &format!("*/blobs/uploads/*?*{}", &digest["sha512:".len()..])), other.clone());
        lab.fake.rule(Rule::on("HEAD|GET", &format!("*/blobs/{digest}")), other);
    }
    let ran = lab.run(&format!("push l HOST/{REPOSITORY} --json"));
    let summary = &serde_json::from_str::<Value>(ran.succeeds()).unwrap()["summary"];
    assert_eq!((&summary["blobs_uploaded"], &summary["retries"]), (&json!(3), &json!(0)));
    // Each was sent once.
    assert_eq!(lab.count("PUT", "/blobs/uploads/"), 3);
    lab.run(&format!("pull HOST/{REPOSITORY}:v1 new")).succeeds();
    is_everywhere(&lab, &blobs, "new");
    // A digest of the same algorithm that is another one is a fault.
    let lab = Lab::new();
    image(&lab, &[KIB], false);
    let wrong = Action::DigestHeader(Some(sha512_of(b"other")));
    lab.fake.rule(Rule::on("PUT", "*/blobs/uploads/*"), wrong);
    let ran = lab.run(&format!("push l HOST/{REPOSITORY} --jobs 1"));
    assert_eq!((ran.status, ran.stdout.as_str(), ran.stderr.lines().count()), (Some(1), "", 1), "{ran:?}");
    assert!(ran.stderr.contains(&sha512_of(b"other")), "{ran:?}");
    assert!(lab.fake.manifest(REPOSITORY, "v1").is_none());
}

#[test]
fn a_wrong_byte_under_a_sha512_digest_is_found() {
    let lab = Lab::new();
    let blobs = image(&lab, &[KIB], false);
    lab.run(&format!("push l HOST/{REPOSITORY}")).succeeds();
    let wanted = digest(&blobs[1]);
    lab.fake.rule(Rule::on("GET", &format!("*/blobs/{wanted}")), Action::FlipByte(10));
    let ran = lab.run(&format!("pull HOST/{REPOSITORY}:v1 new"));
    assert_eq!((ran.status, ran.stdout.as_str(), ran.stderr.lines().count()), (Some(1), "", 1), "{ran:?}");
    assert!(ran.stderr.contains(wanted) && ran.stderr.contains("sha512:"), "{ran:?}");
    assert!(!lab.path("new").exists());
    // And before it is sent.
    let path = lab.path("l/blobs/sha512").join(&wanted["sha512:".len()..]);
    let mut bytes = fs::read(&path).unwrap();
    bytes[10] ^= 1;
    fs::write(&path, bytes).unwrap();
    let ran = lab.run("push l HOST/other/app --jobs 1");
    assert_eq!((ran.status, ran.stderr.lines().count()), (Some(1), 1), "{ran:?}");
    assert!(ran.stderr.contains(wanted) && lab.fake.manifest("other/app", "v1").is_none(), "{ran:?}");
}
