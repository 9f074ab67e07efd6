//! Names of images: ref names, image names as written by Docker and containerd, names of several manifests, and
//! `TAG@DIGEST`.

use serde_json::{Value, json};

use crate::registry::*;
use crate::support::*;
use crate::views::*;

const IMAGE_NAME: &str = "io.containerd.image.name";

/// Returns the descriptor with a ref name, an image name or both.
fn called(descriptor: &Value, ref_name: Option<&str>, image_name: Option<&str>) -> Value {
    let names = [(REF_NAME, ref_name), (IMAGE_NAME, image_name)];
    let annotations: serde_json::Map<_, _> =
        names.into_iter().filter_map(|(key, name)| Some((key.to_owned(), json!(name?)))).collect();
    if annotations.is_empty() {
        descriptor.clone()
    } else {
        with(descriptor.clone(), json!({"annotations": annotations}))
    }
}

/// Returns the names of the entries of a layout, in order.
fn names(sandbox: &Sandbox, layout: &str) -> Vec<(Option<String>, Option<String>)> {
    let index = sandbox.json(&format!("{layout}/index.json"));
    let name = |entry: &Value, key: &str| entry["annotations"][key].as_str().map(str::to_owned);
    let entries = index["manifests"].as_array().expect("entries").iter();
    entries.map(|entry| (name(entry, REF_NAME), name(entry, IMAGE_NAME))).collect()
}

fn name(ref_name: &str, image_name: &str) -> (Option<String>, Option<String>) {
    let some = |name: &str| (!name.is_empty()).then(|| name.to_owned());
    (some(ref_name), some(image_name))
}

/// Creates `image` with two images as in `docker save`, both with the tag `latest`.
fn saved() -> (Sandbox, [Value; 3]) {
    let sandbox = Sandbox::new();
    let images = ["amd64", "arm64", "s390x"].map(|one| on(&image(&sandbox, one), one));
    list(
        &sandbox,
        &[
            &called(&images[0], Some("latest"), Some("docker.io/library/alpha:latest")),
            &called(&images[1], Some("latest"), Some("docker.io/library/beta:latest")),
        ],
    );
    (sandbox, images)
}

#[test]
fn an_image_is_found_by_either_name_in_every_spelling() {
    let (sandbox, [alpha, beta, other]) = saved();
    list(
        &sandbox,
        &[
            &called(&alpha, Some("v1"), Some("docker.io/library/app:v1")),
            &called(&beta, None, Some("example.com/app:v2")),
            &called(&other, Some("docker.io/library/old:1"), None),
        ],
    );
    for (reference, image) in [
        ("v1", &alpha),
        ("app:v1", &alpha),
        ("library/app:v1", &alpha),
        ("docker.io/library/app:v1", &alpha),
        ("docker.io/app:v1", &alpha),
        ("index.docker.io/library/app:v1", &alpha),
        ("v2", &beta),
        ("example.com/app:v2", &beta),
        ("docker.io/library/old:1", &other),
        ("old:1", &other),
    ] {
        let found = sandbox.ok_json(&format!("layout manifest info --path image --ref {reference}"));
        assert_eq!(found["digest"], image["digest"], "{reference}");
        let found = sandbox.ok_json(&format!("layout manifest info --path image:{reference}@{}", digest(image)));
        assert_eq!(found["digest"], image["digest"], "{reference}");
    }
    for reference in ["app:v2", "app", "1", "example.com/app:v1", "docker.io/old:2"] {
        sandbox.refuses(
            &format!("layout manifest info --path image --ref {reference}"),
            &format!("image has no manifest '{reference}' {SEE_TAGS}"),
        );
    }
    let wrong = format!("v1@{}", digest(&beta));
    for command in ["manifest get", "manifest delete", "manifest descriptor", "referrer list", "tag move"] {
        let more = if command == "tag move" { " v3" } else { "" };
        let found = sandbox.run(&format!("layout {command} --path image --ref {wrong}{more}"));
        if command == "referrer list" {
            // A missing subject may have referrers.
            found.succeeds("", "");
        } else {
            found.fails(format!("Error: image has no manifest '{wrong}' {SEE_TAGS}\n"));
        }
    }
}

#[test]
fn a_whole_name_without_a_tag_means_latest() {
    let (sandbox, [alpha, ..]) = saved();
    for reference in ["library/alpha", "docker.io/alpha", "alpha:latest"] {
        let found = sandbox.ok_json(&format!("layout manifest info --path image --ref {reference}"));
        assert_eq!(found["digest"], alpha["digest"], "{reference}");
    }
}

#[test]
fn a_name_of_several_manifests_is_an_error_where_one_is_needed() {
    let (sandbox, [alpha, beta, _]) = saved();
    let candidates = format!(
        "image has 2 manifests 'latest': {} (docker.io/library/alpha:latest, linux/amd64), {} (docker.io/library/beta:latest, linux/arm64) (MANIFEST_UNKNOWN)",
        digest(&alpha),
        digest(&beta)
    );
    for words in [
        "manifest get --path image --ref latest",
        "manifest info --path image:latest",
        "manifest descriptor --path image --ref latest",
    ] {
        let message = format!("{candidates}; choose one by its image name, as TAG@DIGEST or with --platform");
        sandbox.refuses(&format!("layout {words}"), &message);
    }
    for words in [
        "manifest delete --path image --ref latest",
        "referrer list --path image --ref latest",
        "tag add --path image --ref latest v2",
        "tag move --path image --ref latest v2",
        "tag delete --path image --ref latest",
        "tag delete --path image:latest",
    ] {
        let message = format!("{candidates}; choose one by its image name, as TAG@DIGEST or with --platform");
        sandbox.refuses(&format!("layout {words}"), &message);
    }
    for words in [
        format!("--path image --ref latest@{}", digest(&beta)),
        format!("--path image:latest@{}", digest(&beta)),
        "--path image --ref latest --platform linux/arm64".to_owned(),
        "--path image --ref beta:latest".to_owned(),
    ] {
        let found = sandbox.ok_json(&format!("layout manifest info {words}"));
        assert_eq!(found["digest"], beta["digest"], "{words}");
    }
    // Two manifests for the same platform are ambiguous.
    let two = document(&sandbox, &with(sandbox.blob_json(digest(&alpha)), json!({"annotations": {"a": "1"}})));
    list(&sandbox, &[&named(&alpha, "v1"), &named(&two, "v1")]);
    sandbox.refuses(
        "layout manifest get --path image --ref v1 --platform linux/amd64",
        &format!(
            "image has 2 manifests 'v1': {} (linux/amd64), {} (linux/amd64) (MANIFEST_UNKNOWN); choose one as TAG@DIGEST",
            digest(&alpha),
            digest(&two)
        ),
    );
    // Entries with equal digests are not ambiguous.
    list(&sandbox, &[&named(&alpha, "v1"), &called(&alpha, Some("v1"), Some("docker.io/library/a:v1"))]);
    assert_eq!(sandbox.ok_json("layout manifest info --path image --ref v1")["digest"], alpha["digest"]);
    sandbox.ok("layout tag delete --path image --ref v1");
    assert_eq!(listed(&sandbox), json!([]));
}

#[test]
fn commands_for_several_images_select_all_of_a_name() {
    let (sandbox, [alpha, beta, _]) = saved();
    sandbox.ok("layout export --path image --output a.tar");
    for source in ["--path image", "--file a.tar"] {
        for (words, digests) in [
            ("--ref latest".to_owned(), vec![digest(&alpha), digest(&beta)]),
            ("--ref alpha:latest".to_owned(), vec![digest(&alpha)]),
            (format!("--ref latest@{}", digest(&beta)), vec![digest(&beta)]),
        ] {
            let found = sandbox.ok_json(&format!("layout inspect {source} {words}"));
            let images = found["images"].as_array().expect("images").iter();
            assert_eq!(images.map(digest).collect::<Vec<_>>(), digests, "{words}");
        }
    }
    sandbox.ok(&format!("layout import --path one --file a.tar --ref latest@{}", digest(&beta)));
    assert_eq!(names(&sandbox, "one"), [name("latest", "docker.io/library/beta:latest")]);
    sandbox.ok("layout export --path image:latest --output both");
    assert_eq!(names(&sandbox, "both").len(), 2);
}

#[test]
fn the_image_name_changes_with_its_tag() {
    let (sandbox, [one, two, _]) = saved();
    let app = |tag: &str| format!("docker.io/acme/app:{tag}");
    // The names before, the command, the names after.
    for (before, words, after) in [
        (name("v1", &app("v1")), "move --ref v1 v2", vec![name("v2", &app("v2"))]),
        (name("v1", &app("v1")), "move --ref acme/app:v1 v2", vec![name("v2", &app("v2"))]),
        (name("", &app("v1")), "move --ref v1 v2", vec![name("v2", &app("v2"))]),
        (name("candidate", &app("v1")), "move --ref candidate v2", vec![name("v2", &app("v1"))]),
        (name("candidate", &app("v1")), "move --ref acme/app:v1 v2", vec![name("candidate", &app("v2"))]),
        (name("v1", &app("v1")), "move --ref v1 other/b:3", vec![name("other/b:3", "docker.io/other/b:3")]),
        (name("v1", ""), "move --ref v1 other/b:3", vec![name("other/b:3", "")]),
        (name("v1", &app("v1")), "add --ref v1 v2", vec![name("v1", &app("v1")), name("v2", &app("v2"))]),
        (
            name("v1", &app("v1")),
            "add --ref v1 other/b:3",
            vec![name("v1", &app("v1")), name("other/b:3", "docker.io/other/b:3")],
        ),
        (name("v1", &app("v1")), "add --ref v1 v1", vec![name("v1", &app("v1"))]),
        (name("v1", &app("v1")), "delete --ref v1", vec![]),
        (name("v1", &app("v1")), "delete --ref docker.io/acme/app:v1", vec![]),
        (name("candidate", &app("v1")), "delete --ref candidate", vec![name("", &app("v1"))]),
        (name("candidate", &app("v1")), "delete --ref acme/app:v1", vec![name("candidate", "")]),
    ] {
        list(&sandbox, &[&called(&one, before.0.as_deref(), before.1.as_deref())]);
        let (command, words) = words.split_once(' ').expect("words");
        sandbox.ok(&format!("layout tag {command} --path image {words}"));
        assert_eq!(names(&sandbox, "image"), after, "{before:?}: {command} {words}");
    }
    // A name in use is taken from its entry, which keeps its other names.
    for (other, words, after) in [
        (name("v2", "docker.io/b:v2"), "move --ref v1 v2", vec![name("v2", &app("v2")), name("", "docker.io/b:v2")]),
        (name("v2", &app("v2")), "move --ref v1 v2", vec![name("v2", &app("v2")), name("", "")]),
        (name("", &app("v2")), "move --ref v1 v2", vec![name("v2", &app("v2")), name("", "")]),
        (name("x", &app("v2")), "move --ref v1 v2", vec![name("v2", &app("v2")), name("x", "")]),
        (
            name("v2", "docker.io/b:v2"),
            "add --ref v1 v2",
            vec![name("v1", &app("v1")), name("v2", &app("v2")), name("", "docker.io/b:v2")],
        ),
        (name("x", &app("v2")), "add --ref v1 v2", vec![name("v1", &app("v1")), name("x", ""), name("v2", &app("v2"))]),
    ] {
        let entries =
            [called(&one, Some("v1"), Some(&app("v1"))), called(&two, other.0.as_deref(), other.1.as_deref())];
        list(&sandbox, &[&entries[0], &entries[1]]);
        let (command, words) = words.split_once(' ').expect("words");
        sandbox.ok(&format!("layout tag {command} --path image {words}"));
        assert_eq!(names(&sandbox, "image"), after, "{other:?}: {command} {words}");
        sandbox.ok("layout validate --path image");
    }
}

#[test]
fn results_show_both_names() {
    let (sandbox, [alpha, beta, _]) = saved();
    let sbom = document(&sandbox, &about(&sandbox, &alpha, "a/sbom"));
    list(
        &sandbox,
        &[
            &called(&alpha, Some("v1"), Some("docker.io/library/app:v1")),
            &called(&beta, None, Some("docker.io/library/app:v2")),
            &called(&sbom, None, Some("docker.io/library/app:sbom")),
        ],
    );
    assert_eq!(sandbox.ok("layout tag list --path image"), "v1\n");
    let all = ["docker.io/library/app:sbom", "docker.io/library/app:v1", "docker.io/library/app:v2"];
    assert_eq!(sandbox.ok_json("layout tag list --path image"), json!({"tags": ["v1"], "image_names": all}));
    let info = "layout manifest info --path image --ref v1";
    assert!(sandbox.ok(info).contains("\n           tags: v1\n    image-names: docker.io/library/app:v1\n"));
    let value = sandbox.ok_json(info);
    assert_eq!((&value["tags"], &value["image_names"]), (&json!(["v1"]), &json!(["docker.io/library/app:v1"])));
    let inspect = sandbox.ok_json("layout inspect --path image --ref v1");
    assert_eq!(inspect["images"][0]["image_names"], json!(["docker.io/library/app:v1"]));
    let text = sandbox.ok("layout inspect --path image --ref v1");
    assert!(text.contains("  ref-name: v1\n      name: docker.io/library/app:v1\n"), "{text}");
    let tree = sandbox.ok("layout show --path image --tree");
    assert!(tree.contains(" manifest v1, docker.io/library/app:v1"), "{tree}");
    let tree = sandbox.ok_json("layout show --path image --tree");
    assert_eq!(tree["roots"][1]["image_names"], json!(["docker.io/library/app:v2"]));
    let referrers = format!("layout referrer list --path image --ref v1@{}", digest(&alpha));
    assert!(sandbox.ok(&referrers).ends_with("docker.io/library/app:sbom\n"));
    let value = sandbox.ok_json(&referrers);
    assert_eq!(value["manifests"][0]["image_names"], json!(["docker.io/library/app:sbom"]));
    let exported = sandbox.ok("layout export --path image --ref v1 --output out");
    assert!(exported.contains(&format!("{} v1 docker.io/library/app:v1\n", digest(&alpha))), "{exported}");
}

/// Returns the names of the images of a Docker archive.
fn repo_tags(sandbox: &Sandbox, words: &str) -> Value {
    sandbox.ok(&format!("layout export {words} --format docker-archive --output docker.tar"));
    let found = files(&sandbox.read("docker.tar"));
    let (_, content) = found.iter().find(|(name, _)| name == "manifest.json").expect("it is there");
    let images: Value = serde_json::from_slice(content).expect("JSON");
    images.as_array().expect("images").iter().map(|image| image["RepoTags"].clone()).collect()
}

#[test]
fn docker_archives_have_each_name_once() {
    let (sandbox, [alpha, beta, other]) = saved();
    assert_eq!(repo_tags(&sandbox, "--path image"), json!([["alpha:latest"], ["beta:latest"]]));
    let found = files(&sandbox.read("docker.tar"));
    let (_, content) = found.iter().find(|(name, _)| name == "index.json").expect("it is there");
    assert_eq!(serde_json::from_slice::<Value>(content).expect("JSON")["manifests"], listed(&sandbox));
    // The names stay the same after reading and writing the archive again.
    sandbox.ok("layout import --path back --file docker.tar");
    assert_eq!(repo_tags(&sandbox, "--path back"), json!([["alpha:latest"], ["beta:latest"]]));
    list(
        &sandbox,
        &[
            &called(&alpha, Some("docker.io/library/app:1"), Some("docker.io/library/app:1")),
            &called(&alpha, Some("b:2"), Some("docker.io/library/app:1")),
            &called(&beta, Some("<none>:<none>"), Some("<none>")),
            &called(&other, Some("v1"), Some("example.com/app:v1")),
        ],
    );
    let tags = json!([["docker.io/library/app:1", "b:2"], null, ["example.com/app:v1"]]);
    assert_eq!(repo_tags(&sandbox, "--path image"), tags);
    assert_eq!(sandbox.ok("layout tag list --path image"), "b:2\ndocker.io/library/app:1\nv1\n");
    assert_eq!(repo_tags(&sandbox, "--path image:v1 --ref-name v2"), json!([["example.com/app:v2"]]));
    assert_eq!(repo_tags(&sandbox, "--path image:v1 --ref-name c:3"), json!([["c:3"]]));
}

#[test]
fn an_import_replaces_only_the_names_that_it_contains() {
    let (sandbox, images) = saved();
    let one = |image: &Value, ref_name: &str, image_name: &str, file: &str| {
        let ref_name = (!ref_name.is_empty()).then_some(ref_name);
        let image_name = (!image_name.is_empty()).then_some(image_name);
        list(&sandbox, &[&called(image, ref_name, image_name)]);
        sandbox.ok(&format!("layout export --path image --output {file}"));
    };
    let (alpha, beta) = ("docker.io/library/alpha:latest", "docker.io/library/beta:latest");
    // The existing names, the imported names, the conflicting name, and the names after replacing it.
    for (at, (there, comes, taken, after)) in [
        (name("latest", alpha), name("latest", beta), Some("latest"), vec![name("latest", beta), name("", alpha)]),
        (name("latest", alpha), name("latest", ""), Some("latest"), vec![name("latest", ""), name("", alpha)]),
        (name("a", alpha), name("b", alpha), Some(alpha), vec![name("a", ""), name("b", alpha)]),
        (
            name("a", alpha),
            name("b", "alpha:latest"),
            Some("alpha:latest"),
            vec![name("a", ""), name("b", "alpha:latest")],
        ),
        (name("latest", alpha), name("latest", alpha), Some("latest"), vec![name("latest", alpha), name("", "")]),
        (name("", alpha), name("alpha:latest", ""), Some("alpha:latest"), vec![name("alpha:latest", ""), name("", "")]),
        (name("a", alpha), name("b", beta), None, vec![name("a", alpha), name("b", beta)]),
    ]
    .into_iter()
    .enumerate()
    {
        let text = |name: &Option<String>| name.clone().unwrap_or_default();
        one(&images[0], &text(&there.0), &text(&there.1), "there.tar");
        one(&images[1], &text(&comes.0), &text(&comes.1), "comes.tar");
        let layout = format!("layout{at}");
        sandbox.ok(&format!("layout import --path {layout} --file there.tar"));
        if let Some(taken) = taken {
            sandbox.refuses(
                &format!("layout import --path {layout} --file comes.tar"),
                &format!("{layout} has another manifest '{taken}' already; use --ref-name or --replace-tag"),
            );
        }
        sandbox.ok(&format!("layout import --path {layout} --file comes.tar --replace"));
        assert_eq!(names(&sandbox, &layout), after, "{there:?} and {comes:?}");
        // A second import finds all entries present.
        sandbox.ok(&format!("layout import --path {layout} --file comes.tar"));
        assert_eq!(names(&sandbox, &layout), after, "{there:?} and {comes:?}");
        sandbox.ok(&format!("layout validate --path {layout}"));
    }
}

#[test]
fn a_join_keeps_the_common_image_name() {
    let (sandbox, [amd64, arm64, _]) = saved();
    let app = "docker.io/acme/app:v1";
    for (at, (one, two, words, after)) in [
        (name("v1", app), name("v1", app), "", name("v1", app)),
        (name("a", app), name("b", app), "", name("v1", app)),
        (name("", app), name("", "acme/app:v1"), "", name("v1", app)),
        (name("v1", app), name("v1", "docker.io/acme/b:v1"), "", name("v1", "")),
        (name("v1", app), name("v1", ""), "", name("v1", "")),
        (name("v1", app), name("v1", app), "--ref-name v2", name("v2", "docker.io/acme/app:v2")),
        (name("v1", app), name("v1", app), "--ref-name b/c:3", name("b/c:3", "docker.io/b/c:3")),
        (name("v1", ""), name("v1", ""), "--ref-name b/c:3", name("b/c:3", "")),
        (name("candidate", app), name("candidate", app), "", name("candidate", app)),
        (name("a", ""), name("b", ""), "", name("latest", "")),
    ]
    .into_iter()
    .enumerate()
    {
        for (image, (ref_name, image_name), file) in [(&amd64, one, "amd64.tar"), (&arm64, two, "arm64.tar")] {
            list(&sandbox, &[&called(image, ref_name.as_deref(), image_name.as_deref())]);
            sandbox.ok(&format!("layout export --path image --output {file}"));
        }
        sandbox.ok(&format!("layout join --path amd64.tar --path arm64.tar --output joined{at} {words}"));
        assert_eq!(names(&sandbox, &format!("joined{at}")), [after], "{at}");
    }
}

#[test]
fn a_name_of_the_index_itself_moves_to_its_entries() {
    let (sandbox, [amd64, arm64, _]) = saved();
    let attested = attestation(&sandbox, &amd64);
    let own = |entries: &[&Value], annotations: Value| {
        sandbox.write("image/index.json", with(index(entries), json!({"annotations": annotations})).to_string());
    };
    let app = "docker.io/acme/app:v1";
    own(&[&amd64, &arm64, &attested], json!({REF_NAME: "v1", IMAGE_NAME: app, "k": "v"}));
    for found in ["amd64", "arm64"] {
        let info = format!("layout manifest info --path image --ref v1 --platform linux/{found}");
        assert_eq!(sandbox.ok_json(&info)["platform"], json!(format!("linux/{found}")));
    }
    assert_eq!(sandbox.ok("layout tag list --path image"), "v1\n");
    sandbox.ok("layout export --path image --output a.tar");
    sandbox.ok("layout import --path imported --file a.tar");
    assert_eq!(names(&sandbox, "imported"), [name("v1", app), name("v1", app), name("", "")]);
    sandbox.ok("layout join --path image --path a.tar --output joined");
    assert_eq!(names(&sandbox, "joined"), [name("v1", app)]);
    // Commands that change the layout move the name to its entries.
    sandbox.ok(&format!("layout tag add --path image --ref v1@{} v2", digest(&amd64)));
    assert_eq!(sandbox.index()["annotations"], json!({"k": "v"}));
    assert_eq!(names(&sandbox, "image")[3], name("v2", "docker.io/acme/app:v2"));
    // An entry keeps its own name.
    own(&[&named(&amd64, "old"), &arm64], json!({REF_NAME: "v1"}));
    assert_eq!(sandbox.ok("layout tag list --path image"), "old\nv1\n");
}

#[test]
fn generating_a_manifest_keeps_the_image_name_of_the_entry_that_it_replaces() {
    let sandbox = Sandbox::built();
    sandbox.edit("image/index.json", |index| {
        index["manifests"][0]["annotations"][IMAGE_NAME] = json!("docker.io/acme/app:latest");
    });
    sandbox.ok("layout generate manifest --path image --ref-name latest --annotation a=1");
    assert_eq!(names(&sandbox, "image"), [name("latest", "docker.io/acme/app:latest")]);
    // The entry with this name is replaced, found by its ref name or its image name.
    sandbox.edit("image/index.json", |index| {
        index["manifests"][0]["annotations"][REF_NAME] = json!("v1");
        index["manifests"][0]["annotations"][IMAGE_NAME] = json!("docker.io/acme/app:v1");
    });
    sandbox.ok("layout generate manifest --path image --ref-name acme/app:v1");
    assert_eq!(names(&sandbox, "image"), [name("acme/app:v1", "docker.io/acme/app:v1")]);
}

#[test]
fn an_image_name_that_is_given_as_an_annotation_is_not_changed() {
    let (sandbox, _) = saved();
    let words = "--path image --ref alpha:latest --ref-name v1 --annotation io.containerd.image.name=docker.io/b/c:9";
    sandbox.ok(&format!("layout export {words} --output out"));
    assert_eq!(names(&sandbox, "out"), [name("v1", "docker.io/b/c:9")]);
    sandbox.refuses(
        "layout export --path image --ref latest --ref-name v1 --output two",
        "--ref-name names one image, and 2 are selected; choose one with --ref, or use --wrap",
    );
}

#[test]
fn an_image_for_several_platforms_is_shown_with_its_image_name() {
    let images = Images::new();
    let app = "docker.io/acme/app:v1";
    list(&images.sandbox, &[&called(&images.index, Some("v1"), Some(app))]);
    let text = images.sandbox.ok("layout inspect --path image");
    assert!(text.starts_with("Images:\n       tag: v1\n      name: docker.io/acme/app:v1\n     count: 2\n"), "{text}");
    let inspected = images.sandbox.ok_json("layout inspect --path image");
    assert_eq!(inspected["image_name"], json!(app));
    for image in inspected["images"].as_array().expect("a list") {
        assert_eq!((&image["ref_names"], &image["image_names"]), (&json!(["v1"]), &json!([app])));
    }
    // The image for a single platform gets the names of the index.
    images.sandbox.ok("layout export --path image:acme/app:v1 --platform linux/arm64 --output out");
    assert_eq!(names(&images.sandbox, "out"), [name("v1", app)]);
}

#[test]
fn a_tag_that_is_added_again_is_listed_once_and_empty_names_are_not_copied() {
    let (sandbox, [_, beta, other]) = saved();
    let tag = |reference: &str, tag: &str| sandbox.ok(&format!("layout tag add --path image --ref {reference} {tag}"));
    tag("beta:latest", "v2");
    tag("v2", "latest");
    let all = ["latest", "v2"].map(|tag| name(tag, &format!("docker.io/library/beta:{tag}")));
    assert_eq!(names(&sandbox, "image"), [&all[..], &[name("", "docker.io/library/alpha:latest")]].concat());
    list(&sandbox, &[&called(&beta, Some("<none>"), Some("<none>:<none>")), &other]);
    tag(digest(&beta), "v3");
    assert_eq!(names(&sandbox, "image"), [name("<none>", "<none>:<none>"), name("", ""), name("v3", "")]);
}

#[test]
fn the_name_of_index_json_is_that_of_its_images_and_not_of_artifacts_beside_them() {
    let (sandbox, [alpha, ..]) = saved();
    let artifact = with(alpha.clone(), json!({"artifactType": "application/spdx+json"}));
    for (entries, expected) in
        [(vec![&artifact, &alpha], vec![name("", ""), name("v1", "")]), (vec![&artifact], vec![name("v1", "")])]
    {
        list(&sandbox, &entries);
        let index = with(sandbox.json("image/index.json"), json!({"annotations": {REF_NAME: "v1"}}));
        std::fs::write(sandbox.path("image/index.json"), index.to_string()).expect("written");
        let exported = sandbox.ok_json("layout export --path image --output out --dry-run");
        let found = exported["manifests"].as_array().expect("a list").iter();
        let found: Vec<_> =
            found.map(|entry| (entry["annotations"][REF_NAME].as_str().map(str::to_owned), None)).collect();
        assert_eq!(found, expected);
    }
}

#[test]
fn a_platform_names_one_entry_of_a_tag_that_several_have() {
    for (words, after) in [
        (
            "tag move -p image --ref latest --platform linux/arm64 v2",
            &[("latest", "alpha:latest"), ("v2", "beta:v2")][..],
        ),
        ("tag delete -p image:latest --platform linux/arm64", &[("latest", "alpha:latest")]),
        ("manifest delete -p image --ref latest --platform amd64", &[("latest", "beta:latest")]),
        (
            "tag add -p image --ref latest --platform linux/arm64 v2",
            &[("latest", "alpha:latest"), ("latest", "beta:latest"), ("v2", "beta:v2")],
        ),
    ] {
        let (sandbox, _) = saved();
        sandbox.ok(&format!("layout {words}"));
        let after: Vec<_> = after.iter().map(|(tag, image)| name(tag, &format!("docker.io/library/{image}"))).collect();
        assert_eq!(names(&sandbox, "image"), after, "{words}");
    }
    let (sandbox, _) = saved();
    sandbox.refuses(
        "layout tag delete -p image:latest --platform linux/s390x",
        "no linux/s390x image in 'latest'; it has linux/amd64, linux/arm64 (MANIFEST_UNKNOWN)",
    );
    sandbox.misuses(
        "layout tag delete -p image:latest --platform linux",
        "'linux' is an operating system without an architecture; use linux/ARCHITECTURE, such as linux/amd64",
    );
}

#[test]
fn an_image_in_a_tagged_index_is_read_by_its_digest_and_not_changed() {
    let (sandbox, [alpha, beta, _]) = saved();
    let nested = document(&sandbox, &index(&[&alpha, &beta]));
    list(&sandbox, &[&named(&nested, "v1")]);
    let before = sandbox.index();
    let reference = format!("v1@{}", digest(&beta));
    for words in [
        format!("manifest info -p image:{reference}"),
        format!("manifest info -p image --ref {reference}"),
        format!("manifest descriptor -p image --ref {reference}"),
        "manifest info -p image:v1 --platform linux/arm64".to_owned(),
    ] {
        assert_eq!(sandbox.ok_json(&format!("layout {words}"))["digest"], beta["digest"], "{words}");
    }
    let referrer = document(&sandbox, &about(&sandbox, &beta, "application/vnd.example"));
    list(&sandbox, &[&named(&nested, "v1"), &referrer]);
    for words in [format!("-p image:{reference}"), "-p image:v1 --platform linux/arm64".to_owned()] {
        let listed = sandbox.ok_json(&format!("layout referrer list {words}"));
        assert_eq!(listed["manifests"][0]["digest"], referrer["digest"], "{words}");
    }
    sandbox.ok(&format!("layout export -p image:{reference} -o one"));
    assert_eq!(sandbox.json("one/index.json")["manifests"][0]["digest"], beta["digest"]);

    list(&sandbox, &[&named(&nested, "v1")]);
    for (words, said) in [
        (format!("tag delete -p image:{reference}"), reference.as_str()),
        (format!("tag move -p image:{reference} v2"), &reference),
        (format!("manifest delete -p image --ref {reference}"), &reference),
        (format!("manifest delete -p image --ref {}", digest(&beta)), digest(&beta)),
        ("tag delete -p image:v1 --platform linux/arm64".to_owned(), "v1 for linux/arm64"),
        ("tag move -p image:v1 --platform linux/arm64 v2".to_owned(), "v1 for linux/arm64"),
    ] {
        sandbox.refuses(
            &format!("layout {words}"),
            &format!("image lists '{said}' only in an image index, not in index.json (MANIFEST_UNKNOWN); name the index, or tag the image with 'layout tag add'"),
        );
    }
    assert_eq!(sandbox.index(), before);
    sandbox.ok(&format!("layout tag add -p image:{reference} v1-arm64"));
    assert_eq!(sandbox.ok_json("layout manifest info -p image:v1-arm64")["digest"], beta["digest"]);
}

#[test]
fn an_image_name_determines_the_repository_of_an_entry() {
    let (sandbox, [alpha, beta, other]) = saved();
    list(
        &sandbox,
        &[
            &called(&alpha, Some("v1"), Some("docker.io/acme/app:v1")),
            &called(&beta, Some("v1"), Some("ghcr.io/acme/tool:v1")),
            &called(&other, None, Some("docker.io/library/busybox:1.36")),
        ],
    );
    sandbox.run("layout catalog list -p image").succeeds("acme/app\nbusybox\nghcr.io/acme/tool\n", "");
    for repository in ["acme/app", "docker.io/acme/app", "index.docker.io/acme/app"] {
        sandbox.run(&format!("layout tag list -p image --repo {repository}")).succeeds("v1\n", "");
    }
    for (words, image) in [
        ("-p image/acme/app:v1", &alpha),
        ("-p image --repo ghcr.io/acme/tool --ref v1", &beta),
        ("-p image --repo library/busybox --ref 1.36", &other),
    ] {
        assert_eq!(sandbox.ok_json(&format!("layout manifest info {words}"))["digest"], image["digest"], "{words}");
    }
    sandbox.ok("layout tag move -p image --repo acme/app --ref v1 v2");
    sandbox.ok("layout tag move -p image --repo busybox --ref 1.36 1.37");
    sandbox.ok("layout tag delete -p image --repo ghcr.io/acme/tool --ref v1");
    let after = [name("v2", "docker.io/acme/app:v2"), name("1.37", "docker.io/library/busybox:1.37")];
    assert_eq!(names(&sandbox, "image"), after);
}

#[test]
fn an_image_name_of_two_manifests_is_a_warning() {
    let (sandbox, [alpha, beta, other]) = saved();
    let app = |image, name| called(image, None, Some(name));
    // Entries with equal digests are merged, and `<none>` does not count as a name.
    let entries = [
        app(&alpha, "docker.io/library/app:v1"),
        app(&alpha, "app:v1"),
        app(&beta, "library/app:v1"),
        app(&alpha, "<none>:<none>"),
        app(&beta, "<none>:<none>"),
        other,
    ];
    list(&sandbox, &entries.each_ref());
    let found = sandbox.ok_json("layout validate -p image");
    assert_eq!(
        found["warnings"],
        json!(["manifests[2] in index.json: image name 'library/app:v1' is that of manifests[0] too"])
    );
}
