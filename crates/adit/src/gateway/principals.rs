//! Who may log in: what the store has and what files of keys say, as one snapshot, made anew whenever either
//! has changed.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use adit_model::grant::Grant;
use adit_model::host::Name;
use adit_model::id::{Fingerprint, PrincipalId};
use adit_store::{Kind as StoredKind, NewPrincipal, Rows, Standing, Store};
use adit_tunnel::gateway::authorized_keys::{self, Defaults as FileDefaults, Line, Rule};
use adit_tunnel::gateway::policy::{Authority, Key, Kind, Policy, Principal, Revoked};
use anyhow::Context as _;
use jiff::Timestamp;
use tokio::sync::watch;
use tracing::warn;

use super::settings::Settings;

/// Who changes principals of files, for the audit.
const WHO: &str = "authorized_keys";
