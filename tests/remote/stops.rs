//! Requests that wait are ended when their work has ended, and answers that drip have a deadline.

#[cfg(unix)]
use std::process::{Child, Stdio};
#[cfg(unix)]
use std::thread;
use std::time::{Duration, Instant};

use regshape::remote::{Client, ConnectionOptions};
use regshape::transfer::{PullOptions, PushOptions};
use regshape::view::Selection;
#[cfg(unix)]
use rustix::process::{Pid, Signal, kill_process};

use crate::fake_registry::{Action, Auth, Options, Rule, digest_of};
use crate::lab::*;

/// How late the blob fails whose fault ends the others.
const LATE: Duration = Duration::from_millis(600);

/// How long the end of a push or a pull may take after that or after a signal, on a busy machine. The stall timeout is a
/// minute.
const SOON: Duration = Duration::from_secs(3);

/// A client with the clock of the system, whose pauses are real.
fn patient(lab: &Lab) -> std::sync::Arc<Client> {
    lab.client_with(&ConnectionOptions::default().insecure(true))
}

#[test]
fn the_first_fault_ends_the_uploads_that_wait() {
    let waits = [
        ("PUT", Action::Stall),
        ("PUT", Action::StallUp(100_000)),
        ("PUT", Action::NoContinue),
        ("PUT", Action::RetryAfter(503, "200".to_owned())),
        ("HEAD", Action::Stall),
    ];
    at_once(waits, |(method, action)| {
        let lab = Lab::new();
        let sizes = [12 * MIB, 2 * MIB];
        lab.single(&sizes);
        let bad = digest_of(&layer(1001, sizes[1]));
        let good = digest_of(&layer(1000, sizes[0]));
        let path = |digest: &str| match method {
            "PUT" => format!("*?*digest={}", digest.replace(':', "*")),
            _ => format!("*{digest}"),
        };
        // A registry that is busy keeps all back: the other upload has begun by then.
        if matches!(action, Action::RetryAfter(..)) {
            lab.fake.rule(Rule::on(method, &path(&good)), Action::Delay(LATE / 2));
        }
        lab.fake.rule(Rule::on(method, &path(&good)), action.clone());
        for fault in [Action::Delay(LATE), Action::status(403)] {
            lab.fake.rule(Rule::on("PUT", &format!("*?*digest={}", bad.replace(':', "*"))), fault);
        }
        let start = Instant::now();
        let error = in_full(&lab.push_by(&patient(&lab), "l", &PushOptions::default()).unwrap_err());
        assert!(start.elapsed() < LATE + SOON, "{method} {action:?}: {:?}", start.elapsed());
        assert!(error.contains(&bad) && error.contains(" 403 "), "{method} {action:?}: {error}");
    });
}

#[test]
fn the_first_fault_ends_the_downloads_that_wait() {
    let waits = [
        Action::Stall,
        Action::StallDown(0),
        Action::StallDown(100_000),
        Action::RetryAfter(503, "200".to_owned()),
        Action::Drip(1, Duration::from_millis(20)),
    ];
    at_once(waits, |action| {
        let lab = Lab::new();
        let sizes = [2 * MIB, MIB];
        lab.serve(&sizes);
        let bad = digest_of(&layer(1001, sizes[1]));
        let good = digest_of(&layer(1000, sizes[0]));
        if matches!(action, Action::RetryAfter(..)) {
            lab.fake.rule(Rule::on("GET", &format!("*{good}")), Action::Delay(LATE / 2));
        }
        lab.fake.rule(Rule::on("GET", &format!("*{good}")), action.clone());
        for fault in [Action::Delay(LATE), Action::status(403)] {
            lab.fake.rule(Rule::on("GET", &format!("*{bad}")), fault);
        }
        let start = Instant::now();
        let (selection, options) = (Selection::default(), PullOptions::default());
        let error = in_full(&lab.pull_with(&patient(&lab), ":v1", "new", &selection, &options).unwrap_err());
        assert!(start.elapsed() < LATE + SOON, "{action:?}: {:?}", start.elapsed());
        assert!(error.contains(&bad) && error.contains(" 403 "), "{action:?}: {error}");
    });
}

#[test]
fn the_first_fault_ends_the_wait_for_another_pull_of_a_blob() {
    let lab = Lab::new();
    let sizes = [2 * MIB, MIB];
    lab.serve(&sizes);
    let (good, bad) = (digest_of(&layer(1000, sizes[0])), digest_of(&layer(1001, sizes[1])));
    let uploads = lab.path("new/.regshape-uploads");
    std::fs::create_dir_all(&uploads).unwrap();
    let id = digest_of(good.as_bytes())["sha256:".len()..][..32].to_owned();
    let held = std::fs::File::create(uploads.join(id)).unwrap();
    held.lock().unwrap();
    for fault in [Action::Delay(LATE), Action::status(403)] {
        lab.fake.rule(Rule::on("GET", &format!("*{bad}")), fault);
    }
    let start = Instant::now();
    let (selection, options) = (Selection::default(), PullOptions::default());
    let error = in_full(&lab.pull_with(&patient(&lab), ":v1", "new", &selection, &options).unwrap_err());
    assert!(start.elapsed() < LATE + SOON, "{:?}", start.elapsed());
    assert!(error.contains(&bad) && error.contains(" 403 "), "{error}");
    assert_eq!(lab.count("GET", &good), 0);
}

#[test]
fn the_first_fault_ends_the_documents_that_wait_and_the_client_goes_on() {
    let lab = Lab::new();
    let mut made = lab.layout("l");
    let (one, two) = (made.image_for("amd64", 1, &[KIB]), made.image_for("arm64", 2, &[KIB]));
    let index = made.index(&[("amd64", &one), ("arm64", &two)]);
    made.list(&index, "v1");
    lab.serve_layout("l");
    lab.fake.rule(Rule::on("GET", &format!("*{}", digest(&one))), Action::Stall);
    for fault in [Action::Delay(LATE), Action::status(403)] {
        lab.fake.rule(Rule::on("GET", &format!("*{}", digest(&two))), fault);
    }
    let client = patient(&lab);
    let start = Instant::now();
    let pull = || lab.pull_with(&client, ":v1", "new", &Selection::default(), &PullOptions::default());
    assert!(in_full(&pull().unwrap_err()).contains(" 403 "));
    assert!(start.elapsed() < LATE + SOON, "{:?}", start.elapsed());
    lab.fake.clear_rules();
    pull().unwrap();
    lab.is_valid("new");
}

/// Runs a command until a request arrived, and returns how long it takes to end after SIGTERM.
#[cfg(unix)]
fn time_to_end(lab: &Lab, words: &str, is_there: impl Fn() -> bool) -> Duration {
    let host = lab.fake.host();
    let words = words.split(' ').map(|word| word.replace("HOST", &host));
    let mut child: Child = lab.program().args(words).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let begun = Instant::now();
    while !is_there() {
        assert!(begun.elapsed() < Duration::from_secs(20) && child.try_wait().unwrap().is_none(), "no request");
        thread::sleep(Duration::from_millis(5));
    }
    thread::sleep(Duration::from_millis(100));
    let start = Instant::now();
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    let status = child.wait().unwrap();
    assert_eq!(status.code(), Some(143));
    start.elapsed()
}

#[cfg(unix)]
#[test]
fn a_signal_ends_the_program_in_every_state_that_waits() {
    let push = "--insecure push l HOST/team/app";
    let pull = "--insecure pull HOST/team/app:v1 new";
    let put = "*/blobs/uploads/*";
    let cases = [
        (push, "PUT", put, Action::Stall),
        (push, "PUT", put, Action::StallUp(100_000)),
        (push, "PUT", "*/manifests/*", Action::Stall),
        (push, "POST", "*", Action::RetryAfter(429, "200".to_owned())),
        (push, "GET", "/token", Action::Stall),
        (pull, "GET", "*/manifests/*", Action::Stall),
        (pull, "GET", "*/blobs/*", Action::StallDown(100)),
        (pull, "GET", "*/blobs/*", Action::RetryAfter(503, "200".to_owned())),
    ];
    at_once(cases, |(words, method, path, action)| {
        let auth = if path == "/token" { Auth::tokens("user", "password") } else { Auth::None };
        let lab = Lab::with(Options { auth, ..Options::default() });
        if words == push {
            lab.single(&[12 * MIB]);
        } else {
            lab.serve(&[KIB]);
        }
        let rule = lab.fake.rule(Rule::on(method, path), action.clone());
        let took = time_to_end(&lab, words, || lab.fake.fired(rule) > 0);
        assert!(took < SOON, "{words} {path} {action:?}: {took:?}");
    });
}

#[cfg(unix)]
#[test]
fn a_signal_to_a_pull_that_waits_for_a_locked_layout_leaves_it_as_it_was() {
    let lab = Lab::new();
    lab.serve(&[KIB]);
    lab.pulls(":v1", "new");
    let before = lab.names("new");
    let marker = std::fs::File::open(lab.path("new/oci-layout")).unwrap();
    marker.lock().unwrap();
    lab.fake.clear_log();
    let took = time_to_end(&lab, "--insecure pull HOST/team/app:v1 new --ref-name q", || lab.count("GET", "") > 0);
    assert!(took < SOON, "{took:?}");
    assert_eq!(lab.names("new"), before);
}

#[cfg(unix)]
#[test]
fn a_long_wait_is_told_under_verbose_and_never_under_json_and_quiet() {
    use std::io::{BufRead, BufReader};

    let busy = "*/manifests/*";
    for (method, action, expected) in [
        ("GET", Action::RetryAfter(429, "200".to_owned()), "  waiting 200 s: HOST is busy (429)"),
        ("GET", Action::RetryAfter(503, "201".to_owned()), "  waiting 201 s: HOST answered 503"),
    ] {
        let lab = Lab::new();
        lab.serve(&[KIB]);
        lab.fake.rule(Rule::on(method, busy), action);
        let host = lab.fake.host();
        let words = "--insecure -v pull HOST/team/app:v1 new".replace("HOST", &host);
        let mut child =
            lab.program().args(words.split(' ')).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        assert_eq!(lines.next().unwrap().unwrap(), expected.replace("HOST", &host));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(lines.next().is_none());
    }
    for flag in ["-q", "--json", ""] {
        let lab = Lab::new();
        lab.serve(&[KIB]);
        let rule = lab.fake.rule(Rule::on("GET", busy), Action::RetryAfter(429, "200".to_owned()));
        let words = format!("--insecure pull HOST/team/app:v1 new {flag}").replace("HOST", &lab.fake.host());
        let mut child =
            lab.program().args(words.split_whitespace()).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        while lab.fake.fired(rule) == 0 {
            assert!(child.try_wait().unwrap().is_none());
            thread::sleep(Duration::from_millis(5));
        }
        thread::sleep(Duration::from_millis(100));
        child.kill().unwrap();
        assert_eq!(child.wait_with_output().unwrap().stderr, b"", "{flag}");
    }
}

#[test]
fn heads_and_documents_that_drip_have_a_deadline_and_blobs_have_none() {
    let (stall, whole) = (Duration::from_millis(200), Duration::from_millis(400));
    let pause = Duration::from_millis(40);
    let slow = "its answer was not whole after";
    at_once(["*/manifests/v1", "*/tags/list", "config", "/token", "403", "head", "layer"], |path| {
        let auth = if path == "/token" { Auth::tokens("user", "password") } else { Auth::None };
        let lab = Lab::with(Options { auth, ..Options::default() });
        let image = lab.serve(&[KIB]);
        let manifest: serde_json::Value =
            serde_json::from_slice(&lab.fake.manifest(REPOSITORY, &image).unwrap()).unwrap();
        let path_of_rule = match path {
            "config" => format!("*{}", text(&manifest["config"]["digest"])),
            "layer" => format!("*{}", digest_of(&layer(1000, KIB))),
            "403" | "head" => "*/manifests/v1".to_owned(),
            path => path.to_owned(),
        };
        let action = match path {
            "head" => Action::DripHead(pause),
            "layer" => Action::Drip(100, pause),
            _ => Action::Drip(1, pause),
        };
        lab.fake.rule(Rule::on("GET", &path_of_rule), action);
        if path == "403" {
            let long = "sorry ".repeat(1000).into_bytes();
            lab.fake.rule(Rule::on("GET", &path_of_rule), Action::Status(403, Vec::new(), long));
        }
        let start = Instant::now();
        let reference = if path == "*/tags/list" { "*" } else { ":v1" };
        let client = lab.client_with(&lab.connection_of_user().stall_timeout(stall).document_timeout(whole));
        let pulled = lab.pull_with(&client, reference, "new", &Selection::default(), &PullOptions::default());
        // A layer may come as slowly as it likes.
        if path == "layer" {
            pulled.unwrap();
            assert!(start.elapsed() > whole);
            lab.is_valid("new");
            return;
        }
        let error = in_full(&pulled.unwrap_err());
        let expected = if path == "403" { " 403 " } else { slow };
        assert!(error.contains(expected), "{path}: {error}");
        assert!(start.elapsed() < Duration::from_secs(5), "{path}: {:?}", start.elapsed());
    });
}

#[test]
fn a_timeout_of_more_than_a_lifetime_is_one_without_end() {
    let lab = Lab::new();
    lab.single(&[2 * MIB]);
    for time in ["2y", "30000000000y"] {
        let stall = format!("--stall-timeout {time}");
        lab.run(&format!("ping -r HOST {stall}")).succeeds();
        lab.run(&format!("push l HOST/team/app {stall} --force")).succeeds();
        lab.run(&format!("pull HOST/team/app:v1 {time} {stall} --lock-timeout {time}")).succeeds();
        lab.run(&format!("gc {time} --keep-younger-than {time} --lock-timeout {time}")).succeeds();
        lab.is_valid(time);
    }
    let connection = lab.connection().stall_timeout(Duration::MAX).document_timeout(Duration::MAX);
    lab.client_with(&connection).ping().unwrap();
}
