//! Credentials that are looked up, stored and removed, in files and through helpers that are shell scripts.

#![cfg(test)]
#![cfg(unix)]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use super::{AuthError, AuthPlace, Credential, CredentialStore};
use crate::remote::environment::Environment;
use crate::remote::host::RegistryHost;

/// A home directory, with helpers that are shell scripts.
struct Home(tempfile::TempDir);

impl Home {
    fn new(files: &[(&str, &str)]) -> Self {
        let home = Self(tempfile::tempdir().expect("a directory"));
        for (name, content) in files {
            let path = home.path(name);
            fs::create_dir_all(path.parent().expect("it has one")).expect("created");
            fs::write(&path, content).expect("written");
            if name.starts_with("bin/") {
                fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("made a program");
            }
        }
        home
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn environment(&self) -> Environment {
        Environment::default()
            .home(self.0.path())
            .variable("XDG_RUNTIME_DIR", self.path("run"))
            .variable("PATH", format!("{}:/usr/bin:/bin", self.path("bin").display()))
    }
}

const RUN: &str = "run/containers/auth.json";
const CONFIG: &str = ".config/containers/auth.json";
const DOCKER: &str = ".docker/config.json";
const HELPER: &str = "#!/bin/sh\nread key; printf '{\"Username\":\"helper\",\"Secret\":\"%s\"}' \"$key\"\n";
const EMPTY_HELPER: &str = "#!/bin/sh\necho 'credentials not found in native keychain'; exit 1\n";
const BAD_HELPER: &str = "#!/bin/sh\necho no keyring; exit 1\n";

/// Returns a file with a password for `a.b`.
fn auths(user: &str) -> String {
    format!(r#"{{"auths":{{"a.b":{{"username":"{user}","password":"pw"}}}}}}"#)
}

fn find(store: &CredentialStore) -> (Option<String>, Vec<String>) {
    let repository = "x/y".parse().expect("a repository");
    let lookup = store.find(&"a.b".parse().expect("a host"), Some(&repository)).expect("found or not");
    assert_eq!(lookup.credential.is_some(), lookup.place.is_some());
    let user = lookup.credential.map(|credential| match credential {
        Credential::Password { user, .. } => user,
        other => panic!("{other:?}"),
    });
    (user, lookup.warnings.iter().map(ToString::to_string).collect())
}

#[test]
fn the_first_place_that_has_a_credential_counts() {
    let (run, config, docker) = (auths("run"), auths("config"), auths("docker"));
    let namespace = r#"{"auths":{"a.b/x":{"username":"space","password":"pw"}}}"#;
    for (files, expected) in [
        (&[][..], None),
        (&[(RUN, &*run), (CONFIG, &config), (DOCKER, &docker)][..], Some("run")),
        (&[(CONFIG, &config), (DOCKER, &docker)], Some("config")),
        (&[(DOCKER, &docker)], Some("docker")),
        (&[(RUN, "{}"), (CONFIG, ""), (DOCKER, &docker)], Some("docker")),
        (&[(RUN, r#"{"auths":{"a.b":{}}}"#), (DOCKER, &docker)], Some("docker")),
        (&[(RUN, namespace), (DOCKER, &docker)], Some("space")),
        (&[(RUN, &run), (DOCKER, namespace)], Some("run")),
    ] {
        let home = Home::new(files);
        let (user, warnings) = find(&CredentialStore::new(home.environment()));
        assert_eq!((user.as_deref(), warnings.len()), (expected, 0), "{files:?}");
    }
}

#[test]
fn named_places_come_before_all_others() {
    let (docker, variable) = (auths("docker"), auths("variable"));
    let home = Home::new(&[(DOCKER, &docker), ("named.json", &auths("named")), ("empty.json", "{}")]);
    let inline = || home.environment().variable("DOCKER_AUTH_CONFIG", &variable);
    let by_variable = |name: &str| inline().variable("REGISTRY_AUTH_FILE", home.path(name));
    for (store, expected) in [
        (CredentialStore::new(inline()), Some("variable")),
        (CredentialStore::new(by_variable("named.json")), Some("named")),
        (CredentialStore::new(by_variable("empty.json")), None),
        (CredentialStore::new(inline()).file(home.path("named.json")), Some("named")),
        (CredentialStore::new(by_variable("named.json")).file(home.path("empty.json")), None),
    ] {
        let (user, warnings) = find(&store);
        assert_eq!((user.as_deref(), warnings.len()), (expected, 0));
    }
    let (user, warnings) = find(&CredentialStore::new(by_variable("none.json")));
    assert_eq!(user, None);
    assert_eq!(warnings, [format!("auth file {} does not exist", home.path("none.json").display())]);
}

#[test]
fn a_fault_of_a_named_place_is_an_error_and_of_a_usual_one_a_warning() {
    let home = Home::new(&[(RUN, "hunter2"), (DOCKER, &auths("docker")), ("bad.json", "hunter2")]);
    fs::create_dir_all(home.path(CONFIG)).expect("created");
    let (user, warnings) = find(&CredentialStore::new(home.environment()));
    assert_eq!(user.as_deref(), Some("docker"));
    let shown = |name: &str| home.path(name).display().to_string();
    let expected = [format!("{} is not JSON", shown(RUN)), format!("cannot read auth file {}", shown(CONFIG))];
    assert_eq!(warnings, expected);
    let host = "a.b".parse().expect("a host");
    let error = |store: &CredentialStore| store.find(&host, None).expect_err("named").to_string();
    let store = || CredentialStore::new(home.environment());
    assert_eq!(error(&store().file(home.path("bad.json"))), format!("{} is not JSON", shown("bad.json")));
    assert_eq!(
        error(&store().file(home.0.path())),
        format!("cannot read auth file {}", shown("").trim_end_matches('/'))
    );
    assert_eq!(error(&store().file(home.path("none"))), format!("auth file {} does not exist", shown("none")));
    let by_variable = home.environment().variable("REGISTRY_AUTH_FILE", home.path("bad.json"));
    assert_eq!(error(&CredentialStore::new(by_variable)), format!("{} is not JSON", shown("bad.json")));
    let inline = home.environment().variable("DOCKER_AUTH_CONFIG", "hunter2");
    assert_eq!(error(&CredentialStore::new(inline)), "$DOCKER_AUTH_CONFIG is not JSON");
}

#[test]
fn helpers_are_asked_in_their_order_and_failures_are_warnings() {
    const NO_KEYRING: &str = "credential helper 'docker-credential-bad' failed (exit status: 1): no keyring";
    const MISSING: &str = "credential helper 'docker-credential-missing' is not in PATH";
    let entry = r#""auths":{"a.b":{"username":"file","password":"pw"}}"#;
    for (content, expected, warnings) in [
        (format!(r#"{{{entry},"credHelpers":{{"a.b":"good"}}}}"#), Some("helper"), &[][..]),
        (format!(r#"{{{entry},"credHelpers":{{"c.d":"bad"}}}}"#), Some("file"), &[]),
        (format!(r#"{{{entry},"credsStore":"good"}}"#), Some("file"), &[]),
        (r#"{"credsStore":"good","auths":{"a.b":{}}}"#.to_owned(), Some("helper"), &[]),
        (r#"{"credsStore":"empty"}"#.to_owned(), None, &[]),
        (r#"{"credsStore":"missing"}"#.to_owned(), None, &[MISSING]),
        (r#"{"credsStore":"bad"}"#.to_owned(), None, &[NO_KEYRING]),
        (r#"{"credsStore":"bad","credHelpers":{"a.b":"bad"}}"#.to_owned(), None, &[NO_KEYRING]),
        (format!(r#"{{{entry},"credHelpers":{{"a.b":"bad"}}}}"#), Some("file"), &[NO_KEYRING]),
        (r#"{"credHelpers":{"a.b":"bad"},"credsStore":"good"}"#.to_owned(), Some("helper"), &[NO_KEYRING]),
    ] {
        let home = Home::new(&[
            (DOCKER, &content),
            ("bin/docker-credential-good", HELPER),
            ("bin/docker-credential-empty", EMPTY_HELPER),
            ("bin/docker-credential-bad", BAD_HELPER),
        ]);
        let (user, found) = find(&CredentialStore::new(home.environment()));
        assert_eq!(
            (user.as_deref(), found.iter().map(String::as_str).collect::<Vec<_>>()),
            (expected, warnings.to_vec()),
            "{content}"
        );
    }
    // A later place helps out, and does not ask a helper that failed again.
    let home = Home::new(&[
        (CONFIG, r#"{"credsStore":"bad"}"#),
        (DOCKER, &format!(r#"{{{entry},"credHelpers":{{"a.b":"bad"}}}}"#)),
        ("bin/docker-credential-bad", BAD_HELPER),
    ]);
    let (user, warnings) = find(&CredentialStore::new(home.environment()));
    assert_eq!((user.as_deref(), warnings), (Some("file"), vec![NO_KEYRING.to_owned()]));
}

#[test]
fn docker_hub_has_its_own_key_with_helpers() {
    let home = Home::new(&[(DOCKER, r#"{"credsStore":"good"}"#), ("bin/docker-credential-good", HELPER)]);
    let lookup = CredentialStore::new(home.environment()).find(&"docker.io".parse().expect("a host"), None);
    let lookup = lookup.expect("found");
    assert_eq!(lookup.credential, Some(Credential::new("helper", "https://index.docker.io/v1/")));
    assert_eq!(lookup.place, Some(AuthPlace::File(home.path(DOCKER))));
}

/// A helper that keeps one secret in the file `secret`.
const KEEPER: &str = r#"#!/bin/sh
secret="$HOME_DIR/secret"
case $1 in
store) cat >"$secret" ;;
get) test -e "$secret" && cat "$secret" || { echo 'credentials not found in native keychain'; exit 1; } ;;
erase) rm -f "$secret" ;;
esac
"#;

fn host() -> RegistryHost {
    "a.b".parse().expect("a host")
}

impl Home {
    fn store(&self) -> CredentialStore {
        CredentialStore::new(self.environment().variable("HOME_DIR", self.0.path()))
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    fn mode(&self, name: &str) -> u32 {
        fs::metadata(self.path(name)).expect("it exists").permissions().mode() & 0o7777
    }
}

#[test]
fn a_login_goes_to_the_file_that_has_the_registry_or_to_dockers() {
    let other = r#"{"auths":{"c.d":{"auth":"eDp5"}}}"#;
    let mine = r#"{"auths":{"https://a.b/v1/":{"auth":"eDp5"}}}"#;
    for (files, expected) in [
        (&[][..], DOCKER),
        (&[(RUN, other), (CONFIG, other)], DOCKER),
        (&[(RUN, other), (CONFIG, mine)], CONFIG),
        (&[(RUN, mine), (CONFIG, mine)], RUN),
        (&[(RUN, r#"{"auths":{"a.b/x":{}}}"#)], DOCKER),
        (&[(RUN, r#"{"auths":{"a.b":{}}}"#)], RUN),
    ] {
        let home = Home::new(files);
        let stored = home.store().store(&host(), &Credential::new("me", "pw")).expect("stored");
        assert_eq!((stored.path, stored.helper), (home.path(expected), None), "{files:?}");
        assert!(stored.hidden_by.is_none() && stored.warnings.is_empty());
        assert!(home.read(expected).contains("\"a.b\": {\n\t\t\t\"auth\": \"bWU6cHc=\"\n\t\t}"));
        assert_eq!(home.mode(expected), 0o600);
        assert_eq!(find(&home.store()), (Some("me".to_owned()), vec![]));
        for (name, content) in files.iter().filter(|(name, _)| *name != expected) {
            assert_eq!(home.read(name), *content);
        }
    }
    let home = Home::new(&[]);
    home.store().store(&host(), &Credential::new("me", "pw")).expect("stored");
    assert_eq!(home.mode(".docker"), 0o700);
    let names: Vec<_> = fs::read_dir(home.path(".docker")).expect("readable").collect();
    assert_eq!(names.len(), 1);
}

#[test]
fn a_login_replaces_the_target_of_a_link_and_narrows_its_mode() {
    let home = Home::new(&[("real/config.json", "{\n  \"x\": 1\n}\n"), (".docker/other", "")]);
    fs::set_permissions(home.path("real/config.json"), fs::Permissions::from_mode(0o644)).expect("changed");
    std::os::unix::fs::symlink("../real/link", home.path(DOCKER)).expect("linked");
    std::os::unix::fs::symlink("config.json", home.path("real/link")).expect("linked");
    home.store().store(&host(), &Credential::new("me", "pw")).expect("stored");
    let expected = "{\n  \"x\": 1,\n  \"auths\": {\n    \"a.b\": {\n      \"auth\": \"bWU6cHc=\"\n    }\n  }\n}\n";
    assert_eq!(home.read("real/config.json"), expected);
    assert!(fs::symlink_metadata(home.path(DOCKER)).expect("it exists").is_symlink());
    assert_eq!(home.mode("real/config.json"), 0o600);
    // The target of a link may be missing.
    fs::remove_file(home.path("real/config.json")).expect("removed");
    home.store().store(&host(), &Credential::new("me", "pw")).expect("stored");
    assert!(home.read("real/config.json").contains("bWU6cHc="));
}

#[test]
fn a_login_names_what_hides_it() {
    let home = Home::new(&[(RUN, "hunter2")]);
    let environment = home.environment().variable("DOCKER_AUTH_CONFIG", auths("variable"));
    let store = CredentialStore::new(environment);
    let stored = store.store(&host(), &Credential::new("me", "pw")).expect("stored");
    assert_eq!(stored.hidden_by, Some(AuthPlace::Variable("DOCKER_AUTH_CONFIG")));
    assert_eq!(stored.warnings.len(), 1);
    let removed = store.remove(&host()).expect("removed");
    assert_eq!(removed.places, [AuthPlace::File(home.path(DOCKER))]);
    assert_eq!(removed.left_in, Some(AuthPlace::Variable("DOCKER_AUTH_CONFIG")));
    assert_eq!(removed.warnings.len(), 1);
}

#[test]
fn each_kind_of_credential_is_found_again() {
    for credential in [
        Credential::new("me", "p:w\"\u{e9}"),
        Credential::new("", "pw"),
        Credential::IdentityToken("t".to_owned().into()),
        Credential::RegistryToken("r".to_owned().into()),
    ] {
        let home = Home::new(&[]);
        for name in ["a.b", "docker.io", "[::1]:5000"] {
            let host = name.parse().expect("a host");
            home.store().store(&host, &credential).expect("stored");
            assert_eq!(home.store().find(&host, None).expect("found").credential.as_ref(), Some(&credential));
        }
        assert!(home.read(DOCKER).contains("\"https://index.docker.io/v1/\""));
    }
    let home = Home::new(&[]);
    let error = home.store().store(&host(), &Credential::new("a:b", "pw")).expect_err("a colon");
    assert!(matches!(error, AuthError::UserName));
    assert!(!home.path(".docker").exists());
}

#[test]
fn a_named_file_is_the_only_one_that_changes() {
    let home = Home::new(&[(DOCKER, &auths("docker"))]);
    let by_flag = home.store().file(home.path("new/auth.json"));
    let variable = home.environment().variable("REGISTRY_AUTH_FILE", home.path("other.json"));
    for (store, name) in [(by_flag, "new/auth.json"), (CredentialStore::new(variable), "other.json")] {
        assert_eq!(store.remove(&host()).expect("nothing to remove").places, []);
        store.store(&host(), &Credential::new("me", "pw")).expect("stored");
        assert_eq!(home.mode(name), 0o600);
        assert_eq!(store.remove(&host()).expect("removed").places, [AuthPlace::File(home.path(name))]);
        assert_eq!(home.read(DOCKER), auths("docker"));
    }
}

#[test]
fn files_that_cannot_be_changed_stay_as_they_are() {
    let home = Home::new(&[(DOCKER, "hunter2"), ("file", "")]);
    let error = home.store().store(&host(), &Credential::new("me", "pw")).expect_err("no JSON").to_string();
    assert_eq!(error, format!("{} is not JSON", home.path(DOCKER).display()));
    assert_eq!(home.read(DOCKER), "hunter2");
    let path = home.path("file/auth.json");
    let error = home.store().file(&path).store(&host(), &Credential::new("me", "pw")).expect_err("no directory");
    assert_eq!(error.to_string(), format!("cannot write auth file {}", path.display()));
    let error = home.store().file(home.0.path()).store(&host(), &Credential::new("me", "pw")).expect_err("a directory");
    assert_eq!(error.to_string(), format!("cannot read auth file {}", home.0.path().display()));
    let nowhere = CredentialStore::new(Environment::default());
    assert!(matches!(nowhere.store(&host(), &Credential::new("me", "pw")), Err(AuthError::NoPlace)));
    assert_eq!(nowhere.remove(&host()).expect("nothing").places, []);
}

#[test]
fn helpers_keep_the_secret_and_the_file_only_the_registry() {
    for (content, after) in [
        (r#"{"credsStore":"keeper"}"#, "{\n\t\"credsStore\": \"keeper\",\n\t\"auths\": {\n\t\t\"a.b\": {}\n\t}\n}"),
        (
            r#"{"auths":{"a.b":{"auth":"eDp5"}},"credsStore":"keeper"}"#,
            "{\n\t\"auths\": {\n\t\t\"a.b\": {}\n\t},\n\t\"credsStore\": \"keeper\"\n}",
        ),
        (r#"{"credHelpers":{"a.b":"keeper"}}"#, r#"{"credHelpers":{"a.b":"keeper"}}"#),
        (
            r#"{"auths":{"a.b":{"auth":"eDp5"}},"credHelpers":{"a.b":"keeper"}}"#,
            "{\n\t\"auths\": {\n\t\t\"a.b\": {}\n\t},\n\t\"credHelpers\": {\n\t\t\"a.b\": \"keeper\"\n\t}\n}",
        ),
    ] {
        let home = Home::new(&[(DOCKER, content), ("bin/docker-credential-keeper", KEEPER)]);
        let stored = home.store().store(&host(), &Credential::new("me", "pw")).expect("stored");
        assert_eq!(stored.helper.as_deref(), Some("keeper"));
        assert_eq!(home.read("secret"), r#"{"Secret":"pw","ServerURL":"a.b","Username":"me"}"#);
        assert_eq!(home.read(DOCKER), after, "{content}");
        assert_eq!(find(&home.store()), (Some("me".to_owned()), vec![]));
        let removed = home.store().remove(&host()).expect("removed");
        assert_eq!(removed.places, [AuthPlace::File(home.path(DOCKER))]);
        assert!(!home.path("secret").exists() && !home.read(DOCKER).contains("\"a.b\": {"));
        assert_eq!(home.store().remove(&host()).expect("nothing to remove").places, []);
    }
}

#[test]
fn a_helper_that_fails_stores_nothing_and_does_not_keep_a_logout_back() {
    let entry = r#"{"auths":{"a.b":{"auth":"eDp5"}},"credsStore":"bad"}"#;
    let home = Home::new(&[(DOCKER, entry), ("bin/docker-credential-bad", BAD_HELPER)]);
    let error = home.store().store(&host(), &Credential::new("me", "pw")).expect_err("the helper fails").to_string();
    assert!(error.ends_with("failed (exit status: 1): no keyring"), "{error}");
    assert_eq!(home.read(DOCKER), entry);
    let removed = home.store().remove(&host()).expect("removed");
    assert_eq!((removed.places.len(), removed.warnings.len()), (1, 1));
    assert!(!home.read(DOCKER).contains("a.b"));
}

#[test]
fn a_logout_takes_the_registry_out_of_every_place() {
    let both = r#"{"auths":{"a.b":{"auth":"eDp5"},"http://a.b/v1/":{},"a.b/x":{"auth":"eDp5"},"c.d":{"auth":"eDp5"}}}"#;
    let home = Home::new(&[(RUN, both), (CONFIG, r#"{"auths":{"c.d":{}}}"#), (DOCKER, both)]);
    let removed = home.store().remove(&host()).expect("removed");
    assert_eq!(removed.places, [RUN, DOCKER].map(|name| AuthPlace::File(home.path(name))));
    assert!(removed.left_in.is_none() && removed.warnings.is_empty());
    for name in [RUN, DOCKER] {
        let content = home.read(name);
        assert!(content.contains("\"a.b/x\"") && content.contains("\"c.d\"") && !content.contains("\"a.b\""));
    }
    assert_eq!(home.read(CONFIG), r#"{"auths":{"c.d":{}}}"#);
}

#[test]
fn logins_at_the_same_time_do_not_lose_each_other() {
    let home = Home::new(&[]);
    let names: Vec<_> = (0..8).map(|number| format!("host{number}.example")).collect();
    std::thread::scope(|scope| {
        for name in &names {
            let store = home.store().helper_time_limit(Duration::from_secs(1));
            scope.spawn(move || {
                store.store(&name.parse().expect("a host"), &Credential::new("me", "pw")).expect("stored");
            });
        }
    });
    let content = home.read(DOCKER);
    let lost: Vec<_> = names.iter().filter(|name| !content.contains(name.as_str())).collect();
    assert!(lost.is_empty(), "{lost:?}");
}
