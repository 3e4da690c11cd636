//! All leases of a bridge, and which of them mean something: asked when a table is made again, and by `check`.

use std::net::Ipv4Addr;

use crate::bridge::link_named;
use crate::nat::Element;
use crate::netlink::Socket;
use crate::op::OpError;
use crate::plan::veth_of;
use crate::record::Record;
use crate::state::State;
use crate::sys::{self, Locked};

/// A lease's file, and whether anybody stands behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) address: Ipv4Addr,
    /// `None`: what the file says makes no sense.
    pub(crate) record: Option<Record>,
    pub(crate) standing: Standing,
}

/// Who stands behind a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Its monitor lives: the lock is held.
    Held,
    /// Nobody holds the lock, but the container's network is there: it got rid of its monitor.
    Outlived,
    /// Nobody and nothing: killed before it could give the address back.
    Dead,
}

impl Known {
    /// The ports that lead to this container, as elements of the table.
    pub(crate) fn elements(&self) -> Vec<Element> {
        let ports =
            self.record.iter().filter(|_| self.standing != Standing::Dead).flat_map(|record| &record.ports);
        ports.map(|port| Element::new(port, self.address)).collect()
    }
}

/// Looks at every lease. The caller holds the lock alone: nobody takes or gives back a lease meanwhile.
pub(crate) fn survey_leases(route: &Socket, state: &State) -> Result<Vec<Known>, OpError> {
    let mut leases = Vec::new();
    for name in sys::entries(&state.leases())? {
        let Ok(address) = name.parse() else { continue };
        let path = state.lease(address);
        let (record, standing) = match sys::try_lock_existing(&path)? {
            Locked::Gone => continue,
            Locked::Held => (sys::read_path(&path)?.and_then(|text| Record::parse(&text)), Standing::Held),
            Locked::Now(_lock, text) => match Record::parse(&text) {
                None => (None, Standing::Dead),
                Some(record) => {
                    let standing = standing_without_lock(route, &record)?;
                    (Some(record), standing)
                }
            },
        };
        leases.push(Known { address, record, standing });
    }
    leases.sort_by_key(|lease| lease.address);
    Ok(leases)
}

/// Nobody holds the lock: is the container's network still there?
pub(crate) fn standing_without_lock(route: &Socket, record: &Record) -> Result<Standing, OpError> {
    let veth = link_named(route, &veth_of(&record.container))?.filter(|veth| !veth.dying);
    Ok(if veth.is_some() { Standing::Outlived } else { Standing::Dead })
}
