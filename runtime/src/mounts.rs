//! What a mount's options mean: the words of an OCI spec and of mount(8) become attributes and fsconfig(2) pairs. PURE.

use crate::sys::mount::Attr;

/// No attribute.
pub(crate) const NONE: Attr = Attr::empty();

/// Options, sorted by what they act on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountOptions {
    /// Attributes of the mount (mount_setattr(2)).
    pub attr: Attr,
    /// Attributes of the mount and of all that come along below it: `rro` and its kin (config.md, "mounts").
    pub attr_tree: Attr,
    /// `bind` or `rbind` was given.
    pub bind: bool,
    /// `rbind` was given: what is mounted below comes along.
    pub recursive: bool,
    /// `idmap` was given: the view is shifted by the container's id map (config.md, "idmap").
    pub idmap: bool,
    /// Propagation type (`MS_PRIVATE`, `MS_SLAVE`, `MS_SHARED`, `MS_UNBINDABLE`), and whether for the whole tree.
    pub propagation: Option<(u64, bool)>,
    /// What remains: the file system's own options, in order; an empty value is a flag.
    pub data: Vec<(String, String)>,
}

/// Sorts options.
pub fn parse(options: &[String]) -> MountOptions {
    let mut parsed = MountOptions {
        attr: Attr::empty(),
        attr_tree: Attr::empty(),
        bind: false,
        recursive: false,
        idmap: false,
        propagation: None,
        data: Vec::new(),
    };
    for option in options {
        match option.as_str() {
            "bind" => parsed.bind = true,
            "rbind" => (parsed.bind, parsed.recursive) = (true, true),
            "idmap" => parsed.idmap = true,
            // The kernel's defaults.
            "defaults" | "relatime" | "atime" | "diratime" | "norelatime" | "nostrictatime" | "async" => {}
            word => {
                let of_tree = word.strip_prefix('r').and_then(attribute);
                if let Some((attr, set)) = attribute(word) {
                    parsed.attr.set(attr, set);
                } else if let Some((attr, set)) = of_tree {
                    parsed.attr_tree.set(attr, set);
                } else if let Some(propagation) = propagation(word) {
                    parsed.propagation = Some(propagation);
                } else {
                    let (key, value) = word.split_once('=').unwrap_or((word, ""));
                    parsed.data.push((key.to_owned(), value.to_owned()));
                }
            }
        }
    }
    parsed
}

/// An attribute, and whether the word sets it or takes it back.
fn attribute(word: &str) -> Option<(Attr, bool)> {
    Some(match word {
        "ro" => (Attr::MOUNT_ATTR_RDONLY, true),
        "rw" => (Attr::MOUNT_ATTR_RDONLY, false),
        "nosuid" => (Attr::MOUNT_ATTR_NOSUID, true),
        "suid" => (Attr::MOUNT_ATTR_NOSUID, false),
        "nodev" => (Attr::MOUNT_ATTR_NODEV, true),
        "dev" => (Attr::MOUNT_ATTR_NODEV, false),
        "noexec" => (Attr::MOUNT_ATTR_NOEXEC, true),
        "exec" => (Attr::MOUNT_ATTR_NOEXEC, false),
        "noatime" => (Attr::MOUNT_ATTR_NOATIME, true),
        "nodiratime" => (Attr::MOUNT_ATTR_NODIRATIME, true),
        "strictatime" => (Attr::MOUNT_ATTR_STRICTATIME, true),
        _ => return None,
    })
}

fn propagation(word: &str) -> Option<(u64, bool)> {
    let (kind, recursive) = match word.strip_prefix('r') {
        Some(kind) => (kind, true),
        None => (word, false),
    };
    let flag = match kind {
        "private" => libc::MS_PRIVATE,
        "slave" => libc::MS_SLAVE,
        "shared" => libc::MS_SHARED,
        "unbindable" => libc::MS_UNBINDABLE,
        _ => return None,
    };
    Some((flag, recursive))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(text: &str) -> MountOptions {
        parse(&text.split(',').filter(|word| !word.is_empty()).map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn options_are_sorted_by_what_they_act_on() {
        let nothing = options("");
        let data =
            |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        for (text, expected) in [
            ("defaults,relatime", nothing.clone()),
            ("ro,rw", nothing.clone()),
            (
                "nosuid,noexec,nodev,mode=755,size=65536k",
                MountOptions {
                    attr: Attr::MOUNT_ATTR_NOSUID | Attr::MOUNT_ATTR_NOEXEC | Attr::MOUNT_ATTR_NODEV,
                    data: data(&[("mode", "755"), ("size", "65536k")]),
                    ..nothing.clone()
                },
            ),
            (
                "newinstance,gid=5",
                MountOptions { data: data(&[("newinstance", ""), ("gid", "5")]), ..nothing.clone() },
            ),
            (
                "rbind,ro,rprivate,idmap",
                MountOptions {
                    attr: Attr::MOUNT_ATTR_RDONLY,
                    bind: true,
                    recursive: true,
                    idmap: true,
                    propagation: Some((libc::MS_PRIVATE, true)),
                    ..nothing.clone()
                },
            ),
            (
                "rbind,rro,rnosuid,rw",
                MountOptions {
                    attr_tree: Attr::MOUNT_ATTR_RDONLY | Attr::MOUNT_ATTR_NOSUID,
                    bind: true,
                    recursive: true,
                    ..nothing.clone()
                },
            ),
            (
                "bind,slave",
                MountOptions { bind: true, propagation: Some((libc::MS_SLAVE, false)), ..nothing.clone() },
            ),
        ] {
            assert_eq!(options(text), expected, "{text}");
        }
    }
}
