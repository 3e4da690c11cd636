//! `cp`: from a container to the host and back.
//!
//! Two ends, each looked at once: what is copied ([`path::Typed`]) and where it goes ([`path::End`]). From both follows
//! ([`path::decide`]) into which directory an archive is extracted and what its top is called there. The archive is made at one
//! end while it is extracted at the other, by this one process.

pub(crate) mod container;
mod host;
mod path;

use std::io::{self, BufRead, Read};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use image::{ExtractOptions, Extracted, Inside, Into, Limits, Owners, Pack, PackOptions, Packed, extract};
use runtime::sys::idmapped;

use crate::context::Context;
use crate::output;
use container::Opened;
pub(crate) use path::Arg;
use path::{Place, Typed};

/// How is copied.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Options {
    /// Owners stay as they are.
    pub(crate) archive: bool,
    /// A link at the source stands for what it leads to.
    pub(crate) follow: bool,
}

/// What was copied, and where to, as it is told.
#[derive(Debug)]
pub(crate) struct Copied {
    /// Of the archive between the two ends.
    pub(crate) bytes: u64,
    pub(crate) to: String,
}

/// Copies out of a container.
///
/// # Errors
/// What is missing or of the wrong kind; what the kernel refuses.
pub(crate) fn from_container(
    context: &Context,
    word: &str,
    source: &Path,
    destination: &Path,
    options: Options,
) -> Result<Copied> {
    let to_stream = destination == Path::new("-");
    let typed = Typed::local(destination)?;
    if !to_stream {
        host::check_output(&typed)?;
    }
    let container = container::open(context, word)?;
    context.happened("archive-path", container.record());
    let wanted = Typed::inside(source);
    let found = container.find(&wanted, options.follow)?;
    let ids = |kind, id| container.id_inside(kind, id);
    let pack = |called: &[u8]| {
        let options = PackOptions {
            called: called.to_vec(),
            ids: &ids,
            nanoseconds: false,
            left_empty: container.left_empty(),
            entries_max: Limits::default().layer_entries,
        };
        Pack::new(found.held, options)
    };
    if to_stream {
        let mut pack = pack(wanted.name().as_bytes());
        stream(&mut pack)?;
        tell_packed(pack.packed());
        return Ok(Copied { bytes: pack.packed().bytes, to: "-".to_owned() });
    }
    let end = host::destination(&typed)?;
    let Place { directory, called } = path::decide(&wanted, found.is_directory, &end)?;
    let into = runtime::sys::fs::open_dir(&directory)?;
    let ours = |_, id| Some(id);
    let owners = match options.archive {
        true => Owners::Kept(&ours),
        false => Owners::One(rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw()),
    };
    let mut pack = pack(called.as_bytes());
    let name = directory.display().to_string();
    let into = Into { directory: into, name: &name, container: None };
    // What a container calls its root's is not the caller's: setuid programs, capabilities and devices stay behind.
    let extracted = extract(&mut pack, into, extraction(owners, options.archive))?;
    tell_packed(pack.packed());
    tell_extracted(extracted);
    Ok(Copied { bytes: pack.packed().bytes, to: typed.shown() })
}

/// Copies into a container.
///
/// # Errors
/// What is missing or of the wrong kind; what the kernel refuses.
pub(crate) fn to_container(
    context: &Context,
    source: &Path,
    word: &str,
    destination: &Path,
    options: Options,
) -> Result<Copied> {
    let from_stream = source == Path::new("-");
    let container = container::open(context, word)?;
    context.happened("extract-to-dir", container.record());
    let end = container.destination(&Typed::inside(destination))?;
    let to = format!("{word}:{}", end.path.display());
    let ids = |kind, id| container.id_outside(kind, id);
    let root = container.root_ids();
    // An archive says itself whose its files are.
    let owners = match options.archive || from_stream {
        true => Owners::Kept(&ids),
        false => Owners::One(root.0, root.1),
    };
    if from_stream {
        ensure!(
            end.exists && end.is_directory,
            "destination \"{word}:{}\" must be a directory",
            destination.display()
        );
        let mut input = Counted { input: io::stdin().lock(), bytes: 0 };
        let inflated = image::inflated(&mut input)?;
        extract_inside(&container, &end.path, inflated, owners)?;
        return Ok(Copied { bytes: input.bytes, to });
    }
    let typed = Typed::local(source)?;
    let found = host::source(&typed, options.follow)?;
    let Place { directory, called } = path::decide(&typed, found.is_directory, &end)?;
    let mut pack = Pack::new(
        found.held,
        PackOptions {
            called: called.as_bytes().to_vec(),
            ids: &image::same_id,
            nanoseconds: false,
            left_empty: Vec::new(),
            entries_max: Limits::default().layer_entries,
        },
    );
    extract_inside(&container, &directory, &mut pack, owners)?;
    tell_packed(pack.packed());
    Ok(Copied { bytes: pack.packed().bytes, to })
}

/// Extracts into a directory of a container, as its root would.
fn extract_inside(
    container: &Opened,
    directory: &Path,
    input: impl BufRead,
    owners: Owners<'_>,
) -> Result<()> {
    let opened = container.open_destination(directory)?;
    let name = container.shown(directory);
    let path = directory.strip_prefix("/").unwrap_or(directory).as_os_str().as_bytes();
    let owns = |uid, gid| container.knows(uid, gid);
    let inside = Inside { root: container.root(), path, owns: &owns };
    let into = Into { directory: opened, name: &name, container: Some(inside) };
    let root = container.root_ids();
    // What is made there belongs to who makes it: host's ids have no place in a container.
    let extracted =
        idmapped::as_container_root(root.0, root.1, || Ok(extract(input, into, extraction(owners, true))))?;
    tell_extracted(extracted?);
    Ok(())
}

fn extraction(owners: Owners<'_>, powers: bool) -> ExtractOptions<'_> {
    let limits = Limits::default();
    ExtractOptions {
        owners,
        powers,
        top: false,
        entries_max: limits.layer_entries,
        bytes_max: limits.archive_bytes,
    }
}

/// Writes an archive to standard output.
///
/// # Errors
/// What cannot be packed; where standard output is a terminal or cannot be written.
pub(crate) fn stream(pack: &mut Pack<'_>) -> Result<()> {
    if io::IsTerminal::is_terminal(&io::stdout()) {
        bail!("refusing to write an archive to a terminal: redirect standard output");
    }
    loop {
        let piece = pack.fill_buf().map_err(packing)?;
        let length = piece.len();
        if length == 0 {
            return Ok(());
        }
        // Not through the buffer of standard output, which ends a portion at every line.
        io::Write::write_all(&mut Stdout, piece).context("cannot write to standard output")?;
        pack.consume(length);
    }
}

/// Standard output, without a buffer. Who reads no more ends the writer, as everywhere.
pub(crate) struct Stdout;

impl io::Write for Stdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match rustix::io::write(io::stdout().as_fd(), bytes) {
            Err(rustix::io::Errno::PIPE) => runtime::sys::signal::die_of(libc::SIGPIPE),
            written => Ok(written?),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The reason why something could not be packed, without the stream that it came through.
pub(crate) fn packing(error: io::Error) -> anyhow::Error {
    match error.downcast::<image::PackError>() {
        Ok(error) => error.into(),
        Err(error) => error.into(),
    }
}

/// What a person should know of what was packed.
pub(crate) fn tell_packed(packed: Packed) {
    if packed.changed > 0 {
        output::warn(&format!("{} files changed while they were copied", packed.changed));
    }
}

fn tell_extracted(extracted: Extracted) {
    if extracted.devices > 0 {
        output::warn(&format!("{} device nodes were left out (-a copies them)", extracted.devices));
    }
}

/// Counts what is read.
struct Counted<R> {
    input: R,
    bytes: u64,
}

impl<R: BufRead> BufRead for Counted<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.input.fill_buf()
    }

    fn consume(&mut self, count: usize) {
        self.input.consume(count);
        self.bytes += count as u64;
    }
}

impl<R: BufRead> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read(buffer)?;
        self.bytes += count as u64;
        Ok(count)
    }
}
