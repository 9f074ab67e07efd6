//! What the registry does and does not do.

use std::time::Duration;

use super::tls::Tls;

/// The options of a registry. The default is a registry that supports everything.
#[derive(Clone, Debug)]
#[allow(clippy::struct_excessive_bools, reason = "each is an independent property of a server")]
pub(crate) struct Options {
    /// The address to listen on.
    pub(crate) address: String,
    pub(crate) tls: Tls,
    pub(crate) auth: Auth,
    /// Whether the referrers API exists. Without it clients use the fallback tag.
    pub(crate) has_referrers: bool,
    /// Whether the bytes of a cut body stay in the session, as in distribution 3.x. Otherwise a cut ends the session, and
    /// the status of a session is told at its latest Location alone, as in 2.8.
    pub(crate) keeps_cut_uploads: bool,
    /// The value of `OCI-Chunk-Min-Length`. Nothing may follow a smaller chunk.
    pub(crate) chunk_min_length: Option<u64>,
    /// The maximum length of a body, as of a proxy in front of the registry.
    pub(crate) body_limit: Option<u64>,
    /// The maximum length of a manifest.
    pub(crate) manifest_limit: u64,
    /// Whether all writes are refused with 405.
    pub(crate) is_read_only: bool,
    /// The status that a PATCH gets, if it is refused.
    pub(crate) no_chunks: Option<u16>,
    /// Whether the blob of a POST with a digest is taken at once.
    pub(crate) has_single_post: bool,
    pub(crate) bodies: Bodies,
    /// Whether a Location is a path alone.
    pub(crate) has_relative_locations: bool,
    pub(crate) mounts: Mounts,
    /// Whether answers to HEAD have a Docker-Content-Digest.
    pub(crate) has_head_digest: bool,
    /// The status that every HEAD gets, if it is refused.
    pub(crate) head_status: Option<u16>,
    /// Whether blobs are sent in parts.
    pub(crate) has_ranges: bool,
    /// The maximum number of entries on a page of tags or referrers.
    pub(crate) page_size: Option<usize>,
    /// Whether an index may name manifests that the repository does not have.
    pub(crate) allows_sparse_indexes: bool,
    /// Whether a PUT of a manifest by its digest sets the tags of its query (`?tag=`), which is newer than v1.1.
    pub(crate) has_many_tags: bool,
    /// Whether `If-Match` and `If-None-Match` are obeyed when a manifest is put.
    pub(crate) has_conditional_puts: bool,
    /// Whether manifests, tags and blobs can be deleted.
    pub(crate) has_deletes: bool,
    /// How late every answer is.
    pub(crate) delay: Duration,
    /// Whether `Expect: 100-continue` is honoured.
    pub(crate) honours_expect: bool,
    /// The maximum number of requests on a connection.
    pub(crate) requests_per_connection: Option<u64>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            address: "127.0.0.1:0".to_owned(),
            tls: Tls::none(),
            auth: Auth::None,
            has_referrers: true,
            keeps_cut_uploads: true,
            chunk_min_length: None,
            body_limit: None,
            manifest_limit: 4 * 1024 * 1024,
            is_read_only: false,
            no_chunks: None,
            has_single_post: true,
            bodies: Bodies::Keep,
            has_relative_locations: true,
            mounts: Mounts::Enabled,
            has_head_digest: true,
            head_status: None,
            has_ranges: true,
            page_size: None,
            allows_sparse_indexes: false,
            has_many_tags: false,
            has_conditional_puts: false,
            has_deletes: true,
            delay: Duration::ZERO,
            honours_expect: true,
            requests_per_connection: None,
        }
    }
}

/// What becomes of uploaded bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Bodies {
    /// They are hashed and stored.
    Keep,
    /// They are hashed and thrown away: the memory stays the same, and only SHA-256 is supported.
    Hash,
    /// They are counted and thrown away, and every digest is believed.
    Count,
}

/// What the registry does with a mount.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Mounts {
    /// A blob of the named repository is mounted; without `from` an upload begins.
    Enabled,
    /// A blob is mounted without `from` too, if any repository has it.
    Anywhere,
    /// An upload begins.
    Disabled,
    /// A mount is answered with this status.
    Refused(u16),
}

/// How clients say who they are.
#[derive(Clone, Debug)]
pub(crate) enum Auth {
    None,
    Basic { user: String, password: String },
    Tokens(Tokens),
}

impl Auth {
    /// Wants Basic authentication.
    pub(crate) fn basic(user: &str, password: &str) -> Self {
        Self::Basic { user: user.to_owned(), password: password.to_owned() }
    }

    /// Wants tokens, with the default properties.
    pub(crate) fn tokens(user: &str, password: &str) -> Self {
        Self::Tokens(Tokens { user: user.to_owned(), password: password.to_owned(), ..Tokens::default() })
    }
}

/// The properties of the token server.
#[derive(Clone, Debug)]
#[allow(clippy::struct_excessive_bools, reason = "each is an independent property of a server")]
pub(crate) struct Tokens {
    pub(crate) user: String,
    pub(crate) password: String,
    /// Identity tokens that a POST takes as `refresh_token`.
    pub(crate) identity_tokens: Vec<String>,
    /// The number of requests that a token is good for.
    pub(crate) uses: Option<u64>,
    /// How long a token is good, by the fake's clock.
    pub(crate) lifetime: Option<Duration>,
    /// The `expires_in` that is sent, whatever is true.
    pub(crate) expires_in: Option<u64>,
    /// Whether the token stands in `access_token` alone.
    pub(crate) has_access_token_only: bool,
    /// Whether POST is supported.
    pub(crate) has_post: bool,
    /// Whether the realm is on a port of its own.
    pub(crate) has_own_port: bool,
    /// What clients without credentials get.
    pub(crate) anonymous: Anonymous,
    /// Whether the user may push.
    pub(crate) may_push: bool,
}

impl Default for Tokens {
    fn default() -> Self {
        Self {
            user: "user".to_owned(),
            password: "password".to_owned(),
            identity_tokens: Vec::new(),
            uses: None,
            lifetime: None,
            expires_in: None,
            has_access_token_only: false,
            has_post: true,
            has_own_port: false,
            anonymous: Anonymous::Refused,
            may_push: true,
        }
    }
}

/// What the token server gives clients without credentials.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Anonymous {
    /// 401.
    Refused,
    /// A token without rights.
    Empty,
    /// A token to pull.
    Pull,
}
