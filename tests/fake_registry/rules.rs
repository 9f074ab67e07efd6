//! Rules that make the server misbehave: a pattern of requests, a choice among them, and an action.

use std::time::Duration;

use super::http::{Answer, Request};

/// The requests that a rule applies to.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    method: String,
    path: String,
    header: Option<(String, String)>,
    choice: Choice,
}

#[derive(Clone, Debug)]
enum Choice {
    Always,
    Nth(u64),
    First(u64),
    From(u64),
    Every(u64),
    Percent(u64, u64),
}

impl Rule {
    /// Creates a rule for every request of a method and a path.
    ///
    /// The method is a glob, or several ones with `|` between them. The path is a glob in which `*` matches slashes too; it
    /// is matched against the path alone, or with the query if the pattern has a question mark.
    pub(crate) fn on(method: &str, path: &str) -> Self {
        Self { method: method.to_owned(), path: path.to_owned(), header: None, choice: Choice::Always }
    }

    /// Restricts the rule to requests with a header (its name in lower case) whose value matches a glob.
    pub(crate) fn with_header(mut self, name: &str, value: &str) -> Self {
        self.header = Some((name.to_owned(), value.to_owned()));
        self
    }

    /// Applies to every matching request, which is the default.
    pub(crate) fn always(mut self) -> Self {
        self.choice = Choice::Always;
        self
    }

    /// Applies to the k-th matching request alone, counted from 1 since the rule was added.
    pub(crate) fn nth(mut self, k: u64) -> Self {
        self.choice = Choice::Nth(k);
        self
    }

    /// Applies to the first matching requests.
    pub(crate) fn first(mut self, count: u64) -> Self {
        self.choice = Choice::First(count);
        self
    }

    /// Applies to the k-th matching request and all later ones.
    pub(crate) fn from(mut self, k: u64) -> Self {
        self.choice = Choice::From(k);
        self
    }

    /// Applies to every n-th matching request.
    pub(crate) fn every(mut self, n: u64) -> Self {
        self.choice = Choice::Every(n);
        self
    }

    /// Applies to a share of the matching requests, drawn by a seed.
    pub(crate) fn percent(mut self, share: u64, seed: u64) -> Self {
        self.choice = Choice::Percent(share, seed);
        self
    }

    fn matches(&self, request: &Request) -> bool {
        let target = if self.path.contains('?') { request.target() } else { request.path.clone() };
        self.method.split('|').any(|method| glob(method, &request.method))
            && glob(&self.path, &target)
            && self
                .header
                .as_ref()
                .is_none_or(|(name, value)| request.header(name).is_some_and(|sent| glob(value, sent)))
    }
}

/// Returns whether a text matches a pattern in which `*` stands for any characters.
pub(crate) fn glob(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

/// What a rule does with a request. Several rules may act on one request.
#[derive(Clone, Debug)]
pub(crate) enum Action {
    /// Answers with a status, headers and a body, without any work.
    Status(u16, Vec<(String, String)>, Vec<u8>),
    /// Answers 429 or 503 with a Retry-After, in seconds or as a date, without any work.
    RetryAfter(u16, String),
    /// Redirects with 307, without any work. `{path}` stands for the path and query, `{last}` for the last part of the path.
    RedirectTo(String),
    /// Redirects with another status.
    Redirect(u16, String),
    /// Closes the connection after so many bytes of the request's body. A body that is no longer is not cut.
    CutUp(u64),
    /// Reads no more than so many bytes of the request's body, and keeps the connection.
    StallUp(u64),
    /// Closes the connection after so many bytes of the answer's head.
    CutHead(u64),
    /// Closes the connection after so many bytes of the answer's body.
    CutDown(u64),
    /// Sends so many bytes of the answer's body, then none, and keeps the connection.
    StallDown(u64),
    /// Neither works nor answers, and keeps the connection.
    Stall,
    /// Does the work late.
    Delay(Duration),
    /// Does the work and answers late.
    DelayAnswer(Duration),
    /// Inverts a byte of the answer's body.
    FlipByte(u64),
    /// Does the work and closes the connection without an answer.
    DropAnswer,
    /// Does the work and answers with another status.
    AnswerAs(u16),
    /// Does the work and replaces the answer's body.
    Body(Vec<u8>),
    /// Replaces the Location of the answer. `{location}` stands for the path and query of the true one, `{host}` for the
    /// Host that the client sent.
    Location(String),
    /// Replaces a header of the answer, or removes it.
    Header(String, Option<String>),
    /// Replaces the answer's Content-Type.
    ContentType(String),
    /// Replaces the answer's Docker-Content-Digest, or removes it.
    DigestHeader(Option<String>),
    /// Declares the request's token expired, for good.
    TokenExpiresNow,
    /// Sends the answer in chunks, without a Content-Length.
    NoContentLength,
    /// Sends more bytes than there are, with a Content-Length that counts them.
    ExtraBytes(u64),
    /// Sends the answer's body in small pieces.
    Drip(usize, Duration),
    /// Reads the request's body in small pieces.
    DripUp(usize, Duration),
    /// Sends the answer's head byte by byte.
    DripHead(Duration),
    /// Sends headers without end.
    HeaderBomb,
    /// Sends a body without end.
    BodyBomb,
    /// Sends `100 Continue` with headers as soon as the head is read.
    SpontaneousContinueHeaders,
    /// Does not answer `Expect: 100-continue`, and reads the body when it comes.
    NoContinue,
}

impl Action {
    /// Creates a refusal with the distribution-spec's error body.
    pub(crate) fn error(status: u16, code: &str) -> Self {
        let body = serde_json::json!({ "errors": [{ "code": code, "message": "by a rule" }] }).to_string();
        Self::Status(status, vec![("Content-Type".to_owned(), "application/json".to_owned())], body.into_bytes())
    }

    /// Creates an answer with a status alone.
    pub(crate) fn status(status: u16) -> Self {
        Self::Status(status, Vec::new(), Vec::new())
    }
}

/// Everything that the rules do to one request.
#[derive(Debug, Default)]
pub(crate) struct Effects {
    pub(crate) delay: Duration,
    pub(crate) answer_delay: Duration,
    pub(crate) instead: Option<Answer>,
    pub(crate) cut_up: Option<u64>,
    pub(crate) stall_up: Option<u64>,
    pub(crate) cut_head: Option<u64>,
    pub(crate) cut_down: Option<u64>,
    pub(crate) stall_down: Option<u64>,
    pub(crate) stalls: bool,
    pub(crate) flips: Vec<u64>,
    pub(crate) drops_answer: bool,
    pub(crate) status: Option<u16>,
    pub(crate) body: Option<Vec<u8>>,
    pub(crate) location: Option<String>,
    pub(crate) headers: Vec<(String, Option<String>)>,
    pub(crate) expires_token: bool,
    pub(crate) is_chunked: bool,
    pub(crate) extra_bytes: u64,
    pub(crate) drip: Option<(usize, Duration)>,
    pub(crate) drip_up: Option<(usize, Duration)>,
    pub(crate) drip_head: Option<Duration>,
    pub(crate) has_header_bomb: bool,
    pub(crate) has_body_bomb: bool,
    pub(crate) sends_continue_headers: bool,
    pub(crate) withholds_continue: bool,
}

impl Effects {
    fn add(&mut self, action: &Action, request: &Request) {
        let instead = |answer: Answer| self.instead.clone().or(Some(answer));
        match action.clone() {
            Action::Status(status, headers, body) => {
                self.instead = instead(Answer { headers, ..Answer::new(status).body(body) });
            }
            Action::RetryAfter(status, value) => {
                self.instead =
                    instead(Answer::error(status, "TOOMANYREQUESTS", "by a rule").header("Retry-After", value));
            }
            Action::RedirectTo(to) => self.instead = instead(redirect(307, &to, request)),
            Action::Redirect(status, to) => self.instead = instead(redirect(status, &to, request)),
            Action::CutUp(after) => self.cut_up = Some(after),
            Action::StallUp(after) => self.stall_up = Some(after),
            Action::CutHead(after) => self.cut_head = Some(after),
            Action::CutDown(after) => self.cut_down = Some(after),
            Action::StallDown(after) => self.stall_down = Some(after),
            Action::Stall => self.stalls = true,
            Action::Delay(delay) => self.delay += delay,
            Action::DelayAnswer(delay) => self.answer_delay += delay,
            Action::FlipByte(at) => self.flips.push(at),
            Action::DropAnswer => self.drops_answer = true,
            Action::AnswerAs(status) => self.status = Some(status),
            Action::Body(body) => self.body = Some(body),
            Action::Location(to) => self.location = Some(to),
            Action::Header(name, value) => self.headers.push((name, value)),
            Action::ContentType(value) => self.headers.push(("Content-Type".to_owned(), Some(value))),
            Action::DigestHeader(value) => self.headers.push(("Docker-Content-Digest".to_owned(), value)),
            Action::TokenExpiresNow => self.expires_token = true,
            Action::NoContentLength => self.is_chunked = true,
            Action::ExtraBytes(count) => self.extra_bytes += count,
            Action::Drip(bytes, interval) => self.drip = Some((bytes, interval)),
            Action::DripUp(bytes, interval) => self.drip_up = Some((bytes, interval)),
            Action::DripHead(interval) => self.drip_head = Some(interval),
            Action::HeaderBomb => self.has_header_bomb = true,
            Action::BodyBomb => self.has_body_bomb = true,
            Action::SpontaneousContinueHeaders => self.sends_continue_headers = true,
            Action::NoContinue => self.withholds_continue = true,
        }
    }

    /// Changes an answer before it is sent.
    pub(crate) fn apply(&self, answer: &mut Answer, request: &Request) {
        if let Some(status) = self.status {
            answer.status = status;
        }
        if let Some(body) = &self.body {
            *answer = answer.clone().body(body.clone());
        }
        if let (Some(template), Some(location)) = (&self.location, answer.get("location").map(str::to_owned)) {
            let path = match location.split_once("://") {
                Some((_, rest)) => rest.find('/').map_or("/", |at| &rest[at..]),
                None => &location,
            };
            let host = request.header("host").unwrap_or_default();
            answer.set("Location", Some(&template.replace("{location}", path).replace("{host}", host)));
        }
        for (name, value) in &self.headers {
            answer.set(name, value.as_deref());
        }
    }
}

fn redirect(status: u16, to: &str, request: &Request) -> Answer {
    let last = request.path.rsplit('/').next().unwrap_or_default();
    Answer::new(status).header("Location", to.replace("{path}", &request.target()).replace("{last}", last))
}

/// The rules of a server, with their counts.
#[derive(Debug, Default)]
pub(crate) struct Rules(Vec<Counted>);

#[derive(Debug)]
struct Counted {
    rule: Rule,
    action: Action,
    matched: u64,
    fired: u64,
    random: u64,
}

impl Rules {
    /// Adds a rule and returns its number.
    pub(crate) fn add(&mut self, rule: Rule, action: Action) -> usize {
        let random = if let Choice::Percent(_, seed) = rule.choice { seed } else { 0 };
        self.0.push(Counted { rule, action, matched: 0, fired: 0, random });
        self.0.len() - 1
    }

    /// Removes all rules.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// Returns how often a rule has acted.
    pub(crate) fn fired(&self, number: usize) -> u64 {
        self.0[number].fired
    }

    /// Counts a request and returns what is done to it.
    pub(crate) fn fire(&mut self, request: &Request) -> Effects {
        let mut effects = Effects::default();
        for counted in &mut self.0 {
            if !counted.rule.matches(request) {
                continue;
            }
            counted.matched += 1;
            let fires = match counted.rule.choice {
                Choice::Always => true,
                Choice::Nth(k) => counted.matched == k,
                Choice::First(count) => counted.matched <= count,
                Choice::From(k) => counted.matched >= k,
                Choice::Every(n) => counted.matched % n.max(1) == 0,
                Choice::Percent(share, _) => next_random(&mut counted.random) % 100 < share,
            };
            if fires {
                counted.fired += 1;
                effects.add(&counted.action, request);
            }
        }
        effects
    }
}

/// Returns the next number of SplitMix64.
fn next_random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
