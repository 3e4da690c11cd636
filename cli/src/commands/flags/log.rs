//! What becomes of what a container writes.

/// What is said of its log.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct LogArgs {
    /// How its output is kept: json-file, local (packed), or none [default: json-file]
    #[arg(long, value_name = "DRIVER")]
    pub(crate) log_driver: Option<String>,
    /// How the driver keeps it: max-size, max-file, compress, labels, labels-regex, env, env-regex, tag
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) log_opt: Vec<String>,
}
