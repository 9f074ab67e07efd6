//! docker-registry with the tokens of a token server: JWTs that it verifies.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use serde_json::{Value, json};

use super::lab::Lab;
use super::registries::{Registry, digest_of, sample};

const SERVICE: &str = "the registry";
const ISSUER: &str = "the issuer";

/// May pull and push.
const WRITER: (&str, &str) = ("writer", "pw");

/// May pull.
const READER: (&str, &str) = ("reader", "pw");

/// Signs tokens, and shows its certificate in each.
struct Signer {
    key: EcdsaKeyPair,
    random: SystemRandom,
    certificate: String,
}

impl Signer {
    /// Makes a key and writes its certificate as `tokens.crt`.
    fn new(lab: &Lab) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        lab.write("tokens.crt", certificate.pem());
        let random = SystemRandom::new();
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &key.serialize_der(), &random).unwrap();
        Self { key, random, certificate: STANDARD.encode(certificate.der()) }
    }

    /// Returns a JWT (RFC 7519) that gives the access until a moment.
    fn token(&self, user: &str, access: &Value, now: u64, end: u64) -> String {
        let header = json!({ "typ": "JWT", "alg": "ES256", "x5c": [self.certificate] });
        let claims = json!({
            "iss": ISSUER, "sub": user, "aud": SERVICE, "iat": now, "nbf": now, "exp": end, "jti": "1",
            "access": access,
        });
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(&header), part(&claims));
        let signature = self.key.sign(&self.random, signed.as_bytes()).unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

/// A request for a token.
#[derive(Clone, Debug)]
struct Asked {
    user: Option<String>,
    scopes: Vec<String>,
    service: String,
    status: u16,
}

/// A token server.
struct TokenServer {
    port: u16,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl TokenServer {
    /// Starts a server whose tokens are good for some seconds.
    fn start(lab: &Lab, lifetime: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let (log, signer) = (Arc::clone(&asked), Signer::new(lab));
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if let Some(request) = answer(client, &signer, lifetime) {
                    log.lock().unwrap().push(request);
                }
            }
        });
        Self { port, asked }
    }

    /// Starts a registry that believes the tokens of this server.
    fn registry(&self, lab: &Lab) -> Registry {
        let auth = format!(
            "auth:\n  token:\n    realm: http://127.0.0.1:{}/token\n    service: {SERVICE}\n    issuer: {ISSUER}\n    rootcertbundle: '{}'\n",
            self.port,
            lab.text("tokens.crt")
        );
        Registry::start(lab, "tokens", "", &auth)
    }

    fn take_asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

/// Reads a request and answers it. Returns it, unless the client went away.
fn answer(mut client: TcpStream, signer: &Signer, lifetime: u64) -> Option<Asked> {
    let mut reader = BufReader::new(client.try_clone().unwrap());
    let mut lines = reader.by_ref().lines().map_while(Result::ok);
    let target = lines.next()?.split(' ').nth(1)?.to_owned();
    // All of it is read: the rest would cut the connection.
    let headers: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
    let header = |name: &str| {
        let lines = headers.iter().filter_map(|line| line.split_once(": "));
        lines.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value).next()
    };
    if let Some(length) = header("content-length") {
        // Only GET gives tokens here.
        reader.read_exact(&mut vec![0; length.parse().unwrap()]).ok()?;
        client.write_all(b"HTTP/1.1 405 X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").ok()?;
        return None;
    }
    let authorization = header("authorization");
    let parameters: Vec<(String, String)> = target
        .split_once('?')?
        .1
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (name.to_owned(), decoded(value)))
        .collect();
    let all = |name: &str| {
        parameters.iter().filter(|(key, _)| key == name).map(|(_, value)| value.clone()).collect::<Vec<_>>()
    };
    let given = authorization.and_then(|value| value.strip_prefix("Basic "));
    let given = given.map(|value| String::from_utf8(STANDARD.decode(value).unwrap()).unwrap());
    let user = given.as_deref().and_then(|given| given.split_once(':'));
    let is_known = user.is_some_and(|user| user == WRITER || user == READER);
    let mut asked = Asked {
        user: user.map(|(user, _)| user.to_owned()),
        scopes: all("scope").iter().flat_map(|scope| scope.split(' ')).map(str::to_owned).collect(),
        service: all("service").concat(),
        status: if is_known { 200 } else { 401 },
    };
    asked.scopes.retain(|scope| !scope.is_empty());
    let body = if is_known {
        let mut access: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for scope in &asked.scopes {
            let (name, actions) = scope.strip_prefix("repository:").unwrap().rsplit_once(':').unwrap();
            let may = |action: &&str| user == Some(WRITER) || *action == "pull";
            access.entry(name).or_default().extend(actions.split(',').filter(may));
        }
        let grant =
            |(name, actions): (&&str, &Vec<&str>)| json!({ "type": "repository", "name": name, "actions": actions });
        let access: Value = access.iter().map(grant).collect();
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        let token = signer.token(user.unwrap_or_default().0, &access, now, now + lifetime);
        json!({ "token": token, "expires_in": lifetime }).to_string()
    } else {
        json!({ "errors": [{ "code": "UNAUTHORIZED", "message": "not this one" }] }).to_string()
    };
    let challenge = if is_known { "" } else { "WWW-Authenticate: Basic realm=\"tokens\"\r\n" };
    let head =
        format!("HTTP/1.1 {} X\r\n{challenge}Content-Length: {}\r\nConnection: close\r\n", asked.status, body.len());
    client.write_all(format!("{head}Content-Type: application/json\r\n\r\n{body}").as_bytes()).ok()?;
    Some(asked)
}

/// Returns a part of a query without its escapes.
fn decoded(text: &str) -> String {
    let mut parts = text.split('%');
    let mut bytes = parts.next().unwrap_or_default().replace('+', " ").into_bytes();
    for part in parts {
        bytes.push(u8::from_str_radix(&part[..2], 16).unwrap());
        bytes.extend(part[2..].replace('+', " ").into_bytes());
    }
    String::from_utf8(bytes).unwrap()
}

fn auth_file(lab: &Lab, registry: &Registry, (user, password): (&str, &str)) -> [String; 2] {
    let auth = STANDARD.encode(format!("{user}:{password}"));
    lab.write("auth.json", json!({ "auths": { registry.host(): { "auth": auth } } }).to_string());
    ["--auth-file".to_owned(), "auth.json".to_owned()]
}

#[test]
fn tokens_that_the_registry_verifies_are_asked_for_and_sent() {
    let Some(lab) = Lab::with(&["docker-registry"]) else { return };
    sample(&lab);
    let server = TokenServer::start(&lab, 300);
    let registry = server.registry(&lab);
    let image = registry.image("a/b:v1");
    let run = |as_user: (&str, &str), words: &[&str]| {
        let flags = auth_file(&lab, &registry, as_user);
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        lab.output(env!("CARGO_BIN_EXE_regshape"), &[words, &flags, &["--retries", "0"]].concat())
    };
    let succeeds = |as_user, words: &[&str]| {
        let output = run(as_user, words);
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let (one, realm) = (digest_of(&lab, "image:one"), format!("http://127.0.0.1:{}", server.port));
    let fails = |as_user, words: &[&str], error: &str| {
        let output = run(as_user, words);
        let stderr = String::from_utf8(output.stderr).unwrap();
        let error = error.replace("HOST", &registry.host()).replace("DIGEST", &one).replace("REALM", &realm);
        let expected = format!("Error: {error}\n");
        assert_eq!((output.status.code(), stderr.as_str(), output.stdout.len()), (Some(1), &*expected, 0), "{words:?}");
        assert!(!stderr.contains("pw"), "{stderr}");
    };
    succeeds(WRITER, &["push", "-q", "image:both", &image]);
    let asked = server.take_asked();
    // One token is enough, and it was asked for with the password and the rights of a push.
    assert_eq!(asked.len(), 1, "{asked:?}");
    let scopes = |asked: &Asked| asked.scopes.clone();
    assert_eq!((asked[0].user.as_deref(), &*asked[0].service), (Some("writer"), SERVICE));
    assert_eq!(scopes(&asked[0]), ["repository:a/b:pull,push"]);
    succeeds(READER, &["pull", "-q", &image, "back"]);
    let asked = server.take_asked();
    assert_eq!((asked.len(), scopes(&asked[0])), (1, vec!["repository:a/b:pull".to_owned()]), "{asked:?}");
    lab.validate("back");
    assert_eq!(digest_of(&lab, "back:v1"), digest_of(&lab, "image:both"));
    // A blob is mounted with the right to pull from its repository.
    let mounted: Value = serde_json::from_str(&succeeds(
        WRITER,
        &["push", "image:both", &registry.image("c:v1"), "--mount-from", "a/b", "--json"],
    ))
    .unwrap();
    assert!(mounted.to_string().contains("\"mounted\""), "{mounted}");
    assert!(server.take_asked().iter().any(|asked| asked.scopes.contains(&"repository:a/b:pull".to_owned())));
    // A token for a pull does not push.
    fails(
        READER,
        &["push", "-q", "image:one", &image],
        "failed to push manifest DIGEST: authentication failed for HOST: the credentials do not allow this",
    );
    fails(
        (WRITER.0, "wrong"),
        &["push", "-q", "image:one", &image],
        "authentication failed for HOST: REALM gives no token: not this one",
    );
    fails(
        (WRITER.0, "wrong"),
        &["pull", "-q", &image, "new"],
        "authentication failed for HOST: REALM gives no token: not this one",
    );
    assert!(!lab.path("new").exists());
    let login = |password: &str| {
        let words = ["auth", "login", "-r", &registry.host(), "-u", "writer", "-p", password];
        lab.output(env!("CARGO_BIN_EXE_regshape"), &words)
    };
    let output = login("wrong");
    let stderr = String::from_utf8(output.stderr).unwrap();
    let rejected = format!("Error: Login failed for {}: authentication rejected\n", registry.host());
    assert!(stderr.ends_with(&rejected), "{stderr}");
    assert!(login("pw").status.success());
}

#[test]
fn tokens_that_expire_during_a_push_are_replaced() {
    let Some(lab) = Lab::with(&["docker-registry"]) else { return };
    sample(&lab);
    // The registry allows 60 s more; the program believes the second.
    let server = TokenServer::start(&lab, 1);
    let registry = server.registry(&lab);
    let flags = auth_file(&lab, &registry, WRITER);
    let image = registry.image("a/b:v1");
    let start = SystemTime::now();
    lab.regshape(&["push", "-q", "image:both", &image, &flags[0], &flags[1], "--jobs", "1"]);
    lab.regshape(&["pull", "-q", &image, "back", &flags[0], &flags[1]]);
    assert_eq!(digest_of(&lab, "back:v1"), digest_of(&lab, "image:both"));
    let seconds = start.elapsed().unwrap().as_secs();
    let asked = server.take_asked();
    assert!(asked.len() as u64 <= 2 * (seconds + 2), "{} in {seconds} s", asked.len());
    assert!(asked.iter().all(|asked| asked.status == 200));
}
