//! The promises that every database keeps, in a module for each noun.

use adit_model::id::PrincipalId;
use adit_store::{Place, Store};
use sea_orm::{Database, DatabaseConnection};

use crate::sample::{NOW, at, change, principal};

pub(crate) mod changes;
pub(crate) mod invites;
pub(crate) mod leases;
pub(crate) mod opening;
pub(crate) mod principals;
pub(crate) mod rules;
pub(crate) mod usages;

/// Gives the names of all promises, by module, to another macro.
macro_rules! every_promise {
    ($then:ident) => {
        $then! {
            principals {
                a_principal_is_kept_as_it_was_added,
                a_name_is_of_one_principal,
                a_key_is_of_one_principal,
                texts_are_compared_byte_by_byte,
                what_a_principal_may_do_changes,
                a_removed_principal_leaves_nothing_but_quarantine,
                a_number_is_never_given_twice,
                an_authority_names_principals,
                words_are_fit_to_be_shown,
            }
            rules {
                revocations_are_kept_to_the_last_digit,
                reservations_are_kept,
            }
            leases {
                leases_come_back_as_they_were,
                a_late_word_about_a_lease_changes_nothing,
                leases_are_kept_all_or_none,
                the_epoch_floor_only_rises,
            }
            changes {
                every_change_raises_the_version_and_is_audited,
                a_change_that_fails_leaves_nothing,
                notes_are_read_from_the_newest,
                writers_of_two_processes_stand_in_one_line,
                a_load_shows_one_moment,
            }
            opening {
                a_store_that_is_opened_again_is_the_same,
                a_store_of_a_newer_program_is_refused,
                a_damaged_row_takes_nothing_from_anybody_else,
                a_store_of_an_older_program_is_brought_up_and_loses_nothing,
                half_a_step_of_the_schema_is_made_whole,
            }
            invites {
                a_code_makes_one_device_with_what_was_decided_before,
                of_a_thousand_who_use_a_code_one_wins,
                who_used_a_code_gets_the_same_answer_again_and_nobody_else,
                a_code_that_is_over_or_tried_too_often_is_of_no_use,
                a_code_of_a_device_that_is_there_adds_a_key_alone,
                codes_are_listed_and_taken_back,
            }
            usages {
                bytes_of_a_month_are_kept_and_replaced,
                many_principals_are_kept_at_once,
            }
        }
    };
}
pub(crate) use every_promise;

pub(crate) async fn open(place: &Place) -> Store {
    Store::open(place.clone(), at(NOW)).await.unwrap()
}

/// A connection beside the store's.
async fn raw(place: &Place) -> DatabaseConnection {
    let url = match place {
        Place::File(path) => format!("sqlite://{}", path.display()),
        Place::Url(url) => String::from(url.expose()),
    };
    Database::connect(url).await.unwrap()
}

async fn added(store: &Store, name: &str) -> PrincipalId {
    let new = principal(name);
    store.add_principal(&change(), &new).await.unwrap().it
}
