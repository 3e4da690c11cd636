//! Sparse files in tar: which bytes of a file an archive carries; the rest are holes. PURE.
//!
//! GNU tar has written four forms: a table in the header (old), two lists in PAX records (0.0, 0.1) and a
//! text map before the data (1.0). All end here as one checked list of segments.

use super::number::{NumberError, decimal};

/// A run of bytes that the archive carries, and where in the file it belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Segment {
    /// Offset in the file, in bytes.
    pub(crate) offset: u64,
    /// Length in bytes.
    pub(crate) length: u64,
}

/// The layout of a sparse file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct SparseMap {
    /// What the archive carries, in ascending order, without overlap.
    pub(crate) segments: Vec<Segment>,
    /// The file's size, holes included.
    pub(crate) real_size: u64,
}

/// Why a sparse file is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SparseError {
    /// Segments overlap, go backwards, or leave the file.
    #[error("segment {offset}+{length} overlaps another one or leaves the file of {real_size} bytes")]
    Segment {
        /// Where it begins.
        offset: i64,
        /// How long it is.
        length: i64,
        /// The size of the file.
        real_size: i64,
    },
    /// The segments do not add up to the data in the archive.
    #[error("segments of {mapped} bytes for {stored} bytes of data")]
    Sum {
        /// What the map adds up to.
        mapped: u64,
        /// What the archive holds.
        stored: u64,
    },
    /// A part of the map is missing, or there is more of it than of the file.
    #[error("incomplete sparse map")]
    Incomplete,
    /// The map has more segments than are kept in memory.
    #[error("sparse map of more than {SEGMENTS_MAX} segments")]
    TooMany,
    /// A form this reader does not know.
    #[error("sparse format {major}.{minor}")]
    Version {
        /// `GNU.sparse.major`
        major: i64,
        /// `GNU.sparse.minor`
        minor: i64,
    },
    /// A number that is none.
    #[error("sparse map")]
    Number(#[from] NumberError),
}

/// How many segments a sparse file may have: 16 MiB of map in memory.
pub(super) const SEGMENTS_MAX: usize = 1 << 20;

impl SparseMap {
    /// Checks `pairs` of offset and length against the file's size and the number of data bytes in the
    /// archive.
    pub(super) fn new(pairs: &[i64], real_size: i64, stored: u64) -> Result<Self, SparseError> {
        if !pairs.len().is_multiple_of(2) {
            return Err(SparseError::Incomplete);
        }
        if pairs.len() / 2 > SEGMENTS_MAX {
            return Err(SparseError::TooMany);
        }
        let mut map = Self { segments: Vec::with_capacity(pairs.len() / 2), ..Self::default() };
        let mut end = 0_i64;
        for pair in pairs.chunks_exact(2) {
            let (offset, length) = (pair[0], pair[1]);
            let invalid = SparseError::Segment { offset, length, real_size };
            let Some(next) = offset.checked_add(length).filter(|_| offset >= end && length >= 0) else {
                return Err(invalid);
            };
            let (Ok(from), Ok(long)) = (u64::try_from(offset), u64::try_from(length)) else {
                return Err(invalid);
            };
            if next > real_size {
                return Err(invalid);
            }
            end = next;
            // GNU tar ends a map with an empty segment at the end of the file.
            if long > 0 {
                map.segments.push(Segment { offset: from, length: long });
            }
        }
        map.real_size = u64::try_from(real_size).map_err(|_| SparseError::Incomplete)?;
        let mapped = map.segments.iter().map(|segment| segment.length).sum();
        if mapped != stored {
            return Err(SparseError::Sum { mapped, stored });
        }
        Ok(map)
    }
}

/// The list of `GNU.sparse.map` (0.1): decimal numbers between commas.
pub(super) fn comma_list(text: &[u8]) -> Result<Vec<i64>, SparseError> {
    text.split(|byte| *byte == b',').map(|number| Ok(decimal(number)?)).collect()
}

/// The map at the head of the data (1.0): a count, then that many pairs, a decimal number a line.
///
/// It fills whole 512-byte blocks; [`TextMap::feed`] takes one block at a time until it is complete.
#[derive(Debug, Default)]
pub(super) struct TextMap {
    line: Vec<u8>,
    expected: Option<usize>,
    pairs: Vec<i64>,
}

impl TextMap {
    /// Takes a block; `true` when the map is complete.
    pub(super) fn feed(&mut self, block: &[u8]) -> Result<bool, SparseError> {
        for byte in block {
            if *byte != b'\n' {
                self.line.push(*byte);
                // The longest number has 19 digits.
                if self.line.len() > 20 {
                    return Err(NumberError(std::mem::take(&mut self.line)).into());
                }
                continue;
            }
            let number = decimal(&self.line)?;
            self.line.clear();
            match self.expected {
                None => {
                    let count = usize::try_from(number).map_err(|_| SparseError::Incomplete)?;
                    if count > SEGMENTS_MAX {
                        return Err(SparseError::TooMany);
                    }
                    self.expected = Some(2 * count);
                }
                Some(_) => self.pairs.push(number),
            }
            if self.expected == Some(self.pairs.len()) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The pairs of a complete map.
    pub(super) fn into_pairs(self) -> Vec<i64> {
        self.pairs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_are_checked_against_the_file_and_the_data() {
        let map = SparseMap::new(&[0, 10, 4096, 6, 10000, 0], 10000, 16).unwrap();
        assert_eq!(map.real_size, 10000);
        assert_eq!(map.segments, [Segment { offset: 0, length: 10 }, Segment { offset: 4096, length: 6 }]);
        for (pairs, real_size, stored) in [
            (&[0, 10, 5, 5][..], 100, 15),
            (&[50, 10, 0, 5], 100, 15),
            (&[0, -1], 100, 0),
            (&[-5, 5], 100, 5),
            (&[90, 20], 100, 20),
            (&[i64::MAX, 2], i64::MAX, 2),
            (&[0, 10], 100, 11),
            (&[0], 100, 0),
            (&[], -1, 0),
        ] {
            assert!(SparseMap::new(pairs, real_size, stored).is_err(), "{pairs:?} of {real_size}, {stored}");
        }
    }

    #[test]
    fn text_maps_end_with_their_last_number() {
        let mut map = TextMap::default();
        assert_eq!(map.feed(b"2\n0\n10\n40"), Ok(false));
        assert_eq!(map.feed(b"96\n6\nrest of the block"), Ok(true));
        assert_eq!(map.into_pairs(), [0, 10, 4096, 6]);
        assert_eq!(TextMap::default().feed(b"0\n\0\0"), Ok(true));
        assert_eq!(TextMap::default().feed(b"9999999\n"), Err(SparseError::TooMany));
        assert_eq!(TextMap::default().feed(b"-1\n"), Err(SparseError::Incomplete));
        assert!(TextMap::default().feed(b"123456789012345678901").is_err());
        assert!(TextMap::default().feed(b"1\nx\n").is_err());
    }

    #[test]
    fn comma_lists_are_numbers() {
        assert_eq!(comma_list(b"0,10,20,5").unwrap(), [0, 10, 20, 5]);
        assert!(comma_list(b"0,,5").is_err());
        assert!(comma_list(b"").is_err());
    }
}
