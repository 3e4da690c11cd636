//! What is expensive to make and the same for every test: made once, kept below the target directory.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crate::namespaces::on_the_machine;

/// Where made things are kept: `MINI_TEST_CACHE`, else beside the build this test binary belongs to.
fn directory() -> PathBuf {
    if let Some(named) = std::env::var_os("MINI_TEST_CACHE") {
        return named.into();
    }
    let exe = std::env::current_exe().expect("the test binary has a path");
    let profile = exe.ancestors().find(|path| path.ends_with("deps")).and_then(Path::parent);
    profile.and_then(Path::parent).expect("test binaries lie in target/PROFILE/deps").join("mini-test-cache")
}

/// The path of the file or directory `name`; made by `make`, which is handed a path to fill, where it does not exist.
///
/// One process makes it while the others wait; what exists under its name is whole, since it is renamed into place.
/// `make` runs in the machine's own namespaces.
pub fn made_once(name: &str, make: impl FnOnce(&Path) + Send) -> PathBuf {
    let directory = directory();
    let finished = directory.join(name);
    if finished.exists() {
        return finished;
    }
    on_the_machine(|| {
        fs::create_dir_all(&directory).expect("make the test cache");
        let lock =
            File::create(directory.join(format!("{name}.lock"))).expect("make a lock in the test cache");
        lock.lock().expect("lock the test cache");
        if !finished.exists() {
            let draft = directory.join(format!("{name}.draft"));
            // A draft is what a killed maker left.
            let _ = fs::remove_dir_all(&draft).or_else(|_| fs::remove_file(&draft));
            make(&draft);
            fs::rename(&draft, &finished).expect("put into the test cache");
        }
    });
    finished
}
