//! Who may, and who has to wait: locks on files and directories of the store, each a `flock(2)`, which the kernel gives back
//! when its holder dies.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::disk::Place;
use crate::op::{Op, OpError, look};

/// A lock on a file or a directory, given back when dropped.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: OwnedFd,
}

/// How a lock is shared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hold {
    Shared,
    Exclusive,
}

impl Place {
    /// Takes the lock `name`, a file made if need be, and waits for it.
    pub(crate) fn lock(&self, name: &str, hold: Hold) -> Result<Lock, OpError> {
        let file = self.lock_file(name)?;
        let path = self.path.join(name);
        self.flock(&path, file, hold)
    }

    /// Takes the lock `name` exclusively if nobody holds it.
    pub(crate) fn try_lock(&self, name: &str) -> Result<Option<Lock>, OpError> {
        let file = self.lock_file(name)?;
        self.try_flock(&self.path.join(name), file)
    }

    /// Locks the directory `name` itself, exclusively, if nobody has; `None` if somebody has, or it vanished
    /// meanwhile.
    ///
    /// The lock belongs to the directory and not to its name: it stays with it when it is renamed. It is given back
    /// when both that come of this are dropped: they are one open file (flock(2)).
    pub(crate) fn try_lock_dir(&self, name: &str) -> Result<Option<(Self, Lock)>, OpError> {
        let Some(place) = self.enter_if_there(name)? else { return Ok(None) };
        let again = place.dir.as_fd().try_clone_to_owned().map_err(|source| OpError {
            call: format!("fcntl({:?}, F_DUPFD_CLOEXEC)", place.path),
            source,
        })?;
        let Some(lock) = self.try_flock(&place.path, again)? else { return Ok(None) };
        Ok(if self.is(name, &place)? { Some((place, lock)) } else { None })
    }

    /// Opens a file to be gone on with, or to be looked at where nothing is to be made, and locks it as long as it is
    /// open; `None` if there is none, or somebody else has locked it or removed it meanwhile.
    pub(crate) fn open_locked(&self, name: &str, make: bool) -> Result<Option<File>, OpError> {
        let path = self.path.join(name);
        let flags = OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let open = |flags| match rustix::fs::openat(&self.dir, name, flags, Mode::from_raw_mode(0o600)) {
            Err(Errno::NOENT) => Ok(None),
            opened => opened.map(Some),
        };
        let call = format_args!("openat({path:?}, O_RDWR | O_CREAT)");
        let opened = match make {
            true => Op { call, shell: format_args!(">> {}", path.display()) }
                .perform(|| open(flags | OFlags::RDWR | OFlags::CREATE)),
            false => look(format_args!("openat({path:?}, O_RDONLY)"), || open(flags | OFlags::RDONLY)),
        }?;
        let Some(file) = opened else { return Ok(None) };
        let same = file
            .try_clone()
            .map_err(|source| OpError { call: format!("fcntl({path:?}, F_DUPFD_CLOEXEC)"), source })?;
        // Both are one open file: the lock stays while either is open (flock(2)).
        let is_ours = self.try_flock(&path, same)?.is_some() && self.is(name, &file)?;
        Ok(is_ours.then(|| File::from(file)))
    }

    /// Whether `name` is still what is open there.
    pub(crate) fn is(&self, name: &str, opened: &impl AsFd) -> Result<bool, OpError> {
        let path = self.path.join(name);
        let identity = |stat: &Stat| (stat.st_dev, stat.st_ino);
        look(format_args!("fstatat({path:?})"), || {
            let here = rustix::fs::fstat(opened)?;
            match rustix::fs::statat(&self.dir, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(there) => Ok(identity(&here) == identity(&there)),
                Err(Errno::NOENT) => Ok(false),
                Err(error) => Err(error),
            }
        })
    }

    fn lock_file(&self, name: &str) -> Result<OwnedFd, OpError> {
        let path = self.path.join(name);
        let flags = OFlags::RDONLY | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        look(format_args!("openat({path:?}, O_CREAT)"), || {
            rustix::fs::openat(&self.dir, name, flags, Mode::from_raw_mode(0o600))
        })
    }

    /// Waits for a lock. To take one that others wait for is worth telling; shared ones are taken all the time.
    fn flock(&self, path: &Path, file: OwnedFd, hold: Hold) -> Result<Lock, OpError> {
        match hold {
            Hold::Shared => look(format_args!("flock({path:?}, LOCK_SH)"), || {
                retry_interrupted(|| rustix::fs::flock(&file, FlockOperation::LockShared))
            }),
            Hold::Exclusive => Op {
                call: format_args!("flock({path:?}, LOCK_EX)"),
                shell: format_args!("flock -x {}", path.display()),
            }
            .perform(|| retry_interrupted(|| rustix::fs::flock(&file, FlockOperation::LockExclusive))),
        }?;
        Ok(Lock { _file: file })
    }

    /// Takes an exclusive lock if nobody holds it.
    fn try_flock(&self, path: &Path, file: OwnedFd) -> Result<Option<Lock>, OpError> {
        let is_held = look(format_args!("flock({path:?}, LOCK_EX | LOCK_NB)"), || {
            match retry_interrupted(|| rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive)) {
                Ok(()) => Ok(true),
                Err(Errno::WOULDBLOCK) => Ok(false),
                Err(error) => Err(error),
            }
        })?;
        Ok(is_held.then_some(Lock { _file: file }))
    }
}

fn retry_interrupted(mut act: impl FnMut() -> Result<(), Errno>) -> Result<(), Errno> {
    loop {
        match act() {
            Err(Errno::INTR) => {}
            done => return done,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_goes_with_the_directory_and_not_with_its_name() {
        let directory = tempfile::tempdir().unwrap();
        let place = Place::open_root(directory.path()).unwrap().unwrap();
        place.make_dir("one", 0o700).unwrap();
        let (one, lock) = place.try_lock_dir("one").unwrap().unwrap();
        assert!(place.try_lock_dir("one").unwrap().is_none(), "it is held");
        assert!(place.rename("one", &place, "two").unwrap());
        assert!(place.try_lock_dir("two").unwrap().is_none(), "it still is");
        place.make_dir("one", 0o700).unwrap();
        assert!(!place.is("one", &one).unwrap(), "another directory of that name");
        assert!(place.is("two", &one).unwrap());
        assert!(place.try_lock_dir("one").unwrap().is_some());
        drop((one, lock));
        assert!(place.try_lock_dir("two").unwrap().is_some());
        assert!(place.try_lock_dir("three").unwrap().is_none(), "there is none");
    }
}
