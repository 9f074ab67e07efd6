//! `layout referrer get`

use std::fs;

use serde_json::{Value, json};

use crate::registry::{
    EMPTY_TYPE, about, artifact, blob, digest, document, image, index, is_usage_error, list, named, with,
};
use crate::support::*;

const SPDX: &str = "application/spdx+json";
const TITLE: &str = "org.opencontainers.image.title";

/// Creates a layout `image` with the image `v1`, to which an SBOM of two files and a report are attached.
fn sandbox() -> (Sandbox, [String; 2]) {
    let sandbox = Sandbox::empty();
    for name in ["app", "a.json", "b.json", "report"] {
        sandbox.write(name, format!("{name}\n"));
    }
    sandbox.ok("build -o image:v1 --copy app:/app");
    let attach = |words: &str| sandbox.ok(&format!("attach image:v1 -q --artifact-type {words}")).trim().to_owned();
    let digests = [attach(&format!("{SPDX} -f a.json -f b.json")), attach("text/plain -f report")];
    (sandbox, digests)
}

/// Returns a layer with a title, of content that is stored.
fn titled(sandbox: &Sandbox, title: &str, content: &str) -> Value {
    with(blob(sandbox, "a/b", content), json!({"annotations": {TITLE: title}}))
}

/// Creates a layout with an image `v1` and a referrer of files.
fn with_files(files: impl FnOnce(&Sandbox) -> Vec<Value>) -> (Sandbox, String) {
    let sandbox = Sandbox::new();
    let subject = image(&sandbox, "amd64");
    let layers = files(&sandbox);
    let referrer = document(&sandbox, &with(about(&sandbox, &subject, "a/b"), json!({"layers": layers})));
    list(&sandbox, &[&named(&subject, "v1"), &referrer]);
    let referrer = digest(&referrer).to_owned();
    (sandbox, referrer)
}

/// Returns the names of the files below the directory `out`, without temporary ones.
fn written(sandbox: &Sandbox) -> Vec<String> {
    sandbox.tree().into_keys().filter_map(|name| name.strip_prefix("./out/").map(str::to_owned)).collect()
}

#[test]
fn g1_the_files_of_a_referrer_are_written_by_their_titles() {
    let (sandbox, [sbom, report]) = sandbox();
    let image = fs::metadata(sandbox.path("image/index.json")).expect("there").modified().expect("a time");
    let got = sandbox.run(&format!("referrer get image:v1 --artifact-type {SPDX} -o out"));
    let text = format!(
        "Wrote files of referrer:\n         digest: {sbom}\n  artifact-type: {SPDX}\n           file: out/a.json\n           file: out/b.json\n"
    );
    got.succeeds(text, "");
    assert_eq!(written(&sandbox), ["a.json", "b.json"]);
    assert_eq!(
        (sandbox.text("out/a.json"), sandbox.text("out/b.json")),
        ("a.json\n".to_owned(), "b.json\n".to_owned())
    );
    let file = |name: &str| {
        json!({"path": format!("new/one/{name}"), "digest": sha256(format!("{name}\n").as_bytes()), "size": 7,
            "media_type": "application/octet-stream"})
    };
    let expected =
        json!({"digest": sbom, "artifact_type": SPDX, "output": "new/one", "files": [file("a.json"), file("b.json")]});
    assert_eq!(sandbox.ok_json(&format!("referrer get image:v1 -d {} -o new/one", &sbom[7..15])), expected);
    sandbox.run(&format!("referrer get image:v1 -d {report} -o out -q")).succeeds(format!("{report}\n"), "");
    assert_eq!(written(&sandbox), ["a.json", "b.json", "report"]);
    assert_eq!(fs::metadata(sandbox.path("image/index.json")).expect("there").modified().expect("a time"), image);
    assert!(sandbox.tree().keys().all(|name| !name.contains(".regshape-tmp-")));
}

#[test]
fn one_file_goes_to_standard_output() {
    let (sandbox, [sbom, report]) = sandbox();
    sandbox.run("referrer get image:v1 --artifact-type text/plain -o -").succeeds("report\n", "");
    sandbox.refuses(
        &format!("referrer get image:v1 --artifact-type {SPDX} -o -"),
        &format!("referrer {sbom} has 2 files: a.json, b.json; write them into a directory with --output DIR"),
    );
    sandbox.misuses(
        &format!("referrer get image:v1 -d {report} -o - --json"),
        "--json prints to standard output; write the file into a directory with --output DIR",
    );
    is_usage_error(&sandbox, "referrer get image:v1");
    sandbox.write(&format!("image/blobs/sha256/{}", &sha256(b"report\n")[7..]), "repost\n");
    let damaged = sandbox.run(&format!("referrer get image:v1 -d {report} -o -"));
    assert_eq!(damaged.status, 1);
    assert!(damaged.stderr.starts_with("Error: digest mismatch for sha256:"), "{damaged:?}");
    let damaged = sandbox.run(&format!("referrer get image:v1 -d {report} -o out"));
    assert_eq!((damaged.status, damaged.stdout.as_str()), (1, ""));
    assert!(!sandbox.path("out").exists());
}

#[test]
fn several_referrers_are_an_error_that_lists_them_and_none_is_status_3() {
    let (sandbox, [sbom, report]) = sandbox();
    let subject = sandbox.index()["manifests"][0]["digest"].as_str().expect("a digest").to_owned();
    let mut both = [format!("{sbom} ({SPDX}: a.json, b.json)"), format!("{report} (text/plain: report)")];
    both.sort();
    sandbox.refuses(
        "referrer get image:v1 -o out",
        &format!("{subject} has 2 referrers: {}; choose one with --digest or --artifact-type", both.join(", ")),
    );
    let before = sandbox.tree();
    let listed = "'layout referrer list' lists the referrers";
    for (words, message) in [
        ("--artifact-type a/c".to_owned(), " of type 'a/c'".to_owned()),
        (format!("-d {subject}"), format!(" with digest '{subject}'")),
        ("-d 0000 --artifact-type a/c".to_owned(), " of type 'a/c' with digest '0000'".to_owned()),
    ] {
        let outcome = sandbox.run(&format!("referrer get image:v1 -o out {words}"));
        outcome.is(3, "", format!("Error: {subject} has no referrer{message}; {listed}\n"));
    }
    let outcome = sandbox.run(&format!("referrer get image@{sbom} -o out"));
    outcome.is(3, "", format!("Error: {sbom} has no referrer; {listed}\n"));
    let unknown = sandbox.run("referrer get image:v9 -o out");
    assert_eq!((unknown.status, unknown.stdout.as_str()), (3, ""));
    assert!(sandbox.run("referrer get image:v1 -o out -d xyz").stderr.starts_with("Error: "));
    assert_eq!(sandbox.tree(), before);
    // A referrer of a referrer.
    sandbox.ok(&format!("attach image@{sbom} --artifact-type a/sign -f app"));
    sandbox.run(&format!("referrer get image@{sbom} -o -")).succeeds("app\n", "");
}

#[test]
fn files_that_are_there_are_kept_unless_they_are_to_be_overwritten() {
    let (sandbox, [sbom, _]) = sandbox();
    fs::create_dir(sandbox.path("out")).expect("made");
    sandbox.write("out/b.json", "mine");
    let words = format!("referrer get image:v1 -d {sbom} -o out");
    sandbox.refuses(&words, "out has these files already: b.json; use --overwrite, or another directory");
    assert_eq!(written(&sandbox), ["b.json"]);
    sandbox.ok(&format!("{words} --overwrite"));
    assert_eq!(sandbox.text("out/b.json"), "b.json\n");
    sandbox.refuses(&words, "out has these files already: a.json, b.json; use --overwrite, or another directory");
    sandbox.refuses(&format!("referrer get image:v1 -d {sbom} -o app"), "app is a file, not a directory");
    fs::remove_file(sandbox.path("out/a.json")).expect("removed");
    fs::create_dir(sandbox.path("out/a.json")).expect("made");
    sandbox.refuses(&format!("{words} --overwrite"), "out/a.json is a directory, not a regular file");
}

#[test]
fn g1_titles_with_directories_stay_below_the_directory() {
    let (sandbox, referrer) = with_files(|sandbox| {
        vec![
            titled(sandbox, "docs/a.txt", "a"),
            titled(sandbox, "./docs//deep/b.txt", "b"),
            titled(sandbox, "..c", "c"),
            blob(sandbox, "a/b", "untitled"),
            titled(sandbox, "", "empty title"),
            // The same file twice is one.
            titled(sandbox, "docs/a.txt", "a"),
        ]
    });
    sandbox.ok("referrer get image:v1 -o out");
    let name = |content: &str| sha256(content.as_bytes()).replace(':', "-");
    let mut expected =
        ["..c", "docs", "docs/a.txt", "docs/deep", "docs/deep/b.txt", &name("untitled"), &name("empty title")];
    expected.sort_unstable();
    assert_eq!(written(&sandbox), expected);
    assert_eq!(sandbox.text(&format!("out/{}", name("untitled"))), "untitled");
    sandbox.refuses(
        &format!("referrer get image:v1 -d {referrer} -o out/docs/a.txt"),
        "out/docs/a.txt is a file, not a directory",
    );
}

#[test]
fn g1_titles_that_lead_out_are_refused_and_nothing_is_written() {
    let hint = "'layout blob get' writes one file by its digest";
    for title in ["../x", "/tmp/x", "a/../../x", "..", "/", "a\0b", "."] {
        let (sandbox, referrer) = with_files(|sandbox| vec![titled(sandbox, "ok", "ok"), titled(sandbox, title, "x")]);
        let shown = title.escape_debug();
        sandbox.refuses(
            "referrer get image:v1 -o out",
            &format!("'{shown}' of referrer {referrer} is not a path below a directory; {hint}"),
        );
    }
    for (one, other, message) in
        [("x", "x", "'x' and 'x'"), ("a", "a/b", "'a' and 'a/b'"), ("a/b/c", "a/b", "'a/b' and 'a/b/c'")]
    {
        let (sandbox, referrer) = with_files(|sandbox| vec![titled(sandbox, one, "1"), titled(sandbox, other, "2")]);
        sandbox.refuses(
            "referrer get image:v1 -o out",
            &format!("{message} of referrer {referrer} cannot both be written; {hint}"),
        );
    }
}

#[test]
#[cfg(unix)]
fn g1_links_in_the_directory_are_neither_followed_nor_replaced() {
    let (sandbox, _) = with_files(|sandbox| vec![titled(sandbox, "docs/a.txt", "a"), titled(sandbox, "link", "x")]);
    fs::create_dir(sandbox.path("out")).expect("made");
    fs::create_dir(sandbox.path("elsewhere")).expect("made");
    sandbox.write("victim", "victim");
    std::os::unix::fs::symlink("../elsewhere", sandbox.path("out/docs")).expect("linked");
    for flag in ["", " --overwrite"] {
        sandbox.refuses(&format!("referrer get image:v1 -o out{flag}"), "out/docs is a link, not a directory");
    }
    fs::remove_file(sandbox.path("out/docs")).expect("removed");
    std::os::unix::fs::symlink("../victim", sandbox.path("out/link")).expect("linked");
    for flag in ["", " --overwrite"] {
        sandbox.refuses(&format!("referrer get image:v1 -o out{flag}"), "out/link is a link, not a regular file");
    }
    fs::remove_file(sandbox.path("out/link")).expect("removed");
    // The directory itself may be named by a link.
    std::os::unix::fs::symlink("out", sandbox.path("to-out")).expect("linked");
    sandbox.ok("referrer get image:v1 -o to-out");
    assert_eq!((sandbox.text("out/docs/a.txt"), sandbox.text("victim")), ("a".to_owned(), "victim".to_owned()));
}

#[test]
fn referrers_without_files_and_those_of_older_forms() {
    let (sandbox, referrer) = with_files(|sandbox| vec![blob(sandbox, EMPTY_TYPE, "{}")]);
    sandbox.refuses("referrer get image:v1 -o out", &format!("referrer {referrer} has no files"));
    sandbox.refuses("referrer get image:v1 -o -", &format!("referrer {referrer} has no files"));

    let sandbox = Sandbox::new();
    let subject = image(&sandbox, "amd64");
    let old = artifact(&sandbox, &subject, &[&titled(&sandbox, "old", "old")]);
    list(&sandbox, &[&named(&subject, "v1"), &old]);
    sandbox.run("referrer get image:v1 -o -").succeeds("old", "");
    let of_index = document(&sandbox, &with(index(&[]), json!({"subject": subject, "artifactType": "a/b"})));
    list(&sandbox, &[&named(&subject, "v1"), &of_index]);
    sandbox.refuses("referrer get image:v1 -o out", &format!("referrer {} has no files", digest(&of_index)));
    // A file that is missing, or of another size.
    let (sandbox, _) = with_files(|sandbox| vec![titled(sandbox, "a", "a"), titled(sandbox, "b", "b")]);
    fs::remove_file(sandbox.path(blob_name(&sha256(b"b")))).expect("removed");
    let missing = sandbox.run("referrer get image:v1 -o out");
    assert!(missing.stderr.contains(&sha256(b"b")) && missing.stdout.is_empty(), "{missing:?}");
    assert!(!sandbox.path("out").exists());
    let (sandbox, _) = with_files(|sandbox| vec![with(titled(sandbox, "a", "a"), json!({"size": 2}))]);
    sandbox.refuses(
        "referrer get image:v1 -o out",
        &format!("size mismatch for {}: expected 2, got 1 (SIZE_INVALID)", sha256(b"a")),
    );
}

#[test]
fn a_file_that_is_not_stored_is_an_error_of_the_artifact() {
    let (sandbox, [_, report]) = sandbox();
    let file = sandbox.blob_json(&report)["layers"][0]["digest"].as_str().expect("a digest").to_owned();
    fs::remove_file(sandbox.path(blob_name(&file))).expect("removed");
    let message = format!("Error: blob {file} referenced by {report} does not exist (BLOB_UNKNOWN)\n");
    for output in ["out", "-"] {
        sandbox.run(&format!("referrer get image:v1 --artifact-type text/plain -o {output}")).is(1, "", &message);
    }
    assert_eq!(written(&sandbox), [""; 0]);
}

#[test]
fn nothing_is_written_into_a_layout() {
    let (sandbox, _) = sandbox();
    let contents = sandbox.contents();
    for output in ["image", "image/blobs", "image/new", "image/blobs/new/newer"] {
        let refused = sandbox.run(&format!("referrer get image:v1 --artifact-type text/plain -o {output} --overwrite"));
        assert_eq!(refused.status, 1);
        assert!(refused.stderr.ends_with("image is; choose another --output\n"), "{}", refused.stderr);
        assert_eq!(sandbox.contents(), contents);
    }
    let (sandbox, referrer) = with_files(|sandbox| vec![titled(sandbox, "image/oci-layout", "x")]);
    let refused = sandbox.run(&format!("referrer get image:v1 -d {referrer} -o . --overwrite"));
    assert_eq!(refused.status, 1, "{}", refused.stderr);
    sandbox.is_valid();
}
