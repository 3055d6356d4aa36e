//! What the kernel tells by itself, and whether it is so.

use std::time::Duration;

use super::Linux;
use crate::{Event, guest_net, link, watch::Suspicion};

/// After the first sign of a foreign change, the others that come with it are waited for.
const GATHER: Duration = Duration::from_millis(10);

impl Linux {
    pub(super) async fn next_event(&mut self) -> Event {
        loop {
            let spent = self.watch.take_spent();
            if !spent.is_empty() {
                return Event::Spent(spent);
            }
            self.suspicions.extend(self.watch.take());
            if !self.suspicions.is_empty() {
                tokio::time::sleep(GATHER).await;
                self.suspicions.extend(self.watch.take());
                let mut found = Vec::new();
                for suspicion in &self.suspicions {
                    found.extend(self.check(*suspicion).await);
                }
                // Only now: a caller who gave up before will hear it next time.
                self.suspicions.clear();
                if !found.is_empty() {
                    return Event::Drifted(found.join("; "));
                }
            }
            tokio::select! {
                () = self.watch.raised() => {}
                name = self.tunnels.ended() => return Event::Drifted(format!("the tunnel process of {name} ended")),
            }
        }
    }

    /// Whether a suspicion is true, in words.
    async fn check(&self, suspicion: Suspicion) -> Option<String> {
        let link = async |index| link::by_index(&self.route, index).await.ok().flatten();
        let name = async |index| link(index).await.map_or_else(|| index.to_string(), |link| link.name.to_string());
        match suspicion {
            Suspicion::Table => Some("our nftables table was changed".to_owned()),
            Suspicion::Lost => Some("events of the kernel were lost".to_owned()),
            Suspicion::Link(index) => {
                let mtu = self.watch.tunnel(index)?;
                match link(index).await {
                    None => Some(format!("a tunnel interface (number {index}) was deleted")),
                    Some(link) if !link.ours => Some(format!("interface {} lost our mark", link.name)),
                    Some(link) if !link.up => Some(format!("interface {} was switched off", link.name)),
                    Some(link) if link.mtu != mtu => Some(format!("the MTU of {} was changed", link.name)),
                    Some(_) => None,
                }
            }
            Suspicion::Address(index) if self.watch.tunnel(index).is_some() => {
                Some(format!("an address of {} was removed", name(index).await))
            }
            Suspicion::Address(index) => match link(index).await {
                None => Some(format!("a guest interface (number {index}) was deleted")),
                Some(link) => {
                    let missing = guest_net::missing(&self.route, &self.originals, index, link.name).await;
                    (!missing.is_empty()).then(|| format!("an address of {} was removed", link.name))
                }
            },
            Suspicion::Port(index) => {
                let link = link(index).await?;
                let open = link.port.is_some_and(|port| !port.isolated);
                open.then(|| format!("{} is a bridge port that is not isolated", link.name))
            }
            Suspicion::Appeared(index) => {
                let name = link(index).await?.name;
                self.watch.is_missing(name).then(|| format!("interface {name} appeared"))
            }
            Suspicion::Shaping(index) if self.watch.is_shaped(index) => {
                Some(format!("the qdisc or a class of {} was changed", name(index).await))
            }
            Suspicion::Shaping(_) => None,
            Suspicion::Routes => {
                let known = self.known_wans.as_ref()?;
                let links = link::all(&self.route).await.ok()?;
                let wans = self.find_wans(&links).await.ok()?;
                (wans != *known).then(|| "the default route moved".to_owned())
            }
        }
    }
}
