//! Bad input and what the program says of it: all of stdout, stderr and the exit status.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;

use serde_json::{Value, json};

use crate::fake_registry::{Action, Options, Rule, Tls, digest_of};
use crate::lab::*;

const PULL: &str = "pull HOST/team/app:v1 new";
const PUSH: &str = "push l HOST/team/app";

/// The error of an answer that is a page.
const PAGE: &str = "a login page or a proxy may stand before the registry";

/// Runs a command, which must fail with these words after `Error: `; HOST is the registry in both.
#[track_caller]
fn fails(lab: &Lab, words: &str, status: i32, error: &str) {
    let error = error.replace("HOST", &lab.fake.host());
    lab.run(words).fails(status, &format!("Error: {error}\n"));
}

#[test]
fn a_push_and_a_pull_say_what_became_of_each_image() {
    let lab = Lab::new();
    let digest = lab.single(&[KIB]);
    let (host, short) = (lab.fake.host(), &digest[..19]);
    let (layer, config) = (digest_of(&layer(1000, KIB)), config_digest(&lab, &digest));
    let dry = lab.run(&format!("{PUSH}:v1,v2 --dry-run"));
    assert_eq!(
        dry.succeeds(),
        format!(
            "[dry-run] Layout l -> {host}/team/app\n\n[dry-run] Would upload blob {config} (184 B)\n[dry-run] Would upload blob {layer} (2.50 KiB)\n[dry-run] Would push manifest {digest} as 'v1'\n[dry-run] Would push manifest {digest} as 'v2'\n"
        )
    );
    assert!(lab.fake.requests().is_empty());
    let pushed = format!(
        "  Manifest {short} -> v1  pushed\n  Manifest {short} -> v2  pushed\n\nPush complete: 1 manifest(s), 2 blob(s) uploaded, 0 blob(s) skipped.\n"
    );
    let ran = lab.run(&format!("{PUSH}:v1,v2 --digest-file d"));
    assert_eq!((ran.succeeds(), ran.stderr.as_str()), (pushed.as_str(), ""));
    assert_eq!(fs::read_to_string(lab.path("d")).unwrap(), format!("{digest}\n"));
    let ran = lab.run(&format!("{PUSH}:v2 -q"));
    assert_eq!((ran.succeeds(), ran.stderr.as_str()), (format!("{digest}\n").as_str(), ""));
    let exists = format!(
        "  Manifest {short} -> v1  exists\n\nPush complete: 0 manifest(s), 0 blob(s) uploaded, 2 blob(s) skipped.\n"
    );
    assert_eq!(lab.run(PUSH).succeeds(), exists);
    let json: Value = serde_json::from_str(lab.run(&format!("{PUSH} --json --force")).succeeds()).unwrap();
    let blob = |digest: &str, size: u64, media_type: &str, action: &str| json!({ "digest": digest, "size": size, "media_type": media_type, "action": action });
    assert_eq!((&json["layout_path"], &json["destination"]), (&json!("l"), &json!(format!("{host}/team/app"))));
    assert_eq!(
        json["manifests"],
        json!([{
            "digest": digest, "reference": "v1", "tags": ["v1"], "media_type": MANIFEST, "status": "pushed",
            "blobs": [blob(&config, 184, CONFIG, "uploaded"), blob(&layer, 2560, LAYER, "uploaded")],
        }])
    );
    let summary = &json["summary"];
    let counts = ["manifests_pushed", "blobs_uploaded", "blobs_skipped", "bytes_uploaded", "bytes_total", "retries"];
    assert_eq!(counts.map(|key| summary[key].as_u64()), [1, 2, 0, 2744, 2744, 0].map(Some));
    assert!(summary["requests"].is_u64() && summary["seconds"].is_f64());
    let pulled = format!(
        "  Manifest {short} <- v1  pulled\n\nPull complete: 1 manifest(s), 2 blob(s) downloaded, 0 blob(s) skipped.\n"
    );
    let ran = lab.run(PULL);
    assert_eq!((ran.succeeds(), ran.stderr.as_str()), (pulled.as_str(), ""));
    let exists = format!(
        "  Manifest {short} <- v1  exists\n\nPull complete: 0 manifest(s), 0 blob(s) downloaded, 2 blob(s) skipped.\n"
    );
    assert_eq!(lab.run(PULL).succeeds(), exists);
    assert_eq!(lab.run(&format!("{PULL} -q")).succeeds(), format!("{digest}\n"));
    let json: Value = serde_json::from_str(lab.run("pull HOST/team/app:v1 more --json").succeeds()).unwrap();
    assert_eq!(
        json["manifests"],
        json!([{
            "digest": digest, "reference": "v1", "ref_name": "v1", "media_type": MANIFEST, "status": "pulled",
            "blobs": [blob(&config, 184, CONFIG, "downloaded"), blob(&layer, 2560, LAYER, "downloaded")],
        }])
    );
    let counts = ["manifests_pulled", "blobs_downloaded", "blobs_skipped", "bytes_downloaded", "requests", "retries"];
    assert_eq!(counts.map(|key| json["summary"][key].as_u64()), [1, 2, 0, 2744, 3, 0].map(Some));
}

fn config_digest(lab: &Lab, manifest: &str) -> String {
    let bytes = fs::read(blob_path(&lab.path("l"), manifest)).unwrap();
    text(&serde_json::from_slice::<Value>(&bytes).unwrap()["config"]["digest"]).to_owned()
}

#[test]
fn references_that_are_none_are_refused_without_a_request() {
    let lab = Lab::new();
    lab.serve(&[KIB]);
    let brackets = "is an IPv6 address without brackets; write [ADDRESS] or [ADDRESS]:PORT";
    let port = "is not a port; write a number from 1 to 65535";
    let no_registry = |text: &str, hint: &str| {
        format!(
            "Cannot determine registry from '{text}': embed the registry in the reference (e.g. acr.io/repo:tag){hint}"
        )
    };
    for (reference, error) in [
        ("app:v1", no_registry("app:v1", "; on Docker Hub it is docker.io/library/app:v1")),
        ("debian:12", no_registry("debian:12", "; on Docker Hub it is docker.io/library/debian:12")),
        ("debian", no_registry("debian", "; on Docker Hub it is docker.io/library/debian")),
        ("a/b", no_registry("a/b", "; on Docker Hub it is docker.io/a/b")),
        ("/tmp/x", no_registry("/tmp/x", "")),
        ("HOST", "Cannot determine repository from 'HOST'".to_owned()),
        ("http://HOST/app", "a reference has no scheme; remove 'http://'; --insecure speaks plain HTTP".to_owned()),
        ("https://HOST/app", "a reference has no scheme; remove 'https://'".to_owned()),
        (
            "me:secret@HOST/app",
            "a reference has no user name or password; remove the part before '@'".to_owned(),
        ),
        (
            "HOST/App",
            "'App' is not a repository name: lower-case letters and digits, joined by . _ __ or dashes, in parts between slashes".to_owned(),
        ),
        ("HOST/app:", "'HOST/app:' has an empty tag".to_owned()),
        ("HOST/app:a:b", "'HOST/app:a:b' has two tags".to_owned()),
        ("HOST/app@sha256:abcd", "'sha256:abcd' is not a digest: its hash has the wrong length".to_owned()),
        ("localhost:0/app", format!("'0' {port}")),
        ("localhost:65536/app", format!("'65536' {port}")),
        ("::1/app", format!("'::1' {brackets}")),
        ("fe80::1:5000/app", format!("'fe80::1:5000' {brackets}")),
    ] {
        fails(&lab, &format!("push l {reference}"), 1, &error);
        fails(&lab, &format!("pull {reference} new"), 1, &error);
        fails(&lab, &format!("inspect -s {reference}"), 1, &error);
    }
    assert!(!lab.path("new").exists() && lab.fake.requests().is_empty());
}

#[test]
fn flags_that_exclude_each_other_are_wrong_usage() {
    let lab = Lab::new();
    lab.serve(&[KIB]);
    let size = "--chunk-size must be from 1 to 1073741824 bytes";
    for (words, error) in [
        ("pull HOST/app:v1 new --all-tags", "--all-tags and a tag or digest exclude each other"),
        ("pull HOST/app:v1 HOST/app:v2 new --ref-name x", "--ref-name names one image"),
        ("push l HOST/app --chunk-size 0", size),
        ("push l HOST/app --chunk-size 1073741825", size),
        ("push - HOST/app --username u --password-stdin", "standard input cannot be the archive and the password"),
        ("push l HOST/app --username u", "--username and --password-stdin belong together"),
        ("pull", "which image? name it with -s HOST/REPOSITORY[:TAG]"),
    ] {
        // The word HOST in the last message is none of ours.
        lab.run(words).fails(2, &format!("Error: {error}\n"));
    }
    let ran = lab.run("push l HOST/app --skip-tls-verify --insecure");
    assert_eq!(ran.status, Some(2), "{ran:?}");
    assert!(lab.fake.requests().is_empty());
}

#[test]
fn flags_without_an_effect_are_wrong_usage() {
    let lab = Lab::new();
    lab.serve(&[KIB]);
    for flag in ["--username u", "--password-stdin", "--anonymous", "--auth-file f", "--retries 1"] {
        for command in ["ping -r HOST", "auth logout -r HOST"] {
            if !matches!((command, flag), ("auth logout -r HOST", "--auth-file f") | ("ping -r HOST", "--retries 1")) {
                let ran = lab.run(&format!("{command} {flag}"));
                assert!(
                    ran.status == Some(2) && ran.stderr.contains("unexpected argument"),
                    "{command} {flag}: {ran:?}"
                );
            }
        }
    }
    let ran = lab.run("auth login -r HOST --anonymous");
    assert!(ran.status == Some(2) && ran.stderr.contains("unexpected argument '--anonymous'"), "{ran:?}");
    for flag in [
        "--insecure",
        "--skip-tls-verify",
        "--ca-file f",
        "--cert-file f --key-file f",
        "--stall-timeout 9s",
        "--retries 5",
        "--auth-file f",
        "--username u",
        "--password-stdin",
        "--anonymous",
    ] {
        let name = flag.split(' ').next().unwrap();
        let error = format!("Error: {name} is for images of registries; name one with -s\n");
        lab.run(&format!("inspect l {flag}")).fails(2, &error);
    }
    assert!(lab.fake.requests().is_empty());
    // Where they have one they are taken.
    lab.run("inspect -s HOST/team/app:v1 --anonymous --retries 1 --stall-timeout 9s").succeeds();
    lab.run("ping -r HOST --insecure --stall-timeout 9s").succeeds();
}

#[test]
fn answers_that_no_registry_gives_are_named() {
    let digest = digest_of(&layer(1000, KIB));
    let no_registry = "HOST is not a registry: it has no /v2/";
    let html = vec![("Content-Type".to_owned(), "text/html".to_owned())];
    let page = [Action::Status(200, html, b"<html>log in</html>".to_vec())];
    let gzip = [Action::Header("Content-Encoding".to_owned(), Some("gzip".to_owned()))];
    let (absent, uploads) = ([Action::status(404)], "/v2/team/app/blobs/uploads/");
    let blob = format!("*/blobs/{digest}");
    let upload = format!("failed to upload blob {digest}: ");
    let failed = format!("failed to download blob {digest}: HOST sent");
    for (method, path, actions, words, status, error) in [
        ("*", "*", &page[..], PULL, 1, format!("HOST sent a page (text/html) as HOST/team/app:v1; {PAGE}")),
        ("*", "*", &page, PUSH, 1, format!("HOST answered HEAD /v2/team/app/manifests/v1 with a page; {PAGE}")),
        ("*", "*", &page, "ping -r HOST", 1, format!("HOST answered GET /v2/ with a page; {PAGE}")),
        (
            "GET",
            "*/manifests/*",
            &[Action::ContentType(INDEX.to_owned())],
            PULL,
            1,
            format!("HOST sent HOST/team/app:v1 with the Content-Type {INDEX}, and its mediaType is {MANIFEST}"),
        ),
        ("GET", &blob, &gzip, PULL, 1, format!("{failed} the blob {digest} with the Content-Encoding gzip")),
        (
            "GET",
            &blob,
            &[Action::ExtraBytes(5)],
            PULL,
            1,
            format!("{failed} 2565 bytes as the blob {digest}, which has 2560"),
        ),
        (
            "GET",
            &blob,
            &[Action::ExtraBytes(5), Action::NoContentLength],
            PULL,
            1,
            format!("{failed} more than the 2560 bytes of the blob {digest}"),
        ),
        ("*", "*", &absent, "ping -r HOST", 1, "Registry HOST is not reachable (HTTP 404): it has no /v2/".to_owned()),
        ("*", "*", &absent, PULL, 1, no_registry.to_owned()),
        ("*", "*", &absent, PUSH, 1, format!("{upload}{no_registry}")),
        (
            "POST",
            "*",
            &[Action::error(404, "NAME_UNKNOWN")],
            "push l HOST/team/app --force",
            1,
            format!("{upload}HOST answered 404 to POST {uploads}: by a rule"),
        ),
        (
            "POST",
            "*",
            &[Action::error(405, "UNSUPPORTED")],
            "push l HOST/team/app --force",
            1,
            format!("{upload}HOST answered 405 to POST {uploads}: by a rule; the registry may be read-only"),
        ),
        (
            "POST",
            "*",
            &[Action::error(403, "DENIED")],
            "push l HOST/team/app --force",
            1,
            format!(
                "{upload}HOST answered 403 to POST {uploads}: by a rule; the credentials do not allow this, or the repository does not exist"
            ),
        ),
    ] {
        let lab = Lab::new();
        lab.serve(&[KIB]);
        for action in actions {
            lab.fake.rule(Rule::on(method, path), action.clone());
        }
        // One blob after the other: the first that fails is always the same.
        let jobs = if words.starts_with("push") { "--jobs 1" } else { "" };
        fails(&lab, format!("{words} --insecure {jobs}").trim_end(), status, &error);
        assert!(!lab.path("new").exists(), "{error}");
    }
}

#[test]
fn what_is_not_there_ends_with_3_and_what_is_another_thing_with_1() {
    let lab = Lab::new();
    let digest = lab.serve(&[KIB]);
    let other = digest_of(b"other");
    fails(&lab, "pull HOST/team/app:v9 new", 3, "HOST/team/app:v9 is not in the registry");
    fails(&lab, "pull HOST/team/none new", 3, "HOST/team/none:latest is not in the registry");
    fails(
        &lab,
        &format!("pull HOST/team/app@{other} new"),
        3,
        &format!("HOST/team/app@{other} is not in the registry"),
    );
    fails(
        &lab,
        "pull HOST/team/app:v1 new --platform linux/arm64",
        3,
        "no linux/arm64 image in 'HOST/team/app:v1'; it has linux/amd64",
    );
    fails(
        &lab,
        &format!("pull HOST/team/app@{digest} new --platform linux/arm64"),
        3,
        &format!("no linux/arm64 image in 'HOST/team/app@{digest}'; it has linux/amd64"),
    );
    fails(
        &lab,
        "inspect -s HOST/team/app:v1 --platform linux/arm64",
        3,
        "no linux/arm64 image in 'HOST/team/app:v1'; it has linux/amd64",
    );
    fails(
        &lab,
        &format!("pull HOST/team/app:v1@{other} new"),
        1,
        &format!("HOST/team/app:v1 is {digest}, not {other}"),
    );
    let json = lab.run("pull HOST/team/app:v9 new --json");
    let host = lab.fake.host();
    let message = format!("{host}/team/app:v9 is not in the registry");
    json.fails(3, &format!("{{\"error\":{{\"code\":\"MANIFEST_UNKNOWN\",\"message\":\"{message}\"}}}}\n"));
    // An index whose child is its parent.
    let own = format!("sha256:{}", "ab".repeat(32));
    let index = format!(
        "{{\"schemaVersion\":2,\"mediaType\":\"{INDEX}\",\"manifests\":[{{\"mediaType\":\"{INDEX}\",\"digest\":\"{own}\",\"size\":300}}]}}"
    );
    let index = format!("{index:<300}");
    lab.fake.add_manifest_as(REPOSITORY, None, &own, INDEX, index.clone());
    let true_digest = lab.fake.add_manifest(REPOSITORY, Some("loop"), INDEX, index);
    fails(&lab, "pull HOST/team/app:loop new", 1, &format!("HOST/team/app@{own} is {true_digest}, not {own}"));
    assert!(!lab.path("new").exists());
}

#[test]
fn faults_of_tls_are_named_with_the_way_out() {
    for (tls, names_authority, reason, hint) in [
        (Tls::expired(), true, "its certificate has expired", ""),
        (Tls::common_name_only(), true, "its certificate is for another name", ""),
        (Tls::wrong_name(), true, "its certificate is for another name", ""),
        (
            Tls::self_signed(),
            false,
            "its certificate is one of an authority, not of a server",
            "; name the authority with --ca-file",
        ),
        (
            Tls::by_authority(),
            false,
            "its certificate is signed by an authority that is not trusted",
            "; name the authority with --ca-file",
        ),
        (
            Tls::wants_client_certificate(),
            true,
            "it refused the client's certificate, or wants one",
            "; name a certificate with --cert-file and --key-file",
        ),
    ] {
        let lab = Lab::with(Options { tls, ..Options::default() });
        lab.single(&[KIB]);
        fs::write(lab.path("ca.pem"), lab.fake.tls().authority()).unwrap();
        let flag = if names_authority { " --ca-file ca.pem" } else { "" };
        fails(&lab, &format!("{PUSH}{flag}"), 1, &format!("HOST is not reachable: {reason}{hint}"));
        fails(&lab, &format!("{PULL}{flag}"), 1, &format!("HOST is not reachable: {reason}{hint}"));
    }
    let lab = Lab::with(Options { tls: Tls::wants_client_certificate(), ..Options::default() });
    lab.single(&[KIB]);
    fs::write(lab.path("ca.pem"), lab.fake.tls().authority()).unwrap();
    fs::write(lab.path("c.pem"), &lab.fake.tls().client().certificate).unwrap();
    fs::write(lab.path("k.pem"), &lab.fake.tls().foreign_client().key).unwrap();
    fs::write(lab.path("none.pem"), "").unwrap();
    for (files, error) in [
        ("--cert-file c.pem --key-file k.pem", "the key in k.pem does not belong to the certificate in c.pem"),
        ("--cert-file c.pem --key-file none.pem", "none.pem holds no private key in PEM"),
        ("--cert-file none.pem --key-file k.pem", "none.pem holds no certificate in PEM"),
    ] {
        fails(&lab, &format!("{PUSH} --ca-file ca.pem {files}"), 1, error);
    }
    let error = "HOST is not reachable: it speaks HTTPS, not plain HTTP; leave out --insecure";
    fails(&lab, &format!("{PUSH} --insecure"), 1, error);
    fails(&lab, &format!("{PULL} --insecure"), 1, error);
}

#[test]
fn a_proxy_that_wants_credentials_is_named() {
    let proxy = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = proxy.local_addr().unwrap();
    thread::spawn(move || {
        for socket in proxy.incoming() {
            let mut socket = socket.unwrap();
            // What is not read would break the connection before the answer is read.
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && socket.read(&mut byte).is_ok_and(|read| read == 1) {
                head.push(byte[0]);
            }
            let _ = socket.write_all(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n");
        }
    });
    let lab = Lab::new();
    let words = ["pull", "registry.example/app:v1", "new", "--retries", "0"];
    let ran: Ran =
        lab.program().env("HTTPS_PROXY", format!("http://u:secret@{address}")).args(words).output().unwrap().into();
    ran.fails(
        1,
        &format!(
            "Error: registry.example is not reachable: the proxy http://{address} refused: proxy server responded 407/407; check HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY\n"
        ),
    );
}

#[test]
fn a_registry_is_no_base_and_the_error_names_pull() {
    let lab = Lab::new();
    let error = "File not found: ghcr.io/a/b; if it is in a registry, 'regshape pull ghcr.io/a/b:v1 DIR' fetches it";
    fails(&lab, "layout build -o nb --base ghcr.io/a/b:v1", 1, error);
}

#[test]
fn a_tag_that_is_taken_is_told_with_both_images() {
    let lab = Lab::new();
    let first = lab.serve(&[KIB]);
    let mut made = lab.layout("there");
    let image = made.image(5, &[KIB]);
    let short = |digest: &str| digest[.."sha256:".len() + 12].to_owned();
    let (host, new) = (lab.fake.host(), short(&first));
    made.list(&image, "v1");
    let text = format!("Error: there has another manifest 'v1' already; it is {}, and", digest(&image));
    let rest = format!("{host}/{REPOSITORY}:v1 ({new}) is another; use --ref-name {REPOSITORY}:v1 or --replace-tag");
    lab.run("pull HOST/team/app:v1 there").fails(1, &format!("{text} {rest}\n"));
    let all = format!("use --replace-tag, or pull it alone with --ref-name {REPOSITORY}:v1\n");
    for words in ["pull HOST/team/app there --all-tags", "pull HOST/team/app:v1 HOST/team/app:v1 there"] {
        let ran = lab.run(words);
        assert!(ran.status == Some(1) && ran.stderr.ends_with(&all), "{ran:?}");
    }
    // The way out is one.
    lab.run("pull HOST/team/app:v1 there --ref-name team/app:v1").succeeds();
    lab.run("pull HOST/team/app:v1 new").succeeds();
    // The same name at another digest.
    let mut made = lab.layout("m");
    let image = made.image(7, &[KIB]);
    made.list(&image, "v1");
    lab.serve_layout("m");
    let (name, moved) = (format!("{host}/{REPOSITORY}:v1"), short(digest(&image)));
    let text = format!("Error: new has another manifest 'v1' already; it is {name} ({new}), and");
    let error = format!("{text} {name} ({moved}) is another; use --replace-tag\n");
    lab.run("pull HOST/team/app:v1 new").fails(1, &error);
    lab.run("pull HOST/team/app:v1 new --replace-tag").succeeds();
}

#[test]
fn a_cut_pull_does_not_speak_of_what_was_sent() {
    let lab = Lab::new();
    lab.serve(&[KIB]);
    lab.fake.rule(Rule::on("GET", "*/manifests/*"), Action::CutHead(0));
    let ran = lab.run("pull HOST/team/app:v1 new --retries 0");
    assert!(ran.stderr.ends_with("it closed the connection; run the same command again\n"), "{ran:?}");
    lab.fake.clear_rules();
    lab.fake.rule(Rule::on("PUT", "*"), Action::CutHead(0));
    lab.fake.remove_manifest(REPOSITORY, "v1");
    lab.fake.rule(Rule::on("HEAD", "*/blobs/*"), Action::status(404));
    let ran = lab.run("push l HOST/team/app --retries 0");
    assert!(ran.stderr.ends_with("; run the same command again; what was sent is not sent again\n"), "{ran:?}");
}

#[test]
fn a_registry_that_asks_for_a_long_wait_is_not_waited_for() {
    let lab = Lab::new();
    lab.serve(&[KIB]);
    for (seconds, shown) in [
        ("301", "6 min"),
        ("7200", "2 h"),
        ("18446744073709551615", "more than a day"),
        ("99999999999999999999999", "more than a day"),
    ] {
        lab.fake.clear_rules();
        lab.fake.rule(Rule::on("GET", "*/manifests/*"), Action::RetryAfter(503, seconds.to_owned()));
        fails(&lab, PULL, 1, &format!("HOST asks to wait for {shown}"));
    }
}

#[test]
fn ping_asks_once_unless_retries_says_otherwise() {
    let cases = [
        (Action::status(503), "Registry HOST is not reachable (HTTP 503)"),
        (Action::RetryAfter(429, "0".to_owned()), "Registry HOST is not reachable (HTTP 429)"),
        (Action::CutHead(0), "Registry HOST is not reachable: it closed the connection"),
    ];
    at_once(cases, |(action, refused)| {
        let lab = Lab::new();
        for (flag, failures, requests, error) in [
            ("", 1, 1, Some(refused)),
            ("--retries 0", 1, 1, Some(refused)),
            ("--retries 1", 2, 2, Some(refused)),
            ("--retries 2", 2, 3, None),
        ] {
            lab.fake.clear_rules();
            lab.fake.clear_log();
            lab.fake.rule(Rule::on("GET", "/v2/").first(failures), action.clone());
            match error {
                Some(error) => fails(&lab, &format!("ping -r HOST --insecure {flag}"), 1, error),
                None => {
                    let ran = lab.run(&format!("ping -r HOST --insecure {flag}"));
                    assert!(ran.succeeds().starts_with("Registry ") && ran.stderr.is_empty(), "{ran:?}");
                }
            }
            assert_eq!(lab.fake.requests().len(), requests, "{action:?} {flag}");
        }
    });
    // A failure that will not pass is not repeated.
    let lab = Lab::new();
    lab.fake.rule(Rule::on("GET", "/v2/"), Action::status(404));
    fails(&lab, "ping -r HOST --insecure --retries 9", 1, "Registry HOST is not reachable (HTTP 404): it has no /v2/");
    assert_eq!(lab.fake.requests().len(), 1);
}
