//! Which containers refer to which volumes, and what becomes of volumes when a container goes.

use std::collections::BTreeMap;

use anyhow::Result;
use runtime::record::Record;
use runtime::state::{Entry, State};

use super::{InUse, Store, Volume};
use crate::context::Context;
use crate::events::Event;
use crate::plan::storage::VolumeMount;
use crate::settings::Stores;

/// Containers by the volumes that they refer to.
#[derive(Debug, Default)]
pub(crate) struct Users(BTreeMap<String, Vec<User>>);

/// A container that refers to a volume.
#[derive(Debug)]
struct User {
    id: String,
    name: String,
    /// Its image's files are what the volume begins with.
    fills: bool,
}

impl Users {
    /// Asks every record.
    ///
    /// # Errors
    /// Where one is of a newer mini.
    pub(crate) fn of(state: &State) -> Result<Users> {
        Users::but(state, |_| false)
    }

    /// The same, without containers that are as good as gone, told by their ids.
    ///
    /// # Errors
    /// As [`Users::of`].
    pub(crate) fn but(state: &State, has_gone: impl Fn(&str) -> bool) -> Result<Users> {
        let mut entries = state.list()?;
        entries.retain(|entry| !has_gone(&entry.record.id));
        Ok(Users::among(&entries))
    }

    fn among(entries: &[Entry]) -> Users {
        let mut users: BTreeMap<String, Vec<User>> = BTreeMap::new();
        for Entry { record, .. } in entries {
            for volume in volumes_of(record) {
                let fills = !volume.no_copy && volume.subpath.is_none();
                let user = User { id: record.id.clone(), name: record.name.clone(), fills };
                users.entry(volume.name).or_default().push(user);
            }
        }
        Users(users)
    }

    /// Whether any container refers to it.
    pub(crate) fn has(&self, volume: &str) -> bool {
        self.0.contains_key(volume)
    }

    /// How many containers refer to it.
    pub(crate) fn count(&self, volume: &str) -> usize {
        self.0.get(volume).map_or(0, Vec::len)
    }

    /// Whether any container but this one refers to it.
    pub(crate) fn has_others(&self, volume: &str, id: &str) -> bool {
        self.0.get(volume).is_some_and(|users| users.iter().any(|user| user.id != id))
    }

    /// Whether a container's image is what it begins with.
    pub(crate) fn fills(&self, volume: &str) -> bool {
        self.0.get(volume).is_some_and(|users| users.iter().any(|user| user.fills))
    }

    /// Nobody refers to it.
    ///
    /// # Errors
    /// [`InUse`], which names who does.
    pub(crate) fn nobody(&self, volume: &Volume) -> Result<(), InUse> {
        match self.0.get(&volume.record.name) {
            None => Ok(()),
            Some(users) => {
                let mut shown: Vec<String> =
                    users.iter().map(|user| format!("{} ({})", user.name, &user.id[..12])).collect();
                shown.dedup();
                Err(InUse { name: volume.record.name.clone(), containers: shown.join(", ") })
            }
        }
    }
}

/// The volumes that a container refers to. No more is read of its record.
pub(crate) fn volumes_of(record: &Record) -> Vec<VolumeMount> {
    let stores: Stores = record.settings.read().unwrap_or_default();
    let storage = stores.request.unwrap_or_default().options.storage;
    storage.referred().cloned().collect()
}

/// Makes the volumes vanish that were made for a container which is being removed, as far as no other one refers to them. Done
/// before the container is forgotten: a volume without a name of which no record tells belongs to nobody for ever.
///
/// # Errors
/// What the kernel answered.
pub(crate) fn take_away_with(context: &Context, record: &Record) -> Result<()> {
    let mut volumes = volumes_of(record);
    volumes.retain(|volume| volume.anonymous);
    if volumes.is_empty() {
        return Ok(());
    }
    let store = Store::new(&context.dirs.root);
    let _alone = store.lock()?;
    let users = Users::of(&context.state())?;
    for volume in volumes {
        if let Some(there) = store.get(&volume.name)?
            && !users.has_others(&volume.name, &record.id)
        {
            store.take_away(&there)?;
        }
    }
    Ok(())
}

/// What [`take_away_with`] made vanish, for `mini events`.
pub(crate) fn gone_with(context: &Context, record: &Record) -> Vec<Event> {
    let gone = names_gone(&Store::new(&context.dirs.root), record);
    gone.iter().map(|name| Event::volume("destroy", name)).collect()
}

/// Removes the files of what [`take_away_with`] made vanish. Nobody waits for that.
///
/// # Errors
/// What the kernel answered.
pub(crate) fn remove_gone(context: &Context, record: &Record) -> Result<()> {
    let store = Store::new(&context.dirs.root);
    names_gone(&store, record).iter().try_for_each(|name| store.remove_gone(name))
}

fn names_gone(store: &Store, record: &Record) -> Vec<String> {
    let anonymous = volumes_of(record).into_iter().filter(|volume| volume.anonymous);
    anonymous.map(|volume| volume.name).filter(|name| store.has_gone(name)).collect()
}
