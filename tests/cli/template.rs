//! `--template` on every command that prints a result.

use crate::support::*;

#[test]
fn a_template_prints_the_values_of_keys() {
    let sandbox = Sandbox::built();
    let print = |words: &str, template: &str| {
        let outcome = sandbox.run_words(words.split_whitespace().chain(["--template", template]));
        assert_eq!((outcome.status, outcome.stderr.as_str()), (0, ""), "{words}");
        outcome.stdout
    };
    assert_eq!(
        print("manifest info image:latest", "{digest}\\t{config.user}{platform}"),
        format!("{MANIFEST}\tlinux/amd64\n")
    );
    assert_eq!(print("ls image", "{name}: {platforms}"), "latest: [\"linux/amd64\"]\n");
    assert_eq!(print("tag list image", "{{{tags}}}"), "{[\"latest\"]}\n");
    assert_eq!(print("show image:latest", "{config.digest}"), format!("{CONFIG}\n"));
    assert_eq!(print("blob head image -d 4dda", "{size}"), format!("{BASE_SIZE}\n"));
    assert_eq!(print("validate image", "{valid} {checked.blobs}"), "true 4\n");
    assert_eq!(print("tag add -p image:latest v2", "{digest}"), format!("{MANIFEST}\n"));
    assert_eq!(print("tag delete -p image v2 latest", "{tag}"), "v2\nlatest\n");
}

#[test]
fn an_unknown_key_is_refused_before_anything_is_done() {
    let sandbox = Sandbox::built();
    sandbox.misuses(
        "tag add -p image:latest v2 --template {digests}",
        "--template: 'tag add' has no key 'digests'; its keys are digest, tags",
    );
    // The keys of a document are known once it is read.
    let keys = "schemaVersion, mediaType, artifactType, config, layers, manifests, subject, annotations";
    sandbox.misuses(
        "show image:latest --template {entrypoint}",
        &format!("--template: 'show' has no key 'entrypoint'; its keys are {keys}"),
    );
    // Another kind of result has keys of its own.
    assert_eq!(sandbox.ok("show image --tree --template {totals.images}"), "1\n");
    let outcome = sandbox.run("show image --tree --template {manifests}");
    assert_eq!((outcome.status, outcome.stdout.as_str()), (2, ""));
    assert!(outcome.stderr.contains("'show --tree' has no key 'manifests'"), "{outcome:?}");
    let outcome = sandbox.run("manifest get image:latest --output m.json --template {layers}");
    assert_eq!(outcome.status, 2, "{outcome:?}");
    assert!(!sandbox.path("m.json").exists());
}

#[test]
fn a_template_goes_with_no_other_form_of_result() {
    let sandbox = Sandbox::built();
    sandbox.misuses("ls image --template {name} --quiet", "--template cannot be used with --quiet");
    let outcome = sandbox.run("ls image --template {name} --json");
    assert_eq!((outcome.status, outcome.stdout.as_str()), (2, ""));
    assert!(outcome.stderr.starts_with("error: the argument '--template <TEMPLATE>' cannot be used with '--json'"));
    let outcome = sandbox.run("ls image --template {name");
    assert_eq!((outcome.status, outcome.stdout.as_str()), (2, ""));
    assert!(outcome.stderr.contains("'{name' has no closing brace; write {{ for a brace"), "{outcome:?}");
    sandbox.misuses(
        &format!("blob get image --digest {BASE} --template {{size}}"),
        "--template prints to standard output; write the blob to a file with --output",
    );
}

#[test]
fn errors_and_findings_stay_on_stderr() {
    let sandbox = Sandbox::built();
    std::fs::remove_file(sandbox.path(format!("image/blobs/{}", BASE.replace(':', "/")))).expect("deleted");
    let outcome = sandbox.run("validate image --template {valid}");
    assert_eq!((outcome.status, outcome.stdout.as_str()), (1, "false\n"));
    assert!(outcome.stderr.starts_with("Error: "), "{outcome:?}");
    sandbox.run("manifest info image:v9 --template {digest}").is(
        3,
        "",
        "Error: image has no manifest 'v9' (MANIFEST_UNKNOWN); 'layout tag list' lists the tags\n",
    );
}
