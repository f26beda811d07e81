//! The checks as a page a person looks at, without scripts or anything from elsewhere. Pure.

use std::fmt::Write as _;

use askama::Template;

use super::judge::{Verdict, seconds};
use super::report::{self, CONSOLE, JUNIT, Result as Checked};

/// Where the page lies in the artifact.
pub const PAGE: &str = crate::evidence::layout::TEST_PAGE;

/// Lines and bytes that are shown of the end of one output. The whole of it is a file of its own.
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
    /// What it was tested on: `instance` or `task`.
    pub on: &'a str,
    /// The id of that.
    pub instance: &'a str,
    /// Whether the instance's console output was saved.
    pub console: bool,
}

#[derive(Template)]
#[template(path = "test.html")]
struct Page<'a> {
    about: About<'a>,
    outcome: &'static str,
    class: &'static str,
    said: String,
    checks: Vec<Row<'a>>,
    junit: &'static str,
    console: Option<&'static str>,
}

struct Row<'a> {
    name: &'a str,
    what: &'a str,
    verdict: &'static str,
    class: &'static str,
    /// What there is to say beside the verdict.
    why: String,
    took: String,
    /// Hundredths of the time it had.
    share: u64,
    limit: String,
    outputs: Vec<Output<'a>>,
}

struct Output<'a> {
    stream: &'static str,
    path: String,
    shown: &'a str,
    cut: bool,
    /// Whether it is shown at once.
    open: bool,
}

/// The page of a test.
///
/// # Errors
/// The page could not be written.
pub fn page(about: About<'_>, results: &[Checked]) -> Result<String, askama::Error> {
    let (outcome, class) = match (report::passed(results), results.iter().any(Checked::is_flaky)) {
        (true, false) => ("passed", "passed"),
        (true, true) => ("passed, not all at once", "flaky"),
        (false, _) => ("failed", "failed"),
    };
    let checks =
        results.iter().zip(report::folders(results)).map(|(result, folder)| row(result, &folder)).collect();
    let console = about.console.then(|| beside(CONSOLE));
    Page { about, outcome, class, said: counted(results), checks, junit: beside(JUNIT), console }.render()
}

/// A report's path from the page.
fn beside(path: &str) -> &str {
    crate::evidence::layout::from_page(crate::evidence::Stage::Test, path)
}

/// How many checks came to what.
fn counted(results: &[Checked]) -> String {
    let count = |wanted: fn(&Checked) -> bool| results.iter().filter(|result| wanted(result)).count();
    let mut said = format!("{} of {} checks passed", count(|r| r.verdict == Verdict::Passed), results.len());
    for (what, many) in [
        ("of them after a failed attempt", count(Checked::is_flaky)),
        ("failed", count(|r| matches!(r.verdict, Verdict::Failed(_)))),
        ("not run", count(|r| r.verdict == Verdict::NotRun)),
    ] {
        if many > 0 {
            // Writing to a string does not fail.
            let _ = write!(said, ", {many} {what}");
        }
    }
    said
}

fn row<'a>(result: &'a Checked, folder: &str) -> Row<'a> {
    let (verdict, class, why) = match &result.verdict {
        Verdict::Passed if result.is_flaky() => {
            ("flaky", "flaky", format!("passed at attempt {}", result.attempts))
        }
        Verdict::Passed => ("passed", "passed", String::new()),
        Verdict::Failed(why) if result.attempts > 1 => {
            ("failed", "failed", format!("{why}, at attempt {} too", result.attempts))
        }
        Verdict::Failed(why) => ("failed", "failed", why.clone()),
        Verdict::NotRun => ("not run", "not_run", "nothing more was asked of it".to_owned()),
    };
    let invocation = result.invocation.as_ref();
    let took = invocation.and_then(|found| seconds(&found.elapsed));
    let failed = matches!(result.verdict, Verdict::Failed(_));
    let outputs = invocation.into_iter().flat_map(|found| {
        let path = |file: &str| format!("checks/{folder}/{file}.txt");
        [
            ("standard error", path("stderr"), &found.stderr),
            ("standard output", path("stdout"), &found.stdout),
        ]
    });
    Row {
        name: &result.name,
        what: &result.script,
        verdict,
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

/// Hundredths that one is of the other, at most all of them.
fn share(took: f64, limit: f64) -> u64 {
    (0..=100).rev().find(|hundredths: &u8| f64::from(*hundredths) * limit <= took * 100.0).unwrap_or(0).into()
}

/// The last lines of an output.
fn end(text: &str) -> &str {
    let least = text.len().saturating_sub(SHOWN_BYTES);
    let breaks = text.trim_end().match_indices('\n').rev().map(|(at, _)| at + 1);
    let starts: Vec<usize> = breaks.take_while(|at| *at >= least).take(SHOWN_LINES).collect();
    let from = match starts.last() {
        // So few lines, and so short, that they are all there are.
        _ if text.len() <= SHOWN_BYTES && starts.len() < SHOWN_LINES => 0,
        Some(line) => *line,
        // One line longer than what is shown of it.
        None => (least..text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len()),
    };
    text.get(from..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::judge::Invocation;
    use super::*;

    const ABOUT: About<'_> = About {
        service: "web",
        image: "ami-0123456789abcdef0",
        name: "web 2026-01-01",
        region: "eu-west-1",
        account: "123456789012",
        on: "instance",
        instance: "i-0123456789abcdef0",
        console: false,
    };

    fn checked(name: &str, verdict: Verdict, attempts: u8, stdout: &str, stderr: &str) -> Checked {
        Checked {
            name: name.into(),
            script: "checks/a.sh".into(),
            attempts,
            limit: Duration::from_mins(5),
            invocation: (verdict != Verdict::NotRun).then(|| Invocation {
                stdout: stdout.into(),
                stderr: stderr.into(),
                elapsed: "PT1M15S".into(),
                ..Invocation::default()
            }),
            verdict,
        }
    }

    #[test]
    fn a_page_tells_every_check_and_how_it_went() {
        let failed = || Verdict::Failed("exit code 7".into());
        for (results, words) in [
            (vec![checked("fine", Verdict::Passed, 1, "", "")], vec!["1 of 1 checks passed", ">passed<"]),
            (
                vec![checked("shaky", Verdict::Passed, 3, "", "")],
                vec!["passed, not all at once", "1 of them after a failed attempt", "passed at attempt 3"],
            ),
            (
                vec![checked("bad", failed(), 1, "out", "err"), checked("late", Verdict::NotRun, 1, "", "")],
                vec![
                    "0 of 2 checks passed, 1 failed, 1 not run",
                    "exit code 7",
                    "<details open",
                    "75.0 s",
                    "300 s",
                    "checks/bad/stderr.txt",
                    "nothing more was asked of it",
                ],
            ),
        ] {
            let page = page(ABOUT, &results).unwrap();
            for word in words {
                assert!(page.contains(word), "{word}: {page}");
            }
            assert!(!page.contains("<script") && !page.contains("http"), "nothing from elsewhere: {page}");
        }
    }

    #[test]
    fn what_a_check_prints_is_text_and_no_markup() {
        let results = [checked("<img>", Verdict::Passed, 1, "</pre><script>alert(1)</script>", "")];
        let page = page(ABOUT, &results).unwrap();
        assert!(!page.contains("<script") && !page.contains("<img>"), "{page}");
    }

    #[test]
    fn the_end_of_an_output_is_shown() {
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
    fn a_share_is_at_most_the_whole() {
        for (took, limit, expected) in
            [(0.0, 300.0, 0), (75.0, 300.0, 25), (299.9, 300.0, 99), (301.0, 300.0, 100), (1.0, 0.0, 100)]
        {
            assert_eq!(share(took, limit), expected, "{took} of {limit}");
        }
    }
}
