//! Credentials of the user's: `auth login` and `auth logout`, auth files and helpers, and pushes with them.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::fake_registry::{Auth, Options};
use crate::lab::*;

/// `user:password`
const GOOD: &str = "dXNlcjpwYXNzd29yZA==";

/// `user:wrong`
const WRONG: &str = "dXNlcjp3cm9uZw==";

const PUSH: &str = "push l HOST/team/app";

fn lab(auth: Auth) -> Lab {
    let lab = Lab::with(Options { auth, ..Options::default() });
    lab.single(&[KIB]);
    lab
}

fn kinds() -> [Auth; 2] {
    [Auth::basic("user", "password"), Auth::tokens("user", "password")]
}

fn write_json(path: &Path, value: &Value) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, value.to_string()).unwrap();
}

fn auths(lab: &Lab, auth: &str) -> Value {
    json!({ "auths": { lab.fake.host(): { "auth": auth } }, "other": { "kept": true } })
}

#[test]
fn login_stores_what_the_registry_accepts_and_logout_removes_it() {
    for auth in kinds() {
        let lab = lab(auth);
        let host = lab.fake.host();
        let stored = lab.path("docker/config.json");
        write_json(&stored, &json!({ "other": { "kept": true } }));
        let run = |words: &str, input: &str| -> Ran {
            fs::write(lab.path("input"), input).unwrap();
            let mut command = lab.program();
            command.env("DOCKER_CONFIG", lab.path("docker")).stdin(fs::File::open(lab.path("input")).unwrap());
            command.args(words.split(' ').map(|word| word.replace("HOST", &host))).output().unwrap().into()
        };
        let wrong = run("auth login -r HOST -u user --password-stdin", "wrong\n");
        wrong.fails(1, &format!("Error: Login failed for {host}: authentication rejected\n"));
        assert!(!fs::read_to_string(&stored).unwrap().contains("auths"));
        let ran = run("auth login -r HOST -u user --password-stdin", "password\n");
        assert_eq!(ran.succeeds(), "Login succeeded.\n");
        assert!(ran.stderr.contains("in plain text") && !ran.stderr.contains("password\n"), "{ran:?}");
        let written: Value = serde_json::from_slice(&fs::read(&stored).unwrap()).unwrap();
        assert_eq!((&written["auths"][&host]["auth"], &written["other"]["kept"]), (&json!(GOOD), &json!(true)));
        #[cfg(unix)]
        assert_eq!(
            std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&stored).unwrap().permissions()) & 0o777,
            0o600
        );
        run(PUSH, "").succeeds();
        lab.has("v1");
        let json: Value = serde_json::from_str(run("auth login -r HOST --json", "").succeeds()).unwrap();
        assert_eq!(json, json!({ "status": "success", "registry": host }));
        let ran = run("ping -r HOST", "");
        let note = "  Note: Registry requires authentication. Run 'regshape auth login' to configure credentials.\n";
        assert_eq!(ran.succeeds(), format!("Registry {host} is reachable\n{note}"));
        assert_eq!(run("auth logout -r HOST", "").succeeds(), format!("Removing login credentials for {host}.\n"));
        assert_eq!(run("auth logout -r HOST", "").succeeds(), format!("Not logged in to {host}.\n"));
        let ran = run("push l HOST/team/app:v2", "");
        assert_eq!(ran.status, Some(1));
        assert!(ran.stderr.ends_with("; run 'regshape auth login'\n"), "{ran:?}");
        let written: Value = serde_json::from_slice(&fs::read(&stored).unwrap()).unwrap();
        assert_eq!(written["other"]["kept"], json!(true));
    }
}

#[test]
fn credentials_are_looked_for_in_the_order_of_the_manual() {
    let lab = lab(Auth::tokens("user", "password"));
    let good = |path: &str| write_json(&lab.path(path), &auths(&lab, GOOD));
    let wrong = |path: &str| write_json(&lab.path(path), &auths(&lab, WRONG));
    let pushes = |variables: &[(&str, &str)], flags: &str| {
        let words = format!("{PUSH}{flags}").replace("HOST", &lab.fake.host());
        let mut command = lab.program();
        command.envs(variables.iter().map(|(name, path)| (*name, lab.path(path))));
        command.args(words.split(' ')).output().unwrap().status.success()
    };
    assert!(!pushes(&[], ""));
    good("home/.docker/config.json");
    assert!(pushes(&[], ""));
    // Each later place comes before those above.
    wrong("docker/config.json");
    assert!(!pushes(&[("DOCKER_CONFIG", "docker")], ""));
    good("home/.config/containers/auth.json");
    assert!(pushes(&[("DOCKER_CONFIG", "docker")], ""));
    wrong("run/containers/auth.json");
    assert!(!pushes(&[("XDG_RUNTIME_DIR", "run")], ""));
    good("named.json");
    assert!(pushes(&[("XDG_RUNTIME_DIR", "run"), ("REGISTRY_AUTH_FILE", "named.json")], ""));
    wrong("flag.json");
    assert!(!pushes(&[("REGISTRY_AUTH_FILE", "named.json")], " --auth-file flag.json"));
    assert!(pushes(&[("REGISTRY_AUTH_FILE", "flag.json")], " --auth-file named.json"));
    // The only file that is named is the only place.
    write_json(&lab.path("empty.json"), &json!({}));
    assert!(!pushes(&[], " --auth-file empty.json"));
    assert!(!pushes(&[], " --anonymous"));
    // A part of the registry may have credentials of its own.
    let host = lab.fake.host();
    let by_part = json!({ "auths": { host.clone(): { "auth": WRONG }, format!("{host}/team"): { "auth": GOOD } } });
    write_json(&lab.path("parts.json"), &by_part);
    assert!(pushes(&[], " --auth-file parts.json"));
}

#[test]
fn auth_files_that_cannot_be_used_are_named() {
    let lab = lab(Auth::tokens("user", "password"));
    let host = lab.fake.host();
    fs::write(lab.path("no.json"), "not JSON").unwrap();
    fs::create_dir(lab.path("dir")).unwrap();
    write_json(&lab.path("bad.json"), &auths(&lab, "!!"));
    write_json(&lab.path("wrong.json"), &auths(&lab, WRONG));
    for (file, error) in [
        ("no.json", "no.json is not JSON: expected a value at line 1, column 2".to_owned()),
        ("dir", "cannot read auth file dir: a directory, not a regular file".to_owned()),
        ("none.json", "auth file none.json does not exist".to_owned()),
        ("bad.json", format!("bad.json: the credentials of '{host}' are not USER:PASSWORD in base64")),
        (
            "wrong.json",
            format!("authentication failed for {host}: http://{host} gives no token: authentication required"),
        ),
    ] {
        lab.run(&format!("{PUSH} --auth-file {file}")).fails(1, &format!("Error: {error}\n"));
    }
    #[cfg(unix)]
    {
        write_json(&lab.path("good.json"), &auths(&lab, GOOD));
        std::os::unix::fs::symlink("good.json", lab.path("link.json")).unwrap();
        lab.run(&format!("{PUSH} --auth-file link.json")).succeeds();
        lab.run("auth logout -r HOST --auth-file link.json").succeeds();
        assert!(fs::symlink_metadata(lab.path("link.json")).unwrap().is_symlink());
        assert!(!fs::read_to_string(lab.path("good.json")).unwrap().contains("auth\""));
    }
}

#[cfg(unix)]
#[test]
fn helpers_give_store_and_erase_credentials_and_their_faults_are_warnings() {
    use std::os::unix::fs::PermissionsExt;
    let lab = lab(Auth::tokens("user", "password"));
    let host = lab.fake.host();
    let config = lab.path("home/.docker/config.json");
    let helper = |name: &str, script: &str| {
        let path = lab.path(&format!("bin/docker-credential-{name}"));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, format!("#!/bin/sh\nPATH=/usr/bin:/bin\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    };
    let store = lab.path("stored");
    helper(
        "files",
        &format!(
            "case $1 in store) cat > {0};; erase) rm {0};; get) cat > /dev/null; cat {0} 2>/dev/null || {{ echo credentials not found in native keychain; exit 1; }};; esac",
            store.display()
        ),
    );
    helper("hangs-up", "exec 0<&- 1>&-; kill -9 $$");
    helper("fails", "echo no such keyring; exit 1");
    helper("odd", "echo hello");
    write_json(&config, &json!({ "credsStore": "files" }));
    let refused = |warning: &str| {
        let error = format!(
            "Error: authentication failed for {host}: http://{host} gives no token: authentication required; run 'regshape auth login'\n"
        );
        lab.run(PUSH).fails(1, &format!("{warning}{error}"));
    };
    // An empty store is no fault.
    refused("");
    let ran = lab.run("auth login -r HOST -u user -p password");
    assert_eq!(ran.succeeds(), "Login succeeded.\n");
    assert_eq!(
        ran.stderr,
        "Warning: other users of this machine may see a password on the command line; use --password-stdin\n"
    );
    let kept: Value = serde_json::from_slice(&fs::read(&store).unwrap()).unwrap();
    assert_eq!((&kept["Username"], &kept["Secret"]), (&json!("user"), &json!("password")));
    assert!(!fs::read_to_string(&config).unwrap().contains(GOOD));
    lab.run(PUSH).succeeds();
    lab.has("v1");
    lab.run("auth logout -r HOST").succeeds();
    assert!(!store.exists());
    for (name, warning) in [
        ("hangs-up", "'docker-credential-hangs-up' failed (signal: 9 (SIGKILL))"),
        ("fails", "'docker-credential-fails' failed (exit status: 1): no such keyring"),
        ("odd", "'docker-credential-odd' printed no credentials: its output is not JSON with Username and Secret"),
        ("../x", "'docker-credential-../x' is not run: a name has letters, digits and . _ - only"),
    ] {
        write_json(&config, &json!({ "credsStore": name }));
        refused(&format!("Warning: credential helper {warning}\n"));
    }
}
