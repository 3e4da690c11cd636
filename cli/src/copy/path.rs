//! The two ends of a copy: what was typed, what is there, and what follows from both. PURE.
//!
//! docker's rules, which are those of cp(1) with one more: a source that ends in `/.` is its content.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::plan::values::normal;

/// One of the two arguments of `cp`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Arg {
    /// `CONTAINER:PATH`
    Container(String, PathBuf),
    /// A path of the host, or `-`.
    Local(PathBuf),
}

impl Arg {
    /// What stands before the first colon is a container, unless it begins like a path.
    ///
    /// # Errors
    /// A container whose name is no text.
    pub(crate) fn parse(text: &OsStr) -> Result<Arg> {
        let bytes = text.as_bytes();
        let colon = bytes.iter().position(|byte| *byte == b':');
        match colon {
            Some(colon) if !bytes.starts_with(b"/") && !bytes.starts_with(b".") => {
                let container =
                    std::str::from_utf8(&bytes[..colon]).context("the container's name is no text")?;
                Ok(Arg::Container(container.to_owned(), path(&bytes[colon + 1..])))
            }
            _ => Ok(Arg::Local(text.into())),
        }
    }
}

fn path(bytes: &[u8]) -> PathBuf {
    OsString::from_vec(bytes.to_vec()).into()
}

/// A path as it was typed, made absolute: without `.`, `..` and double slashes, but for what its end says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Typed {
    /// Absolute, by its text.
    pub(super) path: PathBuf,
    /// It ends in a slash, or in a dot.
    pub(super) is_directory: bool,
    /// It ends in a dot: the content, not the directory.
    pub(super) is_content: bool,
}

impl Typed {
    /// A path in a container: from its root on.
    pub(super) fn inside(path: &Path) -> Typed {
        Typed::new(path, Path::new("/"))
    }

    /// A path of the host: from the working directory on.
    pub(super) fn local(path: &Path) -> Result<Typed> {
        let cwd = std::env::current_dir().context("cannot tell the working directory")?;
        Ok(Typed::new(path, &cwd))
    }

    fn new(path: &Path, base: &Path) -> Typed {
        let bytes = path.as_os_str().as_bytes();
        let is_content = bytes == b"." || bytes.ends_with(b"/.");
        let path = normal(&base.join(path));
        let is_directory = is_content || bytes.ends_with(b"/") || path == Path::new("/");
        // Nothing has the root for a name.
        Typed { is_content: is_content || path == Path::new("/"), is_directory, path }
    }

    /// What it is called in an archive.
    pub(super) fn name(&self) -> &OsStr {
        match self.path.file_name() {
            Some(name) if !self.is_content => name,
            _ => OsStr::new("."),
        }
    }

    /// As it was typed, but absolute.
    pub(super) fn shown(&self) -> String {
        let end = match (self.is_content, self.is_directory) {
            (true, _) => "/.",
            (false, true) => "/",
            _ => "",
        };
        let path = self.path.display().to_string();
        if path == "/" { path } else { path + end }
    }
}

/// Where something goes, links followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct End {
    pub(super) path: PathBuf,
    pub(super) exists: bool,
    pub(super) is_directory: bool,
    /// It was typed as one.
    pub(super) wants_directory: bool,
    /// It ends in a dot: what is there, and nothing else.
    pub(super) is_content: bool,
}

/// The directory that an archive is extracted into, and what its top is called there.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) directory: PathBuf,
    pub(super) called: OsString,
}

/// What follows from the two ends.
///
/// # Errors
/// docker's: a directory onto a file, a file onto what should be a directory and is not there.
pub(super) fn decide(source: &Typed, is_directory: bool, end: &End) -> Result<Place> {
    let parent = || end.path.parent().unwrap_or(Path::new("/")).to_owned();
    let base = || end.path.file_name().unwrap_or(OsStr::new(".")).to_owned();
    match (end.exists, end.is_directory, is_directory) {
        (true, true, _) => Ok(Place { directory: end.path.clone(), called: source.name().to_owned() }),
        (true, false, true) => bail!("cannot copy directory: {} is a file", end.path.display()),
        (true, false, false) if end.wants_directory => bail!("not a directory: {}", end.path.display()),
        (true, false, false) => Ok(Place { directory: parent(), called: base() }),
        (false, _, true) if end.is_content => Ok(Place { directory: end.path.clone(), called: ".".into() }),
        (false, _, true) => Ok(Place { directory: parent(), called: base() }),
        (false, _, false) if end.wants_directory => bail!("no such directory: {}", end.path.display()),
        (false, _, false) => Ok(Place { directory: parent(), called: base() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_colon_makes_a_container_unless_it_is_a_path() {
        let container = |name: &str, path: &str| Arg::Container(name.into(), path.into());
        for (text, expected) in [
            ("web:/etc/passwd", container("web", "/etc/passwd")),
            ("web:etc", container("web", "etc")),
            ("web:", container("web", "")),
            ("web:a:b", container("web", "a:b")),
            ("/a:b", Arg::Local("/a:b".into())),
            ("./a:b", Arg::Local("./a:b".into())),
            ("../a:b", Arg::Local("../a:b".into())),
            ("file", Arg::Local("file".into())),
            ("-", Arg::Local("-".into())),
        ] {
            assert_eq!(Arg::parse(OsStr::new(text)).unwrap(), expected, "{text}");
        }
        assert!(Arg::parse(OsStr::from_bytes(b"\xff:/x")).is_err());
        assert_eq!(
            Arg::parse(OsStr::from_bytes(b"c:/\xff")).unwrap(),
            Arg::Container("c".into(), OsStr::from_bytes(b"/\xff").into())
        );
    }

    #[test]
    fn the_end_of_a_path_says_what_is_meant() {
        for (text, path, name, directory, content) in [
            ("a/b", "/a/b", "b", false, false),
            ("/a/b/", "/a/b", "b", true, false),
            ("/a/b/.", "/a/b", ".", true, true),
            (".", "/", ".", true, true),
            ("/", "/", ".", true, true),
            ("", "/", ".", true, true),
            ("/a/../../b", "/b", "b", false, false),
            ("a/..", "/", ".", true, true),
            ("/a/b.", "/a/b.", "b.", false, false),
        ] {
            let typed = Typed::inside(Path::new(text));
            let expected = Typed { path: path.into(), is_directory: directory, is_content: content };
            assert_eq!((&typed, typed.name()), (&expected, OsStr::new(name)), "{text}");
        }
    }

    #[test]
    fn dockers_whole_matrix() {
        let end = |path: &str, kind: &str| End {
            path: path.trim_end_matches("/.").trim_end_matches('/').into(),
            exists: kind != "nothing",
            is_directory: kind == "directory",
            wants_directory: path.ends_with('/') || path.ends_with("/."),
            is_content: path.ends_with("/."),
        };
        let place = |directory: &str, called: &str| Ok((directory.to_owned(), called.to_owned()));
        let refused = |text: &'static str| Err(text);
        for (source, is_directory, destination, kind, expected) in [
            ("/s/file", false, "/d/new", "nothing", place("/d", "new")),
            ("/s/file", false, "/d/new/", "nothing", refused("no such directory")),
            ("/s/file", false, "/d/there", "file", place("/d", "there")),
            ("/s/file", false, "/d/there/", "file", refused("not a directory")),
            ("/s/file", false, "/d/dir", "directory", place("/d/dir", "file")),
            ("/s/file", false, "/d/dir/", "directory", place("/d/dir", "file")),
            ("/s/dir", true, "/d/new", "nothing", place("/d", "new")),
            ("/s/dir", true, "/d/new/", "nothing", place("/d", "new")),
            ("/s/dir", true, "/d/new/.", "nothing", place("/d/new", ".")),
            ("/s/dir", true, "/d/there", "file", refused("cannot copy directory")),
            ("/s/dir", true, "/d/dir", "directory", place("/d/dir", "dir")),
            ("/s/dir/", true, "/d/dir", "directory", place("/d/dir", "dir")),
            ("/s/dir/.", true, "/d/new", "nothing", place("/d", "new")),
            ("/s/dir/.", true, "/d/there", "file", refused("cannot copy directory")),
            ("/s/dir/.", true, "/d/dir", "directory", place("/d/dir", ".")),
            ("/", true, "/d/dir", "directory", place("/d/dir", ".")),
        ] {
            let decided = decide(&Typed::inside(Path::new(source)), is_directory, &end(destination, kind));
            let shown = decided
                .map(|place| {
                    (place.directory.display().to_string(), place.called.to_string_lossy().into_owned())
                })
                .map_err(|error| error.to_string());
            match (shown, expected) {
                (Ok(shown), Ok(expected)) => assert_eq!(shown, expected, "{source} {destination} {kind}"),
                (Err(shown), Err(expected)) => {
                    assert!(shown.contains(expected), "{source} {destination}: {shown}");
                }
                (shown, expected) => {
                    panic!("{source} {destination} {kind}: {shown:?} instead of {expected:?}")
                }
            }
        }
    }
}
