//! Uploads of blobs and manifests: end-4a to end-7, end-11 and end-13.

use super::{ABSENT, INDEX, MANIFEST, begin, fake, index, manifest, push, put_manifest};
use crate::fake_registry::{Bodies, Fake, Mounts, Options, SessionInfo, digest_of};
use crate::raw::{Connection, call};
use serde_json::json;

#[test]
fn a_blob_is_pushed_with_a_post_and_a_put() {
    let fake = fake();
    let begun = call("POST", "/v2/a/b/blobs/uploads/").body("").send(&fake.host());
    assert_eq!(begun.status, 202);
    assert_eq!(begun.needed("range"), "0-0");
    assert_eq!(begun.header("oci-chunk-min-length"), None);
    let location = begun.needed("location");
    assert!(location.starts_with(&format!("/v2/a/b/blobs/uploads/{}?", begun.needed("docker-upload-uuid"))));

    let digest = digest_of(b"hello");
    let put = call("PUT", &format!("{location}&digest={digest}")).bytes("hello").send(&fake.host());
    assert_eq!(put.status, 201);
    assert_eq!(put.needed("location"), format!("/v2/a/b/blobs/{digest}"));
    assert_eq!(put.needed("docker-content-digest"), digest);
    assert_eq!(fake.blob("a/b", &digest).as_deref(), Some(&b"hello"[..]));
    assert_eq!(fake.blob("a", &digest), None);
    assert_eq!(fake.sessions(), []);

    let again = call("PUT", &format!("{location}&digest={digest}")).bytes("hello").send(&fake.host());
    assert_eq!((again.status, again.code()), (404, "BLOB_UPLOAD_UNKNOWN".to_owned()));
}

#[test]
fn a_blob_is_pushed_with_a_single_post_where_the_registry_allows_it() {
    let fake = fake();
    let digest = digest_of(b"hello");
    let target = format!("/v2/a/blobs/uploads/?digest={digest}");
    let reply = call("POST", &target).bytes("hello").send(&fake.host());
    assert_eq!((reply.status, reply.needed("location")), (201, format!("/v2/a/blobs/{digest}").as_str()));
    assert_eq!(fake.blob("a", &digest).as_deref(), Some(&b"hello"[..]));
    let wrong = call("POST", &target).bytes("other").send(&fake.host());
    assert_eq!((wrong.status, wrong.code()), (400, "DIGEST_INVALID".to_owned()));

    fake.change(|options| options.has_single_post = false);
    assert_eq!(call("POST", &target).bytes("hello").send(&fake.host()).status, 202);
}

#[test]
fn chunks_follow_each_other_and_the_last_one_may_ride_in_the_put() {
    for has_last_in_put in [false, true] {
        let fake = fake();
        let mut location = begin(&fake, "a");
        for (range, bytes, end) in [("0-2", "abc", "0-2"), ("3-3", "d", "0-3")] {
            let reply = call("PATCH", &location).header("Content-Range", range).bytes(bytes).send(&fake.host());
            assert_eq!((reply.status, reply.needed("range")), (202, end));
            assert_ne!(reply.needed("location"), location);
            reply.needed("location").clone_into(&mut location);
        }
        let status = call("GET", &location).send(&fake.host());
        assert_eq!((status.status, status.needed("range")), (204, "0-3"));
        let location = status.needed("location");
        let all: &[u8] = if has_last_in_put { b"abcdef" } else { b"abcd" };
        let target = format!("{location}&digest={}", digest_of(all));
        let put = if has_last_in_put {
            call("PUT", &target).header("Content-Range", "4-5").bytes("ef").send(&fake.host())
        } else {
            call("PUT", &target).body("").send(&fake.host())
        };
        assert_eq!(put.status, 201, "{put:?}");
        assert_eq!(fake.blob("a", &digest_of(all)).as_deref(), Some(all));
    }
}

#[test]
fn a_patch_that_the_spec_forbids_is_refused_and_the_session_lives() {
    type Case = (&'static str, Option<&'static str>, Option<&'static str>, u16, &'static str);
    const OCTETS: Option<&str> = Some("application/octet-stream");
    let cases: &[Case] = &[
        ("a star for the length", Some("3-5/*"), OCTETS, 400, "BLOB_UPLOAD_INVALID"),
        ("a unit", Some("bytes 3-5/6"), OCTETS, 400, "BLOB_UPLOAD_INVALID"),
        ("a blank", Some("3 - 5"), OCTETS, 400, "BLOB_UPLOAD_INVALID"),
        ("an open range", Some("3-"), OCTETS, 400, "BLOB_UPLOAD_INVALID"),
        ("an end before the start", Some("3-2"), OCTETS, 400, "BLOB_UPLOAD_INVALID"),
        ("no range after the first chunk", None, OCTETS, 400, "BLOB_UPLOAD_INVALID"),
        ("another length", Some("3-6"), OCTETS, 400, "SIZE_INVALID"),
        ("a gap", Some("4-6"), OCTETS, 416, "BLOB_UPLOAD_INVALID"),
        ("the same chunk again", Some("0-2"), OCTETS, 416, "BLOB_UPLOAD_INVALID"),
        ("no type", Some("3-5"), None, 400, "BLOB_UPLOAD_INVALID"),
        ("a form's type", Some("3-5"), Some("application/x-www-form-urlencoded"), 400, "BLOB_UPLOAD_INVALID"),
    ];
    let fake = fake();
    for (name, range, media_type, status, code) in cases {
        for method in ["PATCH", "PUT"] {
            let location = begin(&fake, "a");
            let first = call("PATCH", &location).header("Content-Range", "0-2").bytes("abc").send(&fake.host());
            let location = first.needed("location");
            let digest = digest_of(b"abcdef");
            let mut request = call(method, &format!("{location}&digest={digest}"));
            for (key, value) in [("Content-Range", range), ("Content-Type", media_type)] {
                if let Some(value) = value {
                    request = request.header(key, value);
                }
            }
            let reply = request.body("def").send(&fake.host());
            assert_eq!((reply.status, reply.code().as_str()), (*status, *code), "{method}, {name}: {reply:?}");
            // A 416 tells the Location to go on with.
            let location = reply.header("location").unwrap_or(location);
            if *status == 416 {
                assert_eq!(reply.needed("range"), "0-2", "{name}");
            }
            let right = call("PATCH", location).header("Content-Range", "3-5").bytes("def").send(&fake.host());
            assert_eq!(right.status, 202, "{method}, {name}: {right:?}");
        }
    }
}

#[test]
fn a_body_has_a_length_or_comes_in_chunks() {
    let fake = fake();
    let location = begin(&fake, "a");
    let octets = |method, target: &str| call(method, target).header("Content-Type", "application/octet-stream");
    let reply = octets("PATCH", &location).send(&fake.host());
    assert_eq!((reply.status, reply.code().as_str()), (411, "SIZE_INVALID"));
    let digest = digest_of(b"hello");
    let target = format!("{location}&digest={digest}");
    assert_eq!(octets("PUT", &target).send(&fake.host()).status, 411);
    assert_eq!(octets("PUT", &target).body("hello").chunked().send(&fake.host()).status, 201);
    assert_eq!(fake.blob("a", &digest).as_deref(), Some(&b"hello"[..]));
    let reply = call("POST", &format!("/v2/a/blobs/uploads/?digest={digest}")).bytes("hello").chunked();
    assert_eq!(reply.send(&fake.host()).status, 411);
}

#[test]
fn a_single_patch_without_a_range_is_a_streamed_upload() {
    for is_chunked in [false, true] {
        let fake = fake();
        let mut patch = call("PATCH", &begin(&fake, "a")).bytes("hello");
        if is_chunked {
            patch = patch.chunked();
        }
        let reply = patch.send(&fake.host());
        assert_eq!((reply.status, reply.needed("range")), (202, "0-4"));
        let target = format!("{}&digest={}", reply.needed("location"), digest_of(b"hello"));
        assert_eq!(call("PUT", &target).body("").send(&fake.host()).status, 201);
    }
}

#[test]
fn chunks_need_a_post_with_a_content_length_of_zero() {
    let fake = fake();
    let location = call("POST", "/v2/a/blobs/uploads/").send(&fake.host()).needed("location").to_owned();
    let patch = call("PATCH", &location).header("Content-Range", "0-4").bytes("hello").send(&fake.host());
    assert_eq!((patch.status, patch.code().as_str()), (400, "BLOB_UPLOAD_INVALID"));
    // A single PUT does not.
    let target = format!("{location}&digest={}", digest_of(b"hello"));
    assert_eq!(call("PUT", &target).bytes("hello").send(&fake.host()).status, 201);
    assert_eq!(call("POST", "/v2/a/blobs/uploads/").bytes("hello").send(&fake.host()).status, 400);
}

#[test]
fn nothing_follows_a_chunk_below_the_minimum() {
    let fake = Fake::start(Options { chunk_min_length: Some(3), ..Options::default() });
    let begun = call("POST", "/v2/a/blobs/uploads/").body("").send(&fake.host());
    assert_eq!(begun.needed("oci-chunk-min-length"), "3");
    let first = call("PATCH", begun.needed("location")).header("Content-Range", "0-2").bytes("abc");
    let first = first.send(&fake.host());
    assert_eq!(first.status, 202);
    let small = call("PATCH", first.needed("location")).header("Content-Range", "3-4").bytes("de");
    let small = small.send(&fake.host());
    assert_eq!(small.status, 202, "it may be the last");
    let more = |method: &str| {
        let target = format!("{}&digest={}", small.needed("location"), digest_of(b"abcdefgh"));
        call(method, &target).header("Content-Range", "5-7").bytes("fgh").send(&fake.host())
    };
    for method in ["PATCH", "PUT"] {
        assert_eq!((more(method).status, more(method).code().as_str()), (400, "SIZE_INVALID"), "{method}");
    }
    let target = format!("{}&digest={}", small.needed("location"), digest_of(b"abcde"));
    assert_eq!(call("PUT", &target).body("").send(&fake.host()).status, 201);
}

#[test]
fn a_closing_put_is_checked_against_its_digest() {
    let fake = fake();
    let cases = [
        ("", 400, "DIGEST_INVALID"),
        ("&digest=", 400, "DIGEST_INVALID"),
        ("&digest=sha256:12", 400, "DIGEST_INVALID"),
        ("&digest=md5:5d41402abc4b2a76b9719d911017c592", 400, "DIGEST_INVALID"),
        (&format!("&digest={ABSENT}"), 400, "DIGEST_INVALID"),
    ];
    for (query, status, code) in cases {
        let location = begin(&fake, "a");
        let reply = call("PUT", &format!("{location}{query}")).bytes("hello").send(&fake.host());
        assert_eq!((reply.status, reply.code().as_str()), (status, code), "{query}");
    }
    assert!(!fake.has_blob("a", ABSENT));
    let digest = "sha512:9b71d224bd62f3785d96d46ad3ea3d73319bfbc2890caadae2dff72519673ca72323c3d99ba5c11d7c7acc6e14b8c5da0c4663475c2e5c3adef46f73bcdec043";
    let target = format!("{}&digest={digest}", begin(&fake, "a"));
    let reply = call("PUT", &target).bytes("hello").send(&fake.host());
    assert_eq!((reply.status, reply.needed("docker-content-digest")), (201, digest));
}

#[test]
fn a_location_is_good_until_the_next_one() {
    for keeps_cut_uploads in [false, true] {
        let fake = Fake::start(Options { keeps_cut_uploads, ..Options::default() });
        let old = begin(&fake, "a");
        let patch = |location: &str, range: &str| {
            call("PATCH", location).header("Content-Range", range).bytes("abc").send(&fake.host())
        };
        let new = patch(&old, "0-2");
        assert_eq!(patch(&old, "3-5").status, 404);
        let status = call("GET", &old).send(&fake.host());
        if keeps_cut_uploads {
            assert_eq!((status.status, status.needed("range")), (204, "0-2"));
            assert_eq!(patch(status.needed("location"), "3-5").status, 202);
        } else {
            assert_eq!((status.status, status.code().as_str()), (404, "BLOB_UPLOAD_INVALID"));
            assert_eq!(patch(new.needed("location"), "3-5").status, 202);
        }
        let bare = old.split('?').next().expect("a path");
        assert_eq!((patch(bare, "6-8").status, patch(bare, "6-8").code().as_str()), (400, "BLOB_UPLOAD_INVALID"));
        assert_eq!(patch(&format!("{bare}?_state=1"), "6-8").status, 400);
        assert_eq!(patch("/v2/a/blobs/uploads/00000000-0000?_state=1", "6-8").code(), "BLOB_UPLOAD_UNKNOWN");
        assert_eq!(patch(&old.replacen("/v2/a/", "/v2/b/", 1), "6-8").code(), "BLOB_UPLOAD_UNKNOWN");
    }
}

#[test]
fn a_session_is_cancelled() {
    let fake = fake();
    let location = begin(&fake, "a");
    assert_eq!(fake.sessions().len(), 1);
    assert_eq!(call("DELETE", &location).send(&fake.host()).status, 204);
    assert_eq!(fake.sessions(), []);
    assert_eq!(call("DELETE", &location).send(&fake.host()).code(), "BLOB_UPLOAD_UNKNOWN");
}

/// Sends the head of a request and a part of its body, and closes the connection.
fn cut(fake: &Fake, method: &str, target: &str, range: Option<&str>, sent: &str) {
    let mut request = call(method, target).header("Content-Type", "application/octet-stream");
    if let Some(range) = range {
        request = request.header("Content-Range", range);
    }
    let mut connection = Connection::open(&fake.host());
    let before = fake.requests().len();
    connection.send_head(&request.header("Content-Length", "6")).expect("sent");
    connection.write(sent.as_bytes()).expect("sent");
    drop(connection);
    while fake.requests().len() == before {
        std::thread::yield_now();
    }
}

#[test]
fn the_bytes_of_a_cut_body_count_as_in_distribution_3() {
    for (method, range) in [("PATCH", Some("0-5")), ("PUT", None)] {
        let fake = fake();
        let location = begin(&fake, "a");
        let digest = digest_of(b"abcdef");
        cut(&fake, method, &format!("{location}&digest={digest}"), range, "abcd");
        assert_eq!(fake.requests()[1].body_bytes_received, 4);
        assert_eq!(fake.requests()[1].status, 0);
        assert_eq!(fake.bytes_received(), 4);
        let status = call("GET", &location).send(&fake.host());
        assert_eq!((status.status, status.needed("range")), (204, "0-3"));
        let target = format!("{}&digest={digest}", status.needed("location"));
        let put = call("PUT", &target).header("Content-Range", "4-5").bytes("ef").send(&fake.host());
        assert_eq!(put.status, 201, "{put:?}");
    }
}

#[test]
fn a_cut_body_ends_the_session_as_in_distribution_2() {
    let fake = Fake::start(Options { keeps_cut_uploads: false, ..Options::default() });
    let location = begin(&fake, "a");
    cut(&fake, "PATCH", &location, Some("0-5"), "");
    assert_eq!(call("GET", &location).send(&fake.host()).status, 204, "no byte came");
    let location = begin(&fake, "a");
    cut(&fake, "PATCH", &location, Some("0-5"), "abcd");
    assert_eq!(call("GET", &location).send(&fake.host()).code(), "BLOB_UPLOAD_UNKNOWN");
}

#[test]
fn a_blob_is_mounted_from_another_repository() {
    let fake = fake();
    let digest = push(&fake, "from", b"hello");
    let mount = |query: &str| call("POST", &format!("/v2/to/blobs/uploads/?{query}")).body("").send(&fake.host());
    let good = format!("mount={digest}&from=from");
    for (query, mounts, status) in [
        (format!("mount={ABSENT}&from=from"), Mounts::Enabled, 202),
        (format!("mount={digest}&from=nowhere"), Mounts::Enabled, 202),
        (format!("mount={digest}"), Mounts::Enabled, 202),
        (good.clone(), Mounts::Disabled, 202),
        (good.clone(), Mounts::Refused(405), 405),
        (format!("mount={digest}&from=FROM"), Mounts::Enabled, 400),
        ("mount=sha256:1&from=from".to_owned(), Mounts::Enabled, 400),
    ] {
        fake.change(|options| options.mounts = mounts);
        assert_eq!(mount(&query).status, status, "{query} {mounts:?}");
        assert!(!fake.has_blob("to", &digest));
    }
    fake.change(|options| options.mounts = Mounts::Anywhere);
    assert_eq!(mount(&format!("mount={digest}")).status, 201);
    fake.change(|options| options.mounts = Mounts::Enabled);
    let reply = mount(&good);
    assert_eq!((reply.status, reply.needed("location")), (201, format!("/v2/to/blobs/{digest}").as_str()));
    assert!(fake.has_blob("to", &digest));
}

#[test]
fn a_manifest_is_stored_byte_for_byte_with_its_type() {
    let fake = fake();
    push(&fake, "a", b"{}");
    push(&fake, "a", b"layer");
    let bytes = manifest(b"{}", &[b"layer"], json!({}));
    let digest = digest_of(&bytes);
    for reference in ["v1", &digest] {
        let reply = put_manifest(&fake, &format!("/v2/a/manifests/{reference}"), MANIFEST, &bytes);
        assert_eq!(reply.status, 201, "{reply:?}");
        assert_eq!(reply.needed("location"), format!("/v2/a/manifests/{digest}"));
        assert_eq!(reply.needed("docker-content-digest"), digest);
        assert_eq!(reply.header("oci-subject"), None);
    }
    assert_eq!(fake.manifest("a", "v1"), Some(bytes.clone()));
    assert_eq!(fake.media_type("a", &digest).as_deref(), Some(MANIFEST));
    assert_eq!(fake.tags("a"), [("v1".to_owned(), digest)]);
    let list = index(&[&bytes]);
    assert_eq!(put_manifest(&fake, "/v2/a/manifests/all", INDEX, &list).status, 201);
}

#[test]
fn a_manifest_that_the_spec_forbids_is_refused() {
    type Case<'a> = (&'a str, &'a str, &'a str, Vec<u8>, u16, &'a str);
    let fake = fake();
    push(&fake, "a", b"{}");
    push(&fake, "other", b"layer");
    let good = manifest(b"{}", &[], json!({}));
    let text = String::from_utf8(good.clone()).expect("UTF-8");
    let cases: &[Case<'_>] = &[
        ("no type", "v1", "", good.clone(), 400, "MANIFEST_INVALID"),
        ("another type", "v1", INDEX, good.clone(), 400, "MANIFEST_INVALID"),
        ("an unknown type", "v1", "application/json", good.clone(), 400, "MANIFEST_INVALID"),
        ("no JSON", "v1", MANIFEST, b"{".to_vec(), 400, "MANIFEST_INVALID"),
        ("no schema", "v1", MANIFEST, text.replace("\"schemaVersion\":2", "\"x\":2").into(), 400, "MANIFEST_INVALID"),
        ("no layers", "v1", MANIFEST, text.replace("layers", "x").into(), 400, "MANIFEST_INVALID"),
        ("another digest", ABSENT, MANIFEST, good.clone(), 400, "DIGEST_INVALID"),
        ("a missing layer", "v1", MANIFEST, manifest(b"{}", &[b"layer"], json!({})), 404, "MANIFEST_BLOB_UNKNOWN"),
        ("a missing config", "v1", MANIFEST, manifest(b"[]", &[], json!({})), 404, "MANIFEST_BLOB_UNKNOWN"),
        ("a missing child", "v1", INDEX, index(&[&good]), 404, "MANIFEST_BLOB_UNKNOWN"),
        ("another size", "v1", MANIFEST, text.replace("\"size\":2", "\"size\":3").into(), 400, "MANIFEST_INVALID"),
        ("a digest that is none", "v1", MANIFEST, text.replace("sha256:", "sha256:0").into(), 400, "MANIFEST_INVALID"),
        ("too long", "v1", MANIFEST, vec![b' '; 4 * 1024 * 1024 + 1], 413, "SIZE_INVALID"),
        ("a long tag", &"t".repeat(129), MANIFEST, good.clone(), 400, "MANIFEST_INVALID"),
        ("a tag with a dot first", ".v1", MANIFEST, good.clone(), 400, "MANIFEST_INVALID"),
        ("a short digest", "sha256:12", MANIFEST, good.clone(), 400, "DIGEST_INVALID"),
    ];
    for (name, reference, media_type, bytes, status, code) in cases {
        let mut request = call("PUT", &format!("/v2/a/manifests/{reference}"));
        if !media_type.is_empty() {
            request = request.header("Content-Type", media_type);
        }
        let reply = request.body(bytes).send(&fake.host());
        assert_eq!((reply.status, reply.code().as_str()), (*status, *code), "{name}: {reply:?}");
    }
    assert_eq!(fake.tags("a"), []);
    let reply = call("PUT", "/v2/a/manifests/v1").header("Content-Type", MANIFEST).send(&fake.host());
    assert_eq!(reply.status, 411);
    assert_eq!(put_manifest(&fake, &format!("/v2/a/manifests/{}", "t".repeat(128)), MANIFEST, &good).status, 201);
    // A registry ignores parameters of the type.
    assert_eq!(put_manifest(&fake, "/v2/a/manifests/v1", &format!("{MANIFEST}; charset=utf-8"), &good).status, 201);
    fake.change(|options| options.allows_sparse_indexes = true);
    assert_eq!(put_manifest(&fake, "/v2/other/manifests/v1", INDEX, &index(&[&good])).status, 201);
}

#[test]
fn a_subject_is_acknowledged_and_may_be_missing() {
    let fake = fake();
    push(&fake, "a", b"{}");
    let subject = json!({ "subject": { "mediaType": MANIFEST, "digest": ABSENT, "size": 1 } });
    let bytes = manifest(b"{}", &[], subject);
    let put = || put_manifest(&fake, &format!("/v2/a/manifests/{}", digest_of(&bytes)), MANIFEST, &bytes);
    assert_eq!(put().needed("oci-subject"), ABSENT);
    fake.change(|options| options.has_referrers = false);
    assert_eq!((put().status, put().header("oci-subject")), (201, None));
}

#[test]
fn tags_of_the_query_and_conditions_are_options() {
    let fake = fake();
    push(&fake, "a", b"{}");
    let (one, two) = (manifest(b"{}", &[], json!({})), manifest(b"{}", &[], json!({ "artifactType": "x/y" })));
    let target = format!("/v2/a/manifests/{}?tag=v1&tag=v2", digest_of(&one));
    assert_eq!(put_manifest(&fake, &target, MANIFEST, &one).header("oci-tag"), None);
    assert_eq!(fake.tags("a"), []);
    fake.change(|options| options.has_many_tags = true);
    let reply = put_manifest(&fake, &target, MANIFEST, &one);
    let tags: Vec<_> =
        reply.headers.iter().filter(|(name, _)| name == "oci-tag").map(|(_, tag)| tag.as_str()).collect();
    assert_eq!(tags, ["v1", "v2"]);
    assert_eq!(fake.tags("a").len(), 2);

    let conditional = |name: &str, value: &str| {
        let request = call("PUT", "/v2/a/manifests/v1").header("Content-Type", MANIFEST).header(name, value);
        request.body(&two).send(&fake.host()).status
    };
    fake.change(|options| options.has_conditional_puts = true);
    assert_eq!(conditional("If-None-Match", "*"), 412);
    assert_eq!(conditional("If-Match", &format!("\"{ABSENT}\"")), 412);
    let tag = call("HEAD", "/v2/a/manifests/v1").send(&fake.host()).needed("etag").to_owned();
    assert_eq!(conditional("If-Match", &tag), 201);
    assert_eq!(conditional("If-Match", &tag), 412);
}

#[test]
fn bodies_are_hashed_or_counted_without_being_stored() {
    for bodies in [Bodies::Hash, Bodies::Count] {
        let fake = Fake::start(Options { bodies, ..Options::default() });
        let digest = push(&fake, "a", b"hello");
        assert_eq!((fake.blob("a", &digest), fake.has_blob("a", &digest)), (None, true));
        let head = call("HEAD", &format!("/v2/a/blobs/{digest}")).send(&fake.host());
        assert_eq!((head.status, head.needed("content-length")), (200, "5"));
        let wrong = call("PUT", &format!("{}&digest={digest}", begin(&fake, "a"))).bytes("other").send(&fake.host());
        assert_eq!(wrong.status, if bodies == Bodies::Hash { 400 } else { 201 });
    }
}

#[test]
fn limits_and_refusals_are_options() {
    let fake = fake();
    let digest = digest_of(b"hello");
    let location = begin(&fake, "a");
    let put = || call("PUT", &format!("{location}&digest={digest}")).bytes("hello");
    fake.change(|options| options.body_limit = Some(4));
    assert_eq!(put().send(&fake.host()).status, 413);
    assert_eq!(put().chunked().send(&fake.host()).status, 413);
    assert_eq!(fake.sessions()[0].offset, 0, "a proxy forwards nothing");
    fake.change(|options| options.body_limit = None);
    for status in [404, 501] {
        fake.change(|options| options.no_chunks = Some(status));
        let patch = call("PATCH", &location).header("Content-Range", "0-4").bytes("hello").send(&fake.host());
        assert_eq!((patch.status, patch.code().as_str()), (status, "UNSUPPORTED"));
    }
    fake.change(|options| options.is_read_only = true);
    assert_eq!(put().send(&fake.host()).code(), "UNSUPPORTED");
    assert_eq!(call("POST", "/v2/a/blobs/uploads/").body("").send(&fake.host()).status, 405);
    assert_eq!(call("GET", "/v2/").send(&fake.host()).status, 200);
    fake.change(|options| options.is_read_only = false);
    assert_eq!(put().send(&fake.host()).status, 201);
    fake.change(|options| options.has_relative_locations = false);
    assert!(begin(&fake, "a").starts_with(&format!("http://{}/v2/a/blobs/uploads/", fake.host())));
    let id = fake.sessions()[0].id.clone();
    assert_eq!(fake.sessions(), [SessionInfo { id, repository: "a".to_owned(), offset: 0 }]);
    fake.forget_sessions();
    assert_eq!(fake.sessions(), []);
}
