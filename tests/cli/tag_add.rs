//! `layout tag add`

use serde_json::{Value, json};

use crate::registry::*;
use crate::support::*;

const ADD: &str = "layout tag add --path image";

fn text(digest: &Value, tags: &str) -> String {
    format!("Tagged manifest:\n  digest: {}\n    tags: {tags}\n", digest["digest"].as_str().expect("a digest"))
}

#[test]
fn a_manifest_gets_more_tags() {
    let (sandbox, image) = with_image("latest");
    let blobs = sandbox.blobs();
    sandbox.run(&format!("{ADD} --ref latest v1 v1.0")).succeeds(text(&image, "v1, v1.0"), "");
    assert_eq!(listed(&sandbox), json!([named(&image, "latest"), named(&image, "v1"), named(&image, "v1.0")]));
    assert_eq!(
        sandbox.ok_json(&format!("{ADD} --ref {} docker.io/library/x:1", digest(&image))),
        json!({"digest": image["digest"], "tags": ["docker.io/library/x:1"]})
    );
    assert_eq!(listed(&sandbox)[3], named(&image, "docker.io/library/x:1"));
    sandbox.run("layout tag add -p image:v1 v2").succeeds(text(&image, "v2"), "");
    sandbox.run(&format!("{ADD} -q --ref v2 v3")).succeeds(format!("{}\n", digest(&image)), "");
    assert_eq!(sandbox.ok("layout tag list -p image"), "docker.io/library/x:1\nlatest\nv1\nv1.0\nv2\nv3\n");
    assert_eq!(sandbox.blobs(), blobs);
    sandbox.is_valid();
}

#[test]
fn in_a_repository_a_tag_is_written_with_its_name() {
    let (sandbox, image) = with_image("example/app:v1");
    sandbox.run(&format!("{ADD} --repo example/app --ref v1 v2")).succeeds(text(&image, "example/app:v2"), "");
    assert_eq!(
        sandbox.ok_json("layout tag add -p image/example/app:v2 v3 v4"),
        json!({"digest": image["digest"], "tags": ["example/app:v3", "example/app:v4"]})
    );
    assert_eq!(listed(&sandbox), json!([1, 2, 3, 4].map(|number| named(&image, &format!("example/app:v{number}")))));
    // Without a repository, names are written as given.
    sandbox.ok(&format!("{ADD} --ref example/app:v1 other"));
    assert_eq!(listed(&sandbox)[4], named(&image, "other"));
}

#[test]
fn a_tag_that_is_there_already_changes_nothing() {
    let (sandbox, image) = with_image("v1");
    let before = sandbox.tree();
    for words in ["--ref v1 v1".to_owned(), format!("--ref {} v1 v1", digest(&image))] {
        sandbox.ok(&format!("{ADD} {words}"));
        assert_eq!(sandbox.tree(), before, "{words}");
    }
}

#[test]
fn a_tag_is_moved_in_place_and_its_old_manifest_is_kept() {
    let sandbox = Sandbox::new();
    let [one, two, three] = ["amd64", "arm64", "s390x"].map(|architecture| image(&sandbox, architecture));
    list(&sandbox, &[&named(&one, "v1"), &named(&two, "v2"), &named(&three, "v3")]);
    sandbox.run(&format!("{ADD} --ref v2 v1")).succeeds(text(&two, "v1"), "");
    assert_eq!(listed(&sandbox), json!([named(&two, "v1"), named(&two, "v2"), named(&three, "v3"), one]));
    // The manifest has another tag, so no further entry is needed.
    sandbox.ok(&format!("{ADD} --ref v3 v2"));
    assert_eq!(listed(&sandbox), json!([named(&two, "v1"), named(&three, "v2"), named(&three, "v3"), one]));
    sandbox.is_valid();
    // Three manifests, three configs, a layer.
    assert_eq!(sandbox.blobs().len(), 7);
}

#[test]
fn in_a_repository_an_untagged_manifest_is_named_by_its_digest() {
    let sandbox = Sandbox::new();
    let [one, two] = ["amd64", "arm64"].map(|architecture| image(&sandbox, architecture));
    list(&sandbox, &[&named(&one, "app:v1"), &named(&two, "app:v2")]);
    sandbox.ok(&format!("{ADD} --repo app --ref v2 v1"));
    assert_eq!(
        listed(&sandbox),
        json!([named(&two, "app:v1"), named(&two, "app:v2"), named(&one, &format!("app@{}", digest(&one)))])
    );
}

#[test]
fn an_image_in_another_index_gets_an_entry_without_a_tag() {
    let sandbox = Sandbox::new();
    let [one, two, three] = ["amd64", "arm64", "s390x"].map(|architecture| image(&sandbox, architecture));
    let inner = document(&sandbox, &index(&[&one]));
    let outer = document(&sandbox, &index(&[&inner]));
    list(&sandbox, &[&named(&one, "v1"), &named(&two, "v2"), &named(&outer, "all"), &named(&three, "v3")]);
    sandbox.ok(&format!("{ADD} --ref v2 v1"));
    assert_eq!(
        listed(&sandbox),
        json!([named(&two, "v1"), named(&two, "v2"), named(&outer, "all"), named(&three, "v3"), one])
    );
    // A subject is not reachable through its referrer.
    let sbom = document(&sandbox, &about(&sandbox, &three, "a/sbom"));
    list(&sandbox, &[&named(&two, "v2"), &named(&three, "v3"), &sbom]);
    sandbox.ok(&format!("{ADD} --ref v2 v3"));
    assert_eq!(listed(&sandbox), json!([named(&two, "v2"), named(&two, "v3"), sbom, three]));
}

#[test]
fn of_several_entries_with_one_name_one_is_left_and_their_manifests_are_kept() {
    let sandbox = Sandbox::new();
    let [one, two, three] = ["amd64", "arm64", "s390x"].map(|architecture| image(&sandbox, architecture));
    list(&sandbox, &[&named(&one, "v1"), &named(&three, "x"), &named(&two, "v1"), &named(&one, "v1")]);
    sandbox.ok(&format!("{ADD} --ref v1@{} v2", digest(&one)));
    assert_eq!(
        listed(&sandbox),
        json!([named(&one, "v1"), named(&three, "x"), named(&two, "v1"), named(&one, "v1"), named(&one, "v2")])
    );
    list(&sandbox, &[&named(&one, "v1"), &named(&three, "x"), &named(&two, "v1"), &named(&one, "v1")]);
    sandbox.ok(&format!("{ADD} --ref x v1"));
    assert_eq!(listed(&sandbox), json!([named(&three, "v1"), named(&three, "x"), one, two]));
}

#[test]
fn a_part_of_an_index_is_tagged_with_its_platform() {
    let sandbox = Sandbox::new();
    let image = image(&sandbox, "arm64");
    let part = with(on(&image, "arm64"), json!({"annotations": {"a": "1"}, "x-kept": [1]}));
    let all = document(&sandbox, &index(&[&part]));
    list(&sandbox, &[&named(&all, "v1")]);
    sandbox.ok(&format!("{ADD} --ref {} v1-arm64", digest(&image)));
    let entry = with(part, json!({"annotations": {"a": "1", REF_NAME: "v1-arm64"}}));
    assert_eq!(listed(&sandbox), json!([named(&all, "v1"), entry]));
}

#[test]
fn other_entries_and_unknown_fields_stay_byte_for_byte() {
    let sandbox = Sandbox::new();
    let [one, two] = ["amd64", "arm64"].map(|architecture| image(&sandbox, architecture));
    let before = |more: &str| {
        format!(
            r#"{{
  "schemaVersion": 2,
  "manifests": [
    {{
      "mediaType": "{MANIFEST_TYPE}",
      "digest": "{}",
      "size": {},
      "urls": [
        "https://example.com/x"
      ],
      "annotations": {{
        "com.example.z": "é\u001b",
        "io.containerd.image.name": "docker.io/library/x:1",
        "org.opencontainers.image.ref.name": "docker.io/library/x:1"
      }},
      "data": "e30=",
      "artifactType": "a/b",
      "platform": {{
        "architecture": "amd64",
        "os": "linux",
        "os.features": [
          "x"
        ],
        "x-os": 1
      }},
      "x-own": 1.50
    }},
    {{
      "mediaType": "{MANIFEST_TYPE}",
      "digest": "{}",
      "size": {},
      "annotations": {{
        "org.opencontainers.image.ref.name": "Not A Name"
      }}
    }}{more}
  ],
  "annotations": {{
    "k": "v"
  }},
  "subject": null,
  "x-top": [
    12345678901234567890123.50
  ]
}}
"#,
            digest(&one),
            size(&one),
            digest(&two),
            size(&two)
        )
    };
    sandbox.write("image/index.json", before(""));
    sandbox.ok(&format!("{ADD} --ref {} new", digest(&two)));
    let added = format!(
        r#",
    {{
      "mediaType": "{MANIFEST_TYPE}",
      "digest": "{}",
      "size": {},
      "annotations": {{
        "org.opencontainers.image.ref.name": "new"
      }}
    }}"#,
        digest(&two),
        size(&two)
    );
    assert_eq!(sandbox.text("image/index.json"), before(&added));
    // The copy has all fields of the entry; its containerd image name has the new tag.
    sandbox.ok(&format!("{ADD} --ref docker.io/library/x:1 again"));
    let mut copy = listed(&sandbox)[0].clone();
    copy["annotations"] = json!({
        "com.example.z": "é\u{1b}", "io.containerd.image.name": "docker.io/library/x:again", REF_NAME: "again",
    });
    assert_eq!(listed(&sandbox)[3], copy);
}

#[test]
fn invalid_tags_are_refused_and_nothing_is_changed() {
    let (sandbox, _) = with_image("app:v1");
    let long = "a".repeat(129);
    for tag in ["", ".a", "-a", "a/b", "a:b", "a@b", "a b", "a\u{1b}b", "é", &long] {
        let message = format!("'{}' {TAG_GRAMMAR}", tag.escape_debug());
        refuses_words(&sandbox, ADD, &["--repo", "app", "--ref", "v1", "--", "good", tag], &message);
    }
    for name in ["", "a b", "a..b", "-a", "a:", "a\u{1b}b", "a\nb", "é"] {
        let message = format!("'{}' {REF_NAME_GRAMMAR}", name.escape_debug());
        refuses_words(&sandbox, ADD, &["--ref", "app:v1", "--", "good", name], &message);
    }
    is_usage_error(&sandbox, &format!("{ADD} --ref app:v1"));
    sandbox.refuses(&format!("{ADD} --ref none v2"), &format!("image has no manifest 'none' {SEE_TAGS}"));
    sandbox
        .refuses(&format!("{ADD} --repo none --ref v1 v2"), &format!("image has no repository 'none' {SEE_CATALOG}"));
    sandbox.misuses(&format!("{ADD} v2"), "which image? name it as DIR:TAG (tags: app:v1)");
}

#[test]
fn a_missing_or_corrupt_document_elsewhere_is_no_obstacle() {
    let sandbox = Sandbox::new();
    let [one, two] = ["amd64", "arm64"].map(|architecture| image(&sandbox, architecture));
    let missing = json!({"mediaType": INDEX_TYPE, "digest": format!("sha256:{}", "0".repeat(64)), "size": 2});
    let corrupt = blob(&sandbox, INDEX_TYPE, "{");
    list(&sandbox, &[&named(&missing, "missing"), &named(&corrupt, "corrupt"), &named(&one, "v1"), &named(&two, "v2")]);
    sandbox.ok(&format!("{ADD} --ref v2 v1"));
    assert_eq!(
        listed(&sandbox),
        json!([named(&missing, "missing"), named(&corrupt, "corrupt"), named(&two, "v1"), named(&two, "v2"), one])
    );
}

#[test]
fn a_tag_can_be_added_beside_cyclic_indexes() {
    let (sandbox, _) = with_image("v1");
    // Real digests cannot form a cycle: the content here does not match its digests.
    let (one, two) = (format!("sha256:{}", "1".repeat(64)), format!("sha256:{}", "2".repeat(64)));
    let entry = |digest: &str| json!({"mediaType": INDEX_TYPE, "digest": digest, "size": 2});
    sandbox.write(&blob_name(&one), index(&[&entry(&two)]).to_string());
    sandbox.write(&blob_name(&two), index(&[&entry(&one)]).to_string());
    sandbox.edit("image/index.json", |index| {
        let entries = index["manifests"].as_array_mut().expect("a list");
        entries.push(named(&entry(&one), "cycle"));
    });
    sandbox.ok(&format!("{ADD} --ref cycle v1"));
    assert_eq!(sandbox.ok("layout tag list -p image"), "cycle\nv1\n");
}

#[test]
fn tags_added_at_the_same_time_are_all_kept() {
    let (sandbox, _) = with_image("app:v0");
    let children: Vec<_> = (1..=8)
        .map(|number| {
            let words = format!("{ADD} --no-sync --quiet --repo app --ref v0 v{number}");
            let mut command = sandbox.command();
            command.args(words.split(' ')).stdout(std::process::Stdio::null()).spawn().expect("the program starts")
        })
        .collect();
    for mut child in children {
        assert!(child.wait().expect("it ends").success());
    }
    let expected: String = (0..=8).map(|number| format!("v{number}\n")).collect();
    assert_eq!(sandbox.ok("layout tag list -p image --repo app"), expected);
}

#[test]
fn a_name_that_would_be_taken_for_a_digest_is_refused() {
    let (sandbox, image) = with_image("v1");
    sandbox.write("m.json", sandbox.blob(digest(&image)));
    let sha512 = format!("sha512:{}", "0".repeat(128));
    for name in
        [digest(&image), &sha256(b"other"), &sha512, &format!("app@{}", digest(&image)), &format!("a:1@{sha512}")]
    {
        for words in [
            format!("{ADD} --ref v1 good {name}"),
            format!("layout tag move --path image --ref v1 {name}"),
            format!("layout manifest put --path image --file m.json --tag good --tag {name}"),
        ] {
            sandbox.refuses(&words, &format!("'{name}' {IS_DIGEST}"));
        }
    }
    // Names that only resemble a digest are accepted.
    for name in ["sha256:abc", "app:v1", &format!("{}0", digest(&image)), &format!("x-{}", digest(&image))] {
        sandbox.ok(&format!("{ADD} --ref v1 {name}"));
    }
    assert_eq!(listed(&sandbox).as_array().expect("a list").len(), 5);
}

#[test]
fn a_tag_that_is_given_twice_is_listed_once() {
    let (sandbox, image) = with_image("v1");
    sandbox.run(&format!("{ADD} --ref v1 v2 v3 v2")).succeeds(text(&image, "v2, v3"), "");
    assert_eq!(listed(&sandbox), json!([named(&image, "v1"), named(&image, "v2"), named(&image, "v3")]));
    assert_eq!(
        sandbox.ok_json(&format!("{ADD} --ref v1 --repo app --default-repo app v4 v4")),
        json!({"digest": image["digest"], "tags": ["app:v4"]})
    );
    assert_eq!(sandbox.ok("layout tag list -p image"), "app:v4\nv1\nv2\nv3\n");
}
