//! The directories of a tree into which files are extracted while others may change it: found, and made where missing.
//!
//! Everything is looked up from an open directory. Below it no link is followed; where links may be followed, because the tree
//! is a container's and its paths mean what they mean inside, they are resolved by the kernel as if the container's root were
//! `/` (openat2(2), `RESOLVE_IN_ROOT`): there is no moment at which a link that is swapped could lead out.
//!
//! Making something in a directory changes its time. Each open directory below the top remembers the time that it should have,
//! and gets it when it is closed.

use std::os::fd::{AsFd, BorrowedFd};
use std::rc::Rc;

use rustix::fs::{Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

use super::confined::{self, Dir};
use super::dirs::join;
use super::entry::{Time, split};
use super::error::Call;
use super::extract::Inside;
use super::record::escape;
use super::tree_error::ExtractError;

/// Where files are extracted to.
pub(super) struct Places<'a> {
    top: Rc<Dir>,
    /// What the top is to have in the end; by default what comes of it.
    top_time: Option<Time>,
    /// `None`: no link is followed.
    container: Option<Inside<'a>>,
    /// Most recently used last; never the top.
    open: Vec<OpenDir>,
    /// Who owns directories that no entry speaks of.
    owner: (u32, u32),
}

#[derive(Debug)]
struct OpenDir {
    /// Below the top.
    path: Vec<u8>,
    dir: Rc<Dir>,
    time: Time,
}

/// How many directories stay open.
const OPEN_MAX: usize = 32;
/// The longest path given to the kernel at once, safely below PATH_MAX.
const PATH_MAX: usize = 4000;

const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

impl<'a> Places<'a> {
    pub(super) fn new(top: Dir, container: Option<Inside<'a>>, owner: (u32, u32)) -> Self {
        Self { top: Rc::new(top), top_time: None, container, open: Vec::new(), owner }
    }

    /// Whether anything may be put into the top, which has this name.
    pub(super) fn check_top(&self, name: &str) -> Result<(), ExtractError> {
        let stat = self.top.stat().map_err(ExtractError::kernel(Call::Stat, b""))?;
        self.check_owner(name.as_bytes(), &stat)
    }

    /// What is bound into a container may belong to somebody whom it does not know: to the host's root, say.
    fn check_owner(&self, path: &[u8], stat: &Stat) -> Result<(), ExtractError> {
        match self.container {
            Some(Inside { owns, .. }) if !owns(stat.st_uid, stat.st_gid) => {
                Err(ExtractError::Foreign { path: escape(path), uid: stat.st_uid, gid: stat.st_gid })
            }
            _ => Ok(()),
        }
    }

    /// The directory that holds `path`'s last component, made where missing.
    pub(super) fn parent_of(&mut self, path: &[u8]) -> Result<Rc<Dir>, ExtractError> {
        self.directory(split(path).0)
    }

    /// The directory at `path`, made where missing, with those above it.
    pub(super) fn directory(&mut self, path: &[u8]) -> Result<Rc<Dir>, ExtractError> {
        match self.existing(path)? {
            Some(dir) => Ok(dir),
            None => {
                let (parent, name) = split(path);
                let above = self.directory(parent)?;
                match above.make_dir(name, 0o755) {
                    // Somebody was faster; what it is, is seen next.
                    Ok(()) | Err(Errno::EXIST) => {}
                    Err(errno) => return Err(ExtractError::kernel(Call::MakeDir, path)(errno)),
                }
                let dir = Rc::new(above.open(name).map_err(not_a_directory(path))?);
                confined::set_owner(&*dir, self.owner.0, self.owner.1)
                    .map_err(ExtractError::kernel(Call::SetOwner, path))?;
                self.remember(path, dir)
            }
        }
    }

    /// The directory at `path`; `None` where there is nothing.
    pub(super) fn existing(&mut self, path: &[u8]) -> Result<Option<Rc<Dir>>, ExtractError> {
        if path.is_empty() {
            return Ok(Some(Rc::clone(&self.top)));
        }
        if let Some(at) = self.open.iter().rposition(|open| open.path == path) {
            let open = self.open.remove(at);
            let dir = Rc::clone(&open.dir);
            self.open.push(open);
            return Ok(Some(dir));
        }
        let opened = match open_below(&self.top, path) {
            Err(Errno::LOOP | Errno::NOTDIR) if self.container.is_some() => self.follow(path),
            opened => opened,
        };
        match opened {
            Ok(dir) => self.remember(path, Rc::new(dir)).map(Some),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(not_a_directory(path)(errno)),
        }
    }

    /// Sets the time that the directory at `path`, open now, has when it is closed; the top, too.
    pub(super) fn set_time(&mut self, path: &[u8], time: Time) {
        if path.is_empty() {
            self.top_time = Some(time);
        } else if let Some(open) = self.open.iter_mut().rev().find(|open| open.path == path) {
            open.time = time;
        }
    }

    /// Gives every open directory its time, and closes them.
    pub(super) fn close(&mut self) -> Result<(), ExtractError> {
        std::mem::take(&mut self.open).into_iter().try_for_each(OpenDir::close)?;
        match self.top_time.take() {
            Some(time) => {
                confined::set_time(&*self.top, time).map_err(ExtractError::kernel(Call::SetTime, b""))
            }
            None => Ok(()),
        }
    }

    fn remember(&mut self, path: &[u8], dir: Rc<Dir>) -> Result<Rc<Dir>, ExtractError> {
        let stat = dir.stat().map_err(ExtractError::kernel(Call::Stat, path))?;
        self.check_owner(path, &stat)?;
        if self.open.len() == OPEN_MAX {
            self.open.remove(0).close()?;
        }
        let time = confined::modified(&stat);
        self.open.push(OpenDir { path: path.to_vec(), dir: Rc::clone(&dir), time });
        Ok(dir)
    }

    /// Opens a path that has a link in it, as the container itself would.
    fn follow(&self, path: &[u8]) -> Result<Dir, Errno> {
        let Some(Inside { root, path: top, .. }) = self.container else { return Err(Errno::LOOP) };
        let path = join(top, path);
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        open2(root, &path, resolve)
    }
}

impl OpenDir {
    fn close(self) -> Result<(), ExtractError> {
        match confined::set_time(&*self.dir, self.time) {
            // Its container has write-protected what was only passed through, or removed it.
            Err(Errno::ROFS | Errno::NOENT) => Ok(()),
            set => set.map_err(ExtractError::kernel(Call::SetTime, &self.path)),
        }
    }
}

/// Opens `path` without links; in pieces where it is too long for the kernel.
fn open_below(top: &Dir, mut path: &[u8]) -> Result<Dir, Errno> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let mut above = None;
    while path.len() > PATH_MAX {
        let cut = split(&path[..PATH_MAX]).0.len();
        above = Some(open2(above.as_ref().unwrap_or(top).as_fd(), &path[..cut], resolve)?);
        path = &path[cut + 1..];
    }
    open2(above.as_ref().unwrap_or(top).as_fd(), path, resolve)
}

fn open2(directory: BorrowedFd<'_>, path: &[u8], resolve: ResolveFlags) -> Result<Dir, Errno> {
    loop {
        // openat2(2): EAGAIN where something was renamed meanwhile and the kernel cannot be sure.
        match rustix::fs::openat2(directory, path, DIRECTORY, Mode::empty(), resolve) {
            Err(Errno::AGAIN) => {}
            opened => return opened.map(Dir::new),
        }
    }
}

fn not_a_directory(path: &[u8]) -> impl FnOnce(Errno) -> ExtractError {
    move |errno| match errno {
        Errno::LOOP | Errno::NOTDIR => ExtractError::NotDirectory(escape(path)),
        errno => ExtractError::kernel(Call::Open, path)(errno),
    }
}
