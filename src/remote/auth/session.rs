//! The credentials of one run: which the registry wants, and the tokens that it gave.
//!
//! A password or an identity token goes to the registry and to the realm that its own 401 names; a bearer token to the
//! registry alone. Tokens stay in memory. For each scope one is fetched at a time, and again before it expires.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::challenge::Challenge;
use super::known::{self, KnownSecrets};
use super::scope::Scope;
use super::secret::{Credential, Secret};
use crate::error::RemoteError;
use crate::remote::clock::Clock;
use crate::remote::http::{Answer, Body, Method, Request};
use crate::remote::redirect::{Guard, MOST_REDIRECTS, is_redirect, keeps_method};
use crate::remote::refusal;
use crate::remote::retry::{Failure, is_transient, retry_after};
use crate::remote::url::{Url, encoded_value};
use crate::remote::wire::Wire;

/// The largest answer of a token server.
const TOKEN_LIMIT: u64 = 1024 * 1024;

/// How long a token lasts whose server does not say it.
const DEFAULT_LIFE: Duration = Duration::from_secs(60);

/// The client that token servers of Docker's kind want to be told.
const CLIENT_ID: &str = "regshape";

/// Finds the credentials for the registry; called at most once, when the registry first wants some.
pub(crate) type FindCredential = Box<dyn Fn() -> Result<Option<Credential>, RemoteError> + Send + Sync>;

/// The credentials of one run.
pub(crate) struct Session {
    host: String,
    find: FindCredential,
    found: OnceLock<Result<Option<Credential>, RemoteError>>,
    state: Mutex<State>,
    secrets: KnownSecrets,
}

#[derive(Default)]
struct State {
    method: Wanted,
    tokens: HashMap<Scope, Token>,
    /// A refresh token that replaced the identity token.
    refresh: Option<Secret>,
}

/// How the registry wants to be convinced.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Wanted {
    /// It has not asked.
    #[default]
    Nothing,
    Basic,
    Bearer {
        realm: Url,
        service: Option<String>,
        scope: Option<String>,
    },
}

#[derive(Clone)]
struct Token {
    value: Secret,
    /// The time at which another one is fetched.
    renew_at: Duration,
}

/// The answer of a token server.
#[derive(Deserialize)]
struct TokenAnswer {
    token: Option<String>,
    access_token: Option<String>,
    refresh_token: Option<String>,
    expires_in: Option<Seconds>,
}

/// A number of seconds. Some token servers write it as text.
#[derive(Deserialize)]
#[serde(untagged)]
enum Seconds {
    Number(f64),
    Text(String),
    Other(IgnoredAny),
}

impl Seconds {
    fn value(&self) -> Option<f64> {
        match self {
            Self::Number(seconds) => Some(*seconds),
            Self::Text(text) => text.trim().parse().ok(),
            Self::Other(_) => None,
        }
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Session").field("host", &self.host).finish_non_exhaustive()
    }
}

impl Session {
    pub(crate) fn new(host: String, find: FindCredential, secrets: KnownSecrets) -> Self {
        Self { host, find, found: OnceLock::new(), state: Mutex::default(), secrets }
    }

    /// Returns the value of `Authorization` for a request, if the registry wants one.
    ///
    /// # Errors
    ///
    /// The failure of a token server; of finding credentials.
    pub(crate) fn authorization(
        &self,
        scope: &Scope,
        clock: &dyn Clock,
        wire: Wire<'_>,
        guard: &Guard,
    ) -> Result<Option<Secret>, Failure> {
        let now = clock.now();
        let mut state = self.state();
        match state.method.clone() {
            Wanted::Nothing => Ok(None),
            Wanted::Basic => match self.credential()? {
                Some(Credential::Password { user, password }) => Ok(Some(basic(user, password))),
                Some(Credential::RegistryToken(token)) => Ok(Some(bearer(token))),
                Some(Credential::IdentityToken(_)) => Err(Failure::lasting(RemoteError::Unauthorized {
                    host: self.host.clone(),
                    reason: "it wants a user and a password, and an identity token is stored".to_owned(),
                    had_credentials: true,
                })),
                None => Ok(None),
            },
            Wanted::Bearer { realm, service, scope: challenged } => {
                if let Some(Credential::RegistryToken(token)) = self.credential()? {
                    return Ok(Some(bearer(token)));
                }
                if let Some(token) = state.tokens.get(scope).filter(|token| now < token.renew_at) {
                    return Ok(Some(bearer(&token.value)));
                }
                // The lock is held: others who need a token wait for this one.
                let wanted = scope.and_challenged(challenged.as_deref());
                let answer = self.fetch(&state, &realm, service.as_deref(), &wanted, (wire, guard))?;
                let (value, life) = self.read(&mut state, answer, clock)?;
                let header = bearer(&value);
                state.tokens.insert(scope.clone(), Token { value, renew_at: now + life - life / 6 });
                Ok(Some(header))
            }
        }
    }

    /// Returns the value of `Authorization` for a request as far as it is known without asking anybody.
    pub(crate) fn known_authorization(&self, scope: &Scope) -> Option<Secret> {
        let state = self.state.try_lock().ok()?;
        let found = self.found.get().and_then(|found| found.as_ref().ok()).and_then(Option::as_ref);
        match (&state.method, found) {
            (Wanted::Nothing, _) => None,
            (_, Some(Credential::RegistryToken(token))) => Some(bearer(token)),
            (Wanted::Basic, Some(Credential::Password { user, password })) => Some(basic(user, password)),
            (Wanted::Basic, _) => None,
            (Wanted::Bearer { .. }, _) => state.tokens.get(scope).map(|token| bearer(&token.value)),
        }
    }

    /// Learns from a 401 of the registry. Returns whether another try with other credentials makes sense.
    ///
    /// # Errors
    ///
    /// The realm is one to which no credentials may go.
    pub(crate) fn challenged(
        &self,
        challenges: &[Challenge],
        scope: &Scope,
        refused: Option<&Secret>,
        guard: &Guard,
    ) -> Result<bool, RemoteError> {
        let mut state = self.state();
        // A bearer token is better than a password with each request.
        let bearer_wanted = challenges.iter().find_map(|challenge| match challenge {
            Challenge::Bearer { realm, service, scope, .. } => Some((realm, service, scope)),
            _ => None,
        });
        if let Some((realm, service, challenged)) = bearer_wanted {
            let realm = guard.realm(realm)?;
            let challenged = challenged.clone().filter(|challenged| {
                // What this request needs is ours to say.
                scope.and_challenged(Some(challenged)) != *scope
            });
            let is_first = refused.is_none();
            let dropped = match refused {
                Some(refused) => {
                    let is_refused = |token: &Token| bearer(&token.value).expose() == refused.expose();
                    let was_current = state.tokens.get(scope).is_some_and(is_refused);
                    if was_current {
                        state.tokens.remove(scope);
                    }
                    // Another thread may have fetched a new one already.
                    was_current || state.tokens.contains_key(scope)
                }
                None => false,
            };
            state.method = Wanted::Bearer { realm, service: service.clone(), scope: challenged };
            return Ok(is_first || dropped);
        }
        if challenges.iter().any(|challenge| matches!(challenge, Challenge::Basic)) {
            let is_new = state.method != Wanted::Basic;
            state.method = Wanted::Basic;
            drop(state);
            let has_credential = self.credential().map_err(|failure| *failure.error)?.is_some();
            return Ok(has_credential && (is_new || refused.is_none()));
        }
        Ok(false)
    }

    /// Returns whether there are credentials for the registry.
    pub(crate) fn has_credential(&self) -> bool {
        matches!(self.credential(), Ok(Some(_)))
    }

    fn credential(&self) -> Result<Option<&Credential>, Failure> {
        let find = || {
            let found = (self.find)();
            if let Ok(Some(credential)) = &found {
                self.secrets.learn_credential(credential);
            }
            found
        };
        match self.found.get_or_init(find) {
            Ok(found) => Ok(found.as_ref()),
            Err(error) => Err(Failure::lasting(error.clone())),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fetch(
        &self,
        state: &State,
        realm: &Url,
        service: Option<&str>,
        scope: &Scope,
        (wire, guard): (Wire<'_>, &Guard),
    ) -> Result<Answer, Failure> {
        let credential = self.credential()?;
        let identity = match (&state.refresh, credential) {
            (Some(refresh), _) => Some(refresh.clone()),
            (None, Some(Credential::IdentityToken(token))) => Some(token.clone()),
            _ => None,
        };
        match (&identity, credential) {
            (Some(identity), _) => self.post(realm, service, scope, identity, (wire, guard)),
            (None, Some(Credential::Password { user, password })) => {
                let answer = self.get(realm, service, scope, Some(basic(user, password)), (wire, guard))?;
                // Azure's registry takes a refresh token in the place of a password, and by POST only.
                if matches!(answer.status, 401 | 404 | 405) {
                    let second = self.post(realm, service, scope, password, (wire, guard))?;
                    Ok(if second.status == 200 { second } else { answer })
                } else {
                    Ok(answer)
                }
            }
            _ => self.get(realm, service, scope, None, (wire, guard)),
        }
    }

    fn get(
        &self,
        realm: &Url,
        service: Option<&str>,
        scope: &Scope,
        authorization: Option<Secret>,
        (wire, guard): (Wire<'_>, &Guard),
    ) -> Result<Answer, Failure> {
        let mut url = realm.clone();
        if let Some(service) = service {
            url = url.with_parameter("service", service);
        }
        for part in scope.parts() {
            url = url.with_parameter("scope", part);
        }
        self.follow((Method::Get, url), authorization, None, (wire, guard))
    }

    fn post(
        &self,
        realm: &Url,
        service: Option<&str>,
        scope: &Scope,
        token: &Secret,
        (wire, guard): (Wire<'_>, &Guard),
    ) -> Result<Answer, Failure> {
        let form = format!(
            "grant_type=refresh_token&service={}&client_id={CLIENT_ID}&scope={}&refresh_token={}",
            encoded_value(service.unwrap_or_default()),
            encoded_value(&scope.to_string()),
            encoded_value(token.expose()),
        );
        self.follow((Method::Post, realm.clone()), None, Some(&form), (wire, guard))
    }

    /// Sends a request to the token server, and along its redirects. Credentials go to its own host and port alone.
    fn follow(
        &self,
        (method, mut url): (Method, Url),
        authorization: Option<Secret>,
        form: Option<&str>,
        (wire, guard): (Wire<'_>, &Guard),
    ) -> Result<Answer, Failure> {
        let server = url.origin.clone();
        let mut redirects = 0;
        loop {
            let mut headers = Vec::new();
            if url.origin == server {
                headers.extend(authorization.iter().map(|value| ("authorization", value.expose().to_owned())));
            }
            headers.extend(form.iter().map(|_| ("content-type", "application/x-www-form-urlencoded".to_owned())));
            let request = Request { method, url: &url, headers: &headers, patience: None, closes: false };
            let body = form.map_or(Body::None, |form| Body::Bytes(form.as_bytes()));
            let answer = wire.send(&request, body).map_err(|error| guard.unreachable(&url, error))?;
            if !is_redirect(answer.status) || !keeps_method(answer.status, method) {
                return Ok(answer);
            }
            redirects += 1;
            let lasting = |problem: &str| {
                let (host, problem) = (url.origin.authority(), problem.to_owned());
                Failure::lasting(RemoteError::Answer { host, problem })
            };
            if redirects > MOST_REDIRECTS {
                return Err(lasting(&format!("redirects more than {MOST_REDIRECTS} times")));
            }
            let Some(location) = answer.header("location") else {
                return Err(lasting("redirects without saying where"));
            };
            let next = guard.location(&url, location).map_err(Failure::lasting)?;
            // The form has a token.
            if form.is_some() && next.origin != server {
                let (host, url) = (url.origin.authority(), self.secrets.redact(&next.to_string()).into_owned());
                let reason = "a token does not go to another host".to_owned();
                return Err(Failure::lasting(RemoteError::Redirect { host, url, reason }));
            }
            url = next;
        }
    }

    fn read(&self, state: &mut State, answer: Answer, clock: &dyn Clock) -> Result<(Secret, Duration), Failure> {
        let status = answer.status;
        let had_credentials = self.credential()?.is_some();
        let server = answer.url.origin.to_string();
        let unusable = |reason: &str| {
            Failure::lasting(RemoteError::Unauthorized {
                host: self.host.clone(),
                reason: format!("{server} {reason}"),
                had_credentials,
            })
        };
        match status {
            200 => {}
            400 | 401 | 403 => {
                let said = refusal::said(answer);
                let reason = said.message.unwrap_or_else(|| format!("answered {status}"));
                return Err(unusable(&format!("gives no token: {reason}")));
            }
            status => {
                let wait = answer.header("retry-after").and_then(|value| retry_after(value, clock.date()));
                let url = answer.url.clone();
                let error = refusal::error(answer, &url.origin.authority(), Method::Get, &url);
                let is_transient = is_transient(status);
                return Err(Failure { error: Box::new(error), is_transient, retry_after: wait, status: Some(status) });
            }
        }
        let bytes = match answer.bytes(TOKEN_LIMIT) {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return Err(unusable("sends a token that is too large")),
            Err(error) => {
                let is_transient = error.is_transient();
                return Err(Failure { is_transient, ..unusable(&format!("sends no whole token: {error}")) });
            }
        };
        let answer: TokenAnswer =
            serde_json::from_slice(&bytes).map_err(|_| unusable("sends something else than a token"))?;
        let value = answer.token.or(answer.access_token).filter(|token| !token.is_empty());
        let value = value.ok_or_else(|| unusable("sends no token"))?;
        let value = Secret::from(value);
        self.secrets.learn(&value);
        if !value.expose().bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(unusable("sends a token with characters that no header can have"));
        }
        if let Some(refresh) = answer.refresh_token.filter(|token| !token.is_empty()).map(Secret::from) {
            self.secrets.learn(&refresh);
            // Only a token server that was shown an identity token replaces it.
            if matches!(self.credential()?, Some(Credential::IdentityToken(_))) {
                state.refresh = Some(refresh);
            }
        }
        let life = answer
            .expires_in
            .and_then(|seconds| seconds.value())
            .filter(|seconds| *seconds > 0.0)
            .map_or(DEFAULT_LIFE, |seconds| Duration::try_from_secs_f64(seconds.min(86_400.0)).unwrap_or(DEFAULT_LIFE));
        Ok((value, life))
    }
}

fn basic(user: &str, password: &Secret) -> Secret {
    Secret::from(format!("Basic {}", known::basic(user, password).expose()))
}

fn bearer(token: &Secret) -> Secret {
    Secret::from(format!("Bearer {}", token.expose()))
}
