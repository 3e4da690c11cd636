//! Writes tar headers: a member becomes 512 bytes of ustar, with an extended header of pax before it where something does not
//! fit. PURE.
//!
//! What the ustar header can say exactly is said there alone, so that the archive of everyday files has nothing that an old
//! reader would stumble over (POSIX pax, "ustar Interchange Format" and "pax Header Block"). Sparse files take GNU tar's form
//! 1.0, which GNU tar, libarchive, Go and Python read.

use tar::Header;

use super::entry::{Time, Xattr, split};
use super::sparse::SparseMap;
use super::tar::EXTENSION_MAX;

/// One member as it is to be written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Written<'a> {
    /// The type flag.
    pub(crate) kind: u8,
    /// Relative; a directory's ends in a slash.
    pub(crate) path: &'a [u8],
    /// The target of a link; empty for everything else.
    pub(crate) link: &'a [u8],
    /// Bytes of data that follow; of a sparse file, those of its segments.
    pub(crate) size: u64,
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) mtime: Time,
    /// A device's major and minor number.
    pub(crate) device: (u32, u32),
    pub(crate) xattrs: &'a [Xattr],
    pub(crate) sparse: Option<&'a SparseMap>,
}

/// The largest numbers in fields of 8 and 12 bytes.
const SHORT_MAX: u32 = 0o7_777_777;
const LONG_MAX: u64 = 0o77_777_777_777;
/// Bytes of a name in the header.
const NAME: usize = 100;

pub(crate) const BLOCK: usize = 512;

/// Appends the headers of a member to `out`, and a sparse file's map; what is left to write is `size` bytes and their padding.
/// Returns how many extended attributes were left out, because an extended header has no room or no form for them.
pub(crate) fn headers(member: &Written<'_>, out: &mut Vec<u8>) -> usize {
    let mut records = Records::default();
    let map = member.sparse.map(text_of);
    let name = split(member.path.strip_suffix(b"/").unwrap_or(member.path)).1;
    let sparse_name = [b"GNUSparseFile.0/", name].concat();
    let shown = if map.is_some() { sparse_name.as_slice() } else { member.path };
    match member.sparse {
        Some(map) => {
            records.add(b"GNU.sparse.major", b"1");
            records.add(b"GNU.sparse.minor", b"0");
            records.add_name(b"GNU.sparse.name", member.path);
            records.add_number(b"GNU.sparse.realsize", map.real_size);
        }
        None if member.path.len() > NAME || !member.path.is_ascii() => records.add_name(b"path", member.path),
        None => {}
    }
    if member.link.len() > NAME || !member.link.is_ascii() {
        records.add_name(b"linkpath", member.link);
    }
    let size = member.size + map.as_ref().map_or(0, |map| map.len() as u64);
    if size > LONG_MAX {
        records.add_number(b"size", size);
    }
    for (key, id) in [(&b"uid"[..], member.uid), (b"gid", member.gid)] {
        if id > SHORT_MAX {
            records.add_number(key, id.into());
        }
    }
    let seconds = u64::try_from(member.mtime.seconds).ok().filter(|seconds| *seconds <= LONG_MAX);
    if seconds.is_none() || member.mtime.nanos > 0 {
        records.add(b"mtime", time(member.mtime).as_bytes());
    }
    let mut dropped = 0;
    for (name, value) in member.xattrs {
        let fits = records.bytes.len() + name.len() + value.len() + 64 < EXTENSION_MAX as usize;
        if name.contains(&b'=') || !fits {
            // A key ends at the first equals sign: this one could be read as another attribute.
            dropped += 1;
            continue;
        }
        records.add(&[b"SCHILY.xattr.", name.as_slice()].concat(), value);
    }
    let records = records.finish();
    if !records.is_empty() {
        let name = [b"PaxHeaders.0/", name].concat();
        let header =
            Written { kind: b'x', path: &name, size: records.len() as u64, mode: 0o644, ..Written::PLAIN };
        ustar(&header, &name, header.size, 0, out);
        out.extend_from_slice(&records);
        pad(out);
    }
    ustar(member, shown, if size > LONG_MAX { 0 } else { size }, seconds.unwrap_or(0), out);
    out.extend_from_slice(&map.unwrap_or_default());
    dropped
}

impl Written<'_> {
    /// Nothing but zeros.
    pub(crate) const PLAIN: Written<'static> = Written {
        kind: b'0',
        path: b"",
        link: b"",
        size: 0,
        mode: 0,
        uid: 0,
        gid: 0,
        mtime: Time { seconds: 0, nanos: 0 },
        device: (0, 0),
        xattrs: &[],
        sparse: None,
    };
}

/// Two blocks of zeros end an archive.
pub(crate) const END: [u8; 2 * BLOCK] = [0; 2 * BLOCK];

/// Fills the last block with zeros.
pub(super) fn pad(out: &mut Vec<u8>) {
    out.resize(out.len().next_multiple_of(BLOCK), 0);
}

fn ustar(member: &Written<'_>, name: &[u8], size: u64, seconds: u64, out: &mut Vec<u8>) {
    let mut header = Header::new_ustar();
    let fitting = |id: u32| u64::from(if id > SHORT_MAX { 0 } else { id });
    header.set_mode(member.mode);
    header.set_uid(fitting(member.uid));
    header.set_gid(fitting(member.gid));
    header.set_size(size);
    header.set_mtime(seconds);
    let bytes = header.as_mut_bytes();
    let cut = |text: &[u8]| text.len().min(NAME);
    bytes[..cut(name)].copy_from_slice(&name[..cut(name)]);
    bytes[156] = member.kind;
    bytes[157..157 + cut(member.link)].copy_from_slice(&member.link[..cut(member.link)]);
    if matches!(member.kind, b'3' | b'4') {
        header.set_device_major(member.device.0).expect("a ustar header has this field");
        header.set_device_minor(member.device.1).expect("a ustar header has this field");
    }
    header.set_cksum();
    out.extend_from_slice(header.as_bytes());
}

/// Records of an extended header.
#[derive(Default)]
struct Records {
    bytes: Vec<u8>,
    /// A name that is no UTF-8, as pax wants names to be.
    binary: bool,
}

impl Records {
    /// `LENGTH KEY=VALUE\n`, where LENGTH counts itself.
    fn add(&mut self, key: &[u8], value: &[u8]) {
        let rest = key.len() + value.len() + 3;
        let mut length = rest + rest.to_string().len();
        length = rest + length.to_string().len();
        self.bytes.extend_from_slice(format!("{length} ").as_bytes());
        self.bytes.extend_from_slice(key);
        self.bytes.push(b'=');
        self.bytes.extend_from_slice(value);
        self.bytes.push(b'\n');
    }

    fn add_name(&mut self, key: &[u8], name: &[u8]) {
        self.binary |= std::str::from_utf8(name).is_err();
        self.add(key, name);
    }

    fn add_number(&mut self, key: &[u8], number: u64) {
        self.add(key, number.to_string().as_bytes());
    }

    fn finish(self) -> Vec<u8> {
        if !self.binary {
            return self.bytes;
        }
        let mut first = Records::default();
        first.add(b"hdrcharset", b"BINARY");
        [first.bytes, self.bytes].concat()
    }
}

/// Seconds with a fraction; a fraction leads away from zero, a timespec's nanoseconds always forward.
fn time(time: Time) -> String {
    let (seconds, nanos) = match (time.seconds, time.nanos) {
        (seconds, 0) => return seconds.to_string(),
        (seconds @ 0.., nanos) => (seconds.to_string(), nanos),
        (seconds, nanos) => (format!("-{}", -(seconds + 1)), 1_000_000_000 - nanos),
    };
    format!("{seconds}.{nanos:09}").trim_end_matches('0').to_owned()
}

/// The map of GNU tar's form 1.0: a count, then offset and length of each segment, a decimal number a line, in whole blocks. An
/// empty segment at its end says how long the file is.
fn text_of(map: &SparseMap) -> Vec<u8> {
    let end = map.segments.last().map_or(0, |last| last.offset + last.length);
    let ends_in_hole = end < map.real_size;
    let mut text = format!("{}\n", map.segments.len() + usize::from(ends_in_hole));
    for segment in &map.segments {
        text += &format!("{}\n{}\n", segment.offset, segment.length);
    }
    if ends_in_hole {
        text += &format!("{}\n0\n", map.real_size);
    }
    let mut bytes = text.into_bytes();
    pad(&mut bytes);
    bytes
}

#[cfg(test)]
mod tests {
    use super::super::sparse::Segment;
    use super::super::tar::{Archive, Member};
    use super::*;

    /// Writes a member with this data and reads it back.
    fn written_and_read(member: &Written<'_>, data: &[u8]) -> (Vec<u8>, Member, Vec<u8>) {
        let mut bytes = Vec::new();
        headers(member, &mut bytes);
        bytes.extend_from_slice(data);
        pad(&mut bytes);
        bytes.extend_from_slice(&END);
        let mut archive = Archive::new(bytes.as_slice());
        let read = archive.next_member().unwrap().unwrap();
        let mut got = Vec::new();
        loop {
            let piece = archive.data().unwrap().to_vec();
            if piece.is_empty() {
                break;
            }
            archive.consume(piece.len());
            got.extend_from_slice(&piece);
        }
        assert!(archive.next_member().unwrap().is_none());
        (bytes, read, got)
    }

    #[test]
    fn what_fits_takes_one_block_and_the_rest_comes_back_all_the_same() {
        let time = |seconds, nanos| Time { seconds, nanos };
        let plain =
            Written { path: b"a/file", mode: 0o4755, uid: 7, gid: 8, mtime: time(9, 0), ..Written::PLAIN };
        let (long, link) = ("d/".repeat(60) + "file", "t".repeat(101));
        let xattrs =
            [(b"user.a".to_vec(), b"x\ny\0z".to_vec()), (b"security.capability".to_vec(), vec![1; 20])];
        for (member, blocks) in [
            (plain, 1),
            (Written { path: long.as_bytes(), ..plain }, 3),
            (Written { path: "é".as_bytes(), ..plain }, 3),
            (Written { path: b"\xff\xfe", ..plain }, 3),
            (Written { kind: b'2', link: link.as_bytes(), ..plain }, 3),
            (Written { uid: 4_000_000_000, gid: 2_097_152, ..plain }, 3),
            (Written { uid: 2_097_151, ..plain }, 1),
            (Written { mtime: time(5, 20_000_000), ..plain }, 3),
            (Written { mtime: time(-2, 500_000_000), ..plain }, 3),
            (Written { mtime: time(-3, 0), ..plain }, 3),
            (Written { mtime: time(-1, 750_000_000), ..plain }, 3),
            (Written { xattrs: &xattrs, ..plain }, 3),
            (Written { kind: b'3', device: (4095, 1_048_575), ..plain }, 1),
            (Written { kind: b'5', path: b"dir/", ..plain }, 1),
        ] {
            let (bytes, read, _) = written_and_read(&member, b"");
            assert_eq!(bytes.len(), (blocks + 2) * BLOCK, "{member:?}");
            assert_eq!(
                (read.kind, read.path.as_slice(), read.link.as_slice(), read.mtime),
                (member.kind, member.path, member.link, member.mtime)
            );
            assert_eq!((read.uid, read.gid, read.mode), (member.uid.into(), member.gid.into(), 0o4755));
            assert_eq!((read.major, read.minor), (member.device.0.into(), member.device.1.into()));
            assert_eq!(read.xattrs, member.xattrs);
        }
    }

    #[test]
    fn sizes_beyond_eight_gigabytes_are_told() {
        let mut bytes = Vec::new();
        headers(&Written { path: b"big", size: LONG_MAX + 1, ..Written::PLAIN }, &mut bytes);
        assert_eq!(Archive::new(bytes.as_slice()).next_member().unwrap().unwrap().size, LONG_MAX + 1);
    }

    #[test]
    fn sparse_files_keep_their_holes() {
        let segment = |offset, length| Segment { offset, length };
        for (segments, real_size) in [
            (vec![segment(0, 3), segment(4096, 3)], 1 << 30),
            (vec![segment(512, 6)], 518),
            (vec![], 1 << 40),
        ] {
            let map = SparseMap { segments, real_size };
            let size = map.segments.iter().map(|segment| segment.length).sum::<u64>();
            let member = Written { path: b"dir/sparse", size, sparse: Some(&map), ..Written::PLAIN };
            let data = b"abcdef";
            let (_, read, got) = written_and_read(&member, &data[..usize::try_from(size).unwrap()]);
            assert_eq!((read.path.as_slice(), read.sparse), (&b"dir/sparse"[..], Some(map)));
            assert_eq!(got.len() as u64, size);
        }
    }

    #[test]
    fn attributes_that_could_be_read_as_others_are_left_out() {
        let xattrs = [
            (b"user.a=b".to_vec(), b"c".to_vec()),
            (b"user.big".to_vec(), vec![0; 1 << 20]),
            (b"user.k".to_vec(), vec![]),
        ];
        let mut bytes = Vec::new();
        let member = Written { path: b"f", xattrs: &xattrs, ..Written::PLAIN };
        assert_eq!(headers(&member, &mut bytes), 2);
        let read = Archive::new(bytes.as_slice()).next_member().unwrap().unwrap();
        assert_eq!(read.xattrs, [(b"user.k".to_vec(), vec![])]);
    }
}
