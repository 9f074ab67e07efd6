//! Faults of connections and of servers: each is survived, or is an error that leaves nothing half done.

use std::fs;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use regshape::remote::{Client, ClientCertificate};
use regshape::transfer::{PullOptions, PushOptions};
use regshape::view::Selection;
use regshape::{ConnectionFault, Error, RemoteError};
use serde_json::json;

use crate::fake_registry::{Action, Auth, Fake, Identity, Options, Other, Rule, Tls, Tokens, digest_of};
use crate::lab::*;

/// How long a stalled server is waited for.
const STALL: Duration = Duration::from_millis(100);

/// Makes a layout `l` of an index, images and a referrer, once for all.
fn sample(lab: &Lab) {
    static SAMPLE: OnceLock<Lab> = OnceLock::new();
    let sample = SAMPLE.get_or_init(|| {
        let lab = Lab::new();
        make_sample(&lab);
        lab
    });
    fs::create_dir_all(lab.path("l/blobs/sha256")).unwrap();
    for name in sample.names("l").iter().filter(|name| sample.path("l").join(name).is_file()) {
        fs::hard_link(sample.path("l").join(name), lab.path("l").join(name)).unwrap();
    }
}

fn make_sample(lab: &Lab) {
    let mut made = lab.layout("l");
    let (one, two) = (made.image_for("amd64", 1, &[KIB, MIB + KIB]), made.image_for("arm64", 2, &[KIB]));
    let index = made.index(&[("amd64", &one), ("arm64", &two)]);
    let sbom = made.artifact(Some(&index), "sbom");
    made.list(&index, "v1").list(&sbom, "");
}

fn lab(options: Options) -> Lab {
    let lab = Lab::with(options);
    sample(&lab);
    lab
}

/// The bytes of all blobs of `l`, documents included.
fn payload(lab: &Lab) -> u64 {
    let blobs = fs::read_dir(lab.path("l/blobs/sha256")).unwrap();
    blobs.map(|blob| blob.unwrap().metadata().unwrap().len()).sum()
}

fn impatient(lab: &Lab) -> std::sync::Arc<Client> {
    lab.client_with(&lab.connection().stall_timeout(STALL))
}

fn journalled(lab: &Lab) -> PushOptions {
    PushOptions::default().jobs(1_usize).journal(lab.path("journal"))
}

/// Checks that the registry lists nothing that it does not have.
fn is_sound(lab: &Lab) {
    for (tag, _) in lab.fake.tags(REPOSITORY) {
        lab.has(&tag);
    }
}

/// The registry's kinds: with and without lists of referrers, and with what is left of cut uploads or without.
fn kinds() -> [Options; 2] {
    [Options::default(), Options { has_referrers: false, keeps_cut_uploads: false, ..Options::default() }]
}

/// The requests of a push or pull without faults.
fn number_of_requests(options: &Options, run: impl Fn(&Lab)) -> u64 {
    let lab = lab(options.clone());
    run(&lab);
    lab.fake.requests().len() as u64
}

#[test]
fn a_push_survives_a_cut_at_any_of_its_messages() {
    for kind in kinds() {
        let count = number_of_requests(&kind, |lab| drop(lab.pushes("l", &journalled(lab))));
        assert!(count >= 15, "{count}");
        for action in [Action::CutHead(0), Action::CutHead(30), Action::CutUp(400), Action::DropAnswer] {
            let step = if kind.keeps_cut_uploads { 1 } else { 2 };
            at_once((1..=count).step_by(step), |k| {
                let lab = lab(kind.clone());
                lab.fake.rule(Rule::on("*", "*").nth(k), action.clone());
                let pushed = lab.push("l", &journalled(&lab));
                pushed.unwrap_or_else(|error| panic!("{action:?} at {k}: {} {:?}", in_full(&error), lab.fake.lines()));
                lab.has("v1");
                if kind.keeps_cut_uploads {
                    let limit = payload(&lab) * 11 / 10 + 4 * KIB as u64;
                    assert!(lab.fake.bytes_received() <= limit, "{action:?} at {k}: {}", lab.fake.bytes_received());
                }
                assert!(lab.names("journal").is_empty(), "{action:?} at {k}");
            });
        }
    }
}

#[test]
fn a_push_that_ends_at_any_of_its_messages_goes_on_in_the_next_run() {
    for kind in kinds() {
        let count = number_of_requests(&kind, |lab| drop(lab.pushes("l", &journalled(lab))));
        for action in [Action::CutHead(0), Action::CutUp(300_000), Action::DropAnswer, Action::status(503)] {
            let step = if kind.keeps_cut_uploads { 1 } else { 2 };
            at_once((1..=count).step_by(step), |k| {
                let lab = lab(kind.clone());
                let rule = lab.fake.rule(Rule::on("*", "*").from(k), action.clone());
                let first = lab.push("l", &journalled(&lab));
                is_sound(&lab);
                if first.is_err() {
                    lab.fake.clear_rules();
                } else {
                    // Small bodies are not cut after so many bytes.
                    assert!(matches!(action, Action::CutUp(_)), "{action:?} {}", lab.fake.fired(rule));
                }
                let second = lab.push("l", &journalled(&lab));
                second.unwrap_or_else(|error| panic!("{action:?} at {k}: {} {:?}", in_full(&error), lab.fake.lines()));
                lab.has("v1");
                if kind.keeps_cut_uploads {
                    // Manifests may be sent again; what the registry has of a blob is not.
                    let limit = payload(&lab) * 11 / 10 + 8 * KIB as u64;
                    assert!(lab.fake.bytes_received() <= limit, "{action:?} at {k}: {}", lab.fake.bytes_received());
                }
                assert!(lab.names("journal").is_empty(), "{action:?} at {k}: {:?}", lab.names("journal"));
            });
        }
    }
}

#[test]
fn a_stalled_answer_is_given_up_and_asked_for_again() {
    let count = number_of_requests(&Options::default(), |lab| drop(lab.pushes("l", &journalled(lab))));
    at_once((1..=count).step_by(3), |k| {
        let lab = lab(Options::default());
        // The registry may take its time with a closing PUT.
        lab.fake.rule(Rule::on("HEAD|GET|POST|PATCH|DELETE", "*").nth(k), Action::Stall);
        lab.push_by(&impatient(&lab), "l", &journalled(&lab)).unwrap();
        lab.has("v1");
    });
    at_once((1..=6).flat_map(|k| [(k, Action::Stall), (k, Action::StallDown(100))]), |(k, action)| {
        let lab = lab(Options::default());
        lab.serve_layout("l");
        lab.fake.rule(Rule::on("GET", "*").nth(k), action);
        let options = PullOptions::default();
        lab.pull_with(&impatient(&lab), ":v1", "new", &Selection::default(), &options).unwrap();
        lab.is_valid("new");
    });
    // A server that takes no bytes is given up as well.
    let lab = Lab::new();
    lab.single(&[24 * MIB]);
    lab.fake.rule(Rule::on("PUT", "*/blobs/uploads/*").first(1), Action::StallUp(100_000));
    let start = Instant::now();
    lab.push_by(&impatient(&lab), "l", &journalled(&lab)).unwrap();
    lab.has("v1");
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_pull_survives_a_cut_at_any_of_its_messages() {
    let pull = |lab: &Lab| {
        lab.serve_layout("l");
        lab.pull(":v1", "new")
    };
    let count = number_of_requests(&Options::default(), |lab| drop(pull(lab).unwrap()));
    for has_ranges in [true, false] {
        for action in
            [Action::CutHead(0), Action::CutHead(30), Action::CutDown(0), Action::CutDown(300), Action::DropAnswer]
        {
            at_once(1..=count, |k| {
                let lab = lab(Options { has_ranges, ..Options::default() });
                lab.fake.rule(Rule::on("*", "*").nth(k), action.clone());
                pull(&lab).unwrap_or_else(|error| panic!("{action:?} at {k}: {}", in_full(&error)));
                lab.is_valid("new");
            });
        }
    }
}

#[test]
fn a_pull_that_ends_at_any_of_its_messages_goes_on_in_the_next_run() {
    let count = number_of_requests(&Options::default(), |lab| {
        lab.serve_layout("l");
        lab.pulls(":v1", "new");
    });
    for action in [Action::CutHead(0), Action::CutDown(300_000), Action::DropAnswer, Action::status(503)] {
        for k in 1..=count {
            let lab = lab(Options::default());
            lab.serve_layout("l");
            // One chunk of a large blob comes, then nothing does.
            lab.fake.rule(Rule::on("*", "*").from(k), action.clone());
            lab.fake.rule(Rule::on("*", "*").from(k + 1), Action::CutHead(0));
            let first = lab.pull(":v1", "new");
            let mut kept = 0;
            if first.is_err() {
                let names = lab.names("new");
                assert!(names.iter().all(|name| name.starts_with(".regshape-uploads")), "{action:?} at {k}: {names:?}");
                assert_eq!(names.is_empty(), !lab.path("new").exists(), "{action:?} at {k}");
                kept = names
                    .iter()
                    .map(|name| fs::metadata(lab.path("new").join(name)).unwrap())
                    .filter(fs::Metadata::is_file)
                    .map(|metadata| metadata.len())
                    .sum();
            }
            lab.fake.clear_rules();
            let second = lab.pulls(":v1", "new");
            lab.is_valid("new");
            let fetched = second.summary.bytes_downloaded;
            assert!(first.is_ok() || fetched + kept <= payload(&lab), "{action:?} at {k}: {fetched} and {kept}");
        }
    }
}

#[test]
fn too_many_requests_halve_the_number_at_once() {
    // With each 16 answers one more is sent at once.
    for (refusals, most, delay) in [(0, 16, 100), (1, 8 + 3, 5), (2, 4 + 3, 5)] {
        // Without refusals, all have to be under way at the same time, on a busy machine too.
        let lab = Lab::with(Options { delay: Duration::from_millis(delay), ..Options::default() });
        lab.single(&[KIB; 14]);
        lab.fake.rule(Rule::on("HEAD", "*/manifests/v1").first(refusals), Action::status(429));
        lab.pushes("l", &PushOptions::default());
        let active = lab.fake.take_most_active();
        assert!(active <= most && (refusals > 0 || active > 8 + 3), "{active} after {refusals}");
    }
    // A storm is sat out.
    for seed in 0..3 {
        let lab = Lab::new();
        lab.single(&[KIB; 24]);
        lab.fake.rule(Rule::on("*", "*").percent(30, seed), Action::status(429));
        let connection = lab.connection().retries(20_u32);
        let pushed = lab.push_by(&lab.client_with(&connection), "l", &PushOptions::default()).unwrap();
        lab.has("v1");
        assert!(pushed.summary.retries >= 10);
    }
}

#[test]
fn a_wrong_byte_on_the_way_down_is_fetched_again_and_then_is_an_error() {
    let lab = Lab::new();
    lab.serve(&[KIB, 300 * KIB]);
    let blobs: Vec<String> = lab.names("l/blobs/sha256");
    for blob in &blobs {
        let lab = Lab::new();
        let image = lab.serve(&[KIB, 300 * KIB]);
        let is_manifest = image.ends_with(blob.as_str());
        let path = if is_manifest { "*/manifests/*".to_owned() } else { format!("*{blob}") };
        let rule = lab.fake.rule(Rule::on("GET", &path).first(1), Action::FlipByte(10));
        let pulled = lab.pull(":v1", "once");
        assert_eq!(lab.fake.fired(rule), 1);
        if is_manifest {
            assert!(!lab.path("once").exists());
        } else {
            pulled.unwrap_or_else(|error| panic!("{}", in_full(&error)));
            lab.is_valid("once");
        }
        lab.fake.rule(Rule::on("GET", &path), Action::FlipByte(10));
        lab.pull(":v1", "new").unwrap_err();
        // What came whole before is kept, what is wrong is not.
        let wrong = fs::read_dir(lab.path("new/.regshape-uploads")).into_iter().flatten().flatten();
        let id = digest_of(format!("sha256:{blob}").as_bytes());
        assert!(wrong.into_iter().all(|file| !id["sha256:".len()..].starts_with(&*file.file_name().to_string_lossy())));
        assert!(!lab.path("new/index.json").exists());
    }
}

#[test]
fn a_slow_drip_is_no_stall() {
    let lab = Lab::new();
    lab.serve(&[20 * KIB]);
    lab.fake.rule(Rule::on("GET", "*/blobs/*"), Action::Drip(KIB, Duration::from_millis(15)));
    let start = Instant::now();
    lab.pull_with(&impatient(&lab), ":v1", "new", &Selection::default(), &PullOptions::default()).unwrap();
    assert!(start.elapsed() > STALL);
    lab.is_valid("new");
}

#[test]
fn answers_without_end_are_bounded() {
    let start = Instant::now();
    for action in [Action::HeaderBomb, Action::BodyBomb] {
        for path in ["*/manifests/*", "*/blobs/*", "*/tags/list"] {
            let lab = Lab::new();
            lab.serve(&[KIB]);
            lab.fake.rule(Rule::on("GET", path), action.clone());
            lab.pull(if path.contains("tags") { "*" } else { ":v1" }, "new").unwrap_err();
            assert!(!lab.path("new").exists(), "{action:?} {path}: {:?}", lab.names("new"));
        }
        for (method, path) in [("HEAD", "*"), ("POST", "*"), ("PUT", "*/blobs/uploads/*"), ("PUT", "*/manifests/*")] {
            let lab = Lab::new();
            lab.single(&[KIB]);
            lab.fake.rule(Rule::on(method, path), action.clone());
            if lab.push("l", &PushOptions::default()).is_ok() {
                lab.has("v1");
            }
        }
        let lab = Lab::with(Options { auth: Auth::tokens("user", "password"), ..Options::default() });
        lab.single(&[KIB]);
        lab.fake.rule(Rule::on("GET", "/token"), action.clone());
        lab.push_by(&lab.client_of_user(), "l", &PushOptions::default()).unwrap_err();
    }
    // The body of an error is read in part alone.
    let lab = Lab::new();
    lab.single(&[KIB]);
    lab.fake.rule(Rule::on("POST", "*"), Action::status(403));
    lab.fake.rule(Rule::on("POST", "*"), Action::BodyBomb);
    assert!(in_full(&lab.push("l", &PushOptions::default()).unwrap_err()).contains(" 403 "));
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
}

#[test]
fn redirects_end_and_do_not_become_plain_http() {
    let lab = Lab::new();
    lab.serve(&[KIB]);
    lab.fake.rule(Rule::on("GET", "*/blobs/*"), Action::RedirectTo("{path}".to_owned()));
    let error = in_full(&lab.pull(":v1", "new").unwrap_err());
    assert!(error.ends_with("redirects more than 10 times"), "{error}");
    assert!(lab.count("GET", "/blobs/") <= 22);
    let (lab, other) = (Lab::with(Options { tls: Tls::by_authority(), ..Options::default() }), Other::start());
    lab.serve(&[KIB]);
    lab.fake.rule(Rule::on("GET", "*/blobs/*"), Action::RedirectTo(other.url("/blobs/{last}")));
    let error = in_full(&lab.pull(":v1", "new").unwrap_err());
    assert!(error.ends_with("HTTPS may not become HTTP"), "{error}");
    assert!(other.requests().is_empty());
}

#[test]
fn a_realm_is_asked_wherever_the_registry_says_but_never_over_plain_http() {
    let own_port = Tokens { has_own_port: true, ..Tokens::default() };
    let lab = Lab::with(Options { auth: Auth::Tokens(own_port), ..Options::default() });
    lab.single(&[KIB]);
    lab.push_by(&lab.client_of_user(), "l", &PushOptions::default()).unwrap();
    lab.has("v1");
    let other = Other::start();
    let options = Options { tls: Tls::by_authority(), auth: Auth::tokens("user", "password"), ..Options::default() };
    let lab = Lab::with(options);
    lab.single(&[KIB]);
    let challenge = format!("Bearer realm=\"{}\",service=\"x\"", other.url("/token"));
    lab.fake.rule(Rule::on("*", "*"), Action::Header("WWW-Authenticate".to_owned(), Some(challenge)));
    let error = in_full(&lab.push_by(&lab.client_of_user(), "l", &PushOptions::default()).unwrap_err());
    assert!(error.contains("HTTPS may not become HTTP"), "{error}");
    assert!(other.requests().is_empty());
}

#[test]
fn what_is_no_blob_is_refused_and_a_blob_without_a_length_is_taken() {
    let gzip = [Action::Header("Content-Encoding".to_owned(), Some("gzip".to_owned()))];
    let html = Action::Body(b"<html>log in</html>".to_vec());
    let page = Action::ContentType("text/html; charset=utf-8".to_owned());
    let manifests = "*/manifests/*";
    let cases: [(&str, &[Action], &str); 7] = [
        ("*/blobs/*", &gzip, "with the Content-Encoding gzip"),
        (manifests, &gzip, "with the Content-Encoding gzip"),
        ("*/blobs/*", &[Action::ExtraBytes(5)], "bytes as the blob"),
        ("*/blobs/*", &[Action::ExtraBytes(5), Action::NoContentLength], "sent more than the"),
        (manifests, &[html.clone(), page.clone()], "a login page or a proxy may stand before the registry"),
        ("*/blobs/*", &[html, page], "sent 19 bytes as the blob"),
        (manifests, &[Action::ContentType(INDEX.to_owned())], "and its mediaType is"),
    ];
    for (path, actions, expected) in cases {
        let lab = Lab::new();
        lab.serve(&[KIB]);
        for action in actions {
            lab.fake.rule(Rule::on("GET", path), action.clone());
        }
        let error = in_full(&lab.pull(":v1", "new").unwrap_err());
        assert!(error.contains(expected), "{path} {actions:?}: {error}");
        assert!(!lab.path("new").exists(), "{path} {actions:?}: {:?}", lab.names("new"));
    }
    let lab = Lab::new();
    lab.serve(&[KIB, 0]);
    lab.fake.rule(Rule::on("GET", "*"), Action::NoContentLength);
    lab.pulls(":v1", "new");
    lab.is_valid("new");
}

#[test]
fn a_page_for_every_request_is_no_registry() {
    let lab = Lab::new();
    lab.single(&[KIB]);
    let html = vec![("Content-Type".to_owned(), "text/html".to_owned())];
    lab.fake.rule(Rule::on("*", "*"), Action::Status(200, html, b"<html>log in</html>".to_vec()));
    for options in [tagged(&["v1"]), tagged(&["v1"]).force(true), tagged(&["v1"]).no_clobber(true)] {
        let error = in_full(&lab.push("l", &options).unwrap_err());
        assert!(error.contains("a login page or a proxy may stand before the registry"), "{error}");
    }
    let error = in_full(&lab.pull(":v1", "new").unwrap_err());
    assert!(error.contains("a login page or a proxy may stand before the registry"), "{error}");
}

#[test]
fn an_index_that_is_its_own_child_is_refused() {
    let lab = Lab::new();
    let own = format!("sha256:{}", "ab".repeat(32));
    let entry = json!({ "mediaType": INDEX, "digest": own, "size": 2_000 });
    let mut index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [entry] }).to_string();
    index.push_str(&" ".repeat(2_000 - index.len()));
    lab.fake.add_manifest_as(REPOSITORY, None, &own, INDEX, index.clone());
    lab.fake.add_manifest(REPOSITORY, Some("v1"), INDEX, index);
    let error = lab.pull(":v1", "new").unwrap_err();
    assert!(matches!(error, Error::Remote(RemoteError::OtherDigest { .. })), "{error}");
    let error = lab.pull(&format!("@{own}"), "new").unwrap_err();
    assert!(matches!(error, Error::Remote(RemoteError::OtherDigest { .. })), "{error}");
    assert!(!lab.path("new").exists() && lab.requests().len() < 10);
}

#[test]
fn read_only_registries_and_hosts_without_one_are_named() {
    let lab = Lab::with(Options { is_read_only: true, ..Options::default() });
    lab.single(&[KIB]);
    let error = in_full(&lab.push("l", &PushOptions::default()).unwrap_err());
    assert!(error.contains(" 405 "), "{error}");
    let lab = Lab::new();
    lab.single(&[KIB]);
    lab.fake.rule(Rule::on("*", "*"), Action::status(404));
    assert!(matches!(lab.client().ping(), Err(RemoteError::NotARegistry { .. })));
    let error = in_full(&lab.push("l", &PushOptions::default()).unwrap_err());
    assert!(error.ends_with("is not a registry: it has no /v2/"), "{error}");
    for reference in [":v1", "*"] {
        assert!(matches!(lab.pull(reference, "new"), Err(Error::Remote(RemoteError::NotARegistry { .. }))));
    }
}

#[test]
fn servers_that_are_silent_about_bodies_get_them() {
    at_once([true, false], |honours_expect| {
        let lab = Lab::with(Options { honours_expect, ..Options::default() });
        lab.single(&[2 * MIB, 2 * MIB + KIB, 2 * MIB + 2 * KIB]);
        lab.pushes("l", &PushOptions::default().jobs(1_usize));
        lab.has("v1");
        // Such a server is asked once.
        let asked = lab.requests().iter().filter(|request| request.header("expect").is_some()).count();
        assert_eq!(asked, if honours_expect { 3 } else { 1 });
    });
    let closing = Options { requests_per_connection: Some(1), ..Options::default() };
    let cases = [
        (Action::NoContinue, Options::default()),
        (Action::status(417), Options::default()),
        (Action::SpontaneousContinueHeaders, Options::default()),
        // On a new connection, ureq alone waits for more than the answer.
        (Action::SpontaneousContinueHeaders, closing.clone()),
        (Action::SpontaneousContinueHeaders, Options { tls: Tls::by_authority(), ..closing }),
    ];
    at_once(cases, |(action, options)| {
        let lab = Lab::with(options);
        lab.single(&[2 * MIB, 2 * MIB + KIB]);
        let rule = Rule::on("PUT", "*/blobs/uploads/*");
        let is_silent = matches!(action, Action::NoContinue);
        lab.fake.rule(if is_silent { rule } else { rule.with_header("expect", "*") }, action.clone());
        lab.push("l", &PushOptions::default()).unwrap_or_else(|error| panic!("{action:?}: {}", in_full(&error)));
        lab.has("v1");
    });
}

/// Writes a client's certificate and key.
fn identity(lab: &Lab, name: &str, identity: &Identity, key: &Identity) -> ClientCertificate {
    let (certificate, key_path) = (lab.path(&format!("{name}.cert")), lab.path(&format!("{name}.key")));
    fs::write(&certificate, &identity.certificate).unwrap();
    fs::write(&key_path, &key.key).unwrap();
    ClientCertificate { certificate, key: key_path }
}

#[test]
fn certificates_that_prove_nothing_are_refused_with_the_reason() {
    for (tls, expected) in [
        (Tls::expired(), "its certificate has expired"),
        (Tls::common_name_only(), "its certificate is for another name"),
        (Tls::wrong_name(), "its certificate is for another name"),
    ] {
        let lab = Lab::with(Options { tls, ..Options::default() });
        lab.single(&[KIB]);
        let error = lab.client().ping().unwrap_err();
        let RemoteError::Unreachable { reason, fault, .. } = &error else { panic!("{error}") };
        assert_eq!((reason.as_str(), *fault), (expected, ConnectionFault::Certificate));
        assert!(in_full(&lab.push("l", &PushOptions::default()).unwrap_err()).contains(expected));
        assert!(lab.requests().is_empty() && lab.clock.take_pauses().is_empty());
        lab.client_with(&lab.connection().skip_tls_verify(true)).ping().unwrap();
    }
    let lab = Lab::with(Options { tls: Tls::self_signed(), ..Options::default() });
    let mut connection = lab.connection();
    lab.client_with(&connection).ping().unwrap();
    connection.ca_file = None;
    assert!(matches!(
        lab.client_with(&connection).ping().unwrap_err(),
        RemoteError::Unreachable { fault: ConnectionFault::Untrusted, .. }
    ));
}

#[test]
fn client_certificates_are_shown_and_those_that_do_not_fit_are_named() {
    let lab = Lab::with(Options { tls: Tls::wants_client_certificate(), ..Options::default() });
    let (client, foreign) = (lab.fake.tls().client(), lab.fake.tls().foreign_client());
    let mut connection = lab.connection();
    let refused = |error: RemoteError| {
        matches!(error, RemoteError::Unreachable { fault: ConnectionFault::ClientCertificate, .. })
    };
    let error = lab.client_with(&connection).ping().unwrap_err();
    assert!(refused(error.clone()), "{error:?}");
    connection.client_certificate = Some(identity(&lab, "good", client, client));
    lab.client_with(&connection).ping().unwrap();
    connection.client_certificate = Some(identity(&lab, "foreign", foreign, foreign));
    let error = lab.client_with(&connection).ping().unwrap_err();
    assert!(refused(error.clone()), "{error:?}");
    connection.client_certificate = Some(identity(&lab, "mixed", client, foreign));
    let error = lab.client_with(&connection).ping().unwrap_err();
    let RemoteError::Settings { reason } = &error else { panic!("{error:?}") };
    assert!(
        reason.starts_with("the key in ") && reason.contains(" does not belong to the certificate in "),
        "{reason}"
    );
}

#[test]
fn http_at_a_port_of_tls_and_tls_at_one_of_http_are_told_apart() {
    let lab = Lab::with(Options { tls: Tls::by_authority(), ..Options::default() });
    lab.single(&[KIB]);
    let plain = lab.connection().insecure(true);
    let speaks_tls =
        |error: &RemoteError| matches!(error, RemoteError::Unreachable { fault: ConnectionFault::SpeaksTls, .. });
    let error = lab.client_with(&plain).ping().unwrap_err();
    assert!(speaks_tls(&error), "{error:?}");
    let error = lab.push_by(&lab.client_with(&plain), "l", &PushOptions::default()).unwrap_err();
    assert!(matches!(&error, Error::Remote(error) if speaks_tls(error)), "{error:?}");
    // A registry on this machine may speak plain HTTP.
    let lab = Lab::new();
    lab.single(&[KIB]);
    let connection = lab.connection().insecure(false);
    lab.push_by(&lab.client_with(&connection), "l", &PushOptions::default()).unwrap();
    lab.has("v1");
}

#[test]
fn a_token_server_that_fails_for_a_while_is_asked_again() {
    for action in [Action::status(503), Action::CutHead(0), Action::RetryAfter(429, "4".to_owned())] {
        let lab = Lab::with(Options { auth: Auth::tokens("user", "password"), ..Options::default() });
        lab.single(&[KIB]);
        lab.fake.rule(Rule::on("GET", "/token").first(2), action.clone());
        let pushed = lab.push_by(&lab.client_of_user(), "l", &PushOptions::default());
        pushed.unwrap_or_else(|error| panic!("{action:?}: {}", in_full(&error)));
        lab.has("v1");
        if matches!(action, Action::RetryAfter(..)) {
            assert!(lab.clock.take_pauses().contains(&Duration::from_secs(4)));
        }
    }
}

#[test]
fn nothing_listens_and_nobody_answers() {
    let fake = Fake::start(Options::default());
    let host = fake.host();
    drop(fake);
    let lab = Lab::new();
    let client = Client::new(host.parse().unwrap(), None, &lab.connection());
    assert!(matches!(
        client.ping().unwrap_err(),
        RemoteError::Unreachable { fault: ConnectionFault::Refused, reason, .. } if reason == "Connection refused"
    ));
    assert!(lab.clock.take_pauses().is_empty());
}
