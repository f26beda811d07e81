//! Which earlier build a release reuses. Pure.

use super::status::BuildPhase;

/// A build of the same recipe, as Image Builder lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EarlierBuild {
    pub arn: String,
    /// `state.status`.
    pub status: String,
    /// `dateCreated`, as Image Builder writes it.
    pub created: String,
    /// The value of its tag `bakeline:bake-key`.
    pub key: Option<String>,
}

/// How a release gets its image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// Reuse the first of these builds whose images are all available.
    Reuse(Vec<String>),
    /// Wait for this build, which is running.
    Join(String),
    /// Start a build. The generation distinguishes it from earlier builds with the same key.
    Start { generation: usize },
}

/// Chooses among the builds with this bake key: an available one, else a running one, else a new one. Releases that
/// choose at the same time count the same builds, derive the same client token and get the same new build.
#[must_use]
pub fn choose(builds: &[EarlierBuild], key: &str, unusable: &[String]) -> Choice {
    let mut same: Vec<&EarlierBuild> =
        builds.iter().filter(|build| build.key.as_deref() == Some(key)).collect();
    same.sort_by(|a, b| (&b.created, &b.arn).cmp(&(&a.created, &a.arn)));
    let available: Vec<String> = same
        .iter()
        .filter(|build| build.status == "AVAILABLE" && !unusable.contains(&build.arn))
        .map(|build| build.arn.clone())
        .collect();
    if !available.is_empty() {
        return Choice::Reuse(available);
    }
    let running = |build: &&&EarlierBuild| BuildPhase::of(&build.status) == BuildPhase::Running;
    match same.iter().find(running) {
        Some(build) => Choice::Join(build.arn.clone()),
        None => Choice::Start { generation: same.len() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn build(arn: &str, status: &str, created: &str, key: &str) -> EarlierBuild {
        EarlierBuild {
            arn: arn.into(),
            status: status.into(),
            created: created.into(),
            key: Some(key.into()),
        }
    }

    #[test]
    fn an_available_build_is_preferred_to_a_running_one_and_a_running_one_to_a_new_one() {
        let old = build("a/1", "AVAILABLE", "2026-01-01", "k");
        let new = build("a/2", "AVAILABLE", "2026-01-02", "k");
        let running = build("a/3", "BUILDING", "2026-01-03", "k");
        let failed = build("a/4", "FAILED", "2026-01-04", "k");
        let other = build("a/5", "AVAILABLE", "2026-01-05", "other");
        let untagged = EarlierBuild { key: None, ..other.clone() };
        let all = [old.clone(), new.clone(), running.clone(), failed.clone(), other.clone(), untagged];
        assert_eq!(choose(&all, "k", &[]), Choice::Reuse(vec!["a/2".into(), "a/1".into()]));
        assert_eq!(choose(&all, "k", &["a/2".into()]), Choice::Reuse(vec!["a/1".into()]));
        assert_eq!(choose(&all[2..], "k", &[]), Choice::Join("a/3".into()));
        assert_eq!(choose(&all, "k", &["a/1".into(), "a/2".into()]), Choice::Join("a/3".into()));
        assert_eq!(choose(&[failed, other], "k", &[]), Choice::Start { generation: 1 });
        assert_eq!(choose(&[], "k", &[]), Choice::Start { generation: 0 });
        // A build whose images were removed still counts: its client token would find it again.
        assert_eq!(choose(&[old], "k", &["a/1".into()]), Choice::Start { generation: 1 });
    }
}
