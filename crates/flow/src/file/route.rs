//! Jobs that go on with another: by conditions, by a value, by chance.

use adit_text::{Fields, Node, Problem, Problems};

use super::{Grammar, field};
use crate::model::job::{Case, Condition, If, Operator, Random, Routing, Switch};

const OPERATORS: [(&str, Operator); 12] = [
    ("eq", Operator::Equal),
    ("neq", Operator::NotEqual),
    ("ne", Operator::NotEqual),
    ("gt", Operator::Greater),
    ("gte", Operator::GreaterOrEqual),
    ("lt", Operator::Less),
    ("lte", Operator::LessOrEqual),
    ("in", Operator::In),
    ("not-in", Operator::NotIn),
    ("starts-with", Operator::StartsWith),
    ("ends-with", Operator::EndsWith),
    ("match", Operator::Match),
];

/// An `if` with its conditions in a list, or with the one that it is itself.
pub(super) fn conditional(fields: &mut Fields<'_, '_>, grammar: Grammar<'_>) -> Option<If> {
    let of_all = field::any(fields, "input");
    let conditions = if fields.node("conditions").is_some() {
        fields.one_or_many("conditions", |node, problems| {
            condition(node, grammar, problems)
        })
    } else {
        let one = of_fields(fields);
        if one.if_true.is_none() && one.if_false.is_none() {
            let problem = Problem::error(fields.place(), "it leads nowhere: it has no conditions");
            fields.problems().push(problem);
        }
        Some(vec![one])
    };
    let mut conditions = conditions?;
    for condition in &mut conditions {
        condition.input = condition.input.take().or_else(|| of_all.clone());
    }
    Some(If {
        conditions,
        otherwise: fields.optional("otherwise", field::name),
    })
}

/// `{operator, input, value, if_true, if_false}`.
pub(super) fn condition(
    node: &Node,
    grammar: Grammar<'_>,
    problems: &mut Problems,
) -> Option<Condition> {
    let mut fields = node.fields(problems)?;
    let condition = of_fields(&mut fields);
    grammar.finish(fields);
    Some(condition)
}

fn of_fields(fields: &mut Fields<'_, '_>) -> Condition {
    let operator = fields.choice("operator", &OPERATORS);
    Condition {
        input: field::any(fields, "input"),
        operator: operator.unwrap_or(Operator::Equal),
        value: field::any(fields, "value"),
        if_true: fields.optional("if_true", field::name),
        if_false: fields.optional("if_false", field::name),
    }
}

pub(super) fn switch(fields: &mut Fields<'_, '_>, grammar: Grammar<'_>) -> Option<Switch> {
    let input = field::any(fields, "input");
    let cases = fields.required("cases", |node, problems| {
        node.one_or_many(problems, |node, problems| {
            let mut fields = node.fields(problems)?;
            let value = field::any(&mut fields, "value");
            let then = fields.required("then", field::name);
            grammar.finish(fields);
            Some(Case { value, then: then? })
        })
    });
    let otherwise = fields.optional("otherwise", field::name);
    Some(Switch {
        input,
        cases: cases?,
        otherwise,
    })
}

#[derive(Clone, Copy, PartialEq)]
enum Mode {
    Uniform,
    Weighted,
}

pub(super) fn random(fields: &mut Fields<'_, '_>, grammar: Grammar<'_>) -> Option<Random> {
    let modes = [("uniform", Mode::Uniform), ("weighted", Mode::Weighted)];
    let mode = fields.choice("mode", &modes).unwrap_or(Mode::Uniform);
    let session = fields.optional("session", field::text);
    let salt = fields.optional("salt", field::text);
    let routings = fields.required("routings", |node, problems| {
        node.one_or_many(problems, |node, problems| {
            routing(node, mode, grammar, problems)
        })
    })?;
    let total: f64 = routings.iter().map(|routing| routing.weight).sum();
    let is_possible = total > 0.0 && total.is_finite();
    if !is_possible && !fields.problems().has_errors() {
        fields.refuse("routings", "it leads nowhere: no weight is more than 0");
    }
    Some(Random {
        session,
        salt,
        routings,
    })
}

fn routing(
    node: &Node,
    mode: Mode,
    grammar: Grammar<'_>,
    problems: &mut Problems,
) -> Option<Routing> {
    let mut fields = node.fields(problems)?;
    let weight = fields.optional("weight", Node::number).unwrap_or(1.0);
    if weight < 0.0 {
        fields.refuse("weight", "a weight is not negative");
    }
    // The name of old.
    let old = fields.optional("target", field::name);
    let to = match old {
        Some(target) => Some(target),
        None => fields.required("to", field::name),
    };
    grammar.finish(fields);
    Some(Routing {
        weight: match mode {
            Mode::Weighted => weight,
            Mode::Uniform => 1.0,
        },
        to: to?,
    })
}
