//! What is looked at to list containers: no more of each than its columns and filters ask for.

use std::cell::{OnceCell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::rc::Rc;

use anyhow::Result;
use network::PortMapping;
use runtime::cgroup::Layout;
use runtime::record::Status;
use runtime::state::Entry;
use serde::Deserialize;

use crate::commands::{filter, pause};
use crate::context::Context;
use crate::health::{Health, HealthStatus};
use crate::own_root;
use crate::plan::NetworkMode;
use crate::plan::health::HealthPlan;
use crate::settings::{AskedFiles, LiveSettings};

/// One look at the host: what all containers share is found out once, when the first one asks.
pub(crate) struct Look<'a> {
    pub(crate) context: &'a Context,
    /// When, ns since 1970.
    pub(crate) now: u64,
    layout: OnceCell<Option<Layout>>,
    store: OnceCell<Option<image::Store>>,
    names: OnceCell<Option<image::Names>>,
    images: RefCell<HashMap<String, Option<Rc<image::Image>>>>,
}

impl<'a> Look<'a> {
    pub(crate) fn new(context: &'a Context, now: u64) -> Look<'a> {
        let (layout, store, names) = (OnceCell::new(), OnceCell::new(), OnceCell::new());
        Look { context, now, layout, store, names, images: RefCell::default() }
    }

    /// A list is printed without images too: a store that cannot be opened has none.
    fn store(&self) -> Option<&image::Store> {
        let open = || image::Store::open_existing(&self.context.dirs.image()).ok().flatten();
        self.store.get_or_init(open).as_ref()
    }

    /// The id of the image that has a name now: `sha256:…`.
    pub(crate) fn image_id(&self, name: &str) -> Option<String> {
        let names = self.names.get_or_init(|| self.store()?.names().ok()).as_ref()?;
        names.id_of(name).map(|id| id.to_string())
    }

    fn image(&self, id: &str) -> Option<Rc<image::Image>> {
        if let Some(known) = self.images.borrow().get(id) {
            return known.clone();
        }
        let image = self.store().and_then(|store| store.image_of_container(id).ok()).map(Rc::new);
        self.images.borrow_mut().insert(id.to_owned(), image.clone());
        image
    }

    /// When a container that a filter names was made, ns since 1970.
    ///
    /// # Errors
    /// There is no such container.
    pub(crate) fn made(&self, word: &str) -> Result<u64> {
        Ok(self.context.state().find(word)?.record.created)
    }
}

/// What lists read of what is kept with a container; every field has a default, so that an older record can be read.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Shown {
    network: Option<NetworkMode>,
    /// Published ports.
    pub(crate) ports: Vec<PortMapping>,
    /// Ports that image and user say it listens on: `80/tcp`.
    pub(crate) exposed: Vec<String>,
    pub(crate) labels: BTreeMap<String, String>,
    /// Volumes as they were asked for.
    binds: Vec<String>,
    health: Option<HealthPlan>,
    request: Option<AskedFiles>,
}

/// A container that may be listed.
#[derive(Clone)]
pub(crate) struct Listed<'a> {
    pub(crate) entry: Entry,
    pub(crate) shown: Shown,
    pub(crate) look: &'a Look<'a>,
    paused: OnceCell<bool>,
}

impl<'a> Listed<'a> {
    pub(crate) fn new(entry: Entry, shown: Shown, look: &'a Look<'a>) -> Listed<'a> {
        Listed { entry, shown, look, paused: OnceCell::new() }
    }

    pub(crate) fn is_running(&self) -> bool {
        matches!(self.entry.status, Status::Running { .. })
    }

    pub(crate) fn is_paused(&self) -> bool {
        let layout = || self.look.layout.get_or_init(|| Layout::detect().ok()).as_ref();
        let look = || layout().is_some_and(|layout| pause::is_paused(self.look.context, layout, &self.entry));
        *self.paused.get_or_init(look)
    }

    /// docker's word for what it does.
    pub(crate) fn state(&self) -> &'static str {
        filter::word(&self.entry.status, self.is_running() && self.is_paused())
    }

    /// What its health checks say of it, where there are any.
    pub(crate) fn health(&self) -> Option<HealthStatus> {
        let health = self.is_running().then(|| Health::of(&self.entry, self.shown.health.as_ref()));
        health.flatten().map(|health| health.status)
    }

    pub(crate) fn network(&self) -> NetworkMode {
        self.shown.network.unwrap_or(NetworkMode::Bridge)
    }

    /// Its addresses, each with the network that it is in.
    pub(crate) fn addresses(&self) -> Vec<(&'static str, String)> {
        let live = self.entry.live.as_ref().filter(|_| self.is_running());
        let live = live.and_then(|live| live.settings.read::<LiveSettings>());
        let endpoint = live.and_then(|live| live.network).map(|attach| attach.endpoint);
        endpoint.map(|endpoint| (self.network().name(), endpoint.address.to_string())).into_iter().collect()
    }

    /// What of the host is shown in it, volumes by their names: source and target.
    pub(crate) fn volumes(&self) -> Vec<(PathBuf, PathBuf)> {
        match self.shown.request.as_ref().and_then(|asked| Some((asked.volumes.as_ref()?, asked))) {
            Some((binds, asked)) => {
                let binds = binds.iter().map(|bind| (bind.source.clone(), bind.target.clone()));
                let volumes = asked.options.storage.volumes.iter();
                let volumes = volumes.map(|volume| ((&volume.name).into(), volume.target.clone()));
                binds.chain(volumes).collect()
            }
            // An older record has them only as they were typed.
            None => {
                let pair = |bind: &String| {
                    let mut parts = bind.split(':').map(PathBuf::from);
                    Some((parts.next()?, parts.next()?))
                };
                self.shown.binds.iter().filter_map(pair).collect()
            }
        }
    }

    /// How many volumes it refers to; directories of the host are none.
    pub(crate) fn volume_count(&self) -> usize {
        self.shown.request.as_ref().map_or(0, |asked| asked.options.storage.referred().count())
    }

    /// Bytes of its own files.
    pub(crate) fn own_size(&self) -> u64 {
        runtime::changes::usage(&own_root::files(&self.entry.dirs.disk))
    }

    /// Bytes of its own files, and of these and its image's together.
    pub(crate) fn sizes(&self) -> (u64, u64) {
        let own = self.own_size();
        let image = self.look.image(&self.entry.record.image_id).map_or(0, |image| image.size);
        // A copy has the image in it already.
        if own_root::is_there(&self.entry.dirs.disk) { (own, own) } else { (own, own + image) }
    }

    /// What its image is made for.
    pub(crate) fn platform(&self) -> Option<image::Platform> {
        let image = self.look.image(&self.entry.record.image_id)?;
        let config = &image.config;
        let (os, architecture) = (config.os().to_string(), config.architecture().to_string());
        Some(image::Platform::new(&os, &architecture, config.variant().as_deref()))
    }
}
