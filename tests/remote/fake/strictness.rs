//! What is wrong in a request is refused, whatever the endpoint.

use super::{ABSENT, fake};
use crate::raw::{Connection, call};

#[test]
fn names_of_repositories_are_checked_on_every_endpoint() {
    let fake = fake();
    let long = "a".repeat(256);
    let wrong = ["A", "a/B", "-a", "a-", "a..b", "a___b", "a._b", "a//b", "/a", "a/", ".a", "a b", "a:b", "ä", &long];
    let right = ["a", "a/b/c", "a-b", "a--b", "a.b", "a_b", "a__b", "0/1", &long[1..]];
    let endpoints = [
        ("GET", format!("blobs/{ABSENT}")),
        ("HEAD", format!("blobs/{ABSENT}")),
        ("POST", "blobs/uploads/".to_owned()),
        ("PATCH", "blobs/uploads/x".to_owned()),
        ("PUT", "blobs/uploads/x".to_owned()),
        ("GET", "blobs/uploads/x".to_owned()),
        ("GET", "manifests/v1".to_owned()),
        ("PUT", "manifests/v1".to_owned()),
        ("GET", "tags/list".to_owned()),
        ("GET", format!("referrers/{ABSENT}")),
    ];
    for (method, rest) in &endpoints {
        for (names, is_wrong) in [(&wrong[..], true), (&right[..], false)] {
            for name in names {
                let name = name.replace(' ', "%20").replace('ä', "%C3%A4");
                let reply = call(method, &format!("/v2/{name}/{rest}")).body("").send(&fake.host());
                let is_refused = reply.status == 400 && (*method == "HEAD" || reply.code() == "NAME_INVALID");
                assert_eq!(is_refused, is_wrong, "{method} {name}/{rest}: {reply:?}");
            }
        }
    }
}

#[test]
fn methods_that_an_endpoint_does_not_have_are_refused() {
    let fake = fake();
    let cases = [
        ("PUT", format!("/v2/a/blobs/{ABSENT}")),
        ("GET", "/v2/a/blobs/uploads/".to_owned()),
        ("POST", "/v2/a/manifests/v1".to_owned()),
        ("PATCH", "/v2/a/manifests/v1".to_owned()),
        ("PUT", "/v2/a/tags/list".to_owned()),
        ("POST", format!("/v2/a/referrers/{ABSENT}")),
    ];
    for (method, target) in cases {
        let reply = call(method, &target).body("").send(&fake.host());
        assert_eq!((reply.status, reply.code().as_str()), (405, "UNSUPPORTED"), "{method} {target}");
    }
}

#[test]
fn a_head_that_http_forbids_is_refused() {
    let fake = fake();
    let cases = [
        ("GET /v2/ HTTP/1.1\r\n\r\n", 400, "no Host"),
        ("GET /v2/ HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, "two Hosts"),
        ("GET /v2/ HTTP/1.1\nHost: a\n\n", 400, "no CR"),
        ("GET  /v2/ HTTP/1.1\r\nHost: a\r\n\r\n", 400, "two blanks"),
        ("GET http://a/v2/ HTTP/1.1\r\nHost: a\r\n\r\n", 400, "a whole URL"),
        ("GET /v2/a b HTTP/1.1\r\nHost: a\r\n\r\n", 400, "a blank in the path"),
        ("GET /v2/\"x\" HTTP/1.1\r\nHost: a\r\n\r\n", 400, "quotes in the path"),
        ("GET /v2/ HTTP/2.0\r\nHost: a\r\n\r\n", 505, "another version"),
        ("get /v2/ HTTP/1.1\r\nHost: a\r\n\r\n", 400, "lower case"),
        ("GET /v2/ HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n", 400, "a blank before the colon"),
        ("GET /v2/ HTTP/1.1\r\nHost: a\r\nX: y\r\n z\r\n\r\n", 400, "a folded header"),
        ("PUT /v2/ HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", 400, "two lengths"),
        ("PUT /v2/ HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", 400, "a negative length"),
        ("PUT /v2/ HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n", 400, "a signed length"),
        (
            "PUT /v2/ HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            400,
            "a length and chunks",
        ),
        ("PUT /v2/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 501, "another encoding"),
        ("PUT /v2/ HTTP/1.1\r\nHost: a\r\nExpect: more\r\n\r\n", 417, "another expectation"),
        ("PUT /v2/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", 400, "a chunk without length"),
        ("PUT /v2/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n", 400, "a long chunk"),
    ];
    for (head, status, name) in cases {
        let mut connection = Connection::open(&fake.host());
        connection.write(head.as_bytes()).expect("sent");
        let reply = connection.reply(false).expect(name);
        assert_eq!(reply.status, status, "{name}: {reply:?}");
        assert_eq!(reply.header("connection"), Some("close"), "{name}");
    }
    let long = format!("GET /v2/ HTTP/1.1\r\nHost: a\r\nX: {}", "x".repeat(70_000));
    let mut connection = Connection::open(&fake.host());
    connection.write(long.as_bytes()).expect("sent");
    assert_eq!(connection.reply(false).expect("an answer").status, 431);
}

#[test]
fn an_early_answer_reaches_a_client_that_waits_for_continue() {
    let fake = fake();
    let mut connection = Connection::open(&fake.host());
    let put = call("PUT", "/v2/a/blobs/uploads/x?_state=1").header("Expect", "100-continue");
    let put = put.header("Content-Type", "application/octet-stream").header("Content-Length", "1000000000");
    connection.send_head(&put).expect("sent");
    let reply = connection.reply(false).expect("an answer");
    assert_eq!((reply.status, reply.interim.len(), reply.header("connection")), (404, 0, Some("close")));
    assert_eq!(fake.requests()[0].body_bytes_received, 0);
}

#[test]
fn a_client_that_waits_for_continue_gets_it_where_the_server_honours_it() {
    for honours_expect in [true, false] {
        let fake = fake();
        fake.change(|options| options.honours_expect = honours_expect);
        let location = super::begin(&fake, "a");
        let mut connection = Connection::open(&fake.host());
        let patch = call("PATCH", &location).header("Expect", "100-continue").header("Content-Range", "0-4");
        let patch = patch.header("Content-Type", "application/octet-stream").header("Content-Length", "5");
        connection.send_head(&patch).expect("sent");
        if !honours_expect {
            connection.write(b"hello").expect("sent");
        }
        // The body goes out in any case, but with `honours_expect` not before the interim answer.
        let reply = if honours_expect { connection.reply_after(b"hello") } else { connection.reply(false) };
        let reply = reply.expect("an answer");
        assert_eq!((reply.status, reply.interim.len()), (202, usize::from(honours_expect)));
    }
}
