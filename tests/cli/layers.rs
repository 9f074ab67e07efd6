//! Images of small layers, for tests of the commands that look into images.

use crate::support::*;

/// Makes a layer. An entry is its path and, before it, words: a mode, `UID:GID`, `@TIME`, `cMAJOR,MINOR` or `bMAJOR,MINOR` for a
/// device, `p` for a pipe. A path is `dir/`, `file=content`, `link>target` or `hard&target`.
pub(crate) fn layer(entries: &[&str]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for entry in entries {
        let (words, path) = entry.rsplit_once(' ').unwrap_or(("", entry));
        let mut header = tar::Header::new_ustar();
        let split = [("=", tar::EntryType::Regular), (">", tar::EntryType::Symlink), ("&", tar::EntryType::Link)];
        let found = split.into_iter().find_map(|(mark, kind)| Some((path.split_once(mark)?, kind)));
        let ((path, value), kind) = match found {
            Some(found) => found,
            None if path.ends_with('/') => ((path, ""), tar::EntryType::Directory),
            None => ((path, ""), tar::EntryType::Regular),
        };
        let (mut content, mut mode) = ("", 0o644);
        header.set_entry_type(kind);
        match kind {
            tar::EntryType::Regular => content = value,
            tar::EntryType::Directory => mode = 0o755,
            _ => header.set_link_name_literal(value).expect("a target"),
        }
        if kind == tar::EntryType::Symlink {
            mode = 0o777;
        }
        let (mut uid, mut gid, mut time) = (0, 0, 0);
        for word in words.split_whitespace() {
            let device = |rest: &str| {
                let (major, minor) = rest.split_once(',').expect("a device");
                (major.parse().expect("a number"), minor.parse().expect("a number"))
            };
            match word.split_at(1) {
                ("@", seconds) => time = seconds.parse().expect("a time"),
                ("p", "") => header.set_entry_type(tar::EntryType::Fifo),
                (kind @ ("c" | "b"), rest) => {
                    let is_block = kind == "b";
                    header.set_entry_type(if is_block { tar::EntryType::Block } else { tar::EntryType::Char });
                    let (major, minor) = device(rest);
                    header.set_device_major(major).expect("set");
                    header.set_device_minor(minor).expect("set");
                }
                _ => match word.split_once(':') {
                    Some((user, group)) => {
                        (uid, gid) = (user.parse().expect("a user"), group.parse().expect("a group"));
                    }
                    None => mode = u32::from_str_radix(word, 8).expect("a mode"),
                },
            }
        }
        header.set_mode(mode);
        header.set_uid(uid);
        header.set_gid(gid);
        header.set_mtime(time);
        header.set_size(content.len() as u64);
        header.as_mut_bytes()[..path.len()].copy_from_slice(path.as_bytes());
        header.set_cksum();
        tar.append(&header, content.as_bytes()).expect("appended");
    }
    tar.into_inner().expect("a tar")
}

/// Makes an image `image:v1` of layers, the lowest first.
pub(crate) fn image_of(layers: &[&[&str]]) -> Sandbox {
    let sandbox = Sandbox::empty();
    build(&sandbox, "image:v1", layers);
    sandbox
}

/// Builds an image of layers.
#[track_caller]
pub(crate) fn build(sandbox: &Sandbox, output: &str, layers: &[&[&str]]) {
    let mut words = format!("build -q -o {output}");
    for (number, entries) in layers.iter().enumerate() {
        sandbox.write(&format!("{number}.tar"), layer(entries));
        words += &format!(" --layer {number}.tar");
    }
    sandbox.ok(&words);
}

/// Returns the digests of the layers of the only image.
pub(crate) fn layer_digests(sandbox: &Sandbox) -> Vec<String> {
    let manifest = sandbox.blob_json(sandbox.index()["manifests"][0]["digest"].as_str().expect("a digest"));
    let layers = manifest["layers"].as_array().expect("layers");
    layers.iter().map(|layer| layer["digest"].as_str().expect("a digest").to_owned()).collect()
}

/// Damages a blob.
pub(crate) fn flip_bit(sandbox: &Sandbox, digest: &str) {
    let mut blob = sandbox.blob(digest);
    let at = blob.len() / 2;
    blob[at] ^= 1;
    sandbox.write(&blob_name(digest), blob);
}
