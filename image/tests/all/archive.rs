//! Tar archives made in memory, malformed ones too: nothing here checks what it is given.

use std::io::Write;

use image::Digest;

/// A tar archive in the making.
#[derive(Default, Clone)]
pub(crate) struct Tar(Vec<u8>);

/// A member's header, for what differs from an ordinary one.
pub(crate) struct Header(tar::Header);

impl Header {
    pub(crate) fn uid(mut self, uid: u64) -> Self {
        self.0.set_uid(uid);
        self
    }

    pub(crate) fn gid(mut self, gid: u64) -> Self {
        self.0.set_gid(gid);
        self
    }

    pub(crate) fn mode(mut self, mode: u32) -> Self {
        self.0.set_mode(mode);
        self
    }

    pub(crate) fn mtime(mut self, mtime: u64) -> Self {
        self.0.set_mtime(mtime);
        self
    }

    pub(crate) fn device(mut self, major: u32, minor: u32) -> Self {
        self.0.set_device_major(major).unwrap();
        self.0.set_device_minor(minor).unwrap();
        self
    }

    pub(crate) fn size(mut self, size: u64) -> Self {
        self.0.set_size(size);
        self
    }

    /// Overwrites bytes of the header.
    pub(crate) fn raw(mut self, at: usize, bytes: &[u8]) -> Self {
        self.0.as_mut_bytes()[at..at + bytes.len()].copy_from_slice(bytes);
        self
    }
}

/// The time that ordinary members have.
pub(crate) const MTIME: u64 = 1_600_000_000;

pub(crate) fn header(kind: u8) -> Header {
    let mut header = tar::Header::new_gnu();
    header.set_mode(if kind == b'5' { 0o755 } else { 0o644 });
    header.set_mtime(MTIME);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(0);
    header.set_device_major(0).unwrap();
    header.set_device_minor(0).unwrap();
    header.as_mut_bytes()[156] = kind;
    Header(header)
}

impl Tar {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Any member. Long names become GNU extensions.
    pub(crate) fn member(
        mut self,
        header: Header,
        name: impl AsRef<[u8]>,
        link: impl AsRef<[u8]>,
        data: &[u8],
    ) -> Self {
        let Header(mut header) = header;
        for (kind, text, at) in [(b'L', name.as_ref(), 0), (b'K', link.as_ref(), 157)] {
            if text.len() > 100 {
                let long = self::header(kind).size(text.len() as u64);
                self = self.member(long, "././@LongLink", "", text);
                continue;
            }
            header.as_mut_bytes()[at..at + text.len()].copy_from_slice(text);
        }
        if !data.is_empty() && !matches!(header.as_bytes()[156], b'S') {
            header.set_size(data.len() as u64);
        }
        header.set_cksum();
        self.0.extend_from_slice(header.as_bytes());
        self.0.extend_from_slice(data);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    pub(crate) fn file(self, name: impl AsRef<[u8]>, data: &[u8]) -> Self {
        self.member(header(b'0'), name, "", data)
    }

    pub(crate) fn dir(self, name: impl AsRef<[u8]>) -> Self {
        self.member(header(b'5'), name, "", b"")
    }

    pub(crate) fn symlink(self, name: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Self {
        self.member(header(b'2'), name, target, b"")
    }

    pub(crate) fn hard_link(self, name: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Self {
        self.member(header(b'1'), name, target, b"")
    }

    /// PAX records for the member that follows.
    pub(crate) fn pax(self, records: &[(&str, &[u8])]) -> Self {
        let mut data = Vec::new();
        for (key, value) in records {
            let body = key.len() + value.len() + 3;
            let length = (body + 1..).find(|length| *length == body + length.to_string().len()).unwrap();
            write!(data, "{length} {key}=").unwrap();
            data.extend_from_slice(value);
            data.push(b'\n');
        }
        self.member(header(b'x'), "PaxHeaders/x", "", &data)
    }

    /// Bytes as they are.
    pub(crate) fn append(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 1024, 0);
        self.0
    }
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 3).unwrap()
}

/// The configuration of an image with these layers.
pub(crate) fn config(layers: &[Vec<u8>]) -> Vec<u8> {
    let diff_ids: Vec<Digest> = layers.iter().map(|layer| Digest::of(layer)).collect();
    let config = serde_json::json!({
        "architecture": "amd64", "os": "linux", "created": "2024-05-06T07:08:09Z",
        "config": { "Cmd": ["/bin/sh"], "Env": ["PATH=/bin"] },
        "rootfs": { "type": "layers", "diff_ids": diff_ids },
    });
    config.to_string().into_bytes()
}

/// What `docker save` writes: plain layers.
pub(crate) fn docker_archive(layers: &[Vec<u8>], tags: &[&str]) -> Vec<u8> {
    docker_archive_with(layers, tags, <[u8]>::to_vec)
}

/// The same with each layer changed on its way, compressed for instance.
pub(crate) fn docker_archive_with(
    layers: &[Vec<u8>],
    tags: &[&str],
    pack: impl Fn(&[u8]) -> Vec<u8>,
) -> Vec<u8> {
    let config = config(layers);
    let config_name = format!("{}.json", Digest::of(&config).hex());
    let mut tar = Tar::new();
    let mut names = Vec::new();
    for (number, layer) in layers.iter().enumerate() {
        let name = format!("layer{number}/layer.tar");
        tar = tar.file(&name, &pack(layer));
        names.push(name);
    }
    let manifest = serde_json::json!([{ "Config": config_name, "RepoTags": tags, "Layers": names }]);
    tar.file(&config_name, &config).file("manifest.json", manifest.to_string().as_bytes()).finish()
}
