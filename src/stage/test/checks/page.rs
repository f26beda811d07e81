//! The HTML report of the checks: one page without scripts or external resources. Pure.

use std::fmt::Write as _;

use askama::Template;

use super::outcome::{CheckOutcome, seconds};
use super::report::{self, CONSOLE, JUNIT};
use super::result::CheckResult;
use crate::evidence::{Stage, layout};

/// Path of the page in the artifact.
pub const PAGE: &str = layout::TEST_PAGE;

/// Max lines and bytes shown of the end of one output. A file has all of it.
const SHOWN_LINES: usize = 40;
const SHOWN_BYTES: usize = 8 << 10;

/// What was tested, and where.
#[derive(Clone, Copy, Debug)]
pub struct About<'a> {
    pub service: &'a str,
    pub image: &'a str,
    pub name: &'a str,
    pub region: &'a str,
    pub account: &'a str,
    /// The kind of the test: `instance` or `task`.
    pub kind: &'a str,
    /// The id of the instance or task.
    pub id: &'a str,
    /// Whether the artifact has the console output of the instance.
    pub console: bool,
}

#[derive(Template)]
#[template(path = "test.html")]
struct Page<'a> {
    about: About<'a>,
    outcome: &'static str,
    class: &'static str,
    summary: String,
    checks: Vec<Row<'a>>,
    junit: &'static str,
    console: Option<&'static str>,
}

struct Row<'a> {
    name: &'a str,
    what: &'a str,
    outcome: &'static str,
    class: &'static str,
    /// The reason for the outcome, if there is one.
    why: String,
    took: String,
    /// The part of its timeout that it took, in percent.
    share: u64,
    limit: String,
    outputs: Vec<Output<'a>>,
}

struct Output<'a> {
    stream: &'static str,
    path: String,
    shown: &'a str,
    cut: bool,
    /// Whether the page shows it without a click.
    open: bool,
}

/// Renders the page.
///
/// # Errors
/// The template cannot be rendered.
pub fn page(about: About<'_>, results: &[CheckResult]) -> Result<String, askama::Error> {
    let (outcome, class) = match (report::passed(results), results.iter().any(CheckResult::is_flaky)) {
        (true, false) => ("passed", "passed"),
        (true, true) => ("passed after retries", "flaky"),
        (false, _) => ("failed", "failed"),
    };
    let checks =
        results.iter().zip(report::folders(results)).map(|(result, folder)| row(result, &folder)).collect();
    let console = about.console.then(|| beside(CONSOLE));
    Page { about, outcome, class, summary: counted(results), checks, junit: beside(JUNIT), console }.render()
}

/// The path of a report, relative to the page.
fn beside(path: &str) -> &str {
    layout::from_page(Stage::Test, path)
}

/// The number of checks by outcome, as text.
fn counted(results: &[CheckResult]) -> String {
    let count = |wanted: fn(&CheckResult) -> bool| results.iter().filter(|result| wanted(result)).count();
    let mut summary =
        format!("{} of {} checks passed", count(|r| r.outcome == CheckOutcome::Passed), results.len());
    for (what, many) in [
        ("of them after a retry", count(CheckResult::is_flaky)),
        ("failed", count(|r| matches!(r.outcome, CheckOutcome::Failed(_)))),
        ("not run", count(|r| r.outcome == CheckOutcome::NotRun)),
    ] {
        if many > 0 {
            // Writing to a string does not fail.
            let _ = write!(summary, ", {many} {what}");
        }
    }
    summary
}

fn row<'a>(result: &'a CheckResult, folder: &str) -> Row<'a> {
    let (outcome, class, why) = match &result.outcome {
        CheckOutcome::Passed if result.is_flaky() => {
            ("flaky", "flaky", format!("passed in attempt {}", result.attempts))
        }
        CheckOutcome::Passed => ("passed", "passed", String::new()),
        CheckOutcome::Failed(why) if result.attempts > 1 => {
            ("failed", "failed", format!("{why}; failed in all {} attempts", result.attempts))
        }
        CheckOutcome::Failed(why) => ("failed", "failed", why.clone()),
        CheckOutcome::NotRun => ("not run", "not_run", "the test ended before".to_owned()),
    };
    let invocation = result.invocation.as_ref();
    let took = invocation.and_then(|found| seconds(&found.elapsed));
    let failed = matches!(result.outcome, CheckOutcome::Failed(_));
    let outputs = invocation.into_iter().flat_map(|found| {
        let path = |file: &str| format!("checks/{folder}/{file}.txt");
        [
            ("standard error", path("stderr"), &found.stderr),
            ("standard output", path("stdout"), &found.stdout),
        ]
    });
    Row {
        name: &result.name,
        what: &result.subject,
        outcome,
        class,
        why,
        took: took.map_or_else(String::new, |took| format!("{took:.1} s")),
        share: took.map_or(0, |took| share(took, result.limit.as_secs_f64())),
        limit: format!("{} s", result.limit.as_secs()),
        outputs: outputs
            .filter(|(.., text)| !text.trim().is_empty())
            .map(|(stream, path, text)| {
                let shown = end(text);
                Output { stream, path, shown, cut: shown.len() < text.len(), open: failed }
            })
            .collect(),
    }
}

/// The percentage that `took` is of `limit`, at most 100.
fn share(took: f64, limit: f64) -> u64 {
    (0..=100).rev().find(|hundredths: &u8| f64::from(*hundredths) * limit <= took * 100.0).unwrap_or(0).into()
}

/// The last lines of an output.
fn end(text: &str) -> &str {
    let least = text.len().saturating_sub(SHOWN_BYTES);
    let breaks = text.trim_end().match_indices('\n').rev().map(|(at, _)| at + 1);
    let starts: Vec<usize> = breaks.take_while(|at| *at >= least).take(SHOWN_LINES).collect();
    let from = match starts.last() {
        // Few and short lines: show all of them.
        _ if text.len() <= SHOWN_BYTES && starts.len() < SHOWN_LINES => 0,
        Some(line) => *line,
        // One line that is too long: show its end.
        None => (least..text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len()),
    };
    text.get(from..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::outcome::Invocation;
    use super::*;

    const ABOUT: About<'_> = About {
        service: "web",
        image: "ami-0123456789abcdef0",
        name: "web 2026-01-01",
        region: "eu-west-1",
        account: "123456789012",
        kind: "instance",
        id: "i-0123456789abcdef0",
        console: false,
    };

    fn checked(name: &str, outcome: CheckOutcome, attempts: u8, stdout: &str, stderr: &str) -> CheckResult {
        CheckResult {
            name: name.into(),
            subject: "checks/a.sh".into(),
            attempts,
            limit: Duration::from_mins(5),
            invocation: (outcome != CheckOutcome::NotRun).then(|| Invocation {
                stdout: stdout.into(),
                stderr: stderr.into(),
                elapsed: "PT1M15S".into(),
                ..Invocation::default()
            }),
            outcome,
        }
    }

    #[test]
    fn the_page_shows_the_outcome_of_every_check() {
        let failed = || CheckOutcome::Failed("exit code 7".into());
        for (results, words) in [
            (
                vec![checked("fine", CheckOutcome::Passed, 1, "", "")],
                vec!["1 of 1 checks passed", ">passed<"],
            ),
            (
                vec![checked("shaky", CheckOutcome::Passed, 3, "", "")],
                vec!["passed after retries", "1 of them after a retry", "passed in attempt 3"],
            ),
            (
                vec![
                    checked("bad", failed(), 1, "out", "err"),
                    checked("late", CheckOutcome::NotRun, 1, "", ""),
                ],
                vec![
                    "0 of 2 checks passed, 1 failed, 1 not run",
                    "exit code 7",
                    "<details open",
                    "75.0 s",
                    "300 s",
                    "checks/bad/stderr.txt",
                    "the test ended before",
                ],
            ),
        ] {
            let page = page(ABOUT, &results).unwrap();
            for word in words {
                assert!(page.contains(word), "{word}: {page}");
            }
            assert!(!page.contains("<script") && !page.contains("http"), "no external resources: {page}");
        }
    }

    #[test]
    fn the_page_escapes_the_output_of_a_check() {
        let results = [checked("<img>", CheckOutcome::Passed, 1, "</pre><script>alert(1)</script>", "")];
        let page = page(ABOUT, &results).unwrap();
        assert!(!page.contains("<script") && !page.contains("<img>"), "{page}");
    }

    #[test]
    fn the_page_shows_the_end_of_an_output() {
        let lines = |from: u32| (from..100).map(|line| line.to_string() + "\n").collect::<String>();
        let (many, last) = (lines(0), lines(60));
        let (long, wide) = ("ä".repeat(SHOWN_BYTES), format!("{}\nlast", "x".repeat(SHOWN_BYTES)));
        for (text, expected) in [
            ("", ""),
            ("one", "one"),
            ("one\ntwo\n", "one\ntwo\n"),
            (many.as_str(), last.as_str()),
            (last.as_str(), last.as_str()),
            (long.as_str(), &long[long.len() - SHOWN_BYTES..]),
            (wide.as_str(), "last"),
        ] {
            assert_eq!(end(text), expected, "{}", text.len());
        }
    }

    #[test]
    fn a_share_is_at_most_100_percent() {
        for (took, limit, expected) in
            [(0.0, 300.0, 0), (75.0, 300.0, 25), (299.9, 300.0, 99), (301.0, 300.0, 100), (1.0, 0.0, 100)]
        {
            assert_eq!(share(took, limit), expected, "{took} of {limit}");
        }
    }
}
