//! What callers say of rules and policies, judged in the order of the VPN API.

use doorward_policy::firewall::{Chain, Firewall, Place, Refused, Rule, RuleId, RuleName, RuleProtocol, Verdict};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::{
    super::{App, Error, Given},
    SYSTEM_RULE,
};

/// What a caller says of a rule.
#[derive(Debug, Clone, Default)]
pub struct RuleWish {
    /// Letters, digits and `_`.
    pub name: Given<RuleName>,
    /// Which packets it sees.
    pub chain: Given<Chain>,
    /// What happens to them.
    pub action: Given<Verdict>,
    /// Missing: any.
    pub protocol: Given<RuleProtocol>,
    /// Missing: from anywhere.
    pub source: Given<IpNet>,
    /// Missing: to anywhere.
    pub destination: Given<IpNet>,
    /// 0 or missing: any.
    pub source_port: Given<u16>,
    /// 0 or missing: any.
    pub destination_port: Given<u16>,
}

/// What a caller says of policies and switches; what is missing stays.
#[derive(Debug, Clone, Default)]
pub struct ConfWish {
    /// What happens to what no rule decides.
    pub input: Given<Verdict>,
    /// See `input`.
    pub forward: Given<Verdict>,
    /// See `input`.
    pub output: Given<Verdict>,
    /// Accounts reach each other everywhere.
    pub internal_traffic: Given<bool>,
    /// The kernel forwards.
    pub ip_forward: Given<bool>,
}

impl ConfWish {
    /// Puts it into effect on a firewall.
    ///
    /// # Errors
    /// In the order of the VPN API.
    pub fn change(&self, firewall: &mut Firewall) -> Result<(), Error> {
        let policy =
            |given: &Given<Verdict>, chain| given.or(Error::FirewallPolicy(chain)).map(|verdict| verdict.copied());
        let input = policy(&self.input, Chain::Input)?;
        let forward = policy(&self.forward, Chain::Forward)?;
        let output = policy(&self.output, Chain::Output)?;
        let internal = self.internal_traffic.or(Error::Boolean("internal_traffic"))?;
        let ip_forward = self.ip_forward.or(Error::Boolean("ip_forward"))?;
        firewall.input = input.unwrap_or(firewall.input);
        firewall.forward = forward.unwrap_or(firewall.forward);
        firewall.output = output.unwrap_or(firewall.output);
        firewall.internal_traffic = internal.copied().unwrap_or(firewall.internal_traffic);
        firewall.ip_forward = ip_forward.copied().unwrap_or(firewall.ip_forward);
        Ok(())
    }
}

impl RuleWish {
    /// Adds the rule to a firewall.
    ///
    /// # Errors
    /// In the order of the VPN API.
    pub fn add(&self, firewall: &mut Firewall, place: Place) -> Result<RuleId, Error> {
        let name = self.name.or(Refused::Name.into())?.ok_or(Refused::Name)?;
        if firewall.rules.iter().any(|rule| rule.name == *name) {
            return Err(Refused::NameTaken.into());
        }
        let chain = self.chain.or(Error::RuleChain)?.ok_or(Error::RuleChain)?;
        let destination = self.destination.or(Error::RuleDestination)?;
        let source = self.source.or(Error::RuleSource)?;
        let action = self.action.or(Error::RuleAction)?.ok_or(Error::RuleAction)?;
        let protocol = self.protocol.or(Error::RuleProtocol)?;
        let source_port = self.source_port.or(Error::RuleSourcePort)?;
        let destination_port = self.destination_port.or(Error::RuleDestinationPort)?;
        let rule = Rule {
            id: RuleId(0),
            name: name.clone(),
            chain: *chain,
            action: *action,
            protocol: protocol.copied().unwrap_or(RuleProtocol::Any),
            source: source.copied().unwrap_or_else(|| anywhere(destination)),
            destination: destination.copied().unwrap_or_else(|| anywhere(source)),
            source_port: source_port.copied().unwrap_or(0),
            destination_port: destination_port.copied().unwrap_or(0),
        };
        Ok(firewall.add(place, rule)?)
    }
}

/// Everywhere, in the family of the other side.
fn anywhere(other: Option<&IpNet>) -> IpNet {
    match other {
        Some(IpNet::V6(_)) => Ipv6Net::default().into(),
        Some(IpNet::V4(_)) | None => Ipv4Net::default().into(),
    }
}

impl App {
    /// Adds a rule, in effect at once.
    ///
    /// # Errors
    /// In the order of the VPN API; the store failed.
    pub async fn create_rule(&self, place: Place, wish: RuleWish) -> Result<RuleId, Error> {
        self.edit_firewall(move |firewall| wish.add(firewall, place)).await
    }

    /// Removes a rule, at once.
    ///
    /// # Errors
    /// [`Error::SystemRule`], [`Refused::Missing`]; the store failed.
    pub async fn delete_rule(&self, name: &str) -> Result<(), Error> {
        if name == SYSTEM_RULE {
            return Err(Error::SystemRule);
        }
        let name = name.to_owned();
        self.edit_firewall(move |firewall| Ok(firewall.remove(&name).map(drop)?)).await
    }

    /// Changes policies and switches, at once.
    ///
    /// # Errors
    /// In the order of the VPN API; the store failed.
    pub async fn update_firewall(&self, wish: ConfWish) -> Result<(), Error> {
        self.edit_firewall(move |firewall| wish.change(firewall)).await
    }
}
