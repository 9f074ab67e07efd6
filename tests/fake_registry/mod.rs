//! A registry for tests: it obeys the distribution-spec v1.1 to the letter, refuses what the spec forbids, and
//! misbehaves where a rule says so.
//!
//! It shares no code with the library, so that a misunderstanding there is not repeated here.

#![allow(dead_code, unused_imports, reason = "each test target uses a part of it")]

use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

mod blobs;
mod body;
mod http;
mod manifests;
mod options;
mod other;
mod registry;
mod rules;
mod server;
mod store;
mod tls;
mod tokens;
mod uploads;
mod wire;

pub(crate) use options::{Anonymous, Auth, Bodies, Mounts, Options, Tokens};
pub(crate) use other::Other;
pub(crate) use rules::{Action, Rule};
pub(crate) use server::Logged;
pub(crate) use store::digest_of;
pub(crate) use tls::{Identity, Tls};
pub(crate) use tokens::SERVICE;
pub(crate) use uploads::SessionInfo;

use registry::Registry;
use server::{Handler, Server, Settings, lock};
use store::{Content, Manifest};

/// A running registry. It stops when it is dropped.
#[derive(Debug)]
pub(crate) struct Fake {
    server: Server,
    registry: Arc<Registry>,
    tls: Tls,
}

fn settings(options: &Options) -> Settings {
    Settings {
        delay: options.delay,
        body_limit: options.body_limit,
        honours_expect: options.honours_expect,
        requests_per_connection: options.requests_per_connection,
    }
}

impl Fake {
    /// Starts a registry on its address.
    pub(crate) fn start(options: Options) -> Self {
        let listener = TcpListener::bind(&options.address).expect("a free port");
        let mut address = listener.local_addr().expect("a bound port");
        let mut listeners = vec![listener];
        let mut token_port = None;
        if matches!(&options.auth, Auth::Tokens(tokens) if tokens.has_own_port) {
            address.set_port(0);
            let second = TcpListener::bind(address).expect("a free port");
            token_port = Some(second.local_addr().expect("a bound port").port());
            listeners.push(second);
        }
        let (tls, settings) = (options.tls.clone(), settings(&options));
        let registry = Arc::new(Registry::new(options, token_port));
        let handler: Arc<dyn Handler> = Arc::clone(&registry) as Arc<dyn Handler>;
        Self { server: Server::start(listeners, tls.config(), settings, handler), registry, tls }
    }

    /// Returns the address and port, as they stand in a reference.
    pub(crate) fn host(&self) -> String {
        self.server.addresses()[0].to_string()
    }

    /// Returns the port.
    pub(crate) fn port(&self) -> u16 {
        self.server.addresses()[0].port()
    }

    /// Returns the address and port of the token server.
    pub(crate) fn token_host(&self) -> String {
        self.server.addresses().last().expect("there is one").to_string()
    }

    /// Returns the certificates.
    pub(crate) fn tls(&self) -> &Tls {
        &self.tls
    }

    /// Changes the options, but the address, TLS and the token server's port.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Options)) {
        self.registry.change(change);
        *self.server.settings() = settings(&self.registry.options());
    }

    /// Adds a rule and returns its number.
    pub(crate) fn rule(&self, rule: Rule, action: Action) -> usize {
        self.server.rules().add(rule, action)
    }

    /// Returns how often a rule has acted.
    pub(crate) fn fired(&self, number: usize) -> u64 {
        self.server.rules().fired(number)
    }

    /// Removes all rules.
    pub(crate) fn clear_rules(&self) {
        self.server.rules().clear();
    }

    /// Returns the requests so far, in the order of their ends.
    pub(crate) fn requests(&self) -> Vec<Logged> {
        self.server.log().clone()
    }

    /// Returns the method, the path and the status of each request so far.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.server.log().iter().map(Logged::line).collect()
    }

    /// Returns the maximum number of requests that were under way at once since the last call.
    pub(crate) fn take_most_active(&self) -> u64 {
        self.server.take_most_active()
    }

    /// Forgets the requests so far.
    pub(crate) fn clear_log(&self) {
        self.server.log().clear();
    }

    /// Returns the bytes of all bodies so far, of those under way and of cut ones too.
    pub(crate) fn bytes_received(&self) -> u64 {
        self.server.bytes_received()
    }

    /// Returns the number of connections so far.
    pub(crate) fn connections(&self) -> u64 {
        self.server.connections()
    }

    /// Returns the number of TLS handshakes that failed.
    pub(crate) fn failed_handshakes(&self) -> u64 {
        self.server.failed_handshakes()
    }

    /// Closes all connections; new ones are accepted.
    pub(crate) fn cut_connections(&self) {
        self.server.cut_connections();
    }

    /// Waits for the end of the process.
    pub(crate) fn wait(self) {
        self.server.wait();
    }

    /// Returns a blob that is stored in memory.
    pub(crate) fn blob(&self, repository: &str, digest: &str) -> Option<Vec<u8>> {
        match lock(&self.registry.state).blob(repository, digest)? {
            Content::Bytes(bytes) => Some(bytes.to_vec()),
            Content::File(..) | Content::Gone(_) => None,
        }
    }

    /// Returns whether a repository has a blob, stored or not.
    pub(crate) fn has_blob(&self, repository: &str, digest: &str) -> bool {
        lock(&self.registry.state).blob(repository, digest).is_some()
    }

    /// Stores a blob and returns its digest.
    pub(crate) fn add_blob(&self, repository: &str, bytes: impl Into<Vec<u8>>) -> String {
        let bytes = bytes.into();
        let digest = digest_of(&bytes);
        self.add_blob_as(repository, &digest, bytes);
        digest
    }

    /// Stores bytes under any digest.
    pub(crate) fn add_blob_as(&self, repository: &str, digest: &str, bytes: impl Into<Vec<u8>>) {
        self.insert(repository, digest, Content::Bytes(Arc::new(bytes.into())));
    }

    /// Serves a file as the blob of a digest.
    pub(crate) fn add_blob_file(&self, repository: &str, digest: &str, path: &Path) {
        let length = path.metadata().expect("a file").len();
        self.insert(repository, digest, Content::File(path.to_owned(), length));
    }

    fn insert(&self, repository: &str, digest: &str, content: Content) {
        lock(&self.registry.state).repository(repository).blobs.insert(digest.to_owned(), content);
    }

    /// Removes a blob.
    pub(crate) fn remove_blob(&self, repository: &str, digest: &str) {
        lock(&self.registry.state).repository(repository).blobs.remove(digest);
    }

    /// Stores a manifest without any check, and returns its digest.
    pub(crate) fn add_manifest(
        &self,
        repository: &str,
        tag: Option<&str>,
        media_type: &str,
        bytes: impl Into<Vec<u8>>,
    ) -> String {
        let bytes = bytes.into();
        let digest = digest_of(&bytes);
        self.add_manifest_as(repository, tag, &digest, media_type, bytes);
        digest
    }

    /// Stores a manifest under any digest.
    pub(crate) fn add_manifest_as(
        &self,
        repository: &str,
        tag: Option<&str>,
        digest: &str,
        media_type: &str,
        bytes: impl Into<Vec<u8>>,
    ) {
        let manifest = Manifest { media_type: media_type.to_owned(), bytes: Arc::new(bytes.into()) };
        let mut state = lock(&self.registry.state);
        let repository = state.repository(repository);
        repository.manifests.insert(digest.to_owned(), manifest);
        if let Some(tag) = tag {
            repository.tags.insert(tag.to_owned(), digest.to_owned());
        }
    }

    /// Returns the bytes of a manifest, by tag or digest.
    pub(crate) fn manifest(&self, repository: &str, reference: &str) -> Option<Vec<u8>> {
        let state = lock(&self.registry.state);
        state.repositories.get(repository)?.resolve(reference).map(|(_, manifest)| manifest.bytes.to_vec())
    }

    /// Returns the media type of a manifest, by tag or digest.
    pub(crate) fn media_type(&self, repository: &str, reference: &str) -> Option<String> {
        let state = lock(&self.registry.state);
        state.repositories.get(repository)?.resolve(reference).map(|(_, manifest)| manifest.media_type.clone())
    }

    /// Removes a manifest or a tag.
    pub(crate) fn remove_manifest(&self, repository: &str, reference: &str) {
        self.registry.delete_manifest(repository, reference);
    }

    /// Returns the tags of a repository with their digests.
    pub(crate) fn tags(&self, repository: &str) -> Vec<(String, String)> {
        let state = lock(&self.registry.state);
        let tags = state.repositories.get(repository).map(|repository| repository.tags.clone());
        tags.unwrap_or_default().into_iter().collect()
    }

    /// Returns the sessions that are open, in the order of their names.
    pub(crate) fn sessions(&self) -> Vec<SessionInfo> {
        let state = lock(&self.registry.state);
        let info = |(id, upload): (&String, &uploads::Upload)| SessionInfo {
            id: id.clone(),
            repository: upload.repository.clone(),
            offset: upload.received.length,
        };
        let mut sessions: Vec<SessionInfo> = state.uploads.iter().map(info).collect();
        sessions.sort_by(|one, other| one.id.cmp(&other.id));
        sessions
    }

    /// Ends all sessions.
    pub(crate) fn forget_sessions(&self) {
        lock(&self.registry.state).uploads.clear();
    }

    /// Gives out a token for scopes such as `repository:a/b:pull,push`, without a request.
    pub(crate) fn make_token(&self, scopes: &[&str]) -> String {
        let tokens = match self.registry.options().auth {
            Auth::Tokens(tokens) => tokens,
            Auth::None | Auth::Basic { .. } => Tokens::default(),
        };
        let access = scopes.iter().filter_map(|scope| tokens::parse_scope(scope)).collect();
        lock(&self.registry.issued).issue(access, &tokens)
    }

    /// Returns the number of tokens that were given out.
    pub(crate) fn tokens_issued(&self) -> u64 {
        lock(&self.registry.issued).count()
    }

    /// Expires all tokens.
    pub(crate) fn expire_tokens(&self) {
        lock(&self.registry.issued).expire();
    }

    /// Puts the clock of the tokens forward.
    pub(crate) fn advance(&self, time: Duration) {
        lock(&self.registry.issued).advance(time);
    }
}
