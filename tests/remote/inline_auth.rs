//! `$DOCKER_AUTH_CONFIG`: an auth file whose content is in a variable, as CI systems set it.

use std::fs;

use serde_json::{Value, json};

use crate::fake_registry::{Auth, Options};
use crate::lab::*;

/// `user:password`
const GOOD: &str = "dXNlcjpwYXNzd29yZA==";

/// `user:wrong`
const WRONG: &str = "dXNlcjp3cm9uZw==";

fn lab() -> Lab {
    let lab = Lab::with(Options { auth: Auth::tokens("user", "password"), ..Options::default() });
    lab.single(&[KIB]);
    lab
}

fn auths(lab: &Lab, auth: &str) -> String {
    json!({ "auths": { lab.fake.host(): { "auth": auth } } }).to_string()
}

fn write(lab: &Lab, name: &str, content: impl AsRef<[u8]>) {
    let path = lab.path(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

/// Runs the program with the variable and more of them, whose values are paths.
fn run(lab: &Lab, variable: &str, paths: &[(&str, &str)], words: &str) -> Ran {
    let host = lab.fake.host();
    let mut command = lab.program();
    command.env("DOCKER_AUTH_CONFIG", variable);
    command.envs(paths.iter().map(|(name, path)| (*name, lab.path(path))));
    command.args(words.split_whitespace().map(|word| word.replace("HOST", &host))).output().unwrap().into()
}

#[test]
fn the_variable_comes_after_named_files_and_before_the_usual_ones() {
    let lab = lab();
    let (good, wrong) = (auths(&lab, GOOD), auths(&lab, WRONG));
    let pushes = |variable: &str, paths: &[(&str, &str)], flags: &str| {
        let ran = run(&lab, variable, paths, &format!("push l HOST/team/app {flags}"));
        assert!(matches!(ran.status, Some(0 | 1)), "{ran:?}");
        ran.status == Some(0)
    };
    assert!(pushes(&good, &[], ""));
    lab.has("v1");
    // Before each of the usual files.
    for file in ["run/containers/auth.json", "home/.config/containers/auth.json", "home/.docker/config.json"] {
        write(&lab, file, &wrong);
    }
    assert!(pushes(&good, &[("XDG_RUNTIME_DIR", "run")], ""));
    for file in ["run/containers/auth.json", "home/.config/containers/auth.json", "home/.docker/config.json"] {
        write(&lab, file, &good);
    }
    assert!(!pushes(&wrong, &[("XDG_RUNTIME_DIR", "run")], ""));
    // One that is empty, or has other registries, leaves the question to the files.
    for variable in ["", " ", "{}", r#"{"auths":{"other.example":{"auth":"dXNlcjp3cm9uZw=="}}}"#] {
        assert!(pushes(variable, &[], ""), "{variable:?}");
    }
    // After a file that is named.
    write(&lab, "good.json", &good);
    write(&lab, "wrong.json", &wrong);
    assert!(pushes(&wrong, &[("REGISTRY_AUTH_FILE", "good.json")], ""));
    assert!(!pushes(&good, &[("REGISTRY_AUTH_FILE", "wrong.json")], ""));
    assert!(pushes(&wrong, &[], "--auth-file good.json"));
    assert!(!pushes(&good, &[], "--auth-file wrong.json"));
    assert!(!pushes(&good, &[], "--anonymous"));
    // The content of a variable that does not count is not read.
    assert!(pushes("no JSON", &[("REGISTRY_AUTH_FILE", "good.json")], ""));
    // A part of the registry may have credentials of its own.
    let host = lab.fake.host();
    let by_part = json!({ "auths": { host.clone(): { "auth": WRONG }, format!("{host}/team"): { "auth": GOOD } } });
    assert!(pushes(&by_part.to_string(), &[], ""));
}

#[test]
fn a_variable_that_cannot_be_used_is_named_without_its_content() {
    let lab = lab();
    let host = lab.fake.host();
    let variable = |auth: &str| auths(&lab, auth);
    for (variable, error) in [
        ("hunter2".to_owned(), "$DOCKER_AUTH_CONFIG is not JSON: expected a value at line 1, column 1".to_owned()),
        ("[\"hunter2\"]".to_owned(), "$DOCKER_AUTH_CONFIG: the document is not an object".to_owned()),
        (r#"{"auths":"hunter2"}"#.to_owned(), "$DOCKER_AUTH_CONFIG: auths is not an object".to_owned()),
        (
            variable("hunter2"),
            format!("$DOCKER_AUTH_CONFIG: the credentials of '{host}' are not USER:PASSWORD in base64"),
        ),
        (
            variable(WRONG),
            format!("authentication failed for {host}: http://{host} gives no token: authentication required"),
        ),
    ] {
        for words in ["push l HOST/team/app", "pull HOST/team/app:v1 new"] {
            let ran = run(&lab, &variable, &[], words);
            ran.fails(1, &format!("Error: {error}\n"));
            assert!(!ran.stderr.contains("hunter2"));
        }
    }
    assert!(!lab.path("new").exists());
    // A helper that it names and that is missing is a warning, as in a file.
    write(&lab, "home/.docker/config.json", variable(GOOD));
    let ran = run(&lab, r#"{"credsStore":"absent"}"#, &[], "push l HOST/team/app");
    assert!(ran.succeeds().ends_with("1 manifest(s), 2 blob(s) uploaded, 0 blob(s) skipped.\n"), "{ran:?}");
    assert_eq!(ran.stderr, "Warning: credential helper 'docker-credential-absent' is not in PATH\n");
}

#[test]
fn login_and_logout_do_not_change_the_variable_and_say_so() {
    let lab = lab();
    let host = lab.fake.host();
    let stored = lab.path("home/.docker/config.json");
    let (good, wrong) = (auths(&lab, GOOD), auths(&lab, WRONG));
    // The credentials of the variable are checked, and not stored elsewhere.
    assert_eq!(run(&lab, &good, &[], "auth login -r HOST").succeeds(), "Login succeeded.\n");
    assert!(!stored.exists());
    let ran = run(&lab, &wrong, &[], "auth login -r HOST");
    ran.fails(1, &format!("Error: Login failed for {host}: authentication rejected\n"));
    // New ones go to Docker's file, and the variable stays in front of it.
    let ran = run(&lab, &wrong, &[], "auth login -r HOST -u user -p password");
    assert_eq!(ran.succeeds(), "Login succeeded.\n");
    let path = stored.to_str().unwrap();
    let expected = format!(
        "Warning: other users of this machine may see a password on the command line; use --password-stdin\n\
         Warning: the password is in {path} in plain text; a credential helper keeps it safe\n\
         Warning: $DOCKER_AUTH_CONFIG has other credentials for {host}, and comes first\n"
    );
    assert_eq!(ran.stderr, expected);
    let written: Value = serde_json::from_slice(&fs::read(&stored).unwrap()).unwrap();
    assert_eq!(written["auths"][&host]["auth"], json!(GOOD));
    assert_eq!(run(&lab, &wrong, &[], "push l HOST/team/app").status, Some(1));
    assert_eq!(run(&lab, "{}", &[], "push l HOST/team/app").status, Some(0));
    let ran = run(&lab, &good, &[], "auth logout -r HOST");
    assert_eq!(ran.succeeds(), format!("Removing login credentials for {host}.\n"));
    assert_eq!(ran.stderr, format!("Warning: $DOCKER_AUTH_CONFIG still has credentials for {host}\n"));
    assert!(!fs::read_to_string(&stored).unwrap().contains(GOOD));
    // The password was stored for others to read nowhere else.
    let names = lab.names("home");
    let others = names.iter().filter(|name| !name.starts_with(".local"));
    assert_eq!(others.collect::<Vec<_>>(), [".docker", ".docker/config.json"]);
}
