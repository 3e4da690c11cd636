//! The one layer of the image: busybox with all its applets, the accounts, and the directories people expect. PURE.

use std::io::Result;

use tar::{Builder, EntryType, Header};

/// Directories with their modes and owners, parents first.
const DIRECTORIES: &[(&str, u32, u64)] = &[
    ("bin", 0o755, 0),
    ("dev", 0o755, 0),
    ("etc", 0o755, 0),
    ("home", 0o755, NOBODY),
    ("root", 0o700, 0),
    ("tmp", 0o1777, 0),
    ("usr", 0o755, 0),
    ("usr/bin", 0o755, 0),
    ("usr/sbin", 0o755, 1),
    ("var", 0o755, 0),
    ("var/spool", 0o755, 0),
    ("var/spool/mail", 0o755, 8),
    ("var/www", 0o755, 33),
];

const NOBODY: u64 = 65534;

const PASSWD: &str = "\
root:x:0:0:root:/root:/bin/sh
daemon:x:1:1:daemon:/usr/sbin:/bin/false
bin:x:2:2:bin:/bin:/bin/false
sys:x:3:3:sys:/dev:/bin/false
sync:x:4:100:sync:/bin:/bin/sync
mail:x:8:8:mail:/var/spool/mail:/bin/false
www-data:x:33:33:www-data:/var/www:/bin/false
operator:x:37:37:Operator:/var:/bin/false
nobody:x:65534:65534:nobody:/home:/bin/false
";

const GROUP: &str = "\
root:x:0:
daemon:x:1:
bin:x:2:
sys:x:3:
adm:x:4:
tty:x:5:
disk:x:6:
mail:x:8:
wheel:x:10:root
audio:x:29:
www-data:x:33:
operator:x:37:
utmp:x:43:
staff:x:50:
users:x:100:
nobody:x:65534:
";

/// The layer as a tar archive. `applets` are the names `busybox --list` prints; `modified` is every entry's time.
pub(super) fn tar(busybox: &[u8], applets: &[&str], modified: u64) -> Result<Vec<u8>> {
    let mut layer = Layer { tar: Builder::new(Vec::new()), modified };
    for (path, mode, owner) in DIRECTORIES {
        layer.directory(path, *mode, *owner)?;
    }
    layer.file("bin/busybox", 0o755, busybox)?;
    for applet in applets.iter().filter(|applet| **applet != "busybox") {
        layer.link(EntryType::Link, &format!("bin/{applet}"), "bin/busybox")?;
    }
    // Scripts begin with `#!/usr/bin/env`.
    layer.link(EntryType::Symlink, "usr/bin/env", "../../bin/env")?;
    layer.file("etc/passwd", 0o644, PASSWD.as_bytes())?;
    layer.file("etc/group", 0o644, GROUP.as_bytes())?;
    layer.tar.into_inner()
}

struct Layer {
    tar: Builder<Vec<u8>>,
    modified: u64,
}

impl Layer {
    fn directory(&mut self, path: &str, mode: u32, owner: u64) -> Result<()> {
        let mut header = self.header(EntryType::Directory, mode, owner, 0);
        self.tar.append_data(&mut header, format!("{path}/"), [].as_slice())
    }

    fn file(&mut self, path: &str, mode: u32, bytes: &[u8]) -> Result<()> {
        let mut header = self.header(EntryType::Regular, mode, 0, bytes.len() as u64);
        self.tar.append_data(&mut header, path, bytes)
    }

    fn link(&mut self, kind: EntryType, path: &str, target: &str) -> Result<()> {
        let mut header = self.header(kind, 0o755, 0, 0);
        self.tar.append_link(&mut header, path, target)
    }

    fn header(&self, kind: EntryType, mode: u32, owner: u64, size: u64) -> Header {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(owner);
        header.set_gid(owner);
        header.set_size(size);
        header.set_mtime(self.modified);
        header
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layer_has_the_program_its_applets_and_the_accounts() {
        let bytes = tar(b"program", &["[", "busybox", "sh"], 7).unwrap();
        let mut archive = tar::Archive::new(bytes.as_slice());
        let mut lines = Vec::new();
        for entry in archive.entries().unwrap() {
            let entry = entry.unwrap();
            let header = entry.header();
            assert_eq!(header.mtime().unwrap(), 7);
            let link =
                entry.link_name().unwrap().map(|to| format!(" -> {}", to.display())).unwrap_or_default();
            let path = entry.path().unwrap().display().to_string();
            lines.push(format!("{path} {:o} {}{link}", header.mode().unwrap(), header.uid().unwrap()));
        }
        for wanted in [
            "bin/busybox 755 0",
            "bin/[ 755 0 -> bin/busybox",
            "bin/sh 755 0 -> bin/busybox",
            "usr/bin/env 755 0 -> ../../bin/env",
            "tmp/ 1777 0",
            "home/ 755 65534",
            "etc/passwd 644 0",
        ] {
            assert!(lines.iter().any(|line| line == wanted), "no `{wanted}` in {lines:#?}");
        }
        assert_eq!(
            lines.iter().filter(|line| line.starts_with("bin/busybox")).count(),
            1,
            "linked to itself"
        );
    }

    #[test]
    fn every_parent_comes_before_its_children() {
        for (index, (path, ..)) in DIRECTORIES.iter().enumerate() {
            let parent = path.rsplit_once('/').map(|(parent, _)| parent);
            assert!(
                parent.is_none_or(|parent| DIRECTORIES[..index].iter().any(|(before, ..)| *before == parent)),
                "{path}"
            );
        }
    }
}
