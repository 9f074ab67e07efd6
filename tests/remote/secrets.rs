//! Servers and credential helpers that repeat secrets: no message does.

use std::fs;

use serde_json::json;

use crate::fake_registry::{Action, Auth, Options, Other, Rule, Tokens};
use crate::lab::*;

const PASSWORD: &str = "hunter2-is-long";

/// `user:hunter2-is-long`
const BASIC: &str = "dXNlcjpodW50ZXIyLWlzLWxvbmc=";

fn lab(auth: Auth) -> Lab {
    let lab = Lab::with(Options { auth, ..Options::default() });
    lab.serve(&[KIB]);
    lab
}

/// Runs a command with the user's password on standard input.
#[track_caller]
fn run(lab: &Lab, words: &str) -> Ran {
    fs::write(lab.path("input"), format!("{PASSWORD}\n")).unwrap();
    let host = lab.fake.host();
    let mut command = lab.program();
    command.stdin(fs::File::open(lab.path("input")).unwrap());
    command.args(words.split(' ').map(|word| word.replace("HOST", &host))).output().unwrap().into()
}

fn body(text: &str) -> Vec<u8> {
    json!({ "errors": [{ "code": text, "message": text }] }).to_string().into_bytes()
}

#[test]
fn no_error_and_no_call_repeats_the_password() {
    let leaks = format!("got {PASSWORD} and Basic {BASIC}");
    let header = ("X-Leak".to_owned(), leaks.clone());
    for (method, path, action) in [
        ("GET", "*/manifests/*", Action::Status(403, vec![header.clone()], body(&leaks))),
        ("GET", "*/manifests/*", Action::Status(403, Vec::new(), leaks.clone().into_bytes())),
        ("GET", "*/manifests/*", Action::Status(401, Vec::new(), body(&leaks))),
        ("GET", "*/manifests/*", Action::Redirect(307, format!("http:/{PASSWORD}"))),
        ("GET", "*/manifests/*", Action::Redirect(307, format!("http://127.0.0.1:1/{PASSWORD}"))),
        ("GET", "*/manifests/*", Action::Redirect(307, format!("/{PASSWORD}"))),
        ("GET", "*/manifests/*", Action::ContentType(format!("application/{PASSWORD}+json"))),
        ("GET", "*/manifests/*", Action::Header("Content-Encoding".to_owned(), Some(PASSWORD.to_owned()))),
        ("GET", "*/tags/list", Action::Header("Link".to_owned(), Some(format!("<http://h/{PASSWORD}>; rel=next")))),
    ] {
        let lab = lab(Auth::basic("user", PASSWORD));
        lab.fake.rule(Rule::on(method, path).with_header("authorization", "Basic *"), action.clone());
        let tags = if path.ends_with("list") { " --all-tags" } else { ":v1" };
        let words = format!(
            "--insecure pull HOST/team/app{tags} new -v --debug-calls --retries 0 --username user --password-stdin"
        );
        for words in [words.clone(), format!("{words} --json"), format!("{words} --telemetry-format json")] {
            let ran = run(&lab, &words.replace("app --all-tags new", "app new --all-tags"));
            assert!(matches!(ran.status, Some(1 | 3)), "{action:?}: {ran:?}");
            let printed = format!("{}{}", ran.stdout, ran.stderr);
            assert!(!printed.contains(PASSWORD) && !printed.contains(BASIC), "{action:?}: {printed}");
            assert!(printed.contains("<redacted>"), "{action:?}: {printed}");
        }
    }
}

#[test]
fn no_message_repeats_a_password_that_is_escaped_or_in_base64() {
    let password = "hun\"ter<2>&pä ss";
    let forms = [
        password,
        r#"hun\"ter<2>&pä ss"#,
        r#"hun\"ter\u003c2\u003e\u0026p\u00e4 ss"#,
        "hun&quot;ter&lt;2&gt;&amp;pä ss",
        "hun&#34;ter&#60;2&#62;&#38;p&#xe4; ss",
        "hun%22ter%3C2%3E%26p%C3%A4%20ss",
        "hun%22ter%3c2%3e%26p%c3%a4+ss",
        // The password, and `user:` with it.
        "aHVuInRlcjwyPiZww6Qgc3M=",
        "aHVuInRlcjwyPiZww6Qgc3M",
        "dXNlcjpodW4idGVyPDI+JnDDpCBzcw==",
        "dXNlcjpodW4idGVyPDI-JnDDpCBzcw",
    ];
    let lab = lab(Auth::basic("user", password));
    fs::write(lab.path("input"), format!("{password}\n")).unwrap();
    let host = lab.fake.host();
    for form in forms {
        let message = format!("denied {form}.");
        for body in [message.clone().into_bytes(), body(&message)] {
            lab.fake.clear_rules();
            let rule = Rule::on("GET", "*/manifests/*").with_header("authorization", "Basic *");
            lab.fake.rule(rule, Action::Status(403, Vec::new(), body));
            let mut command = lab.program();
            command.stdin(fs::File::open(lab.path("input")).unwrap());
            let words = "--insecure pull HOST/team/app:v1 new --retries 0 --username user --password-stdin";
            command.args(words.split(' ').map(|word| word.replace("HOST", &host)));
            let ran: Ran = command.output().unwrap().into();
            let said = "answered 403 to GET /v2/team/app/manifests/v1: denied <redacted>.;";
            assert!(ran.status == Some(1) && ran.stderr.contains(said), "{form}: {ran:?}");
        }
    }
}

#[test]
fn no_call_shows_the_secrets_of_a_url() {
    let (to, secrets) = ("127.0.0.1:1", ["s3cr3tpw", "S3CRETFRAGMENT", "S3CRETREALM"]);
    let challenge = format!("Bearer realm=\"http://{to}/t?key=S3CRETREALM\"");
    for (location, shown) in [
        (format!("//me:s3cr3tpw@{to}/x#token=S3CRETFRAGMENT"), format!("//{to}/x#<redacted>")),
        (format!("http://{to}/x#token=S3CRETFRAGMENT"), format!("http://{to}/x#<redacted>")),
        (format!("http://me:s3cr3tpw?@{to}/x"), "http://<redacted>?<redacted>".to_owned()),
        ("ftp://h/x#token=S3CRETFRAGMENT".to_owned(), "ftp://h/x#<redacted>".to_owned()),
    ] {
        let lab = lab(Auth::None);
        lab.fake.rule(Rule::on("GET", "*/manifests/*"), Action::Redirect(307, location.clone()));
        lab.fake.rule(Rule::on("GET", "*"), Action::Header("WWW-Authenticate".to_owned(), Some(challenge.clone())));
        let ran = lab.run("pull HOST/team/app:v1 new --insecure --debug-calls --retries 0");
        assert!(ran.status == Some(1) && ran.stderr.contains(&shown), "{location}: {ran:?}");
        assert!(ran.stderr.contains(&format!("realm=\"http://{to}/t?<redacted>\"")), "{location}: {ran:?}");
        assert!(!secrets.iter().any(|secret| ran.stderr.contains(secret)), "{location}: {ran:?}");
    }
}

#[test]
fn no_error_repeats_a_token() {
    let auth = Tokens { user: "user".to_owned(), password: PASSWORD.to_owned(), ..Tokens::default() };
    let lab = lab(Auth::Tokens(auth));
    let token = lab.fake.make_token(&["repository:team/app:pull"]);
    let refresh = "a-refresh-token";
    let answer = json!({ "token": token, "refresh_token": refresh }).to_string();
    lab.fake.rule(Rule::on("GET", "/token"), Action::Body(answer.into_bytes()));
    let leaks = format!("Bearer {token}, once {refresh}");
    lab.fake.rule(
        Rule::on("GET", "*/manifests/*").with_header("authorization", "Bearer *"),
        Action::Status(403, Vec::new(), body(&leaks)),
    );
    let ran = run(&lab, "--insecure pull HOST/team/app:v1 new --debug-calls --username user --password-stdin");
    assert!(ran.status == Some(1) && ran.stderr.contains("Bearer <redacted>, once <redacted>"), "{ran:?}");
    // The token server itself repeats the password.
    lab.fake.clear_rules();
    let said = format!("no user has {PASSWORD}");
    lab.fake.rule(Rule::on("GET", "/token"), Action::Status(403, Vec::new(), body(&said)));
    let ran = run(&lab, "--insecure auth login -r HOST -u user --password-stdin -v");
    assert!(ran.status == Some(1) && !ran.stderr.contains(PASSWORD), "{ran:?}");
    let ran = run(&lab, "--insecure pull HOST/team/app:v1 new --username user --password-stdin");
    assert!(ran.stderr.contains("gives no token: no user has <redacted>"), "{ran:?}");
}

#[test]
fn a_proxy_repeats_no_password() {
    let (lab, proxy) = (lab(Auth::None), Other::start());
    proxy.rule(Rule::on("*", "*"), Action::Status(407, Vec::new(), body(&format!("not {PASSWORD}"))));
    let mut command = lab.program();
    command.env("HTTP_PROXY", format!("http://user:{PASSWORD}@{}", proxy.host()));
    let words = ["--insecure", "pull", "r.example/team/app:v1", "new", "--debug-calls", "--retries", "0"];
    let ran: Ran = command.args(words).output().unwrap().into();
    assert!(ran.status == Some(1) && !ran.stderr.contains(PASSWORD), "{ran:?}");
}

#[cfg(unix)]
#[test]
fn no_message_of_a_helper_repeats_a_secret() {
    use std::os::unix::fs::PermissionsExt as _;

    let lab = lab(Auth::basic("user", PASSWORD));
    let answer = format!(r#"{{"Username":"user","Secret":"{PASSWORD}"}}"#);
    let script = format!(
        "#!/bin/sh\ncase $1 in\nget) echo 'unlocking {PASSWORD}' >&2; echo '{answer}';;\n\
         store) echo 'storing {PASSWORD}' >&2; echo 'full: {PASSWORD}'; exit 1;;\nesac\n"
    );
    let helper = lab.path("bin/docker-credential-test");
    fs::create_dir_all(lab.path("bin")).unwrap();
    fs::write(&helper, script).unwrap();
    fs::set_permissions(&helper, fs::Permissions::from_mode(0o755)).unwrap();
    fs::create_dir_all(lab.path("home/.docker")).unwrap();
    fs::write(lab.path("home/.docker/config.json"), r#"{"credsStore":"test"}"#).unwrap();
    let ran = run(&lab, "--insecure pull HOST/team/app:v1 new");
    ran.succeeds();
    assert_eq!(ran.stderr, "unlocking <redacted>\n");
    let ran = run(&lab, "--insecure auth login -r HOST -u user --password-stdin");
    assert!(ran.status == Some(1) && !ran.stderr.contains(PASSWORD), "{ran:?}");
    assert!(ran.stderr.starts_with("storing <redacted>\n") && ran.stderr.contains("full: <redacted>"), "{ran:?}");
}
