//! `doorward down`: leaves the kernel as it was before us, and ends the DHCP server.

use anyhow::Context as _;

use super::serve;
use crate::{config::Config, dhcp};

pub(super) async fn run(config: Config) -> anyhow::Result<()> {
    super::make_state_dir(&config.state_dir)?;
    let _lock = serve::lock(&config.state_dir)?;
    dhcp::end(&config.state_dir).await.context("DHCP server")?;
    let mut kernel = doorward_kernel::linux::Linux::open(serve::linux_config(&config)?).await?;
    kernel.down().await?;
    super::say("everything of ours is out of the kernel")
}
