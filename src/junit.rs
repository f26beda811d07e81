//! JUnit reports: the XML that CI systems read. Pure.
//!
//! Written with `quick-xml`. `quick-junit` writes characters that XML 1.0 forbids (U+FFFE, U+FFFF), and brings `chrono`
//! along.

use std::io;
use std::time::Duration;

use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesText, Event};

/// One test case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Case {
    pub class_name: String,
    pub name: String,
    /// The file of the test, if it has one.
    pub file: Option<String>,
    pub duration: Duration,
    pub result: CaseResult,
    pub stdout: String,
    pub stderr: String,
}

/// The result of a test case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum CaseResult {
    #[default]
    Passed,
    /// The case passed after a failed attempt; the message says which attempt passed.
    Flaky(String),
    /// The message says why.
    Failed(String),
    Skipped,
}

/// Writes a report with one suite. Characters that XML 1.0 forbids become U+FFFD.
#[must_use]
pub fn report(suite: &str, cases: &[Case]) -> String {
    let mut writer = Writer::new_with_indent(Vec::new(), b' ', 2);
    // Writing to memory cannot fail.
    match write_suite(&mut writer, suite, cases) {
        Ok(()) => String::from_utf8(writer.into_inner()).unwrap_or_default(),
        Err(_) => String::new(),
    }
}

fn write_suite(writer: &mut Writer<Vec<u8>>, suite: &str, cases: &[Case]) -> io::Result<()> {
    let count = |matches: fn(&CaseResult) -> bool| {
        cases.iter().filter(|case| matches(&case.result)).count().to_string()
    };
    let name = clean(suite);
    let tests = cases.len().to_string();
    let failures = count(|result| matches!(result, CaseResult::Failed(_)));
    let skipped = count(|result| *result == CaseResult::Skipped);
    let time = seconds(cases.iter().map(|case| case.duration).sum());
    writer.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
    let attributes = [
        ("name", name.as_str()),
        ("tests", &tests),
        ("failures", &failures),
        ("errors", "0"),
        ("skipped", &skipped),
        ("time", &time),
    ];
    writer.create_element("testsuites").write_inner_content(|writer| {
        writer
            .create_element("testsuite")
            .with_attributes(attributes)
            .write_inner_content(|writer| cases.iter().try_for_each(|case| write_case(writer, case)))?;
        Ok(())
    })?;
    Ok(())
}

fn write_case(writer: &mut Writer<Vec<u8>>, case: &Case) -> io::Result<()> {
    let (class_name, name, time) = (clean(&case.class_name), clean(&case.name), seconds(case.duration));
    let file = case.file.as_deref().map(clean);
    let mut attributes = vec![("classname", class_name.as_str()), ("name", &name)];
    attributes.extend(file.as_deref().map(|file| ("file", file)));
    attributes.push(("time", &time));
    writer.create_element("testcase").with_attributes(attributes).write_inner_content(|writer| {
        match &case.result {
            CaseResult::Passed => {}
            // An element of Surefire's reports that CI systems know.
            CaseResult::Flaky(message) => write_message(writer, "flakyFailure", message)?,
            CaseResult::Failed(message) => write_message(writer, "failure", message)?,
            CaseResult::Skipped => {
                writer.create_element("skipped").write_empty()?;
            }
        }
        for (element, text) in [("system-out", &case.stdout), ("system-err", &case.stderr)] {
            if !text.is_empty() {
                writer.create_element(element).write_text_content(BytesText::new(&clean(text)))?;
            }
        }
        Ok(())
    })?;
    Ok(())
}

fn write_message(writer: &mut Writer<Vec<u8>>, element: &str, message: &str) -> io::Result<()> {
    let message = clean(message);
    writer.create_element(element).with_attribute(("message", message.as_str())).write_empty()?;
    Ok(())
}

fn seconds(duration: Duration) -> String {
    format!("{:.3}", duration.as_secs_f64())
}

/// Replaces characters outside the production `Char` of XML 1.0.
fn clean(text: &str) -> String {
    let is_allowed = |c: char| matches!(c, '\t' | '\n' | '\r' | ' '..='\u{FFFD}' | '\u{10000}'..);
    text.chars().map(|c| if is_allowed(c) { c } else { '\u{FFFD}' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_has_counts_messages_and_output() {
        let case = |name: &str, result| Case {
            class_name: "web".into(),
            name: name.into(),
            duration: Duration::from_millis(1_500),
            result,
            ..Case::default()
        };
        let cases = [
            Case { file: Some("checks/a.sh".into()), stdout: "ok\n".into(), ..case("a", CaseResult::Passed) },
            case("b", CaseResult::Failed("a<b \"c\" & \u{1}".into())),
            case("c", CaseResult::Skipped),
            case("d", CaseResult::Flaky("passed at attempt 2".into())),
        ];
        let expected = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
            <testsuites>\n  \
              <testsuite name=\"web\" tests=\"4\" failures=\"1\" errors=\"0\" skipped=\"1\" time=\"6.000\">\n    \
                <testcase classname=\"web\" name=\"a\" file=\"checks/a.sh\" time=\"1.500\">\n      \
                  <system-out>ok\n</system-out>\n    \
                </testcase>\n    \
                <testcase classname=\"web\" name=\"b\" time=\"1.500\">\n      \
                  <failure message=\"a&lt;b &quot;c&quot; &amp; \u{FFFD}\"/>\n    \
                </testcase>\n    \
                <testcase classname=\"web\" name=\"c\" time=\"1.500\">\n      \
                  <skipped/>\n    \
                </testcase>\n    \
                <testcase classname=\"web\" name=\"d\" time=\"1.500\">\n      \
                  <flakyFailure message=\"passed at attempt 2\"/>\n    \
                </testcase>\n  \
              </testsuite>\n\
            </testsuites>";
        assert_eq!(report("web", &cases), expected);
    }
}
