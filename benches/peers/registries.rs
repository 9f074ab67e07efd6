//! Rows of pushes and pulls: to a fake registry that counts bodies and keeps nothing, and to Debian's docker-registry.

use std::cell::RefCell;
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use crate::fake_registry::{Bodies, Fake, Options, Tls};
use crate::lab::{Lab, blobs_of, silent};
use crate::measure::Side;
use crate::support::{MIB, Result, noise, write_tiny_tar};

/// How late the fake registry answers in the row of many small layers.
const LATE: Duration = Duration::from_millis(50);

/// A docker-registry with an empty storage.
struct Registry {
    child: Child,
    port: u16,
    storage: PathBuf,
}

impl Registry {
    fn start(lab: &Lab) -> Result<Self> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let (storage, config) = (lab.path(&format!("registry-{port}")), lab.path(&format!("registry-{port}.yml")));
        let text = format!(
            "version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\n\
             storage: {{filesystem: {{rootdirectory: '{}'}}}}\nhttp: {{addr: '127.0.0.1:{port}'}}\n",
            storage.display()
        );
        fs::write(&config, text)?;
        let child = Command::new("docker-registry")
            .arg("serve")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let registry = Self { child, port, storage };
        for _ in 0..500 {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return Ok(registry);
            }
            thread::sleep(Duration::from_millis(10));
        }
        Err("docker-registry does not listen".into())
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        // What cannot be ended or deleted goes with the lab.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.storage);
    }
}

/// Makes an image with layers of noise.
fn image(lab: &Lab, name: &str, layers: usize, size: u64) -> Result<PathBuf> {
    let path = lab.path(name);
    if !path.exists() {
        let tar = lab.path("layer.tar");
        let mut build = Command::new(&lab.program);
        build
            .args(["build", "-q", "--compress-format", "none", "--no-sync", "-o"])
            .arg(format!("{}:v1", path.display()));
        let mut tars = Vec::new();
        for at in 0..layers {
            let tar = tar.with_extension(at.to_string());
            if size < MIB {
                write_tiny_tar(&tar, at)?;
            } else {
                let mut builder = tar::Builder::new(fs::File::create(&tar)?);
                let mut header = tar::Header::new_gnu();
                header.set_size(size);
                header.set_mode(0o644);
                builder.append_data(&mut header, "noise", std::io::Read::take(noise(at as u64 + 1), size))?;
                builder.finish()?;
            }
            build.arg("--layer").arg(&tar);
            tars.push(tar);
        }
        let status = build.stdout(Stdio::null()).status()?;
        if !status.success() {
            return Err(format!("build ended with {status}").into());
        }
        tars.iter().try_for_each(fs::remove_file)?;
    }
    Ok(path)
}

/// Pushes an image to a new repository of a fake registry each time; curl puts its blobs there.
pub(crate) fn push_and_curl<'l>(
    lab: &'l Lab,
    curl: &'l Path,
    layers: usize,
    tls: bool,
) -> Result<(Side<'l>, Side<'l>)> {
    let image = image(lab, &format!("image-{layers}"), layers, lab.size * MIB / layers as u64)?;
    let ca = lab.path("ca.pem");
    let (tls, scheme) = if tls { (Tls::by_authority(), "https") } else { (Tls::none(), "http") };
    if scheme == "https" {
        fs::write(&ca, tls.authority())?;
    }
    let fake = Rc::new(Fake::start(Options { bodies: Bodies::Count, tls, ..Options::default() }));
    let runs = Rc::new(RefCell::new(0));
    let next = move || {
        *runs.borrow_mut() += 1;
        format!("bench/r{}", runs.borrow())
    };
    let (ours_fake, ours_next, ours_ca, ours_image) = (Rc::clone(&fake), next.clone(), ca.clone(), image.clone());
    let ours = Side {
        shown: format!("regshape layout push image {scheme}://HOST/REPO ({layers} blobs)"),
        prepare: Box::new(move || {
            let mut command = lab.regshape(&["push"], &ours_image);
            command.args(["--dest", &format!("{}/{}:v1", ours_fake.host(), ours_next())]);
            if scheme == "https" {
                command.arg("--ca-file").arg(&ours_ca);
            } else {
                command.arg("--insecure");
            }
            Ok(vec![command])
        }),
        output: None,
    };
    let blobs: Vec<PathBuf> = blobs_of(&image)?
        .into_iter()
        .filter(|blob| fs::metadata(blob).is_ok_and(|metadata| metadata.len() >= MIB))
        .collect();
    let theirs = Side {
        shown: format!("curl -X POST -T BLOB {scheme}://HOST/UPLOAD, {} at once", blobs.len().min(4)),
        prepare: Box::new(move || {
            let repository = next();
            // As many processes as blobs are pushed at once, each with its share.
            let groups = blobs.len().min(4);
            (0..groups)
                .map(|group| {
                    let mut command = silent(curl);
                    command.args(["-sSf", "-X", "POST", "-H", "Content-Type: application/octet-stream"]);
                    if scheme == "https" {
                        command.arg("--cacert").arg(&ca);
                    }
                    for (_, blob) in blobs.iter().enumerate().filter(|(at, _)| at % groups == group) {
                        let digest = blob.file_name().unwrap_or_default().to_string_lossy().into_owned();
                        let path = format!("/v2/{repository}/blobs/uploads/?digest=sha256:{digest}");
                        command.arg("-T").arg(blob).arg(format!("{scheme}://{}{path}", fake.host()));
                    }
                    Ok(command)
                })
                .collect()
        }),
        output: None,
    };
    Ok((ours, theirs))
}

/// Pushes an image to an empty docker-registry; so does skopeo.
pub(crate) fn push_and_skopeo<'l>(lab: &'l Lab, skopeo: &'l Path) -> Result<(Side<'l>, Side<'l>)> {
    let image = image(lab, "image-8", 8, lab.size * MIB / 16)?;
    let side = |is_ours: bool| {
        let image = image.clone();
        let mut registry = None;
        let shown = if is_ours { "regshape layout push" } else { "skopeo copy oci: docker:" };
        Side {
            shown: format!("{shown} (8 layers, an empty docker-registry)"),
            prepare: Box::new(move || {
                drop(registry.take());
                let started = registry.insert(Registry::start(lab)?);
                let place = format!("127.0.0.1:{}/bench:v1", started.port);
                Ok(vec![push_command(lab, skopeo, &image, &place, is_ours)])
            }),
            output: None,
        }
    };
    Ok((side(true), side(false)))
}

fn push_command(lab: &Lab, skopeo: &Path, image: &Path, place: &str, is_ours: bool) -> Command {
    if is_ours {
        let mut command = lab.regshape(&["push", "--insecure"], image);
        command.args(["--dest", place]);
        return command;
    }
    let mut command = silent(skopeo);
    let source = format!("oci:{}:v1", image.display());
    command.args(["copy", "-q", "--dest-tls-verify=false", &source, &format!("docker://{place}")]);
    command
}

/// Pushes 100 small layers to a registry that answers late: cold to a new repository, or warm.
pub(crate) fn push_late<'l>(lab: &'l Lab, skopeo: &'l Path, is_warm: bool) -> Result<(Side<'l>, Side<'l>)> {
    let image = image(lab, "image-100", 100, 10 * 1024)?;
    let fake = Rc::new(Fake::start(Options { delay: LATE, ..Options::default() }));
    let runs = Rc::new(RefCell::new(0));
    let side = |is_ours: bool| {
        let (image, fake, runs) = (image.clone(), Rc::clone(&fake), Rc::clone(&runs));
        let shown = if is_ours { "regshape layout push" } else { "skopeo copy oci: docker:" };
        Side {
            shown: format!("{shown} (100 layers of 10 KiB, each answer 50 ms late)"),
            prepare: Box::new(move || {
                if !is_warm {
                    *runs.borrow_mut() += 1;
                }
                let place = format!("{}/bench/r{}:v1", fake.host(), runs.borrow());
                Ok(vec![push_command(lab, skopeo, &image, &place, is_ours)])
            }),
            output: None,
        }
    };
    Ok((side(true), side(false)))
}

/// Pulls an image from docker-registry, without waiting for the disk; so does skopeo.
pub(crate) fn pull_and_skopeo<'l>(lab: &'l Lab, skopeo: &'l Path) -> Result<(Side<'l>, Side<'l>)> {
    let image = image(lab, "image-16", 16, lab.size * MIB / 16)?;
    let registry = Rc::new(Registry::start(lab)?);
    let place = format!("127.0.0.1:{}/bench:v1", registry.port);
    let status = push_command(lab, skopeo, &image, &place, true).status()?;
    if !status.success() {
        return Err(format!("push ended with {status}").into());
    }
    let side = |is_ours: bool| {
        let (place, _registry) = (place.clone(), Rc::clone(&registry));
        let target = lab.path(if is_ours { "pulled" } else { "pulled-by-skopeo" });
        let shown = if is_ours { "regshape layout pull --no-sync" } else { "skopeo copy docker: oci:" };
        Side {
            shown: format!("{shown} (16 layers)"),
            prepare: Box::new(move || {
                let _alive = &_registry;
                if target.exists() {
                    fs::remove_dir_all(&target)?;
                }
                if is_ours {
                    let mut command = lab.regshape(&["pull", "--insecure", "--no-sync", "--source", &place], &target);
                    command.stdout(Stdio::null());
                    return Ok(vec![command]);
                }
                let mut command = silent(skopeo);
                command.args(["copy", "-q", "--src-tls-verify=false", &format!("docker://{place}")]);
                command.arg(format!("oci:{}:v1", target.display()));
                Ok(vec![command])
            }),
            output: None,
        }
    };
    Ok((side(true), side(false)))
}
