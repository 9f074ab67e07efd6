//! Basic authentication and tokens.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::fake_registry::{Action, Anonymous, Auth, Fake, Options, Rule, SERVICE, Tokens};
use crate::raw::{Reply, call};

fn start(auth: Auth) -> Fake {
    Fake::start(Options { auth, ..Options::default() })
}

fn with(change: impl FnOnce(&mut Tokens)) -> Fake {
    let mut tokens = Tokens { user: "u".to_owned(), password: "p".to_owned(), ..Tokens::default() };
    change(&mut tokens);
    start(Auth::Tokens(tokens))
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

fn ask(fake: &Fake, scope: &str, authorization: Option<&str>) -> Reply {
    let mut request = call("GET", &format!("/token?service={SERVICE}&scope={scope}"));
    if let Some(value) = authorization {
        request = request.header("Authorization", value);
    }
    request.send(&fake.token_host())
}

fn token(fake: &Fake, scope: &str) -> String {
    let reply = ask(fake, scope, Some(&basic("u", "p")));
    assert_eq!(reply.status, 200, "{reply:?}");
    reply.json()["token"].as_str().expect("a token").to_owned()
}

fn get(fake: &Fake, target: &str, token: &str) -> Reply {
    call("GET", target).header("Authorization", &format!("Bearer {token}")).send(&fake.host())
}

#[test]
fn basic_authentication_is_checked() {
    let fake = start(Auth::basic("u", "p"));
    let reply = call("GET", "/v2/").send(&fake.host());
    assert_eq!((reply.status, reply.code().as_str()), (401, "UNAUTHORIZED"));
    assert_eq!(reply.needed("www-authenticate"), "Basic realm=\"fake-registry\"");
    for (value, status) in [(basic("u", "p"), 200), (basic("u", "x"), 401), ("Bearer x".to_owned(), 401)] {
        assert_eq!(call("GET", "/v2/").header("Authorization", &value).send(&fake.host()).status, status);
    }
    assert_eq!(fake.requests()[1].authorization.as_deref(), Some(basic("u", "p").as_str()));
}

#[test]
fn a_token_is_good_for_its_scope() {
    let fake = start(Auth::tokens("u", "p"));
    let challenge =
        |target: &str| call("POST", target).body("").send(&fake.host()).needed("www-authenticate").to_owned();
    let start = format!("Bearer realm=\"http://{}/token\",service=\"fake-registry\"", fake.host());
    assert_eq!(call("GET", "/v2/").send(&fake.host()).needed("www-authenticate"), start);
    assert_eq!(challenge("/v2/a/b/blobs/uploads/"), format!("{start},scope=\"repository:a/b:pull,push\""));
    let target = "/v2/a/blobs/uploads/?mount=sha256:1&from=c";
    assert_eq!(challenge(target), format!("{start},scope=\"repository:a:pull,push repository:c:pull\""));

    let pull = token(&fake, "repository:a:pull");
    assert_eq!(get(&fake, "/v2/", &pull).status, 200);
    assert_eq!(get(&fake, "/v2/a/tags/list", &pull).status, 404);
    let refused = get(&fake, "/v2/b/tags/list", &pull);
    assert_eq!(refused.status, 401);
    assert!(refused.needed("www-authenticate").ends_with(",error=\"insufficient_scope\""));
    let post = |token: &str| {
        let request = call("POST", "/v2/a/blobs/uploads/").header("Authorization", &format!("Bearer {token}"));
        request.body("").send(&fake.host()).status
    };
    assert_eq!(post(&pull), 401);
    assert_eq!(post(&token(&fake, "repository:b:pull%20repository:a:pull,push")), 202);
    assert_eq!(post(&fake.make_token(&["repository:a:pull,push"])), 202);
    assert!(get(&fake, "/v2/", "made-up").needed("www-authenticate").ends_with(",error=\"invalid_token\""));
    assert_eq!(fake.tokens_issued(), 3);
}

#[test]
fn a_token_ends_after_its_uses_or_its_life_or_by_a_rule() {
    let fake = with(|tokens| tokens.uses = Some(2));
    let value = token(&fake, "repository:a:pull");
    let statuses: Vec<u16> = (0..3).map(|_| get(&fake, "/v2/", &value).status).collect();
    assert_eq!(statuses, [200, 200, 401]);

    let fake = with(|tokens| {
        tokens.lifetime = Some(Duration::from_secs(60));
        tokens.expires_in = Some(300);
    });
    let reply = ask(&fake, "repository:a:pull", Some(&basic("u", "p"))).json();
    assert_eq!(reply["expires_in"], 300);
    let value = reply["token"].as_str().expect("a token");
    fake.advance(Duration::from_secs(50));
    assert_eq!(get(&fake, "/v2/", value).status, 200);
    fake.advance(Duration::from_secs(10));
    assert_eq!(get(&fake, "/v2/", value).status, 401);

    let value = token(&fake, "repository:a:pull");
    fake.rule(Rule::on("GET", "/v2/").nth(2), Action::TokenExpiresNow);
    let statuses: Vec<u16> = (0..3).map(|_| get(&fake, "/v2/", &value).status).collect();
    assert_eq!(statuses, [200, 401, 401]);
    let value = token(&fake, "repository:a:pull");
    fake.expire_tokens();
    assert_eq!(get(&fake, "/v2/", &value).status, 401);
}

#[test]
fn clients_without_credentials_get_what_the_options_say() {
    let fake = with(|_| {});
    assert_eq!(ask(&fake, "repository:a:pull", None).status, 401);
    assert_eq!(ask(&fake, "repository:a:pull", Some(&basic("u", "x"))).status, 401);
    for (anonymous, pull) in [(Anonymous::Empty, 401), (Anonymous::Pull, 404)] {
        let fake = with(|tokens| tokens.anonymous = anonymous);
        let reply = ask(&fake, "repository:a:pull,push", None).json();
        let value = reply["token"].as_str().expect("a token");
        assert_eq!(get(&fake, "/v2/", value).status, 200);
        assert_eq!(get(&fake, "/v2/a/tags/list", value).status, pull);
        let post = call("POST", "/v2/a/blobs/uploads/").header("Authorization", &format!("Bearer {value}"));
        assert_eq!(post.body("").send(&fake.host()).status, 401);
    }
    let fake = with(|tokens| tokens.may_push = false);
    let value = token(&fake, "repository:a:pull,push");
    let post = call("POST", "/v2/a/blobs/uploads/").header("Authorization", &format!("Bearer {value}"));
    assert_eq!(post.body("").send(&fake.host()).status, 401);
}

#[test]
fn a_post_takes_passwords_and_refresh_tokens() {
    let fake = with(|tokens| {
        tokens.identity_tokens = vec!["identity".to_owned()];
        tokens.has_access_token_only = true;
    });
    let post = |form: &str| {
        let form = format!("service=fake-registry&client_id=x&scope=repository%3Aa%3Apull&{form}");
        let request = call("POST", "/token").header("Content-Type", "application/x-www-form-urlencoded");
        request.body(form).send(&fake.host())
    };
    for (form, status) in [
        ("grant_type=refresh_token&refresh_token=identity", 200),
        ("grant_type=refresh_token&refresh_token=other", 401),
        ("grant_type=password&username=u&password=p", 200),
        ("grant_type=password&username=u&password=x", 401),
        ("grant_type=other", 400),
    ] {
        assert_eq!(post(form).status, status, "{form}");
    }
    let reply = post("grant_type=password&username=u&password=p&access_type=offline").json();
    assert_eq!(reply.get("token"), None);
    assert_eq!(get(&fake, "/v2/a/tags/list", reply["access_token"].as_str().expect("a token")).status, 404);
    let refresh = reply["refresh_token"].as_str().expect("a token");
    assert_eq!(post(&format!("grant_type=refresh_token&refresh_token={refresh}")).status, 200);
    let request = call("POST", "/token").header("Content-Type", "application/x-www-form-urlencoded");
    assert_eq!(request.body("grant_type=refresh_token&refresh_token=identity").send(&fake.host()).status, 400);
    assert_eq!(call("GET", "/token").send(&fake.host()).status, 400);
    let fake = with(|tokens| tokens.has_post = false);
    assert_eq!(call("POST", "/token").body("").send(&fake.host()).status, 405);
}

#[test]
fn the_realm_may_have_its_own_port() {
    let fake = with(|tokens| tokens.has_own_port = true);
    assert_ne!(fake.token_host(), fake.host());
    let reply = call("GET", "/v2/").send(&fake.host());
    let realm = format!("realm=\"http://{}/token\"", fake.token_host());
    assert!(reply.needed("www-authenticate").contains(&realm), "{reply:?}");
    assert_eq!(get(&fake, "/v2/", &token(&fake, "repository:a:pull")).status, 200);
    assert_eq!(call("GET", "/token?service=fake-registry").send(&fake.host()).status, 404);
    assert_eq!(call("GET", "/v2/").send(&fake.token_host()).status, 404);
    assert_eq!(format!("127.0.0.1:{}", fake.requests()[1].port), fake.token_host());
}
