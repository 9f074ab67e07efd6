//! Debian's docker-registry: pushes to it and pulls from it, judged by skopeo, podman and curl. No test leaves the machine.

#![allow(clippy::unwrap_used, reason = "a test that panics fails")]

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use serde_json::Value;

use super::lab::{Lab, is_root, say};
use super::samples::{base, patches};

/// A running docker-registry, stopped when it is dropped.
pub(crate) struct Registry {
    child: Child,
    port: u16,
}

impl Registry {
    /// Starts a registry with storage in the lab; `more` are further lines of its configuration, below `http` or beside it.
    pub(crate) fn start(lab: &Lab, name: &str, http: &str, more: &str) -> Self {
        // The port is free now, and nobody else on this machine is asked for it.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let storage = lab.path(&format!("{name}-storage"));
        let config = format!(
            "version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\n\
             storage: {{filesystem: {{rootdirectory: '{}'}}, delete: {{enabled: true}}{}}}\n\
             http:\n  addr: 127.0.0.1:{port}\n{http}{more}",
            storage.display(),
            if name == "read-only" { ", maintenance: {readonly: {enabled: true}}" } else { "" },
        );
        lab.write(&format!("{name}.yml"), config);
        let child = Command::new("docker-registry")
            .args(["serve", &lab.text(&format!("{name}.yml"))])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("docker-registry starts");
        let registry = Self { child, port };
        let start = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(start.elapsed() < Duration::from_secs(20), "docker-registry does not listen");
            thread::sleep(Duration::from_millis(20));
        }
        registry
    }

    pub(crate) fn plain(lab: &Lab) -> Self {
        Self::start(lab, "plain", "", "")
    }

    pub(crate) fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Returns a reference to an image in this registry.
    pub(crate) fn image(&self, reference: &str) -> String {
        format!("127.0.0.1:{}/{reference}", self.port)
    }

    fn docker(&self, reference: &str) -> String {
        format!("docker://{}", self.image(reference))
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Makes a layout with an image for two platforms, an image for one, and an artifact with a referrer.
pub(crate) fn sample(lab: &Lab) {
    lab.write("0.tar", base());
    lab.write("1.tar", patches());
    for architecture in ["amd64", "arm64"] {
        let platform = format!("linux/{architecture}");
        let output = format!("{architecture}:v1");
        let words = ["build", "-q", "-o", &output, "--platform", &platform, "--layer", "0.tar", "--layer", "1.tar"];
        lab.regshape(&words);
    }
    lab.regshape(&["join", "-q", "amd64", "arm64", "-o", "image", "--ref-name", "both"]);
    lab.regshape(&["import", "-q", "image", "--file", "amd64", "--ref-name", "one"]);
    lab.write("sbom.json", r#"{"packages": []}"#);
    let attach = ["attach", "-q", "-p", "image:one", "--artifact-type", "application/spdx+json", "--file", "sbom.json"];
    lab.regshape(&attach);
}

pub(crate) fn digest_of(lab: &Lab, layout: &str) -> String {
    let descriptor = lab.regshape(&["manifest", "descriptor", "-p", layout, "--json"]);
    let descriptor: Value = serde_json::from_str(&descriptor).unwrap();
    descriptor["digest"].as_str().unwrap().to_owned()
}

fn digest_of_skopeo(lab: &Lab, image: &str) -> String {
    let raw = lab.skopeo(&["inspect", "--tls-verify=false", "--raw", image]);
    let mut child = Command::new("sha256sum").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(raw.as_bytes()).unwrap();
    let text = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
    format!("sha256:{}", &text[..64])
}

#[test]
fn skopeo_and_podman_read_pushed_images_with_the_same_digests() {
    let Some(lab) = Lab::with(&["docker-registry", "skopeo", "podman", "curl"]) else { return };
    sample(&lab);
    let registry = Registry::plain(&lab);
    lab.regshape(&["push", "-q", "image:both", &registry.image("a/b:both")]);
    lab.regshape(&["push", "-q", "image:one", &registry.image("a/b:one,two"), "--referrers"]);
    for (tag, pushed) in [("both", "both"), ("one", "one"), ("one", "two")] {
        let expected = digest_of(&lab, &format!("image:{tag}"));
        assert_eq!(digest_of_skopeo(&lab, &registry.docker(&format!("a/b:{pushed}"))), expected, "{pushed}");
        let source = registry.docker(&format!("a/b:{pushed}"));
        let target = format!("oci:by-skopeo:{pushed}");
        lab.skopeo(&["copy", "-q", "--all", "--preserve-digests", "--src-tls-verify=false", &source, &target]);
        assert_eq!(digest_of(&lab, &format!("by-skopeo:{pushed}")), expected, "{pushed}");
    }
    lab.validate("by-skopeo");
    // docker-registry has no list of referrers: the fallback tag is one.
    let tag = digest_of(&lab, "image:one").replace(':', "-");
    let accept = "Accept: application/vnd.oci.image.index.v1+json";
    let url = format!("http://{}/v2/a/b/manifests/{tag}", registry.host());
    let list: Value = serde_json::from_str(&lab.run("curl", &["-sf", "-H", accept, &url])).expect("an index");
    assert_eq!(list["manifests"].as_array().map(Vec::len), Some(1), "{list}");
    assert_eq!(list["manifests"][0]["artifactType"], "application/spdx+json", "{list}");
    if is_root() {
        lab.podman(&["pull", "-q", "--tls-verify=false", &registry.image("a/b:one")]);
        let by_digest = registry.image(&format!("a/b@{}", digest_of(&lab, "image:one")));
        lab.podman(&["pull", "-q", "--tls-verify=false", &by_digest]);
    } else {
        say("not tried with podman: only root uses it");
    }
    // And back, with the referrers.
    lab.regshape(&["pull", "-q", &registry.image("a/b:one"), "back", "--referrers"]);
    lab.validate("back");
    assert_eq!(digest_of(&lab, "back:one"), digest_of(&lab, "image:one"));
    let referrers = lab.regshape(&["referrer", "list", "-p", "back:one", "--json"]);
    let referrers: Value = serde_json::from_str(&referrers).expect("JSON");
    assert_eq!(referrers["manifests"].as_array().map(Vec::len), Some(1), "{referrers}");
}

#[test]
fn images_of_skopeo_are_pulled_with_the_same_digests() {
    let Some(lab) = Lab::with(&["docker-registry", "skopeo"]) else { return };
    sample(&lab);
    let registry = Registry::plain(&lab);
    for tag in ["both", "one"] {
        let (source, target) = (format!("oci:image:{tag}"), registry.docker(&format!("c:{tag}")));
        lab.skopeo(&["copy", "-q", "--all", "--preserve-digests", "--dest-tls-verify=false", &source, &target]);
    }
    lab.regshape(&["pull", "-q", "--all-tags", &registry.image("c"), "pulled"]);
    lab.validate("pulled");
    for tag in ["both", "one"] {
        assert_eq!(digest_of(&lab, &format!("pulled:{tag}")), digest_of(&lab, &format!("image:{tag}")), "{tag}");
    }
    // One platform is its manifest as it is.
    lab.regshape(&["pull", "-q", &registry.image("c:both"), "arm", "--platform", "linux/arm64"]);
    assert_eq!(digest_of(&lab, "arm:both"), digest_of(&lab, "arm64:v1"));
    // Docker's types stay, or are rewritten if asked.
    let target = registry.docker("c:docker");
    lab.skopeo(&["copy", "-q", "--format", "v2s2", "--dest-tls-verify=false", "oci:image:one", &target]);
    lab.regshape(&["pull", "-q", &registry.image("c:docker"), "docker"]);
    assert_eq!(digest_of(&lab, "docker:docker"), digest_of_skopeo(&lab, &target));
    lab.regshape(&["pull", "-q", &registry.image("c:docker"), "rewritten", "--format", "oci"]);
    lab.validate("rewritten");
    lab.skopeo(&["copy", "-q", "oci:rewritten:docker", "dir:rewritten-by-skopeo"]);
}

/// Certificates in files of the lab: an authority, a server's and a client's.
fn certificates(lab: &Lab) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    lab.write("ca.crt", params.self_signed(&key).unwrap().pem());
    let authority = Issuer::new(params, key);
    for (name, purpose) in [
        ("server", ExtendedKeyUsagePurpose::ServerAuth),
        ("client", ExtendedKeyUsagePurpose::ClientAuth),
        ("other", ExtendedKeyUsagePurpose::ClientAuth),
    ] {
        let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned(), "localhost".to_owned()]).unwrap();
        params.extended_key_usages = vec![purpose];
        let key = KeyPair::generate().unwrap();
        lab.write(&format!("{name}.crt"), params.signed_by(&key, &authority).unwrap().pem());
        lab.write(&format!("{name}.key"), key.serialize_pem());
    }
}

fn tls(lab: &Lab) -> String {
    let path = |name| lab.text(name);
    format!("  tls:\n    certificate: '{}'\n    key: '{}'\n", path("server.crt"), path("server.key"))
}

#[test]
fn a_private_authority_and_a_password_are_enough() {
    let Some(lab) = Lab::with(&["docker-registry"]) else { return };
    sample(&lab);
    certificates(&lab);
    // The password is pw.
    lab.write("htpasswd", "u:$2y$05$abcdefghijklmnopqrstuuHIrMEWpUCQe2YqFR3sXwQ75u4od..9q\n");
    let auth = format!("auth: {{htpasswd: {{realm: registry, path: '{}'}}}}\n", lab.text("htpasswd"));
    let registry = Registry::start(&lab, "private", &tls(&lab), &auth);
    let image = registry.image("a/b:v1");
    let fails = |words: &[&str], expected: &str| {
        let output = lab.output(env!("CARGO_BIN_EXE_regshape"), words);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{words:?}: {text}");
        assert!(text.contains(expected) && text.lines().count() == 1, "{words:?}: {text}");
    };
    fails(
        &["push", "-q", "image:one", &image],
        "signed by an authority that is not trusted; name the authority with --ca-file",
    );
    fails(&["push", "-q", "image:one", &image, "--ca-file", "ca.crt"], "authentication failed");
    fails(&["push", "-q", "image:one", &image, "--insecure"], "it speaks HTTPS, not plain HTTP; leave out --insecure");
    lab.write("auth.json", format!(r#"{{"auths": {{"{}": {{"auth": "dTpwdw=="}}}}}}"#, registry.host()));
    let with = ["--ca-file", "ca.crt", "--auth-file", "auth.json"];
    lab.regshape(&[&["push", "-q", "image:one", &image], &with[..]].concat());
    lab.regshape(&[&["pull", "-q", &image, "back"], &with[..]].concat());
    assert_eq!(digest_of(&lab, "back:v1"), digest_of(&lab, "image:one"));
    lab.regshape(&["ping", "-q", "-r", &registry.host(), "--ca-file", "ca.crt"]);
}

#[test]
fn a_registry_that_wants_a_certificate_gets_the_clients() {
    let Some(lab) = Lab::with(&["docker-registry"]) else { return };
    sample(&lab);
    certificates(&lab);
    let http = format!("{}    clientcas: ['{}']\n", tls(&lab), lab.text("ca.crt"));
    let registry = Registry::start(&lab, "mutual", &http, "");
    let image = registry.image("a/b:v1");
    let push = ["push", "-q", "image:one", &image, "--ca-file", "ca.crt", "--retries", "0"];
    let output = lab.output(env!("CARGO_BIN_EXE_regshape"), &push);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("it refused the client's certificate, or wants one"), "{text}");
    let wrong = [&push[..], &["--cert-file", "client.crt", "--key-file", "other.key"]].concat();
    let output = lab.output(env!("CARGO_BIN_EXE_regshape"), &wrong);
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(
        (output.status.code(), &*text),
        (Some(1), "Error: the key in other.key does not belong to the certificate in client.crt\n")
    );
    lab.regshape(&[&push[..], &["--cert-file", "client.crt", "--key-file", "client.key"]].concat());
}

#[test]
fn a_read_only_registry_is_named() {
    let Some(lab) = Lab::with(&["docker-registry"]) else { return };
    sample(&lab);
    let registry = Registry::start(&lab, "read-only", "", "");
    let output = lab.output(
        env!("CARGO_BIN_EXE_regshape"),
        &["push", "-q", "image:one", &registry.image("a/b:v1"), "--retries", "0"],
    );
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("answered 405") && text.contains("the registry may be read-only"), "{text}");
}

/// Passes connections on, and ends each after so many bytes of the client.
fn cutting_proxy(to: u16, cut_after: usize) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for client in listener.incoming() {
            let (Ok(mut client), Ok(mut server)) = (client, TcpStream::connect(("127.0.0.1", to))) else { continue };
            let (mut from, mut back) = (server.try_clone().unwrap(), client.try_clone().unwrap());
            thread::spawn(move || std::io::copy(&mut from, &mut back).and_then(|_| back.shutdown(Shutdown::Both)));
            thread::spawn(move || {
                let (mut left, mut buffer) = (cut_after, [0; 16 * 1024]);
                while left > 0 {
                    let wanted = buffer.len().min(left);
                    match client.read(&mut buffer[..wanted]) {
                        Ok(read @ 1..) if server.write_all(&buffer[..read]).is_ok() => left -= read,
                        _ => break,
                    }
                }
                let _ = (client.shutdown(Shutdown::Both), server.shutdown(Shutdown::Both));
            });
        }
    });
    port
}

#[test]
fn a_push_through_a_proxy_that_cuts_connections_ends() {
    let Some(lab) = Lab::with(&["docker-registry"]) else { return };
    let registry = Registry::plain(&lab);
    let mut bytes = vec![0; 20 << 20];
    bytes.iter_mut().enumerate().for_each(|(at, byte)| *byte = ((at * at) >> 7) as u8);
    lab.write("large.bin", &bytes);
    lab.run("tar", &["cf", "large.tar", "large.bin"]);
    lab.regshape(&["build", "-q", "-o", "image:v1", "--layer", "large.tar", "--compress-format", "none"]);
    let proxy = cutting_proxy(registry.port, 9 << 20);
    let words = ["push", &format!("127.0.0.1:{proxy}/a/b:v1"), "-p", "image:v1", "--chunk-size", "4194304", "--json"];
    let pushed: Value = serde_json::from_str(&lab.regshape(&words)).expect("JSON");
    assert_eq!(pushed["summary"]["manifests_pushed"], 1);
    lab.regshape(&["pull", "-q", &registry.image("a/b:v1"), "back"]);
    assert_eq!(digest_of(&lab, "back:v1"), digest_of(&lab, "image:v1"));
    lab.validate("back");
}

#[test]
fn many_pushes_and_pulls_at_once_are_whole() {
    let Some(lab) = Lab::with(&["docker-registry"]) else { return };
    sample(&lab);
    let registry = Registry::plain(&lab);
    thread::scope(|scope| {
        for at in 0..8 {
            let (lab, registry) = (&lab, &registry);
            scope.spawn(move || lab.regshape(&["push", "-q", "image:both", &registry.image(&format!("many:v{at}"))]));
        }
    });
    thread::scope(|scope| {
        for at in 0..8 {
            let (lab, registry) = (&lab, &registry);
            scope.spawn(move || lab.regshape(&["pull", "-q", &registry.image(&format!("many:v{at}")), "together"]));
        }
    });
    lab.validate("together");
    for at in 0..8 {
        assert_eq!(digest_of(&lab, &format!("together:v{at}")), digest_of(&lab, "image:both"), "v{at}");
    }
    let uploads = lab.path("together/.regshape-uploads");
    assert!(!Path::new(&uploads).exists() || fs::read_dir(&uploads).unwrap().next().is_none());
}
