//! Paths of the files in an artifact: `source/`, `statements/` and `reports/STAGE/`.
//!
//! Every stage takes its paths from here, so that no two stages write the same file and no file of the source
//! can take the place of a report or of a statement.

use super::link::Stage;

/// The folder of the files that the bake stage copied from the source artifact.
pub const SOURCE: &str = "source/";

/// The folder of the signed statements of the chain.
pub const STATEMENTS: &str = "statements/";

/// The folder of the reports; every stage has a folder in it.
pub const REPORTS: &str = "reports/";

/// The release spec.
pub const SPEC: &str = "source/bakeline.yaml";

/// The findings of the vulnerability scan, as SARIF.
pub const BAKE_SCAN: &str = "reports/bake/scan.sarif";

/// The findings of the vulnerability scan, as a signed statement of the in-toto predicate `vulns/v0.2`.
pub const BAKE_VULNERABILITIES: &str = "reports/bake/vulnerabilities.dsse.json";

/// The test's results as a page.
pub const TEST_PAGE: &str = "reports/test/report.html";

/// The test's results as JUnit XML.
pub const TEST_JUNIT: &str = "reports/test/junit.xml";

/// The console output of a failed test's instance.
pub const TEST_CONSOLE: &str = "reports/test/console.txt";

/// The promotion's record as JSON.
pub const PROMOTE_REPORT: &str = "reports/promote/report.json";

/// The promotion's record as a page.
pub const PROMOTE_PAGE: &str = "reports/promote/report.html";

/// The recorded windows of the canary judge.
pub const PROMOTE_JUDGE: &str = "reports/promote/judge.jsonl";

/// The cleanup's record as JSON.
pub const CLEANUP_REPORT: &str = "reports/cleanup/report.json";

/// The path in the artifact of a file of the source.
#[must_use]
pub fn source(path: &str) -> String {
    format!("{SOURCE}{path}")
}

/// The path of the statement at a position of the chain, counted from 1.
#[must_use]
pub fn statement(position: u32, stage: Stage) -> String {
    format!("{STATEMENTS}{position:02}-{stage}.dsse.json")
}

/// The path of one output stream of a check: `stdout` or `stderr`.
#[must_use]
pub fn check_output(check: &str, stream: &str) -> String {
    format!("reports/test/checks/{check}/{stream}.txt")
}

/// The path of `file` as a page in the reports folder of `stage` links to it.
#[must_use]
pub fn from_page(stage: Stage, file: &str) -> &str {
    file.strip_prefix(REPORTS)
        .and_then(|rest| rest.strip_prefix(stage.name()))
        .and_then(|rest| rest.strip_prefix('/'))
        .unwrap_or(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_report_is_in_the_folder_of_its_stage() {
        for (stage, path) in [
            (Stage::Bake, BAKE_SCAN),
            (Stage::Bake, BAKE_VULNERABILITIES),
            (Stage::Test, TEST_PAGE),
            (Stage::Test, TEST_JUNIT),
            (Stage::Test, TEST_CONSOLE),
            (Stage::Promote, PROMOTE_REPORT),
            (Stage::Promote, PROMOTE_PAGE),
            (Stage::Promote, PROMOTE_JUDGE),
            (Stage::Cleanup, CLEANUP_REPORT),
        ] {
            assert!(path.starts_with(&format!("{REPORTS}{stage}/")), "{path}");
            assert!(!from_page(stage, path).contains('/'), "{path}");
        }
        assert_eq!(from_page(Stage::Test, &check_output("serves", "stdout")), "checks/serves/stdout.txt");
    }

    #[test]
    fn statements_sort_by_their_position() {
        assert_eq!(statement(1, Stage::Bake), "statements/01-bake.dsse.json");
        assert!(statement(9, Stage::Test) < statement(10, Stage::Bake));
        assert_eq!(source("bakeline.yaml"), SPEC);
    }
}
