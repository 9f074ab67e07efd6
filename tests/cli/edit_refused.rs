//! Edits of images that are refused with nothing changed: two images for one platform, layers that do not fit the config.

use serde_json::Value;

use crate::registry::*;
use crate::support::*;

#[test]
fn two_images_of_an_index_never_get_one_platform() {
    let sandbox = Sandbox::new();
    let [amd64, arm64] = ["amd64", "arm64"].map(|word| on(&image(&sandbox, word), word));
    let [unsaid_amd64, unsaid_arm64] = ["amd64", "arm64"].map(|word| image(&sandbox, word));
    let nested = document(&sandbox, &index(&[&arm64]));
    for (kind, entries) in [
        ("in one index", [&amd64, &arm64]),
        ("in nested indexes", [&amd64, &nested]),
        ("without platforms in the descriptors", [&unsaid_amd64, &unsaid_arm64]),
    ] {
        list(&sandbox, &[&named(&document(&sandbox, &index(&entries)), "v1")]);
        for (flags, platform) in [
            // The first one becomes what the other one is. arm64 without a variant is arm64/v8.
            ("--architecture arm64 --platform linux/amd64", "linux/arm64"),
            ("--architecture arm64 --variant v8 --platform linux/amd64", "linux/arm64/v8"),
            // Both become what neither was.
            ("--architecture riscv64", "linux/riscv64"),
        ] {
            let before = sandbox.contents();
            let refused = sandbox.run(&format!("update config image:v1 {flags}"));
            let message = format!("Error: two images would be for {platform}: ");
            assert_eq!((refused.status, refused.stdout.as_str()), (1, ""), "{kind}: {flags}: {refused:?}");
            assert!(refused.stderr.starts_with(&message), "{kind}: {flags}: {refused:?}");
            assert_eq!(sandbox.contents(), before, "{kind}: {flags}");
        }
    }
}

/// The edit is not the cause of the images for one platform.
#[test]
fn two_images_that_had_one_platform_before_can_be_edited() {
    let sandbox = Sandbox::new();
    let first = on(&image(&sandbox, "amd64"), "amd64");
    let labelled = blob(
        &sandbox,
        CONFIG_TYPE,
        &with(sandbox.blob_json(digest(&config(&sandbox, "amd64"))), serde_json::json!({"author": "x"})).to_string(),
    );
    let second = on(&document(&sandbox, &manifest(&labelled, &[&layer(&sandbox)])), "amd64");
    list(&sandbox, &[&named(&document(&sandbox, &index(&[&first, &second, &first])), "v1")]);
    for flags in ["--label a=b", "--variant v2"] {
        sandbox.ok(&format!("update config image:v1 {flags}"));
    }
    let edited = sandbox.blob_json(digest(&listed(&sandbox)[0]));
    for entry in edited["manifests"].as_array().expect("a list") {
        assert_eq!(entry["platform"]["variant"], "v2");
    }
}

/// Such a config does not say which diff_id belongs to a layer.
#[test]
fn layers_that_do_not_fit_the_diff_ids_are_neither_removed_nor_moved() {
    let sandbox = Sandbox::new();
    let layers: Vec<Value> = (1..4).map(|blocks| blob(&sandbox, TAR_TYPE, &"\0".repeat(1024 * blocks))).collect();
    let layers: Vec<&Value> = layers.iter().collect();
    for count in [2, 0, 1, 4] {
        let diff_ids: Vec<&Value> = layers.iter().copied().cycle().take(count).collect();
        let config = config_of(&sandbox, "amd64", &diff_ids);
        list(&sandbox, &[&named(&document(&sandbox, &manifest(&config, &layers)), "v1")]);
        for words in [
            "remove layer image:v1 --index 2",
            "remove layer image:v1 --index 0",
            "move layer image:v1 --index 2 --to 0",
            "move layer image:v1 --index 0 --to 2",
        ] {
            let before = sandbox.contents();
            let refused = sandbox.run(words);
            let message =
                format!("Error: {} is not a valid image config: its diff_ids do not fit the layers\n", digest(&config));
            refused.is(1, "", message);
            assert_eq!(sandbox.contents(), before, "{count}: {words}");
        }
    }
}
