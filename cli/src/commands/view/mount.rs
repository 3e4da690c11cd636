//! The same mounts: what stands in the container's table, and where that lies for the host (proc_pid_mountinfo(5)).

use std::ffi::OsString;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

use runtime::sys::confined::{self, Links};
use rustix::fs::{Mode, OFlags};

use super::Row;
use super::subject::Subject;
use crate::own_root;
use crate::words::Words;

/// A line of the table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Mount {
    pub(super) id: u64,
    /// `MAJOR:MINOR` of its file system.
    pub(super) device: String,
    /// What of the file system is seen.
    pub(super) root: PathBuf,
    /// Where.
    pub(super) point: PathBuf,
    pub(super) options: String,
    pub(super) kind: String,
}

/// A table. PURE.
pub(super) fn parse(text: &str) -> Vec<Mount> {
    text.lines().filter_map(line).collect()
}

/// `36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue`
fn line(line: &str) -> Option<Mount> {
    let (before, after) = line.split_once(" - ")?;
    let words: Vec<&str> = before.split(' ').collect();
    let [id, _, device, root, point, options, ..] = words.as_slice() else { return None };
    Some(Mount {
        id: id.parse().ok()?,
        device: (*device).to_owned(),
        root: plain(root),
        point: plain(point),
        options: (*options).to_owned(),
        kind: after.split(' ').next()?.to_owned(),
    })
}

/// Blanks and their like are written `\040`.
fn plain(text: &str) -> PathBuf {
    let (bytes, mut plain) = (text.as_bytes(), Vec::new());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let octal = bytes
            .get(at + 1..at + 4)
            .filter(|_| *byte == b'\\')
            .and_then(|digits| std::str::from_utf8(digits).ok());
        match octal.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(letter) => {
                plain.push(letter);
                at += 4;
            }
            None => {
                plain.push(*byte);
                at += 1;
            }
        }
    }
    OsString::from_vec(plain).into()
}

pub(super) fn look(subject: &Subject<'_>) -> Vec<Row> {
    let here = subject.mounts_here.len();
    let common = subject
        .mounts_inside
        .iter()
        .filter(|mount| subject.mounts_here.iter().any(|here| here.id == mount.id));
    let words = subject.words;
    let host =
        words.filled("mount.common", &[("all", here.to_string()), ("common", common.count().to_string())]);
    let inside = words.filled("mount.lines", &[("all", subject.mounts_inside.len().to_string())]);
    let mut rows = vec![Row::new(words.text("mount.table"), host, inside)];
    let place = |mount: &Mount| {
        let held = confined::open_path(subject.root.as_fd(), &mount.point, Links::Refused).ok()?;
        on_host(subject, mount, Path::new(""), held.as_fd())
    };
    for mount in &subject.mounts_inside {
        let host = match (is_root(mount), place(mount)) {
            (true, _) => own_root::files(&subject.entry.dirs.disk).display().to_string(),
            (false, Some(path)) => path.display().to_string(),
            (false, None) => nature(&mount.kind, words),
        };
        let mode = mount.options.split(',').next().unwrap_or_default();
        rows.push(Row::new(mount.kind.clone(), host, format!("{} {mode}", mount.point.display())));
    }
    rows
}

/// Whether it is the container's own layers, stacked.
pub(super) fn is_root(mount: &Mount) -> bool {
    mount.kind == "overlay" && mount.point == Path::new("/")
}

/// The mount that holds a file of the container's.
pub(super) fn of(mounts: &[Mount], id: u64) -> Option<&Mount> {
    mounts.iter().find(|mount| mount.id == id)
}

/// What there is to say of a file system that has no path here.
pub(super) fn nature(kind: &str, words: &Words) -> String {
    words.text(match kind {
        "tmpfs" => "mount.memory",
        "proc" | "sysfs" | "devpts" | "mqueue" | "cgroup" | "cgroup2" => "mount.kernel",
        _ => "mount.nowhere",
    })
}

/// The path here of what `held` refers to, which lies `rest` below a mount of the container's: by the host's own table, and only where the
/// very same file is there. Of several the one below mini's own root.
pub(super) fn on_host(
    subject: &Subject<'_>,
    mount: &Mount,
    rest: &Path,
    held: BorrowedFd<'_>,
) -> Option<PathBuf> {
    let own = &subject.context.dirs.root;
    let wanted = rustix::fs::fstat(held).ok()?;
    let root =
        rustix::fs::open("/", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let mut paths = paths(&subject.mounts_here, mount, rest);
    paths.sort_by_key(|path| !path.starts_with(own));
    paths.into_iter().find(|path| {
        let found = confined::open_path(root.as_fd(), path, Links::Refused).and_then(|found| {
            rustix::fs::fstat(&found)
                .map_err(|errno| runtime::op::OpError { call: "fstat".to_owned(), source: errno.into() })
        });
        found.is_ok_and(|found| (found.st_dev, found.st_ino) == (wanted.st_dev, wanted.st_ino))
    })
}

/// Where it could be: below every mount here of the same file system that shows it, those that show most of it first. PURE.
fn paths(here: &[Mount], mount: &Mount, rest: &Path) -> Vec<PathBuf> {
    let whole = join(&mount.root, rest);
    let mut shows: Vec<(usize, PathBuf)> = here
        .iter()
        .filter(|other| other.device == mount.device)
        .filter_map(|other| {
            let below = whole.strip_prefix(&other.root).ok()?;
            Some((other.root.components().count(), join(&other.point, below)))
        })
        .collect();
    shows.sort_by_key(|(depth, _)| *depth);
    shows.into_iter().map(|(_, path)| path).collect()
}

/// Without a slash at the end where there is nothing behind it.
pub(super) fn join(path: &Path, rest: &Path) -> PathBuf {
    if rest.as_os_str().is_empty() { path.to_owned() } else { path.join(rest) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_taken_apart_whatever_the_places_are_called() {
        let text = "36 35 98:0 /a\\040b /mnt\\134x rw,noatime master:1 propagate_from:2 - ext3 /dev/root rw\nnonsense\n\
                    37 35 0:5 / / ro - tmpfs - - rw\n";
        let expected = [
            Mount {
                id: 36,
                device: "98:0".into(),
                root: "/a b".into(),
                point: "/mnt\\x".into(),
                options: "rw,noatime".into(),
                kind: "ext3".into(),
            },
            Mount {
                id: 37,
                device: "0:5".into(),
                root: "/".into(),
                point: "/".into(),
                options: "ro".into(),
                kind: "tmpfs".into(),
            },
        ];
        assert_eq!(parse(text), expected);
    }

    #[test]
    fn a_place_is_looked_for_below_every_mount_that_shows_it() {
        let mount = |device: &str, root: &str, point: &str| Mount {
            device: device.into(),
            root: root.into(),
            point: point.into(),
            ..Mount::default()
        };
        let here = [
            mount("8:1", "/", "/"),
            mount("8:1", "/srv/a", "/a"),
            mount("8:2", "/", "/other"),
            mount("8:1", "/x", "/x"),
        ];
        let found = paths(&here, &mount("8:1", "/srv/a", "/data"), Path::new("f"));
        assert_eq!(found, [PathBuf::from("/srv/a/f"), PathBuf::from("/a/f")]);
        let found = paths(&here, &mount("8:1", "/srv/a", "/data"), Path::new(""));
        assert_eq!(found, [PathBuf::from("/srv/a"), PathBuf::from("/a")]);
        assert!(paths(&here, &mount("8:3", "/", "/data"), Path::new("f")).is_empty());
    }
}
