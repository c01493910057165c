//! What the executions tell about the library: which steps were replayed, and whether one was executed that should
//! have been.

use std::collections::BTreeMap;

use crate::pipeline::STEPS;
use crate::proof::Claim;
use crate::witness::Execution;

/// A step that is recorded is not executed again; and it is recorded before the next step begins.
pub fn claim(executions: &[Execution]) -> Claim {
    let mut furthest: BTreeMap<&str, usize> = BTreeMap::new();
    let mut violations = Vec::new();
    for execution in executions {
        let furthest = furthest.entry(&execution.order_id).or_default();
        let step = place(&execution.step);
        if step < *furthest {
            let Execution { order_id, step, .. } = execution;
            violations.push(format!("{order_id}: {step} was executed when {} had begun", STEPS[*furthest]));
        }
        *furthest = step.max(*furthest);
    }
    Claim { text: "no step is executed again when the next one has begun, whatever was killed", violations }
}

/// How often a step was passed over because an earlier process had recorded it.
///
/// When the first step that a restarted process executes for an order is the fourth, three were replayed. A run that
/// was replayed but had no step left to execute is not seen here, so this is a lower bound.
pub fn count(executions: &[Execution]) -> usize {
    let mut first_steps: BTreeMap<(&str, u32), usize> = BTreeMap::new();
    for Execution { process, order_id, step } in executions {
        first_steps.entry((order_id, *process)).or_insert_with(|| place(step));
    }
    first_steps.values().sum()
}

fn place(name: &str) -> usize {
    STEPS.iter().position(|step| *step == name).expect("only these steps are executed")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn executions(steps: &[(u32, &str, &str)]) -> Vec<Execution> {
        let execution = |&(process, order_id, step): &(_, &str, &str)| Execution {
            process,
            order_id: order_id.into(),
            step: step.into(),
        };
        steps.iter().map(execution).collect()
    }

    #[test]
    fn steps_before_the_first_one_executed_by_a_process_were_replayed() {
        let first = [(1, "a", "validate"), (1, "a", "price"), (1, "a", "charge_card"), (1, "b", "validate")];
        assert_eq!(count(&executions(&first)), 0);
        // In process 2 the two before `charge_card`; in process 3 three of order a and one of order b.
        let more = [(2, "a", "charge_card"), (2, "a", "charge_card"), (3, "a", "save_order"), (3, "b", "price")];
        assert_eq!(count(&executions(&[first, more].concat())), 2 + 3 + 1);
    }

    #[test]
    fn a_step_executed_again_too_late_is_found() {
        let fine =
            [(1, "a", "validate"), (1, "a", "price"), (1, "b", "validate"), (2, "a", "price"), (2, "a", "charge_card")];
        assert_eq!(claim(&executions(&fine)).violations, [""; 0]);
        let late = [(3, "a", "price")];
        let found = claim(&executions(&[fine.as_slice(), &late].concat())).violations;
        assert_eq!(found, ["a: price was executed when charge_card had begun"]);
    }
}
