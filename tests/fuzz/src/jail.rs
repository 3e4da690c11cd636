//! Where archives are unpacked: a thread with a root of its own, a tmpfs that only its mount namespace has, full of files that nobody may
//! touch.
//!
//! ```text
//! /victim  /etc/passwd  /link → /victim  …     canaries: name, kind, mode, owner, times, links and content stay as they are
//! /a/b/place/                                  here, and nowhere else, things may change
//! ```
//!
//! What climbs out of the place meets the canaries, however far it climbs: the host's files cannot even be named. The fuzzer's own thread
//! stays where it is, since it writes its findings to the host.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::panic;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, OnceLock};
use std::thread;

use rustix::mount::{MountFlags, MountPropagationFlags};
use rustix::thread::UnshareFlags;

/// Where things may change.
const PLACE: &str = "/a/b/place";

/// Canaries by name: a text is a regular file, an arrow a link.
const CANARIES: &[(&str, &str)] = &[
    ("/victim", "victim"),
    ("/a/victim", "victim"),
    ("/a/b/victim", "victim"),
    ("/a/b/c/victim", "victim"),
    ("/a/b/tree/victim", "victim"),
    ("/b/c/victim", "victim"),
    ("/c", "victim"),
    ("/etc/passwd", "root:x:0:0:root:/root:/bin/sh\n"),
    // All that the store asks of /proc; the real one would lead out.
    ("/proc/sys/kernel/random/boot_id", "b3b0a6a0-6a67-4b29-9d5e-2f3c9a1d7e11\n"),
    ("/link", "-> /victim"),
    ("/a/b/link", "-> ../../b"),
];

/// What is done in the place.
type Act = fn(&Path, &[u8]);

/// That, and with what.
type Input = (Act, Vec<u8>);

struct Jail {
    inputs: Sender<Input>,
    answers: Receiver<bool>,
}

/// Lets `act` do what it does with `input` in the place, which is empty before and afterwards.
///
/// # Panics
/// Where `act` does, and where anything outside the place has changed.
pub(crate) fn run(act: Act, input: &[u8]) {
    static JAIL: OnceLock<Mutex<Jail>> = OnceLock::new();
    JAIL.get_or_init(|| Mutex::new(Jail::new())).lock().expect("one input at a time").run(act, input);
}

impl Jail {
    fn new() -> Jail {
        // libFuzzer's hook would abort in the jail, where it could write no finding. Threads of the jail tell, and the first one panics.
        panic::set_hook(Box::new(|info| {
            eprintln!("{info}\n{}", std::backtrace::Backtrace::force_capture());
            if thread::current().name() == Some("main") {
                std::process::abort();
            }
        }));
        let (inputs, received) = channel::<Input>();
        let (answer, answers) = channel();
        let work = move || {
            enter();
            let before = canaries();
            for (act, input) in received {
                let tried = panic::catch_unwind(|| {
                    act(Path::new(PLACE), &input);
                    assert_eq!(
                        std::fs::read_dir(PLACE).expect("the place stays").count(),
                        0,
                        "something is left"
                    );
                    let after = canaries();
                    assert_eq!(after, before, "something outside has changed");
                });
                if answer.send(tried.is_ok()).is_err() {
                    break;
                }
            }
        };
        thread::Builder::new().name("jail".to_owned()).spawn(work).expect("a thread");
        Jail { inputs, answers }
    }

    fn run(&self, act: Act, input: &[u8]) {
        self.inputs.send((act, input.to_owned())).expect("the jail waits for inputs");
        let is_well = self.answers.recv().expect("the jail answers");
        assert!(is_well, "what went wrong in the jail is told above");
    }
}

/// Gives the calling thread a root of its own. It is gone with the thread.
fn enter() {
    // SAFETY: no descriptor table is left behind; the thread's file system view alone changes.
    #[expect(unsafe_code, reason = "rustix cannot know that no descriptors are shared out")]
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNS | UnshareFlags::FS) }
        .expect("run this as root: it mounts");
    let private = MountPropagationFlags::REC | MountPropagationFlags::PRIVATE;
    rustix::mount::mount_change("/", private).expect("mounts of a namespace of one's own can be private");
    // Any directory will do: nobody else sees what is mounted on it.
    let flags = MountFlags::NODEV | MountFlags::NOSUID | MountFlags::NOEXEC;
    rustix::mount::mount("tmpfs", "/mnt", "tmpfs", flags, c"size=64m,nr_inodes=100000")
        .expect("a tmpfs on /mnt");
    rustix::process::chroot("/mnt").expect("a root of one's own");
    std::env::set_current_dir("/").expect("the new root");
    for (path, content) in CANARIES {
        let path = Path::new(path);
        std::fs::create_dir_all(path.parent().expect("no canary is the root")).expect("a directory");
        match content.strip_prefix("-> ") {
            Some(target) => std::os::unix::fs::symlink(target, path).expect("a link"),
            None => std::fs::write(path, content).expect("a file"),
        }
    }
    std::fs::create_dir_all(PLACE).expect("the place");
}

/// Everything that is to stay as it is: what each name stands for.
fn canaries() -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut waiting = vec![PathBuf::from("/")];
    while let Some(path) = waiting.pop() {
        let stat = path.symlink_metadata().expect("it was listed");
        let mut told =
            format!("{:o} {}:{} {} ino {}", stat.mode(), stat.uid(), stat.gid(), stat.nlink(), stat.ino());
        if path == Path::new(PLACE) {
            // Things come and go in it; the number of directories in it is none when this is asked.
            found.insert(path, told);
            continue;
        }
        told +=
            &format!(" {}.{:09} {}.{:09}", stat.mtime(), stat.mtime_nsec(), stat.ctime(), stat.ctime_nsec());
        if stat.is_dir() {
            waiting.extend(
                std::fs::read_dir(&path).expect("a directory").map(|entry| entry.expect("an entry").path()),
            );
        } else if stat.is_symlink() {
            told += &format!(" -> {:?}", std::fs::read_link(&path).expect("a link").as_os_str().as_bytes());
        } else {
            told += &format!(" {:?}", std::fs::read(&path).expect("a file"));
        }
        found.insert(path, told);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether the jail notices, in a jail of its own.
    fn notices(act: Act) -> bool {
        panic::catch_unwind(|| Jail::new().run(act, b"input")).is_err()
    }

    #[test]
    fn who_stays_in_the_place_and_leaves_nothing_is_fine() {
        assert!(!notices(|place, input| {
            std::fs::write(place.join("x"), input).unwrap();
            std::fs::remove_file(place.join("x")).unwrap();
        }));
    }

    #[test]
    fn every_way_out_is_noticed() {
        let ways: [(&str, Act); 7] = [
            ("left", |place, input| std::fs::write(place.join("x"), input).unwrap()),
            ("panic", |_, _| panic!("on purpose")),
            ("new", |place, input| std::fs::write(place.join("../new"), input).unwrap()),
            ("written", |_, _| std::fs::write("/victim", "victor").unwrap()),
            ("removed", |_, _| std::fs::remove_file("/a/b/link").unwrap()),
            ("linked", |place, _| {
                std::fs::hard_link("/victim", place.join("x")).unwrap();
                std::fs::remove_file(place.join("x")).unwrap();
            }),
            ("mode", |_, _| {
                use std::os::unix::fs::PermissionsExt;
                std::fs::set_permissions("/etc/passwd", std::fs::Permissions::from_mode(0o600)).unwrap();
            }),
        ];
        for (name, way) in ways {
            assert!(notices(way), "{name}");
        }
    }
}
