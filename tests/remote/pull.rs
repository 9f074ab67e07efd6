//! Pulls: images, indexes, artifacts and referrers, into new layouts and into others.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use regshape::oci::Platform;
use regshape::transfer::{DownloadAction, PullOptions, PullStatus};
use regshape::view::Selection;
use regshape::{Error, RemoteError};
use serde_json::{Value, json};

use crate::fake_registry::{Action, Auth, Options, Other, Rule, digest_of};
use crate::lab::*;

const IMAGE_NAME: &str = "io.containerd.image.name";

fn index(lab: &Lab, layout: &str) -> Vec<Value> {
    let bytes = fs::read(lab.path(layout).join("index.json")).unwrap();
    serde_json::from_slice::<Value>(&bytes).unwrap()["manifests"].as_array().unwrap().clone()
}

/// The blobs of a layout, by their names.
fn blobs(lab: &Lab, layout: &str) -> Vec<String> {
    lab.names(&format!("{layout}/blobs/sha256"))
}

#[test]
fn images_indexes_and_artifacts_are_written_byte_for_byte_with_their_names() {
    let lab = Lab::new();
    let mut made = lab.layout("l");
    let (amd64, arm64) = (made.image_for("amd64", 1, &[KIB, 70 * KIB]), made.image_for("arm64", 2, &[KIB, 0]));
    let multi = made.index(&[("amd64", &amd64), ("arm64", &arm64)]);
    let artifact = made.artifact(None, "sbom");
    made.list(&multi, "multi").list(&artifact, "sbom").list(&amd64, "v1");
    lab.serve_layout("l");
    for tag in ["multi", "sbom", "v1"] {
        let pulled = lab.pulls(&format!(":{tag}"), "new");
        assert_eq!(pulled.images[0].status, PullStatus::Pulled);
    }
    lab.is_valid("new");
    assert_eq!(blobs(&lab, "new"), blobs(&lab, "l"));
    let entries = index(&lab, "new");
    assert_eq!(entries.iter().map(digest).collect::<Vec<_>>(), [digest(&multi), digest(&artifact), digest(&amd64)]);
    for (entry, tag) in entries.iter().zip(["multi", "sbom", "v1"]) {
        assert_eq!(entry["annotations"][REF_NAME], tag);
        assert_eq!(entry["annotations"][IMAGE_NAME], format!("{}/{REPOSITORY}:{tag}", lab.fake.host()));
    }
    assert!(!lab.names("new").iter().any(|name| name.contains("upload") || name.contains("tmp")));
}

#[test]
fn a_warm_pull_is_one_request_and_reads_no_blob() {
    for auth in [Auth::None, Auth::tokens("user", "password")] {
        let has_tokens = matches!(auth, Auth::Tokens(_));
        let lab = Lab::with(Options { auth, ..Options::default() });
        lab.serve(&[KIB; 5]);
        let client = || if has_tokens { lab.client_of_user() } else { lab.client() };
        let pull = || lab.pull_with(&client(), ":v1", "new", &Selection::default(), &PullOptions::default()).unwrap();
        let pulled = pull();
        assert_eq!((pulled.summary.blobs_downloaded, pulled.summary.blobs_skipped), (6, 0));
        lab.fake.clear_log();
        let pulled = pull();
        assert_eq!(pulled.images[0].status, PullStatus::Exists);
        assert_eq!((pulled.summary.blobs_skipped, pulled.summary.bytes_downloaded), (6, 0));
        let answered = lab.requests().iter().filter(|request| request.status != 401).count();
        assert_eq!(answered, 1, "{:?}", lab.fake.lines());
    }
}

#[test]
fn all_tags_are_read_page_by_page() {
    let lab = Lab::with(Options { page_size: Some(2), ..Options::default() });
    let mut made = lab.layout("l");
    for number in 0..7 {
        let image = made.image(number, &[KIB]);
        made.list(&image, &format!("v{number}"));
    }
    lab.serve_layout("l");
    lab.pulls("*", "new");
    lab.is_valid("new");
    assert_eq!(index(&lab, "new").len(), 7);
    assert_eq!(lab.count("GET", "/tags/list"), 4);
    // Nothing but the tags and their manifests is asked for again.
    lab.fake.clear_log();
    lab.pulls("*", "new");
    assert_eq!(lab.count("", ""), 4 + 7);
}

#[test]
fn referrers_come_from_the_api_and_else_from_the_fallback_tag() {
    for has_referrers in [true, false] {
        let lab = Lab::with(Options { has_referrers, page_size: Some(1), ..Options::default() });
        let mut made = lab.layout("l");
        let image = made.image(1, &[KIB]);
        let (sbom, signature) = (made.artifact(Some(&image), "sbom"), made.artifact(Some(&image), "signature"));
        let of_sbom = made.artifact(Some(&sbom), "of the sbom");
        made.list(&image, "v1").list(&sbom, "").list(&signature, "").list(&of_sbom, "");
        lab.pushes("l", &Default::default());
        let images = lab.images(&lab.client(), ":v1", None).unwrap();
        let view = images.with_referrers(images.view()).unwrap();
        images.plan_pull(&view).unwrap().pull(&lab.path("new"), &PullOptions::default(), &|_| ()).unwrap();
        lab.is_valid("new");
        assert_eq!(blobs(&lab, "new"), blobs(&lab, "l"));
        let mut found: Vec<String> = index(&lab, "new").iter().map(|entry| digest(entry).to_owned()).collect();
        found.sort();
        let mut expected = [&image, &sbom, &signature, &of_sbom].map(|entry| digest(entry).to_owned());
        expected.sort();
        assert_eq!(found, expected);
        // A manifest without referrers is no error.
        let images = lab.images(&lab.client(), &format!("@{}", digest(&of_sbom)), None).unwrap();
        assert_eq!(images.with_referrers(images.view()).unwrap().index().manifests.len(), 1);
    }
}

#[test]
fn a_platform_is_pulled_without_the_others() {
    let lab = Lab::new();
    let mut made = lab.layout("l");
    let (amd64, arm64) = (made.image_for("amd64", 1, &[KIB]), made.image_for("arm64", 2, &[KIB]));
    let multi = made.index(&[("amd64", &amd64), ("arm64", &arm64)]);
    made.list(&multi, "v1");
    lab.serve_layout("l");
    let selection = Selection::default().platforms(vec!["linux/arm64".parse::<Platform>().unwrap()]);
    lab.pull_with(&lab.client(), ":v1", "new", &selection, &PullOptions::default()).unwrap();
    lab.is_valid("new");
    assert_eq!(digest(&index(&lab, "new")[0]), digest(&arm64));
    assert_eq!(blobs(&lab, "new").len(), 3);
    assert_eq!(lab.count("GET", digest(&amd64)), 0);
}

#[test]
fn a_pull_that_is_refused_leaves_nothing() {
    let lab = Lab::new();
    lab.serve(&[KIB]);
    let other = digest_of(b"other");
    let not_found = |error: &Error| matches!(error, Error::Remote(RemoteError::NotFound { .. }));
    for reference in [":absent".to_owned(), format!("@{other}")] {
        let error = lab.pull(&reference, "new").unwrap_err();
        assert!(not_found(&error), "{error}");
    }
    let error = lab.pull(&format!(":v1@{other}"), "new").unwrap_err();
    assert!(matches!(error, Error::Remote(RemoteError::OtherDigest { .. })), "{error}");
    let selection = Selection::default().platforms(vec!["linux/s390x".parse::<Platform>().unwrap()]);
    lab.pull_with(&lab.client(), ":v1", "new", &selection, &PullOptions::default()).unwrap_err();
    lab.fake.rule(Rule::on("GET", "*/manifests/*"), Action::error(403, "DENIED"));
    lab.pull(":v1", "new").unwrap_err();
    assert!(!lab.path("new").exists());
}

#[test]
fn names_that_are_taken_move_only_where_that_is_asked_for() {
    let lab = Lab::new();
    lab.serve(&[KIB]);
    lab.pulls(":v1", "new");
    let mut made = lab.layout("m");
    let image = made.image(7, &[KIB]);
    made.list(&image, "v1");
    lab.serve_layout("m");
    let before = lab.names("new");
    lab.fake.clear_log();
    let error = lab.pull(":v1", "new").unwrap_err();
    assert!(matches!(error, Error::NameTaken { .. }), "{error}");
    assert_eq!((lab.names("new"), lab.count("GET", "/blobs/")), (before, 1), "{:?}", lab.fake.lines());
    let options = PullOptions::default().replace(true);
    lab.pull_with(&lab.client(), ":v1", "new", &Selection::default(), &options).unwrap();
    lab.is_valid("new");
    let names: Vec<Value> = index(&lab, "new").iter().map(|entry| entry["annotations"][REF_NAME].clone()).collect();
    assert_eq!(names.iter().filter(|name| **name == "v1").count(), 1);
}

#[test]
fn what_the_layout_has_is_not_fetched_and_what_is_wrong_in_it_is() {
    let lab = Lab::new();
    lab.serve(&[3 * KIB, 5 * KIB]);
    lab.pulls(":v1", "new");
    fs::write(lab.path("new/index.json"), r#"{"schemaVersion":2,"manifests":[]}"#).unwrap();
    // Nothing refers to the blobs now, so that they are verified.
    let wrong = blob_path(&lab.path("new"), &digest_of(&layer(1001, 5 * KIB)));
    let mut bytes = fs::read(&wrong).unwrap();
    bytes[1000] ^= 1;
    fs::write(&wrong, bytes).unwrap();
    lab.fake.clear_log();
    let pulled = lab.pulls(":v1", "new");
    lab.is_valid("new");
    let actions: Vec<DownloadAction> = pulled.images[0].blobs[1..].iter().map(|blob| blob.action).collect();
    assert_eq!(actions, [DownloadAction::Skipped, DownloadAction::Downloaded], "{:?}", lab.fake.lines());
}

#[test]
fn blobs_come_largest_first_and_as_many_at_once_as_jobs() {
    let lab = Lab::with(Options { delay: Duration::from_millis(10), ..Options::default() });
    let sizes: Vec<usize> = (1..20).map(|number| number * 7 % 19 * KIB + KIB).collect();
    lab.serve(&sizes);
    let options = PullOptions::default().jobs(1_usize);
    lab.pull_with(&lab.client(), ":v1", "one", &Selection::default(), &options).unwrap();
    let layers: Vec<usize> = lab
        .requests()
        .iter()
        .filter(|request| request.path.contains("/blobs/"))
        .filter_map(|request| lab.fake.blob(REPOSITORY, request.path.rsplit('/').next().unwrap()))
        .filter(|blob| !blob.starts_with(b"{"))
        .map(|blob| blob.len())
        .collect();
    assert!(layers.is_sorted_by(|one, other| one >= other), "{layers:?}");
    assert_eq!(lab.fake.take_most_active(), 1);
    lab.pulls(":v1", "new");
    let active = lab.fake.take_most_active();
    assert!((8..=16).contains(&active), "{active}");
}

#[test]
fn a_cut_pull_keeps_its_uploads_and_the_next_one_goes_on() {
    let lab = Lab::new();
    lab.serve(&[KIB, 3 * MIB]);
    let digest = digest_of(&layer(1001, 3 * MIB));
    lab.fake.rule(Rule::on("GET", &format!("*/blobs/{digest}")).from(1), Action::CutDown(MIB as u64));
    lab.fake.rule(Rule::on("GET", &format!("*/blobs/{digest}")).from(2), Action::status(503));
    let error = lab.pull(":v1", "new").unwrap_err();
    assert!(
        matches!(error, Error::Remote(RemoteError::Download { kept, .. }) if kept >= 900 * KIB as u64),
        "{error:?}"
    );
    let names = lab.names("new");
    assert!(names.iter().all(|name| name.starts_with(".regshape-uploads")), "{names:?}");
    lab.fake.clear_rules();
    let before = lab.requests().len();
    let pulled = lab.pulls(":v1", "new");
    lab.is_valid("new");
    assert_eq!(pulled.images[0].blobs[2].action, DownloadAction::Resumed);
    let ranges: Vec<String> =
        lab.requests()[before..].iter().filter_map(|request| request.header("range").map(str::to_owned)).collect();
    assert_eq!(ranges.len(), 1 + usize::from(ranges.len() > 1), "{ranges:?}");
    let start: usize = ranges[0].strip_prefix("bytes=").and_then(|it| it.strip_suffix('-')).unwrap().parse().unwrap();
    assert!(start >= 900 * KIB, "{ranges:?}");
    assert!(!lab.names("new").iter().any(|name| name.contains("upload")));
}

#[test]
fn what_an_earlier_run_left_is_fetched_anew_if_it_is_wrong_or_there_are_no_ranges() {
    for has_ranges in [true, false] {
        let lab = Lab::with(Options { has_ranges, ..Options::default() });
        lab.serve(&[300 * KIB]);
        let layer = layer(1000, 300 * KIB);
        let id = &digest_of(digest_of(&layer).as_bytes())["sha256:".len()..][..32];
        fs::create_dir_all(lab.path("new/.regshape-uploads")).unwrap();
        fs::write(lab.path("new/.regshape-uploads").join(id), bytes(99, 100 * KIB)).unwrap();
        lab.pulls(":v1", "new");
        lab.is_valid("new");
    }
}

#[test]
fn a_pull_that_was_killed_when_it_had_added_all_leaves_nothing_after_the_next() {
    let lab = Lab::new();
    lab.serve(&[KIB, 2 * KIB]);
    for is_complete in [true, false] {
        lab.pulls(":v1", "new");
        let part = upload(&lab, &digest_of(&layer(1000, KIB)));
        fs::create_dir_all(part.parent().unwrap()).unwrap();
        fs::write(&part, layer(1000, KIB)).unwrap();
        if !is_complete {
            fs::remove_file(blob_path(&lab.path("new"), &digest_of(&layer(1001, 2 * KIB)))).unwrap();
        }
        lab.pulls(":v1", "new");
        assert!(!lab.path("new/.regshape-uploads").exists());
        lab.is_valid("new");
    }
}

/// Returns the file of a blob on its way into the layout `new`.
fn upload(lab: &Lab, blob: &str) -> PathBuf {
    let id = digest_of(blob.as_bytes())["sha256:".len()..][..32].to_owned();
    lab.path("new/.regshape-uploads").join(id)
}

#[test]
fn a_blob_whose_file_another_program_wrote_to_is_fetched_again() {
    let lab = Lab::new();
    lab.serve(&[300 * KIB]);
    let blob = digest_of(&layer(1000, 300 * KIB));
    let drip = Action::Drip(30 * KIB, Duration::from_millis(20));
    lab.fake.rule(Rule::on("GET", &format!("*{blob}")).first(1), drip);
    thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let start = Instant::now();
            while start.elapsed() < Duration::from_secs(20) {
                match fs::OpenOptions::new().append(true).open(upload(&lab, &blob)) {
                    Ok(mut file) => return file.write_all(b"x").unwrap(),
                    Err(_) => thread::sleep(Duration::from_millis(1)),
                }
            }
        });
        lab.pulls(":v1", "new");
        writer.join().unwrap();
    });
    lab.is_valid("new");
    assert_eq!(lab.count("GET", &blob), 2);
}

#[test]
fn a_pull_to_a_layout_that_stays_locked_leaves_it_as_it_was() {
    let lab = Lab::new();
    lab.serve(&[KIB]);
    lab.pulls(":v1", "new");
    let before = lab.names("new");
    let marker = fs::File::open(lab.path("new/oci-layout")).unwrap();
    marker.lock().unwrap();
    let pull = format!("--insecure pull HOST/{REPOSITORY}:v1 new --ref-name q");
    assert_eq!(lab.run(&format!("{pull} --lock-timeout 200ms")).status, Some(75));
    assert_eq!(lab.names("new"), before);
    // Blobs that were fetched wait for the next try.
    let mut made = lab.layout("other");
    let image = made.image(2, &[KIB]);
    made.list(&image, "v2");
    lab.serve_layout("other");
    let blob = digest_of(&layer(2000, KIB));
    let pull = format!("--insecure pull HOST/{REPOSITORY}:v2 new");
    assert_eq!(lab.run(&format!("{pull} --lock-timeout 200ms")).status, Some(75));
    assert_eq!(fs::read(upload(&lab, &blob)).unwrap(), layer(2000, KIB));
    drop(marker);
    lab.run(&pull).succeeds();
    lab.is_valid("new");
    assert_eq!(lab.count("GET", &blob), 1);
    assert!(!lab.path("new/.regshape-uploads").exists());
}

#[test]
fn a_pull_that_is_refused_deletes_what_earlier_runs_left() {
    // The bytes that were left are being hashed when the other blob is refused, or it is not their turn yet.
    for (left, refused, jobs) in [(40 * MIB, 2 * MIB, 2_usize), (2 * MIB, 3 * MIB, 1)] {
        let lab = Lab::new();
        lab.serve(&[left, refused]);
        let (blob, bad) = (digest_of(&layer(1000, left)), digest_of(&layer(1001, refused)));
        let file = upload(&lab, &blob);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, &layer(1000, left)[..left]).unwrap();
        lab.fake.rule(Rule::on("GET", &format!("*{bad}")), Action::error(403, "DENIED"));
        let options = PullOptions::default().jobs(jobs);
        lab.pull_with(&lab.client(), ":v1", "new", &Selection::default(), &options).unwrap_err();
        assert!(lab.names("new").is_empty(), "{left}: {:?}", lab.names("new"));
    }
}

#[test]
fn pulls_of_one_image_at_once_fetch_each_blob_once() {
    let lab = Lab::with(Options { delay: Duration::from_millis(20), ..Options::default() });
    lab.serve(&[KIB, 700 * KIB]);
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| lab.run(&format!("--insecure pull HOST/{REPOSITORY}:v1 new")).succeeds().to_owned());
        }
    });
    lab.is_valid("new");
    assert_eq!(index(&lab, "new").len(), 1);
    let digest = digest_of(&layer(1001, 700 * KIB));
    assert_eq!(lab.count("GET", &digest), 1, "{:?}", lab.fake.lines());
}

#[test]
fn the_urls_of_a_layer_are_tried_in_order() {
    let content = layer(9, KIB);
    let good = |other: &Other| other.url(&format!("/blobs/{}", other.add_blob(content.clone())));
    let absent = |other: &Other| other.url("/blobs/none");
    let wrong = |other: &Other| {
        let mut bytes = content.clone();
        bytes[0] ^= 1;
        other.url(&format!("/blobs/{}", other.add_blob(bytes)))
    };
    let pull = |urls: &[String]| {
        let lab = Lab::new();
        let mut made = lab.layout("l");
        let mut image: Value =
            serde_json::from_slice(&fs::read(blob_path(&lab.path("l"), digest(&made.image(1, &[KIB])))).unwrap())
                .unwrap();
        let mut foreign = made.blob(LAYER, &content);
        foreign["urls"] = json!(urls);
        image["layers"].as_array_mut().unwrap().push(foreign.clone());
        let image = made.document(&image);
        made.list(&image, "v1");
        lab.serve_layout("l");
        lab.fake.remove_blob(REPOSITORY, digest(&foreign));
        let options = PullOptions::default().allow_foreign(true);
        let pulled = lab.pull_with(&lab.client(), ":v1", "new", &Selection::default(), &options);
        if pulled.is_ok() {
            assert!(blobs(&lab, "new").contains(&digest(&foreign)["sha256:".len()..].to_owned()));
        }
        pulled.map(drop).map_err(|error| in_full(&error))
    };
    let other = Other::start();
    let (good, absent, wrong) = (good(&other), absent(&other), wrong(&other));
    let nowhere = "ftp://x.example/blob".to_owned();
    pull(std::slice::from_ref(&good)).unwrap();
    pull(&[nowhere.clone(), absent.clone(), wrong.clone(), good.clone()]).unwrap();
    // One that fails for a while is not given up at once.
    other.rule(Rule::on("GET", "/blobs/sha256*").first(1), Action::status(503));
    pull(&[good.clone(), absent.clone()]).unwrap();
    // Of one that fails half way, nothing is taken.
    other.rule(Rule::on("GET", "/blobs/cut"), Action::Body(content[..9].to_vec()));
    pull(&[other.url("/blobs/cut"), good]).unwrap();
    let failed = format!("failed to download blob {}: ", digest_of(&content));
    let last = format!("{} answered 404 to GET /blobs/none", other.host());
    assert_eq!(pull(std::slice::from_ref(&absent)).unwrap_err(), format!("{failed}{last}"));
    assert_eq!(pull(&[nowhere, wrong, absent]).unwrap_err(), format!("{failed}tried 3 URLs, the last one: {last}"));
    assert!(other.requests().iter().all(|request| request.authorization.is_none()));
}

#[test]
fn images_that_the_registry_lacks_are_left_out_in_json_too() {
    let lab = Lab::new();
    let mut made = lab.layout("l");
    let (one, two) = (made.image_for("amd64", 1, &[KIB]), made.image_for("arm64", 2, &[KIB]));
    let multi = made.index(&[("amd64", &one), ("arm64", &two)]);
    made.list(&multi, "v1");
    lab.serve_layout("l");
    lab.fake.remove_manifest(REPOSITORY, digest(&two));
    // The second time the layout has all that there is.
    for (flags, status) in [("--dry-run", "would be pulled"), ("", "pulled"), ("", "exists")] {
        let ran = lab.run(&format!("pull HOST/team/app:v1 new --json {flags}"));
        let json: Value = serde_json::from_str(ran.succeeds()).unwrap();
        let image = &json["manifests"][0];
        assert_eq!((json["manifests"].as_array().unwrap().len(), &image["status"]), (1, &json!(status)));
        let blobs = image["blobs"].as_array().unwrap();
        let left_out: Vec<&Value> = blobs.iter().filter(|blob| blob["action"] == "left_out").collect();
        let expected =
            json!({ "digest": two["digest"], "size": two["size"], "media_type": MANIFEST, "action": "left_out" });
        assert_eq!((left_out, blobs.len()), (vec![&expected], 3), "{json}");
        assert_eq!(json["warnings"].as_array().unwrap().len(), 1, "{json}");
    }
    lab.is_valid("new");
}
