//! `layout tag list`

use serde_json::json;

use crate::registry::*;
use crate::support::*;

const LIST: &str = "layout tag list --path image";

/// Creates a layout with entries of these ref names.
fn with_names(names: &[&str]) -> Sandbox {
    let sandbox = Sandbox::new();
    let image = image(&sandbox, "amd64");
    let entries: Vec<_> = names.iter().map(|name| named(&image, name)).collect();
    list(&sandbox, &entries.iter().chain([&image]).collect::<Vec<_>>());
    sandbox
}

#[test]
fn without_a_repository_names_are_listed_as_stored() {
    let untagged = format!("app@sha256:{}", "0".repeat(64));
    let sandbox = with_names(&["v2", "docker.io/library/x:1", "v1", "app:v1", "v2", "a b", &untagged, ""]);
    let expected = ["a b", "app:v1", &untagged, "docker.io/library/x:1", "v1", "v2"];
    let before = sandbox.tree();
    sandbox.run(LIST).succeeds(expected.join("\n") + "\n", "");
    sandbox.run(&format!("{LIST} -q")).succeeds(expected.join("\n") + "\n", "");
    assert_eq!(sandbox.ok_json(LIST), json!({"tags": expected}));
    // The default repository does not affect names that are listed as stored.
    assert_eq!(sandbox.ok_json(&format!("{LIST} --default-repo app")), json!({"tags": expected}));
    assert_eq!(sandbox.tree(), before);
}

#[test]
fn with_a_repository_its_tags_are_listed_once_and_in_the_order_of_their_bytes() {
    let digest = format!("sha256:{}", "0".repeat(64));
    let (untagged, both) = (format!("app@{digest}"), format!("app:both@{digest}"));
    let sandbox = with_names(&[
        "app:v10",
        "app:v2",
        "app:V1",
        "app:v2",
        "app:_",
        "app/sub:no",
        "app",
        "other:v1",
        &untagged,
        &both,
        "Bad:tag",
        "app:v:w",
    ]);
    let expected = ["V1", "_", "both", "v10", "v2"];
    sandbox.run(&format!("{LIST} --repo app")).succeeds(expected.join("\n") + "\n", "");
    assert_eq!(sandbox.ok_json(&format!("{LIST} --repo app")), json!({"name": "app", "tags": expected}));
    // `app` by itself is a tag.
    let expected = ["V1", "_", "app", "both", "v10", "v2"];
    assert_eq!(
        sandbox.ok_json(&format!("{LIST} --repo app --default-repo app")),
        json!({"name": "app", "tags": expected})
    );
    assert_eq!(
        sandbox.ok_json(&format!("{LIST} --repo other --default-repo app")),
        json!({"name": "other", "tags": ["v1"]})
    );
    sandbox.run("layout tag list -p image/app").succeeds("V1\n_\nboth\nv10\nv2\n", "");
    sandbox.run("layout tag list -p image/app/sub").succeeds("no\n", "");
}

#[test]
fn a_page_starts_after_a_tag_and_has_a_limit() {
    let sandbox = with_names(&["app:a", "app:b", "app:c", "x"]);
    for (words, expected) in [
        ("--repo app --n 0", vec![]),
        ("--repo app --n 2", vec!["a", "b"]),
        ("--repo app --n 2 --last a", vec!["b", "c"]),
        ("--repo app --last aa", vec!["b", "c"]),
        ("--repo app --last c", vec![]),
        ("--repo app --last zzz --n 18446744073709551615", vec![]),
        ("--repo app --last :", vec!["a", "b", "c"]),
        ("--n 1", vec!["app:a"]),
        ("--last app:b", vec!["app:c", "x"]),
    ] {
        let text: String = expected.iter().map(|name| format!("{name}\n")).collect();
        sandbox.run(&format!("{LIST} {words}")).succeeds(text, "");
        assert_eq!(sandbox.ok_json(&format!("{LIST} {words}"))["tags"], json!(expected), "{words}");
    }
    for words in ["--n -1", "--n x", "--n 18446744073709551616"] {
        is_usage_error(&sandbox, &format!("{LIST} {words}"));
    }
}

#[test]
fn a_repository_without_tags_has_an_empty_list_and_one_without_entries_is_unknown() {
    let untagged = format!("app@sha256:{}", "0".repeat(64));
    let sandbox = with_names(&[&untagged, "plain/name", "latest"]);
    for name in ["app", "plain/name"] {
        sandbox.run(&format!("{LIST} --repo {name}")).succeeds("", "");
        assert_eq!(sandbox.ok_json(&format!("{LIST} --repo {name}")), json!({"name": name, "tags": []}));
    }
    for name in ["latest", "other", "plain", "app/x"] {
        sandbox.refuses(&format!("{LIST} --repo {name}"), &format!("image has no repository '{name}' {SEE_CATALOG}"));
    }
    let sandbox = Sandbox::new();
    sandbox.run(LIST).succeeds("", "");
    assert_eq!(sandbox.ok_json(LIST), json!({"tags": []}));
    sandbox.refuses(&format!("{LIST} --repo app"), &format!("image has no repository 'app' {SEE_CATALOG}"));
}

#[test]
fn invalid_repository_names_are_refused() {
    let (sandbox, _) = with_image("app:v1");
    let long = "a".repeat(256);
    for name in ["", "App", "app:v1", "/app", "app/", "a//b", "../image", "a b", "a\u{1b}b", "\u{e9}", &long] {
        let message = format!("'{}' {REPOSITORY_GRAMMAR}", name.escape_debug());
        refuses_words(&sandbox, LIST, &["--repo", name], &message);
        refuses_words(&sandbox, LIST, &["--default-repo", name], &message);
    }
}

#[test]
fn control_characters_in_names_are_escaped() {
    let sandbox = with_names(&["a\u{1b}[2Jb", "c\nd", "e\u{202e}f", "g\0h"]);
    sandbox.run(LIST).succeeds("a\\u{1b}[2Jb\nc\\nd\ne\\u{202e}f\ng\\u{0}h\n", "");
    let outcome = sandbox.run(&format!("{LIST} --json"));
    outcome.succeeds(
        "{\n  \"tags\": [\n    \"a\\u001b[2Jb\",\n    \"c\\nd\",\n    \"e\\u202ef\",\n    \"g\\u0000h\"\n  ]\n}\n",
        "",
    );
}

#[test]
fn a_path_that_says_a_tag_is_refused() {
    let (sandbox, _) = with_image("app:v1");
    for path in ["image:v1", "image/app:v1"] {
        let message = "'tag list' takes a layout: remove ':v1' from the path";
        sandbox.misuses(&format!("layout tag list -p {path}"), message);
    }
}

#[test]
fn ten_thousand_tags_are_listed_from_the_index_alone() {
    let sandbox = Sandbox::new();
    let image = image(&sandbox, "amd64");
    let entries: Vec<_> = (0..10_000).map(|number| named(&image, &format!("app:v{number:05}"))).collect();
    list(&sandbox, &entries.iter().collect::<Vec<_>>());
    std::fs::remove_dir_all(sandbox.path("image/blobs/sha256")).expect("removed");
    let tags = sandbox.ok(&format!("{LIST} --repo app"));
    assert_eq!(tags.lines().count(), 10_000);
    assert_eq!(sandbox.ok(&format!("{LIST} --repo app --last v09997")), "v09998\nv09999\n");
}
