//! `layout tag delete`

use serde_json::{Value, json};

use crate::registry::*;
use crate::support::*;

const DELETE: &str = "layout tag delete --path image";

fn text(image: &Value, tag: &str) -> String {
    format!("Deleted tag:\n  digest: {}\n     tag: {tag}\n", digest(image))
}

#[test]
fn a_tag_goes_and_everything_else_stays() {
    let sandbox = Sandbox::new();
    let [one, two] = ["amd64", "arm64"].map(|architecture| image(&sandbox, architecture));
    let kept = with(named(&one, "kept"), json!({"x-own": [1.50], "data": "e30="}));
    list(&sandbox, &[&kept, &named(&one, "v1"), &named(&two, "v2"), &two]);
    sandbox.edit("image/index.json", |index| index["x-top"] = json!({"k": null}));
    let blobs = sandbox.blobs();
    sandbox.run(&format!("{DELETE} --ref v1")).succeeds(text(&one, "v1"), "");
    assert_eq!(sandbox.index(), with(index(&[&kept, &named(&two, "v2"), &two]), json!({"x-top": {"k": null}})));
    sandbox.run("layout tag delete -p image:v2").succeeds(text(&two, "v2"), "");
    assert_eq!(
        sandbox.ok_json(&format!("{DELETE} --ref kept")),
        json!({"digest": one["digest"], "tag": "kept", "status": "deleted"})
    );
    // The last tag is deleted; the unreachable blobs are left to `gc`.
    assert_eq!(listed(&sandbox), json!([two]));
    assert_eq!(sandbox.blobs(), blobs);
    sandbox.refuses(&format!("{DELETE} --ref kept"), &format!("image has no tag 'kept' {SEE_TAGS}"));
}

#[test]
fn all_entries_of_the_name_and_of_one_manifest_go() {
    let sandbox = Sandbox::new();
    let [one, two] = ["amd64", "arm64"].map(|architecture| image(&sandbox, architecture));
    list(&sandbox, &[&named(&one, "v1"), &named(&two, "x"), &named(&one, "v1")]);
    sandbox.run(&format!("{DELETE} --ref v1")).succeeds(text(&one, "v1"), "");
    assert_eq!(listed(&sandbox), json!([named(&two, "x")]));
    list(&sandbox, &[&named(&one, "v1"), &named(&two, "v1"), &named(&one, "v1")]);
    sandbox.run(&format!("{DELETE} --ref v1@{}", digest(&one))).succeeds(text(&one, "v1"), "");
    assert_eq!(listed(&sandbox), json!([named(&two, "v1")]));
    // With and without a digest, the names refer to the same tag.
    let with_digest = format!("app:v1@{}", digest(&one));
    list(&sandbox, &[&named(&one, &with_digest), &named(&one, "app:v1"), &named(&one, "v1"), &named(&one, "other:v1")]);
    sandbox.ok(&format!("{DELETE} --repo app --default-repo app --ref v1"));
    assert_eq!(listed(&sandbox), json!([named(&one, "other:v1")]));
}

#[test]
fn in_a_repository_its_tag_goes() {
    let (sandbox, image) = with_image("app:v1");
    let entries = || list(&sandbox, &[&named(&image, "app:v1"), &named(&image, "v1"), &named(&image, "other:v1")]);
    for words in
        ["-p image --repo app --ref v1", "-p image --repo app --ref app:v1", "-p image/app:v1", "-p image/app --ref v1"]
    {
        entries();
        sandbox.run(&format!("layout tag delete {words}")).succeeds(text(&image, "app:v1"), "");
        assert_eq!(listed(&sandbox), json!([named(&image, "v1"), named(&image, "other:v1")]), "{words}");
    }
    entries();
    let value = sandbox.ok_json(&format!("layout tag delete -p image/app:v1@{}", digest(&image)));
    assert_eq!(value, json!({"digest": image["digest"], "tag": "app:v1", "status": "deleted"}));
    entries();
    sandbox.run(&format!("{DELETE} --default-repo lib --ref lib:v1")).succeeds(text(&image, "lib:v1"), "");
    assert_eq!(listed(&sandbox), json!([named(&image, "app:v1"), named(&image, "other:v1")]));
}

#[test]
fn names_that_are_invalid_in_registries_can_be_deleted() {
    let sandbox = Sandbox::new();
    let image = image(&sandbox, "amd64");
    let names = ["a b", "a\u{1b}[2Jb", "a\nb", "--", "é", "@", "app@v1"];
    let entries: Vec<_> = names.iter().map(|name| named(&image, name)).collect();
    list(&sandbox, &entries.iter().collect::<Vec<_>>());
    for (at, name) in names.iter().enumerate() {
        let reference = format!("--ref={name}");
        let words = DELETE.split(' ').chain([reference.as_str()]);
        let shown = name.replace('\u{1b}', "\\u{1b}").replace('\n', "\\n");
        sandbox.run_words(words).succeeds(text(&image, &shown), "");
        assert_eq!(listed(&sandbox), json!(entries[at + 1..]));
    }
}

#[test]
fn a_digest_is_no_tag() {
    let (sandbox, image) = with_image("v1");
    let unnamed = config(&sandbox, "amd64");
    sandbox.edit("image/index.json", |index| {
        index["manifests"].as_array_mut().expect("a list").push(unnamed.clone());
    });
    for entry in [&image, &unnamed] {
        for reference in [digest(entry), &digest(entry)[..15], &digest(entry)[7..15]] {
            sandbox
                .refuses(&format!("{DELETE} --ref {reference}"), &format!("image has no tag '{reference}' {SEE_TAGS}"));
        }
    }
}

#[test]
fn an_empty_or_unknown_tag_is_an_error() {
    let (sandbox, image) = with_image("app:v1");
    sandbox.misuses_words(DELETE, &["--ref", ""], "the value of --ref is empty");
    sandbox.misuses_words(DELETE, &["--repo", "app", "--ref", ""], "the value of --ref is empty");
    sandbox.misuses(DELETE, "which image? name it as DIR:TAG (tags: app:v1)");
    for reference in ["v1", "app", "app:v2", "app:"] {
        sandbox.refuses(&format!("{DELETE} --ref {reference}"), &format!("image has no tag '{reference}' {SEE_TAGS}"));
    }
    sandbox.refuses(&format!("{DELETE} --repo app --ref v2"), &format!("image has no tag 'v2' {SEE_TAGS}"));
    sandbox.refuses(&format!("{DELETE} --repo x --ref v1"), &format!("image has no repository 'x' {SEE_CATALOG}"));
    // The digest does not match the tag.
    let other = digest(&config(&sandbox, "amd64")).to_owned();
    sandbox
        .refuses(&format!("{DELETE} --ref app:v1@{other}"), &format!("image has no tag 'app:v1@{other}' {SEE_TAGS}"));
    sandbox.ok(&format!("{DELETE} --ref app:v1@{}", digest(&image)));
    assert_eq!(listed(&sandbox), json!([]));
}

#[test]
fn the_manifest_may_be_missing() {
    let (sandbox, image) = with_image("v1");
    std::fs::remove_file(sandbox.path(blob_name(digest(&image)))).expect("removed");
    sandbox.run(&format!("{DELETE} --ref v1")).succeeds(text(&image, "v1"), "");
    assert_eq!(listed(&sandbox), json!([]));
}
