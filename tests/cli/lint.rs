//! `layout lint`

use std::fs;

use serde_json::{Value, json};

use crate::layers::*;
use crate::registry::{EMPTY_TYPE, blob, document, list, manifest, named, with};
use crate::support::*;

/// Returns an ELF file for a machine, and with a loader if it has one.
fn elf(machine: u8, loader: &str) -> String {
    let mut elf = vec![0; 120];
    elf[..6].copy_from_slice(b"\x7fELF\x02\x01");
    (elf[18], elf[32], elf[54]) = (machine, 64, 56);
    if !loader.is_empty() {
        elf[56] = 1;
        (elf[64], elf[72], elf[96]) = (3, 120, loader.len() as u8);
        elf.extend(loader.as_bytes());
    }
    String::from_utf8(elf).expect("small numbers")
}

const AMD64: u8 = 62;
const ARM: u8 = 40;
const S390X: u8 = 22;
const I386: u8 = 3;

/// Makes an image of layers with a config that starts a program, so that it has no fault.
fn image(layers: &[&[&str]]) -> Sandbox {
    let program = format!("755 sbin/start={}", elf(AMD64, ""));
    let lowest: Vec<&str> = layers[0].iter().copied().chain([program.as_str()]).collect();
    let layers: Vec<&[&str]> = [lowest.as_slice()].into_iter().chain(layers[1..].iter().copied()).collect();
    let sandbox = image_of(&layers);
    sandbox.ok("update config image:v1 -q --entrypoint start");
    sandbox
}

/// Runs the command. The digests of layers are `L0`, `L1`, …, that of the manifest is `M`.
#[track_caller]
fn lint(sandbox: &Sandbox, words: &str) -> Outcome {
    let Outcome { status, stdout, stderr } = sandbox.run(&format!("lint {words}"));
    let short = |text: String| {
        let manifest = sandbox.index()["manifests"][0]["digest"].as_str().expect("a digest").to_owned();
        let layers = layer_digests(sandbox);
        let text = text.replace(&manifest, "M");
        layers.iter().enumerate().fold(text, |text, (at, digest)| text.replace(digest, &format!("L{at}")))
    };
    Outcome { status, stdout: short(stdout), stderr: short(stderr) }
}

const PASSES: &str = "The image at image:v1 has no errors.\n";

/// Checks the findings of an image: its errors and its warnings.
#[track_caller]
fn finds(sandbox: &Sandbox, errors: &[&str], warnings: &[&str]) {
    let before = sandbox.tree();
    let lines =
        |label: &str, texts: &[&str]| -> String { texts.iter().map(|text| format!("{label}: {text}\n")).collect() };
    let count = |texts: &[&str], noun: &str| match texts.len() {
        0 => None,
        1 => Some(format!("1 {noun}")),
        count => Some(format!("{count} {noun}s")),
    };
    let sum = [count(errors, "error"), count(warnings, "warning")].into_iter().flatten().collect::<Vec<_>>().join(", ");
    let sum = if sum.is_empty() { sum } else { sum + "\n" };
    let stderr = lines("Warning", warnings) + &lines("Error", errors) + &sum;
    let (status, stdout) = if errors.is_empty() { (0, PASSES) } else { (1, "") };
    lint(sandbox, "image:v1").is(status, stdout, stderr);
    let value = lint(sandbox, "image:v1 --json").json();
    assert_eq!(
        (&value["passed"], &value["errors"], &value["warnings"]),
        (&json!(errors.is_empty()), &json!(errors), &json!(warnings))
    );
    assert_eq!(sandbox.tree(), before, "nothing is written");
}

#[test]
fn d5_an_image_without_faults_passes() {
    let sandbox = image(&[&["a=1"], &["b=2", ".wh.a"]]);
    lint(&sandbox, "image:v1").succeeds(PASSES, "");
    lint(&sandbox, "image").succeeds("The image at image has no errors.\n", "");
    lint(&sandbox, "-p image:v1 -q").succeeds("", "");
    let size: u64 = layer_digests(&sandbox).iter().map(|digest| sandbox.blob(digest).len() as u64).sum();
    assert_eq!(
        lint(&sandbox, "image:v1 --json").json(),
        json!({
            "passed": true, "layout_path": "image:v1", "image": "M", "platform": "linux/amd64", "errors": [],
            "warnings": [], "checked": {"blobs": 2, "bytes": size}, "findings": [],
        })
    );
    sandbox.ok("export image:v1 -q -o image.tar");
    sandbox.run("lint image.tar").succeeds("The image at image.tar has no errors.\n", "");
}

#[test]
fn d5_a_program_that_cannot_start_is_an_error() {
    let (amd64, arm, i386, s390x) = (elf(AMD64, ""), elf(ARM, ""), elf(I386, ""), elf(S390X, ""));
    let (glibc, musl, foreign) = (elf(AMD64, "/lib64/ld.so"), elf(AMD64, "/lib/musl.so"), elf(AMD64, "/lib/arm.so"));
    let entries = [
        format!("755 bin/sh={amd64}"),
        format!("755 usr/bin/env={amd64}"),
        format!("755 usr/bin/app={amd64}"),
        "usr/local/bin/app=shadows".to_owned(),
        format!("644 srv/plain={amd64}"),
        format!("755 srv/arm={arm}"),
        format!("755 srv/386={i386}"),
        format!("755 srv/s390x={s390x}"),
        format!("755 srv/glibc={glibc}"),
        format!("755 srv/musl={musl}"),
        format!("755 srv/foreign={foreign}"),
        format!("755 lib/ld-2.so={amd64}"),
        format!("755 lib/arm.so={s390x}"),
        "lib64>lib".to_owned(),
        "lib/ld.so>ld-2.so".to_owned(),
        "755 srv/sh=#!/bin/sh".to_owned(),
        "755 srv/none=#!/bin/bash".to_owned(),
        "755 srv/crlf=#!/bin/sh\r\n".to_owned(),
        "755 srv/env=#!/usr/bin/env\tapp".to_owned(),
        "755 srv/noenv=#!/usr/bin/env\tpython3".to_owned(),
        "755 srv/split=#!/usr/bin/env\t-S\tapp\t-x".to_owned(),
        "755 srv/nosplit=#!/usr/bin/env\tapp\t-x".to_owned(),
        "755 srv/both=#!/srv/none".to_owned(),
        "755 srv/near=#!./sh".to_owned(),
        "755 srv/bare=#!app".to_owned(),
        "755 srv/forarm=#!/srv/s390x".to_owned(),
        "755 srv/circle=#!/srv/circle".to_owned(),
        "755 srv/text=echo".to_owned(),
        "755 srv/empty=".to_owned(),
        "srv/link>/usr/bin/app".to_owned(),
        "srv/broken>/nowhere".to_owned(),
        "srv/dir/".to_owned(),
        "755 p srv/pipe".to_owned(),
    ];
    let sandbox = image_of(&[&entries.iter().map(String::as_str).collect::<Vec<_>>()]);
    for (words, errors, warnings) in [
        ("--entrypoint app", &[][..], &[][..]),
        ("--entrypoint /usr/bin/app", &[], &[]),
        ("--entrypoint ../usr/bin/app", &[], &[]),
        ("--entrypoint /srv/link", &[], &[]),
        ("--entrypoint sh", &[], &[]),
        ("--cmd app --no-entrypoint", &[], &[]),
        ("--no-entrypoint --no-cmd", &[], &["the config names no program: neither an entrypoint nor a command"]),
        ("--entrypoint none", &["the program 'none' is not in the image"], &[]),
        ("--entrypoint app --cmd none", &[], &[]),
        ("--entrypoint app --env PATH=/sbin", &["the program 'app' is not in the image"], &[]),
        ("--entrypoint sh --env PATH=/srv:/bin", &[], &[]),
        ("--entrypoint ./app", &["the program './app' is not in the image"], &[]),
        ("--entrypoint ./arm --workdir /srv", &["the program './arm' is for arm, and the image for amd64"], &[]),
        ("--entrypoint /srv/broken", &["the program '/srv/broken' is not in the image"], &[]),
        ("--entrypoint /srv/plain", &["the program '/srv/plain' is not executable"], &[]),
        ("--entrypoint /srv/dir", &["the program '/srv/dir' is not executable"], &[]),
        ("--entrypoint /srv/pipe", &["the program '/srv/pipe' is not executable"], &[]),
        ("--entrypoint /srv/s390x", &["the program '/srv/s390x' is for s390x, and the image for amd64"], &[]),
        ("--entrypoint /srv/s390x --architecture s390x", &[], &[]),
        ("--entrypoint /srv/386", &[], &["the program '/srv/386' is for 386, and the image for amd64"]),
        (
            "--entrypoint /srv/arm --architecture arm64",
            &[],
            &["the program '/srv/arm' is for arm, and the image for arm64"],
        ),
        ("--entrypoint /srv/glibc", &[], &[]),
        (
            "--entrypoint /srv/musl",
            &["the program '/lib/musl.so', the loader of '/srv/musl', is not in the image"],
            &[],
        ),
        (
            "--entrypoint /srv/foreign",
            &["the program '/lib/arm.so', the loader of '/srv/foreign', is for s390x, and the image for amd64"],
            &[],
        ),
        ("--entrypoint /srv/sh", &[], &[]),
        (
            "--entrypoint /srv/none",
            &["the program '/bin/bash', which '/srv/none' names after #!, is not in the image"],
            &[],
        ),
        (
            "--entrypoint /srv/crlf",
            &["the program '/bin/sh\\r', which '/srv/crlf' names after #!, is not in the image"],
            &[],
        ),
        ("--entrypoint /srv/env", &[], &[]),
        (
            "--entrypoint /srv/noenv",
            &["the program 'python3', which '/srv/noenv' names after #!, is not in the image"],
            &[],
        ),
        ("--entrypoint /srv/split", &[], &[]),
        (
            "--entrypoint /srv/nosplit",
            &["the program 'app\\t-x', which '/srv/nosplit' names after #!, is not in the image"],
            &[],
        ),
        (
            "--entrypoint /srv/both",
            &["the program '/bin/bash', which '/srv/none' names after #!, is not in the image"],
            &[],
        ),
        ("--entrypoint /srv/near --workdir /bin", &[], &[]),
        ("--entrypoint /srv/bare", &["the program 'app', which '/srv/bare' names after #!, is not in the image"], &[]),
        (
            "--entrypoint /srv/forarm",
            &["the program '/srv/s390x', which '/srv/forarm' names after #!, is for s390x, and the image for amd64"],
            &[],
        ),
        ("--entrypoint /srv/circle", &[], &[]),
        (
            "--entrypoint /srv/text",
            &[],
            &["the program '/srv/text' is neither an ELF file nor a script that begins with #!"],
        ),
        (
            "--entrypoint /srv/empty",
            &[],
            &["the program '/srv/empty' is neither an ELF file nor a script that begins with #!"],
        ),
        // Programs of other systems are not looked for.
        ("--entrypoint none --os windows", &[], &[]),
        ("--entrypoint none --os wasip1 --architecture wasm", &[], &[]),
    ] {
        let change = format!("update config image:v1 --tag v2 --replace-tag -q {words}");
        sandbox.ok(&change);
        let outcome = sandbox.run("lint image:v2 --json");
        let value = outcome.json();
        // Under --json texts are as they are; elsewhere they are escaped.
        let plain = |texts: &[&str]| -> Vec<String> {
            texts.iter().map(|text| text.replace("\\r", "\r").replace("\\t", "\t")).collect()
        };
        assert_eq!((&value["errors"], &value["warnings"]), (&json!(plain(errors)), &json!(plain(warnings))), "{words}");
        assert_eq!(outcome.status, i32::from(!errors.is_empty()), "{words}");
    }
    sandbox.ok("update config image:v1 -q --entrypoint /srv/crlf");
    let text = "the program '/bin/sh\\r', which '/srv/crlf' names after #!, is not in the image";
    lint(&sandbox, "image:v1").is(1, "", format!("Error: {text}\n1 error\n"));
}

#[test]
fn d5_users_groups_and_the_working_directory_are_looked_for() {
    let passwd = "etc/passwd=root:x:0:0::/:/bin/sh\napp:x:5:5::/:/bin/sh\n";
    let sandbox = image(&[&[passwd, "etc/group=staff:x:50:\n", "srv/data/", "srv/file=1", "www>srv/data"]]);
    for (words, errors, warnings) in [
        ("--user app --workdir /srv/data", &[][..], &[][..]),
        ("--user app:staff --workdir /www", &[], &[]),
        // Numbers need no line.
        ("--user 77:88 --workdir /srv", &[], &[]),
        ("--user www", &["the user 'www' is not in the image's /etc/passwd"], &[]),
        ("--user app:app", &["the group 'app' is not in the image's /etc/group"], &[]),
        (
            "--user x:y",
            &["the user 'x' is not in the image's /etc/passwd", "the group 'y' is not in the image's /etc/group"],
            &[],
        ),
        (
            "--workdir /srv/none",
            &[],
            &["the working directory '/srv/none' is not in the image; engines make it as root's"],
        ),
        ("--workdir /srv/file", &["the working directory '/srv/file' is not a directory"], &[]),
        ("--workdir /srv/file/x", &["the working directory '/srv/file/x' is not a directory"], &[]),
    ] {
        sandbox.ok(&format!("update config image:v1 --tag v2 --replace-tag -q {words}"));
        let outcome = sandbox.run("lint image:v2 --json");
        let value = outcome.json();
        assert_eq!((&value["errors"], &value["warnings"]), (&json!(errors), &json!(warnings)), "{words}");
    }
    // The file of users is elsewhere, and in a lower layer.
    let sandbox = image(&[&["usr/users=app:x:5:5::/:/bin/sh\n"], &["etc/passwd>../usr/users", "etc/group>/nowhere"]]);
    sandbox.ok("update config image:v1 -q --user app");
    finds(&sandbox, &[], &[]);
    sandbox.ok("update config image:v1 -q --user www:www");
    finds(
        &sandbox,
        &["the user 'www' is not in the image's /etc/passwd", "the group 'www' is not in the image's /etc/group"],
        &[],
    );
}

#[test]
fn secrets_are_found_by_their_first_line_or_their_name() {
    let key = "-----BEGIN";
    let sandbox = Sandbox::empty();
    for (path, content) in [
        ("root/.ssh/id_ed25519", "-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl\n"),
        ("etc/tls.key", "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n"),
        ("etc/tls.crt", "-----BEGIN CERTIFICATE-----\nMIIE\n"),
        ("usr/share/test.key", "-----BEGIN PRIVATE KEY-----"),
        ("root/.netrc", "machine x login y password z\n"),
        ("root/.pypirc", "[pypi]\n"),
        ("root/.git-credentials", "https://x:y@z\n"),
        ("root/.aws/credentials", "[default]\n"),
        ("root/.docker/config.json", "{}"),
        ("app/.npmrc", "x=y\n"),
        ("app/.env", "x=y\n"),
        ("app/node_modules/x/.netrc", "x"),
        // These are none: empty, or of another name.
        ("empty/.env", ""),
        ("empty/.netrc", ""),
        ("other/credentials", "x"),
        ("other/config.json", "{}"),
        ("other/netrc", "x"),
        ("other/.env.example", "x"),
        ("other/key.txt", key),
        ("sbin/start", &elf(AMD64, "")),
    ] {
        let place = sandbox.path("tree").join(path);
        fs::create_dir_all(place.parent().expect("a directory")).expect("made");
        fs::write(place, content).expect("written");
    }
    sandbox.ok("build -q -o image:v1 --copy tree:/ --chmod 755 --entrypoint start");
    let is = |path: &str, noun: &str| format!("'{path}' is {noun}, in layer 0 (L0)");
    let (key, file, may) = ("a private key", "a file for credentials", "a file that may have credentials");
    let errors = [
        is("/root/.aws/credentials", file),
        is("/root/.docker/config.json", file),
        is("/root/.git-credentials", file),
        is("/root/.netrc", file),
        is("/root/.pypirc", file),
        is("/root/.ssh/id_ed25519", key),
    ];
    let warnings = [
        is("/app/.env", may),
        is("/app/.npmrc", may),
        is("/app/node_modules/x/.netrc", file),
        is("/etc/tls.key", key),
        is("/usr/share/test.key", key),
    ];
    finds(&sandbox, &errors.each_ref().map(String::as_str), &warnings.each_ref().map(String::as_str));
    let findings = lint(&sandbox, "image:v1 --json").json()["findings"].clone();
    assert_eq!(
        findings[0],
        json!({"severity": "error", "location": "layer[0] in manifest M", "message": errors[0]}),
        "errors come first"
    );
    assert_eq!((findings.as_array().map(Vec::len), &findings[6]["severity"]), (Some(11), &json!("warning")));
}

#[test]
fn h2_secrets_that_an_upper_layer_hides_are_errors_with_the_layer_that_has_them() {
    let hides = |by: usize, path: &str, noun: &str, layer: usize| {
        format!(
            "layer {by} only hides '{path}', {noun}: it is still in layer {layer} (L{layer}); 'strip' removes it, and \
             'gc' the old layer"
        )
    };
    let (key, may) = ("a private key", "a file that may have credentials");
    let begin = "-----BEGIN\u{20}PRIVATE\u{20}KEY-----";
    // The helper splits words at blanks: the key is in a tar of its own.
    let tar = |entries: &[(&str, &str)]| {
        let mut tar = tar::Builder::new(Vec::new());
        for (path, content) in entries {
            let mut header = tar::Header::new_ustar();
            header.set_size(content.len() as u64);
            header.set_mode(0o755);
            tar.append_data(&mut header, path, content.as_bytes()).expect("appended");
        }
        tar.into_inner().expect("a tar")
    };
    let start = elf(AMD64, "");
    for (upper, errors, warnings) in [
        (&["tmp/.wh.key"][..], vec![hides(1, "/tmp/key", key, 0)], vec![]),
        (&[".wh.tmp"], vec![hides(1, "/tmp/key", key, 0), hides(1, "/tmp/.env", may, 0)], vec![]),
        (&["tmp/.wh..wh..opq"], vec![hides(1, "/tmp/key", key, 0), hides(1, "/tmp/.env", may, 0)], vec![]),
        (&["tmp=file"], vec![hides(1, "/tmp/key", key, 0), hides(1, "/tmp/.env", may, 0)], vec![]),
        (&["tmp/key=new", "tmp/.env="], vec![hides(1, "/tmp/key", key, 0), hides(1, "/tmp/.env", may, 0)], vec![]),
        (&["usr/.wh.share"], vec![], vec![hides(1, "/usr/share/key", key, 0)]),
        // The content has another name.
        (&["link&tmp/key", "tmp/.wh.key"], vec![], vec!["'/link' is a private key, in layer 0 (L0)".to_owned()]),
    ] {
        let sandbox = Sandbox::empty();
        sandbox
            .write("0.tar", tar(&[("tmp/key", begin), ("tmp/.env", "a"), ("usr/share/key", begin), ("start", &start)]));
        sandbox.write("1.tar", layer(upper));
        sandbox.ok("build -q -o image:v1 --layer 0.tar --layer 1.tar --entrypoint /start");
        let value = lint(&sandbox, "image:v1 --json").json();
        let sorted = |mut texts: Vec<String>| {
            texts.sort();
            texts
        };
        let texts = |value: &Value| serde_json::from_value::<Vec<String>>(value.clone()).expect("texts");
        assert_eq!(sorted(texts(&value["errors"])), sorted(errors), "{upper:?}");
        let is_shown =
            |text: &String| !["/tmp/key' is", "/tmp/.env' is", "/share/key' is"].iter().any(|part| text.contains(part));
        let others: Vec<String> = texts(&value["warnings"]).into_iter().filter(is_shown).collect();
        assert_eq!(sorted(others), sorted(warnings), "{upper:?}");
    }
}

#[test]
fn secrets_are_found_in_the_middle_and_where_the_layer_itself_replaces_them() {
    let hides = |by: usize, layer: usize| {
        format!(
            "layer {by} only hides '/x/.netrc', a file for credentials: it is still in layer {layer} (L{layer}); 'strip' \
             removes it, and 'gc' the old layer"
        )
    };
    let sandbox = image(&[&["a=1"], &["x/.netrc=1"], &["x/.netrc=2"], &["b=1"], &["x/.wh.*", "x/.wh..netrc"]]);
    finds(
        &sandbox,
        &[&hides(2, 1), &hides(4, 2)],
        &["layer 4 (L4): the whiteout of '/x/*' deletes nothing; no lower layer has it"],
    );
    let sandbox = image(&[&["x/.netrc=1", "x/.netrc=2"]]);
    finds(&sandbox, &[&hides(0, 0), "'/x/.netrc' is a file for credentials, in layer 0 (L0)"], &[]);
}

#[test]
fn e5_whiteouts_of_nothing_and_hidden_links_are_warnings() {
    let sandbox = image(&[
        &["usr/lib/a=1", "lib>usr/lib", "opt>/usr/lib", "etc/", "var/x/y=1"],
        &["lib/b=1", "opt/", "opt/c=1", ".wh.none", "etc/.wh.none", "var/.wh.x", "deep/down/.wh.x", "new/.wh..wh..opq"],
        &["var/.wh.x", "lib/.wh.b", "a/.wh.", "a/.wh..wh.plnk"],
    ]);
    let stray = |layer: usize, path: &str| {
        format!("layer {layer} (L{layer}): the whiteout of '{path}' deletes nothing; no lower layer has it")
    };
    finds(
        &sandbox,
        &[],
        &[
            "layer 1 (L1): the entries below 'lib' hide the link 'lib' of layer 0, or are written through it: engines \
             differ; an entry for 'lib' itself settles it",
            &stray(1, "/deep/down/x"),
            &stray(1, "/etc/none"),
            &stray(1, "/none"),
            &stray(2, "/var/x"),
        ],
    );
}

/// Lists the image of `image:v1` in an index with an attestation of an image.
fn attested(sandbox: &Sandbox, image: &Value, about: &str) -> Value {
    let empty = blob(sandbox, EMPTY_TYPE, "{}");
    let attestation = document(sandbox, &manifest(&empty, &[&empty]));
    let attestation = with(
        attestation,
        json!({
            "platform": {"os": "unknown", "architecture": "unknown"},
            "annotations": {"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": about},
        }),
    );
    json!({"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": [image, attestation]})
}

#[test]
fn stale_attestations_and_signatures_are_warnings() {
    let sandbox = image(&[&["a=1"]]);
    let image = sandbox.index()["manifests"][0].clone();
    let digest = image["digest"].as_str().expect("a digest").to_owned();
    let gone = sha256(b"gone");
    let hex = |digest: &str| digest.trim_start_matches("sha256:").to_owned();
    for (about, is_stale) in [(&digest, false), (&gone, true)] {
        let index = document(&sandbox, &attested(&sandbox, &image, about));
        let index_digest = index["digest"].as_str().expect("a digest").to_owned();
        let attestation =
            sandbox.blob_json(&index_digest)["manifests"][1]["digest"].as_str().expect("a digest").to_owned();
        let empty = blob(&sandbox, EMPTY_TYPE, "{}");
        let type_ = json!({"artifactType": "application/x", "subject": {"mediaType": MANIFEST_TYPE, "digest": about, "size": 3}});
        let signature = document(&sandbox, &with(manifest(&empty, &[&empty]), type_));
        let signature_digest = signature["digest"].as_str().expect("a digest").to_owned();
        list(
            &sandbox,
            &[
                &named(&index, "v1"),
                &signature,
                &named(&signature, &format!("sha256-{}.sig", hex(about))),
                &named(&image, "v2"),
            ],
        );
        let outcome = sandbox.run("lint image:v1");
        let stderr = if is_stale {
            format!(
                "Warning: the attestation {attestation} is about {gone}, which index {index_digest} does not list\n\
                 Warning: the manifest {signature_digest} is about {gone}, which no index lists\n\
                 Warning: the tag 'sha256-{}.sig' is for {gone}, which no index lists\n3 warnings\n",
                hex(&gone)
            )
        } else {
            String::new()
        };
        outcome.succeeds(PASSES, stderr);
        // The attestations of other indexes are not those of this image.
        let other = sandbox.run("lint image:v2 --json").json()["warnings"].as_array().map(Vec::len);
        assert_eq!(other, Some(if is_stale { 2 } else { 0 }));
    }
}

#[test]
fn one_image_of_an_index_is_chosen_with_a_platform() {
    let sandbox = image(&[&["a=1"]]);
    sandbox.ok("update config image:v1 --tag v2 -q --architecture s390x");
    sandbox.ok("generate index -q -p image --ref-name all v1 v2");
    sandbox.run("lint image:all --platform linux/amd64").succeeds("The image at image:all has no errors.\n", "");
    let error = "Error: the program 'start' is for amd64, and the image for s390x\n1 error\n";
    sandbox.run("lint image:all --platform linux/s390x").is(1, "", error);
    let outcome = sandbox.run("lint image:all");
    let says = " image:all has images for linux/amd64, linux/s390x; choose one with --platform\n";
    assert!(outcome.status == 1 && outcome.stderr.ends_with(says), "{outcome:?}");
    assert_eq!(sandbox.run("lint image:all --platform linux/riscv64").status, 3);
    assert_eq!(sandbox.run("lint image:none").status, 3);
    sandbox.misuses("lint image", "which image? name it as DIR:TAG (tags: all, v1, v2)");
}

#[test]
fn artifacts_and_damaged_layers_are_errors() {
    let sandbox = Sandbox::new();
    let empty = blob(&sandbox, EMPTY_TYPE, "{}");
    let artifact = document(&sandbox, &with(manifest(&empty, &[&empty]), json!({"artifactType": "application/x"})));
    list(&sandbox, &[&named(&artifact, "v1")]);
    sandbox.run("lint image:v1").fails_with(1, predicates::str::contains("image:v1 has no image, so it has no files"));
    let sandbox = image(&[&["a=1"], &["b=1"]]);
    let digest = &layer_digests(&sandbox)[0];
    flip_bit(&sandbox, digest);
    sandbox.run("lint image:v1").fails_with(1, predicates::str::contains(digest.as_str()));
    fs::remove_file(sandbox.path(blob_name(digest))).expect("removed");
    sandbox.run("lint image:v1").fails_with(1, predicates::str::contains(digest.as_str()));
}
