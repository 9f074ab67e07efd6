//! Pages for browsers in the place of a registry's answers, and a registry whose answers have the type of a page.

use std::fs;

use crate::fake_registry::{Action, Auth, Options, Rule};
use crate::lab::*;

const VERSION: &str = "Docker-Distribution-Api-Version";

fn html() -> Action {
    Action::ContentType("text/html; charset=utf-8".to_owned())
}

fn version(value: Option<&str>) -> Action {
    Action::Header(VERSION.to_owned(), value.map(str::to_owned))
}

/// Runs `auth login` with the password of the user.
fn login(lab: &Lab) -> Ran {
    fs::write(lab.path("input"), "password\n").unwrap();
    let (host, mut command) = (lab.fake.host(), lab.program());
    command.stdin(fs::File::open(lab.path("input")).unwrap());
    command.args(["auth", "login", "-r", &host, "-u", "user", "--password-stdin"]).output().unwrap().into()
}

#[test]
fn a_registry_whose_answers_have_the_type_of_a_page_is_one() {
    // Quay says so of /v2/, and of each step of an upload.
    for auth in [Auth::None, Auth::basic("user", "password"), Auth::tokens("user", "password")] {
        let lab = Lab::with(Options { auth, ..Options::default() });
        lab.single(&[KIB, 2 * MIB]);
        lab.fake.rule(Rule::on("POST|PUT|PATCH|HEAD|DELETE", "/v2/*"), html());
        lab.fake.rule(Rule::on("GET", "/v2/"), html());
        let (host, ran) = (lab.fake.host(), login(&lab));
        assert_eq!(ran.succeeds(), "Login succeeded.\n");
        assert!(lab.run("ping -r HOST").succeeds().starts_with(&format!("Registry {host} is reachable\n")));
        for words in ["push l HOST/team/app", "push l HOST/team/chunks --chunked", "push l HOST/team/app"] {
            lab.run(words).succeeds();
        }
        lab.has("v1");
        lab.run("pull HOST/team/app:v1 new").succeeds();
        lab.is_valid("new");
    }
}

#[test]
fn the_root_of_a_registry_is_told_from_a_page() {
    let body = |text: &str| Action::Body(text.as_bytes().to_vec());
    for (actions, is_registry) in [
        (vec![body("true"), version(None)], true),
        (vec![body("\n{}\n"), version(None)], true),
        (vec![body(""), version(None)], true),
        (vec![body("pong"), version(Some("registry/2.0"))], true),
        (vec![body("pong"), version(None)], false),
        (vec![body("<html>log in</html>"), version(None)], false),
        // The proxy that Docker's manual shows adds the version to every answer.
        (vec![body("\n <!DOCTYPE html>"), version(Some("registry/2.0"))], false),
    ] {
        let lab = Lab::new();
        let shown = format!("{actions:?}");
        for action in actions.into_iter().chain([html()]) {
            lab.fake.rule(Rule::on("GET", "/v2/"), action);
        }
        let host = lab.fake.host();
        let (ping, login) = (lab.run("ping -r HOST"), login(&lab));
        if is_registry {
            assert_eq!((ping.status, login.status), (Some(0), Some(0)), "{shown}: {ping:?} {login:?}");
        } else {
            let page = "answered GET /v2/ with a page; a login page or a proxy may stand before the registry";
            ping.fails(1, &format!("Error: {host} {page}\n"));
            login.fails(1, &format!("Error: Login failed for {host}: {host} {page}\n"));
        }
    }
}
