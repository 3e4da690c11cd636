//! The whole network taken back: the host is as it was before the first container.

use crate::bridge::{self, Found};
use crate::check::patiently;
use crate::config::NetworkConfig;
use crate::forwarding;
use crate::host::{self, HostError};
use crate::op::{OpError, step};
use crate::survey::{Known, Standing, survey_leases};
use crate::sys::{self, Hold};
use crate::table::{Table, TableError};

/// Why the network could not be removed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RemoveError {
    /// Containers are on it.
    #[error("network {bridge} is in use by {}", containers.join(", "))]
    InUse {
        /// The bridge.
        bridge: String,
        /// Their ids, or the addresses of those that are only starting.
        containers: Vec<String>,
    },
    /// Bridge or table could not be looked at.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The table could not be removed.
    #[error(transparent)]
    Table(#[from] TableError),
    /// A single operation.
    #[error("could not remove the network")]
    Op(#[from] OpError),
}

/// Puts the host back as it was before the first container: no bridge, no table, no state, forwarding as it was. False where there
/// was neither bridge nor table.
///
/// # Errors
/// [`RemoveError::InUse`] while a container has a lease, or is still on the bridge without its monitor.
pub fn remove_all(config: &NetworkConfig) -> Result<bool, RemoveError> {
    step("See that no container is on the network");
    let (route, state) = host::open(config)?;
    let _alone = sys::lock(&state.lock(), Hold::Alone)?;
    let outlived = |leases: &Vec<Known>| leases.iter().any(|lease| lease.standing == Standing::Outlived);
    let leases = patiently(|| survey_leases(&route, &state), outlived)?;
    nobody(config, &leases)?;
    let found = bridge::find(&route, &config.bridge)?;
    let table = Table::open(&config.bridge)?;
    let has_table = table.comment()?.is_some();
    if has_table {
        step("Take the table of translations away");
        table.delete()?;
    }
    if found != Found::Nothing {
        step("Take the bridge away");
        bridge::delete(&route, &config.bridge)?;
    }
    for lease in leases {
        sys::remove_file(&state.lease(lease.address))?;
    }
    sys::remove_file(&state.cursor())?;
    sys::remove_directory(&state.leases())?;
    sys::remove_directory(&state.bridge)?;
    // What else is here is another bridge's state; forwarding is its too.
    let common = [state.lock(), state.sysctls(), state.sysctls_unfinished()];
    let others = sys::entries(&state.netns)?.iter().any(|name| !common.contains(&state.netns.join(name)));
    if !others {
        forwarding::put_back(&state)?;
        sys::remove_file(&state.sysctls_unfinished())?;
        // Last: who waits for it finds that it has gone, and makes a new one.
        sys::remove_file(&state.lock())?;
        sys::remove_directory(&state.netns)?;
        // Unless other network namespaces have their state there.
        sys::remove_directory_if_empty(&config.state)?;
    }
    Ok(has_table || found != Found::Nothing)
}

/// Whether [`remove_all`] would find anything to take away. Nothing is changed; by the time of an answer it may be another.
///
/// # Errors
/// As [`remove_all`].
pub fn would_remove(config: &NetworkConfig) -> Result<bool, RemoveError> {
    step("See whether a container is on the network");
    let (route, state) = host::open(config)?;
    nobody(config, &survey_leases(&route, &state)?)?;
    let has_table = Table::open(&config.bridge)?.comment()?.is_some();
    Ok(has_table || bridge::find(&route, &config.bridge)? != Found::Nothing)
}

/// No container has a lease.
fn nobody(config: &NetworkConfig, leases: &[Known]) -> Result<(), RemoveError> {
    let name_of = |lease: &Known| {
        lease.record.as_ref().map_or(lease.address.to_string(), |record| record.container.clone())
    };
    let containers: Vec<_> =
        leases.iter().filter(|lease| lease.standing != Standing::Dead).map(name_of).collect();
    match containers.is_empty() {
        true => Ok(()),
        false => Err(RemoveError::InUse { bridge: config.bridge.clone(), containers }),
    }
}
