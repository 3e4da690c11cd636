//! IPv4 forwarding: switched on for the first bridge, back to what it was after the last.
//!
//! Writing `ip_forward` resets other settings too (ip-sysctl: "This variable is special, its change resets all
//! configuration parameters to their default state"): in today's kernels `accept_redirects` of `all`, and `forwarding` of every
//! interface. What those were is remembered as well.

use crate::op::{OpError, step};
use crate::state::State;
use crate::sys;

const FORWARD: &str = "net/ipv4/ip_forward";
const REDIRECTS: &str = "net/ipv4/conf/all/accept_redirects";
const INTERFACES: &str = "/proc/sys/net/ipv4/conf";

/// Whether packets are passed on between interfaces.
pub(crate) fn is_on() -> Result<bool, OpError> {
    Ok(sys::sysctl(FORWARD)?.as_deref() == Some("1"))
}

/// Switches it on, having written down what it was.
pub(crate) fn switch_on(state: &State) -> Result<(), OpError> {
    if is_on()? {
        return Ok(());
    }
    step("Remember how the host passed packets on before us");
    // What an earlier start has written is how it was before us; now may be how that start left it.
    if sys::read_path(&state.sysctls())?.is_none() {
        sys::write_whole(&state.sysctls_unfinished(), &state.sysctls(), &settings()?)?;
    }
    step(
        "Let the host pass packets on between its interfaces: containers reach the outside so, and answers come back",
    );
    sys::set_sysctl(FORWARD, "1")
}

/// Puts it back to what was written down, and forgets that.
pub(crate) fn put_back(state: &State) -> Result<(), OpError> {
    let Some(before) = sys::read_path(&state.sysctls())? else { return Ok(()) };
    step("Pass packets on as it was before us");
    for (name, value) in before.lines().filter_map(|line| line.split_once(' ')) {
        sys::set_sysctl(name, value)?;
    }
    sys::remove_file(&state.sysctls())
}

/// One setting a line, in the order in which they are to be written: `ip_forward` resets the others.
fn settings() -> Result<String, OpError> {
    let mut names = vec![FORWARD.to_owned(), REDIRECTS.to_owned()];
    for interface in sys::entries(INTERFACES.as_ref())?.iter().filter(|name| *name != "all") {
        names.push(format!("net/ipv4/conf/{interface}/forwarding"));
    }
    let mut text = String::new();
    for name in names {
        // An interface may be gone by now.
        let Some(value) = sys::sysctl(&name)? else { continue };
        // What `ip_forward 0` makes of them by itself needs no line.
        if !(name.ends_with("/forwarding") && value == "0") {
            text.push_str(&format!("{name} {value}\n"));
        }
    }
    Ok(text)
}
