//! Pushes and pulls whose requests and bytes are counted, not their time: after faults, after kills, and with nothing to do.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::fake_registry::{Action, Auth, Bodies, Fake, Options, Rule, Tokens};
use crate::lab::{Lab, blobs_of, remove};
use crate::servers::{Proxy, REPOSITORY, Registry, Trouble, bytes_of, image, serve};
use crate::support::{MIB, Result};

/// A count, and its limit.
pub(crate) struct Counted {
    pub(crate) found: String,
    pub(crate) limit: String,
    pub(crate) is_kept: bool,
}

pub(crate) struct Count {
    pub(crate) name: &'static str,
    pub(crate) work: &'static str,
    pub(crate) run: fn(&Lab) -> Result<Counted>,
}

pub(crate) const COUNTS: [Count; 8] = [
    Count { name: "push-requests", work: "push of 100 small layers, and again", run: push_requests },
    Count { name: "pull-warm", work: "pull of 4 GiB that are there", run: pull_warm },
    Count {
        name: "push-faults",
        work: "push of 4 GiB; 5 % of the requests refused, bodies cut after 100 MiB",
        run: push_with_faults,
    },
    Count {
        name: "push-faults-registry",
        work: "push of 1 GiB to docker-registry; connections cut after 100 MiB, one in 20 refused",
        run: push_with_faults_to_registry,
    },
    Count { name: "push-killed", work: "push of 1 GiB, killed and run again", run: push_killed },
    Count {
        name: "push-killed-registry",
        work: "push of 1 GiB to docker-registry in chunks of 16 MiB, killed and run again",
        run: push_killed_at_registry,
    },
    Count { name: "pull-killed", work: "pull of 1 GiB, killed and run again", run: pull_killed },
    Count { name: "push-tokens", work: "push of 30 s with tokens of 5 s", run: push_with_short_tokens },
];

/// How often a program is killed; each time at another moment.
const KILLS: u32 = 5;

/// The bytes that heads and documents may add to those of blobs.
const HEADS: u64 = MIB;

/// The size of the image of 16 layers.
fn large(lab: &Lab) -> Result<PathBuf> {
    image(lab, 16, lab.size * MIB / 4)
}

/// The size of the image of 8 layers, a quarter of the other.
fn small(lab: &Lab) -> Result<PathBuf> {
    image(lab, 8, lab.size * MIB / 8)
}

fn push(lab: &Lab, image: &Path, host: &str, flags: &[&str]) -> Command {
    let mut command = lab.regshape(&["push", "--insecure"], image);
    // Its record of uploads belongs to this run.
    command.env("XDG_STATE_HOME", lab.path("state"));
    command.args(["--dest", &format!("{host}/{REPOSITORY}:v1")]).args(flags).stdin(Stdio::null());
    command
}

fn pull(lab: &Lab, host: &str, target: &Path) -> Command {
    let mut command = lab.regshape(&["pull", "--insecure", "--no-sync"], target);
    command.args(["--source", &format!("{host}/{REPOSITORY}:v1")]).stdin(Stdio::null());
    command
}

fn finish(command: &mut Command) -> Result<Duration> {
    let start = Instant::now();
    let status = command.status()?;
    if status.success() { Ok(start.elapsed()) } else { Err(format!("it ended with {status}").into()) }
}

/// Kills a command after a share of the time that it takes.
fn kill_after(command: &mut Command, time: Duration) -> Result<()> {
    let mut child: Child = command.spawn()?;
    thread::sleep(time);
    child.kill()?;
    child.wait()?;
    Ok(())
}

fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / MIB as f64)
}

/// Compares the bytes that were sent with those of the image.
fn times(sent: u64, payload: u64, limit: f64) -> Counted {
    let ratio = sent as f64 / payload as f64;
    let limit_of = format!("{limit} times the image");
    Counted { found: format!("{ratio:.3} times the image"), limit: limit_of, is_kept: ratio <= limit }
}

fn pull_warm(lab: &Lab) -> Result<Counted> {
    let (fake, target) = (Fake::start(Options::default()), lab.path("warm"));
    serve(&fake, &large(lab)?)?;
    finish(&mut pull(lab, &fake.host(), &target))?;
    fake.clear_log();
    let mut child = pull(lab, &fake.host(), &target).spawn()?;
    let mut read = 0;
    // The system forgets the count when the process ends.
    while child.try_wait()?.is_none() {
        let io = fs::read_to_string(format!("/proc/{}/io", child.id())).unwrap_or_default();
        let count = io.lines().find_map(|line| line.strip_prefix("rchar: ")?.parse().ok());
        read = count.unwrap_or(read).max(read);
    }
    if !child.wait()?.success() {
        return Err("the second pull failed".into());
    }
    let requests = fake.requests().len();
    remove(&target)?;
    let found = format!("{requests} request, {read} bytes read");
    Ok(Counted { found, limit: "1 request, no blob".to_owned(), is_kept: requests == 1 && read < MIB })
}

fn push_requests(lab: &Lab) -> Result<Counted> {
    let (image, fake) = (image(lab, 100, 10 * 1024)?, Fake::start(Options::default()));
    // The manifest is no blob to the registry.
    let blobs = blobs_of(&image)?.len() - 1;
    let mut counts = [0; 2];
    for count in &mut counts {
        fake.clear_log();
        finish(&mut push(lab, &image, &fake.host(), &[]))?;
        *count = fake.requests().len();
    }
    let [cold, warm] = counts;
    let limit = 3 * blobs + 5;
    Ok(Counted {
        found: format!("{cold} requests for {blobs} new blobs; {warm} for none"),
        limit: format!("{limit} requests; 2"),
        is_kept: cold <= limit && warm <= 2,
    })
}

fn push_with_faults(lab: &Lab) -> Result<Counted> {
    let image = large(lab)?;
    let fake = Fake::start(Options { bodies: Bodies::Hash, ..Options::default() });
    fake.rule(Rule::on("*", "*").percent(3, 1), Action::RetryAfter(429, "0".to_owned()));
    fake.rule(Rule::on("*", "*").percent(2, 2), Action::status(503));
    fake.rule(Rule::on("PUT|PATCH", "*/blobs/uploads/*"), Action::CutUp(100 * MIB));
    finish(&mut push(lab, &image, &fake.host(), &[]))?;
    Ok(times(fake.bytes_received(), bytes_of(&image)?, 1.1))
}

fn push_with_faults_to_registry(lab: &Lab) -> Result<Counted> {
    let image = small(lab)?;
    let registry = Registry::start(lab)?;
    let proxy =
        Proxy::start(registry.port, Trouble { cut_after: Some(100 * MIB), refuse_every: Some(20), pause: None })?;
    finish(&mut push(lab, &image, &proxy.host(), &[]))?;
    Ok(times(proxy.bytes_up(), bytes_of(&image)?, 2.0))
}

/// Kills a push at several moments, and counts the bytes that are sent again at worst.
fn sent_again(lab: &Lab, flags: &[&str], start: impl Fn() -> Result<(Box<dyn Sent>, String)>) -> Result<u64> {
    let image = small(lab)?;
    let payload = bytes_of(&image)?;
    let (_server, host) = start()?;
    let whole = finish(&mut push(lab, &image, &host, flags))?;
    let mut most = 0;
    for at in 1..=KILLS {
        let (server, host) = start()?;
        kill_after(&mut push(lab, &image, &host, flags), whole * at / (KILLS + 1))?;
        finish(&mut push(lab, &image, &host, flags))?;
        most = most.max(server.bytes().saturating_sub(payload));
    }
    Ok(most)
}

/// A server that counts the bytes that it was sent.
trait Sent {
    fn bytes(&self) -> u64;
}

impl Sent for Fake {
    fn bytes(&self) -> u64 {
        self.bytes_received()
    }
}

impl Sent for (Registry, Proxy) {
    fn bytes(&self) -> u64 {
        self.1.bytes_up()
    }
}

fn push_killed(lab: &Lab) -> Result<Counted> {
    let most = sent_again(lab, &[], || {
        let fake = Fake::start(Options { bodies: Bodies::Hash, ..Options::default() });
        let host = fake.host();
        Ok((Box::new(fake), host))
    })?;
    let found = format!("{} sent again at most, {KILLS} kills", mib(most));
    Ok(Counted { found, limit: "documents".to_owned(), is_kept: most <= HEADS })
}

fn push_killed_at_registry(lab: &Lab) -> Result<Counted> {
    let most = sent_again(lab, &["--chunked", "--chunk-size", "16777216"], || {
        let registry = Registry::start(lab)?;
        let proxy = Proxy::start(registry.port, Trouble::default())?;
        let host = proxy.host();
        Ok((Box::new((registry, proxy)), host))
    })?;
    // The kill cuts a chunk of each blob in flight, and the registry forgets the bytes that it has of these blobs.
    let limit = 4 * lab.size * MIB / 8 + HEADS;
    let found = format!("{} sent again at most, {KILLS} kills", mib(most));
    Ok(Counted { found, limit: format!("the 4 blobs of a cut chunk, {}", mib(limit)), is_kept: most <= limit })
}

fn pull_killed(lab: &Lab) -> Result<Counted> {
    let (image, target) = (small(lab)?, lab.path("killed"));
    let payload = bytes_of(&image)?;
    let fake = Fake::start(Options::default());
    serve(&fake, &image)?;
    // The proxy counts the bytes that it sent, so the client must have read most of it when it is killed.
    let slow = || Proxy::start(fake.port(), Trouble { pause: Some(Duration::from_millis(2)), ..Trouble::default() });
    let whole = finish(&mut pull(lab, &slow()?.host(), &target))?;
    let mut most = 0;
    for at in 1..=KILLS {
        remove(&target)?;
        let proxy = slow()?;
        kill_after(&mut pull(lab, &proxy.host(), &target), whole * at / (KILLS + 1))?;
        finish(&mut pull(lab, &proxy.host(), &target))?;
        most = most.max(proxy.bytes_down().saturating_sub(payload));
    }
    remove(&target)?;
    let limit = 8 * MIB;
    let found = format!("{} fetched again at most, {KILLS} kills", mib(most));
    Ok(Counted { found, limit: "1 MiB a blob, 8.0 MiB".to_owned(), is_kept: most <= limit })
}

fn push_with_short_tokens(lab: &Lab) -> Result<Counted> {
    const LIFE: u64 = 5;
    let image = image(lab, 100, 10 * 1024)?;
    let lifetime = Some(Duration::from_secs(LIFE));
    let tokens = Tokens { lifetime, expires_in: Some(LIFE), ..Tokens::default() };
    let (user, password) = (tokens.user.clone(), tokens.password.clone());
    let fake =
        Fake::start(Options { auth: Auth::Tokens(tokens), delay: Duration::from_millis(100), ..Options::default() });
    let mut command = push(lab, &image, &fake.host(), &["--jobs", "1", "--username", &user, "--password-stdin"]);
    let start = Instant::now();
    let mut child = command.stdin(Stdio::piped()).spawn()?;
    if let Some(mut input) = child.stdin.take() {
        std::io::Write::write_all(&mut input, password.as_bytes())?;
    }
    let status = child.wait()?;
    if !status.success() {
        return Err(format!("it ended with {status}").into());
    }
    let seconds = start.elapsed().as_secs_f64();
    let (issued, most) = (fake.tokens_issued(), (seconds / LIFE as f64).ceil() as u64 + 1);
    let found = format!("{issued} tokens in {seconds:.0} s");
    Ok(Counted { found, limit: format!("{most} tokens"), is_kept: issued <= most })
}
