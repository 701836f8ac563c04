//! `workflow:`, with its one job in it or with `job:` and `jobs:` below.

use adit_text::{Node, Problem, Problems};

use super::{Grammar, Key, either, field, job, limited};
use crate::model::workflow::{UNNAMED, Workflow};

/// Reads a workflow; `above` is its id if that stands as a key.
pub(super) fn read(
    node: &Node,
    above: Option<Key<'_>>,
    grammar: Grammar<'_>,
    problems: &mut Problems,
) -> Option<Workflow> {
    let mut fields = node.fields(problems)?;
    let id = field::id(&mut fields, above, UNNAMED);
    let name = fields.optional("name", field::owned);
    let title = fields.optional("title", field::owned);
    let description = fields.optional("description", field::owned);
    let is_default = fields.boolean("default") == Some(true);
    let is_private = fields.boolean("private") == Some(true);
    let key = either(&mut fields, grammar, ["job", "jobs"]);
    let (jobs, output) = if fields.node(key).is_some() {
        field::left_over(node, &mut fields, &job::FLAT, key, grammar);
        let jobs = fields.optional(key, |node, problems| {
            let jobs = if key == "jobs" && job::is_by_id(node) {
                node.named(problems, |entry, problems| {
                    let id = Key {
                        text: &entry.key,
                        place: &entry.place,
                    };
                    job::read(&entry.node, Some(id), grammar, problems)
                })
            } else {
                node.one_or_many(problems, |node, problems| {
                    job::read(node, None, grammar, problems)
                })
            };
            jobs.map(|jobs| limited(jobs, node, problems))
        });
        (jobs.unwrap_or_default(), field::any(&mut fields, "output"))
    } else if field::has_any(node, &job::FLAT) || field::has_any(node, &["output"]) {
        let job = job::flat(&mut fields, grammar);
        (job.into_iter().collect(), None)
    } else {
        for key in job::FLAT {
            fields.node(key);
        }
        (Vec::new(), None)
    };
    grammar.finish(fields);
    if jobs.is_empty() && !problems.has_errors() {
        // One with nothing but a title, as in model-compose; few mean it.
        let message = "it has no jobs and gives nothing";
        let help = "one key of a job makes it a job: \"output: ${output}\" runs the only component";
        problems.push(Problem::warning(id.place(), message).with_help(help));
    }
    Some(Workflow {
        id,
        name,
        title,
        description,
        is_default,
        is_private,
        jobs,
        output,
    })
}
