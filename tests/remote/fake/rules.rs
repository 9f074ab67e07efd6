//! Each rule's choice and each action once.

use std::io::Read as _;
use std::time::{Duration, Instant};

use super::{MANIFEST, begin, fake, manifest, push, put_manifest};
use crate::fake_registry::{Action, Fake, Other, Rule, digest_of};
use crate::raw::{Connection, Reply, call};

fn get(fake: &Fake, target: &str) -> Reply {
    call("GET", target).send(&fake.host())
}

#[test]
fn a_rule_acts_on_the_requests_that_it_chooses() {
    type Case = (&'static str, fn(Rule) -> Rule, &'static [bool]);
    let choices: &[Case] = &[
        ("always", |rule| rule, &[true; 6]),
        ("nth", |rule| rule.nth(2), &[false, true, false, false, false, false]),
        ("first", |rule| rule.first(2), &[true, true, false, false, false, false]),
        ("from", |rule| rule.from(5), &[false, false, false, false, true, true]),
        ("every", |rule| rule.every(3), &[false, false, true, false, false, true]),
        ("percent", |rule| rule.percent(100, 1), &[true; 6]),
        ("none", |rule| rule.percent(0, 1), &[false; 6]),
        ("header", |rule| rule.with_header("x-test", "*z*"), &[false; 6]),
    ];
    for (name, choose, expected) in choices {
        let fake = fake();
        let number = fake.rule(choose(Rule::on("GET|HEAD", "/v2/*")), Action::status(418));
        let acts: Vec<bool> = expected.iter().map(|_| get(&fake, "/v2/").status == 418).collect();
        assert_eq!(acts, *expected, "{name}");
        assert_eq!(fake.fired(number), expected.iter().filter(|acts| **acts).count() as u64, "{name}");
    }
    let fake = fake();
    fake.rule(Rule::on("GET", "/v2/").percent(30, 7), Action::status(418));
    let count = (0..200).filter(|_| get(&fake, "/v2/").status == 418).count();
    assert!((30..=90).contains(&count), "{count}");
}

#[test]
fn a_pattern_matches_a_path_or_a_path_with_its_query() {
    let fake = fake();
    for (pattern, status) in [("/v2/*/tags/list", 410), ("/v2/*?n=*", 411), ("/v2/b/*", 412)] {
        fake.rule(Rule::on("*", pattern), Action::status(status));
    }
    for (target, status) in [("/v2/a/x/tags/list", 410), ("/v2/c?n=1", 411), ("/v2/b/tags/list", 410), ("/v2/b/x", 412)]
    {
        assert_eq!(get(&fake, target).status, status, "{target}");
    }
    fake.clear_rules();
    assert_eq!(get(&fake, "/v2/b/x").status, 404);
}

#[test]
fn a_status_is_answered_without_any_work() {
    let fake = fake();
    let headers = vec![("Content-Type".to_owned(), "text/html".to_owned())];
    fake.rule(Rule::on("POST", "*").nth(1), Action::Status(200, headers, b"<html>".to_vec()));
    fake.rule(Rule::on("POST", "*").nth(2), Action::RetryAfter(429, "7".to_owned()));
    fake.rule(Rule::on("POST", "*").nth(3), Action::error(404, "MANIFEST_BLOB_UNKNOWN"));
    let post = || call("POST", "/v2/a/blobs/uploads/").body("").send(&fake.host());
    let page = post();
    assert_eq!((page.status, page.needed("content-type"), page.body.as_slice()), (200, "text/html", &b"<html>"[..]));
    let busy = post();
    assert_eq!((busy.status, busy.needed("retry-after"), busy.code().as_str()), (429, "7", "TOOMANYREQUESTS"));
    assert_eq!(post().code(), "MANIFEST_BLOB_UNKNOWN");
    assert_eq!(fake.sessions(), []);
    assert_eq!(post().status, 202);
}

#[test]
fn a_redirect_goes_to_a_host_that_refuses_credentials() {
    let (fake, other) = (fake(), Other::start());
    let digest = other.add_blob("hello");
    fake.rule(Rule::on("GET", "/v2/*/blobs/*"), Action::RedirectTo(other.url("/blobs/{last}")));
    let reply = get(&fake, &format!("/v2/a/blobs/{digest}"));
    assert_eq!((reply.status, reply.needed("location")), (307, other.url(&format!("/blobs/{digest}")).as_str()));
    let fetch = call("GET", reply.needed("location"));
    assert_eq!(fetch.send(&other.host()).body, b"hello");
    assert_eq!(fetch.clone().header("Range", "bytes=3-").send(&other.host()).body, b"lo");
    let refused = fetch.header("Authorization", "Bearer x").send(&other.host());
    assert_eq!((refused.status, refused.code().as_str()), (400, "DENIED"));
    assert_eq!(other.requests().len(), 3);
    assert_eq!(call("PUT", "/blobs/x").body("new").send(&other.host()).status, 201);
    assert_eq!(other.blob("x").as_deref(), Some(&b"new"[..]));
    fake.clear_rules();
    fake.rule(Rule::on("*", "*"), Action::Redirect(308, "https://h{path}".to_owned()));
    assert_eq!(get(&fake, "/v2/a?b=c").needed("location"), "https://h/v2/a?b=c");
}

#[test]
fn a_request_body_is_cut_or_read_no_further() {
    let body = vec![7; 100_000];
    for (action, status) in [(Action::CutUp(5000), 0), (Action::StallUp(5000), 0)] {
        let fake = fake();
        let location = begin(&fake, "a");
        fake.rule(Rule::on("PATCH", "*").nth(1), action.clone());
        let patch = |location: &str, range: &str, body: &[u8]| {
            let mut connection = Connection::open(&fake.host());
            connection.patience(Duration::from_millis(30));
            connection.send(&call("PATCH", location).header("Content-Range", range).bytes(body))
        };
        assert!(patch(&location, "0-99999", &body).is_err(), "{action:?}");
        let logged = fake.requests()[1].clone();
        assert_eq!((logged.status, logged.body_bytes_received), (status, 5000), "{action:?}");
        let session = get(&fake, &location);
        assert_eq!(session.needed("range"), "0-4999", "{action:?}");
        let rest = patch(session.needed("location"), "5000-99999", &body[5000..]).expect("an answer");
        assert_eq!((rest.status, rest.needed("range")), (202, "0-99999"));
    }
}

#[test]
fn a_cut_at_the_end_of_a_body_is_none() {
    let fake = fake();
    fake.rule(Rule::on("PUT", "*"), Action::CutUp(5));
    push(&fake, "a", b"hello");
}

#[test]
fn an_answer_is_cut_or_held() {
    let fake = fake();
    let digest = fake.add_blob("a", vec![1; 300_000]);
    let target = format!("/v2/a/blobs/{digest}");
    fake.rule(Rule::on("GET", "*").nth(1), Action::CutDown(100_000));
    fake.rule(Rule::on("GET", "*").nth(2), Action::StallDown(100_000));
    fake.rule(Rule::on("GET", "*").nth(3), Action::CutDown(0));
    fake.rule(Rule::on("GET", "*").nth(4), Action::CutHead(20));
    fake.rule(Rule::on("GET", "*").nth(5), Action::Stall);
    let fetch = || {
        let mut connection = Connection::open(&fake.host());
        connection.patience(Duration::from_millis(30));
        connection.send(&call("GET", &target))
    };
    for length in [100_000, 100_000, 0] {
        let reply = fetch().expect("an answer");
        assert_eq!((reply.status, reply.is_cut, reply.body.len()), (200, true, length));
        assert_eq!(reply.needed("content-length"), "300000");
    }
    assert!(fetch().is_err() && fetch().is_err());
    let reply = fetch().expect("an answer");
    assert_eq!((reply.is_cut, reply.body.len()), (false, 300_000));
    let statuses: Vec<u16> = fake.requests().iter().map(|request| request.status).collect();
    assert_eq!(statuses, [200, 200, 200, 200, 0, 200]);
}

#[test]
fn an_answer_is_dropped_after_the_work() {
    let fake = fake();
    let digest = digest_of(b"hello");
    fake.rule(Rule::on("PUT", "*").nth(1), Action::DropAnswer);
    let put = call("PUT", &format!("{}&digest={digest}", begin(&fake, "a"))).bytes("hello");
    assert!(put.try_send(&fake.host()).is_err());
    assert!(fake.has_blob("a", &digest));
    assert_eq!(put.send(&fake.host()).code(), "BLOB_UPLOAD_UNKNOWN");
    fake.rule(Rule::on("POST", "*"), Action::AnswerAs(500));
    assert_eq!(call("POST", "/v2/a/blobs/uploads/").body("").send(&fake.host()).status, 500);
    assert_eq!(fake.sessions().len(), 1);
}

#[test]
fn bytes_of_an_answer_are_changed() {
    let fake = fake();
    let digest = fake.add_blob("a", "hello");
    let target = format!("/v2/a/blobs/{digest}");
    let reply = |action: Action| {
        fake.clear_rules();
        fake.rule(Rule::on("GET", "*"), action);
        get(&fake, &target)
    };
    assert_eq!(reply(Action::FlipByte(1)).body, [b'h', !b'e', b'l', b'l', b'o']);
    let longer = reply(Action::ExtraBytes(3));
    assert_eq!((longer.body.as_slice(), longer.needed("content-length")), (&b"helloxxx"[..], "8"));
    let chunked = reply(Action::NoContentLength);
    assert_eq!((chunked.body.as_slice(), chunked.header("content-length")), (&b"hello"[..], None));
    assert_eq!(reply(Action::Body(b"other".to_vec())).body, b"other");
    assert_eq!(reply(Action::ContentType("text/html".to_owned())).needed("content-type"), "text/html");
    assert_eq!(reply(Action::DigestHeader(None)).header("docker-content-digest"), None);
    assert_eq!(reply(Action::DigestHeader(Some("x".to_owned()))).needed("docker-content-digest"), "x");
    assert_eq!(reply(Action::Header("Link".to_owned(), Some("<x>".to_owned()))).needed("link"), "<x>");
    let lying = reply(Action::Header("Content-Length".to_owned(), Some("3".to_owned())));
    assert_eq!(lying.body, b"hel");
}

#[test]
fn a_location_is_rewritten() {
    let fake = fake();
    fake.rule(Rule::on("POST", "*").nth(1), Action::Location("http://{host}{location}".to_owned()));
    fake.rule(Rule::on("POST", "*").nth(2), Action::Location("https://other{location}&a b".to_owned()));
    let (first, second) = (begin(&fake, "a"), begin(&fake, "a"));
    assert!(first.starts_with(&format!("http://{}/v2/a/blobs/uploads/", fake.host())), "{first}");
    assert!(second.starts_with("https://other/v2/a/blobs/uploads/") && second.ends_with("&a b"), "{second}");
    let digest = digest_of(b"hello");
    let put = call("PUT", &format!("{first}&digest={digest}")).bytes("hello");
    assert_eq!(put.send(&fake.host()).status, 201);
    fake.change(|options| options.has_relative_locations = false);
    fake.rule(Rule::on("POST", "*").nth(1), Action::Location("{location}".to_owned()));
    assert!(begin(&fake, "a").starts_with("/v2/a/blobs/uploads/"));
    // A registry without a Location of the manifest.
    fake.rule(Rule::on("PUT", "*/manifests/*"), Action::Header("Location".to_owned(), None));
    push(&fake, "a", b"{}");
    let bytes = manifest(b"{}", &[], serde_json::json!({}));
    assert_eq!(put_manifest(&fake, "/v2/a/manifests/v1", MANIFEST, &bytes).header("location"), None);
}

#[test]
fn answers_come_late_or_drop_by_drop() {
    let fake = fake();
    let digest = fake.add_blob("a", "hello");
    let target = format!("/v2/a/blobs/{digest}");
    let time = |action: Action| {
        fake.clear_rules();
        fake.rule(Rule::on("GET", "*"), action);
        let start = Instant::now();
        assert_eq!(get(&fake, &target).body, b"hello");
        start.elapsed()
    };
    let interval = Duration::from_millis(5);
    assert!(time(Action::Delay(interval)) >= interval);
    assert!(time(Action::DelayAnswer(interval)) >= interval);
    assert!(time(Action::Drip(1, interval)) >= 4 * interval);
    fake.clear_rules();
    fake.change(|options| options.delay = interval);
    let start = Instant::now();
    get(&fake, "/v2/");
    assert!(start.elapsed() >= interval);
}

#[test]
fn bombs_go_on_until_the_client_closes() {
    for action in [Action::HeaderBomb, Action::BodyBomb] {
        let fake = fake();
        fake.rule(Rule::on("GET", "*"), action);
        let mut connection = Connection::open(&fake.host());
        connection.send_head(&call("GET", "/v2/")).expect("sent");
        let mut bytes = vec![0; 3_000_000];
        connection.stream().read_exact(&mut bytes).expect("more and more");
        assert!(bytes.starts_with(b"HTTP/1.1 200 OK\r\n"));
    }
}

#[test]
fn continue_comes_with_headers_or_not_at_all() {
    let fake = fake();
    fake.rule(Rule::on("PUT", "*").nth(1), Action::SpontaneousContinueHeaders);
    fake.rule(Rule::on("PUT", "*").nth(2), Action::NoContinue);
    for interim in [vec![(100, 2)], Vec::new()] {
        let target = format!("{}&digest={}", begin(&fake, "a"), digest_of(b"hello"));
        let reply = call("PUT", &target).header("Expect", "100-continue").bytes("hello").send(&fake.host());
        assert_eq!((reply.status, reply.interim), (201, interim));
    }
}

#[test]
fn several_rules_act_on_one_request() {
    let fake = fake();
    fake.rule(Rule::on("GET", "*"), Action::status(503));
    fake.rule(Rule::on("GET", "*"), Action::Header("Retry-After".to_owned(), Some("1".to_owned())));
    fake.rule(Rule::on("*", "*").nth(2), Action::DropAnswer);
    let reply = get(&fake, "/v2/");
    assert_eq!((reply.status, reply.needed("retry-after")), (503, "1"));
    assert!(call("GET", "/v2/").try_send(&fake.host()).is_err());
}

#[test]
fn connections_are_cut_and_a_dropped_server_is_gone() {
    let fake = fake();
    let mut connection = Connection::open(&fake.host());
    connection.send(&call("GET", "/v2/")).expect("an answer");
    fake.cut_connections();
    assert!(connection.send(&call("GET", "/v2/")).is_err());
    assert_eq!(get(&fake, "/v2/").status, 200);
    fake.clear_log();
    assert!(fake.requests().is_empty());
    let host = fake.host();
    drop(fake);
    assert!(std::net::TcpStream::connect(host).is_err());
}
