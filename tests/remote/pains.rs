//! What users of other programs complain about most, a test for each.

#![cfg_attr(not(target_os = "linux"), allow(unused_imports, reason = "one test runs on Linux alone"))]

use std::fs;
use std::process::Stdio;
use std::time::{Duration, SystemTime};

use regshape::remote::{CredentialStore, Environment, RegistryHost, RemoteReference};
use regshape::transfer::{DownloadAction, PullOptions, PushOptions, UploadAction};
use regshape::view::Selection;
use regshape::{Error, RemoteError};
use serde_json::{Value, json};

use crate::fake_registry::{
    Action, Anonymous, Auth, Bodies, Fake, Logged, Mounts, Options, Other, Rule, Tls, Tokens, digest_of,
};
use crate::lab::*;

const BLOBS: &str = "*/blobs/uploads/*";

fn tokens(tokens: Tokens) -> Options {
    Options { auth: Auth::Tokens(tokens), ..Options::default() }
}

/// An HTTP date some seconds from now.
fn date_in(seconds: u64) -> String {
    httpdate_of(SystemTime::now() + Duration::from_secs(seconds))
}

/// RFC 9110, 5.6.7, in the form of `asctime`'s successor.
fn httpdate_of(time: SystemTime) -> String {
    let seconds = time.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let weekday = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"][usize::try_from(days % 7).unwrap()];
    // Howard Hinnant's days to a civil date.
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let of_era = shifted % 146_097;
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let names = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let name = names[usize::try_from(month).unwrap() - 1];
    format!("{weekday}, {day:02} {name} {year} {:02}:{:02}:{:02} GMT", rest / 3600, rest / 60 % 60, rest % 60)
}

#[test]
fn pain_1_a_token_that_expires_during_a_push_is_replaced() {
    // At the closing PUT of a large blob, at the manifest, and after every few requests.
    for (method, path, uses) in
        [("PUT", BLOBS, None), ("PUT", "*/manifests/*", None), ("POST", "*", None), ("GET", "none", Some(7))]
    {
        let lab = Lab::with(tokens(Tokens { uses, ..Tokens::default() }));
        lab.single(&[KIB, 2 * MIB, KIB, KIB, KIB, KIB]);
        lab.fake.rule(Rule::on(method, path).first(2), Action::TokenExpiresNow);
        lab.push_by(&lab.client_of_user(), "l", &PushOptions::default().jobs(1_usize))
            .unwrap_or_else(|error| panic!("{method} {path}: {}", in_full(&error)));
        lab.has("v1");
        assert!(lab.fake.tokens_issued() <= if uses.is_some() { 8 } else { 3 }, "{}", lab.fake.tokens_issued());
    }
    // One that says how long it lasts is replaced before it expires.
    let life = Duration::from_secs(5);
    let lab = Lab::with(tokens(Tokens { lifetime: Some(life), expires_in: Some(5), ..Tokens::default() }));
    lab.single(&[KIB; 4]);
    let client = lab.client_of_user();
    for _ in 0..3 {
        lab.push_by(&client, "l", &PushOptions::default().force(true)).unwrap();
        lab.fake.advance(life);
        regshape::remote::Clock::sleep(&*lab.clock, life);
    }
    assert_eq!(lab.fake.tokens_issued(), 3);
    let is_refused = |request: &&Logged| request.status == 401 && request.authorization.is_some();
    assert_eq!(lab.requests().iter().filter(is_refused).count(), 0);
}

#[test]
fn pain_2_a_big_blob_goes_on_where_it_was_cut() {
    let size = 5 * MIB;
    let lab = Lab::new();
    lab.single(&[size]);
    let cut = 1_300_000;
    lab.fake.rule(Rule::on("PUT|PATCH", BLOBS), Action::CutUp(cut));
    let pushed = lab.pushes("l", &PushOptions::default());
    lab.has("v1");
    assert!(lab.fake.bytes_received() <= size as u64 * 11 / 10, "{} bytes", lab.fake.bytes_received());
    assert!(pushed.summary.retries >= 3);
    // Registries of the 2.8 kind lose the session with the cut.
    let lab = Lab::with(Options { keeps_cut_uploads: false, ..Options::default() });
    lab.single(&[size]);
    lab.fake.rule(Rule::on("PUT|PATCH", BLOBS).first(2), Action::CutUp(cut));
    lab.pushes("l", &PushOptions::default());
    lab.has("v1");
    // What was cut on the way down goes on too.
    lab.fake.rule(Rule::on("GET", "*/blobs/*"), Action::CutDown(cut));
    let before = lab.requests().len();
    lab.pulls(":v1", "new");
    lab.is_valid("new");
    let asked = lab.requests()[before..].iter().filter(|request| request.header("range").is_some()).count();
    assert!(asked >= 3);
}

#[test]
fn pain_3_a_blob_whose_closing_answer_is_lost_is_looked_for_before_it_is_sent_again() {
    let unknown = || Action::error(404, "BLOB_UPLOAD_UNKNOWN");
    for action in [Action::DropAnswer, Action::AnswerAs(500), Action::AnswerAs(404), Action::AnswerAs(504)] {
        let shown = format!("{action:?}");
        let lab = Lab::new();
        lab.single(&[2 * MIB]);
        lab.fake.rule(Rule::on("PUT", BLOBS).first(1), action);
        lab.pushes("l", &PushOptions::default());
        lab.has("v1");
        let sent = lab.fake.bytes_received();
        assert!(sent <= 2 * MIB as u64 + 8 * KIB as u64, "{shown}: {sent}");
    }
    // A slow commit is waited for longer than a stall.
    let lab = Lab::new();
    lab.single(&[KIB]);
    lab.fake.rule(Rule::on("PUT", BLOBS).first(1), Action::DelayAnswer(Duration::from_millis(700)));
    let connection = lab.connection().stall_timeout(Duration::from_millis(300));
    let pushed = lab.push_by(&lab.client_with(&connection), "l", &PushOptions::default()).unwrap();
    assert_eq!(pushed.summary.retries, 0);
    // A session that is gone without the blob begins anew.
    let lab = Lab::new();
    lab.single(&[KIB]);
    lab.fake.rule(Rule::on("PUT", BLOBS).first(1), unknown());
    lab.pushes("l", &PushOptions::default());
    lab.has("v1");
}

#[test]
fn pain_4_every_method_waits_as_long_as_the_registry_asks_for() {
    for (method, path) in [
        ("HEAD", "*/manifests/*"),
        ("HEAD", "*/blobs/*"),
        ("POST", "*"),
        ("PUT", BLOBS),
        ("PUT", "*/manifests/*"),
        ("PATCH", BLOBS),
    ] {
        for (status, after, least) in
            [(429, "7".to_owned(), 7), (503, "3".to_owned(), 3), (429, date_in(121), 118), (429, date_in(0), 0)]
        {
            let lab = Lab::new();
            lab.single(&[3 * MIB]);
            let rule = lab.fake.rule(Rule::on(method, path).first(1), Action::RetryAfter(status, after.clone()));
            let mut options = PushOptions::default();
            options.chunk_size = Some(MIB as u64);
            let pushed = lab.pushes("l", &options);
            assert_eq!((lab.fake.fired(rule), pushed.summary.retries >= 1), (1, true), "{method} {path}");
            lab.has("v1");
            let longest = lab.clock.take_pauses().into_iter().max().unwrap();
            let range = Duration::from_secs(least)..=Duration::from_secs(least + 3);
            assert!(range.contains(&longest), "{method} {path} {after}: {longest:?}");
        }
    }
    let lab = Lab::new();
    lab.serve(&[KIB]);
    lab.fake.rule(Rule::on("GET", "*").every(2), Action::RetryAfter(429, "2".to_owned()));
    lab.pulls(":v1", "new");
    assert!(lab.clock.take_pauses().contains(&Duration::from_secs(2)));
    // Longer than five minutes is for the user to wait.
    lab.fake.clear_rules();
    lab.fake.rule(Rule::on("*", "*"), Action::RetryAfter(429, "3600".to_owned()));
    let error = lab.pull(":v1", "other").unwrap_err();
    assert!(matches!(error, Error::Remote(RemoteError::Later { .. })), "{error}");
    assert!(in_full(&lab.push("l", &PushOptions::default()).unwrap_err()).contains("asks to wait for 60 min"));
}

#[test]
fn pain_5_a_hundred_layers_go_many_at_once() {
    let delay = Duration::from_millis(10);
    let lab = Lab::with(Options { delay, ..Options::default() });
    lab.single(&[KIB; 100]);
    let start = std::time::Instant::now();
    let pushed = lab.pushes("l", &PushOptions::default());
    let requests = lab.requests().len();
    assert!(requests <= 3 * 101 + 5, "{requests}");
    let serial = delay * u32::try_from(requests).unwrap();
    assert!(start.elapsed() < serial / 2, "{:?} of {serial:?}", start.elapsed());
    assert!(lab.fake.take_most_active() >= 8);
    assert_eq!(pushed.summary.requests, requests as u64);
    assert!(lab.fake.connections() <= 17, "{}", lab.fake.connections());
}

#[test]
fn pain_6_credentials_do_not_follow_a_redirect_to_another_host() {
    for auth in [Auth::basic("user", "password"), Auth::tokens("user", "password")] {
        let (lab, other) = (Lab::with(Options { auth, ..Options::default() }), Other::start());
        lab.serve(&[KIB, 30 * KIB]);
        for size in [KIB, 30 * KIB] {
            other.add_blob(layer(1000 + u64::from(size > KIB), size));
        }
        lab.fake
            .rule(Rule::on("GET", "*/blobs/*"), Action::RedirectTo(other.url("/blobs/{last}?X-Amz-Signature=a%2Fb")));
        let config: Value = serde_json::from_slice(&lab.fake.manifest(REPOSITORY, "v1").unwrap()).unwrap();
        other.add_blob(lab.fake.blob(REPOSITORY, text(&config["config"]["digest"])).unwrap());
        let pull =
            |name| lab.pull_with(&lab.client_of_user(), ":v1", name, &Selection::default(), &PullOptions::default());
        pull("new").unwrap();
        lab.is_valid("new");
        let requests = other.requests();
        assert!(requests.len() >= 3 && requests.iter().all(|request| request.authorization.is_none()));
        assert!(requests.iter().all(|request| request.query == "X-Amz-Signature=a%2Fb"), "{requests:?}");
        // A 401 from there is not answered.
        let challenge = ("WWW-Authenticate".to_owned(), format!("Bearer realm=\"{}\"", other.url("/token")));
        other.rule(Rule::on("GET", "/blobs/*"), Action::Status(401, vec![challenge], Vec::new()));
        pull("more").unwrap_err();
        assert!(other.requests().iter().all(|request| request.authorization.is_none() && request.path != "/token"));
    }
    // Uploads that are sent to another host go there without credentials, and with the whole body.
    let (lab, other) = (Lab::with(tokens(Tokens::default())), Other::start());
    lab.single(&[2 * MIB]);
    let rule = lab.fake.rule(Rule::on("PUT", BLOBS).first(1), Action::RedirectTo(other.url("/blobs/upload")));
    let _ = lab.push_by(&lab.client_of_user(), "l", &PushOptions::default().jobs(1_usize));
    assert_eq!(lab.fake.fired(rule), 1);
    assert_eq!(other.blob("upload").map(|blob| digest_of(&blob)), Some(digest_of(&layer(1000, 2 * MIB))));
    assert!(other.requests().iter().all(|request| request.authorization.is_none()));
}

#[test]
fn pain_7_a_location_that_lost_its_scheme_port_or_host_is_mended_and_keeps_its_state() {
    for location in
        ["http://{host}{location}", "http://127.0.0.1{location}", "https://127.0.0.1{location}", "{location}"]
    {
        let lab = Lab::with(Options { tls: Tls::by_authority(), ..Options::default() });
        lab.single(&[2 * MIB, KIB]);
        lab.fake.rule(Rule::on("POST|PATCH", "*"), Action::Location(location.to_owned()));
        let mut options = PushOptions::default();
        options.chunk_size = Some(MIB as u64);
        lab.pushes("l", &options);
        lab.has("v1");
        assert!(lab.requests().iter().filter(|it| it.method == "PATCH").all(|it| !it.query.is_empty()), "{location}");
    }
    // Plain HTTP at another host is not followed.
    let (lab, other) = (Lab::with(Options { tls: Tls::by_authority(), ..Options::default() }), Other::start());
    lab.single(&[KIB]);
    lab.fake.rule(Rule::on("POST", "*"), Action::Location(format!("{}{{location}}", other.url(""))));
    let error = lab.push("l", &PushOptions::default()).unwrap_err();
    assert!(in_full(&error).ends_with("HTTPS may not become HTTP"), "{}", in_full(&error));
    assert!(other.requests().is_empty());
}

#[test]
fn pain_8_chunks_are_as_large_as_the_registry_wants_or_there_are_none() {
    let chunks = |lab: &Lab| -> Vec<u64> {
        lab.requests().iter().filter(|it| it.method == "PATCH").map(|it| it.body_bytes_received).collect()
    };
    let mut options = PushOptions::default();
    options.chunk_size = Some(MIB as u64);
    let lab = Lab::with(Options { chunk_min_length: Some(2 * MIB as u64), ..Options::default() });
    lab.single(&[5 * MIB]);
    lab.pushes("l", &options);
    lab.has("v1");
    assert!(chunks(&lab).iter().all(|chunk| *chunk >= 2 * MIB as u64), "{:?}", chunks(&lab));
    assert!(chunks(&lab).len() >= 2);
    // Artifact Registry has none.
    for status in [400, 404, 405, 415, 501] {
        let lab = Lab::with(Options { no_chunks: Some(status), ..Options::default() });
        lab.single(&[5 * MIB, 4 * MIB]);
        lab.pushes("l", &options.clone().jobs(1_usize));
        lab.has("v1");
        assert_eq!(chunks(&lab).len(), 1, "{status}");
        assert!(lab.fake.sessions().is_empty(), "{status}");
    }
    // ECR answers 201 to a chunk.
    let lab = Lab::new();
    lab.single(&[3 * MIB]);
    lab.fake.rule(Rule::on("PATCH", BLOBS), Action::AnswerAs(201));
    lab.pushes("l", &options);
    lab.has("v1");
}

#[test]
fn pain_9_bodies_that_are_too_large_for_a_proxy_become_chunks_that_are_not() {
    let cases = [3 * MIB, MIB + MIB / 2].map(|limit| [(limit, true), (limit, false)]);
    at_once(cases.concat(), |(limit, honours_expect)| {
        let lab = Lab::with(Options { body_limit: Some(limit as u64), honours_expect, ..Options::default() });
        lab.single(&[8 * MIB, KIB]);
        lab.pushes("l", &PushOptions::default());
        lab.has("v1");
        assert!(lab.count("PATCH", "/blobs/") >= 2);
        assert!(lab.fake.sessions().is_empty(), "{limit} {honours_expect}");
    });
    // A size that the user chose is not changed, and the error says what is too large.
    let lab = Lab::with(Options { body_limit: Some(MIB as u64), ..Options::default() });
    lab.single(&[8 * MIB]);
    let mut options = PushOptions::default();
    options.chunk_size = Some(2 * MIB as u64);
    let error = lab.push("l", &options).unwrap_err();
    assert!(in_full(&error).contains(" 413 "), "{}", in_full(&error));
    assert!(lab.fake.sessions().is_empty());
}

#[cfg(target_os = "linux")]
#[test]
fn pain_10_memory_does_not_grow_with_the_layers() {
    let size = 192 * MIB;
    let lab = Lab::with(Options { bodies: Bodies::Count, ..Options::default() });
    let mut made = lab.layout("l");
    let image = made.image(1, &[KIB]);
    made.list(&image, "v1");
    // Zeros take no room on the disk.
    fs::File::create(lab.path("sparse")).unwrap().set_len(size as u64).unwrap();
    lab.run("layout init -p s").succeeds();
    lab.run("layout blob upload -p s --file sparse").succeeds();
    let stored = lab.names("s/blobs/sha256");
    let digest = format!("sha256:{}", stored[0]);
    let layer = json!({ "mediaType": "application/octet-stream", "digest": digest, "size": size });
    let config = made.blob(EMPTY, b"{}");
    let big = made.document(&json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "artifactType": SPDX, "config": config, "layers": [layer]
    }));
    fs::rename(blob_path(&lab.path("s"), &digest), blob_path(&lab.path("l"), &digest)).unwrap();
    made.list(&big, "big");
    let peak = |words: &str| -> u64 {
        let words: Vec<String> = words.split(' ').map(|word| word.replace("HOST", &lab.fake.host())).collect();
        let mut child = lab.program().args(&words).stdout(Stdio::null()).spawn().unwrap();
        let mut peak = 0;
        while child.try_wait().unwrap().is_none() {
            let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
            let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            peak = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(peak);
            std::thread::sleep(Duration::from_millis(2));
        }
        assert!(child.wait().unwrap().success(), "{words:?}");
        peak
    };
    let sent = peak(&format!("--insecure push l:big HOST/{REPOSITORY}:big"));
    assert!(sent > 0 && sent < 40 * KIB as u64, "{sent} KiB");
    lab.fake.add_blob(REPOSITORY, "{}");
    lab.fake.add_blob_file(REPOSITORY, &digest, &blob_path(&lab.path("l"), &digest));
    let fetched = peak(&format!("--insecure pull HOST/{REPOSITORY}:big new --no-sync"));
    assert!(fetched < 40 * KIB as u64, "{fetched} KiB");
}

#[test]
fn pain_11_all_names_of_docker_hub_are_one_registry() {
    for (text, repository) in [
        ("docker.io/alpine:3", "library/alpine"),
        ("index.docker.io/library/alpine:3", "library/alpine"),
        ("registry-1.docker.io/me/app:3", "me/app"),
    ] {
        let reference: RemoteReference = text.parse().unwrap();
        assert!(reference.host.is_docker_hub(), "{text}");
        assert_eq!(reference.repository.as_str(), repository, "{text}");
        assert_eq!(reference.host.authority(), "registry-1.docker.io");
    }
    let lab = Lab::new();
    let file = lab.path("config.json");
    // `user:password`
    fs::write(&file, r#"{"auths":{"https://index.docker.io/v1/":{"auth":"dXNlcjpwYXNzd29yZA=="}}}"#).unwrap();
    let store = CredentialStore::new(Environment::default()).file(&file);
    for name in ["docker.io", "index.docker.io", "registry-1.docker.io"] {
        let host: RegistryHost = name.parse().unwrap();
        assert!(store.find(&host, None).unwrap().credential.is_some(), "{name}");
    }
}

#[test]
fn pain_12_a_helper_that_fails_does_not_keep_anyone_from_public_images() {
    let lab = Lab::with(tokens(Tokens { anonymous: Anonymous::Pull, ..Tokens::default() }));
    lab.serve(&[KIB]);
    fs::create_dir_all(lab.path("home/.docker")).unwrap();
    for (number, config) in [r#"{"credsStore":"absent"}"#, r#"{"credHelpers":{"HOST":"absent"}}"#].iter().enumerate() {
        fs::write(lab.path("home/.docker/config.json"), config.replace("HOST", &lab.fake.host())).unwrap();
        let ran = lab.run(&format!("--insecure pull HOST/{REPOSITORY}:v1 new{number}"));
        assert!(ran.succeeds().contains("Pull complete: 1 manifest(s), 2 blob(s) downloaded"), "{ran:?}");
        assert!(ran.stderr.contains("docker-credential-absent"), "{ran:?}");
        assert_eq!(ran.stderr.lines().count(), 1, "{ran:?}");
    }
}

#[test]
fn pain_13_authorities_of_ones_own_are_trusted_where_they_are_named() {
    let lab = Lab::with(Options { tls: Tls::by_authority(), ..Options::default() });
    lab.serve(&[KIB]);
    let authority = lab.path("ca.pem");
    fs::write(&authority, lab.fake.tls().authority()).unwrap();
    let host = lab.fake.host();
    let refused = lab.run("ping -r HOST");
    refused.fails(1, &format!("Error: Registry {host} is not reachable: its certificate is signed by an authority that is not trusted; name its authority with --ca-file\n"));
    assert!(
        lab.run("ping -r HOST --ca-file ca.pem").succeeds().starts_with(&format!("Registry {host} is reachable\n"))
    );
    let with_variable = lab.program().env("SSL_CERT_FILE", &authority).args(["ping", "-r", &host]).output().unwrap();
    assert!(with_variable.status.success(), "{with_variable:?}");
    let directory = lab.path("home/.config/containers/certs.d").join(&host);
    fs::create_dir_all(&directory).unwrap();
    fs::copy(&authority, directory.join("ca.crt")).unwrap();
    lab.run(&format!("pull HOST/{REPOSITORY}:v1 new")).succeeds();
    lab.is_valid("new");
    // The usual self-signed certificate is its own authority.
    let lab = Lab::with(Options { tls: Tls::self_signed(), ..Options::default() });
    fs::write(lab.path("ca.pem"), lab.fake.tls().authority()).unwrap();
    lab.run("ping -r HOST --ca-file ca.pem").succeeds();
}

#[test]
fn pain_14_a_refused_question_is_no_refused_push_and_the_error_is_of_the_thing_that_failed() {
    for status in [403, 405, 500, 502, 503] {
        let lab = Lab::with(Options { head_status: Some(status), ..Options::default() });
        lab.single(&[KIB, KIB]);
        lab.push("l", &PushOptions::default()).unwrap_or_else(|error| panic!("{status}: {}", in_full(&error)));
        lab.has("v1");
    }
    // A repository that the registry does not make (ECR).
    let lab = Lab::new();
    lab.single(&[KIB]);
    lab.fake.rule(Rule::on("POST", "*"), Action::error(404, "NAME_UNKNOWN"));
    let error = in_full(&lab.push("l", &PushOptions::default()).unwrap_err());
    assert!(error.contains("404") && error.contains("/v2/team/app/blobs/uploads/"), "{error}");
    // 403 is no question of credentials, 401 is one.
    lab.fake.clear_rules();
    lab.fake.rule(Rule::on("POST", "*"), Action::error(403, "DENIED"));
    let error = in_full(&lab.push("l", &PushOptions::default()).unwrap_err());
    assert!(error.contains("403"), "{error}");
    // It is not asked again: each of two blobs at most once.
    assert!(lab.requests().iter().filter(|request| request.status == 403).count() <= 2);
}

#[test]
fn pain_15_a_manifest_whose_blobs_the_registry_does_not_see_yet_is_sent_again() {
    let lab = Lab::new();
    lab.single(&[KIB, 2 * KIB]);
    let unseen = Rule::on("PUT", "*/manifests/*").first(2);
    lab.fake.rule(unseen.clone(), Action::error(404, "MANIFEST_BLOB_UNKNOWN"));
    lab.pushes("l", &PushOptions::default());
    lab.has("v1");
    assert_eq!(lab.count("PUT", "/manifests/"), 3);
    assert_eq!(lab.count("PUT", "/blobs/"), 3);
    // A blob that is gone after all is sent again.
    let lab = Lab::new();
    lab.single(&[KIB, 2 * KIB]);
    let digest = digest_of(&layer(1000, KIB));
    lab.fake.rule(Rule::on("HEAD", &format!("*/blobs/{digest}")).nth(1), Action::status(200));
    lab.pushes("l", &PushOptions::default());
    lab.has("v1");
    // It ends all the same.
    let lab = Lab::new();
    lab.single(&[KIB]);
    lab.fake.rule(Rule::on("PUT", "*/manifests/*"), Action::error(400, "BLOB_UNKNOWN"));
    lab.push("l", &PushOptions::default()).unwrap_err();
    assert!(lab.count("PUT", "/manifests/") <= 4);
    // However it fails, it is sent again as often as that is allowed.
    for (retries, status) in [(0, 404), (0, 500), (2, 404), (2, 500), (4, 500)] {
        let lab = Lab::new();
        lab.single(&[KIB]);
        lab.fake.rule(Rule::on("PUT", "*/manifests/*"), Action::error(status, "BLOB_UNKNOWN"));
        let client = lab.client_with(&lab.connection().retries(retries));
        lab.push_by(&client, "l", &PushOptions::default()).unwrap_err();
        assert_eq!(lab.count("PUT", "/manifests/"), 1 + usize::try_from(retries).unwrap(), "{retries} {status}");
        assert_eq!(client.retries(), u64::from(retries));
    }
    // The same goes for a page whose head fails and whose body is cut.
    let lab = Lab::new();
    lab.serve(&[KIB]);
    lab.fake.rule(Rule::on("GET", "*/tags/list").every(2), Action::status(500));
    lab.fake.rule(Rule::on("GET", "*/tags/list"), Action::CutDown(3));
    lab.pull("*", "new").unwrap_err();
    assert_eq!(lab.count("GET", "/tags/list"), 6);
}

#[test]
fn pain_16_a_mount_that_fails_in_any_way_means_an_upload() {
    let failures = [
        Action::status(400),
        Action::status(403),
        Action::status(404),
        Action::status(405),
        Action::status(500),
        Action::CutHead(0),
        Action::DropAnswer,
    ];
    for action in failures {
        let shown = format!("{action:?}");
        let lab = Lab::with(Options { mounts: Mounts::Anywhere, ..Options::default() });
        lab.single(&[KIB]);
        lab.fake.rule(Rule::on("POST", "*?mount=*"), action);
        let options = PushOptions::default().mount_from(vec![repository("team/base")]);
        let pushed = lab.pushes("l", &options);
        lab.has("v1");
        assert!(pushed.images[0].blobs.iter().all(|blob| blob.action == UploadAction::Uploaded), "{shown}");
    }
    // Without --mount-from no repository is named, as Quay wants it.
    let lab = Lab::new();
    lab.single(&[KIB]);
    lab.pushes("l", &PushOptions::default());
    assert!(lab.requests().iter().all(|request| !request.query.contains("mount")));
}

#[test]
fn pain_17_referrers_are_found_whatever_the_registry_makes_of_them() {
    let fallback = |image: &Value| digest(image).replace(':', "-");
    let made = |lab: &Lab| {
        let mut made = lab.layout("l");
        let image = made.image(1, &[KIB]);
        let sbom = made.artifact(Some(&image), "sbom");
        made.list(&image, "v1").list(&sbom, "");
        (image, sbom)
    };
    let entries = |lab: &Lab, tag: &str| -> usize {
        let index: Value = serde_json::from_slice(&lab.fake.manifest(REPOSITORY, tag).unwrap()).unwrap();
        index["manifests"].as_array().map_or(0, Vec::len)
    };
    // GitLab sends the subject itself for the tag, others something else.
    for is_subject in [true, false] {
        let lab = Lab::with(Options { has_referrers: false, ..Options::default() });
        let (image, _) = made(&lab);
        let bytes = fs::read(blob_path(&lab.path("l"), digest(&image))).unwrap();
        lab.serve_layout("l");
        lab.fake.remove_manifest(REPOSITORY, digest(&made(&lab).1));
        let bytes = if is_subject { bytes } else { br#"{"schemaVersion":2}"#.to_vec() };
        lab.fake.add_manifest(REPOSITORY, Some(&fallback(&image)), MANIFEST, bytes);
        lab.pushes("l", &PushOptions::default());
        assert_eq!(entries(&lab, &fallback(&image)), 1);
    }
    // Docker Hub said that it lists referrers, and had no lists.
    let lab = Lab::new();
    let (image, sbom) = made(&lab);
    lab.fake.rule(Rule::on("GET", "*/referrers/*"), Action::status(404));
    lab.pushes("l", &PushOptions::default());
    assert_eq!(entries(&lab, &fallback(&image)), 1);
    let images = lab.images(&lab.client(), ":v1", None).unwrap();
    let view = images.with_referrers(images.view()).unwrap();
    assert_eq!(view.index().manifests[1].digest.as_str(), digest(&sbom));
    // A run that ended between the referrer and its list is made good.
    let lab = Lab::with(Options { has_referrers: false, ..Options::default() });
    let (image, _) = made(&lab);
    lab.fake.rule(Rule::on("PUT", "*/manifests/sha256-*"), Action::status(400));
    lab.push("l", &PushOptions::default()).unwrap_err();
    lab.fake.clear_rules();
    lab.pushes("l", &PushOptions::default());
    assert_eq!(entries(&lab, &fallback(&image)), 1);
}

#[test]
fn pain_18_a_tag_and_a_digest_stand_together() {
    let lab = Lab::new();
    let digest = lab.single(&[KIB]);
    lab.run(&format!("--insecure push l HOST/{REPOSITORY}:v2@{digest}")).succeeds();
    lab.has("v2");
    lab.run(&format!("--insecure pull HOST/{REPOSITORY}:v2@{digest} new")).succeeds();
    lab.is_valid("new");
    let other = digest_of(b"other");
    let ran = lab.run(&format!("--insecure push l HOST/{REPOSITORY}:v3@{other}"));
    assert_eq!((ran.status, ran.stderr.contains(&other)), (Some(1), true), "{ran:?}");
    let ran = lab.run(&format!("--insecure pull HOST/{REPOSITORY}:v2@{other} more"));
    assert_eq!((ran.status, ran.stderr.contains(&other)), (Some(1), true), "{ran:?}");
    assert!(!lab.path("more").exists() && lab.fake.manifest(REPOSITORY, "v3").is_none());
}

#[test]
fn pain_19_the_habits_of_single_registries_are_no_errors() {
    // Artifactory answers 406 to an Accept with an upload; its Location has a query.
    let lab = Lab::new();
    lab.single(&[KIB, 2 * MIB]);
    lab.fake.rule(Rule::on("POST|PUT|PATCH", BLOBS).with_header("accept", "*json*"), Action::status(406));
    // ECR names no Location for a manifest, others none for a chunk.
    lab.fake.rule(Rule::on("PUT", "*/manifests/*"), Action::Header("Location".to_owned(), None));
    lab.pushes("l", &PushOptions::default());
    lab.has("v1");
    let puts = lab.requests().into_iter().filter(|request| request.method == "PUT" && request.path.contains("/blobs/"));
    assert!(puts.clone().all(|put| put.query.contains('&') && put.query.contains("digest=sha256")), "{puts:?}");
    // GHCR's challenge to a POST asks for a pull alone.
    let lab = Lab::with(tokens(Tokens::default()));
    lab.single(&[KIB]);
    let challenge = format!(
        "Bearer realm=\"http://{}/token\",service=\"{}\",scope=\"repository:{REPOSITORY}:pull\"",
        lab.fake.host(),
        crate::fake_registry::SERVICE
    );
    lab.fake.rule(Rule::on("*", "/v2/*"), Action::Header("WWW-Authenticate".to_owned(), Some(challenge)));
    lab.push_by(&lab.client_of_user(), "l", &PushOptions::default()).unwrap();
    lab.has("v1");
    // A redirect with an escaped slash stays as it is.
    let (lab, other) = (Lab::new(), Other::start());
    lab.serve(&[KIB]);
    lab.fake.rule(Rule::on("GET", "*/blobs/*"), Action::RedirectTo(other.url("/blobs/a%2F{last}?x=%2F")));
    lab.pull(":v1", "new").unwrap_err();
    assert!(other.requests().iter().all(|request| request.query == "x=%2F"), "{:?}", other.requests());
}

#[test]
fn pain_20_connections_that_the_server_closes_between_requests_are_no_errors() {
    for requests_per_connection in [Some(1), Some(3)] {
        for tls in [Tls::none(), Tls::by_authority()] {
            let lab = Lab::with(Options { requests_per_connection, tls, ..Options::default() });
            lab.single(&[KIB, 2 * KIB, 3 * KIB, 2 * MIB]);
            let pushed = lab.pushes("l", &PushOptions::default());
            lab.has("v1");
            let pulled = lab.pulls(":v1", "new");
            lab.is_valid("new");
            assert_eq!((pushed.summary.retries, pulled.summary.retries), (0, 0));
            assert_eq!(pulled.images[0].blobs[1].action, DownloadAction::Downloaded);
        }
    }
    // An idle connection that is gone is tried again.
    let lab = Lab::new();
    lab.single(&[KIB]);
    let client = lab.client();
    for _ in 0..3 {
        lab.push_by(&client, "l", &PushOptions::default().force(true)).unwrap();
        Fake::cut_connections(&lab.fake);
    }
}
