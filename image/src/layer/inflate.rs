//! Compression of layers and archives: told by the first bytes, as docker does, and undone.

use std::fmt;
use std::io::{self, BufRead, Read};

use flate2::bufread::MultiGzDecoder;

/// How bytes are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    Plain,
    /// RFC 1952, any number of members.
    Gzip,
    /// RFC 8878, any number of frames.
    Zstd,
    /// bzip2, which docker's archives may use and mini's may not.
    Bzip2,
    /// xz, likewise.
    Xz,
}

/// The longest magic number of [`Compression::of`].
const MAGIC: usize = 6;

impl Compression {
    /// What the first bytes say.
    pub fn of(beginning: &[u8]) -> Self {
        match beginning {
            [0x1f, 0x8b, 8, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Self::Zstd,
            [b'B', b'Z', b'h', ..] => Self::Bzip2,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Self::Xz,
            _ => Self::Plain,
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Plain => "no",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Bzip2 => "bzip2",
            Self::Xz => "xz",
        })
    }
}

/// Bytes without their compression.
pub(crate) enum Inflate<R: BufRead> {
    Plain(io::Chain<io::Cursor<Vec<u8>>, R>),
    Gzip(Box<MultiGzDecoder<io::Chain<io::Cursor<Vec<u8>>, R>>>),
    /// With the base-2 logarithm of the largest window.
    Zstd(zstd::Decoder<'static, io::Chain<io::Cursor<Vec<u8>>, R>>, u32),
}

impl<R: BufRead> Inflate<R> {
    /// Looks at the first bytes of `input`; `Err(Ok(_))` for a compression that cannot be undone here.
    ///
    /// Frames of zstd that need a larger window than `window_log` allows are refused when they come: a window
    /// is memory.
    pub(crate) fn new(mut input: R, window_log: u32) -> Result<Self, Result<Compression, io::Error>> {
        // Pieces may be shorter than the magic number.
        let mut beginning = Vec::with_capacity(MAGIC);
        while beginning.len() < MAGIC {
            let piece = input.fill_buf().map_err(Err)?;
            let count = piece.len().min(MAGIC - beginning.len());
            if count == 0 {
                break;
            }
            beginning.extend_from_slice(&piece[..count]);
            input.consume(count);
        }
        let compression = Compression::of(&beginning);
        let input = io::Cursor::new(beginning).chain(input);
        Ok(match compression {
            Compression::Plain => Self::Plain(input),
            Compression::Gzip => Self::Gzip(Box::new(MultiGzDecoder::new(input))),
            Compression::Zstd => {
                let mut decoder = zstd::Decoder::with_buffer(input).map_err(Err)?;
                decoder.window_log_max(window_log).map_err(Err)?;
                Self::Zstd(decoder, window_log)
            }
            Compression::Bzip2 | Compression::Xz => return Err(Ok(compression)),
        })
    }

    pub(crate) fn compression(&self) -> Compression {
        match self {
            Self::Plain(_) => Compression::Plain,
            Self::Gzip(_) => Compression::Gzip,
            Self::Zstd(..) => Compression::Zstd,
        }
    }

    /// The compressed input, wherever it stands.
    pub(crate) fn into_input(self) -> R {
        match self {
            Self::Plain(input) => input.into_inner().1,
            Self::Gzip(decoder) => decoder.into_inner().into_inner().1,
            Self::Zstd(decoder, _) => decoder.finish().into_inner().1,
        }
    }
}

impl<R: BufRead> Read for Inflate<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(input) => input.read(buffer),
            Self::Gzip(decoder) => decoder.read(buffer),
            Self::Zstd(decoder, window_log) => {
                decoder.read(buffer).map_err(|error| in_plain_words(error, *window_log))
            }
        }
    }
}

/// libzstd's own words for a window that is too large do not say that it is about one (zstd_errors.h,
/// `ZSTD_error_frameParameter_windowTooLarge`).
fn in_plain_words(error: io::Error, window_log: u32) -> io::Error {
    match error.to_string().as_str() {
        "Frame requires too much memory for decoding" => {
            let limit = (1_u64 << window_log) >> 20;
            io::Error::other(format!("a frame asks for a window of more than {limit} MiB"))
        }
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn inflate(bytes: &[u8]) -> io::Result<Vec<u8>> {
        // A piece of three bytes is shorter than a magic number.
        let input = io::BufReader::with_capacity(3, bytes);
        let mut inflate =
            Inflate::new(input, 27).map_err(|error| error.expect_err("a compression that is known"))?;
        let mut output = Vec::new();
        inflate.read_to_end(&mut output)?;
        Ok(output)
    }

    #[test]
    fn every_member_and_frame_is_inflated() {
        let zstd = |bytes: &[u8]| zstd::encode_all(bytes, 3).unwrap();
        assert_eq!(inflate(b"plain text").unwrap(), b"plain text");
        assert_eq!(inflate(b"").unwrap(), b"");
        assert_eq!(inflate(&gzip(b"one")).unwrap(), b"one");
        assert_eq!(inflate(&[gzip(b"one"), gzip(b"two")].concat()).unwrap(), b"onetwo");
        assert_eq!(inflate(&[zstd(b"one"), zstd(b"two")].concat()).unwrap(), b"onetwo");
        let skippable = [&[0x50, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 9, 9][..], &zstd(b"one")].concat();
        assert_eq!(inflate(&skippable).unwrap(), b"one");
    }

    #[test]
    fn truncated_and_foreign_bytes_are_errors() {
        let long: Vec<u8> = (0..100_000_u32).flat_map(u32::to_le_bytes).collect();
        let (gzip, zstd) = (gzip(&long), zstd::encode_all(long.as_slice(), 3).unwrap());
        for (name, bytes) in [
            ("gzip cut in its data", &gzip[..gzip.len() / 2]),
            ("gzip cut in its trailer", &gzip[..gzip.len() - 4]),
            ("gzip cut in its header", &gzip[..5]),
            ("gzip followed by garbage", &[&gzip[..], b"garbage"].concat()),
            ("gzip with a flipped bit", &{
                let mut flipped = gzip.clone();
                flipped[gzip.len() / 2] ^= 1;
                flipped
            }),
            ("zstd cut", &zstd[..zstd.len() / 2]),
            ("zstd followed by garbage", &[&zstd[..], b"garbage"].concat()),
        ] {
            assert!(inflate(bytes).is_err(), "{name}");
        }
        assert!(matches!(Inflate::new(&b"BZh91AY"[..], 27), Err(Ok(Compression::Bzip2))));
        assert!(matches!(Inflate::new(&b"\xfd7zXZ\0"[..], 27), Err(Ok(Compression::Xz))));
    }

    #[test]
    fn a_giant_window_is_refused() {
        // A frame header (RFC 8878, 3.1.1.1) that asks for a window of so many bytes, then an empty last block.
        let windowed = |log: u8| [0x28, 0xb5, 0x2f, 0xfd, 0, (log - 10) << 3, 1, 0, 0];
        assert_eq!(inflate(&windowed(27)).unwrap(), b"");
        for log in [28, 31, 41] {
            let error = inflate(&windowed(log)).unwrap_err();
            assert_eq!(error.to_string(), "a frame asks for a window of more than 128 MiB", "{log}");
        }
    }
}
