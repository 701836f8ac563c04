//! Where routers lead, and whether conditions hold.

use crate::exec::compare;
use crate::exec::error::JobError;
use crate::exec::names::Names;
use crate::expr::Value;
use crate::model::job::{Condition, If, Random, Switch};
use crate::render;
use crate::schedule::choose;

/// Whether a condition holds; `whole` is what it looks at if it does not say.
pub(super) fn holds(
    condition: &Condition,
    names: &Names<'_>,
    whole: &Value,
) -> Result<bool, JobError> {
    let input = match &condition.input {
        Some(written) => &render::tree(written, names)?,
        None => whole,
    };
    let value = match &condition.value {
        Some(written) => render::tree(written, names)?,
        None => Value::Null,
    };
    compare::holds(condition.operator, input, &value)
}

/// The first condition that leads somewhere says where.
pub(super) fn conditional(router: &If, names: &Names<'_>) -> Result<Option<String>, JobError> {
    let whole = names.value("input");
    for condition in &router.conditions {
        let to = if holds(condition, names, &whole)? {
            &condition.if_true
        } else {
            &condition.if_false
        };
        if let Some(to) = to {
            return Ok(Some(to.as_str().to_owned()));
        }
    }
    Ok(router.otherwise.as_ref().map(|id| id.as_str().to_owned()))
}

/// The first case of the input's value says where.
pub(super) fn switch(router: &Switch, names: &Names<'_>) -> Result<Option<String>, JobError> {
    let input = match &router.input {
        Some(written) => render::tree(written, names)?,
        None => names.value("input"),
    };
    for case in &router.cases {
        let value = match &case.value {
            Some(written) => render::tree(written, names)?,
            None => Value::Null,
        };
        if compare::is_same(&input, &value) {
            return Ok(Some(case.then.as_str().to_owned()));
        }
    }
    Ok(router.otherwise.as_ref().map(|id| id.as_str().to_owned()))
}

/// By chance, or always the same for the same `session` and `salt`.
pub(super) fn random(
    router: &Random,
    names: &Names<'_>,
    chance: u64,
) -> Result<Option<String>, JobError> {
    let chance = match &router.session {
        None => chance,
        Some(session) => {
            let mut text = render::string(session, names)?;
            if let Some(salt) = &router.salt {
                text.push('\n');
                text.push_str(&render::string(salt, names)?);
            }
            let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
            let first = digest.as_ref().first_chunk::<8>();
            first.map_or(chance, |bytes| u64::from_be_bytes(*bytes))
        }
    };
    Ok(choose(router, chance).map(|id| id.as_str().to_owned()))
}
