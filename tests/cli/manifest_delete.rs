//! `layout manifest delete`

use serde_json::{Value, json};

use crate::registry::*;
use crate::support::*;

const DELETE: &str = "layout manifest delete --path image";

fn text(image: &Value, tags: &str) -> String {
    let tags = if tags.is_empty() { String::new() } else { format!("    tags: {tags}\n") };
    format!("Deleted manifest:\n  digest: {}\n{tags}", digest(image))
}

#[test]
fn all_entries_of_a_manifest_are_deleted_and_the_others_are_kept() {
    let sandbox = Sandbox::new();
    let [one, two] = ["amd64", "arm64"].map(|architecture| image(&sandbox, architecture));
    let kept = with(named(&two, "kept"), json!({"x-own": [1], "data": "e30="}));
    let entries = [named(&one, "v2"), kept.clone(), one.clone(), two.clone(), named(&one, "v1")];
    for reference in ["v1", "v2", digest(&one), &digest(&one)[..15], &digest(&one)[7..15]] {
        list(&sandbox, &entries.each_ref());
        sandbox.edit("image/index.json", |index| index["x-top"] = json!(null));
        let blobs = sandbox.blobs();
        sandbox.run(&format!("{DELETE} --ref {reference}")).succeeds(text(&one, "v2, v1"), "");
        assert_eq!(sandbox.index(), with(index(&[&kept, &two]), json!({"x-top": null})), "{reference}");
        assert_eq!(sandbox.blobs(), blobs);
    }
    assert_eq!(
        sandbox.ok_json(&format!("{DELETE} --ref kept")),
        json!({"digest": two["digest"], "tags": ["kept"], "status": "deleted"})
    );
    assert_eq!(listed(&sandbox), json!([]));
}

#[test]
fn an_untagged_manifest_is_deleted_by_its_digest() {
    let sandbox = Sandbox::new();
    let image = image(&sandbox, "amd64");
    list(&sandbox, &[&image]);
    sandbox.run(&format!("layout manifest delete -p image@{}", digest(&image))).succeeds(text(&image, ""), "");
    assert_eq!(listed(&sandbox), json!([]));
    sandbox.refuses(
        &format!("{DELETE} --ref {}", digest(&image)),
        &format!("image has no manifest '{}' {SEE_TAGS}", digest(&image)),
    );
}

#[test]
fn only_the_entries_of_the_repository_are_deleted() {
    let sandbox = Sandbox::new();
    let image = image(&sandbox, "amd64");
    let by_digest = format!("app@{}", digest(&image));
    let entries = [
        named(&image, "app:v1"),
        named(&image, "other:v1"),
        named(&image, "v1"),
        named(&image, &by_digest),
        image.clone(),
    ];
    for words in [
        "-p image --repo app --ref v1".to_owned(),
        "-p image/app:v1".to_owned(),
        format!("-p image --repo app --ref {}", digest(&image)),
        format!("-p image/app@{}", digest(&image)),
    ] {
        list(&sandbox, &entries.each_ref());
        sandbox.run(&format!("layout manifest delete {words}")).succeeds(text(&image, "app:v1"), "");
        assert_eq!(listed(&sandbox), json!([entries[1], entries[2], entries[4]]), "{words}");
    }
    list(&sandbox, &entries.each_ref());
    sandbox
        .run(&format!("{DELETE} --repo app --default-repo app --ref v1"))
        .succeeds(text(&image, "app:v1, app:v1"), "");
    assert_eq!(listed(&sandbox), json!([entries[1]]));
}

#[test]
fn images_in_an_index_only_stay() {
    let sandbox = Sandbox::new();
    let [one, two] = ["amd64", "arm64"].map(|architecture| image(&sandbox, architecture));
    let all = document(&sandbox, &index(&[&one, &two]));
    list(&sandbox, &[&named(&all, "all"), &named(&two, "two")]);
    sandbox.refuses(
        &format!("{DELETE} --ref {}", digest(&one)),
        &format!(
            "image lists '{}' only in an image index, not in index.json (MANIFEST_UNKNOWN); name the index, or tag the image with 'layout tag add'",
            digest(&one)
        ),
    );
    sandbox.ok(&format!("{DELETE} --ref two"));
    assert_eq!(listed(&sandbox), json!([named(&all, "all")]));
    // The manifest is still reachable through the index.
    assert_eq!(sandbox.ok_json(&format!("layout manifest descriptor -p image --ref {}", digest(&two))), two);
    sandbox.is_valid();
}

#[test]
fn the_manifest_may_be_missing() {
    let (sandbox, image) = with_image("v1");
    std::fs::remove_file(sandbox.path(blob_name(digest(&image)))).expect("removed");
    sandbox.run(&format!("{DELETE} --ref {}", digest(&image))).succeeds(text(&image, "v1"), "");
    assert_eq!(listed(&sandbox), json!([]));
}

#[test]
fn missing_objects_are_errors() {
    let (sandbox, image) = with_image("app:v1");
    sandbox.misuses_words(DELETE, &["--ref", ""], "the value of --ref is empty");
    sandbox.misuses(DELETE, "which image? name it as DIR:TAG (tags: app:v1)");
    let other = sha256(b"");
    for reference in ["v1", "app", &other, &digest(&image)[7..10]] {
        sandbox.refuses(
            &format!("{DELETE} --ref {reference}"),
            &format!("image has no manifest '{reference}' {SEE_TAGS}"),
        );
    }
    sandbox.refuses(&format!("{DELETE} --repo x --ref v1"), &format!("image has no repository 'x' {SEE_CATALOG}"));
    sandbox.refuses(
        &format!("{DELETE} --ref app:v1@{other}"),
        &format!("image has no manifest 'app:v1@{other}' {SEE_TAGS}"),
    );
}
