//! A store for one test, and ways to look at what is in it.

use std::fs::File;
use std::io::{Seek, Write};
use std::path::{Path, PathBuf};

use image::{Again, Check, Digest, Fetch, Finding, Image, LoadError, LoadOptions, Loaded, Store, Use};

use crate::archive::docker_archive;

/// A store in a temporary directory.
pub(crate) struct TestStore {
    pub(crate) store: Store,
    pub(crate) root: PathBuf,
    _directory: tempfile::TempDir,
}

impl TestStore {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("image");
        Self { store: Store::open(&root).unwrap(), root, _directory: directory }
    }

    pub(crate) fn load(&self, archive: &[u8]) -> Result<Vec<Loaded>, LoadError> {
        image::load(&self.store, file(archive), &LoadOptions::default(), &|_| ())
    }

    /// Loads one image made of these layers.
    pub(crate) fn load_layers(&self, layers: &[Vec<u8>]) -> Result<Image, LoadError> {
        let loaded = self.load(&docker_archive(layers, &["test:latest"]))?;
        Ok(self.store.resolve(&loaded[0].id.to_string()).unwrap())
    }

    /// What a check finds; no registry can be asked.
    pub(crate) fn check(&self, repair: bool, in_use: &dyn Fn(&Digest) -> Option<Use>) -> Vec<Finding> {
        let fetch = |_: &Again<'_>| Err("there is no registry".to_owned());
        let repair = repair.then_some(&fetch as &Fetch<'_>);
        self.store.check(&Check { deep: false, in_use, repair }).unwrap()
    }

    /// Every file below the store's root, for comparing.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let mut files = Vec::new();
        let mut directories = vec![self.root.clone()];
        while let Some(directory) = directories.pop() {
            for entry in std::fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                if path.symlink_metadata().unwrap().is_dir() {
                    directories.push(path.clone());
                }
                files.push(path.strip_prefix(&self.root).unwrap().to_owned());
            }
        }
        files.sort();
        files
    }
}

/// A nameless file with this content, at its beginning.
pub(crate) fn file(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file.rewind().unwrap();
    file
}

/// An error with all its causes.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// The content of a file of a layer.
pub(crate) fn read(tree: &Path, name: &str) -> String {
    std::fs::read_to_string(tree.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}
