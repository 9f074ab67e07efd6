//! Errors of registries over the network.

use std::time::Duration;

use crate::oci::Digest;

/// A registry cannot be reached, or does not do what it is asked.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum RemoteError {
    /// No connection, or none that lasts.
    #[error("{host} is not reachable: {reason}")]
    Unreachable {
        /// The host.
        host: String,
        /// The last fault.
        reason: String,
        /// Its kind.
        fault: ConnectionFault,
    },
    /// The registry refuses the credentials, or wants some.
    #[error("authentication failed for {host}: {reason}")]
    Unauthorized {
        /// The registry.
        host: String,
        /// The reason, as the registry says it.
        reason: String,
        /// Whether there were credentials.
        had_credentials: bool,
    },
    /// Credentials could not be found.
    #[error("{reason}")]
    Credentials {
        /// The reason.
        reason: String,
    },
    /// The registry has no such manifest or tag.
    #[error("{reference} is not in the registry")]
    NotFound {
        /// The reference that was asked for.
        reference: String,
    },
    /// The registry lacks a blob that a manifest refers to.
    #[error("{host} does not have the blob {digest}")]
    BlobNotFound {
        /// The registry.
        host: String,
        /// The blob.
        digest: Digest,
    },
    /// An answer that is none of those expected.
    #[error("{host} answered {status} to {request}{}", said(.message.as_deref()))]
    Status {
        /// The host that answered.
        host: String,
        /// The method and the path.
        request: String,
        /// The status of HTTP.
        status: u16,
        /// The codes of the distribution-spec in the answer.
        codes: Vec<String>,
        /// What the registry says, on one line.
        message: Option<String>,
    },
    /// An answer that a registry does not give.
    #[error("{host} {problem}")]
    Answer {
        /// The host.
        host: String,
        /// What it did.
        problem: String,
    },
    /// There is no registry at the host.
    #[error("{host} is not a registry: it has no /v2/")]
    NotARegistry {
        /// The host.
        host: String,
    },
    /// The registry asks to wait for longer than is reasonable.
    #[error("{host} asks to wait for {}", time_to_wait(.wait))]
    Later {
        /// The registry.
        host: String,
        /// How long it asks to wait.
        wait: Duration,
    },
    /// An answer leads to where it may not lead.
    #[error("{host} leads to {url}: {reason}")]
    Redirect {
        /// The host.
        host: String,
        /// Where it leads, without secrets.
        url: String,
        /// Why that is refused.
        reason: String,
    },
    /// Settings of the connection that do not fit together.
    #[error("{reason}")]
    Settings {
        /// The reason.
        reason: String,
    },
    /// A blob could not be sent.
    #[error("failed to upload blob {digest}")]
    Upload {
        /// The blob.
        digest: Digest,
        /// The reason.
        #[source]
        source: Box<RemoteError>,
    },
    /// A manifest could not be sent.
    #[error("failed to push manifest {digest}")]
    PushManifest {
        /// The manifest.
        digest: Digest,
        /// The reason.
        #[source]
        source: Box<RemoteError>,
    },
    /// A blob could not be fetched.
    #[error("failed to download blob {digest}")]
    Download {
        /// The blob.
        digest: Digest,
        /// The bytes of all blobs that are kept for another try.
        kept: u64,
        /// The reason.
        #[source]
        source: Box<RemoteError>,
    },
    /// A blob that the registry lacks could be had from none of its URLs.
    #[error("tried {tried} URLs, the last one")]
    Urls {
        /// How many there are.
        tried: usize,
        /// The reason for the last one.
        #[source]
        source: Box<RemoteError>,
    },
    /// The manifest that was named by tag and digest is another one.
    #[error("{reference} is {actual}, not {expected}")]
    OtherDigest {
        /// The reference.
        reference: String,
        /// The digest that was asked for.
        expected: Digest,
        /// The digest of the manifest.
        actual: Digest,
    },
    /// A tag of the destination is another manifest.
    #[error("{reference} is {digest} already")]
    TagTaken {
        /// The tag, with host and repository.
        reference: String,
        /// The manifest that has the tag.
        digest: Digest,
    },
    /// A manifest of a format without layers that can be stored.
    #[error("{host} serves {reference} only as Docker schema 1, which has no layers that can be stored")]
    Schema1 {
        /// The registry.
        host: String,
        /// The reference.
        reference: String,
    },
}

/// Why a connection failed, for those who advise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ConnectionFault {
    /// The host has no address.
    UnknownHost,
    /// Nothing listens there.
    Refused,
    /// It took too long.
    Timeout,
    /// The connection broke.
    Broken,
    /// HTTPS was spoken to a server of plain HTTP.
    PlainHttp,
    /// Plain HTTP was spoken to a server of HTTPS.
    SpeaksTls,
    /// The certificate of the server is not trusted.
    Untrusted,
    /// The certificate of the server is out of date or for another name.
    Certificate,
    /// The server refuses the client's certificate, or the files of certificates are faulty.
    ClientCertificate,
    /// The proxy refuses.
    Proxy,
    /// Its answer is not one of HTTP.
    NotHttp,
}

fn said(message: Option<&str>) -> String {
    message.map(|message| format!(": {message}")).unwrap_or_default()
}

fn time_to_wait(wait: &Duration) -> String {
    match wait.as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7_200 => format!("{} min", seconds.div_ceil(60)),
        seconds @ 7_200..=86_400 => format!("{} h", seconds.div_ceil(3_600)),
        _ => "more than a day".to_owned(),
    }
}
