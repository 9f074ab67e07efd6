//! Pushes: images, indexes, artifacts and referrers, and how many requests they take.

use std::thread;
use std::time::Duration;

use regshape::oci::Platform;
use regshape::transfer::{PushOptions, PushStatus, UploadAction};
use regshape::view::{Selection, View};
use regshape::{Error, PushError, RemoteError};
use serde_json::{Value, json};

use crate::fake_registry::{Action, Auth, Mounts, Options, Rule, digest_of};
use crate::lab::*;

/// The fallback tag of a subject.
fn fallback(subject: &Value) -> String {
    digest(subject).replace(':', "-")
}

fn listed(lab: &Lab, tag: &str) -> Vec<Value> {
    let bytes = lab.fake.manifest(REPOSITORY, tag).unwrap_or_else(|| panic!("no {tag}"));
    serde_json::from_slice::<Value>(&bytes).unwrap()["manifests"].as_array().unwrap().clone()
}

#[test]
fn images_indexes_and_artifacts_arrive_byte_for_byte() {
    let lab = Lab::new();
    let mut made = lab.layout("l");
    let (amd64, arm64) = (made.image_for("amd64", 1, &[KIB, 70 * KIB]), made.image_for("arm64", 2, &[KIB, 0]));
    let index = made.index(&[("amd64", &amd64), ("arm64", &arm64)]);
    let nested = made.index(&[("amd64", &index)]);
    let artifact = made.artifact(None, "sbom");
    made.list(&amd64, "v1").list(&index, "multi").list(&nested, "nested").list(&artifact, "").list(&amd64, "v2");
    let pushed = lab.pushes("l", &PushOptions::default());
    for (descriptor, tags) in [(&amd64, &["v1", "v2"][..]), (&index, &["multi"]), (&nested, &["nested"])] {
        lab.has(digest(descriptor));
        for tag in tags {
            lab.has(tag);
            let bytes = lab.fake.manifest(REPOSITORY, tag).unwrap();
            assert_eq!(digest_of(&bytes), digest(descriptor), "{tag}");
        }
    }
    lab.has(digest(&artifact));
    let expected: Vec<String> = ["multi", "nested", "v1", "v2"].map(str::to_owned).into();
    assert_eq!(lab.fake.tags(REPOSITORY).into_iter().map(|(tag, _)| tag).collect::<Vec<_>>(), expected);
    assert_eq!(pushed.summary.manifests_pushed, 4);
    assert_eq!((pushed.summary.blobs_uploaded, pushed.summary.blobs_skipped), (8, 0));
    assert_eq!(pushed.summary.bytes_uploaded, pushed.summary.bytes_total);
    assert!(lab.fake.sessions().is_empty());
}

#[test]
fn a_blob_costs_three_requests_and_a_warm_push_two_at_most() {
    for auth in [Auth::None, Auth::tokens("user", "password")] {
        let has_tokens = matches!(auth, Auth::Tokens(_));
        let lab = Lab::with(Options { auth, ..Options::default() });
        let mut made = lab.layout("l");
        let image = made.image(1, &[KIB; 20]);
        made.list(&image, "v1");
        let connection = if has_tokens { lab.connection_of_user() } else { lab.connection() };
        let pushed = lab.push_by(&lab.client_with(&connection), "l", &PushOptions::default()).unwrap();
        assert_eq!(pushed.summary.blobs_uploaded, 21);
        let cold = lab.requests().len();
        assert!(cold <= 3 * 21 + 5, "{cold}");
        lab.fake.clear_log();
        let pushed = lab.push_by(&lab.client_with(&connection), "l", &PushOptions::default()).unwrap();
        assert!(lab.requests().len() <= 2, "{:?}", lab.fake.lines());
        assert_eq!(pushed.images[0].status, PushStatus::Exists);
        assert!(pushed.images[0].blobs.iter().all(|blob| blob.action == UploadAction::Skipped));
        assert_eq!((pushed.summary.blobs_skipped, pushed.summary.bytes_uploaded), (21, 0));
    }
}

#[test]
fn a_warm_push_is_told_from_a_registry_that_names_no_digest() {
    let lab = Lab::with(Options { has_head_digest: false, ..Options::default() });
    let mut made = lab.layout("l");
    let image = made.image(1, &[KIB]);
    made.list(&image, "v1");
    lab.pushes("l", &PushOptions::default());
    lab.fake.clear_log();
    let pushed = lab.pushes("l", &PushOptions::default());
    assert_eq!(pushed.images[0].status, PushStatus::Exists, "{:?}", lab.fake.lines());
    assert!(lab.requests().len() <= 2, "{:?}", lab.fake.lines());
}

#[test]
fn a_child_that_is_there_is_not_looked_into() {
    let lab = Lab::new();
    let mut made = lab.layout("l");
    let (amd64, arm64) = (made.image_for("amd64", 1, &[KIB; 4]), made.image_for("arm64", 2, &[KIB; 4]));
    let index = made.index(&[("amd64", &amd64), ("arm64", &arm64)]);
    made.list(&amd64, "v1");
    lab.pushes("l", &PushOptions::default());
    lab.layout("m").list(&index, "multi");
    for blob in std::fs::read_dir(lab.path("l/blobs/sha256")).unwrap().flatten() {
        std::fs::copy(blob.path(), lab.path("m/blobs/sha256").join(blob.file_name())).unwrap();
    }
    lab.fake.clear_log();
    lab.pushes("m", &PushOptions::default());
    lab.has("multi");
    assert_eq!(lab.count("HEAD", "/blobs/"), 5);
    // All the same with --force.
    lab.fake.clear_log();
    let pushed = lab.pushes("m", &PushOptions::default().force(true));
    assert_eq!(lab.count("HEAD", ""), 0, "{:?}", lab.fake.lines());
    assert_eq!((pushed.summary.blobs_uploaded, pushed.images[0].status), (10, PushStatus::Pushed));
}

#[test]
fn several_tags_are_given_one_by_one_or_with_one_request() {
    for has_many_tags in [false, true] {
        let lab = Lab::with(Options { has_many_tags, ..Options::default() });
        let mut made = lab.layout("l");
        let image = made.image(1, &[KIB]);
        made.list(&image, "ignored");
        let options = tagged(&["v1", "v2", "latest"]).digest(parsed(digest(&image)));
        let pushed = lab.pushes("l", &options);
        assert_eq!(pushed.images[0].tags, tags(&["v1", "v2", "latest"]));
        let given: Vec<String> = lab.fake.tags(REPOSITORY).into_iter().map(|(tag, _)| tag).collect();
        assert_eq!(given, ["latest", "v1", "v2"]);
        let puts = lab.count("PUT", "/manifests/");
        assert!(if has_many_tags { puts == 1 } else { puts <= 4 }, "{puts}");
        // One more tag is all that is sent.
        lab.fake.clear_log();
        lab.pushes("l", &tagged(&["v1", "v3"]));
        assert_eq!((lab.count("PUT", "/manifests/"), lab.count("", "/blobs/")), (1, 0), "{:?}", lab.fake.lines());
    }
}

#[test]
fn another_digest_than_that_of_the_destination_sends_nothing() {
    let lab = Lab::new();
    let mut made = lab.layout("l");
    let image = made.image(1, &[KIB]);
    made.list(&image, "v1");
    let other = digest_of(b"other");
    let error = lab.push("l", &tagged(&["v1"]).digest(parsed(&other))).unwrap_err();
    assert!(matches!(error, Error::Push(PushError::OtherDigest { .. })), "{error}");
    assert!(lab.fake.requests().is_empty());
}

#[test]
fn no_clobber_keeps_a_tag_however_the_registry_tells_its_digest() {
    for options in [
        Options::default(),
        Options { has_head_digest: false, ..Options::default() },
        Options { head_status: Some(405), ..Options::default() },
    ] {
        let shown = format!("{options:?}");
        let lab = Lab::with(options);
        for (name, seed) in [("l", 1), ("m", 2)] {
            let mut made = lab.layout(name);
            let image = made.image(seed, &[KIB]);
            made.list(&image, "v1");
        }
        lab.pushes("l", &PushOptions::default().no_clobber(true));
        let before = lab.fake.manifest(REPOSITORY, "v1");
        lab.fake.clear_log();
        for force in [false, true] {
            let error = lab.push("m", &PushOptions::default().no_clobber(true).force(force)).expect_err(&shown);
            assert!(matches!(error, Error::Remote(RemoteError::TagTaken { .. })), "{error} {shown}");
        }
        assert!(lab.requests().iter().all(|request| matches!(request.method.as_str(), "HEAD" | "GET")), "{shown}");
        assert_eq!(lab.fake.manifest(REPOSITORY, "v1"), before);
        // The same image is no other one.
        lab.pushes("l", &PushOptions::default().no_clobber(true));
        lab.pushes("m", &PushOptions::default());
        assert_ne!(lab.fake.manifest(REPOSITORY, "v1"), before);
    }
}

#[test]
fn one_platform_goes_as_its_manifest_and_several_as_a_smaller_index() {
    let lab = Lab::new();
    let mut made = lab.layout("l");
    let images: Vec<Value> =
        (1..).zip(["amd64", "arm64", "s390x"]).map(|(seed, name)| made.image_for(name, seed, &[KIB])).collect();
    let index = made.index(&[("amd64", &images[0]), ("arm64", &images[1]), ("s390x", &images[2])]);
    made.list(&index, "v1");
    let view = View::open(lab.path("l")).unwrap();
    let platforms = |names: &[&str]| -> Vec<Platform> { names.iter().map(|name| name.parse().unwrap()).collect() };
    let one = view.select(&Selection::default().platforms(platforms(&["linux/arm64"]))).unwrap();
    lab.push_view(&lab.client(), &one, &tagged(&["arm"])).unwrap();
    assert_eq!(digest_of(&lab.fake.manifest(REPOSITORY, "arm").unwrap()), digest(&images[1]));
    assert!(lab.fake.manifest(REPOSITORY, digest(&images[0])).is_none());
    let two = view.select(&Selection::default().platforms(platforms(&["linux/arm64", "linux/s390x"]))).unwrap();
    lab.push_view(&lab.client(), &two, &tagged(&["two"])).unwrap();
    lab.has("two");
    assert_eq!(listed(&lab, "two").len(), 2);
    assert_ne!(digest_of(&lab.fake.manifest(REPOSITORY, "two").unwrap()), digest(&index));
}

#[test]
fn referrers_are_listed_by_the_api_or_under_the_fallback_tag() {
    for has_referrers in [true, false] {
        let lab = Lab::with(Options { has_referrers, ..Options::default() });
        let mut made = lab.layout("l");
        let image = made.image(1, &[KIB]);
        let (sbom, signature) = (made.artifact(Some(&image), "sbom"), made.artifact(Some(&image), "signature"));
        let of_sbom = made.artifact(Some(&sbom), "of the sbom");
        made.list(&image, "v1").list(&sbom, "").list(&signature, "").list(&of_sbom, "");
        lab.pushes("l", &PushOptions::default());
        for referrer in [&sbom, &signature, &of_sbom] {
            lab.has(digest(referrer));
        }
        if has_referrers {
            assert_eq!(lab.fake.tags(REPOSITORY).len(), 1);
            continue;
        }
        let mut entries = listed(&lab, &fallback(&image));
        entries.sort_by_key(|entry| entry["annotations"]["made-by"].as_str().map(str::to_owned));
        assert_eq!(entries.iter().map(digest).collect::<Vec<_>>(), [digest(&sbom), digest(&signature)]);
        for (entry, content) in entries.iter().zip(["sbom", "signature"]) {
            assert_eq!(entry["artifactType"], SPDX);
            assert_eq!(entry["annotations"]["made-by"], content);
            assert_eq!(entry["mediaType"], MANIFEST);
        }
        assert_eq!(listed(&lab, &fallback(&sbom)).iter().map(digest).collect::<Vec<_>>(), [digest(&of_sbom)]);
        // The subject comes before those that refer to it.
        let puts: Vec<String> = lab.requests().into_iter().filter(|it| it.method == "PUT").map(|it| it.path).collect();
        let position = |part: &str| puts.iter().position(|path| path.contains("/manifests/") && path.ends_with(part));
        let of = |descriptor: &Value| position(digest(descriptor));
        assert!(of(&image).or(position("v1")) < of(&sbom), "{puts:?}");
        assert!(of(&sbom) < of(&of_sbom), "{puts:?}");
        // Nothing is added twice.
        lab.pushes("l", &PushOptions::default().force(true));
        assert_eq!(listed(&lab, &fallback(&image)).len(), 2);
    }
}

/// The media type of Docker's index.
const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

#[test]
fn a_list_of_referrers_that_cannot_be_read_is_not_replaced() {
    let other = |size: i64| json!({ "mediaType": MANIFEST, "digest": digest_of(b"other"), "size": size });
    let list = |entry: Value| json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [entry] });
    let mut huge = list(other(5));
    huge["annotations"] = json!({ "k": "x".repeat(9 * MIB) });
    let typed = |media_type: &str| vec![("Content-Type".to_owned(), media_type.to_owned())];
    let answer = |media_type: &str, body: &str| Action::Status(200, typed(media_type), body.as_bytes().to_vec());
    let fault = "which lists referrers, and it is not a valid index: ";
    let encoding = Action::Header("Content-Encoding".to_owned(), Some("gzip".to_owned()));
    let cases = [
        (huge, None, "more than 8 MiB"),
        (list(other(-1)), None, fault),
        (json!({ "schemaVersion": 2, "mediaType": INDEX }), None, fault),
        (list(other(5)), Some(answer("text/html", "<html>")), "text/html"),
        (list(other(5)), Some(answer("application/problem+json", r#"{"errors":[]}"#)), fault),
        (list(other(5)), Some(answer(INDEX, "[]")), "not JSON"),
        (list(other(5)), Some(encoding), "the Content-Encoding gzip"),
        (json!({ "x": [] }), Some(Action::ContentType("application/json".to_owned())), "without a media type"),
    ];
    for (found, action, expected) in cases {
        let lab = Lab::with(Options { has_referrers: false, ..Options::default() });
        let mut made = lab.layout("l");
        let image = made.image(1, &[KIB]);
        let sbom = made.artifact(Some(&image), "sbom");
        made.list(&image, "v1").list(&sbom, "");
        let (tag, bytes) = (fallback(&image), found.to_string().into_bytes());
        lab.fake.add_manifest(REPOSITORY, Some(&tag), INDEX, bytes.clone());
        if let Some(action) = action {
            lab.fake.rule(Rule::on("GET", &format!("*/manifests/{tag}")).first(1), action);
        }
        let error = in_full(&lab.push("l", &PushOptions::default()).unwrap_err());
        assert!(error.contains(expected) && error.contains(&tag), "{expected}: {error}");
        assert_eq!(lab.fake.manifest(REPOSITORY, &tag).unwrap(), bytes, "{expected}");
        assert_eq!(lab.count("PUT", &tag), 0, "{expected}");
    }
}

#[test]
fn a_list_of_referrers_is_told_by_its_content() {
    let headers =
        [(MANIFEST, None), (DOCKER_LIST, Some(DOCKER_LIST)), (INDEX, Some(INDEX)), ("application/json", None)];
    for (header, own) in headers {
        let lab = Lab::with(Options { has_referrers: false, ..Options::default() });
        let mut made = lab.layout("l");
        let image = made.image(1, &[KIB]);
        let (sbom, other) = (made.artifact(Some(&image), "sbom"), made.artifact(Some(&image), "other"));
        made.list(&image, "v1").list(&sbom, "");
        let bytes = std::fs::read(blob_path(&lab.path("l"), digest(&other))).unwrap();
        lab.fake.add_manifest(REPOSITORY, None, MANIFEST, bytes);
        let mut list = json!({ "schemaVersion": 2, "manifests": [other], "x-kept": 1 });
        if let Some(own) = own {
            list["mediaType"] = json!(own);
        }
        let tag = fallback(&image);
        lab.fake.add_manifest(REPOSITORY, Some(&tag), header, list.to_string());
        lab.pushes("l", &PushOptions::default());
        assert_eq!(listed(&lab, &tag).iter().map(digest).collect::<Vec<_>>(), [digest(&other), digest(&sbom)]);
        assert_eq!(lab.fake.media_type(REPOSITORY, &tag).unwrap(), INDEX);
        let now: Value = serde_json::from_slice(&lab.fake.manifest(REPOSITORY, &tag).unwrap()).unwrap();
        assert_eq!(now["x-kept"], 1, "{header}");
    }
}

#[test]
fn pushes_of_referrers_at_once_keep_all_of_them() {
    let lab = Lab::with(Options { has_referrers: false, has_conditional_puts: true, ..Options::default() });
    let mut made = lab.layout("l");
    let image = made.image(1, &[KIB]);
    made.list(&image, "v1");
    lab.pushes("l", &PushOptions::default());
    let names: Vec<String> = (0..4).map(|number| format!("r{number}")).collect();
    for name in &names {
        let mut made = lab.layout(name);
        made.image(1, &[KIB]);
        let referrer = made.artifact(Some(&image), name);
        made.list(&referrer, "");
    }
    // All read the list before one writes it.
    lab.fake.rule(Rule::on("PUT", "*/manifests/sha256-*"), Action::Delay(Duration::from_millis(100)));
    thread::scope(|scope| {
        for name in &names {
            let lab = &lab;
            scope.spawn(move || lab.run(&format!("--insecure push {name} HOST/{REPOSITORY}")).succeeds().to_owned());
        }
    });
    assert_eq!(listed(&lab, &fallback(&image)).len(), names.len());
    assert!(lab.fake.lines().iter().any(|line| line.ends_with(" 412")), "the pushes did not meet");
}

#[test]
fn blobs_are_mounted_from_another_repository_and_else_uploaded() {
    for (mounts, expected) in [
        (Mounts::Enabled, UploadAction::Mounted),
        (Mounts::Disabled, UploadAction::Uploaded),
        (Mounts::Refused(400), UploadAction::Uploaded),
        (Mounts::Refused(500), UploadAction::Uploaded),
    ] {
        let lab = Lab::with(Options { mounts, auth: Auth::tokens("user", "password"), ..Options::default() });
        let mut made = lab.layout("l");
        let image = made.image(1, &[KIB]);
        made.list(&image, "v1");
        lab.fake.add_blob("team/base", layer(1000, KIB));
        let options = PushOptions::default().mount_from(vec![repository("team/absent"), repository("team/base")]);
        let pushed = lab.push_by(&lab.client_of_user(), "l", &options).unwrap();
        lab.has("v1");
        let layer = digest_of(&layer(1000, KIB));
        let action = pushed.images[0].blobs.iter().find(|blob| blob.descriptor.digest.as_str() == layer);
        assert_eq!(action.unwrap().action, expected, "{mounts:?} {:?}", lab.fake.lines());
        // A mount that is answered with a session uses it, and no other is left.
        assert!(lab.fake.sessions().is_empty(), "{mounts:?} {:?}", lab.fake.sessions());
    }
}

#[test]
fn blobs_go_largest_first_over_all_images() {
    let lab = Lab::new();
    let mut made = lab.layout("l");
    let sizes = [3 * KIB, 400 * KIB, 9 * KIB, 90 * KIB, KIB, 200 * KIB];
    let (one, two) = (made.image(1, &sizes[..3]), made.image(2, &sizes[3..]));
    made.list(&one, "v1").list(&two, "v2");
    lab.pushes("l", &PushOptions::default().jobs(1_usize));
    let sent: Vec<u64> = lab
        .requests()
        .iter()
        .filter(|request| request.method == "PUT" && request.path.contains("/blobs/"))
        .map(|request| request.body_bytes_received)
        .collect();
    assert!(sent.is_sorted_by(|one, other| one >= other), "{sent:?}");
    assert_eq!(sent.len(), 8);
}

#[test]
fn jobs_bound_the_blobs_under_way() {
    for (jobs, size, most) in [(Some(2), 2 * KIB, 2), (None, 2 * KIB, 16), (None, MIB + 1, 4)] {
        let lab = Lab::with(Options { delay: Duration::from_millis(10), ..Options::default() });
        let mut made = lab.layout("l");
        let count = if size > MIB { 6 } else { 24 };
        let image = made.image(1, &vec![size; count]);
        made.list(&image, "v1");
        let mut options = PushOptions::default();
        options.jobs = jobs;
        lab.pushes("l", &options);
        let active = lab.fake.take_most_active();
        assert!(active <= most && active >= most / 2, "{active} of {most}");
    }
}

#[test]
fn each_blob_that_is_missing_or_wrong_is_found_before_a_request() {
    let lab = Lab::new();
    let mut made = lab.layout("l");
    let image = made.image(1, &[KIB]);
    made.list(&image, "v1");
    let layer = layer(1000, KIB);
    let path = blob_path(&lab.path("l"), &digest_of(&layer));
    std::fs::write(&path, &layer[..KIB]).unwrap();
    assert!(matches!(lab.push("l", &PushOptions::default()), Err(Error::SizeMismatch { .. })));
    std::fs::remove_file(&path).unwrap();
    assert!(matches!(lab.push("l", &PushOptions::default()), Err(Error::MissingBlob { .. })));
    assert!(lab.fake.requests().is_empty());
}

#[test]
fn a_blob_whose_bytes_are_wrong_never_completes() {
    for (size, is_chunked) in [(KIB, false), (300 * KIB, false), (3 * MIB, false), (3 * MIB, true)] {
        let lab = Lab::new();
        let mut made = lab.layout("l");
        let image = made.image(1, &[size]);
        made.list(&image, "v1");
        let digest = digest_of(&layer(1000, size));
        let path = blob_path(&lab.path("l"), &digest);
        let mut rotten = std::fs::read(&path).unwrap();
        rotten[700] ^= 1;
        std::fs::write(&path, rotten).unwrap();
        let mut options = PushOptions::default();
        // The config's upload could begin when the layer's ends.
        options.jobs = Some(1);
        options.chunk_size = is_chunked.then_some(MIB as u64);
        let error = lab.push("l", &options).unwrap_err();
        assert!(matches!(error, Error::DigestMismatch { .. }), "{error}");
        assert!(!lab.fake.has_blob(REPOSITORY, &digest));
        assert!(lab.fake.manifest(REPOSITORY, "v1").is_none());
        assert!(lab.fake.sessions().is_empty(), "the session is left");
    }
}
