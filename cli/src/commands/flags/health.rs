//! How it is found out whether a container's program does what it is there for.

/// What is said of its health.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct HealthArgs {
    /// Run this in the container's shell now and again: it is healthy when that ends with 0
    #[arg(long, value_name = "COMMAND")]
    pub(crate) health_cmd: Option<String>,
    /// Time between two checks [default: 30s]
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true)]
    pub(crate) health_interval: Option<String>,
    /// How long one check may take [default: 30s]
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true)]
    pub(crate) health_timeout: Option<String>,
    /// How many checks must fail in a row before it is unhealthy [default: 3]
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    pub(crate) health_retries: Option<i64>,
    /// How long it may take to start: failures do not count until then
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true)]
    pub(crate) health_start_period: Option<String>,
    /// Time between two checks as long as it starts [default: 5s]
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true)]
    pub(crate) health_start_interval: Option<String>,
    /// Run no check, whatever the image says
    #[arg(long)]
    pub(crate) no_healthcheck: bool,
}
