//! Layers with typical content of root file systems.

use tar::{Builder, EntryType, Header};

/// Returns incompressible bytes, the same in every run.
pub(crate) fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[0]
    };
    std::iter::repeat_with(next).take(length).collect()
}

struct Layer(Builder<Vec<u8>>);

impl Layer {
    fn new() -> Self {
        Self(Builder::new(Vec::new()))
    }

    fn header(kind: EntryType, mode: u32, size: usize) -> Header {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_size(size.try_into().expect("a small file"));
        header.set_mtime(1_700_000_000);
        header.set_uid(0);
        header.set_gid(0);
        header
    }

    fn directory(mut self, path: &str, mode: u32) -> Self {
        let mut header = Self::header(EntryType::Directory, mode, 0);
        self.0.append_data(&mut header, path, std::io::empty()).expect("appended");
        self
    }

    fn file(self, path: &str, mode: u32, content: impl AsRef<[u8]>) -> Self {
        self.owned_file(path, mode, 0, content)
    }

    fn owned_file(mut self, path: &str, mode: u32, owner: u64, content: impl AsRef<[u8]>) -> Self {
        let mut header = Self::header(EntryType::Regular, mode, content.as_ref().len());
        header.set_uid(owner);
        header.set_gid(owner);
        self.0.append_data(&mut header, path, content.as_ref()).expect("appended");
        self
    }

    fn link(mut self, kind: EntryType, path: &str, target: &str, mode: u32) -> Self {
        let mut header = Self::header(kind, mode, 0);
        self.0.append_link(&mut header, path, target).expect("appended");
        self
    }

    fn symbolic(self, path: &str, target: &str) -> Self {
        self.link(EntryType::Symlink, path, target, 0o777)
    }

    /// Adds a hard link. The mode is that of the file: tar writes it for every name, and unpackers set it again.
    fn hard(self, path: &str, target: &str, mode: u32) -> Self {
        self.link(EntryType::Link, path, target, mode)
    }

    fn finish(self) -> Vec<u8> {
        self.0.into_inner().expect("a tar")
    }
}

/// Returns a root file system with links of both kinds, long names that need extra headers, unusual modes and sizes.
pub(crate) fn base() -> Vec<u8> {
    let long = |name: &str| format!("usr/share/{}/{name}", ["a-directory-with-a-long-name"; 6].join("/"));
    let parents = (1..=6).map(|depth| format!("usr/share/{}", vec!["a-directory-with-a-long-name"; depth].join("/")));
    let layer = Layer::new()
        .directory("./", 0o755)
        .directory("etc/", 0o755)
        .file("etc/motd", 0o644, "welcome\n")
        .owned_file("etc/shadow", 0o640, 42, "root:*:\n")
        .directory("home/", 0o755)
        .directory("home/private/", 0o700)
        .directory("tmp/", 0o1777)
        .directory("usr/", 0o755)
        .directory("usr/bin/", 0o755)
        .file("usr/bin/tool", 0o4755, noise(300_000))
        .hard("usr/bin/alias", "usr/bin/tool", 0o4755)
        .symbolic("bin", "usr/bin")
        .symbolic("etc/absolute", "/etc/motd")
        .symbolic("etc/dangling", "../nowhere/at all")
        .directory("usr/share/", 0o755);
    parents
        .fold(layer, |layer, parent| layer.directory(&parent, 0o755))
        .file(&long("file"), 0o600, "deep down\n")
        .symbolic(&long("link"), &long("file"))
        .file("usr/share/\u{e9}l\u{e8}ve \u{2603}", 0o644, "not ASCII\n")
        .file("usr/share/empty", 0o444, "")
        .file("usr/share/block", 0o644, [b'x'; 512])
        .directory("var/", 0o755)
        .file("var/old", 0o644, "to be deleted\n")
        .directory("var/cache/", 0o755)
        .file("var/cache/a", 0o644, "to be hidden\n")
        .directory("var/cache/sub/", 0o755)
        .file("var/cache/sub/b", 0o644, "to be hidden too\n")
        .directory("var/gone/", 0o755)
        .file("var/gone/file", 0o644, "gone with its directory\n")
        .file("var/kind", 0o644, "a file first\n")
        .finish()
}

/// Returns changes to [`base`]: files deleted, hidden, replaced and added.
pub(crate) fn patches() -> Vec<u8> {
    Layer::new()
        .directory("etc/", 0o755)
        .file("etc/motd", 0o600, "welcome again\n")
        .file("etc/added", 0o644, "added\n")
        .hard("etc/added-too", "etc/added", 0o644)
        .directory("home/private/", 0o750)
        .directory("var/", 0o755)
        .file("var/.wh.old", 0o644, "")
        .file("var/.wh.gone", 0o644, "")
        .directory("var/cache/", 0o755)
        .file("var/cache/.wh..wh..opq", 0o644, "")
        .file("var/cache/new", 0o644, "all that is left\n")
        .directory("var/kind/", 0o755)
        .file("var/kind/inside", 0o644, "a directory now\n")
        .finish()
}

/// Returns a layer with one file.
pub(crate) fn single(path: &str, content: &str) -> Vec<u8> {
    Layer::new().file(path, 0o644, content).finish()
}

/// Returns a layer of several megabytes that can be compressed in part.
pub(crate) fn large() -> Vec<u8> {
    Layer::new()
        .file("noise", 0o644, noise(3 << 20))
        .file("text", 0o644, "all work and no play ".repeat(100_000))
        .finish()
}
