//! A second thread that makes a layer's small files: most of what a layer of many files takes is open(2), and in two directories
//! it can be done at once.
//!
//! The tree comes out as if one thread had made it in the archive's order. While the second one owes a file, nobody looks at its
//! path or at anything below, nor removes or dates the directory it goes into: whoever is about to waits first
//! ([`super::dirs`]). Where something is at a file's path already, the file comes back, and is put in its place by the first thread.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use rustix::io::Errno;

use super::confined::{self, Dir, ZeroUmask};
use super::dirs::is_at_or_below;
use super::entry::{Time, split};
use super::error::{Call, UnpackError};
use super::file::Owner;

/// A file with all that is to be in it.
#[derive(Debug)]
pub(super) struct SmallFile {
    pub(super) directory: Arc<Dir>,
    /// Without links.
    pub(super) path: Arc<[u8]>,
    pub(super) owner: Owner,
    pub(super) time: Time,
    pub(super) data: Vec<u8>,
}

/// Most bytes of data in a [`SmallFile`].
pub(super) const SMALL: u64 = 32 * 1024;
/// How many files the second thread may owe, and how many bytes in them: more than a directory has, mostly.
const FILES_MAX: usize = 1024;
const BYTES_MAX: usize = 2 << 20;
/// With so few files owed the next directory's are handed over too; so few may lie about that came back.
const FILES_FEW: usize = 32;

/// What became of a file.
enum Outcome {
    Made,
    /// Something is there already.
    Back(SmallFile),
    Failed(UnpackError),
}

/// The second thread, from the first one's side.
pub(super) struct Maker {
    /// `None` at the end.
    files: Option<Sender<SmallFile>>,
    outcomes: Receiver<Outcome>,
    thread: Option<JoinHandle<()>>,
    /// Files without an outcome yet, in order, with their sizes.
    owed: VecDeque<(Arc<[u8]>, usize)>,
    /// The paths of these, and of those that came back.
    names: HashSet<Arc<[u8]>>,
    bytes: usize,
    /// How many outcomes there were.
    done: u64,
    back: Vec<SmallFile>,
    failure: Option<UnpackError>,
    /// The directory of the last file that was asked for, and whether the second thread makes that directory's.
    run: Option<(Vec<u8>, bool)>,
}

impl Maker {
    /// Starts the thread. `None` where there is no second processor for it, or no thread to be had.
    pub(super) fn start(_: ZeroUmask) -> Option<Self> {
        if std::thread::available_parallelism().map_or(1, usize::from) < 2 {
            return None;
        }
        let (files, to_make) = channel::<SmallFile>();
        let (outcome, outcomes) = channel();
        // It has the umask of the thread that starts it (clone(2), CLONE_FS).
        let make = move || {
            let mut has_failed = false;
            for file in to_make {
                // So that the first thread does not wait by chance where it should on purpose.
                #[cfg(test)]
                std::thread::sleep(std::time::Duration::from_micros(50));
                // What comes after a failure is of no use to anybody.
                let became = if has_failed { Outcome::Made } else { file.become_real() };
                has_failed |= matches!(became, Outcome::Failed(_));
                if outcome.send(became).is_err() {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name("files".to_owned()).spawn(make).ok()?;
        Some(Self {
            files: Some(files),
            outcomes,
            thread: Some(thread),
            owed: VecDeque::new(),
            names: HashSet::new(),
            bytes: 0,
            done: 0,
            back: Vec::new(),
            failure: None,
            run: None,
        })
    }

    /// Whether the second thread makes the files of this directory now: one of the two makes all that come one after the other.
    pub(super) fn takes(&mut self, directory: &[u8]) -> bool {
        self.look();
        match &self.run {
            Some((of, is_ours)) if of == directory => *is_ours,
            _ => {
                let is_ours = self.owed.len() < FILES_FEW;
                self.run = Some((directory.to_vec(), is_ours));
                is_ours
            }
        }
    }

    /// Whether so many came back that it is time to settle: they are memory.
    pub(super) fn is_given_back_much(&self) -> bool {
        self.back.len() >= FILES_FEW
    }

    /// Hands a file over, and says by which number [`Maker::wait_for`] knows it.
    pub(super) fn hand_over(&mut self, file: SmallFile) -> u64 {
        while self.owed.len() >= FILES_MAX || self.bytes >= BYTES_MAX {
            self.wait();
        }
        self.bytes += file.data.len();
        self.owed.push_back((Arc::clone(&file.path), file.data.len()));
        self.names.insert(Arc::clone(&file.path));
        // Nobody is there to take it only after a panic, which the next wait tells.
        let _taken = self.files.as_ref().expect("it has not ended").send(file);
        self.done + self.owed.len() as u64
    }

    /// Whether a file is owed at this path.
    pub(super) fn owes(&self, path: &[u8]) -> bool {
        self.names.contains(path)
    }

    /// Whether a file is owed at this path, or above it.
    pub(super) fn owes_on_the_way(&self, mut path: &[u8]) -> bool {
        while !path.is_empty() && !self.names.is_empty() {
            if self.owes(path) {
                return true;
            }
            path = split(path).0;
        }
        false
    }

    /// Waits until a file has been made, or was not.
    pub(super) fn wait_for(&mut self, number: u64) {
        while self.done < number {
            self.wait();
        }
    }

    /// Waits until nothing is owed. Gives back what could not be made because something is there.
    ///
    /// # Errors
    /// A file could not be made.
    pub(super) fn settle(&mut self) -> Result<Vec<SmallFile>, UnpackError> {
        while !self.owed.is_empty() {
            self.wait();
        }
        self.result()?;
        self.names.clear();
        Ok(std::mem::take(&mut self.back))
    }

    /// Whether all went well so far.
    ///
    /// # Errors
    /// A file could not be made.
    pub(super) fn result(&mut self) -> Result<(), UnpackError> {
        self.failure.take().map_or(Ok(()), Err)
    }

    fn look(&mut self) {
        while let Ok(outcome) = self.outcomes.try_recv() {
            self.note(outcome);
        }
    }

    fn wait(&mut self) {
        let outcome = self.outcomes.recv().expect("making files does not panic");
        self.note(outcome);
    }

    fn note(&mut self, outcome: Outcome) {
        let (path, size) = self.owed.pop_front().expect("an outcome is of a file that was handed over");
        self.bytes -= size;
        self.done += 1;
        match outcome {
            Outcome::Made => {
                self.names.remove(&path);
            }
            // Still owed, by the first thread now.
            Outcome::Back(file) => {
                self.back.push(file);
                debug_assert!(self.back.len() <= FILES_FEW + FILES_MAX, "somebody settles before");
            }
            Outcome::Failed(error) => self.failure = Some(error),
        }
    }
}

impl Drop for Maker {
    /// Nothing is made any more once the first thread goes on: it may be about to remove all of it.
    fn drop(&mut self) {
        self.files = None;
        if let Some(thread) = self.thread.take() {
            // A panic of it has been told on standard error.
            let _ended = thread.join();
        }
    }
}

impl SmallFile {
    fn become_real(self) -> Outcome {
        match self.make() {
            Ok(()) => Outcome::Made,
            Err((Call::MakeFile, Errno::EXIST)) => Outcome::Back(self),
            Err((call, errno)) => Outcome::Failed(UnpackError::kernel(call, &self.path)(errno)),
        }
    }

    /// Makes it.
    ///
    /// # Errors
    /// Which call failed, and how: [`Call::MakeFile`] with `EEXIST` where something has its name.
    pub(super) fn make(&self) -> Result<(), (Call, Errno)> {
        let told = |call| move |errno| (call, errno);
        let name = split(&self.path).1;
        let file = self.directory.make_file(name, self.owner.first_mode()).map_err(told(Call::MakeFile))?;
        confined::write_all(&file, &self.data).map_err(told(Call::Write))?;
        self.owner.set(&file)?;
        confined::set_time(&file, self.time).map_err(told(Call::SetTime))
    }
}

/// Whether something that is done at `path` could be seen in the directory `open`.
pub(super) fn concerns(path: &[u8], open: &[u8]) -> bool {
    path.len() <= open.len() && is_at_or_below(open, path)
}

#[cfg(test)]
mod tests {
    use std::os::fd::OwnedFd;

    use tar::{EntryType, Header};

    use super::super::compare;
    use super::super::record::LayerRecord;
    use super::super::unpack::{Counts, UnpackOptions, unpack_sharing};
    use super::*;

    /// Numbers that are the same in every run (xorshift64, Marsaglia 2003).
    struct Numbers(u64);

    impl Numbers {
        fn below(&mut self, end: u64) -> u64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            self.0 % end
        }

        fn one_of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
            &all[usize::try_from(self.below(all.len() as u64)).unwrap()]
        }

        /// Few names, so that most of them mean something already.
        fn path(&mut self) -> String {
            let names: Vec<&str> = (0..=self.below(4)).map(|_| *self.one_of(&["a", "b"])).collect();
            names.join("/")
        }
    }

    /// An archive of things over, below and beside each other.
    fn archive(numbers: &mut Numbers) -> Vec<u8> {
        let mut archive = tar::Builder::new(Vec::new());
        for number in 0..numbers.below(60) {
            let mut header = Header::new_gnu();
            header.set_mtime(1_000_000_000 + number);
            header.set_mode(*numbers.one_of(&[0o644, 0o755, 0o4755, 0o2750]));
            header.set_uid(*numbers.one_of(&[0, 0, 7]));
            header.set_gid(*numbers.one_of(&[0, 0, 8]));
            header.set_size(0);
            let (path, other) = (numbers.path(), numbers.path());
            match numbers.below(20) {
                0 => header.set_entry_type(EntryType::Symlink),
                1 => header.set_entry_type(EntryType::Link),
                2 => header.set_entry_type(EntryType::Fifo),
                3..6 => header.set_entry_type(EntryType::Directory),
                6 | 7 => {
                    let path = format!("{path}/.wh.{}", numbers.one_of(&["a", "b", ".wh..opq"]));
                    archive.append_data(&mut header, path, std::io::empty()).unwrap();
                    continue;
                }
                _ => {
                    let data =
                        vec![b'x'; usize::try_from(*numbers.one_of(&[0, 3, SMALL, SMALL + 1])).unwrap()];
                    header.set_size(data.len() as u64);
                    archive.append_data(&mut header, path, data.as_slice()).unwrap();
                    continue;
                }
            }
            archive.append_link(&mut header, path, other).unwrap();
        }
        archive.into_inner().unwrap()
    }

    type Unpacked = Result<(LayerRecord, Counts), UnpackError>;

    fn tree() -> (tempfile::TempDir, Dir) {
        let directory = tempfile::tempdir().unwrap();
        let tree = Dir::new(OwnedFd::from(std::fs::File::open(directory.path()).unwrap()));
        (directory, tree)
    }

    fn unpack(tree: Dir, archive: &[u8], shared_from: u64) -> Unpacked {
        let unpack = || {
            let umask = ZeroUmask::on_this_thread().unwrap();
            let options = UnpackOptions { devices: true, entries_max: 10_000 };
            unpack_sharing(shared_from, archive, tree, umask, options)
        };
        std::thread::scope(|scope| scope.spawn(unpack).join().unwrap())
    }

    fn unpacked(archive: &[u8], shared_from: u64) -> (tempfile::TempDir, Dir, Unpacked) {
        let (directory, tree) = tree();
        let again = tree.open(b".").unwrap();
        (directory, again, unpack(tree, archive, shared_from))
    }

    #[test]
    fn many_directories_have_their_times() {
        let mut archive = tar::Builder::new(Vec::new());
        for number in 0..100 {
            let mut header = Header::new_gnu();
            header.set_mtime(1_000_000_000);
            header.set_mode(0o755);
            header.set_size(0);
            header.set_entry_type(EntryType::Directory);
            archive.append_data(&mut header, format!("d{number}"), std::io::empty()).unwrap();
            header.set_entry_type(EntryType::Regular);
            for name in ["a", "b"] {
                archive.append_data(&mut header, format!("d{number}/{name}"), std::io::empty()).unwrap();
            }
        }
        let archive = archive.into_inner().unwrap();
        let (_one, by_one, alone) = unpacked(&archive, u64::MAX);
        let (_two, by_two, shared) = unpacked(&archive, 0);
        assert_eq!(alone.unwrap(), shared.unwrap());
        assert_eq!(compare::difference(&by_two, &by_one).unwrap(), None);
    }

    #[test]
    fn an_archive_that_says_all_twice_takes_no_more_memory() {
        let mut archive = tar::Builder::new(Vec::new());
        for number in (0..3000).chain(0..3000) {
            let mut header = Header::new_gnu();
            header.set_size(1);
            archive.append_data(&mut header, format!("f{number}"), &b"x"[..]).unwrap();
        }
        let (_directory, tree, unpacked) = unpacked(&archive.into_inner().unwrap(), 0);
        assert_eq!(unpacked.unwrap().0.inodes, 3001);
        assert_eq!(tree.list().unwrap().len(), 3000);
    }

    #[test]
    fn a_file_that_cannot_be_made_ends_it() {
        let mut archive = tar::Builder::new(Vec::new());
        let mut header = Header::new_gnu();
        header.set_size(0);
        archive.append_data(&mut header, "file", std::io::empty()).unwrap();
        archive.append_data(&mut header, "other", std::io::empty()).unwrap();
        let (directory, tree) = tree();
        // What it is to be made in is gone.
        directory.close().unwrap();
        let refused = unpack(tree, &archive.into_inner().unwrap(), 0).unwrap_err();
        assert_eq!(refused.to_string(), "openat(\"file\")");
    }

    #[test]
    fn two_threads_make_what_one_makes() {
        let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
        let mut whole = 0;
        for round in 0..600 {
            let archive = archive(&mut numbers);
            let (_one, by_one, alone) = unpacked(&archive, u64::MAX);
            let (_two, by_two, shared) = unpacked(&archive, numbers.below(3));
            match (alone, shared) {
                (Ok(alone), Ok(shared)) => {
                    assert_eq!(alone, shared, "{round}");
                    assert_eq!(compare::difference(&by_two, &by_one).unwrap(), None, "{round}");
                    whole += 1;
                }
                (Err(alone), Err(shared)) => assert_eq!(alone.to_string(), shared.to_string(), "{round}"),
                (alone, shared) => panic!("{round}: {alone:?}, {shared:?}"),
            }
        }
        assert!(whole > 200, "only {whole} were not refused");
    }
}
