//! Reads, lists and deletions: end-1 to end-3, end-8 to end-10 and end-12.

use std::io::Write as _;

use serde_json::json;

use super::{ABSENT, INDEX, MANIFEST, fake, index, manifest, push, put_manifest};
use crate::fake_registry::{Fake, Options, digest_of};
use crate::raw::{Connection, call};

#[test]
fn the_base_tells_the_version() {
    let fake = fake();
    let reply = call("GET", "/v2/").send(&fake.host());
    assert_eq!((reply.status, reply.needed("docker-distribution-api-version")), (200, "registry/2.0"));
    let cases = [("GET", "/v2", 301), ("GET", "/", 404), ("GET", "/v2/a", 404), ("DELETE", "/v2/", 405)];
    for (method, target, status) in cases {
        assert_eq!(call(method, target).send(&fake.host()).status, status, "{method} {target}");
    }
}

#[test]
fn blobs_are_read_whole_and_in_parts() {
    let fake = fake();
    let digest = fake.add_blob("a", "0123456789");
    let target = format!("/v2/a/blobs/{digest}");
    let cases: &[(&str, u16, &str, &str)] = &[
        ("", 200, "", "0123456789"),
        ("bytes=0-", 206, "bytes 0-9/10", "0123456789"),
        ("bytes=4-", 206, "bytes 4-9/10", "456789"),
        ("bytes=2-3", 206, "bytes 2-3/10", "23"),
        ("bytes=8-20", 206, "bytes 8-9/10", "89"),
        ("bytes=-3", 206, "bytes 7-9/10", "789"),
        ("bytes=10-", 416, "bytes */10", ""),
        ("bytes=3-2", 200, "", "0123456789"),
        ("lines=1-2", 200, "", "0123456789"),
    ];
    for (range, status, content_range, body) in cases {
        let mut request = call("GET", &target);
        if !range.is_empty() {
            request = request.header("Range", range);
        }
        let reply = request.send(&fake.host());
        assert_eq!(reply.status, *status, "{range}");
        assert_eq!(reply.header("content-range").unwrap_or_default(), *content_range, "{range}");
        if *status != 416 {
            assert_eq!(String::from_utf8_lossy(&reply.body), *body, "{range}");
            assert_eq!(reply.needed("docker-content-digest"), digest);
            assert_eq!(reply.needed("content-type"), "application/octet-stream");
        }
    }
    let head = call("HEAD", &target).send(&fake.host());
    assert_eq!((head.status, head.needed("content-length")), (200, "10"));
    fake.change(|options| options.has_ranges = false);
    assert_eq!(call("GET", &target).header("Range", "bytes=4-").send(&fake.host()).status, 200);
    for method in ["GET", "HEAD"] {
        assert_eq!(call(method, &format!("/v2/a/blobs/{ABSENT}")).send(&fake.host()).status, 404);
        assert_eq!(call(method, &format!("/v2/b/blobs/{digest}")).send(&fake.host()).status, 404);
        assert_eq!(call(method, "/v2/a/blobs/sha256:1").send(&fake.host()).status, 400);
    }
}

#[test]
fn a_file_is_served_as_a_blob() {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(b"0123456789").expect("written");
    let fake = fake();
    let digest = digest_of(b"0123456789");
    fake.add_blob_file("a", &digest, file.path());
    let target = format!("/v2/a/blobs/{digest}");
    assert_eq!(call("GET", &target).send(&fake.host()).body, b"0123456789");
    assert_eq!(call("GET", &target).header("Range", "bytes=7-").send(&fake.host()).body, b"789");
}

#[test]
fn manifests_are_read_by_tag_and_digest() {
    let fake = fake();
    push(&fake, "a", b"{}");
    let bytes = manifest(b"{}", &[], json!({}));
    let digest = digest_of(&bytes);
    put_manifest(&fake, "/v2/a/manifests/v1", MANIFEST, &bytes);
    for reference in ["v1", &digest] {
        let target = format!("/v2/a/manifests/{reference}");
        for accept in [None, Some("*/*"), Some(MANIFEST), Some(&*format!("{INDEX}, {MANIFEST};q=0.5"))] {
            let mut request = call("GET", &target);
            if let Some(accept) = accept {
                request = request.header("Accept", accept);
            }
            let reply = request.send(&fake.host());
            assert_eq!((reply.status, reply.needed("content-type")), (200, MANIFEST));
            assert_eq!((reply.body.as_slice(), reply.needed("docker-content-digest")), (&*bytes, &*digest));
        }
        let head = call("HEAD", &target).send(&fake.host());
        assert_eq!((head.status, head.needed("content-length")), (200, bytes.len().to_string().as_str()));
        assert_eq!(call("GET", &target).header("Accept", INDEX).send(&fake.host()).code(), "MANIFEST_UNKNOWN");
        let tag = format!("\"{digest}\"");
        assert_eq!(call("GET", &target).header("If-None-Match", &tag).send(&fake.host()).status, 304);
    }
    for (target, status, code) in [
        ("/v2/a/manifests/v2", 404, "MANIFEST_UNKNOWN"),
        ("/v2/b/manifests/v1", 404, "NAME_UNKNOWN"),
        ("/v2/a/manifests/sha256:1", 400, "DIGEST_INVALID"),
        ("/v2/A/manifests/v1", 400, "NAME_INVALID"),
    ] {
        let reply = call("GET", target).send(&fake.host());
        assert_eq!((reply.status, reply.code().as_str()), (status, code), "{target}");
    }
}

#[test]
fn a_head_may_lack_its_digest_or_be_refused() {
    let fake = Fake::start(Options { has_head_digest: false, ..Options::default() });
    let digest = fake.add_blob("a", "hello");
    fake.add_manifest("a", Some("v1"), MANIFEST, "{}");
    for target in [format!("/v2/a/blobs/{digest}"), "/v2/a/manifests/v1".to_owned()] {
        let head = call("HEAD", &target).send(&fake.host());
        assert_eq!((head.status, head.header("docker-content-digest")), (200, None));
        assert!(call("GET", &target).send(&fake.host()).header("docker-content-digest").is_some());
        fake.change(|options| options.head_status = Some(403));
        assert_eq!(call("HEAD", &target).send(&fake.host()).status, 403);
        fake.change(|options| options.head_status = None);
    }
}

#[test]
fn tags_are_listed_in_order_and_in_pages() {
    let fake = fake();
    for tag in ["b", "C", "a", "d"] {
        fake.add_manifest("x/y", Some(tag), MANIFEST, "{}");
    }
    let list = |query: &str| {
        let reply = call("GET", &format!("/v2/x/y/tags/list{query}")).send(&fake.host());
        assert_eq!((reply.status, reply.json()["name"].as_str()), (200, Some("x/y")));
        (reply.json()["tags"].clone(), reply.header("link").map(str::to_owned))
    };
    assert_eq!(list(""), (json!(["a", "b", "C", "d"]), None));
    assert_eq!(list("?n=0"), (json!([]), None));
    assert_eq!(list("?n=4"), (json!(["a", "b", "C", "d"]), None));
    assert_eq!(list("?last=b"), (json!(["C", "d"]), None));
    let next = Some("</v2/x/y/tags/list?last=b&n=2>; rel=\"next\"".to_owned());
    assert_eq!(list("?n=2"), (json!(["a", "b"]), next));
    assert_eq!(list("?n=2&last=b"), (json!(["C", "d"]), None));
    fake.change(|options| options.page_size = Some(3));
    let next = Some("</v2/x/y/tags/list?last=C>; rel=\"next\"".to_owned());
    assert_eq!(list(""), (json!(["a", "b", "C"]), next));
    assert_eq!(list("?last=C"), (json!(["d"]), None));
    assert_eq!(call("GET", "/v2/z/tags/list").send(&fake.host()).code(), "NAME_UNKNOWN");
    assert_eq!(call("GET", "/v2/x/y/tags/list?n=x").send(&fake.host()).status, 400);
}

#[test]
fn referrers_are_listed_with_type_and_annotations() {
    let fake = fake();
    push(&fake, "a", b"{}");
    let subject = json!({ "mediaType": MANIFEST, "digest": ABSENT, "size": 1 });
    let typed =
        manifest(b"{}", &[], json!({ "subject": subject, "artifactType": "x/sbom", "annotations": { "k": "v" } }));
    let plain = manifest(b"{}", &[], json!({ "subject": subject }));
    for bytes in [&typed, &plain] {
        put_manifest(&fake, &format!("/v2/a/manifests/{}", digest_of(bytes)), MANIFEST, bytes);
    }
    let target = format!("/v2/a/referrers/{ABSENT}");
    let all = call("GET", &target).send(&fake.host());
    assert_eq!((all.status, all.needed("content-type")), (200, INDEX));
    assert_eq!((all.json()["schemaVersion"].clone(), all.json()["mediaType"].clone()), (json!(2), json!(INDEX)));
    let found = |bytes: &[u8]| {
        let list = all.json()["manifests"].as_array().expect("a list").clone();
        list.into_iter().find(|one| one["digest"] == digest_of(bytes)).expect("listed")
    };
    assert_eq!(found(&typed)["artifactType"], "x/sbom");
    assert_eq!(found(&typed)["annotations"], json!({ "k": "v" }));
    assert_eq!(found(&plain)["artifactType"], "application/vnd.oci.empty.v1+json");
    assert_eq!(found(&plain)["size"], plain.len());

    let filtered = call("GET", &format!("{target}?artifactType=x%2Fsbom")).send(&fake.host());
    assert_eq!(filtered.needed("oci-filters-applied"), "artifactType");
    assert_eq!(filtered.json()["manifests"], json!([found(&typed)]));

    fake.change(|options| options.page_size = Some(1));
    let first = call("GET", &target).send(&fake.host());
    assert_eq!(first.needed("link"), format!("<{target}?page=1>; rel=\"next\""));
    let second = call("GET", &format!("{target}?page=1")).send(&fake.host());
    assert_eq!((second.header("link"), second.json()["manifests"].as_array().map(Vec::len)), (None, Some(1)));

    let none = call("GET", &format!("/v2/a/referrers/{}", digest_of(b"x"))).send(&fake.host());
    assert_eq!((none.status, none.json()["manifests"].clone()), (200, json!([])));
    assert_eq!(call("GET", "/v2/a/referrers/sha256:1").send(&fake.host()).status, 400);
    fake.change(|options| options.has_referrers = false);
    assert_eq!(call("GET", &target).send(&fake.host()).status, 404);
}

#[test]
fn manifests_tags_and_blobs_are_deleted() {
    let fake = fake();
    let blob = fake.add_blob("a", "hello");
    let bytes = index(&[]);
    let digest = fake.add_manifest("a", Some("v1"), INDEX, bytes.clone());
    fake.add_manifest("a", Some("v2"), INDEX, bytes);
    let delete = |target: &str| call("DELETE", &format!("/v2/a/{target}")).send(&fake.host()).status;
    fake.change(|options| options.has_deletes = false);
    assert_eq!(delete("manifests/v1"), 405);
    fake.change(|options| options.has_deletes = true);
    assert_eq!(delete("manifests/v1"), 202);
    assert_eq!(fake.tags("a"), [("v2".to_owned(), digest.clone())]);
    assert_eq!(delete("manifests/v1"), 404);
    assert_eq!(delete(&format!("manifests/{digest}")), 202);
    assert_eq!((fake.tags("a"), fake.manifest("a", &digest)), (Vec::new(), None));
    assert_eq!((delete(&format!("blobs/{blob}")), delete(&format!("blobs/{blob}"))), (202, 404));
}

#[test]
fn a_connection_is_kept_and_closed_as_asked() {
    let fake = Fake::start(Options { requests_per_connection: Some(3), ..Options::default() });
    let mut connection = Connection::open(&fake.host());
    for closes in [false, false, true] {
        let reply = connection.send(&call("GET", "/v2/")).expect("an answer");
        assert_eq!(reply.header("connection"), closes.then_some("close"));
    }
    assert!(connection.send(&call("GET", "/v2/")).is_err());
    let mut connection = Connection::open(&fake.host());
    connection.send(&call("GET", "/v2/").header("Connection", "close")).expect("an answer");
    assert!(connection.send(&call("GET", "/v2/")).is_err());
    let numbers: Vec<u64> = fake.requests().iter().map(|request| request.connection).collect();
    assert_eq!((numbers, fake.connections()), (vec![1, 1, 1, 2], 2));
}

#[test]
fn the_log_tells_times_and_how_many_requests_were_under_way() {
    let fake = fake();
    let digest = digest_of(b"hello");
    let post = call("POST", &format!("/v2/a/blobs/uploads/?digest={digest}")).header("Content-Length", "5");
    let post = post.header("Content-Type", "application/octet-stream");
    let mut connections = [Connection::open(&fake.host()), Connection::open(&fake.host())];
    for connection in &mut connections {
        connection.send_head(&post).expect("sent");
    }
    while fake.take_most_active() < 2 {
        std::thread::yield_now();
    }
    for connection in &mut connections {
        connection.write(b"hello").expect("sent");
        assert_eq!(connection.reply(false).expect("an answer").status, 201);
    }
    assert_eq!((fake.take_most_active(), fake.take_most_active()), (2, 0));
    call("GET", "/v2/").send(&fake.host());
    assert_eq!(fake.take_most_active(), 1);
    assert_eq!(fake.lines()[2], "GET /v2/ 200");
    assert!(fake.requests()[2].at > fake.requests()[0].at);
}
