//! One change to many accounts.

use std::collections::BTreeSet;

use tokio::task::JoinSet;

use super::{
    super::{
        errors,
        form::Form,
        seat::{Answer, Failure, Seat},
    },
    remove, set_enabled,
};

/// Most accounts at once: those of the longest page.
const MOST: usize = 250;
/// Most refusals that are told one by one.
const MOST_TOLD: usize = 5;

#[derive(Clone, Copy)]
enum Action {
    Enable,
    Disable,
    Delete,
}

/// Does it to each account by itself, notes each, and tells how many there were and which was refused.
pub(super) async fn change(seat: Seat, form: Form) -> Answer {
    let (action, text) = match form.text("action") {
        "enable" => (Action::Enable, "accounts-bulk-enabled"),
        "disable" => (Action::Disable, "accounts-bulk-disabled"),
        "delete" => (Action::Delete, "accounts-bulk-deleted"),
        _ => return Err(Failure::BadForm),
    };
    let back = back(form.text("back"));
    let names: BTreeSet<String> = form.all("name").map(str::to_owned).collect();
    if names.is_empty() {
        return seat.warn(back, "accounts-bulk-none");
    }
    if names.len() > MOST {
        return seat.warn(back, "accounts-bulk-many");
    }
    let all = names.len();
    let mut tasks = JoinSet::new();
    for name in names {
        let seat = seat.clone();
        tasks.spawn(async move {
            let done = match action {
                Action::Enable => set_enabled(&seat, name.clone(), true).await,
                Action::Disable => set_enabled(&seat, name.clone(), false).await,
                Action::Delete => remove(&seat, name.clone()).await,
            };
            (name, done)
        });
    }
    let (mut done, mut refusals) = (0_usize, Vec::new());
    while let Some(task) = tasks.join_next().await {
        match task {
            Ok((_, Ok(()))) => done += 1,
            Ok((name, Err(error))) => refusals.push((name, error)),
            Err(_) => return Err(Failure::Broken),
        }
    }
    refusals.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    let refused = refusals.len();
    let mut told = Vec::new();
    for (name, error) in refusals.into_iter().take(MOST_TOLD) {
        // One that failed is told like one that was refused: the others are done.
        let why = match error {
            crate::app::desk::DeskError::Refused(error) => {
                if errors::is_failure(&error) {
                    errors::log(&error);
                    seat.t("failure-broken")
                } else {
                    errors::text(seat.lang, &error)
                }
            }
            error @ crate::app::desk::DeskError::Denied(_) => return Err(error.into()),
        };
        told.push(format!("{name}: {why}"));
    }
    if refused > 0 {
        let values = [("count", refused.to_string()), ("why", told.join(" · "))];
        let values: Vec<(&'static str, &str)> = values.iter().map(|(key, value)| (*key, value.as_str())).collect();
        seat.say("danger", seat.fill("accounts-bulk-refused", &values));
    }
    seat.applied(back, text, &[("done", &done.to_string()), ("all", &all.to_string())])
}

/// Where the list was; never elsewhere.
fn back(text: &str) -> &str {
    let ours = text == "/accounts" || text.starts_with("/accounts?");
    let plain = text.len() <= 2000 && text.bytes().all(|b| b.is_ascii_graphic());
    if ours && plain { text } else { "/accounts" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_back_leads_to_the_list() {
        assert_eq!(back("/accounts?q=a%20b&page=2"), "/accounts?q=a%20b&page=2");
        for elsewhere in ["", "//evil.example", "/accounts/x", "/accounts?\r\nx", "https://evil.example", "/accounts?ä"]
        {
            assert_eq!(back(elsewhere), "/accounts", "{elsewhere}");
        }
    }
}
