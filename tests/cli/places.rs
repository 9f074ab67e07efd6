//! How commands interpret `--path`, `--ref`, `--repo`, `--default-repo` and `--per-repo`.

use std::fs;

use serde_json::{Value, json};

use crate::registry::*;
use crate::support::*;

const DESCRIPTOR: &str = "layout manifest descriptor";

/// Checks that the arguments resolve to a manifest.
#[track_caller]
fn means(sandbox: &Sandbox, words: &str, expected: &Value) {
    let outcome = sandbox.run(&format!("{DESCRIPTOR} {words} --json"));
    assert!(outcome.status == 0 && outcome.stderr.is_empty(), "{words}: {outcome:?}");
    assert_eq!(outcome.json()["digest"], expected["digest"], "{words}");
}

#[track_caller]
fn unknown(sandbox: &Sandbox, words: &str, reference: &str) {
    sandbox.refuses(&format!("{DESCRIPTOR} {words}"), &format!("image has no manifest '{reference}' {SEE_TAGS}"));
}

/// Creates a layout with names of two repositories and others: `app:v1`, `v1`, `other:v1`, and an entry without a name.
fn mixed() -> (Sandbox, [Value; 4]) {
    let sandbox = Sandbox::new();
    let images = ["amd64", "arm64", "riscv64", "s390x"].map(|architecture| image(&sandbox, architecture));
    let names = ["app:v1", "v1", "other:v1"];
    let mut entries: Vec<_> = images.iter().zip(names).map(|(image, name)| named(image, name)).collect();
    entries.push(images[3].clone());
    list(&sandbox, &entries.iter().collect::<Vec<_>>());
    (sandbox, images)
}

#[test]
fn a_reference_is_a_name_or_a_digest_or_a_repository_with_either() {
    let (sandbox, [app, plain, other, unnamed]) = mixed();
    for (words, expected) in [
        ("--ref app:v1".to_owned(), &app),
        ("--ref v1".to_owned(), &plain),
        ("--ref other:v1".to_owned(), &other),
        (format!("--ref {}", digest(&unnamed)), &unnamed),
        (format!("--ref {}", digest(&plain)), &plain),
        (format!("--ref app:v1@{}", digest(&app)), &app),
        (format!("--ref v1@{}", digest(&plain)), &plain),
        (format!("--ref app@{}", digest(&app)), &app),
        ("--repo app --ref v1".to_owned(), &app),
        ("--repo app --ref app:v1".to_owned(), &app),
        ("--repo other --ref v1".to_owned(), &other),
        (format!("--repo app --ref {}", digest(&app)), &app),
        (format!("--repo app --ref app@{}", digest(&app)), &app),
        (format!("--repo app --ref v1@{}", digest(&app)), &app),
        ("--default-repo lib/x --repo lib/x --ref v1".to_owned(), &plain),
        ("--default-repo lib/x --ref lib/x:v1".to_owned(), &plain),
        ("--default-repo lib/x --ref v1".to_owned(), &plain),
        (format!("--default-repo lib/x --ref lib/x@{}", digest(&unnamed)), &unnamed),
        (format!("--default-repo lib/x --repo lib/x --ref {}", digest(&unnamed)), &unnamed),
    ] {
        means(&sandbox, &format!("-p image {words}"), expected);
    }
    for (words, reference) in [
        ("--ref v2".to_owned(), "v2".to_owned()),
        ("--ref app:v2".to_owned(), "app:v2".to_owned()),
        ("--ref app".to_owned(), "app".to_owned()),
        ("--ref lib/x:v1".to_owned(), "lib/x:v1".to_owned()),
        ("--default-repo app --repo app --ref v2".to_owned(), "v2".to_owned()),
        ("--repo app --ref other:v1".to_owned(), "other:v1".to_owned()),
        // A manifest in the layout, but not in the repository.
        (format!("--repo app --ref {}", digest(&other)), digest(&other).to_owned()),
        (format!("--repo app --ref {}", &digest(&other)[..20]), digest(&other)[..20].to_owned()),
        (format!("--ref app@{}", digest(&other)), format!("app@{}", digest(&other))),
        // The name and the digest must match.
        (format!("--ref v1@{}", digest(&other)), format!("v1@{}", digest(&other))),
        (format!("--ref app:v1@{}", digest(&other)), format!("app:v1@{}", digest(&other))),
        (format!("--repo app --ref v1@{}", digest(&other)), format!("v1@{}", digest(&other))),
        // A stored blob that is not a manifest.
        (format!("--ref {}", digest(&config(&sandbox, "amd64"))), digest(&config(&sandbox, "amd64")).to_owned()),
    ] {
        unknown(&sandbox, &format!("-p image {words}"), &reference);
    }
    sandbox.refuses(
        &format!("{DESCRIPTOR} -p image --repo none --ref v1"),
        &format!("image has no repository 'none' {SEE_CATALOG}"),
    );
}

#[test]
fn a_digest_prefix_resolves_to_the_only_matching_manifest() {
    let (sandbox, images) = mixed();
    for image in &images {
        let hash = &digest(image)[7..];
        for beginning in [&hash[..4], &hash[..12], hash] {
            means(&sandbox, &format!("-p image --ref {beginning}"), image);
            means(&sandbox, &format!("-p image --ref sha256:{beginning}"), image);
        }
        for too_short in ["", &hash[..1], &hash[..3]] {
            unknown(&sandbox, &format!("-p image --ref sha256:{too_short}"), &format!("sha256:{too_short}"));
        }
        unknown(&sandbox, &format!("-p image --ref {}", &hash[..3]), &hash[..3]);
        unknown(&sandbox, &format!("-p image --ref sha512:{}", &hash[..8]), &format!("sha512:{}", &hash[..8]));
        unknown(&sandbox, &format!("-p image --ref {}", &hash[1..9]), &hash[1..9]);
        unknown(&sandbox, &format!("-p image --ref {hash}0"), &format!("{hash}0"));
    }
    // Two entries of the same manifest are not ambiguous.
    sandbox.edit("image/index.json", |index| {
        let again = named(&images[0], "again");
        index["manifests"].as_array_mut().expect("a list").push(again);
    });
    means(&sandbox, &format!("-p image --ref {}", &digest(&images[0])[7..15]), &images[0]);
    // A name has priority over a digest prefix.
    let beginning = &digest(&images[0])[7..15];
    list(&sandbox, &[&images[0], &named(&images[1], beginning)]);
    means(&sandbox, &format!("-p image --ref {beginning}"), &images[1]);
    // A full digest has priority over a name, even over a name that equals the digest of another image.
    let called = named(&images[1], digest(&images[0]));
    list(&sandbox, &[&called, &images[0]]);
    means(&sandbox, &format!("-p image --ref {}", digest(&images[0])), &images[0]);
    means(&sandbox, &format!("-p image@{}", digest(&images[0])), &images[0]);
    means(&sandbox, &format!("-p image --ref {}", digest(&images[1])), &called);
    list(&sandbox, &[&called]);
    unknown(&sandbox, &format!("-p image --ref {}", digest(&images[0])), digest(&images[0]));
}

#[test]
fn a_digest_prefix_of_several_manifests_is_ambiguous() {
    let sandbox = Sandbox::new();
    let hash = |end: usize| format!("sha256:abcd{end:060}");
    let entries: Vec<_> =
        (0..7).map(|end| json!({"mediaType": MANIFEST_TYPE, "digest": hash(end), "size": 2})).collect();
    list(&sandbox, &entries[..2].iter().collect::<Vec<_>>());
    for beginning in ["abcd", "sha256:abcd", "abcd0000"] {
        sandbox.refuses(
            &format!("{DESCRIPTOR} -p image --ref {beginning}"),
            &format!(
                "'{beginning}' matches several digests: {}, {} (MANIFEST_UNKNOWN); give more of its digits",
                hash(0),
                hash(1)
            ),
        );
    }
    means(&sandbox, &format!("-p image --ref {}", hash(1)), &entries[1]);
    // A long list of digests is truncated.
    list(&sandbox, &entries.iter().collect::<Vec<_>>());
    let some: Vec<_> = (0..5).map(hash).collect();
    sandbox.run(&format!("{DESCRIPTOR} -p image --ref abcd")).fails_with(
        1,
        predicates::str::starts_with(format!("Error: 'abcd' matches several digests: {}", some.join(", "))),
    );
    // Only manifests of the repository are considered.
    list(&sandbox, &[&named(&entries[0], "app:v1"), &named(&entries[1], "other:v1")]);
    means(&sandbox, "-p image --repo app --ref abcd", &entries[0]);
}

#[test]
fn digests_and_prefixes_find_manifests_in_nested_indexes() {
    let sandbox = Sandbox::new();
    let images = ["amd64", "arm64"].map(|architecture| image(&sandbox, architecture));
    let inner = document(&sandbox, &index(&[&on(&images[1], "arm64")]));
    let outer = document(&sandbox, &index(&[&on(&images[0], "amd64"), &inner]));
    list(&sandbox, &[&named(&outer, "app:v1")]);
    for repository in ["", "--repo app"] {
        for (image, architecture) in images.iter().zip(["amd64", "arm64"]) {
            for reference in [digest(image), &digest(image)[..20], &digest(image)[7..17]] {
                let words = format!("{DESCRIPTOR} -p image {repository} --ref {reference}");
                assert_eq!(sandbox.ok_json(&words), on(image, architecture), "{words}");
            }
        }
        assert_eq!(sandbox.ok_json(&format!("{DESCRIPTOR} -p image {repository} --ref {}", digest(&inner))), inner);
    }
    // A subject is not part of the layout.
    let subject = image(&sandbox, "s390x");
    let sbom = document(&sandbox, &about(&sandbox, &subject, "a/sbom"));
    list(&sandbox, &[&sbom]);
    unknown(&sandbox, &format!("-p image --ref {}", digest(&subject)), digest(&subject));
}

#[test]
fn invalid_references_are_refused() {
    let (sandbox, _) = mixed();
    sandbox.misuses_words(DESCRIPTOR, &["-p", "image", "--ref", ""], "the value of --ref is empty");
    sandbox.misuses(&format!("{DESCRIPTOR} -p image"), "which image? name it as DIR:TAG (tags: app:v1, other:v1, v1)");
    // A repository with a single image needs no tag.
    sandbox.ok(&format!("{DESCRIPTOR} -p image --repo app"));
    for (reference, shown) in [
        ("a b", "a b"),
        ("\u{1b}[2J", "\\u{1b}[2J"),
        ("a\nb", "a\\nb"),
        (":", ":"),
        ("../../etc", "../../etc"),
        ("sha256", "sha256"),
    ] {
        let message = format!("image has no manifest '{shown}' {SEE_TAGS}");
        refuses_words(&sandbox, DESCRIPTOR, &["-p", "image", "--ref", reference], &message);
    }
    for (reference, digest, reason) in [
        ("app@", "", "it has no colon"),
        ("app@v1", "v1", "it has no colon"),
        ("app@sha256:../..", "sha256:../..", "its hash has the wrong length"),
        ("app@sha256:00", "sha256:00", "its hash has the wrong length"),
    ] {
        sandbox.refuses(
            &format!("{DESCRIPTOR} -p image --ref {reference}"),
            &format!("'{digest}' is not a digest: {reason} (DIGEST_INVALID)"),
        );
    }
}

#[test]
fn a_path_may_end_with_a_ref_name() {
    let (sandbox, [app, plain, other, unnamed]) = mixed();
    list(&sandbox, &[&named(&app, "v1"), &named(&plain, "docker.io/library/x:1"), &named(&other, "app:v1"), &unnamed]);
    let absolute = sandbox.path("image");
    let absolute = absolute.to_str().expect("UTF-8");
    for (path, expected) in [
        ("image:v1".to_owned(), &app),
        ("./image:v1".to_owned(), &app),
        (format!("{absolute}:v1"), &app),
        ("image:docker.io/library/x:1".to_owned(), &plain),
        ("./image:docker.io/library/x:1".to_owned(), &plain),
        ("image:app:v1".to_owned(), &other),
        (format!("image@{}", digest(&unnamed)), &unnamed),
        (format!("image:{}", digest(&unnamed)), &unnamed),
        (format!("image:{}", &digest(&unnamed)[7..15]), &unnamed),
        (format!("image:v1@{}", digest(&app)), &app),
    ] {
        means(&sandbox, &format!("-p {path}"), expected);
    }
    for (path, reference) in [("image:v2", "v2"), ("image:docker.io/x", "docker.io/x"), ("image:x:y:z", "x:y:z")] {
        unknown(&sandbox, &format!("-p {path}"), reference);
    }
    // An existing directory with such a name has priority.
    if cfg!(unix) {
        fs::rename(sandbox.path("image"), sandbox.path("image:v1")).expect("renamed");
        assert_eq!(sandbox.ok_json(&format!("{DESCRIPTOR} -p image:v1 --ref v1"))["digest"], app["digest"]);
        assert_eq!(sandbox.ok_json(&format!("{DESCRIPTOR} -p image:v1:v1"))["digest"], app["digest"]);
    }
}

#[test]
fn a_path_may_contain_a_repository() {
    let (sandbox, [app, plain, other, unnamed]) = mixed();
    list(
        &sandbox,
        &[
            &named(&app, "example/app:v1"),
            &named(&plain, "v1"),
            &named(&other, "app:v1"),
            &named(&unnamed, &format!("example/app@{}", digest(&unnamed))),
        ],
    );
    let absolute = sandbox.path("image/example/app:v1");
    for (words, expected) in [
        ("image/example/app:v1".to_owned(), &app),
        ("./image/example/app:v1".to_owned(), &app),
        (absolute.to_str().expect("UTF-8").to_owned(), &app),
        (format!("./image/example/app@{}", digest(&unnamed)), &unnamed),
        (format!("./image/example/app:v1@{}", digest(&app)), &app),
        ("./image/app:v1".to_owned(), &other),
        ("./image/example/app --ref v1".to_owned(), &app),
        (format!("./image/example/app --ref {}", &digest(&unnamed)[7..15]), &unnamed),
        ("./image/example/app:v1 --repo example/app".to_owned(), &app),
        ("./image/lib/x:v1 --default-repo lib/x".to_owned(), &plain),
    ] {
        means(&sandbox, &format!("-p {words}"), expected);
    }
    unknown(&sandbox, "-p image/example/app:v2", "v2");
    unknown(&sandbox, &format!("-p image/app@{}", digest(&app)), digest(&app));
    sandbox.refuses(
        &format!("{DESCRIPTOR} -p ./image/none:v1"),
        &format!("./image has no repository 'none' {SEE_CATALOG}"),
    );
    sandbox.ok(&format!("{DESCRIPTOR} -p image/app"));
    sandbox.refuses(
        &format!("{DESCRIPTOR} -p image/app:v1 --repo other"),
        "the path names repository 'app' and --repo names 'other'",
    );
    // From inside the layout.
    let inside = |path: &str| {
        let mut command = sandbox.command();
        command.current_dir(sandbox.path("image")).args(DESCRIPTOR.split(' ')).args(["--json", "-p", path]);
        Outcome::from(command.output().expect("the program runs")).json()["digest"].clone()
    };
    assert_eq!(inside("app:v1"), other["digest"]);
    assert_eq!(inside("./example/app:v1"), app["digest"]);
}

#[test]
fn the_deepest_layout_in_a_path_is_used() {
    let (sandbox, [app, plain, ..]) = mixed();
    sandbox.ok("layout init -p image/inner");
    fs::remove_dir_all(sandbox.path("image/inner/blobs")).expect("removed");
    fs::create_dir(sandbox.path("image/inner/blobs")).expect("made");
    for entry in [&app, &plain] {
        let name = blob_name(digest(entry));
        let inner = name.replacen("image/", "image/inner/", 1);
        fs::create_dir_all(sandbox.path(&inner).parent().expect("a directory")).expect("made");
        fs::copy(sandbox.path(&name), sandbox.path(&inner)).expect("copied");
    }
    sandbox.write("image/inner/index.json", index(&[&named(&app, "x/y:v1"), &named(&app, "v1")]).to_string());
    list(&sandbox, &[&named(&plain, "inner/x/y:v1"), &named(&plain, "inner:v1")]);
    means(&sandbox, "-p image/inner/x/y:v1", &app);
    // `inner` is both a layout and a repository of the outer layout: the layout comes first.
    means(&sandbox, "-p image/inner:v1", &app);
    let inside = |words: &str| {
        let mut command = sandbox.command();
        let command = command.current_dir(sandbox.path("image")).args(words.split(' '));
        Outcome::from(command.output().expect("the program runs"))
    };
    let outcome = inside("tag delete -p inner:v1");
    assert_eq!(outcome.status, 0, "{outcome:?}");
    assert_eq!(sandbox.ok("tag list image/inner"), "x/y:v1\n");
    means(&sandbox, "-p image --ref inner:v1", &plain);
}

#[test]
fn the_path_and_the_reference_must_not_conflict() {
    let (sandbox, _) = mixed();
    for (path, said) in [("image:v1", "v1"), ("image:app:v1", "app:v1"), ("image/app:v1", "v1")] {
        for reference in ["v1", "v2", "app:v1"] {
            let words = format!("{DESCRIPTOR} -p {path} --ref {reference}");
            if reference == said {
                assert_eq!(sandbox.ok(&words), sandbox.ok(&format!("{DESCRIPTOR} -p {path}")));
            } else {
                sandbox.misuses(&words, &format!("the path names '{said}' and --ref names '{reference}'"));
            }
        }
    }
}

#[test]
fn a_path_that_does_not_exist_is_an_error() {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.path("empty")).expect("made");
    for command in [
        "tag list",
        "tag add --ref v1 v2",
        "tag move --ref v1 v2",
        "tag delete --ref v1",
        "manifest get --ref v1",
        "manifest descriptor --ref v1",
        "manifest info --ref v1",
        "manifest delete --ref v1",
        "referrer list --ref v1",
    ] {
        for path in ["missing", "missing/deeper", "empty", "base.tar/x"] {
            sandbox.refuses(
                &format!("layout {command} -p {path}"),
                &format!("{path} is not an OCI Image Layout (missing oci-layout file)"),
            );
        }
    }
    for (path, directory) in
        [("missing:v1", "missing"), ("./missing:a/b:c", "./missing"), ("missing/app:v1", "missing/app")]
    {
        sandbox.refuses(
            &format!("layout manifest get -p {path}"),
            &format!("{directory} is not an OCI Image Layout (missing oci-layout file)"),
        );
    }
    sandbox.refuses("layout tag list -p image:", "image: is not an OCI Image Layout (missing oci-layout file)");
    sandbox.run_words(["layout", "tag", "list", "-p", ""]).fails_with(2, predicates::str::starts_with("error: "));
}

#[test]
fn each_repository_may_have_a_layout() {
    let (sandbox, [app, plain, other, unnamed]) = mixed();
    for (name, entries) in [
        ("layouts/example/app", vec![named(&app, "example/app:v1"), named(&plain, "v2"), named(&other, "other:v1")]),
        ("layouts/other", vec![named(&other, "v1"), unnamed.clone()]),
    ] {
        fs::create_dir_all(sandbox.path(name)).expect("made");
        sandbox.ok(&format!("layout init -p {name}"));
        sandbox.write(&format!("{name}/index.json"), index(&entries.iter().collect::<Vec<_>>()).to_string());
    }
    for (words, expected) in [
        ("--repo example/app --ref v1".to_owned(), &app),
        ("--repo example/app --ref v2".to_owned(), &plain),
        ("--repo example/app --ref example/app:v1".to_owned(), &app),
        ("--ref example/app:v1".to_owned(), &app),
        ("--ref example/app:v2".to_owned(), &plain),
        (format!("--ref example/app@{}", digest(&app)), &app),
        ("--ref other:v1".to_owned(), &other),
        (format!("--repo other --ref {}", &digest(&unnamed)[7..15]), &unnamed),
    ] {
        means(&sandbox, &format!("-p layouts --per-repo {words}"), expected);
    }
    assert_eq!(
        sandbox.ok_json("layout tag list -p layouts --per-repo --repo example/app"),
        json!({"name": "example/app", "tags": ["v1", "v2"]})
    );
    for (words, message) in [
        (
            "--ref v1",
            "layouts holds one layout per repository, and no repository is named (NAME_INVALID); use --repo".to_owned(),
        ),
        ("--repo none --ref v1", format!("layouts/none has no repository 'none' {SEE_CATALOG}")),
        ("--repo example --ref v1", format!("layouts/example has no repository 'example' {SEE_CATALOG}")),
        ("--repo other --ref v2", format!("layouts/other has no manifest 'v2' {SEE_TAGS}")),
        ("--repo ../image --ref v1", format!("'../image' {REPOSITORY_GRAMMAR}")),
        // In a layout of its own, names of other repositories do not count.
        ("--repo example/app --ref other:v1", format!("layouts/example/app has no manifest 'other:v1' {SEE_TAGS}")),
    ] {
        sandbox.refuses(&format!("{DESCRIPTOR} -p layouts --per-repo {words}"), &message);
    }
    is_usage_error(&sandbox, &format!("{DESCRIPTOR} -p layouts --per-repo --default-repo app --ref v1"));
}

#[test]
fn no_layout_is_made_under_a_name_that_means_a_tag_of_another() {
    let (sandbox, _) = mixed();
    for (words, command) in [
        ("init image:v9", "init"),
        ("export image:v1 --output image:v9", "export"),
        ("join image:v1 --output image:v9 --ref-name v9", "join"),
    ] {
        sandbox.misuses(words, &format!("'{command}' takes a layout: remove ':v9' from the path"));
        assert!(!sandbox.path("image:v9").exists(), "{words}");
    }
}
