//! The servers of the rows that need one: Debian's docker-registry, a proxy that counts and cuts, and images to push.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::fake_registry::Fake;
use crate::lab::{Lab, blobs_of};
use crate::support::{MIB, Result, noise, write_tiny_tar};

/// The repository of the fake registry that [`serve`] fills.
pub(crate) const REPOSITORY: &str = "bench/image";

/// A docker-registry with an empty storage. It stops when it is dropped, and the storage is deleted.
pub(crate) struct Registry {
    child: Child,
    pub(crate) port: u16,
    files: PathBuf,
}

impl Registry {
    pub(crate) fn start(lab: &Lab) -> Result<Self> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let files = lab.path(&format!("registry-{port}"));
        fs::create_dir(&files)?;
        let config = files.join("config.yml");
        let text = format!(
            "version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\n\
             storage: {{filesystem: {{rootdirectory: '{}'}}}}\nhttp: {{addr: '127.0.0.1:{port}'}}\n",
            files.display()
        );
        fs::write(&config, text)?;
        let child = Command::new("docker-registry")
            .arg("serve")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let registry = Self { child, port, files };
        for _ in 0..500 {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return Ok(registry);
            }
            thread::sleep(Duration::from_millis(10));
        }
        Err("docker-registry does not listen".into())
    }

    pub(crate) fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        // A process or file that is left goes with the lab.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.files);
    }
}

/// The trouble that a proxy makes for the connections that it passes on.
#[derive(Clone, Copy, Default)]
pub(crate) struct Trouble {
    /// A connection ends after so many bytes of the client.
    pub(crate) cut_after: Option<u64>,
    /// Every so many connections one is answered with 503 and closed.
    pub(crate) refuse_every: Option<u64>,
    /// The pause after each 64 KiB for the client: then little is under way when the client is killed.
    pub(crate) pause: Option<Duration>,
}

/// Passes connections on, counts the bytes of both directions, and makes trouble.
pub(crate) struct Proxy {
    pub(crate) port: u16,
    up: Arc<AtomicU64>,
    down: Arc<AtomicU64>,
}

impl Proxy {
    pub(crate) fn start(to: u16, trouble: Trouble) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        let proxy = Self { port, up: Arc::default(), down: Arc::default() };
        let (up, down) = (Arc::clone(&proxy.up), Arc::clone(&proxy.down));
        thread::spawn(move || {
            for (at, client) in (1..).zip(listener.incoming()) {
                let Ok(mut client) = client else { continue };
                if trouble.refuse_every.is_some_and(|every| at % every == 0) {
                    // The client may be gone.
                    let _ = client.write_all(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n");
                    continue;
                }
                let Ok(server) = TcpStream::connect(("127.0.0.1", to)) else { continue };
                let (Ok(from), Ok(back)) = (server.try_clone(), client.try_clone()) else { continue };
                let (up, down) = (Arc::clone(&up), Arc::clone(&down));
                thread::spawn(move || pass(from, back, (None, trouble.pause), &down));
                thread::spawn(move || pass(client, server, (trouble.cut_after, None), &up));
            }
        });
        Ok(proxy)
    }

    pub(crate) fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Returns the bytes that clients sent.
    pub(crate) fn bytes_up(&self) -> u64 {
        self.up.load(Ordering::SeqCst)
    }

    /// Returns the bytes that clients were sent.
    pub(crate) fn bytes_down(&self) -> u64 {
        self.down.load(Ordering::SeqCst)
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, (limit, pause): (Option<u64>, Option<Duration>), count: &AtomicU64) {
    let mut buffer = vec![0; 64 * 1024];
    let mut left = limit.unwrap_or(u64::MAX);
    while left > 0 {
        let wanted = left.min(buffer.len() as u64) as usize;
        match from.read(&mut buffer[..wanted]) {
            Ok(read @ 1..) if to.write_all(&buffer[..read]).is_ok() => {
                count.fetch_add(read as u64, Ordering::SeqCst);
                left -= read as u64;
                pause.into_iter().for_each(thread::sleep);
            }
            _ => break,
        }
    }
    // One of them may be closed by now.
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}

/// Makes an image with layers of noise, or of a short text if they are smaller than a mebibyte.
pub(crate) fn image(lab: &Lab, layers: usize, size: u64) -> Result<PathBuf> {
    let path = lab.path(&format!("image-{layers}-{size}"));
    if path.exists() {
        return Ok(path);
    }
    let tar = lab.path("layer.tar");
    let mut build = Command::new(&lab.program);
    build.args(["build", "-q", "--compress-format", "none", "--no-sync", "-o"]).arg(format!("{}:v1", path.display()));
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
            builder.append_data(&mut header, "noise", noise(at as u64 + 1).take(size))?;
            builder.finish()?;
        }
        build.arg("--layer").arg(&tar);
        tars.push(tar);
    }
    let status = build.stdout(Stdio::null()).status()?;
    tars.iter().try_for_each(fs::remove_file)?;
    if status.success() { Ok(path) } else { Err(format!("build ended with {status}").into()) }
}

/// Returns the blobs of an image that are layers of noise.
pub(crate) fn large_blobs(image: &Path) -> Result<Vec<PathBuf>> {
    let mut blobs = blobs_of(image)?;
    blobs.retain(|blob| fs::metadata(blob).is_ok_and(|metadata| metadata.len() >= MIB));
    Ok(blobs)
}

/// Returns the bytes of all blobs of a layout.
pub(crate) fn bytes_of(layout: &Path) -> Result<u64> {
    blobs_of(layout)?.iter().map(|blob| Ok(fs::metadata(blob)?.len())).sum()
}

/// Lets a fake registry serve an image as `REPOSITORY:v1`, its blobs from their files.
pub(crate) fn serve(fake: &Fake, image: &Path) -> Result<()> {
    let read = |path: PathBuf| Ok::<Value, Box<dyn std::error::Error>>(serde_json::from_slice(&fs::read(path)?)?);
    let index = read(image.join("index.json"))?;
    let entry = &index["manifests"][0];
    let hex = entry["digest"].as_str().and_then(|digest| digest.strip_prefix("sha256:")).ok_or("no digest")?;
    let blobs = image.join("blobs/sha256");
    for blob in blobs_of(image)?.into_iter().filter(|blob| !blob.ends_with(hex)) {
        let name = blob.file_name().unwrap_or_default().to_string_lossy().into_owned();
        fake.add_blob_file(REPOSITORY, &format!("sha256:{name}"), &blob);
    }
    let media_type = entry["mediaType"].as_str().ok_or("no media type")?;
    fake.add_manifest(REPOSITORY, Some("v1"), media_type, fs::read(blobs.join(hex))?);
    Ok(())
}
