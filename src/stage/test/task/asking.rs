//! The ports of a task that is up, asked side by side where the checks allow it.

use futures::future::join_all;

use super::super::plan::{self, Act};
use super::super::progress;
use super::forward::decided;
use super::judge::{Asked, Found, Seen};
use super::{Inputs, LOOK_EVERY, TaskTest, ecs, probe, wait};
use crate::engine::{StageError, Step, Timestamp};
use crate::spec::Check;
use crate::stage::Cx;
use crate::stage::test::Test;

/// A task that is up, and what it was asked so far.
pub struct Round {
    pub revision: i32,
    pub task: String,
    pub since: Timestamp,
    pub rose: u32,
    pub asked: Vec<Asked>,
}

/// Asks every check that is begun, and begins those that are free. Questions change nothing, so that a round may be
/// asked again by another worker.
pub async fn asking(inputs: &Inputs, cx: &Cx, round: Round) -> Result<Step<Test>, StageError> {
    let Round { revision, task, since, rose, mut asked } = round;
    let checks = &inputs.test.checks;
    let seconds = || u32::try_from(cx.now().since(since).as_secs()).unwrap_or(u32::MAX);
    let look = ecs::look(cx, &inputs.task.cluster, &task).await?;
    let address = match look {
        None => return Err(StageError::NotYet(format!("task {task} was up and is not shown"))),
        Some(found) if found.is_over() => {
            let why = format!("it stopped while it was tested: {}", found.told());
            return decided(revision, task, Found::new(rose, Some(&why), asked));
        }
        Some(found) => found.address,
    };
    let Some(address) = address else {
        return Err(StageError::NotYet(format!("task {task} was up and has no address")));
    };
    begin(checks, &mut asked, seconds());
    let going: Vec<usize> = (0..asked.len()).filter(|index| is_going(&asked, *index)).collect();
    let questions = going.iter().filter_map(|index| checks.get(*index));
    let seen: Vec<Seen> = join_all(questions.map(|check| probe::ask(cx, address, check))).await;
    let now = seconds();
    for (index, seen) in going.into_iter().zip(seen) {
        if let (Some(asked), Some(check)) = (asked.get_mut(index), checks.get(index)) {
            asked.saw(check, seen, now);
        }
    }
    let Some(waits) = begin(checks, &mut asked, now) else {
        return decided(revision, task, Found::new(rose, None, asked));
    };
    let total = checks.len();
    // There are at most 20 checks.
    let percent = u8::try_from(20 + waits * 70 / total.max(1)).unwrap_or(90);
    let name = checks.get(waits).map_or("", |check| check.name.as_str());
    let progress = progress(percent, format!("check {} of {total}, {name}", waits + 1), &task);
    wait(TaskTest::Asking { revision, task, since, rose, asked }, LOOK_EVERY, progress)
}

fn is_going(asked: &[Asked], index: usize) -> bool {
    asked.get(index).is_some_and(|asked| asked.ended.is_none())
}

/// Begins every check that is free; the first that goes on, or none if all that were to be begun have ended.
fn begin(checks: &[Check], asked: &mut Vec<Asked>, now: u32) -> Option<usize> {
    // Each round begins one, so that there are no more rounds than checks.
    for _ in 0..=checks.len() {
        let sent: Vec<_> = asked.iter().map(Asked::sent).collect();
        match plan::next(checks, &sent) {
            Act::Send { check, attempt } => {
                let begun = Asked { attempts: attempt.saturating_add(1), since: now, ended: None };
                match asked.get_mut(check) {
                    Some(again) => *again = begun,
                    None => asked.push(begun),
                }
            }
            Act::Wait { check, .. } => return Some(check),
            // Neither is overdue: a check ends by itself.
            Act::Overdue | Act::Stop { .. } => return None,
        }
    }
    None
}
