//! Basic authentication, and the token server with opaque tokens.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::body::Body;
use super::http::{Answer, Request, pairs};
use super::options::{Anonymous, Auth, Tokens};
use super::registry::Registry;
use super::server::lock;

/// The name of the service in challenges.
pub(crate) const SERVICE: &str = "fake-registry";

/// The longest form.
const LONGEST_FORM: u64 = 64 * 1024;

/// The actions that a token allows, by repository.
type Access = BTreeMap<String, BTreeSet<String>>;

/// The tokens that were given out.
#[derive(Debug)]
pub(crate) struct Issued {
    tokens: BTreeMap<String, Token>,
    refresh_tokens: BTreeSet<String>,
    count: u64,
    start: Instant,
    /// How far the clock is put forward.
    ahead: Duration,
}

impl Default for Issued {
    fn default() -> Self {
        Self {
            tokens: BTreeMap::new(),
            refresh_tokens: BTreeSet::new(),
            count: 0,
            start: Instant::now(),
            ahead: Duration::ZERO,
        }
    }
}

impl Issued {
    fn now(&self) -> Duration {
        self.start.elapsed() + self.ahead
    }

    /// Puts the clock forward.
    pub(crate) fn advance(&mut self, time: Duration) {
        self.ahead += time;
    }

    /// Returns the number of tokens that were given out.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// Expires all tokens.
    pub(crate) fn expire(&mut self) {
        self.tokens.clear();
    }

    fn fresh(&mut self, kind: &str) -> String {
        self.count += 1;
        format!("{kind}-{}-{:016x}", self.count, RandomState::new().hash_one(self.count))
    }

    /// Gives out a token.
    pub(crate) fn issue(&mut self, access: Access, tokens: &Tokens) -> String {
        let value = self.fresh("token");
        let expires = tokens.lifetime.map(|lifetime| self.now() + lifetime);
        self.tokens.insert(value.clone(), Token { access, uses_left: tokens.uses, expires });
        value
    }
}

#[derive(Debug)]
struct Token {
    access: Access,
    uses_left: Option<u64>,
    expires: Option<Duration>,
}

/// Parses a scope such as `repository:a/b:pull,push`.
pub(crate) fn parse_scope(scope: &str) -> Option<(String, BTreeSet<String>)> {
    let (kind, rest) = scope.split_once(':')?;
    let (name, actions) = rest.rsplit_once(':')?;
    (kind == "repository").then(|| (name.to_owned(), actions.split(',').map(str::to_owned).collect()))
}

/// Returns the user and password of a Basic header.
fn basic(request: &Request) -> Option<(String, String)> {
    let (scheme, value) = request.header("authorization")?.split_once(' ')?;
    let decoded = String::from_utf8(STANDARD.decode(value).ok()?).ok()?;
    let (user, password) = decoded.split_once(':')?;
    scheme.eq_ignore_ascii_case("basic").then(|| (user.to_owned(), password.to_owned()))
}

fn unauthorized(challenge: String) -> Answer {
    Answer::error(401, "UNAUTHORIZED", "authentication required").header("WWW-Authenticate", challenge)
}

fn basic_challenge() -> String {
    format!("Basic realm=\"{SERVICE}\"")
}

impl Registry {
    /// Checks the credentials of a request for an endpoint of a repository.
    pub(crate) fn authorize(&self, request: &Request, name: Option<&str>, is_upload: bool) -> Result<(), Answer> {
        match self.options().auth {
            Auth::None => Ok(()),
            Auth::Basic { user, password } => match basic(request) {
                Some(sent) if sent == (user, password) => Ok(()),
                _ => Err(unauthorized(basic_challenge())),
            },
            Auth::Tokens(tokens) => {
                let needed = needs(request, name, is_upload);
                self.check_token(request, &needed, &tokens)
            }
        }
    }

    fn check_token(&self, request: &Request, needed: &[(String, &str)], tokens: &Tokens) -> Result<(), Answer> {
        let scheme = request.header("authorization").and_then(|value| value.split_once(' '));
        let Some(value) = scheme.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map(|(_, value)| value)
        else {
            return Err(unauthorized(self.challenge(request, needed, None)));
        };
        let mut issued = lock(&self.issued);
        if request.expires_token {
            issued.tokens.remove(value);
        }
        let now = issued.now();
        let invalid = |registry: &Self| unauthorized(registry.challenge(request, needed, Some("invalid_token")));
        let Some(token) = issued.tokens.get_mut(value) else { return Err(invalid(self)) };
        if token.expires.is_some_and(|end| end <= now) || token.uses_left == Some(0) {
            return Err(invalid(self));
        }
        let allows = |(name, action): &(String, &str)| {
            token.access.get(name).is_some_and(|actions| actions.contains(*action) || actions.contains("*"))
        };
        if !needed.iter().all(allows) {
            return Err(unauthorized(self.challenge(request, needed, Some("insufficient_scope"))));
        }
        token.uses_left = token.uses_left.map(|left| left - 1);
        debug_assert!(tokens.uses.is_none() || token.uses_left.is_some());
        Ok(())
    }

    fn challenge(&self, request: &Request, needed: &[(String, &str)], error: Option<&str>) -> String {
        let realm = match self.token_port {
            None => format!("{}/token", request.base()),
            Some(port) => {
                let base = request.base();
                // A colon within brackets belongs to an IPv6 address, the first one to the scheme.
                let at = base.rfind(':').filter(|at| *at > "https:".len() && !base[*at..].contains(']'));
                let host = at.map_or(base.as_str(), |at| &base[..at]);
                format!("{host}:{port}/token")
            }
        };
        let mut challenge = format!("Bearer realm=\"{realm}\",service=\"{SERVICE}\"");
        let mut scopes: Vec<(String, Vec<&str>)> = Vec::new();
        for (name, action) in needed {
            match scopes.iter_mut().find(|(known, _)| known == name) {
                Some((_, actions)) => actions.push(action),
                None => scopes.push((name.clone(), vec![action])),
            }
        }
        if !scopes.is_empty() {
            let scope = |(name, actions): &(String, Vec<&str>)| format!("repository:{name}:{}", actions.join(","));
            challenge.push_str(&format!(",scope=\"{}\"", scopes.iter().map(scope).collect::<Vec<_>>().join(" ")));
        }
        if let Some(error) = error {
            challenge.push_str(&format!(",error=\"{error}\""));
        }
        challenge
    }

    /// GET and POST of `/token`.
    pub(crate) fn token(&self, request: &Request, body: &mut Body<'_>) -> Answer {
        let Auth::Tokens(tokens) = self.options().auth else { return Answer::new(404) };
        match request.method.as_str() {
            "GET" => self.token_by_get(request, &tokens),
            "POST" if tokens.has_post => self.token_by_post(request, body, &tokens),
            _ => Answer::new(405),
        }
    }

    fn token_by_get(&self, request: &Request, tokens: &Tokens) -> Answer {
        if request.parameter("service").as_deref() != Some(SERVICE) {
            return Answer::error(400, "UNSUPPORTED", "the service is missing or wrong");
        }
        let is_user = match (request.header("authorization"), basic(request)) {
            (None, _) if tokens.anonymous == Anonymous::Refused => return unauthorized(basic_challenge()),
            (None, _) => false,
            (Some(_), Some((user, password))) if (&user, &password) == (&tokens.user, &tokens.password) => true,
            (Some(_), _) => return unauthorized(basic_challenge()),
        };
        let scopes = request.parameters("scope");
        let wants_refresh = is_user && request.parameter("offline_token").as_deref() == Some("true");
        self.grant(&scopes, is_user, wants_refresh, tokens)
    }

    fn token_by_post(&self, request: &Request, body: &mut Body<'_>, tokens: &Tokens) -> Answer {
        let fault = |error: &str| Answer::json(400, &json!({ "error": error }));
        if request.header("content-type") != Some("application/x-www-form-urlencoded") {
            return fault("invalid_request");
        }
        let Ok(form) = body.read_all(LONGEST_FORM) else { return fault("invalid_request") };
        let form = pairs(&String::from_utf8_lossy(&form));
        let value = |key: &str| form.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str());
        if value("service") != Some(SERVICE) || value("client_id").is_none_or(str::is_empty) {
            return fault("invalid_request");
        }
        let is_user = match value("grant_type") {
            Some("refresh_token") => {
                let sent = value("refresh_token").unwrap_or_default();
                let is_issued = lock(&self.issued).refresh_tokens.contains(sent);
                is_issued || tokens.identity_tokens.iter().any(|known| known == sent)
            }
            Some("password") => value("username") == Some(&tokens.user) && value("password") == Some(&tokens.password),
            _ => return fault("unsupported_grant_type"),
        };
        if !is_user {
            return Answer::json(401, &json!({ "error": "invalid_grant" }));
        }
        let scopes: Vec<String> =
            form.iter().filter(|(name, _)| name == "scope").map(|(_, scope)| scope.clone()).collect();
        self.grant(&scopes, true, value("access_type") == Some("offline"), tokens)
    }

    /// Gives out a token for as much of the scopes as is allowed.
    fn grant(&self, scopes: &[String], is_user: bool, wants_refresh: bool, tokens: &Tokens) -> Answer {
        let mut access = Access::new();
        for scope in scopes.iter().flat_map(|scope| scope.split(' ')).filter(|scope| !scope.is_empty()) {
            let Some((name, actions)) = parse_scope(scope) else {
                return Answer::error(400, "UNSUPPORTED", format!("the scope {scope:?} is wrong"));
            };
            let may = |action: &String| match (is_user, tokens.anonymous) {
                (true, _) => tokens.may_push || action == "pull",
                (false, Anonymous::Pull) => action == "pull",
                (false, _) => false,
            };
            access.entry(name).or_default().extend(actions.into_iter().filter(may));
        }
        let mut issued = lock(&self.issued);
        let value = issued.issue(access, tokens);
        let mut answer = json!({ "access_token": value });
        if !tokens.has_access_token_only {
            answer["token"] = value.into();
        }
        if let Some(seconds) = tokens.expires_in {
            answer["expires_in"] = seconds.into();
        }
        if wants_refresh {
            let refresh = format!("refresh-{:016x}", RandomState::new().hash_one(issued.count));
            answer["refresh_token"] = refresh.clone().into();
            issued.refresh_tokens.insert(refresh);
        }
        Answer::json(200, &answer)
    }
}

/// Returns the rights that a request needs: a repository and an action each.
fn needs<'a>(request: &Request, name: Option<&str>, is_upload: bool) -> Vec<(String, &'a str)> {
    let Some(name) = name else { return Vec::new() };
    let actions: &[&'static str] = match request.method.as_str() {
        "GET" | "HEAD" if !is_upload => &["pull"],
        "DELETE" if !is_upload => &["delete"],
        _ => &["pull", "push"],
    };
    let mut needed: Vec<(String, &str)> = actions.iter().map(|action| (name.to_owned(), *action)).collect();
    if let (Some(from), Some(_)) = (request.parameter("from"), request.parameter("mount")) {
        needed.push((from, "pull"));
    }
    needed
}
