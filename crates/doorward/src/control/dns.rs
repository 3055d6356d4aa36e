//! What the command line is told of names, and may change.

use doorward_policy::dns::{BlockList, Data, DnsName, Forwarder, ListId, Pattern, Place, Record, Refused, Side};
use serde::{Deserialize, Serialize};

use super::{Answer, orders::Failure};
use crate::{
    app::{
        App, Error,
        dns::{DnsForm, Verdict},
    },
    dns::lists::ListState,
};

/// What is ordered of names.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the command line's help says what each does")]
pub enum DnsOrder {
    Show,
    Set(DnsChange),
    Records,
    AddRecord { name: String, kind: String, data: String },
    RemoveRecord { name: String, kind: String, data: String },
    Lists,
    AddList { title: String, url: String },
    RemoveList { title: String },
    SwitchList { title: String, on: bool },
    RefreshLists,
    Names,
    AddName { side: Side, name: String },
    RemoveName { side: Side, name: String },
    Places,
    Filter { place: String, on: bool },
    Look { name: String },
}

/// What of the settings changes; what is missing stays.
#[derive(Debug, Default, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the command line's help says what each is")]
pub struct DnsChange {
    pub enabled: Option<bool>,
    pub forwarders: Option<Vec<String>>,
    pub max_cache_ttl_s: Option<u16>,
    pub refresh_hours: Option<u16>,
}

/// The settings, as `doorward dns show` shows them.
#[derive(Debug, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are those of the settings")]
pub struct DnsLine {
    pub enabled: bool,
    pub forwarders: Vec<Forwarder>,
    pub max_cache_ttl_s: u16,
    pub refresh_hours: u16,
    pub records: usize,
    pub lists: usize,
    /// Names that are blocked, by whomever.
    pub blocked_names: usize,
}

/// A block list.
#[derive(Debug, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct ListLine {
    pub title: String,
    pub url: String,
    pub enabled: bool,
    pub names: u64,
    pub hits: u64,
    pub fetched_ms: Option<i64>,
    pub checked_ms: Option<i64>,
    pub error: Option<String>,
}

impl ListLine {
    fn of(list: BlockList, state: ListState) -> Self {
        let ListState { names, hits, fetched_ms, checked_ms, error, .. } = state;
        let BlockList { title, url, enabled, .. } = list;
        Self { title, url, enabled, names, hits, fetched_ms, checked_ms, error }
    }
}

/// A name by hand.
#[derive(Debug, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct NameLine {
    pub name: Pattern,
    pub side: Side,
}

/// A place where names are answered.
#[derive(Debug, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct PlaceLine {
    pub place: String,
    pub filtered: bool,
}

fn record(name: &str, kind: &str, data: &str) -> Result<Record, Error> {
    let name: DnsName = name.parse()?;
    Ok(Record { name, data: Data::parse(&kind.to_ascii_uppercase(), data).ok_or(Refused::Data)? })
}

pub(super) async fn carry_out(app: &App, order: DnsOrder, answer: &mut Answer) -> Result<(), Failure> {
    match order {
        DnsOrder::Show => {
            let dns = app.dns();
            let line = DnsLine {
                enabled: dns.enabled,
                max_cache_ttl_s: dns.max_cache_ttl_s,
                refresh_hours: dns.refresh_hours,
                records: dns.records.len(),
                lists: dns.lists.len(),
                blocked_names: app.lists().filter().size().0,
                forwarders: dns.forwarders,
            };
            answer.row(&line).await?;
        }
        DnsOrder::Set(change) => {
            app.edit_dns(move |dns| {
                let now = dns.forwarders.iter().map(ToString::to_string).collect();
                let form = DnsForm {
                    enabled: change.enabled.unwrap_or(dns.enabled),
                    forwarders: change.forwarders.unwrap_or(now),
                    max_cache_ttl_s: change.max_cache_ttl_s.or(Some(dns.max_cache_ttl_s)),
                    refresh_hours: change.refresh_hours.or(Some(dns.refresh_hours)),
                };
                form.change(dns)
            })
            .await?;
        }
        DnsOrder::Records => {
            for record in app.dns().records {
                answer.row(&record).await?;
            }
        }
        DnsOrder::AddRecord { name, kind, data } => {
            let record = record(&name, &kind, &data)?;
            app.edit_dns(move |dns| Ok(dns.add_record(record)?)).await?;
        }
        DnsOrder::RemoveRecord { name, kind, data } => {
            let record = record(&name, &kind, &data)?;
            app.edit_dns(move |dns| Ok(dns.remove_record(&record)?)).await?;
        }
        DnsOrder::Lists => {
            let mut states = app.list_states();
            for list in app.dns().lists {
                let state = states.remove(&list.id).unwrap_or_default();
                answer.row(&ListLine::of(list, state)).await?;
            }
        }
        DnsOrder::AddList { title, url } => {
            app.edit_dns(move |dns| Ok(dns.add_list(&title, &url)?)).await?;
        }
        DnsOrder::RemoveList { title } => {
            let id = list(app, &title)?.id;
            app.edit_dns(move |dns| Ok(dns.remove_list(id)?)).await?;
        }
        DnsOrder::SwitchList { title, on } => {
            app.edit_dns(move |dns| Ok(dns.switch_list(&title, on)?)).await?;
        }
        DnsOrder::RefreshLists => {
            let ids: Vec<ListId> = app.dns().lists.iter().filter(|list| list.enabled).map(|list| list.id).collect();
            app.lists().refresh(ids);
        }
        DnsOrder::Names => {
            let dns = app.dns();
            let of =
                |names, side| std::collections::BTreeSet::into_iter(names).map(move |name| NameLine { name, side });
            for line in of(dns.blocked, Side::Blocked).chain(of(dns.allowed, Side::Allowed)) {
                answer.row(&line).await?;
            }
        }
        DnsOrder::AddName { side, name } => {
            let name: Pattern = name.parse().map_err(Error::Dns)?;
            app.edit_dns(move |dns| Ok(dns.add_name(side, name)?)).await?;
        }
        DnsOrder::RemoveName { side, name } => {
            let name: Pattern = name.parse().map_err(Error::Dns)?;
            app.edit_dns(move |dns| Ok(dns.remove_name(side, &name)?)).await?;
        }
        DnsOrder::Places => {
            for place in app.name_places().await? {
                answer.row(&PlaceLine { place: place.place.to_string(), filtered: !place.unfiltered }).await?;
            }
        }
        DnsOrder::Filter { place, on } => {
            let place: Place = place.parse().map_err(Error::Dns)?;
            let known = app.name_places().await?.into_iter().any(|found| found.place == place);
            let place = known.then_some(place).ok_or(Error::Dns(Refused::Missing))?;
            app.edit_dns(move |dns| {
                if on {
                    dns.unfiltered.remove(&place)
                } else {
                    dns.unfiltered.insert(place)
                };
                Ok(())
            })
            .await?;
        }
        DnsOrder::Look { name } => {
            let text = match app.judge_name(&name) {
                Verdict::NoName => return Err(Error::Dns(Refused::Name).into()),
                Verdict::Own(data) => format!("own record: {}", data.join(", ")),
                Verdict::ByHand => "blocked by hand".to_owned(),
                Verdict::List(title) => format!("blocked by the list {title}"),
                Verdict::Asked => "not blocked: the forwarders are asked".to_owned(),
            };
            answer.row(&text).await?;
        }
    }
    Ok(())
}

fn list(app: &App, title: &str) -> Result<BlockList, Error> {
    Ok(app.dns().lists.into_iter().find(|list| list.title == title).ok_or(Refused::Missing)?)
}
