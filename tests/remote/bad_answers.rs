//! Answers that no registry should give, and files that hold no credentials: all of stderr, the status, and nothing left behind.

use std::fs;
use std::net::TcpListener;
use std::sync::Mutex;

use serde_json::json;

use crate::fake_registry::{Action, Auth, Options, Rule, Tls, digest_of};
use crate::lab::*;

const PULL: &str = "pull HOST/team/app:v1 new --retries 0";
const PUSH: &str = "push l HOST/team/app --retries 0 --jobs 1";

/// A command, its preparation, its status, and its stderr, in which `HOST` is the registry.
struct Case<'a> {
    words: &'a str,
    rules: Vec<(Rule, Action)>,
    status: i32,
    stderr: String,
}

fn case<'a>(words: &'a str, rules: &[(Rule, Action)], error: impl AsRef<str>) -> Case<'a> {
    Case { words, rules: rules.to_vec(), status: 1, stderr: format!("Error: {}\n", error.as_ref()) }
}

/// Runs each case against a registry of its own, and shows all that differ.
#[track_caller]
fn check(options: &Options, cases: Vec<Case<'_>>) {
    let faults = Mutex::new(Vec::new());
    at_once(cases, |Case { words, rules, status, stderr }| {
        let lab = Lab::with(options.clone());
        lab.serve(&[KIB]);
        for (rule, action) in rules.clone() {
            lab.fake.rule(rule, action);
        }
        let host = lab.fake.host();
        let ran = lab.run(words);
        let left = lab.names("new");
        // The directory of uploads is there if the error says so.
        let keeps = stderr.contains(" are kept, ");
        let is_clean =
            if keeps { left.len() == 2 && left[0] == ".regshape-uploads" } else { !lab.path("new").exists() };
        let got = without_ids(&ran.stderr.replace(&host, "HOST"));
        if ran.status != Some(status) || !ran.stdout.is_empty() || got != stderr || !is_clean {
            faults.lock().unwrap().push(format!(
                "{words} {rules:?}\n  wants {status} {stderr}  got   {:?} {got}  left  {left:?}",
                ran.status
            ));
        }
    });
    let faults = faults.into_inner().unwrap();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Returns an error with `ID` for the UUID of an upload.
fn without_ids(error: &str) -> String {
    match error.split_once("/uploads/") {
        Some((before, after)) if after.chars().nth(36) == Some(':') => format!("{before}/uploads/ID{}", &after[36..]),
        _ => error.to_owned(),
    }
}

fn body(text: &str) -> Action {
    Action::Body(text.as_bytes().to_vec())
}

fn page() -> Action {
    let html = vec![("Content-Type".to_owned(), "text/html".to_owned())];
    Action::Status(200, html, b"<html>log in</html>".to_vec())
}

fn get(path: &str) -> Rule {
    Rule::on("GET", path)
}

#[test]
fn documents_that_are_none_or_others_are_named() {
    let manifests = || get("*/manifests/*");
    let other = digest_of(b"other");
    let image = Lab::new().single(&[KIB]);
    check(
        &Options::default(),
        vec![
            case(
                PULL,
                &[(manifests(), Action::DigestHeader(Some(other.clone())))],
                format!("HOST/team/app:v1 is {image}, not {other}"),
            ),
            case(
                &format!("pull HOST/team/app@{image} new"),
                &[(
                    manifests(),
                    body(r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json"}"#),
                )],
                format!(
                    "HOST/team/app@{image} is {}, not {image}",
                    digest_of(br#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json"}"#)
                ),
            ),
            case(
                PULL,
                &[(manifests(), Action::Header("Content-Encoding".to_owned(), Some("gzip".to_owned())))],
                "HOST sent HOST/team/app:v1 with the Content-Encoding gzip",
            ),
            case(PULL, &[(manifests(), body("{"))], "HOST sent HOST/team/app:v1, which is not JSON"),
            case(PULL, &[(manifests(), body(""))], "HOST sent HOST/team/app:v1, which is not JSON"),
            case(
                PULL,
                &[(manifests(), body(r#"{"schemaVersion":1,"name":"team/app"}"#))],
                "HOST serves HOST/team/app:v1 only as Docker schema 1, which has no layers that can be stored; push it again with a newer client",
            ),
            case(PULL, &[(manifests(), Action::status(500))], "HOST answered 500 to GET /v2/team/app/manifests/v1"),
            case(
                "pull HOST/team/app new --all-tags --retries 0",
                &[(get("*/tags/list"), page())],
                "HOST sent something else than the tags of HOST/team/app",
            ),
            case(
                "pull HOST/team/app new --all-tags --retries 0",
                &[(get("*/tags/list"), body(r#"{"name":"team/app"}"#))],
                "HOST/team/app is not in the registry",
            )
            .with_status(3),
            case(
                "pull HOST/team/app new --all-tags --retries 0",
                &[(get("*/tags/list"), body("no JSON"))],
                "HOST sent something else than the tags of HOST/team/app",
            ),
        ],
    );
}

#[test]
fn an_index_that_is_its_own_parent_ends_with_one_line() {
    let lab = Lab::new();
    let own = format!("sha256:{}", "ab".repeat(32));
    let entry = json!({ "mediaType": INDEX, "digest": own, "size": 2_000 });
    let mut index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [entry] }).to_string();
    index.push_str(&" ".repeat(2_000 - index.len()));
    lab.fake.add_manifest_as(REPOSITORY, None, &own, INDEX, index.clone());
    let real = digest_of(index.as_bytes());
    lab.fake.add_manifest(REPOSITORY, Some("v1"), INDEX, index);
    let host = lab.fake.host();
    for reference in [":v1".to_owned(), format!("@{own}")] {
        let error = format!("{host}/{REPOSITORY}@{own} is {real}, not {own}");
        lab.run(&format!("pull HOST/{REPOSITORY}{reference} new")).fails(1, &format!("Error: {error}\n"));
        assert!(!lab.path("new").exists());
    }
}

#[test]
fn blobs_that_are_cut_or_gone_are_named() {
    let digest = digest_of(&layer(1000, KIB));
    let blob = || get(&format!("*/blobs/{digest}"));
    let mut flipped = layer(1000, KIB);
    flipped[7] ^= 0xff;
    let failed = format!("failed to download blob {digest}: ");
    check(
        &Options::default(),
        vec![
            case(PULL, &[(blob(), Action::status(404))], format!("{failed}HOST does not have the blob {digest}")),
            case(
                PULL,
                &[(blob(), Action::status(403))],
                format!(
                    "{failed}HOST answered 403 to GET /v2/team/app/blobs/{digest}; the credentials do not allow this, or the repository does not exist"
                ),
            ),
            case(
                PULL,
                &[(blob(), Action::status(401))],
                format!("{failed}authentication failed for HOST: it wants credentials; run 'regshape auth login'"),
            ),
            case(PULL, &[(blob(), page())], format!("{failed}HOST sent 19 bytes as the blob {digest}, which has 2560")),
            case(
                PULL,
                &[(blob(), body("short")), (blob(), Action::NoContentLength)],
                format!(
                    "{failed}HOST ended the blob {digest} after 5 of 2560 bytes; 5 B are kept, and the same command goes on"
                ),
            ),
            // Content is no message, and neither are bytes that are no text.
            case(
                PULL,
                &[(blob(), Action::Status(206, vec![], b"the content of a file".to_vec()))],
                format!("{failed}HOST answered 206 to GET /v2/team/app/blobs/{digest}"),
            ),
            case(
                PULL,
                &[(blob(), Action::Status(400, vec![], b"sent no \x1f\x8b\x08 text".to_vec()))],
                format!("{failed}HOST answered 400 to GET /v2/team/app/blobs/{digest}"),
            ),
            case(
                PULL,
                &[(blob(), Action::Status(400, vec![], b"sent some\r\n text".to_vec()))],
                format!("{failed}HOST answered 400 to GET /v2/team/app/blobs/{digest}: sent some text"),
            ),
            case(
                PULL,
                &[(blob(), Action::CutHead(0))],
                format!("{failed}HOST is not reachable: it closed the connection; run the same command again"),
            ),
            case(
                PULL,
                &[(blob(), Action::FlipByte(7))],
                format!("digest mismatch for {digest}: expected {digest}, got {}", digest_of(&flipped)),
            ),
        ],
    );
}

#[test]
fn refusals_of_a_push_are_named() {
    let image = Lab::new().single(&[KIB]);
    let manifest = format!("failed to push manifest {image}: ");
    let blob = format!("failed to upload blob {}: ", digest_of(&layer(1000, KIB)));
    let manifests = || Rule::on("PUT", "*/manifests/*");
    let uploads = |method: &str| Rule::on(method, "*/blobs/uploads/*");
    check(
        &Options::default(),
        vec![
            case(
                "push l HOST/team/new --retries 0",
                &[(manifests(), Action::error(400, "MANIFEST_INVALID"))],
                format!("{manifest}HOST answered 400 to PUT /v2/team/new/manifests/v1: by a rule"),
            ),
            case(
                "push l HOST/team/new --retries 0",
                &[(manifests(), Action::error(405, "UNSUPPORTED"))],
                format!(
                    "{manifest}HOST answered 405 to PUT /v2/team/new/manifests/v1: by a rule; the registry may be read-only"
                ),
            ),
            case(
                "push l HOST/team/new --retries 0",
                &[(manifests(), Action::status(413))],
                format!("{manifest}HOST answered 413 to PUT /v2/team/new/manifests/v1"),
            ),
            case(
                "push l HOST/team/new --retries 0",
                &[(manifests(), Action::DigestHeader(Some(digest_of(b"other"))))],
                format!(
                    "{manifest}HOST stored a manifest as {}, which is not the digest of what was sent",
                    digest_of(b"other")
                ),
            ),
            case(
                "push l HOST/team/new --retries 0 --jobs 1",
                &[(uploads("PUT"), Action::error(400, "DIGEST_INVALID"))],
                format!("{blob}HOST answered 400 to PUT /v2/team/new/blobs/uploads/ID: by a rule"),
            ),
            case(
                "push l HOST/team/new --retries 0 --jobs 1",
                &[(uploads("POST"), Action::error(404, "NAME_UNKNOWN"))],
                format!("{blob}HOST answered 404 to POST /v2/team/new/blobs/uploads/: by a rule"),
            ),
            case(
                "push l HOST/team/new --retries 0 --jobs 1",
                &[(uploads("POST"), Action::status(507))],
                format!("{blob}HOST answered 507 to POST /v2/team/new/blobs/uploads/"),
            ),
            case(
                "push l HOST/team/new --retries 0 --jobs 1",
                &[(uploads("POST"), Action::Header("Location".to_owned(), None))],
                format!("{blob}HOST began an upload without saying where it goes on"),
            ),
        ],
    );
}

#[test]
fn token_servers_that_give_no_token_are_named() {
    let token = || Rule::on("*", "/token");
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let challenge =
        |value: String| (Rule::on("*", "/v2/*"), Action::Header("WWW-Authenticate".to_owned(), Some(value)));
    check(
        &Options { auth: Auth::tokens("user", "password"), ..Options::default() },
        vec![
            case(
                PULL,
                &[],
                "authentication failed for HOST: http://HOST gives no token: authentication required; run 'regshape auth login'",
            ),
            case(
                PUSH,
                &[],
                "authentication failed for HOST: http://HOST gives no token: authentication required; run 'regshape auth login'",
            ),
            case(
                PULL,
                &[(token(), page())],
                "authentication failed for HOST: http://HOST sends something else than a token; run 'regshape auth login'",
            ),
            case(
                PULL,
                &[(token(), Action::Status(200, vec![], b"{}".to_vec()))],
                "authentication failed for HOST: http://HOST sends no token; run 'regshape auth login'",
            ),
            case(
                PULL,
                &[(token(), Action::Status(200, vec![], b"{\"token\":\"a\\nb\"}".to_vec()))],
                "authentication failed for HOST: http://HOST sends a token with characters that no header can have; run 'regshape auth login'",
            ),
            case(PULL, &[(token(), Action::status(404))], "HOST answered 404 to GET /token"),
            case(PULL, &[(token(), Action::status(500))], "HOST answered 500 to GET /token"),
            case(
                PULL,
                &[(token(), Action::Stall)],
                "HOST is not reachable: it sent nothing for 1 s; run the same command again",
            )
            .patient(),
            case(
                PULL,
                &[challenge(format!("Bearer realm=\"http://{closed}/token\""))],
                format!("{closed} is not reachable: Connection refused"),
            ),
            case(
                PULL,
                &[challenge("Bearer realm=\"not a URL\"".to_owned())],
                "HOST answered 404 to GET /not%20a%20URL: 404 page not found",
            ),
            case(
                PULL,
                &[challenge("Negotiate".to_owned())],
                "authentication failed for HOST: authentication required; run 'regshape auth login'",
            ),
            case(
                PULL,
                &[(Rule::on("*", "/v2/*"), Action::Header("WWW-Authenticate".to_owned(), None))],
                "authentication failed for HOST: authentication required; run 'regshape auth login'",
            ),
        ],
    );
}

impl Case<'_> {
    fn with_status(mut self, status: i32) -> Self {
        self.status = status;
        self
    }

    /// Waits for a stalled server for a second.
    fn patient(mut self) -> Self {
        self.words = "pull HOST/team/app:v1 new --retries 0 --stall-timeout 1s";
        self
    }
}

#[test]
fn certificates_that_prove_nothing_are_named_by_ping_and_login() {
    let mut cases = Vec::new();
    for (tls, names_authority, reason) in [
        (Tls::expired(), true, "its certificate has expired"),
        (Tls::common_name_only(), true, "its certificate is for another name"),
        (Tls::wrong_name(), true, "its certificate is for another name"),
        (Tls::self_signed(), false, "its certificate is one of an authority, not of a server"),
        (Tls::by_authority(), false, "its certificate is signed by an authority that is not trusted"),
    ] {
        cases.push((tls, names_authority, reason));
    }
    for (tls, names_authority, reason) in cases {
        let lab = Lab::with(Options { tls, ..Options::default() });
        fs::write(lab.path("ca.pem"), lab.fake.tls().authority()).unwrap();
        let (flag, hint) =
            if names_authority { (" --ca-file ca.pem", "") } else { ("", "; name its authority with --ca-file") };
        let host = lab.fake.host();
        lab.run(&format!("ping -r HOST{flag}"))
            .fails(1, &format!("Error: Registry {host} is not reachable: {reason}{hint}\n"));
        fs::write(lab.path("password"), "password").unwrap();
        let mut command = lab.program();
        command.stdin(fs::File::open(lab.path("password")).unwrap());
        let words = format!("auth login -r {host} -u user --password-stdin{flag}");
        let ran: Ran = command.args(words.split(' ')).output().unwrap().into();
        ran.fails(1, &format!("Error: Login failed for {host}: {reason}\n"));
        assert!(lab.names("home").is_empty());
    }
}

#[test]
fn a_host_without_a_registry_takes_no_login() {
    let lab = Lab::new();
    lab.fake.rule(Rule::on("*", "*"), Action::status(404));
    let host = lab.fake.host();
    let ran = lab.run("auth login -r HOST -u user -p password");
    let warning = "Warning: other users of this machine may see a password on the command line; use --password-stdin\n";
    ran.fails(1, &format!("{warning}Error: Login failed for {host}: {host} is not a registry: it has no /v2/\n"));
    lab.fake.clear_rules();
    lab.fake.rule(Rule::on("*", "*"), page());
    let ran = lab.run("auth login -r HOST -u user -p password");
    ran.fails(
        1,
        &format!(
            "{warning}Error: Login failed for {host}: {host} answered GET /v2/ with a page; a login page or a proxy may stand before the registry\n"
        ),
    );
    assert!(lab.names("home").is_empty());
}

#[cfg(unix)]
#[test]
fn usual_auth_files_that_cannot_be_used_are_warnings() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let lab = Lab::with(Options { auth: Auth::tokens("user", "password"), ..Options::default() });
    lab.single(&[KIB]);
    let host = lab.fake.host();
    // `user:password`
    let good = json!({ "auths": { host.clone(): { "auth": "dXNlcjpwYXNzd29yZA==" } } }).to_string();
    let podman = lab.path("home/.config/containers/auth.json");
    fs::create_dir_all(podman.parent().unwrap()).unwrap();
    fs::create_dir_all(lab.path("home/.docker")).unwrap();
    fs::write(lab.path("home/.docker/config.json"), &good).unwrap();
    let shown = podman.display().to_string();
    let pushes = |warning: &str| {
        let ran = lab.run("push l HOST/team/app --force");
        ran.succeeds();
        let warning = if warning.is_empty() { String::new() } else { format!("Warning: {warning}\n") };
        assert_eq!(ran.stderr, warning);
    };
    fs::write(&podman, "hunter2").unwrap();
    pushes(&format!("{shown} is not JSON: expected a value at line 1, column 1"));
    fs::write(&podman, r#"{"auths":["hunter2"]}"#).unwrap();
    pushes(&format!("{shown}: auths is not an object"));
    fs::write(&podman, format!(r#"{{"auths":{{"{host}":{{"auth":"hunter2"}}}}}}"#)).unwrap();
    pushes(&format!("{shown}: the credentials of '{host}' are not USER:PASSWORD in base64"));
    // An empty file has none.
    fs::write(&podman, "").unwrap();
    pushes("");
    fs::remove_file(&podman).unwrap();
    fs::create_dir(&podman).unwrap();
    pushes(&format!("cannot read auth file {shown}: a directory, not a regular file"));
    fs::remove_dir(&podman).unwrap();
    symlink("auth.json", &podman).unwrap();
    pushes(&format!("cannot read auth file {shown}: Too many levels of symbolic links (os error 40)"));
    fs::remove_file(&podman).unwrap();
    symlink("absent.json", &podman).unwrap();
    pushes("");
    fs::remove_file(&podman).unwrap();
    symlink("../../.docker/config.json", &podman).unwrap();
    pushes("");
    fs::remove_file(&podman).unwrap();
    // Root reads everything.
    fs::write(&podman, &good).unwrap();
    fs::set_permissions(&podman, fs::Permissions::from_mode(0o000)).unwrap();
    if fs::read(&podman).is_err() {
        pushes(&format!("cannot read auth file {shown}: Permission denied (os error 13)"));
        let ran = lab.run(&format!("push l HOST/team/app --auth-file {shown}"));
        ran.fails(1, &format!("Error: cannot read auth file {shown}: Permission denied (os error 13)\n"));
    }
}

#[cfg(unix)]
#[test]
fn helpers_that_cannot_be_run_are_warnings() {
    use std::os::unix::fs::PermissionsExt;
    let lab = Lab::with(Options { auth: Auth::tokens("user", "password"), ..Options::default() });
    lab.single(&[KIB]);
    let host = lab.fake.host();
    let helper = |script: &str, mode: u32| {
        let path = lab.path("bin/docker-credential-x");
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, script).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    };
    let config = lab.path("home/.docker/config.json");
    fs::create_dir_all(config.parent().unwrap()).unwrap();
    fs::write(&config, r#"{"credsStore":"x"}"#).unwrap();
    let refused = |said: &str| {
        let error = format!(
            "Error: authentication failed for {host}: http://{host} gives no token: authentication required; run 'regshape auth login'\n"
        );
        for words in ["push l HOST/team/app", "pull HOST/team/app:v1 new"] {
            let said = said.replace("HELPER", "Warning: credential helper 'docker-credential-x'");
            lab.run(words).fails(1, &format!("{said}\n{error}"));
        }
    };
    refused("HELPER is not in PATH");
    // A file that is no program is none.
    helper("#!/bin/sh\nexit 0\n", 0o644);
    refused("HELPER is not in PATH");
    helper("#!/no/such/interpreter\n", 0o755);
    refused("HELPER cannot be run: No such file or directory (os error 2)");
    helper("#!/bin/sh\necho the keyring is locked >&2\nexit 1\n", 0o755);
    refused("the keyring is locked\nHELPER failed (exit status: 1)");
    helper("#!/bin/sh\necho no such keyring\nexit 1\n", 0o755);
    refused("HELPER failed (exit status: 1): no such keyring");
    helper("#!/bin/sh\necho '{\"Username\":\"user\",\"Secret\":\"password\"'\n", 0o755);
    refused("HELPER printed no credentials: its output is not JSON with Username and Secret");
    // Its answer is neither believed nor shown.
    helper("#!/bin/sh\necho '{\"Username\":\"user\",\"Secret\":\"password\"}'\nexit 3\n", 0o755);
    refused("HELPER failed (exit status: 3)");
    assert!(!lab.path("new").exists());
}
