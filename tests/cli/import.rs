//! `layout import`

use std::fs;

use serde_json::{Value, json};

use crate::registry::*;
use crate::support::*;
use crate::views::*;

const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";

/// Creates the images of [`Images`], and an archive of them in `a.tar`.
fn archived() -> Images {
    let images = Images::new();
    images.sandbox.ok("layout export --path image --output a.tar");
    images
}

/// Returns the descriptor of a document that is not stored.
fn descriptor(media_type: &str, content: &str) -> Value {
    json!({"mediaType": media_type, "digest": sha256(content.as_bytes()), "size": content.len()})
}

#[test]
fn an_archive_with_any_compression_becomes_a_layout() {
    let images = archived();
    let sandbox = &images.sandbox;
    let plain = sandbox.read("a.tar");
    let xz = {
        let mut child = std::process::Command::new("xz")
            .arg("-zc")
            .arg(sandbox.path("a.tar"))
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .ok();
        child.take().map(|child| child.wait_with_output().expect("it ends").stdout)
    };
    if xz.is_none() {
        eprintln!("no archive is compressed with xz: there is no xz here");
    }
    let compressed = [Some(plain.clone()), Some(gzip(&plain)), Some(zstd(&plain)), xz];
    for (at, content) in compressed.into_iter().enumerate().filter_map(|(at, content)| Some((at, content?))) {
        // The format is detected from the content, not from the name.
        let name = format!("archive{at}");
        sandbox.write(&name, &content);
        let told = |output: &str| told("Imported:", output, &images.entries(), &images.all());
        let output = format!("out{at}");
        sandbox.run(&format!("layout import --path {output} --file {name}")).succeeds(told(&output), "");
        layout_holds(sandbox, &output, &images.entries(), &images.all());
        let output = format!("new/parents/out{at}");
        let outcome = sandbox.run_with_input(&format!("layout import --path {output} --file -"), &content);
        outcome.succeeds(told(&output), "");
        layout_holds(sandbox, &output, &images.entries(), &images.all());
    }
}

#[test]
fn json_counts_the_written_blobs() {
    let images = archived();
    let sandbox = &images.sandbox;
    let value = |blobs: &[Value], present: &[Value]| {
        json!({
            "output": "out", "dry_run": false, "blobs": counted(blobs), "present": counted(present),
            "left_out": counted(&[]), "manifests": images.entries(),
        })
    };
    assert_eq!(sandbox.ok_json("layout import --path out --file a.tar"), value(&images.all(), &[]));
    let before = sandbox.tree();
    assert_eq!(sandbox.ok_json("layout import --path out --file a.tar"), value(&[], &images.all()));
    assert_eq!(sandbox.tree(), before);
}

#[test]
fn a_layout_is_imported_too() {
    let images = archived();
    let sandbox = &images.sandbox;
    sandbox
        .run("layout import --path out --file image")
        .succeeds(told("Imported:", "out", &images.entries(), &images.all()), "");
    layout_holds(sandbox, "out", &images.entries(), &images.all());
}

#[test]
fn a_part_is_imported_under_another_name() {
    let images = archived();
    let sandbox = &images.sandbox;
    let Images { amd64, arm64, s390x, .. } = &images;
    let old = named(s390x, "old");
    for (at, (words, entries, blobs)) in [
        ("--file a.tar --ref old", vec![old.clone()], images.parts(s390x)),
        ("--file a.tar:old", vec![old.clone()], images.parts(s390x)),
        ("--file a.tar --ref old --ref old", vec![old], images.parts(s390x)),
        ("--file a.tar --ref old --ref-name v2", vec![named(s390x, "v2")], images.parts(s390x)),
        ("--file a.tar --platform linux/arm64", vec![named(arm64, "v1")], images.parts(arm64)),
        ("--file a.tar --platform linux/s390x --ref-name v2", vec![named(s390x, "v2")], images.parts(s390x)),
        ("--file a.tar --ref v1 --ref-name v2", vec![named(&images.index, "v2")], {
            let parts = [amd64, arm64, &images.attestation].into_iter().flat_map(|image| images.parts(image));
            once([images.index.clone()].into_iter().chain(parts))
        }),
    ]
    .into_iter()
    .enumerate()
    {
        let output = format!("out{at}");
        sandbox
            .run(&format!("layout import --path {output} {words}"))
            .succeeds(told("Imported:", &output, &entries, &blobs), "");
        layout_holds(sandbox, &output, &entries, &blobs);
    }
    for (words, message) in [
        ("--file a.tar --ref-name v2", "--ref-name names one image, and 2 are selected; choose one with --ref"),
        ("--file a.tar --ref v2", "a.tar has no manifest 'v2'; 'layout inspect' lists its images"),
        (
            "--file a.tar --platform linux/riscv64",
            "no linux/riscv64 image in 'a.tar'; it has linux/amd64, linux/arm64, linux/s390x",
        ),
        ("--file nowhere.tar", "File not found: nowhere.tar"),
        ("--file -", "- is empty"),
    ] {
        sandbox.refuses(&format!("layout import --path out {words}"), message);
        sandbox.refuses(&format!("layout import --path new/parents/out {words}"), message);
        sandbox.refuses(&format!("layout import --path image {words}"), message);
    }
    is_usage_error(sandbox, "layout import --path out");
    sandbox.misuses(
        "layout import --file a.tar",
        "which layout? name it with -p DIR or REGSHAPE_LAYOUT, or run the command in a layout",
    );
}

#[test]
fn entries_are_added_and_others_stay() {
    let images = archived();
    let sandbox = &images.sandbox;
    let other = Sandbox::built();
    let before = other.index();
    other.write("a.tar", sandbox.read("a.tar"));
    other
        .run("layout import --path image --file a.tar")
        .succeeds(told("Imported:", "image", &images.entries(), &images.all()), "");
    let [v1, old] = images.entries();
    assert_eq!(listed(&other), json!([before["manifests"][0], v1, old]));
    // The staging file and its blobs are unchanged.
    other.ok("layout generate manifest --path image --ref-name latest");
    assert_eq!(listed(&other)[0], before["manifests"][0]);
    let digests = [BASE, PATCHES, CONFIG, MANIFEST].into_iter().map(str::to_owned);
    let expected = digests.chain(images.all().iter().map(|blob| digest(blob).to_owned())).collect();
    assert_eq!(other.blobs(), expected);
}

#[test]
fn a_taken_name_is_replaced_only_on_request() {
    let images = archived();
    let sandbox = &images.sandbox;
    let [v1, old] = images.entries();
    let other = on(&image(sandbox, "ppc64le"), "ppc64le");
    list(
        sandbox,
        &[&named(&other, "v1"), &named(&images.amd64, "v1"), &named(&images.arm64, "x"), &named(&images.arm64, "old")],
    );
    let message = "image has another manifest 'v1' already; use --ref-name or --replace-tag";
    sandbox.refuses("layout import --path image --file a.tar", message);
    sandbox.refuses("layout import --path image --file a.tar --ref old --ref-name v1", message);
    let all = images.all();
    sandbox
        .run("layout import --path image --file a.tar --replace")
        .succeeds(told_all("Imported:", "image", &images.entries(), [("blobs", &[][..]), ("there already", &all)]), "");
    // A manifest without another name still has an entry, unless the imported index contains it.
    assert_eq!(listed(sandbox), json!([v1, named(&images.arm64, "x"), old, other]));
}

#[test]
fn a_directory_that_is_no_layout_is_left_alone() {
    let images = archived();
    let sandbox = &images.sandbox;
    for name in ["empty", "full", "broken", "newer"] {
        fs::create_dir(sandbox.path(name)).expect("made");
    }
    sandbox.write("full/file", "content");
    sandbox.write("broken/oci-layout", "{");
    sandbox.write("newer/oci-layout", r#"{"imageLayoutVersion":"2.0.0"}"#);
    sandbox.refuses("layout import --path full --file a.tar", "full is neither empty nor an OCI Image Layout");
    sandbox
        .refuses("layout import --path full/file --file a.tar", "full/file is neither empty nor an OCI Image Layout");
    sandbox.refuses(
        "layout import --path newer --file a.tar",
        "Invalid imageLayoutVersion in oci-layout: '2.0.0', expected '1.0.0'",
    );
    let before = sandbox.tree();
    let outcome = sandbox.run("layout import --path broken --file a.tar");
    outcome.fails_with(1, predicates::str::starts_with("Error: oci-layout at broken is malformed: "));
    assert_eq!(sandbox.tree(), before);
    sandbox
        .run("layout import --path empty --file a.tar")
        .succeeds(told("Imported:", "empty", &images.entries(), &images.all()), "");
    layout_holds(sandbox, "empty", &images.entries(), &images.all());
}

#[test]
fn images_missing_in_the_archive_cause_a_warning() {
    let images = Images::new();
    let sandbox = &images.sandbox;
    let [v1, _] = images.entries();
    // A layout as in a skopeo copy of a single platform.
    fs::remove_file(sandbox.path(blob_name(digest(&images.arm64)))).expect("it was there");
    sandbox.ok("layout export --path image --ref v1 --allow-missing --output a.tar");
    let parts = [&images.amd64, &images.attestation].into_iter().flat_map(|image| images.parts(image));
    let blobs = once([images.index.clone()].into_iter().chain(parts));
    let left_out = only(&images.arm64);
    let entries = only(&v1);
    let text = told_all("Imported:", "out", entries, [("blobs", blobs.as_slice()), ("left out", left_out)]);
    let warning = "Warning: 1 blob that it refers to is not in a.tar: no image for linux/arm64\n";
    sandbox.run("layout import --path out --file a.tar").succeeds(text, warning);
    assert_eq!(sandbox.json("out/index.json")["manifests"], json!([v1]));
    let value = sandbox.ok_json("layout import --path other --file a.tar");
    assert_eq!(value["left_out"], counted(left_out));
    assert_eq!(value["warnings"], json!(["1 blob that it refers to is not in a.tar: no image for linux/arm64"]));
    // A missing layer is an error.
    fs::remove_file(sandbox.path(blob_name(&sha256(&[0; 1024])))).expect("it was there");
    let manifest = digest(&images.amd64);
    sandbox.refuses(
        "layout import --path third --file image",
        &format!("blob {} referenced by {manifest} does not exist", sha256(&[0; 1024])),
    );
}

#[test]
fn a_docker_archive_becomes_a_layout() {
    let sandbox = Sandbox::empty();
    let layers = [base_tar(), patches_tar()];
    let [base, patches] = [BASE_DIFF_ID, PATCHES_DIFF_ID];
    let config = json!({
        "architecture": "arm64", "os": "linux", "variant": "v8", "rootfs": {"type": "layers", "diff_ids": [base, patches, base]},
    })
    .to_string();
    let layer = |content: &[u8]| json!({"digest": sha256(content), "mediaType": TAR_TYPE, "size": content.len()});
    let [base, patches] = [layer(&layers[0]), layer(&layers[1])];
    let config_descriptor = descriptor(CONFIG_TYPE, &config);
    let manifest = manifest(&config_descriptor, &[&base, &patches, &base]).to_string();
    let image = with(
        descriptor(MANIFEST_TYPE, &manifest),
        json!({"platform": {"architecture": "arm64", "os": "linux", "variant": "v8"}}),
    );
    let list = json!([{
        "Config": "config.json", "RepoTags": ["example/app:v1", "app:latest"],
        "Layers": ["a/layer.tar", "b/layer.tar", "a/layer.tar"],
    }])
    .to_string();
    let archive = tar_of(&[
        ("a/VERSION", b"1.0"),
        ("a/layer.tar", &layers[0]),
        ("b/layer.tar", &layers[1]),
        ("config.json", config.as_bytes()),
        ("manifest.json", list.as_bytes()),
        ("repositories", b"{}"),
    ]);
    sandbox.write("a.tar", &archive);
    let entries = [named(&image, "example/app:v1"), named(&image, "app:latest")];
    let blobs = [image.clone(), config_descriptor, base, patches];
    sandbox.run("layout import --path out --file a.tar").succeeds(told("Imported:", "out", &entries, &blobs), "");
    layout_holds(&sandbox, "out", &entries, &blobs);
    assert_eq!(sandbox.read(&format!("out/{}", blob_path(&image))), manifest.as_bytes());
    let outcome = sandbox.run_with_input("layout import --path gz --file -", &gzip(&archive));
    outcome.succeeds(told("Imported:", "gz", &entries, &blobs), "");
    // The image by one of its names.
    let one = &entries[1..];
    sandbox
        .run("layout import --path one --file a.tar --ref app:latest")
        .succeeds(told("Imported:", "one", one, &blobs), "");
    // A layer that does not match its config.
    let archive = tar_of(&[
        ("a/layer.tar", &layers[1]),
        ("b/layer.tar", &layers[1]),
        ("config.json", config.as_bytes()),
        ("manifest.json", list.as_bytes()),
    ]);
    sandbox.write("wrong.tar", archive);
    sandbox.refuses(
        "layout import --path wrong --file wrong.tar",
        &format!(
            "wrong.tar: entry 'a/layer.tar' is not the layer that the config says: expected {BASE_DIFF_ID}, got {PATCHES_DIFF_ID}"
        ),
    );
    for (list, reason) in [
        ("null", "manifest.json is null, not a list of images".to_owned()),
        ("[]", "manifest.json lists no image".to_owned()),
        (r#"[{"Config":"x"}]"#, "manifest.json refers to 'x', which does not exist".to_owned()),
        (
            r#"[{"Config":"config.json","Layers":[]}]"#,
            "manifest.json lists 0 layers for 'config.json', which has 3".to_owned(),
        ),
    ] {
        sandbox.write("wrong.tar", tar_of(&[("config.json", config.as_bytes()), ("manifest.json", list.as_bytes())]));
        sandbox.refuses(
            "layout import --path wrong --file wrong.tar",
            &format!("wrong.tar is not an image archive: {reason}"),
        );
    }
}

#[test]
fn a_directory_with_an_image_becomes_a_layout() {
    let sandbox = Sandbox::empty();
    fs::create_dir(sandbox.path("dir")).expect("made");
    let store = |content: &[u8], ending: &str| {
        let sha = sha256(content);
        sandbox.write(&format!("dir/{}{ending}", &sha[7..]), content);
        sha
    };
    sandbox.write("dir/version", "Directory Transport Version: 1.1\n");
    let layer = gzip(&base_tar());
    let config = json!({
        "architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [BASE_DIFF_ID]},
    })
    .to_string();
    let (layer_digest, config_digest) = (store(&layer, ""), store(config.as_bytes(), ""));
    let made = |manifest: &str, config_type: &str, layer_type: &str| {
        json!({
            "schemaVersion": 2, "mediaType": manifest,
            "config": {"mediaType": config_type, "digest": config_digest, "size": config.len()},
            "layers": [{"mediaType": layer_type, "digest": layer_digest, "size": layer.len()}],
        })
        .to_string()
    };
    let docker = made(DOCKER_MANIFEST, DOCKER_CONFIG, DOCKER_LAYER);
    let oci = made(MANIFEST_TYPE, CONFIG_TYPE, GZIP_TYPE);
    let image = on(&descriptor(MANIFEST_TYPE, &oci), "amd64");
    let blobs = [
        image.clone(),
        descriptor(CONFIG_TYPE, &config),
        json!({"mediaType": GZIP_TYPE, "digest": layer_digest, "size": layer.len()}),
    ];
    for (name, manifest) in [("docker", &docker), ("oci", &oci)] {
        sandbox.write("dir/manifest.json", manifest);
        let entries = [named(&image, "v1")];
        sandbox
            .run(&format!("layout import --path {name} --file dir --ref-name v1"))
            .succeeds(told("Imported:", name, &entries, &blobs), "");
        layout_holds(&sandbox, name, &entries, &blobs);
        assert_eq!(
            sandbox.json(&format!("{name}/{}", blob_path(&image))),
            serde_json::from_str::<Value>(&oci).expect("JSON")
        );
    }
    // An index of several images.
    store(docker.as_bytes(), ".manifest.json");
    let platform = json!({"architecture": "amd64", "os": "linux"});
    let of = |media_type: &str, manifest: &Value| {
        json!({"schemaVersion": 2, "mediaType": media_type, "manifests": [manifest]}).to_string()
    };
    let entry = with(descriptor(DOCKER_MANIFEST, &docker), json!({"platform": platform}));
    sandbox.write("dir/manifest.json", of(DOCKER_LIST, &entry));
    let all = descriptor(INDEX_TYPE, &of(INDEX_TYPE, &image));
    let blobs: Vec<_> = [all.clone()].into_iter().chain(blobs).collect();
    sandbox
        .run("layout import --path several --file dir")
        .succeeds(told("Imported:", "several", only(&all), &blobs), "");
    layout_holds(&sandbox, "several", only(&all), &blobs);
    // With a missing blob.
    fs::remove_file(sandbox.path(format!("dir/{}", &layer_digest[7..]))).expect("it was there");
    sandbox.refuses(
        "layout import --path missing --file dir",
        // The error names the stored manifest, not the converted one.
        &format!("blob {layer_digest} referenced by {} does not exist", sha256(docker.as_bytes())),
    );
}

#[test]
fn invalid_and_unsafe_archives_are_rejected_by_name() {
    let images = archived();
    let sandbox = &images.sandbox;
    let sound = sandbox.read("a.tar");
    let sound = &sound[..sound.len() - 1024];
    let entry = |name: &[u8], kind: tar::EntryType, target: &str| {
        let mut header = tar::Header::new_gnu();
        header.as_gnu_mut().expect("it is one").name[..name.len()].copy_from_slice(name);
        header.set_entry_type(kind);
        header.set_mode(0o644);
        header.set_size(0);
        header.as_gnu_mut().expect("it is one").linkname[..target.len()].copy_from_slice(target.as_bytes());
        header.set_cksum();
        let mut archive = sound.to_vec();
        archive.extend_from_slice(header.as_bytes());
        archive.extend_from_slice(&[0; 1024]);
        archive
    };
    use tar::EntryType;
    for (name, kind, target, starts) in [
        (&b"../evil"[..], EntryType::Regular, "", "entry '../evil' has '..' in its name"),
        (b"blobs/../../evil", EntryType::Regular, "", "entry 'blobs/../../evil' has '..' in its name"),
        (b"/etc/passwd", EntryType::Regular, "", "entry '/etc/passwd' has an absolute name"),
        (b"a\\..\\b", EntryType::Regular, "", "entry 'a\\\\..\\\\b' has a backslash in its name"),
        (b"link", EntryType::Symlink, "/etc/passwd", "entry 'link' "),
        (b"link", EntryType::Link, "../oci-layout", "entry 'link' "),
        (b"null", EntryType::Char, "", "entry 'null' "),
        (b"disk", EntryType::Block, "", "entry 'disk' "),
        (b"pipe", EntryType::Fifo, "", "entry 'pipe' "),
    ] {
        let archive = entry(name, kind, target);
        sandbox.write("evil.tar", &archive);
        sandbox.write("evil.tar.gz", gzip(&archive));
        for file in ["evil.tar", "evil.tar.gz"] {
            for words in [
                format!("layout import --path out --file {file}"),
                format!("layout import --path image --file {file}"),
                format!("layout inspect --file {file}"),
                format!("layout export --path {file} --output out.tar"),
                format!("layout join --path image --path {file} --output out.tar"),
            ] {
                let before = sandbox.tree();
                let message = format!("Error: {file}: {starts}");
                sandbox.run(&words).fails_with(1, predicates::str::starts_with(message));
                assert_eq!(sandbox.tree(), before, "{words}");
            }
        }
    }
    // Files that are no image archives.
    let marker = sandbox.read("image/oci-layout");
    let cut = &sound[..sound.len() - 700];
    for (content, message) in [
        (Vec::new(), "bad is empty"),
        (
            patches_tar(),
            "bad is not an image archive: it has neither oci-layout nor manifest.json; 'layout add layer' adds a root file system as a layer",
        ),
        (tar_of(&[("index.json", b"{}")]), "bad is not an image archive: it has index.json, but no oci-layout"),
        (
            tar_of(&[("my-image/oci-layout", &marker)]),
            "bad is not an image archive: its layout is not at its top, but in 'my-image'",
        ),
        (tar_of(&[("oci-layout", &marker)]), "index.json at bad is not a valid OCI Image Index; the file is missing"),
        (
            tar_of(&[("oci-layout", br#"{"imageLayoutVersion":"9"}"#), ("index.json", b"{}")]),
            "Invalid imageLayoutVersion in oci-layout: '9', expected '1.0.0'",
        ),
        (b"not a tar at all".repeat(100), "bad is not an image archive: "),
        (cut.to_vec(), "bad is not an image archive: "),
        (gzip(sound)[..2000].to_vec(), "bad is not a sound gzip stream: "),
    ] {
        sandbox.write("bad", &content);
        for words in [
            "layout import --path out --file bad",
            "layout import --path image --file bad",
            "layout inspect --file bad",
        ] {
            let before = sandbox.tree();
            sandbox.run(words).fails_with(1, predicates::str::starts_with(format!("Error: {message}")));
            assert_eq!(sandbox.tree(), before, "{words}");
        }
    }
}

#[test]
fn a_corrupt_blob_in_an_archive_leaves_nothing() {
    let images = archived();
    let sandbox = &images.sandbox;
    let mut wrong = sandbox.read("a.tar");
    let blobs = images.all();
    let at = {
        let mut archive = tar::Archive::new(wrong.as_slice());
        let mut entries = archive.entries().expect("a tar").map(|entry| entry.expect("sound"));
        let layer = blob_path(&layer(sandbox));
        let entry = entries.find(|entry| entry.path_bytes() == layer.as_bytes()).expect("it is there");
        usize::try_from(entry.raw_file_position()).expect("small")
    };
    wrong[at + 5] = 1;
    sandbox.write("wrong.tar", &wrong);
    let sha = sha256(&[0; 1024]);
    let message = format!("digest mismatch for {sha}: expected {sha}, got {}", sha256(&wrong[at..at + 1024]));
    for words in ["--path out", "--path new/parents/out"] {
        sandbox.refuses(&format!("layout import {words} --file wrong.tar"), &message);
    }
    fs::create_dir(sandbox.path("empty")).expect("made");
    sandbox.refuses("layout import --path empty --file wrong.tar", &message);
    // Into a layout without that blob.
    sandbox.ok("layout init --path there");
    sandbox.refuses("layout import --path there --file wrong.tar", &message);
    assert!(blobs.len() > 5);
}

#[test]
fn blobs_that_an_export_left_out_are_taken_from_the_layout() {
    let images = Images::new();
    let sandbox = &images.sandbox;
    let [v1, old] = images.entries();
    sandbox.ok("layout export --path image --ref old --output there");
    sandbox.ok("layout export --path image --except there --output a.tar");
    // The layer that all images share.
    let (layer, first) = (sha256(&[0; 1024]), digest(&images.amd64));
    let message = format!("blob {layer} referenced by {first} does not exist");
    sandbox.refuses("layout import --path new --file a.tar", &message);
    sandbox.ok("layout init --path empty");
    sandbox.refuses("layout import --path empty --file a.tar", &message);
    let there = images.parts(&images.s390x);
    let new = images.all().into_iter().filter(|blob| there.iter().all(|one| digest(one) != digest(blob)));
    let new: Vec<_> = new.collect();
    let text =
        told_all("Imported:", "there", &images.entries(), [("blobs", new.as_slice()), ("there already", &there)]);
    sandbox.run("layout import --path there --file a.tar").succeeds(text, "");
    layout_holds(sandbox, "there", &[old, v1], &images.all());
}

/// Returns a Docker archive, with one layer and a name for each config.
fn saved(images: &[(&str, &[u8], &str)]) -> Vec<u8> {
    let named: Vec<_> =
        images.iter().enumerate().map(|(at, image)| (format!("{at}.json"), format!("{at}.tar"), image)).collect();
    let list: Vec<_> = named
        .iter()
        .map(|(config, layer, (_, _, name))| json!({"Config": config, "RepoTags": [name], "Layers": [layer]}))
        .collect();
    let list = json!(list).to_string();
    let mut files: Vec<(&str, &[u8])> = vec![("manifest.json", list.as_bytes())];
    for (config, layer, (content, bytes, _)) in &named {
        files.push((config, content.as_bytes()));
        files.push((layer, bytes));
    }
    tar_of(&files)
}

fn config_of(architecture: &str, diff_id: &str) -> String {
    json!({"architecture": architecture, "os": "linux", "rootfs": {"type": "layers", "diff_ids": [diff_id]}})
        .to_string()
}

#[test]
fn a_compressed_layer_is_compared_with_the_config_too() {
    let sandbox = Sandbox::empty();
    let config = config_of("amd64", BASE_DIFF_ID);
    let right = gzip(&base_tar());
    sandbox.write("right.tar", saved(&[(&config, &right, "app:1")]));
    sandbox.ok("layout import --path right --file right.tar");
    sandbox.ok("layout validate --path right --deep");
    sandbox.write("other.tar", saved(&[(&config, &gzip(&patches_tar()), "app:1")]));
    sandbox.refuses(
        "layout import --path out --file other.tar",
        &format!("other.tar: entry '0.tar' is not the layer that the config says: expected {BASE_DIFF_ID}, got {PATCHES_DIFF_ID}"),
    );
    sandbox.write("short.tar", saved(&[(&config, &right[..right.len() / 2], "app:1")]));
    let outcome = sandbox.run("layout import --path out --file short.tar");
    assert_eq!((outcome.status, outcome.stdout.as_str()), (1, ""));
    assert!(outcome.stderr.starts_with("Error: short.tar: entry '0.tar' is not a sound gzip stream: "), "{outcome:?}");
    assert!(!sandbox.path("out").exists());
}

#[test]
fn of_two_images_with_one_name_the_last_keeps_the_name() {
    let sandbox = Sandbox::empty();
    let base = base_tar();
    let configs = ["amd64", "arm64"].map(|architecture| config_of(architecture, BASE_DIFF_ID));
    sandbox.write("two.tar", saved(&[(&configs[0], &base, "app:1"), (&configs[1], &base, "app:1")]));
    sandbox.ok("layout import --path out --file two.tar");
    let index = sandbox.json("out/index.json");
    let of = |at: usize| &index["manifests"][at];
    assert_eq!(index["manifests"].as_array().map(Vec::len), Some(2));
    assert_eq!((&of(0)["platform"]["architecture"], of(0).get("annotations")), (&json!("amd64"), None));
    assert_eq!(of(1)["annotations"], json!({REF_NAME: "app:1"}));
    assert_eq!(of(1)["platform"]["architecture"], "arm64");
}

#[test]
fn the_path_may_contain_the_name() {
    let images = archived();
    let sandbox = &images.sandbox;
    sandbox.ok("layout import --path out --file a.tar --ref old");
    sandbox.ok("layout import --path out:again --file a.tar --ref old");
    assert_eq!(sandbox.ok("layout tag list --path out"), "again\nold\n");
    assert!(!sandbox.path("out:again").exists());
}

#[cfg(unix)]
#[test]
fn a_layout_with_shared_blobs_is_extended_only_with_a_flag() {
    let images = archived();
    let sandbox = &images.sandbox;
    sandbox.ok("layout init --path shared");
    fs::rename(sandbox.path("shared/blobs"), sandbox.path("store")).expect("moved");
    std::os::unix::fs::symlink("../store", sandbox.path("shared/blobs")).expect("linked");
    let words = "layout import --path shared --file a.tar --ref old";
    assert_eq!(sandbox.run(words).status, 1);
    sandbox.ok(&format!("{words} --shared-blobs"));
    sandbox.ok("layout validate --path shared --shared-blobs");
}
