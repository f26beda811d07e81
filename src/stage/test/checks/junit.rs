//! The JUnit report of the checks, for CI systems: one suite with one case for each check. Pure.

use std::io;

use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesText, Event};

use super::outcome::{CheckOutcome, seconds};
use super::result::CheckResult;

/// The report. Characters that XML 1.0 cannot hold become U+FFFD.
#[must_use]
pub fn report(service: &str, results: &[CheckResult]) -> String {
    let mut writer = Writer::new_with_indent(Vec::new(), b' ', 2);
    // Writing to memory does not fail; a report that could not be written is an empty one.
    match suite(&mut writer, service, results) {
        Ok(()) => String::from_utf8(writer.into_inner()).unwrap_or_default(),
        Err(_) => String::new(),
    }
}

fn suite(writer: &mut Writer<Vec<u8>>, service: &str, results: &[CheckResult]) -> io::Result<()> {
    let count =
        |wanted: fn(&CheckOutcome) -> bool| results.iter().filter(|r| wanted(&r.outcome)).count().to_string();
    let tests = results.len().to_string();
    let failures = count(|outcome| matches!(outcome, CheckOutcome::Failed(_)));
    let skipped = count(|outcome| *outcome == CheckOutcome::NotRun);
    let time = format!("{:.3}", results.iter().map(duration).sum::<f64>());
    writer.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
    let attributes = [
        ("name", service),
        ("tests", &tests),
        ("failures", &failures),
        ("errors", "0"),
        ("skipped", &skipped),
        ("time", &time),
    ];
    writer.create_element("testsuites").write_inner_content(|writer| {
        writer.create_element("testsuite").with_attributes(attributes).write_inner_content(|writer| {
            results.iter().try_for_each(|result| case(writer, service, result))
        })?;
        Ok(())
    })?;
    Ok(())
}

fn case(writer: &mut Writer<Vec<u8>>, service: &str, result: &CheckResult) -> io::Result<()> {
    let time = format!("{:.3}", duration(result));
    let name = clean(&result.name);
    let attributes = [("classname", service), ("name", &name), ("file", &result.subject), ("time", &time)];
    writer.create_element("testcase").with_attributes(attributes).write_inner_content(|writer| {
        match &result.outcome {
            // The element of Surefire's reports, which CI systems know.
            CheckOutcome::Passed if result.is_flaky() => {
                let message = format!("passed in attempt {}", result.attempts);
                writer
                    .create_element("flakyFailure")
                    .with_attribute(("message", message.as_str()))
                    .write_empty()?;
            }
            CheckOutcome::Passed => {}
            CheckOutcome::Failed(why) => {
                let why = clean(why);
                writer.create_element("failure").with_attribute(("message", why.as_str())).write_empty()?;
            }
            CheckOutcome::NotRun => {
                writer.create_element("skipped").write_empty()?;
            }
        }
        if let Some(invocation) = &result.invocation {
            for (element, text) in [("system-out", &invocation.stdout), ("system-err", &invocation.stderr)] {
                if !text.is_empty() {
                    writer.create_element(element).write_text_content(BytesText::new(&clean(text)))?;
                }
            }
        }
        Ok(())
    })?;
    Ok(())
}

fn duration(result: &CheckResult) -> f64 {
    result.invocation.as_ref().and_then(|invocation| seconds(&invocation.elapsed)).unwrap_or(0.0)
}

/// Production `Char` of XML 1.0: tab, line feed, carriage return, and everything from the space on but surrogates
/// and the two non-characters at the end of the basic plane.
fn clean(text: &str) -> String {
    let fits = |c: char| matches!(c, '\t' | '\n' | '\r' | ' '..='\u{FFFD}' | '\u{10000}'..);
    text.chars().map(|c| if fits(c) { c } else { '\u{FFFD}' }).collect()
}
