//! How long a container lives.

/// What is said of its life.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct LifeArgs {
    /// When to start it again by itself: no, always, unless-stopped, on-failure, on-failure:MOST
    #[arg(long, value_name = "POLICY", default_value = "no")]
    pub(crate) restart: String,
    /// Kill it after so many seconds
    #[arg(long, value_name = "SECONDS")]
    pub(crate) timeout: Option<u64>,
}
