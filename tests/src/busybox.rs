//! The image most tests run: Debian's static busybox, with its applets as hard links.

use std::fs;
use std::process::Command;
use std::sync::OnceLock;

use serde_json::json;

use crate::command::Mini;
use crate::image::Image;
use crate::tarball::Entry;
use crate::{Tarball, namespaces};

/// Where Debian's package `busybox-static` puts it.
const BINARY: &str = "/bin/busybox";

impl Image {
    /// A root file system with `/bin/busybox`, its applets, users `root` and `nobody`, and `sh` as its command.
    pub fn busybox() -> Self {
        static MADE: OnceLock<Image> = OnceLock::new();
        MADE.get_or_init(|| namespaces::on_the_machine(make)).clone()
    }
}

fn make() -> Image {
    let binary =
        fs::read(BINARY).unwrap_or_else(|error| panic!("{BINARY}: {error} (apt-get install busybox-static)"));
    assert!(!has_interpreter(&binary), "{BINARY} is not static (apt-get install busybox-static)");
    let mut command = Command::new(BINARY);
    command.arg("--list");
    let applets = Mini::new(command).run().ok().lines();
    let mut layer = Tarball::new().directory("bin", 0o755).file("bin/busybox", 0o755, &binary);
    for applet in applets.iter().filter(|applet| *applet != "busybox") {
        // docker gives a link's mode to the file, as tar(1) writes the file's to the link.
        layer = layer.entry(&Entry::new(b'1', &format!("bin/{applet}"), 0o755).to("bin/busybox"));
    }
    for (directory, mode) in
        [("dev", 0o755), ("etc", 0o755), ("home", 0o755), ("proc", 0o755), ("root", 0o700), ("sys", 0o755)]
    {
        layer = layer.directory(directory, mode);
    }
    layer = layer
        .directory("tmp", 0o1777)
        .directory("usr", 0o755)
        .directory("var", 0o755)
        .file(
            "etc/passwd",
            0o644,
            "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/home:/bin/false\n",
        )
        .file("etc/group", 0o644, "root:x:0:\nusers:x:100:\nnogroup:x:65534:\n");
    Image::of([layer]).set("Cmd", json!(["sh"]))
}

/// Whether a 64-bit ELF file has a program header of type PT_INTERP (elf(5)): it then needs a loader and libraries.
fn has_interpreter(elf: &[u8]) -> bool {
    let number = |at: usize, bytes: usize| {
        elf[at..at + bytes].iter().rev().fold(0_usize, |number, byte| number << 8 | usize::from(*byte))
    };
    let (table, size, count) = (number(32, 8), number(54, 2), number(56, 2));
    (0..count).any(|n| number(table + n * size, 4) == 3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dynamic_program_is_told_from_a_static_one() {
        assert!(has_interpreter(&fs::read("/usr/bin/env").expect("coreutils are installed")));
        assert!(!has_interpreter(&fs::read(BINARY).expect("busybox-static is installed")));
    }
}
