//! The selection of images by `--platform`, in all commands that have the flag.

use std::fs;

use serde_json::{Value, json};

use crate::registry::*;
use crate::support::*;
use crate::views::only;

/// Stores an image with a platform in its config, and returns a descriptor with the same platform.
fn image_on(sandbox: &Sandbox, platform: &str) -> Value {
    let platform = platform_value(platform);
    with(image_that_says(sandbox, &platform), json!({"platform": platform}))
}

/// Stores an image with a platform in its config.
fn image_that_says(sandbox: &Sandbox, platform: &Value) -> Value {
    let rootfs = json!({"type": "layers", "diff_ids": [layer(sandbox)["digest"]]});
    let config = blob(sandbox, CONFIG_TYPE, &with(platform.clone(), json!({"rootfs": rootfs})).to_string());
    document(sandbox, &manifest(&config, &[&layer(sandbox)]))
}

/// Parses a platform: `OS ARCHITECTURE VARIANT VERSION FEATURES`, where the last three may be `-`.
fn platform_value(text: &str) -> Value {
    let fields: Vec<&str> = text.split(' ').collect();
    let mut value = json!({"os": fields[0], "architecture": fields[1]});
    for (name, at) in [("variant", 2), ("os.version", 3)] {
        if let Some(field) = fields.get(at).filter(|field| **field != "-") {
            value = with(value, json!({name: field}));
        }
    }
    match fields.get(4) {
        Some(features) => with(value, json!({"os.features": features.split(',').collect::<Vec<_>>()})),
        None => value,
    }
}

/// Returns the digest of the single image of an export.
#[track_caller]
fn exported(sandbox: &Sandbox, words: &str) -> String {
    let _ = fs::remove_dir_all(sandbox.path("out"));
    let value = sandbox.ok_json(&format!("layout {words}"));
    let manifests = value["manifests"].as_array().expect("a list");
    assert_eq!(manifests.len(), 1, "{words}: {value}");
    let mut entry = manifests[0].clone();
    // An index with only this image is exported unchanged.
    while entry["mediaType"] == INDEX_TYPE {
        let index = sandbox.json(&format!("out/{}", crate::views::blob_path(&entry)));
        assert_eq!(index["manifests"].as_array().map(Vec::len), Some(1), "{words}: {index}");
        entry = index["manifests"][0].clone();
    }
    digest(&entry).to_owned()
}

/// Runs every command that selects an image by platform.
#[track_caller]
fn all_take(sandbox: &Sandbox, platform: &str, expected: &Value) {
    let ask = format!("--platform {platform}");
    let expected = digest(expected);
    let took = |command: &str, found: &str| assert_eq!(found, expected, "{command} {ask}");
    for command in ["descriptor", "info"] {
        let value = sandbox.ok_json(&format!("layout manifest {command} --path image --ref v1 {ask}"));
        took(command, digest(&value));
    }
    let got = sandbox.ok(&format!("layout manifest get --path image --ref v1 {ask}"));
    took("get", &sha256(got.as_bytes()));
    let inspected = sandbox.ok_json(&format!("layout inspect --path image:v1 {ask}"));
    assert_eq!(inspected["images"].as_array().map(Vec::len), Some(1), "{ask}");
    took("inspect", digest(&inspected["images"][0]));
    for words in ["export --path image --output out", "export --path image --ref v1 --output out"] {
        took(words, &exported(sandbox, &format!("{words} {ask}")));
    }
    took("import", &exported(sandbox, &format!("import --path out --file image {ask}")));
}

/// Stores entries under the name `v1`: in one index, in nested indexes, and without an index.
fn list_in_every_way(sandbox: &Sandbox, entries: &[&Value], check: impl Fn()) {
    let nested = |entries: &[&Value]| document(sandbox, &index(entries));
    list(sandbox, &[&named(&nested(entries), "v1")]);
    check();
    let (first, others) = entries.split_first().expect("an entry");
    list(sandbox, &[&named(&nested(&[&nested(others), first]), "v1")]);
    check();
    let all: Vec<Value> = entries.iter().map(|entry| named(entry, "v1")).collect();
    list(sandbox, &all.iter().collect::<Vec<_>>());
    check();
}

/// The platforms of some images; and requested platforms, each with the image that is the best match.
type Table = (&'static [&'static str], &'static [(&'static str, usize)]);

#[test]
fn all_commands_select_the_best_image_at_any_nesting() {
    let sandbox = Sandbox::new();
    let tables: [Table; 5] = [
        (
            &["linux amd64 v3", "linux amd64", "linux amd64 v2", "linux 386"],
            &[
                ("linux/amd64", 1),
                ("linux/amd64/v1", 1),
                ("linux/amd64/v2", 2),
                ("linux/amd64/v4", 0),
                ("amd64", 1),
                ("x86_64", 1),
                ("i386", 3),
            ],
        ),
        (&["linux arm64 v8", "linux arm64", "linux arm v7"], &[("linux/arm64", 1), ("linux/arm64/v8", 0), ("arm", 2)]),
        (
            &["linux arm v8", "linux arm v5", "linux arm64 v8", "linux arm v6", "linux arm v7"],
            &[
                ("linux/arm", 4),
                ("linux/arm/v6", 3),
                ("linux/arm/v8", 0),
                ("armhf", 4),
                ("armel", 3),
                ("arm/v5", 1),
                ("aarch64", 2),
                ("linux/arm64/v9", 2),
            ],
        ),
        (
            &["windows amd64 - 10.0.17763.1", "windows amd64 - 10.0.20348.2", "windows amd64 - 10.0.17763.9"],
            &[
                ("windows(10.0.17763)/amd64", 2),
                ("windows(10.0.17763.1)/amd64", 0),
                ("windows(10.0.17763.5)/amd64", 2),
                ("windows(10.0.20348)/amd64", 1),
                ("windows/amd64", 1),
            ],
        ),
        (
            &["windows amd64 - 1.2.3.4 win32k", "windows amd64 - 1.2.3.3"],
            &[("windows/amd64", 1), ("windows(1.2.3.4)/amd64", 1), ("windows(1.2.3+win32k)/amd64", 0)],
        ),
    ];
    for (platforms, asked) in tables {
        let images: Vec<Value> = platforms.iter().map(|platform| image_on(&sandbox, platform)).collect();
        let mut entries: Vec<&Value> = images.iter().collect();
        for _ in 0..2 {
            list_in_every_way(&sandbox, &entries, || {
                asked.iter().for_each(|(platform, expected)| all_take(&sandbox, platform, &images[*expected]));
            });
            entries.reverse();
        }
    }
}

#[test]
fn a_platform_only_in_the_config_is_matched() {
    let sandbox = Sandbox::new();
    let [v3, v1] = ["linux amd64 v3", "linux amd64"].map(|text| image_that_says(&sandbox, &platform_value(text)));
    list_in_every_way(&sandbox, &[&v3, &v1], || all_take(&sandbox, "linux/amd64", &v1));
}

#[test]
fn a_lower_variant_is_named_in_a_note_and_in_the_json() {
    let sandbox = Sandbox::new();
    let v2 = image_on(&sandbox, "linux amd64 v2");
    list(&sandbox, &[&named(&document(&sandbox, &index(&[&v2])), "v1")]);
    let note = "No image for linux/amd64/v4; using linux/amd64/v2\n";
    let said = json!({"asked": "linux/amd64/v4", "taken": "linux/amd64/v2"});
    for words in [
        "manifest get --path image --ref v1",
        "manifest descriptor --path image --ref v1",
        "manifest info --path image --ref v1",
        "inspect --path image",
        "export --path image --output out.tar",
        "import --path other --file image",
    ] {
        let outcome = sandbox.run(&format!("layout {words} --platform linux/amd64/v4"));
        assert_eq!((outcome.status, outcome.stderr.as_str()), (0, note), "{words}");
        let exact = sandbox.run(&format!("layout {words} --platform linux/amd64/v2"));
        assert_eq!((exact.status, exact.stderr.as_str()), (0, ""), "{words}");
        let value = sandbox.ok_json(&format!("layout {words} --platform linux/amd64/v4"));
        match words {
            _ if words.starts_with("manifest get") => {}
            _ if words.starts_with("manifest descriptor") => assert_eq!(value["platform"]["variant"], json!("v2")),
            _ if words.starts_with("manifest info") => assert_eq!(value["lower_variant"], said),
            _ => assert_eq!(value["lower_variants"], json!([said]), "{words}"),
        }
    }
    // A higher variant does not match.
    sandbox.refuses(
        "layout export --path image:v1 --output none --platform linux/amd64",
        "no linux/amd64 image in 'image:v1'; it has linux/amd64/v2",
    );
}

#[test]
fn each_platform_and_each_name_gets_its_best_image() {
    let sandbox = Sandbox::new();
    let [v1, v2, v3, arm] = ["linux amd64", "linux amd64 v2", "linux amd64 v3", "linux arm v6"]
        .map(|platform| image_on(&sandbox, platform));
    let both = document(&sandbox, &index(&[&v3, &arm, &v1]));
    list(&sandbox, &[&named(&both, "one"), &named(&v2, "two"), &named(&v1, "three")]);
    let export = |words: &str| {
        let value = sandbox.ok_json(&format!("layout export --path image --output out --dry-run {words}"));
        let manifests = value["manifests"].as_array().expect("a list").clone();
        manifests.iter().map(|entry| digest(entry).to_owned()).collect::<Vec<_>>()
    };
    let digests = |entries: &[&Value]| entries.iter().map(|entry| digest(entry).to_owned()).collect::<Vec<_>>();
    assert_eq!(export("--platform linux/amd64"), digests(&[&v1, &v1]));
    assert_eq!(export("--platform linux/amd64/v2"), digests(&[&v1, &v2, &v1]));
    assert_eq!(export("--platform linux/amd64/v3 --ref one"), digests(&[&v3]));
    assert_eq!(export("--platform linux/amd64/v3 --platform linux/amd64 --platform arm --ref one"), digests(&[&both]));
    // Entries without names are treated like an index.
    list(&sandbox, &[&v3, &v1, &v2, &arm]);
    assert_eq!(export("--platform linux/amd64/v2"), digests(&[&v2]));
    assert_eq!(export("--platform linux/arm --platform linux/amd64"), digests(&[&v1, &arm]));
}

#[test]
fn a_missing_image_is_reported_by_its_platform() {
    let sandbox = Sandbox::new();
    let [amd64, arm64, arm] =
        ["linux amd64", "linux arm64", "linux arm v7"].map(|platform| image_on(&sandbox, platform));
    let all = document(&sandbox, &index(&[&amd64, &arm64, &arm]));
    list(&sandbox, &[&named(&all, "v1")]);
    for gone in [&arm64, &arm] {
        fs::remove_file(sandbox.path(blob_name(digest(gone)))).expect("it was there");
    }
    let message = "the manifest for linux/arm64 is not stored in image; linux/amd64 is";
    for words in ["inspect --path image", "export --path image --output out", "import --path out --file image"] {
        sandbox.refuses(&format!("layout {words} --platform linux/arm64"), message);
    }
    let several = "--platform linux/amd64 --platform linux/arm64";
    sandbox.refuses(&format!("layout export --path image --output out {several}"), message);
    for command in ["get", "info"] {
        sandbox.refuses(
            &format!("layout manifest {command} --path image --ref v1 --platform linux/arm64"),
            &format!("{message} (MANIFEST_UNKNOWN)"),
        );
    }
    // The index still has the descriptor.
    let value = sandbox.ok_json("layout manifest descriptor --path image --ref v1 --platform linux/arm64");
    assert_eq!(value, arm64);
    let way_out = format!("{message}; use --allow-missing or --platform");
    sandbox.refuses("layout export --path image --output out", &way_out);
    sandbox.refuses("layout export --path image --output out --no-attestations --wrap", &way_out);
    sandbox.refuses(
        "layout join --path image --output out",
        &format!("{message}; first export the stored ones with 'layout export --platform'"),
    );
    sandbox.refuses(
        "layout export --path image --output out --platform linux/s390x",
        "no linux/s390x image in 'image'; it has linux/amd64",
    );
    sandbox.ok("layout export --path image --output all.tar --allow-missing");
    sandbox.ok("layout export --path image --output one.tar --platform linux/amd64");
    let warning = "2 blobs that it refers to are not in all.tar: no image for linux/arm64, linux/arm/v7";
    let value = sandbox.ok_json("layout import --path back --file all.tar");
    assert_eq!(value["warnings"], json!([warning]));
}

#[test]
fn of_equally_good_images_a_stored_one_is_selected() {
    let sandbox = Sandbox::new();
    let stored = image_on(&sandbox, "linux arm64 v8");
    let absent = json!({"mediaType": MANIFEST_TYPE, "digest": sha256(b"absent"), "size": 6});
    for platform in ["linux arm64", "linux arm64 v8"] {
        let absent = with(absent.clone(), json!({"platform": platform_value(platform)}));
        for entries in [[&absent, &stored], [&stored, &absent]] {
            list(&sandbox, &[&named(&document(&sandbox, &index(&entries)), "v1")]);
            all_take(&sandbox, "linux/arm64", &stored);
            all_take(&sandbox, "linux/arm64/v8", &stored);
        }
    }
}

#[test]
fn no_message_has_the_digest_of_a_generated_index() {
    let sandbox = Sandbox::new();
    let [amd64, arm64] = ["linux amd64", "linux arm64"].map(|platform| image_on(&sandbox, platform));
    // A manifest without a platform that is not stored.
    let absent = json!({"mediaType": MANIFEST_TYPE, "digest": sha256(b"absent"), "size": 6});
    let attestation = crate::views::attestation(&sandbox, &amd64);
    let all = document(&sandbox, &index(&[&amd64, &arm64, &absent, &attestation]));
    list(&sandbox, &[&named(&all, "v1")]);
    let message = format!("blob {} referenced by {} does not exist", sha256(b"absent"), digest(&all));
    for words in ["", "--no-attestations", "--no-attestations --wrap", "--wrap"] {
        sandbox.refuses(&format!("layout export --path image --output out {words}"), &message);
    }
    fs::remove_file(sandbox.path(blob_name(digest(&attestation)))).expect("it was there");
    sandbox.refuses(
        "layout export --path image --output out --platform linux/amd64",
        &format!("blob {} referenced by {} does not exist", digest(&attestation), digest(&all)),
    );
    sandbox.refuses(
        "layout export --path image --output out --unwrap --wrap",
        &format!("blob {} referenced by index.json does not exist", sha256(b"absent")),
    );
}

#[test]
fn an_empty_operating_system_or_architecture_is_no_platform() {
    let sandbox = Sandbox::new();
    let amd64 = image_on(&sandbox, "linux amd64");
    for empty in [json!({"os": "", "architecture": ""}), json!({"os": "linux", "architecture": ""})] {
        let nothing = image_that_says(&sandbox, &empty);
        let says_nothing = with(nothing.clone(), json!({"platform": empty}));
        // The config has the platform that the entry lacks.
        let said_inside = with(image_that_says(&sandbox, &platform_value("linux arm64")), json!({"platform": empty}));
        let all = document(&sandbox, &index(&[&says_nothing, &amd64, &said_inside]));
        list(&sandbox, &[&named(&all, "v1"), &nothing]);
        let tree = sandbox.ok("layout show --tree --path image");
        assert!(!tree.contains("linux/ ") && !tree.contains(" / ") && !tree.contains("unknown"), "{tree}");
        assert!(tree.contains("linux/arm64") && tree.contains("3 images"), "{tree}");
        all_take(&sandbox, "linux/arm64", &said_inside);
        all_take(&sandbox, "linux/amd64", &amd64);
        sandbox.refuses(
            "layout inspect --path image --platform linux/s390x",
            "no linux/s390x image in 'image'; it has linux/amd64, linux/arm64",
        );
        let info = sandbox.ok_json("layout manifest info --path image --ref v1");
        assert_eq!(info["platforms"], json!(["linux/amd64"]));
        let info = sandbox.ok_json(&format!("layout manifest info --path image --ref {}", digest(&nothing)));
        assert_eq!(info["platform"], Value::Null);
        let inspected = sandbox.ok_json(&format!("layout inspect --path image --ref {}", digest(&nothing)));
        assert_eq!(inspected["images"][0]["platform"], Value::Null);
        // A newly stored entry gets no empty platform.
        sandbox.write("m.json", sandbox.blob(digest(&nothing)));
        sandbox.ok("layout manifest put --path image --file m.json --tag put");
        let entries = sandbox.json("image/index.json")["manifests"].as_array().expect("a list").clone();
        assert!(
            entries
                .iter()
                .filter(|entry| digest(entry) == digest(&nothing))
                .all(|entry| entry.get("platform").is_none())
        );
        list(&sandbox, &[&named(&all, "v1")]);
        sandbox.ok("layout export --path image --output kept");
        let kept: Value =
            serde_json::from_slice(&sandbox.read(&format!("kept/{}", crate::views::blob_path(&all)))).expect("JSON");
        assert_eq!(kept["manifests"][0]["platform"], empty);
        fs::remove_dir_all(sandbox.path("kept")).expect("it was made");
    }
}

#[test]
fn a_manifest_without_a_layer_of_a_layers_type_is_no_image() {
    let sandbox = Sandbox::new();
    let amd64 = image_on(&sandbox, "linux amd64");
    let signature = blob(&sandbox, "application/vnd.dev.cosign.simplesigning.v1+json", "{}");
    let config = |text: &str| blob(&sandbox, CONFIG_TYPE, text);
    let like = config(r#"{"architecture":"arm64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}"#);
    let signed = document(&sandbox, &manifest(&like, &[&signature]));
    let typed = document(&sandbox, &with(manifest(&like, &[&layer(&sandbox)]), json!({"artifactType": "a/b"})));
    let without_layers = document(&sandbox, &manifest(&like, &[]));
    // Some programs write the config type as `artifactType`.
    let said = with(
        document(
            &sandbox,
            &manifest(
                &config(r#"{"architecture":"s390x","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}"#),
                &[],
            ),
        ),
        json!({"artifactType": CONFIG_TYPE}),
    );
    for (entries, images) in [
        (vec![&amd64, &signed], 1),
        (vec![&signed, &amd64, &typed], 1),
        (vec![&signed], 0),
        (vec![&typed], 0),
        (vec![&amd64, &without_layers], 2),
        (vec![&amd64, &signed, &without_layers, &said], 3),
    ] {
        list_in_every_way(&sandbox, &entries, || {
            let tree = sandbox.ok_json("layout show --tree --path image");
            assert_eq!(tree["totals"]["images"], json!(images));
            let inspected = sandbox.ok_json("layout inspect --path image");
            assert_eq!(inspected["images"].as_array().map(Vec::len), Some(images));
            assert_eq!(inspected["multi_platform"], json!(images > 1));
        });
    }
    list(&sandbox, &[&named(&signed, "v1")]);
    sandbox.refuses(
        "layout manifest get --path image --ref v1 --platform linux/arm64",
        "no linux/arm64 image in 'v1'; it has no known platform (MANIFEST_UNKNOWN)",
    );
    assert_eq!(sandbox.ok_json("layout manifest info --path image --ref v1")["platform"], Value::Null);
    assert_eq!(sandbox.json("image/index.json")["manifests"], json!(only(&named(&signed, "v1"))));
}

#[test]
fn versions_of_an_operating_system_are_joined_and_shown() {
    let sandbox = Sandbox::new();
    let [first, second, features] =
        ["windows amd64 - 10.0.17763.1", "windows amd64 - 10.0.20348.1", "windows amd64 - 10.0.20348.1 win32k"]
            .map(|platform| image_that_says(&sandbox, &platform_value(platform)));
    let same = with(image_on(&sandbox, "linux arm64 v8"), json!({"annotations": {"k": "v"}}));
    let arm64 = image_on(&sandbox, "linux arm64");
    for (name, entries) in
        [("a", vec![&first]), ("b", vec![&second]), ("c", vec![&features]), ("d", vec![&same]), ("e", vec![&arm64])]
    {
        list(&sandbox, &entries);
        sandbox.ok(&format!("layout export --path image --output {name}"));
    }
    let shown = ["windows(10.0.17763.1)/amd64", "windows(10.0.20348.1)/amd64", "windows(10.0.20348.1+win32k)/amd64"];
    let outcome = sandbox.run("layout join -p a -p b -p c -o joined --ref-name v1");
    assert_eq!((outcome.status, outcome.stderr.as_str()), (0, ""));
    let info = sandbox.ok_json("layout manifest info --path joined --ref v1");
    assert_eq!(info["platforms"], json!(shown));
    let tree = sandbox.ok("layout show --tree --path joined");
    let inspected = sandbox.ok("layout inspect --path joined");
    for platform in shown {
        assert!(tree.contains(platform) && inspected.contains(platform), "{tree}{inspected}");
    }
    let tree = sandbox.ok_json("layout show --tree --path joined");
    assert_eq!(tree["roots"][0]["children"][2]["platform"], platform_value("windows amd64 - 10.0.20348.1 win32k"));
    // Images with the same platform in different spellings are reported.
    let outcome = sandbox.run("layout join -p d -p e -o other");
    let warning = "Warning: several images are for linux/arm64: programs take the first\n";
    assert_eq!((outcome.status, outcome.stderr.as_str()), (0, warning));
}

#[test]
fn nonstandard_platform_names_are_rejected_in_a_config() {
    let sandbox = Sandbox::staged();
    let generate = |words: &str, message: &str| {
        sandbox.misuses(&format!("layout generate config --path image {words}"), message);
    };
    let message = |word: &str, kind: &str, right: &str| {
        format!("'{word}' is not the word that image configs have for this {kind}; use {right}")
    };
    for (word, right) in
        [("x86_64", "amd64"), ("aarch64", "arm64"), ("armhf", "arm"), ("i386", "386"), ("AMD64", "amd64")]
    {
        generate(&format!("--architecture {word}"), &message(word, "architecture", right));
    }
    generate("--os macos", &message("macos", "operating system", "darwin"));
    sandbox.ok("layout generate config --path image --architecture riscv128 --os unheard-of");
    sandbox.misuses(
        "layout update config --path image --architecture x86-64",
        &message("x86-64", "architecture", "amd64"),
    );
    sandbox.misuses("layout update config --path image --os Linux", &message("Linux", "operating system", "linux"));
}

#[test]
fn equally_good_images_of_one_name_are_all_selected() {
    let sandbox = Sandbox::new();
    let platform = platform_value("linux amd64");
    let one = image_on(&sandbox, "linux amd64");
    let other = image_that_says(&sandbox, &with(platform.clone(), json!({"author": "another"})));
    let other = with(other, json!({"platform": platform}));
    list(&sandbox, &[&named(&one, "v1"), &named(&other, "v1"), &named(&one, "v1")]);
    let exported = sandbox.ok_json("layout export --path image:v1 --platform linux/amd64 --output out");
    assert_eq!(exported["manifests"], json!([named(&one, "v1"), named(&other, "v1")]));
    let inspected = sandbox.ok_json("layout inspect --path image:v1 --platform linux/amd64");
    let digests: Vec<&str> = inspected["images"].as_array().expect("a list").iter().map(digest).collect();
    assert_eq!(digests, [digest(&one), digest(&other)]);
    let result = sandbox.run("layout manifest get --path image --ref v1 --platform linux/amd64");
    assert!(
        result.status == 1 && result.stderr.starts_with("Error: image has 2 manifests 'v1': "),
        "{}",
        result.stderr
    );
}

#[test]
fn an_image_is_preferred_to_an_artifact_for_the_same_platform() {
    let sandbox = Sandbox::new();
    let image = image_on(&sandbox, "linux amd64");
    let (config, content) = (blob(&sandbox, CONFIG_TYPE, "{}"), blob(&sandbox, "application/x-signature", "signed"));
    let signature = document(&sandbox, &manifest(&config, &[&content]));
    let signature = with(signature, json!({"platform": {"os": "linux", "architecture": "amd64"}}));
    let both = document(&sandbox, &index(&[&signature, &image]));
    for entries in [&[named(&both, "v1")][..], &[named(&signature, "v1"), named(&image, "v1")]] {
        list(&sandbox, &entries.iter().collect::<Vec<_>>());
        all_take(&sandbox, "linux/amd64", &image);
    }
    list(&sandbox, &[&named(&signature, "v1")]);
    let found = sandbox.ok_json("layout manifest descriptor --path image --ref v1 --platform linux/amd64");
    assert_eq!(digest(&found), digest(&signature));
}

#[test]
fn an_image_for_a_lower_variant_is_preferred_to_an_exactly_matching_artifact() {
    let sandbox = Sandbox::new();
    let image = image_on(&sandbox, "linux arm v6");
    let empty = blob(&sandbox, EMPTY_TYPE, "{}");
    let sbom = with(manifest(&empty, &[&empty]), json!({"artifactType": "application/vnd.example"}));
    let sbom = with(document(&sandbox, &sbom), json!({"platform": platform_value("linux arm v7")}));
    list_in_every_way(&sandbox, &[&image, &sbom], || all_take(&sandbox, "linux/arm/v7", &image));
}

#[test]
fn a_missing_index_is_not_reported_as_lacking_a_platform() {
    let sandbox = Sandbox::new();
    let [amd64, arm64] = ["linux amd64", "linux arm64"].map(|platform| image_on(&sandbox, platform));
    let both = document(&sandbox, &index(&[&amd64, &arm64]));
    list(&sandbox, &[&named(&both, "v1")]);
    fs::remove_file(sandbox.path(blob_name(digest(&both)))).expect("it was there");
    let message = format!("blob {} referenced by index.json does not exist", digest(&both));
    sandbox.refuses("layout export --path image:v1 --output out --platform linux/amd64", &message);
    sandbox.refuses(
        "layout manifest get --path image --ref v1 --platform linux/amd64",
        &format!("{message} (BLOB_UNKNOWN)"),
    );
    // The images may be entries of index.json itself.
    list(&sandbox, &[&named(&amd64, "v1"), &named(&arm64, "v1")]);
    fs::remove_file(sandbox.path(blob_name(digest(&arm64)))).expect("it was there");
    sandbox.refuses(
        "layout export --path image:v1 --output out",
        "the manifest for linux/arm64 is not stored in image:v1; linux/amd64 is; use --platform",
    );
}

/// A document that another one names, and that is missing or damaged, is no platform that is not there.
#[test]
fn a_document_that_cannot_be_read_is_not_reported_as_lacking_a_platform() {
    let sandbox = Sandbox::empty();
    sandbox.write("app", "x");
    sandbox.ok("build -o whole:v1 --copy app");
    let entry = sandbox.json("whole/index.json")["manifests"][0].clone();
    let manifest = digest(&entry).to_owned();
    let file = |digest: &str| format!("image/blobs/sha256/{}", digest.strip_prefix("sha256:").expect("a digest"));
    let content =
        fs::read(sandbox.path("whole").join(file(&manifest).strip_prefix("image/").expect("a blob"))).expect("read");
    let config = serde_json::from_slice::<Value>(&content).expect("JSON")["config"]["digest"]
        .as_str()
        .expect("a digest")
        .to_owned();
    let missing = |digest: &str, of: &str| format!("blob {digest} referenced by {of} does not exist");
    let damaged = sha256(b"{}");
    for (media_type, damage, message) in [
        (MANIFEST_TYPE, None, missing(&manifest, "index.json")),
        (INDEX_TYPE, None, missing(&manifest, "index.json")),
        (MANIFEST_TYPE, Some(&config), missing(&config, &manifest)),
        (MANIFEST_TYPE, Some(&manifest), format!("digest mismatch for {manifest}: expected {manifest}, got {damaged}")),
    ] {
        let _ = fs::remove_dir_all(sandbox.path("image"));
        sandbox.ok("export whole -o image");
        sandbox.edit("image/index.json", |index| {
            index["manifests"][0]["mediaType"] = json!(media_type);
            if media_type == MANIFEST_TYPE {
                index["manifests"][0].as_object_mut().expect("an entry").remove("platform");
            }
        });
        match damage {
            Some(digest) if *digest == manifest => sandbox.write(&file(digest), "{}"),
            other => fs::remove_file(sandbox.path(file(other.unwrap_or(&manifest)))).expect("removed"),
        }
        for command in [
            "build -o other --copy app --base image:v1",
            "config get -p image:v1",
            "manifest info image:v1",
            "update config image:v1 --cmd x",
            "export image:v1 -o other",
        ] {
            let outcome = sandbox.run(&format!("{command} --platform linux/arm64"));
            assert!(
                outcome.status == 1 && outcome.stderr.starts_with(&format!("Error: {message}")),
                "{command}: {outcome:?}"
            );
            assert!(!sandbox.path("other").exists());
        }
        // The tag of a build is replaced all the same.
        let _ = fs::remove_dir_all(sandbox.path("built"));
        fs::rename(sandbox.path("image"), sandbox.path("built")).expect("renamed");
        let outcome = sandbox.run("build -o built:v1 --copy app --replace-tag -q");
        assert_eq!((outcome.status, outcome.stderr.as_str()), (0, ""), "{message}");
    }
}
