//! The actions and their parameters (Hotspot API, sections 4 to 6; docs/api-design.md for what is ours).

use doorward_policy::voucher::ValidFor;
use serde_json::Value;

use super::{
    super::{Field, optional, required, schema},
    Action,
    answers::{active, around, comments, created_voucher, flag, hosts, listed_voucher, logins, message, persons},
};

const NO_USERNAME: &str = "No username set";
const NO_SUCH_USER: &str = "Username doesn't exist";
const KEY_REUSED: &str = "Idempotency-Key was used for another request";

pub(super) fn actions() -> Vec<Action> {
    vouchers().into_iter().chain(lists()).chain(live()).collect()
}

fn action(
    name: &'static str,
    summary: &'static str,
    fields: Vec<Field>,
    answer: Value,
    refusals: &[&'static str],
) -> Action {
    Action { name, summary, fields, answer, refusals: refusals.to_vec() }
}

fn vouchers() -> [Action; 8] {
    let whom = || required("username", schema::text_within(1, 64), "Whose voucher");
    let changed = || around("User changed successfully", "user", listed_voucher());
    let of_one = [NO_USERNAME, NO_SUCH_USER, KEY_REUSED];
    let created = serde_json::json!({ "anyOf": [
        around("User added successfully", "user", created_voucher()),
        around("User added successfully", "users", schema::list_of(created_voucher())),
    ] });
    let mut made = vec![
        optional("username", schema::text_within(1, 64), "At random unless said"),
        optional("code_only", flag(), "1: one code instead of user name and passcode"),
        optional("count", schema::integer(1, 10_000), "So many at once; the answer has `users`"),
        optional("details", flag(), "1: further keys in the answer"),
    ];
    made.extend(terms());
    let mut edited = vec![whom()];
    edited.extend(terms());
    [
        action(
            "create_voucher",
            "Makes a voucher, or thousands",
            made,
            created,
            &["Username already exists", KEY_REUSED],
        ),
        action(
            "remove_voucher",
            "Deletes a voucher and ends its sessions",
            vec![whom()],
            message(&["User removed successfully"], false),
            &of_one,
        ),
        action(
            "get_voucher",
            "A voucher",
            vec![whom()],
            schema::object(&[("user", listed_voucher())]),
            &[NO_USERNAME, NO_SUCH_USER],
        ),
        action("edit_voucher", "Changes a voucher; what is not sent stays", edited, changed(), &of_one),
        action(
            "extend_voucher",
            "Moves the end of a voucher",
            vec![whom(), required("extend_by", valid_for(false), "By how long")],
            changed(),
            &[NO_USERNAME, NO_SUCH_USER, "User has no end to extend", KEY_REUSED],
        ),
        action("disable_voucher", "Ends its sessions and refuses logins", vec![whom()], changed(), &of_one),
        action("enable_voucher", "Lets it log in again", vec![whom()], changed(), &of_one),
        action(
            "remove_unused_vouchers",
            "Deletes vouchers that nobody has used",
            vec![
                optional("created_before", schema::local_time(), "Those made before"),
                optional("note", schema::text_within(1, 200), "Those with exactly this note"),
            ],
            around("Users removed successfully", "removed", schema::count()),
            &[KEY_REUSED],
        ),
    ]
}

/// What a voucher may say.
fn terms() -> Vec<Field> {
    let megabytes = || schema::integer(0, 9_437_184);
    vec![
        optional("passcode", schema::text_within(1, 64), "At random unless said"),
        optional("fullname", schema::text_within(1, 128), "At random unless said"),
        optional("valid_for", valid_for(true), "How long; the settings' preset unless said"),
        optional("valid_from", schema::local_time(), "From when, in the gateway's time zone; now unless said"),
        optional("valid_from_first_use", flag(), "1: the time begins with the first login"),
        optional("download_limit", megabytes(), "MB to the guest; 0 is unlimited"),
        optional("upload_limit", megabytes(), "MB from the guest; 0 is unlimited"),
        optional("total_limit", megabytes(), "MB of both directions; 0 is unlimited"),
        optional("speed_down", schema::integer(0, 10_000), "Mbit/s to the guest; 0 is unlimited"),
        optional("speed_up", schema::integer(0, 10_000), "Mbit/s from the guest; 0 is unlimited"),
        optional("devices", schema::integer(1, 1000), "Devices that may use it"),
        optional("note", schema::text_within(0, 200), "For staff"),
    ]
}

fn valid_for(or_always: bool) -> Value {
    let all: Vec<String> = ValidFor::all()
        .filter(|value| or_always || value.duration_ms().is_some())
        .map(|value| value.to_string())
        .collect();
    schema::one_of(&all.iter().map(String::as_str).collect::<Vec<_>>())
}

fn lists() -> [Action; 6] {
    let user = |own: &[(&str, Value)]| persons(own);
    let with_form = |first: (&'static str, Value)| {
        let mut own = vec![first, ("marketing", flag()), ("verified", flag())];
        own.extend(comments());
        own
    };
    let maybe = || schema::nullable(schema::text());
    let facebook = [("name", schema::text()), ("email", maybe()), ("picture", maybe()), ("marketing", flag())];
    let methods = ["voucher", "email", "mobile", "facebook", "free", "paid"];
    let mut of_vouchers = paging();
    of_vouchers.extend([
        optional(
            "status",
            schema::one_of(&["unused", "active", "waiting", "expired", "spent", "disabled"]),
            "Those alone",
        ),
        optional("details", flag(), "1: further keys"),
    ]);
    let mut of_logins = paging();
    of_logins.extend([
        optional("method", schema::one_of(&methods), "Those alone"),
        optional("success", flag(), "1: those let in alone; 0: those refused alone"),
    ]);
    [
        action(
            "get_voucher_users",
            "Vouchers, by id",
            of_vouchers,
            schema::object(&[("users", schema::list_of(listed_voucher()))]),
            &[],
        ),
        action(
            "get_email_users",
            "Guests by e-mail, by id",
            paging(),
            user(&with_form(("email", schema::text()))),
            &[],
        ),
        action(
            "get_mobile_users",
            "Guests by mobile, by id",
            paging(),
            user(&with_form(("mobile", schema::text()))),
            &[],
        ),
        action("get_fb_users", "Guests by Facebook, by id", paging(), user(&facebook), &[]),
        action("get_free_users", "Guests without an account, by id", paging(), user(&comments()), &[]),
        action("get_logins", "The login log, newest first", of_logins, logins(), &[]),
    ]
}

fn paging() -> Vec<Field> {
    vec![
        optional("search", schema::text_within(1, 64), "Those alone that contain it"),
        optional("after", schema::integer(0, i64::MAX), "Go on behind this id"),
        optional("limit", schema::integer(1, 100_000), "So many at most"),
    ]
}

fn live() -> [Action; 3] {
    [
        action("get_guest_hosts", "Every device on the guest networks now, by address", Vec::new(), hosts(), &[]),
        action("get_active_guests", "Who is logged in now, by address", Vec::new(), active(), &[]),
        action(
            "kick_guest",
            "Ends the sessions of a device; one of both is needed",
            vec![
                optional("mac", schema::pattern("^[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}$"), "The device"),
                optional("address", schema::text_within(2, 45), "Its address"),
            ],
            message(&["Guest disconnected successfully"], false),
            &["Guest not found"],
        ),
    ]
}
