//! PAX extended headers: `length key=value\n` records that override a tar header. PURE.
//!
//! Own code, because values are bytes: a file capability may hold a newline, at which line-splitting parsers
//! end a record. What two parsers could read differently is refused: a record whose length lies, one key
//! twice, a zero-length name.

use super::entry::Time;
use super::number::{NumberError, decimal, pax_time};

/// What the extended header of one entry says; `None` where it says nothing.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Pax {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link_path: Option<Vec<u8>>,
    pub(super) size: Option<i64>,
    pub(super) uid: Option<i64>,
    pub(super) gid: Option<i64>,
    pub(super) mtime: Option<Time>,
    /// `SCHILY.xattr.NAME`: name without the prefix, and value, in the order of the records.
    pub(super) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    pub(super) sparse: PaxSparse,
}

/// GNU tar's `GNU.sparse.*` keys, all three generations of them.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct PaxSparse {
    pub(super) major: Option<i64>,
    pub(super) minor: Option<i64>,
    pub(super) name: Option<Vec<u8>>,
    /// `size` of 0.0 and 0.1, `realsize` of 1.0.
    pub(super) real_size: Option<i64>,
    /// 0.1: `offset,length,offset,length…`.
    pub(super) map: Option<Vec<u8>>,
    /// 0.0: `offset` and `numbytes` records, alternating.
    pub(super) pairs: Vec<i64>,
}

/// Why an extended header is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PaxError {
    /// A record is not `length key=value\n`, or its length is not its length.
    #[error("malformed record at byte {0} of the extended header")]
    Record(usize),
    /// A key appears twice: parsers disagree on which counts.
    #[error("the extended header has {0:?} twice")]
    Twice(String),
    /// A value that should be a number.
    #[error("{key} of the extended header")]
    Number {
        /// The record's key.
        key: String,
        /// Its value.
        #[source]
        source: NumberError,
    },
    /// A global header changes what the entries are: GNU tar obeys it, Go's reader does not.
    #[error("a global extended header sets {0:?}, which readers obey or ignore as they like")]
    Global(String),
}

const XATTR: &[u8] = b"SCHILY.xattr.";

impl Pax {
    /// Reads one entry's extended header.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, PaxError> {
        let mut pax = Self::default();
        let mut seen: Vec<&[u8]> = Vec::new();
        for record in records(bytes) {
            let (key, value) = record?;
            let repeatable = matches!(key, b"comment" | b"GNU.sparse.offset" | b"GNU.sparse.numbytes");
            if !repeatable && seen.contains(&key) {
                return Err(PaxError::Twice(lossy(key)));
            }
            seen.push(key);
            // POSIX: an empty value takes back what a global header set; there is none here.
            if !value.is_empty() || key.starts_with(XATTR) {
                pax.set(key, value)?;
            }
        }
        Ok(pax)
    }

    fn set(&mut self, key: &[u8], value: &[u8]) -> Result<(), PaxError> {
        let number = || decimal(value).map_err(|source| PaxError::Number { key: lossy(key), source });
        match key {
            b"path" => self.path = Some(value.to_vec()),
            b"linkpath" => self.link_path = Some(value.to_vec()),
            b"size" => self.size = Some(number()?),
            b"uid" => self.uid = Some(number()?),
            b"gid" => self.gid = Some(number()?),
            b"mtime" => {
                let time = pax_time(value).map_err(|source| PaxError::Number { key: lossy(key), source })?;
                self.mtime = Some(time);
            }
            b"GNU.sparse.major" => self.sparse.major = Some(number()?),
            b"GNU.sparse.minor" => self.sparse.minor = Some(number()?),
            b"GNU.sparse.name" => self.sparse.name = Some(value.to_vec()),
            b"GNU.sparse.size" | b"GNU.sparse.realsize" => {
                if self.sparse.real_size.replace(number()?).is_some() {
                    return Err(PaxError::Twice("GNU.sparse.realsize".to_owned()));
                }
            }
            b"GNU.sparse.map" => self.sparse.map = Some(value.to_vec()),
            b"GNU.sparse.offset" if self.sparse.pairs.len().is_multiple_of(2) => {
                self.sparse.pairs.push(number()?);
            }
            b"GNU.sparse.numbytes" if !self.sparse.pairs.len().is_multiple_of(2) => {
                self.sparse.pairs.push(number()?);
            }
            b"GNU.sparse.offset" | b"GNU.sparse.numbytes" => return Err(PaxError::Twice(lossy(key))),
            _ => {
                if let Some(name) = key.strip_prefix(XATTR) {
                    self.xattrs.push((name.to_vec(), value.to_vec()));
                }
                // Everything else (atime, ctime, uname, gname, LIBARCHIVE.*, …) means nothing to a layer.
            }
        }
        Ok(())
    }
}

/// A global header may carry a comment (git archive's does) and nothing else.
pub(super) fn check_global(bytes: &[u8]) -> Result<(), PaxError> {
    for record in records(bytes) {
        let (key, _) = record?;
        if key != b"comment" {
            return Err(PaxError::Global(lossy(key)));
        }
    }
    Ok(())
}

type Record<'a> = (&'a [u8], &'a [u8]);

fn records(bytes: &[u8]) -> impl Iterator<Item = Result<Record<'_>, PaxError>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        // Some writers fill up with NULs instead of ending the header where its records end.
        if bytes[at..].iter().all(|byte| *byte == 0) {
            return None;
        }
        let begin = at;
        let record = record_length(&bytes[begin..]).and_then(|(text_begin, length)| {
            let text = bytes[begin..].get(text_begin..length)?.strip_suffix(b"\n")?;
            let equals = text.iter().position(|byte| *byte == b'=')?;
            at = begin + length;
            (equals > 0).then_some((&text[..equals], &text[equals + 1..]))
        });
        if record.is_none() {
            at = bytes.len();
        }
        Some(record.ok_or(PaxError::Record(begin)))
    })
}

/// Where the text of a record begins, and how long the whole record is.
fn record_length(bytes: &[u8]) -> Option<(usize, usize)> {
    let space = bytes.iter().take(20).position(|byte| *byte == b' ')?;
    if bytes[0] == b'-' {
        return None;
    }
    Some((space + 1, usize::try_from(decimal(&bytes[..space]).ok()?).ok()?))
}

fn lossy(key: &[u8]) -> String {
    String::from_utf8_lossy(key).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(key: &str, value: &[u8]) -> Vec<u8> {
        let body = key.len() + value.len() + 3;
        let mut length = body + 1;
        while length != body + length.to_string().len() {
            length += 1;
        }
        [length.to_string().as_bytes(), b" ", key.as_bytes(), b"=", value, b"\n"].concat()
    }

    #[test]
    fn records_override_the_header() {
        let bytes = [
            record("path", b"a/\xff/b"),
            record("linkpath", b"target"),
            record("size", b"8589934592"),
            record("uid", b"4294967294"),
            record("mtime", b"1.5"),
            record("SCHILY.xattr.security.capability", b"\x01\n=\n\0x"),
            record("SCHILY.xattr.user.empty", b""),
            record("atime", b"nonsense is nobody's business here"),
            record("gid", b""),
        ]
        .concat();
        let pax = Pax::parse(&bytes).unwrap();
        assert_eq!(pax.path.as_deref(), Some(&b"a/\xff/b"[..]));
        assert_eq!(pax.link_path.as_deref(), Some(&b"target"[..]));
        assert_eq!((pax.size, pax.uid, pax.gid), (Some(8_589_934_592), Some(4_294_967_294), None));
        assert_eq!(pax.mtime, Some(Time { seconds: 1, nanos: 500_000_000 }));
        let capability = (b"security.capability".to_vec(), b"\x01\n=\n\0x".to_vec());
        assert_eq!(pax.xattrs, [capability, (b"user.empty".to_vec(), Vec::new())]);
    }

    #[test]
    fn what_parsers_read_differently_is_refused() {
        for (bytes, expected) in [
            (b"12 path=a/b".to_vec(), PaxError::Record(0)),
            (b"13 path=a/b\n".to_vec(), PaxError::Record(0)),
            (b"11 path=a/b\n".to_vec(), PaxError::Record(0)),
            (b"0 path=a/b\n".to_vec(), PaxError::Record(0)),
            (b"-1 path=a/b\n".to_vec(), PaxError::Record(0)),
            (b"8 =value\n".to_vec(), PaxError::Record(0)),
            (b"9 nothing\n".to_vec(), PaxError::Record(0)),
            (b"99999999999999999999 path=a\n".to_vec(), PaxError::Record(0)),
            ([record("uid", b"1"), b"x".to_vec()].concat(), PaxError::Record(8)),
            ([record("path", b"a"), record("path", b"b")].concat(), PaxError::Twice("path".into())),
            (
                record("size", b"0x10"),
                PaxError::Number { key: "size".into(), source: NumberError(b"0x10".to_vec()) },
            ),
        ] {
            assert_eq!(Pax::parse(&bytes), Err(expected), "{:?}", String::from_utf8_lossy(&bytes));
        }
        assert_eq!(Pax::parse(&[record("uid", b"1"), vec![0; 40]].concat()).unwrap().uid, Some(1));
    }

    #[test]
    fn a_global_header_may_only_comment() {
        assert_eq!(check_global(&record("comment", b"0123abcd")), Ok(()));
        assert_eq!(check_global(&record("path", b"/etc/passwd")), Err(PaxError::Global("path".into())));
    }
}
