//! Credential helpers: the programs `docker-credential-NAME` of Docker, which keep credentials in a keychain.
//!
//! A helper is started without a shell. It reads the key of a registry, or credentials as JSON, from stdin, and prints
//! JSON to stdout. Its stderr is shown without the secrets that are known: when it ends, or when it is silent, since
//! it may wait for the user. It must end within a time limit.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::env;
use std::io::{self, Read, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError, sync_channel};
use std::thread::{self, Builder};
use std::time::{Duration, Instant};

use super::error::{HelperError, HelperErrorKind};
use super::known::KnownSecrets;
use super::secret::{Credential, Secret, TOKEN_USER};
use crate::json::{Node, to_compact};
use crate::remote::environment::Environment;
use crate::text::shortened;

/// The most bytes that a helper may print.
const MAX_OUTPUT: usize = 1 << 20;

/// How long the output of an ended helper is waited for: another process that it started may keep the pipe open.
const GRACE: Duration = Duration::from_secs(1);

/// A helper that has printed to stderr and is silent for so long may wait for the user.
const SILENCE: Duration = Duration::from_millis(500);

/// The outputs of helpers that have no credentials for a registry. They end with an error.
const NOT_FOUND: &[&str] =
    &["credentials not found in native keychain", "The specified item could not be found in the keychain."];

/// A credential helper that was found.
#[derive(Debug)]
pub(super) struct Helper<'a> {
    name: &'a str,
    program: PathBuf,
    environment: &'a Environment,
    time_limit: Duration,
    secrets: KnownSecrets,
}

/// What a helper did.
struct Output {
    status: ExitStatus,
    stdout: Vec<u8>,
    /// The text of its stderr that is not shown yet.
    stderr: Messages,
}

impl<'a> Helper<'a> {
    /// Finds `docker-credential-NAME` in the directories of PATH.
    pub(super) fn find(name: &'a str, environment: &'a Environment, time_limit: Duration) -> Result<Self, HelperError> {
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        if name.is_empty() || !name.bytes().all(is_name) {
            return Err(HelperError::new(name, HelperErrorKind::Name));
        }
        let file = format!("docker-credential-{name}{}", env::consts::EXE_SUFFIX);
        let path = environment.get("PATH").unwrap_or_default();
        // A relative directory would make the current directory a place of programs.
        let program = env::split_paths(path)
            .filter(|path| path.is_absolute())
            .map(|path| path.join(&file))
            .find(|path| is_program(path));
        let program = program.ok_or_else(|| HelperError::new(name, HelperErrorKind::NotFound))?;
        Ok(Self { name, program, environment, time_limit, secrets: KnownSecrets::default() })
    }

    /// Returns the credential of a registry, if there is one.
    pub(super) fn get(&self, key: &str) -> Result<Option<Credential>, HelperError> {
        let output = self.run("get", key.as_bytes().to_vec())?;
        let credential = self.credential_of(&output);
        if let Ok(Some(credential)) = &credential {
            self.secrets.learn_credential(credential);
        }
        drop(output.stderr);
        credential
    }

    fn credential_of(&self, output: &Output) -> Result<Option<Credential>, HelperError> {
        if !output.status.success() {
            return if is_not_found(&output.stdout) { Ok(None) } else { Err(self.failed(output)) };
        }
        let invalid = || self.error(HelperErrorKind::Output);
        let answer = Node::parse(&output.stdout).ok().filter(|answer| answer.is_object()).ok_or_else(invalid)?;
        let field = |name: &str| {
            // Docker reads keys in any case.
            let found = answer.members().find(|(key, _)| key.eq_ignore_ascii_case(name));
            found.map_or(Ok(Cow::default()), |(_, value)| value.as_str().ok_or_else(invalid))
        };
        let (user, secret) = (field("Username")?, field("Secret")?);
        Ok((!secret.is_empty()).then(|| Credential::new(user, secret)))
    }

    /// Stores the credential of a registry.
    pub(super) fn store(&self, key: &str, user: &str, secret: &str) -> Result<(), HelperError> {
        self.secrets.learn_credential(&Credential::Password {
            user: user.to_owned(),
            password: Secret::from(secret.to_owned()),
        });
        let credentials = BTreeMap::from([("ServerURL", key), ("Username", user), ("Secret", secret)]);
        let output = self.run("store", to_compact(&credentials))?;
        if output.status.success() { Ok(()) } else { Err(self.failed(&output)) }
    }

    /// Deletes the credential of a registry. That there is none is not an error.
    pub(super) fn erase(&self, key: &str) -> Result<(), HelperError> {
        let output = self.run("erase", key.as_bytes().to_vec())?;
        if output.status.success() || is_not_found(&output.stdout) { Ok(()) } else { Err(self.failed(&output)) }
    }

    fn error(&self, kind: HelperErrorKind) -> HelperError {
        HelperError::new(self.name, kind)
    }

    fn failed(&self, output: &Output) -> HelperError {
        // Helpers print the reason to stdout. Output that looks like credentials is not repeated.
        let text = String::from_utf8_lossy(&output.stdout);
        let first = text.trim().lines().next().unwrap_or_default();
        let reason = if text.contains('{') { String::new() } else { shortened(&self.secrets.redact(first)) };
        self.error(HelperErrorKind::Failed { status: output.status, reason })
    }

    /// Runs the helper to its end.
    fn run(&self, action: &str, input: Vec<u8>) -> Result<Output, HelperError> {
        let run = |error| self.error(HelperErrorKind::Run(error));
        let mut command = Command::new(&self.program);
        command.arg(action).env_clear().envs(self.environment.variables());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = Running(spawn(&mut command).map_err(run)?);
        let deadline = Instant::now() + self.time_limit;
        let (output, messages) = child.exchange(input).map_err(run)?;
        let mut stderr = Messages::new(messages, self.secrets.clone());
        let mut stdout = Vec::new();
        let mut is_whole = false;
        let mut ended: Option<(ExitStatus, Instant)> = None;
        let mut pause = Duration::from_millis(1);
        loop {
            if ended.is_none() {
                ended = child.0.try_wait().map_err(run)?.map(|status| (status, Instant::now() + GRACE));
            }
            let now = Instant::now();
            match ended {
                Some((status, grace)) if is_whole && stderr.is_whole || now >= grace => {
                    return Ok(Output { status, stdout, stderr });
                }
                None if now >= deadline => return Err(self.error(HelperErrorKind::TimedOut(self.time_limit))),
                _ => {}
            }
            stderr.receive();
            if is_whole {
                thread::sleep(pause);
            } else {
                match output.recv_timeout(pause) {
                    Ok(bytes) => stdout.extend(bytes.map_err(run)?),
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => is_whole = true,
                }
            }
            if stdout.len() > MAX_OUTPUT {
                return Err(self.error(HelperErrorKind::TooLarge));
            }
            pause = (pause * 2).min(Duration::from_millis(20));
        }
    }
}

fn is_not_found(stdout: &[u8]) -> bool {
    NOT_FOUND.iter().any(|text| stdout.trim_ascii() == text.as_bytes())
}

fn is_program(path: &Path) -> bool {
    let Ok(metadata) = path.metadata() else { return false };
    #[cfg(unix)]
    let may_run = std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o111 != 0;
    #[cfg(not(unix))]
    let may_run = true;
    metadata.is_file() && may_run
}

/// Starts a program. Tries again for a moment if the file is still being written.
fn spawn(command: &mut Command) -> io::Result<Child> {
    const TRIES: u32 = 20;
    for _ in 1..TRIES {
        match command.spawn() {
            Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy => {
                thread::sleep(Duration::from_millis(10));
            }
            spawned => return spawned,
        }
    }
    command.spawn()
}

/// A child process that is stopped if it is still running when it is dropped.
struct Running(Child);

impl Running {
    /// Writes the input and reads the outputs on threads of their own: each may block.
    fn exchange(&mut self, input: Vec<u8>) -> io::Result<(Receiver<Piece>, Receiver<Piece>)> {
        let mut stdin = self.0.stdin.take().expect("it is piped");
        let stdout = self.0.stdout.take().expect("it is piped");
        let stderr = self.0.stderr.take().expect("it is piped");
        Builder::new().spawn(move || {
            // A helper that does not read its input says why by its status.
            let _ = stdin.write_all(&input);
        })?;
        Ok((pieces(stdout)?, pieces(stderr)?))
    }
}

/// A part of an output.
type Piece = io::Result<Vec<u8>>;

/// Reads an output on a thread of its own.
fn pieces(mut output: impl Read + Send + 'static) -> io::Result<Receiver<Piece>> {
    let (sender, receiver) = sync_channel(1);
    Builder::new().spawn(move || {
        let mut buffer = [0; 8 << 10];
        loop {
            let read = match output.read(&mut buffer) {
                Ok(0) => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                read => read,
            };
            // After the time limit nothing receives the output.
            let is_over = read.is_err();
            if sender.send(read.map(|length| buffer[..length].to_vec())).is_err() || is_over {
                break;
            }
        }
    })?;
    Ok(receiver)
}

/// The text that a helper prints to stderr. It is shown at the latest when this is dropped.
struct Messages {
    from: Receiver<Piece>,
    secrets: KnownSecrets,
    held: Vec<u8>,
    last: Instant,
    is_whole: bool,
}

impl Messages {
    fn new(from: Receiver<Piece>, secrets: KnownSecrets) -> Self {
        Self { from, secrets, held: Vec::new(), last: Instant::now(), is_whole: false }
    }

    /// Takes the text that came, and shows it if the helper may wait for the user.
    fn receive(&mut self) {
        loop {
            match self.from.try_recv() {
                Ok(Ok(bytes)) => {
                    self.held.extend(bytes);
                    self.last = Instant::now();
                }
                Ok(Err(_)) | Err(TryRecvError::Disconnected) => {
                    self.is_whole = true;
                    break;
                }
                Err(TryRecvError::Empty) => break,
            }
            if self.held.len() > MAX_OUTPUT {
                self.show();
            }
        }
        if self.last.elapsed() >= SILENCE {
            self.show();
        }
    }

    fn show(&mut self) {
        if !self.held.is_empty() {
            let text = String::from_utf8_lossy(&self.held);
            // There is no place to say that it cannot be shown.
            let _ = io::stderr().write_all(self.secrets.redact(&text).as_bytes());
            self.held.clear();
        }
    }
}

impl Drop for Messages {
    fn drop(&mut self) {
        self.show();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Killing a process that has ended does nothing.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Returns the user name and the secret with which a helper keeps a credential; `None` if helpers cannot keep it.
pub(super) fn as_stored(credential: &Credential) -> Option<(&str, &str)> {
    match credential {
        Credential::Password { user, password } => Some((user, password.expose())),
        Credential::IdentityToken(token) => Some((TOKEN_USER, token.expose())),
        Credential::RegistryToken(_) => None,
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(30);

    /// A directory with a helper `test`, which is a shell script.
    struct Fixture {
        directory: tempfile::TempDir,
        environment: Environment,
    }

    impl Fixture {
        fn new(script: &str) -> Self {
            let directory = tempfile::tempdir().expect("a directory");
            let path = directory.path().join("docker-credential-test");
            fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("written");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("made a program");
            let path = format!("{}:/usr/bin:/bin", directory.path().display());
            let environment = Environment::default().variable("PATH", path).variable("DIR", directory.path());
            Self { directory, environment }
        }

        fn get(&self, limit: Duration) -> Result<Option<Credential>, HelperError> {
            Helper::find("test", &self.environment, limit)?.get("a.b:5000")
        }
    }

    #[test]
    fn the_answers_of_helpers_are_read() {
        let token = || Credential::IdentityToken("pw".to_owned().into());
        for (script, expected) in [
            (r#"echo '{"ServerURL":"a.b","Username":"me","Secret":"pw"}'"#, Some(Credential::new("me", "pw"))),
            (r#"echo '{"username":"me","secret":"pw","more":[1]}'"#, Some(Credential::new("me", "pw"))),
            (r#"echo '{"Username":"<token>","Secret":"pw"}'"#, Some(token())),
            (
                r#"test $1 = get && read key; printf '{"Username":"me","Secret":"%s"}' "$key""#,
                Some(Credential::new("me", "a.b:5000")),
            ),
            (r#"echo noise >&2; echo '{"Username":"me","Secret":"pw"}'"#, Some(Credential::new("me", "pw"))),
            ("echo '{\"Username\":\"\",\"Secret\":\"\"}'", None),
            ("echo '{}'", None),
            ("echo 'credentials not found in native keychain'; exit 1", None),
            // An agent that goes on in the background keeps the pipe open.
            ("sleep 9 & echo '{\"Secret\":\"pw\"}'", Some(Credential::new("", "pw"))),
        ] {
            assert_eq!(Fixture::new(script).get(LIMIT).expect(script), expected, "{script}");
        }
    }

    #[test]
    fn each_failure_of_a_helper_has_its_message() {
        for (script, message) in [
            ("exit 3", "failed (exit status: 3)"),
            ("echo no keyring; echo more; exit 1", "failed (exit status: 1): no keyring"),
            (r#"echo '{"Secret":"hunter2"}'; exit 1"#, "failed (exit status: 1)"),
            ("kill -9 $$", "failed (signal: 9 (SIGKILL))"),
            ("", "printed no credentials: its output is not JSON with Username and Secret"),
            ("echo hunter2", "printed no credentials"),
            ("echo '[]'", "printed no credentials"),
            (r#"echo '{"Username":1,"Secret":"hunter2"}'"#, "printed no credentials"),
            ("head -c 1048577 /dev/zero", "printed more than 1 MiB"),
            ("cat /dev/zero", "printed more than 1 MiB"),
        ] {
            let error = Fixture::new(script).get(LIMIT).expect_err(script).to_string();
            assert!(error.starts_with("credential helper 'docker-credential-test' "), "{error}");
            assert!(error.contains(message) && !error.contains("hunter2"), "{script}: {error}");
        }
    }

    #[test]
    fn a_helper_that_hangs_is_stopped() {
        for script in ["exec sleep 60", "trap '' TERM; exec 1>&-; exec sleep 60"] {
            let start = Instant::now();
            let error = Fixture::new(script).get(Duration::from_millis(200)).expect_err("it hangs").to_string();
            assert_eq!(error, "credential helper 'docker-credential-test' took longer than 0.2 s");
            assert!(start.elapsed() < Duration::from_secs(20));
        }
    }

    #[test]
    fn only_programs_in_absolute_directories_of_path_are_run() {
        let fixture = Fixture::new("exit 0");
        for (name, message) in [
            ("", "is not run"),
            ("a/b", "is not run"),
            ("../test", "is not run"),
            ("a b", "is not run"),
            ("a;b", "is not run"),
            ("none", "'docker-credential-none' is not in PATH"),
            (".", "'docker-credential-.' is not in PATH"),
        ] {
            let error = Helper::find(name, &fixture.environment, LIMIT).expect_err(name).to_string();
            assert!(error.contains(message), "{name}: {error}");
        }
        let file = fixture.directory.path().join("docker-credential-plain");
        fs::write(file, "").expect("written");
        assert!(Helper::find("plain", &fixture.environment, LIMIT).is_err());
        for path in ["", ".", "src:."] {
            let environment = Environment::default().variable("PATH", path);
            assert!(Helper::find("test", &environment, LIMIT).is_err());
        }
    }

    #[test]
    fn credentials_are_passed_through_stdin() {
        let fixture = Fixture::new(r#"echo "$@" >"$DIR/arguments"; cat >"$DIR/stdin""#);
        let helper = Helper::find("test", &fixture.environment, LIMIT).expect("found");
        let written = || {
            let read = |name: &str| fs::read_to_string(fixture.directory.path().join(name)).expect("written");
            (read("arguments"), read("stdin"))
        };
        helper.store("a.b", "me", "p\"w").expect("stored");
        let json = r#"{"Secret":"p\"w","ServerURL":"a.b","Username":"me"}"#;
        assert_eq!(written(), ("store\n".to_owned(), json.to_owned()));
        helper.erase("a.b").expect("erased");
        assert_eq!(written(), ("erase\n".to_owned(), "a.b".to_owned()));
        // An input that nothing reads is not an error.
        let large = "x".repeat(1 << 20);
        let deaf = Fixture::new("exit 0");
        Helper::find("test", &deaf.environment, LIMIT).expect("found").store("a.b", "me", &large).expect("stored");
    }
}
