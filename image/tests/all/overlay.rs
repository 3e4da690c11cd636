//! Layers seen as a container sees them: stacked by overlay, in a mount namespace that nobody else sees.

use std::path::{Path, PathBuf};

use rustix::mount::{MountFlags, MountPropagationFlags};

/// Mounts `layers`, topmost first, and gives the mount point to `look`.
pub(crate) fn mounted<T: Send>(layers: &[PathBuf], look: impl FnOnce(&Path) -> T + Send) -> T {
    let directory = tempfile::tempdir().unwrap();
    let [upper, work, merged] = ["upper", "work", "merged"].map(|name| {
        let path = directory.path().join(name);
        std::fs::create_dir(&path).unwrap();
        path
    });
    let lower: Vec<&str> = layers.iter().map(|layer| layer.to_str().unwrap()).collect();
    let options =
        format!("lowerdir={},upperdir={},workdir={}", lower.join(":"), upper.display(), work.display());
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            // A thread may have a mount namespace of its own; it ends with the thread, and its mounts with
            // it.
            nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS).unwrap();
            let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
            rustix::mount::mount_change("/", private).unwrap();
            let options = std::ffi::CString::new(options).unwrap();
            rustix::mount::mount("overlay", &merged, "overlay", MountFlags::empty(), options.as_c_str())
                .unwrap();
            look(&merged)
        });
        thread.join().unwrap()
    })
}
