//! From an archive's data to a file's bytes.

use std::io::BufRead;
use std::os::fd::OwnedFd;

use rustix::io::Errno;

use super::confined;
use super::error::TarError;
use super::sparse::SparseMap;
use super::tar::Archive;

/// Which of the two sides failed.
#[derive(Debug)]
pub(super) enum DataError {
    Archive(TarError),
    Write(Errno),
}

/// Writes the current member's data to a new file, its segments where `sparse` has a map; returns how many bytes there were.
pub(super) fn write<R: BufRead>(
    archive: &mut Archive<R>,
    file: &OwnedFd,
    sparse: Option<&SparseMap>,
) -> Result<u64, DataError> {
    let Some(map) = sparse else {
        return write_at_most(archive, file, u64::MAX);
    };
    let mut written = 0;
    for segment in &map.segments {
        confined::seek_to(file, segment.offset).map_err(DataError::Write)?;
        written += write_at_most(archive, file, segment.length)?;
    }
    confined::set_size(file, map.real_size).map_err(DataError::Write)?;
    Ok(written)
}

/// The current member's data, all of it.
pub(super) fn read<R: BufRead>(archive: &mut Archive<R>) -> Result<Vec<u8>, TarError> {
    let mut data = Vec::with_capacity(usize::try_from(archive.left()).unwrap_or(0));
    loop {
        let position = archive.position();
        let piece = archive.data().map_err(|error| TarError::reading(position, error))?;
        let count = piece.len();
        if count == 0 {
            return Ok(data);
        }
        data.extend_from_slice(piece);
        archive.consume(count);
    }
}

fn write_at_most<R: BufRead>(archive: &mut Archive<R>, file: &OwnedFd, limit: u64) -> Result<u64, DataError> {
    let mut written = 0;
    while written < limit {
        let position = archive.position();
        let piece = archive.data().map_err(|error| DataError::Archive(TarError::reading(position, error)))?;
        let count = piece.len().min(usize::try_from(limit - written).unwrap_or(usize::MAX));
        if count == 0 {
            break;
        }
        confined::write_all(file, &piece[..count]).map_err(DataError::Write)?;
        archive.consume(count);
        written += count as u64;
    }
    Ok(written)
}
