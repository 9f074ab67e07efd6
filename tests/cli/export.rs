//! `layout export`

use std::fs;

use serde_json::{Value, json};

use crate::registry::*;
use crate::support::*;
use crate::views::*;

/// Exports to `out.tar`, and compares the output and the archive.
#[track_caller]
fn gives(images: &Images, words: &str, entries: &[Value], blobs: &[Value]) {
    let sandbox = &images.sandbox;
    let words = format!("layout export --path image {words}");
    sandbox.run(&format!("{words} --output out.tar")).succeeds(told("Exported:", "out.tar", entries, blobs), "");
    holds(&sandbox.read("out.tar"), entries, blobs);
    sandbox.run(&format!("{words} --output out")).succeeds(told("Exported:", "out", entries, blobs), "");
    layout_holds(sandbox, "out", entries, blobs);
    fs::remove_dir_all(sandbox.path("out")).expect("it was made");
}

/// The descriptor of an image nested in an index, and the index as the program writes it.
fn made(image: &Value, entries: &[&Value]) -> Value {
    let content = index(entries);
    let text = content.to_string();
    with(image.clone(), json!({"digest": sha256(text.as_bytes()), "size": text.len()}))
}

#[test]
fn an_archive_holds_the_marker_the_blobs_depth_first_and_the_index() {
    let images = Images::new();
    let sandbox = &images.sandbox;
    // An unreferenced blob.
    sandbox.store("an orphan");
    gives(&images, "", &images.entries(), &images.all());
    let files = files(&sandbox.read("out.tar"));
    assert_eq!(files[0].1, sandbox.read("image/oci-layout"));
    assert_eq!(
        sandbox.ok_json("layout export --path image --output other.tar"),
        json!({
            "output": "other.tar", "dry_run": false, "blobs": counted(&images.all()), "present": counted(&[]),
            "left_out": counted(&[]), "manifests": images.entries(),
        })
    );
    assert_eq!(sandbox.read("other.tar"), sandbox.read("out.tar"));
}

#[test]
fn the_index_keeps_its_fields() {
    let images = Images::new();
    let sandbox = &images.sandbox;
    sandbox.edit("image/index.json", |index| {
        index["x-own"] = json!([1, null]);
        index["annotations"] = json!({"a": "b"});
        index["manifests"][1]["x-own"] = json!(2);
    });
    sandbox.ok("layout export --path image --output out.tar");
    let files = files(&sandbox.read("out.tar"));
    let (name, content) = files.last().expect("an entry");
    assert_eq!(name, "index.json");
    assert_eq!(serde_json::from_slice::<Value>(content).expect("JSON"), sandbox.index());
    sandbox.ok("layout export --path image --output out");
    assert_eq!(sandbox.json("out/index.json"), sandbox.index());
}

#[test]
fn the_file_name_or_the_flag_selects_the_format() {
    let images = Images::new();
    let sandbox = &images.sandbox;
    let plain = stream(sandbox, "layout export --path image --output -");
    holds(&plain, &images.entries(), &images.all());
    for (name, format, magic) in [
        ("a.tar", "", "plain"),
        ("A.TAR", "", "plain"),
        ("a.tar.gz", "", "gzip"),
        ("a.tgz", "", "gzip"),
        ("a.tar.zst", "", "zstd"),
        ("a.tzst", "", "zstd"),
        ("b.tar.gz", "--format oci-archive", "plain"),
        ("c", "--format oci-archive", "plain"),
        ("c.tar", "--format tar.gz", "gzip"),
        ("d", "--format tar.gz", "gzip"),
        ("e", "--format tar.zst", "zstd"),
        ("f", "", "directory"),
        ("f.d", "", "directory"),
        ("g.tar", "--format dir", "directory"),
        ("./new/parents/h", "", "directory"),
    ] {
        let words = format!("layout export --path image --output {name} {format}");
        sandbox.run(&words).succeeds(told("Exported:", name, &images.entries(), &images.all()), "");
        if magic == "directory" {
            layout_holds(sandbox, name.trim_start_matches("./"), &images.entries(), &images.all());
            continue;
        }
        let content = sandbox.read(name);
        let unpacked = match magic {
            "gzip" => gunzip(&content),
            "zstd" => zstd::decode_all(content.as_slice()).expect("sound"),
            _ => content.clone(),
        };
        assert!(unpacked == plain, "{words}");
        // The second time, the existing file is replaced.
        sandbox.ok(&words);
        assert!(sandbox.read(name) == content, "{words} again");
        if magic != "plain" {
            let format = if magic == "gzip" { "tar.gz" } else { "tar.zst" };
            assert!(stream(sandbox, &format!("layout export --path image --output - --format {format}")) == content);
        }
    }
    let before = sandbox.tree();
    sandbox.refuses(
        "layout export --path image --output - --format dir",
        "a layout cannot be written to standard output; choose another --format",
    );
    sandbox.run("layout export --path image --output - --json").is(
        2,
        "",
        "Error: --json prints to standard output; write the archive to a file with --output\n",
    );
    for words in
        ["", "--output x --format zip", "--output x --filter a", "--output x --filter =a", "--output x --annotation a"]
    {
        is_usage_error(sandbox, &format!("layout export --path image {words}"));
    }
    assert_eq!(sandbox.tree(), before);
}

#[cfg(unix)]
#[test]
fn files_and_directories_have_default_modes() {
    use std::os::unix::fs::PermissionsExt as _;
    let images = Images::new();
    let sandbox = &images.sandbox;
    sandbox.write("file", "");
    fs::create_dir(sandbox.path("directory")).expect("made");
    sandbox.ok("layout export --path image --output a.tar");
    sandbox.ok("layout export --path image --output a.tar.zst");
    sandbox.ok("layout export --path image --output a");
    let mode = |name: &str| fs::metadata(sandbox.path(name)).expect("there").permissions().mode() & 0o7777;
    let blob = format!("a/{}", blob_path(&images.index));
    for name in ["a.tar", "a.tar.zst", "a/index.json", "a/oci-layout", &blob] {
        assert_eq!(mode(name), mode("file"), "{name}");
    }
    for name in ["a", "a/blobs", "a/blobs/sha256"] {
        assert_eq!(mode(name), mode("directory"), "{name}");
    }
}

#[test]
fn references_select_entries() {
    let images = Images::new();
    let sandbox = &images.sandbox;
    let [v1, old] = images.entries();
    let (s390x, arm64) = (images.parts(&images.s390x), images.parts(&images.arm64));
    let of_v1 = once(images.all().into_iter().filter(|blob| !s390x[..2].contains(blob)));
    gives(&images, "--ref v1", only(&v1), &of_v1);
    gives(&images, "--ref old", only(&old), &s390x);
    // In the order of the flags, each entry once.
    let both = once(s390x.iter().cloned().chain(of_v1.iter().cloned()));
    gives(&images, "--ref old --ref v1 --ref old", &[old.clone(), v1.clone()], &both);
    let sha = digest(&images.s390x).to_owned();
    gives(&images, &format!("--ref {sha}"), only(&old), &s390x);
    gives(&images, &format!("--ref {}", &sha[7..27]), only(&old), &s390x);
    // Images that only a nested index lists.
    gives(&images, &format!("--ref {}", digest(&images.arm64)), only(&images.arm64), &arm64);
    sandbox
        .run("layout export --path image:old --output out.tar")
        .succeeds(told("Exported:", "out.tar", &[old], &s390x), "");
    let see = "'layout tag list' lists the tags";
    sandbox.refuses(
        "layout export --path image --ref v1 --ref v2 --output out",
        &format!("image has no manifest 'v2'; {see}"),
    );
    sandbox.refuses("layout export --path image:v2 --output out", &format!("image has no manifest 'v2'; {see}"));
    sandbox.refuses("layout export --path nowhere --output out", "File not found: nowhere");
    sandbox.refuses("layout export --path nowhere.tar --output out", "File not found: nowhere.tar");
}

#[test]
fn a_platform_reduces_indexes_to_matching_images() {
    let images = Images::new();
    let sandbox = &images.sandbox;
    let Images { amd64, arm64, s390x, attestation, index: all, .. } = &images;
    let [v1, old] = images.entries();
    // A single image replaces the index, and gets its name.
    gives(&images, "--platform linux/arm64", &[named(arm64, "v1")], &images.parts(arm64));
    gives(&images, "--platform linux/s390x", only(&old), &images.parts(s390x));
    gives(&images, "--platform linux/amd64 --no-attestations", &[named(amd64, "v1")], &images.parts(amd64));
    // With an attestation, an index is needed.
    let smaller = made(all, &[amd64, attestation]);
    let blobs = once([smaller.clone()].into_iter().chain(images.parts(amd64)).chain(images.parts(attestation)));
    gives(&images, "--platform linux/amd64", &[named(&smaller, "v1")], &blobs);
    // Several platforms.
    let smaller = made(all, &[amd64, arm64]);
    let blobs = once([smaller.clone()].into_iter().chain(images.parts(amd64)).chain(images.parts(arm64)));
    for words in [
        "--platform linux/amd64 --platform linux/arm64 --no-attestations",
        "--platform linux/arm64 --platform linux/amd64 --no-attestations",
        "--ref v1 --no-attestations",
    ] {
        gives(&images, words, &[named(&smaller, "v1")], &blobs);
    }
    let blobs = once(blobs.into_iter().chain(images.parts(s390x)));
    gives(&images, "--no-attestations", &[named(&smaller, "v1"), old.clone()], &blobs);
    // If all images are selected, the index is unchanged.
    let words = "--platform linux/amd64 --platform linux/arm64 --platform linux/s390x";
    gives(&images, words, &[v1, old], &images.all());
    sandbox.refuses(
        "layout export --path image --output out --platform linux/riscv64",
        "no linux/riscv64 image in 'image'; it has linux/amd64, linux/arm64, linux/s390x",
    );
    sandbox.run("layout export --path image --output out --platform linux").is(
        2,
        "",
        "Error: 'linux' is an operating system without an architecture; use linux/ARCHITECTURE, such as linux/amd64\n",
    );
}

#[test]
fn platforms_are_found_in_indexes_in_indexes() {
    let mut images = Images::new();
    let (inner, attestation) = (images.index.clone(), images.attestation.clone());
    let outer = document(&images.sandbox, &index(&[&inner, &images.s390x]));
    list(&images.sandbox, &[&named(&outer, "deep")]);
    images.index = outer.clone();
    gives(&images, "--platform linux/arm64", &[named(&images.arm64, "deep")], &images.parts(&images.arm64));
    let smaller_inner = made(&inner, &[&images.amd64, &images.arm64]);
    let smaller = made(&outer, &[&smaller_inner, &images.s390x]);
    let parts = [&images.amd64, &images.arm64, &images.s390x].into_iter().flat_map(|image| images.parts(image));
    let blobs = once([smaller.clone(), smaller_inner].into_iter().chain(parts));
    gives(&images, "--no-attestations", &[named(&smaller, "deep")], &blobs);
    let smaller_inner = made(&inner, &[&images.amd64, &attestation]);
    let parts = images.parts(&images.amd64).into_iter().chain(images.parts(&attestation));
    let blobs = once([smaller_inner.clone()].into_iter().chain(parts));
    gives(&images, "--platform linux/amd64", &[named(&smaller_inner, "deep")], &blobs);
}

#[test]
fn annotations_select_entries() {
    let images = Images::new();
    let sandbox = &images.sandbox;
    let entry =
        |name: &str, team: &str| with(images.s390x.clone(), json!({"annotations": {REF_NAME: name, "team": team}}));
    let (one, two) = (entry("one", "a"), entry("two", "a"));
    list(sandbox, &[&one, &named(&images.amd64, "x"), &two]);
    let blobs = images.parts(&images.s390x);
    gives(&images, "--filter team=a", &[one.clone(), two.clone()], &blobs);
    gives(&images, &format!("--filter team=a --filter {REF_NAME}=two"), &[two], &blobs);
    for (words, wanted) in [
        ("--filter team=b", "annotation 'team=b'"),
        ("--filter team=a --filter other=1", "annotations 'other=1', 'team=a'"),
        ("--ref x --filter team=a", "annotation 'team=a'"),
    ] {
        sandbox.refuses(
            &format!("layout export --path image --output out {words}"),
            &format!("no entry in image has the {wanted}"),
        );
    }
    // An empty layout is exported without an error, because no selection was given.
    list(sandbox, &[]);
    gives(&images, "", &[], &[]);
}

#[test]
fn an_index_is_unwrapped_and_wrapped() {
    let images = Images::new();
    let Images { amd64, arm64, attestation, .. } = &images;
    let [v1, old] = images.entries();
    let parts = [amd64, arm64, attestation].into_iter().flat_map(|image| images.parts(image));
    gives(&images, "--unwrap", &[amd64.clone(), arm64.clone(), attestation.clone()], &once(parts));
    // The index is unwrapped before platforms are selected.
    gives(&images, "--unwrap --platform linux/arm64", only(arm64), &images.parts(arm64));
    // There is no nested index.
    gives(&images, "--ref old --unwrap", only(&old), &images.parts(&images.s390x));
    let outer = |entries: &[&Value]| {
        let made = made(&json!({"mediaType": INDEX_TYPE}), entries);
        let blobs: Vec<_> = [made.clone()].into_iter().chain(images.all()).collect();
        (made, once(blobs))
    };
    let (both, blobs) = outer(&[&v1, &old]);
    gives(&images, "--wrap", only(&both), &blobs);
    gives(&images, "--wrap --ref-name v2", &[named(&both, "v2")], &blobs);
    let annotated = with(both.clone(), json!({"annotations": {"a": "b", "c": "d=e", REF_NAME: "v2"}}));
    gives(&images, "--wrap --ref-name v2 --annotation a=b --annotation c=d=e", &[annotated], &blobs);
    // The name that all entries have in common.
    let (one, _) = outer(&[&old]);
    let blobs = once([one.clone()].into_iter().chain(images.parts(&images.s390x)));
    gives(&images, "--ref old --wrap", &[named(&one, "old")], &blobs);
    // Unwrapping restores the original.
    let sandbox = &images.sandbox;
    sandbox.ok("layout export --path image --output wrapped.tar --wrap");
    sandbox.ok("layout export --path wrapped.tar --output again.tar --unwrap");
    sandbox.ok("layout export --path image --output once.tar");
    assert_eq!(sandbox.read("again.tar"), sandbox.read("once.tar"));
}

#[test]
fn an_entry_gets_annotations_and_a_name() {
    let images = Images::new();
    let sandbox = &images.sandbox;
    let [v1, old] = images.entries();
    let parts = images.parts(&images.s390x);
    gives(&images, "--ref old --ref-name example/app:v2", &[named(&old, "example/app:v2")], &parts);
    let annotate = |entry: &Value| {
        let mut entry = entry.clone();
        entry["annotations"]["a"] = json!("b");
        entry
    };
    gives(&images, "--annotation a=b", &[annotate(&v1), annotate(&old)], &images.all());
    sandbox.refuses(
        "layout export --path image --output out --ref-name v2",
        "--ref-name names one image, and 2 are selected; choose one with --ref, or use --wrap",
    );
    sandbox.refuses(
        "layout export --path image --output out --ref old --ref-name .v2",
        &format!("'.v2' {REF_NAME_GRAMMAR}").replace(" (NAME_INVALID)", ""),
    );
    // A ref name may be given as an annotation.
    let words = format!("--ref old --annotation {REF_NAME}=v2");
    gives(&images, &words, &[named(&old, "v2")], &parts);
    gives(&images, &format!("{words} --ref-name v3"), &[named(&old, "v3")], &parts);
    sandbox.refuses(
        &format!("layout export --path image --output out --ref old --annotation {REF_NAME}=.v2"),
        &format!("'.v2' {REF_NAME_GRAMMAR}").replace(" (NAME_INVALID)", ""),
    );
    sandbox.refuses(
        &format!("layout export --path image --output out --annotation {REF_NAME}=v2"),
        "--ref-name names one image, and 2 are selected; choose one with --ref, or use --wrap",
    );
    // Entries with several names for one image become a single entry with the new name.
    list(sandbox, &[&named(&images.s390x, "a"), &named(&images.s390x, "b")]);
    gives(&images, "--ref-name c", &[named(&images.s390x, "c")], &parts);
    // Images that share a name share the new name.
    list(sandbox, &[&named(&images.amd64, "a"), &named(&images.arm64, "a")]);
    let blobs = once(images.parts(&images.amd64).into_iter().chain(images.parts(&images.arm64)));
    gives(&images, "--ref-name c", &[named(&images.amd64, "c"), named(&images.arm64, "c")], &blobs);
}

#[test]
fn referrers_are_taken_and_their_referrers() {
    let images = Images::new();
    let sandbox = &images.sandbox;
    let [v1, old] = images.entries();
    let signature = document(sandbox, &about(sandbox, &images.s390x, "application/x-signature"));
    let about_signature = document(sandbox, &about(sandbox, &signature, "application/x-note"));
    let about_arm64 = document(sandbox, &about(sandbox, &images.arm64, "application/x-sbom"));
    list(sandbox, &[&about_signature, &v1, &old, &signature, &about_arm64]);
    let old_parts = images.parts(&images.s390x);
    gives(&images, "--ref old", only(&old), &old_parts);
    let blobs = [&signature, &about_signature].into_iter().flat_map(|entry| images.parts(entry));
    let blobs = once(old_parts.into_iter().chain(blobs));
    let outcome = sandbox.ok_json("layout export --path image --ref old --referrers --output out.tar");
    let taken = outcome["manifests"].as_array().expect("a list");
    assert_eq!(taken[0], old);
    assert_eq!(taken.len(), 3);
    assert!(taken.contains(&signature) && taken.contains(&about_signature));
    assert_eq!(outcome["blobs"], counted(&blobs));
    // A referrer of an image in an index.
    let blobs = once(images.parts(&images.arm64).into_iter().chain(images.parts(&about_arm64)));
    let words = "--platform linux/arm64 --referrers";
    gives(&images, words, &[named(&images.arm64, "v1"), about_arm64], &blobs);
    // The subject is not followed.
    let words = format!("--ref {}", digest(&signature));
    gives(&images, &words, only(&signature), &once(images.parts(&signature)));
}

#[test]
fn blobs_of_another_layout_are_left_out() {
    let images = Images::new();
    let sandbox = &images.sandbox;
    let [v1, old] = images.entries();
    sandbox.ok("layout export --path image --ref old --output there");
    let there = images.parts(&images.s390x);
    let new: Vec<_> =
        images.all().into_iter().filter(|blob| there.iter().all(|one| digest(one) != digest(blob))).collect();
    let entries = [v1, old];
    let text = told_all("Exported:", "out.tar", &entries, [("blobs", new.as_slice()), ("there already", &there)]);
    sandbox.run("layout export --path image --except there --output out.tar").succeeds(text, "");
    holds(&sandbox.read("out.tar"), &entries, &new);
    sandbox.refuses(
        "layout export --path image --except nowhere --output out.tar",
        "nowhere is not an OCI Image Layout (missing oci-layout file)",
    );
}

#[test]
fn a_dry_run_prints_the_result_and_writes_nothing() {
    let images = Images::new();
    let sandbox = &images.sandbox;
    let before = sandbox.tree();
    for output in ["out", "out.tar", "-", "new/parents/out"] {
        let words = format!("layout export --path image --dry-run --output {output}");
        sandbox.run(&words).succeeds(told("Would export:", output, &images.entries(), &images.all()), "");
        let value = sandbox.ok_json(&words);
        assert_eq!((&value["dry_run"], &value["blobs"]), (&json!(true), &counted(&images.all())));
        assert_eq!(sandbox.tree(), before);
    }
}

#[test]
fn blobs_available_elsewhere_are_left_out_on_request() {
    let images = Images::new();
    let sandbox = &images.sandbox;
    // A missing non-distributable layer does not need URLs.
    let of = |media_type: &str, more: Value| {
        let mut layer = json!({"mediaType": media_type, "digest": sha256(b"foreign"), "size": 7});
        layer.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        layer
    };
    let not_distributed = "application/vnd.oci.image.layer.nondistributable.v1.tar";
    for foreign in [
        of(not_distributed, json!({"urls": ["https://example.com/layer"]})),
        of(not_distributed, json!({"urls": []})),
        of("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", json!({})),
        of(TAR_TYPE, json!({"urls": ["https://example.com/layer"]})),
    ] {
        let layers = [&layer(sandbox), &foreign];
        let image = document(sandbox, &manifest(&config_of(sandbox, "amd64", &layers), &layers));
        list(sandbox, &[&image]);
        let missing = format!("blob {} referenced by {} does not exist", digest(&foreign), digest(&image));
        sandbox.refuses("layout export --path image --output out.tar", &format!("{missing}; use --allow-missing"));
        let blobs = &images.parts(&image)[..3];
        let foreign_only = only(&foreign);
        let text = told_all("Exported:", "out.tar", only(&image), [("blobs", blobs), ("left out", foreign_only)]);
        sandbox.run("layout export --path image --output out.tar --allow-missing").succeeds(text, "");
        holds(&sandbox.read("out.tar"), &[image], blobs);
        fs::remove_file(sandbox.path("out.tar")).expect("removed");
    }
    // A blob of this image alone.
    fs::remove_file(sandbox.path(blob_name(digest(&layer(sandbox))))).expect("it was there");
    list(sandbox, &[&images.s390x]);
    for more in ["", "--allow-missing"] {
        for output in ["out.tar", "out", "new/out"] {
            sandbox.refuses(
                &format!("layout export --path image --output {output} {more}"),
                &format!("blob {} referenced by {} does not exist", sha256(&[0; 1024]), digest(&images.s390x)),
            );
        }
    }
}

#[test]
fn a_blob_embedded_in_a_descriptor_is_written() {
    let images = Images::new();
    let sandbox = &images.sandbox;
    let content = r#"{"a":1}"#;
    let config = with(blob(sandbox, "application/x-config", content), json!({"data": "eyJhIjoxfQ=="}));
    fs::remove_file(sandbox.path(blob_name(digest(&config)))).expect("it was there");
    let artifact = document(sandbox, &manifest(&config, &[&layer(sandbox)]));
    list(sandbox, &[&artifact]);
    gives(&images, "", only(&artifact), &images.parts(&artifact));
}

#[cfg(unix)]
#[test]
fn blobs_are_linked_on_request() {
    use std::os::unix::fs::MetadataExt as _;
    let images = Images::new();
    let sandbox = &images.sandbox;
    let inode = |name: &str| fs::metadata(sandbox.path(name)).expect("there").ino();
    let blobs = images.all();
    sandbox
        .run("layout export --path image --output linked --link")
        .succeeds(told("Exported:", "linked", &images.entries(), &blobs), "");
    layout_holds(sandbox, "linked", &images.entries(), &blobs);
    sandbox.ok("layout export --path image --output copied");
    for blob in &blobs {
        let path = blob_path(blob);
        let own = inode(&format!("image/{path}"));
        assert_eq!(inode(&format!("linked/{path}")), own);
        assert_ne!(inode(&format!("copied/{path}")), own);
    }
    assert_ne!(inode("linked/index.json"), inode("image/index.json"));
    // In an archive nothing can be linked.
    sandbox.ok("layout export --path image --output linked.tar --link");
    holds(&sandbox.read("linked.tar"), &images.entries(), &blobs);
}

#[test]
fn an_existing_layout_is_extended_and_its_names_are_kept() {
    let images = Images::new();
    let sandbox = &images.sandbox;
    let [v1, old] = images.entries();
    let there = images.parts(&images.s390x);
    sandbox.ok("layout export --path image --ref old --output out");
    sandbox.edit("out/index.json", |index| index["x-own"] = json!(1));
    let new: Vec<_> =
        images.all().into_iter().filter(|blob| there.iter().all(|one| digest(one) != digest(blob))).collect();
    let entries = [v1.clone(), old.clone()];
    let text = told_all("Exported:", "out", &entries, [("blobs", new.as_slice()), ("there already", &there)]);
    sandbox.run("layout export --path image --output out").succeeds(text, "");
    layout_holds(sandbox, "out", &[old.clone(), v1.clone()], &images.all());
    assert_eq!(sandbox.json("out/index.json")["x-own"], json!(1));
    // A second export changes nothing.
    let before = sandbox.tree();
    let all = images.all();
    let text = told_all("Exported:", "out", &entries, [("blobs", &[][..]), ("there already", &all)]);
    sandbox.run("layout export --path image --output out").succeeds(text, "");
    assert_eq!(sandbox.tree(), before);
    // Another manifest with the same name.
    sandbox.refuses(
        "layout export --path image --ref old --ref-name v1 --output out",
        "out has another manifest 'v1' already; use --ref-name or --replace-tag",
    );
    let renamed = named(&images.s390x, "v1");
    let text = told_all("Exported:", "out", only(&renamed), [("blobs", &[][..]), ("there already", &there)]);
    sandbox.run("layout export --path image --ref old --ref-name v1 --output out --replace").succeeds(text, "");
    layout_holds(sandbox, "out", &[old, renamed, images.index.clone()], &images.all());
    // An existing directory that is no layout.
    fs::create_dir(sandbox.path("full")).expect("made");
    sandbox.write("full/file", "content");
    for output in ["full", "full/file"] {
        sandbox.refuses(
            &format!("layout export --path image --output {output}"),
            &format!("{output} is neither empty nor an OCI Image Layout"),
        );
    }
}

#[test]
fn a_corrupt_blob_is_an_error_and_the_export_leaves_nothing() {
    for (output, is_there) in [
        ("out.tar", true),
        ("out.tar", false),
        ("out.tar.gz", true),
        ("out.tar.zst", false),
        ("out", false),
        ("new/out", false),
        ("there", true),
    ] {
        let images = Images::new();
        let sandbox = &images.sandbox;
        if is_there {
            sandbox.ok(&format!("layout export --path image --ref old --output {output}"));
        }
        // A corrupt blob of the same size.
        let wrong = digest(&images.arm64).to_owned();
        let mut content = sandbox.blob(&wrong);
        let length = content.len();
        content[length - 1] = b' ';
        content[length - 2] = b'}';
        sandbox.write(&blob_name(&wrong), &content);
        let before = sandbox.tree();
        let outcome = sandbox.run(&format!("layout export --path image --output {output}"));
        assert_eq!((outcome.status, outcome.stdout.as_str()), (1, ""), "{output}: {outcome:?}");
        assert!(outcome.stderr.contains(&wrong), "{output}: {outcome:?}");
        assert_eq!(sandbox.tree(), before, "{output}");
    }
    // A layer, which is read only while it is copied.
    for output in ["out.tar", "out.tar.gz", "out", "new/parents/out"] {
        let images = Images::new();
        let sandbox = &images.sandbox;
        let wrong = sha256(&[0; 1024]);
        sandbox.write(&blob_name(&wrong), [1; 1024]);
        sandbox.refuses(
            &format!("layout export --path image --output {output}"),
            &format!("digest mismatch for {wrong}: expected {wrong}, got {}", sha256(&[1; 1024])),
        );
        sandbox.write(&blob_name(&wrong), [0; 1023]);
        sandbox.refuses(
            &format!("layout export --path image --output {output}"),
            &format!("size mismatch for {wrong}: expected 1024, got 1023"),
        );
    }
}

#[test]
fn a_corrupt_blob_in_the_target_is_replaced() {
    let images = Images::new();
    let sandbox = &images.sandbox;
    sandbox.ok("layout export --path image --output out");
    let wrong = format!("out/{}", blob_path(&layer(sandbox)));
    for content in [vec![1; 1024], vec![0; 5]] {
        sandbox.write(&wrong, &content);
        sandbox.ok("layout export --path image --output out");
        layout_holds(sandbox, "out", &images.entries(), &images.all());
    }
}

#[test]
fn round_trips_give_the_same_blobs_and_entries() {
    let images = Images::new();
    let sandbox = &images.sandbox;
    for name in ["a.tar", "a.tar.gz", "a.tar.zst"] {
        sandbox.ok(&format!("layout export --path image --output {name}"));
        let back = format!("from-{name}").replace('.', "-");
        sandbox.ok(&format!("layout import --path {back} --file {name}"));
        layout_holds(sandbox, &back, &images.entries(), &images.all());
        let again = format!("again-{name}");
        sandbox.ok(&format!("layout export --path {back} --output {again}"));
        assert!(sandbox.read(&again) == sandbox.read(name), "{name}");
        // From one archive to another.
        sandbox
            .run(&format!("layout export --path {name} --output other-{name}"))
            .succeeds(told("Exported:", &format!("other-{name}"), &images.entries(), &images.all()), "");
        assert!(sandbox.read(&format!("other-{name}")) == sandbox.read(name), "{name}");
        // A reference after the name of an archive.
        let parts = images.parts(&images.s390x);
        sandbox
            .run(&format!("layout export --path {name}:old --output part.tar"))
            .succeeds(told("Exported:", "part.tar", &[named(&images.s390x, "old")], &parts), "");
        holds(&sandbox.read("part.tar"), &[named(&images.s390x, "old")], &parts);
        // An archive exported over itself.
        let before = sandbox.read(name);
        sandbox.ok(&format!("layout export --path {name} --output {name}"));
        assert!(sandbox.read(name) == before, "{name}");
    }
    let input = sandbox.read("a.tar.gz");
    sandbox
        .run_with_input("layout export --path - --output from-stdin.tar", &input)
        .succeeds(told("Exported:", "from-stdin.tar", &images.entries(), &images.all()), "");
    assert!(sandbox.read("from-stdin.tar") == sandbox.read("a.tar"));
}

#[test]
fn a_docker_archive_has_the_fields_that_docker_reads() {
    let images = Images::new();
    let sandbox = &images.sandbox;
    let words = "layout export --path image --ref old --format docker-archive";
    let parts = images.parts(&images.s390x);
    let entry = named(&images.s390x, "example/app:v1");
    let text = told("Exported:", "out.tar", only(&entry), &parts);
    sandbox.run(&format!("{words} --ref-name example/app:v1 --output out.tar")).succeeds(text, "");
    let found = files(&sandbox.read("out.tar"));
    let names: Vec<_> = found.iter().map(|(name, _)| name.clone()).collect();
    let mut expected = vec!["oci-layout".to_owned()];
    expected.extend(parts.iter().map(blob_path));
    expected.extend(["manifest.json".to_owned(), "index.json".to_owned()]);
    assert_eq!(names, expected);
    let json = |name: &str| -> Value {
        let (_, content) = found.iter().find(|(other, _)| other == name).expect("it is there");
        serde_json::from_slice(content).expect("JSON")
    };
    let config = blob_path(&parts[1]);
    let layers = [blob_path(&parts[2])];
    assert_eq!(json("manifest.json"), json!([{"Config": config, "RepoTags": ["example/app:v1"], "Layers": layers}]));
    let mut full = entry.clone();
    full["annotations"]["io.containerd.image.name"] = json!("docker.io/example/app:v1");
    assert_eq!(json("index.json")["manifests"], json!([full]));
    // The same under any name, and to stdout.
    sandbox.ok(&format!("{words} --ref-name example/app:v1 --output out.tar.gz"));
    assert!(sandbox.read("out.tar.gz") == sandbox.read("out.tar"));
    assert!(stream(sandbox, &format!("{words} --ref-name example/app:v1 --output -")) == sandbox.read("out.tar"));
    // Without a name that Docker takes.
    let note = "'docker load' will show 'old' without a name; give it one with --ref-name REPOSITORY:TAG\n";
    let text = told("Exported:", "nameless.tar", &[named(&images.s390x, "old")], &parts);
    sandbox.run(&format!("{words} --output nameless.tar")).succeeds(text, note);
    let found = files(&sandbox.read("nameless.tar"));
    let (_, content) = found.iter().find(|(name, _)| name == "manifest.json").expect("it is there");
    assert_eq!(
        serde_json::from_slice::<Value>(content).expect("JSON"),
        json!([{"Config": config, "RepoTags": null, "Layers": layers}])
    );
    // Several names of one image, and several images.
    list(
        sandbox,
        &[&named(&images.s390x, "app:1"), &named(&images.amd64, "localhost:5000/b:2"), &named(&images.s390x, "app:2")],
    );
    sandbox.ok("layout export --path image --format docker-archive --output several.tar");
    let found = files(&sandbox.read("several.tar"));
    let (_, content) = found.iter().find(|(name, _)| name == "manifest.json").expect("it is there");
    let amd64 = images.parts(&images.amd64);
    assert_eq!(
        serde_json::from_slice::<Value>(content).expect("JSON"),
        json!([
            {"Config": config, "RepoTags": ["app:1", "app:2"], "Layers": layers},
            {"Config": blob_path(&amd64[1]), "RepoTags": ["localhost:5000/b:2"], "Layers": layers},
        ])
    );
    // It is read unchanged.
    sandbox.ok("layout import --path back --file several.tar");
    sandbox.ok("layout validate --path back");
}

#[test]
fn a_docker_archive_cannot_hold_everything() {
    let images = Images::new();
    let sandbox = &images.sandbox;
    let export = "layout export --path image --format docker-archive --output out.tar --ref-name app:v1";
    let refuses = |words: &str, what: &str| {
        sandbox.refuses(&format!("{export} {words}"), &format!("a Docker archive cannot hold {what}"));
        sandbox.refuses(&format!("{export} --dry-run {words}"), &format!("a Docker archive cannot hold {what}"));
    };
    refuses("--ref v1", "the index app:v1: it has images for several platforms; choose one with --platform");
    sandbox.ok(&format!("{export} --ref v1 --platform linux/arm64"));
    fs::remove_file(sandbox.path("out.tar")).expect("it was made");
    let zstd = blob(sandbox, ZSTD_TYPE, "not looked into");
    let image = document(sandbox, &manifest(&config(sandbox, "amd64"), &[&zstd]));
    list(sandbox, &[&image]);
    refuses("", &format!("layer {}: it is compressed with zstd", digest(&zstd)));
    let artifact = document(sandbox, &about(sandbox, &images.s390x, "application/x-signature"));
    list(sandbox, &[&artifact]);
    refuses("", &format!("{}: it is no image; its config is {EMPTY_TYPE}", digest(&artifact)));
    let xml = blob(sandbox, "application/xml", "<x/>");
    list(sandbox, &[&xml]);
    refuses("", &format!("{}: it is no image, but application/xml", digest(&xml)));
}

#[test]
fn a_docker_archive_of_a_layout_with_other_content_holds_its_images() {
    let images = Images::new();
    let sandbox = &images.sandbox;
    let image = named(&images.s390x, "app:v1");
    let xml = blob(sandbox, "application/xml", "<x/>");
    let signature = named(&document(sandbox, &about(sandbox, &images.s390x, "application/x-signature")), "app:sig");
    list(sandbox, &[&xml, &image, &signature]);
    let notes = format!(
        "{} is left out: a Docker archive holds images, and this is application/xml\n\
         'app:sig' is left out: a Docker archive holds images, and this is {MANIFEST_TYPE}\n",
        digest(&xml)
    );
    let text = told("Exported:", "out.tar", only(&image), &images.parts(&image));
    sandbox.run("layout export --path image --format docker-archive --output out.tar").succeeds(text, notes);
    sandbox.ok("layout import --path back --file out.tar");
    sandbox.ok("layout validate --path back");
}

#[test]
fn the_source_date_is_the_time_of_the_entries_of_an_archive() {
    let images = Images::new();
    let sandbox = &images.sandbox;
    let export = |seconds: &str, words: &str| -> Outcome {
        let mut command = sandbox.command();
        command.args(words.split_whitespace()).env("SOURCE_DATE_EPOCH", seconds);
        command.output().expect("the program runs").into()
    };
    let text = |title, output| told(title, output, &images.entries(), &images.all());
    let words = "layout export --path image --output";
    export("1000000000", &format!("{words} a.tar")).succeeds(text("Exported:", "a.tar"), "");
    export("1000000000", &format!("{words} a")).succeeds(text("Exported:", "a"), "");
    export("1000000000", "layout join --path image:old --output b.tar");
    for name in ["a.tar", "b.tar"] {
        let archive = sandbox.read(name);
        let mut count = 0;
        for entry in tar::Archive::new(archive.as_slice()).entries().expect("a tar") {
            assert_eq!(entry.expect("sound").header().mtime().expect("a time"), 1_000_000_000);
            count += 1;
        }
        assert!(count > 3, "{name}");
    }
    layout_holds(sandbox, "a", &images.entries(), &images.all());
    export("", &format!("{words} c.tar")).succeeds(text("Exported:", "c.tar"), "");
    holds(&sandbox.read("c.tar"), &images.entries(), &images.all());
    let before = sandbox.tree();
    for words in [&format!("{words} d.tar"), "layout join --path image:old --output d.tar"] {
        export("today", words).fails("Error: SOURCE_DATE_EPOCH is 'today', not a number of seconds since 1970\n");
        assert_eq!(sandbox.tree(), before);
    }
}

#[test]
fn every_requested_platform_must_exist() {
    let images = Images::new();
    images.sandbox.refuses(
        "layout export --path image --ref v1 --output out --platform linux/amd64 --platform linux/riscv64",
        "no linux/riscv64 image in 'image:v1'; it has linux/amd64, linux/arm64",
    );
}

#[test]
fn an_image_with_an_attestation_becomes_a_docker_archive_without_it() {
    let images = Images::new();
    let sandbox = &images.sandbox;
    sandbox.ok("layout export --path image --ref v1 --platform linux/amd64 --ref-name app:v1 --format docker-archive --output out.tar");
    let found = files(&sandbox.read("out.tar"));
    let (_, content) = found.iter().find(|(name, _)| name == "manifest.json").expect("it is there");
    let list: Value = serde_json::from_slice(content).expect("JSON");
    assert_eq!((list.as_array().map(Vec::len), &list[0]["RepoTags"]), (Some(1), &json!(["app:v1"])));
}

#[test]
fn a_directory_of_any_name_is_a_directory() {
    let images = Images::new();
    let sandbox = &images.sandbox;
    sandbox.ok("layout init --path image.tar");
    sandbox.ok("layout export --path image --output image.tar");
    sandbox.ok("layout validate --path image.tar");
    assert_eq!(sandbox.json("image.tar/index.json")["manifests"], json!(images.entries()));
}
