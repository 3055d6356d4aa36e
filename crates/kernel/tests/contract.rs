//! One suite for both kernels: the fake, and Linux in a network namespace of its own (as root).

#![expect(clippy::unwrap_used, reason = "tests")]

#[path = "contract/cases.rs"]
mod cases;
#[path = "contract/guest_cases.rs"]
mod guest_cases;
#[path = "contract/guest_linux.rs"]
mod guest_linux;
#[path = "contract/guest_net.rs"]
mod guest_net;
#[path = "contract/guest_packets.rs"]
mod guest_packets;
#[path = "contract/guest_world.rs"]
mod guest_world;
#[path = "contract/linux.rs"]
mod linux;
#[path = "contract/only_linux.rs"]
mod only_linux;
#[path = "contract/packets.rs"]
mod packets;
#[path = "contract/world.rs"]
mod world;

use doorward_kernel::fake::Fake;

/// Makes of each case a test of the fake and one of Linux.
macro_rules! contract {
    ($($module:ident: $($case:ident),+;)+) => {
        mod fake {
            $($(#[tokio::test]
            async fn $case() {
                let (fake, _handle) = super::Fake::new();
                super::$module::$case(fake).await;
            })+)+
        }
        mod on_linux {
            $($(#[test]
            fn $case() {
                let name = concat!("on_linux::", stringify!($case));
                super::linux::in_namespaces(name, async |host| super::$module::$case(host.open().await).await);
            })+)+
        }
    };
}

contract! {
    cases:
        a_plan_is_carried_out_and_seen,
        carrying_out_twice_is_once,
        every_value_can_change,
        everything_can_go,
        single_items_come_and_go,
        grants_end_by_themselves,
        a_quota_keeps_what_it_consumed,
        one_bad_change_fails_alone,
        what_is_in_use_stays,
        members_survive_a_new_skeleton,
        scopes_read_their_part,
        many_changes_at_once;
    guest_cases:
        guests_come_and_go,
        guests_and_accounts_share_a_gateway,
        devices_and_gardens_end_by_themselves,
        a_garden_that_is_kept_stays,
        the_scope_of_guests_is_theirs,
        a_grant_without_a_number_for_its_class_stays_closed,
        many_guests_at_once;
}
