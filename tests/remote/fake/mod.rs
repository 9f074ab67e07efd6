//! The fake registry itself: each requirement of the distribution-spec, each rule, tokens and TLS.

mod pushes;
mod reads;
mod rules;
mod strictness;
mod tls;
mod tokens;

use serde_json::json;

use crate::fake_registry::{Fake, Options, digest_of};
use crate::raw::{Reply, call};

pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const EMPTY: &str = "application/vnd.oci.empty.v1+json";

/// The digest of no blob.
const ABSENT: &str = "sha256:00000000000000000000000000000000000000000000000000000000000000ff";

fn fake() -> Fake {
    Fake::start(Options::default())
}

/// A manifest of a config and layers, with more members.
fn manifest(config: &[u8], layers: &[&[u8]], more: serde_json::Value) -> Vec<u8> {
    let descriptor = |bytes: &[u8]| json!({ "mediaType": EMPTY, "digest": digest_of(bytes), "size": bytes.len() });
    let mut document = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": descriptor(config),
        "layers": layers.iter().map(|layer| descriptor(layer)).collect::<Vec<_>>(),
    });
    for (key, value) in more.as_object().expect("an object") {
        document[key] = value.clone();
    }
    document.to_string().into_bytes()
}

/// An index of manifests.
fn index(manifests: &[&[u8]]) -> Vec<u8> {
    let descriptor = |bytes: &&[u8]| json!({ "mediaType": MANIFEST, "digest": digest_of(bytes), "size": bytes.len() });
    let manifests: Vec<_> = manifests.iter().map(descriptor).collect();
    json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": manifests }).to_string().into_bytes()
}

/// Begins a session and returns its Location.
fn begin(fake: &Fake, repository: &str) -> String {
    let reply = call("POST", &format!("/v2/{repository}/blobs/uploads/")).body("").send(&fake.host());
    assert_eq!(reply.status, 202, "{reply:?}");
    reply.needed("location").to_owned()
}

/// Uploads a blob with a POST and a PUT.
fn push(fake: &Fake, repository: &str, bytes: &[u8]) -> String {
    let digest = digest_of(bytes);
    let location = begin(fake, repository);
    let reply = call("PUT", &format!("{location}&digest={digest}")).bytes(bytes).send(&fake.host());
    assert_eq!(reply.status, 201, "{reply:?}");
    digest
}

fn put_manifest(fake: &Fake, target: &str, media_type: &str, bytes: &[u8]) -> Reply {
    call("PUT", target).header("Content-Type", media_type).body(bytes).send(&fake.host())
}

/// Starts the registry in the foreground, so that other programs can judge it.
#[test]
#[ignore = "runs until it is killed"]
fn fake_in_the_foreground() {
    let address = std::env::var("REGSHAPE_FAKE").unwrap_or_else(|_| "127.0.0.1:5055".to_owned());
    let fake = Fake::start(Options { address, ..Options::default() });
    fake.wait();
}
