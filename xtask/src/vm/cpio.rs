//! The archive format of an initramfs, "newc" (Linux: Documentation/driver-api/early-userspace/buffer-format.rst). PURE.

/// A growing archive.
pub(super) struct Cpio {
    bytes: Vec<u8>,
    entries: u32,
}

const DIRECTORY: u32 = 0o040_755;
const FILE: u32 = 0o100_755;

impl Cpio {
    pub(super) fn new() -> Self {
        Cpio { bytes: Vec::new(), entries: 0 }
    }

    /// A directory; its parent must have come before.
    pub(super) fn directory(&mut self, path: &str) {
        self.entry(path, DIRECTORY, &[]);
    }

    /// A regular file, executable: nothing there asks who may run it.
    pub(super) fn file(&mut self, path: &str, content: &[u8]) {
        self.entry(path, FILE, content);
    }

    /// The whole archive.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, &[]);
        self.bytes
    }

    fn entry(&mut self, path: &str, mode: u32, content: &[u8]) {
        self.entries += 1;
        let size = u32::try_from(content.len()).expect("no file of an initramfs has 4 GiB");
        let name_size = u32::try_from(path.len() + 1).expect("a path is short");
        // ino, mode, uid, gid, nlink, mtime, filesize, major, minor, rmajor, rminor, namesize, check.
        let fields = [self.entries, mode, 0, 0, 1, 0, size, 0, 0, 0, 0, name_size, 0];
        self.bytes.extend_from_slice(b"070701");
        for field in fields {
            self.bytes.extend_from_slice(format!("{field:08X}").as_bytes());
        }
        self.bytes.extend_from_slice(path.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(content);
        self.pad();
    }

    /// Names and contents end at multiples of four bytes.
    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_is_laid_out_as_the_kernel_reads_it() {
        let mut archive = Cpio::new();
        archive.directory("bin");
        archive.file("bin/x", b"hello");
        let text = String::from_utf8(archive.finish()).unwrap();
        let field =
            |at: usize, number: usize| u32::from_str_radix(&text[at + 6 + 8 * number..][..8], 16).unwrap();

        assert_eq!((field(0, 1), field(0, 11), &text[110..114]), (DIRECTORY, 4, "bin\0"));
        let second = (110 + 4_usize).next_multiple_of(4);
        assert_eq!(&text[second..second + 6], "070701");
        assert_eq!((field(second, 1), field(second, 6), field(second, 11)), (FILE, 5, 6));
        assert_eq!(&text[second + 110..second + 124], "bin/x\0hello\0\0\0");
        assert!(text.ends_with("TRAILER!!!\0\0\0\0"), "{text:?}");
        assert_eq!(text.len() % 4, 0);
    }
}
