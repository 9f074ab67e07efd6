//! Rows of pushes and pulls: to a fake registry that counts bodies and keeps nothing, and to Debian's docker-registry.

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::time::Duration;

use crate::fake_registry::{Bodies, Fake, Options, Tls};
use crate::lab::{Lab, readers, remove, silent};
use crate::measure::Side;
use crate::rows::groups_of_equal_size;
use crate::servers::{Registry, image, large_blobs};
use crate::support::{MIB, Result};

/// How late the fake registry answers in the row of many small layers.
const LATE: Duration = Duration::from_millis(50);

/// The image of a row: how many layers, and how large they are together, in sizes of the lab.
#[derive(Clone, Copy)]
pub(crate) struct Load {
    pub(crate) layers: usize,
    pub(crate) sizes: u64,
    /// How many blobs are sent at once; the program's own number if it is not given.
    pub(crate) jobs: Option<usize>,
}

impl Load {
    fn image(self, lab: &Lab) -> Result<PathBuf> {
        image(lab, self.layers, lab.size * self.sizes * MIB / self.layers as u64)
    }

    /// The number of curl processes that do the same work.
    fn at_once(self) -> usize {
        self.layers.min(self.jobs.unwrap_or(4))
    }
}

/// A server with HTTP or HTTPS, as both programs see it.
#[derive(Clone)]
struct Server {
    host: String,
    /// The file of the authority's certificate, if TLS is spoken.
    ca: Option<PathBuf>,
}

impl Server {
    fn url(&self, path: &str) -> String {
        let scheme = if self.ca.is_some() { "https" } else { "http" };
        if path.starts_with('/') { format!("{scheme}://{}{path}", self.host) } else { path.to_owned() }
    }

    fn curl(&self, curl: &Path) -> Command {
        let mut command = silent(curl);
        command.arg("-sSf");
        if let Some(ca) = &self.ca {
            command.arg("--cacert").arg(ca);
        }
        command
    }

    fn push(&self, lab: &Lab, image: &Path, repository: &str, jobs: Option<usize>) -> Command {
        let mut command = lab.regshape(&["push"], image);
        command.args(["--dest", &format!("{}/{repository}:v1", self.host)]);
        match &self.ca {
            Some(ca) => command.arg("--ca-file").arg(ca),
            None => command.arg("--insecure"),
        };
        if let Some(jobs) = jobs {
            command.args(["--jobs", &jobs.to_string()]);
        }
        command
    }

    /// Begins the upload of a blob, and returns the URL of the request that sends it.
    fn begin(&self, curl: &Path, repository: &str, blob: &Path) -> Result<String> {
        let post = self.url(&format!("/v2/{repository}/blobs/uploads/"));
        let mut command = self.curl(curl);
        command.args(["-D", "-", "-o", "/dev/null", "-X", "POST", "-H", "Content-Length: 0", &post]);
        let output = command.stdout(Stdio::piped()).output()?;
        let head = String::from_utf8(output.stdout)?;
        let location = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("location").then(|| value.trim().to_owned())
        });
        let location = self.url(&location.ok_or("the registry began no upload")?);
        let separator = if location.contains('?') { '&' } else { '?' };
        let hex = blob.file_name().unwrap_or_default().to_string_lossy();
        Ok(format!("{location}{separator}digest=sha256:{hex}"))
    }

    /// Puts blobs with as many processes of curl at once. The uploads are begun before, outside the timed part.
    fn put(&self, curl: &Path, repository: &str, blobs: &[PathBuf], at_once: usize) -> Result<Vec<Command>> {
        let mut commands = Vec::new();
        for group in 0..at_once {
            let mut command = self.curl(curl);
            command.args(["-H", "Content-Type: application/octet-stream"]);
            for blob in blobs.iter().skip(group).step_by(at_once) {
                command.arg("-T").arg(blob).arg(self.begin(curl, repository, blob)?);
            }
            commands.push(command);
        }
        Ok(commands)
    }
}

/// Returns a function that names a new repository at each call.
fn new_repositories() -> impl Fn() -> String + Clone {
    let runs = Rc::new(RefCell::new(0));
    move || {
        *runs.borrow_mut() += 1;
        format!("bench/r{}", runs.borrow())
    }
}

fn fake(lab: &Lab, tls: bool) -> Result<(Rc<Fake>, Server)> {
    let identity = if tls { Tls::by_authority() } else { Tls::none() };
    let ca = tls.then(|| lab.path("ca.pem"));
    if let Some(ca) = &ca {
        fs::write(ca, identity.authority())?;
    }
    let fake = Rc::new(Fake::start(Options { bodies: Bodies::Count, tls: identity, ..Options::default() }));
    let server = Server { host: fake.host(), ca };
    Ok((fake, server))
}

fn push_to_fake<'l>(lab: &'l Lab, load: Load, tls: bool) -> Result<(Side<'l>, Server, impl Fn() -> String + Clone)> {
    let image = load.image(lab)?;
    let (fake, server) = fake(lab, tls)?;
    let next = new_repositories();
    let (ours, repository) = (server.clone(), next.clone());
    let scheme = if tls { "https" } else { "http" };
    let side = Side {
        shown: format!("regshape layout push image {scheme}://HOST/REPO ({} blobs)", load.layers),
        prepare: Box::new(move || {
            let _runs = &fake;
            Ok(vec![ours.push(lab, &image, &repository(), load.jobs)])
        }),
        output: None,
    };
    Ok((side, server, next))
}

/// Pushes an image to a new repository of a fake registry each time; curl puts its blobs there.
pub(crate) fn push_and_curl<'l>(lab: &'l Lab, curl: &'l Path, load: Load, tls: bool) -> Result<(Side<'l>, Side<'l>)> {
    let (ours, server, next) = push_to_fake(lab, load, tls)?;
    let blobs = large_blobs(&load.image(lab)?)?;
    let theirs = Side {
        shown: format!("curl -T BLOB UPLOAD, {} at once", load.at_once()),
        prepare: Box::new(move || server.put(curl, &next(), &blobs, load.at_once())),
        output: None,
    };
    Ok((ours, theirs))
}

/// Pushes an image to a fake registry; openssl hashes its blobs, with a process a core.
pub(crate) fn push_and_openssl<'l>(lab: &'l Lab, openssl: &'l Path, load: Load) -> Result<(Side<'l>, Side<'l>)> {
    let (ours, ..) = push_to_fake(lab, load, false)?;
    let blobs = groups_of_equal_size(large_blobs(&load.image(lab)?)?, lab.cores)?;
    Ok((ours, readers(openssl, &["dgst", "-sha256"], blobs)))
}

/// Starts an empty docker-registry for each run.
fn fresh_registry<'l>(
    lab: &'l Lab,
    shown: &str,
    commands: impl Fn(&Server) -> Result<Vec<Command>> + 'l,
) -> Result<Side<'l>> {
    let mut registry = None;
    Ok(Side {
        shown: format!("{shown} (8 layers, an empty docker-registry)"),
        prepare: Box::new(move || {
            drop(registry.take());
            let server = Server { host: registry.insert(Registry::start(lab)?).host(), ca: None };
            commands(&server)
        }),
        output: None,
    })
}

const EIGHT: Load = Load { layers: 8, sizes: 1, jobs: None };

fn push_to_registry(lab: &Lab) -> Result<Side<'_>> {
    let image = image(lab, EIGHT.layers, lab.size * MIB / 16)?;
    fresh_registry(lab, "regshape layout push", move |server| Ok(vec![server.push(lab, &image, "bench", None)]))
}

/// Pushes an image to an empty docker-registry; so does skopeo.
pub(crate) fn push_and_skopeo<'l>(lab: &'l Lab, skopeo: &'l Path) -> Result<(Side<'l>, Side<'l>)> {
    let image = image(lab, EIGHT.layers, lab.size * MIB / 16)?;
    let theirs = fresh_registry(lab, "skopeo copy oci: docker:", move |server| {
        Ok(vec![skopeo_push(skopeo, &image, &format!("{}/bench:v1", server.host))])
    })?;
    Ok((push_to_registry(lab)?, theirs))
}

/// Pushes an image to an empty docker-registry; curl puts its blobs there, four at once.
pub(crate) fn push_and_puts<'l>(lab: &'l Lab, curl: &'l Path) -> Result<(Side<'l>, Side<'l>)> {
    let blobs = large_blobs(&image(lab, EIGHT.layers, lab.size * MIB / 16)?)?;
    let theirs = fresh_registry(lab, "curl -T BLOB UPLOAD, 4 at once", move |server| {
        server.put(curl, "bench", &blobs, EIGHT.at_once())
    })?;
    Ok((push_to_registry(lab)?, theirs))
}

fn skopeo_push(skopeo: &Path, image: &Path, place: &str) -> Command {
    let mut command = silent(skopeo);
    let source = format!("oci:{}:v1", image.display());
    command.args(["copy", "-q", "--dest-tls-verify=false", &source, &format!("docker://{place}")]);
    command
}

/// Pushes 100 small layers to a registry that answers late: cold to a new repository, or warm.
pub(crate) fn push_late<'l>(lab: &'l Lab, skopeo: &'l Path, is_warm: bool) -> Result<(Side<'l>, Side<'l>)> {
    let image = image(lab, 100, 10 * 1024)?;
    let fake = Rc::new(Fake::start(Options { delay: LATE, ..Options::default() }));
    let next = new_repositories();
    let warm = next();
    let side = |is_ours: bool| {
        let (image, fake, next, warm) = (image.clone(), Rc::clone(&fake), next.clone(), warm.clone());
        let shown = if is_ours { "regshape layout push" } else { "skopeo copy oci: docker:" };
        Side {
            shown: format!("{shown} (100 layers of 10 KiB, each answer 50 ms late)"),
            prepare: Box::new(move || {
                let repository = if is_warm { warm.clone() } else { next() };
                let server = Server { host: fake.host(), ca: None };
                Ok(vec![if is_ours {
                    server.push(lab, &image, &repository, None)
                } else {
                    skopeo_push(skopeo, &image, &format!("{}/{repository}:v1", server.host))
                }])
            }),
            output: None,
        }
    };
    Ok((side(true), side(false)))
}

/// A directory that is deleted with its row.
struct Target(PathBuf);

impl Drop for Target {
    fn drop(&mut self) {
        // A file that is left goes with the lab.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Pulls an image from docker-registry; so does skopeo, which does not wait for the disk.
pub(crate) fn pull_and_skopeo<'l>(lab: &'l Lab, skopeo: &'l Path, is_synced: bool) -> Result<(Side<'l>, Side<'l>)> {
    let image = Load { layers: 16, sizes: 4, jobs: None }.image(lab)?;
    let registry = Rc::new(Registry::start(lab)?);
    let server = Server { host: registry.host(), ca: None };
    let place = format!("{}/bench:v1", server.host);
    let status = server.push(lab, &image, "bench", None).status()?;
    if !status.success() {
        return Err(format!("push ended with {status}").into());
    }
    let side = |is_ours: bool| {
        let (place, registry) = (place.clone(), Rc::clone(&registry));
        let target = Target(lab.path(if is_ours { "pulled" } else { "pulled-by-skopeo" }));
        let no_sync = if is_synced { "" } else { " --no-sync" };
        let shown =
            if is_ours { format!("regshape layout pull{no_sync}") } else { "skopeo copy docker: oci:".to_owned() };
        Side {
            shown: format!("{shown} (16 layers)"),
            prepare: Box::new(move || {
                let _runs = &registry;
                remove(&target.0)?;
                if is_ours {
                    let mut command = lab.regshape(&["pull", "--insecure", "--source", &place], &target.0);
                    command.args((!is_synced).then_some("--no-sync")).stdout(Stdio::null());
                    return Ok(vec![command]);
                }
                let mut command = silent(skopeo);
                command.args(["copy", "-q", "--src-tls-verify=false", &format!("docker://{place}")]);
                command.arg(format!("oci:{}:v1", target.0.display()));
                Ok(vec![command])
            }),
            output: None,
        }
    };
    Ok((side(true), side(false)))
}
