//! The same files: a path inside, and where its bytes lie on the host.

use std::fs;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use runtime::sys::confined::{self, Links};
use rustix::fs::{Mode, OFlags, Stat};

use super::Row;
use super::mount::{self, Mount};
use super::subject::Subject;
use crate::own_root;
use crate::plan::values::normal;
use crate::words::Words;

/// Where the bytes of a file are.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    /// The container has written it: below its upper directory.
    Upper(PathBuf),
    /// In a layer of its image, the topmost of which is 1.
    Layer { number: usize, of: usize, path: PathBuf },
    /// In a volume.
    Volume(String, PathBuf),
    /// In a directory or file of the host's.
    Bound(PathBuf),
    /// In nothing that has a path here.
    Elsewhere(String),
}

/// A file that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Found {
    /// As it was asked for.
    asked: PathBuf,
    /// Inside, without links.
    path: PathBuf,
    place: Place,
    /// User, group and mode inside.
    inside: (Option<u32>, Option<u32>, u32),
    /// The same on the host, where it has a path there.
    outside: Option<(u32, u32, u32)>,
}

pub(super) fn look(subject: &Subject<'_>, asked: &[PathBuf]) -> Vec<Row> {
    let layers = layers(subject);
    let own = asked.is_empty();
    let paths = if own {
        usual(subject)
    } else {
        asked.iter().map(|path| normal(&Path::new("/").join(path))).collect()
    };
    let mut rows = Vec::new();
    for path in paths {
        match find(subject, &layers, &path) {
            Some(found) => rows.extend(self::rows(&found, subject.words)),
            None if own => {}
            None => {
                let absent = subject.words.filled("file.absent", &[("path", shown(&path))]);
                rows.push(Row::new(subject.words.text("file.none"), "-", absent));
            }
        }
    }
    rows
}

/// What is looked for where nobody says what: the program, the users, the name, and what is mounted because somebody asked for it.
fn usual(subject: &Subject<'_>) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = fs::read_link(format!("/proc/{}/exe", subject.pid)).into_iter().collect();
    paths.extend(["/etc/passwd", "/etc/hostname", "/dev/null"].map(PathBuf::from));
    if let Some(request) = &subject.settings.request {
        paths.extend(request.binds.iter().map(|bind| bind.target.clone()));
        paths.extend(request.options.storage.volumes.iter().map(|volume| volume.target.clone()));
    }
    paths
}

/// Topmost first; none where the image is not here any more.
fn layers(subject: &Subject<'_>) -> Vec<PathBuf> {
    if own_root::is_there(&subject.entry.dirs.disk) {
        return Vec::new(); // all of them were copied
    }
    let image = subject.context.image_of(&subject.entry.record);
    let layers = image.and_then(|(image, _pin)| crate::prepare::layers(&subject.context.state(), &image));
    layers.unwrap_or_default()
}

/// Nothing is followed out of the container: links lead as they do inside.
fn find(subject: &Subject<'_>, layers: &[PathBuf], asked: &Path) -> Option<Found> {
    let held = confined::open_path(subject.root.as_fd(), asked, Links::Inside).ok()?;
    let stat = rustix::fs::fstat(&held).ok()?;
    // In another mount namespace: from its own root.
    let path = fs::read_link(format!("/proc/self/fd/{}", held.as_raw_fd())).ok()?;
    let mount = mount::of(&subject.mounts_inside, mount_id(held.as_fd())?)?;
    let rest = path.strip_prefix(&mount.point).unwrap_or(Path::new("")).to_owned();
    let (place, outside) = match mount::is_root(mount) {
        true => in_layers(&own_root::files(&subject.entry.dirs.disk), layers, &rest, subject.words),
        false => bound(subject, mount, &rest, held.as_fd()),
    };
    Some(Found {
        asked: asked.to_owned(),
        path,
        place,
        inside: (subject.uid_inside(stat.st_uid), subject.gid_inside(stat.st_gid), stat.st_mode & 0o7777),
        outside: outside.map(|stat| (stat.st_uid, stat.st_gid, stat.st_mode & 0o7777)),
    })
}

/// proc_pid_fdinfo(5).
fn mount_id(held: BorrowedFd<'_>) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/self/fdinfo/{}", held.as_raw_fd())).ok()?;
    text.lines().find_map(|line| line.strip_prefix("mnt_id:")?.trim().parse().ok())
}

/// The first of the directories that has it, from the top: overlayfs shows that one. A link on the way is none of the merged path's.
fn in_layers(upper: &Path, layers: &[PathBuf], rest: &Path, words: &Words) -> (Place, Option<Stat>) {
    if let Some(stat) = there(upper, rest) {
        return (Place::Upper(mount::join(upper, rest)), Some(stat));
    }
    for (index, layer) in layers.iter().enumerate() {
        if let Some(stat) = there(layer, rest) {
            let path = mount::join(layer, rest);
            return (Place::Layer { number: index + 1, of: layers.len(), path }, Some(stat));
        }
    }
    (Place::Elsewhere(words.text("file.hidden")), None)
}

fn there(layer: &Path, rest: &Path) -> Option<Stat> {
    let root =
        rustix::fs::open(layer, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let path = if rest.as_os_str().is_empty() { Path::new(".") } else { rest };
    let found: OwnedFd = confined::open_path(root.as_fd(), path, Links::Refused).ok()?;
    rustix::fs::fstat(&found).ok()
}

fn bound(subject: &Subject<'_>, mount: &Mount, rest: &Path, held: BorrowedFd<'_>) -> (Place, Option<Stat>) {
    let Some(path) = mount::on_host(subject, mount, rest, held) else {
        return (Place::Elsewhere(mount::nature(&mount.kind, subject.words)), None);
    };
    let stat = rustix::fs::stat(&path).ok();
    let volumes = subject.context.dirs.root.join("volume");
    let volume = path.strip_prefix(&volumes).ok().and_then(|below| below.components().next());
    let place = match volume {
        Some(name) => Place::Volume(name.as_os_str().to_string_lossy().into_owned(), path),
        None => Place::Bound(path),
    };
    (place, stat)
}

/// PURE.
fn rows(found: &Found, words: &Words) -> [Row; 2] {
    let (what, host) = match &found.place {
        Place::Upper(path) => (words.text("file.own"), shown(path)),
        Place::Layer { number, of, path } => {
            let values = [("number", number.to_string()), ("of", of.to_string())];
            (words.filled("file.layer", &values), shown(path))
        }
        Place::Volume(name, path) => (words.filled("file.volume", &[("name", name.clone())]), shown(path)),
        Place::Bound(path) => (words.text("file.bound"), shown(path)),
        Place::Elsewhere(nature) => (words.text("file.elsewhere"), nature.clone()),
    };
    let inside = match found.path == found.asked {
        true => shown(&found.path),
        false => format!("{} -> {}", shown(&found.asked), shown(&found.path)),
    };
    let id = |id: Option<u32>| id.map_or_else(|| words.text("file.nobody"), |id| id.to_string());
    let (uid, gid, mode) = found.inside;
    let outside = found.outside.map(|(uid, gid, mode)| format!("{uid}:{gid} {mode:04o}"));
    [
        Row::new(what, host, inside),
        Row::new(
            "",
            outside.unwrap_or_else(|| "-".to_owned()),
            format!("{}:{} {mode:04o}", id(uid), id(gid)),
        ),
    ]
}

fn shown(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explain::Language;

    #[test]
    fn a_file_is_in_the_topmost_directory_that_has_it_and_links_lead_nowhere() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        for (layer, file) in [("upper", "new"), ("one", "both"), ("two", "both"), ("two", "low")] {
            make(&at(layer), file);
        }
        link(Path::new("/etc"), &at("one").join("way"));
        make(&at("two/way"), "passwd");
        let layers = [at("one"), at("two")];
        let words = super::super::words(Language::En);
        let place = |rest: &str| in_layers(&at("upper"), &layers, Path::new(rest), &words).0;
        assert_eq!(place("new"), Place::Upper(at("upper/new")));
        assert_eq!(place("both"), Place::Layer { number: 1, of: 2, path: at("one/both") });
        assert_eq!(place("low"), Place::Layer { number: 2, of: 2, path: at("two/low") });
        assert_eq!(place("way/passwd"), Place::Layer { number: 2, of: 2, path: at("two/way/passwd") });
        assert_eq!(place(""), Place::Upper(at("upper")));
        assert!(matches!(place("none"), Place::Elsewhere(_)));
    }

    #[expect(clippy::disallowed_methods, reason = "a test makes its own files")]
    fn make(directory: &Path, file: &str) {
        fs::create_dir_all(directory).unwrap();
        fs::write(directory.join(file), "").unwrap();
    }

    #[expect(clippy::disallowed_methods, reason = "a test makes its own files")]
    fn link(target: &Path, link: &Path) {
        std::os::unix::fs::symlink(target, link).unwrap();
    }

    #[test]
    fn a_file_is_two_lines() {
        let found = Found {
            asked: "/bin/ls".into(),
            path: "/bin/busybox".into(),
            place: Place::Layer { number: 1, of: 2, path: "/l/bin/busybox".into() },
            inside: (Some(0), None, 0o4755),
            outside: Some((0, 5, 0o755)),
        };
        let expected = [
            Row::new("layer 1/2", "/l/bin/busybox", "/bin/ls -> /bin/busybox"),
            Row::new("", "0:5 0755", "0:nobody 4755"),
        ];
        let words = super::super::words(Language::En);
        assert_eq!(rows(&found, &words), expected);
        let found =
            Found { asked: found.path.clone(), place: Place::Elsewhere("x".into()), outside: None, ..found };
        assert_eq!(
            rows(&found, &words),
            [Row::new("no file", "x", "/bin/busybox"), Row::new("", "-", "0:nobody 4755")]
        );
    }
}
