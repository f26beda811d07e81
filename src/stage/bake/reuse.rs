//! Which earlier build a release may take for its own. Pure.

/// A build of the same recipe, as Image Builder lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Earlier {
    pub arn: String,
    /// `state.status`.
    pub status: String,
    /// `dateCreated`, as Image Builder writes it.
    pub created: String,
    /// The bake key it is tagged with.
    pub key: Option<String>,
}

/// What a release does about its image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// Take one of these, the first whose images are all there.
    Take(Vec<String>),
    /// Wait for this one: it is being built.
    Join(String),
    /// Bake. The number tells this build from the earlier ones with the same key.
    Bake { generation: usize },
}

/// Chooses among the builds with this bake key: a finished one, else one under way, else a new one. Releases that ask
/// at the same time count the same builds, derive the same client token and get the same new build.
#[must_use]
pub fn choose(builds: &[Earlier], key: &str, rejected: &[String]) -> Choice {
    let mut same: Vec<&Earlier> = builds.iter().filter(|build| build.key.as_deref() == Some(key)).collect();
    same.sort_by(|a, b| (&b.created, &b.arn).cmp(&(&a.created, &a.arn)));
    let finished: Vec<String> = same
        .iter()
        .filter(|build| build.status == "AVAILABLE" && !rejected.contains(&build.arn))
        .map(|build| build.arn.clone())
        .collect();
    if !finished.is_empty() {
        return Choice::Take(finished);
    }
    let going = |build: &&&Earlier| super::judge::stand(&build.status) == super::judge::Stand::Going;
    match same.iter().find(going) {
        Some(build) => Choice::Join(build.arn.clone()),
        None => Choice::Bake { generation: same.len() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn build(arn: &str, status: &str, created: &str, key: &str) -> Earlier {
        Earlier { arn: arn.into(), status: status.into(), created: created.into(), key: Some(key.into()) }
    }

    #[test]
    fn a_finished_build_is_taken_before_one_under_way_and_that_before_a_new_one() {
        let old = build("a/1", "AVAILABLE", "2026-01-01", "k");
        let new = build("a/2", "AVAILABLE", "2026-01-02", "k");
        let going = build("a/3", "BUILDING", "2026-01-03", "k");
        let failed = build("a/4", "FAILED", "2026-01-04", "k");
        let other = build("a/5", "AVAILABLE", "2026-01-05", "other");
        let untagged = Earlier { key: None, ..other.clone() };
        let all = [old.clone(), new.clone(), going.clone(), failed.clone(), other.clone(), untagged];
        assert_eq!(choose(&all, "k", &[]), Choice::Take(vec!["a/2".into(), "a/1".into()]));
        assert_eq!(choose(&all, "k", &["a/2".into()]), Choice::Take(vec!["a/1".into()]));
        assert_eq!(choose(&all[2..], "k", &[]), Choice::Join("a/3".into()));
        assert_eq!(choose(&all, "k", &["a/1".into(), "a/2".into()]), Choice::Join("a/3".into()));
        assert_eq!(choose(&[failed, other], "k", &[]), Choice::Bake { generation: 1 });
        assert_eq!(choose(&[], "k", &[]), Choice::Bake { generation: 0 });
        // One whose images are gone still counts: its client token would find it again.
        assert_eq!(choose(&[old], "k", &["a/1".into()]), Choice::Bake { generation: 1 });
    }
}
