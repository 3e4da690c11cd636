//! What belongs to no live container, found and put right.

use std::time::{Duration, Instant};

use crate::bridge::{self, Found};
use crate::config::NetworkConfig;
use crate::host::{self, Content, HostError, Look};
use crate::judge::{Finding, Survey, What, incomplete, judge};
use crate::links::{self, Link};
use crate::nat::Element;
use crate::netlink::Socket;
use crate::op::{Op, OpError, step};
use crate::plan::container_of;
use crate::state::State;
use crate::survey::survey_leases;
use crate::sys::{self, Hold};
use crate::table::{Table, TableError};

/// Why the check came to an end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckError {
    /// Bridge, forwarding or table.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The table's elements.
    #[error(transparent)]
    Table(#[from] TableError),
    /// A single operation.
    #[error("could not check the network")]
    Op(#[from] OpError),
}

/// Looks for leases, published ports and veths without a live container, and for what live ones miss; repairs them if told to.
///
/// `live` is asked only about containers of this config's owner that have no monitor any more but a network still: with the
/// id, or with its first ten digits where only a veth's name is left.
///
/// # Errors
/// What could not be looked at or repaired; findings repaired before that stay repaired.
pub fn check(
    config: &NetworkConfig,
    live: &dyn Fn(&str) -> bool,
    repair: bool,
) -> Result<Vec<Finding>, CheckError> {
    step("Compare leases, published ports and veths with the containers that live");
    let (route, state) = host::open(config)?;
    let table = Table::open(&config.bridge)?;
    if host::look(config, &route, &table)?.is_nothing() && sys::read_path(&state.lock())?.is_none() {
        // No container was ever here: nothing is made for looking.
        return Ok(Vec::new());
    }
    let _alone = sys::lock(&state.lock(), Hold::Alone)?;
    let look = host::look(config, &route, &table)?;
    let suspects = |seen: &Survey| {
        judge(seen, &config.owner, live).iter().any(|what| matches!(what, What::StaleVeth { .. }))
    };
    let mut seen = patiently(|| Survey::take(config, &route, &table, &state, &look), suspects)?;
    let mut findings = Vec::new();
    if let Some(missing) = incomplete(&look, &seen.leases) {
        if repair {
            host::make(config, &route, &table, &state)?;
            seen.elements = table.elements()?;
        }
        findings.push(Finding { what: What::Incomplete { missing }, repaired: repair });
    }
    for what in judge(&seen, &config.owner, live) {
        if repair {
            put_right(&route, &table, &state, &what)?;
        }
        findings.push(Finding { what, repaired: repair });
    }
    Ok(findings)
}

/// Removes what killed monitors have left, for a start that came upon it.
pub(crate) fn sweep(config: &NetworkConfig) -> Result<(), HostError> {
    step("Clear away what a killed monitor has left");
    let (route, state) = host::open(config)?;
    let table = Table::open(&config.bridge)?;
    let _alone = sys::lock(&state.lock(), Hold::Alone)?;
    let look = host::look(config, &route, &table)?;
    let seen = Survey::take(config, &route, &table, &state, &look)?;
    for what in judge(&seen, &config.owner, &|_| true) {
        if matches!(what, What::StaleLease { .. } | What::StalePort { .. }) {
            put_right(&route, &table, &state, &what)?;
        }
    }
    Ok(())
}

fn put_right(route: &Socket, table: &Table, state: &State, what: &What) -> Result<(), HostError> {
    match what {
        What::StaleLease { address, .. } => sys::remove_file(&state.lease(*address))?,
        What::StaleVeth { name, .. } => bridge::delete(route, name)?,
        What::StalePort { host_ip, host_port, to } => {
            let element = Element { host_ip: *host_ip, host_port: *host_port, to: *to };
            table.take(&[element])?;
        }
        What::MissingPort { address, port, .. } => {
            table.add(&[Element::new(port, *address)])?;
        }
        // Repaired before: it comes first.
        What::Incomplete { .. } => {}
    }
    Ok(())
}

impl Survey {
    pub(crate) fn take(
        config: &NetworkConfig,
        route: &Socket,
        table: &Table,
        state: &State,
        look: &Look,
    ) -> Result<Self, HostError> {
        let leases = survey_leases(route, state)?;
        let elements = if look.table == Content::Nothing { Vec::new() } else { table.elements()? };
        let veths = match look.found {
            Found::Nothing => Vec::new(),
            Found::Unfinished(index, _) => veths_on(route, index, &config.bridge)?,
            Found::Ready(bridge) => veths_on(route, bridge.index, &config.bridge)?,
        };
        Ok(Self { leases, elements, veths })
    }
}

fn veths_on(route: &Socket, index: u32, bridge: &str) -> Result<Vec<String>, OpError> {
    let call = format_args!("sendto(rtnetlink, RTM_GETLINK{{dump, master {bridge}}})");
    let answers = Op { call, shell: format_args!("ip link show master {bridge}") }
        .perform(|| route.ask(&links::links_on(index)))?;
    let links = answers.iter().filter_map(|answer| links::read_link(answer));
    let ours =
        |link: &Link| link.master == Some(index) && link.kind == "veth" && container_of(&link.name).is_some();
    Ok(links.filter(|link| ours(link) && !link.dying).map(|link| link.name).collect())
}

/// Looks again for a while, if what was seen may be about to go: a network namespace dies some time after its last process,
/// when the kernel has let go of the last socket in it (an RCU grace period), and its links die with it.
pub(crate) fn patiently<T, E>(
    mut look: impl FnMut() -> Result<T, E>,
    may_be_going: impl Fn(&T) -> bool,
) -> Result<T, E> {
    const PATIENCE: Duration = Duration::from_millis(500);
    let began = Instant::now();
    loop {
        let seen = look()?;
        if !may_be_going(&seen) || began.elapsed() > PATIENCE {
            return Ok(seen);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}
