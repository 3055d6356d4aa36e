//! `doorward down`: leaves the kernel as it was before us.

use super::serve;
use crate::config::Config;

pub(super) async fn run(config: Config) -> anyhow::Result<()> {
    super::make_state_dir(&config.state_dir)?;
    let _lock = serve::lock(&config.state_dir)?;
    let mut kernel = doorward_kernel::linux::Linux::open(serve::linux_config(&config)?).await?;
    kernel.down().await?;
    super::say("everything of ours is out of the kernel")
}
