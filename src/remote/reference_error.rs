//! Errors of references to registries. No message repeats a user name or a password.

use crate::oci::{DigestError, NameError, Tag};

/// A string is not a registry, or not a reference to an image in a registry.
#[derive(Debug, Clone, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum ReferenceError {
    /// The first part is not a registry, as in `a/b`.
    #[error("Cannot determine registry from '{text}': embed the registry in the reference (e.g. acr.io/repo:tag)")]
    NoRegistry {
        /// The reference.
        text: String,
        /// The reference on Docker Hub that Docker would take it for.
        on_docker_hub: Option<String>,
    },
    /// There is no repository, as in `localhost:5000`.
    #[error("Cannot determine repository from '{text}'")]
    NoRepository {
        /// The reference.
        text: String,
    },
    /// The reference begins with a scheme other than `docker://`.
    #[error("a reference has no scheme; remove '{scheme}://'")]
    Scheme {
        /// The scheme, in lower case.
        scheme: String,
    },
    /// The reference contains a user name or a password.
    #[error("a reference has no user name or password; remove the part before '@'")]
    Userinfo,
    /// A registry was expected, but the text goes on after the host.
    #[error("'{text}' is not a registry; write HOST[:PORT]")]
    NotAHost {
        /// The text.
        text: String,
    },
    /// The host is neither a name nor an address.
    #[error("'{text}' is not a host name: letters, digits and inner dashes, in parts between dots")]
    HostName {
        /// The host.
        text: String,
    },
    /// The host ends in a number, but is not an IPv4 address.
    #[error("'{text}' is not an IPv4 address")]
    Ipv4 {
        /// The host.
        text: String,
    },
    /// The text in brackets is not an IPv6 address.
    #[error("'{text}' is not an IPv6 address in brackets")]
    Ipv6 {
        /// The host, with its brackets.
        text: String,
    },
    /// The host is an IPv6 address without brackets.
    #[error("'{text}' is an IPv6 address without brackets; write [ADDRESS] or [ADDRESS]:PORT")]
    NoBrackets {
        /// The host.
        text: String,
    },
    /// The IPv6 address has a zone, as in `[fe80::1%eth0]`.
    #[error("'{text}' has a zone; an address with a zone is not a registry")]
    Zone {
        /// The host, with its brackets.
        text: String,
    },
    /// The port is not a number from 1 to 65535.
    #[error("'{text}' is not a port; write a number from 1 to 65535")]
    Port {
        /// The port.
        text: String,
    },
    /// The tag is empty, or one of several is.
    #[error("'{text}' has an empty tag")]
    EmptyTag {
        /// The reference.
        text: String,
    },
    /// There are two tags, as in `ghcr.io/app:v1:v2`.
    #[error("'{text}' has two tags")]
    TwoTags {
        /// The reference.
        text: String,
    },
    /// There are several tags, where one is expected.
    #[error("'{text}' has several tags; only a push takes more than one")]
    SeveralTags {
        /// The reference.
        text: String,
    },
    /// The same tag is listed twice.
    #[error("the tag '{0}' is listed twice")]
    RepeatedTag(Tag),
    /// The repository or the tag breaks the grammar of the distribution-spec.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The text after `@` is not a digest.
    #[error(transparent)]
    Digest(#[from] DigestError),
}
