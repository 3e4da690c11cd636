//! An address for a container: a file named like it, with a lock that lives as long as whoever holds it.
//!
//! Nothing has to be given back: the lock vanishes with the monitor. The search begins behind the address leased last, so the
//! first one tried is nearly always free, however many containers run, and one just given back is not soon another's.

use std::fs::File;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use ipnet::Ipv4Net;

use crate::address;
use crate::bridge::{self, Found};
use crate::check;
use crate::config::NetworkConfig;
use crate::host::{self, Host, HostError};
use crate::op::{OpError, step};
use crate::plan::{AttachPlan, Endpoint};
use crate::ports::PortMapping;
use crate::record::{Record, one_line};
use crate::state::State;
use crate::survey::{Standing, standing_without_lock};
use crate::sys::{self, Hold};
use crate::table::Table;

/// An address that is the container's while this value lives, here or in a process forked from this one.
///
/// Dropping it closes this process's descriptors only; the last ones to go free the address. Closing the very last one of them
/// may take 10 ms after ports were taken back: whoever has somebody waiting drops it later.
#[derive(Debug)]
pub struct Lease {
    /// What the container's `eth0` gets.
    pub endpoint: Endpoint,
    pub(crate) config: NetworkConfig,
    pub(crate) state: State,
    pub(crate) table: Table,
    // Held for its lock; the file is gone once the address has been given back.
    file: Option<File>,
}

/// Why there is no address.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LeaseError {
    /// Every address is some container's.
    #[error("all {count} addresses of {subnet} are leased")]
    Exhausted {
        /// The bridge's subnet.
        subnet: Ipv4Net,
        /// How many containers it has room for.
        count: usize,
    },
    /// Bridge, forwarding or table.
    #[error(transparent)]
    Host(#[from] HostError),
    /// A lease's file.
    #[error("could not lease an address")]
    Op(#[from] OpError),
}

impl Lease {
    /// What holds the address, for a process that becomes another program and goes on there with [`Lease::inherit`].
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.file.as_ref().map(AsFd::as_fd)
    }

    /// The bridge that it is of.
    pub fn config(&self) -> &NetworkConfig {
        &self.config
    }

    /// The lease that a descriptor holds.
    ///
    /// # Errors
    /// No netlink socket can be made.
    pub fn inherit(
        config: NetworkConfig,
        endpoint: Endpoint,
        descriptor: OwnedFd,
    ) -> Result<Self, HostError> {
        let (_, state) = host::open(&config)?;
        let table = Table::open(&config.bridge)?;
        Ok(Self { endpoint, config, state, table, file: Some(descriptor.into()) })
    }

    /// Takes the container's card away, before its address is given back: for a network namespace that lives on because others
    /// have joined it. It takes 25 ms, which [`Lease::detach`] spares where the namespace dies with the container.
    ///
    /// # Errors
    /// The kernel's.
    pub fn unplug(&self, plan: &AttachPlan) -> Result<(), OpError> {
        step("Others still use the container's network namespace: take its card away with its address");
        bridge::delete(&host::open_route()?, &plan.veth)
    }

    /// Gives the address back and leaves no file behind; without this the file stays, and is found and used again.
    ///
    /// # Errors
    /// The file could not be removed. The address is free all the same.
    pub fn release(mut self) -> Result<(), OpError> {
        step("Give the address back");
        let _shared = sys::lock(&self.state.lock(), Hold::Shared)?;
        self.give_back()
    }

    /// For a caller that holds the lock of the state. A second time there is nothing to give.
    pub(crate) fn give_back(&mut self) -> Result<(), OpError> {
        // The file goes before its lock: who finds it without one takes it for a killed monitor's.
        match self.file.take() {
            None => Ok(()),
            Some(_locked) => sys::remove_file(&self.state.lease(self.endpoint.address)),
        }
    }
}

/// Makes the host ready (about 50 µs when it is) and takes a free address for the container.
///
/// `ports` are written into the lease, so that the table can be made whole after something has flushed it.
///
/// # Errors
/// [`LeaseError::Exhausted`], or what kept the host from being ready.
pub fn lease(config: &NetworkConfig, container: &str, ports: &[PortMapping]) -> Result<Lease, LeaseError> {
    let record =
        Record { container: container.to_owned(), owner: one_line(&config.owner), ports: ports.to_vec() };
    let mut host = host::ready(config)?;
    step("Lease a free address: a file with a lock that lives as long as the monitor");
    let mut swept = false;
    loop {
        match search(&host, &record, swept)? {
            Search::Found(address, file) => {
                let endpoint = Endpoint::new(&config.bridge, host.bridge.index, host.bridge.gateway, address);
                let Host { state, table, .. } = host;
                return Ok(Lease { endpoint, config: config.clone(), state, table, file: Some(file) });
            }
            Search::Full => {
                let subnet = host.bridge.gateway.trunc();
                return Err(LeaseError::Exhausted {
                    subnet,
                    count: address::rotation(host.bridge.gateway, None).count(),
                });
            }
            Search::Leftover => {
                // Ports may still lead to that address. Clearing up needs the lock alone.
                drop(host);
                check::sweep(config)?;
                swept = true;
                host = host::ready(config)?;
            }
        }
    }
}

/// What a lease would be now, for a dry run: takes nothing and makes nothing.
///
/// # Errors
/// As [`lease`], as far as looking goes.
pub fn foresee(config: &NetworkConfig) -> Result<Endpoint, LeaseError> {
    let (route, state) = host::open(config)?;
    let (index, gateway) = match bridge::find(&route, &config.bridge)? {
        Found::Ready(bridge) => (bridge.index, bridge.gateway),
        Found::Unfinished(index, Some(gateway)) => (index, gateway),
        Found::Unfinished(index, None) => (index, bridge::choose(&route, config)?),
        Found::Nothing => (0, bridge::choose(&route, config)?),
    };
    let taken = sys::entries(&state.leases())?;
    let last = sys::read_path(&state.cursor())?.and_then(|text| text.trim().parse().ok());
    let mut free = address::rotation(gateway, last).filter(|address| !taken.contains(&address.to_string()));
    let full =
        || LeaseError::Exhausted { subnet: gateway.trunc(), count: address::rotation(gateway, None).count() };
    free.next().map(|address| Endpoint::new(&config.bridge, index, gateway, address)).ok_or_else(full)
}

enum Search {
    Found(Ipv4Addr, File),
    /// A killed monitor's lease stands in the way.
    Leftover,
    Full,
}

fn search(host: &Host, record: &Record, swept: bool) -> Result<Search, LeaseError> {
    let cursor_path = host.state.cursor();
    let (cursor, last) = sys::open_cursor(&cursor_path)?;
    for address in address::rotation(host.bridge.gateway, last.trim().parse().ok()) {
        let path = host.state.lease(address);
        let Some((file, text)) = sys::try_lock(&path)? else { continue };
        // What makes no record was not finished, and had not come to publish anything.
        if let Some(left) = Record::parse(&text) {
            match standing_without_lock(&host.route, &left)? {
                Standing::Dead if !swept => return Ok(Search::Leftover),
                _ => continue,
            }
        }
        sys::write(&file, &path, &record.to_string())?;
        // Two starts at once may write one over the other: it is where the next search begins, no more.
        sys::write_cursor(&cursor, &cursor_path, &format!("{address:<15}\n"))?;
        return Ok(Search::Found(address, file));
    }
    Ok(Search::Full)
}
