//! What one member of an archive asks for, and whether it may. PURE.
//!
//! A layer is hostile: its names, targets, numbers and attributes are checked here, before anything touches
//! the disk. Where they lead is `confined`'s matter; what they mean is decided here, once, for pull, load and
//! every later reader.

use super::sparse::SparseMap;
use super::tar::Member;

/// A checked member: what to make, where, and with which attributes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Where, relative to the layer's root: no empty component, no `.` and no `..`; empty for the root
    /// itself. Parents may still be symbolic links.
    pub(crate) path: Vec<u8>,
    pub(crate) kind: Kind,
    pub(crate) attributes: Attributes,
}

/// What to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    Directory,
    File {
        sparse: Option<SparseMap>,
    },
    Symlink {
        target: Vec<u8>,
    },
    /// Another name of `target`, a path like [`Entry::path`].
    HardLink {
        target: Vec<u8>,
    },
    Node {
        node: Node,
        major: u32,
        minor: u32,
    },
    /// Hide what lower layers have at the path.
    Whiteout,
    /// Hide what lower layers have inside the directory at the path.
    Opaque,
}

/// The special files an archive can hold. A tar header has no sockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Node {
    Character,
    Block,
    Fifo,
}

/// An extended attribute: name and value.
pub(crate) type Xattr = (Vec<u8>, Vec<u8>);

/// Seconds and nanoseconds since 1970, the nanoseconds counting forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Time {
    /// Seconds; negative before 1970.
    pub seconds: i64,
    /// 0 to 999 999 999.
    pub nanos: u32,
}

/// Mode, owner, time and extended attributes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Attributes {
    /// Permission bits with setuid, setgid and sticky.
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) mtime: Time,
    /// Those that a container may have; see [`xattr`].
    pub(crate) xattrs: Vec<Xattr>,
}

/// Why a member is refused. Every message is preceded by the member's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// `..` that climbs above the layer's root.
    #[error("the name leaves its root")]
    Escape,
    /// A NUL byte in a name: the kernel would see a shorter one.
    #[error("the name has a NUL byte")]
    Nul,
    /// Longer than 4096 bytes, Linux's PATH_MAX.
    #[error("the name has {0} bytes, at most {NAME_MAX} are possible")]
    NameTooLong(usize),
    /// A component longer than the kernel's 255 bytes.
    #[error("a component of the name has {0} bytes, at most 255 are possible")]
    ComponentTooLong(usize),
    /// Only a directory can stand at the layer's root.
    #[error("the root can only be a directory")]
    Root,
    /// A whiteout of nothing, of `.` or of `..`.
    #[error("whiteout without a name to hide")]
    Whiteout,
    /// A type flag without a meaning in a layer.
    #[error("member type {:?} has no place in a tree of files", char::from(*.0))]
    Kind(u8),
    /// A name that ends in a slash but has data.
    #[error("a directory by its name, a file by its {0} bytes of data")]
    DirectoryWithData(u64),
    /// A symbolic link to nothing, to a NUL byte, or to more than the kernel's 4095 bytes.
    #[error("symbolic link to {0} bytes that are no path")]
    Target(usize),
    /// The target of a hard link is refused as a name.
    #[error("hard link target {:?}", String::from_utf8_lossy(target))]
    LinkTarget {
        /// The target as the archive has it.
        target: Vec<u8>,
        /// What is wrong with it.
        #[source]
        source: Box<EntryError>,
    },
    /// A hard link to itself.
    #[error("hard link to itself")]
    LinkToItself,
    /// A character device 0:0 is overlay's own mark for a whiteout.
    #[error("character device 0:0, which overlay keeps for itself")]
    OverlayWhiteout,
    /// Device numbers beyond the kernel's 12 and 20 bits.
    #[error("device {major}:{minor} does not exist")]
    Device {
        /// The device's major number.
        major: i64,
        /// The device's minor number.
        minor: i64,
    },
    /// An id that no file can have: negative, or 2³² - 1 and more.
    #[error("{kind} {id} does not exist")]
    Id {
        /// `uid` or `gid`.
        kind: &'static str,
        /// The id in the archive.
        id: i64,
    },
    /// A file capability of a form that the kernel would not honour in a container.
    #[error("file capability of {0} bytes that is neither version 2 nor version 3 of root")]
    Capability(usize),
}

/// The longest name of a member, in bytes: PATH_MAX.
pub(super) const NAME_MAX: usize = 4096;
const COMPONENT_MAX: usize = 255;
const TARGET_MAX: usize = 4095;

/// The prefix of whiteouts, and of what only AUFS understands (OCI image spec, layer.md; AUFS's metadata is
/// skipped by docker too).
pub(super) const WHITEOUT: &[u8] = b".wh.";
const AUFS_META: &[u8] = b".wh..wh.";
pub(super) const OPAQUE: &[u8] = b".wh..wh..opq";

impl Entry {
    /// Decides what `member` asks for; `None` for what layers may carry and nobody needs.
    pub(crate) fn interpret(member: &Member) -> Result<Option<Self>, EntryError> {
        let path = clean(&member.path)?;
        let (directory, name) = split(&path);
        let attributes = attributes(member)?;
        if name == OPAQUE {
            return Ok(Some(Self { path: directory.to_vec(), kind: Kind::Opaque, attributes }));
        }
        if path.split(|byte| *byte == b'/').any(|component| component.starts_with(AUFS_META)) {
            return Ok(None);
        }
        if let Some(hidden) = name.strip_prefix(WHITEOUT) {
            if matches!(hidden, b"" | b"." | b"..") {
                return Err(EntryError::Whiteout);
            }
            let path = [directory, if directory.is_empty() { b"" } else { b"/" }, hidden].concat();
            return Ok(Some(Self { path, kind: Kind::Whiteout, attributes }));
        }
        Self::new(member, path, attributes).map(Some)
    }

    /// Decides what `member` of an archive that is no layer asks for: no name hides anything.
    pub(crate) fn plain(member: &Member) -> Result<Self, EntryError> {
        Self::new(member, clean(&member.path)?, attributes(member)?)
    }

    fn new(member: &Member, path: Vec<u8>, attributes: Attributes) -> Result<Self, EntryError> {
        let kind = kind(member, &path)?;
        if path.is_empty() && kind != Kind::Directory {
            return Err(EntryError::Root);
        }
        Ok(Self { path, kind, attributes })
    }
}

fn kind(member: &Member, path: &[u8]) -> Result<Kind, EntryError> {
    Ok(match member.kind {
        // V7 had no type for directories, and Go's reader follows it: a trailing slash is one.
        0 | b'0' | b'7' | b'S' if member.path.ends_with(b"/") => match member.size {
            0 => Kind::Directory,
            size => return Err(EntryError::DirectoryWithData(size)),
        },
        0 | b'0' | b'7' | b'S' => Kind::File { sparse: member.sparse.clone() },
        b'1' => {
            let link_target =
                |source| EntryError::LinkTarget { target: member.link.clone(), source: Box::new(source) };
            let target = clean(&member.link).map_err(link_target)?;
            if target == path {
                return Err(EntryError::LinkToItself);
            }
            if target.is_empty() {
                return Err(link_target(EntryError::Root));
            }
            Kind::HardLink { target }
        }
        b'2' => match member.link.len() {
            1..=TARGET_MAX if !member.link.contains(&0) => Kind::Symlink { target: member.link.clone() },
            length => return Err(EntryError::Target(length)),
        },
        b'3' => device(Node::Character, member)?,
        b'4' => device(Node::Block, member)?,
        b'5' => Kind::Directory,
        b'6' => Kind::Node { node: Node::Fifo, major: 0, minor: 0 },
        other => return Err(EntryError::Kind(other)),
    })
}

fn device(node: Node, member: &Member) -> Result<Kind, EntryError> {
    let (major, minor) = (member.major, member.minor);
    if node == Node::Character && major == 0 && minor == 0 {
        return Err(EntryError::OverlayWhiteout);
    }
    // dev_t has 12 bits of major and 20 of minor (include/linux/kdev_t.h); more would wrap around, to 0:0
    // too.
    match (u32::try_from(major), u32::try_from(minor)) {
        (Ok(major @ 0..0x1000), Ok(minor @ 0..0x10_0000)) => Ok(Kind::Node { node, major, minor }),
        _ => Err(EntryError::Device { major, minor }),
    }
}

fn attributes(member: &Member) -> Result<Attributes, EntryError> {
    // 2³² - 1 is (uid_t)-1: chown(2) takes it for "leave as it is".
    let id = |kind, id: i64| match u32::try_from(id) {
        Ok(id) if id != u32::MAX => Ok(id),
        _ => Err(EntryError::Id { kind, id }),
    };
    let mut xattrs = Vec::new();
    for (name, value) in &member.xattrs {
        if let Some(value) = xattr(name, value)? {
            xattrs.push((name.clone(), value));
        }
    }
    Ok(Attributes {
        mode: u32::try_from(member.mode & 0o7777).expect("twelve bits fit"),
        uid: id("uid", member.uid)?,
        gid: id("gid", member.gid)?,
        mtime: member.mtime,
        xattrs,
    })
}

/// Which extended attributes a layer may set, and as what.
///
/// Kept: `user.*` (but overlay's own), POSIX access lists, and file capabilities, whose version 3 must belong
/// to root and becomes version 2, because layers are 0-based and only the view of them is mapped. Everything
/// else belongs to the host: `trusted.*` (overlay's marks too) and the labels of its security modules.
pub(crate) fn xattr(name: &[u8], value: &[u8]) -> Result<Option<Vec<u8>>, EntryError> {
    if name.contains(&0) || name.len() > COMPONENT_MAX {
        return Ok(None);
    }
    match name {
        b"security.capability" => capability(value).map(Some),
        b"system.posix_acl_access" | b"system.posix_acl_default" => Ok(Some(value.to_vec())),
        _ if name.starts_with(b"user.overlay.") => Ok(None),
        _ if name.len() > 5 && name.starts_with(b"user.") => Ok(Some(value.to_vec())),
        _ => Ok(None),
    }
}

/// `struct vfs_cap_data` (linux/capability.h): magic and revision, two pairs of 32-bit sets, in version 3 the
/// id of root.
fn capability(value: &[u8]) -> Result<Vec<u8>, EntryError> {
    const REVISION_2: u8 = 2;
    const REVISION_3: u8 = 3;
    match (value.len(), value.get(3)) {
        (20, Some(&REVISION_2)) => Ok(value.to_vec()),
        (24, Some(&REVISION_3)) if value[20..] == [0; 4] => {
            let mut version_2 = value[..20].to_vec();
            version_2[3] = REVISION_2;
            Ok(version_2)
        }
        (length, _) => Err(EntryError::Capability(length)),
    }
}

/// Resolves empty, `.` and `..` components by their text. A name that climbs above the root is refused,
/// absolute or not; otherwise a leading slash means the layer's root.
pub(crate) fn clean(name: &[u8]) -> Result<Vec<u8>, EntryError> {
    if name.contains(&0) {
        return Err(EntryError::Nul);
    }
    if name.len() > NAME_MAX {
        return Err(EntryError::NameTooLong(name.len()));
    }
    let mut cleaned: Vec<u8> = Vec::with_capacity(name.len());
    for component in name.split(|byte| *byte == b'/') {
        match component {
            b"" | b"." => {}
            b".." => {
                if cleaned.is_empty() {
                    return Err(EntryError::Escape);
                }
                cleaned.truncate(split(&cleaned).0.len());
            }
            // What hides a name is longer than that name.
            _ if component.strip_prefix(WHITEOUT).unwrap_or(component).len() > COMPONENT_MAX => {
                return Err(EntryError::ComponentTooLong(component.len()));
            }
            _ => {
                if !cleaned.is_empty() {
                    cleaned.push(b'/');
                }
                cleaned.extend_from_slice(component);
            }
        }
    }
    Ok(cleaned)
}

/// The parent and the last component of a clean path.
pub(crate) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (&[], path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(kind: u8, path: &str, link: &str) -> Member {
        Member {
            kind,
            path: path.into(),
            link: link.into(),
            size: 0,
            mode: 0o100_644,
            uid: 0,
            gid: 0,
            mtime: Time::default(),
            major: 0,
            minor: 0,
            xattrs: Vec::new(),
            sparse: None,
        }
    }

    #[test]
    fn names_are_resolved_by_their_text_and_never_leave() {
        for (name, cleaned) in [
            ("a/b", Ok("a/b")),
            ("./a//b/", Ok("a/b")),
            ("/a/./b", Ok("a/b")),
            ("a/../b", Ok("b")),
            ("a/b/../../c", Ok("c")),
            ("./", Ok("")),
            ("/", Ok("")),
            ("a/..", Ok("")),
            ("../x", Err(EntryError::Escape)),
            ("/../x", Err(EntryError::Escape)),
            ("a/../../x", Err(EntryError::Escape)),
            ("..", Err(EntryError::Escape)),
            ("a/../..", Err(EntryError::Escape)),
            ("...", Ok("...")),
            ("a\0b", Err(EntryError::Nul)),
        ] {
            assert_eq!(clean(name.as_bytes()), cleaned.map(|name| name.as_bytes().to_vec()), "{name:?}");
        }
        assert_eq!(clean(b"\xff\xfe/\x80").unwrap(), b"\xff\xfe/\x80", "names are bytes");
        let deep = "d/".repeat(2047) + "fi";
        assert_eq!(clean(deep.as_bytes()).unwrap().len(), 4096);
        assert_eq!(clean(&[b"/", deep.as_bytes()].concat()), Err(EntryError::NameTooLong(4097)));
        assert_eq!(clean("x".repeat(256).as_bytes()), Err(EntryError::ComponentTooLong(256)));
    }

    #[test]
    fn whiteouts_are_told_from_files() {
        let interpreted = |path: &str| {
            Entry::interpret(&member(b'0', path, "")).map(|entry| entry.map(|entry| (entry.path, entry.kind)))
        };
        let hidden = |path: &str| Ok(Some((path.as_bytes().to_vec(), Kind::Whiteout)));
        let opaque = |path: &str| Ok(Some((path.as_bytes().to_vec(), Kind::Opaque)));
        for (path, expected) in [
            (".wh.a", hidden("a")),
            ("d/.wh.a", hidden("d/a")),
            ("d/.wh..a", hidden("d/.a")),
            ("d/.wh....", hidden("d/...")),
            (".wh..wh..opq", opaque("")),
            ("d/e/.wh..wh..opq", opaque("d/e")),
            (".wh.", Err(EntryError::Whiteout)),
            ("d/.wh.", Err(EntryError::Whiteout)),
            (".wh..", Err(EntryError::Whiteout)),
            (".wh...", Err(EntryError::Whiteout)),
            (".wh..wh.plnk/1.2", Ok(None)),
            (".wh..wh.aufs", Ok(None)),
            ("a.wh.b", Ok(Some((b"a.wh.b".to_vec(), Kind::File { sparse: None })))),
        ] {
            assert_eq!(interpreted(path), expected, "{path}");
        }
    }

    #[test]
    fn every_type_is_understood_or_refused_by_name() {
        let kind_of =
            |kind, path, link| Entry::interpret(&member(kind, path, link)).map(|entry| entry.unwrap().kind);
        let target = |target: &str| target.as_bytes().to_vec();
        let bad_target = |text: &str, source| {
            Err(EntryError::LinkTarget { target: target(text), source: Box::new(source) })
        };
        for (kind, path, link, expected) in [
            (b'0', "f", "", Ok(Kind::File { sparse: None })),
            (0, "f", "", Ok(Kind::File { sparse: None })),
            (b'0', "d/", "", Ok(Kind::Directory)),
            (b'5', "d", "", Ok(Kind::Directory)),
            (b'5', "./", "", Ok(Kind::Directory)),
            (b'0', ".", "", Err(EntryError::Root)),
            (b'2', "/", "x", Err(EntryError::Root)),
            (b'1', "l", "/a/../b", Ok(Kind::HardLink { target: target("b") })),
            (b'1', "l", "../x", bad_target("../x", EntryError::Escape)),
            (b'1', "l", "/../x", bad_target("/../x", EntryError::Escape)),
            (b'1', "l", "/", bad_target("/", EntryError::Root)),
            (b'1', "l", "./l", Err(EntryError::LinkToItself)),
            (b'2', "l", "../../x", Ok(Kind::Symlink { target: target("../../x") })),
            (b'2', "l", "", Err(EntryError::Target(0))),
            (b'2', "l", "a\0b", Err(EntryError::Target(3))),
            (b'3', "c", "", Err(EntryError::OverlayWhiteout)),
            (b'4', "b", "", Ok(Kind::Node { node: Node::Block, major: 0, minor: 0 })),
            (b'6', "p", "", Ok(Kind::Node { node: Node::Fifo, major: 0, minor: 0 })),
            (b'V', "v", "", Err(EntryError::Kind(b'V'))),
            (b'M', "m", "", Err(EntryError::Kind(b'M'))),
        ] {
            assert_eq!(kind_of(kind, path, link), expected, "{:?} {path} -> {link}", char::from(kind));
        }
        let long = "t".repeat(4096);
        assert_eq!(kind_of(b'2', "l", &long), Err(EntryError::Target(4096)));
        let full = Member { size: 7, ..member(b'0', "d/", "") };
        assert_eq!(Entry::interpret(&full), Err(EntryError::DirectoryWithData(7)));
    }

    #[test]
    fn numbers_must_be_possible() {
        let with = |change: fn(&mut Member)| {
            let mut member = member(b'3', "x", "");
            member.major = 1;
            change(&mut member);
            Entry::interpret(&member).map(|entry| entry.unwrap().attributes)
        };
        assert_eq!(with(|member| member.uid = 0xffff_fffe).unwrap().uid, 0xffff_fffe);
        assert_eq!(with(|member| member.mode = 0o106_755).unwrap().mode, 0o6755);
        for (change, expected) in [
            ((|member| member.uid = -1) as fn(&mut Member), EntryError::Id { kind: "uid", id: -1 }),
            (|member| member.gid = 0xffff_ffff, EntryError::Id { kind: "gid", id: 0xffff_ffff }),
            (|member| member.uid = 1 << 40, EntryError::Id { kind: "uid", id: 1 << 40 }),
            (|member| member.major = 4096, EntryError::Device { major: 4096, minor: 0 }),
            (|member| member.minor = -1, EntryError::Device { major: 1, minor: -1 }),
            (|member| member.minor = 1 << 20, EntryError::Device { major: 1, minor: 1 << 20 }),
        ] {
            assert_eq!(with(change), Err(expected));
        }
    }

    #[test]
    fn attributes_of_the_host_are_dropped() {
        let version_2 = [&[1, 0, 0, 2][..], &[0; 16]].concat();
        let version_3 = |root: u8| [&[1, 0, 0, 3][..], &[0; 16], &[root, 0, 0, 0]].concat();
        for (name, value, expected) in [
            ("user.mime", b"text".to_vec(), Ok(Some(b"text".to_vec()))),
            ("system.posix_acl_access", vec![2, 0, 0, 0], Ok(Some(vec![2, 0, 0, 0]))),
            ("security.capability", version_2.clone(), Ok(Some(version_2.clone()))),
            ("security.capability", version_3(0), Ok(Some(version_2.clone()))),
            ("security.capability", version_3(5), Err(EntryError::Capability(24))),
            ("security.capability", vec![], Err(EntryError::Capability(0))),
            ("trusted.overlay.opaque", b"y".to_vec(), Ok(None)),
            ("trusted.overlay.redirect", b"/etc".to_vec(), Ok(None)),
            ("user.overlay.opaque", b"y".to_vec(), Ok(None)),
            ("trusted.other", vec![], Ok(None)),
            ("security.selinux", vec![], Ok(None)),
            ("security.ima", vec![], Ok(None)),
            ("user.", vec![], Ok(None)),
            ("nonsense", vec![], Ok(None)),
        ] {
            assert_eq!(xattr(name.as_bytes(), &value), expected, "{name}");
        }
    }
}
