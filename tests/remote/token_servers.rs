//! Token servers: their redirects, the life of their tokens, and their errors.

use std::time::Duration;

use regshape::remote::{Clock as _, Credential, Credentials};
use regshape::transfer::PullOptions;
use regshape::view::Selection;
use serde_json::json;

use crate::fake_registry::{Action, Auth, Options, Other, Rule, Tls, Tokens};
use crate::lab::*;

fn lab_with(tokens: Tokens) -> Lab {
    let lab = Lab::with(Options { auth: Auth::Tokens(tokens), ..Options::default() });
    lab.serve(&[KIB]);
    lab
}

fn pull(lab: &Lab, credential: Credential) -> Result<(), String> {
    let client = lab.client_with(&lab.connection().retries(0).credentials(Credentials::given(credential)));
    let pulled = lab.pull_with(&client, ":v1", "new", &Selection::default(), &PullOptions::default());
    pulled.map(drop).map_err(|error| in_full(&error))
}

fn user() -> Credential {
    Credential::new("user", "password")
}

fn identity() -> Credential {
    Credential::new("<token>", "identity")
}

#[test]
fn redirects_of_a_token_server_are_followed_with_credentials_on_its_own_host() {
    for status in [301, 302, 303, 307, 308] {
        let lab = lab_with(Tokens::default());
        let rule = lab.fake.rule(Rule::on("GET", "/token").first(1), Action::Redirect(status, "{path}&x=1".to_owned()));
        pull(&lab, user()).unwrap();
        assert_eq!(lab.fake.fired(rule), 1, "{status}");
        let asked: Vec<_> = lab.fake.requests().into_iter().filter(|it| it.path == "/token").collect();
        assert!(asked.len() == 2 && asked.iter().all(|it| it.authorization.is_some()), "{status}: {asked:?}");
    }
    for status in [307, 308] {
        let lab = lab_with(Tokens { identity_tokens: vec!["identity".to_owned()], ..Tokens::default() });
        lab.fake.rule(Rule::on("POST", "/token").first(1), Action::Redirect(status, "/token".to_owned()));
        pull(&lab, identity()).unwrap();
    }
}

#[test]
fn no_credentials_follow_a_token_server_to_another_host_or_to_http() {
    let (lab, other) = (lab_with(Tokens::default()), Other::start());
    let token = json!({ "token": lab.fake.make_token(&["repository:team/app:pull"]) }).to_string();
    other.rule(Rule::on("GET", "*"), Action::Status(200, Vec::new(), token.into_bytes()));
    lab.fake.rule(Rule::on("GET", "/token"), Action::RedirectTo(other.url("/token")));
    pull(&lab, user()).unwrap();
    let asked = other.requests();
    assert!(asked.len() == 1 && asked[0].authorization.is_none(), "{asked:?}");
    // A refresh token is in the body.
    let other = Other::start();
    let lab = lab_with(Tokens { identity_tokens: vec!["identity".to_owned()], ..Tokens::default() });
    lab.fake.rule(Rule::on("POST", "/token"), Action::RedirectTo(other.url("/token")));
    let error = pull(&lab, identity()).unwrap_err();
    let (from, to) = (lab.fake.host(), other.url("/token"));
    assert_eq!(error, format!("{from} leads to {to}: a token does not go to another host"));
    assert!(other.requests().is_empty());
    // HTTPS stays HTTPS.
    let auth = Auth::tokens("user", "password");
    let (lab, other) = (Lab::with(Options { auth, tls: Tls::by_authority(), ..Options::default() }), Other::start());
    lab.serve(&[KIB]);
    lab.fake.rule(Rule::on("GET", "/token"), Action::RedirectTo(other.url("/token")));
    let error = pull(&lab, user()).unwrap_err();
    assert!(error.ends_with("HTTPS may not become HTTP"), "{error}");
    assert!(other.requests().is_empty());
}

#[test]
fn redirects_of_a_token_server_end() {
    let lab = lab_with(Tokens { has_own_port: true, ..Tokens::default() });
    lab.fake.rule(Rule::on("GET", "/token"), Action::Redirect(302, "{path}".to_owned()));
    let host = lab.fake.token_host();
    assert_eq!(pull(&lab, user()).unwrap_err(), format!("{host} redirects more than 10 times"));
    lab.fake.rule(Rule::on("GET", "/token"), Action::Header("Location".to_owned(), None));
    assert_eq!(pull(&lab, user()).unwrap_err(), format!("{host} redirects without saying where"));
}

#[test]
fn errors_of_a_token_server_name_its_port() {
    for (action, expected) in [
        (Action::status(500), "HOST answered 500 to GET /token"),
        (Action::status(403), "gives no token: answered 403"),
        (Action::Body(b"no".to_vec()), "http://HOST sends something else than a token"),
        (Action::Redirect(302, "ftp://x".to_owned()), "HOST leads to ftp://x: it is not a URL of http or https"),
    ] {
        let lab = lab_with(Tokens { has_own_port: true, ..Tokens::default() });
        lab.fake.rule(Rule::on("GET", "/token"), action);
        let error = pull(&lab, user()).unwrap_err();
        assert!(error.contains(&expected.replace("HOST", &lab.fake.token_host())), "{error}");
    }
}

#[test]
fn the_life_of_a_token_may_be_text() {
    for (life, renewed) in
        [(json!(300), false), (json!("300"), false), (json!("soon"), true), (json!([300]), true), (json!(null), true)]
    {
        let lab = lab_with(Tokens::default());
        let token = lab.fake.make_token(&["repository:team/app:pull"]);
        let answer = json!({ "token": token, "expires_in": life }).to_string();
        lab.fake.rule(Rule::on("GET", "/token"), Action::Body(answer.into_bytes()));
        let client = lab.client_of_user();
        for name in ["one", "two"] {
            lab.pull_with(&client, ":v1", name, &Selection::default(), &PullOptions::default()).unwrap();
            lab.clock.sleep(Duration::from_secs(100));
        }
        let asked = lab.fake.requests().iter().filter(|it| it.path == "/token").count();
        assert_eq!(asked, 1 + usize::from(renewed), "{life}");
    }
}
