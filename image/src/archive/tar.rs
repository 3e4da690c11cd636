//! Reads tar: a stream of bytes becomes members, each with its header decoded and its data still to come.
//!
//! The `tar` crate knows the header's layout. Iterating is done here because the crate's reader holds a whole
//! extended header in memory however long it says it is, splits its records at newlines inside values, and
//! takes the low eight bytes of any number. One rule decides every doubtful case: what two readers could
//! understand differently is an error. Formats: V7, ustar, pax, old GNU (long names, base-256 numbers, sparse
//! files).

use std::io::{self, BufRead};

use tar::Header;

use super::entry::Time;
use super::error::{TarError, TarErrorKind};
use super::number::header_number;
use super::pax::{Pax, check_global};
use super::sparse::{SparseError, SparseMap, TextMap, comma_list};

/// An archive being read.
pub(crate) struct Archive<R> {
    input: R,
    /// Bytes read so far, for error messages.
    position: u64,
    /// Data of the current member that nobody has read yet.
    data: u64,
    /// Bytes that fill the current member's last block.
    padding: u64,
}

/// One member: everything its headers say, nothing interpreted yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member {
    /// The type flag, as POSIX pax and GNU tar define it.
    pub(crate) kind: u8,
    pub(crate) path: Vec<u8>,
    /// The target of a link; empty for everything else.
    pub(crate) link: Vec<u8>,
    /// Bytes of data in the archive.
    pub(crate) size: u64,
    pub(crate) mode: i64,
    pub(crate) uid: i64,
    pub(crate) gid: i64,
    pub(crate) mtime: Time,
    pub(crate) major: i64,
    pub(crate) minor: i64,
    pub(crate) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    pub(crate) sparse: Option<SparseMap>,
}

/// The longest extension header, the same as in Go's reader.
pub(super) const EXTENSION_MAX: u64 = 1 << 20;

const BLOCK: usize = 512;
type Block = [u8; BLOCK];

/// What precedes a member's own header.
#[derive(Default)]
struct Extensions {
    pax: Option<Pax>,
    long_name: Option<Vec<u8>>,
    long_link: Option<Vec<u8>>,
}

impl<R: BufRead> Archive<R> {
    pub(crate) fn new(input: R) -> Self {
        Self { input, position: 0, data: 0, padding: 0 }
    }

    /// The next member, or `None` at the end of the archive. What was not read of the last one's data is
    /// skipped.
    ///
    /// # Errors
    /// The archive is malformed, truncated, or could be read in two ways.
    pub(crate) fn next_member(&mut self) -> Result<Option<Member>, TarError> {
        self.advance().map_err(|source| TarError { position: self.position, source })
    }

    /// The next piece of the current member's data, empty when there is no more; then call [`Self::consume`].
    pub(crate) fn data(&mut self) -> io::Result<&[u8]> {
        if self.data == 0 {
            return Ok(&[]);
        }
        let left = usize::try_from(self.data).unwrap_or(usize::MAX);
        let piece = self.input.fill_buf()?;
        if piece.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(&piece[..piece.len().min(left)])
    }

    /// How many bytes of the current member's data are still to be read.
    pub(crate) fn left(&self) -> u64 {
        self.data
    }

    /// Marks `count` bytes of what [`Self::data`] gave as read.
    pub(crate) fn consume(&mut self, count: usize) {
        self.input.consume(count);
        self.data -= count as u64;
        self.position += count as u64;
    }

    /// Reads whatever follows the archive's end, so that a digest covers the whole stream, and gives the
    /// input back.
    pub(crate) fn drain(mut self) -> io::Result<R> {
        loop {
            let piece = self.input.fill_buf()?.len();
            if piece == 0 {
                return Ok(self.input);
            }
            self.input.consume(piece);
        }
    }

    /// How many bytes of the stream have been read.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    fn advance(&mut self) -> Result<Option<Member>, TarErrorKind> {
        let mut extensions = Extensions::default();
        loop {
            let Some(block) = self.next_header()? else {
                return match extensions.pending() {
                    Some(kind) => Err(TarErrorKind::Extension(kind)),
                    None => Ok(None),
                };
            };
            let header = Header::from_byte_slice(&block);
            let kind = block[156];
            let size = file_size(&block)?;
            let slot_is_taken = match kind {
                b'x' => extensions.pax.is_some(),
                b'L' => extensions.long_name.is_some(),
                b'K' => extensions.long_link.is_some(),
                b'g' => false,
                _ => return self.member(header, extensions).map(Some),
            };
            if slot_is_taken {
                return Err(TarErrorKind::Extension(kind));
            }
            let bytes = self.extension(size)?;
            match kind {
                b'x' => extensions.pax = Some(Pax::parse(&bytes)?),
                b'g' => check_global(&bytes)?,
                b'L' => extensions.long_name = Some(until_nul(&bytes)),
                _ => extensions.long_link = Some(until_nul(&bytes)),
            }
        }
    }

    /// The next block that is a header: `None` after two blocks of zeros, or where the stream ends between
    /// members.
    fn next_header(&mut self) -> Result<Option<Block>, TarErrorKind> {
        self.skip_rest()?;
        let Some(block) = self.block()? else { return Ok(None) };
        if block.iter().any(|byte| *byte != 0) {
            check_sum(&block)?;
            return Ok(Some(block));
        }
        match self.block()? {
            Some(second) if second.iter().any(|byte| *byte != 0) => Err(TarErrorKind::Checksum),
            _ => Ok(None),
        }
    }

    fn member(&mut self, header: &Header, extensions: Extensions) -> Result<Member, TarErrorKind> {
        let Extensions { pax, long_name, long_link } = extensions;
        let mut pax = pax.unwrap_or_default();
        let block = header.as_bytes();
        let kind = block[156];
        let size = member_size(block, pax.size)?;
        self.data = size;
        self.padding = size.next_multiple_of(BLOCK as u64) - size;
        // POSIX: none of these has data. Go's reader would take the next block for a header, GNU tar would
        // skip `size`.
        if matches!(kind, b'1'..=b'6') && size != 0 {
            return Err(TarErrorKind::UnexpectedData { kind, size });
        }
        let sparse = self.sparse_map(header, &mut pax)?;
        let path = one_of(pax.sparse.name.or(pax.path), long_name, b'L')?;
        let link = one_of(pax.link_path, long_link, b'K')?;
        let number = |name, value: Option<i64>, field: std::ops::Range<usize>| match value {
            Some(value) => Ok(value),
            None => header_number(&block[field]).map_err(|source| TarErrorKind::Number { name, source }),
        };
        let is_device = matches!(kind, b'3' | b'4');
        let has_devices = header.as_ustar().is_some() || header.as_gnu().is_some();
        let device = |name, field: std::ops::Range<usize>| match is_device && has_devices {
            true => number(name, None, field),
            false => Ok(0),
        };
        Ok(Member {
            kind,
            path: path.unwrap_or_else(|| header.path_bytes().into_owned()),
            link: link.unwrap_or_else(|| header.link_name_bytes().unwrap_or_default().into_owned()),
            size: self.data,
            mode: number("mode", None, 100..108)?,
            uid: number("uid", pax.uid, 108..116)?,
            gid: number("gid", pax.gid, 116..124)?,
            mtime: match pax.mtime {
                Some(time) => time,
                None => Time { seconds: number("mtime", None, 136..148)?, nanos: 0 },
            },
            major: device("devmajor", 329..337)?,
            minor: device("devminor", 337..345)?,
            xattrs: std::mem::take(&mut pax.xattrs),
            sparse,
        })
    }

    /// The sparse map, wherever it stands; afterwards [`Self::data`] begins with the file's first segment.
    fn sparse_map(&mut self, header: &Header, pax: &mut Pax) -> Result<Option<SparseMap>, TarErrorKind> {
        let sparse = &pax.sparse;
        if header.as_bytes()[156] == b'S' {
            return self.old_gnu_map(header).map(Some);
        }
        let real_size = || sparse.real_size.ok_or(SparseError::Incomplete);
        let map = match (sparse.major, sparse.minor) {
            (Some(1), Some(0)) => {
                let mut map = TextMap::default();
                loop {
                    let block = if self.data < BLOCK as u64 { None } else { self.block()? };
                    let block = block.ok_or(SparseError::Incomplete)?;
                    self.data -= BLOCK as u64;
                    if map.feed(&block)? {
                        break;
                    }
                }
                SparseMap::new(&map.into_pairs(), real_size()?, self.data)?
            }
            (None, None) | (Some(0), Some(0 | 1)) => match &sparse.map {
                Some(map) => SparseMap::new(&comma_list(map)?, real_size()?, self.data)?,
                None if !sparse.pairs.is_empty() => SparseMap::new(&sparse.pairs, real_size()?, self.data)?,
                None if sparse.real_size.is_some() => return Err(SparseError::Incomplete.into()),
                None => return Ok(None),
            },
            (major, minor) => {
                let (major, minor) = (major.unwrap_or_default(), minor.unwrap_or_default());
                return Err(SparseError::Version { major, minor }.into());
            }
        };
        Ok(Some(map))
    }

    /// GNU tar's old form: four segments in the header, then blocks of 21 while a flag says so.
    fn old_gnu_map(&mut self, header: &Header) -> Result<SparseMap, TarErrorKind> {
        let block = header.as_bytes();
        if header.as_gnu().is_none() {
            return Err(SparseError::Version { major: 0, minor: 0 }.into());
        }
        let mut pairs = Vec::new();
        table(&block[386..482], &mut pairs)?;
        let real_size = header_number(&block[483..495]).map_err(SparseError::from)?;
        let mut is_extended = block[482] != 0;
        while is_extended {
            let more = self.block()?.ok_or(TarErrorKind::Truncated)?;
            table(&more[..504], &mut pairs)?;
            is_extended = more[504] != 0;
            if pairs.len() / 2 > super::sparse::SEGMENTS_MAX {
                return Err(SparseError::TooMany.into());
            }
        }
        Ok(SparseMap::new(&pairs, real_size, self.data)?)
    }

    fn extension(&mut self, size: i64) -> Result<Vec<u8>, TarErrorKind> {
        let size = u64::try_from(size).map_err(|_| TarErrorKind::NegativeSize(size))?;
        if size > EXTENSION_MAX {
            return Err(TarErrorKind::ExtensionSize(size));
        }
        self.data = size;
        self.padding = size.next_multiple_of(BLOCK as u64) - size;
        let mut bytes = Vec::new();
        loop {
            let piece = self.data().map_err(truncated)?;
            let length = piece.len();
            if length == 0 {
                return Ok(bytes);
            }
            bytes.extend_from_slice(piece);
            self.consume(length);
        }
    }

    fn skip_rest(&mut self) -> Result<(), TarErrorKind> {
        self.skip_data()?;
        self.data = std::mem::take(&mut self.padding);
        match self.skip_data() {
            // Some writers (umoci) leave out what should fill the last block; Go's reader takes that for the
            // end, too.
            Err(TarErrorKind::Truncated) => {
                self.data = 0;
                Ok(())
            }
            skipped => skipped,
        }
    }

    fn skip_data(&mut self) -> Result<(), TarErrorKind> {
        loop {
            let length = self.data().map_err(truncated)?.len();
            if length == 0 {
                return Ok(());
            }
            self.consume(length);
        }
    }

    /// One whole block, or `None` at the end of the stream. Does not touch the member's data count.
    fn block(&mut self) -> Result<Option<Block>, TarErrorKind> {
        let mut block = [0; BLOCK];
        let mut filled = 0;
        while filled < BLOCK {
            let piece = self.input.fill_buf()?;
            if piece.is_empty() {
                return if filled == 0 { Ok(None) } else { Err(TarErrorKind::Truncated) };
            }
            let count = piece.len().min(BLOCK - filled);
            block[filled..filled + count].copy_from_slice(&piece[..count]);
            self.input.consume(count);
            filled += count;
        }
        self.position += BLOCK as u64;
        Ok(Some(block))
    }
}

impl Extensions {
    fn pending(&self) -> Option<u8> {
        let kinds =
            [(b'x', self.pax.is_some()), (b'L', self.long_name.is_some()), (b'K', self.long_link.is_some())];
        kinds.into_iter().find_map(|(kind, is_there)| is_there.then_some(kind))
    }
}

/// A long name comes from one of two extensions; with both, readers differ on which counts.
fn one_of(pax: Option<Vec<u8>>, gnu: Option<Vec<u8>>, kind: u8) -> Result<Option<Vec<u8>>, TarErrorKind> {
    if pax.is_some() && gnu.is_some() {
        return Err(TarErrorKind::Extension(kind));
    }
    Ok(pax.or(gnu))
}

fn file_size(block: &Block) -> Result<i64, TarErrorKind> {
    header_number(&block[124..136]).map_err(|source| TarErrorKind::Number { name: "size", source })
}

/// The size that both headers agree on. A size of 8 GiB and more does not fit eleven octal digits: writers
/// then leave zero or the largest number there, and only then may the two differ.
fn member_size(block: &Block, pax: Option<i64>) -> Result<u64, TarErrorKind> {
    const OCTAL_MAX: i64 = 0o77_777_777_777;
    let header = file_size(block)?;
    let size = match pax {
        Some(pax) if pax == header || (pax > OCTAL_MAX && matches!(header, 0 | OCTAL_MAX)) => pax,
        Some(pax) => return Err(TarErrorKind::Sizes { pax, header }),
        None => header,
    };
    u64::try_from(size).map_err(|_| TarErrorKind::NegativeSize(size))
}

/// POSIX: the sum of all bytes, the checksum's own counted as spaces; old writers summed them as signed.
fn check_sum(block: &Block) -> Result<(), TarErrorKind> {
    let stated = header_number(&block[148..156]).map_err(|_| TarErrorKind::Checksum)?;
    let bytes =
        || block.iter().enumerate().map(|(at, byte)| if (148..156).contains(&at) { b' ' } else { *byte });
    let unsigned: i64 = bytes().map(i64::from).sum();
    let signed: i64 = bytes().map(|byte| i64::from(byte.cast_signed())).sum();
    if stated == unsigned || stated == signed { Ok(()) } else { Err(TarErrorKind::Checksum) }
}

/// Appends the used rows of an old GNU sparse table: 12 bytes of offset, 12 of length.
fn table(bytes: &[u8], pairs: &mut Vec<i64>) -> Result<(), SparseError> {
    for row in bytes.chunks_exact(24) {
        if row[0] == 0 && row[12] == 0 {
            break;
        }
        pairs.push(header_number(&row[..12])?);
        pairs.push(header_number(&row[12..])?);
    }
    Ok(())
}

fn until_nul(bytes: &[u8]) -> Vec<u8> {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default().to_vec()
}

pub(super) fn truncated(error: io::Error) -> TarErrorKind {
    match error.kind() {
        // The stream's own end, and not an error of a decompressor (which has a source).
        io::ErrorKind::UnexpectedEof if error.get_ref().is_none() => TarErrorKind::Truncated,
        _ => TarErrorKind::Io(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(path: &str, kind: u8, size: u64) -> Header {
        let mut header = Header::new_ustar();
        header.set_path(path).unwrap();
        header.set_size(size);
        header.set_mode(0o644);
        header.as_mut_bytes()[156] = kind;
        header.set_cksum();
        header
    }

    fn with(header: &Header, change: impl FnOnce(&mut [u8; 512])) -> Header {
        let mut header = header.clone();
        change(header.as_mut_bytes());
        header.set_cksum();
        header
    }

    fn archive(members: &[(Header, &[u8])]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (header, data) in members {
            bytes.extend_from_slice(header.as_bytes());
            bytes.extend_from_slice(data);
            bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
        }
        bytes.resize(bytes.len() + 2 * BLOCK, 0);
        bytes
    }

    /// Every member with its data, or the first error.
    fn read(bytes: &[u8]) -> Result<Vec<(Member, Vec<u8>)>, TarErrorKind> {
        // A small buffer, so that blocks and data straddle its ends.
        let mut archive = Archive::new(io::BufReader::with_capacity(100, bytes));
        let mut members = Vec::new();
        while let Some(member) = archive.next_member().map_err(|error| error.source)? {
            let mut data = Vec::new();
            loop {
                let piece = archive.data().map_err(truncated)?;
                let length = piece.len();
                if length == 0 {
                    break;
                }
                data.extend_from_slice(piece);
                archive.consume(length);
            }
            members.push((member, data));
        }
        Ok(members)
    }

    fn pax(records: &[(&str, &str)]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (key, value) in records {
            let body = key.len() + value.len() + 3;
            let length = body + if body + 2 < 100 { 2 } else { 3 };
            bytes.extend_from_slice(format!("{length} {key}={value}\n").as_bytes());
        }
        bytes
    }

    #[test]
    fn members_come_with_their_data() {
        let bytes = archive(&[
            (header("a", b'0', 3), b"abc"),
            (header("d/", b'5', 0), b""),
            (header("b", b'0', 1000), &[b'x'; 1000]),
        ]);
        let members = read(&bytes).unwrap();
        let names: Vec<_> = members.iter().map(|(member, data)| (member.path.clone(), data.len())).collect();
        assert_eq!(names, [(b"a".to_vec(), 3), (b"d/".to_vec(), 0), (b"b".to_vec(), 1000)]);
        assert_eq!(members[0].1, b"abc");
        assert!(read(b"").unwrap().is_empty(), "an empty stream is an empty archive");
        assert_eq!(read(&bytes[..bytes.len() - 1024]).unwrap().len(), 3, "the end marker may be missing");
        assert_eq!(read(&bytes[..bytes.len() - 1030]).unwrap().len(), 3, "and what fills the last block");
    }

    #[test]
    fn extensions_apply_to_the_member_that_follows() {
        let long = "d/".repeat(100) + "file";
        let records =
            pax(&[("path", &long), ("uid", "70000"), ("mtime", "-1.5"), ("SCHILY.xattr.user.a", "b")]);
        let bytes = archive(&[
            (header("x", b'x', records.len() as u64), &records),
            (header("short", b'0', 1), b"1"),
            (header("L", b'L', 5), b"long\0"),
            (header("K", b'K', 7), b"target\0"),
            (header("l", b'2', 0), b""),
            (header("g", b'g', pax(&[("comment", "x")]).len() as u64), &pax(&[("comment", "x")])),
            (header("plain", b'0', 0), b""),
        ]);
        let members: Vec<Member> = read(&bytes).unwrap().into_iter().map(|(member, _)| member).collect();
        assert_eq!((members[0].path.as_slice(), members[0].uid), (long.as_bytes(), 70000));
        assert_eq!(members[0].mtime, Time { seconds: -2, nanos: 500_000_000 });
        assert_eq!(members[0].xattrs, [(b"user.a".to_vec(), b"b".to_vec())]);
        assert_eq!((members[1].path.as_slice(), members[1].link.as_slice()), (&b"long"[..], &b"target"[..]));
        assert_eq!((members[2].path.as_slice(), members[2].uid), (&b"plain"[..], 0));
    }

    #[test]
    fn whatever_could_be_read_in_two_ways_is_refused() {
        let sized = |size: &str, field: u64| {
            let records = pax(&[("size", size)]);
            archive(&[
                (header("x", b'x', records.len() as u64), &records),
                (header("f", b'0', field), b"12345"),
            ])
        };
        let global = pax(&[("path", "y")]);
        let named = pax(&[("path", "y")]);
        let cases: Vec<(&str, Vec<u8>, &str)> = vec![
            ("pax size zero", sized("0", 5), "Sizes"),
            ("pax size larger", sized("600", 5), "Sizes"),
            ("pax size, header zero", sized("5", 0), "Sizes"),
            ("negative pax size", sized("-5", 5), "Sizes"),
            (
                "negative size",
                archive(&[(with(&header("f", b'0', 0), |h| h[124..136].fill(0xff)), b"")]),
                "NegativeSize",
            ),
            ("bad octal", archive(&[(with(&header("f", b'0', 0), |h| h[124] = b'x'), b"")]), "Number"),
            ("bad uid", archive(&[(with(&header("f", b'0', 0), |h| h[108] = b'-'), b"")]), "Number"),
            (
                "bad checksum",
                {
                    let mut bytes = archive(&[(header("f", b'0', 0), b"")]);
                    bytes[0] ^= 1;
                    bytes
                },
                "Checksum",
            ),
            ("link with data", archive(&[(header("l", b'1', 5), b"12345")]), "UnexpectedData"),
            ("directory with data", archive(&[(header("d/", b'5', 5), b"12345")]), "UnexpectedData"),
            ("truncated header", archive(&[(header("f", b'0', 0), b"")])[..100].to_vec(), "Truncated"),
            ("truncated data", archive(&[(header("f", b'0', 600), &[1; 600])])[..700].to_vec(), "Truncated"),
            ("one zero block", [vec![0; 512], archive(&[(header("f", b'0', 0), b"")])].concat(), "Checksum"),
            (
                "two pax headers",
                {
                    let one = (header("x", b'x', named.len() as u64), named.as_slice());
                    archive(&[one.clone(), one, (header("f", b'0', 0), b"")])
                },
                "Extension(",
            ),
            (
                "pax path and long name",
                {
                    let one = (header("x", b'x', named.len() as u64), named.as_slice());
                    archive(&[one, (header("L", b'L', 2), b"y\0"), (header("f", b'0', 0), b"")])
                },
                "Extension(",
            ),
            (
                "dangling pax header",
                archive(&[(header("x", b'x', named.len() as u64), &named)]),
                "Extension(",
            ),
            ("huge long name", archive(&[(header("L", b'L', 2 << 20), b"")]), "ExtensionSize"),
            ("global path", archive(&[(header("g", b'g', global.len() as u64), &global)]), "Global"),
            (
                "sparse without map",
                {
                    let records = pax(&[("GNU.sparse.size", "5")]);
                    archive(&[
                        (header("x", b'x', records.len() as u64), &records),
                        (header("f", b'0', 5), b"12345"),
                    ])
                },
                "Incomplete",
            ),
        ];
        for (name, bytes, expected) in cases {
            let error = format!("{:?}", read(&bytes).expect_err(name));
            assert!(error.contains(expected), "{name}: {error}");
        }
    }

    #[test]
    fn sizes_beyond_octal_come_from_the_extended_header() {
        let size = 0o77_777_777_777 + 1_u64;
        let records = pax(&[("size", &size.to_string())]);
        let big = header("f", b'0', 0);
        let bytes = archive(&[(header("x", b'x', records.len() as u64), &records), (big, b"")]);
        let mut archive = Archive::new(bytes.as_slice());
        assert_eq!(archive.next_member().unwrap().unwrap().size, size);
    }

    #[test]
    fn every_form_of_sparse_file_is_understood() {
        let field = |value: &str| format!("{value:0>11}\0").into_bytes();
        let mut old = Header::new_gnu();
        old.set_path("old").unwrap();
        old.set_size(6);
        let row = |header: &mut [u8], at: usize, offset: &str, length: &str| {
            header[at..at + 12].copy_from_slice(&field(offset));
            header[at + 12..at + 24].copy_from_slice(&field(length));
        };
        let mut extended = [0_u8; 512];
        row(&mut extended, 0, "100", "3");
        row(&mut extended, 24, "1000", "0");
        let old = with(&old, |header| {
            header[100..108].copy_from_slice(b"0000644\0");
            header[156] = b'S';
            row(header, 386, "0", "3");
            header[482] = 1;
            header[483..495].copy_from_slice(&field("1000"));
        });
        let mut bytes = [old.as_bytes().to_vec(), extended.to_vec(), b"abcdef".to_vec()].concat();
        bytes.resize(bytes.len().next_multiple_of(512), 0);
        let pairs = [("GNU.sparse.size", "512"), ("GNU.sparse.offset", "0"), ("GNU.sparse.numbytes", "3")];
        let rest = [("GNU.sparse.offset", "64"), ("GNU.sparse.numbytes", "3")];
        let zero = pax(&[&pairs[..], &rest[..]].concat());
        let one =
            pax(&[("GNU.sparse.size", "512"), ("GNU.sparse.name", "one"), ("GNU.sparse.map", "0,3,64,3")]);
        let versioned = pax(&[
            ("GNU.sparse.major", "1"),
            ("GNU.sparse.minor", "0"),
            ("GNU.sparse.realsize", "512"),
            ("GNU.sparse.name", "new"),
        ]);
        let mut mapped = b"2\n0\n3\n64\n3\n".to_vec();
        mapped.resize(512, 0);
        mapped.extend_from_slice(b"abcdef");
        bytes.extend(archive(&[
            (header("x", b'x', zero.len() as u64), &zero),
            (header("zero", b'0', 6), b"abcdef"),
            (header("x", b'x', one.len() as u64), &one),
            (header("GNUSparseFile.0/one", b'0', 6), b"abcdef"),
            (header("x", b'x', versioned.len() as u64), &versioned),
            (header("GNUSparseFile.0/new", b'0', 518), &mapped),
        ]));
        let members = read(&bytes).unwrap();
        for ((member, data), name) in members.iter().zip(["old", "zero", "one", "new"]) {
            assert_eq!((member.path.as_slice(), data.as_slice()), (name.as_bytes(), &b"abcdef"[..]));
            let map = member.sparse.as_ref().unwrap();
            assert_eq!((map.real_size, map.segments.len()), (512, 2), "{name}");
            assert_eq!((map.segments[1].offset, map.segments[1].length), (64, 3), "{name}");
        }
        assert_eq!(members.len(), 4);
    }

    /// Archives with a few bytes changed, checksums put right so that the changes are looked at: each is read to its
    /// end or refused, and none brings the reader down.
    #[test]
    fn damaged_archives_are_read_or_refused() {
        let records = pax(&[
            ("path", "a/b"),
            ("size", "5"),
            ("mtime", "1.5"),
            ("SCHILY.xattr.user.a", "b"),
            ("uid", "70000"),
        ]);
        let sparse =
            pax(&[("GNU.sparse.map", "0,3,64,3"), ("GNU.sparse.size", "512"), ("GNU.sparse.name", "s")]);
        let mut old = Header::new_gnu();
        old.set_path("old").unwrap();
        old.set_size(6);
        let old = with(&old, |header| {
            header[156] = b'S';
            header[386..410].copy_from_slice(b"00000000000\x0000000000006\0");
            header[483..495].copy_from_slice(b"00000001000\0");
        });
        let whole = archive(&[
            (header("x", b'x', records.len() as u64), &records),
            (header("f", b'0', 5), b"12345"),
            (header("L", b'L', 5), b"long\0"),
            (header("l", b'1', 0), b""),
            (header("x", b'x', sparse.len() as u64), &sparse),
            (header("g", b'0', 6), b"abcdef"),
            (old, b"abcdef"),
            (header("c", b'3', 0), b""),
        ]);
        assert_eq!(read(&whole).unwrap().len(), 5);
        // A linear congruential generator (Knuth's MMIX): the same archives every time.
        let mut state = 1_u64;
        let mut random = |below: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(state >> 33).unwrap() % below
        };
        let mut refused = 0;
        for _ in 0..20_000 {
            let mut bytes = whole.clone();
            for _ in 0..=random(4) {
                let at = random(bytes.len());
                let interesting = [0, b' ', b'0', b'7', b'8', b'=', b'\n', 0x80, 0xff, b'S', b'x', b'5'];
                bytes[at] = interesting[random(interesting.len())];
                let block = at / BLOCK * BLOCK;
                let mut header = Header::new_old();
                header.as_mut_bytes().copy_from_slice(&bytes[block..block + BLOCK]);
                header.set_cksum();
                if bytes[block + 148] != 0 && random(4) > 0 {
                    bytes[block..block + BLOCK].copy_from_slice(header.as_bytes());
                }
            }
            match read(&bytes) {
                Ok(members) => {
                    for (member, _) in members {
                        // Refused or not: it has to come to an end.
                        let _decided = crate::archive::entry::Entry::interpret(&member);
                    }
                }
                Err(_) => refused += 1,
            }
        }
        assert!((5_000..19_500).contains(&refused), "{refused}");
    }
}
