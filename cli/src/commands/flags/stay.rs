//! How somebody stays with a container: what `run`, `start`, `attach` and `exec` have in common.

use anyhow::{Context as _, Result};

use crate::context::Context;
use crate::detach::Keys;
use crate::plan::stdio::Attach;
use crate::session::Stay;

/// What is said of it.
#[derive(Debug, clap::Args)]
pub(crate) struct StayArgs {
    #[command(flatten)]
    keys: KeysArgs,
    /// Pass the signals that would end mini on to the container
    #[arg(
        long,
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_value = "true",
        default_missing_value = "true",
        action = clap::ArgAction::Set
    )]
    sig_proxy: bool,
}

impl Default for StayArgs {
    fn default() -> StayArgs {
        StayArgs { keys: KeysArgs::default(), sig_proxy: true }
    }
}

/// The keys that leave a program alone.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct KeysArgs {
    /// The keys that leave it alone [default: ctrl-p,ctrl-q]
    #[arg(long, value_name = "KEYS")]
    detach_keys: Option<String>,
}

impl StayArgs {
    /// With these streams of a container.
    ///
    /// # Errors
    /// Keys that are none.
    pub(crate) fn stay(&self, context: &Context, streams: Attach, terminal: bool) -> Result<Stay> {
        Ok(Stay { streams, terminal, passes_signals: self.sig_proxy, keys: self.keys.keys(context)? })
    }
}

impl KeysArgs {
    /// What was asked for, or what the configuration says.
    ///
    /// # Errors
    /// Keys that are none.
    pub(crate) fn keys(&self, context: &Context) -> Result<Keys> {
        let text = self.detach_keys.as_ref().unwrap_or(&context.config.detach_keys);
        Keys::parse(text).context("--detach-keys")
    }
}
