//! Tar archives entry by entry, with nothing checked: an image's author may write anything, and so may a test.

/// An archive that grows.
#[derive(Debug, Clone, Default)]
pub struct Tarball {
    bytes: Vec<u8>,
}

/// One header and its data. What it does not name is zero or empty.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    /// The name, of any length, checked for nothing.
    pub name: &'a [u8],
    /// The type flag: `b'0'` file, `b'1'` hard link, `b'2'` symbolic link, `b'3'` and `b'4'` devices, `b'5'` directory,
    /// `b'6'` fifo.
    pub kind: u8,
    /// The mode bits, setuid and sticky too.
    pub mode: u32,
    /// The owner.
    pub uid: u64,
    /// The group.
    pub gid: u64,
    /// Seconds since 1970.
    pub mtime: u64,
    /// A link's target.
    pub link: &'a [u8],
    /// A device's number.
    pub device: (u32, u32),
    /// A file's bytes.
    pub data: &'a [u8],
    /// What the header says about the length of `data`, where that differs from the truth.
    pub claimed_size: Option<u64>,
}

impl<'a> Entry<'a> {
    /// An entry owned by root, with nothing in it.
    pub fn new(kind: u8, name: &'a (impl AsRef<[u8]> + ?Sized), mode: u32) -> Self {
        Entry {
            name: name.as_ref(),
            kind,
            mode,
            uid: 0,
            gid: 0,
            mtime: 1_600_000_000,
            link: b"",
            device: (0, 0),
            data: b"",
            claimed_size: None,
        }
    }

    /// The same with another owner and group.
    pub fn owned_by(self, uid: u64, gid: u64) -> Self {
        Self { uid, gid, ..self }
    }

    /// The same with data.
    pub fn holding(self, data: &'a (impl AsRef<[u8]> + ?Sized)) -> Self {
        Self { data: data.as_ref(), ..self }
    }

    /// The same with a link's target.
    pub fn to(self, target: &'a (impl AsRef<[u8]> + ?Sized)) -> Self {
        Self { link: target.as_ref(), ..self }
    }
}

impl Tarball {
    /// An empty archive.
    pub fn new() -> Self {
        Self::default()
    }

    /// A directory.
    pub fn directory(self, name: &str, mode: u32) -> Self {
        self.entry(&Entry::new(b'5', name, mode))
    }

    /// A regular file.
    pub fn file(self, name: &str, mode: u32, data: impl AsRef<[u8]>) -> Self {
        self.entry(&Entry::new(b'0', name, mode).holding(data.as_ref()))
    }

    /// A symbolic link.
    pub fn symlink(self, name: &str, target: &str) -> Self {
        self.entry(&Entry::new(b'2', name, 0o777).to(target))
    }

    /// A hard link to a name in the archive, or in a layer below.
    pub fn hardlink(self, name: &str, target: &str) -> Self {
        self.entry(&Entry::new(b'1', name, 0o644).to(target))
    }

    /// The deletion of `name` in the layers below (OCI image-spec, layer.md).
    pub fn whiteout(self, name: &str) -> Self {
        let (directory, file) =
            name.rsplit_once('/').map_or(("", name), |(directory, file)| (directory, file));
        let marker =
            if directory.is_empty() { format!(".wh.{file}") } else { format!("{directory}/.wh.{file}") };
        self.file(&marker, 0o644, "")
    }

    /// The deletion of everything that the layers below have in `directory`.
    pub fn opaque(self, directory: &str) -> Self {
        self.file(&format!("{directory}/.wh..wh..opq"), 0o644, "")
    }

    /// Any entry. Names that do not fit the header are written as GNU tar does.
    pub fn entry(mut self, entry: &Entry<'_>) -> Self {
        if entry.name.len() > 100 {
            self = self.long(b'L', entry.name);
        }
        if entry.link.len() > 100 {
            self = self.long(b'K', entry.link);
        }
        self.header(entry);
        self.data(entry.data);
        self
    }

    /// Extended attributes, times or sizes for the next entry, as POSIX.1-2001 writes them (`SCHILY.xattr.user.x`).
    pub fn pax(self, records: &[(&str, &[u8])]) -> Self {
        let mut data = Vec::new();
        for (key, value) in records {
            // "LENGTH KEY=VALUE\n", where LENGTH counts itself.
            let rest = key.len() + value.len() + 3;
            let mut length = rest + rest.to_string().len();
            length = rest + length.to_string().len();
            data.extend_from_slice(format!("{length} {key}=").as_bytes());
            data.extend_from_slice(value);
            data.push(b'\n');
        }
        self.entry(&Entry::new(b'x', "pax", 0o644).holding(&data))
    }

    /// Bytes as they are.
    pub fn raw(mut self, bytes: &[u8]) -> Self {
        self.bytes.extend_from_slice(bytes);
        self
    }

    /// The archive, ended.
    pub fn finish(mut self) -> Vec<u8> {
        self.bytes.extend_from_slice(&[0; 1024]);
        self.bytes
    }

    fn long(self, kind: u8, text: &[u8]) -> Self {
        let text = [text, b"\0"].concat();
        self.entry(&Entry::new(kind, "././@LongLink", 0o644).holding(&text))
    }

    fn header(&mut self, entry: &Entry<'_>) {
        let mut header = [0_u8; 512];
        let put = |header: &mut [u8; 512], at: usize, room: usize, bytes: &[u8]| {
            let length = bytes.len().min(room);
            header[at..at + length].copy_from_slice(&bytes[..length]);
        };
        put(&mut header, 0, 100, entry.name);
        put(&mut header, 100, 8, &octal(u64::from(entry.mode), 8));
        put(&mut header, 108, 8, &octal(entry.uid, 8));
        put(&mut header, 116, 8, &octal(entry.gid, 8));
        let length = u64::try_from(entry.data.len()).expect("a length fits");
        put(&mut header, 124, 12, &octal(entry.claimed_size.unwrap_or(length), 12));
        put(&mut header, 136, 12, &octal(entry.mtime, 12));
        put(&mut header, 148, 8, b"        ");
        header[156] = entry.kind;
        put(&mut header, 157, 100, entry.link);
        put(&mut header, 257, 8, b"ustar  \0");
        put(&mut header, 329, 8, &octal(u64::from(entry.device.0), 8));
        put(&mut header, 337, 8, &octal(u64::from(entry.device.1), 8));
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        put(&mut header, 148, 8, format!("{sum:06o}\0 ").as_bytes());
        self.bytes.extend_from_slice(&header);
    }

    fn data(&mut self, data: &[u8]) {
        self.bytes.extend_from_slice(data);
        let rest = data.len() % 512;
        if rest > 0 {
            self.bytes.extend(std::iter::repeat_n(0, 512 - rest));
        }
    }
}

/// A number as tar writes it: octal digits and a NUL, or, where they do not suffice, GNU's base 256.
fn octal(number: u64, room: usize) -> Vec<u8> {
    let digits = format!("{number:0width$o}", width = room - 1);
    if digits.len() < room {
        return [digits.as_bytes(), b"\0"].concat();
    }
    let mut bytes = vec![0; room];
    bytes[room - 8..].copy_from_slice(&number.to_be_bytes()[8 - room.min(8)..]);
    bytes[0] |= 0x80;
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Mini;

    /// GNU tar is the judge.
    fn list(archive: Vec<u8>) -> String {
        let mut command = std::process::Command::new("tar");
        command.args(["--numeric-owner", "-tvf", "-"]).env("TZ", "UTC");
        Mini::new(command).stdin(archive).run().ok().text()
    }

    #[test]
    fn tar_reads_every_kind_of_entry() {
        let long = format!("{}/end", "d".repeat(180));
        let device = Entry { device: (1, 3), ..Entry::new(b'3', "null", 0o666) };
        let archive = Tarball::new()
            .directory("bin", 0o755)
            .file("bin/tool", 0o4755, "12345")
            .symlink("sh", "bin/tool")
            .hardlink("again", "bin/tool")
            .entry(&device)
            .entry(&Entry::new(b'0', "big-id", 0o600).owned_by(3_000_000_000, 70_000))
            .file(&long, 0o644, "x")
            .whiteout("etc/gone")
            .opaque("var");
        let listed = list(archive.finish());
        for expected in [
            "drwxr-xr-x 0/0               0 2020-09-13 12:26 bin",
            "-rwsr-xr-x 0/0               5 2020-09-13 12:26 bin/tool",
            "sh -> bin/tool",
            "again link to bin/tool",
            "crw-rw-rw- 0/0             1,3 2020-09-13 12:26 null",
            "3000000000/70000",
            &long,
            "etc/.wh.gone",
            "var/.wh..wh..opq",
        ] {
            assert!(listed.contains(expected), "no {expected:?} in\n{listed}");
        }
    }

    #[test]
    fn pax_records_count_themselves() {
        let archive =
            Tarball::new().pax(&[("path", b"renamed"), ("SCHILY.xattr.user.a", b"b")]).file("x", 0o644, "");
        assert!(list(archive.finish()).ends_with(" renamed\n"));
    }
}
