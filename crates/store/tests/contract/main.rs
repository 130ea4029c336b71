//! The contract of a store, run over every back end.
//!
//! A case is a function over a [`backends::Fixture`]; the macro below makes a test of it for memory, SQLite and a real etcd
//! (a private process per test; that it cannot be started is a failure). `sabotage.rs` runs cases over deliberately
//! broken back ends and demands that they fail.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod backends;
mod cases;
mod etcd_only;
mod proxy;
mod sabotage;
mod sqlite_only;
mod trouble;

use std::time::Duration;

use backends::{Backend, Fixture};
use futures_util::future::BoxFuture;

/// A case to run on a fixture.
type Case = for<'a> fn(&'a Fixture) -> BoxFuture<'a, ()>;

/// No case takes nearly as long; a hanging one shall say its name.
const CASE_TIMEOUT: Duration = Duration::from_secs(90);

async fn run(name: &str, fixture: &Fixture, case: Case) {
    if tokio::time::timeout(CASE_TIMEOUT, case(fixture)).await.is_err() {
        panic!("{name} hangs");
    }
}

macro_rules! contract {
    ($($module:ident: $($case:ident),+;)+) => {
        /// Every case by name.
        const CASES: &[(&str, Case)] =
            &[$($((stringify!($case), |f| Box::pin(cases::$module::$case(f))),)+)+];

        contract!(@backend memory Memory $($($case)+)+);
        contract!(@backend sqlite Sqlite $($($case)+)+);
        contract!(@backend etcd Etcd $($($case)+)+);
    };
    (@backend $name:ident $backend:ident $($case:ident)+) => {
        mod $name {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    let fixture = super::Fixture::start(super::Backend::$backend).await;
                    super::run(stringify!($case), &fixture, super::case(stringify!($case))).await;
                }
            )+
        }
    };
}

fn case(name: &str) -> Case {
    CASES.iter().find(|(n, _)| *n == name).unwrap_or_else(|| panic!("no case {name}")).1
}

contract! {
    txn:
        commits_everything_at_one_revision,
        mod_revision_holds_and_fails,
        absent_holds_and_fails,
        exists_holds_and_fails,
        conflict_reports_every_failed_condition_and_writes_nothing,
        recreated_keys_get_a_new_creation_revision,
        a_key_named_twice_is_refused,
        operations_beyond_the_limit_are_refused_before_anything_is_written,
        bytes_beyond_the_limit_are_refused_before_anything_is_written,
        what_changes_nothing_moves_no_revision,
        a_record_is_written_only_with_a_change,
        debug_output_hides_values;
    range:
        range_unchanged_sees_creation_change_and_deletion,
        range_unchanged_ignores_other_ranges,
        range_unchanged_prevents_write_skew,
        no_op_does_not_touch_the_range,
        unguarded_ranges_and_leased_guarded_keys_are_refused,
        generations_are_never_seen;
    list:
        pages_show_one_revision_under_concurrent_writes,
        lists_hold_their_prefix_only,
        pages_of_a_compacted_revision_say_so,
        compaction_keeps_what_is,
        the_present_is_listed_and_watched_without_its_records,
        identity_is_made_once_and_shared;
    watch:
        watch_gives_each_revision_whole_and_in_order,
        watch_resumes_after_any_revision,
        watch_shows_what_was_replaced_and_deleted,
        watch_through_compaction_gives_the_difference,
        follow_keeps_up_with_concurrent_writers;
    lease:
        unattended_leases_expire_and_take_their_keys,
        kept_leases_outlive_their_time,
        loss_of_a_lease_is_noticed,
        revoked_leases_take_their_keys_at_once,
        dead_leases_hold_no_keys;
    election:
        created_holds_and_fails,
        of_several_candidates_one_leads_at_a_time,
        a_deposed_leader_cannot_write,
        what_leaders_count_is_never_lost;
    retention:
        trimming_keeps_the_newest_records,
        trimming_ends_with_the_leadership,
        compaction_follows_the_history_kept;
    random:
        random_transactions_agree_with_the_model;
    races:
        objects_that_exclude_each_other_never_meet,
        an_object_is_deleted_or_used_never_both,
        any_two_writers_leave_sound_intent;
    alloc:
        concurrent_clients_get_unique_and_dense_numbers,
        an_object_and_its_number_appear_together;
}
