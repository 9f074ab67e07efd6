//! `layout catalog list`

use serde_json::json;

use crate::registry::*;
use crate::support::*;

const LIST: &str = "layout catalog list --path image";

/// Creates a layout with entries of these ref names; `None` is an entry without annotations.
fn with_names<'a>(names: impl IntoIterator<Item = Option<&'a str>>) -> Sandbox {
    let sandbox = Sandbox::new();
    let image = image(&sandbox, "amd64");
    let entry = |name: Option<&str>| name.map_or_else(|| image.clone(), |name| named(&image, name));
    let entries: Vec<_> = names.into_iter().map(entry).collect();
    list(&sandbox, &entries.iter().collect::<Vec<_>>());
    sandbox
}

#[test]
fn repositories_are_listed_once_and_in_the_order_of_their_bytes() {
    let digest = format!("sha256:{}", "0".repeat(64));
    let untagged = format!("d@{digest}");
    let both = format!("e/f:v1@{digest}");
    let names = ["b/c:v1", "b:v1", "docker.io/library/x:1", "a-b:1", "a:2", "a:1", &untagged, &both, "plain/name"];
    let sandbox = with_names(names.map(Some));
    let expected = ["a", "a-b", "b", "b/c", "d", "docker.io/library/x", "e/f", "plain/name"];
    let before = sandbox.tree();
    sandbox.run(LIST).succeeds(expected.join("\n") + "\n", "");
    sandbox.run(&format!("{LIST} --quiet")).succeeds(expected.join("\n") + "\n", "");
    assert_eq!(sandbox.ok_json(LIST), json!({"repositories": expected}));
    assert_eq!(sandbox.tree(), before);
}

#[test]
fn bare_names_belong_to_the_default_repository_or_none() {
    let long = "a".repeat(256);
    let none = [
        "latest",
        "v1",
        "Latest",
        "1",
        "Bad:tag",
        "localhost:5000/x:1",
        "a b",
        "a:",
        ":v1",
        "a@sha256:00",
        "a//b:c",
        "\u{1b}[2J:v1",
        "\u{e9}:v1",
        "a:v1:v2",
        "a/",
        &long,
    ];
    let sandbox = with_names(none.map(Some));
    sandbox.run(LIST).succeeds("", "");
    assert_eq!(sandbox.ok_json(LIST), json!({"repositories": []}));
    sandbox.run(&format!("{LIST} --default-repo example/app")).succeeds("example/app\n", "");
    for without_a_name in [None, Some("")] {
        let sandbox = with_names([without_a_name, Some("z:1")]);
        sandbox.run(LIST).succeeds("z\n", "");
        sandbox.run(&format!("{LIST} --default-repo example/app")).succeeds("example/app\nz\n", "");
    }
    // The default repository has no entries.
    with_names([Some("Bad:tag")]).run(&format!("{LIST} --default-repo app")).succeeds("", "");
}

#[test]
fn a_page_starts_after_a_name_and_has_a_limit() {
    let sandbox = with_names(["a:1", "b:1", "b/c:1", "d:1"].map(Some));
    for (words, expected) in [
        ("--n 0", vec![]),
        ("--n 1", vec!["a"]),
        ("--n 3", vec!["a", "b", "b/c"]),
        ("--n 4", vec!["a", "b", "b/c", "d"]),
        ("--n 18446744073709551615", vec!["a", "b", "b/c", "d"]),
        ("--last a", vec!["b", "b/c", "d"]),
        ("--last b --n 1", vec!["b/c"]),
        // The value does not have to exist or be a valid repository name.
        ("--last az", vec!["b", "b/c", "d"]),
        ("--last A:", vec!["a", "b", "b/c", "d"]),
        ("--last d", vec![]),
        ("--last zzz --n 5", vec![]),
    ] {
        let text: String = expected.iter().map(|name| format!("{name}\n")).collect();
        sandbox.run(&format!("{LIST} {words}")).succeeds(text, "");
        assert_eq!(sandbox.ok_json(&format!("{LIST} {words}")), json!({"repositories": expected}), "{words}");
    }
    assert_eq!(sandbox.run_words(LIST.split(' ').chain(["--last", ""])).stdout, "a\nb\nb/c\nd\n");
    for words in ["--n -1", "--n x", "--n 18446744073709551616", "--n 1.5", "--n"] {
        is_usage_error(&sandbox, &format!("{LIST} {words}"));
    }
}

#[test]
fn an_index_may_be_a_manifest_list_or_have_no_media_type_or_null_manifests() {
    let sandbox = with_names([Some("app:v1")]);
    for media_type in [json!("application/vnd.docker.distribution.manifest.list.v2+json"), json!(null)] {
        sandbox.edit("image/index.json", |index| index["mediaType"] = media_type);
        sandbox.run(LIST).succeeds("app\n", "");
    }
    sandbox.edit("image/index.json", |index| drop(index.as_object_mut().expect("fields").remove("mediaType")));
    sandbox.run(LIST).succeeds("app\n", "");
    sandbox.edit("image/index.json", |index| index["manifests"] = json!(null));
    sandbox.run(LIST).succeeds("", "");
}

#[test]
fn another_directory_is_an_error() {
    let sandbox = Sandbox::new();
    sandbox.refuses("layout catalog list -p missing", "missing is not an OCI Image Layout (missing oci-layout file)");
    std::fs::create_dir(sandbox.path("empty")).expect("made");
    sandbox.refuses("layout catalog list -p empty", "empty is not an OCI Image Layout (missing oci-layout file)");
    sandbox.edit("image/index.json", |index| index["mediaType"] = json!(MANIFEST_TYPE));
    sandbox.refuses(LIST, "index.json at image is not a valid OCI Image Index");
    sandbox.write("image/index.json", "{");
    sandbox.refuses(LIST, "index.json at image is not a valid OCI Image Index");
    sandbox.write("image/oci-layout", r#"{"imageLayoutVersion":"2.0.0"}"#);
    sandbox.refuses(LIST, "Invalid imageLayoutVersion in oci-layout: '2.0.0', expected '1.0.0'");
}

#[test]
fn blobs_must_be_a_directory() {
    let sandbox = Sandbox::new();
    std::fs::remove_dir_all(sandbox.path("image/blobs")).expect("removed");
    sandbox.write("image/blobs", "");
    let before = sandbox.tree();
    sandbox.run(LIST).fails("Error: failed to read image/blobs: not a directory\n");
    assert_eq!(sandbox.tree(), before);
}

#[test]
fn nothing_but_the_index_is_read() {
    let sandbox = with_names([Some("app:v1")]);
    std::fs::remove_dir_all(sandbox.path("image/blobs/sha256")).expect("removed");
    sandbox.run(LIST).succeeds("app\n", "");
}

#[test]
fn layouts_of_repositories_are_found_below_a_directory_and_in_one_another() {
    let sandbox = with_names([Some("whatever")]);
    for name in ["layouts/b", "layouts/b/c", "layouts/a/x", "layouts/empty", "layouts/Bad"] {
        std::fs::create_dir_all(sandbox.path(name)).expect("made");
        sandbox.ok(&format!("layout init -p {name}"));
        if name != "layouts/empty" {
            sandbox.write(&format!("{name}/index.json"), sandbox.read("image/index.json"));
        }
    }
    sandbox.write("layouts/a/file", "");
    const PER_REPO: &str = "layout catalog list -p layouts --per-repo";
    sandbox.run(PER_REPO).succeeds("a/x\nb\nb/c\n", "");
    sandbox.run(&format!("{PER_REPO} --n 1 --last a/x")).succeeds("b\n", "");
    assert_eq!(sandbox.ok_json(PER_REPO), json!({"repositories": ["a/x", "b", "b/c"]}));
    is_usage_error(&sandbox, &format!("{PER_REPO} --default-repo app"));
    sandbox.refuses("layout catalog list -p base.tar --per-repo", "base.tar is not a directory");
}
