//! A disk of a test's own: a block device whose content is a file of the host's, taken away again at the end of the scope.

use std::fs::{self, File};
use std::os::linux::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Host;

/// A loop device.
#[derive(Debug)]
pub struct Loopback {
    path: PathBuf,
}

impl Loopback {
    /// A disk of `bytes` bytes.
    #[track_caller]
    pub fn new(host: &Host, bytes: u64) -> Self {
        let file = host.work().join("disk");
        File::create(&file).and_then(|file| file.set_len(bytes)).expect("make the disk's file");
        let path = host.tool("losetup", ["--find", "--show", file.to_str().expect("UTF-8")]);
        Self { path: path.trim().into() }
    }

    /// `/dev/loop3`
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The same as text.
    pub fn name(&self) -> &str {
        self.path.to_str().expect("UTF-8")
    }

    /// `7:3`, as control groups name it.
    pub fn numbers(&self) -> String {
        let device = fs::metadata(&self.path).expect("stat the disk").st_rdev();
        format!("{}:{}", rustix::fs::major(device), rustix::fs::minor(device))
    }
}

impl Drop for Loopback {
    fn drop(&mut self) {
        // Where it is still in use it goes with its last user.
        let _ = Command::new("losetup").arg("--detach").arg(&self.path).status();
    }
}
