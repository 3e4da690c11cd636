//! Flags of docker's that mini understands and cannot carry out: each is refused by name, with the reason.

use anyhow::{Result, bail};

/// Flags that are understood and refused; no help lists them.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct RefusedArgs {
    #[arg(long, hide = true, value_name = "ADDRESS")]
    ip: Option<String>,
    #[arg(long, hide = true, value_name = "ADDRESS")]
    ip6: Option<String>,
    #[arg(long, hide = true, value_name = "ADDRESS")]
    mac_address: Option<String>,
    #[arg(long, visible_alias = "net-alias", hide = true, value_name = "NAME")]
    network_alias: Vec<String>,
    #[arg(long, hide = true, value_name = "CONTAINER[:NAME]")]
    link: Vec<String>,
    #[arg(long, hide = true, value_name = "ADDRESS")]
    link_local_ip: Vec<String>,
    #[arg(long, hide = true, value_name = "KEY=VALUE")]
    storage_opt: Vec<String>,
    #[arg(long, hide = true, value_name = "TECHNOLOGY")]
    isolation: Option<String>,
    #[arg(long, hide = true, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    disable_content_trust: Option<String>,
}

impl RefusedArgs {
    /// Refuses the first that was given.
    ///
    /// # Errors
    /// Its name, and why.
    pub(crate) fn refuse(&self) -> Result<()> {
        let no_network =
            "a container's place on the default network is given to it; networks of one's own come later";
        for (flag, given, why) in [
            ("--ip", self.ip.is_some(), no_network),
            ("--ip6", self.ip6.is_some(), no_network),
            ("--mac-address", self.mac_address.is_some(), no_network),
            ("--network-alias", !self.network_alias.is_empty(), no_network),
            ("--link-local-ip", !self.link_local_ip.is_empty(), no_network),
            (
                "--link",
                !self.link.is_empty(),
                "docker keeps it for old scripts alone; --add-host names a container's address, --network container:NAME shares it",
            ),
            (
                "--storage-opt",
                !self.storage_opt.is_empty(),
                "a size needs project quotas of the file system below --root (prjquota), and mini sets none",
            ),
            ("--isolation", self.isolation.is_some(), "it chooses among Windows' ways, and this is Linux"),
            (
                "--disable-content-trust",
                self.disable_content_trust.is_some(),
                "mini verifies digests always, and signatures never",
            ),
        ] {
            if given {
                bail!("{flag} is not supported: {why}");
            }
        }
        Ok(())
    }
}
