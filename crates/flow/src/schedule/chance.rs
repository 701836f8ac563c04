//! Where chance leads: the choice of a `random-router`.

use crate::model::Id;
use crate::model::job::Random;

/// The job that a router goes on with: each as often as its weight is of all weights.
///
/// `chance` is any random number, of which the upper 32 bits count; the same one makes the same
/// choice, so for a router with a `session` it is a hash of that and of its salt. A weight of 0 is
/// never chosen. None only if there is nothing to choose from, which the check of a file refuses.
pub fn choose(router: &Random, chance: u64) -> Option<&Id> {
    let possible = || router.routings.iter().filter(|one| one.weight > 0.0);
    let total: f64 = possible().map(|one| one.weight).sum();
    let upper = u32::try_from(chance >> 32).unwrap_or(u32::MAX);
    let mut left = f64::from(upper) / CHANCES * total;
    for routing in possible() {
        if left < routing.weight {
            return Some(&routing.to);
        }
        left -= routing.weight;
    }
    // Sums of fractions are not exact, so a little can be left behind the last.
    possible().next_back().map(|one| &one.to)
}

/// How many values 32 bits have.
const CHANCES: f64 = 4_294_967_296.0;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::job::Kind;

    #[test]
    fn each_is_chosen_as_often_as_its_weight_says() {
        let jobs = "    - {id: r, type: random-router, mode: weighted, routings: [{weight: 0, to: a}, {weight: 7, to: b}, {weight: 2, to: c}, {weight: 1, to: d}]}\n    - {id: a}\n    - {id: b}\n    - {id: c}\n    - {id: d}";
        let workflow = super::super::tests::workflow(jobs).unwrap();
        let Kind::Random(router) = &workflow.jobs[0].kind else {
            panic!("it is a router");
        };
        let mut counts = [("a", 0), ("b", 0), ("c", 0), ("d", 0)];
        let part = u64::MAX / 1_000;
        for place in 0..1_000 {
            let chosen = choose(router, part * place + part / 2).unwrap().as_str();
            let mut all = counts.iter_mut();
            all.find(|(id, _)| *id == chosen).unwrap().1 += 1;
        }
        assert_eq!(counts, [("a", 0), ("b", 700), ("c", 200), ("d", 100)]);
        assert_eq!(choose(router, u64::MAX).unwrap().as_str(), "d");
    }
}
