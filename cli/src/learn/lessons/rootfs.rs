//! Root: what chroot(2) lets through and pivot_root(2) does not.

use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use anyhow::Result;
use runtime::sys;
use runtime::sys::mount;
use runtime::sys::ns::Kinds;

use crate::learn::lab::{Lab, Life, View, make_dir};
use crate::learn::lesson::{Act, Lesson, Look, Verdict, no_machine};

const ROOT: &str = "/tmp/new_root";
/// A file that says which root one is in.
const MARK: &str = "/tmp/new_root/inside";
/// More directories than any path here has.
const DEEP: u32 = 16;

pub(crate) const LESSON: Lesson = Lesson {
    key: "rootfs",
    acts: &[
        Act {
            lines: |_| build_lines(),
            perform: build,
            done: Some(|lab| Ok(!lab.see_outside(&|_: &View| list(ROOT))?.is_empty())),
        },
        Act { lines: |_| pivot_lines(), perform: pivot, done: None },
    ],
    looks: &[
        Look { command: "ls /proc/$PID/root", read: own_root },
        Look { command: "nsenter --mount --target $PID ls /", read: |_| list("/") },
    ],
    broken: Act {
        lines: |_| vec![format!("chroot {ROOT} /bin/busybox sleep 1000 &")],
        perform: |lab| {
            lab.contain(Kinds::empty(), Life::Sleep, &|| {
                mount::change_root(Path::new(ROOT))?;
                break_out()
            })
        },
        done: None,
    },
    fixed: Act { lines: |_| pivot_lines(), perform: pivot, done: None },
    outside: Lab::keeper,
    inside: |lab| lab.isolated("mnt").or_else(|| lab.youngest()),
    check,
    machine: no_machine,
};

fn build_lines() -> Vec<String> {
    vec![format!("mkdir -p {ROOT}/bin; echo inside >{MARK}"), format!("cp $(command -v busybox) {ROOT}/bin/")]
}

fn pivot_lines() -> Vec<String> {
    vec![format!(
        "unshare --mount sh -c 'mount --bind {ROOT} {ROOT}; cd {ROOT}; pivot_root . .; exec /bin/busybox sh -c \"umount -l .; exec /bin/busybox sleep 1000\"' &"
    )]
}

/// A directory that will be a root: with a static busybox, where this machine has one, for students who want a shell there.
fn build(lab: &Lab) -> Result<()> {
    lab.outside(&|| {
        make_dir(Path::new(ROOT))?;
        make_dir(&Path::new(ROOT).join("bin"))?;
        sys::fs::write_for(Path::new(MARK), b"inside\n", 0o644, 0, 0)?;
        let busybox = ["/bin/busybox", "/usr/bin/busybox"].iter().find_map(|path| std::fs::read(path).ok());
        if let Some(busybox) = busybox {
            sys::fs::write_for(&Path::new(ROOT).join("bin/busybox"), &busybox, 0o755, 0, 0)?;
        }
        Ok(())
    })
}

/// What mini does for every container: a mount becomes the root, and the old root is let go of.
fn pivot(lab: &Lab) -> Result<()> {
    lab.contain(Kinds::MOUNT, Life::Sleep, &|| {
        mount::make_private()?;
        let root = Path::new(ROOT);
        let tree = mount::clone_tree(sys::fs::open_path_following(root)?.as_fd(), Path::new(""), false)?;
        mount::place(tree.as_fd(), sys::fs::open_path_following(root)?.as_fd(), root)?;
        sys::process::change_dir(root)?;
        mount::pivot_root()?;
        mount::detach_old_root()?;
        break_out()
    })
}

/// The old way out of chroot(2): make another root further down while the working directory stays above it, climb, and make
/// the place where that ends the root.
fn break_out() -> Result<()> {
    make_dir(Path::new("/further"))?;
    mount::change_root(Path::new("/further"))?;
    for _ in 0..DEEP {
        // Not told sixteen times.
        rustix::process::chdir("..")?;
    }
    Ok(mount::change_root(Path::new("."))?)
}

fn own_root(view: &View) -> String {
    view.list("root")
}

/// What is in a directory, in one line.
fn list(path: &str) -> String {
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    let mut names: Vec<String> =
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names.join(" ")
}

/// Device and inode of a directory: which one it is, however it is reached.
fn identity(path: &str) -> Option<(u64, u64)> {
    std::fs::metadata(path).ok().map(|meta| (meta.dev(), meta.ino()))
}

fn check(lab: &Lab) -> Result<Verdict> {
    let Some(pid) = lab.isolated("mnt").or_else(|| lab.youngest()) else { return Ok(Verdict::nothing()) };
    let told = |root: Option<(u64, u64)>| format!("{root:?}");
    let own = told(identity(&format!("/proc/{pid}/root/")));
    let lab_root = told(identity(&format!("/proc/{}/root/", lab.keeper())));
    // Who joins a mount namespace gets the root of the namespace, not that of a process in it (setns(2)).
    let namespace = lab.see(pid, &|_: &View| format!("{:?}", identity("/")))?;
    Ok(judge(&own, &namespace, &lab_root))
}

/// Which directory is the root: of the process, of its mount namespace, of the lab. PURE.
fn judge(own: &str, namespace: &str, lab: &str) -> Verdict {
    match (own != lab, namespace != lab) {
        (true, true) if own == namespace => Verdict::holds(Vec::new()),
        _ => Verdict::leaks(Vec::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::lesson::State;

    #[test]
    fn both_roots_have_to_be_the_new_one() {
        for (own, namespace, state) in [
            ("new", "new", State::Holds),
            ("new", "lab", State::Leaks), // chroot
            ("lab", "lab", State::Leaks), // chroot, broken out of
            ("further", "new", State::Leaks),
        ] {
            assert_eq!(judge(own, namespace, "lab").state, state, "{own} {namespace}");
        }
    }
}
