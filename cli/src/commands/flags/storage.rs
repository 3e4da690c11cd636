//! What a container stores outside of its own layer: directories of the host, volumes, file systems in memory, secrets.

/// What a container stores outside of its own layer.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct StorageArgs {
    /// Show a path of the host, or a volume, in the container; TARGET alone is a volume without a name
    #[arg(short, long, value_name = "[SOURCE|NAME:]TARGET[:OPTIONS]")]
    pub(crate) volume: Vec<String>,
    /// The same spelled out, or a tmpfs; a path that is missing is not made
    #[arg(long, value_name = "type=volume|bind|tmpfs,KEY=VALUE…")]
    pub(crate) mount: Vec<String>,
    /// Mount a file system in memory
    #[arg(long, value_name = "TARGET[:OPTIONS]")]
    pub(crate) tmpfs: Vec<String>,
    /// Mount what another container has mounted
    #[arg(long, value_name = "CONTAINER[:ro|rw]")]
    pub(crate) volumes_from: Vec<String>,
    /// The driver of volumes: local
    #[arg(long, value_name = "DRIVER")]
    pub(crate) volume_driver: Option<String>,
    /// Give the container a secret, as a file in memory or as a variable
    #[arg(long, value_name = "NAME[,target=PATH,uid=…,gid=…,mode=…,type=mount|env]")]
    pub(crate) secret: Vec<String>,
}
