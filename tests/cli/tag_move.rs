//! `layout tag move`

use serde_json::{Value, json};

use crate::registry::*;
use crate::support::*;

const MOVE: &str = "layout tag move --path image";

fn text(image: &Value, from: &str, to: &str) -> String {
    format!("Moved tag:\n  digest: {}\n    from: {from}\n      to: {to}\n", digest(image))
}

#[test]
fn a_tag_is_renamed_in_place_and_its_entry_keeps_other_fields() {
    let sandbox = Sandbox::new();
    let [one, two] = ["amd64", "arm64"].map(|architecture| image(&sandbox, architecture));
    let rest = json!({"platform": {"os": "linux", "architecture": "amd64"}, "data": "e30=", "x-own": [1.50]});
    let entry = |name: &str, more: Value| {
        let annotations = with(json!({"a": "1", REF_NAME: name}), more);
        with(with(one.clone(), rest.clone()), json!({"annotations": annotations}))
    };
    list(
        &sandbox,
        &[&entry("candidate", json!({"io.containerd.image.name": "candidate"})), &named(&two, "v0"), &named(&one, "x")],
    );
    let blobs = sandbox.blobs();
    sandbox.run(&format!("{MOVE} --ref candidate v1")).succeeds(text(&one, "candidate", "v1"), "");
    // The containerd image name was dropped with the old ref name.
    assert_eq!(listed(&sandbox), json!([entry("v1", json!({})), named(&two, "v0"), named(&one, "x")]));
    assert_eq!(
        sandbox.ok_json(&format!("{MOVE} --ref v1 v2")),
        json!({"digest": one["digest"], "from": "v1", "to": "v2"})
    );
    sandbox
        .run("layout tag move -p image:v2 docker.io/library/x:1")
        .succeeds(text(&one, "v2", "docker.io/library/x:1"), "");
    assert_eq!(sandbox.ok("layout tag list -p image"), "docker.io/library/x:1\nv0\nx\n");
    assert_eq!(sandbox.blobs(), blobs);
}

#[test]
fn in_a_repository_both_tags_are_its_own() {
    let (sandbox, image) = with_image("app:v1");
    sandbox.run(&format!("{MOVE} --repo app --ref v1 v2")).succeeds(text(&image, "app:v1", "app:v2"), "");
    sandbox.run(&format!("{MOVE} --repo app --ref app:v2 v3")).succeeds(text(&image, "app:v2", "app:v3"), "");
    assert_eq!(
        sandbox.ok_json(&format!("layout tag move -p image/app:v3@{} v4", digest(&image))),
        json!({"digest": image["digest"], "from": "app:v3", "to": "app:v4"})
    );
    assert_eq!(listed(&sandbox), json!([named(&image, "app:v4")]));
    // A bare tag becomes a name of the default repository.
    list(&sandbox, &[&named(&image, "v1")]);
    sandbox.ok(&format!("{MOVE} --repo app --default-repo app --ref v1 v2"));
    assert_eq!(listed(&sandbox), json!([named(&image, "app:v2")]));
}

#[test]
fn a_manifest_without_a_tag_gets_its_first() {
    let (sandbox, _) = with_image("other");
    let unnamed = image(&sandbox, "arm64");
    list(&sandbox, &[&unnamed]);
    sandbox
        .run(&format!("{MOVE} --ref {} v1", digest(&unnamed)))
        .succeeds(format!("Moved tag:\n  digest: {}\n      to: v1\n", digest(&unnamed)), "");
    assert_eq!(listed(&sandbox), json!([named(&unnamed, "v1")]));
    let by_digest = format!("app@{}", digest(&unnamed));
    list(&sandbox, &[&named(&unnamed, &by_digest)]);
    assert_eq!(
        sandbox.ok_json(&format!("{MOVE} --repo app --ref {} v1", &digest(&unnamed)[..15])),
        json!({"digest": unnamed["digest"], "from": null, "to": "app:v1"})
    );
    assert_eq!(listed(&sandbox), json!([named(&unnamed, "app:v1")]));
}

#[test]
fn a_manifest_with_another_tag_or_no_entry_is_not_renamed_by_its_digest() {
    let sandbox = Sandbox::new();
    let [one, two] = ["amd64", "arm64"].map(|architecture| image(&sandbox, architecture));
    let all = document(&sandbox, &index(&[&two]));
    list(&sandbox, &[&named(&one, "v1"), &named(&all, "all")]);
    let inside = "(MANIFEST_UNKNOWN); name the index, or tag the image with 'layout tag add'";
    for (manifest, message) in [
        (&one, format!("image has no tag '{}' {SEE_TAGS}", digest(&one))),
        (&two, format!("image lists '{}' only in an image index, not in index.json {inside}", digest(&two))),
    ] {
        sandbox.refuses(&format!("{MOVE} --ref {} v2", digest(manifest)), &message);
    }
}

#[test]
fn the_tag_is_taken_from_another_manifest_which_is_kept() {
    let sandbox = Sandbox::new();
    let [one, two, three] = ["amd64", "arm64", "s390x"].map(|architecture| image(&sandbox, architecture));
    list(&sandbox, &[&named(&two, "v1"), &named(&three, "x"), &named(&one, "candidate")]);
    sandbox.run(&format!("{MOVE} --ref candidate v1")).succeeds(text(&one, "candidate", "v1"), "");
    assert_eq!(listed(&sandbox), json!([named(&three, "x"), named(&one, "v1"), two]));
    sandbox.is_valid();
    // An index that lists the manifest may change, so an entry is added.
    let all = document(&sandbox, &index(&[&two]));
    list(&sandbox, &[&named(&two, "app:v1"), &named(&all, "app:x"), &named(&one, "app:v0")]);
    sandbox.ok(&format!("{MOVE} --repo app --ref v0 v1"));
    let by_digest = named(&two, &format!("app@{}", digest(&two)));
    assert_eq!(listed(&sandbox), json!([named(&all, "app:x"), named(&one, "app:v1"), by_digest]));
}

#[test]
fn all_entries_of_a_name_and_of_one_manifest_move_together() {
    let sandbox = Sandbox::new();
    let [one, two, three] = ["amd64", "arm64", "s390x"].map(|architecture| image(&sandbox, architecture));
    let entries =
        [&named(&one, "v1"), &named(&three, "v2"), &named(&two, "v1"), &named(&one, "v1"), &named(&one, "v2")];
    list(&sandbox, &entries);
    sandbox.run(&format!("{MOVE} --ref v1@{} v2", digest(&one))).succeeds(text(&one, "v1", "v2"), "");
    assert_eq!(listed(&sandbox), json!([named(&one, "v2"), named(&two, "v1"), named(&one, "v2"), three]));
}

#[test]
fn a_tag_that_is_renamed_to_itself_changes_nothing() {
    let (sandbox, image) = with_image("v1");
    let before = sandbox.tree();
    sandbox.run(&format!("{MOVE} --ref v1 v1")).succeeds(text(&image, "v1", "v1"), "");
    assert_eq!(sandbox.tree(), before);
}

#[test]
fn invalid_and_missing_tags_are_refused() {
    let (sandbox, _) = with_image("app:v1");
    for tag in ["", "a/b", "a:b", "-a", "a\nb"] {
        let message = format!("'{}' {TAG_GRAMMAR}", tag.escape_debug());
        refuses_words(&sandbox, MOVE, &["--repo", "app", "--ref", "v1", "--", tag], &message);
    }
    for name in ["", "a b", "-a", "a\nb"] {
        let message = format!("'{}' {REF_NAME_GRAMMAR}", name.escape_debug());
        refuses_words(&sandbox, MOVE, &["--ref", "app:v1", "--", name], &message);
    }
    sandbox.refuses(&format!("{MOVE} --ref v1 v2"), &format!("image has no manifest 'v1' {SEE_TAGS}"));
    sandbox.refuses(&format!("{MOVE} --repo x --ref v1 v2"), &format!("image has no repository 'x' {SEE_CATALOG}"));
    sandbox.misuses_words(MOVE, &["--ref", "", "v2"], "the value of --ref is empty");
    is_usage_error(&sandbox, &format!("{MOVE} --ref app:v1"));
    sandbox.misuses(
        &format!("{MOVE} --ref app:v1 v2 v3"),
        "the old tag is named twice: leave out --ref, the path's tag or the first TAG",
    );
    is_usage_error(&sandbox, &format!("{MOVE} v1 v2 v3"));
}
