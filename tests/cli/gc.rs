//! `layout gc`

use std::fs::{self, File};
use std::process::Stdio;
use std::time::{Duration, SystemTime};

use indicatif::HumanBytes;
use predicates::str::contains;
use serde_json::{Value, json};
use sha2::Digest as _;

use crate::leftover::leave;
use crate::registry::{artifact, digest, embedded, foreign, index, layer, list, manifest, schema_1, with};
use crate::support::*;

const GC: &str = "layout gc --path image";

/// The result of a collection.
fn told(title: &str, blobs: (usize, usize), uploads: (usize, usize), temporary: (usize, usize)) -> String {
    let line = |(count, bytes): (usize, usize)| format!("{count} ({})", HumanBytes(bytes as u64));
    format!(
        "{title}:\n            blobs: {}\n          uploads: {}\n  temporary files: {}\n",
        line(blobs),
        line(uploads),
        line(temporary)
    )
}

/// Returns the line for a manifest that is kept only because of a referrer.
fn kept(subject: &str, referrer: &str) -> String {
    format!("          subject: {subject} is kept: {referrer} refers to it\n")
}

fn deleted(count: usize, bytes: usize) -> String {
    told("Deleted", (count, bytes), (0, 0), (0, 0))
}

/// Sets the modification time of a file.
fn age(sandbox: &Sandbox, name: &str, age: Duration) {
    let file = File::options().write(true).open(sandbox.path(name)).expect("opened");
    file.set_modified(SystemTime::now() - age).expect("set");
}

/// Stores a document by hand and returns its descriptor.
fn document(sandbox: &Sandbox, media_type: &str, content: &Value) -> Value {
    let content = content.to_string();
    json!({"mediaType": media_type, "digest": sandbox.store(&content), "size": content.len()})
}

fn upload(sandbox: &Sandbox, digit: char, content: &str) -> String {
    fs::create_dir_all(sandbox.path("image/.regshape-uploads")).expect("made");
    let name = format!("image/.regshape-uploads/{}", digit.to_string().repeat(32));
    sandbox.write(&name, content);
    name
}

/// Creates an image without a staging file, which would refer to its blobs, too.
fn image() -> Sandbox {
    let sandbox = Sandbox::built();
    fs::remove_file(sandbox.path("image/.regshape-stage.json")).expect("deleted");
    sandbox
}

#[test]
fn unreferenced_blobs_are_deleted() {
    let sandbox = image();
    let before = sandbox.tree();
    sandbox.run(GC).succeeds(deleted(0, 0), "");
    assert_eq!(sandbox.tree(), before, "there is no garbage");

    let (one, two) = (sandbox.store("one"), sandbox.store("other"));
    let mut digests = [one.as_str(), &two];
    digests.sort_unstable();
    let dry = told("Would delete", (2, 8), (0, 0), (0, 0));
    let with_garbage = sandbox.tree();
    sandbox.run(&format!("{GC} --dry-run")).succeeds(format!("{dry}{}\n{}\n", digests[0], digests[1]), "");
    let none = json!({"count": 0, "bytes": 0});
    let mut expected = json!({
        "dry_run": true,
        "digests": digests,
        "blobs": {"count": 2, "bytes": 8},
        "uploads": none,
        "temporary_files": none,
        "kept": none,
        "staged": none
    });
    assert_eq!(sandbox.ok_json(&format!("{GC} --dry-run")), expected);
    assert_eq!(sandbox.tree(), with_garbage, "nothing is deleted");

    expected["dry_run"] = json!(false);
    assert_eq!(sandbox.ok_json(GC), expected);
    sandbox.has_blobs([MANIFEST, CONFIG, BASE, PATCHES]);
    sandbox.run(GC).succeeds(deleted(0, 0), "");
    sandbox.is_valid();
}

#[test]
fn an_image_goes_with_its_last_tag() {
    let sandbox = image();
    let all = sandbox.blobs();
    let size: usize = all.iter().map(|digest| sandbox.blob(digest).len()).sum();
    sandbox.ok("layout tag add --path image --ref latest v1");
    sandbox.ok("layout tag delete --path image --ref latest");
    sandbox.run(GC).succeeds(deleted(0, 0), "");
    assert_eq!(sandbox.blobs(), all);
    sandbox.ok("layout tag delete --path image --ref v1");
    sandbox.run(GC).succeeds(deleted(4, size), "");
    sandbox.has_blobs([]);
    sandbox.is_valid();
}

#[test]
fn a_replaced_image_stays_until_its_entry_is_deleted() {
    let sandbox = image();
    sandbox.ok("layout manifest get --path image --ref latest --output manifest.json");
    sandbox.edit("manifest.json", |manifest| manifest["annotations"] = json!({"a": "1"}));
    let new = sandbox.ok_json("layout manifest put --path image --file manifest.json --tag latest");
    let new = new["digest"].as_str().expect("a digest");
    sandbox.run(GC).succeeds(deleted(0, 0), "");
    sandbox.has_blobs([MANIFEST, new, CONFIG, BASE, PATCHES]);
    sandbox.ok(&format!("layout manifest delete --path image --ref {MANIFEST}"));
    sandbox.run(GC).succeeds(deleted(1, usize::try_from(MANIFEST_SIZE).expect("small")), "");
    sandbox.has_blobs([new, CONFIG, BASE, PATCHES]);
    sandbox.is_valid();
}

#[test]
fn staged_blobs_stay_and_are_counted() {
    let sandbox = Sandbox::staged();
    let loose = sandbox.store("loose");
    let staged = format!("{}           staged: 2 ({})\n", deleted(1, 5), HumanBytes(BASE_SIZE + PATCHES_SIZE));
    sandbox.run(GC).succeeds(staged, "");
    sandbox.has_blobs([BASE, PATCHES]);
    assert!(!sandbox.path(blob_name(&loose)).exists());
    sandbox.ok("layout generate config --path image");
    sandbox.run(GC).succeeds(
        format!("{}           staged: 3 ({})\n", deleted(0, 0), HumanBytes(BASE_SIZE + PATCHES_SIZE + CONFIG_SIZE)),
        "",
    );
    sandbox.ok("layout generate manifest --path image");
    sandbox.run(GC).succeeds(deleted(0, 0), "");
    sandbox.has_blobs([MANIFEST, CONFIG, BASE, PATCHES]);
    // Without a staging file nothing is staged.
    let sandbox = Sandbox::staged();
    fs::remove_file(sandbox.path("image/.regshape-stage.json")).expect("deleted");
    let size = usize::try_from(BASE_SIZE + PATCHES_SIZE).expect("small");
    sandbox.run(GC).succeeds(deleted(2, size), "");
    sandbox.has_blobs([]);
}

#[test]
fn subjects_and_nested_indexes_keep_their_blobs() {
    let sandbox = image();
    let child = json!({"mediaType": MANIFEST_TYPE, "digest": MANIFEST, "size": MANIFEST_SIZE});
    let inner = document(&sandbox, INDEX_TYPE, &json!({"schemaVersion": 2, "manifests": [child]}));
    let outer = document(&sandbox, INDEX_TYPE, &json!({"schemaVersion": 2, "manifests": [inner]}));
    let referrer = json!({"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": [], "subject": outer});
    let referrer = document(&sandbox, INDEX_TYPE, &referrer);
    sandbox.edit("image/index.json", |index| index["manifests"] = json!([referrer]));
    let all = sandbox.blobs();
    sandbox.store("loose");
    let kept = kept(digest(&outer), digest(&referrer));
    sandbox.run(GC).succeeds(format!("{}{kept}", deleted(1, 5)), "");
    assert_eq!(sandbox.blobs(), all);
    // A subject of index.json itself.
    sandbox.edit("image/index.json", |index| {
        index["manifests"] = json!([]);
        index["subject"] = referrer.clone();
    });
    sandbox.run(GC).succeeds(format!("{}{kept}", deleted(0, 0)), "");
    assert_eq!(sandbox.blobs(), all);
}

/// Stores an SBOM whose subject is the image.
fn put_sbom(sandbox: &Sandbox) -> Value {
    let subject = json!({"mediaType": MANIFEST_TYPE, "digest": MANIFEST, "size": MANIFEST_SIZE});
    let empty = sandbox.store("{}");
    let empty = json!({"mediaType": "application/vnd.oci.empty.v1+json", "digest": empty, "size": 2});
    let sbom = json!({
        "schemaVersion": 2, "mediaType": MANIFEST_TYPE, "artifactType": "application/x-sbom", "config": empty,
        "layers": [empty], "subject": subject
    });
    sandbox.write("sbom.json", sbom.to_string());
    sandbox.ok("layout manifest put --path image --file sbom.json");
    sbom
}

#[test]
fn a_layout_of_very_many_documents_is_not_read_to_name_a_referrer() {
    let sandbox = image();
    let sbom = put_sbom(&sandbox);
    sandbox.edit("image/index.json", |index| {
        let entries = index["manifests"].as_array_mut().expect("entries");
        let sbom = entries.last().expect("the SBOM").clone();
        entries.extend(std::iter::repeat_n(sbom, 10_000));
    });
    let deleted_tag = format!("Deleted tag:\n  digest: {MANIFEST}\n     tag: latest\n");
    sandbox.run("layout tag delete --path image --ref latest").succeeds(deleted_tag, "");
    let sbom = sha256(sbom.to_string().as_bytes());
    sandbox.run(GC).succeeds(format!("{}{}", deleted(0, 0), kept(MANIFEST, &sbom)), "");
}

#[test]
fn a_referrer_stays_with_its_own_entry_alone() {
    let sandbox = image();
    let sbom = put_sbom(&sandbox);
    let all = sandbox.blobs();
    assert_eq!(all.len(), 6);
    sandbox.run(GC).succeeds(deleted(0, 0), "");
    // The image no longer has an entry, but its SBOM does.
    let sbom_digest = sha256(sbom.to_string().as_bytes());
    sandbox.run("layout tag delete --path image --ref latest").succeeds(
        format!("Deleted tag:\n  digest: {MANIFEST}\n     tag: latest\n"),
        format!("Warning: {MANIFEST} is kept: {sbom_digest} refers to it; delete the referrer too to free the image\n"),
    );
    sandbox.run(GC).succeeds(format!("{}{}", deleted(0, 0), kept(MANIFEST, &sbom_digest)), "");
    let subjects = json!([{"digest": MANIFEST, "referrers": [sbom_digest]}]);
    assert_eq!(sandbox.ok_json(GC)["subjects"], subjects);
    assert_eq!(sandbox.blobs(), all);
    // The subject is also kept if the index with the image is deleted.
    let listed = json!({"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": [{"mediaType": MANIFEST_TYPE, "digest": MANIFEST, "size": MANIFEST_SIZE}]});
    sandbox.write("listed.json", listed.to_string());
    sandbox.ok("layout manifest put --path image --file listed.json --tag all");
    let told = sandbox.ok_json("layout manifest delete --path image --ref all");
    assert_eq!(told["kept"], subjects);
    sandbox.ok(GC);
    assert_eq!(sandbox.blobs(), all);
    sandbox.ok(&format!("layout manifest delete --path image --ref {}", sha256(sbom.to_string().as_bytes())));
    assert!(sandbox.run(GC).stdout.contains("blobs: 6 "));
    sandbox.has_blobs([]);
}

#[test]
fn a_digest_that_cannot_be_verified_keeps_its_blob_and_is_passed_on() {
    let sandbox = image();
    let name = format!("sha384:{}", "a".repeat(96));
    fs::create_dir(sandbox.path("image/blobs/sha384")).expect("created");
    sandbox.write(&blob_name(&name), "hello");
    // A document under such a digest is read all the same: its blobs are reachable.
    let needed = sandbox.store("needed");
    let nested = json!({"mediaType": "application/octet-stream", "digest": needed, "size": 6});
    let nested = json!({"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": [nested]}).to_string();
    let nested_name = format!("sha384:{}", "b".repeat(96));
    sandbox.write(&blob_name(&nested_name), &nested);
    sandbox.edit("image/index.json", |index| {
        let entries = index["manifests"].as_array_mut().expect("a list");
        entries.push(json!({"mediaType": "application/x-aux", "digest": name, "size": 5}));
        entries.push(json!({"mediaType": INDEX_TYPE, "digest": nested_name, "size": nested.len()}));
    });
    let loose = sandbox.store("loose");
    sandbox.ok(&format!("layout blob delete --path image --digest {loose}"));
    let all = sandbox.contents();
    sandbox.run(GC).succeeds(deleted(0, 0), "");
    assert_eq!(sandbox.contents(), all);
    sandbox.ok("layout inspect --path image");
    let warning = |name: &str| {
        format!("Warning: blob {name} was copied but not verified: the algorithm of its digest is not supported\n")
    };
    let warnings = format!("{}{}", warning(&name), warning(&nested_name));
    for (words, copy) in [
        ("layout export --path image --output copy", "copy"),
        ("layout export --path image --output copy.tar", "copy"),
        ("layout import --path imported --file copy.tar", "imported"),
    ] {
        let outcome = sandbox.run(words);
        assert_eq!((outcome.status, outcome.stderr.as_str()), (0, warnings.as_str()), "{words}");
        assert_eq!(sandbox.text(&blob_name(&name).replacen("image", copy, 1)), "hello", "{words}");
        assert_eq!(sandbox.text(&blob_name(&nested_name).replacen("image", copy, 1)), nested, "{words}");
    }
    // A blob of the wrong size is an error.
    sandbox.write(&blob_name(&name), "hello!");
    sandbox
        .refuses("layout export --path image --output other", &format!("size mismatch for {name}: expected 5, got 6"));
}

#[test]
fn a_missing_subject_is_ignored() {
    let sandbox = image();
    let missing = json!({"mediaType": MANIFEST_TYPE, "digest": sha256(b"missing"), "size": 7});
    sandbox.edit("image/index.json", |index| index["subject"] = missing.clone());
    let referrer = json!({"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": [], "subject": missing});
    let referrer = document(&sandbox, INDEX_TYPE, &referrer);
    sandbox.edit("image/index.json", |index| {
        index["manifests"].as_array_mut().expect("a list").push(referrer.clone());
    });
    sandbox.store("loose");
    sandbox.run(GC).succeeds(deleted(1, 5), "");
    assert_eq!(sandbox.blobs().len(), 5);
}

#[test]
fn files_that_are_no_blobs_are_left_alone() {
    let sandbox = image();
    fs::create_dir_all(sandbox.path("image/blobs/md5")).expect("made");
    fs::create_dir_all(sandbox.path("image/blobs/sha256").join(&sha256(b"directory")[7..])).expect("made");
    let upper = format!("image/blobs/sha256/{}", "A".repeat(64));
    let names =
        ["image/blobs/md5/00", "image/blobs/README", "image/blobs/sha256/.note", &upper, "image/mine", "image/sha256"];
    names.iter().for_each(|name| sandbox.write(name, "foreign"));
    let before = sandbox.tree();
    sandbox.run(GC).succeeds(deleted(0, 0), "");
    assert_eq!(sandbox.tree(), before);
}

#[test]
fn blobs_of_every_known_algorithm_are_collected() {
    let sandbox = image();
    for digest in [
        format!("sha512:{}", hex::encode(sha2::Sha512::digest("x"))),
        format!("blake3:{}", blake3::hash(b"x").to_hex()),
    ] {
        let name = blob_name(&digest);
        fs::create_dir(sandbox.path(&name).parent().expect("a directory")).expect("made");
        sandbox.write(&name, "x");
    }
    sandbox.run(GC).succeeds(deleted(2, 2), "");
    let files: Vec<_> = sandbox.tree().into_keys().filter(|name| name.contains("sha512/")).collect();
    assert!(files.is_empty(), "{files:?}");
}

#[test]
fn young_blobs_stay() {
    let sandbox = image();
    let (old, young, future) = (sandbox.store("old"), sandbox.store("young"), sandbox.store("future"));
    age(&sandbox, &blob_name(&old), Duration::from_secs(2 * 3600));
    age(&sandbox, &blob_name(&young), Duration::from_secs(60));
    let file = File::options().write(true).open(sandbox.path(blob_name(&future))).expect("opened");
    file.set_modified(SystemTime::now() + Duration::from_secs(3600)).expect("set");

    let kept = |text: String, count: usize, bytes: usize| {
        format!("{text}             kept: {count} ({})\n", HumanBytes(bytes as u64))
    };
    let words = format!("{GC} --keep-younger-than 1h");
    let dry = kept(told("Would delete", (1, 3), (0, 0), (0, 0)), 2, 11);
    sandbox.run(&format!("{words} --dry-run")).succeeds(format!("{dry}{old}\n"), "");
    sandbox.run(&words).succeeds(kept(deleted(1, 3), 2, 11), "");
    sandbox.run(&format!("{GC} --keep-younger-than 30s")).succeeds(kept(deleted(1, 5), 1, 6), "");
    // By default all unreferenced blobs are deleted.
    sandbox.run(GC).succeeds(deleted(1, 6), "");
    sandbox.has_blobs([MANIFEST, CONFIG, BASE, PATCHES]);
    // A referenced blob of any age stays.
    age(&sandbox, &blob_name(BASE), Duration::from_secs(1 << 30));
    sandbox.run(&words).succeeds(deleted(0, 0), "");
    sandbox.is_valid();

    for bad in ["", "1", "-1h", "soon"] {
        let outcome = sandbox.run_words(["layout", "gc", "--path", "image", &format!("--keep-younger-than={bad}")]);
        outcome.fails_with(2, contains("invalid value"));
    }
}

#[test]
fn an_upload_is_deleted_after_an_hour_without_a_write() {
    let sandbox = image();
    let (old, young) = (upload(&sandbox, '0', "old"), upload(&sandbox, '1', "young"));
    age(&sandbox, &old, Duration::from_secs(2 * 3600));
    let expected = |uploads| format!("{}             kept: 1 (5 B)\n", told("Deleted", (0, 0), uploads, (0, 0)));
    let before = sandbox.tree();
    sandbox.run(&format!("{GC} --dry-run")).succeeds(expected((1, 3)).replace("Deleted", "Would delete"), "");
    assert_eq!(sandbox.tree(), before);
    sandbox.run(GC).succeeds(expected((1, 3)), "");
    assert!(!sandbox.path(&old).exists() && sandbox.path(&young).exists());
    sandbox.run(GC).succeeds(expected((0, 0)), "");
    sandbox.run(&format!("{GC} --keep-younger-than 0s")).succeeds(told("Deleted", (0, 0), (1, 5), (0, 0)), "");
    assert!(!sandbox.path("image/.regshape-uploads").exists(), "the last one takes the directory with it");
}

#[test]
#[cfg(unix)]
fn an_upload_in_use_is_kept_at_any_age() {
    let sandbox = image();
    let name = upload(&sandbox, '0', "old");
    age(&sandbox, &name, Duration::from_secs(1 << 30));
    let writer = File::open(sandbox.path(&name)).expect("opened");
    writer.lock().expect("locked");
    let outcome = sandbox.run(&format!("{GC} --keep-younger-than 0s"));
    assert_eq!(outcome.status, 0, "{outcome:?}");
    assert!(outcome.stdout.contains("uploads: 0 (0 B)") && outcome.stdout.contains("1 (3 B)"), "{outcome:?}");
    assert_eq!(sandbox.text(&name), "old");
    drop(writer);
    sandbox.run(GC).succeeds(told("Deleted", (0, 0), (1, 3), (0, 0)), "");
}

#[test]
#[cfg(unix)]
fn temporary_files_go_when_their_writers_are_gone() {
    let sandbox = image();
    let leave = |content: &str| {
        sandbox.write("image/written", content);
        leave(&sandbox.path("image/written"))
    };
    let live = leave("alive");
    let writer = File::open(&live).expect("opened");
    writer.lock().expect("locked");
    let dead = leave("dead");
    let before = sandbox.tree();
    let dry = told("Would delete", (0, 0), (0, 0), (1, 4));
    sandbox.run(&format!("{GC} --dry-run")).succeeds(dry, "");
    assert_eq!(sandbox.tree(), before);
    sandbox.run(GC).succeeds(told("Deleted", (0, 0), (0, 0), (1, 4)), "");
    assert!(!dead.exists());
    assert_eq!(fs::read_to_string(live).expect("there"), "alive");
}

/// A killed export or import leaves a directory. Windows does not lock directories.
#[cfg(unix)]
#[test]
fn temporary_directories_go_when_their_writers_are_gone() {
    let sandbox = image();
    fs::create_dir_all(sandbox.path("image/made/blobs/sha256")).expect("made");
    sandbox.write(&format!("image/made/blobs/sha256/{}", "0".repeat(64)), "dead");
    sandbox.write("image/made/index.json", "{}");
    let dead = leave(&sandbox.path("image/made"));
    let before = sandbox.tree();
    sandbox.run(&format!("{GC} --dry-run")).succeeds(told("Would delete", (0, 0), (0, 0), (2, 6)), "");
    assert_eq!(sandbox.tree(), before);
    sandbox.run(GC).succeeds(told("Deleted", (0, 0), (0, 0), (2, 6)), "");
    assert!(!dead.exists());
}

#[test]
fn where_a_document_cannot_be_read_nothing_is_deleted() {
    let prepare = || {
        let sandbox = image();
        sandbox.store("loose");
        sandbox.write("image/written", "dead");
        leave(&sandbox.path("image/written"));
        age(&sandbox, &upload(&sandbox, '0', "old"), Duration::from_secs(1 << 30));
        sandbox
    };
    let sandbox = prepare();
    sandbox.write(&blob_name(MANIFEST), "{}");
    let actual = sha256(b"{}");
    sandbox.refuses(GC, &format!("digest mismatch for {MANIFEST}: expected {MANIFEST}, got {actual}"));

    let sandbox = prepare();
    let broken = sandbox.store(r#"{"layers": 1}"#);
    sandbox.edit("image/index.json", |index| {
        index["manifests"][0]["digest"] = json!(broken);
        index["manifests"][0]["size"] = json!(13);
    });
    let before = sandbox.tree();
    let outcome = sandbox.run(GC);
    outcome.fails_with(1, contains(format!("Error: {broken} is not a valid ")));
    assert_eq!(sandbox.tree(), before);

    let sandbox = prepare();
    sandbox.write("image/index.json", "[]");
    sandbox.refuses(GC, "index.json at image is not a valid OCI Image Index");

    let sandbox = prepare();
    sandbox.write("image/.regshape-stage.json", "{}");
    let before = sandbox.tree();
    sandbox.run(GC).fails_with(1, contains("Error: staging file at image is malformed"));
    assert_eq!(sandbox.tree(), before);
}

#[test]
fn a_layer_is_not_read() {
    let sandbox = image();
    for layer in [BASE, PATCHES] {
        let size = sandbox.blob(layer).len();
        sandbox.write(&blob_name(layer), vec![b'x'; size]);
    }
    sandbox.run(GC).succeeds(deleted(0, 0), "");
    // A missing layer does not matter either.
    fs::remove_file(sandbox.path(blob_name(BASE))).expect("deleted");
    sandbox.run(GC).succeeds(deleted(0, 0), "");
}

#[test]
fn blobs_that_layouts_share_are_not_collected() {
    let sandbox = image();
    sandbox.store("loose");
    let message = "image shares its blobs with other layouts, which may refer to them";
    sandbox.refuses(&format!("{GC} --shared-blobs"), message);
    sandbox.refuses(&format!("{GC} --shared-blobs --dry-run"), message);
}

#[test]
#[cfg(unix)]
fn blobs_elsewhere_are_not_collected() {
    let sandbox = image();
    sandbox.store("loose");
    fs::rename(sandbox.path("image/blobs"), sandbox.path("blobs")).expect("moved");
    std::os::unix::fs::symlink("../blobs", sandbox.path("image/blobs")).expect("linked");
    let message = "image/blobs is a link out of the layout; use --shared-blobs if its blobs are shared on purpose";
    sandbox.refuses(GC, message);
    // Also if no entry refers to a document in the directory.
    sandbox.edit("image/index.json", |index| index["manifests"] = json!([]));
    sandbox.refuses(GC, message);
}

#[test]
#[cfg(unix)]
fn uploads_elsewhere_are_not_collected() {
    let sandbox = image();
    fs::create_dir(sandbox.path("home")).expect("made");
    for name in ["precious".to_owned(), "0".repeat(32)] {
        sandbox.write(&format!("home/{name}"), "precious");
        age(&sandbox, &format!("home/{name}"), Duration::from_secs(1 << 30));
    }
    sandbox.store("loose");
    std::os::unix::fs::symlink("../home", sandbox.path("image/.regshape-uploads")).expect("linked");
    sandbox.refuses(GC, "failed to read image/.regshape-uploads: not a directory");
    // And in a directory of its own only a file named like an upload is one.
    fs::remove_file(sandbox.path("image/.regshape-uploads")).expect("deleted");
    fs::rename(sandbox.path("home"), sandbox.path("image/.regshape-uploads")).expect("moved");
    sandbox.run(GC).succeeds(told("Deleted", (1, 5), (1, 8), (0, 0)), "");
    assert_eq!(sandbox.text("image/.regshape-uploads/precious"), "precious");
}

#[test]
#[cfg(unix)]
fn a_link_to_a_blobs_directory_does_not_make_blobs_garbage() {
    let sandbox = image();
    std::os::unix::fs::symlink("sha256", sandbox.path("image/blobs/blake3")).expect("linked");
    sandbox.run(GC).succeeds(deleted(0, 0), "");
    sandbox.has_blobs([MANIFEST, CONFIG, BASE, PATCHES]);
}

#[test]
fn an_index_may_list_missing_manifests() {
    // A copy of one platform of an image keeps the index as it is.
    let sandbox = image();
    let child = json!({"mediaType": MANIFEST_TYPE, "digest": MANIFEST, "size": MANIFEST_SIZE});
    let missing = json!({"mediaType": MANIFEST_TYPE, "digest": sha256(b"missing"), "size": 7});
    let sparse = document(&sandbox, INDEX_TYPE, &json!({"schemaVersion": 2, "manifests": [missing, child]}));
    sandbox.edit("image/index.json", |index| index["manifests"] = json!([sparse]));
    let all = sandbox.blobs();
    sandbox.store("loose");
    sandbox.run(GC).succeeds(deleted(1, 5), "");
    assert_eq!(sandbox.blobs(), all);
}

#[test]
#[cfg(unix)]
fn links_to_blobs_elsewhere_are_left_alone() {
    let sandbox = image();
    let digest = sha256(b"outside");
    sandbox.write("outside", "outside");
    std::os::unix::fs::symlink(sandbox.path("outside"), sandbox.path(blob_name(&digest))).expect("linked");
    sandbox.run(GC).succeeds(deleted(0, 0), "");
    assert_eq!(sandbox.text("outside"), "outside");
}

#[test]
fn another_directory_is_not_collected() {
    let sandbox = Sandbox::empty();
    fs::create_dir_all(sandbox.path("image/blobs/sha256")).expect("made");
    sandbox.store("loose");
    sandbox.refuses(GC, "image is not an OCI Image Layout (missing oci-layout file)");
}

#[test]
fn forty_writers_lose_nothing_to_collections_that_run_meanwhile() {
    let sandbox = Sandbox::built();
    sandbox.ok("layout manifest get --path image --ref latest --output manifest.json");
    let manifest = |number: usize| {
        let mut manifest = sandbox.json("manifest.json");
        manifest["annotations"] = json!({"number": number.to_string()});
        manifest.to_string()
    };
    let digests: Vec<String> = (0..40)
        .map(|number| {
            let content = manifest(number);
            sandbox.write(&format!("{number}.json"), &content);
            sha256(content.as_bytes())
        })
        .collect();
    let spawn = |words: String| {
        let mut command = sandbox.command();
        command.args(words.split(' ')).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().expect("it starts")
    };
    let mut children = Vec::new();
    for number in 0..40 {
        children.push(spawn(match number % 2 {
            0 => format!("layout manifest put --path image --file {number}.json --tag n{number} --quiet"),
            _ => format!("layout tag add --path image --ref latest n{number} --quiet"),
        }));
        if number % 4 == 0 {
            children.push(spawn(format!("{GC} --quiet")));
        }
    }
    for child in children {
        let outcome: Outcome = child.wait_with_output().expect("it ends").into();
        assert_eq!((outcome.status, outcome.stderr.as_str()), (0, ""), "{outcome:?}");
    }
    let mut tags: Vec<String> = (0..40).map(|number| format!("n{number}")).collect();
    tags.push("latest".to_owned());
    tags.sort();
    assert_eq!(sandbox.ok("layout tag list --path image"), format!("{}\n", tags.join("\n")));
    for (number, digest) in digests.iter().enumerate() {
        let found = sandbox.ok(&format!("layout manifest get --path image --ref n{number}"));
        let expected = if number % 2 == 0 { digest } else { MANIFEST };
        assert_eq!(sha256(found.as_bytes()), expected, "n{number}");
    }
    let put = digests.iter().step_by(2).map(String::as_str);
    sandbox.has_blobs([MANIFEST, CONFIG, BASE, PATCHES].into_iter().chain(put));
    sandbox.is_valid();
}

/// The blobs of a lost manifest are not known: its config and layers may be the only ones.
#[test]
fn nothing_is_deleted_where_a_manifest_is_missing() {
    let sandbox = Sandbox::built();
    fs::remove_file(sandbox.path("image/.regshape-stage.json")).expect("removed");
    fs::remove_file(sandbox.path(blob_name(MANIFEST))).expect("removed");
    let missing = format!("blob {MANIFEST} referenced by index.json does not exist");
    sandbox.refuses("layout gc --path image", &missing);
    sandbox.refuses(&format!("layout blob delete --path image --digest {BASE}"), &format!("{missing} (BLOB_UNKNOWN)"));
    sandbox.ok(&format!("layout manifest delete --path image --ref {MANIFEST}"));
    sandbox.ok("layout gc --path image");
    sandbox.has_blobs([]);
}

/// Collects unreferenced blobs, and nothing else.
#[track_caller]
fn keeps_all_but_the_loose(sandbox: &Sandbox, kept: &str) {
    let all = sandbox.blobs();
    sandbox.store("loose");
    sandbox.run(GC).succeeds(format!("{}{kept}", deleted(1, 5)), "");
    assert_eq!(sandbox.blobs(), all);
}

#[test]
fn blobs_of_documents_unknown_to_the_image_spec_are_kept() {
    let sandbox = image();
    let subject = json!({"mediaType": MANIFEST_TYPE, "digest": MANIFEST, "size": MANIFEST_SIZE});
    let sbom = json!({"mediaType": "application/spdx+json", "digest": sandbox.store("sbom"), "size": 4});
    let artifact = artifact(&sandbox, &subject, &[&sbom]);
    let old = schema_1(&sandbox, &[&sandbox.store("layer"), &sandbox.store("another")]);
    let keys = json!({sandbox.store("key"): {"in": {sandbox.store("deep"): 1}}});
    let keys = foreign(&sandbox, &keys, "application/vnd.example.keys+json");
    let thing = json!({"things": [{"in": {"another": sandbox.store("thing")}}]});
    let thing = foreign(&sandbox, &thing, "application/vnd.example.thing+json");
    list(&sandbox, &[&artifact, &old, &thing, &keys]);
    // The image has no entry, but is kept as a subject.
    let kept = kept(MANIFEST, digest(&artifact));
    keeps_all_but_the_loose(&sandbox, &kept);
    // The four, their blobs, and the parts of the image.
    assert_eq!(sandbox.blobs().len(), 4 + 6 + 4);
    let all = document(&sandbox, INDEX_TYPE, &index(&[&artifact, &old, &thing, &keys]));
    list(&sandbox, &[&all]);
    keeps_all_but_the_loose(&sandbox, &kept);
    assert_eq!(sandbox.blobs().len(), 1 + 4 + 6 + 4);
}

#[test]
fn blobs_of_an_embedded_document_are_kept() {
    let sandbox = image();
    let child = embedded(&sandbox, &json!({"mediaType": MANIFEST_TYPE, "digest": MANIFEST, "size": MANIFEST_SIZE}));
    let outer = document(&sandbox, INDEX_TYPE, &index(&[&child]));
    list(&sandbox, &[&outer]);
    keeps_all_but_the_loose(&sandbox, "");
    sandbox.has_blobs([digest(&outer), CONFIG, BASE, PATCHES]);
}

#[test]
fn content_listed_as_index_and_as_manifest_keeps_the_blobs_of_both() {
    let sandbox = image();
    let child = json!({"mediaType": MANIFEST_TYPE, "digest": MANIFEST, "size": MANIFEST_SIZE});
    let config = json!({"mediaType": "application/x", "digest": sandbox.store("{}"), "size": 2});
    let mut both = with(manifest(&config, &[&layer(&sandbox)]), json!({"manifests": [child]}));
    both.as_object_mut().expect("fields").remove("mediaType");
    let both = document(&sandbox, MANIFEST_TYPE, &both);
    let as_index = with(both.clone(), json!({"mediaType": INDEX_TYPE}));
    for entries in [[&both, &as_index], [&as_index, &both]] {
        list(&sandbox, &entries);
        keeps_all_but_the_loose(&sandbox, "");
        sandbox.has_blobs([digest(&both), &sha256(b"{}"), digest(&layer(&sandbox)), MANIFEST, CONFIG, BASE, PATCHES]);
    }
}

#[test]
fn a_broken_manifest_of_an_unknown_type_does_not_stop_a_collection() {
    let sandbox = image();
    let named = sandbox.store("named");
    let things = [
        json!({"config": 1, "layers": "x"}),
        json!({"manifests": {"of": "ships"}}),
        json!({"config": {"digest": named}, "layers": [{}]}),
    ];
    let things = things.map(|thing| foreign(&sandbox, &thing, "application/vnd.example.thing+json"));
    sandbox.edit("image/index.json", |index| {
        index["manifests"].as_array_mut().expect("a list").extend(things.clone());
    });
    keeps_all_but_the_loose(&sandbox, "");
    assert!(sandbox.blobs().contains(&named));
}

#[test]
fn a_blob_that_is_stored_again_is_young() {
    let sandbox = image();
    sandbox.write("x", "content");
    let upload = "layout blob upload --path image --file x";
    sandbox.ok(upload);
    let name = blob_name(&sha256(b"content"));
    let old = Duration::from_secs(2 * 3600);
    let words = format!("{GC} --keep-younger-than 1h");
    let kept = format!("{}             kept: 1 (7 B)\n", deleted(0, 0));
    for again in [upload, &format!("layout blob mount --path image --repo a --from b --digest {}", sha256(b"content"))]
    {
        age(&sandbox, &name, old);
        sandbox.ok(again);
        sandbox.run(&words).succeeds(&kept, "");
    }
    age(&sandbox, &name, old);
    sandbox.run(&words).succeeds(deleted(1, 7), "");

    // So is a blob from another layout, where it may be old.
    let there = "layouts/one/blobs/sha256/".to_owned() + &sha256(b"content")[7..];
    sandbox.ok("layout blob upload --path layouts --per-repo --repo one --file x");
    age(&sandbox, &there, old);
    sandbox.ok(&format!(
        "layout blob mount --path layouts --per-repo --repo two --from one --digest {}",
        sha256(b"content")
    ));
    sandbox.run("layout gc --path layouts/two --keep-younger-than 1h").succeeds(&kept, "");
    assert!(sandbox.path("layouts/two/blobs/sha256").join(&sha256(b"content")[7..]).exists());
}
