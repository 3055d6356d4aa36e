//! Vouchers: make, list, edit, extend, switch off, remove (Hotspot API, section 4, and docs/api-design.md).

mod wish;

use std::collections::HashSet;

use doorward_policy::{
    guest::{DataUse, EndReason, Mac},
    limits::{Bandwidth, Mbit},
    voucher::{
        ALPHABET, CODE_ALPHABET, CODE_LEN, MOST_DEVICES, Passcode, Terms, Username, ValidFor, VoucherId, code, fold,
    },
};

pub use self::wish::{Done, Refused, VoucherEdit, VoucherWish};
use super::{App, Error, no_random, now_ms};
pub use crate::store::{
    KeptAnswer, Once, OnceTicket, SessionRecord, SlotDevice, UnusedFilter, VoucherFilter, VoucherRecord, VoucherRows,
    VoucherSort,
};
use crate::{
    secrets,
    store::{self, Field, NewVoucher, NewVouchers, Paging},
};

/// Most vouchers of one order.
pub const MOST_AT_ONCE: u16 = 10_000;

/// Bytes below a limit at which the kernel may stop (docs/traffic-policy.md).
const CUT_BELOW: u64 = 64 * 1024;

impl App {
    /// Makes one voucher or several: all or none. They are in the order of their ids.
    ///
    /// # Errors
    /// [`Refused`].
    pub async fn create_vouchers(
        &self,
        wish: VoucherWish,
        once: Option<Once<Vec<VoucherRecord>>>,
    ) -> Result<Done<Vec<VoucherRecord>>, Refused> {
        self.refuse_while_restoring()?;
        let ticket = once.as_ref().map(|once| once.ticket);
        self.once(ticket, async move |app| {
            let settings = app.guest_settings();
            let created_ms = now_ms();
            let preset = |mbit| Mbit::new(mbit).unwrap_or_default();
            let terms = Terms {
                valid_for: wish
                    .valid_for
                    .or_else(|| ValidFor::parse(&settings.voucher_valid_for))
                    .unwrap_or(ValidFor::Days(1)),
                // Whole seconds, as they are shown: who reads it back and writes it changes nothing.
                valid_from_ms: wish.valid_from_ms.unwrap_or(created_ms - created_ms.rem_euclid(1000)),
                from_first_use: wish.from_first_use,
                limits: wish.limits,
                speed: Bandwidth {
                    down: wish.speed_down.unwrap_or_else(|| preset(settings.voucher_speed_down)),
                    up: wish.speed_up.unwrap_or_else(|| preset(settings.voucher_speed_up)),
                },
                devices: wish.devices.unwrap_or(settings.voucher_devices).max(1),
                note: wish.note.clone(),
            };
            check(&wish, &terms)?;
            // A random name may be taken; twice in a row only if the numbers are not random.
            for attempt in 1.. {
                let new = NewVouchers {
                    vouchers: names(&wish)?,
                    code_only: wish.code_only,
                    terms: terms.clone(),
                    created_ms,
                };
                match app.store().insert_vouchers(new, once.clone()).await {
                    Err(store::Error::Taken(Field::VoucherName)) if wish.username.is_none() && attempt < 3 => {}
                    done => return done.map_err(refused),
                }
            }
            Err(Refused::NameTaken)
        })
        .await
    }

    /// One voucher. Any text is taken for its name.
    ///
    /// # Errors
    /// [`Refused::NoSuchVoucher`]; the store failed.
    pub async fn voucher(&self, username: &str) -> Result<VoucherRecord, Refused> {
        let folded = folded(username)?;
        self.store().voucher(&folded).await.map_err(refused)?.ok_or(Refused::NoSuchVoucher)
    }

    /// The next vouchers behind `after`, by id.
    ///
    /// # Errors
    /// The store failed.
    pub async fn voucher_page(
        &self,
        filter: &VoucherFilter,
        after: VoucherId,
        limit: u32,
    ) -> Result<Vec<VoucherRecord>, Error> {
        self.store().voucher_page(filter, after, limit, now_ms()).await.map_err(Error::Store)
    }

    /// A page of vouchers, and how many there are of such.
    ///
    /// # Errors
    /// The store failed.
    pub async fn voucher_rows(
        &self,
        paging: &Paging<VoucherSort>,
        rows: &VoucherRows,
    ) -> Result<(Vec<VoucherRecord>, u64), Error> {
        let now_ms = now_ms();
        let found = self.store().voucher_rows(paging, rows, now_ms).await.map_err(Error::Store)?;
        let total = match paging.total(found.len()) {
            Some(total) => total,
            None => self.store().count_voucher_rows(&paging.search, rows, now_ms).await.map_err(Error::Store)?,
        };
        Ok((found, total))
    }

    /// Which vouchers a list has, sorted.
    ///
    /// # Errors
    /// The store failed.
    pub async fn voucher_ids(&self, paging: &Paging<VoucherSort>, rows: &VoucherRows) -> Result<Vec<i64>, Error> {
        self.store().voucher_ids(paging, rows, now_ms()).await.map_err(Error::Store)
    }

    /// The vouchers with these ids, in their order.
    ///
    /// # Errors
    /// The store failed.
    pub async fn voucher_records(&self, ids: &[i64]) -> Result<Vec<VoucherRecord>, Error> {
        self.store().voucher_records(ids).await.map_err(Error::Store)
    }

    /// How many vouchers nobody ever logged in with.
    ///
    /// # Errors
    /// The store failed.
    pub async fn count_unused_vouchers(&self, filter: &UnusedFilter) -> Result<u64, Error> {
        self.store().count_unused_vouchers(filter).await.map_err(Error::Store)
    }

    /// Changes a voucher. Who is online by it stays so if it still may.
    ///
    /// # Errors
    /// [`Refused`].
    pub async fn edit_voucher(
        &self,
        username: &str,
        edit: VoucherEdit,
        once: Option<Once<VoucherRecord>>,
    ) -> Result<Done<VoucherRecord>, Refused> {
        self.change_voucher(username, once, move |voucher| apply(voucher, edit)).await
    }

    /// Moves the end of a voucher.
    ///
    /// # Errors
    /// [`Refused`].
    pub async fn extend_voucher(
        &self,
        username: &str,
        by: ValidFor,
        once: Option<Once<VoucherRecord>>,
    ) -> Result<Done<VoucherRecord>, Refused> {
        let by_ms = by.duration_ms().ok_or(Refused::Unusable("`always` is no time to extend by"))?;
        let now_ms = now_ms();
        let change = move |voucher: &mut VoucherRecord| {
            let end = voucher.ends_ms.ok_or(Refused::NoEnd)?;
            voucher.ends_ms = Some(end.max(now_ms).saturating_add(by_ms));
            Ok(())
        };
        self.change_voucher(username, once, change).await
    }

    /// Devices that hold a slot of a voucher.
    ///
    /// # Errors
    /// [`Refused`].
    pub async fn voucher_devices(&self, username: &str) -> Result<Vec<SlotDevice>, Refused> {
        let voucher = self.voucher(username).await?;
        self.store().slots(voucher.grant).await.map_err(refused)
    }

    /// The newest sessions by a voucher, at most `limit`, the last one first, and how many there are.
    ///
    /// # Errors
    /// [`Refused`].
    pub async fn voucher_sessions(&self, username: &str, limit: u32) -> Result<(Vec<SessionRecord>, u64), Refused> {
        let voucher = self.voucher(username).await?;
        self.store().grant_sessions(voucher.grant, limit).await.map_err(refused)
    }

    /// The voucher that was made last.
    ///
    /// # Errors
    /// The store failed.
    pub async fn last_voucher(&self) -> Result<Option<VoucherRecord>, Error> {
        let sort = VoucherSort::Created;
        let paging = Paging { search: String::new(), sort, descending: true, page: 0, size: 1 };
        let found = self.store().voucher_rows(&paging, &VoucherRows::default(), now_ms()).await;
        Ok(found.map_err(Error::Store)?.pop())
    }

    /// Gives back the slot of a device, whose session by the voucher ends. `false`: it held none.
    ///
    /// # Errors
    /// [`Refused`].
    pub async fn release_device(&self, username: &str, mac: Mac) -> Result<bool, Refused> {
        let voucher = self.voucher(username).await?;
        let held = self.store().slots(voucher.grant).await.map_err(refused)?.iter().any(|slot| slot.mac == mac);
        if held {
            self.release(voucher.grant, mac).await.map_err(refused)?;
        }
        Ok(held)
    }

    /// Switches a voucher off, which ends its sessions, or on.
    ///
    /// # Errors
    /// [`Refused`].
    pub async fn switch_voucher(
        &self,
        username: &str,
        enabled: bool,
        once: Option<Once<VoucherRecord>>,
    ) -> Result<Done<VoucherRecord>, Refused> {
        let change = move |voucher: &mut VoucherRecord| {
            voucher.enabled = enabled;
            Ok(())
        };
        self.change_voucher(username, once, change).await
    }

    /// Removes a voucher and ends its sessions.
    ///
    /// # Errors
    /// [`Refused`].
    pub async fn remove_voucher(&self, username: &str, once: Option<Once<()>>) -> Result<Done<()>, Refused> {
        let folded = folded(username)?;
        self.once(once.as_ref().map(|once| once.ticket), async move |app| {
            let removed = app.store().remove_voucher(&folded, once).await.map_err(refused)?;
            if removed.has_sessions {
                app.close_grant(removed.grant, EndReason::Kicked).await?;
            }
            Ok(())
        })
        .await
    }

    /// Removes vouchers that nobody ever logged in with. Answers how many.
    ///
    /// # Errors
    /// [`Refused`].
    pub async fn remove_unused_vouchers(
        &self,
        filter: UnusedFilter,
        once: Option<Once<u64>>,
    ) -> Result<Done<u64>, Refused> {
        self.refuse_while_restoring()?;
        self.once(once.as_ref().map(|once| once.ticket), async move |app| {
            app.store().remove_unused_vouchers(filter, once).await.map_err(refused)
        })
        .await
    }

    async fn change_voucher(
        &self,
        username: &str,
        once: Option<Once<VoucherRecord>>,
        change: impl FnOnce(&mut VoucherRecord) -> Result<(), Refused> + Send + 'static,
    ) -> Result<Done<VoucherRecord>, Refused> {
        self.refuse_while_restoring()?;
        let folded = folded(username)?;
        self.once(once.as_ref().map(|once| once.ticket), async move |app| {
            let changed = app.store().change_voucher(&folded, now_ms(), change, once).await;
            let voucher = changed.map_err(refused)??;
            if voucher.enabled {
                app.grant_changed(voucher.grant).await?;
            } else {
                app.close_grant(voucher.grant, EndReason::Disabled).await?;
            }
            Ok(voucher)
        })
        .await
    }

    /// Carries an order out to its end, unless its ticket says that this was done.
    async fn once<T, W>(
        &self,
        ticket: Option<OnceTicket>,
        work: impl FnOnce(App) -> W + Send + 'static,
    ) -> Result<Done<T>, Refused>
    where
        T: Send + 'static,
        W: Future<Output = Result<T, Refused>> + Send + 'static,
    {
        if let Some(before) = self.before(ticket).await? {
            return Ok(before);
        }
        // Even if the caller goes away: what was stored must reach the loop.
        let done = tokio::spawn(work(self.clone())).await;
        match done.unwrap_or(Err(Refused::Failed(Error::Failed("an edit ended before its time")))) {
            Ok(done) => Ok(Done::Now(done)),
            // Another request with the same key may have been faster.
            Err(refused) => self.before(ticket).await?.ok_or(refused),
        }
    }

    async fn before<T>(&self, ticket: Option<OnceTicket>) -> Result<Option<Done<T>>, Refused> {
        let Some(ticket) = ticket else { return Ok(None) };
        match self.store().kept_answer(&ticket.key, ticket.now_ms).await.map_err(refused)? {
            Some(kept) if kept.request == ticket.request => Ok(Some(Done::Before(kept.answer))),
            Some(_) => Err(Refused::KeyReused),
            None => Ok(None),
        }
    }
}

/// What a voucher is found by. What is no name cannot be stored; nothing odd reaches the database.
fn folded(username: &str) -> Result<String, Refused> {
    username.parse::<Username>().map(|name| fold(name.as_str())).map_err(|_| Refused::NoSuchVoucher)
}

fn check(wish: &VoucherWish, terms: &Terms) -> Result<(), Refused> {
    let named = wish.username.is_some() || wish.passcode.is_some();
    if wish.count.is_some_and(|count| !(1..=MOST_AT_ONCE).contains(&count)) {
        Err(Refused::Unusable("between 1 and 10000 vouchers can be made at once"))
    } else if named && (wish.count.is_some() || wish.code_only) {
        Err(Refused::Unusable("user name and passcode go with neither several vouchers nor a code"))
    } else if !(1..=MOST_DEVICES).contains(&terms.devices) {
        Err(Refused::Unusable("a voucher has between 1 and 1000 devices"))
    } else {
        Ok(())
    }
}

/// What distinguishes the new vouchers; what is missing is random.
fn names(wish: &VoucherWish) -> Result<Vec<NewVoucher>, Refused> {
    let count = usize::from(wish.count.unwrap_or(1));
    let (mut vouchers, mut seen) = (Vec::with_capacity(count), HashSet::with_capacity(count));
    while vouchers.len() < count {
        let random = |alphabet| secrets::random_text(alphabet, CODE_LEN).map_err(no_random);
        let (username, passcode) = if wish.code_only {
            let code = code(&random(CODE_ALPHABET)?);
            (made(code.parse())?, made(Passcode::new(code))?)
        } else {
            let username = match &wish.username {
                Some(username) => username.clone(),
                None => made(random(ALPHABET)?.parse())?,
            };
            let passcode = match &wish.passcode {
                Some(passcode) => passcode.clone(),
                None => made(Passcode::new(random(ALPHABET)?))?,
            };
            (username, passcode)
        };
        if !seen.insert(username.folded()) {
            continue;
        }
        let fullname = match &wish.fullname {
            Some(fullname) => fullname.clone(),
            None => format!("Guest {}", secrets::random_text(ALPHABET, 4).map_err(no_random)?),
        };
        vouchers.push(NewVoucher { username, passcode, fullname });
    }
    Ok(vouchers)
}

fn made<T, E>(text: Result<T, E>) -> Result<T, Refused> {
    text.map_err(|_| Refused::Failed(Error::Failed("a made text does not fit")))
}

fn apply(voucher: &mut VoucherRecord, edit: VoucherEdit) -> Result<(), Refused> {
    let VoucherEdit {
        passcode,
        fullname,
        valid_for,
        valid_from_ms,
        from_first_use,
        limit_down,
        limit_up,
        limit_total,
        speed_down,
        speed_up,
        devices,
        note,
    } = edit;
    if passcode.is_some() && voucher.code_only {
        return Err(Refused::Unusable("the code of a voucher cannot change"));
    }
    if devices.is_some_and(|devices| devices < voucher.devices_used.max(1) || devices > MOST_DEVICES) {
        return Err(Refused::Unusable("devices hold more places than that"));
    }
    let terms = &mut voucher.terms;
    if valid_for.is_some() || valid_from_ms.is_some() || from_first_use.is_some() {
        terms.valid_for = valid_for.unwrap_or(terms.valid_for);
        terms.valid_from_ms = valid_from_ms.unwrap_or(terms.valid_from_ms);
        terms.from_first_use = from_first_use.unwrap_or(terms.from_first_use);
        voucher.ends_ms = terms.ends_ms(voucher.first_login_ms);
    }
    if limit_down.is_some() || limit_up.is_some() || limit_total.is_some() {
        terms.limits.down = limit_down.unwrap_or(terms.limits.down);
        terms.limits.up = limit_up.unwrap_or(terms.limits.up);
        terms.limits.total = limit_total.unwrap_or(terms.limits.total);
        // The kernel cuts a little below a limit: one that was reached is reached until it is raised.
        let below = if voucher.spent { CUT_BELOW } else { 0 };
        let DataUse { down, up } = voucher.used;
        voucher.spent = terms.is_spent(DataUse { down: down.saturating_add(below), up: up.saturating_add(below) });
    }
    terms.speed.down = speed_down.unwrap_or(terms.speed.down);
    terms.speed.up = speed_up.unwrap_or(terms.speed.up);
    terms.devices = devices.unwrap_or(terms.devices);
    terms.note = note.unwrap_or_else(|| std::mem::take(&mut terms.note));
    voucher.fullname = fullname.unwrap_or_else(|| std::mem::take(&mut voucher.fullname));
    if let Some(passcode) = passcode {
        voucher.passcode = passcode;
    }
    Ok(())
}

/// The refusal that an error of the store stands for.
fn refused(error: store::Error) -> Refused {
    match error {
        store::Error::Missing => Refused::NoSuchVoucher,
        store::Error::Taken(Field::VoucherName) => Refused::NameTaken,
        store::Error::Taken(_)
        | store::Error::InUse
        | store::Error::Unavailable(_)
        | store::Error::Corrupt { .. }
        | store::Error::WrongKey
        | store::Error::Setup(_)
        | store::Error::Seal(_) => Refused::Failed(Error::Store(error)),
    }
}
