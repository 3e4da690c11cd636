//! What every command needs: where things are, how the host is configured, whether the story is told.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use runtime::record::Record;
use runtime::state::State;
use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::dirs::Dirs;
use crate::events::{Event, Journal};
use crate::explain::{self, Form, Story};
use crate::plan::Request;
use crate::rootfs;
use crate::settings::Settings;
use crate::{output, own_root};

/// Made once, before a command runs; a monitor keeps its own.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Context {
    pub(crate) dirs: Dirs,
    pub(crate) config: Config,
}

impl Context {
    /// Reads the configuration; mini needs root.
    ///
    /// # Errors
    /// A configuration that makes no sense; a user who is not root.
    pub(crate) fn new(dirs: Dirs) -> Result<Context> {
        if !rustix::process::geteuid().is_root() {
            return Err(crate::error::NotRoot.into());
        }
        Ok(Context { dirs, config: Config::load()? })
    }

    /// Containers.
    pub(crate) fn state(&self) -> State {
        self.dirs.state()
    }

    /// Images.
    ///
    /// # Errors
    /// Where the store cannot be opened.
    pub(crate) fn store(&self) -> Result<image::Store> {
        let (store, is_new) =
            image::Store::open_or_make(&self.dirs.image()).context("cannot open the image store")?;
        if is_new && store.keeping() == image::Keeping::Copied {
            output::say(&format!("mini: {}", own_root::NOTICE));
        }
        Ok(store)
    }

    /// The image store, for what may change nothing: where there is none, there is no image either.
    pub(crate) fn existing_store(&self, image: &str) -> Result<image::Store> {
        let store = image::Store::open_existing(&self.dirs.image()).context("cannot open the image store")?;
        store.ok_or_else(|| image::ResolveError::NotFound(image.to_owned()).into())
    }

    /// The network of containers that ask for no other.
    pub(crate) fn network(&self) -> network::NetworkConfig {
        network::NetworkConfig {
            bridge: self.config.network.bridge.clone(),
            subnet: self.config.network.subnet,
            state: self.dirs.network(),
            owner: self.dirs.root.display().to_string(),
        }
    }

    /// What happened.
    pub(crate) fn journal(&self) -> Journal {
        Journal::new(self.dirs.events())
    }

    /// Something has happened to a container, that `mini events` shows.
    pub(crate) fn happened(&self, action: &str, record: &Record) {
        self.journal().record(&[Event::container(action, record)]);
    }

    /// Begins to tell the story, where `form` asks for it or somebody steps through.
    ///
    /// # Errors
    /// Where no pipe can be made.
    pub(crate) fn listen(&self, form: Option<Form>) -> Result<Option<Story>> {
        explain::begin(form)
    }

    /// All host ids that any container may get.
    pub(crate) fn id_block(&self) -> [runtime::plan::IdMap; 1] {
        let crate::config::IdsConfig { base, count } = self.config.ids;
        [runtime::plan::IdMap { container: 0, host: base, size: count }]
    }

    /// The control group of a container: where it was put when it was made or last started, whatever is configured now.
    pub(crate) fn group(&self, record: &Record) -> PathBuf {
        match record.cgroup.as_os_str().is_empty() {
            true => Path::new(&self.config.cgroup.parent).join(&record.id),
            false => record.cgroup.clone(),
        }
    }

    /// The group in which a container gets its own.
    pub(crate) fn cgroup_parent(&self, request: &Request) -> PathBuf {
        let own = request.options.resources.cgroup_parent.clone();
        own.unwrap_or_else(|| PathBuf::from(&self.config.cgroup.parent))
    }

    /// The group in which detached monitors live.
    pub(crate) fn monitor_group(&self) -> PathBuf {
        Path::new(&self.config.cgroup.parent).join("monitor")
    }

    /// A container goes: its image was used until it ended. `image prune` asks for that, and nobody else.
    pub(crate) fn image_was_used(&self, record: &Record) {
        let Ok(id) = record.image_id.parse() else { return };
        if let Ok(Some(store)) = image::Store::open_existing(&self.dirs.image()) {
            // A disk that takes no more, or another mini's store: what is not written down is younger than it seems at most.
            let _unwritten = store.used(id, record.last_used());
        }
    }

    /// Containers have gone, and with them images that were removed before and kept for them alone. The caller holds no pin.
    pub(crate) fn let_images_go(&self) {
        if let Ok(Some(store)) = image::Store::open_existing(&self.dirs.image()) {
            let uses = crate::commands::rmi::users(self);
            // What stays goes with the next image that is removed.
            let _left = store.let_go(&|id| uses(id));
        }
    }

    /// The image that a container was made of, and kept from removal until the pin is dropped; or its directory.
    ///
    /// # Errors
    /// Where it is not here any more.
    pub(crate) fn image_of(&self, record: &Record) -> Result<(image::Image, image::Pin)> {
        let store = self.store()?;
        let pin = store.pin().context("cannot hold the image store")?;
        let request = Settings::of(record).request;
        if let Some(directory) = request.as_ref().and_then(|request| request.options.origin.rootfs.as_ref()) {
            return Ok((rootfs::image_of(directory)?, pin));
        }
        let image = match store.image_of_container(&record.image_id) {
            Err(error @ image::ResolveError::NotFound(_)) => {
                let what = format!("the image {} that it was made of is not here any more", record.image);
                return Err(anyhow::Error::new(error).context(what));
            }
            found => found?,
        };
        Ok((image, pin))
    }
}
